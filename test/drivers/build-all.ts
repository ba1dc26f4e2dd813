/**
 * Makes all programs of the matrix, all languages at once, behind whatever else this machine does. `npm test` begins
 * with it in the background, so that the tests that run the programs find them there.
 */
import { setPriority } from 'node:os';
import { PROGRAMS } from './programs.ts';

setPriority(10);
// What cannot be made is told by the tests that need it.
await Promise.allSettled(PROGRAMS.map((program) => program.build(null)));

/**
 * Makes all programs of the matrix, all languages at once. `npm test` begins with it in the background, so that the tests
 * that run the programs find them there.
 */
import { PROGRAMS } from './programs.ts';

// What cannot be made is told by the tests that need it.
await Promise.allSettled(PROGRAMS.map((program) => program.build(null)));

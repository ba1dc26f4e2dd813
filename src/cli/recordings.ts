import type { Command } from 'commander';
import { addRecordingsExport } from './recordings-export.ts';
import { addRecordingsSearch } from './recordings-search.ts';
import { addRecordingsVerify } from './recordings-verify.ts';

export function addRecordingsCommand(program: Command): void {
  const recordings = program.command('recordings').description('What was recorded.');
  addRecordingsSearch(recordings);
  addRecordingsVerify(recordings);
  addRecordingsExport(recordings);
}

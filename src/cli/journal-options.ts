import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { readConfigFile } from '../config/load.ts';
import { CommandFailure, EXIT } from './failure.ts';

export interface JournalOptions {
  readonly config: string;
  readonly journal?: string;
}

/** Adds the options of every command that reads the journal. */
export function withJournalOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file, for the journal directory', 'sluice.yaml')
    .option('--journal <directory>', 'journal directory; no configuration file is read');
}

/** Reads the journal that the options name. @throws CommandFailure if it cannot be read */
export async function fromJournal<T>(options: JournalOptions, read: (directory: string) => Promise<T>): Promise<T> {
  try {
    return await read(options.journal ?? (await configuredDirectory(options.config)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new CommandFailure(EXIT.usage, `The journal cannot be read: ${(error as Error).message}`);
  }
}

async function configuredDirectory(config: string): Promise<string> {
  const { file, value } = await readConfigFile(config);
  return resolve(dirname(file), value.recording.directory);
}

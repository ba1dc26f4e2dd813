import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { SnapshotError } from '../catalog/snapshot.ts';
import { ConfigError } from '../config/load.ts';
import { RuleFileError } from '../policy/load.ts';
import { JournalError } from '../recording/journal.ts';
import { addConfigCommand } from './config-check.ts';
import { addDemoCommand } from './demo.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { addRulesCommand } from './rules.ts';
import { addServeCommand } from './serve.ts';
import { addSessionsCommand } from './sessions.ts';
import { addStatusCommand } from './status.ts';
import { addUsersCommand } from './users-hash.ts';

/** Runs the command in `argv` (as process.argv) and sets the process's exit code. */
export async function run(argv: readonly string[]): Promise<void> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const program = new Command('sluice')
    .description('A database firewall: a verdict and a record for every statement.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(add --help for the options)');
  addServeCommand(program);
  addDemoCommand(program);
  addConfigCommand(program);
  addRulesCommand(program);
  addUsersCommand(program);
  addSessionsCommand(program);
  addStatusCommand(program);

  // `sluice sessions list | head`: the reader left, nothing is wrong.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(process.exitCode ?? EXIT.ok);
  });
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

/** Prints what the user has to know about an error, unless commander did, and gives the exit code for it. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CommandFailure) {
    console.error(error.message);
    return error.exitCode;
  }
  if (error instanceof ConfigError || error instanceof RuleFileError || error instanceof SnapshotError) {
    console.error(error.message);
    return EXIT.usage;
  }
  // The system's own errors (an address in use, a disk that is full) say all in their message.
  const isExpected = error instanceof JournalError || (error as NodeJS.ErrnoException | null)?.syscall !== undefined;
  console.error(isExpected ? (error as Error).message : error);
  return EXIT.problem;
}

import { Command, CommanderError } from 'commander';
import { CommandFailure, EXIT } from './failure.ts';
import { versionOfSluice } from './version.ts';

/** Each is loaded only when it is asked for, so that `serve` has nothing in memory that other commands need. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  serve: async () => (await import('./serve.ts')).addServeCommand,
  demo: async () => (await import('./demo.ts')).addDemoCommand,
  config: async () => (await import('./config-check.ts')).addConfigCommand,
  rules: async () => (await import('./rules.ts')).addRulesCommand,
  masks: async () => (await import('./masks-preview.ts')).addMasksCommand,
  login: async () => (await import('./login.ts')).addLoginCommand,
  logout: async () => (await import('./logout.ts')).addLogoutCommand,
  users: async () => (await import('./users-hash.ts')).addUsersCommand,
  sessions: async () => (await import('./sessions.ts')).addSessionsCommand,
  recordings: async () => (await import('./recordings.ts')).addRecordingsCommand,
  approvals: async () => (await import('./approvals.ts')).addApprovalsCommand,
  agents: async () => (await import('./agents.ts')).addAgentsCommand,
  credentials: async () => (await import('./credentials.ts')).addCredentialsCommand,
  exec: async () => (await import('./exec.ts')).addExecCommand,
  reload: async () => (await import('./reload.ts')).addReloadCommand,
  status: async () => (await import('./status.ts')).addStatusCommand,
  // The last: what it prints is about all others.
  completion: async () => (await import('./completion.ts')).addCompletionCommand,
};

/** Errors that list the mistakes in files, by name: to import their classes is to load what reads such files. */
const MISTAKES = ['InvalidFileError', 'SnapshotError'];

/** Runs the command in `argv` (as process.argv) and sets the process's exit code. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command('sluice')
    .description('A database firewall: a verdict and a record for every statement.')
    .version(versionOfSluice())
    .exitOverride()
    .showHelpAfterError('(add --help for the options)');
  // Help, what is no command, and what is about all of them need all of them.
  const [, , first = ''] = argv;
  const isOne = Object.hasOwn(COMMANDS, first) && first !== 'completion';
  const asked = isOne ? [COMMANDS[first]!] : Object.values(COMMANDS);
  for (const load of asked) (await load())(program);

  // `sluice sessions list | head`: the reader left, nothing is wrong. EIO: the terminal was closed.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
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
  const { name, message, syscall } = error as NodeJS.ErrnoException;
  if (MISTAKES.includes(name)) {
    console.error(message);
    return EXIT.usage;
  }
  // The system's own errors (an address in use, a disk that is full) say all in their message.
  console.error(name === 'JournalError' || name === 'StoreError' || syscall !== undefined ? message : error);
  return EXIT.problem;
}

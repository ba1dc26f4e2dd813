import { type Command, Option } from 'commander';
import { createCachingSha2Verifier, formatCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { createNativeVerifier, formatNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { createScramVerifier, formatScramVerifier } from '../../protocols/postgres/scram.ts';
import { askPassword } from './ask-password.ts';
import { CommandFailure, EXIT } from './failure.ts';

const VERIFIERS = {
  postgres: async (password: string) => formatScramVerifier(await createScramVerifier(password)),
  mysql: async (password: string) => formatCachingSha2Verifier(await createCachingSha2Verifier(password)),
  'mysql-native': async (password: string) => formatNativeVerifier(createNativeVerifier(password)),
} as const;

export function addUsersCommand(program: Command): void {
  const users = program.command('users').description('Users of sluice.yaml.');
  users
    .command('hash')
    .description(
      'Prints the verifier of a password for sluice.yaml. The password is asked for, or read from standard input; never an argument, other users of the machine can see those.',
    )
    .addOption(
      new Option('--for <protocol>', 'what it is for: `scram:`, `mysql:` or `mysql_native:` of the user')
        .choices(Object.keys(VERIFIERS))
        .default('postgres'),
    )
    .action(async (options: { for: keyof typeof VERIFIERS }) => {
      const password = process.stdin.isTTY ? await askTwice() : await readPassword();
      if (password === '') throw new CommandFailure(EXIT.problem, 'An empty password is refused.');
      console.log(await VERIFIERS[options.for](password));
    });
}

/** The line on standard input, without its end. */
async function readPassword(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  const password = text.replace(/\r?\n$/, '');
  if (/[\0\r\n]/.test(password)) {
    throw new CommandFailure(EXIT.problem, 'Standard input must be one line, the password.');
  }
  return password;
}

async function askTwice(): Promise<string> {
  const first = await askPassword('Password: ');
  if (first !== '' && (await askPassword('Again: ')) !== first)
    throw new CommandFailure(EXIT.problem, 'They are not the same.');
  return first;
}

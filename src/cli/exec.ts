import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parseAddress } from '../config/address.ts';
import { ApiClient } from './api-client.ts';
import { type MintOptions, mint, type NewCredential, revoke, withMintOptions } from './credentials.ts';
import { CommandFailure, EXIT } from './failure.ts';

/** As shells have it: what cannot be run, and what a signal ended. */
const NOT_FOUND = 127;
const SIGNALLED = 128;
const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

export function addExecCommand(program: Command): void {
  withMintOptions(program.command('exec'))
    .description(
      'Runs a command whose PG* or MYSQL* variables log in to a connection with a fresh short-lived credential, which ends with it.',
    )
    .usage('[options] <connection> -- <command> [arguments]')
    .argument('<connection>', 'which database')
    .argument('<command...>', 'what to run, after `--`')
    .action(async (connection: string, command: string[], options: MintOptions) => {
      const client = await ApiClient.open(options);
      const made = await mint(client, options, [connection]);
      try {
        process.exitCode = await runWith(made, new URL(client.origin).hostname, command);
      } finally {
        // It ends by itself, if later; how the command ended is what counts.
        await revoke(client, made.credential.credential, 'its command has ended').catch((error: Error) =>
          console.error(`The credential could not be revoked: ${error.message}`),
        );
      }
    });
}

/** @returns the exit code of the command */
async function runWith(made: NewCredential, apiHost: string, [program, ...args]: string[]): Promise<number> {
  const [connection] = made.connections;
  if (connection === undefined) throw new CommandFailure(EXIT.problem, 'Nothing listens for this connection.');
  const { host: listening, port } = parseAddress(connection.address);
  // What listens everywhere listens where the API does.
  const host = listening === '0.0.0.0' || listening === '::' ? apiHost : listening;
  const login = { host, port, user: made.credential.credential, password: made.secret, database: connection.name };
  if (connection.protocol === 'postgres') {
    return run(program!, args, postgresVariables(login, connection.tls));
  }
  const directory = await mkdtemp(join(tmpdir(), 'sluice-exec-'));
  try {
    await writeFile(join(directory, 'my.cnf'), optionFile(login), { mode: 0o600 });
    return await run(program!, args, mysqlVariables(login, directory));
  } finally {
    await rm(directory, { recursive: true });
  }
}

interface LoginDetails {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** PostgreSQL documentation, "Environment Variables" of libpq; those that would win over ours are taken out. */
function postgresVariables({ host, port, user, password, database }: LoginDetails, tls: boolean): Variables {
  return {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
    ...(tls && process.env.PGSSLMODE === undefined && { PGSSLMODE: 'require' }),
    PGHOSTADDR: undefined,
    PGSERVICE: undefined,
    PGPASSFILE: undefined,
  };
}

/**
 * What the clients of MySQL and MariaDB read. They take no user's name from a variable: it is in an option file, which they
 * look for in $MYSQL_HOME. MYSQL_USER and MYSQL_DATABASE are for programs.
 */
function mysqlVariables({ host, port, user, password, database }: LoginDetails, directory: string): Variables {
  return {
    MYSQL_HOST: host,
    MYSQL_TCP_PORT: String(port),
    MYSQL_PORT: String(port),
    MYSQL_USER: user,
    MYSQL_PWD: password,
    MYSQL_PASSWORD: password,
    MYSQL_DATABASE: database,
    MYSQL_HOME: directory,
    MARIADB_HOME: undefined,
  };
}

function optionFile({ host, port, user, password, database }: LoginDetails): string {
  return `[client]\nhost=${host}\nport=${port}\nprotocol=tcp\nuser=${user}\npassword=${password}\n[mysql]\ndatabase=${database}\n`;
}

function run(program: string, args: readonly string[], variables: Variables): Promise<number> {
  const env = { ...process.env, ...variables, SLUICE_TOKEN: undefined, SLUICE_PASSWORD: undefined };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env });
    const forward = (signal: NodeJS.Signals) => child.kill(signal);
    // The terminal sends it to the command as well, which decides.
    const ignore = () => undefined;
    for (const signal of FORWARDED) process.on(signal, forward);
    process.on('SIGINT', ignore);
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(new CommandFailure(NOT_FOUND, `${program} cannot be run: ${error.code}`)),
    );
    child.once('exit', (code, signal) => {
      for (const each of FORWARDED) process.off(each, forward);
      process.off('SIGINT', ignore);
      resolve(code ?? SIGNALLED + constants.signals[signal!]);
    });
  });
}

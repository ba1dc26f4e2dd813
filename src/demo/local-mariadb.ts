/**
 * A throw-away MariaDB for the demo, made of the binaries that are on the machine: npm has none. It listens on a free loopback port
 * only, and is gone after `stop()` or when this process ends in whatever way.
 */

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, unprivilegedAccount } from './embedded-postgres.ts';
import { createGuardedDirectory, type GuardedDirectory, MARIADB_PID_FILE } from './guarded-directory.ts';

export interface LocalMariadb {
  readonly host: string;
  readonly port: number;
  /** Owns the database and nothing else. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const START_DEADLINE_MS = 60_000;

/** @returns `null` where the machine has no MariaDB server. @throws with the server's own log, if it does not start */
export async function startLocalMariadb(user: string, database: string): Promise<LocalMariadb | null> {
  const [server, install] = ['mariadbd', 'mariadb-install-db'].map(findProgram);
  if (server == null || install == null) return null;
  const account = unprivilegedAccount(['mysql', 'nobody']);
  const temporary = await createGuardedDirectory('mariadb');
  const directory = temporary.path;
  let child: ChildProcess | null = null;
  try {
    const password = randomBytes(18).toString('base64url');
    const start = join(directory, 'start.sql');
    // One statement a line.
    await writeFile(
      start,
      `CREATE DATABASE ${database} CHARACTER SET utf8mb4;
CREATE USER '${user}'@'${HOST}' IDENTIFIED BY '${password}';
GRANT ALL ON ${database}.* TO '${user}'@'${HOST}';
`,
      { mode: 0o600 },
    );
    if (account !== null) for (const path of [directory, start]) await chown(path, account.uid, account.gid);
    const data = join(directory, 'mariadb');
    const options = { cwd: directory, env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' }, ...(account ?? {}) };
    await promisify(execFile)(install, ['--no-defaults', `--datadir=${data}`, '--skip-test-db'], options);
    const port = await freePort();
    child = spawn(
      server,
      [
        '--no-defaults',
        `--datadir=${data}`,
        `--bind-address=${HOST}`,
        `--port=${port}`,
        `--socket=${join(directory, 'socket')}`,
        `--pid-file=${join(directory, MARIADB_PID_FILE)}`,
        `--init-file=${start}`,
        '--skip-name-resolve',
        // The data is thrown away: nothing is gained by waiting for the disk.
        '--innodb-flush-log-at-trx-commit=0',
        '--innodb-buffer-pool-size=32M',
      ],
      // A session of its own: the terminal's Ctrl-C is for us, we then end the server in our order.
      { ...options, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    await ready(child);
    const started = child;
    return { host: HOST, port, user, password, database, stop: () => stopAndRemove(started, temporary) };
  } catch (error) {
    await stopAndRemove(child, temporary);
    throw error;
  }
}

/** Found on the PATH, or where distributions put servers. */
function findProgram(name: string): string | null {
  const path = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(delimiter);
  const run = spawnSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', name], { env: { PATH: path }, encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : null;
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const deadline = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE_MS);
    child.once('close', () => {
      clearTimeout(deadline);
      reject(new Error(`The MariaDB of this machine did not start:\n${log}`));
    });
    child.once('error', reject);
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      // Kept short: the log only serves to explain a failed start.
      log = (log + text).slice(-20_000);
      if (!log.includes('ready for connections')) return;
      clearTimeout(deadline);
      resolve();
    });
  });
}

/** Any signal but this has the server write down data that nobody will read. */
async function stopAndRemove(child: ChildProcess | null, temporary: GuardedDirectory): Promise<void> {
  if (child !== null && child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
  await temporary.remove();
}

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unprivilegedAccount } from '../servers/account.ts';
import { freePort } from '../servers/free-port.ts';
import type { Suite } from './suite.ts';

/** What pg_regress itself sets for a server of its own; without prepared transactions their tests would test refusals. */
const SETTINGS = [
  "listen_addresses = '127.0.0.1'",
  "unix_socket_directories = ''",
  'fsync = off',
  'max_prepared_transactions = 2',
];

/**
 * Starts the PostgreSQL of `binDir` with empty data and trust authentication. It is not `startPostgres` because that
 * takes the machine's own server, and these tests need the one unpacked with them.
 */
export async function startConformanceServer(binDir: string): ReturnType<Suite['start']> {
  const account = unprivilegedAccount('postgres');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-conformance-'));
  if (account !== null) chownSync(directory, account.uid, account.gid);
  const data = join(directory, 'data');
  const logFile = join(directory, 'log');
  const superuser = 'postgres';
  const initdb = ['-D', data, '-U', superuser, '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
  execFileSync(join(binDir, 'initdb'), initdb, { ...account, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const port = await freePort();
  appendFileSync(join(data, 'postgresql.conf'), [...SETTINGS, `port = ${port}`, ''].join('\n'));

  const log = openSync(logFile, 'w');
  const server = spawn(join(binDir, 'postgres'), ['-D', data], {
    ...account,
    cwd: directory,
    // Ctrl-C must end the tests first; this process then ends the server.
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const abandon = () => {
    server.kill('SIGQUIT');
    rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  process.once('exit', abandon);

  const deadline = Date.now() + 60_000;
  while (!readFileSync(logFile, 'utf8').includes('ready to accept connections')) {
    if (server.exitCode !== null || Date.now() > deadline) {
      throw new Error(`PostgreSQL of ${binDir} did not start:\n${readFileSync(logFile, 'utf8')}`);
    }
    await sleep(25);
  }
  return {
    target: { host: '127.0.0.1', port, user: superuser, password: null },
    stop: async () => {
      process.off('exit', abandon);
      if (server.exitCode === null && server.signalCode === null) {
        const exit = once(server, 'exit');
        server.kill('SIGQUIT');
        await exit;
      }
      rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

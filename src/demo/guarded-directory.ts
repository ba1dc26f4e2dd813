import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A temporary directory that does not outlive this process, in whatever way the process ends. */
export interface GuardedDirectory {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * Waits for the end of its standard input, which comes when the process that holds the other end is gone, even by
 * SIGKILL. Then it ends the PostgreSQL server whose data is in the directory, if there is one (the first line of
 * postmaster.pid is its process id), or the MariaDB, and removes the directory.
 */
const GUARD = `cat >/dev/null
if [ -f "$1/data/postmaster.pid" ]; then
  kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")" 2>/dev/null
  sleep 1
fi
if [ -f "$1/mariadb.pid" ]; then kill -KILL "$(head -n 1 "$1/mariadb.pid")" 2>/dev/null; fi
rm -rf -- "$1"`;

/** In the directory; the guard ends whom it names. */
export const MARIADB_PID_FILE = 'mariadb.pid';

/** Makes a directory that only this user can enter, called `sluice-NAME-` and something. */
export async function createGuardedDirectory(name: string): Promise<GuardedDirectory> {
  const path = await mkdtemp(join(tmpdir(), `sluice-${name}-${process.pid}-`));
  const guard = spawn('/bin/sh', ['-c', GUARD, 'sluice-guard', path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // A session of its own: the terminal's Ctrl-C must not end it before us.
    detached: true,
    cwd: '/',
  });
  guard.unref();
  return {
    path,
    async remove() {
      guard.kill('SIGKILL');
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

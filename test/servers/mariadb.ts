import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { unprivilegedAccount } from './account.ts';
import { makeCertificates } from './certificates.ts';
import { installPackages } from './debian-packages.ts';
import { freePort } from './free-port.ts';
import { makeData } from './kept-data.ts';
import { keep } from './kept-process.ts';
import {
  DATABASE,
  type MysqlFamilyServer,
  queryWith,
  ready,
  type ServerOptions,
  SUPERUSER,
  THROWAWAY,
} from './mysql-family.ts';

/**
 * Starts a MariaDB with empty data on a free port of 127.0.0.1 and prints one line saying which server it is. The
 * binaries are those on the machine, else apt-get's (as root where CI is set). `null`, with a line that says so, where
 * there are none: npm has no package of them.
 */
export async function startMariadb(options: ServerOptions = {}): Promise<MysqlFamilyServer | null> {
  const binaries = installedBinaries() ?? (installPackages('mariadb-server') ? installedBinaries() : null);
  if (binaries === null) {
    console.log('MariaDB: no mariadbd and mariadb-install-db on this machine; tests that need them cannot run');
    return null;
  }
  const account = unprivilegedAccount('mysql');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-mariadb-'));
  try {
    const data = join(directory, 'data');
    const password = randomBytes(12).toString('base64url');
    const start = join(directory, 'start.sql');
    // One statement a line. Without the anonymous accounts, which would come before ours.
    writeFileSync(
      start,
      `CREATE OR REPLACE USER '${SUPERUSER}'@'127.0.0.1' IDENTIFIED BY '${password}';
GRANT ALL ON *.* TO '${SUPERUSER}'@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE ${DATABASE} CHARACTER SET utf8mb4;
`,
      { mode: 0o600 },
    );
    const certificates = options.ssl ? makeCertificates(directory) : null;
    if (account !== null) {
      chmodSync(directory, 0o700);
      for (const path of [directory, start, certificates?.key]) if (path) chownSync(path, account.uid, account.gid);
    }
    const build = execFileSync(binaries.server, ['--version'], { encoding: 'utf8' });
    makeData(data, [build], account, () => {
      // A small log, since it is copied; a server that is started makes it as large as it wants it.
      const install = ['--no-defaults', `--datadir=${data}`, '--skip-test-db', '--innodb-log-file-size=8M'];
      execFileSync(binaries.install, install, {
        ...account,
        cwd: directory,
        // Two at once would take the same names for what is temporary.
        env: { ...process.env, TMPDIR: directory },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    });
    const port = await freePort();
    const tls = certificates && { ssl_cert: certificates.certificate, ssl_key: certificates.key };
    const settings = { ...THROWAWAY, ...tls, ...options.config };
    const command = [
      binaries.server,
      '--no-defaults',
      `--datadir=${data}`,
      `--tmpdir=${directory}`,
      '--bind-address=127.0.0.1',
      `--port=${port}`,
      `--socket=${join(directory, 'socket')}`,
      '--skip-name-resolve',
      `--init-file=${start}`,
      ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`),
    ];
    // SIGKILL: any other signal has the server write its data down before it ends, and nobody will read them.
    const { keeper, log, stop } = keep(directory, command, 'KILL', account);
    await ready('MariaDB', keeper, log);
    const query = queryWith({ host: '127.0.0.1', port, user: SUPERUSER, password, database: DATABASE });
    const [row] = await query('SELECT version() AS version');
    const version = String(row?.version);
    console.log(`MariaDB ${version} from ${binaries.source}, port ${port}`);
    const reach = { host: '127.0.0.1', port, superuser: SUPERUSER, password, database: DATABASE } as const;
    return { ...reach, version, certificates, log, query, stop };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

interface Binaries {
  readonly server: string;
  readonly install: string;
  readonly source: string;
}

/** Found on the PATH, or where distributions put servers. */
function installedBinaries(): Binaries | null {
  const path = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(delimiter);
  const find = (name: string): string | null => {
    const run = spawnSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', name], { env: { PATH: path }, encoding: 'utf8' });
    return run.status === 0 ? run.stdout.trim() : null;
  };
  const server = find('mariadbd');
  const install = find('mariadb-install-db');
  return server === null || install === null ? null : { server, install, source: 'the machine' };
}

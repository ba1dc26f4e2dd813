import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unprivilegedAccount } from './account.ts';
import { makeCertificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { makeData } from './kept-data.ts';
import { keep } from './kept-process.ts';
import { mysqlBinaries } from './mysql-binaries.ts';
import {
  DATABASE,
  type MysqlFamilyServer,
  queryWith,
  ready,
  type ServerOptions,
  SUPERUSER,
  THROWAWAY,
} from './mysql-family.ts';

/** What a test server can do without. */
const SMALL = {
  secure_file_priv: '',
  mysqlx: 'OFF',
  performance_schema: 'OFF',
  innodb_redo_log_capacity: '16M',
  skip_log_bin: '1',
};

/**
 * Starts a MySQL with empty data on a free port of 127.0.0.1 and prints one line saying which server it is. The
 * binaries are those of {@link mysqlBinaries}. `null`, with a line that says so, where there are none.
 */
export async function startMysql(options: ServerOptions = {}): Promise<MysqlFamilyServer | null> {
  const binaries = mysqlBinaries();
  if (binaries === null) return null;
  const account = unprivilegedAccount('mysql');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-mysql-'));
  try {
    const data = join(directory, 'data');
    const password = randomBytes(12).toString('base64url');
    const start = join(directory, 'start.sql');
    // One statement a line.
    writeFileSync(
      start,
      `CREATE USER '${SUPERUSER}'@'127.0.0.1' IDENTIFIED BY '${password}';
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
    const [program, ...settings] = [...binaries.command, `--datadir=${data}`];
    const build = execFileSync(program!, [...binaries.command.slice(1), '--version'], { encoding: 'utf8' });
    makeData(data, [build], account, () => {
      execFileSync(program!, [...settings, ...optionsOf({ ...THROWAWAY, ...SMALL }), '--initialize-insecure'], {
        ...account,
        cwd: directory,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    });
    const port = await freePort();
    const tls = certificates
      ? { ssl_cert: certificates.certificate, ssl_key: certificates.key }
      : { auto_generate_certs: 'OFF' };
    const command = [
      program!,
      ...settings,
      '--bind-address=127.0.0.1',
      `--port=${port}`,
      `--socket=${join(directory, 'socket')}`,
      '--skip-name-resolve',
      `--init-file=${start}`,
      ...optionsOf({ ...THROWAWAY, ...SMALL, ...tls, ...options.config }),
    ];
    // SIGKILL: any other signal has the server write its data down before it ends, and nobody will read them.
    const { keeper, log, stop } = keep(directory, command, 'KILL', account);
    await ready('MySQL', keeper, log);
    const query = queryWith({ host: '127.0.0.1', port, user: SUPERUSER, password, database: DATABASE });
    const [row] = await query('SELECT version() AS version');
    const version = String(row?.version);
    console.log(`MySQL ${version} from ${binaries.source}, port ${port}`);
    const reach = { host: '127.0.0.1', port, superuser: SUPERUSER, password, database: DATABASE } as const;
    return { ...reach, version, certificates, log, query, stop };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

function optionsOf(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
}

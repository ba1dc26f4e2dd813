import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresServer } from '../servers/postgres.ts';

const run = promisify(execFile);
const here = import.meta.dirname;
/** What tool chains build and download, kept between runs. */
const cache = join(here, '../../var/test-cache');

/** One line of a program's output; what the checks mean is in README.md. */
export interface DriverReport {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface DriverProgram {
  readonly name: string;
  /** The checks it must report, in its order. */
  readonly checks: readonly string[];
  /** Makes it runnable: the command, or which tool this machine lacks. Rejects if a tool that is there fails. */
  build(server: PostgresServer): Promise<{ command: readonly string[] } | { missing: string }>;
}

const FEATURES = ['connect', 'types', 'simple', 'prepared', 'errors', 'transactions'];
const REFUSALS = ['refusal', 'refusal-in-transaction'];
const EVERYTHING = [...FEATURES, 'pipeline', 'portal', 'copy', 'cancel', 'notify', ...REFUSALS];
const without = (check: string) => EVERYTHING.filter((name) => name !== check);

/** All of the matrix. */
export const PROGRAMS: readonly DriverProgram[] = [
  { name: 'node-postgres', checks: without('copy'), build: () => node('node-postgres.ts') },
  { name: 'postgres.js', checks: EVERYTHING, build: () => node('postgres-js.ts') },
  {
    name: 'psql',
    checks: [...FEATURES, 'portal', 'copy', 'cancel', 'notify', 'describe', ...REFUSALS],
    build: (server) => shell('psql', server),
  },
  {
    name: 'pgbench',
    checks: ['copy', 'simple', 'extended', 'prepared', 'read-only', 'reconnect', 'pipeline', 'refusal'],
    build: (server) => shell('pgbench', server),
  },
  { name: 'pg_dump', checks: ['plain', 'inserts', 'custom'], build: (server) => shell('pg_dump', server) },
  { name: 'psycopg 3', checks: EVERYTHING, build: () => python('psycopg_checks.py') },
  { name: 'asyncpg', checks: EVERYTHING, build: () => python('asyncpg_checks.py') },
  {
    name: 'SQLAlchemy',
    checks: ['connect', 'orm', 'reflection', 'errors', 'portal', ...REFUSALS],
    build: () => python('sqlalchemy_checks.py'),
  },
  { name: 'pgx', checks: EVERYTHING, build: () => go('pgx') },
  { name: 'lib/pq', checks: without('pipeline'), build: () => go('pq') },
  { name: 'pgjdbc', checks: EVERYTHING, build: java },
  { name: 'tokio-postgres', checks: EVERYTHING, build: rust },
];

/** Runs a program to its end and reads its reports. Rejects if it fails to get through its checks. */
export async function runProgram(
  command: readonly string[],
  target: 'direct' | 'sluice',
  sslmode: 'disable' | 'verify-full',
  server: { readonly port: number; readonly user: string; readonly password: string; readonly ca: string },
): Promise<DriverReport[]> {
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    LC_ALL: 'C.UTF-8',
    PGHOST: '127.0.0.1',
    PGPORT: String(server.port),
    PGUSER: server.user,
    PGPASSWORD: server.password,
    PGDATABASE: 'postgres',
    PGSSLMODE: sslmode,
    PGSSLROOTCERT: server.ca,
    PGTARGET: target,
  };
  const [program = '', ...args] = command;
  const { stdout } = await run(program, args, { env, timeout: 240_000, maxBuffer: 16 * 1024 * 1024 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** True if the machine has this program; `args` is what makes it say its version. */
async function has(program: string, ...args: string[]): Promise<boolean> {
  try {
    await run(program, args);
    return true;
  } catch {
    return false;
  }
}

async function node(file: string) {
  return { command: [process.execPath, '--disable-warning=DeprecationWarning', join(here, 'node', file)] };
}

/** The script, told where the program is: beside the server's own, else wherever the machine has it. */
async function shell(name: string, server: PostgresServer) {
  const script = join(here, 'programs', `${name}.sh`);
  const directories = [server.binDir, ...(process.env.PATH ?? '').split(':')];
  const directory = directories.find((path) => path && existsSync(join(path, name)));
  return directory ? { command: ['bash', script, directory] } : { missing: `no ${name} on this machine` };
}

async function python(file: string) {
  if (!(await has('python3', '-m', 'venv', '--help'))) return { missing: 'no python3 with venv on this machine' };
  const requirements = join(here, 'python/requirements.txt');
  const { stdout: version } = await run('python3', ['--version']);
  const wanted = createHash('sha256').update(version).update(readFileSync(requirements)).digest('hex');
  const environment = join(cache, 'python');
  const done = join(environment, 'requirements.sha256');
  if (!existsSync(done) || readFileSync(done, 'utf8') !== wanted) {
    rmSync(environment, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', environment]);
    await run(join(environment, 'bin/pip'), ['install', '--quiet', '--no-deps', '-r', requirements]);
    writeFileSync(done, wanted);
  }
  return { command: [join(environment, 'bin/python'), '-B', join(here, 'python', file)] };
}

async function go(name: string) {
  if (!(await has('go', 'version'))) return { missing: 'no go on this machine' };
  const program = join(cache, 'go', name);
  await run('go', ['build', '-o', program, `./${name}`], { cwd: join(here, 'go') });
  return { command: [program] };
}

async function java() {
  if (!(await has('javac', '-version'))) return { missing: 'no javac on this machine' };
  if (!(await has('mvn', '--version'))) return { missing: 'no mvn on this machine' };
  const source = join(here, 'java/Checks.java');
  const pom = readFileSync(join(here, 'java/pom.xml'));
  const jars = join(cache, 'java', createHash('sha256').update(pom).digest('hex').slice(0, 16));
  if (!existsSync(jars)) {
    rmSync(join(cache, 'java'), { recursive: true, force: true });
    const partial = `${jars}.partial`;
    await run('mvn', [
      '-q',
      '-B',
      '-f',
      join(here, 'java/pom.xml'),
      'dependency:copy-dependencies',
      `-DoutputDirectory=${partial}`,
    ]);
    renameSync(partial, jars);
  }
  const classes = join(cache, 'java/classes');
  mkdirSync(classes, { recursive: true });
  await run('javac', ['-encoding', 'UTF-8', '-cp', `${jars}/*`, '-d', classes, source]);
  return { command: ['java', '-XX:TieredStopAtLevel=1', '-cp', `${jars}/*:${classes}`, 'Checks'] };
}

async function rust() {
  if (!(await has('cargo', '--version'))) return { missing: 'no cargo on this machine' };
  const target = join(cache, 'rust');
  const manifest = join(here, 'rust/Cargo.toml');
  await run('cargo', ['build', '--quiet', '--locked', '--manifest-path', manifest, '--target-dir', target]);
  return { command: [join(target, 'debug/tokio-postgres-checks')] };
}

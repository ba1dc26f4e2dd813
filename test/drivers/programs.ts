import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { go, java, mysqlclient, node, python, type Runnable, rust, shell } from './tool-chains.ts';

const run = promisify(execFile);

/** One line of a program's output; what the checks mean is in README.md. */
export interface DriverReport {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

export type Protocol = 'postgres' | 'mysql';

export interface DriverProgram {
  readonly name: string;
  readonly protocol: Protocol;
  /** The checks it must report, in its order. */
  readonly checks: readonly string[];
  /** Why it is run in clear only; absent for those that can encrypt. */
  readonly clearOnly?: string;
  /**
   * Makes it runnable: the command, or which tool this machine lacks. Rejects if a tool that is there fails. `binDir` is
   * where the server's own programs are, if it has any.
   */
  build(binDir: string | null): Promise<Runnable>;
}

/** Where a program connects. */
export interface DriverTarget {
  readonly name: 'direct' | 'sluice';
  readonly protocol: Protocol;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly encrypted: boolean;
  /** PEM file of the authority to verify the server with. */
  readonly ca: string;
}

const FEATURES = ['connect', 'types', 'simple', 'prepared', 'errors', 'transactions'];
const REFUSALS = ['refusal', 'refusal-in-transaction'];
const POSTGRES = [...FEATURES, 'pipeline', 'portal', 'copy', 'cancel', 'notify', ...REFUSALS];
const MYSQL_PYTHON = ['errors', 'transactions', 'multi', 'batch', 'stream', 'cancel', 'infile', 'big'];
const MYSQL_JAVA = ['multi', 'batch', 'cursor', 'metadata', 'cancel', 'infile', 'big', 'compression', 'reset'];
const MYSQL_CLIENT = [...FEATURES, 'multi', 'stream', 'cancel', 'infile', 'big', 'compression', ...REFUSALS];
const without = (check: string) => POSTGRES.filter((name) => name !== check);

const POSTGRES_PROGRAMS: readonly Omit<DriverProgram, 'protocol'>[] = [
  { name: 'node-postgres', checks: without('copy'), build: () => node('node-postgres.ts') },
  { name: 'postgres.js', checks: POSTGRES, build: () => node('postgres-js.ts') },
  {
    name: 'psql',
    checks: [...FEATURES, 'portal', 'copy', 'cancel', 'notify', 'describe', ...REFUSALS],
    build: (binDir) => shell('psql.sh', 'psql', binDir),
  },
  {
    name: 'pgbench',
    checks: ['copy', 'simple', 'extended', 'prepared', 'read-only', 'reconnect', 'pipeline', 'refusal'],
    build: (binDir) => shell('pgbench.sh', 'pgbench', binDir),
  },
  {
    name: 'pg_dump',
    checks: ['plain', 'inserts', 'custom'],
    build: (binDir) => shell('pg_dump.sh', 'pg_dump', binDir),
  },
  { name: 'psycopg 3', checks: POSTGRES, build: () => python('psycopg_checks.py') },
  { name: 'asyncpg', checks: POSTGRES, build: () => python('asyncpg_checks.py') },
  {
    name: 'SQLAlchemy',
    checks: ['connect', 'orm', 'reflection', 'errors', 'portal', ...REFUSALS],
    build: () => python('sqlalchemy_checks.py'),
  },
  { name: 'pgx', checks: POSTGRES, build: () => go('pgx') },
  { name: 'lib/pq', checks: without('pipeline'), build: () => go('pq') },
  { name: 'pgjdbc', checks: POSTGRES, build: () => java('PgjdbcChecks') },
  { name: 'tokio-postgres', checks: POSTGRES, build: () => rust('tokio-postgres') },
];

const MYSQL_DUMP = ['tables', 'locked', 'transaction', 'restored'];
const NO_CLIENT_OF_MYSQL = 'no client of MySQL for a server of MySQL';

const MYSQL_PROGRAMS: readonly Omit<DriverProgram, 'protocol'>[] = [
  {
    name: 'mysql2',
    checks: [...FEATURES, 'multi', 'batch', 'cancel', 'infile', 'big', 'compression', 'reset', ...REFUSALS],
    build: () => node('mysql2.ts'),
  },
  {
    name: 'mariadb (npm)',
    checks: [...FEATURES, 'multi', 'batch', 'pipeline', 'cancel', 'infile', 'big', 'compression', 'reset', ...REFUSALS],
    build: () => node('mariadb.ts'),
  },
  { name: 'mariadb', checks: MYSQL_CLIENT, build: (binDir) => shell('mysql.sh', 'mariadb', binDir) },
  {
    name: 'mysql',
    checks: MYSQL_CLIENT,
    build: async (binDir) => (binDir === null ? { missing: NO_CLIENT_OF_MYSQL } : shell('mysql.sh', 'mysql', binDir)),
  },
  {
    name: 'mariadb-dump',
    checks: MYSQL_DUMP,
    build: (binDir) => shell('mysqldump.sh', 'mariadb-dump', binDir),
  },
  {
    name: 'mysqldump',
    checks: MYSQL_DUMP,
    build: async (binDir) =>
      binDir === null ? { missing: NO_CLIENT_OF_MYSQL } : shell('mysqldump.sh', 'mysqldump', binDir),
  },
  {
    name: 'sysbench',
    checks: ['prepare', 'prepared', 'simple', 'read-only', 'cleanup'],
    clearOnly: "sysbench wants a client certificate from the server's authority",
    build: (binDir) => shell('sysbench.sh', 'sysbench', binDir),
  },
  {
    name: 'PyMySQL',
    checks: ['connect', 'types', 'simple', ...MYSQL_PYTHON, ...REFUSALS],
    build: () => python('mysql_checks.py', 'PyMySQL'),
  },
  {
    name: 'mysqlclient',
    checks: ['connect', 'types', 'simple', ...MYSQL_PYTHON, 'compression', 'reset', ...REFUSALS],
    build: mysqlclient,
  },
  {
    name: 'mysql-connector-python',
    checks: ['connect', 'types', 'simple', 'prepared', ...MYSQL_PYTHON, 'compression', 'reset', ...REFUSALS],
    build: () => python('mysql_checks.py', 'mysql-connector-python'),
  },
  {
    name: 'go-sql-driver/mysql',
    checks: [...FEATURES, 'multi', 'cancel', 'infile', 'big', 'compression', ...REFUSALS],
    build: () => go('mysql'),
  },
  {
    name: 'MySQL Connector/J',
    checks: [...FEATURES, ...MYSQL_JAVA, ...REFUSALS],
    build: () => java('MysqlChecks', 'mysql'),
  },
  {
    name: 'MariaDB Connector/J',
    checks: [...FEATURES, ...MYSQL_JAVA, ...REFUSALS],
    build: () => java('MysqlChecks', 'mariadb'),
  },
  {
    name: 'sqlx',
    checks: [...FEATURES, 'multi', 'stream', 'cancel', 'infile', 'big', ...REFUSALS],
    build: () => rust('sqlx'),
  },
];

/** All of the matrix. */
export const PROGRAMS: readonly DriverProgram[] = [
  ...POSTGRES_PROGRAMS.map((program) => ({ ...program, protocol: 'postgres' as const })),
  ...MYSQL_PROGRAMS.map((program) => ({ ...program, protocol: 'mysql' as const })),
];

/** Programs that decode the rows of tables whose columns are masked; each table is a check. */
export const MASKED_PROGRAMS: readonly DriverProgram[] = (
  [
    ['node-postgres', 'postgres', () => node('masked.ts')],
    ['psycopg 3', 'postgres', () => python('masked_checks.py')],
    ['pgx', 'postgres', () => go('masked')],
    ['pgjdbc', 'postgres', () => java('MaskedChecks')],
    ['mysql2', 'mysql', () => node('masked-mysql.ts')],
    ['MySQL Connector/J', 'mysql', () => java('MaskedMysqlChecks', 'mysql')],
    ['MariaDB Connector/J', 'mysql', () => java('MaskedMysqlChecks', 'mariadb')],
  ] as const
).map(([name, protocol, build]) => ({ name, protocol, checks: [], build }));

/** Programs that do what tests tell them, with one or more drivers each; see told-clients.ts. */
export const TOLD_PROGRAMS = {
  node: { name: 'node-postgres and mysql2', protocol: 'postgres', checks: [], build: () => node('told.ts') },
  python: { name: 'psycopg 3', protocol: 'postgres', checks: [], build: () => python('told.py') },
  java: { name: 'pgjdbc and Connector/J', protocol: 'postgres', checks: [], build: () => java('Told') },
} as const satisfies Record<string, DriverProgram>;

/**
 * Runs a program to its end and reads its reports. Rejects if it fails to get through its checks.
 *
 * @param further variables of its environment
 */
export async function runProgram(
  command: readonly string[],
  target: DriverTarget,
  further: Readonly<Record<string, string>> = {},
): Promise<DriverReport[]> {
  const { port, user, password, database, encrypted, ca } = target;
  const access =
    target.protocol === 'postgres'
      ? {
          PGHOST: '127.0.0.1',
          PGPORT: String(port),
          PGUSER: user,
          PGPASSWORD: password,
          PGDATABASE: database,
          PGSSLMODE: encrypted ? 'verify-full' : 'disable',
          PGSSLROOTCERT: ca,
        }
      : {
          MYSQL_HOST: '127.0.0.1',
          MYSQL_TCP_PORT: String(port),
          MYSQL_USER: user,
          MYSQL_PWD: password,
          MYSQL_DATABASE: database,
          MYSQL_SSL_MODE: encrypted ? 'verify-full' : 'disabled',
          MYSQL_SSL_CA: ca,
        };
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, LC_ALL: 'C.UTF-8', DRIVER_TARGET: target.name, ...access, ...further };
  const [program = '', ...args] = command;
  const { stdout } = await run(program, args, { env, timeout: 240_000, maxBuffer: 16 * 1024 * 1024 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

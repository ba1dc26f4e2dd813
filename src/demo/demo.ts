/** `sluice demo`: a PostgreSQL with sample data behind Sluice, a MariaDB if the machine has one, and what to try with them. */

import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { stringify } from 'yaml';
import { createCachingSha2Verifier, formatCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { createScramVerifier, formatScramVerifier } from '../../protocols/postgres/scram.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import { createGuardedDirectory } from './guarded-directory.ts';
import { type LocalMariadb, startLocalMariadb } from './local-mariadb.ts';
import { loadMysqlSampleData, loadSampleData } from './sample-data.ts';

const CONNECTION = 'shop';
/** The MariaDB's; by another name, so that rules and records can tell the two. */
const MYSQL_CONNECTION = 'stock';
const UPSTREAM_USER = 'shop_owner';
const HOST = '127.0.0.1';

/** Serves what a configuration file says, as `sluice serve` does, until `end` is called. */
export type Serve = (configFile: string) => Promise<{ end(): Promise<void> }>;

export interface Demo {
  readonly host: string;
  readonly port: number;
  /** `null` where this machine has no MariaDB. */
  readonly mysqlPort: number | null;
  readonly apiPort: number;
  readonly connection: string;
  /** Throw-away passwords by user name. */
  readonly passwords: Readonly<Record<'agent' | 'dba', string>>;
  readonly configFile: string;
  readonly journal: string;
  /** Ends all of it and removes every file. */
  stop(): Promise<void>;
}

/**
 * Starts the demo. If a step fails, or `signal` is aborted on the way, what was started is ended and removed before the
 * promise rejects.
 */
export async function startDemo(serve: Serve, signal: AbortSignal): Promise<Demo> {
  const ending: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (let end = ending.pop(); end !== undefined; end = ending.pop()) await end();
  };
  try {
    const directory = await createGuardedDirectory('demo');
    ending.push(() => directory.remove());
    signal.throwIfAborted();
    const server = await startEmbeddedPostgres({ database: CONNECTION });
    ending.push(() => server.stop());
    signal.throwIfAborted();
    const mariadb = await startLocalMariadb(UPSTREAM_USER, MYSQL_CONNECTION);
    if (mariadb !== null) {
      ending.push(() => mariadb.stop());
      await prepareMariadb(mariadb);
    }
    signal.throwIfAborted();
    const upstreamPassword = newPassword();
    await prepareDatabase(server, upstreamPassword);

    const passwords = { agent: newPassword(), dba: newPassword() };
    const port = await freePortFrom(6432);
    const mysqlPort = mariadb === null ? null : await freePortFrom(6306);
    const apiPort = await freePortFrom(6480);
    const configFile = join(directory.path, 'sluice.yaml');
    const journal = join(directory.path, 'journal');
    await mkdir(journal, { mode: 0o700 });
    await writeFile(join(directory.path, 'upstream-password'), upstreamPassword, { mode: 0o600 });
    if (mariadb !== null) {
      await writeFile(join(directory.path, 'mariadb-password'), mariadb.password, { mode: 0o600 });
    }
    await writeFile(join(directory.path, 'rules.yaml'), RULES);
    for (const pack of PACKS) await copyFile(packFile(pack), join(directory.path, pack));
    const addresses = { postgres: port, mysql: mysqlPort, api: apiPort };
    await writeFile(configFile, await configText(server, mariadb, passwords, addresses, journal), { mode: 0o600 });
    signal.throwIfAborted();
    const serving = await serve(configFile);
    ending.push(() => serving.end());
    signal.throwIfAborted();
    return { host: HOST, port, mysqlPort, apiPort, connection: CONNECTION, passwords, configFile, journal, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function newPassword(): string {
  return randomBytes(12).toString('base64url');
}

/** Everything belongs to an account that is no superuser: Sluice should not be the only thing between it and the server. */
async function prepareDatabase(server: EmbeddedPostgres, password: string): Promise<void> {
  const { host, port, database } = server;
  const admin = new pg.Client({ host, port, database, user: server.user, password: server.password });
  await admin.connect();
  try {
    await admin.query(
      `CREATE ROLE ${UPSTREAM_USER} LOGIN PASSWORD ${admin.escapeLiteral(password)};
       ALTER DATABASE ${admin.escapeIdentifier(database)} OWNER TO ${UPSTREAM_USER};
       ALTER SCHEMA public OWNER TO ${UPSTREAM_USER}`,
    );
  } finally {
    await admin.end();
  }
  const owner = new pg.Client({ host, port, database, user: UPSTREAM_USER, password });
  await owner.connect();
  try {
    await loadSampleData(owner);
  } finally {
    await owner.end();
  }
}

async function prepareMariadb({ host, port, user, password, database }: LocalMariadb): Promise<void> {
  const connection = await mysql.createConnection({ host, port, user, password, database });
  try {
    await loadMysqlSampleData(connection);
  } finally {
    await connection.end();
  }
}

/** Packs that ship with Sluice: what agents may do, and which columns nobody sees by default. */
const PACKS = ['agents-guarded-writes.yaml', 'mysql-agents.yaml', 'pii.yaml'];

function packFile(pack: string): string {
  return fileURLToPath(new URL(`../../rules/${pack}`, import.meta.url));
}

/** What the packs do not say: the DBA may do everything that is not refused to all. */
export const RULES = `version: 1
rules:
  - id: dba-everything
    description: The people who run the database.
    match:
      identities: { groups: [dba] }
    action: allow

  - id: payments-go-by-hand
    description: Money that came in is deleted by two people, one of whom is no agent.
    match: { identities: { kind: agent }, effects: [delete], tables: ["*.payments"] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 60s, within: 15m }

  - id: no-unbounded-writes
    description: An UPDATE or DELETE without WHERE is nearly always a mistake, whoever sends it.
    match: { identities: { kind: human }, effects: [update, delete], predicate: [none, tautology] }
    action: deny
    hint: Add a WHERE clause that names the rows you mean.
`;

async function configText(
  server: EmbeddedPostgres,
  mariadb: LocalMariadb | null,
  passwords: Demo['passwords'],
  ports: { readonly postgres: number; readonly mysql: number | null; readonly api: number },
  journal: string,
): Promise<string> {
  const verifiers = async (password: string) => ({
    scram: formatScramVerifier(await createScramVerifier(password)),
    mysql: formatCachingSha2Verifier(await createCachingSha2Verifier(password)),
  });
  const listen = Object.entries(ports).filter(([, port]) => port !== null);
  return stringify({
    listen: Object.fromEntries(listen.map(([name, port]) => [name, `${HOST}:${port}`])),
    connections: [
      {
        name: CONNECTION,
        protocol: 'postgres',
        upstream: {
          host: server.host,
          port: server.port,
          database: server.database,
          user: UPSTREAM_USER,
          password: { file: './upstream-password' },
          // The server is a child of this process, on loopback.
          tls: 'disable',
        },
        default: 'deny',
      },
      ...(mariadb === null ? [] : [mysqlConnection(mariadb)]),
    ],
    identity: {
      without_tls: 'loopback',
      users: [
        { name: 'agent', kind: 'agent', ...(await verifiers(passwords.agent)) },
        { name: 'dba', kind: 'human', groups: ['dba', 'pii-readers'], ...(await verifiers(passwords.dba)) },
      ],
      roles: { admin: ['dba'], approver: ['dba'] },
    },
    rules: ['./rules.yaml', ...PACKS.map((pack) => `./${pack}`)],
    recording: { directory: journal, index: true },
    // The demo ends when its user says so, not when the last transaction has.
    limits: { drain: '1s' },
    log: { level: 'warn' },
  });
}

function mysqlConnection({ host, port, user, database }: LocalMariadb) {
  const upstream = { host, port, database, user, password: { file: './mariadb-password' }, tls: 'disable' };
  return { name: MYSQL_CONNECTION, protocol: 'mysql', upstream, default: 'deny' };
}

/** The first free loopback port from `first` on. */
async function freePortFrom(first: number): Promise<number> {
  for (let port = first; port < first + 100; port++) if (await isFree(port)) return port;
  throw new Error(`No free port between ${first} and ${first + 99}.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, HOST, () => probe.close(() => resolve(true)));
  });
}

/** What a newcomer reads: how to connect, what to try and what to expect of it. */
export function demoText(demo: Demo): string {
  const url = (user: 'agent' | 'dba') =>
    `postgresql://${user}:${demo.passwords[user]}@${demo.host}:${demo.port}/${demo.connection}`;
  const sluice = 'npm run -s sluice --';
  const asDba = `--user dba --api ${demo.host}:${demo.apiPort}`;
  return `Sluice stands between you and a PostgreSQL with sample data. Connect with any PostgreSQL client:

  an agent   ${url('agent')}
  a DBA      ${url('dba')}

Try, in another terminal:

  # Personal data is masked, by rule pii-contact: the agent sees [redacted], the DBA, who is in pii-readers, what is stored.
  psql "${url('agent')}" -c "SELECT id, name, city, email FROM customers ORDER BY id LIMIT 3"
  psql "${url('dba')}" -c "SELECT id, name, city, email FROM customers ORDER BY id LIMIT 3"

  # Refused by rule agents-name-the-rows: there is no WHERE, it would empty the table.
  psql "${url('agent')}" -c "DELETE FROM payments"

  # The same inside a transaction: the transaction fails as if the server itself had refused,
  # and COMMIT ends in ROLLBACK. The UPDATE before it is undone.
  psql "${url('agent')}" -c "BEGIN" -c "UPDATE orders SET status = 'paid' WHERE id = 1" -c "DELETE FROM payments" -c "COMMIT"

  # A masked column decides nothing either, or its values could be guessed: refused by rule pii-pay; allowed to the DBA.
  psql "${url('agent')}" -c "SELECT name FROM employees ORDER BY salary DESC LIMIT 3"
  psql "${url('dba')}" -c "SELECT name, salary FROM employees ORDER BY salary DESC LIMIT 3"

  # Held by rule payments-go-by-hand: it waits until somebody approves it, for a minute; with its number in a NOTICE.
  psql "${url('agent')}" -c "DELETE FROM payments WHERE id = 1007"

  # Meanwhile, in a third terminal: what waits, what it would do, and the vote.
  export SLUICE_PASSWORD=${demo.passwords.dba}
  ${sluice} approvals list ${asDba}
  ${sluice} approvals show 1 ${asDba}
  ${sluice} approvals approve 1 ${asDba}

  # An agent with a credential of its own, made for this one command; the DBA answers for it.
  ${sluice} exec ${demo.connection} ${asDba} --agent reporter -- psql -c "SELECT count(*) FROM orders"

  # Which agents there are, and the end of one.
  ${sluice} agents list ${asDba}
  ${sluice} agents lock dba/reporter ${asDba} --reason "odd queries"

${mysqlText(demo)}

Every statement is recorded before it runs, with its verdict: ${demo.journal}

  npm run -s sluice -- sessions list --journal ${demo.journal}
  npm run -s sluice -- sessions show SESSION --journal ${demo.journal}

Configuration: ${demo.configFile}; its rules beside it, ${['rules.yaml', ...PACKS].join(', ')}. To see why:

  npm run -s sluice -- rules explain "DELETE FROM payments" --as agent --on ${demo.connection} --config ${demo.configFile}
  npm run -s sluice -- masks preview ${demo.connection} "SELECT * FROM customers" --as agent --config ${demo.configFile}

Health and metrics: http://${demo.host}:${demo.apiPort}/readyz and /metrics

Ctrl-C ends the demo and removes everything it made.`;
}

/** The same for MySQL clients, or how to have it. */
function mysqlText({ host, mysqlPort, passwords }: Demo): string {
  if (mysqlPort === null) {
    return `MySQL and MariaDB are served as well: install a MariaDB server (apt-get install mariadb-server, brew install mariadb) and
start the demo again to try it.`;
  }
  const client = `MYSQL_PWD=${passwords.agent} mariadb -h ${host} -P ${mysqlPort} -u agent ${MYSQL_CONNECTION}`;
  return `A MariaDB with the same tables is behind the same Sluice, on port ${mysqlPort}; the schema names the connection:

  ${client} -e "SELECT id, name, city, email FROM customers ORDER BY id LIMIT 3"
  ${client} --show-warnings -e "DELETE FROM payments"`;
}

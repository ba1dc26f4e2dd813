import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Agents from their owner's terminal: `sluice exec`, the inventory of what they did, and their end. */

const ROOT = join(import.meta.dirname, '..');
const PROGRAMS = {
  pg: "import pg from 'pg'; const c = new pg.Client({ application_name: 'node-pg' }); await c.connect(); console.log((await c.query('SELECT id FROM notes')).rows[0].id); await c.end();",
  'postgres.js':
    "import postgres from 'postgres'; const sql = postgres({ connection: { application_name: 'postgres.js' } }); console.log((await sql`SELECT id FROM notes`)[0].id); await sql.end();",
  mysql2:
    "import mysql from 'mysql2/promise'; const { MYSQL_HOST: host, MYSQL_PORT: port, MYSQL_USER: user, MYSQL_PASSWORD: password, MYSQL_DATABASE: database } = process.env; const c = await mysql.createConnection({ host, port, user, password, database }); console.log((await c.query('SELECT id FROM notes'))[0][0].id); await c.end();",
};

let postgres: PostgresServer;
let mysqlServer: MysqlFamilyServer;
let sluice: Sluice;

before(async () => {
  [postgres, mysqlServer] = await Promise.all([
    startPostgres(),
    startMariadb().then((server) => server ?? assert.fail('no MariaDB can be had')),
  ]);
  await postgres.query('CREATE TABLE notes (id int); INSERT INTO notes VALUES (1)');
  await mysqlServer.query('CREATE TABLE notes (id INT); INSERT INTO notes VALUES (1)');
  const upstream = ({ host, port, database, superuser, password }: PostgresServer | MysqlFamilyServer) => ({
    host,
    port,
    database,
    user: superuser,
    password,
  });
  sluice = await startSluice({
    connections: [
      { name: 'shop', upstream: upstream(postgres), default: 'deny' },
      { name: 'stock', protocol: 'mysql', upstream: upstream(mysqlServer) },
    ],
    users: [
      { name: 'alice', password: 'secret', kind: 'human' },
      { name: 'root', password: 'secret', kind: 'human', groups: ['admins'] },
    ],
    roles: { admin: ['admins'] },
    rulesYaml: `
version: 1
rules:
  - { id: reads, match: { effects: [read] }, action: allow }
  - { id: writes, match: { identities: { kind: agent }, effects: [insert] }, action: allow }
`,
  });
});
after(async () => {
  await sluice?.stop();
  await Promise.all([postgres?.stop(), mysqlServer?.stop()]);
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(user: string, command: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const at = command.indexOf('--');
  const own = ['--api', `127.0.0.1:${sluice.apiPort}`, '--user', user];
  const args = at === -1 ? [...command, ...own] : [...command.slice(0, at), ...own, ...command.slice(at)];
  const env = { PATH: process.env.PATH, SLUICE_PASSWORD: 'secret', ...environment };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, 'src/cli/sluice.js'), ...args],
      { cwd: ROOT, env, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

const program = (text: string) => ['--', process.execPath, '--input-type=module', '-e', text];

async function json<T>(user: string, command: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(user, [...command, '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
}

interface Agent {
  readonly identity: object;
  readonly clients: readonly string[];
  readonly statements: { readonly allowed: number; readonly denied: number };
  readonly sessions: number;
  readonly unused_grants: readonly object[];
  readonly credentials: { readonly live: number };
  readonly effects: readonly { readonly connection: string; readonly name: string; readonly count: number }[];
}

describe('sluice exec', { timeout: 500_000 }, () => {
  test('runs programs with a credential of their own, through any driver, and the inventory tells what they did', async () => {
    const connections = { pg: 'shop', 'postgres.js': 'shop', mysql2: 'stock' } as const;
    for (const [name, text] of Object.entries(PROGRAMS)) {
      const connection = connections[name as keyof typeof connections];
      const { code, stdout, stderr } = await run('alice', ['exec', connection, '--agent', 'bot', ...program(text)]);
      assert.equal(stderr, '', name);
      assert.deepEqual([code, stdout], [0, '1\n'], name);
    }
    const refused = PROGRAMS.pg.replace('SELECT id FROM notes', 'DROP TABLE notes');
    const { code, stderr } = await run('alice', ['exec', 'shop', '--agent', 'bot', ...program(refused)]);
    assert.equal(code, 1);
    assert.match(stderr, /42501/);
    const agent = await until(async () => {
      const seen = await json<Agent>('root', ['agents', 'show', 'alice/bot']);
      return seen.sessions === 4 && seen.statements.denied === 1 && seen;
    }, 'what the agent did is in the inventory');
    assert.deepEqual(agent.identity, { subject: 'alice/bot', kind: 'agent', groups: [], owner: 'alice' });
    assert.deepEqual(agent.clients, ['Node-MySQL-2', 'node-pg', 'postgres.js']);
    assert.equal(agent.sessions, 4);
    assert.equal(agent.statements.denied, 1);
    assert.ok(agent.statements.allowed >= 3);
    assert.ok(agent.effects.some(({ connection, name }) => connection === 'shop' && name === 'read public.notes'));
    assert.ok(agent.effects.some(({ connection, name }) => connection === 'stock' && name.includes('notes')));
    assert.deepEqual(agent.unused_grants, [
      { connection: 'shop', rule: 'writes' },
      { connection: 'stock', rule: 'writes' },
    ]);
    // Each ended with its command.
    assert.equal(agent.credentials.live, 0);
    const { stdout: table } = await run('root', ['agents', 'list']);
    assert.match(table, /alice\/bot +alice +active .* 2 unused grants/);
  });

  test('is not able to leave its secret behind: it is in no argument, and logs nobody in afterwards', async () => {
    const text =
      "import { readFileSync } from 'node:fs'; console.log(JSON.stringify({ user: process.env.PGUSER, password: process.env.PGPASSWORD, parent: readFileSync('/proc/' + process.ppid + '/cmdline', 'latin1'), token: process.env.SLUICE_PASSWORD ?? null }));";
    const { stdout } = await run('alice', ['exec', 'shop', ...program(text)]);
    const { user, password, parent, token } = JSON.parse(stdout);
    assert.ok(password.length >= 32 && !parent.includes(password));
    assert.equal(token, null);
    const client = new pg.Client({ host: sluice.host, port: sluice.port, database: 'shop', user, password });
    await assert.rejects(client.connect(), { code: '28P01' });
  });

  test('ends as its command does', async () => {
    const exit = (text: string) => run('alice', ['exec', 'shop', ...program(text)]).then(({ code }) => code);
    assert.equal(await exit('process.exit(7)'), 7);
    assert.equal(await exit("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 5000)"), 143);
    assert.equal((await run('alice', ['exec', 'shop', '--', 'no-such-program'])).code, 127);
    const unknown = await run('alice', ['exec', 'nowhere', '--', 'true']);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no connection "nowhere"/);
    const wrong = await run('alice', ['exec', 'shop', '--', 'true'], { SLUICE_PASSWORD: 'wrong' });
    assert.deepEqual([wrong.code, /not accepted/.test(wrong.stderr)], [1, true]);
  });
});

describe('an agent', { timeout: 500_000 }, () => {
  test('is retired by an administrator only: its session ends within a second, and it does not come back', async () => {
    const { credential, secret } = await json<{ credential: { credential: string }; secret: string }>('alice', [
      'credentials',
      'create',
      'shop',
      '--agent',
      'gone',
    ]);
    const login = {
      host: sluice.host,
      port: sluice.port,
      database: 'shop',
      user: credential.credential,
      password: secret,
    };
    const client = new pg.Client(login);
    client.on('error', () => undefined);
    await client.connect();
    assert.equal((await run('alice', ['agents', 'retire', 'alice/gone'])).code, 1);
    await client.query('SELECT id FROM notes');
    const ended = once(client, 'error').then(([error]) => ({ code: error.code, at: Date.now() }));
    let answeredAt = 0;
    const retired = await run('root', ['agents', 'retire', 'alice/gone', '--reason', 'replaced']).then((result) => {
      answeredAt = Date.now();
      return result;
    });
    assert.equal(retired.stdout, 'alice/gone is retired.\n');
    const { code, at } = await ended;
    assert.equal(code, '57P01');
    assert.ok(at - answeredAt < 1000);
    await assert.rejects(new pg.Client(login).connect(), { code: '28P01' });
    const again = await run('alice', ['exec', 'shop', '--agent', 'gone', ...program(PROGRAMS.pg)]);
    assert.match(again.stderr, /it is retired \(replaced\)/);
    const record = sluice.journal().find(({ event }) => event === 'identity.retired')!;
    assert.equal((record.by as { subject: string }).subject, 'root');
  });

  test('has a session that can be killed', async () => {
    const client = new pg.Client({
      host: sluice.host,
      port: sluice.port,
      database: 'shop',
      user: 'alice',
      password: 'secret',
    });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('SELECT id FROM notes');
    const { session } = sluice.journal().findLast(({ event }) => event === 'session.start')!;
    const [[error], killed] = await Promise.all([
      once(client, 'error'),
      run('root', ['sessions', 'kill', String(session), '--reason', 'too slow']),
    ]);
    assert.equal(error.code, '57P01');
    assert.match(error.message, /too slow/);
    assert.match(killed.stdout, /is ended/);
    assert.equal((await run('alice', ['sessions', 'kill', String(session)])).code, 1);
  });
});

/** Budgets of rules (`limit:`) on a real server: what is cut, with which error, and that the session lives on. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

const RULES = `version: 1
rules:
  - id: big-reads
    match: { effects: [read], tables: [public.big] }
    limit: { rows: 100, per: statement }
    action: deny
  - id: few-writes
    match: { effects: [insert], tables: [public.log] }
    limit: { statements: 2, per: session }
    action: deny
  - id: short-sleeps
    match: { functions: [pg_sleep] }
    limit: { seconds: 1, per: statement }
    action: deny
  - id: daily
    match: { effects: [read], tables: [public.daily] }
    limit: { rows: 15, per: 24h }
    action: deny
session:
  - id: agents-only-read
    match: { connections: [reading] }
    read_only: true
    statement_timeout: 30s
`;

describe('budgets and pinned sessions', () => {
  let postgres: PostgresServer;
  let sluice: Sluice;
  const clients: pg.Client[] = [];

  before(async () => {
    postgres = await startPostgres();
    await postgres.query(`CREATE TABLE big AS SELECT g AS id, repeat('x', 100) AS t FROM generate_series(1, 100000) g;
      CREATE TABLE log (id int); CREATE TABLE daily AS SELECT g AS id FROM generate_series(1, 10) g`);
    const { host, port, superuser: user, password, database } = postgres;
    const upstream = { host, port, user, password, database };
    sluice = await startSluice({
      connections: [
        { name: 'db', upstream },
        { name: 'reading', upstream },
      ],
      users: [{ name: 'agent', password: 'secret' }],
      rulesYaml: RULES,
    });
  });
  after(async () => {
    for (const client of clients) await client.end();
    await sluice?.stop();
    await postgres?.stop();
  });

  async function connect(database = 'db'): Promise<pg.Client> {
    const client = new pg.Client({ host: sluice.host, port: sluice.port, user: 'agent', password: 'secret', database });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  }

  test('a result is cut at its budget, by whichever protocol it comes, and the session lives on', async () => {
    const client = await connect();
    for (const query of ['SELECT * FROM big', { text: 'SELECT * FROM big WHERE id > $1', values: [0] }]) {
      await assert.rejects(client.query(query as string), { code: '53400' });
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
    }
    assert.equal((await client.query('SELECT * FROM big LIMIT 100')).rowCount, 100);
    await assert.rejects(client.query('SELECT * FROM big LIMIT 101'), { code: '53400' });
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('copied rows count as rows', async () => {
    const client = await connect();
    await assert.rejects(client.query('COPY big TO STDOUT'), { code: '53400' });
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('the server stops making a result that is cut', async () => {
    const client = await connect();
    const started = performance.now();
    await assert.rejects(client.query('SELECT b.id, pg_sleep(0.01) FROM big b'), { code: '53400' });
    assert.ok(performance.now() - started < 5000);
  });

  test('a budget of statements per session is refused when it is used up, and new in another session', async () => {
    const client = await connect();
    await client.query('INSERT INTO log VALUES (1)');
    await client.query('INSERT INTO log VALUES (2)');
    await assert.rejects(client.query('INSERT INTO log VALUES (3)'), { code: '53400' });
    assert.deepEqual(await postgres.query('SELECT count(*)::int AS n FROM log'), [{ n: 2 }]);
    await (await connect()).query('INSERT INTO log VALUES (4)');
  });

  test('a statement is cancelled when its time is used up', async () => {
    const client = await connect();
    const started = performance.now();
    await assert.rejects(client.query('SELECT pg_sleep(20)'), { code: '53400' });
    assert.ok(performance.now() - started < 5000);
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('a budget over time is shared by the sessions of an identity, and says when it returns', async () => {
    assert.equal((await (await connect()).query('SELECT * FROM daily')).rowCount, 10);
    const error = await (await connect()).query('SELECT * FROM daily').then(
      () => assert.fail('the second result is over the budget'),
      (e: pg.DatabaseError) => e,
    );
    assert.equal(error.code, '53400');
    assert.match(JSON.parse(error.detail!).sluice.retry, /^after:\d{4}-/);
  });

  test('a pinned session begins as its rules say and cannot be changed', async () => {
    const client = await connect('reading');
    assert.equal(
      (await client.query('SHOW default_transaction_read_only')).rows[0].default_transaction_read_only,
      'on',
    );
    assert.equal((await client.query('SHOW statement_timeout')).rows[0].statement_timeout, '30s');
    for (const text of [
      'SET default_transaction_read_only = off',
      'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
      'BEGIN READ WRITE',
      'SET TRANSACTION READ WRITE',
      'SET statement_timeout = 0',
      "SELECT set_config('transaction_read_only', 'off', false)",
      'RESET ALL',
      'DISCARD ALL',
    ]) {
      await assert.rejects(client.query(text), { code: '42501' }, text);
      await client.query('ROLLBACK');
    }
    await assert.rejects(client.query('INSERT INTO log VALUES (9)'), { code: '25006' });
  });

  test('a client that asks for another value at its start gets the pinned one', async () => {
    const client = new pg.Client({
      host: sluice.host,
      port: sluice.port,
      user: 'agent',
      password: 'secret',
      database: 'reading',
      options: '-c default_transaction_read_only=off',
    });
    clients.push(client);
    await client.connect().then(
      async () =>
        assert.equal(
          (await client.query('SHOW default_transaction_read_only')).rows[0].default_transaction_read_only,
          'on',
        ),
      (error: pg.DatabaseError) => assert.equal(error.code, '42501'),
    );
  });
});

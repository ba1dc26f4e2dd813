import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import pg from 'pg';
import {
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { Approver } from './approver.ts';
import { RawClient } from './raw-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * Whoever has an approval changes what it would do, and sends the statement again: then the approval is for something else,
 * and nothing runs. Two nodes share a PostgreSQL as their store.
 */

const RULES = `version: 1
rules:
  - id: changes
    match: { effects: [delete, update] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
`;

const directory = mkdtempSync(join(tmpdir(), 'sluice-approvals-'));
let postgres: PostgresServer;
let mariadb: MysqlFamilyServer;
let nodes: readonly Sluice[];
let approver: Approver;
let texts = 0;
const mark = () => `/* mark ${++texts}. */`;

before(async () => {
  const [server, family] = await Promise.all([startPostgres(), startMariadb()]);
  postgres = server;
  assert.ok(family);
  mariadb = family;
  await postgres.query('CREATE DATABASE store');
  const { host, port, superuser, password } = postgres;
  const store = `postgres://${superuser}:${encodeURIComponent(password)}@${host}:${port}/store`;
  const storeFile = join(directory, 'store');
  writeFileSync(storeFile, store, { mode: 0o600 });
  approver = await Approver.openAt({ kind: 'postgres', url: store });
  const start = () =>
    startSluice({
      connections: (['postgres', 'mysql'] as const).map((protocol) => {
        const { host, port, database, superuser: user, password } = protocol === 'postgres' ? postgres : mariadb;
        return { name: protocol, protocol, upstream: { host, port, database, user, password } };
      }),
      users: ['bot', 'other'].map((name) => ({ name, password: 'secret' })),
      rulesYaml: RULES,
      store: { file: storeFile },
    });
  nodes = await Promise.all([start(), start()]);
});
after(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()));
  await approver?.close();
  await Promise.all([postgres?.stop(), mariadb?.stop()]);
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  await postgres.query(`DROP SCHEMA IF EXISTS other CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA other;
    CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2), (3);
    CREATE TABLE other.orders (id int); INSERT INTO other.orders VALUES (1), (2), (3);
    CREATE TABLE cheap (id int); INSERT INTO cheap VALUES (1);
    CREATE VIEW doomed AS SELECT * FROM cheap;
    CREATE FUNCTION is_old(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 = 1';
    CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'`);
  await mariadb.query(`DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY, name varchar(20));
    INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')`);
});

const rows = async () => {
  const [{ n }] = (await postgres.query(
    'SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM other.orders) + (SELECT count(*) FROM cheap) AS n',
  )) as [{ n: string }];
  return Number(n);
};

async function connected(node = 0): Promise<pg.Client> {
  const { host, port } = nodes[node]!;
  const client = new pg.Client({ host, port, user: 'bot', password: 'secret', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const detailOf = (error: { detail?: string; message: string }) => {
  assert.ok(error.detail, error.message);
  return JSON.parse(error.detail).sluice as { verdict: string; request?: number; retry: string };
};

/** The ticket that a statement gets; `null` if nobody can be asked about it. */
async function ticket(client: pg.Client, sql: string, values?: unknown[]): Promise<number | null> {
  const error = await client.query(sql, values).then(
    () => assert.fail('it ran'),
    (reason) => reason,
  );
  return detailOf(error).request ?? null;
}

async function approved(client: pg.Client, sql: string, values?: unknown[]): Promise<number> {
  const id = await ticket(client, sql, values);
  assert.ok(id !== null);
  await approver.approve(id);
  return id;
}

test('what became of a statement is known of the next one like it, at both nodes', async () => {
  const [client, there] = [await connected(0), await connected(1)];
  const text = (id: number) => `DELETE FROM cheap WHERE id = ${id} ${mark()}`;
  const sql = text(1);
  const first = await approved(client, sql);
  await there.query(sql);
  const next = await ticket(client, text(2));
  const asked = await approver.approvals.request(next!);
  await until(async () => (await approver.approvals.history(asked))?.lastRun !== null, 'its rows are noted');
  const { last, ...history } = (await approver.approvals.history(asked))!;
  const lastRun = { request: first, rows: 1 };
  assert.deepEqual(history, { approved: 1, ran: 1, rejected: 0, expired: 0, withdrawn: 0, lastRun });
  assert.deepEqual([last!.request, last!.decision, last!.by], [first, 'approved', ['dana']]);
  await Promise.all([client.end(), there.end()]);
});

describe('an approval is not for what a statement has become since', () => {
  const changes: Record<string, { sql: string; setUp?: string; change: string }> = {
    'its view is another one': {
      sql: 'DELETE FROM doomed',
      change: 'CREATE OR REPLACE VIEW doomed AS SELECT * FROM orders',
    },
    'its function has another body': {
      sql: 'DELETE FROM orders WHERE is_old(id)',
      change: `CREATE OR REPLACE FUNCTION is_old(int) RETURNS bool LANGUAGE sql AS 'SELECT true'`,
    },
    'its table has a trigger': {
      sql: 'DELETE FROM cheap',
      change: 'CREATE TRIGGER t BEFORE DELETE ON cheap FOR EACH ROW EXECUTE FUNCTION count_up()',
    },
    'the function of its trigger has another body': {
      sql: 'DELETE FROM cheap',
      setUp: 'CREATE TRIGGER t BEFORE DELETE ON cheap FOR EACH ROW EXECUTE FUNCTION count_up()',
      change: `CREATE OR REPLACE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM public.orders; RETURN OLD; END'`,
    },
    'its table is another one': {
      sql: 'DELETE FROM cheap',
      change:
        'ALTER TABLE cheap RENAME TO cheaper; CREATE TABLE cheap (id int PRIMARY KEY); INSERT INTO cheap VALUES (1)',
    },
    'its session acts in another role': { sql: 'DELETE FROM cheap', change: 'SET ROLE pg_monitor' },
    'its names are looked for elsewhere, which a function has seen to': {
      sql: 'DELETE FROM orders',
      setUp: `CREATE FUNCTION move() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET search_path = ot' || 'her, public'; END $$`,
      change: 'SELECT move()',
    },
    'a setting that policies read is another one': { sql: 'DELETE FROM cheap', change: `SET app.tenant = '2'` },
    'triggers do not run': { sql: 'DELETE FROM cheap', change: 'SET session_replication_role = replica' },
    'dates are read otherwise': {
      sql: `DELETE FROM cheap WHERE '01/02/2026'::date < now()`,
      change: `SET DateStyle = 'SQL, DMY'`,
    },
  };
  for (const [name, { sql, setUp, change }] of Object.entries(changes)) {
    test(name, async () => {
      const client = await connected();
      if (setUp !== undefined) await client.query(setUp);
      const text = `${sql} ${mark()}`;
      const before = await approved(client, text);
      await client.query(change);
      assert.notEqual(await ticket(client, text), before);
      assert.equal(await rows(), 7);
      await client.end();
    });
  }

  test('long values that begin alike', async () => {
    const client = await connected();
    const [one, two] = ['a', 'b'].map((end) => `${'x'.repeat(100_000)}${end}`);
    const text = `DELETE FROM cheap WHERE $1 <> '' ${mark()}`;
    const id = await approved(client, text, [one]);
    assert.notEqual(await ticket(client, text, [two]), id);
    await client.query(text, [one]);
    await client.end();
  });

  test('statements that another name, or a comment in one of them, stands for', async () => {
    const { host, port } = nodes[0]!;
    const raw = await RawClient.login({ host, port, user: 'bot', password: 'secret', database: 'postgres' });
    const text = `EXECUTE a; EXECUTE b ${mark()}`;
    const ask = async (a: string, b: string) => {
      await approver.forget();
      for (const [statement, sql] of Object.entries({ a, b })) {
        raw.send(encodeClose({ kind: 'statement', name: statement }));
        raw.send(encodeParse({ statement, text: sql, parameterTypes: [] }), encodeSync());
      }
      raw.send(encodeQuery(text));
      const answers = await raw.take('Z', 3, 20_000);
      assert.ok(answers.some(({ type }) => type === 'E'));
      return approver.nextRequest();
    };
    const first = await ask(
      'DELETE FROM cheap WHERE id = 7\n-- runs: DELETE FROM orders',
      'DELETE FROM cheap WHERE id = 8',
    );
    await approver.approve(first.id);
    const second = await ask(
      'DELETE FROM cheap WHERE id = 7',
      'DELETE FROM orders\n-- runs: DELETE FROM cheap WHERE id = 8',
    );
    assert.equal(second.question.binding.statement, first.question.binding.statement);
    assert.notEqual(second.id, first.id);
    assert.equal(await rows(), 7);
    raw.destroy();
  });

  test('a portal that was bound elsewhere', async () => {
    const client = await connected();
    const text = `DELETE FROM orders ${mark()}`;
    const id = await approved(client, text);
    const { host, port } = nodes[0]!;
    const raw = await RawClient.login({ host, port, user: 'bot', password: 'secret', database: 'postgres' });
    const bind = { portal: 'p', statement: 's', parameterFormats: [], parameters: [], resultFormats: [] };
    raw.send(encodeQuery('BEGIN'), encodeQuery('SET search_path = other'));
    await raw.take('Z', 2, 20_000);
    raw.send(encodeParse({ statement: 's', text, parameterTypes: [] }), encodeBind(bind), encodeSync());
    raw.send(encodeQuery('SET search_path = public'));
    await raw.take('Z', 2, 20_000);
    raw.send(encodeExecute({ portal: 'p', maxRows: 0 }), encodeSync());
    const answers = await raw.take('Z', 1, 20_000);
    assert.ok(answers.some(({ type }) => type === 'E'));
    raw.destroy();
    assert.equal((await approver.approvals.request(id)).state, 'approved');
    assert.equal(await rows(), 7);
    await client.end();
  });
});

describe('nobody is asked about what only its session knows', () => {
  const statements: Record<string, { setUp: string; sql: string }> = {
    'a table that may be a temporary one': { setUp: 'CREATE TEMP TABLE orders (id int)', sql: 'DELETE FROM orders' },
    'the row of a cursor': {
      setUp: 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders FOR UPDATE; FETCH c',
      sql: 'DELETE FROM orders WHERE CURRENT OF c',
    },
    'the last value of a sequence': {
      setUp: 'CREATE SEQUENCE s',
      sql: `DELETE FROM orders WHERE id = currval('s')`,
    },
  };
  for (const [name, { setUp, sql }] of Object.entries(statements)) {
    test(name, async () => {
      const client = await connected();
      await client.query(setUp);
      assert.equal(await ticket(client, sql), null);
      await client.query('ROLLBACK');
      assert.equal(await rows(), 7);
      await client.end();
    });
  }
});

describe('MariaDB', () => {
  const connect = async () => {
    const { host, mysqlPort: port } = nodes[0]!;
    return mysql.createConnection({ host, port, user: 'bot', password: 'secret', database: 'mysql' });
  };
  const refused = (client: mysql.Connection, sql: string) =>
    client.query(sql).then(
      () => assert.fail('it ran'),
      (error: mysql.QueryError) => error.message,
    );
  const count = async () => (await mariadb.query('SELECT id FROM shop.orders')).length;

  for (const [name, sql] of Object.entries({
    'a variable': 'DELETE FROM shop.orders WHERE id = @id',
    'an id that was generated last': 'DELETE FROM shop.orders WHERE id = LAST_INSERT_ID()',
  })) {
    test(`nobody is asked about ${name}`, async () => {
      const client = await connect();
      await client.query('SET @id = 1');
      await approver.forget();
      await refused(client, sql);
      assert.ok(await approver.hasSeenAll());
      assert.equal(await count(), 3);
      await client.end();
    });
  }

  for (const [name, { sql, setUp, change }] of Object.entries({
    'another sql_mode': {
      sql: `DELETE FROM shop.orders WHERE id = '1' || '2'`,
      setUp: '',
      change: `SET sql_mode = 'PIPES_AS_CONCAT'`,
    },
    'no foreign keys': { sql: 'DELETE FROM shop.orders', setUp: '', change: 'SET foreign_key_checks = 0' },
    'a trigger': {
      sql: 'DELETE FROM shop.orders WHERE id = 1',
      setUp: '',
      change: 'CREATE TRIGGER shop.t BEFORE DELETE ON shop.orders FOR EACH ROW SET @x = 1',
    },
  })) {
    test(`an approval is not for ${name}`, async () => {
      const client = await connect();
      if (setUp !== '') await client.query(setUp);
      const text = `${sql} ${mark()}`;
      await refused(client, text);
      const { id } = await approver.requestFor(`mark ${texts}.`);
      await approver.approve(id);
      await client.query(change);
      await refused(client, text);
      assert.notEqual((await approver.requestFor(`mark ${texts}.`)).id, id);
      assert.equal(await count(), 3);
      await client.end();
    });
  }
});

test('of many who send one approved statement again at two nodes, one has it run', async () => {
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all([0, 1, 0, 1, 0, 1].map((node) => connected(node)));
    const text = `UPDATE orders SET id = id + 10 WHERE id = 1 ${mark()}`;
    await approved(clients[0]!, text);
    const ends = await Promise.allSettled(clients.map((client) => client.query(text)));
    assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, 1);
    // The others have asked anew, all in one request.
    const requests = ends.flatMap((end) => (end.status === 'rejected' ? [detailOf(end.reason).request] : []));
    assert.equal(new Set(requests).size, 1);
    await postgres.query('UPDATE orders SET id = id - 10 WHERE id = 11');
    await Promise.all(clients.map((client) => client.end()));
  }
});

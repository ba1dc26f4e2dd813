/** node-postgres (`pg`). Copies and cursors are packages apart from it; portals it has by the `rows` of a query. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { needsRules, runChecks } from './report.ts';

/** What becomes of the statement that is refused, asked of Sluice. */
const QUESTION = 'EXPLAIN (SLUICE) DELETE FROM public.refused_table';
const ca = process.env.PGSSLROOTCERT;
const tls = process.env.PGSSLMODE === 'verify-full' && ca ? { ca: readFileSync(ca) } : false;

/** What pg takes and has but its type declarations lack. */
interface UntypedOptions {
  readonly pipeline?: boolean;
}
type CancellingClient = pg.Client & { cancel(client: pg.Client, query: pg.Query): void };
type PortionedQuery = pg.QueryConfig & { readonly rows: number; readonly binary?: boolean };

async function withClient(run: (db: pg.Client) => Promise<void>, options: pg.ClientConfig & UntypedOptions = {}) {
  const db = new pg.Client({ ssl: tls, ...options });
  await db.connect();
  try {
    await run(db);
  } finally {
    await db.end();
  }
}

async function value(db: pg.Client, sql: string | pg.QueryConfig, values?: unknown[]): Promise<unknown> {
  return Object.values((await db.query(sql, values)).rows[0] ?? {})[0];
}

/** Type, value to send, and the value pg gives back where that differs. */
const VALUES: readonly (readonly [type: string, sent: unknown, back?: unknown])[] = [
  ['int2', -32768],
  ['int4', 2147483647],
  ['int8', '-9223372036854775808'],
  ['float4', 0.5],
  ['float8', 1.7976931348623157e308],
  ['numeric', '-12345678901234567890.0123456789'],
  ['bool', true],
  ['text', "häß 漢字 🐘 'quoted' \\ \n"],
  ['bytea', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
  ['timestamptz', new Date('2026-11-23T12:00:00.123Z')],
  ['uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ['jsonb', { a: [1, null, 'ü'], b: { c: 1.5 } }],
  ['int4[]', [1, null, -3]],
  ['text[]', ['a', '', null, '{,}"\'']],
  ['text', null],
];

/** For the binary format only values whose bytes are ASCII: pg reads every field as UTF-8 before it decodes it. */
const BINARY: readonly (readonly [type: string, value: unknown])[] = [
  ['int2', 0x0102],
  ['int4', 0x01020304],
  ['float8', 2],
  ['bool', true],
  ['text', 'plain'],
];

await runChecks({
  connect: async () => {
    await withClient(async (db) => assert.equal(await value(db, 'SELECT 1'), 1));
    const wrong = new pg.Client({ ssl: tls, password: `wrong ${process.env.PGPASSWORD}` });
    await assert.rejects(wrong.connect(), { code: '28P01' });
  },

  types: () =>
    withClient(async (db) => {
      for (const [type, sent] of VALUES) {
        assert.deepEqual(await value(db, `SELECT $1::${type}`, [sent]), sent, type);
      }
      for (const [type, sent] of BINARY) {
        const query = { text: `SELECT $1::${type}`, values: [sent], binary: true };
        assert.deepEqual(await value(db, query), sent, `${type}, binary`);
      }
    }),

  simple: () =>
    withClient(async (db) => {
      const results: unknown = await db.query("SELECT 'x;y' AS a; SELECT 'b' AS b, 2 AS c");
      assert.ok(Array.isArray(results));
      assert.deepEqual(
        results.map((result) => result.rows),
        [[{ a: 'x;y' }], [{ b: 'b', c: 2 }]],
      );
      assert.deepEqual((await db.query('')).rows, []);
    }),

  prepared: () =>
    withClient(async (db) => {
      const query = { name: 'double', text: 'SELECT $1::int * 2' };
      for (let n = 0; n < 20; n++) assert.equal(await value(db, query, [n]), n * 2);
      assert.equal(await value(db, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'double'"), '1');
    }),

  errors: () =>
    withClient(async (db) => {
      await assert.rejects(db.query('SELEC 1'), { code: '42601', position: '1' });
      await assert.rejects(db.query('SELEC $1', [1]), { code: '42601' });
      await db.query('CREATE TEMP TABLE uniq (id int PRIMARY KEY)');
      await db.query('INSERT INTO uniq VALUES (1)');
      const duplicate = db.query('INSERT INTO uniq VALUES ($1)', [1]);
      await assert.rejects(duplicate, { code: '23505', constraint: 'uniq_pkey', table: 'uniq' });
      assert.equal(await value(db, 'SELECT count(*) FROM uniq'), '1');
    }),

  transactions: () =>
    withClient(async (db) => {
      await db.query('CREATE TEMP TABLE kept (id int)');
      for (const sql of ['BEGIN', 'INSERT INTO kept VALUES (1)', 'SAVEPOINT s', 'INSERT INTO kept VALUES (2)']) {
        await db.query(sql);
      }
      for (const sql of ['ROLLBACK TO s', 'INSERT INTO kept VALUES (3)', 'COMMIT', 'BEGIN']) await db.query(sql);
      await db.query('INSERT INTO kept VALUES ($1)', [4]);
      await db.query('ROLLBACK');
      assert.deepEqual(await value(db, 'SELECT array_agg(id ORDER BY id) FROM kept'), [1, 3]);
    }),

  pipeline: () =>
    withClient(
      async (db) => {
        const sent = Array.from({ length: 50 }, (_, n) => value(db, 'SELECT $1::int', [n]));
        assert.deepEqual(
          await Promise.all(sent),
          Array.from({ length: 50 }, (_, n) => n),
        );
        const mixed = [value(db, 'SELECT 1'), value(db, 'SELECT 1 / $1::int', [0]), value(db, 'SELECT 2')];
        const [first, second, third] = await Promise.allSettled(mixed);
        assert.deepEqual(first, { status: 'fulfilled', value: 1 });
        assert.equal(second?.status === 'rejected' && second.reason.code, '22012');
        assert.deepEqual(third, { status: 'fulfilled', value: 2 });
      },
      { pipeline: true },
    ),

  portal: () =>
    withClient(async (db) => {
      const portions: PortionedQuery = { text: 'SELECT generate_series(1, $1::int) AS n', values: [50], rows: 7 };
      assert.deepEqual(
        (await db.query(portions)).rows.map((row) => row.n),
        Array.from({ length: 50 }, (_, n) => n + 1),
      );
    }),

  cancel: () =>
    withClient(async (db) => {
      const query = new pg.Query('SELECT pg_sleep(30)');
      const failed = once(query, 'error');
      db.query(query);
      await sleep(300);
      // pg sends a CancelRequest in clear only: with TLS it would wait for the end of a handshake it never looks at.
      (new pg.Client({ ssl: false }) as CancellingClient).cancel(db, query);
      const [error] = await failed;
      assert.equal(error.code, '57014');
      assert.equal(await value(db, 'SELECT 1'), 1);
    }),

  notify: () =>
    withClient(async (db) => {
      const channel = `node_postgres_${process.pid}`;
      await db.query(`LISTEN ${channel}`);
      const notification = once(db, 'notification', { signal: AbortSignal.timeout(10_000) });
      await withClient(async (other) => {
        await other.query('SELECT pg_notify($1, $2)', [channel, 'from the other']);
      });
      const [message] = await notification;
      assert.equal(message.channel, channel);
      assert.equal(message.payload, 'from the other');
    }),

  refusal: async () => {
    needsRules();
    await withClient(async (db) => {
      await assert.rejects(db.query('DELETE FROM refused_table'), { code: '42501' });
      await assert.rejects(db.query({ name: 'refused', text: 'DELETE FROM refused_table' }), { code: '42501' });
      await assert.rejects(db.query('SELECT 1; DELETE FROM refused_table'), { code: '42501' });
      assert.equal(await value(db, 'SELECT count(*) FROM refused_table'), '3');
      for (const query of [QUESTION, { text: QUESTION, values: [] }, { name: 'question', text: QUESTION }]) {
        assert.deepEqual((await db.query(query)).rows[0], { property: 'verdict', value: 'deny' });
      }
    });
    await withClient(
      async (db) => {
        const sent = [value(db, 'SELECT 1'), value(db, 'DELETE FROM refused_table'), value(db, 'SELECT $1::int', [2])];
        const [first, second, third] = await Promise.allSettled(sent);
        assert.deepEqual(first, { status: 'fulfilled', value: 1 });
        assert.equal(second?.status === 'rejected' && second.reason.code, '42501');
        assert.deepEqual(third, { status: 'fulfilled', value: 2 });
      },
      { pipeline: true },
    );
  },

  refusalInTransaction: async () => {
    needsRules();
    await withClient(async (db) => {
      await db.query('CREATE TEMP TABLE undone (id int)');
      await db.query('BEGIN');
      await db.query('INSERT INTO undone VALUES ($1)', [1]);
      await assert.rejects(db.query('DELETE FROM refused_table'), { code: '42501' });
      await assert.rejects(db.query('SELECT 1'), { code: '25P02' });
      assert.equal((await db.query('COMMIT')).command, 'ROLLBACK');
      assert.equal(await value(db, 'SELECT count(*) FROM undone'), '0');
    });
  },
});

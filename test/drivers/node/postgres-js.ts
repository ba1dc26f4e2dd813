/** postgres.js (`postgres`): pipelines by itself, prepares by default. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline as pipe } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { needsRules, runChecks } from './report.ts';

const ca = process.env.PGSSLROOTCERT;
const ssl = process.env.PGSSLMODE === 'verify-full' && ca ? { ca: readFileSync(ca) } : false;

/** One connection, so that statements share a session. */
async function withSql(run: (sql: postgres.Sql) => Promise<void>, options: postgres.Options<never> = {}) {
  const sql = postgres({ ssl, max: 1, onnotice: () => {}, ...options });
  try {
    await run(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Type and value, the same back as sent. */
const VALUES: readonly (readonly [type: string, value: postgres.SerializableParameter])[] = [
  ['int2', -32768],
  ['int4', 2147483647],
  ['int8', '-9223372036854775808'],
  ['float8', 1.7976931348623157e308],
  ['numeric', '-12345678901234567890.0123456789'],
  ['bool', true],
  ['text', "häß 漢字 🐘 'quoted' \\ \n"],
  ['bytea', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
  ['timestamptz', new Date('2026-11-23T12:00:00.123Z')],
  ['uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ['text', null],
];

await runChecks({
  connect: async () => {
    await withSql(async (sql) => assert.deepEqual([...(await sql`SELECT 1 AS one`)], [{ one: 1 }]));
    const password = `wrong ${process.env.PGPASSWORD}`;
    await withSql(async (sql) => assert.rejects(sql`SELECT 1`, { code: '28P01' }), { password });
  },

  types: () =>
    withSql(async (sql) => {
      for (const [type, value] of VALUES) {
        const [row] = await sql`SELECT ${value}::${sql.unsafe(type)} AS back`;
        assert.deepEqual(row?.back, value, type);
      }
      const json = { a: [1, null, 'ü'], b: { c: 1.5 } };
      const arrays = [1, 2, -3];
      const [row] = await sql`SELECT ${sql.json(json)}::jsonb AS json, ${sql.array(arrays)}::int4[] AS arrays`;
      assert.deepEqual({ ...row }, { json, arrays });
    }),

  simple: () =>
    withSql(async (sql) => {
      const results: unknown = await sql`SELECT 'x;y' AS a; SELECT 'b' AS b, 2 AS c`.simple();
      assert.ok(Array.isArray(results));
      assert.deepEqual(
        results.map((rows) => [...rows]),
        [[{ a: 'x;y' }], [{ b: 'b', c: 2 }]],
      );
    }),

  prepared: () =>
    withSql(async (sql) => {
      for (let n = 0; n < 20; n++) {
        const [row] = await sql`SELECT ${n}::int * 2 AS double`;
        assert.equal(row?.double, n * 2);
      }
      const [row] = await sql`SELECT count(*)::int AS n FROM pg_prepared_statements WHERE statement LIKE '%AS double'`;
      assert.equal(row?.n, 1);
      for (let n = 0; n < 3; n++) assert.equal((await sql.unsafe('SELECT $1::int AS n', [n]))[0]?.n, n);
    }),

  errors: () =>
    withSql(async (sql) => {
      await assert.rejects(sql`SELEC 1`, { code: '42601', position: '1' });
      await assert.rejects(sql`SELEC 1`.simple(), { code: '42601' });
      await sql`CREATE TEMP TABLE uniq (id int PRIMARY KEY)`;
      await sql`INSERT INTO uniq VALUES (1)`;
      await assert.rejects(sql`INSERT INTO uniq VALUES (${1})`, { code: '23505', constraint_name: 'uniq_pkey' });
      assert.deepEqual([...(await sql`SELECT count(*)::int FROM uniq`)], [{ count: 1 }]);
    }),

  transactions: () =>
    withSql(async (sql) => {
      const rollback = new Error('roll back');
      await sql`CREATE TEMP TABLE kept (id int)`;
      await sql.begin(async (tx) => {
        await tx`INSERT INTO kept VALUES (1)`;
        const inner = tx.savepoint(async (savepoint) => {
          await savepoint`INSERT INTO kept VALUES (2)`;
          throw rollback;
        });
        await assert.rejects(inner, rollback);
        await tx`INSERT INTO kept VALUES (3)`;
      });
      const undone = sql.begin(async (tx) => {
        await tx`INSERT INTO kept VALUES (4)`;
        throw rollback;
      });
      await assert.rejects(undone, rollback);
      assert.deepEqual([...(await sql`SELECT id FROM kept ORDER BY id`)], [{ id: 1 }, { id: 3 }]);
    }),

  pipeline: () =>
    withSql(async (sql) => {
      await sql`SELECT 1`;
      const sent = Array.from({ length: 50 }, (_, n) => sql`SELECT ${n}::int AS n`);
      assert.deepEqual(
        (await Promise.all(sent)).map(([row]) => row?.n),
        Array.from({ length: 50 }, (_, n) => n),
      );
      const mixed = [sql`SELECT 1 AS n`, sql`SELECT 1 / ${0}::int AS n`, sql`SELECT ${2}::int AS n`];
      const [first, second, third] = await Promise.allSettled(mixed);
      assert.equal(first?.status === 'fulfilled' && first.value[0]?.n, 1);
      assert.equal(second?.status === 'rejected' && second.reason.code, '22012');
      assert.equal(third?.status === 'fulfilled' && third.value[0]?.n, 2);
    }),

  portal: () =>
    withSql(async (sql) => {
      const portions: number[][] = [];
      for await (const rows of sql`SELECT generate_series(1, ${50}::int) AS n`.cursor(7)) {
        portions.push(rows.map((row) => row.n));
      }
      assert.deepEqual(
        portions.flat(),
        Array.from({ length: 50 }, (_, n) => n + 1),
      );
      assert.equal(portions[0]?.length, 7);
      // Left in the middle: the portal is closed while it has more.
      for await (const rows of sql`SELECT generate_series(1, ${50}::int) AS n`.cursor(7)) {
        assert.equal(rows.length, 7);
        break;
      }
      assert.deepEqual([...(await sql`SELECT 1 AS n`)], [{ n: 1 }]);
    }),

  copy: () =>
    withSql(async (sql) => {
      const rows = '1\ttab\\there\t\\N\n2\tline\\nbreak\t\\\\x00ff\n3\t\\\\.\t\\\\x\n';
      await sql`CREATE TEMP TABLE copied (id int4, note text, data bytea)`;
      const into: Writable = await sql`COPY copied FROM STDIN`.writable();
      await pipe(Readable.from([rows.slice(0, 10), rows.slice(10)]), into);
      assert.equal(await text(await sql`COPY copied TO STDOUT`.readable()), rows);
      // What the server says against rows it was sent is lost in postgres.js: no failing COPY here.
      assert.deepEqual([...(await sql`SELECT count(*)::int AS n FROM copied`)], [{ n: 3 }]);
    }),

  cancel: () =>
    withSql(async (sql) => {
      const query = sql`SELECT pg_sleep(30), 'postgres.js'`;
      const outcome = assert.rejects(query.execute(), { code: '57014' });
      // One that has not been sent yet is not cancelled, and never answered.
      await withSql(async (other) => {
        const runs = () =>
          other`SELECT 1 FROM pg_stat_activity WHERE query LIKE ${"SELECT pg_sleep(30), 'postgres.js'%"}`;
        while ((await runs()).length === 0) await sleep(50);
      });
      query.cancel();
      await outcome;
      assert.deepEqual([...(await sql`SELECT 1 AS n`)], [{ n: 1 }]);
    }),

  notify: () =>
    withSql(async (sql) => {
      const channel = `postgres_js_${process.pid}`;
      const received = Promise.withResolvers<string>();
      const listening = await sql.listen(channel, received.resolve);
      await sql.notify(channel, 'from the other');
      assert.equal(await received.promise, 'from the other');
      await listening.unlisten();
    }),

  refusal: async () => {
    needsRules();
    await withSql(async (sql) => {
      await assert.rejects(sql`DELETE FROM refused_table`, { code: '42501' });
      await assert.rejects(sql`DELETE FROM refused_table`.simple(), { code: '42501' });
      const mixed = [sql`SELECT 1 AS n`, sql`DELETE FROM refused_table`, sql`SELECT ${2}::int AS n`];
      const [first, second, third] = await Promise.allSettled(mixed);
      assert.equal(first?.status === 'fulfilled' && first.value[0]?.n, 1);
      assert.equal(second?.status === 'rejected' && second.reason.code, '42501');
      assert.equal(third?.status === 'fulfilled' && third.value[0]?.n, 2);
      assert.deepEqual([...(await sql`SELECT count(*)::int AS n FROM refused_table`)], [{ n: 3 }]);
    });
  },

  refusalInTransaction: async () => {
    needsRules();
    await withSql(async (sql) => {
      await sql`CREATE TEMP TABLE undone (id int)`;
      await sql.unsafe('BEGIN');
      await sql`INSERT INTO undone VALUES (${1})`;
      await assert.rejects(sql`DELETE FROM refused_table`, { code: '42501' });
      await assert.rejects(sql`SELECT 1`, { code: '25P02' });
      assert.equal((await sql.unsafe('COMMIT')).command, 'ROLLBACK');
      assert.deepEqual([...(await sql`SELECT count(*)::int AS n FROM undone`)], [{ n: 0 }]);
    });
  },
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { loadSampleData } from './sample-data.ts';

test('the sample data loads, and is the same every time', async () => {
  const server = await startEmbeddedPostgres();
  try {
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: server.user,
      password: server.password,
      database: server.database,
    });
    await client.connect();
    const load = async () => {
      await loadSampleData(client);
      const { rows } = await client.query(
        `SELECT (SELECT count(*) FROM customers)::int AS customers, (SELECT count(*) FROM orders)::int AS orders,
           (SELECT count(*) FROM payments)::int AS payments, (SELECT count(*) FROM employees)::int AS employees,
           (SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM customers c) AS hash,
           (SELECT sum(orders)::int FROM customer_totals) AS total, unpaid(2) > 0 AS unpaid`,
      );
      return rows[0];
    };
    const first = await load();
    await client.query('DROP TABLE customers, orders, payments, employees CASCADE; DROP FUNCTION IF EXISTS unpaid');
    assert.deepEqual(await load(), first);
    assert.equal(first.customers, 120);
    assert.equal(first.orders, 300);
    assert.equal(first.total, 300);
    assert.ok(first.payments > 100 && first.employees === 25, JSON.stringify(first));
    await client.end();
  } finally {
    await server.stop();
  }
});

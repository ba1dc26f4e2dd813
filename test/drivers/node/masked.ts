/** node-postgres decodes masked rows. In text format only: it reads every field as UTF-8 before it decodes it. */

import assert from 'node:assert/strict';
import pg from 'pg';
import { runChecks } from './report.ts';

const tables = (process.env.MASKED_TABLES ?? '').split(' ');

async function decode(table: string): Promise<void> {
  const db = new pg.Client({ ssl: false });
  await db.connect();
  try {
    const select = `SELECT * FROM ${table} ORDER BY id`;
    const portioned: pg.QueryConfig & { rows: number } = { text: select, rows: 1 };
    for (const query of [
      select,
      { text: `${select} LIMIT $1`, values: [5] },
      { name: 'named', text: select },
      portioned,
    ]) {
      assert.equal((await db.query(query)).rows.length, 2);
    }
    assert.equal((await db.query(`UPDATE ${table} SET id = id RETURNING *`)).rows.length, 2);
    await db.query(`BEGIN; DECLARE c CURSOR FOR ${select}`);
    assert.equal((await db.query('FETCH ALL FROM c')).rows.length, 2);
    await db.query('COMMIT');
  } finally {
    await db.end();
  }
}

await runChecks(Object.fromEntries(tables.map((table) => [table, () => decode(table)])));

/** mysql2 decodes masked rows, of the text and of the binary protocol. */

import assert from 'node:assert/strict';
import mysql from 'mysql2/promise';
import { runChecks } from './report.ts';

const { MYSQL_HOST: host = '', MYSQL_TCP_PORT, MYSQL_USER: user = '', MYSQL_PWD: password = '' } = process.env;
const { MYSQL_DATABASE: database = '', MASKED_TABLES = '' } = process.env;

async function decode(table: string): Promise<void> {
  for (const dateStrings of [false, true]) {
    const db = await mysql.createConnection({
      ...{ host, port: Number(MYSQL_TCP_PORT), user, password, database },
      ...{ dateStrings, multipleStatements: true },
    });
    try {
      const select = `SELECT * FROM ${table} ORDER BY id`;
      for (const rowsAsArray of [false, true]) {
        for (const [rows] of [
          await db.query({ sql: select, rowsAsArray }),
          await db.execute({ sql: select, rowsAsArray }),
        ]) {
          assert.equal((rows as unknown[]).length, 2);
        }
        const [several] = await db.query({ sql: `${select}; ${select}`, rowsAsArray });
        assert.deepEqual(
          (several as unknown[][]).map((rows) => rows.length),
          [2, 2],
        );
      }
      const [some] = await db.execute(`${select} LIMIT ?`, ['1']);
      assert.equal((some as unknown[]).length, 1);
    } finally {
      db.destroy();
    }
  }
}

await runChecks(Object.fromEntries(MASKED_TABLES.split(' ').map((table) => [table, () => decode(table)])));

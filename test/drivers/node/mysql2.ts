/** mysql2. What it is asked for in a row it sends one after the other: it does not pipeline. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { direct, needsRules, runChecks } from './report.ts';

const { MYSQL_HOST: host = '', MYSQL_TCP_PORT, MYSQL_USER: user = '', MYSQL_PWD: password = '' } = process.env;
const { MYSQL_DATABASE: database = '', MYSQL_SSL_MODE, MYSQL_SSL_CA: ca = '' } = process.env;
const SETTINGS: mysql.ConnectionOptions = {
  ...{ host, port: Number(MYSQL_TCP_PORT), user, password, database },
  ...(MYSQL_SSL_MODE === 'verify-full' && { ssl: { ca: readFileSync(ca), verifyIdentity: true } }),
  supportBigNumbers: true,
  dateStrings: true,
};

async function withConnection(run: (db: mysql.Connection) => Promise<void>, options: mysql.ConnectionOptions = {}) {
  const db = await mysql.createConnection({ ...SETTINGS, ...options });
  try {
    await run(db);
  } finally {
    db.destroy();
  }
}

const check =
  (run: (db: mysql.Connection) => Promise<void>, options: mysql.ConnectionOptions = {}) =>
  () =>
    withConnection(run, options);

async function value(db: mysql.Connection, sql: string, values?: unknown[]): Promise<unknown> {
  const [rows] = await db.query<Row[]>(sql, values);
  return Object.values(rows[0] ?? {})[0];
}

async function prepared(db: mysql.Connection, sql: string, values: (string | number | Buffer | null)[] = []) {
  const [rows] = await db.execute<Row[]>(sql, values);
  return Object.values(rows[0] ?? {})[0];
}

type Row = mysql.RowDataPacket;

/** By COM_QUERY, with the values in the text, and by COM_STMT_EXECUTE, with the values and rows in binary. */
function ways(db: mysql.Connection) {
  type Way = <T extends mysql.QueryResult = Row[]>(sql: string, values?: unknown[]) => Promise<[T, unknown]>;
  return [db.query.bind(db), db.execute.bind(db)] as [Way, Way];
}

const WIDE = {
  big: '-9223372036854775808',
  unsigned_big: '18446744073709551615',
  exact: '-12345678901234567890.01234567890123456789',
};
const ROW = {
  ...{ tiny: -128, small: -32768, medium: -8388608, ...WIDE },
  ...{ single: 0.5, twice: 1.5e308, bits: Buffer.from([2, 1]), year: 2155, day: '2024-02-29' },
  ...{ time: '12:34:56.789012', moment: '1999-12-31 23:59:59.999999', stamp: '2026-11-23 12:00:00.123456' },
  ...{
    fixed: 'fixed',
    text: "häß 漢字 🐘 'quoted' \\ \n",
    bytes: Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  },
  ...{ choice: 'b', several: 'x,z' },
};

await runChecks({
  connect: async () => {
    // Twice: where the server caches, the second login takes another way than the first.
    for (let n = 0; n < 2; n++) await withConnection(async (db) => assert.equal(await value(db, 'SELECT 1'), 1));
    const wrong = { ...SETTINGS, password: `wrong ${password}` };
    await assert.rejects(mysql.createConnection(wrong), { errno: 1045, sqlState: '28000' });
  },

  types: check(async (db) => {
    await db.query("SET time_zone = '+00:00'");
    for (const run of ways(db)) {
      const [[first, second, third]] = await run('SELECT * FROM typed ORDER BY id');
      const { id, document, ...row } = first!;
      assert.deepEqual([id, row], [1, ROW]);
      // MariaDB's JSON is a text.
      const json = typeof document === 'string' ? JSON.parse(document) : document;
      assert.deepEqual(json, { a: [1, null, 'ü'] });
      assert.equal(second?.big, '9223372036854775807');
      assert.equal(second?.time, '-838:59:58.000001');
      assert.equal(second?.text, '');
      assert.deepEqual(new Set(Object.values(third ?? {})), new Set([3, null]));
    }
    await db.query('CREATE TEMPORARY TABLE written LIKE typed');
    const columns = Object.keys(ROW);
    const into = `INSERT INTO written (id, ${columns}) VALUES (?, ${columns.map(() => '?')})`;
    await db.query(into, [1, ...Object.values(ROW)]);
    await db.execute(into, [2, ...Object.values(ROW)]);
    const using = columns.map((name) => `a.${name} <=> b.${name}`).join(' AND ');
    const same = `SELECT COUNT(*) FROM typed a JOIN written b ON ${using} WHERE a.id = 1`;
    assert.equal(await value(db, same), 2);
  }),

  simple: check(async (db) => {
    assert.equal(await value(db, "SELECT 'x;y' -- a comment"), 'x;y');
    const [rows, fields] = await db.query<Row[]>('SELECT 1 AS a, NULL AS b UNION SELECT 2, 3');
    assert.deepEqual(
      rows.map((row) => [row.a, row.b]),
      [
        [1, null],
        [2, 3],
      ],
    );
    assert.deepEqual(
      fields.map(({ name }) => name),
      ['a', 'b'],
    );
    await db.query('CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
    const [inserted] = await db.query<mysql.ResultSetHeader>('INSERT INTO counted (n) VALUES (1), (2), (3)');
    assert.deepEqual([inserted.affectedRows, inserted.insertId], [3, 1]);
    assert.match(inserted.info, /Records: 3/);
    const [updated] = await db.query<mysql.ResultSetHeader>('UPDATE counted SET n = 2 WHERE n > 1');
    // Rows found, as mysql2 asks for by CLIENT_FOUND_ROWS, and rows that changed.
    assert.deepEqual([updated.affectedRows, updated.changedRows], [2, 1]);
    await assert.rejects(db.query(''), { errno: 1065, sqlState: '42000' });
    await db.ping();
  }),

  prepared: check(async (db) => {
    const statement = await db.prepare('SELECT ? * 2 AS n, ? AS t');
    for (let n = 0; n < 20; n++) {
      const [rows] = await statement.execute([n, `text ${n}`]);
      assert.deepEqual(
        (rows as Row[]).map((row) => [Number(row.n), row.t]),
        [[n * 2, `text ${n}`]],
      );
    }
    await statement.close();
    await assert.rejects(statement.execute([1, 'x']), { errno: 1243, sqlState: 'HY000' });
    assert.equal(await prepared(db, 'SELECT COUNT(*) FROM typed WHERE id > ?', [1]), 2);
    await assert.rejects(db.prepare('SELEC ?'), { errno: 1064 });
  }),

  errors: check(async (db) => {
    await assert.rejects(db.query('SELEC 1'), { errno: 1064, sqlState: '42000', code: 'ER_PARSE_ERROR' });
    await assert.rejects(db.execute('SELECT * FROM nowhere'), { errno: 1146, sqlState: '42S02' });
    await db.query('CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY)');
    await db.query('INSERT INTO uniq VALUES (1)');
    for (const run of ways(db)) {
      await assert.rejects(run('INSERT INTO uniq VALUES (?)', [1]), { errno: 1062, sqlState: '23000' });
    }
    assert.equal(await value(db, 'SELECT COUNT(*) FROM uniq'), 1);
    await db.query("SELECT CAST('1x' AS SIGNED)");
    const [[warning]] = await db.query<Row[]>('SHOW WARNINGS');
    assert.equal(warning?.Code, 1292);
  }),

  transactions: check(async (db) => {
    await db.query('CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB');
    await db.beginTransaction();
    for (const sql of ['INSERT INTO kept VALUES (1)', 'SAVEPOINT s', 'INSERT INTO kept VALUES (2)'])
      await db.query(sql);
    await db.query('ROLLBACK TO s');
    await db.execute('INSERT INTO kept VALUES (?)', [3]);
    await db.commit();
    await db.beginTransaction();
    await db.query('INSERT INTO kept VALUES (4)');
    await db.rollback();
    assert.equal(await value(db, 'SELECT GROUP_CONCAT(id ORDER BY id) FROM kept'), '1,3');
  }),

  multi: check(
    async (db) => {
      const [results] = await db.query("SELECT 'x;y' AS a; DO 1; SELECT 'b' AS b, 2 AS c");
      const [first, second, third] = results as unknown as [unknown, mysql.ResultSetHeader, unknown];
      assert.deepEqual([first, third], [[{ a: 'x;y' }], [{ b: 'b', c: 2 }]]);
      assert.equal(second.affectedRows, 0);
      await assert.rejects(db.query('SELECT 1; SELEC 2; SELECT 3'), { errno: 1064 });
      for (const run of ways(db)) {
        const [[one, two]] = (await run('CALL two_results(?)', [4])) as unknown as [[unknown, unknown]];
        assert.deepEqual([one, two], [[{ a: 4 }], [{ b: 5, c: 'x' }]]);
        await assert.rejects(run('CALL fails_late()'), { errno: 1644, sqlState: '45000' });
      }
      await db.query('CALL twice(21, @doubled)');
      assert.equal(await value(db, 'SELECT @doubled'), 42);
    },
    { multipleStatements: true },
  ),

  batch: check(async (db) => {
    await db.query('CREATE TEMPORARY TABLE many (n INT, t TEXT)');
    const rows = Array.from({ length: 1000 }, (_, n) => [n, `text of ${n}`]);
    const [result] = await db.query<mysql.ResultSetHeader>('INSERT INTO many VALUES ?', [rows]);
    assert.equal(result.affectedRows, 1000);
    const sent = rows.map(([n]) => db.execute<Row[]>('SELECT t FROM many WHERE n = ?', [n ?? null]));
    assert.equal((await Promise.all(sent)).filter(([[row]], n) => row?.t === `text of ${n}`).length, 1000);
  }),

  cancel: check(async (db) => {
    const failed = assert.rejects(db.query('SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)'), {
      errno: 1317,
      sqlState: '70100',
    });
    await sleep(300);
    await withConnection(async (other) => {
      await other.query(`KILL QUERY ${db.threadId}`);
    });
    await failed;
    assert.equal(await value(db, 'SELECT 1'), 1);
  }),

  infile: check(async (db) => {
    await db.query('CREATE TEMPORARY TABLE loaded (n INT, t TEXT)');
    let asked = false;
    const load = db.query<mysql.ResultSetHeader>({
      sql: "LOAD DATA LOCAL INFILE 'rows' INTO TABLE loaded FIELDS TERMINATED BY ','",
      infileStreamFactory: () => {
        asked = true;
        return Readable.from([Buffer.from('1,one\n2,two\n')]);
      },
    });
    if (direct) assert.equal((await load)[0].affectedRows, 2);
    else await assert.rejects(load);
    assert.equal(asked, direct);
    assert.equal(await value(db, 'SELECT COUNT(*) FROM loaded'), direct ? 2 : 0);
  }),

  big: check(async (db) => {
    // Two packets each way.
    const bytes = Buffer.alloc(0xff_ff_ff + 5, 'sluice');
    for (const run of ways(db)) {
      const [[row]] = await run('SELECT ? AS v', [bytes.toString()]);
      assert.ok(bytes.equals(Buffer.from(row?.v)));
    }
  }),

  compression: check(
    async (db) => {
      const [rows] = await db.query<Row[]>("SHOW STATUS LIKE 'Compression'");
      if (direct) assert.equal(rows[0]?.Value, 'ON');
      assert.equal(await value(db, 'SELECT ?', ['x'.repeat(100_000)]), 'x'.repeat(100_000));
      assert.equal(await prepared(db, 'SELECT REPEAT(?, 1000000)', ['y']), 'y'.repeat(1_000_000));
    },
    { compress: true },
  ),

  reset: check(async (db) => {
    const statement = await db.prepare('SELECT 1');
    await db.query('SET @kept = 1');
    await db.reset();
    assert.equal(await value(db, 'SELECT @kept'), null);
    await assert.rejects(statement.execute([]), { errno: 1243 });
    await db.query('SET @kept = 1');
    await db.changeUser({ user, password, database });
    assert.equal(await value(db, 'SELECT @kept'), null);
    assert.equal(await value(db, 'SELECT DATABASE()'), database);
    await assert.rejects(db.changeUser({ user, password: `wrong ${password}`, database }), { errno: 1045 });
  }),

  refusal: check(
    async (db) => {
      needsRules();
      const refused = { errno: 1142, sqlState: '42000' };
      await assert.rejects(db.query('DELETE FROM refused_table'), refused);
      const [warnings] = await db.query<Row[]>('SHOW WARNINGS');
      assert.ok(warnings.some((row) => /Add a WHERE clause/.test(row.Message)));
      await assert.rejects(db.execute('DELETE FROM refused_table'), refused);
      await assert.rejects(db.query('SELECT 1; DELETE FROM refused_table'), refused);
      assert.equal(await prepared(db, 'SELECT COUNT(*) FROM refused_table'), 3);
      const question = 'EXPLAIN FORMAT=SLUICE DELETE FROM `refused_table`';
      for (const [rows] of [await db.query<Row[]>(question), await db.execute<Row[]>(question)]) {
        assert.deepEqual({ ...rows[0] }, { property: 'verdict', value: 'deny' });
      }
      const [rows] = await db.execute<Row[]>(`${question} WHERE id = ?`, [1]);
      assert.equal(rows[0]!.value, 'allow');
    },
    { multipleStatements: true },
  ),

  refusalInTransaction: check(async (db) => {
    needsRules();
    await db.query('CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB');
    // An error does not end a transaction: what came before it is still there, and can be kept or dropped.
    for (const end of ['COMMIT', 'ROLLBACK']) {
      await db.beginTransaction();
      await db.execute('INSERT INTO undone VALUES (?)', [1]);
      await assert.rejects(db.query('DELETE FROM refused_table'), { errno: 1142 });
      const [warnings] = await db.query<Row[]>('SHOW WARNINGS');
      assert.ok(warnings.length > 0);
      await db.query('INSERT INTO undone VALUES (2)');
      await db.query(end);
    }
    assert.equal(await value(db, 'SELECT COUNT(*) FROM undone'), 2);
  }),
});

/** mariadb (MariaDB Connector/Node.js): pipelines by itself, and sends batches as COM_STMT_BULK_EXECUTE where the server can. */

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as mariadb from 'mariadb';
import { direct, needsRules, runChecks } from './report.ts';

const { MYSQL_HOST: host = '', MYSQL_TCP_PORT, MYSQL_USER: user = '', MYSQL_PWD: password = '' } = process.env;
const { MYSQL_DATABASE: database = '', MYSQL_SSL_MODE, MYSQL_SSL_CA: ca = '' } = process.env;
const SETTINGS: mariadb.ConnectionConfig = {
  ...{ host, port: Number(MYSQL_TCP_PORT), user, password, database },
  // In clear, caching_sha2_password's full way needs the server's key.
  ...(MYSQL_SSL_MODE === 'verify-full' ? { ssl: { ca: readFileSync(ca) } } : { allowPublicKeyRetrieval: true }),
  dateStrings: true,
  autoJsonMap: false,
  maxAllowedPacket: 64 * 1024 * 1024,
};

async function withConnection(run: (db: mariadb.Connection) => Promise<void>, options: mariadb.ConnectionConfig = {}) {
  const db = await mariadb.createConnection({ ...SETTINGS, ...options });
  try {
    await run(db);
  } finally {
    db.destroy();
  }
}

const check =
  (run: (db: mariadb.Connection) => Promise<void>, options: mariadb.ConnectionConfig = {}) =>
  () =>
    withConnection(run, options);

async function value(db: mariadb.Connection, sql: string, values?: unknown[]): Promise<unknown> {
  const [row] = await db.query(sql, values);
  const [first] = Object.values(row);
  // A BIGINT, which MySQL gives more often than MariaDB.
  return typeof first === 'bigint' ? Number(first) : first;
}

/** By COM_QUERY, with the values in the text, and by COM_STMT_EXECUTE, with the values and rows in binary. */
function ways(db: mariadb.Connection) {
  return [db.query.bind(db), db.execute.bind(db)];
}

const ROW = {
  ...{ tiny: -128, small: -32768, medium: -8388608, big: -9223372036854775808n, unsigned_big: 18446744073709551615n },
  ...{ single: 0.5, twice: 1.5e308, exact: '-12345678901234567890.01234567890123456789', year: 2155 },
  ...{ bits: Buffer.from([2, 1]), day: '2024-02-29', time: '12:34:56.789012' },
  ...{ moment: '1999-12-31 23:59:59.999999', stamp: '2026-11-23 12:00:00.123456', fixed: 'fixed' },
  ...{ text: "häß 漢字 🐘 'quoted' \\ \n", bytes: Buffer.from(Array.from({ length: 256 }, (_, i) => i)) },
  ...{ choice: 'b', several: ['x', 'z'] },
};

await runChecks({
  connect: async () => {
    // Twice: where the server caches, the second login takes another way than the first.
    for (let n = 0; n < 2; n++) await withConnection(async (db) => assert.equal(await value(db, 'SELECT 1'), 1));
    const wrong = mariadb.createConnection({ ...SETTINGS, password: `wrong ${password}` });
    await assert.rejects(wrong, { errno: 1045, sqlState: '28000' });
  },

  types: check(async (db) => {
    await db.query("SET time_zone = '+00:00'");
    for (const run of ways(db)) {
      const [first, second, third] = await run('SELECT * FROM typed ORDER BY id');
      const { id, document, ...row } = first;
      assert.deepEqual([id, row], [1, ROW]);
      const json = typeof document === 'string' ? JSON.parse(document) : document;
      assert.deepEqual(json, { a: [1, null, 'ü'] });
      assert.equal(second.big, 9223372036854775807n);
      assert.equal(second.time, '-838:59:58.000001');
      assert.equal(second.text, '');
      assert.deepEqual(new Set(Object.values(third)), new Set([3, null]));
    }
    await db.query('CREATE TEMPORARY TABLE written LIKE typed');
    const columns = Object.keys(ROW);
    const into = `INSERT INTO written (id, ${columns}) VALUES (?, ${columns.map(() => '?')})`;
    const values = Object.values({ ...ROW, several: 'x,z' });
    for (const [n, run] of ways(db).entries()) await run(into, [n, ...values]);
    const using = columns.map((name) => `a.${name} <=> b.${name}`).join(' AND ');
    const same = `SELECT COUNT(*) FROM typed a JOIN written b ON ${using} WHERE a.id = 1`;
    assert.equal(await value(db, same), 2);
  }),

  simple: check(async (db) => {
    assert.equal(await value(db, "SELECT 'x;y' -- a comment"), 'x;y');
    await db.query('CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
    const { affectedRows, insertId } = await db.query('INSERT INTO counted (n) VALUES (1), (2), (3)');
    assert.deepEqual([affectedRows, insertId], [3, 1n]);
    const rows = [];
    for await (const row of db.queryStream('SELECT n FROM counted ORDER BY n')) rows.push(row.n);
    assert.deepEqual(rows, [1, 2, 3]);
    await db.ping();
  }),

  prepared: check(async (db) => {
    const statement = await db.prepare('SELECT ? * 2 AS n, ? AS t');
    for (let n = 0; n < 20; n++) {
      const [row] = await statement.execute([n, `text ${n}`]);
      assert.deepEqual([Number(row.n), row.t], [n * 2, `text ${n}`]);
    }
    statement.close();
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
      const [first, second, third] = await db.query("SELECT 'x;y' AS a; DO 1; SELECT 'b' AS b, 2 AS c");
      assert.deepEqual([first[0].a, second.affectedRows, third[0].b, Number(third[0].c)], ['x;y', 0, 'b', 2]);
      await assert.rejects(db.query('SELECT 1; SELEC 2; SELECT 3'), { errno: 1064 });
      for (const run of ways(db)) {
        const [one, two] = await run('CALL two_results(?)', [4]);
        assert.deepEqual([one[0].a, Number(two[0].b), two[0].c], [4, 5, 'x']);
        await assert.rejects(run('CALL fails_late()'), { errno: 1644, sqlState: '45000' });
      }
    },
    { multipleStatements: true },
  ),

  batch: check(async (db) => {
    await db.query('CREATE TEMPORARY TABLE many (n INT PRIMARY KEY, t TEXT)');
    const rows = Array.from({ length: 1000 }, (_, n) => [n, n % 7 === 0 ? null : `text of ${n}`]);
    await db.batch('INSERT INTO many VALUES (?, ?)', rows);
    assert.equal(await value(db, 'SELECT COUNT(*) FROM many'), 1000);
    assert.equal(await value(db, "SELECT COUNT(*) FROM many WHERE t = CONCAT('text of ', n)"), 857);
    await assert.rejects(
      db.batch('INSERT INTO many VALUES (?, ?)', [
        [2000, 'new'],
        [3, 'again'],
        [2001, 'new'],
      ]),
      {
        errno: 1062,
      },
    );
    assert.equal(await value(db, 'SELECT COUNT(t) FROM many WHERE n < 1000'), 857);
  }),

  pipeline: check(async (db) => {
    const sent = Array.from({ length: 50 }, (_, n) => value(db, 'SELECT ?', [n]));
    assert.deepEqual(
      await Promise.all(sent),
      Array.from({ length: 50 }, (_, n) => n),
    );
    const mixed = [value(db, 'SELECT 1'), value(db, 'SELECT * FROM nowhere'), value(db, 'SELECT 2')];
    const [first, second, third] = await Promise.allSettled(mixed);
    assert.deepEqual(
      [first, third],
      [
        { status: 'fulfilled', value: 1 },
        { status: 'fulfilled', value: 2 },
      ],
    );
    assert.equal(second?.status === 'rejected' && second.reason.errno, 1146);
    const prepared = Array.from({ length: 50 }, (_, n) => db.execute(`SELECT ? + ${n % 5} AS n`, [n]));
    const sums = (await Promise.all(prepared)).map((rows) => Number(rows[0].n));
    assert.deepEqual(
      sums,
      Array.from({ length: 50 }, (_, n) => n + (n % 5)),
    );
  }),

  cancel: check(async (db) => {
    const sql = 'SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)';
    const failed = assert.rejects(db.query(sql), { errno: 1317, sqlState: '70100' });
    await sleep(300);
    await withConnection(async (other) => {
      await other.query(`KILL QUERY ${db.threadId}`);
    });
    await failed;
    assert.equal(await value(db, 'SELECT 1'), 1);
    // Its own way is a SET STATEMENT before the text, which only MariaDB has.
    if (!db.info?.isMariaDB()) return;
    await assert.rejects(db.query({ sql, timeout: 300 }), { errno: 1969, sqlState: '70100' });
    assert.equal(await value(db, 'SELECT 1'), 1);
  }),

  infile: check(
    async (db) => {
      await db.query('CREATE TEMPORARY TABLE loaded (n INT, t TEXT)');
      const file = join(tmpdir(), `rows-${process.pid}`);
      writeFileSync(file, '1,one\n2,two\n');
      try {
        const load = db.query(`LOAD DATA LOCAL INFILE '${file}' INTO TABLE loaded FIELDS TERMINATED BY ','`);
        if (direct) assert.equal((await load).affectedRows, 2);
        else await assert.rejects(load);
      } finally {
        rmSync(file);
      }
      assert.equal(await value(db, 'SELECT COUNT(*) FROM loaded'), direct ? 2 : 0);
    },
    { permitLocalInfile: true },
  ),

  big: check(async (db) => {
    // Two packets each way.
    const text = 'sluice'.repeat(3_000_000);
    for (const run of ways(db)) {
      const [row] = await run('SELECT ? AS v', [text]);
      assert.ok(row.v === text);
    }
    // A packet that is full to its last byte has an empty one behind it: one byte of command, the rest is text.
    const filling = 0xff_ff_fe - "SELECT LENGTH('') AS n".length;
    assert.equal(Number(await value(db, `SELECT LENGTH('${'x'.repeat(filling)}') AS n`)), filling);
  }),

  compression: check(
    async (db) => {
      if (direct) assert.equal((await db.query("SHOW STATUS LIKE 'Compression'"))[0].Value, 'ON');
      assert.equal(await value(db, 'SELECT ?', ['x'.repeat(100_000)]), 'x'.repeat(100_000));
      const [row] = await db.execute('SELECT REPEAT(?, 1000000) AS v', ['y']);
      assert.equal(row.v, 'y'.repeat(1_000_000));
    },
    { compress: true },
  ),

  reset: check(async (db) => {
    await db.query('SET @kept = 1');
    await db.reset();
    assert.equal(await value(db, 'SELECT @kept'), null);
    await db.query('SET @kept = 1');
    // It refuses to on MySQL.
    if (!db.info?.isMariaDB()) return;
    await db.changeUser({ user, password, database });
    assert.equal(await value(db, 'SELECT @kept'), null);
    assert.equal(await value(db, 'SELECT DATABASE()'), database);
  }),

  refusal: check(
    async (db) => {
      needsRules();
      const refused = { errno: 1142, sqlState: '42000' };
      await assert.rejects(db.query('DELETE FROM refused_table'), refused);
      assert.match(JSON.stringify(await db.query('SHOW WARNINGS')), /Add a WHERE clause/);
      await assert.rejects(db.execute('DELETE FROM refused_table'), refused);
      await assert.rejects(db.query('SELECT 1; DELETE FROM refused_table'), refused);
      const sent = [value(db, 'SELECT 1'), value(db, 'DELETE FROM refused_table'), value(db, 'SELECT ?', [2])];
      const [first, second, third] = await Promise.allSettled(sent);
      assert.deepEqual(
        [first, third],
        [
          { status: 'fulfilled', value: 1 },
          { status: 'fulfilled', value: 2 },
        ],
      );
      assert.equal(second?.status === 'rejected' && second.reason.errno, 1142);
      assert.equal(await value(db, 'SELECT COUNT(*) FROM refused_table'), 3);
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
      assert.match(JSON.stringify(await db.query('SHOW WARNINGS')), /Add a WHERE clause/);
      await db.query('INSERT INTO undone VALUES (2)');
      await db.query(end);
    }
    assert.equal(await value(db, 'SELECT COUNT(*) FROM undone'), 2);
  }),
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { encodeQuery } from '../protocols/postgres/frontend.ts';
import { fetchRows, prepareAndExecute } from './mysql-results.ts';
import { RawClient } from './raw-client.ts';
import { RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** Results that a rule wants recorded, in all ways in which rows come: as the client is sent them, and no others. */

const run = promisify(execFile);
const CANARY = 'canary@secret.example';
const rulesYaml = `version: 1
rules:
  - { id: everything, match: {}, action: allow }
  - id: kept
    match: { identities: { subjects: [bot] }, effects: [read], tables: ["*.orders", "*.large"] }
    action: allow
    record: { results: { rows: 3, bytes: 2KiB } }
masks:
  - { id: emails, columns: "*.orders.email", with: redact }
`;

interface Result {
  readonly statement: number;
  readonly columns: string[];
  readonly rows: (string | null)[][];
  readonly truncated?: true;
}

let postgres: PostgresServer;
let mariadb: MysqlFamilyServer;
let mysql9: MysqlFamilyServer;
let sluice: Sluice;

before(async () => {
  [postgres, mariadb, mysql9] = await Promise.all([
    startPostgres(),
    startMariadb().then((server) => server ?? assert.fail('no MariaDB can be had')),
    startMysql().then((server) => server ?? assert.fail('no MySQL can be had')),
  ]);
  await postgres.query(`CREATE TABLE orders (id int, email text, at timestamptz, price numeric(8, 2), raw bytea, tags text[]);
    INSERT INTO orders VALUES (1, '${CANARY}', '2026-01-31 12:00:00+00', 12.50, '\\xdeadbeef', '{a,b}'), (2, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE large (id int, body text); INSERT INTO large SELECT n, repeat('x', 100) FROM generate_series(1, 10) AS n`);
  for (const server of [mariadb, mysql9]) {
    await server.query(`CREATE TABLE orders (id INT, email VARCHAR(60), at DATETIME, price DECIMAL(8, 2), raw VARBINARY(8), n BIGINT UNSIGNED);
    INSERT INTO orders VALUES (1, '${CANARY}', '2026-01-31 12:00:00', 12.50, x'deadbeef', 18446744073709551615), (2, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE large (id INT, body TEXT);
    INSERT INTO large WITH RECURSIVE seq AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM seq WHERE n < 10) SELECT n, REPEAT('x', 100) FROM seq`);
  }
  const upstreamOf = ({ host, port, database, superuser: user, password }: PostgresServer | MysqlFamilyServer) => ({
    ...{ host, port, database, user, password },
  });
  sluice = await startSluice({
    connections: [
      { name: 'shop', upstream: upstreamOf(postgres) },
      { name: 'stock', protocol: 'mysql', upstream: upstreamOf(mariadb) },
      { name: 'stock9', protocol: 'mysql', upstream: upstreamOf(mysql9) },
    ],
    users: [
      { name: 'bot', password: 'secret' },
      { name: 'other', password: 'secret' },
    ],
    rulesYaml,
  });
});
after(async () => {
  await sluice?.stop();
  await Promise.all([postgres?.stop(), mariadb?.stop(), mysql9?.stop()]);
});

/** What was recorded of the newest session, and how many statements it had. */
async function recorded(): Promise<{ session: string; results: Result[]; outcomes: number }> {
  for (const begun = performance.now(); ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const journal = sluice.journal();
    const end = journal.findLast(({ event }) => event === 'session.end' || event === 'session.start');
    assert.ok(performance.now() - begun < 30_000, 'the session has no end');
    if (end?.event !== 'session.end') continue;
    const own = journal.filter(({ session }) => session === end.session);
    return {
      session: String(end.session),
      results: own.filter(({ event }) => event === 'statement.result') as unknown as Result[],
      outcomes: own.filter(({ event }) => event === 'statement.outcome').length,
    };
  }
}

async function inPostgres(work: (client: pg.Client) => Promise<void>, user = 'bot'): Promise<void> {
  const client = new pg.Client({ host: sluice.host, port: sluice.port, user, password: 'secret', database: 'shop' });
  await client.connect();
  await work(client);
  await client.end();
}

async function inMysql(
  database: string,
  work: (client: mysql.Connection) => Promise<void>,
  user = 'bot',
): Promise<void> {
  const login = { host: sluice.host, port: sluice.mysqlPort, user, password: 'secret', database };
  const client = await mysql.createConnection({ ...login, multipleStatements: true });
  await work(client);
  await client.end();
}

const shown = ({ columns, rows, truncated }: Result) => ({ columns, rows, truncated: truncated === true });

describe('PostgreSQL', () => {
  test('rows are recorded as the client was sent them, whatever the protocol and the format', async () => {
    const text = 'SELECT id, email, price, raw, tags FROM orders ORDER BY id';
    await inPostgres(async (client) => {
      await client.query(text);
      await client.query(`${text} LIMIT $1`, [2]);
      await client.query({ text: `${text} OFFSET $1`, values: [0], binary: true } as pg.QueryConfig);
    });
    const { results } = await recorded();
    const columns = ['id', 'email', 'price', 'raw', 'tags'];
    const rows = [
      ['1', '[redacted]', '12.50', '\\xdeadbeef', '{a,b}'],
      ['2', null, null, null, null],
    ];
    assert.deepEqual(results.slice(0, 2).map(shown), [
      { columns, rows, truncated: false },
      { columns, rows, truncated: false },
    ]);
    const [, , binary] = results;
    assert.deepEqual(binary!.columns, columns);
    assert.deepEqual(binary!.rows[0]!.slice(0, 4), rows[0]!.slice(0, 4));
    assert.deepEqual(binary!.rows[1], rows[1]);
  });

  test('no more than the rule says', async () => {
    await inPostgres(async (client) => {
      assert.equal((await client.query('SELECT id FROM large ORDER BY id')).rows.length, 10);
      const { rows } = await client.query("SELECT repeat(body, 12) || 'end' AS body FROM large ORDER BY id");
      assert.ok(rows.length === 10 && rows.every(({ body }) => body.length === 1203));
    });
    const { results } = await recorded();
    assert.deepEqual(
      results.map(({ rows, truncated }) => [rows.length, truncated]),
      [
        [3, true],
        [1, true],
      ],
    );
  });

  test('each statement of a text has its own, and statements that are not meant have none', async () => {
    await inPostgres(async (client) => {
      await client.query(
        'SELECT 1 AS one; SELECT id FROM orders ORDER BY id LIMIT 1; SELECT count(*) FROM large; BEGIN; COMMIT',
      );
    });
    const { results, outcomes } = await recorded();
    assert.deepEqual(
      results.map(({ statement, columns, rows }) => [statement, columns, rows]),
      [
        [2, ['id'], [['1']]],
        [3, ['count'], [['10']]],
      ],
    );
    assert.equal(outcomes, 5);
    await inPostgres(async (client) => void (await client.query('SELECT id FROM orders')), 'other');
    assert.deepEqual((await recorded()).results, []);
  });

  test('what COPY sends is recorded row by row, masked as the client was sent it, in every format', async () => {
    const copies: Buffer[] = [];
    const { host, port } = sluice;
    const client = await RawClient.login({ host, port, user: 'bot', password: 'secret', database: 'shop' });
    for (const options of ['', 'WITH (FORMAT csv, HEADER)', 'WITH (FORMAT binary)']) {
      client.send(encodeQuery(`COPY (SELECT id, email, tags FROM orders ORDER BY id) TO STDOUT ${options}`));
      const messages = await client.take('Z');
      copies.push(Buffer.concat(messages.filter(({ type }) => type === 'd').map(({ body }) => body)));
    }
    client.send(encodeQuery('COPY (SELECT body FROM large ORDER BY id) TO STDOUT'));
    const large = (await client.take('Z')).filter(({ type }) => type === 'd');
    client.destroy();
    assert.equal(large.length, 10);
    assert.equal(copies[0]!.toString(), '1\t[redacted]\t{a,b}\n2\t\\N\t\\N\n');
    const { results } = await recorded();
    const columns = ['id', 'email', 'tags'];
    const rows = [
      ['1', '[redacted]', '{a,b}'],
      ['2', null, null],
    ];
    assert.deepEqual(results.slice(0, 2).map(shown), [
      { columns, rows, truncated: false },
      { columns, rows, truncated: false },
    ]);
    // Of binary data only the columns are known, not their types.
    const [id, email] = results[2]!.rows[0]!;
    assert.deepEqual([id, email], ['\\x00000001', `\\x${Buffer.from('[redacted]').toString('hex')}`]);
    assert.deepEqual(results[2]!.rows[1]!.slice(1), [null, null]);
    assert.deepEqual([results[3]!.rows.length, results[3]!.truncated], [3, true]);
  });

  test('rows that are fetched in parts are recorded with each part', async () => {
    await inPostgres(async (client) => {
      const { rows } = await client.query({
        text: 'SELECT id, email FROM orders ORDER BY id',
        values: [],
        name: 'parts',
        rows: 1,
      } as pg.QueryConfig);
      assert.equal(rows.length, 2);
    });
    const { results } = await recorded();
    assert.deepEqual(
      results.map(({ columns, rows }) => [columns, rows]),
      [
        [['id', 'email'], [['1', '[redacted]']]],
        [['id', 'email'], [['2', null]]],
      ],
    );
  });

  test('what a cursor gives is recorded with each FETCH', async () => {
    await inPostgres(async (client) => {
      await client.query(
        'BEGIN; DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id; FETCH 1 FROM c; FETCH 1 FROM c; COMMIT',
      );
    });
    const { results } = await recorded();
    assert.deepEqual(
      results.map(({ columns, rows }) => [columns, rows]),
      [
        [['id'], [['1']]],
        [['id'], [['2']]],
      ],
    );
  });

  test('a replay shows them', async () => {
    await inPostgres(async (client) => void (await client.query('SELECT id, email FROM orders ORDER BY id')));
    const { session } = await recorded();
    const program = join(import.meta.dirname, '../src/cli/sluice.js');
    const { stdout } = await run(process.execPath, [
      program,
      'sessions',
      'replay',
      session,
      '--no-wait',
      '--journal',
      dirname(sluice.storeFile),
    ]);
    assert.match(stdout, /id {2}email\n +1 +\[redacted\]\n +2 +NULL\n/);
  });
});

for (const [name, connection] of [
  ['MariaDB', 'stock'],
  ['MySQL', 'stock9'],
] as const) {
  describe(name, () => {
    test('rows are recorded as the client was sent them, in the text and the binary protocol', async () => {
      const text = 'SELECT id, email, at, price, raw, n FROM orders ORDER BY id';
      await inMysql(connection, async (client) => {
        await client.query(text);
        await client.execute(`${text} LIMIT ?`, ['2']);
      });
      const { results } = await recorded();
      const columns = ['id', 'email', 'at', 'price', 'raw', 'n'];
      const rows = [
        ['1', '[redacted]', '2026-01-31 12:00:00', '12.50', '0xdeadbeef', '18446744073709551615'],
        ['2', null, null, null, null, null],
      ];
      assert.deepEqual(results.map(shown), [
        { columns, rows, truncated: false },
        { columns, rows, truncated: false },
      ]);
    });

    test('no more than the rule says, and each statement of a text has its own', async () => {
      await inMysql(connection, async (client) => {
        const [rows] = await client.query<mysql.RowDataPacket[][]>(
          'SELECT 1; SELECT id FROM large ORDER BY id; SELECT COUNT(*) AS n FROM large',
        );
        assert.deepEqual(
          rows.map(({ length }) => length),
          [1, 10, 1],
        );
      });
      const { results } = await recorded();
      assert.deepEqual(
        results.map(({ columns, rows, truncated }) => [columns, rows.length, truncated]),
        [
          [['id'], 3, true],
          [['n'], 1, undefined],
        ],
      );
      await inMysql(connection, async (client) => void (await client.query('SELECT id FROM orders')), 'other');
      assert.deepEqual((await recorded()).results, []);
    });

    test('what a cursor gives is recorded with each part that is fetched', async () => {
      const login = { user: 'bot', password: 'secret', database: connection };
      const client = await RawMysqlClient.login(sluice.mysqlPort, login);
      const { id, results: opened } = await prepareAndExecute(
        client,
        'SELECT id, email FROM orders ORDER BY id',
        [],
        1,
      );
      assert.equal(opened[0]!.hasCursor, true);
      for (let part = 0; part < 2; part++) await fetchRows(client, id, 1, opened[0]!.columns);
      client.close();
      const { results } = await recorded();
      assert.deepEqual(
        results.filter(({ rows }) => rows.length > 0).map(({ columns, rows }) => [columns, rows]),
        [
          [['id', 'email'], [['1', '[redacted]']]],
          [['id', 'email'], [['2', null]]],
        ],
      );
    });
  });
}

test('nothing of a masked column is in the journal', () => {
  assert.ok(!JSON.stringify(sluice.journal()).includes('canary'));
});

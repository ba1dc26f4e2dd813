import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { encodeBind, encodeExecute, encodeParse, encodeSync } from '../protocols/postgres/frontend.ts';
import { RawClient, shapeOf } from './raw-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** Rules that ask what the server expects of a statement, on real servers: the statement is planned, and not run. */

const RULES = `version: 1
rules:
  - id: large
    match: { effects: [read, update, delete, insert] }
    if: estimate.rows > 1000
    action: deny
    message: That is too many rows at once.
`;

let postgres: PostgresServer;
let mariadb: MysqlFamilyServer;
let sluice: Sluice;

before(async () => {
  postgres = await startPostgres({ config: { log_statement: 'all' } });
  const started = await startMariadb({ config: { general_log: '1', log_output: 'TABLE' } });
  assert.ok(started);
  mariadb = started;
  await postgres.query(`CREATE TABLE items (id int PRIMARY KEY, grp int);
    INSERT INTO items SELECT n, n % 100 FROM generate_series(1, 20000) AS n; ANALYZE items;
    CREATE FUNCTION spy() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END'`);
  await mariadb.query(`CREATE TABLE items (id INT PRIMARY KEY, grp INT);
    INSERT INTO items SELECT seq, seq % 100 FROM seq_1_to_20000; ANALYZE TABLE items`);
  sluice = await startSluice({
    connections: [
      { name: 'pg', upstream: upstreamOf(postgres) },
      { name: 'my', protocol: 'mysql', upstream: upstreamOf(mariadb) },
    ],
    users: [{ name: 'bot', password: 'secret' }],
    rulesYaml: RULES,
  });
});
after(async () => {
  await sluice?.stop();
  await postgres?.stop();
  await mariadb?.stop();
});

const upstreamOf = ({ host, port, database, superuser: user, password }: PostgresServer | MysqlFamilyServer) => ({
  host,
  port,
  database,
  user,
  password,
});

describe('PostgreSQL', () => {
  const connected = async () => {
    const { host, port } = sluice;
    const client = new pg.Client({ host, port, user: 'bot', password: 'secret', database: 'pg' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const refused = { code: '42501', message: 'That is too many rows at once.' };

  test('a statement is let through or refused by the rows that are expected of it, values and all', async () => {
    const client = await connected();
    assert.equal((await client.query('SELECT id FROM items WHERE id < 20')).rows.length, 19);
    assert.equal((await client.query('SELECT id FROM items WHERE id < $1', [20])).rows.length, 19);
    assert.equal((await client.query('SELECT id FROM items LIMIT 5')).rows.length, 5);
    await assert.rejects(client.query('SELECT id FROM items'), refused);
    await assert.rejects(client.query('SELECT id FROM items WHERE id < $1', [15000]), refused);
    await assert.rejects(client.query('DELETE FROM items WHERE id > $1', [10]), refused);
    await client.query('BEGIN');
    assert.equal((await client.query('UPDATE items SET grp = 1 WHERE id = $1', [7])).rowCount, 1);
    await client.query('ROLLBACK');
    await assert.rejects(client.query({ name: 'p', text: 'UPDATE items SET grp = grp', values: [] }), refused);
    const { rows } = await client.query('EXPLAIN (SLUICE) SELECT id FROM items');
    assert.deepEqual([rows[0].value, rows[1].value], ['deny', 'large']);
    assert.ok(!/statement: (SELECT id FROM items$|DELETE|UPDATE items SET grp = grp)/m.test(postgres.log()));
    assert.deepEqual(await postgres.query('SELECT count(*)::int AS n FROM items'), [{ n: 20000 }]);
    await client.end();
  });

  test('what cannot be planned without doing something counts as too many, and is not planned', async () => {
    const client = await connected();
    for (const text of [
      'SELECT spy() FROM items WHERE id = 1',
      'SELECT id FROM items WHERE id = 1; SELECT id FROM items WHERE id = 2',
      'SELECT id FROM items WHERE id = 1 FOR UPDATE',
    ]) {
      await assert.rejects(client.query(text), refused, text);
    }
    assert.ok(!/EXPLAIN.*spy/.test(postgres.log()));
    await assert.rejects(client.query('SELECT id FROM nowhere'), refused);
    await client.end();
  });

  test('rows that are asked for in parts are estimated once', async () => {
    const { host, port } = sluice;
    const raw = await RawClient.login({ host, port, user: 'bot', password: 'secret', database: 'pg' });
    const text = 'SELECT grp FROM items WHERE id < 10';
    raw.send(
      Buffer.concat([
        encodeParse({ statement: '', text, parameterTypes: [] }),
        encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
        ...[3, 3, 0].map((maxRows) => encodeExecute({ portal: '', maxRows })),
        encodeSync(),
      ]),
    );
    assert.match(shapeOf(await raw.take('Z')), /^1 2 (D\(\d+\) ){3}s (D\(\d+\) ){3}s (D\(\d+\) ){3}C/);
    assert.equal(postgres.log().match(/EXPLAIN \(FORMAT JSON\) SELECT grp/g)?.length, 1);
    raw.socket.destroy();
  });
});

test('MariaDB: a statement is let through or refused by the rows that are expected of it, values and all', async () => {
  const { host, mysqlPort: port } = sluice;
  const client = await mysql.createConnection({ host, port, user: 'bot', password: 'secret', database: 'my' });
  const refused = { errno: 1142, message: 'That is too many rows at once.' };
  assert.equal((await client.query<mysql.RowDataPacket[]>('SELECT id FROM items WHERE id < 20'))[0].length, 19);
  const text = 'SELECT id FROM items WHERE id < ?';
  assert.equal((await client.execute<mysql.RowDataPacket[]>(text, [20]))[0].length, 19);
  await assert.rejects(client.execute(text, [15000]), refused);
  await assert.rejects(client.query('SELECT id FROM items'), refused);
  await assert.rejects(client.query('SELECT a.id FROM items AS a JOIN items AS b ON a.grp = b.grp'), refused);
  await assert.rejects(client.query('DELETE FROM items WHERE id > 10'), refused);
  const [changed] = await client.execute<mysql.ResultSetHeader>('UPDATE items SET grp = 5000 WHERE id = ?', [7]);
  assert.equal(changed.affectedRows, 1);
  await assert.rejects(client.query('INSERT INTO items SELECT id + 100000, 1 FROM items WHERE id = 1'), refused);
  const [rows] = await client.query<mysql.RowDataPacket[]>('EXPLAIN FORMAT=SLUICE SELECT id FROM items');
  assert.deepEqual([rows[0]!.value, rows[1]!.value], ['deny', 'large']);
  assert.equal((await mariadb.query('SELECT id FROM items')).length, 20000);
  await client.end();
});

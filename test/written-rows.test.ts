/** What agents write through a running Sluice: bulk loads of any length, and rows that binds name. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { merged } from './corpus/merged-rules.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startPostgres } from './servers/postgres.ts';
import { type Sluice, type SluiceConnection, startSluice } from './sluice.ts';

const AGENT = { name: 'loader', password: 'loader', kind: 'agent' } as const;
const RULES = merged(
  ['agents-guarded-writes', 'mysql-agents'].map((pack) => join(import.meta.dirname, '../rules', `${pack}.yaml`)),
);
const MEGABYTE = 1024 * 1024;

const postgres = await startPostgres();
const mariadb = await startMariadb();
let sluice: Sluice;

before(async () => {
  await postgres.query('CREATE TABLE loaded (id int, note text, price numeric)');
  const { host, port, superuser: user, password } = postgres;
  const connections: SluiceConnection[] = [
    { name: 'pg', upstream: { host, port, database: 'postgres', user, password }, default: 'deny' },
  ];
  if (mariadb !== null) {
    await mariadb.query('CREATE TABLE loaded (id int, note text, price decimal(10, 2))');
    await mariadb.query('CREATE TABLE other (id int)');
    await mariadb.query(
      "CREATE TABLE notes (id int PRIMARY KEY, tag varchar(20)); INSERT INTO notes VALUES (1, 'a'), (2, 'b'), (3, '1c')",
    );
    const { host, port, database, superuser: user, password } = mariadb;
    connections.push({
      ...{ name: 'my', protocol: 'mysql', default: 'deny' },
      upstream: { host, port, database, user, password },
    });
  }
  sluice = await startSluice({ connections, users: [AGENT], rulesYaml: RULES });
});

after(async () => {
  await sluice.stop();
  await postgres.stop();
  await mariadb?.stop();
});

const ROW = "(12345, 'it''s a note; with (text) -- and more', 19.99)";

/** @returns the text, and how many rows it has */
function insertOf(bytes: number, more = ''): [text: string, rows: number] {
  const rows = Math.floor(bytes / (ROW.length + 2));
  return [`INSERT INTO loaded VALUES ${`${ROW},\n`.repeat(rows - 1)}${ROW}${more}`, rows];
}

test('PostgreSQL: inserts of 1 and 10 MB run, what hides in one does not', async () => {
  const { name: user, password } = AGENT;
  const client = new pg.Client({ host: sluice.host, port: sluice.port, user, password, database: 'pg' });
  await client.connect();
  try {
    for (const bytes of [MEGABYTE, 10 * MEGABYTE]) {
      const [text, rows] = insertOf(bytes);
      assert.equal((await client.query(text)).rowCount, rows);
    }
    const [hiding] = insertOf(MEGABYTE, ", (1, pg_read_file('PG_VERSION'), 1)");
    await assert.rejects(client.query(hiding), /file/);
    const [several] = insertOf(MEGABYTE, '; DELETE FROM loaded');
    await assert.rejects(client.query(several), /DELETE/);
  } finally {
    await client.end();
  }
});

test('MariaDB: inserts of 1 and 10 MB run, what hides in one does not', async (context) => {
  if (mariadb === null) return context.skip('there is no MariaDB here');
  const login = {
    host: sluice.host,
    port: sluice.mysqlPort,
    user: AGENT.name,
    password: AGENT.password,
    database: 'my',
  };
  const client = await mysql.createConnection({ ...login, multipleStatements: true });
  try {
    for (const bytes of [MEGABYTE, 10 * MEGABYTE]) {
      const [text, rows] = insertOf(bytes);
      const [result] = await client.query<mysql.ResultSetHeader>(text);
      assert.equal(result.affectedRows, rows);
    }
    const [hiding] = insertOf(MEGABYTE, ", (1, LOAD_FILE('/etc/passwd'), 1)");
    await assert.rejects(client.query(hiding), /file|LOAD_FILE/i);
    const [several] = insertOf(MEGABYTE, '; DELETE FROM other');
    await assert.rejects(client.query(several), /DELETE/);
  } finally {
    await client.end();
  }
});

test('MariaDB: a number in the place of a text names no rows', async (context) => {
  if (mariadb === null) return context.skip('there is no MariaDB here');
  const login = {
    host: sluice.host,
    port: sluice.mysqlPort,
    user: AGENT.name,
    password: AGENT.password,
    database: 'my',
  };
  const client = await mysql.createConnection({ ...login, multipleStatements: true });
  const ids = async () => (await mariadb.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
  try {
    for (const value of [0, false, 1]) {
      await assert.rejects(client.execute('DELETE FROM notes WHERE tag = ?', [value]), /number is compared with text/);
      await assert.rejects(
        client.execute('UPDATE notes SET id = id + ? WHERE tag IN (?, ?)', [9, 'x', value]),
        /number/,
      );
    }
    await client.query("PREPARE p FROM 'DELETE FROM notes WHERE tag = ?'; SET @zero = 0");
    await assert.rejects(client.query('EXECUTE p USING @zero'), /may be a number/);
    await assert.rejects(
      client.query("EXECUTE IMMEDIATE 'DELETE FROM notes WHERE tag = ?' USING 0"),
      /may be a number/,
    );
    assert.deepEqual(await ids(), [1, 2, 3]);
    await client.execute('DELETE FROM notes WHERE tag = ?', ['a']);
    await client.execute('DELETE FROM notes WHERE id = ?', [2]);
    await client.execute('DELETE FROM notes WHERE tag = ? AND id = ?', [null, 3]);
    assert.deepEqual(await ids(), [3]);
  } finally {
    await client.end();
  }
});

/** `sluice masks preview` shows what a client gets, on all servers, and runs nothing but a SELECT that only reads. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import { startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

const PROGRAM = join(import.meta.dirname, '../src/cli/sluice.js');
const SECRET = 'ida.secret@shop.test';

const RULES = `version: 1
rules:
  - { id: no-orders, match: { tables: [orders] }, action: deny, message: Not these., hint: Others. }
masks:
  - { id: mail, columns: people.mail, with: { email: keep-domain }, unless: { identities: { groups: [readers] } } }
  - { id: phone, columns: people.phone, with: { partial: { first: 0, last: 2 } } }
  - { id: number, columns: people.number, with: { hash: { key: { command: [printf, "a key of the test"] } } } }
  - { id: born, columns: people.born, with: year }
  - { id: card, columns: "people.profile:$.card", with: null }
detectors:
  - { id: cards, find: payment-card, columns: "*", with: redact }
`;

const TABLES = (json: string) => `
  CREATE TABLE people (id INT PRIMARY KEY, mail VARCHAR(60), phone VARCHAR(20), number INT, born DATE, profile ${json}, note VARCHAR(60));
  INSERT INTO people VALUES
    (1, '${SECRET}', '+49 30 1234567', 7, '1984-05-06', '{"card": "4111", "city": "Ulm"}', 'pays by 4111 1111 1111 1111'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, 'jon@else.test', '12', 8, '2001-01-02', '{"city": "Rom"}', 'nothing');
  CREATE TABLE orders (id INT PRIMARY KEY)`;

const QUERY = 'SELECT id, mail, UPPER(mail) AS loud, phone, number, born, profile, note FROM people ORDER BY id';

interface Finished {
  readonly code: unknown;
  readonly out: string;
  readonly err: string;
}

for (const [kind, start] of [
  ['PostgreSQL', startPostgres],
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(kind, { timeout: 500_000 }, () => {
    let server: NonNullable<Awaited<ReturnType<typeof start>>>;
    let sluice: Sluice;
    const protocol = kind === 'PostgreSQL' ? 'postgres' : 'mysql';

    before(async () => {
      server = (await start())!;
      await server.query(TABLES(protocol === 'postgres' ? 'JSONB' : 'JSON'));
      const { host, port, database, superuser: user, password } = server;
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol, upstream: { host, port, database, user, password } }],
        users: [{ name: 'bot', password: 'secret' }],
        rulesYaml: RULES,
      });
    });
    after(async () => {
      await sluice?.stop();
      await server?.stop();
    });

    const preview = async (sql: string, ...more: string[]): Promise<Finished> => {
      const args = ['masks', 'preview', 'shop', sql, '--config', sluice.configFile, ...more];
      const child = spawn(process.execPath, [PROGRAM, ...args]);
      let [out, err] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
      const [code] = await once(child, 'close');
      return { code, out, err };
    };

    /** What a client gets through Sluice, as text. */
    const received = async (sql: string): Promise<(string | null)[][]> => {
      const login = { host: '127.0.0.1', user: 'bot', password: 'secret', database: 'shop' };
      if (protocol === 'postgres') {
        const client = new pg.Client({ ...login, port: sluice.port });
        await client.connect();
        const types = { getTypeParser: () => (value: string) => value };
        const { rows } = await client.query<(string | null)[]>({ text: sql, rowMode: 'array', types: types as never });
        await client.end();
        return rows;
      }
      const connection = await mysql.createConnection({ ...login, port: sluice.mysqlPort, charset: 'utf8mb4' });
      const typeCast = (field: { buffer(): Buffer | null }) => field.buffer()?.toString('utf8') ?? null;
      const [rows] = await connection.query({ sql, rowsAsArray: true, typeCast: typeCast as never });
      await connection.end();
      return rows as unknown as (string | null)[][];
    };

    test('the rows are those that a client gets', async () => {
      const { code, out, err } = await preview(QUERY, '--as', 'bot', '--json');
      assert.equal(code, 0, err);
      const { rows, columns } = JSON.parse(out);
      assert.deepEqual(rows, await received(QUERY));
      assert.equal(rows[0]?.[1], '****@shop.test');
      assert.ok(!out.includes('ida') && !out.includes('IDA') && !out.includes('4111'), out);
      assert.deepEqual(
        columns.map(({ name, from, by }: { name: string; from: string; by: string[] }) => [name, from, by]),
        [
          ['id', 'plain', ['cards']],
          ['mail', 'plain', ['mail']],
          [columns[2].name, 'derived', ['mail']],
          ['phone', 'plain', ['phone']],
          ['number', 'plain', ['number']],
          ['born', 'plain', ['born']],
          ['profile', 'plain', ['card', 'cards']],
          ['note', 'plain', ['cards']],
        ],
      );
    });

    test('it is a table for people, of so many rows, whatever the statement says', async () => {
      const { code, out } = await preview(
        'SELECT id, mail FROM people ORDER BY id LIMIT 1000',
        '--as',
        'bot',
        '--rows',
        '1',
      );
      assert.equal(code, 0);
      assert.match(out, /^Its result:\nCOLUMN +IS +OF +MASKED BY +BECOMES\n/);
      assert.match(
        out,
        /\nmail +the value +\S*people\.mail +mail +the domain of the address\n\nid +mail\n1 +\*{4}@shop\.test\n$/,
      );
    });

    test('whom a mask is not for sees the value, and rules of other files can be tried', async () => {
      const reader = await preview(
        'SELECT mail FROM people WHERE id = 1',
        '--as',
        'eve',
        '--kind',
        'human',
        '--groups',
        'readers',
      );
      assert.ok(reader.out.includes(SECRET), reader.err);
      const unknown = await preview('SELECT mail FROM people', '--as', 'eve');
      assert.equal(unknown.code, 2);
    });

    test('what is refused, does more than read, or is no SELECT is not run', async () => {
      const refused = await preview('SELECT id FROM orders', '--as', 'bot');
      assert.deepEqual(refused, { code: 1, out: '', err: 'Not these.\nOthers.\n' });
      for (const sql of [
        'DELETE FROM people',
        'SELECT 1; SELECT 2',
        'SELECT id FROM people FOR UPDATE',
        'SELEC 1',
        '',
      ]) {
        const { code, out, err } = await preview(sql, '--as', 'bot');
        assert.deepEqual([code, out], [2, ''], sql);
        assert.match(err, /^A preview is of one SELECT that only reads; this has /, sql);
      }
      const wrong = await preview('SELECT nothing FROM people', '--as', 'bot');
      assert.equal(wrong.code, 1);
      assert.equal((await server.query('SELECT id FROM people')).length, 3);
    });
  });
}

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { COM } from '../protocols/mysql/commands.ts';
import { declareMaskedDrivers } from './drivers/masked-drivers.ts';
import { type Answer, ask, fetchRows, prepareAndExecute, type Value } from './mysql-results.ts';
import { RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

/**
 * Every type under every masker, in both protocols and on every way: what reaches a client has to be a value of the type. The
 * judge is the server itself, which stores each value in a column of that type. Drivers read all of it as well.
 */

/** Types with a value whose parts stand nowhere else, or which a canary does not fit into. */
const TYPES: Readonly<Record<string, string>> = {
  TINYINT: '-77',
  'TINYINT UNSIGNED': '177',
  'TINYINT(1)': '1',
  SMALLINT: '31337',
  MEDIUMINT: '-7777777',
  'MEDIUMINT UNSIGNED': '7777777',
  INT: '777777777',
  'INT UNSIGNED': '4077777777',
  BIGINT: '7777777777777',
  'BIGINT UNSIGNED': '17777777777777777777',
  'DECIMAL(10, 2)': '-77123.45',
  'DECIMAL(30, 10) UNSIGNED': '77123000000000000000.5',
  'DECIMAL(4, 4)': '0.7712',
  FLOAT: '77123.5',
  DOUBLE: '-7.7123456e30',
  DATE: '1977-07-07',
  DATETIME: '1977-07-07 17:07:07',
  'DATETIME(6)': '1977-07-07 17:07:07.123456',
  TIMESTAMP: '1977-07-07 17:07:07',
  'TIMESTAMP(3)': '1977-07-07 17:07:07.125',
  TIME: '-177:07:07',
  'TIME(6)': '17:07:07.777777',
  YEAR: '1977',
  'CHAR(9)': 'canary',
  'VARCHAR(12)': 'canary-var',
  'VARCHAR(3)': 'cü7',
  'VARCHAR(300) CHARACTER SET latin1': 'canary äöü',
  TINYTEXT: 'canary',
  TEXT: 'canary "text" \\ with, everything\n\t{}',
  LONGTEXT: 'canary',
  'BINARY(16)': 'canary-binary-16',
  'VARBINARY(40)': 'canary',
  BLOB: 'canary',
  LONGBLOB: 'canary',
  "ENUM('fine', 'blue')": 'blue',
  "SET('a', 'b', 'c')": 'a,c',
  JSON: '{"a": "canary", "b": [1, null]}',
};

const MASKERS: Readonly<Record<string, string>> = {
  nulled: 'null',
  redacted: 'redact',
  partly: '{ partial: { first: 1, last: 2 } }',
  email: '{ email: keep-domain }',
  hashed: '{ hash: { key: { file: KEY_FILE } } }',
  encrypted: '{ fpe: { key: { file: KEY_FILE } } }',
  yearly: 'year',
  monthly: 'month',
  rounded: '{ bucket: 1000 }',
  constant: '{ constant: "7" }',
};

const TABLE = Object.keys(TYPES)
  // Without it a TIMESTAMP would be NOT NULL.
  .map((type, at) => `c${at} ${type} NULL DEFAULT NULL`)
  .join(', ');
/** What has no text of its own to be compared with. */
const OTHERS = 'bits BIT(11) NULL, place GEOMETRY NULL';

const FORBIDDEN = ['canary', '7777777', '77123', '1977-07-07', '63616e617279', '77.77'];

for (const [kind, start] of [
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(kind, { timeout: 500_000 }, () => {
    let directory: string;
    let server: MysqlFamilyServer;
    let sluice: Sluice;
    let client: RawMysqlClient;
    let direct: mysql.Connection;
    const login = () => ({ port: sluice.mysqlPort, user: 'bot', password: 'pw', database: 'shop' });

    before(async () => {
      const started = await start();
      assert.ok(started, `${kind} cannot be had`);
      server = started;
      const { host, port, database, superuser: user, password } = server;
      direct = await mysql.createConnection({ host, port, database, user, password });
      for (const masker of Object.keys(MASKERS)) {
        await direct.query(`CREATE TABLE ${masker} (id INT PRIMARY KEY, ${TABLE}, ${OTHERS})`);
        const values = Object.keys(TYPES).map(() => '?');
        await direct.execute(
          `INSERT INTO ${masker} VALUES (1, ${values.join(', ')}, 1377, ST_GeomFromText('POINT(77.77 7)'))`,
          Object.values(TYPES),
        );
        await direct.query(`INSERT INTO ${masker} (id) VALUES (2)`);
      }
      // MariaDB's JSON is a text to most clients, of which its check wants more than that.
      const readBack = kind === 'MariaDB' ? TABLE.replace(' JSON ', ' LONGTEXT ') : TABLE;
      await direct.query(`CREATE TABLE read_back (id INT, ${readBack}, ${OTHERS})`);
      directory = mkdtempSync(join(tmpdir(), 'sluice-mask-key-'));
      writeFileSync(join(directory, 'key'), 'a key for tests');
      const masks = Object.entries(MASKERS).map(
        ([table, masker]) =>
          `  - { id: ${table}, columns: ["${table}.c*", ${table}.bits, ${table}.place], with: ${masker.replace('KEY_FILE', join(directory, 'key'))} }`,
      );
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol: 'mysql', upstream: { host, port, user, password, database } }],
        // Connector/J takes a MariaDB for too old for the other plugin.
        users: [{ name: 'bot', password: 'pw', mysqlPlugin: kind === 'MariaDB' ? 'mysql_native_password' : undefined }],
        rulesYaml: `version: 1\nrules:\n  - { id: everything, match: {}, action: allow }\nmasks:\n${masks.join('\n')}\n`,
      });
      client = await RawMysqlClient.login(sluice.mysqlPort, login());
    });
    after(async () => {
      client?.close();
      await direct?.end();
      await sluice?.stop();
      await server?.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    const query = (sql: string, by = client) => ask(by, Buffer.concat([Buffer.of(COM.query), Buffer.from(sql)]), false);

    /** Nothing of a value, but what a masker keeps of it; and every value is one that the server takes in a column of its type. */
    async function assertMasked(masker: string, answer: Answer): Promise<readonly (readonly Value[])[]> {
      const shown = JSON.stringify([answer.results.map(({ rows }) => rows), answer.error]);
      assert.equal(answer.error, null, masker);
      // Of a number that is rounded its first digits stay.
      const forbidden = FORBIDDEN.filter((one) => masker !== 'rounded' || !/^[\d.]+$/.test(one));
      for (const one of forbidden) assert.equal(answer.bytes.includes(one), false, `${one} under ${masker}: ${shown}`);
      const rows = answer.results.flatMap(({ values }) => values);
      for (const row of rows) {
        const places = row.map((_, at) => (at === row.length - 1 ? 'ST_GeomFromWKB(?)' : '?'));
        await direct.execute(`INSERT INTO read_back VALUES (${places.join(', ')})`, [...row]).catch((error: Error) => {
          assert.fail(`${masker}: ${error.message}: ${shown}`);
        });
      }
      return rows;
    }

    for (const masker of Object.keys(MASKERS)) {
      const select = `SELECT * FROM ${masker} ORDER BY id`;

      test(`under ${masker} every result has values of its types`, async () => {
        for (const more of [0, CLIENT.deprecateEof]) {
          const by = await RawMysqlClient.login(sluice.mysqlPort, login(), more);
          assert.equal((await assertMasked(masker, await query(select, by))).length, 2);
          assert.equal((await assertMasked(masker, await query(`${select}; ${select}`, by))).length, 4);
          assert.equal((await assertMasked(masker, await prepareAndExecute(by, select))).length, 2);
          await query(`PREPARE p FROM '${select}'`, by);
          assert.equal((await assertMasked(masker, await query('EXECUTE p', by))).length, 2);
          const { id, results } = await prepareAndExecute(by, select, [], 1);
          assert.equal((await assertMasked(masker, await fetchRows(by, id, 5, results[0]!.columns))).length, 2);
          by.close();
        }
        if (kind === 'MySQL') return;
        const columns = `id, ${Object.keys(TYPES)
          .map((_, at) => `c${at}`)
          .join(', ')}, bits, place`;
        await query('BEGIN');
        assert.equal(
          (await assertMasked(masker, await query(`DELETE FROM ${masker} WHERE id = 1 RETURNING ${columns}`))).length,
          1,
        );
        await query('ROLLBACK');
      });
    }

    test('values become NULL only where a masker does not fit their type', async () => {
      const shown = async (masker: string) => {
        const { results } = await query(`SELECT * FROM ${masker} WHERE id = 1`);
        return [...Object.keys(TYPES), 'BIT', 'GEOMETRY'].filter((_, at) => results[0]!.values[0]![at + 1] !== null);
      };
      assert.deepEqual(await shown('nulled'), []);
      const redacted = await shown('redacted');
      assert.deepEqual(
        [...Object.keys(TYPES), 'BIT', 'GEOMETRY'].filter((type) => !redacted.includes(type)),
        ["ENUM('fine', 'blue')", "SET('a', 'b', 'c')", 'GEOMETRY'],
      );
      assert.deepEqual(await shown('yearly'), ['DATE', 'DATETIME', 'DATETIME(6)', 'TIMESTAMP', 'TIMESTAMP(3)']);
    });

    declareMaskedDrivers('mysql', login, Object.keys(MASKERS));
  });
}

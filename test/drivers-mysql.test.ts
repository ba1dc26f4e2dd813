import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { declareMatrix, type Matrix } from './drivers/matrix.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import { mysqlClientDirectory } from './servers/mysql-binaries.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

const SCHEMA = readFileSync(join(import.meta.dirname, 'drivers/mysql.sql'), 'utf8');
/** LOAD DATA LOCAL, so that its refusal is Sluice's; packets beyond the 16 MB one packet of the wire can carry. */
const CONFIG = { local_infile: '1', max_allowed_packet: '64M' };

const RULES = `version: 1
rules:
  - id: refused-table-is-never-emptied
    match: { effects: [delete], tables: [shop.refused_table], predicate: [none] }
    action: deny
    hint: Add a WHERE clause that names the rows you mean.
  - id: no-files
    match: { effects: [file] }
    action: deny
`;

// Each with the plugin that the server itself asks its users by, so that every driver takes both ways.
for (const [product, start, mysqlPlugin] of [
  ['MariaDB', startMariadb, 'mysql_native_password'],
  ['MySQL', startMysql, 'caching_sha2_password'],
] as const) {
  describe(`every MySQL driver of the matrix on ${product}`, () => {
    const user = 'driver';
    const password = `ünicode "quotes" ${randomBytes(6).toString('hex')}`;
    let server: MysqlFamilyServer | null = null;
    let clear: Sluice;
    let tls: Sluice;

    before(async () => {
      server = await start({ ssl: true, config: CONFIG });
      await server?.query(SCHEMA);
      await server?.query(
        `CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'; GRANT ALL ON ${server.database}.* TO '${user}'@'%'`,
      );
      if (server === null) return;
      const { host, port, database, certificates } = server;
      const upstream = { host, port, database, user, password };
      const connection = { name: database, protocol: 'mysql' as const, upstream };
      const ca = certificates?.ca ?? '';
      // One Sluice in clear on both legs, one with TLS on both.
      clear = await startSluice({
        connections: [connection],
        users: [{ name: user, password, mysqlPlugin }],
        rulesYaml: RULES,
      });
      tls = await startSluice({
        connections: [{ ...connection, upstream: { ...upstream, ca } }],
        users: [{ name: user, password, mysqlPlugin }],
        rulesYaml: RULES,
        tls: true,
      });
    });
    after(async () => {
      await Promise.all([clear?.stop(), tls?.stop()]);
      await server?.stop();
    });

    declareMatrix('mysql', (): Matrix | string => {
      if (server === null) return `there is no ${product} server on this machine`;
      const { port, database, certificates } = server;
      return {
        // MariaDB asks its users by a plugin that MySQL's client has no more.
        binDir: product === 'MySQL' ? mysqlClientDirectory() : null,
        direct: () => ({ port, user, password, database, ca: certificates?.ca ?? '' }),
        sluice: (encrypted) => ({
          port: (encrypted ? tls : clear).mysqlPort,
          ...{ user, password, database },
          ca: tls.certificates?.ca ?? '',
        }),
      };
    });

    test('no refused DELETE has reached the server, and every one is in the journal', async (t) => {
      if (server === null) return t.skip(`NOT RUN: there is no ${product} server on this machine`);
      assert.deepEqual(await server.query('SELECT * FROM reached'), []);
      assert.deepEqual(await server.query('SELECT COUNT(*) AS n FROM refused_table'), [{ n: 3 }]);
      for (const sluice of [clear, tls]) {
        const attempts = sluice.journal().filter((record) => /DELETE FROM refused_table/.test(String(record.text)));
        assert.ok(attempts.length >= 2);
        for (const attempt of attempts) {
          assert.equal(attempt.verdict, 'deny');
          assert.deepEqual(attempt.rules, ['refused-table-is-never-emptied']);
        }
      }
    });
  });
}

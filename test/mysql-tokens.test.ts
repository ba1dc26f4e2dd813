import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type OidcProvider, startOidcProvider } from './servers/oidc-provider.ts';
import { hasProgram } from './servers/programs.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Tokens of an OpenID provider as the passwords of MySQL clients, as tokens.test.ts has it for PostgreSQL. */

let provider: OidcProvider;
before(async () => {
  provider = await startOidcProvider();
});
after(() => provider?.stop());

const expiryOf = (token: string): number =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).exp * 1000;

for (const [product, start] of [
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(`a token as the password of a client of ${product}`, { timeout: 500_000 }, () => {
    let server: MysqlFamilyServer | null = null;
    let sluice: Sluice;

    before(async () => {
      server = await start();
      if (server === null) return;
      await server.query('CREATE TABLE notes (id INT PRIMARY KEY); INSERT INTO notes VALUES (1)');
      const { host, port, database, superuser: user, password } = server;
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol: 'mysql', upstream: { host, port, database, user, password } }],
        users: [{ name: 'local', password: 'secret' }],
        oidc: [{ issuer: provider.issuer, audience: 'sluice', claims: { groups: 'groups', owner: 'owner' } }],
        tls: true,
      });
    });
    after(async () => {
      await sluice?.stop();
      await server?.stop();
    });

    /** The server's own answers; the test is skipped where there is no server. */
    const there = (t: TestContext): MysqlFamilyServer | null => {
      if (server === null) t.skip(`no ${product} can be had here`);
      return server;
    };
    const connected = async (password: string, changes: mysql.ConnectionOptions = {}): Promise<mysql.Connection> => {
      const ca = readFileSync(sluice.certificates!.ca, 'utf8');
      const { host, mysqlPort: port } = sluice;
      const connection = await mysql.createConnection({
        host,
        port,
        user: 'oidc',
        database: 'shop',
        password,
        ssl: { ca },
        multipleStatements: true,
        ...changes,
      });
      connection.on('error', () => undefined);
      return connection;
    };
    /** Connections that the server has besides the one that asks. */
    const others = async () => {
      const rows = await server!.query(
        "SELECT id FROM information_schema.processlist WHERE user <> 'event_scheduler' AND id <> CONNECTION_ID()",
      );
      return rows.length;
    };

    test('logs in as whom it says, with any driver that knows the usual plugin', async (t) => {
      if (there(t) === null) return;
      const token = await provider.token(60);
      const connection = await connected(token);
      assert.deepEqual((await connection.query('SELECT id FROM notes'))[0], [{ id: 1 }]);
      await connection.end();
      const record = sluice.journal().find(({ event, expires }) => event === 'session.start' && expires !== undefined)!;
      assert.deepEqual(record.identity, {
        subject: 'runner',
        kind: 'agent',
        groups: ['agents'],
        issuer: provider.issuer,
        owner: 'alice',
      });
      assert.equal(record.expires, new Date(expiryOf(token)).toISOString());
      assert.ok(!JSON.stringify(sluice.journal()).includes(token.slice(0, 40)));
      assert.ok(!sluice.log().includes(token.slice(0, 40)));
    });

    test('is taken by mysql_clear_password and caching_sha2_password from the mariadb command', async (t) => {
      if (there(t) === null) return;
      if (!hasProgram('mariadb')) return t.skip('the mariadb command is not on this machine');
      const token = await provider.token(60);
      for (const plugin of ['mysql_clear_password', 'caching_sha2_password', 'mysql_native_password']) {
        const { stdout } = await promisify(execFile)('mariadb', [
          '--no-defaults',
          '--host=127.0.0.1',
          `--port=${sluice.mysqlPort}`,
          '--user=oidc%shop',
          `--password=${token}`,
          `--default-auth=${plugin}`,
          `--ssl-ca=${sluice.certificates!.ca}`,
          '--ssl-verify-server-cert',
          '--skip-column-names',
          '--execute=SELECT id FROM notes',
        ]);
        assert.equal(stdout, '1\n', plugin);
      }
    });

    test('logs in again on the same connection by COM_CHANGE_USER', async (t) => {
      if (there(t) === null) return;
      const connection = await connected('secret', { user: 'local' });
      await connection.changeUser({ user: 'oidc', password: await provider.token(60), database: 'shop' });
      assert.deepEqual((await connection.query('SELECT id FROM notes'))[0], [{ id: 1 }]);
      await connection.end();
    });

    test('that is not right reaches no server: the client is not told why, the record is', async (t) => {
      if (there(t) === null) return;
      const token = await provider.token(60);
      const before = await others();
      const wrong = [
        [`${token.slice(0, -8)}AAAAAAAA`, /signature is wrong/],
        ['secret', /not a JWT/],
      ] as const;
      for (const [password, reason] of wrong) {
        await assert.rejects(connected(password), (error: { errno?: number; message: string }) => {
          assert.equal(error.errno, 1045);
          assert.match(error.message, /'oidc'.*the token is not accepted\. Get a new token/);
          assert.doesNotMatch(error.message, reason);
          return true;
        });
        const failed = () => sluice.journal().findLast(({ event }) => event === 'auth.failed');
        await until(() => reason.test(String(failed()?.reason)), String(reason));
      }
      assert.equal(await others(), before);
    });

    test('is not asked for in clear, nor taken', async (t) => {
      if (there(t) === null) return;
      const token = await provider.token(60);
      await assert.rejects(
        connected(token, { ssl: undefined } as object),
        (error: { errno?: number; message: string }) => {
          assert.equal(error.errno, 1045);
          assert.match(error.message, /over TLS only/);
          return true;
        },
      );
    });

    test('does not open the door of a user with a password, nor the other way round', async (t) => {
      if (there(t) === null) return;
      await assert.rejects(connected((await provider.token(60)).slice(0, 200), { user: 'local' }), { errno: 1045 });
      await assert.rejects(connected('secret'), { errno: 1045 });
      await (await connected('secret', { user: 'local' })).end();
    });

    test('when it ends, what runs is killed, a transaction rolled back, an idle session told, in a second', async (t) => {
      if (there(t) === null) return;
      const token = await provider.token(5);
      const expires = expiryOf(token);
      const [idle, busy, open] = await Promise.all([connected(token), connected(token), connected(token)]);
      await open.query('BEGIN');
      await open.query('INSERT INTO notes VALUES (2)');
      /** The error that ends a connection, and how long after the end of its token, milliseconds. */
      const endOf = async (work: Promise<unknown>) => {
        const error = await work.then(
          () => assert.fail('it was not ended'),
          (reason: { errno?: number; code?: string; message: string }) => reason,
        );
        return { ...error, message: error.message, lateMs: Date.now() - expires };
      };
      const fails = (connection: mysql.Connection) =>
        new Promise<never>((_, reject) => connection.on('error', (error) => reject(error)));
      const ends = await Promise.all([
        endOf(fails(idle)),
        // If only what runs now were ended, the statement behind it would still come.
        endOf(busy.query('SELECT SLEEP(30); INSERT INTO notes VALUES (3)')),
        endOf(fails(open)),
      ]);
      for (const { lateMs } of ends) assert.ok(lateMs > -50, `${lateMs} ms late`);
      assert.equal(ends[1].errno, 4031);
      assert.match(ends[1].message, /login has expired/);
      await until(async () => (await others()) === 0, 'the sessions are still there');
      assert.deepEqual(await server!.query('SELECT id FROM notes'), [{ id: 1 }]);
      const ended = () =>
        sluice.journal().filter(({ event, reason }) => event === 'session.end' && reason === 'login expired');
      await until(() => ended().length === 3, 'the records of the ends');
      // By Sluice's own clock: this process may be late to hear of it.
      for (const { at } of ended()) assert.ok(Date.parse(String(at)) - expires < 1000, String(at));
      await assert.rejects(connected(token), { errno: 1045 });
    });
  });
}

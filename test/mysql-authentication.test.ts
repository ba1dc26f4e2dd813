/** Our side of each authentication method against the servers that have it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  CachingSha2Client,
  CachingSha2Server,
  cachingSha2Response,
  parseCachingSha2Verifier,
} from '../protocols/mysql/caching-sha2-password.ts';
import { ed25519PublicKey } from '../protocols/mysql/client-ed25519.ts';
import { createNativeVerifier, formatNativeVerifier } from '../protocols/mysql/native-password.ts';
import type { UpstreamConfig } from '../src/config/config.ts';
import { askServer } from '../src/gateway/mysql/upstream.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';

const PASSWORD = 'pass wörd';

function upstream(server: MysqlFamilyServer, user: string, password: string, withTls: boolean): UpstreamConfig {
  const { host, port, database, certificates } = server;
  const ca = withTls ? readFileSync(certificates!.ca, 'utf8') : null;
  return { host, port, database, user, password, tls: withTls ? 'verify-full' : 'disable', ca };
}

async function logsIn(server: MysqlFamilyServer, user: string): Promise<void> {
  for (const withTls of [false, true]) {
    await askServer('test', upstream(server, user, PASSWORD, withTls));
    await assert.rejects(
      askServer('test', upstream(server, user, 'wrong', withTls)),
      /^UpstreamError: 1045: Access denied/,
    );
  }
}

describe('MariaDB', () => {
  let server: MysqlFamilyServer | null = null;
  before(async () => {
    server = await startMariadb({ ssl: true, config: { plugin_load_add: 'auth_ed25519' } });
  });
  after(() => server?.stop());

  test('lets us in by mysql_native_password, whose verifier is ours', async (t) => {
    if (server === null) return t.skip('no MariaDB server can be had here');
    await server.query(`CREATE USER native@'127.0.0.1' IDENTIFIED BY '${PASSWORD}'`);
    const [row] = await server.query("SELECT authentication_string AS v FROM mysql.user WHERE user = 'native'");
    assert.equal(row?.v, formatNativeVerifier(createNativeVerifier(PASSWORD)));
    await logsIn(server, 'native');
  });

  test('lets us in by ed25519, whose public key is ours', async (t) => {
    if (server === null) return t.skip('no MariaDB server can be had here');
    await server.query(`CREATE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('${PASSWORD}')`);
    const [row] = await server.query("SELECT authentication_string AS v FROM mysql.user WHERE user = 'ed'");
    assert.equal(row?.v, ed25519PublicKey(PASSWORD).toString('base64').replace('=', ''));
    await logsIn(server, 'ed');
  });
});

describe('MySQL', () => {
  let server: MysqlFamilyServer | null = null;
  before(async () => {
    server = await startMysql({ ssl: true });
  });
  after(() => server?.stop());

  test('lets us in by caching_sha2_password and sha256_password, the password in TLS or encrypted', async (t) => {
    if (server === null) return t.skip('no MySQL server can be had here');
    for (const method of ['caching_sha2_password', 'sha256_password']) {
      const user = method.slice(0, 8);
      await server.query(`CREATE USER '${user}'@'127.0.0.1' IDENTIFIED WITH ${method} BY '${PASSWORD}'`);
      await logsIn(server, user);
      // The second time, the server may know the password without being told.
      await logsIn(server, user);
    }
  });

  test('makes verifiers that our server side checks passwords with', async (t) => {
    if (server === null) return t.skip('no MySQL server can be had here');
    await server.query(`CREATE USER made@'127.0.0.1' IDENTIFIED BY '${PASSWORD}'`);
    const [row] = await server.query("SELECT HEX(authentication_string) AS v FROM mysql.user WHERE user = 'made'");
    const verifier = parseCachingSha2Verifier(`0x${row?.v}`);
    const scramble = Buffer.alloc(20, 0x41);
    for (const [password, outcome] of [
      ['wrong', 'refused'],
      [PASSWORD, 'accepted'],
    ] as const) {
      const ours = new CachingSha2Server(verifier, scramble, 'tls');
      const client = new CachingSha2Client(password, scramble, 'tls');
      const asked = ours.start(cachingSha2Response(password, scramble));
      assert.equal(asked.step, 'ask');
      const answer = client.answer(asked.step === 'ask' ? asked.data : Buffer.alloc(0));
      assert.equal((await ours.answer(answer!)).step, outcome);
    }
  });
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { decodeErr } from '../protocols/mysql/responses.ts';
import { decodeErrorResponse } from '../protocols/postgres/backend.ts';
import { RawClient, ServerError } from './raw-client.ts';
import { RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, type SluiceOptions, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Passwords that are guessed, and clients that have not proved who they are: what they are told, and how often. */

describe('before a client has proved who it is', { timeout: 500_000 }, () => {
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer;
  const running: Sluice[] = [];

  before(async () => {
    const started = await Promise.all([startPostgres({ config: { log_connections: 'on' } }), startMariadb()]);
    assert.ok(started[1], 'MariaDB cannot be had');
    [postgres, mariadb] = [started[0], started[1]];
  });
  after(async () => {
    for (const sluice of running) await sluice.stop();
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
  });

  const start = async (options: Partial<SluiceOptions> = {}): Promise<Sluice> => {
    const connections = ([postgres, mariadb] as const).map((server, index) => {
      const { host, port, database, superuser: user, password } = server;
      const upstream = { host, port, database, user, password };
      return { name: 'shop', protocol: index === 0 ? ('postgres' as const) : ('mysql' as const), upstream };
    });
    const [shop, stock] = connections;
    const users = ['alice', 'bob', 'carol', 'dora'].map((name) => ({ name, password: `of ${name}` }));
    const sluice = await startSluice({ connections: [shop!, { ...stock!, name: 'stock' }], users, ...options });
    running.push(sluice);
    return sluice;
  };

  /** The code a client of PostgreSQL is refused with; `null` if it got in. */
  const onPostgres = async ({ host, port }: Sluice, user: string, password: string, from = '127.0.0.1') => {
    try {
      (await RawClient.login({ host, port, user, password, database: 'shop', from })).destroy();
      return null;
    } catch (error) {
      if (error instanceof ServerError) return `${error.fields.code} ${error.fields.message}`;
      throw error;
    }
  };
  const onMysql = async ({ mysqlPort }: Sluice, user: string, password: string, from = '127.0.0.1') => {
    const client = await RawMysqlClient.connect(mysqlPort, from);
    const error = await client.authenticate(user, password, 'stock');
    client.close();
    return error === null ? null : `${error.code} ${error.message}`;
  };
  /** Logins that have reached the server of PostgreSQL. */
  const received = () => postgres.log().match(/connection received/g)?.length ?? 0;

  test('it needs TLS, from this machine as well unless a setting says otherwise', async () => {
    const sluice = await start({ tls: true, needTls: true });
    const before = received();
    assert.equal(await onPostgres(sluice, 'alice', 'of alice'), '28000 Log in over TLS only.');
    assert.match(String(await onMysql(sluice, 'alice', 'of alice')), /^3159 Log in over TLS only/);
    assert.equal(received(), before);
    const ca = readFileSync(sluice.certificates!.ca, 'utf8');
    const login = { host: '127.0.0.1', user: 'alice', password: 'of alice', ssl: { ca } };
    const client = new pg.Client({ ...login, port: sluice.port, database: 'shop' });
    await client.connect();
    await client.end();
    await (await mysql.createConnection({ ...login, port: sluice.mysqlPort, database: 'stock' })).end();
  });

  for (const [protocol, attempt, wrong, blocked] of [
    ['PostgreSQL', onPostgres, /^28P01 /, /^28000 Too many failed logins: try again in \d+ s\.$/],
    ['MySQL', onMysql, /^1045 Access denied/, /^1045 Too many failed logins: try again in \d+ s\.$/],
  ] as const) {
    test(`guesses at one user are heard ten times on ${protocol}, then not even the right one`, async () => {
      const sluice = await start();
      // Who has been here before is not locked out by others.
      assert.equal(await attempt(sluice, 'alice', 'of alice', '127.0.0.9'), null);
      /** Guesses until nobody listens any more. @returns how many guesses were heard */
      const guess = async (user: string): Promise<number> => {
        for (let heard = 0; heard < 20; heard++) {
          const answer = String(await attempt(sluice, user, `guess ${heard}`));
          if (blocked.test(answer)) return heard;
          assert.match(answer, wrong);
        }
        return assert.fail(`${user} can be guessed without end`);
      };
      for (const user of ['alice', 'nobody']) {
        const started = Date.now();
        const heard = await guess(user);
        // On a slow machine one more each ten seconds.
        assert.ok(heard >= 10 && heard <= 10 + (Date.now() - started) / 10_000, `${user}: ${heard}`);
      }
      const before = received();
      for (const from of ['127.0.0.1', '127.0.0.2']) {
        await guess('alice');
        assert.match(String(await attempt(sluice, 'alice', 'of alice', from)), blocked);
        // In the other protocol neither.
        await guess('alice');
        const other = attempt === onPostgres ? onMysql : onPostgres;
        assert.match(String(await other(sluice, 'alice', 'of alice', from)), /Too many failed logins/);
      }
      assert.equal(received(), before);
      assert.equal(await attempt(sluice, 'alice', 'of alice', '127.0.0.9'), null);
      assert.equal(await attempt(sluice, 'bob', 'of bob'), null);
      assert.match(sluice.log(), /too many failed logins of alice/);
      const metrics = await (await fetch(`http://127.0.0.1:${sluice.apiPort}/metrics`)).text();
      assert.match(metrics, /^sluice_logins_unheard_total [1-9]/m);
    });

    test(`many connections at once hear no more on ${protocol}`, async () => {
      const sluice = await start();
      const started = Date.now();
      const answers = await Promise.all(
        Array.from({ length: 25 }, (_, i) => attempt(sluice, 'carol', i === 24 ? 'of carol' : `guess ${i}`)),
      );
      const heard = answers.filter((answer) => answer !== null && wrong.test(answer));
      const refused = answers.filter((answer) => answer !== null && blocked.test(answer));
      const late = (Date.now() - started) / 10_000;
      assert.ok(heard.length >= 10 && heard.length <= 10 + late, `${heard.length}`);
      assert.ok(refused.length >= 14 - late, `${refused.length}`);
    });
  }

  test('it is one of so many, and of half as many from its address', async () => {
    const sluice = await start({ limits: { logins: 4, handshake: '10s' } });
    const silent = await Promise.all([1, 2].map(() => RawClient.connect(sluice)));
    await sleep(50);
    const refused = await RawClient.connect(sluice);
    const [message] = await refused.untilClosed();
    assert.equal(decodeErrorResponse(message!.body).code, '53300');
    const [packet] = await (await RawMysqlClient.connect(sluice.mysqlPort)).rest();
    assert.equal(decodeErr(packet!.payload).code, 1040);
    assert.equal(await onPostgres(sluice, 'dora', 'of dora', '127.0.0.2'), null);
    assert.equal(await onMysql(sluice, 'dora', 'of dora', '127.0.0.2'), null);
    for (const client of silent) client.destroy();
    await until(async () => (await onPostgres(sluice, 'dora', 'of dora')) === null, 'there is room again');
  });
});

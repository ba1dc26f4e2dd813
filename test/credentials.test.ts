import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { nativePasswordResponse, verifyNativePassword } from '../protocols/mysql/native-password.ts';
import { encodeQuery } from '../protocols/postgres/frontend.ts';
import { Access } from '../src/identity/access.ts';
import { Credentials, type NewCredential } from '../src/identity/credentials.ts';
import { type Identity, identityId } from '../src/identity/identity.ts';
import { openStore, type Store } from '../src/store/store.ts';
import { RawClient } from './raw-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Short-lived credentials on both protocols. This process works on the store as another node would. */

const ALICE: Identity = { subject: 'alice', kind: 'human', groups: ['dba'], issuer: 'https://idp.example' };
const AGENT: Identity = { ...ALICE, subject: 'alice/reporter', kind: 'agent', groups: [], owner: 'alice' };

let postgres: PostgresServer;
let mysqlServer: MysqlFamilyServer;
let sluice: Sluice;
let store: Store;
let access: Access;
let credentials: Credentials;

before(async () => {
  [postgres, mysqlServer] = await Promise.all([
    startPostgres({ config: { log_connections: 'on' } }),
    startMariadb().then((server) => server ?? assert.fail('no MariaDB can be had')),
  ]);
  await postgres.query('CREATE TABLE notes (id int); INSERT INTO notes VALUES (1)');
  await mysqlServer.query('CREATE TABLE notes (id INT) ENGINE=InnoDB; INSERT INTO notes VALUES (1)');
  const upstream = ({ host, port, database, superuser, password }: PostgresServer | MysqlFamilyServer) => ({
    host,
    port,
    database,
    user: superuser,
    password,
  });
  sluice = await startSluice({
    connections: [
      { name: 'shop', upstream: upstream(postgres) },
      { name: 'stock', protocol: 'mysql', upstream: upstream(mysqlServer) },
    ],
    users: [{ name: 'local', password: 'secret' }],
  });
  store = await openStore({ kind: 'sqlite', file: sluice.storeFile });
  access = await Access.open(store);
  credentials = new Credentials(store);
});
after(async () => {
  await access?.close();
  await store?.destroy();
  await sluice?.stop();
  await Promise.all([postgres?.stop(), mysqlServer?.stop()]);
});

async function created(changes: Partial<NewCredential> = {}): Promise<{ user: string; password: string }> {
  const expiresAt = Date.now() + 60_000;
  const wanted = { identity: AGENT, connections: null, expiresAt, by: ALICE, login: null, ...changes };
  const { credential, secret } = await credentials.create(wanted);
  return { user: credential.id, password: secret };
}

type Login = { readonly user: string; readonly password: string };

async function byPg({ user, password }: Login): Promise<pg.Client> {
  const client = new pg.Client({ host: sluice.host, port: sluice.port, database: 'shop', user, password });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function byMysql2({ user, password }: Login): Promise<mysql.Connection> {
  const { host, mysqlPort: port } = sluice;
  const connection = await mysql.createConnection({ host, port, database: 'stock', user, password });
  connection.on('error', () => undefined);
  return connection;
}

/** What happened already is in the journal within some milliseconds. */
async function recorded(matches: (record: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  return until(() => sluice.journal().findLast(matches), 'no such record');
}

describe('a short-lived credential', () => {
  test('logs in to PostgreSQL and MySQL by every plugin, as whom it was made for', async () => {
    const login = await created();
    const client = await byPg(login);
    assert.deepEqual((await client.query('SELECT id FROM notes')).rows, [{ id: 1 }]);
    await client.end();
    // mysql2 answers as caching_sha2_password does, without TLS and without asking for a key.
    const connection = await byMysql2(login);
    assert.deepEqual((await connection.query('SELECT id FROM notes'))[0], [{ id: 1 }]);
    await connection.end();
    // Clients that know nothing newer, whatever they connect with.
    const scramble = Buffer.from('12345678901234567890');
    const account = await credentials.find(login.user);
    assert.ok(verifyNativePassword(account!.native!, scramble, nativePasswordResponse(login.password, scramble)));
    const start = await recorded(({ event, credential }) => event === 'session.start' && credential === login.user);
    assert.deepEqual(start.identity, AGENT);
    const everything = JSON.stringify(sluice.journal()) + sluice.log();
    assert.ok(!everything.includes(login.password));
  });

  test('is not accepted with another secret, when it has ended, or when there is none of its name', async () => {
    const login = await created();
    const before = postgres.log().match(/connection received/g)!.length;
    const wrong: Login[] = [
      { ...login, password: 'secret' },
      { ...login, user: 'sl_000000000000000000' },
      await created({ expiresAt: Date.now() - 1 }),
    ];
    const revoked = await created();
    assert.deepEqual(await credentials.revoke({ id: revoked.user }, 'alice', 'no longer needed'), [revoked.user]);
    for (const each of [...wrong, revoked]) {
      await assert.rejects(byPg(each), { code: '28P01' });
      await assert.rejects(byMysql2(each), { errno: 1045 });
    }
    assert.equal(postgres.log().match(/connection received/g)!.length, before);
  });

  test('is for the connections it was made for', async () => {
    const login = await created({ connections: ['stock'] });
    await assert.rejects(byPg(login), { code: '28000', message: 'the credential is not for connection "shop"' });
    await (await byMysql2(login)).end();
    const other = await created({ connections: ['shop'] });
    await assert.rejects(byMysql2(other), { errno: 1045, message: 'the credential is not for connection "stock"' });
  });
});

/** Whether the slow statement of a test runs at PostgreSQL, and at MariaDB. */
async function sleeping(): Promise<[boolean, boolean]> {
  const [here] = await postgres.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()",
  );
  const there = await mysqlServer.query(
    "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(30)%' AND id <> CONNECTION_ID()",
  );
  return [Number(here!.n) > 0, there.length > 0];
}

/** Sessions on both protocols: idle, in a transaction, with a statement that runs. Their ends: errors, and when. */
async function sessionsOf(login: Login): Promise<Promise<{ code: unknown; message: string; at: number }>[]> {
  const ended = (work: Promise<unknown>) =>
    work
      .then(
        (error) => (error as unknown[])?.[0] ?? assert.fail('it was not ended'),
        (error: unknown) => error,
      )
      .then((error) => {
        const { code, errno, message } = error as { code: string; errno?: number; message: string };
        return { code: errno ?? code, message, at: Date.now() };
      });
  const [idle, open, busy] = await Promise.all([byPg(login), byPg(login), byPg(login)]);
  await open.query('BEGIN');
  await open.query('INSERT INTO notes VALUES (2)');
  const [idle2, open2, busy2] = await Promise.all([byMysql2(login), byMysql2(login), byMysql2(login)]);
  await open2.query('BEGIN');
  await open2.query('INSERT INTO notes VALUES (2)');
  const ends = [
    ended(once(idle, 'error')),
    ended(once(open, 'error')),
    ended(busy.query('INSERT INTO notes SELECT 3 FROM pg_sleep(30)')),
    ended(once(idle2, 'error')),
    ended(once(open2, 'error')),
    ended(busy2.query('INSERT INTO notes SELECT 3 FROM (SELECT SLEEP(30)) AS s')),
  ];
  await until(async () => (await sleeping()).every((there) => there), 'the slow statements run');
  return ends;
}

async function checkEnds(
  sessions: Promise<{ code: unknown; message: string; at: number }>[],
  since: number,
  message: RegExp,
): Promise<void> {
  const ends = await Promise.all(sessions);
  assert.deepEqual(
    ends.map(({ code }) => code),
    ['57P01', '57P01', '57P01', 4031, 4031, 4031],
  );
  for (const end of ends) {
    assert.match(end.message, message);
    assert.ok(end.at - since > -50, `${end.at - since} ms later`);
  }
  // By Sluice's own clock: this process may be late to hear of it.
  const ended = () =>
    sluice.journal().filter(({ event, at }) => event === 'session.end' && Date.parse(String(at)) >= since - 50);
  await until(() => ended().length >= ends.length, 'the records of the ends');
  const recent = ended();
  assert.equal(recent.length, ends.length);
  for (const { at } of recent)
    assert.ok(Date.parse(String(at)) - since < 1000, `${at}, ${new Date(since).toISOString()}`);
  await until(async () => !(await sleeping()).some((there) => there), 'the slow statements are over');
  assert.deepEqual(await postgres.query('SELECT id FROM notes'), [{ id: 1 }]);
  assert.deepEqual(
    (await mysqlServer.query('SELECT id FROM notes')).map(({ id }) => Number(id)),
    [1],
  );
}

describe('sessions on both protocols end within a second, whatever they do,', { timeout: 500_000 }, () => {
  test('when their credential expires', async () => {
    const expiresAt = Date.now() + 4000;
    await checkEnds(await sessionsOf(await created({ expiresAt })), expiresAt, /its login has expired/);
  });

  test('when their credential is revoked at another node', async () => {
    const login = await created();
    const other = await byPg(await created());
    const sessions = await sessionsOf(login);
    const since = Date.now();
    await credentials.revoke({ id: login.user }, 'alice', 'leaked');
    await checkEnds(sessions, since, /its credential was revoked \(leaked\)/);
    await other.query('SELECT 1');
    await other.end();
  });

  test('when their identity is locked, and it can come back when it is unlocked', async () => {
    const login = await created();
    const sessions = await sessionsOf(login);
    const since = Date.now();
    await access.setState(identityId(AGENT), 'locked', 'root', 'odd queries');
    await checkEnds(sessions, since, /it is locked \(odd queries\)/);
    await assert.rejects(byPg(login), {
      code: '28000',
      message: 'the login is not accepted: it is locked (odd queries)',
    });
    await assert.rejects(byMysql2(login), { errno: 1045 });
    await access.setState(identityId(AGENT), 'active', 'root', '');
    await sleep(600);
    await (await byPg(login)).end();
  });

  test('when the owner of their identity is locked', async () => {
    const sessions = await sessionsOf(await created());
    const since = Date.now();
    await access.setState(identityId(ALICE), 'locked', 'root', 'has left');
    await checkEnds(sessions, since, /its owner is locked \(has left\)/);
    await access.setState(identityId(ALICE), 'active', 'root', '');
    await sleep(600);
  });

  test('and nothing runs any more of what the server had been sent already', async () => {
    const login = await created();
    const { host, port } = sluice;
    const client = await RawClient.login({ host, port, database: 'shop', ...login });
    const behind = Array.from({ length: 50 }, () => encodeQuery('INSERT INTO notes VALUES (9)'));
    client.send(encodeQuery('SELECT pg_sleep(30)'), ...behind);
    await until(async () => (await sleeping())[0], 'the slow statement runs');
    await credentials.revoke({ id: login.user }, 'alice', 'leaked');
    await until(async () => !(await sleeping())[0], 'the slow statement is over');
    // A row that was inserted after all would be there before the backend is gone.
    const backends =
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%notes VALUES (9)%' AND state <> 'idle'";
    while ((await postgres.query(`${backends} AND pid <> pg_backend_pid()`))[0]!.n !== 0) await sleep(20);
    assert.deepEqual(await postgres.query('SELECT id FROM notes'), [{ id: 1 }]);
  });

  test('when one of them is killed at another node; the others go on', async () => {
    const login = await created();
    const [client, other] = await Promise.all([byPg(login), byMysql2(login)]);
    const { session } = await recorded(
      ({ event, credential, connection }) =>
        event === 'session.start' && credential === login.user && connection === 'shop',
    );
    const since = Date.now();
    const [[error]] = await Promise.all([once(client, 'error'), access.kill(String(session), 'root', 'too slow')]);
    assert.equal(error.code, '57P01');
    assert.match(error.message, /it was ended by an administrator \(too slow\)/);
    const end = await recorded((record) => record.event === 'session.end' && record.session === session);
    assert.ok(Date.parse(String(end.at)) - since < 1000, String(end.at));
    await other.query('SELECT 1');
    await other.end();
  });

  test('when their identity is retired, which is for good', async () => {
    const gone: Identity = { ...AGENT, subject: 'alice/gone' };
    const login = await created({ identity: gone });
    const sessions = await sessionsOf(login);
    const since = Date.now();
    await access.setState(identityId(gone), 'retired', 'root', 'replaced');
    await checkEnds(sessions, since, /it is retired|its credential was revoked/);
    assert.equal(await access.setState(identityId(gone), 'active', 'root', ''), false);
    await assert.rejects(byPg(login), { code: '28P01' });
  });
});

test('nodes share a PostgreSQL: one ends what another revoked; while it cannot be asked nobody is let in, sessions go on', {
  timeout: 500_000,
}, async () => {
  const shared = await startPostgres();
  const url = `postgres://${shared.superuser}:${shared.password}@${shared.host}:${shared.port}/${shared.database}`;
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-store-')), 'url');
  writeFileSync(file, url);
  const { host, port, database, superuser: user, password } = postgres;
  const node = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [{ name: 'local', password: 'secret' }],
    store: { file },
  });
  try {
    const connectTo = async (login: Login) => {
      const client = new pg.Client({ host: node.host, port: node.port, database: 'shop', ...login });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    };
    const readiness = async (): Promise<{ ready: boolean; checks: { check: string; ok: boolean }[] }> =>
      (await (await fetch(`http://127.0.0.1:${node.apiPort}/readyz`)).json()) as never;
    const ownStore = await openStore({ kind: 'postgres', url });
    const { credential, secret } = await new Credentials(ownStore).create({
      identity: AGENT,
      connections: null,
      expiresAt: Date.now() + 60_000,
      by: ALICE,
      login: null,
    });
    const revoked = await new Credentials(ownStore).create({
      identity: AGENT,
      connections: null,
      expiresAt: Date.now() + 60_000,
      by: ALICE,
      login: null,
    });
    const ending = await connectTo({ user: revoked.credential.id, password: revoked.secret });
    const since = Date.now();
    const ended = once(ending, 'error');
    await new Credentials(ownStore).revoke({ id: revoked.credential.id }, 'root', 'leaked');
    const [error] = await ended;
    assert.equal(error.code, '57P01');
    const end = await until(() => node.journal().find(({ event }) => event === 'session.end'), 'the end is recorded');
    // By Sluice's own clock, and from before the store was asked.
    assert.ok(Date.parse(String(end.at)) - since < 2000, `${end.at}, ${new Date(since).toISOString()}`);
    await ownStore.destroy();
    const session = await connectTo({ user: credential.id, password: secret });
    assert.equal((await readiness()).checks.find(({ check }) => check === 'store')!.ok, true);
    await shared.stop();
    // A credential cannot be verified from the first moment, a user not once it may have been locked in the meantime.
    const unknown = { code: '57P03', message: /who may log in/ };
    await assert.rejects(connectTo({ user: credential.id, password: secret }), unknown);
    for (let tries = 0; (await readiness()).ready && tries < 100; tries++) await sleep(100);
    assert.equal((await readiness()).checks.find(({ check }) => check === 'store')!.ok, false);
    await sleep(5000);
    await assert.rejects(connectTo({ user: 'local', password: 'secret' }), unknown);
    assert.deepEqual((await session.query('SELECT id FROM notes')).rows, [{ id: 1 }]);
    await session.end();
  } finally {
    await node.stop();
    await shared.stop();
    rmSync(dirname(file), { recursive: true });
  }
});

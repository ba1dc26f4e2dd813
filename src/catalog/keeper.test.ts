import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startMariadb } from '../../test/servers/mariadb.ts';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import { CatalogueKeeper, KEEPER_TIMES, type KeeperTimes } from './keeper.ts';
import type { UpstreamAddress } from './service-connection.ts';

const server = await startPostgres({ ssl: true });
test.after(() => server.stop());

const UPSTREAM: UpstreamAddress = {
  protocol: 'postgres',
  host: server.host,
  port: server.port,
  database: server.database,
  user: server.superuser,
  password: server.password,
  tls: 'disable',
  ca: null,
};

function keeperFor(t: TestContext, upstream: Partial<UpstreamAddress>, times: Partial<KeeperTimes> = {}) {
  const keeper = new CatalogueKeeper({ ...UPSTREAM, ...upstream }, { ...KEEPER_TIMES, ...times });
  t.after(() => keeper.close());
  return keeper;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    assert.ok(waited < 10_000, `${what} within 10 s`);
    await sleep(5);
  }
}

/** Passes connections on to the server, counts them, and can be cut off. */
class Path {
  connections = 0;
  port = 0;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();

  async open(): Promise<void> {
    const listener = createServer((client) => {
      this.connections++;
      const upstream = connectTcp(server.port, server.host);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          client.destroy();
          upstream.destroy();
          this.#sockets.delete(socket);
        });
      }
      client.pipe(upstream).pipe(client);
    });
    this.#server = listener;
    await new Promise<void>((resolve) => listener.listen(this.port, '127.0.0.1', resolve));
    this.port = (listener.address() as { port: number }).port;
  }

  get live(): number {
    return this.#sockets.size;
  }

  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

async function pathTo(t: TestContext): Promise<Path> {
  const path = new Path();
  await path.open();
  t.after(() => path.cut());
  return path;
}

test('there is no catalogue before the first reading, and one after it', async (t) => {
  const keeper = keeperFor(t, {});
  const before = keeper.current;
  assert.equal(before, null);
  assert.deepEqual(keeper.status(), { version: null, age: null, stale: 'the catalogue has not been read yet' });
  await keeper.refresh();
  assert.equal(keeper.current?.data.database, 'postgres');
  const { version, age, stale } = keeper.status();
  assert.equal(version, keeper.current.version);
  assert.ok(age !== null && age >= 0 && age < 10_000);
  assert.equal(stale, null);
});

test('a new table is there soon after DDL was noted, and until then the catalogue is the same object', async (t) => {
  const keeper = keeperFor(t, {}, { afterDdl: 20 });
  await keeper.refresh();
  const before = keeper.current;
  await keeper.refresh();
  assert.equal(keeper.current, before);
  await server.query('CREATE TABLE after_ddl (id integer PRIMARY KEY)');
  assert.equal(keeper.current?.relation('public', 'after_ddl'), null);
  keeper.noteDdl();
  await until(() => keeper.current !== before, 'another catalogue');
  assert.deepEqual(keeper.current?.relation('public', 'after_ddl')?.keys, [['id']]);
  assert.notEqual(keeper.current?.version, before?.version);
});

test('many who want it read share one reading that began after they asked', async (t) => {
  const path = await pathTo(t);
  const keeper = keeperFor(t, { port: path.port });
  const first = keeper.refresh();
  await server.query('CREATE TABLE while_reading (id integer)');
  const asked = Array.from({ length: 50 }, () => keeper.refresh());
  assert.equal(new Set(asked).size, 1);
  await Promise.all([first, ...asked]);
  assert.ok(keeper.current?.relation('public', 'while_reading'));
  assert.equal(path.connections, 1, 'the second reading used the connection of the first');
});

test('its connection is closed as soon as nothing is to be read', async (t) => {
  const path = await pathTo(t);
  const keeper = keeperFor(t, { port: path.port });
  await Promise.all([keeper.refresh(), keeper.refresh()]);
  await until(() => path.live === 0, 'no connection');
  const rows = await server.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'sluice catalogue'",
  );
  assert.deepEqual(rows, [{ n: 0 }]);
});

test('it reads again by itself after each period', async (t) => {
  const keeper = keeperFor(t, {}, { refresh: 50 });
  await keeper.refresh();
  await server.query('CREATE TABLE in_time (id integer)');
  await until(() => keeper.current?.relation('public', 'in_time') != null, 'the table');
});

test('an unknown name has it read, but one name not again and again, nor many names', async (t) => {
  const path = await pathTo(t);
  const times = { betweenMisses: 300, betweenMissesOfOneName: 60_000 };
  const keeper = keeperFor(t, { port: path.port }, times);
  await keeper.refresh();
  const readings = () => path.connections - 1;
  await server.query('CREATE TABLE missed (id integer)');
  keeper.noteMiss('missed');
  await until(() => keeper.current?.relation('public', 'missed') != null, 'the table');
  assert.equal(readings(), 1);

  for (let i = 0; i < 100; i++) keeper.noteMiss('missed');
  await sleep(2 * times.betweenMisses);
  assert.equal(readings(), 1, 'the same name is not read for again');

  for (let i = 0; i < 100; i++) keeper.noteMiss('missed');
  for (let i = 0; i < 100; i++) keeper.noteMiss(`at_once_${i}`);
  await until(() => readings() >= 2, 'a reading for the new names');
  const began = performance.now();
  for (let i = 0; i < 60; i++) {
    keeper.noteMiss(`one_by_one_${i}`);
    await sleep(20);
  }
  const allowed = 2 + 1 + Math.ceil((performance.now() - began) / times.betweenMisses);
  assert.ok(readings() >= 4, `${readings()} readings`);
  assert.ok(readings() <= allowed, `${readings()} readings, ${allowed} allowed`);
});

test('when the server goes the old catalogue stays, stale with the reason, until the server is back', async (t) => {
  const path = await pathTo(t);
  const keeper = keeperFor(t, { port: path.port }, { retry: 20 });
  await keeper.refresh();
  const before = keeper.current;
  assert.ok(before);
  const { age } = keeper.status();
  await path.cut();
  await keeper.refresh();
  assert.equal(keeper.current, before);
  assert.match(keeper.status().stale ?? '', /^the catalogue could not be read: .*ECONNREFUSED/);
  assert.ok(keeper.status().age! > age!);

  await server.query('CREATE TABLE back_again (id integer)');
  await path.open();
  await until(() => keeper.status().stale === null, 'a reading that works');
  assert.ok(keeper.current?.relation('public', 'back_again'));
});

test('a connection that breaks while it is read fails that reading and no more', async (t) => {
  const path = await pathTo(t);
  const keeper = keeperFor(t, { port: path.port }, { retry: 20 });
  await keeper.refresh();
  const broken = keeper.refresh();
  await until(() => path.live > 0, 'a connection');
  await path.cut();
  await broken;
  assert.match(keeper.status().stale ?? '', /^the catalogue could not be read: ./);
  await path.open();
  await until(() => keeper.status().stale === null, 'a reading that works');
});

test('a wrong password makes it stale, with no password in the reason', async (t) => {
  const keeper = keeperFor(t, { password: 'not-the-password' });
  await keeper.refresh();
  const { stale } = keeper.status();
  assert.match(stale ?? '', /password authentication failed/);
  assert.ok(!stale?.includes('not-the-password'));
  const none = keeperFor(t, { password: null });
  process.env.PGPASSWORD = server.password;
  t.after(() => delete process.env.PGPASSWORD);
  await none.refresh();
  assert.match(none.status().stale ?? '', /password/, "someone else's password in the environment is not used");
});

test('nothing is read after it was closed', async (t) => {
  const path = await pathTo(t);
  const keeper = keeperFor(t, { port: path.port }, { refresh: 20, afterDdl: 0, betweenMisses: 0 });
  await keeper.refresh();
  const last = [keeper.refresh(), keeper.refresh()];
  await keeper.close();
  await Promise.all(last);
  const { connections } = path;
  keeper.noteDdl();
  keeper.noteMiss('x');
  await keeper.refresh();
  await sleep(100);
  assert.equal(path.connections, connections);
  await until(() => path.live === 0, 'no connection');
});

/** The same place as 127.0.0.1, under a name that no certificate has. */
const UNNAMED = '127.1';

/** The server's certificate is for localhost and 127.0.0.1, by an authority only the test knows. */
async function staleness(t: TestContext, upstream: Partial<UpstreamAddress>): Promise<string | null> {
  const keeper = keeperFor(t, upstream);
  await keeper.refresh();
  return keeper.status().stale;
}

function authorityOf({ certificates }: Pick<PostgresServer, 'certificates'>): string {
  assert.ok(certificates);
  return readFileSync(certificates.ca, 'utf8');
}

test("PostgreSQL's certificate is checked as much as the configuration wants", async (t) => {
  const ca = authorityOf(server);
  assert.equal(await staleness(t, { tls: 'require' }), null);
  assert.equal(await staleness(t, { tls: 'verify-ca', ca }), null);
  assert.equal(await staleness(t, { tls: 'verify-full', ca }), null);
  assert.equal(await staleness(t, { tls: 'verify-full', ca, host: 'localhost' }), null);
  assert.match((await staleness(t, { tls: 'verify-full' }))!, /certificate/);
  assert.match((await staleness(t, { tls: 'verify-ca' }))!, /certificate/);
  assert.equal(await staleness(t, { tls: 'verify-ca', ca, host: UNNAMED }), null);
  assert.match((await staleness(t, { tls: 'verify-full', ca, host: UNNAMED }))!, /altnames/);
});

test('MariaDB is read the same way, and its certificate checked as much', async (t) => {
  const mariadb = await startMariadb({ ssl: true });
  if (mariadb === null) return t.skip('no MariaDB to be had on this machine');
  t.after(() => mariadb.stop());
  const ca = authorityOf(mariadb);
  const { host, port, database, superuser: user, password } = mariadb;
  const at = { protocol: 'mysql', host, port, database, user, password } as const;
  const keeper = keeperFor(t, at, { afterDdl: 0, retry: 60_000 });
  await keeper.refresh();
  assert.equal(keeper.status().stale, null);
  await mariadb.query('CREATE TABLE after_ddl (id integer PRIMARY KEY)');
  keeper.noteDdl();
  await until(() => keeper.current?.relation('shop', 'after_ddl') != null, 'the table');

  assert.equal(await staleness(t, { ...at, tls: 'require' }), null);
  assert.equal(await staleness(t, { ...at, tls: 'verify-ca', ca }), null);
  assert.match((await staleness(t, { ...at, tls: 'verify-ca' }))!, /certificate/);
  assert.equal(await staleness(t, { ...at, tls: 'verify-full', ca, host: 'localhost' }), null);
  assert.match((await staleness(t, { ...at, tls: 'verify-full', ca, host: UNNAMED }))!, /altnames/);
  assert.match((await staleness(t, { ...at, tls: 'verify-full', ca }))!, /needs the name of the server/);

  await mariadb.stop();
  await keeper.refresh();
  assert.match(keeper.status().stale ?? '', /^the catalogue could not be read: .*ECONNREFUSED/);
  assert.ok(keeper.current?.relation('shop', 'after_ddl'));
});

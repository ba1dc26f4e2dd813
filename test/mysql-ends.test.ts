import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { decodeErr } from '../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from './raw-mysql-client.ts';
import { makeCertificates } from './servers/certificates.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, type SluiceOptions, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** How MySQL sessions begin and end when something is in the way: limits, drains, kills, a server that goes away. */

describe('the limits and ends of MySQL sessions', { timeout: 500_000 }, () => {
  let server: MysqlFamilyServer;
  const running: Sluice[] = [];

  before(async () => {
    const started = await startMariadb({ ssl: true });
    assert.ok(started, 'MariaDB cannot be had');
    server = started;
    await server.query('CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, line VARCHAR(100))');
  });
  after(async () => {
    for (const sluice of running) await sluice.stop();
    await server?.stop();
  });

  const start = async (options: Partial<SluiceOptions> = {}, upstreamPort?: number): Promise<Sluice> => {
    const { host, port, database, superuser: user, password } = server;
    const upstream = { host, port: upstreamPort ?? port, database, user, password };
    const sluice = await startSluice({
      connections: [{ name: 'shop', protocol: 'mysql', upstream }],
      users: [{ name: 'agent', password: 'secret' }],
      ...options,
    });
    running.push(sluice);
    return sluice;
  };
  const open = (sluice: Sluice) =>
    mysql.createConnection({
      host: '127.0.0.1',
      port: sluice.mysqlPort,
      user: 'agent',
      password: 'secret',
      database: 'shop',
    });
  const login = (sluice: Sluice) =>
    RawMysqlClient.login(sluice.mysqlPort, { user: 'agent', password: 'secret', database: 'shop' });

  test('there is a most of sessions, and a time to log in', async () => {
    const sluice = await start({ limits: { sessions: 1, handshake: '3s' } });
    const connection = await open(sluice);
    await assert.rejects(open(sluice), { errno: 1040 });
    await connection.end();
    const slow = await RawMysqlClient.connect(sluice.mysqlPort);
    const [greeting, late] = await slow.rest();
    assert.equal(greeting?.payload[0], 10);
    assert.equal(late?.sequence, 1);
    assert.equal(decodeErr(late!.payload).code, 1159);
  });

  test('readiness and metrics tell of MySQL too', async () => {
    const sluice = await start();
    const connection = await open(sluice);
    await connection.query('SELECT 1');
    const get = (path: string) => fetch(`http://127.0.0.1:${sluice.apiPort}${path}`);
    const ready = await get('/readyz');
    assert.equal(ready.status, 200, await ready.text());
    const metrics = await (await get('/metrics')).text();
    assert.match(metrics, /^sluice_sessions 1$/m);
    assert.match(metrics, /^sluice_facts_lookups_total\{result="parsed"\} [1-9]/m);
    await connection.end();
  });

  test('a silent session ends, and a command that is too long', async () => {
    const sluice = await start({ limits: { idle: '1s', message: '64KiB' } });
    const idle = await login(sluice);
    const packets = await idle.rest();
    assert.deepEqual(
      packets.map(({ payload }) => decodeErr(payload).code),
      [4031],
    );
    const long = await login(sluice);
    long.send(comQuery(`SELECT '${'x'.repeat(70 * 1024)}'`));
    const [error] = await long.rest();
    assert.equal(decodeErr(error!.payload).code, 1835);
  });

  test('a server that cannot be reached is said so before the login', async () => {
    const sluice = await start({}, 1);
    const client = await RawMysqlClient.connect(sluice.mysqlPort);
    const [error] = await client.rest();
    assert.equal(error?.sequence, 0);
    assert.equal(decodeErr(error!.payload).code, 2003);
  });

  test('the server is reached over TLS if it is who it should be, and otherwise not at all', async () => {
    const { host, port, database, superuser: user, password } = server;
    const directory = mkdtempSync(join(tmpdir(), 'sluice-other-'));
    const others = makeCertificates(directory);
    for (const ca of [server.certificates!.ca, others.ca]) {
      const upstream = { host, port, database, user, password, ca };
      const sluice = await start({ connections: [{ name: 'shop', protocol: 'mysql', upstream }] });
      if (ca === others.ca) {
        const client = await RawMysqlClient.connect(sluice.mysqlPort);
        assert.equal(decodeErr((await client.rest())[0]!.payload).code, 2003);
        continue;
      }
      const connection = await open(sluice);
      const [[row]] = (await connection.query("SHOW STATUS LIKE 'Ssl_cipher'")) as unknown as [[{ Value: string }]];
      assert.match(row.Value, /TLS/);
      await connection.end();
    }
    rmSync(directory, { recursive: true });
  });

  test('a session whose server goes away ends with an error', async () => {
    const sluice = await start();
    const connection = await open(sluice);
    const [[row]] = (await connection.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]];
    const sleeping = assert.rejects(connection.query('SELECT SLEEP(20)'));
    const runs = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(20)%'";
    await until(async () => (await server.query(runs)).length > 0, 'the statement runs');
    await server.query(`KILL ${row.id}`);
    await sleeping;
    const ends = () => sluice.journal().filter(({ event }) => event === 'session.end');
    await until(() => ends().length === 1, 'the end of the session is in the journal');
    connection.destroy();
  });

  test('a drain lets a transaction end, and takes nobody in', async () => {
    const sluice = await start({ limits: { drain: '5s' } });
    const [busy, idle] = [await open(sluice), await login(sluice)];
    await busy.query('BEGIN');
    await busy.query("INSERT INTO log (line) VALUES ('before the drain')");
    sluice.signal('SIGTERM');
    const told = await idle.rest();
    assert.equal(decodeErr(told[0]!.payload).code, 1053);
    await assert.rejects(open(sluice));
    await busy.query('COMMIT');
    assert.equal(await sluice.exited, 0);
    const rows = await server.query("SELECT COUNT(*) AS n FROM log WHERE line = 'before the drain'");
    assert.equal(Number(rows[0]?.n), 1);
    busy.destroy();
  });

  test('whatever the server has run is in the journal of a Sluice that was killed', async () => {
    const sluice = await start();
    const clients = await Promise.all([1, 2, 3, 4].map(() => login(sluice)));
    let stop = false;
    const loops = clients.map(async (client, n) => {
      for (let i = 0; !stop; i++) {
        client.send(comQuery(`INSERT INTO log (line) VALUES ('killed ${n} ${i}')`));
        await client.packet();
      }
    });
    const inserted = "SELECT line FROM log WHERE line LIKE 'killed%'";
    await until(async () => (await server.query(inserted)).length > 50, 'the clients insert');
    sluice.signal('SIGKILL');
    stop = true;
    await Promise.allSettled(loops);
    // The server may still have one in hand of each.
    await sleep(200);
    const attempted = new Set(sluice.journal().map(({ text }) => text));
    const rows = await server.query(inserted);
    for (const { line } of rows) assert.ok(attempted.has(`INSERT INTO log (line) VALUES ('${line}')`), String(line));
    running.splice(running.indexOf(sluice), 1);
    await sluice.stop();
  });

  test('a slow reader holds its server back, and memory stays where it is', async () => {
    const sluice = await start();
    const client = await login(sluice);
    client.socket.pause();
    client.send(comQuery("SELECT REPEAT('x', 1000) FROM seq_1_to_300000"));
    await sleep(1500);
    const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))?.[1]) / 1024;
    assert.ok(resident < 300, `${resident} MB`);
    client.close();
    const connection = await open(sluice);
    await connection.query('SELECT 1');
    await connection.end();
  });

  test('every truncation and every lying length of a login leaves the listener alive', async () => {
    const sluice = await start();
    const whole = Buffer.concat([
      Buffer.alloc(32, 1),
      Buffer.from('agent\0'),
      Buffer.from([20]),
      Buffer.alloc(20),
      Buffer.from('shop\0'),
    ]);
    whole.writeUInt32LE(0x00_0a_a2_0d | 0x80_00, 0);
    for (let length = 0; length <= whole.length; length += 3) {
      const socket = connect({ host: '127.0.0.1', port: sluice.mysqlPort });
      socket.on('error', () => undefined);
      socket.write(encodePackets(whole.subarray(0, length), 1));
      socket.end();
      await new Promise((resolve) => socket.resume().once('close', resolve));
    }
    const connection = await open(sluice);
    await connection.query('SELECT 1');
    await connection.end();
    assert.ok(!sluice.log().includes('internal error'), sluice.log());
  });
});

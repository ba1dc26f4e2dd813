import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { encodeSSLRequest } from '../protocols/postgres/frontend.ts';
import { Authority, type KeyPair } from './servers/client-authority.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { hasProgram } from './servers/programs.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Who logs in by a client certificate, and which certificate Sluice itself shows. */

describe('client certificates', { timeout: 500_000 }, () => {
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer;
  let sluice: Sluice;
  const directory = mkdtempSync(join(tmpdir(), 'sluice-certificates-'));
  const authority = new Authority(directory, 'clients');
  const strangers = new Authority(directory, 'strangers');
  const servers = new Authority(directory, 'servers');
  const other = servers.issue('/CN=db.example', { names: 'DNS:*.db.example', usage: 'serverAuth' });
  const reports = authority.issue('/O=Example/CN=reports', { names: 'URI:spiffe://example/reports' });
  const careful = authority.issue('/CN=careful');

  before(async () => {
    const started = await Promise.all([startPostgres({ config: { log_connections: 'on' } }), startMariadb()]);
    assert.ok(started[1], 'MariaDB cannot be had');
    [postgres, mariadb] = [started[0], started[1]];
    sluice = await startSluice({
      connections: ([postgres, mariadb] as const).map((server, index) => {
        const { host, port, database, superuser: user, password } = server;
        const upstream = { host, port, database, user, password };
        return index === 0 ? { name: 'shop', upstream } : { name: 'stock', protocol: 'mysql' as const, upstream };
      }),
      users: [
        { name: 'reports', certificates: ['URI:spiffe://example/reports', 'CN=also'], groups: ['readers'] },
        { name: 'careful', certificates: ['CN=careful'], password: 'and this' },
        { name: 'plain', password: 'only this' },
      ],
      tls: true,
      tlsKeys: { client_ca: authority.ca, names: [{ name: '*.db.example', ...other }] },
    });
  });
  after(async () => {
    await sluice?.stop();
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
    rmSync(directory, { recursive: true });
  });

  interface Way {
    readonly name: string;
    /** Logs in, runs a statement, and leaves. */
    readonly login: (user: string, pair: KeyPair | null, password?: string) => Promise<unknown>;
    readonly refused: RegExp;
  }
  const tlsOf = (pair: KeyPair | null) => ({
    ca: readFileSync(sluice.certificates!.ca, 'utf8'),
    ...(pair && { cert: readFileSync(pair.certificate, 'utf8'), key: readFileSync(pair.key, 'utf8') }),
  });
  const run = promisify(execFile);
  const all: readonly Way[] = [
    {
      name: 'pg',
      refused: /password authentication failed for user/,
      async login(user, pair, password = '') {
        const { host, port } = sluice;
        const client = new pg.Client({ host, port, user, password, database: 'shop', ssl: tlsOf(pair) });
        client.on('error', () => undefined);
        await client.connect();
        await client.query('SELECT 1');
        await client.end();
      },
    },
    {
      name: 'psql',
      refused: /password authentication failed for user/,
      async login(user, pair, password = '') {
        const certificate = pair === null ? 'sslcert=' : `sslcert=${pair.certificate} sslkey=${pair.key}`;
        const target =
          `host=localhost hostaddr=127.0.0.1 port=${sluice.port} dbname=shop user=${user} sslmode=verify-full ` +
          `sslrootcert=${sluice.certificates!.ca} ${certificate}`;
        const env = { PATH: process.env.PATH, HOME: directory, PGPASSWORD: password };
        await run('psql', ['--no-psqlrc', '--no-password', target, '--command=SELECT 1'], { env });
      },
    },
    {
      name: 'mysql2',
      refused: /Access denied for user/,
      async login(user, pair, password = '') {
        const { host, mysqlPort: port } = sluice;
        const connection = await mysql.createConnection({ host, port, user, password, ssl: tlsOf(pair) });
        await connection.query('SELECT 1');
        await connection.end();
      },
    },
    {
      name: 'mariadb',
      refused: /Access denied for user/,
      async login(user, pair, password = '') {
        await run('mariadb', [
          ...['--no-defaults', '--host=127.0.0.1', `--port=${sluice.mysqlPort}`, `--user=${user}`],
          ...[`--password=${password}`, `--ssl-ca=${sluice.certificates!.ca}`, '--ssl-verify-server-cert'],
          ...(pair === null ? [] : [`--ssl-cert=${pair.certificate}`, `--ssl-key=${pair.key}`]),
          '--execute=SELECT 1',
        ]);
      },
    },
  ];

  const ways = all.filter(({ name }) => {
    const isThere = !['psql', 'mariadb'].includes(name) || hasProgram(name);
    if (!isThere) console.log(`${name} is not on this machine: the other clients have to do`);
    return isThere;
  });

  const lastOf = (event: string) => sluice.journal().findLast((record) => record.event === event);
  const sessions = () => sluice.journal().filter(({ event }) => event === 'session.start').length;

  /** Refused in every way, in the words for a wrong password; the journal says why, and no server was asked. */
  async function isRefused(user: string, pair: KeyPair | null, reason: RegExp, password: string): Promise<void> {
    for (const { name, login, refused } of ways) {
      const before = sessions();
      const received = postgres.log().match(/connection received/g)?.length;
      await assert.rejects(login(user, pair, password), (error: Error) => {
        assert.match(error.message, refused, name);
        return true;
      });
      await until(() => reason.test(String(lastOf('auth.failed')?.reason)), `${name}: ${reason}`);
      assert.equal(sessions(), before, name);
      assert.equal(postgres.log().match(/connection received/g)?.length, received, name);
    }
    // So that the next failures are heard.
    await right[user]?.();
  }
  const right: Readonly<Record<string, () => Promise<unknown>>> = {
    reports: () => ways[0]!.login('reports', reports),
    careful: () => ways[0]!.login('careful', careful, 'and this'),
  };

  test('are enough for a user without a password, and the session ends with them', async () => {
    const ends = new Date(new X509Certificate(readFileSync(reports.certificate)).validTo).toISOString();
    for (const { name, login } of ways) {
      const before = sessions();
      for (const password of ['', 'whatever']) await login('reports', reports, password);
      assert.equal(sessions(), before + 2, name);
      const start = lastOf('session.start')!;
      assert.deepEqual(start.identity, { subject: 'reports', kind: 'agent', groups: ['readers'] }, name);
      assert.equal(start.expires, ends, name);
    }
  });

  test('of another name, another authority, another use, or over, are refused like a wrong password', async () => {
    const wrong = 'not asked for';
    const named = (more: object = {}) => ({ names: 'URI:spiffe://example/reports', ...more });
    await isRefused('reports', authority.issue('/CN=reports'), /is of CN=reports, not of the user/, wrong);
    await isRefused('reports', strangers.issue('/CN=x', named()), /not accepted: UNABLE_TO_/, wrong);
    await isRefused('reports', authority.issue('/CN=y', named({ days: -1 })), /not accepted: CERT_HAS_EXPIRED/, wrong);
    const server = authority.issue('/CN=z', named({ usage: 'serverAuth' }));
    await isRefused('reports', server, /not accepted: INVALID_PURPOSE/, wrong);
    await isRefused('reports', null, /needs a certificate, and the client has none/, wrong);
  });

  test('are needed besides the password where a user has both', async () => {
    for (const { login } of ways) await login('careful', careful, 'and this');
    await isRefused('careful', null, /needs a certificate/, 'and this');
    await isRefused('careful', reports, /not of the user/, 'and this');
    await isRefused('careful', careful, /wrong user or password/, 'not this');
  });

  test('do not matter for a user that has none', async () => {
    for (const pair of [null, reports, strangers.issue('/CN=plain')]) {
      for (const { login } of ways) await login('plain', pair, 'only this');
    }
    await isRefused('plain', reports, /wrong user or password/, 'not this');
    await isRefused('nobody', reports, /wrong user or password/, 'whatever');
  });

  test('hold for whom a MySQL connection is handed over to', async () => {
    const { host, mysqlPort: port } = sluice;
    for (const compress of [false, true]) {
      const login = { host, port, user: 'plain', password: 'only this', compress };
      const connection = await mysql.createConnection({ ...login, ssl: tlsOf(reports) });
      await connection.changeUser({ user: 'reports', password: '' });
      await connection.query('SELECT 1');
      await assert.rejects(connection.changeUser({ user: 'careful', password: 'and this' }), /Access denied/);
    }
    await until(() => /not of the user/.test(String(lastOf('auth.failed')?.reason)), 'its record');
  });

  describe('of Sluice', () => {
    /** The name in the certificate that a client is shown who asks for `servername`. */
    async function shown(servername: string, direct: boolean): Promise<string> {
      const plain = connect(sluice.port, sluice.host);
      await once(plain, 'connect');
      if (!direct) {
        plain.write(encodeSSLRequest());
        await once(plain, 'data');
      }
      const socket = connectTls({
        socket: plain,
        servername,
        rejectUnauthorized: false,
        ...(direct && { ALPNProtocols: ['postgresql'] }),
      });
      await once(socket, 'secureConnect');
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return String(subject.CN);
    }

    test('are chosen by the name that a client asks for, in direct TLS as well', async () => {
      for (const direct of [false, true]) {
        assert.equal(await shown('a.db.example', direct), 'db.example');
        assert.equal(await shown('A.DB.example', direct), 'db.example');
        assert.equal(await shown('a.b.db.example', direct), 'localhost');
        assert.equal(await shown('db.example', direct), 'localhost');
        assert.equal(await shown('localhost', direct), 'localhost');
      }
    });

    test('are renewed by a reload, and sessions go on', async () => {
      const { certificate, key } = sluice.certificates!;
      const { host, port } = sluice;
      const client = new pg.Client({
        host,
        port,
        user: 'plain',
        password: 'only this',
        database: 'shop',
        ssl: tlsOf(null),
      });
      client.on('error', () => undefined);
      await client.connect();
      const [before, keyBefore] = [readFileSync(certificate), readFileSync(key)];
      const renewed = servers.issue('/CN=renewed', { names: 'DNS:localhost,IP:127.0.0.1', usage: 'serverAuth' });
      copyFileSync(renewed.certificate, certificate);
      copyFileSync(renewed.key, key);
      sluice.signal('SIGHUP');
      for (let tries = 0; tries < 300 && !sluice.log().includes('certificates renewed'); tries++) await sleep(100);
      assert.equal(await shown('localhost', false), 'renewed');
      assert.equal(await shown('a.db.example', false), 'db.example');
      const https = connectTls({ host, port: sluice.apiPort, rejectUnauthorized: false });
      await once(https, 'secureConnect');
      assert.equal(https.getPeerCertificate().subject.CN, 'renewed');
      https.destroy();
      await client.query('SELECT 1');
      await client.end();
      assert.doesNotMatch(sluice.log(), /need a restart/);
      writeFileSync(certificate, before);
      writeFileSync(key, keyBefore);
      sluice.signal('SIGHUP');
      for (let tries = 0; tries < 300 && (await shown('localhost', false)) === 'renewed'; tries++) await sleep(100);
    });

    test('are what a login is bound to', async (t) => {
      if (!hasProgram('psql')) return t.skip('psql is not on this machine');
      const env = { PATH: process.env.PATH, HOME: directory, PGPASSWORD: 'only this' };
      for (const [host, ca] of [
        ['a.db.example', servers.ca],
        ['localhost', sluice.certificates!.ca],
      ]) {
        const target =
          `host=${host} hostaddr=127.0.0.1 port=${sluice.port} dbname=shop user=plain sslmode=verify-full ` +
          `sslrootcert=${ca} channel_binding=require`;
        await run('psql', ['--no-psqlrc', '--no-password', target, '--command=SELECT 1'], { env });
      }
    });
  });
});

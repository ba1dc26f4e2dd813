/**
 * Nothing secret is in anything that is written down or sent away: with every exporter and the index on, statements put
 * values of masked columns and passwords wherever they can be put, and then every byte that was produced is searched for them, in
 * whatever way they may be encoded.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { type OtlpReceiver, startOtlpReceiver } from './otlp-receiver.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { WebhookReceiver } from './webhook-receiver.ts';

/** Values that stand in masked columns, in no form that a detector knows. */
const STORED = ['canary-stored-w7q1', 'canary-kept-z9x3'];
/** Values that statements bring for masked columns, or compare with them. */
const WRITTEN = 'canary-written-k4m8';
const BOUND = 'canary-bound-p2r6';
/** With a quote, a backslash and more than ASCII in it. */
const AWKWARD = "canary-awk'ward\\ü-v5t0";
const PASSWORD = 'canary-password-h3j7';
const BROKEN = 'canary-unread-d8f2';
/** What detectors find: they pass a check of their digits. */
const CARD = '5500005555555559';
const IBAN = 'DE89370400440532013000';
const SECRETS = [...STORED, WRITTEN, BOUND, 'canary-awk', PASSWORD, BROKEN, CARD, IBAN];

const RULES = `version: 1
rules:
  - { id: everything, match: {}, action: allow }
  - { id: no-delete, match: { effects: [delete] }, action: deny }
masks:
  - { id: secret, columns: "*.*.secret", with: redact, predicates: deny }
detectors:
  - { id: found, find: [payment-card, iban], columns: "*", with: redact }
`;
const USER = { name: 'agent', password: 'the agent' };
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;

/** Ways in which a text may stand in bytes. */
function formsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret, 'utf8');
  const texts = new Set([
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    bytes.toString('hex'),
  ]);
  texts.add(bytes.toString('hex').toUpperCase());
  texts.add([...secret].map((one) => `\\u${one.codePointAt(0)!.toString(16).padStart(4, '0')}`).join(''));
  // Inside a longer text in base64, at each of the three places where it may begin; its ends depend on what is around it.
  for (const before of [0, 1, 2]) {
    const within = Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc(3)])
      .toString('base64')
      .replaceAll('=', '');
    const known = within.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    texts.add(known).add(known.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return [...[...texts].map((text) => Buffer.from(text, 'utf8')), Buffer.from(secret, 'utf16le')];
}

test('every form that is searched for is one that would be found', () => {
  const secret = 'canary-of-this-test';
  const around = (text: string) => `xy${text}z`;
  const hidden = [
    around(secret),
    encodeURIComponent(around('canary-of-this-test')),
    Buffer.from(around(secret)).toString('hex'),
    ...['', 'a', 'ab'].map((before) => Buffer.from(before + around(secret)).toString('base64')),
  ];
  for (const text of hidden)
    assert.ok(
      formsOf(secret).some((form) => Buffer.from(text).includes(form)),
      text,
    );
  assert.ok(!formsOf(secret).some((form) => Buffer.from('canary-of-that-test').includes(form)));
});

/** Takes whatever comes and closes its side when the other does. */
class Sink {
  readonly #parts: Buffer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly server: Server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('data', (part: Buffer) => this.#parts.push(part)).on('error', () => {});
  });

  async listen(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}

describe('with every exporter and the index', () => {
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer | null;
  let sluice: Sluice;
  let otlp: OtlpReceiver;
  let webhook: WebhookReceiver;
  const cef = new Sink();
  const ocsf = new Sink();
  const directory = mkdtempSync(join(tmpdir(), 'sluice-secrets-'));
  const file = (name: string) => join(directory, name);

  before(async () => {
    [postgres, mariadb, otlp, webhook] = await Promise.all([
      startPostgres(),
      startMariadb(),
      startOtlpReceiver(),
      WebhookReceiver.start(WEBHOOK_SECRET),
    ]);
    await postgres.query(`
      CREATE TABLE vault (id int PRIMARY KEY, name text, secret text);
      INSERT INTO vault VALUES (1, 'a', '${STORED[0]}'), (2, 'b', '${STORED[1]}'), (3, 'c', NULL);
      CREATE TABLE notes (id serial, body text);
      CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', $1; END $$;
    `);
    await mariadb?.query(`CREATE TABLE vault (id int PRIMARY KEY, name text, secret text)`);
    await mariadb?.query(`INSERT INTO vault VALUES (1, 'a', '${STORED[0]}'), (2, 'b', '${STORED[1]}'), (3, 'c', NULL)`);
    await mariadb?.query('CREATE TABLE notes (id int AUTO_INCREMENT PRIMARY KEY, body text)');
    const upstreamOf = ({ host, port, superuser: user, password, database }: PostgresServer | MysqlFamilyServer) => ({
      ...{ host, port, user, password, database },
    });
    writeFileSync(file('webhook-secret'), WEBHOOK_SECRET);
    sluice = await startSluice({
      connections: [
        { name: 'pg', upstream: upstreamOf(postgres) },
        ...(mariadb === null ? [] : [{ name: 'my', protocol: 'mysql', upstream: upstreamOf(mariadb) } as const]),
      ],
      users: [USER],
      rulesYaml: RULES,
      recording: {
        index: true,
        export: [
          { to: 'jsonl', file: file('sluice.jsonl') },
          { to: 'jsonl', name: 'ocsf', file: file('ocsf.jsonl'), format: 'ocsf' },
          { to: 'webhook', url: webhook.url, secret: { file: file('webhook-secret') } },
          { to: 'syslog', name: 'cef', address: await cef.listen(), transport: 'tcp', format: 'cef' },
          { to: 'syslog', name: 'syslog-ocsf', address: await ocsf.listen(), transport: 'tcp', format: 'ocsf' },
          { to: 'otlp', url: otlp.url },
        ],
      },
    });
  });
  after(async () => {
    await sluice?.stop();
    cef.stop();
    ocsf.stop();
    otlp?.stop();
    await webhook?.stop();
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
    rmSync(directory, { recursive: true, force: true });
  });

  /** Everything that was produced, by where it is. */
  function produced(): Map<string, Buffer> {
    const all = new Map<string, Buffer>();
    for (const root of [directory, dirname(sluice.configFile)]) {
      for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
        const path = join(root, name);
        // Its own configuration has the passwords of upstreams in files; they are nobody's record.
        try {
          if (statSync(path).isFile()) all.set(path, readFileSync(path));
        } catch (error) {
          // It was renamed in between.
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
        }
      }
    }
    all.set('webhook', Buffer.from(webhook.received.map(({ body }) => body).join('\n')));
    all.set('cef', cef.bytes);
    all.set('ocsf', ocsf.bytes);
    all.set('otlp', Buffer.from(otlp.body()));
    all.set('log', Buffer.from(sluice.log()));
    return all;
  }

  /** Waits until everybody has the last record. */
  async function exported(mark: string): Promise<void> {
    const have = () => [...produced()].filter(([, bytes]) => bytes.includes(mark)).map(([name]) => name);
    const needed = ['webhook', 'cef', 'ocsf', 'otlp', file('sluice.jsonl'), file('ocsf.jsonl')];
    const deadline = Date.now() + 60_000;
    while (!needed.every((name) => have().includes(name)) || !have().some((name) => /index\.db/.test(name))) {
      assert.ok(Date.now() < deadline, `only ${have().join(', ')} have ${mark}\n${sluice.log()}`);
      await delay(100);
    }
  }

  function assertNoSecrets(): void {
    for (const [where, bytes] of produced()) {
      for (const secret of SECRETS) {
        for (const form of formsOf(secret)) {
          const at = bytes.indexOf(form);
          if (at < 0) continue;
          assert.fail(`${secret} is in ${where}: ${bytes.toString('latin1', Math.max(0, at - 300), at + 100)}`);
        }
      }
    }
  }

  const trace = "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
  const quoted = AWKWARD.replaceAll("'", "''");

  test('nothing of PostgreSQL is told', async () => {
    const { host, port } = sluice;
    const client = new pg.Client({ host, port, user: USER.name, password: USER.password, database: 'pg' });
    client.on('error', () => {});
    await client.connect();
    const run = (sql: string, values?: unknown[]) => client.query(sql, values).catch(() => null);
    for (const sql of [
      'SELECT * FROM vault',
      'SELECT upper(secret), length(secret) FROM vault',
      `SELECT id FROM vault WHERE secret = '${STORED[0]}'`,
      `SELECT id FROM vault WHERE secret LIKE '%${STORED[1]}%'`,
      `SELECT secret = '${WRITTEN}' FROM vault`,
      `SELECT '${WRITTEN}' IN (SELECT secret FROM vault)`,
      `SELECT CASE WHEN secret = '${WRITTEN}' THEN 1 END FROM vault`,
      `INSERT INTO vault VALUES (10, 'x', '${WRITTEN}')`,
      `INSERT INTO vault VALUES (11, 'x', '${quoted}')`,
      `INSERT INTO vault VALUES (12, 'x', E'\\x63anary-written-k4m8'), (13, 'y', $tag$${WRITTEN}$tag$)`,
      `UPDATE vault SET secret = '${WRITTEN}' WHERE id = 1`,
      `UPDATE vault SET secret = ('x' || '${WRITTEN}') WHERE id = 1 ${trace}`,
      `INSERT INTO vault VALUES (1, 'x', '${WRITTEN}') ON CONFLICT (id) DO UPDATE SET secret = '${WRITTEN}'`,
      `INSERT INTO vault VALUES (1, 'twice', '${WRITTEN}')`,
      `DELETE FROM vault WHERE secret = '${WRITTEN}'`,
      `WITH new AS (SELECT '${WRITTEN}' AS s) UPDATE vault SET secret = new.s FROM new WHERE id = 2`,
      `PREPARE put(int, text) AS UPDATE vault SET secret = $2 WHERE id = $1`,
      `EXECUTE put(1, '${WRITTEN}')`,
      `DECLARE c CURSOR FOR SELECT id FROM vault WHERE secret = '${WRITTEN}'`,
      `EXPLAIN SELECT id FROM vault WHERE secret = '${WRITTEN}'`,
      `SELECT 1; UPDATE vault SET secret = '${WRITTEN}' WHERE id = 1; SELECT 2`,
      `SELECT shout(secret) FROM vault`,
      `DO $$ BEGIN UPDATE vault SET secret = '${WRITTEN}'; END $$`,
      `CREATE ROLE somebody LOGIN PASSWORD '${PASSWORD}'`,
      `ALTER ROLE somebody PASSWORD '${PASSWORD}'`,
      `ALTER USER somebody WITH ENCRYPTED PASSWORD $$${PASSWORD}$$`,
      `CREATE SERVER far FOREIGN DATA WRAPPER x OPTIONS (password '${PASSWORD}')`,
      `CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'u', password '${PASSWORD}')`,
      `CREATE SUBSCRIPTION s CONNECTION 'host=x password=${PASSWORD}' PUBLICATION p`,
      `SELEC '${BROKEN}' FROM`,
      `SELECT '${BROKEN}`,
      `INSERT INTO notes (body) VALUES ('paid with ${CARD}')`,
      `INSERT INTO notes (body) VALUES ('from ${IBAN}') ${trace}`,
      `SELECT 1 /* ${CARD} */`,
      `SELECT 1 -- ${CARD}`,
      `SELECT 1 /*note='${CARD}',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/`,
      `SET application_name = '${CARD}'`,
      `SET sluice.note = '${CARD}'`,
      'SELECT 2',
    ]) {
      await run(sql);
    }
    await run('INSERT INTO vault VALUES ($1, $2, $3)', [20, 'x', BOUND]);
    await run('SELECT id FROM vault WHERE secret = $1', [BOUND]);
    await run('SELECT $1 IN (SELECT secret FROM vault)', [BOUND]);
    await run('UPDATE vault SET secret = $1 WHERE id = $2', [Buffer.from(BOUND), 2]);
    await run('UPDATE vault SET secret = $1 WHERE id = $2', [AWKWARD, 2]);
    await run('INSERT INTO notes (body) VALUES ($1)', [`card ${CARD}`]);
    await client.end();
    const last = new pg.Client({ host, port, user: USER.name, password: USER.password, database: 'pg' });
    await last.connect();
    await last.query('SELECT 1 AS the_end_of_postgres');
    await last.end();
    await exported('the_end_of_postgres');
    assertNoSecrets();
  });

  test('nothing of MySQL is told', async (t) => {
    if (mariadb === null) return t.skip('NOT RUN: there is no MariaDB here');
    const { host, mysqlPort: port } = sluice;
    const options = { host, port, user: USER.name, password: USER.password, database: 'my', multipleStatements: true };
    const connection = await mysql.createConnection(options);
    const run = (sql: string) => connection.query(sql).catch(() => null);
    const hex = Buffer.from(WRITTEN).toString('hex');
    for (const sql of [
      'SELECT * FROM vault',
      'SELECT upper(secret), length(secret) FROM vault',
      `SELECT id FROM vault WHERE secret = '${STORED[0]}'`,
      `SELECT id FROM vault WHERE secret LIKE "%${STORED[1]}%"`,
      `SELECT secret = '${WRITTEN}' FROM vault`,
      `SELECT '${WRITTEN}' IN (SELECT secret FROM vault)`,
      `SELECT CASE WHEN secret = '${WRITTEN}' THEN 1 END FROM vault`,
      `INSERT INTO vault VALUES (10, 'x', '${WRITTEN}')`,
      `INSERT INTO vault VALUES (11, 'x', '${AWKWARD.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}')`,
      `INSERT INTO vault VALUES (12, 'x', x'${hex}'), (13, 'y', 0x${hex}), (14, 'z', _utf8mb4"${WRITTEN}")`,
      `UPDATE vault SET secret = '${WRITTEN}' WHERE id = 1 ${trace}`,
      `UPDATE vault SET secret = concat('x', '${WRITTEN}') WHERE id = 1`,
      `REPLACE INTO vault VALUES (1, 'x', '${WRITTEN}')`,
      `INSERT INTO vault VALUES (1, 'twice', '${WRITTEN}')`,
      `INSERT INTO vault VALUES (1, 'x', '${WRITTEN}') ON DUPLICATE KEY UPDATE secret = '${WRITTEN}'`,
      `DELETE FROM vault WHERE secret = '${WRITTEN}'`,
      `UPDATE vault SET secret = /*! '${WRITTEN}' */ WHERE id = 1`,
      `PREPARE put FROM 'UPDATE vault SET secret = "${WRITTEN}" WHERE id = 1'`,
      `SELECT 1; UPDATE vault SET secret = '${WRITTEN}' WHERE id = 1; SELECT 2`,
      `CREATE USER somebody IDENTIFIED BY '${PASSWORD}'`,
      `ALTER USER somebody IDENTIFIED BY "${PASSWORD}"`,
      `SET PASSWORD FOR somebody = PASSWORD('${PASSWORD}')`,
      `GRANT SELECT ON *.* TO somebody IDENTIFIED BY '${PASSWORD}'`,
      `CHANGE MASTER TO MASTER_PASSWORD = '${PASSWORD}'`,
      `CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD '${PASSWORD}')`,
      `SELEC '${BROKEN}' FROM`,
      `SELECT "${BROKEN}`,
      `INSERT INTO notes (body) VALUES ('paid with ${CARD}')`,
      `INSERT INTO notes (body) VALUES ('from ${IBAN}') ${trace}`,
      `SELECT 1 /* ${CARD} */`,
      `SELECT 1 # ${CARD}`,
      `SELECT 1 /*note='${CARD}',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/`,
    ]) {
      await run(sql);
    }
    const execute = (sql: string, values: (string | number | Buffer)[]) =>
      connection.execute(sql, values).catch(() => null);
    await execute('INSERT INTO vault VALUES (?, ?, ?)', [20, 'x', BOUND]);
    await execute('SELECT id FROM vault WHERE secret = ?', [BOUND]);
    await execute('SELECT ? IN (SELECT secret FROM vault)', [BOUND]);
    await execute('UPDATE vault SET secret = ? WHERE id = ?', [Buffer.from(BOUND), 2]);
    await execute('UPDATE vault SET secret = ? WHERE id = ?', [AWKWARD, 2]);
    await execute('INSERT INTO notes (body) VALUES (?)', [`card ${CARD}`]);
    connection.destroy();
    await (await mysql.createConnection({ ...options, connectAttributes: { program_name: `of ${CARD}` } })).end();
    const last = await mysql.createConnection(options);
    await last.query('SELECT 1 AS the_end_of_mysql');
    await last.end();
    await exported('the_end_of_mysql');
    assertNoSecrets();
  });
});

/**
 * Nothing secret is in anything that is written down or sent away: with every exporter and the index on, statements put
 * values of masked columns and passwords wherever they can be put, and then every byte that was produced is searched for them, in
 * whatever way they may be encoded.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { FakeSlack } from './fake-slack.ts';
import { type OtlpReceiver, startOtlpReceiver } from './otlp-receiver.ts';
import { S3Server } from './s3-server.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';
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
  - { id: waits, match: { effects: [update], tables: ["*.kept"] }, action: hold, approval: { from: { groups: [dba] }, wait: 1s } }
masks:
  - { id: secret, columns: "*.*.secret", with: redact, predicates: deny }
detectors:
  - { id: found, find: [payment-card, iban], columns: "*", with: redact }
`;
const USER = { name: 'agent', password: 'the agent' };
const AUDITOR = { name: 'audrey', password: 'the auditor' };
const STORAGE = { accessKeyId: 'AKIASLUICE', secretAccessKey: 'of the storage', region: 'eu-central-1' };
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
  let ocsfWebhook: WebhookReceiver;
  let channel: WebhookReceiver;
  let slack: FakeSlack;
  let storage: S3Server;
  const cef = new Sink();
  const ocsf = new Sink();
  const syslog = new Sink();
  /** What was asked of a running Sluice, and of one that is started again. */
  const asked: Record<string, string> = {};
  const directory = mkdtempSync(join(tmpdir(), 'sluice-secrets-'));
  const secrets = mkdtempSync(join(tmpdir(), 'sluice-given-'));
  const file = (name: string) => join(directory, name);

  before(async () => {
    [postgres, mariadb, otlp, slack, storage] = await Promise.all([
      startPostgres(),
      startMariadb(),
      startOtlpReceiver(),
      FakeSlack.start(),
      S3Server.start(STORAGE),
    ]);
    const receivers = [1, 2, 3].map(() => WebhookReceiver.start(WEBHOOK_SECRET));
    [webhook, ocsfWebhook, channel] = (await Promise.all(receivers)) as [
      WebhookReceiver,
      WebhookReceiver,
      WebhookReceiver,
    ];
    await postgres.query(`
      CREATE TABLE vault (id int PRIMARY KEY, name text, secret text);
      INSERT INTO vault VALUES (1, 'a', '${STORED[0]}'), (2, 'b', '${STORED[1]}'), (3, 'c', NULL);
      CREATE TABLE notes (id serial, body text);
      CREATE TABLE kept (id int, secret text); INSERT INTO kept VALUES (1, '${STORED[0]}');
      CREATE FUNCTION shout(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', $1; END $$;
    `);
    await mariadb?.query(`CREATE TABLE vault (id int PRIMARY KEY, name text, secret text)`);
    await mariadb?.query(`INSERT INTO vault VALUES (1, 'a', '${STORED[0]}'), (2, 'b', '${STORED[1]}'), (3, 'c', NULL)`);
    await postgres.query('CREATE DATABASE store');
    await mariadb?.query(`CREATE TABLE kept (id int, secret text); INSERT INTO kept VALUES (1, '${STORED[0]}')`);
    await mariadb?.query('CREATE TABLE notes (id int AUTO_INCREMENT PRIMARY KEY, body text)');
    const upstreamOf = ({ host, port, superuser: user, password, database }: PostgresServer | MysqlFamilyServer) => ({
      ...{ host, port, user, password, database },
    });
    // What Sluice is given to know is not in the directory that is searched.
    const secret = (name: string, value: string) => {
      writeFileSync(join(secrets, name), value);
      return { file: join(secrets, name) };
    };
    const signedBy = secret('webhook', WEBHOOK_SECRET);
    const { host, port, superuser, password } = postgres;
    sluice = await startSluice({
      connections: [
        { name: 'pg', upstream: upstreamOf(postgres) },
        ...(mariadb === null ? [] : [{ name: 'my', protocol: 'mysql', upstream: upstreamOf(mariadb) } as const]),
      ],
      users: [USER, { ...AUDITOR, kind: 'human', groups: ['audit'] }],
      roles: { auditor: ['audit'] },
      rulesYaml: RULES,
      store: secret('store', `postgres://${superuser}:${password}@${host}:${port}/store`),
      approvals: {
        channels: [
          { to: 'webhook', name: 'pager', url: channel.url, secret: signedBy },
          {
            ...{ to: 'slack', name: 'dba', team: slack.team, api: slack.api, channel: 'C00DBA' },
            users: [{ slack: 'U000DANA', subject: AUDITOR.name }],
            ...{ bot_token: secret('token', slack.token), signing_secret: secret('signing', slack.signingSecret) },
          },
        ],
      },
      recording: {
        index: true,
        export: [
          { to: 'jsonl', file: file('sluice.jsonl') },
          { to: 'jsonl', name: 'ocsf', file: file('ocsf.jsonl'), format: 'ocsf' },
          { to: 'webhook', url: webhook.url, secret: signedBy },
          { to: 'webhook', name: 'webhook-ocsf', url: ocsfWebhook.url, secret: signedBy, format: 'ocsf' },
          {
            ...{ to: 's3', url: storage.url, region: STORAGE.region, access_key_id: STORAGE.accessKeyId },
            secret_access_key: secret('storage', STORAGE.secretAccessKey),
          },
          { to: 'syslog', name: 'cef', address: await cef.listen(), transport: 'tcp', format: 'cef' },
          { to: 'syslog', name: 'syslog-ocsf', address: await ocsf.listen(), transport: 'tcp', format: 'ocsf' },
          { to: 'syslog', address: await syslog.listen(), transport: 'tcp' },
          { to: 'otlp', url: otlp.url },
        ],
      },
    });
  });
  after(async () => {
    await sluice?.stop();
    for (const sink of [cef, ocsf, syslog]) sink.stop();
    otlp?.stop();
    await Promise.all([webhook, ocsfWebhook, channel, slack, storage].map((receiver) => receiver?.stop()));
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
    for (const made of [directory, secrets]) rmSync(made, { recursive: true, force: true });
  });

  /** Everything that was produced, by where it is. */
  async function produced(): Promise<Map<string, Buffer>> {
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
    for (const [name, receiver] of Object.entries({ webhook, ocsfWebhook, channel })) {
      all.set(name, Buffer.from(receiver.received.map(({ body }) => body).join('\n')));
    }
    for (const [name, sink] of Object.entries({ cef, ocsf, syslog })) all.set(name, sink.bytes);
    for (const [name, { body }] of storage.objects) all.set(`s3 ${name}`, body);
    for (const [name, text] of Object.entries(asked)) all.set(name, Buffer.from(text));
    all.set('otlp', Buffer.from(otlp.body()));
    all.set('slack', Buffer.from(JSON.stringify(slack.calls)));
    all.set('log', Buffer.from(sluice.log()));
    for (const [table, text] of await tablesOfStore()) all.set(`table ${table}`, Buffer.from(text));
    return all;
  }

  /** The store with the index in it, but for what people have to see of a statement that waits for them. */
  async function tablesOfStore(): Promise<[string, string][]> {
    const { host, port, superuser: user, password } = postgres;
    const client = new pg.Client({ host, port, user, password, database: 'store' });
    await client.connect();
    const { rows } = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    const tables: [string, string][] = [];
    for (const { tablename } of rows) {
      const { rows } = await client.query(`SELECT to_jsonb(t) - 'question' AS row FROM "${tablename}" AS t`);
      tables.push([tablename, rows.map(({ row }) => JSON.stringify(row)).join('\n')]);
    }
    await client.end();
    return tables;
  }

  /** Waits until everybody has the last record. */
  async function exported(mark: string): Promise<void> {
    const needed = [
      ...['webhook', 'ocsfWebhook', 'cef', 'ocsf', 'syslog', 'otlp', file('sluice.jsonl'), file('ocsf.jsonl')],
      'table index_texts',
    ];
    const deadline = Date.now() + 60_000;
    for (;;) {
      const have = [...(await produced())].filter(([, bytes]) => bytes.includes(mark)).map(([name]) => name);
      if (needed.every((name) => have.includes(name))) return;
      assert.ok(Date.now() < deadline, `only ${have.join(', ')} have ${mark}\n${sluice.log()}`);
      await delay(100);
    }
  }

  async function assertNoSecrets(): Promise<void> {
    for (const [where, bytes] of await produced()) {
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
      `UPDATE kept SET secret = '${WRITTEN}' WHERE id = 1`,
      `UPDATE kept SET secret = 'card ${CARD}' WHERE secret = '${STORED[0]}'`,
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
    await assertNoSecrets();
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
      `UPDATE kept SET secret = '${WRITTEN}' WHERE id = 1`,
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
    await assertNoSecrets();
  });

  test('nothing is told by channels of approvals, the API, the metrics, a storage that is brought segments, and an index of the journal alone', async () => {
    await channel.until((received) => received.some(({ type }) => type === 'approval.requested'));
    assert.ok([...slack.messages.values()].length > 0);
    const authorization = `Basic ${Buffer.from(`${AUDITOR.name}:${AUDITOR.password}`).toString('base64')}`;
    const ask = async (path: string, port = sluice.apiPort) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization } });
      assert.equal(response.status, 200, path);
      asked[`${port} ${path}`] = await response.text();
    };
    for (const path of ['recordings?event=any&limit=200', 'sessions?state=all', 'agents']) await ask(`/api/v1/${path}`);
    for (const path of ['/metrics', '/readyz']) await ask(path);
    sluice.signal('SIGTERM');
    await sluice.exited;
    const again = await serveAgain(sluice.configFile);
    try {
      await untilBrought();
    } finally {
      await again.end();
    }
    const program = join(import.meta.dirname, '../src/cli/sluice.js');
    const journal = join(dirname(sluice.configFile), 'journal');
    for (const args of [
      ['recordings', 'search', '--event', 'any', '--limit', '200', '--json'],
      ['sessions', 'list', '--json'],
    ]) {
      const { stdout } = await promisify(execFile)(process.execPath, [program, ...args, '--journal', journal]);
      asked[args.join(' ')] = stdout;
    }
    assert.ok([...(await produced()).keys()].some((name) => name.endsWith('index.db')));
    await assertNoSecrets();
  });

  /** Waits until the storage has the segment that everything was recorded in. */
  async function untilBrought(): Promise<void> {
    for (
      const deadline = Date.now() + 60_000;
      ![...storage.objects.keys()].some((name) => name.endsWith('-1.jsonl.manifest.json'));
      await delay(50)
    ) {
      assert.ok(Date.now() < deadline, [...storage.objects.keys()].join());
    }
  }
});

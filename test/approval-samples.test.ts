import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { Approver } from './approver.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * What people are shown of the rows that a held statement is about: never a masked value, whoever asks and whoever looks, and
 * nothing of them is kept anywhere.
 */

const RULES = `version: 1
rules:
  - id: changes-wait
    match: { effects: [delete, update, merge, insert] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
  - id: dumps-wait
    match: { identities: { subjects: bot }, effects: [read], tables: ["*.dumps"] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
  - id: some-read
    match: { identities: { subjects: [bot, dana] }, effects: [read, call-function, opaque, lock, resource] }
    action: allow
  - id: once-approved
    match: { effects: [delete, update, merge, insert, set-role] }
    action: allow
masks:
  - { id: mails, columns: "*.people.mail", with: redact, unless: { identities: { kind: human } } }
  - { id: phones, columns: "*.people.phone", with: { partial: { last: 2 } }, unless: { identities: { kind: agent } } }
  - { id: cards, columns: "*.people.card", with: { partial: { last: 2 } }, unless: { identities: { kind: agent } } }
  - { id: cards-of-agents, columns: "*.people.card", with: { partial: { first: 2 } }, unless: { identities: { kind: human } } }
`;

let postgres: PostgresServer;
let mariadb: MysqlFamilyServer;
let sluice: Sluice;
let approver: Approver;
let marks = 0;

const PEOPLE = (n: number) => [n, `canary${n}@x`, `555-canary-${n}7`, `ca-canary-${n}9`, 'x'.repeat(500)] as const;

before(async () => {
  const [server, family] = await Promise.all([startPostgres(), startMariadb()]);
  postgres = server;
  assert.ok(family);
  mariadb = family;
  await postgres.query(`CREATE TABLE people (id int PRIMARY KEY, mail text, phone text, card text, note text, raw bytea);
    INSERT INTO people SELECT n, 'canary' || n || '@x', '555-canary-' || n || '7', 'ca-canary-' || n || '9', repeat('x', 500),
      decode(repeat('00ff', 20), 'hex') FROM generate_series(1, 9) AS n;
    CREATE VIEW grown AS SELECT id, mail AS contact FROM people WHERE id > 5;
    CREATE TABLE "Odd ""Name" ("a b" int, "c,d" text); INSERT INTO "Odd ""Name" VALUES (1, 'one'), (2, 'two');
    CREATE TABLE parted (id int, region text) PARTITION BY LIST (region);
    CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu'); INSERT INTO parted VALUES (1, 'eu'), (2, 'eu');
    CREATE TABLE owned (id int, owner text); INSERT INTO owned VALUES (1, 'reader'), (2, 'other');
    CREATE TABLE dumps AS SELECT * FROM owned; CREATE TABLE stale (id int); INSERT INTO stale VALUES (2), (3);
    CREATE ROLE reader; GRANT SELECT, DELETE ON owned TO reader; GRANT SELECT (id), DELETE ON people TO reader;
    ALTER TABLE owned ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON owned USING (owner = current_user);
    CREATE SEQUENCE counter; CREATE TABLE big (id int, text text); INSERT INTO big VALUES (1, repeat('y', 9000000));
    CREATE FUNCTION is_first(int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT $1 = 1';
    CREATE FUNCTION counts(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''counter''); RETURN true; END'`);
  await mariadb.query(`CREATE TABLE people (id int PRIMARY KEY, mail varchar(50), phone varchar(50), card varchar(50), note text, raw blob);
    INSERT INTO people VALUES ${[1, 2, 3]
      .map(
        (n) =>
          `(${PEOPLE(n)
            .map((value) => (typeof value === 'number' ? value : `'${value}'`))
            .join(', ')}, REPEAT(x'00ff', 20))`,
      )
      .join(', ')};
    CREATE TABLE stale (id int PRIMARY KEY); INSERT INTO stale VALUES (2), (3);
    CREATE FUNCTION is_old(n int) RETURNS bool DETERMINISTIC RETURN n > 2;
    CREATE TABLE \`Odd, \`\`Name\` (\`a b\` int); INSERT INTO \`Odd, \`\`Name\` VALUES (1)`);
  sluice = await startSluice({
    connections: (['postgres', 'mysql'] as const).map((protocol) => {
      const { host, port, database, superuser: user, password } = protocol === 'postgres' ? postgres : mariadb;
      return { name: protocol, protocol, upstream: { host, port, database, user, password }, default: 'deny' as const };
    }),
    users: [
      { name: 'bot', password: 'secret' },
      { name: 'blind', password: 'secret' },
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'eve', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'vic', password: 'secret', kind: 'human', groups: ['watchers'] },
    ],
    roles: { approver: ['dba'], viewer: ['watchers'] },
    rulesYaml: RULES,
    recording: { index: true },
    approvals: {
      channels: [
        { to: 'webhook', name: 'pager', url: 'https://127.0.0.1:9/', secret: { env: 'PAGER' }, statements: true },
      ],
    },
    environment: { PAGER: `whsec_${Buffer.alloc(32, 1).toString('base64')}` },
  });
  approver = await Approver.open(sluice.storeFile);
});
after(async () => {
  await approver?.close();
  await sluice?.stop();
  await Promise.all([postgres?.stop(), mariadb?.stop()]);
});

interface Opened {
  readonly impact: { readonly rows: number | null; readonly gaps: readonly string[] } | null;
  readonly history: { readonly approved: number; readonly not_held: { readonly times: number } | null };
  readonly sample: {
    readonly columns: string[] | null;
    readonly rows: (string | null)[][] | null;
    readonly none: string | null;
  };
}
/** Everything that anybody was answered. */
const answers: string[] = [];

async function opened(id: number, user = 'dana'): Promise<Opened> {
  const authorization = `Basic ${Buffer.from(`${user}:secret`).toString('base64')}`;
  const url = `http://127.0.0.1:${sluice.apiPort}/api/v1/approvals/${id}`;
  const response = await fetch(url, { headers: { authorization } });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  answers.push(text);
  return JSON.parse(text) as Opened;
}

/** What `sluice approvals show` prints. */
async function show(id: number): Promise<string> {
  const program = join(import.meta.dirname, '../src/cli/sluice.js');
  const as = ['--api', `http://127.0.0.1:${sluice.apiPort}`, '--user', 'dana'];
  const { stdout } = await promisify(execFile)(process.execPath, [program, 'approvals', 'show', String(id), ...as], {
    env: { PATH: process.env.PATH, HOME: dirname(sluice.configFile), SLUICE_PASSWORD: 'secret' },
  });
  answers.push(stdout);
  return stdout;
}

/** The ticket that a statement gets. */
async function heldInPostgres(sql: string, values: unknown[] = [], user = 'bot', before = ''): Promise<number> {
  const { host, port } = sluice;
  const client = new pg.Client({ host, port, user, password: 'secret', database: 'postgres' });
  await client.connect();
  if (before !== '') await client.query(before);
  const error = await client.query(`${sql} /* ${++marks}. */`, values).then(
    () => assert.fail('it ran'),
    (reason: pg.DatabaseError) => reason,
  );
  await client.end();
  const id = error.detail === undefined ? undefined : JSON.parse(error.detail).sluice.request;
  assert.ok(id !== undefined, error.message);
  return id;
}

async function heldInMysql(sql: string, values?: (string | number)[]): Promise<number> {
  const { host, mysqlPort: port } = sluice;
  const client = await mysql.createConnection({ host, port, user: 'bot', password: 'secret', database: 'mysql' });
  const text = `${sql} /* ${++marks}. */`;
  const refused = await (values === undefined ? client.query(text) : client.execute(text, values)).then(
    () => 'it ran',
    ({ message }: Error) => message,
  );
  await client.end();
  assert.match(refused, /approv/);
  return (await approver.requestFor(` ${marks}. `)).id;
}

describe('the rows that a held statement is about', () => {
  const NOTE = `${'x'.repeat(200)}... (500 characters)`;
  const RAW = `0x${'00ff'.repeat(8)}... (40 bytes)`;

  test('are shown masked for who asks and for who looks, and cut short', async () => {
    const id = await heldInPostgres('DELETE FROM people WHERE id IN ($1, 2) -- those', ['1']);
    const { sample, impact } = await opened(id);
    assert.deepEqual(sample, {
      columns: ['id', 'mail', 'phone', 'card', 'note', 'raw'],
      rows: [1, 2].map((n) => [String(n), '[redacted]', `****${n}7`, null, NOTE, RAW]),
      none: null,
    });
    assert.equal(impact?.rows, 2);
    assert.match(await show(id), /id +mail +phone +card +note +raw\s+1 +\[redacted\] +\*\*\*\*17 +NULL +x+/);
  });

  const shown: Record<string, { sql: string; values?: unknown[]; before?: string; rows: (string | null)[][] }> = {
    'of an UPDATE with another table': {
      sql: 'UPDATE stale AS s SET id = 0 FROM people p WHERE p.id = s.id',
      rows: [['2'], ['3']],
    },
    'of a DELETE with USING, behind a WITH': {
      sql: 'WITH old AS (SELECT 3 AS i) DELETE FROM stale USING old WHERE stale.id = old.i RETURNING *',
      rows: [['3']],
    },
    'of a condition with a query': {
      sql: 'DELETE FROM stale WHERE id IN (SELECT id FROM people WHERE id = 2)',
      rows: [['2']],
    },
    'of a MERGE': {
      sql: 'MERGE INTO stale USING people p ON p.id = stale.id AND p.id = 2 WHEN MATCHED THEN DELETE',
      rows: [['2']],
    },
    'of an INSERT with a query': {
      sql: 'INSERT INTO stale SELECT id + 7 FROM people WHERE id < 3',
      rows: [['8'], ['9']],
    },
    'of a SELECT': { sql: 'SELECT owner FROM dumps ORDER BY 1', rows: [['other'], ['reader']] },
    'under quoted names': { sql: `DELETE FROM "Odd ""Name" WHERE "c,d" = $1`, values: ['two'], rows: [['2', 'two']] },
    'of a table with partitions': { sql: `UPDATE parted SET region = 'eu' WHERE id = 2`, rows: [['2', 'eu']] },
    'of a view': { sql: 'DELETE FROM grown WHERE id = 6', rows: [['6', '[redacted]']] },
    'under row level security': { sql: 'DELETE FROM owned', before: 'SET ROLE reader', rows: [['1', 'reader']] },
    'with a function that only reads': { sql: 'DELETE FROM stale WHERE is_first(id - 1)', rows: [['2']] },
    'by their place': { sql: `DELETE FROM stale WHERE ctid = '(0,1)'`, rows: [['2']] },
  };
  for (const [name, { sql, values, before, rows }] of Object.entries(shown)) {
    test(name, async () => {
      const { sample } = await opened(await heldInPostgres(sql, values, 'bot', before));
      assert.deepEqual(sample.rows, rows, String(sample.none));
    });
  }

  const hidden: Record<
    string,
    { sql: string; before?: string; user?: string; by?: string; why: RegExp; counted?: false }
  > = {
    'to who may not read them': { sql: 'DELETE FROM stale', by: 'eve', why: /^You may not read them: .*stale/ },
    'if who asks may not read them': { sql: 'DELETE FROM stale', user: 'blind', why: /^Who asks may not read them/ },
    'to who may not see statements': { sql: 'DELETE FROM stale', by: 'vic', why: /^Rows are shown to approvers/ },
    'where its role may not read all columns': {
      sql: 'DELETE FROM people WHERE id = 1',
      before: 'SET ROLE reader',
      why: /^They could not be read: the server refuses it \(42501\); what it says may quote masked values\.$/,
    },
    'if that would do more than read': {
      sql: 'DELETE FROM stale WHERE counts(id)',
      why: /^It is not looked at: to look for its rows would do more than read/,
      counted: false,
    },
    'if they are too large': { sql: 'DELETE FROM big', why: /^They could not be read: they have more than 8 MB/ },
    'of what has none': { sql: 'INSERT INTO stale VALUES (7)', why: /^There is no query of the rows/ },
    'where an error would quote a value': {
      sql: 'DELETE FROM grown WHERE CASE WHEN id > 0 THEN id / (id - 6) END > 0',
      why: /^They could not be read: the server refuses it \(22012\)/,
    },
  };
  for (const [name, { sql, before, user, by, why, counted }] of Object.entries(hidden)) {
    test(`are not shown ${name}`, async () => {
      const { sample, impact } = await opened(await heldInPostgres(sql, [], user, before), by);
      assert.match(String(sample.none), why);
      assert.equal(sample.rows, null);
      if (counted === false) {
        assert.equal(impact?.rows, null);
        assert.match(impact!.gaps.join('; '), /would do more than read/);
      }
    });
  }

  test('are shown in MySQL', async () => {
    const shownOf = async (sql: string, values?: (string | number)[]) => {
      const { sample } = await opened(await heldInMysql(sql, values));
      return sample.rows ?? sample.none;
    };
    const row = (n: number) => [String(n), '[redacted]', `****${n}7`, null, NOTE, RAW];
    assert.deepEqual(await shownOf('DELETE FROM people WHERE id >= ? ORDER BY id DESC LIMIT 2', [1]), [row(3), row(2)]);
    assert.deepEqual(await shownOf('DELETE p FROM people p JOIN stale s ON s.id = p.id WHERE s.id = 2'), [row(2)]);
    assert.deepEqual(await shownOf('UPDATE people p JOIN stale s ON s.id = p.id SET p.id = 9 WHERE s.id = 2'), [
      [...row(2), '2'],
    ]);
    assert.deepEqual(await shownOf('DELETE FROM `Odd, ``Name`'), [['1']]);
    assert.match(String(await shownOf('DELETE FROM stale WHERE is_old(id)')), /would do more than read/);
  });

  test('have a history: of earlier requests, and of how often such a statement ran without waiting', async () => {
    const sql = 'SELECT id FROM dumps WHERE id = 1';
    const first = await heldInPostgres(sql);
    await approver.approve(first);
    const { host, port } = sluice;
    const dana = new pg.Client({ host, port, user: 'dana', password: 'secret', database: 'postgres' });
    await dana.connect();
    await dana.query(sql);
    await dana.end();
    const id = await heldInPostgres(sql);
    await until(async () => (await opened(id)).history.not_held?.times === 1, 'it is in the index');
    assert.equal((await opened(id)).history.approved, 1);
    const shown = await show(id);
    assert.match(shown, /^like it +1 approved, of which 0 ran$/m);
    assert.match(shown, new RegExp(`^last +${first} approved by dana, `, 'm'));
    assert.match(shown, /^not held +1 times, the last /m);
  });

  test('leave nothing masked in any answer, record, row of the store, notice or line of the log', async () => {
    const directory = dirname(sluice.storeFile);
    const kept = readdirSync(directory)
      .filter((file) =>
        readdirSync(directory, { withFileTypes: true })
          .find(({ name }) => name === file)!
          .isFile(),
      )
      .map((file) => readFileSync(join(directory, file), 'latin1'));
    const deliveries = await approver.store.selectFrom('approval_deliveries').select('payload').execute();
    assert.ok(deliveries.length > 20);
    for (const text of [...answers, ...kept, JSON.stringify(deliveries), sluice.log()]) {
      assert.equal(text.includes('canary'), false);
      assert.equal(Buffer.from(text, 'latin1').includes(Buffer.from('canary').toString('base64').slice(0, 6)), false);
    }
    assert.deepEqual(await postgres.query(`SELECT is_called FROM counter`), [{ is_called: false }]);
  });
});

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { decodeErrorResponse, decodeRowDescription } from '../protocols/postgres/backend.ts';
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { type Message, RawClient, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/**
 * Masks and detectors through a running Sluice: every way in which rows reach a client, in both formats. The secrets stand
 * nowhere but in the masked columns, so none of their bytes may be in anything a client receives.
 */

const SCHEMA = `
  CREATE TABLE people (
    id int PRIMARY KEY, name text NOT NULL, email text, card varchar(19), ssn char(11), salary numeric(10, 2),
    born date, seen timestamptz, token uuid, score float8, points bigint, active bool, raw bytea, tags text[],
    address inet, profile jsonb, mood mood);
  INSERT INTO people SELECT i, 'Name ' || i, 'canary' || i || '@secret.example', '4111-1111-1111-111' || i, '900-10-777' || i,
    77123.45, '1977-07-07', '2011-11-11 11:11:11+00', ('77777777-7777-4777-8777-77777777777' || i)::uuid, 7777.25, 7777777777 + i, true,
    'canarybytes', ARRAY['canarytag', 'canary"two'], '77.77.77.77', '{"card": {"number": "canaryjson"}, "city": "Bonn"}', 'canarymood'
    FROM generate_series(1, 3) i;
  CREATE VIEW contacts AS SELECT id, email AS address FROM people;
  CREATE TABLE notes (id int PRIMARY KEY, body text);
  INSERT INTO notes VALUES (1, 'call 555'), (2, 'card 4012 8888 8888 1881'), (3, NULL);
`;

const RULES = `
version: 1
rules:
  - { id: everything, match: {}, action: allow }
masks:
  - { id: email, columns: people.email, with: { email: keep-domain } }
  - { id: card, columns: people.card, with: { partial: { last: 4 } } }
  - { id: redacted, columns: [people.ssn, people.salary, people.born, people.seen, people.token, people.score, people.points, people.active, people.raw, people.tags, people.address, people.mood], with: redact }
  - { id: profile, columns: "people.profile:$.card.number", with: redact }
detectors:
  - { id: cards, find: payment-card, columns: "*", with: { redact: "[card]" } }
`;

const CANARIES = ['canary', '1111-1111', '900-10', '77123', '1977', '2011', '77777777', '7777', '77.77', '8888 8888'];

let server: PostgresServer;
let sluice: Sluice;
let client: RawClient;
const login = () => ({ host: sluice.host, port: sluice.port, user: 'bot', password: 'pw', database: 'shop' });

before(async () => {
  server = await startPostgres();
  await server.query('CREATE DATABASE shop');
  const { host, port, superuser: user, password } = server;
  const direct = new pg.Client({ host, port, user, password, database: 'shop' });
  await direct.connect();
  await direct.query("CREATE TYPE mood AS ENUM ('fine', 'canarymood')");
  await direct.query(SCHEMA);
  await direct.end();
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, user, password, database: 'shop' } }],
    users: [{ name: 'bot', password: 'pw' }],
    rulesYaml: RULES,
  });
  client = await RawClient.login(login());
});

after(async () => {
  client?.destroy();
  await sluice?.stop();
  await server?.stop();
});

/** No byte of a secret in any message, in text or in binary form. */
function assertMasked(messages: readonly Message[]): void {
  const bytes = Buffer.concat(messages.map(({ body }) => body));
  for (const canary of CANARIES) assert.equal(bytes.includes(canary), false, `${canary} in ${shapeOf(messages)}`);
  for (const binary of ['77777777777747778777777777', '40be614000000000', '00000001cf9d']) {
    assert.equal(bytes.toString('hex').includes(binary), false, binary);
  }
}

async function simple(sql: string): Promise<Message[]> {
  const messages = await client.query(encodeQuery(sql));
  assertMasked(messages);
  return messages;
}

async function extended(
  text: string,
  format: 0 | 1,
  describe: 'statement' | 'portal' | 'nothing',
  parameters: readonly string[] = [],
  maxRows = 0,
): Promise<Message[]> {
  const messages = await client.query(
    encodeParse({ statement: '', text, parameterTypes: [] }),
    ...(describe === 'statement' ? [encodeDescribe({ kind: 'statement', name: '' })] : []),
    encodeBind({
      ...{ portal: '', statement: '', parameterFormats: [] },
      parameters: parameters.map((value) => Buffer.from(value)),
      resultFormats: [format],
    }),
    ...(describe === 'portal' ? [encodeDescribe({ kind: 'portal', name: '' })] : []),
    encodeExecute({ portal: '', maxRows }),
    ...(maxRows > 0 ? [encodeExecute({ portal: '', maxRows: 0 })] : []),
    encodeSync(),
  );
  assertMasked(messages);
  return messages;
}

const refusedBy = (messages: readonly Message[]): string | null => {
  const error = messages.find(({ type }) => type === 'E');
  const detail = error === undefined ? undefined : decodeErrorResponse(error.body).detail;
  return detail === undefined ? null : JSON.parse(detail).sluice.rule;
};

test('a masked column in a select list is masked, plain and derived, whatever it is called', async () => {
  assert.equal(
    shapeOf(await simple('SELECT id, email, email AS name, card FROM people ORDER BY id LIMIT 2')),
    'T D(1,****@secret.example,****@secret.example,****1111) D(2,****@secret.example,****@secret.example,****1112) C(SELECT 2) Z(I)',
  );
  assert.equal(
    shapeOf(
      await simple("SELECT upper(email), substring(email FROM 'zzz'), count(*) OVER () FROM people WHERE id = 1"),
    ),
    'T D([redacted],[redacted],1) C(SELECT 1) Z(I)',
  );
  assert.equal(
    shapeOf(await simple('SELECT address FROM contacts WHERE id = 1')),
    'T D(****@secret.example) C(SELECT 1) Z(I)',
  );
  assert.equal(shapeOf(await simple('SELECT count(email) FROM people')), 'T D(3) C(SELECT 1) Z(I)');
  assert.equal(
    shapeOf(await simple('SELECT profile FROM people WHERE id = 1')),
    'T D({"card": {"number": "[redacted]"}, "city": "Bonn"}) C(SELECT 1) Z(I)',
  );
  assert.equal(
    shapeOf(await simple('SELECT name FROM people WHERE id = 1; SELECT email FROM people WHERE id = 1; SELECT 2')),
    'T D(Name 1) C(SELECT 1) T D(****@secret.example) C(SELECT 1) T D(2) C(SELECT 1) Z(I)',
  );
});

for (const format of [0, 1] as const) {
  for (const describe of ['statement', 'portal', 'nothing'] as const) {
    test(`every type is masked in ${format === 0 ? 'text' : 'binary'} format, ${describe} described`, async () => {
      const all = await extended('SELECT * FROM people WHERE id = $1', format, describe, ['1']);
      assert.equal(all.filter(({ type }) => type === 'D').length, 1);
      assert.equal(all.filter(({ type }) => type === 'T').length, describe === 'nothing' ? 0 : 1);
      const whole = await extended('SELECT p, to_jsonb(p), p::text, row(p.email) FROM people p', format, describe);
      assert.equal(
        whole.filter(({ type }) => type === 'D').length,
        3,
        JSON.stringify(whole.map(({ body }) => body.toString('latin1'))),
      );
    });
  }
}

test('a portal with a row limit, a prepared statement executed again, and one described long before', async () => {
  const limited = await extended('SELECT email FROM people ORDER BY id', 0, 'nothing', [], 1);
  assert.match(shapeOf(limited), /^1 2 D\(\*{4}@secret.example\) s D\(/);
  const prepared = await client.query(
    encodeParse({ statement: 's', text: 'SELECT email, token FROM people WHERE id = $1', parameterTypes: [] }),
    encodeDescribe({ kind: 'statement', name: 's' }),
    encodeSync(),
  );
  assertMasked(prepared);
  for (const format of [1, 0, 1]) {
    const bind = {
      portal: '',
      statement: 's',
      parameterFormats: [],
      parameters: [Buffer.from('2')],
      resultFormats: [format],
    };
    const messages = await client.query(encodeBind(bind), encodeExecute({ portal: '', maxRows: 0 }), encodeSync());
    assertMasked(messages);
    assert.equal(messages.filter(({ type }) => type === 'D').length, 1);
  }
});

test('cursors, EXECUTE, RETURNING', async () => {
  const cursor = await simple(
    'BEGIN; DECLARE c CURSOR FOR SELECT email, id FROM people ORDER BY id; FETCH 1 FROM c; COMMIT',
  );
  assert.match(shapeOf(cursor), /D\(\*{4}@secret.example,1\)/);
  await simple('BEGIN');
  await simple('DECLARE d CURSOR FOR SELECT id, email FROM people ORDER BY id');
  assert.match(shapeOf(await simple('FETCH ALL FROM d')), /^T D\(1,\*{4}@secret.example\) D\(2/);
  assert.match(shapeOf(await extended('FETCH BACKWARD 1 FROM d', 1, 'nothing')), /D\(.*\*{4}@secret.example\)/);
  await simple('COMMIT');
  assert.equal(refusedBy(await simple('FETCH 1 FROM unknown_cursor')), 'card');
  await simple('PREPARE q AS SELECT email FROM people WHERE id = $1');
  assert.match(shapeOf(await simple('EXECUTE q (1)')), /^T D\(\*{4}@secret.example\)/);
  assert.match(
    shapeOf(await simple("UPDATE people SET name = 'x' WHERE id = 3 RETURNING id, email")),
    /^T D\(3,\*{4}@secret.example\)/,
  );
});

test('COPY TO STDOUT in all formats', async () => {
  const copied = (messages: readonly Message[]) =>
    messages.flatMap(({ type, body }) => (type === 'd' ? [body.toString('latin1')] : [])).join('');
  assert.equal(
    copied(await simple('COPY (SELECT id, email, card FROM people WHERE id < 3 ORDER BY id) TO STDOUT')),
    '1\t****@secret.example\t****1111\n2\t****@secret.example\t****1112\n',
  );
  assert.equal(
    copied(
      await simple(
        "COPY (SELECT id, ssn, salary, upper(email) FROM people WHERE id = 1) TO STDOUT (FORMAT csv, HEADER, DELIMITER ';')",
      ),
    ),
    'id;ssn;salary;upper\n1;"[redacted] ";"0";\n',
  );
  const binary = await simple('COPY people TO STDOUT (FORMAT binary)');
  assert.equal(binary.filter(({ type }) => type === 'd').length, 4);
  await simple('COPY people TO STDOUT');
  await simple('COPY people (email, tags, profile) TO STDOUT CSV');
});

test('what decides about rows is refused, what compares for equality passes', async () => {
  for (const sql of [
    "SELECT id FROM people WHERE email LIKE 'c%'",
    'SELECT id FROM people ORDER BY salary',
    'SELECT count(*) FROM people GROUP BY card',
    "SELECT id, CASE WHEN email > 'm' THEN 1 END FROM people",
    'CREATE TABLE copied AS SELECT email FROM people',
    'INSERT INTO notes SELECT 9, email FROM people',
  ]) {
    assert.notEqual(refusedBy(await simple(sql)), null, sql);
  }
  assert.equal(shapeOf(await simple("SELECT id FROM people WHERE email = 'x'")), 'T C(SELECT 0) Z(I)');
});

test('what a detector finds is replaced, in any column and format', async () => {
  assert.equal(
    shapeOf(await simple('SELECT body FROM notes ORDER BY id')),
    'T D(call 555) D([card]) D() C(SELECT 3) Z(I)',
  );
  assert.match(
    shapeOf(await extended('SELECT body FROM notes ORDER BY id', 1, 'nothing')),
    /D\(call 555\) D\(\[card\]\)/,
  );
  const other = await RawClient.login(login());
  await other.query(encodeQuery('LISTEN news'));
  await simple("NOTIFY news, 'card 4012888888881881'");
  await sleep(100);
  const messages = await other.query(encodeQuery('SELECT 1'));
  assert.equal(Buffer.concat(messages.map(({ body }) => body)).includes('4012888888881881'), false);
  other.destroy();
});

test('a mask is not written over the value it stands for', async () => {
  assert.equal(refusedBy(await simple("UPDATE people SET email = '****@secret.example' WHERE id = 1")), 'email');
  assert.equal(
    refusedBy(await extended('UPDATE people SET card = $1 WHERE id = 1', 0, 'nothing', ['****1111'])),
    'card',
  );
  assert.match(shapeOf(await simple("UPDATE people SET name = '****' WHERE id = 3")), /^C\(UPDATE 1\)/);
});

test('records hold no value of a masked column', async () => {
  await simple("SELECT id FROM people WHERE email = 'probe-one@x.example'");
  await extended('SELECT id FROM people WHERE email = $1', 0, 'nothing', ['probe-two@x.example']);
  await simple("SELECT id FROM people WHERE ssn = 'probe-three' AND name = 'kept-name' AND id > 7654 LIMIT 4321");
  await extended('SELECT id FROM people WHERE email = $1 AND name = $2', 0, 'nothing', ['probe-four', 'kept-bind']);
  await simple("UPDATE people SET email = 'probe-five', name = 'kept-update' WHERE id = 987654");
  await simple(
    "INSERT INTO people (id, name, ssn) VALUES (99, 'kept-insert', 'probe-six'), (98, lower('probe-no'), NULL)",
  );
  await simple("SELECT id FROM people p JOIN (VALUES ('probe-seven')) v (e) ON p.email = 'x' AND v.e = 'probe-seven'");
  await simple('DELETE FROM people WHERE id IN (98, 99)');
  await simple("CREATE ROLE probing LOGIN PASSWORD 'probe-eight'");
  await simple('DROP ROLE probing');
  await simple("SELEC 'probe-nine'");
  await simple("SELECT 'kept' AS word");
  await simple("SELECT 'card 4012888888881881' IS NULL");
  const records = JSON.stringify(sluice.journal());
  const hidden = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'no'].map(
    (n) => `probe-${n}`,
  );
  for (const value of [...hidden, '4012888888881881']) assert.equal(records.includes(value), false, value);
  for (const value of ['kept-name', '7654', '4321', 'kept-bind', 'kept-update', '987654', 'kept-insert']) {
    assert.equal(records.includes(value), true, value);
  }
  assert.equal(records.includes("SELECT 'kept' AS word"), true);
  assert.equal(records.includes('"masks":["email"]'), true);
});

test('rows in pieces of any size are masked, and a huge masked value is never in memory', async () => {
  const megabytes = 24;
  await server.query('SELECT 1');
  const { host, port, superuser: user, password } = server;
  const direct = new pg.Client({ host, port, user, password, database: 'shop' });
  await direct.connect();
  await direct.query(
    `INSERT INTO people (id, name, email) VALUES (100, repeat('n', 100000), repeat('canary', ${megabytes} * 180000))`,
  );
  await direct.end();
  const messages = await client.query(encodeQuery('SELECT name, email, id FROM people WHERE id = 100'));
  const row = messages.find(({ type }) => type === 'D')!.body;
  assert.ok(row.length < 200_000);
  assertMasked(messages);
  assert.match(row.toString('latin1', row.length - 7), /100$/);
});

test('drivers decode every masked row', async () => {
  const { host, port, user, password, database } = login();
  const driver = new pg.Client({ host, port, user, password, database });
  await driver.connect();
  const { rows } = await driver.query('SELECT * FROM people WHERE id = $1', [1]);
  await driver.end();
  const [{ email, salary, active, tags, profile, mood, points }] = rows;
  assert.deepEqual(
    { email, salary, active, tags, profile, mood, points },
    {
      ...{ email: '****@secret.example', salary: '0', active: false, tags: [], mood: null, points: '0' },
      profile: { card: { number: '[redacted]' }, city: 'Bonn' },
    },
  );
});

test('the description of a result stays the server’s', async () => {
  const messages = await simple('SELECT email FROM people WHERE id = 1');
  const [field] = decodeRowDescription(messages.find(({ type }) => type === 'T')!.body);
  assert.deepEqual([field?.name, field?.typeOid], ['email', 25]);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { decodeErrorResponse } from '../protocols/postgres/backend.ts';
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
 * Somebody who may do everything and tries to see what is masked: each statement of test/masks/statements.sql, by both
 * protocols, with results in text and in binary format. What harms nothing has to pass.
 */

const RULES = `
version: 1
rules:
  - { id: everything, match: {}, action: allow }
masks:
  - { id: email, columns: [public.people.email, orders.email], with: { email: keep-domain } }
  - { id: others, columns: [log.email, animals.chip, kid_t.val, dogs.owner], with: redact }
  - { id: redacted, columns: [public.people.ssn, public.people.salary, public.people.points, public.people.contact, public.people.card, public.people.tags, public.people.mood], with: redact }
  - { id: profile, columns: "public.people.profile:$.card.number", with: redact }
`;

/** In the letters of the text format, turned round, and in hexadecimal digits. */
const CANARIES = ['canary', 'CANARY', 'yranac', '77123', '900-10', '63616e617279'];

const read = (file: string) => readFileSync(new URL(`./masks/${file}`, import.meta.url), 'utf8');

/** The statements below each comment of the file. */
const sections = read('statements.sql')
  .split(/^-- /m)
  .slice(2)
  .map((section) => {
    const [title = '', ...statements] = section.split('\n');
    return { title, statements: statements.filter((line) => line !== '') };
  });

let server: PostgresServer;
let sluice: Sluice;

before(async () => {
  server = await startPostgres();
  await server.query('CREATE DATABASE shop');
  const { host, port, superuser: user, password } = server;
  const direct = new pg.Client({ host, port, user, password, database: 'shop' });
  await direct.connect();
  await direct.query(read('schema.sql'));
  await direct.end();
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, user, password, database: 'shop' } }],
    users: [{ name: 'bot', password: 'pw' }],
    rulesYaml: RULES,
  });
});

after(async () => {
  await sluice?.stop();
  await server?.stop();
});

const login = () =>
  RawClient.login({ host: sluice.host, port: sluice.port, user: 'bot', password: 'pw', database: 'shop' });

function extended(text: string): Buffer[] {
  return [
    encodeParse({ statement: '', text, parameterTypes: [] }),
    encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [1] }),
    encodeExecute({ portal: '', maxRows: 0 }),
    encodeSync(),
  ];
}

function assertNoCanary(sql: string, messages: readonly Message[]): void {
  const bytes = Buffer.concat(messages.map(({ body }) => body));
  // What the statement says itself is no secret.
  const given = sql + Buffer.from(sql).toString('hex');
  const shown = bytes.toString('latin1') + bytes.toString('hex');
  for (const canary of CANARIES) {
    assert.equal(shown.includes(canary) && !given.includes(canary), false, `${sql}\n${shapeOf(messages)}`);
  }
}

function isRefused(messages: readonly Message[]): boolean {
  const error = messages.find(({ type }) => type === 'E');
  return error !== undefined && decodeErrorResponse(error.body).detail?.startsWith('{"sluice"') === true;
}

for (const { title, statements } of sections) {
  test(title, async () => {
    const client = await login();
    for (const sql of statements) {
      // A text of several statements is for the simple protocol only.
      for (const messages of sql.includes(';') ? [[encodeQuery(sql)]] : [[encodeQuery(sql)], extended(sql)]) {
        const answer = await client.query(...messages);
        assertNoCanary(sql, answer);
        if (title.startsWith('passes')) assert.equal(isRefused(answer), false, `${sql}\n${shapeOf(answer)}`);
        if (title.startsWith('refused')) assert.equal(isRefused(answer), true, `${sql}\n${shapeOf(answer)}`);
      }
      if (sql.startsWith('BEGIN;')) assertNoCanary(sql, await client.query(encodeQuery('ROLLBACK')));
    }
    client.destroy();
  });
}

test('a cursor and a portal show what they were opened on, whatever the search path has become', async () => {
  const client = await login();
  const all: Message[] = [];
  const send = async (...messages: Buffer[]) => all.push(...(await client.query(...messages)));
  const simple = (sql: string) => send(encodeQuery(sql));
  await simple('BEGIN');
  await simple('DECLARE c CURSOR FOR SELECT upper(email) FROM people');
  await simple('DECLARE d CURSOR FOR SELECT email FROM people');
  const text = 'SELECT reverse(email) FROM people';
  await send(
    encodeParse({ statement: '', text, parameterTypes: [] }),
    encodeBind({ portal: 'p', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
    encodeExecute({ portal: 'p', maxRows: 1 }),
    encodeSync(),
  );
  await simple('SET search_path = s2');
  await simple('FETCH 1 FROM c');
  await simple('FETCH 1 FROM d');
  await send(encodeExecute({ portal: 'p', maxRows: 1 }), encodeSync());
  await simple('FETCH 1 FROM p');
  await simple('ROLLBACK');
  assertNoCanary('', all);
  assert.equal(all.filter(({ type }) => type === 'D').length, 5);
  assert.equal(isRefused(all), false, shapeOf(all));
  client.destroy();
});

test('a prepared statement that was described before is described anew when its names mean other columns', async () => {
  const client = await login();
  const text = 'SELECT email FROM people WHERE id = 1';
  await client.query(
    encodeParse({ statement: 's', text, parameterTypes: [] }),
    encodeDescribe({ kind: 'statement', name: 's' }),
    encodeSync(),
  );
  const run = () =>
    client.query(
      encodeBind({ portal: '', statement: 's', parameterFormats: [], parameters: [], resultFormats: [] }),
      encodeExecute({ portal: '', maxRows: 0 }),
      encodeSync(),
    );
  assert.match(shapeOf(await run()), /D\(\*{4}@secret.example\)/);
  await client.query(encodeQuery('SET search_path = s2'));
  assert.match(shapeOf(await run()), /D\(plain2@x\)/);
  await client.query(encodeQuery('SET search_path = public'));
  assert.match(shapeOf(await run()), /D\(\*{4}@secret.example\)/);
  client.destroy();
});

test('what the server says when a portal is planned is withheld, if a function speaks in it', async () => {
  const client = await login();
  const messages = await client.query(
    encodeParse({
      statement: '',
      text: 'SELECT length(email_im()) WHERE email_im()::date > now()',
      parameterTypes: [],
    }),
    encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
    encodeSync(),
  );
  assertNoCanary('', messages);
  client.destroy();
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import {
  decodeDataRow,
  decodeErrorResponse,
  decodeParameterDescription,
  decodeRowDescription,
} from '../protocols/postgres/backend.ts';
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { Approver } from './approver.ts';
import { type Message, RawClient, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/**
 * What clients with nothing but SQL can ask of Sluice, on a real server. Nothing is allowed by the rules but reading `items`, and
 * a rule refuses everything that an agent called `locked` does.
 */

const RULES = `version: 1
rules:
  - id: reads
    match: { effects: [read], tables: [public.items, public.people] }
    action: allow
  - id: deletes
    match: { effects: [delete], tables: [public.items] }
    action: allow
  - id: transactions
    match: { effects: [transaction, prepare, execute, cursor] }
    action: allow
  - id: deletes-wait
    match: { effects: [delete], tables: [public.items] }
    action: hold
    approval: { from: { groups: [dba] }, count: 2, wait: 0s }
  - id: nobody
    match: { identities: { subjects: [locked] } }
    action: deny
masks:
  - id: pii
    columns: [public.people.email]
    with: redact
`;

const directory = mkdtempSync(join(tmpdir(), 'sluice-questions-'));
const storeFile = join(directory, 'store.db');
let server: PostgresServer;
let sluice: Sluice;
let approver: Approver;
const login = (user = 'bot') => ({
  host: sluice.host,
  port: sluice.port,
  user,
  password: 'secret',
  database: 'shop',
});

before(async () => {
  server = await startPostgres({ config: { log_statement: 'all' } });
  await server.query(`CREATE TABLE items (id int PRIMARY KEY, name text); CREATE TABLE people (id int, email text);
    INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 10) AS n`);
  const { host, port, database, superuser: user, password } = server;
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password }, default: 'deny' }],
    users: [
      { name: 'bot', password: 'secret', groups: ['bots', 'readers'] },
      { name: 'bob', password: 'secret' },
      { name: 'locked', password: 'secret' },
    ],
    rulesYaml: RULES,
    store: `sqlite:${storeFile}`,
  });
  approver = await Approver.open(storeFile);
});

after(async () => {
  await approver?.close();
  await sluice?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true });
});

async function connected(user = 'bot'): Promise<pg.Client> {
  const client = new pg.Client(login(user));
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

type Properties = readonly { readonly property: string; readonly value: string | null }[];

function told(rows: Properties, property: string): string | null | undefined {
  return rows.find((row) => row.property === property)?.value;
}

async function verdictOn(client: pg.Client, sql: string, values?: unknown[]): Promise<Properties> {
  return (await client.query<{ property: string; value: string }>(`EXPLAIN (SLUICE) ${sql}`, values)).rows;
}

/** The request that a statement asks for. */
async function ticketFor(client: pg.Client, sql: string): Promise<number> {
  const error = await client.query(sql).then(
    () => assert.fail('it ran'),
    (reason: pg.DatabaseError) => reason,
  );
  return JSON.parse(error.detail!).sluice.request;
}

const FORMS = ['SHOW sluice.session', ' show /* a /* b */ */ "Sluice" . SESSION -- x\n ;;', 'SHOW\tsluice\n.\nsession'];

describe('SHOW sluice.session', () => {
  test('tells who the session is, however it is written, by whichever protocol', async () => {
    const client = await connected();
    for (const text of FORMS) {
      for (const query of [text, { text, name: `s${FORMS.indexOf(text)}` }, { text, values: [] }]) {
        const { rows } = await client.query(query as pg.QueryConfig);
        assert.equal(told(rows, 'identity'), 'bot', text);
        assert.equal(told(rows, 'groups'), 'bots, readers');
        assert.equal(told(rows, 'kind'), 'agent');
        assert.equal(told(rows, 'connection'), 'shop');
        assert.equal(told(rows, 'expires_at'), null);
        const started = sluice.journal().find(({ session }) => session === told(rows, 'session'));
        assert.equal(started?.event, 'session.start');
      }
    }
    await client.end();
  });

  test('is answered to whom the rules let do nothing, and recorded', async () => {
    const client = await connected('locked');
    await assert.rejects(client.query('SELECT * FROM items'), { code: '42501' });
    const { rows } = await client.query('SHOW sluice.session');
    assert.equal(told(rows, 'identity'), 'locked');
    const attempt = sluice.journal().filter(({ text }) => text === 'SHOW sluice.session');
    assert.deepEqual([attempt.at(-1)?.kind, attempt.at(-1)?.verdict], ['SHOW', 'allow']);
    await client.end();
  });

  test('never reaches the server in those words', () => {
    assert.ok(!/sluice\s*\.\s*session/i.test(server.log()));
  });
});

describe('SHOW sluice.requests', () => {
  test('shows what has become of the own requests, and of no others', async () => {
    const [bot, bob] = [await connected(), await connected('bob')];
    assert.deepEqual((await bot.query('SHOW sluice.requests')).rows, []);
    const sql = "DELETE FROM items WHERE name = 'ä ''quoted'' \\ \u{1f600}'";
    const id = await ticketFor(bot, sql);
    const other = await ticketFor(bob, 'DELETE FROM items WHERE id = 1');
    await approver.approve(id);
    for (const query of ['SHOW sluice.requests', { text: 'SHOW sluice.requests', values: [] }]) {
      const { rows } = await bot.query(query as string);
      assert.equal(rows.length, 1);
      const { asked_at, expires_at, ...rest } = rows[0];
      assert.ok(expires_at > asked_at);
      assert.deepEqual(rest, {
        request: String(id),
        state: 'pending',
        statement: sql,
        rule: 'deletes-wait',
        votes: '1',
        votes_needed: '2',
        reason: null,
        link: null,
      });
    }
    await approver.reject(other, 'use the archive job');
    const { rows } = await bob.query('SHOW sluice.requests');
    assert.deepEqual([rows[0].state, rows[0].reason], ['rejected', 'use the archive job']);
    await Promise.all([bot.end(), bob.end()]);
  });
});

describe('EXPLAIN (SLUICE)', () => {
  test('says what would become of a statement, and runs nothing', async () => {
    const client = await connected();
    const allowed = await verdictOn(client, 'SELECT id, email FROM people');
    assert.equal(told(allowed, 'verdict'), 'allow');
    assert.equal(told(allowed, 'effect'), 'read public.people (none)');
    assert.equal(told(allowed, 'column 2 email'), 'masked (redact) by pii');

    const held = await verdictOn(client, 'DELETE FROM items');
    assert.equal(told(held, 'verdict'), 'hold');
    assert.equal(told(held, 'rule'), 'deletes-wait');
    assert.equal(told(held, 'votes_needed'), '2');
    assert.equal(told(held, 'effect'), 'delete public.items (none)');

    const denied = await verdictOn(client, 'DROP TABLE items');
    assert.equal(told(denied, 'verdict'), 'deny');
    assert.equal(told(denied, 'effect'), 'drop public.items');
    assert.match(told(denied, 'hint') ?? '', /./);

    const masked = await verdictOn(client, "SELECT id FROM people WHERE email LIKE 'a%'");
    assert.deepEqual([told(masked, 'verdict'), told(masked, 'rule')], ['deny', 'pii']);
    const several = await verdictOn(client, 'SELECT 1; TRUNCATE items');
    assert.deepEqual([told(several, 'verdict'), told(several, 'effect')], ['deny', 'truncate public.items']);
    assert.equal(told(await verdictOn(client, 'SELEC 1'), 'verdict'), 'deny');
    assert.equal(told(await verdictOn(client, 'SHOW sluice.session'), 'verdict'), 'allow');
    assert.deepEqual(await server.query('SELECT count(*)::int AS n FROM items'), [{ n: 10 }]);
    assert.ok(!/explain \(sluice\)|statement: drop/i.test(server.log()));
    await client.end();
  });

  test('is read however it is written; a question that is not alone, or has other options, is refused', async () => {
    const client = await connected();
    for (const prefix of ['explain(sluice)', '/* a /* b */ */ EXPLAIN -- c\n ( "sluice" )', 'EXPLAIN\t(\nSLUICE\r)']) {
      const { rows } = await client.query(`${prefix} DELETE FROM items;`);
      assert.equal(told(rows, 'verdict'), 'hold', prefix);
    }
    for (const text of [
      'BEGIN; EXPLAIN (SLUICE) DELETE FROM items; COMMIT',
      'SELECT 1; SHOW sluice.requests',
      'SHOW sluice.session; SHOW sluice.requests',
      'EXPLAIN (SLUICE, ANALYZE) DELETE FROM items',
      'EXPLAIN (SLUICE off) DELETE FROM items',
    ]) {
      await assert.rejects(client.query(text), { code: '42601' }, text);
    }
    assert.deepEqual(await server.query('SELECT count(*)::int AS n FROM items'), [{ n: 10 }]);
    await client.end();
  });

  test('takes the values of its parameters, of the types of their columns', async () => {
    const client = await connected();
    for (const value of [3, '3', null]) {
      const rows = await verdictOn(client, 'DELETE FROM items WHERE id = $1 AND name = $2', [value, 'x']);
      assert.equal(told(rows, 'effect'), 'delete public.items (keyed)');
    }
    await client.end();
  });

  test('leaves the literals of the statement out of its record', async () => {
    const client = await connected();
    await verdictOn(client, "SELECT id FROM people WHERE email = 'someone@example.com'");
    assert.ok(sluice.journal().some(({ text }) => String(text).startsWith('EXPLAIN (SLUICE) SELECT id FROM people')));
    assert.doesNotMatch(JSON.stringify(sluice.journal()), /someone@example/);
    await client.end();
  });
});

describe('in the protocol, a question is what another statement in its place would be', () => {
  const types = (messages: readonly Message[]) => messages.map(({ type }) => type).join('');
  const parse = (text: string, statement = '') => encodeParse({ statement, text, parameterTypes: [] });
  const bind = (resultFormats: readonly number[] = [], parameters: readonly Buffer[] = []) =>
    encodeBind({ portal: '', statement: '', parameterFormats: [], parameters, resultFormats });
  const execute = (maxRows = 0) => encodeExecute({ portal: '', maxRows });
  const describe_ = (kind: 'statement' | 'portal') => encodeDescribe({ kind, name: '' });

  test('answers come in order, in a pipeline of several segments', async () => {
    const raw = await RawClient.login(login());
    const one = [bind(), execute()];
    raw.send(
      Buffer.concat([
        ...[parse('SELECT id FROM items WHERE id = 1'), ...one],
        ...[parse('SHOW sluice.session'), describe_('statement'), ...one],
        ...[parse('EXPLAIN (SLUICE) DELETE FROM items WHERE id = $1'), describe_('statement')],
        ...[bind([1], [Buffer.from('1')]), describe_('portal'), execute(1), execute(0), encodeSync()],
        ...[parse('SHOW sluice.requests'), ...one, encodeSync()],
      ]),
    );
    const first = await raw.take('Z');
    assert.match(types(first), /^12DC1tT2D+C1tT2TDsD+CZ$/);
    const parameters = first.filter(({ type }) => type === 't').map(({ body }) => decodeParameterDescription(body));
    assert.deepEqual(parameters, [[], [23]]);
    const described = first.filter(({ type }) => type === 'T').map(({ body }) => decodeRowDescription(body));
    assert.deepEqual(
      described[0]!.map(({ name, typeOid }) => [name, typeOid]),
      [
        ['property', 25],
        ['value', 25],
      ],
    );
    const rows = first.filter(({ type }) => type === 'D').map(({ body }) => decodeDataRow(body));
    assert.ok(rows.some((row) => String(row[0]) === 'verdict' && String(row[1]) === 'hold'));
    assert.match(types(await raw.take('Z')), /^12D*CZ$/);
    raw.socket.destroy();
  });

  test('integers and times come in the binary format where that is asked for', async () => {
    const bob = await connected('bob');
    const id = await ticketFor(bob, 'DELETE FROM items WHERE id = 5');
    const raw = await RawClient.login(login('bob'));
    raw.send(Buffer.concat([parse('SHOW sluice.requests'), bind([1]), execute(1), encodeSync()]));
    const row = decodeDataRow((await raw.take('Z')).find(({ type }) => type === 'D')!.body);
    assert.equal(Number(row[0]!.readBigInt64BE()), id);
    // Microseconds since 2000.
    const asked = Number(row[4]!.readBigInt64BE() / 1000n) + Date.UTC(2000, 0, 1);
    assert.ok(Math.abs(Date.now() - asked) < 600_000);
    raw.socket.destroy();
    await bob.end();
  });

  test('in a failed transaction it fails, and in an open one it changes nothing of it', async () => {
    const client = await connected();
    for (const text of ['SHOW sluice.session', 'EXPLAIN (SLUICE) SELECT 1']) {
      for (const query of [text, { text, values: [] }]) {
        await client.query('BEGIN READ ONLY');
        await client.query(query as string);
        await client.query('SELECT * FROM items');
        await assert.rejects(client.query('SELECT 1/0'));
        await assert.rejects(client.query(query as string), { code: '25P02' });
        assert.equal((await client.query('COMMIT')).command, 'ROLLBACK');
      }
    }
    await client.end();
  });

  test('a refused question refuses the pipeline as the server would, up to its Sync', async () => {
    const raw = await RawClient.login(login());
    raw.send(
      Buffer.concat([
        ...[parse('SELECT id FROM items'), bind(), execute(), parse('EXPLAIN (SLUICE, ANALYZE) SELECT 1'), bind()],
        ...[execute(), encodeSync(), encodeQuery('SELECT id FROM items WHERE id = 1')],
      ]),
    );
    const messages = await raw.take('Z');
    assert.match(types(messages), /^12D{10}CEZ$/);
    assert.equal(decodeErrorResponse(messages.at(-2)!.body).code, '42601');
    assert.equal(shapeOf(await raw.take('Z')), 'T D(1) C(SELECT 1) Z(I)');
    raw.socket.destroy();
  });

  test('client_encoding makes no difference', async () => {
    const bob = await connected('bob');
    const sql = String.raw`DELETE FROM items WHERE name = 'it''s \\ \u00e9 é'`;
    const id = await ticketFor(bob, sql);
    await bob.end();
    const raw = await RawClient.login(login('bob'), { client_encoding: 'LATIN1' });
    raw.send(encodeQuery('SHOW sluice.requests'));
    const rows = (await raw.take('Z')).filter(({ type }) => type === 'D').map(({ body }) => decodeDataRow(body));
    const own = rows.find(([number]) => String(number) === String(id));
    assert.equal(own?.[2]?.toString('latin1'), sql);
    raw.socket.destroy();
  });
});

describe('SET sluice.intent', () => {
  const claimedIn = (text: string) =>
    sluice
      .journal()
      .filter((record) => record.event === 'statement.attempt' && record.text === text)
      .map(({ claimed }) => (claimed as { intent?: string } | undefined)?.intent ?? null);
  const intentOf = async (client: pg.Client) =>
    told((await client.query('SHOW sluice.session')).rows, 'claimed intent') ?? null;
  let texts = 0;
  const text = () => `SELECT ${++texts} FROM items`;

  test('goes into records, requests and what rules can ask for, under rules that allow nothing', async () => {
    const client = await connected('locked');
    await client.query("SET sluice.intent = 'clean up ''old'' orders'");
    assert.equal(await intentOf(client), "clean up 'old' orders");
    const refused = text();
    await assert.rejects(client.query(refused), { code: '42501' });
    assert.deepEqual(claimedIn(refused), ["clean up 'old' orders"]);
    await client.end();

    const bot = await connected();
    await bot.query("SET sluice.intent = 'tidy'");
    const request = await approver.approvals.request(await ticketFor(bot, 'DELETE FROM items WHERE id = 7'));
    assert.equal(request.question.claimed.intent, 'tidy');
    await bot.end();
  });

  test('is as the server has it after LOCAL, transactions, savepoints, RESET and set_config', async () => {
    const client = await connected();
    const after = async (...statements: readonly string[]) => {
      for (const one of statements) await client.query(one).catch(() => undefined);
      return intentOf(client);
    };
    assert.equal(await after("SET sluice.intent = 'a'"), 'a');
    assert.equal(await after('BEGIN', "SET LOCAL sluice.intent = 'b'"), 'b');
    assert.equal(await after('COMMIT'), 'a');
    assert.equal(await after('BEGIN', "SET sluice.intent = 'c'", 'ROLLBACK'), 'a');
    assert.equal(await after('BEGIN', "SET sluice.intent = 'd'", 'SAVEPOINT s', "SET sluice.intent = 'e'"), 'e');
    assert.equal(await after('ROLLBACK TO s'), 'd');
    assert.equal(await after('SELECT 1/0', "SET sluice.intent = 'f'", 'COMMIT'), 'a');
    assert.equal(await after("BEGIN; SET sluice.intent = 'g'; ROLLBACK"), 'a');
    await client.query("SELECT set_config('sluice.intent', $1, false)", ['with a bind']);
    assert.equal(await intentOf(client), 'with a bind');
    assert.equal(await after('RESET sluice.intent'), null);
    assert.equal(await after("SET sluice.intent = 'h'", 'SET sluice.intent TO DEFAULT'), null);
    assert.equal(await after("SET sluice.intent = 'i'", "SET sluice.intent = ''"), null);
    await client.end();
  });

  test('holds for what follows in the same text, and in the same segment of a pipeline', async () => {
    const client = await connected();
    const [first, second] = [text(), text()];
    await client.query(`SET sluice.intent = 'together';${first}`);
    assert.deepEqual(claimedIn(first), ['together']);
    await client.end();
    const raw = await RawClient.login(login());
    const run = (sql: string) => [
      encodeParse({ statement: '', text: sql, parameterTypes: [] }),
      encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
      encodeExecute({ portal: '', maxRows: 0 }),
    ];
    raw.send(Buffer.concat([...run("SET sluice.intent = 'in line'"), ...run(second), encodeSync()]));
    await raw.take('Z');
    assert.deepEqual(claimedIn(second), ['in line']);
    raw.socket.destroy();
  });

  test('can be given at the start, and RESET goes back to that', async () => {
    const client = new pg.Client({ ...login(), options: String.raw`-c sluice.intent=from\ the\ start` });
    await client.connect();
    assert.equal(await intentOf(client), 'from the start');
    await client.query("SET sluice.intent = 'later'");
    assert.equal(await intentOf(client), 'later');
    await client.query('RESET sluice.intent');
    assert.equal(await intentOf(client), 'from the start');
    await client.end();
  });

  test('whatever is in it, it stays in its place', async () => {
    const client = await connected();
    const odd = '\u001b[31m\r\n\t"\'\\ \u202e \u{1f600} é';
    await client.query('SELECT set_config($1, $2, false)', ['sluice.intent', odd]).catch(() => undefined);
    await client.query(`SET sluice.intent = ${client.escapeLiteral(odd)}`);
    assert.equal(await intentOf(client), odd);
    const own = text();
    await client.query(own);
    assert.deepEqual(claimedIn(own), [odd]);
    await client.query(`SET sluice.intent = '${'x'.repeat(100_000)}'`);
    const long = text();
    await client.query(long);
    assert.ok(claimedIn(long)[0]!.length < 2000);
    await assert.rejects(client.query("SET sluice.intent = E'\\000'"));
    await client.end();

    const raw = await RawClient.login(login(), { client_encoding: 'LATIN1' });
    raw.send(encodeQuery("SET sluice.intent = E'\\u00e9'"));
    await raw.take('Z');
    const latin = text();
    raw.send(encodeQuery(latin));
    await raw.take('Z');
    assert.deepEqual(claimedIn(latin), ['é']);
    raw.socket.destroy();
  });

  test('is nobody: who the session is does not change', async () => {
    const client = await connected();
    for (const name of ['identity', 'session', 'role', 'groups']) await client.query(`SET sluice.${name} = 'dana'`);
    const { rows } = await client.query('SHOW sluice.session');
    assert.deepEqual([told(rows, 'identity'), told(rows, 'groups')], ['bot', 'bots, readers']);
    await client.end();
  });
});

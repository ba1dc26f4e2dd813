import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  encodeBind,
  encodeCancelRequest,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { Approver } from './approver.ts';
import { errorCodes, RawClient, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, type SluiceOptions, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * Statements that wait for a person, on a real server. This process takes the votes as another node would: through the
 * store. What reached the server is asked of its log.
 */

const rulesYaml = (within = '1h') => `version: 1
rules:
  - id: deletes-wait
    match: { effects: [delete, update], tables: [public.orders] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 60s, within: ${within} }
  - id: updates-return-little
    match: { effects: [update], tables: [public.orders] }
    limit: { rows: 3, per: statement }
    action: deny
  - id: crowds-wait
    match: { effects: [delete], tables: [public.crowd] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 10m }
  - id: drops-get-a-ticket
    match: { effects: [drop] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
  - id: never
    match: { effects: [truncate] }
    action: deny
`;

/** Sessions that are held at once. */
const CROWD = 300;
/** What one of them may take besides what it takes anyway, bytes; several times what is measured, since garbage is not all collected. */
const MOST_HELD = 300_000;
const directory = mkdtempSync(join(tmpdir(), 'sluice-approvals-'));
const storeFile = join(directory, 'store.db');
let server: PostgresServer;
let sluice: Sluice;
let approver: Approver;
const login = () => ({ host: sluice.host, port: sluice.port, user: 'bot', password: 'secret', database: 'shop' });

before(async () => {
  server = await startPostgres({ config: { log_statement: 'all', max_connections: String(CROWD + 100) } });
  sluice = await startSluice(settings());
  approver = await Approver.open(storeFile);
});
function settings(within?: string): SluiceOptions {
  const { host, port, database, superuser: user, password } = server;
  return {
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [
      { name: 'bot', password: 'secret' },
      { name: 'bob', password: 'secret' },
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'vic', password: 'secret', kind: 'human', groups: ['watchers'] },
    ],
    rulesYaml: rulesYaml(within),
    roles: { approver: ['dba'], viewer: ['watchers'] },
    store: `sqlite:${storeFile}`,
    // At their end sessions of tests before may be in transactions still.
    limits: { drain: '1s' },
  };
}

after(async () => {
  await approver?.close();
  await sluice?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true });
});

beforeEach(async () => {
  await approver.forget();
  await server.query(`DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY, state text);
    INSERT INTO orders SELECT n, 'open' FROM generate_series(1, 10) AS n`);
});

const ids = async () => (await server.query('SELECT id FROM orders ORDER BY id')).map(({ id }) => id as number);
/** Comments tell the texts of different tests apart: a no stands for the same text. */
let texts = 0;
const mark = () => `/* ${++texts} */`;

async function connected(user = 'bot'): Promise<pg.Client> {
  const client = new pg.Client({ ...login(), user });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Other than for its plan, and for the rows it would change. */
const reached = (text: string) =>
  server
    .log()
    .split('\n')
    .some((line) => line.includes(text) && !/statement: (EXPLAIN|SELECT count)/.test(line));

async function reload(within: string): Promise<void> {
  const loaded = () => sluice.journal().filter(({ event }) => event === 'rules.loaded').length;
  const before = loaded();
  writeFileSync(sluice.rulesFile, rulesYaml(within));
  sluice.signal('SIGHUP');
  while (loaded() === before) await sleep(25);
}

interface Refused {
  readonly code: string;
  readonly detail: { readonly verdict: string; readonly request?: number; readonly retry: string };
  readonly hint: string;
  readonly message: string;
}

async function refused(work: Promise<unknown>): Promise<Refused> {
  const error = await work.then(
    () => assert.fail('it ran'),
    (reason: pg.DatabaseError) => reason,
  );
  assert.ok(error.detail !== undefined, error.message);
  const { code, message, hint } = error as { code: string; message: string; hint: string };
  return { code, message, hint, detail: JSON.parse(error.detail!).sluice };
}

describe('a held statement', () => {
  for (const [form, run] of Object.entries({
    'by Query': (client: pg.Client, sql: string) => client.query(sql.replace('$1', '3')),
    'with bind values': (client: pg.Client, sql: string) => client.query(sql, [3]),
  })) {
    test(`waits, tells its client so, and runs once it is approved (${form})`, async () => {
      const client = await connected();
      const notices: string[] = [];
      client.on('notice', ({ message }) => notices.push(message ?? ''));
      const text = `DELETE FROM orders WHERE id = $1 ${mark()}`;
      const result = run(client, text);
      const { id, question } = await approver.nextRequest();
      assert.equal(question.binding.role, server.superuser);
      assert.deepEqual(question.effects, ['delete public.orders (keyed)']);
      assert.equal((await ids()).length, 10);
      await approver.approve(id);
      assert.equal((await result).rowCount, 1);
      assert.deepEqual(await ids(), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
      assert.match(notices.join(), new RegExp(`Waiting for it as request ${id}`));
      assert.equal((await approver.approvals.request(id)).state, 'used');
      const attempts = sluice
        .journal()
        .filter(({ event, approval }) => event === 'statement.attempt' && approval === id);
      assert.equal(attempts.length, 1);
      await client.end();
    });
  }

  test('gives a ticket where the rule does not let it wait; sent again elsewhere, it collects the grant, once', async () => {
    const [first, second] = [await connected(), await connected()];
    // Through Sluice, so that it knows the schema as it is now: what tests have done to it is part of what is approved.
    await first.query('CREATE TABLE seen_first (id int)');
    const sql = `DROP TABLE orders ${mark()}`;
    const { code, detail, hint } = await refused(first.query(sql));
    assert.equal(code, '42501');
    assert.deepEqual([detail.verdict, detail.retry], ['hold', 'after_approval']);
    assert.match(hint, /send the same statement again/);
    await approver.approve(detail.request!);
    await second.query(`  ${sql} ; /*traceparent='00-1-2-01'*/`);
    assert.notEqual((await refused(second.query(sql))).detail.request, detail.request);
    await Promise.all([first.end(), second.end()]);
  });

  test('is not run for another identity, other values or another search path', async () => {
    const [bot, bob] = [await connected(), await connected('bob')];
    await server.query('CREATE SCHEMA IF NOT EXISTS other');
    const sql = `DROP TABLE orders ${mark()}`;
    const { detail } = await refused(bot.query(sql));
    await approver.approve(detail.request!);
    assert.notEqual((await refused(bob.query(sql))).detail.request, detail.request);
    await bot.query('SET search_path = other, public');
    assert.notEqual((await refused(bot.query(sql))).detail.request, detail.request);
    await bot.query('RESET search_path');
    await bot.query(sql);
    await Promise.all([bot.end(), bob.end()]);
  });

  test('is refused with the reason of the rejection, and the session goes on', async () => {
    const client = await connected();
    const text = `DELETE FROM orders ${mark()}`;
    const result = refused(client.query(text));
    const { id } = await approver.nextRequest();
    await approver.reject(id, 'use the archive job');
    const { message, detail } = await result;
    assert.match(message, /was rejected: use the archive job/);
    assert.equal(detail.retry, 'never');
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
    assert.ok(!reached(text));
    await client.end();
  });

  test('in a transaction leaves it as a failed statement would', async () => {
    const client = await connected();
    const text = `DELETE FROM orders ${mark()}`;
    await client.query('BEGIN');
    const result = refused(client.query(text));
    const { id, question } = await approver.nextRequest();
    assert.ok(question.inTransaction);
    await approver.reject(id, 'no');
    await result;
    await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
    await client.query('ROLLBACK');
    assert.ok(!reached(text));
    await client.end();
  });

  test('is withdrawn when its client cancels it', async () => {
    const client = await connected();
    const text = `DELETE FROM orders ${mark()}`;
    const result = refused(client.query(text));
    const { id } = await approver.nextRequest();
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const key = Buffer.alloc(4);
    key.writeInt32BE(secretKey);
    connect(sluice.port, sluice.host).end(encodeCancelRequest({ processId: processID, secretKey: key }));
    assert.equal((await result).code, '57014');
    assert.equal((await approver.approvals.request(id)).state, 'withdrawn');
    await client.query('SELECT 1');
    assert.ok(!reached(text));
    await client.end();
  });

  test('is withdrawn when its client goes away', async () => {
    const text = `DELETE FROM orders ${mark()}`;
    // Behind a statement that it had to wait for, it is not read from when it is held.
    for (const before of [[], [encodeQuery('SET search_path = public')]]) {
      for (const leave of ['destroy', 'end'] as const) {
        const raw = await RawClient.login(login());
        raw.send(...before, encodeQuery(`${text} /* ${leave} */`));
        const { id } = await approver.nextRequest();
        raw.socket[leave]();
        assert.equal(await approver.stateOf(id), 'withdrawn', leave);
      }
    }
    assert.ok(!reached(text));
  });

  test('ends with the identity of its client', async () => {
    const client = await connected('bob');
    const text = `DELETE FROM orders ${mark()}`;
    const result = client.query(text).catch((error) => error);
    const { id } = await approver.nextRequest();
    await approver.store
      .insertInto('kills')
      .values({
        session: (await approver.approvals.request(id)).question.session,
        reason: 'gone',
        by: 'dana',
        at: Date.now(),
      })
      .execute();
    await approver.store
      .updateTable('versions')
      .set((eb) => ({ version: eb('version', '+', 1) }))
      .where('name', '=', 'access')
      .execute();
    assert.equal((await result).code, '57P01');
    assert.equal(await approver.stateOf(id), 'withdrawn');
    await assert.rejects(approver.approve(id), /withdrawn already/);
    assert.ok(!reached(text));
  });

  test('asks anew when the rules have changed while it waited', async () => {
    const client = await connected();
    const text = `DELETE FROM orders WHERE id = 1 ${mark()}`;
    const result = client.query(text);
    const first = await approver.nextRequest();
    await reload('2h');
    const second = await approver.nextRequest();
    assert.notEqual(second.id, first.id);
    assert.equal(await approver.stateOf(first.id), 'withdrawn');
    await assert.rejects(approver.approve(first.id), /withdrawn already/);
    assert.equal((await ids()).length, 10);
    await approver.approve(second.id);
    assert.equal((await result).rowCount, 1);
    await client.end();
    await reload('1h');
  });

  test('keeps the order of a pipeline: nothing behind it runs before it', async () => {
    const raw = await RawClient.login(login());
    const text = `DELETE FROM orders WHERE id = $1 ${mark()}`;
    const bound = (statement: string, sql: string, value: string | null) => [
      encodeParse({ statement, text: sql, parameterTypes: [] }),
      encodeBind({
        portal: '',
        statement,
        parameterFormats: [],
        parameters: value === null ? [] : [Buffer.from(value)],
        resultFormats: [],
      }),
      encodeExecute({ portal: '', maxRows: 0 }),
    ];
    raw.send(
      ...bound('a', 'SELECT 1', null),
      ...bound('b', text, '5'),
      ...bound('c', `INSERT INTO orders VALUES (11, 'behind')`, null),
      encodeSync(),
    );
    const { id } = await approver.nextRequest();
    await sleep(100);
    assert.ok(!reached('behind'));
    await approver.approve(id);
    const answers = await raw.take('Z', 1, 20_000);
    assert.equal(
      shapeOf(answers.filter(({ type }) => type !== 'N')),
      '1 2 D(1) C(SELECT 1) 1 2 C(DELETE 1) 1 2 C(INSERT 0 1) Z(I)',
    );
    assert.deepEqual(await ids(), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
    raw.destroy();
  });

  test('that a rule denies as well is refused at once', async () => {
    const client = await connected();
    const { detail } = await refused(client.query(`DELETE FROM orders; TRUNCATE orders ${mark()}`));
    assert.equal(detail.verdict, 'deny');
    await client.end();
  });

  test('is not asked about where a statement before it in the pipeline may have changed what its names mean', async () => {
    const raw = await RawClient.login(login());
    const one = (sql: string) => [
      encodeParse({ statement: '', text: sql, parameterTypes: [] }),
      encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
      encodeExecute({ portal: '', maxRows: 0 }),
    ];
    const text = `DELETE FROM public.orders ${mark()}`;
    raw.send(...one('SET search_path = other, public'), ...one(text), encodeSync());
    const answers = await raw.take('Z', 1, 20_000);
    assert.equal(shapeOf(answers), '1 2 C(SET) 1 2 E Z(I)');
    assert.ok(await approver.hasSeenAll());
    assert.equal((await ids()).length, 10);
    raw.destroy();
  });
});

describe('the approved number of rows', () => {
  const forms: Record<string, (client: pg.Client, sql: string) => Promise<pg.QueryResult>> = {
    'by Query': (client, sql) => client.query(sql.replace('$1', '4')),
    'with bind values': (client, sql) => client.query(sql, [4]),
  };
  for (const [form, run] of Object.entries(forms)) {
    for (const inTransaction of [false, true]) {
      const where = `${form}${inTransaction ? ', in a transaction' : ''}`;

      test(`is not exceeded: what changes more is undone before its client sees it done (${where})`, async () => {
        const client = await connected();
        if (inTransaction) await client.query('BEGIN');
        const result = refused(run(client, `UPDATE orders SET state = 'shut' WHERE id <= $1 ${mark()}`));
        const { id, question } = await approver.nextRequest();
        assert.equal(question.unguarded, null);
        await approver.counted(id, 3);
        await approver.approve(id);
        const { message, code } = await result;
        assert.equal(code, '42501');
        assert.match(message, /changed 4 rows where 3 were approved/);
        if (inTransaction) {
          await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
          await client.query('ROLLBACK');
        }
        assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
        assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
        await client.end();
      });

      test(`lets pass what changes as many (${where})`, async () => {
        const client = await connected();
        if (inTransaction) await client.query('BEGIN');
        const result = run(client, `UPDATE orders SET state = 'shut' WHERE id <= $1 ${mark()}`);
        const { id } = await approver.nextRequest();
        await approver.counted(id, 4);
        await approver.approve(id);
        assert.equal((await result).rowCount, 4);
        if (inTransaction) await client.query('COMMIT');
        assert.equal((await server.query(`SELECT id FROM orders WHERE state = 'shut'`)).length, 4);
        await client.query('SELECT 1');
        await client.end();
      });
    }
  }

  describe('holds whatever was sent before it', () => {
    const execute = (text: string, values: readonly string[] = []) => [
      encodeParse({ statement: '', text, parameterTypes: [] }),
      encodeBind({
        portal: '',
        statement: '',
        parameterFormats: [],
        parameters: values.map((value) => Buffer.from(value)),
        resultFormats: [],
      }),
      encodeExecute({ portal: '', maxRows: 0 }),
    ];
    // None of them ends before the guarded statement is with the server.
    const SLOW = 'SELECT pg_advisory_xact_lock(7)';
    const FAILING = `${SLOW}, 1 / (pg_backend_pid() - pg_backend_pid())`;
    const before: Record<string, { sent: readonly Buffer[]; shape: string }> = {
      'a statement of its pipeline': { sent: execute(SLOW), shape: '1 2 D() C(SELECT 1)' },
      'another pipeline': { sent: [...execute(SLOW), encodeSync()], shape: '1 2 D() C(SELECT 1) Z(I)' },
      'another pipeline that fails': { sent: [...execute(FAILING), encodeSync()], shape: '1 2 E Z(I)' },
      'a Query': { sent: [encodeQuery(SLOW)], shape: 'T D() C(SELECT 1) Z(I)' },
      'a Query that fails': { sent: [encodeQuery(FAILING)], shape: 'T E Z(I)' },
    };
    const UPDATE = `UPDATE orders SET state = 'shut' WHERE id <= $1`;
    for (const [name, { sent, shape }] of Object.entries(before)) {
      for (const form of ['Execute', 'Query']) {
        // Behind messages without a Sync there is no Query.
        if (form === 'Query' && !shape.endsWith('Z(I)')) continue;
        test(`${name} (${form})`, async () => {
          const { host, port, superuser: user, password, database } = server;
          const gate = new pg.Client({ host, port, user, password, database });
          await gate.connect();
          await gate.query('SELECT pg_advisory_lock(7)');
          const raw = await RawClient.login(login());
          const guarded =
            form === 'Query'
              ? [encodeQuery(`${UPDATE.replace('$1', '4')} ${mark()}`)]
              : [...execute(`${UPDATE} ${mark()}`, ['4']), encodeSync()];
          raw.send(...sent, ...guarded);
          const { id } = await approver.nextRequest();
          await approver.counted(id, 3);
          await approver.approve(id);
          await until(async () => (await approver.approvals.request(id)).state === 'used', 'it is collected');
          await until(() => sluice.journal().some(({ approval }) => approval === id), 'it is sent');
          await gate.end();
          const answers = await raw.take('Z', shape.endsWith('Z(I)') ? 2 : 1, 20_000);
          const shown = shapeOf(answers.filter(({ type }) => type !== 'N'));
          assert.equal(shown, `${shape}${form === 'Query' ? '' : ' 1 2'} E Z(I)`);
          assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
          raw.destroy();
        });
      }
    }

    test('and of several in one pipeline, each by itself: what the first does is undone with the second', async () => {
      const raw = await RawClient.login(login());
      raw.send(...execute(`${UPDATE} ${mark()}`, ['1']), ...execute(`${UPDATE} ${mark()}`, ['4']), encodeSync());
      for (const rows of [1, 3]) {
        const { id } = await approver.nextRequest();
        await approver.counted(id, rows);
        await approver.approve(id);
      }
      const answers = await raw.take('Z', 1, 20_000);
      assert.equal(shapeOf(answers.filter(({ type }) => type !== 'N')), '1 2 C(UPDATE 1) 1 2 E Z(I)');
      assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
      raw.destroy();
    });
  });

  test('of a Query that returns its rows is not exceeded either', async () => {
    const raw = await RawClient.login(login());
    for (const [rows, shape] of [
      [2, 'T D(1) D(2) D(3) E Z(I)'],
      [3, 'T D(1) D(2) D(3) C(DELETE 3) Z(I)'],
    ] as const) {
      raw.send(encodeQuery(`DELETE FROM orders WHERE id <= 3 RETURNING id ${mark()}`));
      const { id, question } = await approver.nextRequest();
      assert.equal(question.unguarded, null);
      await approver.counted(id, rows);
      await approver.approve(id);
      const answers = await raw.take('Z', 1, 20_000);
      assert.equal(shapeOf(answers.filter(({ type }) => type !== 'N')), shape);
      assert.equal((await ids()).length, rows === 2 ? 10 : 7);
    }
    raw.destroy();
  });

  test('what returns more than a budget lets pass is undone, whether or not it was done before it could be cancelled', async () => {
    const raw = await RawClient.login(login());
    const text = `UPDATE orders SET state = 'shut' WHERE id <= 5 RETURNING id ${mark()}`;
    const bind = { portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] };
    for (const sent of [
      [encodeQuery(text)],
      [
        encodeParse({ statement: '', text, parameterTypes: [] }),
        encodeBind(bind),
        encodeExecute({ portal: '', maxRows: 0 }),
        encodeSync(),
      ],
    ]) {
      raw.send(...sent);
      const { id } = await approver.nextRequest();
      await approver.counted(id, 5);
      await approver.approve(id);
      assert.deepEqual(errorCodes(await raw.take('Z', 1, 20_000)), ['53400']);
      assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
    }
    raw.destroy();
  });

  test('what its client has sent before it went is done to its end, and kept', async () => {
    const { host, port, superuser: user, password, database } = server;
    const gate = new pg.Client({ host, port, user, password, database });
    await gate.connect();
    await gate.query('BEGIN; LOCK TABLE orders IN SHARE MODE');
    const raw = await RawClient.login(login());
    raw.send(encodeQuery(`DELETE FROM orders WHERE id <= 3 ${mark()}`));
    const { id } = await approver.nextRequest();
    await approver.counted(id, 3);
    await approver.approve(id);
    await until(() => sluice.journal().some(({ approval }) => approval === id), 'it is sent');
    raw.socket.end();
    await gate.end();
    await until(async () => (await ids()).length === 7, 'the rows are gone');
    assert.equal(shapeOf((await raw.untilClosed(20_000)).filter(({ type }) => type !== 'N')), 'C(DELETE 3) Z(I)');
  });

  test('what fails when it is committed is not told done', async () => {
    await server.query(`CREATE TABLE lines (of int REFERENCES orders DEFERRABLE INITIALLY DEFERRED);
      INSERT INTO lines VALUES (2)`);
    const raw = await RawClient.login(login());
    raw.send(encodeQuery(`DELETE FROM public.orders WHERE id <= 3 ${mark()}`));
    const { id } = await approver.nextRequest();
    await approver.counted(id, 3);
    await approver.approve(id);
    const answers = await raw.take('Z', 1, 20_000);
    assert.equal(shapeOf(answers.filter(({ type }) => type !== 'N')), 'E Z(I)');
    assert.equal((await ids()).length, 10);
    const outcome = await until(
      () => sluice.journal().findLast(({ event, sqlstate }) => event === 'statement.outcome' && sqlstate === '23503'),
      'its outcome is recorded',
    );
    assert.equal(outcome.status, 'error');
    await server.query('DROP TABLE lines');
    raw.destroy();
  });

  for (const [form, sql, why] of [
    ['a write in a WITH', 'WITH gone AS (DELETE FROM orders WHERE id > 3) DELETE FROM orders WHERE id = 1', /WITH/],
    ['several statements', 'DELETE FROM orders WHERE id = 1; SELECT 1', /several statements/],
    ['an EXPLAIN ANALYZE', 'EXPLAIN ANALYZE DELETE FROM orders', /only what an UPDATE or DELETE/],
  ] as const) {
    test(`cannot be had for ${form}, which its approvers are told`, async () => {
      const client = await connected();
      const result = refused(client.query(`${sql} ${mark()}`));
      const { id, question } = await approver.nextRequest();
      assert.match(question.unguarded!, why);
      await approver.reject(id, 'no');
      await result;
      assert.equal((await ids()).length, 10);
      await client.end();
    });
  }

  test('an error of the server itself is what the client gets', async () => {
    const client = await connected();
    const result = client.query(`UPDATE orders SET id = 1 WHERE id = 2 ${mark()}`).catch((error) => error);
    const { id } = await approver.nextRequest();
    await approver.counted(id, 1);
    await approver.approve(id);
    assert.equal((await result).code, '23505');
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
    await client.end();
  });
});

describe('sluice approvals', () => {
  const run = (user: string, ...args: string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const program = join(import.meta.dirname, '../src/cli/sluice.js');
      const own = ['--api', `127.0.0.1:${sluice.apiPort}`, '--user', user];
      execFile(
        process.execPath,
        [program, 'approvals', ...args, ...own],
        { env: { PATH: process.env.PATH, SLUICE_PASSWORD: 'secret' }, timeout: 60_000 },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });

  test('shows an approver the statement, and lets it run; a viewer does not see it, an agent nothing', async () => {
    const client = await connected();
    const text = `DROP TABLE orders ${mark()}`;
    const { detail } = await refused(client.query(text));
    const id = String(detail.request);
    const shown = await run('dana', 'show', id);
    assert.match(shown.stdout, /DROP TABLE orders/);
    assert.match(shown.stdout, /1 of group dba, 1 missing/);
    assert.match(shown.stdout, /^reaches +one execution$/m);
    assert.match((await run('dana', 'list')).stdout, new RegExp(`^${id} +pending +bot`, 'm'));
    const viewed = await run('vic', 'show', id);
    assert.equal(viewed.code, 0);
    assert.doesNotMatch(viewed.stdout, /DROP TABLE orders/);
    for (const user of ['vic', 'bot', 'bob']) {
      assert.equal((await run(user, 'approve', id)).code, 1);
    }
    assert.match((await run('bot', 'list')).stderr, /role "viewer"/);
    const further = await run('dana', 'approve', id, '--grant', 'session');
    assert.deepEqual([further.code, /reaches no further than once/.test(further.stderr)], [1, true], further.stderr);
    const approved = await run('dana', 'approve', id, '--reason', 'agreed', '--grant', 'once');
    assert.deepEqual([approved.code, approved.stdout], [0, `Request ${id} is approved.\n`]);
    await client.query(text);
    const again = await run('dana', 'approve', id);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /used already/);
    assert.equal((await run('dana', 'show', '999999')).code, 1);
    await client.end();
  });
});

describe('what a statement would do is found out for whoever votes', () => {
  /** Asks, looks, and goes away. */
  const previewed = async (sql: string, values: readonly unknown[] = [], before = '') => {
    const client = await connected();
    if (before !== '') await client.query(before);
    const result = client.query(sql, [...values]).catch((error) => error);
    const { id } = await approver.nextRequest();
    const found = await approver.impact(id);
    await approver.reject(id, 'only looking');
    await result;
    await client.end();
    return found;
  };

  before(async () => {
    await server.query(`CREATE TABLE items (id int PRIMARY KEY, of int);
      CREATE TABLE notes (item int REFERENCES items ON DELETE SET NULL);
      CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'`);
  });
  after(() => server.query('DROP TABLE notes, items; DROP TABLE orders CASCADE; DROP FUNCTION audit'));

  test('rows, foreign keys and triggers', async () => {
    await server.query(`ALTER TABLE items ADD FOREIGN KEY (of) REFERENCES orders ON DELETE CASCADE;
      CREATE TRIGGER kept BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION audit();
      CREATE TRIGGER other BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION audit()`);
    const found = await previewed(`DELETE FROM orders WHERE id > $1 AND state = $2 ${mark()}`, [7, 'open']);
    assert.deepEqual(found.gaps, []);
    assert.equal(found.rows, 3);
    assert.ok(found.estimatedRows! > 0);
    assert.deepEqual(found.cascades, ['delete items', 'update notes']);
    assert.deepEqual(found.triggers, ['kept on orders']);
    assert.equal((await ids()).length, 10);
    await server.query('ALTER TABLE items DROP CONSTRAINT items_of_fkey');
  });

  test('an update by a join, in the search path of the session', async () => {
    await server.query(
      'CREATE SCHEMA IF NOT EXISTS other; DROP TABLE IF EXISTS other.wanted; CREATE TABLE other.wanted AS SELECT 2 AS id',
    );
    const sql = `UPDATE public.orders SET state = 'x' FROM wanted WHERE wanted.id = orders.id ${mark()}`;
    const found = await previewed(sql, [], 'SET search_path = other');
    assert.deepEqual([found.rows, found.gaps], [1, []]);
  });

  test('a count that takes too long leaves a gap, and the statement can be voted on all the same', async () => {
    const found = await previewed(`DELETE FROM orders WHERE pg_sleep(id) IS NOT NULL ${mark()}`);
    assert.equal(found.rows, null);
    assert.match(found.gaps.join(), /the number of rows: .*timeout/);
    assert.ok(found.estimatedRows !== null);
  });

  test('the counted number is what the statement may change: one more is undone', async () => {
    const client = await connected();
    const result = refused(client.query(`DELETE FROM orders WHERE id <= 2 ${mark()}`));
    const { id } = await approver.nextRequest();
    assert.equal((await approver.impact(id)).rows, 2);
    await server.query('INSERT INTO orders VALUES (0, NULL)');
    await approver.approve(id);
    assert.match((await result).message, /changed 3 rows where 2 were approved/);
    assert.equal((await ids()).length, 11);
    await client.end();
  });
});

test(`${CROWD} sessions are held at once: the others are answered, each gets what was decided, and nothing is left`, async () => {
  const resident = () =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))![1]) * 1024;
  const metric = async () => {
    const text = await (await fetch(`http://127.0.0.1:${sluice.apiPort}/metrics`)).text();
    return Number(/^sluice_statements_waiting (\d+)$/m.exec(text)?.[1]);
  };
  const upstreams = async () =>
    Number(
      (await server.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend'`))[0]!
        .n,
    );
  await server.query(`CREATE TABLE crowd AS SELECT n AS id FROM generate_series(0, ${CROWD - 1}) AS n`);
  const other = await connected('bob');
  await other.query('SELECT count(*) FROM crowd');
  const before = await upstreams();
  const clients: RawClient[] = [];
  for (let n = 0; n < CROWD; n += 20) {
    clients.push(...(await Promise.all(Array.from({ length: 20 }, () => RawClient.login(login())))));
  }
  const idle = resident();
  for (const [n, client] of clients.entries()) client.send(encodeQuery(`DELETE FROM crowd WHERE id = ${n}`));
  const requests = await until(async () => {
    // Requests of tests before may be pending still.
    const pending = (await approver.approvals.list(['pending'], 2 * CROWD)).filter(({ question }) =>
      question.binding.statement.startsWith('DELETE FROM crowd'),
    );
    return pending.length === CROWD && pending;
  }, 'all wait');
  await until(async () => (await metric()) === CROWD, 'all are counted');
  for (let n = 0; n < 20; n++)
    assert.equal((await other.query('SELECT count(*)::int AS n FROM crowd')).rows[0].n, CROWD);
  const each = (resident() - idle) / CROWD;
  assert.ok(each < MOST_HELD, `a held session takes ${Math.round(each / 1000)} kB`);
  const rowOf = (statement: string) => Number(/\d+$/.exec(statement)![0]);
  for (const { id, question } of requests) {
    const n = rowOf(question.binding.statement);
    if (n % 3 === 0) await approver.approve(id);
    else if (n % 3 === 1) await approver.reject(id, `not ${n}.`);
    else clients[n]!.destroy();
  }
  for (const [n, client] of clients.entries()) {
    if (n % 3 === 2) continue;
    const answers = (await client.take('Z', 1, 30_000)).filter(({ type }) => type !== 'N');
    assert.equal(shapeOf(answers), n % 3 === 0 ? 'C(DELETE 1) Z(I)' : 'E Z(I)', `client ${n}`);
    if (n % 3 === 1) assert.match(answers[0]!.body.toString(), new RegExp(`not ${n}\\.`));
    client.destroy();
  }
  await until(async () => (await upstreams()) <= before, 'their connections to the server are closed');
  await until(async () => (await metric()) === 0, 'nothing waits any more');
  const states = new Map<string, number>();
  for (const { id } of requests) {
    const state = await approver.stateOf(id);
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(states), { used: CROWD / 3, rejected: CROWD / 3, withdrawn: CROWD / 3 });
  const left = await server.query('SELECT id FROM crowd ORDER BY id');
  assert.deepEqual(
    left.map(({ id }) => id),
    clients.flatMap((_client, n) => (n % 3 === 0 ? [] : [n])),
  );
  await server.query('DROP TABLE crowd');
  await other.end();
});

test('a shutdown loses no request: another node collects what is approved', async () => {
  const client = await connected();
  // Through Sluice, so that it knows the schema as it is now: what tests have done to it is part of what is approved.
  await client.query('CREATE TABLE seen (id int)');
  const text = `DELETE FROM orders WHERE id = 9 ${mark()}`;
  const result = refused(client.query(text));
  const { id } = await approver.nextRequest();
  // Last: nothing comes after this to this one.
  sluice.signal('SIGTERM');
  assert.equal((await result).detail.request, id);
  await sluice.exited;
  assert.equal((await approver.approvals.request(id)).state, 'pending');
  await approver.approve(id);
  const other = await startSluice(settings());
  const there = new pg.Client({ ...login(), port: other.port });
  await there.connect();
  assert.equal((await there.query(text)).rowCount, 1);
  assert.equal((await approver.approvals.request(id)).state, 'used');
  await there.end();
  await other.stop();
});

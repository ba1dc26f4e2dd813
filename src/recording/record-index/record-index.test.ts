import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../../test/servers/postgres.ts';
import { writeJournal } from '../../../test/written-journal.ts';
import type { StoreConfig } from '../../config/config.ts';
import { openStore } from '../../store/store.ts';
import type { Consumer } from '../follower.ts';
import { type JournalPosition, type RecordBatch, readBatches } from '../record-batch.ts';
import { objectsOf } from './drafts.ts';
import { indexing } from './indexing.ts';
import { openIndex } from './open-index.ts';
import {
  type FoundRecords,
  type IndexedRecord,
  placeIn,
  type RecordFilter,
  type RecordIndex,
  searchRecords,
} from './search.ts';

const STATEMENTS = 600;
/** Of SQLite; the first has the tables' definitions. */
const PAGE = 4096;
const signal = new AbortController().signal;
const directory = mkdtempSync(join(tmpdir(), 'sluice-index-'));
const written = join(directory, 'written');
let server: PostgresServer;
let databases = 0;

before(async () => {
  server = await startPostgres();
  writeJournal({ directory: written, statements: STATEMENTS });
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});

/** An empty place for an index. */
const places: Readonly<Record<string, () => Promise<StoreConfig>>> = {
  SQLite: async () => ({ kind: 'sqlite', file: join(directory, `index${++databases}.db`) }),
  PostgreSQL: async () => {
    const name = `index${++databases}`;
    await server.query(`create database ${name}`);
    const { host, port, superuser, password } = server;
    const place = { kind: 'postgres', url: `postgres://${superuser}:${password}@${host}:${port}/${name}` } as const;
    await (await openStore(place)).destroy();
    return place;
  },
};

async function indexOf(t: TestContext, place: StoreConfig): Promise<RecordIndex> {
  const index = await openIndex(place);
  t.after(() => index.destroy());
  return index;
}

function consumerOf(t: TestContext, place: StoreConfig, node = 'a-node', logged: string[] = []): Consumer {
  const consumer = indexing(place, node, (level, _, message) => void logged.push(`${level}: ${message}`));
  t.after(() => consumer.close());
  return consumer;
}

/** Brings it level with a journal, a little at a time, by consumers that are begun anew: in many blocks, outcomes apart from statements. */
async function followInParts(t: TestContext, at: StoreConfig, journal: string): Promise<void> {
  for (let from: JournalPosition | null = null, isMore = true; isMore; ) {
    const consumer = consumerOf(t, at);
    assert.deepEqual(await consumer.begin(), from);
    isMore = false;
    for await (const batch of readBatches(journal, 'a-node', from, 10_000)) {
      await consumer.take(batch, signal);
      from = batch.end;
      // Every fourth batch or so.
      isMore = batch.end.seq % 4 === 0;
      if (isMore) break;
    }
    await consumer.close();
  }
}

/** Brings it level with a journal. */
async function follow(consumer: Consumer, journal: string, node = 'a-node'): Promise<void> {
  const from = await consumer.begin();
  for await (const batch of readBatches(journal, node, from)) await consumer.take(batch, signal);
}

/** Every record that a search finds, a page after the other. */
async function all(index: RecordIndex, filter: RecordFilter, limit = 200): Promise<IndexedRecord[]> {
  const found: IndexedRecord[] = [];
  for (let next: string | null = null, pages = 0; ; pages++) {
    assert.ok(pages < 5000, 'pages without an end');
    const page: FoundRecords = await searchRecords(index, filter, limit, next === null ? null : placeIn(next));
    found.push(...page.records);
    if (page.next === null) return found;
    next = page.next;
  }
}

/** Segments of records of [milliseconds after noon, event, fields], numbered on. */
function journalOf(name: string, ...segments: readonly (readonly (readonly [number, string, object])[])[]): string {
  const journal = mkdtempSync(join(directory, `${name}-`));
  let seq = 0;
  segments.forEach((records, index) => {
    const lines = records.map(([ms, event, fields]) => {
      const at = new Date(Date.UTC(2026, 0, 31, 12) + ms).toISOString();
      return `${JSON.stringify({ v: 1, seq: ++seq, at, event, ...fields })}\n`;
    });
    writeFileSync(join(journal, `journal-20260131T12000000${index}Z-${index + 1}.jsonl`), lines.join(''));
  });
  return journal;
}

const identity = { subject: 'bot', kind: 'agent', groups: ['agents'], owner: 'alice' };
const start = [
  0,
  'session.start',
  { session: 's1', identity, connection: 'shop', client: { address: '::1', tls: true } },
] as const;
const attempt = (ms: number, statement: number, fields: object = {}) =>
  [
    ms,
    'statement.attempt',
    {
      ...{ session: 's1', identity, connection: 'shop', statement, text: `SELECT ${statement}`, fingerprint: 'f1' },
      ...{ kind: 'SELECT', effects: ['read public.orders (keyed)'], verdict: 'allow', rules: ['reads'], ...fields },
    },
  ] as const;
const outcome = (ms: number, statement: number, fields: object = {}) =>
  [
    ms,
    'statement.outcome',
    { session: 's1', statement, status: 'ok', rows: 2, bytes: 30, ms: 1.5, ...fields },
  ] as const;

for (const [name, place] of Object.entries(places)) {
  describe(name, () => {
    test('a search finds what a look at every record finds, whatever it is for and however small its pages', async (t) => {
      const at = await place();
      await followInParts(t, at, written);
      const index = await indexOf(t, at);
      const blocks = await index.selectFrom('index_blocks').select('id').execute();
      assert.ok(blocks.length > 5, `${blocks.length} blocks`);
      const everything = await all(index, {});
      assert.equal(everything.filter(({ event }) => event === 'statement').length, STATEMENTS);
      assert.ok(everything.every((record, n) => n === 0 || record.at <= everything[n - 1]!.at));
      assert.ok(everything.filter(({ status }) => status !== null).length >= STATEMENTS * 0.99);
      const [typical] = everything.filter(({ trace, verdict }) => trace !== null && verdict === 'deny');
      const middle = everything[Math.floor(everything.length / 2)]!.at;
      const object = [...objectsOf({ effects: typical!.effects, fingerprint: '', statement: null })];
      const { identity, session, connection, fingerprint, trace } = typical!;
      const parts: RecordFilter[] = [
        { subject: identity!.subject },
        { kind: 'human' },
        { owner: identity!.owner! },
        { session: session! },
        { connection: connection! },
        { object: object[0]! },
        { object: object.at(-1)! },
        { verdict: 'deny' },
        { rule: typical!.rules[0]! },
        { fingerprint: fingerprint! },
        { trace: trace! },
        { event: 'session.start' },
        { event: 'statement' },
        { status: 'error' },
        { sqlstate: '42501' },
        { since: middle },
        { until: middle },
        { text: 'from PUBLIC.table1 ' },
        { text: '100%_' },
      ];
      const pairs = parts.flatMap((one, n) => parts.slice(n + 1).map((other) => ({ ...one, ...other })));
      const filters = [...parts, ...pairs.filter((_, n) => n % 2 === 0)];
      let found = 0;
      for (const filter of filters) {
        const expected = everything.filter((record) => fits(record, filter));
        const limit = expected.length > 40 ? 150 : 7;
        assert.deepEqual(await all(index, filter, limit), expected, JSON.stringify(filter));
        found += expected.length;
      }
      assert.ok(found > STATEMENTS);
    });

    test('records of the same millisecond are all found, in pages of one', async (t) => {
      const at = await place();
      const records = Array.from({ length: 40 }, (_, n) =>
        attempt(5, n + 1, { verdict: n % 2 ? 'deny' : 'allow', rules: [`r${n % 7}`] }),
      );
      await follow(consumerOf(t, at), journalOf('same', [start, ...records]));
      const index = await indexOf(t, at);
      const found = await all(index, { subject: 'bot', event: 'statement' }, 1);
      assert.deepEqual(
        found.map(({ statement }) => statement),
        Array.from({ length: 40 }, (_, n) => 40 - n),
      );
    });

    test('a statement and its outcome are one, in one batch, in two, or after a restart in between', async (t) => {
      const at = await place();
      const journal = journalOf(
        'outcomes',
        [start, attempt(1, 1, { approval: 7 }), outcome(2, 1), attempt(3, 2), attempt(4, 3)],
        [outcome(5, 2, { status: 'error', sqlstate: '23505' })],
        [outcome(6, 3, { status: 'refused', by: 'guard', sqlstate: '42501' }), outcome(7, 9)],
      );
      const batches: RecordBatch[] = [];
      for await (const batch of readBatches(journal, 'a-node')) batches.push(batch);
      const first = consumerOf(t, at);
      assert.equal(await first.begin(), null);
      await first.take(batches[0]!, signal);
      await first.take(batches[1]!, signal);
      await first.close();
      const second = consumerOf(t, at);
      assert.deepEqual(await second.begin(), batches[1]!.end);
      await second.take(batches[2]!, signal);
      const index = await indexOf(t, at);
      const found = await all(index, { event: 'statement' });
      assert.deepEqual(
        found.map(({ statement, status, sqlstate, refusedBy, ms, approval }) => [
          statement,
          status,
          sqlstate,
          refusedBy,
          ms,
          approval,
        ]),
        [
          [3, 'refused', '42501', 'guard', 1.5, null],
          [2, 'error', '23505', null, 1.5, null],
          [1, 'ok', null, null, 1.5, 7],
        ],
      );
      assert.equal((await all(index, { rule: 'guard' })).length, 1);
      const [session] = await index.selectFrom('index_sessions').selectAll().execute();
      assert.deepEqual([session!.statements, session!.refused, session!.errors, session!.state], [3, 1, 1, 'active']);
    });

    test('records that come again change nothing', async (t) => {
      const at = await place();
      const journal = journalOf('again', [
        start,
        attempt(1, 1),
        outcome(2, 1),
        [3, 'session.end', { session: 's1', reason: 'x' }],
      ]);
      const consumer = consumerOf(t, at);
      await consumer.begin();
      for (let times = 0; times < 3; times++) {
        for await (const batch of readBatches(journal, 'a-node')) await consumer.take(batch, signal);
      }
      const index = await indexOf(t, at);
      assert.equal((await all(index, {})).length, 3);
      const [session, ...more] = await index.selectFrom('index_sessions').selectAll().execute();
      assert.equal(more.length, 0);
      assert.deepEqual([session!.statements, session!.state, session!.reason], [1, 'ended', 'x']);
    });

    test('two nodes write one index, and a start of one loses its own sessions only', async (t) => {
      const at = await place();
      const other = { session: 's2', identity, connection: 'shop' };
      const one = journalOf('one', [start, attempt(1, 1)], [[9, 'journal.open', { segment: 2, pid: 1 }]]);
      const two = journalOf('two', [
        [0, 'session.start', other],
        attempt(1, 1, other),
        [2, 'statement.outcome', { ...other, statement: 1, status: 'ok' }],
      ]);
      await Promise.all([
        follow(consumerOf(t, at, 'one'), one, 'one').catch(async () => follow(consumerOf(t, at, 'one'), one, 'one')),
        follow(consumerOf(t, at, 'two'), two, 'two').catch(async () => follow(consumerOf(t, at, 'two'), two, 'two')),
      ]);
      const index = await indexOf(t, at);
      const found = await all(index, { event: 'statement', subject: 'bot', connection: 'shop' });
      assert.deepEqual(
        new Set(found.map(({ node, session, status }) => `${node} ${session} ${status}`)),
        new Set(['one s1 null', 'two s2 ok']),
      );
      const sessions = await index
        .selectFrom('index_sessions')
        .select(['session', 'state'])
        .orderBy('session')
        .execute();
      assert.deepEqual(sessions, [
        { session: 's1', state: 'lost' },
        { session: 's2', state: 'active' },
      ]);
    });

    test('what is removed from the journal is removed from the index, with its texts and sessions', async (t) => {
      const at = await place();
      const later = { session: 's2', identity, connection: 'shop' };
      const journal = journalOf(
        'removed',
        [start, attempt(1, 1), outcome(2, 1), attempt(3, 2)],
        [[5000, 'session.start', later], attempt(5001, 1, { ...later, text: 'SELECT 1' })],
        [[6000, 'journal.removed', { segment: 1, file: 'x', firstSeq: 1, lastSeq: 4, reason: 'age' }]],
      );
      await follow(consumerOf(t, at), journal);
      const index = await indexOf(t, at);
      assert.deepEqual(
        (await all(index, {})).map(({ seq, event, text }) => [seq, event, text?.slice(0, 8)]),
        [
          [7, 'journal.removed', '{"segmen'],
          [6, 'statement', 'SELECT 1'],
          [5, 'session.start', undefined],
        ],
      );
      assert.deepEqual(await index.selectFrom('index_sessions').select('session').execute(), [{ session: 's2' }]);
      assert.equal((await index.selectFrom('index_texts').selectAll().execute()).length, 2);
      assert.equal((await index.selectFrom('index_blocks').selectAll().execute()).length, 2);
    });
  });
}

function fits(record: IndexedRecord, filter: RecordFilter): boolean {
  const { subject, kind, owner, object, rule, since, until, text, ...equal } = filter;
  const { identity } = record;
  return (
    Object.entries(equal).every(([name, value]) => record[name as keyof typeof equal] === value) &&
    (subject === undefined || identity?.subject === subject) &&
    (kind === undefined || identity?.kind === kind) &&
    (owner === undefined || identity?.owner === owner) &&
    (object === undefined ||
      record.effects.some((effect) => new RegExp(`[ .]${object.replaceAll('.', '\\.')} `).test(`${effect} `))) &&
    (rule === undefined || record.rules.includes(rule) || record.refusedBy === rule) &&
    (since === undefined || record.at >= since) &&
    (until === undefined || record.at < until) &&
    (text === undefined || record.text?.toLowerCase().includes(text.toLowerCase()) === true)
  );
}

test('a file that is no index, or is broken, is made anew, which the log says; it is for its owner only', async (t) => {
  const file = join(directory, 'broken.db');
  writeFileSync(file, 'this is no database, it is some text that is longer than the header of one'.repeat(200));
  const at = { kind: 'sqlite', file } as const;
  const logged: string[] = [];
  await follow(consumerOf(t, at, 'a-node', logged), written);
  assert.match(logged.join('\n'), /warn: the index cannot be used.*\ninfo: the index begins with the oldest record/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const index = await indexOf(t, at);
  assert.equal((await all(index, { event: 'statement' })).length, STATEMENTS);
});

test('a file that turns out to be broken later is made anew as well', async (t) => {
  const at = { kind: 'sqlite', file: join(directory, 'later.db') } as const;
  const first = consumerOf(t, at);
  await follow(first, written);
  await first.close();
  const file = openSync(at.file, 'r+');
  const bytes = Buffer.alloc(statSync(at.file).size - PAGE, 0x5a);
  writeSync(file, bytes, 0, bytes.length, PAGE);
  closeSync(file);
  const logged: string[] = [];
  const consumer = consumerOf(t, at, 'a-node', logged);
  await follow(consumer, written);
  assert.match(logged.join('\n'), /warn: the index cannot be used/);
  const index = await indexOf(t, at);
  assert.equal((await all(index, { event: 'statement' })).length, STATEMENTS);
});

test('one of an older layout is made anew from the journal, which the log says', async (t) => {
  const file = join(directory, 'older.db');
  const older = new DatabaseSync(file);
  older.exec('create table index_entries (at integer, id integer); PRAGMA user_version = 1');
  older.close();
  const logged: string[] = [];
  await follow(consumerOf(t, { kind: 'sqlite', file }, 'a-node', logged), written);
  assert.match(logged.join('\n'), /warn: the index cannot be used.*\ninfo: the index begins with the oldest record/);
  const index = await indexOf(t, { kind: 'sqlite', file });
  assert.equal((await all(index, { event: 'statement' })).length, STATEMENTS);
});

test('killed in the middle of batches, over and over, it has every record once', async (t) => {
  const file = join(directory, 'killed.db');
  const program = join(import.meta.dirname, '../../../test/index-follower.ts');
  const begun: number[] = [];
  for (let batches = 1; ; batches += 12) {
    const follower = spawn(process.execPath, [program, written, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exit = once(follower, 'exit');
    let count = 0;
    for await (const line of createInterface({ input: follower.stdout })) {
      if (count === 0) begun.push(Number(line));
      // It is taking this batch, or is between this one and the next.
      if (++count === batches) follower.kill('SIGKILL');
    }
    const [code, signalled] = await exit;
    if (code === 0) break;
    assert.equal(signalled, 'SIGKILL');
  }
  assert.ok(begun.length > 2 && begun.at(-1)! > begun[1]!, `it went on at ${begun}`);
  const index = await indexOf(t, { kind: 'sqlite', file });
  const whole: StoreConfig = { kind: 'sqlite', file: join(directory, 'whole.db') };
  await follow(consumerOf(t, whole), written);
  const expected = await indexOf(t, whole);
  assert.deepEqual(await all(index, {}), await all(expected, {}));
  const columns = ['session', 'subject', 'state', 'statements', 'refused', 'errors', 'first_at', 'last_at'] as const;
  const sessions = (of: RecordIndex) => of.selectFrom('index_sessions').select(columns).orderBy('session').execute();
  assert.deepEqual(await sessions(index), await sessions(expected));
});

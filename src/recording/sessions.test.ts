import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Journal } from './journal.ts';
import { listSessions, readSession } from './sessions.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-sessions-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Writes records of [seconds after noon, event, fields] as one file of the journal, numbered on from `seq`. */
function segment(number: number, seq: number, records: readonly (readonly [number, string, object])[]): string {
  const lines = records.map(([seconds, event, fields], index) =>
    JSON.stringify({
      v: 1,
      seq: seq + index,
      at: new Date(Date.UTC(2026, 0, 31, 12, 0, 0) + seconds * 1000).toISOString(),
      event,
      ...fields,
    }),
  );
  const file = join(directory, `journal-20260131T120000000Z-${number}.jsonl`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

const start = (session: string, subject: string, connection = 'orders') =>
  [
    0,
    'session.start',
    {
      session,
      identity: { subject, kind: 'agent', groups: ['ops'] },
      connection,
      client: { address: '127.0.0.1:5000', tls: true },
      claimed: { application_name: 'psql' },
    },
  ] as const;

test('a session is summed up and shown with each statement and its outcome', async () => {
  segment(1, 1, [
    [0, 'journal.open', {}],
    start('a', 'bot'),
    [
      1,
      'statement.attempt',
      { session: 'a', statement: 1, via: 'query', text: 'SELECT 1', verdict: 'allow', rules: ['r1'] },
    ],
    [
      2,
      'statement.outcome',
      { session: 'a', statement: 1, status: 'ok', tag: 'SELECT 1', rows: 1, bytes: 20, ms: 3.5 },
    ],
    [
      3,
      'statement.attempt',
      { session: 'a', statement: 2, via: 'query', text: 'DELETE FROM t', verdict: 'deny', rules: ['r2'] },
    ],
    [3, 'statement.outcome', { session: 'a', statement: 2, status: 'refused', sqlstate: '42501', by: 'r2' }],
    [4, 'an.event.of.the.future', { session: 'a', statement: 2, status: 'x' }],
    [5, 'session.end', { session: 'a', reason: 'client closed', statements: 2, ms: 5000 }],
  ]);
  const { session, problems } = await readSession(directory, 'a');
  assert.deepEqual(problems, []);
  const { timeline, ...summary } = session!;
  assert.deepEqual(summary, {
    session: 'a',
    state: 'ended',
    identity: { subject: 'bot', kind: 'agent', groups: ['ops'] },
    connection: 'orders',
    client: { address: '127.0.0.1:5000', tls: true },
    application: 'psql',
    started: '2026-01-31T12:00:00.000Z',
    ended: '2026-01-31T12:00:05.000Z',
    reason: 'client closed',
    statements: 2,
    refused: 1,
    errors: 0,
  });
  assert.deepEqual(
    timeline.map((entry) => [
      entry.statement,
      entry.offsetMs,
      entry.verdict,
      entry.text,
      entry.status,
      entry.rows,
      entry.sqlstate,
      entry.refusedBy,
    ]),
    [
      [1, 1000, 'allow', 'SELECT 1', 'ok', 1, null, null],
      [2, 3000, 'deny', 'DELETE FROM t', 'refused', null, '42501', 'r2'],
    ],
  );
  assert.deepEqual((await listSessions(directory)).sessions, [summary]);
  assert.equal((await readSession(directory, 'b')).session, null);
});

test('sessions are filtered by last activity, identity, connection and state, over files', async () => {
  segment(9, 1, [start('a', 'bot'), start('b', 'alice', 'billing'), start('c', 'alice')]);
  segment(10, 4, [
    [60, 'session.end', { session: 'c' }],
    [120, 'statement.attempt', { session: 'b', statement: 1, text: 'x', verdict: 'allow' }],
  ]);
  const ids = async (filter: object) => (await listSessions(directory, filter)).sessions.map(({ session }) => session);
  assert.deepEqual(await ids({}), ['a', 'b', 'c']);
  assert.deepEqual(await ids({ since: Date.UTC(2026, 0, 31, 12, 0, 30) }), ['b', 'c']);
  assert.deepEqual(await ids({ subject: 'alice' }), ['b', 'c']);
  assert.deepEqual(await ids({ connection: 'billing' }), ['b']);
  assert.deepEqual(await ids({ active: true }), ['a', 'b']);
});

test('a session whose end was never recorded is lost once Sluice has been started again', async () => {
  segment(1, 1, [start('a', 'bot')]);
  segment(2, 2, [[60, 'journal.open', {}], start('b', 'bot')]);
  const { sessions } = await listSessions(directory);
  assert.deepEqual(
    sessions.map(({ session, state }) => [session, state]),
    [
      ['a', 'lost'],
      ['b', 'active'],
    ],
  );
  assert.equal((await readSession(directory, 'a')).session!.state, 'lost');
});

test('a torn last line, a line that is not JSON, an unknown version and a missing record are told by file and line', async () => {
  const first = segment(1, 1, [start('a', 'bot')]);
  appendFileSync(first, 'not json\n{"v":2,"seq":3}\n');
  const second = segment(2, 5, [start('b', 'bot')]);
  appendFileSync(second, '{"v":1,"seq":6,"at":"20');
  const { sessions, problems } = await listSessions(directory);
  assert.deepEqual(
    sessions.map(({ session }) => session),
    ['a', 'b'],
  );
  assert.deepEqual(
    problems.map(({ file, line, message }) => [file, line, message.replace(/:.*/, '')]),
    [
      [first, 2, 'is not JSON'],
      [first, 3, 'is of version 2; this Sluice reads version 1'],
      [second, 1, 'record 3 is followed by record 5'],
      [second, 2, 'the last line is torn'],
    ],
  );
});

test('lines longer than what is read at once are put together', async () => {
  const text = `SELECT '${'ä'.repeat(400_000)}'`;
  segment(1, 1, [start('a', 'bot'), [1, 'statement.attempt', { session: 'a', statement: 1, text, verdict: 'allow' }]]);
  const { session, problems } = await readSession(directory, 'a');
  assert.deepEqual(problems, []);
  assert.equal(session!.timeline[0]!.text, text);
});

test('what the journal writes is read', async () => {
  const journal = Journal.open(directory);
  journal.append('"session.start","session":"a","identity":{"subject":"bot","kind":"agent","groups":[]}', false);
  journal.append('"session.end","session":"a","reason":"client closed"', true);
  journal.close();
  assert.equal(readdirSync(directory).filter((name) => name.endsWith('.jsonl')).length, 1);
  const { sessions, problems } = await listSessions(directory);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    sessions.map(({ session, state, identity }) => [session, state, identity?.subject]),
    [['a', 'ended', 'bot']],
  );
});

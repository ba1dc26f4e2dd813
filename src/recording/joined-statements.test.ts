import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchOf, record } from './exporters/test-records.ts';
import { JoinedStatements, type RecordedEvent, relationsIn } from './joined-statements.ts';

const attempt = (statement: number, session = 's') => record('statement.attempt', { session, statement, text: 'x' });
const outcome = (statement: number, session = 's') =>
  record('statement.outcome', { session, statement, status: 'ok', ms: 1 });

/** What happened, in short. */
function told(events: readonly RecordedEvent[]): string[] {
  return events.map((event) =>
    event.kind === 'other'
      ? event.record.event
      : `${event.session}${event.statement} ${event.outcome?.status ?? 'unknown'}`,
  );
}

test('an attempt and its outcome are one event, in whichever batches they are', () => {
  const joined = new JoinedStatements<number>();
  const first = batchOf([attempt(1), attempt(2), outcome(1)]);
  const second = batchOf([record('auth.failed', {}), outcome(2)]);
  const read = joined.read(first);
  assert.deepEqual(told(read.events), ['s1 ok']);
  // The second statement waits: after a restart its attempt has to come again.
  assert.equal(read.done(), first.begin);
  const next = joined.read(second);
  assert.deepEqual(told(next.events), ['auth.failed', 's2 ok']);
  assert.equal(next.done(), second.end);
});

test('what could not be delivered is read again', () => {
  const joined = new JoinedStatements<number>();
  const first = batchOf([attempt(1)]);
  const second = batchOf([outcome(1)]);
  joined.read(first).done();
  assert.deepEqual(told(joined.read(second).events), ['s1 ok']);
  assert.deepEqual(told(joined.read(second).events), ['s1 ok']);
});

test('records that begin elsewhere begin anew', () => {
  const joined = new JoinedStatements<number>();
  const first = batchOf([attempt(1), attempt(2)]);
  joined.read(first).done();
  assert.deepEqual(told(joined.read(first).events), []);
  joined.read(first).done();
  record('left out', {});
  // Its attempt is not known any more: the outcome is told as it is.
  assert.deepEqual(told(joined.read(batchOf([outcome(1)])).events), ['statement.outcome']);
});

test('statements without an outcome are told when their session or their process has ended', () => {
  const joined = new JoinedStatements<number>();
  const batch = batchOf([
    attempt(1),
    attempt(1, 't'),
    record('session.end', { session: 's' }),
    record('journal.open', {}),
    record('journal.checkpoint', {}),
  ]);
  const read = joined.read(batch);
  assert.deepEqual(told(read.events), ['s1 unknown', 'session.end', 't1 unknown', 'journal.open']);
  assert.equal(read.done(), batch.end);
});

test('the number of statements that wait is bounded', () => {
  const joined = new JoinedStatements<number>();
  const many = Array.from({ length: 20_002 }, (_, n) => attempt(n + 1));
  const read = joined.read(batchOf(many));
  assert.deepEqual(told(read.events), ['s1 unknown', 's2 unknown']);
});

test('how long people took is told where the request is known', () => {
  const asked = record('approval.requested', { request: 3 }, 1_000);
  const granted = (statement: number, request: number) =>
    record('statement.attempt', { session: 's', statement, approval: request }, 61_000);
  const batch = batchOf([asked, granted(1, 3), outcome(1), granted(2, 4), outcome(2)]);
  const statements = new JoinedStatements<number>().read(batch).events.filter(({ kind }) => kind === 'statement');
  assert.deepEqual(
    statements.map((event) => event.kind === 'statement' && [event.approval, event.heldMs]),
    [
      [3, 60_000],
      [4, null],
    ],
  );
});

test('relations are read from effects, each once', () => {
  const effects = [
    'read public.orders (keyed)',
    'delete public.orders (none)',
    'insert my table',
    'call-function f',
    'opaque: read of x',
    'transaction',
  ];
  assert.deepEqual(relationsIn(effects), ['public.orders', 'my table']);
});

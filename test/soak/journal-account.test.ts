import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { accountFor } from './journal-account.ts';

const start = { event: 'session.start', session: 'a', identity: { subject: 'agent', kind: 'agent', groups: [] } };
const attempt = (statement: number) => ({
  event: 'statement.attempt',
  session: 'a',
  statement,
  text: 'INSERT INTO arrived VALUES (1)',
});
const outcome = (statement: number) => ({
  event: 'statement.outcome',
  session: 'a',
  statement,
  status: 'ok',
  tag: 'INSERT 0 1',
});
const end = (statements: number) => ({ event: 'session.end', session: 'a', statements });

/** The account of a journal with these records, numbered from 1. */
async function account(t: TestContext, ...records: object[]) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-soak-test-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const lines = records.map(
    (record, i) => `${JSON.stringify({ v: 1, seq: i + 1, at: '2026-01-31T12:00:00.000Z', ...record })}\n`,
  );
  writeFileSync(join(directory, 'journal-20260131T120000000Z-1.jsonl'), lines.join(''));
  return accountFor(directory);
}

test('a whole journal has no problems, and its figures are summed up', async (t) => {
  const found = await account(t, start, attempt(1), outcome(1), attempt(2), outcome(2), end(2));
  assert.deepEqual(found, {
    records: 6,
    sessions: 1,
    attempts: 2,
    outcomes: { ok: 2 },
    completedBy: new Map([['agent', 2]]),
    rowsArrived: 2,
    problems: [],
  });
});

test('whatever is missing from a journal is a problem', async (t) => {
  const problem = async (...records: object[]) => (await account(t, ...records)).problems.join('\n');
  assert.match(await problem(start, attempt(1), end(1)), /statement 1 of session a has no outcome/);
  assert.match(await problem(start, outcome(1), end(0)), /outcome of a\/1, which is not open/);
  assert.match(await problem(start, attempt(1), outcome(1), outcome(1), end(1)), /outcome of a\/1, which is not open/);
  assert.match(await problem(start, attempt(2), outcome(2), end(1)), /statement 2 of a is out of order/);
  assert.match(await problem(start, attempt(1), outcome(1), end(2)), /ends with 2 statements after 1 attempts/);
  assert.match(await problem(start, attempt(1), outcome(1)), /session a of agent has no end/);
  assert.match(await problem(attempt(1)), /session a, which is not open/);
  assert.match(await problem(start, { ...end(0), seq: 5 }), /record 1 is followed by record 5/);
  assert.match(await problem({ event: 'journal.gap', reason: 'torn line' }), /journal.gap, torn line/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Estimates, rowsOfPlan } from './estimates.ts';

test('rows of joined tables multiply; of several queries the one with most rows counts', () => {
  assert.equal(rowsOfPlan([{ id: 1, rows: 100, filtered: 10 }]), 10);
  assert.equal(
    rowsOfPlan([
      { id: 1, rows: '100' },
      { id: 1, rows: 5 },
    ]),
    500,
  );
  assert.equal(
    rowsOfPlan([
      { id: 1, rows: 2 },
      { id: 2, rows: 70 },
      { id: null, rows: null },
    ]),
    70,
  );
  assert.equal(rowsOfPlan([]), 0);
});

test('of a server that cannot be reached nothing is known', async () => {
  const estimates = new Estimates();
  const upstream = {
    protocol: 'postgres',
    host: '127.0.0.1',
    port: 1,
    database: 'd',
    user: 'u',
    password: null,
    tls: 'disable',
    ca: null,
  } as const;
  const question = { statement: 'SELECT 1', role: '', searchPath: [], database: '', sqlMode: '' };
  assert.equal(await estimates.of('one', upstream, question), null);
  assert.equal(await estimates.of('one', { ...upstream, protocol: 'mysql' }, question), null);
  estimates.close();
  assert.equal(await estimates.of('one', upstream, question), null);
});

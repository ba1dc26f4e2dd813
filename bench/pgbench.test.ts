import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLatencies, parseResult } from './pgbench.ts';

const report = `pgbench (15.20 (Debian 15.20-0+deb12u1))
transaction type: <builtin: select only>
query mode: prepared
number of clients: 1
number of transactions actually processed: 1234
number of failed transactions: 0 (0.000%)
latency average = 2.431 ms
average connection time = 2.104 ms
tps = 411.339821 (including reconnection times)
`;

test('transactions, tps and connection time are read from a report', () => {
  assert.deepEqual(parseResult(report), {
    transactions: 1234,
    transactionsPerSecond: 411.339821,
    connectMilliseconds: 2.104,
  });
});

test('a run without -C has no connection time per transaction', () => {
  const without = report.replace('average connection time', 'initial connection time');
  assert.equal(parseResult(without).connectMilliseconds, null);
});

test('failed transactions are an error', () => {
  assert.throws(() => parseResult(report.replace('transactions: 0', 'transactions: 3')), /did not finish cleanly/);
});

test('a run that did nothing is an error', () => {
  assert.throws(() => parseResult(report.replace('1234', '0')), /did not finish cleanly/);
  assert.throws(() => parseResult(''), /did not finish cleanly/);
});

test('latencies come sorted from the third field', () => {
  const log = '0 1 250 0 1763899200 11\n0 2 90 0 1763899200 240\n1 1 1200 0 1763899200 1300\n';
  assert.deepEqual([...parseLatencies(log)], [90, 250, 1200]);
});

test('a log that is empty or not a log is an error', () => {
  assert.throws(() => parseLatencies(''), /empty/);
  assert.throws(() => parseLatencies('0 1 failed 0 1763899200 11\n'), /not a line/);
});

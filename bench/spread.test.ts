import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pairedSpread, percentile, spreadOf } from './spread.ts';

test('the median of an even number of values lies between the middle two', () => {
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('the 99th percentile of 0..100 is 99', () => {
  const values = Array.from({ length: 101 }, (_, index) => index);
  assert.equal(percentile(values, 0.99), 99);
});

test('nothing measured is an error', () => {
  assert.throws(() => spreadOf([]), /no values/);
});

test('ratios are taken round by round', () => {
  // One slow round on both sides leaves the ratio alone.
  const ratio = pairedSpread([12, 120, 12], [10, 100, 10], (value, reference) => value / reference);
  assert.deepEqual(ratio, { median: 1.2, min: 1.2, max: 1.2 });
});

test('no common round gives no ratio', () => {
  assert.equal(
    pairedSpread([], [1], (a, b) => a / b),
    null,
  );
});

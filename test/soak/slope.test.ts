import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slopePerMinute } from './slope.ts';

test('a line has the slope it has, whatever its level', () => {
  const points = [0, 5, 10, 30, 60].map((at) => ({ at, value: 100 + at * 0.5 }));
  assert.equal(slopePerMinute(points), 30);
});

test('what goes up and down around one level has next to no slope, and one outlier does not make one', () => {
  const saw = Array.from({ length: 100 }, (_, i) => ({ at: i * 5, value: 80 + (i % 4) * 5 + (i === 50 ? 40 : 0) }));
  assert.ok(Math.abs(slopePerMinute(saw)) < 0.1);
});

test('a leak under such noise is seen', () => {
  const leak = Array.from({ length: 100 }, (_, i) => ({ at: i * 5, value: 80 + (i % 4) * 5 + ((i * 5) / 60) * 2 }));
  assert.ok(Math.abs(slopePerMinute(leak) - 2) < 0.1);
});

test('there is no slope without two moments', () => {
  assert.throws(() => slopePerMinute([]), /no slope/);
  assert.throws(() => slopePerMinute([{ at: 1, value: 1 }]), /no slope/);
});

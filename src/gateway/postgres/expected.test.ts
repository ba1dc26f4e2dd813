import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EXPECT, type Expectation, Expected } from './expected.ts';

function contents(expected: Expected<number>): [Expectation, number | null][] {
  const list: [Expectation, number | null][] = [];
  expected.forEach((kind, value) => {
    list.push([kind, value]);
  });
  return list;
}

test('entries come out in the order they went in, with their values', () => {
  const expected = new Expected<number>();
  expected.push(EXPECT.parse, 1);
  expected.push(EXPECT.sync, null);
  assert.equal(expected.length, 2);
  assert.equal(expected.kind(), EXPECT.parse);
  assert.equal(expected.value(), 1);
  expected.shift();
  assert.equal(expected.kind(), EXPECT.sync);
  assert.equal(expected.value(), null);
  expected.shift();
  assert.equal(expected.kind(), 0);
  assert.equal(expected.value(), null);
  assert.equal(expected.length, 0);
});

test('taking back what was pushed since a place hands it over, newest first', () => {
  const expected = new Expected<number>();
  expected.push(EXPECT.query, 1);
  const place = expected.tail;
  expected.push(EXPECT.parse, 2);
  expected.push(EXPECT.bind, 3);
  const taken: (number | null)[] = [];
  expected.truncate(place, (_kind, value) => taken.push(value));
  assert.deepEqual(taken, [3, 2]);
  assert.deepEqual(contents(expected), [[EXPECT.query, 1]]);
});

test('taking back to a place the server has passed already leaves nothing, and less than nothing never', () => {
  const expected = new Expected<number>();
  const place = expected.tail;
  expected.push(EXPECT.bind, 1);
  expected.push(EXPECT.execute, 2);
  expected.shift();
  expected.shift();
  const taken: (number | null)[] = [];
  expected.truncate(place, (_kind, value) => taken.push(value));
  assert.deepEqual(taken, []);
  assert.equal(expected.length, 0);
  assert.equal(expected.kind(), 0);
  expected.push(EXPECT.query, 3);
  assert.deepEqual(contents(expected), [[EXPECT.query, 3]]);
});

test('Syncs behind a COPY may be ignored up to the end of the copy, and not behind it', () => {
  const expected = new Expected<number>();
  expected.push(EXPECT.execute, 1);
  expected.push(EXPECT.sync, null);
  assert.equal(expected.beginCopyIn(true), false);
  expected.push(EXPECT.copyEnd, null);
  expected.push(EXPECT.sync, null);
  assert.equal(expected.beginCopyIn(true), true);
  assert.deepEqual(
    contents(expected).map(([kind]) => kind),
    [EXPECT.execute, EXPECT.maybeSync, EXPECT.copyEnd, EXPECT.sync],
  );
  assert.equal(expected.has(EXPECT.sync), true);
  assert.equal(expected.has(EXPECT.query), false);
});

test('it is a queue, however it is used and however long it gets', () => {
  type Step = { op: 'push' | 'shift' | 'truncate' | 'remove'; n: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ op: fc.constant('push' as const), n: fc.integer({ min: 1, max: 10 }) }) },
    { weight: 5, arbitrary: fc.record({ op: fc.constant('shift' as const), n: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), n: fc.nat(10) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const expected = new Expected<number>();
      const model: [Expectation, number | null][] = [];
      let value = 0;
      for (const { op, n } of steps) {
        if (op === 'push') {
          expected.push(n as Expectation, ++value);
          model.push([n as Expectation, value]);
        } else if (op === 'shift') {
          for (let i = 0; i < n && model.length > 0; i++) {
            assert.equal(expected.kind(), model[0]![0]);
            assert.equal(expected.value(), model[0]![1]);
            expected.shift();
            model.shift();
          }
        } else {
          const back = Math.min(n, model.length);
          const taken: (number | null)[] = [];
          expected.truncate(expected.tail - back, (_kind, v) => taken.push(v));
          assert.deepEqual(
            taken,
            model
              .splice(model.length - back)
              .map(([, v]) => v)
              .reverse(),
          );
        }
        assert.equal(expected.length, model.length);
        assert.deepEqual(contents(expected), model);
      }
    }),
    { numRuns: 500 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Entry, packBlock, positionOfTrace, unpackEntries, unpackParts } from './entry-block.ts';

const optional = (most: number) => fc.option(fc.integer({ min: 0, max: most }));
const hex = fc.stringMatching(/^[0-9a-f]{32}$/);
const entry = fc.record({
  at: fc.integer({ min: 0, max: 2 ** 42 }),
  step: fc.integer({ min: 1, max: 300 }),
  profile: fc.integer({ min: 1, max: 5 }),
  shape: fc.option(fc.integer({ min: 10, max: 2 ** 33 })),
  session: fc.option(fc.integer({ min: 20, max: 30 })),
  number: optional(Number.MAX_SAFE_INTEGER - 1),
  back: fc.option(fc.integer({ min: 0, max: 1000 })),
  trace: fc.option(fc.oneof(hex, fc.constant('0'.repeat(31).concat('1')))),
  approval: optional(10),
  rows: optional(2 ** 40),
  affected: optional(300),
  bytes: optional(2 ** 40),
  micros: optional(2 ** 40),
});

test('a block has the entries that were packed, and those alone that are wanted', () => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 60 }), (drawn) => {
      let seq = 5000;
      const entries = drawn.map(({ step, back, ...rest }): Entry => {
        seq += step;
        return { ...rest, seq, text: back === null ? null : seq - back };
      });
      const { firstAt, lastAt, ...packed } = packBlock(entries);
      const parts = unpackParts(packed.parts);
      assert.deepEqual(unpackEntries(packed.entries, parts, packed.traces), entries);
      assert.deepEqual(
        [firstAt, lastAt],
        [Math.min(...entries.map(({ at }) => at)), Math.max(...entries.map(({ at }) => at))],
      );
      assert.deepEqual(new Set(parts.profiles), new Set(entries.map(({ profile }) => profile)));
      const sought = entries.at(-1)!;
      const found = unpackEntries(
        packed.entries,
        parts,
        packed.traces,
        (_, shape) => (parts.shapes[shape] ?? null) === sought.shape,
      );
      assert.deepEqual(
        found,
        entries.filter(({ shape }) => shape === sought.shape),
      );
      for (const { trace } of entries) if (trace !== null) assert.notEqual(positionOfTrace(packed.traces, trace), -1);
      assert.equal(positionOfTrace(packed.traces, 'ff'.repeat(16)), -1);
    }),
  );
});

test('a trace is found where it begins, not within two others', () => {
  const trace = 'ab'.repeat(16);
  const traces = Buffer.from(`${'00'.repeat(8)}${'ab'.repeat(8)}${'ab'.repeat(8)}${'00'.repeat(8)}`, 'hex');
  assert.equal(positionOfTrace(traces, trace), -1);
  assert.equal(positionOfTrace(Buffer.concat([traces, Buffer.from(trace, 'hex')]), trace), 2);
  assert.equal(positionOfTrace(traces, 'ab'), -1);
});

test('bytes that are no entries are an error, and not a loop without an end', () => {
  const parts = unpackParts(
    packBlock([
      {
        at: 1,
        seq: 1,
        profile: 1,
        shape: null,
        session: null,
        number: null,
        text: null,
        trace: null,
        approval: null,
        rows: null,
        affected: null,
        bytes: null,
        micros: null,
      },
    ]).parts,
  );
  assert.throws(() => unpackEntries(Buffer.alloc(40, 0xff), parts, Buffer.alloc(0)), /broken/);
});

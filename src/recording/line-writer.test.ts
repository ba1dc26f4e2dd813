import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineWriter, RepeatedText } from './line-writer.ts';

function written(lines: LineWriter): string {
  return lines.bytes.toString('utf8', 0, lines.length);
}

test('texts, numbers and bytes stand one after the other, whatever they are, however little room there was', () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.string({ maxLength: 100 }));
  const part = fc.oneof(
    text.map((value) => ({ put: (lines: LineWriter) => lines.text(value), reads: value })),
    text.map((value) => ({ put: (lines: LineWriter) => lines.raw(Buffer.from(value)), reads: value })),
    fc.maxSafeNat().map((value) => ({ put: (lines: LineWriter) => lines.integer(value), reads: String(value) })),
    fc.nat().map((value) => ({ put: (lines: LineWriter) => lines.thousandths(value), reads: String(value / 1000) })),
  );
  fc.assert(
    fc.property(fc.array(part), fc.integer({ min: 1, max: 500 }), (parts, room) => {
      const lines = new LineWriter(room);
      for (const { put } of parts) put(lines);
      assert.equal(written(lines), parts.map(({ reads }) => reads).join(''));
    }),
  );
  const lines = new LineWriter(8);
  for (const n of [0, 9, 10, 999_999_999, 1_000_000_000, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
    lines.clear();
    assert.equal(written(lines.integer(n)), String(n));
  }
});

test('what once took more room is not kept', () => {
  const lines = new LineWriter(1000);
  lines.text('x'.repeat(100_000));
  lines.clear();
  assert.equal(lines.length, 0);
  assert.equal(lines.bytes.length, 1000);
});

test('a text that comes again is the same each time', () => {
  for (const text of ['', 'plain', 'größer 表\u{1f4a7}'.repeat(20)]) {
    const repeated = new RepeatedText(text);
    const lines = new LineWriter(10);
    for (let i = 0; i < 3; i++) {
      assert.equal(repeated.toString(), text);
      repeated.writeTo(lines);
    }
    assert.equal(written(lines), text.repeat(3));
  }
});

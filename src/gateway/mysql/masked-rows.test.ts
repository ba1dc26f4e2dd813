import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { lenencBytesOrNull } from '../../../protocols/mysql/payload-fields.ts';
import { FIELD_TYPE } from '../../../protocols/mysql/responses.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import { type Cell, fixedCell } from '../../masking/cells.ts';
import { RewriteBuffer } from '../rewrite-buffer.ts';
import { RowMasker, RowStream } from './masked-rows.ts';

const TYPES = [FIELD_TYPE.varString, FIELD_TYPE.long, FIELD_TYPE.varString, FIELD_TYPE.varString];

/** Twice the value, or NULL if it begins with `n`. */
const doubled: Cell = {
  fixed: undefined,
  coversNull: false,
  growth: (length) => length,
  write(bytes, from, to, out, at) {
    if (bytes[from] === 0x6e) return -1;
    const value = bytes.subarray(from, to);
    return at + value.copy(out, at) + value.copy(out, at + value.length);
  },
};

function textRow(...values: (string | null)[]): Buffer {
  return Buffer.concat(values.map(lenencBytesOrNull));
}

/** A binary row of {@link TYPES}; the number is 7 unless the second value is NULL. */
function binaryRow(...values: (string | null)[]): Buffer {
  const bitmap = Buffer.alloc(1);
  const fields = values.map((value, i) => {
    if (value === null) {
      bitmap[0]! |= 1 << (i + 2);
      return Buffer.alloc(0);
    }
    return i === 1 ? Buffer.of(7, 0, 0, 0) : lenencBytesOrNull(value);
  });
  return Buffer.concat([Buffer.of(0), bitmap, ...fields]);
}

/** What rows become, whose packets come in pieces of this size, numbered from 5. */
function rewritten(masker: RowMasker, rows: readonly Buffer[], piece: number): { payloads: Buffer[]; shift: number } {
  let sequence = 5;
  const packets = rows.map((row) => {
    const encoded = encodePackets(row, sequence & 0xff);
    sequence += Math.floor(row.length / 0xffffff) + 1;
    return encoded;
  });
  const bytes = Buffer.concat(packets);
  const out: Buffer[] = [];
  const stream = new RowStream(masker, 0, new RewriteBuffer(), {
    add: (chunk, start, end) => out.push(Buffer.from(chunk.subarray(start, end))),
  });
  for (let at = 0; at < bytes.length; at += piece) stream.push(bytes, at, Math.min(bytes.length, at + piece));
  const sent = Buffer.concat(out);
  const payloads: Buffer[] = [];
  let parts: Buffer[] = [];
  let expected = 5;
  for (let at = 0; at < sent.length; ) {
    const size = sent.readUIntLE(at, 3);
    assert.equal(sent[at + 3], expected++ & 0xff, 'packets are numbered on');
    parts.push(sent.subarray(at + 4, at + 4 + size));
    if (size < 0xffffff) {
      payloads.push(Buffer.concat(parts));
      parts = [];
    }
    at += 4 + size;
  }
  return { payloads, shift: stream.shift };
}

const cells = [doubled, null, fixedCell(Buffer.from('fixed'), true), fixedCell(null, false)];

for (const piece of [1, 3, 7, 1000]) {
  test(`rows of both protocols are rewritten, cut into pieces of ${piece}`, () => {
    const rows = [
      ['ab', '7', 'secret', 'gone'],
      ['no', null, null, null],
      [null, '7', '', 'x'],
      ['y'.repeat(200), '7', 'secret', null],
    ];
    const expected = [
      ['abab', '7', 'fixed', null],
      [null, null, 'fixed', null],
      [null, '7', 'fixed', null],
      ['y'.repeat(400), '7', 'fixed', null],
    ];
    const text = rewritten(
      new RowMasker(cells, TYPES, false),
      rows.map((row) => textRow(...row)),
      piece,
    );
    assert.deepEqual(text, { payloads: expected.map((row) => textRow(...row)), shift: 0 });
    const binary = rewritten(
      new RowMasker(cells, TYPES, true),
      rows.map((row) => binaryRow(...row)),
      piece,
    );
    assert.deepEqual(binary, { payloads: expected.map((row) => binaryRow(...row)), shift: 0 });
  });
}

test('a row of several packets loses what is masked, keeps what is not, and may become fewer packets', () => {
  const large = 'l'.repeat(17_000_000);
  for (const [isBinary, row] of [
    [false, textRow],
    [true, binaryRow],
  ] as const) {
    const masker = new RowMasker(cells, TYPES, isBinary);
    const dropped = rewritten(masker, [row('ab', '7', large, 'x'), row('ab', '7', 's', 'x')], 65_536);
    assert.deepEqual(dropped.payloads, [row('abab', '7', 'fixed', null), row('abab', '7', 'fixed', null)]);
    assert.equal(dropped.shift, 0xff);
    const passing = new RowMasker([null, null, doubled, null], TYPES, isBinary);
    const kept = rewritten(passing, [row(large, null, 'ab', large)], 65_536);
    assert.ok(kept.payloads[0]!.equals(row(large, null, 'abab', large)));
    assert.equal(kept.shift, 0);
    const unread = rewritten(passing, [row('a', '7', large, 'z')], 65_536);
    assert.ok(unread.payloads[0]!.equals(row('a', '7', null, 'z')));
  }
});

test('a row that is no row of these columns is a violation', () => {
  const push = (masker: RowMasker, payload: Buffer) => () => rewritten(masker, [payload], 1000);
  const text = new RowMasker(cells, TYPES, false);
  const binary = new RowMasker(cells, TYPES, true);
  for (const payload of [
    textRow('a', 'b', 'c'),
    textRow('a', 'b', 'c', 'd', 'e'),
    Buffer.from([9, 1]),
    Buffer.of(0xfc),
  ])
    assert.throws(push(text, payload), ProtocolViolation);
  for (const payload of [Buffer.of(0), Buffer.of(1, 0, 1, 1), binaryRow('a', '7', 'b', 'c').subarray(0, -1)])
    assert.throws(push(binary, payload), ProtocolViolation);
});

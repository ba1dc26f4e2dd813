import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIELD_TYPE } from './responses.ts';
import { binaryOfText, binarySize, textOfBinary } from './values.ts';

const signed = (type: number) => ({ type, unsigned: false });
const unsigned = (type: number) => ({ type, unsigned: true });

/** Texts and what the documentation has for them in "Binary Protocol Value", in hexadecimal. */
const CASES: readonly (readonly [{ type: number; unsigned: boolean }, string, string])[] = [
  [signed(FIELD_TYPE.tiny), '-1', 'ff'],
  [unsigned(FIELD_TYPE.tiny), '255', 'ff'],
  [signed(FIELD_TYPE.short), '1', '0100'],
  [signed(FIELD_TYPE.int24), '-8388608', '000080ff'],
  [unsigned(FIELD_TYPE.int24), '16777215', 'ffffff00'],
  [signed(FIELD_TYPE.long), '-2', 'feffffff'],
  [unsigned(FIELD_TYPE.longlong), '18446744073709551615', 'ffffffffffffffff'],
  [signed(FIELD_TYPE.longlong), '-9223372036854775808', '0000000000000080'],
  [unsigned(FIELD_TYPE.year), '2155', '6b08'],
  [unsigned(FIELD_TYPE.year), '0000', '0000'],
  [signed(FIELD_TYPE.double), '10.2', '6666666666662440'],
  [signed(FIELD_TYPE.float), '10.2', '33332341'],
  [signed(FIELD_TYPE.newdecimal), '-12.50', '2d31322e3530'],
  [signed(FIELD_TYPE.date), '0000-00-00', ''],
  [signed(FIELD_TYPE.date), '2010-10-17', 'da070a11'],
  [signed(FIELD_TYPE.datetime), '2010-10-17 19:27:30', 'da070a11131b1e'],
  [signed(FIELD_TYPE.timestamp), '2010-10-17 19:27:30.000001', 'da070a11131b1e01000000'],
  [signed(FIELD_TYPE.time), '00:00:00', ''],
  [signed(FIELD_TYPE.time), '-139:27:30', '0105000000131b1e'],
  [signed(FIELD_TYPE.time), '-139:27:30.000001', '0105000000131b1e01000000'],
];

for (const [type, text, hex] of CASES) {
  test(`type ${type.type}: ${text} is ${hex === '' ? 'nothing' : hex} in a binary row`, () => {
    assert.equal(binaryOfText(type, text).toString('hex'), hex);
    assert.equal(textOfBinary(type, Buffer.from(hex, 'hex')), text);
  });
}

test('what is no value of a type is refused, not made into another', () => {
  for (const [type, texts] of [
    [signed(FIELD_TYPE.tiny), ['128', '-129', '', 'x', '1.0', '0x1']],
    [unsigned(FIELD_TYPE.short), ['-1', '65536']],
    [signed(FIELD_TYPE.int24), ['8388608']],
    [signed(FIELD_TYPE.longlong), ['9223372036854775808']],
    [unsigned(FIELD_TYPE.year), ['1900', '2156', '20']],
    [signed(FIELD_TYPE.double), ['NaN', '1,5', '']],
    [signed(FIELD_TYPE.newdecimal), ['1e5', '']],
    [signed(FIELD_TYPE.date), ['2010-10-17 00:00:00', '2010-13-01', '10-10-10']],
    [signed(FIELD_TYPE.datetime), ['2010-10-17 24:00:00', 'now']],
    [signed(FIELD_TYPE.time), ['839:00:00', '12:60:00']],
  ] as const) {
    for (const text of texts) assert.throws(() => binaryOfText(type, text), RangeError, `${type.type} ${text}`);
  }
  assert.throws(() => textOfBinary(signed(FIELD_TYPE.long), Buffer.alloc(3)), RangeError);
  assert.throws(() => textOfBinary(signed(FIELD_TYPE.date), Buffer.alloc(5)), RangeError);
  assert.throws(() => textOfBinary(signed(FIELD_TYPE.time), Buffer.alloc(1)), RangeError);
});

test('numbers of every size come back as they were', () => {
  for (const type of [FIELD_TYPE.tiny, FIELD_TYPE.short, FIELD_TYPE.long, FIELD_TYPE.longlong]) {
    const size = binarySize(type);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: size, maxLength: size }), fc.boolean(), (bytes, isUnsigned) => {
        const value = { type, unsigned: isUnsigned };
        assert.deepEqual([...binaryOfText(value, textOfBinary(value, Buffer.from(bytes)))], [...bytes]);
      }),
    );
  }
});

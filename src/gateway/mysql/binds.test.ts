import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LONG_DATA, type Parameter } from '../../../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../../../protocols/mysql/responses.ts';
import { bindsOf, NO_BINDS, withAttributes } from './binds.ts';

const bind = (type: number, value: Parameter['value'], unsigned = false): Parameter => ({
  type,
  unsigned,
  name: '',
  value,
});

test('values of the binary protocol are recorded and judged as text', () => {
  for (const [parameter, expected] of [
    [bind(FIELD_TYPE.tiny, Buffer.of(0xff)), '-1'],
    [bind(FIELD_TYPE.tiny, Buffer.of(0xff), true), '255'],
    [bind(FIELD_TYPE.longlong, Buffer.alloc(8, 0xff), true), '18446744073709551615'],
    [bind(FIELD_TYPE.double, Buffer.from([0, 0, 0, 0, 0, 0, 0xf8, 0x3f])), '1.5'],
    [bind(FIELD_TYPE.varString, Buffer.from('é')), 'é'],
    [bind(FIELD_TYPE.datetime, Buffer.from([0xea, 7, 11, 25, 23, 59, 1])), '2026-11-25 23:59:01'],
    [bind(FIELD_TYPE.date, Buffer.alloc(0)), '0000-00-00'],
    [bind(FIELD_TYPE.time, Buffer.from([1, 1, 0, 0, 0, 2, 3, 4])), '-26:03:04'],
    [bind(FIELD_TYPE.varString, null), null],
  ] as const) {
    const { json, values } = bindsOf([parameter], null);
    assert.deepEqual(values, [expected]);
    assert.deepEqual(JSON.parse(json!), [expected]);
  }
  assert.deepEqual(JSON.parse(bindsOf([bind(FIELD_TYPE.blob, Buffer.of(0xff, 0))], null).json!), [{ hex: 'ff00' }]);
});

test('query attributes are claims, but for those that are NULL or have no name', () => {
  const attribute = (name: string, value: string | null): Parameter => ({
    ...bind(FIELD_TYPE.varString, value === null ? null : Buffer.from(value)),
    name,
  });
  const { claimed, values } = withAttributes(NO_BINDS, [
    attribute('traceparent', '00-aa-bb-01'),
    attribute('', 'unnamed'),
    attribute('nothing', null),
    { ...bind(FIELD_TYPE.tiny, Buffer.of(7)), name: 'attempt' },
  ]);
  assert.deepEqual(
    [...claimed!],
    [
      ['traceparent', '00-aa-bb-01'],
      ['attempt', '7'],
    ],
  );
  assert.deepEqual(values, []);
  assert.equal(withAttributes(NO_BINDS, []), NO_BINDS);
});

test('a value that came in pieces is whole, unless it is longer than what is kept', () => {
  const parameter = bind(FIELD_TYPE.blob, LONG_DATA);
  const pieces = [Buffer.from('ab'), Buffer.from('c')];
  assert.deepEqual(bindsOf([parameter], new Map([[0, { pieces, bytes: 3 }]])).values, ['abc']);
  const long = bindsOf([parameter], new Map([[0, { pieces, bytes: 4 }]]));
  assert.deepEqual([long.isComplete, long.json], [false, '[{"long":4}]']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Capabilities, CLIENT } from './capabilities.ts';
import { type CodecSample, testCodecLaws } from './codec-laws.ts';
import * as parameters from './parameters.ts';
import { EXECUTE_FLAG, LONG_DATA } from './parameters.ts';
import { FIELD_TYPE } from './responses.ts';
import { ProtocolViolation } from './violation.ts';

const ANY = Number.POSITIVE_INFINITY;
const plain: Capabilities = { client: CLIENT.protocol41, mariadb: 0 };
const attributes: Capabilities = { client: CLIENT.protocol41 | CLIENT.queryAttributes, mariadb: 0 };

const parameter = (
  type: keyof typeof FIELD_TYPE,
  value: parameters.Parameter['value'],
  name = '',
  unsigned = false,
): parameters.Parameter => ({ type: FIELD_TYPE[type], unsigned, name, value });

const values = [
  parameter('longlong', Buffer.alloc(8, 255), '', true),
  parameter('varString', null),
  parameter('varString', Buffer.from('äöü')),
  parameter('tiny', Buffer.from([1])),
  parameter('short', Buffer.from([1, 2])),
  parameter('double', Buffer.alloc(8, 1)),
  parameter('datetime', Buffer.from('da070a11131b1e', 'hex')),
  parameter('blob', LONG_DATA),
  parameter('newdecimal', Buffer.from('1.50')),
];
const statement: parameters.StatementParameters = { count: values.length, types: null, longData: new Set([7]) };
const execute: parameters.ComStmtExecute = { statementId: 7, flags: 1, typesSent: true, parameters: values };
const again: parameters.ComStmtExecute = { ...execute, typesSent: false };
const known = { ...statement, types: values };
const withAttributes: parameters.ComStmtExecute = {
  ...execute,
  flags: EXECUTE_FLAG.parameterCountAvailable,
  parameters: [...values, parameter('varString', Buffer.from('00-4bf9-01'), 'traceparent')],
};
const onlyAttributes = { ...withAttributes, parameters: withAttributes.parameters.slice(-1) };
const query: parameters.ComQuery = { attributes: [], text: Buffer.from('select 1') };
const traced: parameters.ComQuery = { ...query, attributes: onlyAttributes.parameters };
const bulk: parameters.ComStmtBulkExecute = {
  statementId: 7,
  typesSent: true,
  unitResults: true,
  types: [
    { type: FIELD_TYPE.long, unsigned: true, name: '' },
    { type: FIELD_TYPE.varString, unsigned: false, name: '' },
  ],
  rows: [
    [Buffer.alloc(4, 1), Buffer.from('a')],
    [null, 'default'],
    ['ignore', Buffer.alloc(0)],
  ],
};
const twoParameters: parameters.StatementParameters = { count: 2, types: null, longData: null };

const executed = (
  name: string,
  value: parameters.ComStmtExecute,
  of: parameters.StatementParameters,
  capabilities: Capabilities,
): CodecSample => ({
  name,
  value,
  encoded: parameters.encodeComStmtExecute(value, of.count, capabilities),
  decode: (payload) => parameters.decodeComStmtExecute(payload, of, capabilities),
});
const rowEnds = [0, 1, 2].map(
  (rows) => parameters.encodeComStmtBulkExecute({ ...bulk, rows: bulk.rows.slice(0, rows + 1) }).length,
);

const samples: CodecSample[] = [
  executed('COM_STMT_EXECUTE', execute, statement, plain),
  executed('COM_STMT_EXECUTE with the types of before', again, known, plain),
  executed('COM_STMT_EXECUTE with query attributes', withAttributes, statement, attributes),
  executed(
    'COM_STMT_EXECUTE with nothing but query attributes',
    onlyAttributes,
    { ...statement, count: 0 },
    attributes,
  ),
  {
    name: 'COM_QUERY',
    value: query,
    encoded: parameters.encodeComQuery(query, plain),
    decode: (payload) => parameters.decodeComQuery(payload, plain),
    openEnded: { from: 1, to: ANY },
  },
  ...[query, traced].map((value) => ({
    name: `COM_QUERY with ${value.attributes.length} query attributes`,
    value,
    encoded: parameters.encodeComQuery(value, attributes),
    decode: (payload: Buffer) => parameters.decodeComQuery(payload, attributes),
    openEnded: { from: parameters.encodeComQuery({ ...value, text: Buffer.alloc(0) }, attributes).length, to: ANY },
  })),
  {
    name: 'COM_STMT_BULK_EXECUTE',
    value: bulk,
    encoded: parameters.encodeComStmtBulkExecute(bulk),
    decode: (payload) => parameters.decodeComStmtBulkExecute(payload, twoParameters),
    wholeAt: rowEnds,
  },
];

testCodecLaws(samples);

test('reads the COM_STMT_EXECUTE of the documentation', () => {
  // MySQL internals documentation, "COM_STMT_EXECUTE", the example.
  const payload = Buffer.from('170100000000010000000001' + '0f00' + '03666f6f', 'hex');
  assert.deepEqual(parameters.decodeComStmtExecute(payload, { count: 1, types: null, longData: null }, plain), {
    statementId: 1,
    flags: 0,
    typesSent: true,
    parameters: [parameter('varchar', Buffer.from('foo'))],
  });
  assert.equal(parameters.statementIdOf(payload), 1);
});

test('a statement without parameters is read as servers do: what comes behind the flags is nothing', () => {
  const payload = Buffer.from('170100000000010000000001', 'hex');
  const none: parameters.StatementParameters = { count: 0, types: null, longData: null };
  assert.deepEqual(parameters.decodeComStmtExecute(payload, none, plain).parameters, []);
});

test('values whose end servers see in different places are a violation', () => {
  for (const type of [
    FIELD_TYPE.year,
    FIELD_TYPE.int24,
    FIELD_TYPE.null,
    FIELD_TYPE.geometry,
    FIELD_TYPE.newdate,
    100,
  ]) {
    const payload = Buffer.from([0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, type, 0, 1, 1]);
    assert.throws(
      () => parameters.decodeComStmtExecute(payload, { count: 1, types: null, longData: null }, plain),
      ProtocolViolation,
    );
  }
});

test('values without types are a violation', () => {
  const encoded = parameters.encodeComStmtExecute(again, statement.count, plain);
  assert.throws(() => parameters.decodeComStmtExecute(encoded, statement, plain), ProtocolViolation);
  // The server keeps no types of query attributes.
  const traced = parameters.encodeComStmtExecute({ ...withAttributes, typesSent: false }, statement.count, attributes);
  assert.throws(() => parameters.decodeComStmtExecute(traced, known, attributes), ProtocolViolation);
  const untyped = parameters.encodeComStmtBulkExecute({ ...bulk, typesSent: false });
  assert.throws(() => parameters.decodeComStmtBulkExecute(untyped, twoParameters), ProtocolViolation);
});

test('fewer values than parameters, more than one set of attributes, and unknown flags are a violation', () => {
  const few = parameters.encodeComStmtExecute(onlyAttributes, 0, attributes);
  assert.throws(() => parameters.decodeComStmtExecute(few, twoParameters, attributes), ProtocolViolation);
  for (const sets of [0, 2]) {
    assert.throws(() => parameters.decodeComQuery(Buffer.from([3, 0, sets]), attributes), ProtocolViolation);
  }
  const flags = parameters.encodeComStmtBulkExecute(bulk);
  flags[5]! |= 1;
  assert.throws(() => parameters.decodeComStmtBulkExecute(flags, twoParameters), ProtocolViolation);
  const none = { ...twoParameters, count: 0 };
  assert.throws(
    () => parameters.decodeComStmtBulkExecute(parameters.encodeComStmtBulkExecute(bulk), none),
    ProtocolViolation,
  );
  const long = { ...twoParameters, longData: new Set([0]) };
  assert.throws(
    () => parameters.decodeComStmtBulkExecute(parameters.encodeComStmtBulkExecute(bulk), long),
    ProtocolViolation,
  );
});

test('survives any values', () => {
  const anyParameter = fc
    .tuple(
      fc.constantFrom(FIELD_TYPE.varString, FIELD_TYPE.blob, FIELD_TYPE.json, FIELD_TYPE.bit),
      fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null }),
      fc.boolean(),
    )
    .map(([type, value, unsigned]) => ({ type, unsigned, name: '', value: value && Buffer.from(value) }));
  fc.assert(
    fc.property(fc.array(anyParameter, { minLength: 1, maxLength: 20 }), (list) => {
      const value = { ...execute, parameters: list };
      const of = { count: list.length, types: null, longData: null };
      for (const capabilities of [plain, attributes]) {
        const encoded = parameters.encodeComStmtExecute(value, of.count, capabilities);
        assert.deepEqual(parameters.decodeComStmtExecute(encoded, of, capabilities), value);
      }
    }),
  );
});

test('is not written where it would say something else', () => {
  assert.throws(() => parameters.encodeComQuery(traced, plain), RangeError);
  assert.throws(() => parameters.encodeComStmtExecute(withAttributes, values.length, plain), RangeError);
  assert.throws(() => parameters.encodeComStmtExecute({ ...onlyAttributes, flags: 0 }, 0, attributes), RangeError);
  assert.throws(() => parameters.encodeComStmtExecute(execute, values.length + 1, plain), RangeError);
  const short = { ...execute, parameters: [parameter('long', Buffer.alloc(3))] };
  assert.throws(() => parameters.encodeComStmtExecute(short, 1, plain), RangeError);
  assert.throws(() => parameters.encodeComStmtBulkExecute({ ...bulk, rows: [] }), RangeError);
  assert.throws(() => parameters.encodeComStmtBulkExecute({ ...bulk, rows: [[null]] }), RangeError);
});

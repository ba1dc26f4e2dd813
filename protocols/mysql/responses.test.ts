import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Capabilities, CLIENT, MARIADB_CLIENT, SERVER_STATUS } from './capabilities.ts';
import { type CodecSample, testCodecLaws } from './codec-laws.ts';
import * as responses from './responses.ts';
import { decodeSessionState, encodeSessionState, type StateChange } from './session-state.ts';
import { ProtocolViolation } from './violation.ts';

const plain: Capabilities = { client: CLIENT.protocol41, mariadb: 0 };
const tracking: Capabilities = { client: CLIENT.protocol41 | CLIENT.sessionTrack, mariadb: 0 };
const optional: Capabilities = { client: CLIENT.protocol41 | CLIENT.optionalResultsetMetadata, mariadb: 0 };
const caching: Capabilities = { client: CLIENT.protocol41, mariadb: MARIADB_CLIENT.cacheMetadata };
const extended: Capabilities = { client: CLIENT.protocol41, mariadb: MARIADB_CLIENT.extendedMetadata };
const ANY = Number.POSITIVE_INFINITY;

const changes: StateChange[] = [
  { kind: 'system-variable', name: 'autocommit', value: Buffer.from('OFF') },
  { kind: 'schema', name: 'shop' },
  { kind: 'state', changed: true },
  { kind: 'gtids', encoding: 0, gtids: Buffer.from('3e11fa47-71ca-11e1-9e33-c80aa9429562:23') },
  { kind: 'transaction-characteristics', statements: 'START TRANSACTION READ ONLY;' },
  { kind: 'transaction-state', state: 'T_______' },
  { kind: 'unknown', type: 99, data: Buffer.from([1, 2]) },
];
const ok: responses.Ok = {
  header: responses.RESPONSE.ok,
  affectedRows: 18_446_744_073_709_551_615n,
  lastInsertId: 70_000n,
  status: SERVER_STATUS.autocommit,
  warnings: 2,
  info: 'Rows matched: 1',
  sessionState: null,
};
const tracked: responses.Ok = {
  ...ok,
  header: responses.RESPONSE.eof,
  status: SERVER_STATUS.autocommit | SERVER_STATUS.sessionStateChanged,
  sessionState: encodeSessionState(changes),
};
const err = { code: 1142, sqlState: '42000', message: 'DELETE is refused' };
const early = { code: 1040, sqlState: null, message: 'Too many connections' };
const progress = { stage: 1, stages: 2, progress: 50_000, info: 'copy to tmp table' };
const column: responses.ColumnDefinition = {
  catalog: 'def',
  schema: 'shop',
  table: 'c',
  orgTable: 'customers',
  name: 'mail',
  orgName: 'email',
  extendedMetadata: null,
  characterSet: 45,
  columnLength: 4_294_967_295,
  type: responses.FIELD_TYPE.varString,
  flags: responses.COLUMN_FLAG.notNull,
  decimals: 31,
};
const point = { ...column, extendedMetadata: new Map([[0, 'point']]) };
const listed = { ...column, defaultValue: Buffer.from('none') };
const prepared = { statementId: 7, columns: 3, parameters: 2, warnings: 1, metadataFollows: true };

const okUpToInfo = responses.encodeOk({ ...ok, info: '' }, plain).length;
const pointLength = responses.encodeColumnDefinition(point, extended).length;
const columnLength = responses.encodeColumnDefinition(column, plain).length;

const samples: CodecSample[] = [
  {
    name: 'OK',
    value: ok,
    encoded: responses.encodeOk(ok, plain),
    decode: (payload) => responses.decodeOk(payload, plain),
    wholeAt: [okUpToInfo],
  },
  {
    name: 'OK with session state, in place of EOF',
    value: tracked,
    encoded: responses.encodeOk(tracked, tracking),
    decode: (payload) => responses.decodeOk(payload, tracking),
  },
  {
    name: 'session state',
    value: changes,
    encoded: encodeSessionState(changes),
    decode: decodeSessionState,
    openEnded: { from: 0, to: ANY },
  },
  ...[err, early].map((value) => ({
    name: `ERR ${value.code}`,
    value,
    encoded: responses.encodeErr(value),
    decode: responses.decodeErr,
    // Without the SQLSTATE and its mark it is an error of the time before the greeting.
    openEnded: { from: 3, to: ANY },
  })),
  {
    name: 'progress report',
    value: progress,
    encoded: responses.encodeProgress(progress),
    decode: responses.decodeProgress,
  },
  {
    name: 'EOF',
    value: { warnings: 1, status: 2 },
    encoded: responses.encodeEof({ warnings: 1, status: 2 }),
    decode: responses.decodeEof,
  },
  {
    name: 'LOCAL INFILE request',
    value: '/tmp/ü',
    encoded: responses.encodeLocalInfile('/tmp/ü'),
    decode: responses.decodeLocalInfile,
    openEnded: { from: 1, to: ANY },
  },
  ...(
    [
      ['result set header', plain, { columns: 300, metadataFollows: true }],
      ['result set header that says if metadata follows', optional, { columns: 1, metadataFollows: false }],
      ['result set header of MariaDB', caching, { columns: 251, metadataFollows: false }],
    ] as const
  ).map(([name, capabilities, value]) => ({
    name,
    value,
    encoded: responses.encodeResultSetHeader(value, capabilities),
    decode: (payload: Buffer) => responses.decodeResultSetHeader(payload, capabilities),
  })),
  {
    name: 'column definition',
    value: column,
    encoded: responses.encodeColumnDefinition(column, plain),
    decode: (payload) => responses.decodeColumnDefinition(payload, plain),
    // What comes behind is a default value.
    openEnded: { from: columnLength, to: ANY },
  },
  {
    name: 'column definition with extended metadata',
    value: point,
    encoded: responses.encodeColumnDefinition(point, extended),
    decode: (payload) => responses.decodeColumnDefinition(payload, extended),
    openEnded: { from: pointLength, to: ANY },
  },
  {
    name: 'column definition with a default value',
    value: listed,
    encoded: responses.encodeColumnDefinition(listed, plain),
    decode: (payload) => responses.decodeColumnDefinition(payload, plain),
    wholeAt: [columnLength],
  },
  ...[plain, optional].map((capabilities) => ({
    name: `COM_STMT_PREPARE_OK under ${capabilities.client}`,
    value: prepared,
    encoded: responses.encodeStmtPrepareOk(prepared, capabilities),
    decode: (payload: Buffer) => responses.decodeStmtPrepareOk(payload, capabilities),
  })),
  {
    name: 'statistics',
    value: 'Uptime: 3  Threads: 1',
    encoded: responses.encodeStatistics('Uptime: 3  Threads: 1'),
    decode: responses.decodeStatistics,
    openEnded: { from: 0, to: ANY },
  },
];

testCodecLaws(samples);

test('reads the OK, ERR and EOF packets of the documentation', () => {
  // MySQL internals documentation, "OK_Packet", "ERR_Packet", "EOF_Packet".
  assert.deepEqual(responses.decodeOk(Buffer.from('00000002000000', 'hex'), plain), {
    ...ok,
    affectedRows: 0n,
    lastInsertId: 0n,
    warnings: 0,
    info: '',
  });
  const noTables = Buffer.from('ff48042348593030304e6f207461626c65732075736564', 'hex');
  assert.deepEqual(responses.decodeErr(noTables), { code: 1096, sqlState: 'HY000', message: 'No tables used' });
  assert.deepEqual(responses.decodeEof(Buffer.from('fe00000200', 'hex')), { warnings: 0, status: 2 });
});

test("reads the session state of the documentation, and MariaDB's several variables in one entry", () => {
  // MySQL internals documentation, "OK_Packet": autocommit set to OFF; schema changed to test.
  assert.deepEqual(decodeSessionState(Buffer.from('000f0a6175746f636f6d6d6974034f4646', 'hex')), [changes[0]]);
  assert.deepEqual(decodeSessionState(Buffer.from('01050474657374', 'hex')), [{ kind: 'schema', name: 'test' }]);
  const [first, second] = ['a', 'b'].map((name) => Buffer.from(`\x01${name}\x01${name}`, 'latin1'));
  assert.deepEqual(decodeSessionState(Buffer.concat([Buffer.from([0, 8]), first!, second!])), [
    { kind: 'system-variable', name: 'a', value: Buffer.from('a') },
    { kind: 'system-variable', name: 'b', value: Buffer.from('b') },
  ]);
});

test('keeps the whole number of affected rows', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (affectedRows) => {
      const value = { ...ok, affectedRows };
      assert.deepEqual(responses.decodeOk(responses.encodeOk(value, plain), plain), value);
    }),
  );
});

test('a progress report is not an error, and an error is not a progress report', () => {
  assert.equal(responses.isProgress(responses.encodeProgress(progress)), true);
  assert.equal(responses.isProgress(responses.encodeErr(err)), false);
  assert.throws(() => responses.decodeErr(responses.encodeProgress(progress)), ProtocolViolation);
  assert.throws(() => responses.decodeProgress(responses.encodeErr(err)), ProtocolViolation);
});

test('is not written where it would say something else', () => {
  assert.throws(() => responses.encodeOk(tracked, plain), RangeError);
  assert.throws(() => responses.encodeOk({ ...tracked, sessionState: null }, tracking), RangeError);
  assert.throws(() => responses.encodeErr({ ...err, sqlState: '4200' }), RangeError);
  assert.throws(() => responses.encodeErr({ ...err, code: 65535 }), RangeError);
  assert.throws(() => responses.encodeErr({ ...early, message: '#1' }), RangeError);
  assert.throws(() => responses.encodeResultSetHeader({ columns: 0, metadataFollows: true }, plain), RangeError);
  assert.throws(() => responses.encodeResultSetHeader({ columns: 1, metadataFollows: false }, plain), RangeError);
  assert.throws(() => responses.encodeStmtPrepareOk({ ...prepared, metadataFollows: false }, plain), RangeError);
  assert.throws(() => responses.encodeColumnDefinition(column, extended), RangeError);
});

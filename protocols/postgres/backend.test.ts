import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse as parseWithNodePostgres } from 'pg-protocol';
import * as backend from './backend.ts';
import { BACKEND } from './backend.ts';
import { type CodecSample, protocolText, protocolValue, testCodecLaws } from './codec-laws.ts';
import { ProtocolViolation } from './violation.ts';

const bytes = Buffer.from([1, 0, 255]);
const key = { processId: 4711, secretKey: Buffer.alloc(32, 9) };
const negotiate = { version: 196610, unrecognizedOptions: ['_pq_.a', '_pq_.b'] };
const notification = { processId: 12, channel: 'news', payload: 'hello' };
const parameter = { name: 'server_version', value: '18.1' };
const fields = [
  {
    name: 'id',
    tableOid: 4294967295,
    columnNumber: 1,
    typeOid: 23,
    typeSize: 4,
    typeModifier: -1,
    format: 1,
  },
  { name: '?column?', tableOid: 0, columnNumber: 0, typeOid: 25, typeSize: -1, typeModifier: -1, format: 0 },
];
const values = [Buffer.from('1'), null, Buffer.alloc(0)];
const copy = { format: 1, columnFormats: [1, 1] };
const everyField = {
  severity: 'FEHLER',
  severityNonLocalized: 'ERROR',
  code: '42501',
  message: 'refused',
  detail: '{"sluice":{}}',
  hint: 'ask for approval',
  position: '8',
  internalPosition: '3',
  internalQuery: 'select 2',
  where: 'PL/pgSQL function f()',
  schema: 'public',
  table: 't',
  column: 'c',
  dataType: 'int4',
  constraint: 'k',
  file: 'sluice',
  line: '1',
  routine: 'decide',
  unknown: { Z: 'from the future' },
};

function authentication(value: backend.Authentication, openEnded = false): CodecSample {
  return {
    name: `Authentication${value.kind}`,
    type: BACKEND.authentication,
    value,
    encoded: backend.encodeAuthentication(value),
    decode: backend.decodeAuthentication,
    ...(openEnded ? { openEnded: { from: 4, to: Number.POSITIVE_INFINITY } } : {}),
  };
}

function bare(name: string, type: number, encode: () => Buffer, decode: (body: Buffer) => void): CodecSample {
  return { name, type, value: undefined, encoded: encode(), decode };
}

function copyResponse(
  name: string,
  type: number,
  encode: (copy: backend.CopyResponse) => Buffer,
  decode: (body: Buffer) => backend.CopyResponse,
): CodecSample {
  return { name, type, value: copy, encoded: encode(copy), decode };
}

const samples: CodecSample[] = [
  authentication({ kind: 'Ok' }),
  authentication({ kind: 'CleartextPassword' }),
  authentication({ kind: 'MD5Password', salt: Buffer.from([1, 2, 3, 4]) }),
  authentication({ kind: 'SASL', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] }),
  authentication({ kind: 'SASLContinue', data: bytes }, true),
  authentication({ kind: 'SASLFinal', data: bytes }, true),
  authentication({ kind: 'GSS' }),
  authentication({ kind: 'GSSContinue', data: bytes }, true),
  authentication({ kind: 'SSPI' }),
  {
    name: 'BackendKeyData',
    type: BACKEND.backendKeyData,
    value: key,
    encoded: backend.encodeBackendKeyData(key),
    decode: backend.decodeBackendKeyData,
    openEnded: { from: 4 + 4, to: 4 + 256 },
  },
  {
    name: 'NegotiateProtocolVersion',
    type: BACKEND.negotiateProtocolVersion,
    value: negotiate,
    encoded: backend.encodeNegotiateProtocolVersion(negotiate),
    decode: backend.decodeNegotiateProtocolVersion,
  },
  {
    name: 'ParameterStatus',
    type: BACKEND.parameterStatus,
    value: parameter,
    encoded: backend.encodeParameterStatus(parameter),
    decode: backend.decodeParameterStatus,
  },
  {
    name: 'ReadyForQuery',
    type: BACKEND.readyForQuery,
    value: 'T',
    encoded: backend.encodeReadyForQuery('T'),
    decode: backend.decodeReadyForQuery,
  },
  bare('ParseComplete', BACKEND.parseComplete, backend.encodeParseComplete, backend.decodeParseComplete),
  bare('BindComplete', BACKEND.bindComplete, backend.encodeBindComplete, backend.decodeBindComplete),
  bare('CloseComplete', BACKEND.closeComplete, backend.encodeCloseComplete, backend.decodeCloseComplete),
  bare('NoData', BACKEND.noData, backend.encodeNoData, backend.decodeNoData),
  bare('PortalSuspended', BACKEND.portalSuspended, backend.encodePortalSuspended, backend.decodePortalSuspended),
  bare(
    'EmptyQueryResponse',
    BACKEND.emptyQueryResponse,
    backend.encodeEmptyQueryResponse,
    backend.decodeEmptyQueryResponse,
  ),
  {
    name: 'CommandComplete',
    type: BACKEND.commandComplete,
    value: 'INSERT 0 1',
    encoded: backend.encodeCommandComplete('INSERT 0 1'),
    decode: backend.decodeCommandComplete,
  },
  {
    name: 'ParameterDescription',
    type: BACKEND.parameterDescription,
    value: [23, 4294967295],
    encoded: backend.encodeParameterDescription([23, 4294967295]),
    decode: backend.decodeParameterDescription,
  },
  {
    name: 'RowDescription',
    type: BACKEND.rowDescription,
    value: fields,
    encoded: backend.encodeRowDescription(fields),
    decode: backend.decodeRowDescription,
  },
  {
    name: 'DataRow',
    type: BACKEND.dataRow,
    value: values,
    encoded: backend.encodeDataRow(values),
    decode: backend.decodeDataRow,
  },
  {
    name: 'FunctionCallResponse',
    type: BACKEND.functionCallResponse,
    value: bytes,
    encoded: backend.encodeFunctionCallResponse(bytes),
    decode: backend.decodeFunctionCallResponse,
  },
  copyResponse('CopyInResponse', BACKEND.copyInResponse, backend.encodeCopyInResponse, backend.decodeCopyInResponse),
  copyResponse(
    'CopyOutResponse',
    BACKEND.copyOutResponse,
    backend.encodeCopyOutResponse,
    backend.decodeCopyOutResponse,
  ),
  copyResponse(
    'CopyBothResponse',
    BACKEND.copyBothResponse,
    backend.encodeCopyBothResponse,
    backend.decodeCopyBothResponse,
  ),
  {
    name: 'NotificationResponse',
    type: BACKEND.notificationResponse,
    value: notification,
    encoded: backend.encodeNotificationResponse(notification),
    decode: backend.decodeNotificationResponse,
  },
  {
    name: 'ErrorResponse',
    type: BACKEND.errorResponse,
    value: everyField,
    encoded: backend.encodeErrorResponse(everyField),
    decode: backend.decodeErrorResponse,
  },
  {
    name: 'NoticeResponse',
    type: BACKEND.noticeResponse,
    value: everyField,
    encoded: backend.encodeNoticeResponse(everyField),
    decode: backend.decodeNoticeResponse,
  },
];

testCodecLaws(samples);

test('every backend message has a sample', () => {
  const encoders = Object.keys(backend).filter((name) => name.startsWith('encode'));
  const sampled = new Set(samples.map((s) => `encode${s.name.replace(/^Authentication.*/, 'Authentication')}`));
  assert.deepEqual([...sampled].sort(), encoders.sort());
});

test('node-postgres reads the messages as they were meant', async () => {
  const seen: unknown[] = [];
  const stream = Readable.from([
    backend.encodeAuthentication({ kind: 'SASL', mechanisms: ['SCRAM-SHA-256'] }),
    backend.encodeAuthentication({ kind: 'MD5Password', salt: Buffer.from([1, 2, 3, 4]) }),
    backend.encodeBackendKeyData({ processId: 7, secretKey: Buffer.from([0, 0, 0, 9]) }),
    backend.encodeParameterStatus(parameter),
    backend.encodeRowDescription([{ ...fields[0]!, tableOid: 16400, format: 0 }]),
    backend.encodeDataRow(values),
    backend.encodeCommandComplete('SELECT 1'),
    backend.encodeNotificationResponse(notification),
    backend.encodeErrorResponse({ ...everyField, unknown: {} }),
    backend.encodeReadyForQuery('E'),
  ]);
  await parseWithNodePostgres(stream, (message) => seen.push({ ...message }));
  const [sasl, md5, keyData, status, rowDescription, row, complete, notice, error, ready] = seen as Record<
    string,
    unknown
  >[];
  assert.deepEqual(sasl?.mechanisms, ['SCRAM-SHA-256']);
  assert.deepEqual(md5?.salt, Buffer.from([1, 2, 3, 4]));
  assert.equal(keyData?.processID, 7);
  assert.equal(keyData?.secretKey, 9);
  assert.equal(status?.parameterName, 'server_version');
  assert.equal(status?.parameterValue, '18.1');
  const [field] = (rowDescription?.fields ?? []) as Record<string, unknown>[];
  assert.deepEqual(
    { ...field },
    {
      name: 'id',
      tableID: 16400,
      columnID: 1,
      dataTypeID: 23,
      dataTypeSize: 4,
      dataTypeModifier: -1,
      format: 'text',
    },
  );
  assert.deepEqual(row?.fields, ['1', null, '']);
  assert.equal(complete?.text, 'SELECT 1');
  assert.equal(notice?.payload, 'hello');
  for (const name of ['code', 'detail', 'hint', 'position', 'where', 'constraint', 'routine'] as const) {
    assert.equal(error?.[name], everyField[name], name);
  }
  assert.equal(ready?.status, 'E');
});

test('an ErrorResponse that never ends is a protocol violation', () => {
  for (const body of ['', 'S', 'SERROR', 'SERROR\0', 'SERROR\0C42501\0Mno\0', 'SERROR\0C42501\0Mno\0D']) {
    assert.throws(() => backend.decodeErrorResponse(Buffer.from(body, 'latin1')), ProtocolViolation, body);
  }
});

test('an ErrorResponse without severity, code or message is a protocol violation', () => {
  assert.throws(() => backend.decodeErrorResponse(Buffer.from('SERROR\0Mno\0\0', 'latin1')), /always present/);
});

test('a large ErrorResponse of many fields is decoded in time that grows with its size only', () => {
  const many = Buffer.from(`SERROR\0C42501\0Mno\0${'Zx\0'.repeat(1_000_000)}\0`, 'latin1');
  const started = performance.now();
  assert.deepEqual(backend.decodeErrorResponse(many).unknown, { Z: 'x' });
  assert.ok(performance.now() - started < 5_000);
});

test('an error text in an encoding of the server is decoded as far as it goes', () => {
  const body = Buffer.concat([Buffer.from('SERROR\0C42501\0Mverz', 'latin1'), Buffer.from([0xf6, 0, 0])]);
  assert.equal(backend.decodeErrorResponse(body).message, 'verz\ufffd');
});

test('a count of options that lies costs no memory', () => {
  const body = Buffer.from('\0\x03\0\0\x7f\xff\xff\xff_pq_.x\0', 'latin1');
  assert.throws(() => backend.decodeNegotiateProtocolVersion(body), ProtocolViolation);
  assert.throws(() => backend.decodeNegotiateProtocolVersion(Buffer.alloc(8, 0xff)), ProtocolViolation);
});

test('authentication methods nobody speaks any more are a protocol violation', () => {
  for (const code of [1, 2, 4, 6, 13, -1]) {
    const body = Buffer.alloc(4);
    body.writeInt32BE(code);
    assert.throws(() => backend.decodeAuthentication(body), ProtocolViolation, String(code));
  }
});

test('a transaction status that does not exist is a protocol violation', () => {
  assert.throws(() => backend.decodeReadyForQuery(Buffer.from('X')), ProtocolViolation);
});

test('encoders refuse what the field cannot hold', () => {
  assert.throws(() => backend.encodeAuthentication({ kind: 'MD5Password', salt: Buffer.alloc(3) }), RangeError);
  assert.throws(() => backend.encodeAuthentication({ kind: 'SASL', mechanisms: [''] }), RangeError);
  assert.throws(() => backend.encodeErrorResponse({ ...everyField, unknown: { ab: 'x' } }), RangeError);
  assert.throws(() => backend.encodeErrorResponse({ ...everyField, hint: 'a\0b' }), RangeError);
  assert.throws(() => backend.encodeCopyInResponse({ format: 256, columnFormats: [] }), RangeError);
});

test('any ErrorResponse survives the round trip', () => {
  const { unknown: _, ...known } = everyField;
  const optional = Object.fromEntries(Object.keys(known).map((name) => [name, protocolText]));
  const arbitrary = fc.record(optional, { requiredKeys: ['severity', 'code', 'message'] });
  fc.assert(
    fc.property(arbitrary, (value) => {
      const error = { ...value } as unknown as backend.ErrorFields;
      assert.deepEqual(backend.decodeErrorResponse(backend.encodeErrorResponse(error).subarray(5)), error);
    }),
  );
});

test('any RowDescription and DataRow survive the round trip', () => {
  const int16 = fc.integer({ min: -32768, max: 32767 });
  const int32 = fc.integer({ min: -2147483648, max: 2147483647 });
  const oid = fc.nat(0xffffffff);
  const field = fc.record(
    {
      name: protocolText,
      tableOid: oid,
      columnNumber: int16,
      typeOid: oid,
      typeSize: int16,
      typeModifier: int32,
      format: int16,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(field), fc.array(protocolValue), (description, row) => {
      assert.deepEqual(
        backend.decodeRowDescription(backend.encodeRowDescription(description).subarray(5)),
        description,
      );
      assert.deepEqual(backend.decodeDataRow(backend.encodeDataRow(row).subarray(5)), row);
    }),
  );
});

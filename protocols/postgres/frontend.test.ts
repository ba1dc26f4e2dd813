import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { serialize } from 'pg-protocol';
import { bodyOf, type CodecSample, protocolText, protocolValue, testCodecLaws } from './codec-laws.ts';
import * as frontend from './frontend.ts';
import { FRONTEND } from './frontend.ts';
import { ProtocolViolation } from './violation.ts';

const startup = {
  major: 3,
  minor: 2,
  parameters: new Map([
    ['user', 'agent-7'],
    ['database', 'orders'],
    ['application_name', ''],
  ]),
};
const cancel = { processId: 4711, secretKey: Buffer.from('0123456789abcdef', 'latin1') };
const parse = { statement: 's1', text: 'select $1::int, $2::text', parameterTypes: [23, 4294967295] };
const bind = {
  portal: 'p1',
  statement: 's1',
  parameterFormats: [1, 0, 0],
  parameters: [Buffer.from([0, 0, 0, 42]), null, Buffer.alloc(0)],
  resultFormats: [1, 0],
};
const describe = { kind: 'statement', name: 's1' } as const;
const close = { kind: 'portal', name: 'p1' } as const;
const execute = { portal: 'p1', maxRows: 100 };
const call = {
  functionOid: 2147483648,
  argumentFormats: [1],
  arguments: [Buffer.from([7]), null],
  resultFormat: 1,
};
const initial = { mechanism: 'SCRAM-SHA-256', response: Buffer.from('n,,n=,r=abc', 'latin1') };
const bytes = Buffer.from([1, 0, 255]);
const ANY = { from: 0, to: Number.POSITIVE_INFINITY };

const samples: CodecSample[] = [
  {
    name: 'StartupMessage',
    type: null,
    value: startup,
    encoded: frontend.encodeStartupMessage(startup),
    decode: frontend.decodeStartupMessage,
  },
  {
    name: 'SSLRequest',
    type: null,
    value: undefined,
    encoded: frontend.encodeSSLRequest(),
    decode: frontend.decodeSSLRequest,
  },
  {
    name: 'GSSENCRequest',
    type: null,
    value: undefined,
    encoded: frontend.encodeGSSENCRequest(),
    decode: frontend.decodeGSSENCRequest,
  },
  {
    name: 'CancelRequest',
    type: null,
    value: cancel,
    encoded: frontend.encodeCancelRequest(cancel),
    decode: frontend.decodeCancelRequest,
    openEnded: { from: 8 + 4, to: 8 + 256 },
  },
  {
    name: 'Query',
    type: FRONTEND.query,
    value: 'select 1',
    encoded: frontend.encodeQuery('select 1'),
    decode: frontend.decodeQuery,
  },
  {
    name: 'Parse',
    type: FRONTEND.parse,
    value: parse,
    encoded: frontend.encodeParse(parse),
    decode: frontend.decodeParse,
  },
  { name: 'Bind', type: FRONTEND.bind, value: bind, encoded: frontend.encodeBind(bind), decode: frontend.decodeBind },
  {
    name: 'Describe',
    type: FRONTEND.describe,
    value: describe,
    encoded: frontend.encodeDescribe(describe),
    decode: frontend.decodeDescribe,
  },
  {
    name: 'Close',
    type: FRONTEND.close,
    value: close,
    encoded: frontend.encodeClose(close),
    decode: frontend.decodeClose,
  },
  {
    name: 'Execute',
    type: FRONTEND.execute,
    value: execute,
    encoded: frontend.encodeExecute(execute),
    decode: frontend.decodeExecute,
  },
  {
    name: 'Sync',
    type: FRONTEND.sync,
    value: undefined,
    encoded: frontend.encodeSync(),
    decode: frontend.decodeSync,
  },
  {
    name: 'Flush',
    type: FRONTEND.flush,
    value: undefined,
    encoded: frontend.encodeFlush(),
    decode: frontend.decodeFlush,
  },
  {
    name: 'Terminate',
    type: FRONTEND.terminate,
    value: undefined,
    encoded: frontend.encodeTerminate(),
    decode: frontend.decodeTerminate,
  },
  {
    name: 'FunctionCall',
    type: FRONTEND.functionCall,
    value: call,
    encoded: frontend.encodeFunctionCall(call),
    decode: frontend.decodeFunctionCall,
  },
  {
    name: 'CopyData',
    type: FRONTEND.copyData,
    value: bytes,
    encoded: frontend.encodeCopyData(bytes),
    decode: frontend.decodeCopyData,
    openEnded: ANY,
  },
  {
    name: 'CopyDone',
    type: FRONTEND.copyDone,
    value: undefined,
    encoded: frontend.encodeCopyDone(),
    decode: frontend.decodeCopyDone,
  },
  {
    name: 'CopyFail',
    type: FRONTEND.copyFail,
    value: 'no more',
    encoded: frontend.encodeCopyFail('no more'),
    decode: frontend.decodeCopyFail,
  },
  {
    name: 'PasswordMessage',
    type: FRONTEND.password,
    value: 'pässwörd',
    encoded: frontend.encodePasswordMessage('pässwörd'),
    decode: frontend.decodePasswordMessage,
  },
  {
    name: 'SASLInitialResponse',
    type: FRONTEND.password,
    value: initial,
    encoded: frontend.encodeSASLInitialResponse(initial),
    decode: frontend.decodeSASLInitialResponse,
  },
  {
    name: 'SASLResponse',
    type: FRONTEND.password,
    value: bytes,
    encoded: frontend.encodeSASLResponse(bytes),
    decode: frontend.decodeSASLResponse,
    openEnded: ANY,
  },
  {
    name: 'GSSResponse',
    type: FRONTEND.password,
    value: bytes,
    encoded: frontend.encodeGSSResponse(bytes),
    decode: frontend.decodeGSSResponse,
    openEnded: ANY,
  },
];

testCodecLaws(samples);

test('every frontend message has a sample', () => {
  const encoders = Object.keys(frontend).filter((name) => name.startsWith('encode'));
  assert.deepEqual(samples.map((sample) => `encode${sample.name}`).sort(), encoders.sort());
});

test('messages are the bytes that node-postgres sends', () => {
  const scram = Buffer.from('n,,n=*,r=abc', 'latin1');
  const pairs: [string, Buffer, Uint8Array][] = [
    ['Query', frontend.encodeQuery('select 1'), serialize.query('select 1')],
    [
      'Parse',
      frontend.encodeParse({ statement: 's', text: 'select $1', parameterTypes: [25] }),
      serialize.parse({ name: 's', text: 'select $1', types: [25] }),
    ],
    [
      'Bind',
      frontend.encodeBind({
        portal: 'p',
        statement: 's',
        parameterFormats: [0, 0],
        parameters: [Buffer.from('x'), null],
        resultFormats: [0],
      }),
      serialize.bind({ portal: 'p', statement: 's', values: ['x', null] }),
    ],
    ['Describe', frontend.encodeDescribe(describe), serialize.describe({ type: 'S', name: 's1' })],
    ['Close', frontend.encodeClose(close), serialize.close({ type: 'P', name: 'p1' })],
    ['Execute', frontend.encodeExecute(execute), serialize.execute({ portal: 'p1', rows: 100 })],
    ['Sync', frontend.encodeSync(), serialize.sync()],
    ['Flush', frontend.encodeFlush(), serialize.flush()],
    ['Terminate', frontend.encodeTerminate(), serialize.end()],
    ['CopyData', frontend.encodeCopyData(bytes), serialize.copyData(bytes)],
    ['CopyDone', frontend.encodeCopyDone(), serialize.copyDone()],
    ['CopyFail', frontend.encodeCopyFail('why'), serialize.copyFail('why')],
    ['PasswordMessage', frontend.encodePasswordMessage('secret'), serialize.password('secret')],
    [
      'SASLInitialResponse',
      frontend.encodeSASLInitialResponse({ mechanism: 'SCRAM-SHA-256', response: scram }),
      serialize.sendSASLInitialResponseMessage('SCRAM-SHA-256', scram.toString('latin1')),
    ],
    [
      'SASLResponse',
      frontend.encodeSASLResponse(scram),
      serialize.sendSCRAMClientFinalMessage(scram.toString('latin1')),
    ],
    ['SSLRequest', frontend.encodeSSLRequest(), serialize.requestSsl()],
    [
      'CancelRequest',
      frontend.encodeCancelRequest({ processId: 7, secretKey: Buffer.from([0, 0, 0, 9]) }),
      serialize.cancel(7, 9),
    ],
    [
      'StartupMessage',
      frontend.encodeStartupMessage({
        major: 3,
        minor: 0,
        parameters: new Map([
          ['user', 'me'],
          ['client_encoding', 'UTF8'],
        ]),
      }),
      serialize.startup({ user: 'me' }),
    ],
  ];
  for (const [name, ours, theirs] of pairs) assert.deepEqual(ours, Buffer.from(theirs), name);
});

test('request codes are told apart by the first number of the packet', () => {
  const codes = samples.filter((sample) => sample.type === null).map((s) => frontend.decodeRequestCode(bodyOf(s)));
  assert.deepEqual(codes, [
    frontend.PROTOCOL_3_2,
    frontend.SSL_REQUEST,
    frontend.GSSENC_REQUEST,
    frontend.CANCEL_REQUEST,
  ]);
  assert.throws(() => frontend.decodeRequestCode(Buffer.from([0, 3, 0])), ProtocolViolation);
});

test('of a start-up parameter given twice the last value holds', () => {
  const body = Buffer.from('\0\x03\0\0user\0alice\0user\0bob\0\0', 'latin1');
  assert.deepEqual(frontend.decodeStartupMessage(body).parameters, new Map([['user', 'bob']]));
});

test('a StartupMessage without its last terminator, or of another protocol, is a protocol violation', () => {
  for (const text of ['\0\x03\0\0user\0bob\0', '\0\x03\0\0user\0', '\0\x03\0\0', '\0\x02\0\0user\0bob\0\0']) {
    assert.throws(() => frontend.decodeStartupMessage(Buffer.from(text, 'latin1')), ProtocolViolation, text);
  }
});

test('a request with the code of another request is a protocol violation', () => {
  assert.throws(() => frontend.decodeSSLRequest(frontend.encodeGSSENCRequest().subarray(4)), ProtocolViolation);
  assert.throws(() => frontend.decodeGSSENCRequest(frontend.encodeSSLRequest().subarray(4)), ProtocolViolation);
  const forged = Buffer.from(frontend.encodeCancelRequest(cancel).subarray(4));
  forged.writeInt32BE(frontend.SSL_REQUEST);
  assert.throws(() => frontend.decodeCancelRequest(forged), ProtocolViolation);
});

test('a secret key can have 4 to 256 bytes', () => {
  for (const length of [4, 32, 256]) {
    const request = { processId: 1, secretKey: Buffer.alloc(length, 7) };
    assert.deepEqual(frontend.decodeCancelRequest(frontend.encodeCancelRequest(request).subarray(4)), request);
  }
  for (const length of [0, 3, 257]) {
    assert.throws(() => frontend.encodeCancelRequest({ processId: 1, secretKey: Buffer.alloc(length) }), RangeError);
  }
});

test('an initial response that is missing is not one that is empty', () => {
  for (const response of [null, Buffer.alloc(0)]) {
    const encoded = frontend.encodeSASLInitialResponse({ mechanism: 'X', response });
    assert.deepEqual(frontend.decodeSASLInitialResponse(encoded.subarray(5)).response, response);
  }
});

test('Bind refuses lengths below -1 and formats that do not go with the parameters', () => {
  const withLength = (length: number) => {
    const body = Buffer.from('\0\0\0\0\0\x01\0\0\0\0\0\0', 'latin1');
    body.writeInt32BE(length, 6);
    return body;
  };
  assert.deepEqual(frontend.decodeBind(withLength(-1)).parameters, [null]);
  for (const length of [-2, -2147483648, 2147483647]) {
    assert.throws(() => frontend.decodeBind(withLength(length)), ProtocolViolation, String(length));
  }
  const mismatched = frontend.encodeBind({ ...bind, parameterFormats: [0, 1] });
  assert.throws(() => frontend.decodeBind(mismatched.subarray(5)), /2 parameter formats but 3 parameters/);
});

test('Bind gives parameters without copying them', () => {
  const body = frontend.encodeBind(bind).subarray(5);
  const [first] = frontend.decodeBind(body).parameters;
  assert.equal(first?.buffer, body.buffer);
  assert.ok(first.byteOffset > body.byteOffset && first.byteOffset < body.byteOffset + body.length);
});

test('Bind carries 65535 parameters, more than a signed count could say', () => {
  const parameters = Array.from({ length: 65535 }, () => Buffer.from('1'));
  const encoded = frontend.encodeBind({ ...bind, parameterFormats: [], parameters });
  assert.equal(frontend.decodeBind(encoded.subarray(5)).parameters.length, 65535);
  assert.throws(() => frontend.encodeBind({ ...bind, parameters: [...parameters, null] }), RangeError);
});

test('Describe and Close know statements and portals only', () => {
  for (const decode of [frontend.decodeDescribe, frontend.decodeClose]) {
    assert.throws(() => decode(Buffer.from('Xname\0', 'latin1')), ProtocolViolation);
  }
});

test('names and texts that are not UTF-8 are refused, as two of them would look the same', () => {
  const name = Buffer.from([0x53, 0xff, 0x00]);
  assert.throws(() => frontend.decodeDescribe(name), /not UTF-8/);
  assert.throws(() => frontend.decodeQuery(Buffer.from([0xc0, 0x80, 0x00])), ProtocolViolation);
  assert.throws(() => frontend.decodeQuery(Buffer.from([0xed, 0xa0, 0x80, 0x00])), ProtocolViolation);
});

test('an encoder refuses a string with a zero byte, which would smuggle in another field', () => {
  assert.throws(() => frontend.encodeQuery('select 1\0; drop table t'), RangeError);
  const smuggled = new Map([['user', 'bob\0database\0secrets']]);
  assert.throws(() => frontend.encodeStartupMessage({ major: 3, minor: 0, parameters: smuggled }), RangeError);
  const unnamed = new Map([['', 'x']]);
  assert.throws(() => frontend.encodeStartupMessage({ major: 3, minor: 0, parameters: unnamed }), RangeError);
});

test('any StartupMessage survives the round trip', () => {
  const name = protocolText.filter((text) => text !== '');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, protocolText)), fc.nat(65535), (pairs, minor) => {
      const value = { major: 3, minor, parameters: new Map(pairs) };
      assert.deepEqual(frontend.decodeStartupMessage(frontend.encodeStartupMessage(value).subarray(4)), value);
    }),
  );
});

test('any Parse survives the round trip', () => {
  const oids = fc.array(fc.nat(0xffffffff));
  fc.assert(
    fc.property(protocolText, protocolText, oids, (statement, text, parameterTypes) => {
      const value = { statement, text, parameterTypes };
      assert.deepEqual(frontend.decodeParse(frontend.encodeParse(value).subarray(5)), value);
    }),
  );
});

test('any Bind survives the round trip', () => {
  const formats = fc.array(fc.constantFrom(0, 1));
  const record = fc.record({
    portal: protocolText,
    statement: protocolText,
    parameters: fc.array(protocolValue),
    formatsOfParameters: fc.constantFrom('none', 'one', 'each'),
    resultFormats: formats,
  });
  fc.assert(
    fc.property(record, ({ formatsOfParameters, ...rest }) => {
      const count = { none: 0, one: 1, each: rest.parameters.length }[formatsOfParameters];
      const value = { ...rest, parameterFormats: Array.from({ length: count }, (_, i) => i % 2) };
      assert.deepEqual(frontend.decodeBind(frontend.encodeBind(value).subarray(5)), value);
    }),
  );
});

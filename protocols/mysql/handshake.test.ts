import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Capabilities, CLIENT, MARIADB_CLIENT } from './capabilities.ts';
import { type CodecSample, protocolText, testCodecLaws } from './codec-laws.ts';
import * as handshake from './handshake.ts';
import { ProtocolViolation } from './violation.ts';

const scramble = Buffer.from('0123456789abcdefghij', 'latin1');
const base = CLIENT.protocol41 | CLIENT.longPassword;
const mysql: Capabilities = { client: (base | CLIENT.pluginAuth | CLIENT.rememberOptions) >>> 0, mariadb: 0 };
const mariadb: Capabilities = {
  client: CLIENT.protocol41 | CLIENT.pluginAuth,
  mariadb: MARIADB_CLIENT.progress | MARIADB_CLIENT.stmtBulkOperations,
};
const ANY = Number.POSITIVE_INFINITY;

const greeting = {
  serverVersion: '9.7.4',
  threadId: 4_294_967_295,
  capabilities: mysql,
  characterSet: 255,
  status: 2,
  authData: scramble,
  authPlugin: 'caching_sha2_password',
};
const hello = { capabilities: mysql, maxPacketSize: 16_777_216, characterSet: 45 };
const everything: Capabilities = {
  client:
    base |
    CLIENT.secureConnection |
    CLIENT.pluginAuth |
    CLIENT.pluginAuthLenencClientData |
    CLIENT.connectWithDb |
    CLIENT.connectAttrs |
    CLIENT.zstdCompressionAlgorithm,
  mariadb: 0,
};
const response = {
  ...hello,
  capabilities: everything,
  user: 'agent-7',
  authResponse: Buffer.alloc(32, 7),
  database: 'orders',
  authPlugin: 'caching_sha2_password',
  attributes: new Map([
    ['_client_name', 'libmysql'],
    ['empty', ''],
  ]),
  zstdLevel: 3,
};
const bare = {
  ...response,
  capabilities: { client: base | CLIENT.secureConnection, mariadb: 0 },
  database: null,
  authPlugin: null,
  attributes: null,
  zstdLevel: null,
};
const old = { ...bare, capabilities: { client: base, mariadb: 0 }, authResponse: Buffer.from('abc') };
const switched = { plugin: 'client_ed25519', data: Buffer.alloc(32, 1) };
const ssl = { ...hello, capabilities: { ...mysql, client: (mysql.client | CLIENT.ssl) >>> 0 } };

const samples: CodecSample[] = [
  ...[
    greeting,
    { ...greeting, capabilities: mariadb, serverVersion: '5.5.5-10.11.6-MariaDB' },
    { ...greeting, capabilities: { client: base, mariadb: 0 }, authPlugin: null },
  ].map((value) => ({
    name: `Handshake of ${value.serverVersion} with ${value.authPlugin}`,
    value,
    encoded: handshake.encodeHandshake(value),
    decode: handshake.decodeHandshake,
  })),
  { name: 'SSLRequest', value: ssl, encoded: handshake.encodeSSLRequest(ssl), decode: handshake.decodeSSLRequest },
  ...Object.entries({
    'HandshakeResponse with everything': response,
    'HandshakeResponse with nothing': bare,
    'HandshakeResponse without CLIENT_SECURE_CONNECTION': old,
    'HandshakeResponse of MariaDB': {
      ...bare,
      capabilities: { client: CLIENT.protocol41 | CLIENT.secureConnection, mariadb: mariadb.mariadb },
    },
  }).map(([name, value]) => ({
    name,
    value,
    encoded: handshake.encodeHandshakeResponse(value),
    decode: handshake.decodeHandshakeResponse,
  })),
  {
    name: 'AuthSwitchRequest',
    value: switched,
    encoded: handshake.encodeAuthSwitchRequest(switched),
    decode: handshake.decodeAuthSwitchRequest,
    openEnded: { from: 16, to: ANY },
  },
  {
    name: 'AuthMoreData',
    value: Buffer.from([4]),
    encoded: handshake.encodeAuthMoreData(Buffer.from([4])),
    decode: handshake.decodeAuthMoreData,
    openEnded: { from: 1, to: ANY },
  },
  {
    name: 'AuthNextFactor',
    value: switched,
    encoded: handshake.encodeAuthNextFactor(switched),
    decode: handshake.decodeAuthNextFactor,
    openEnded: { from: 16, to: ANY },
  },
];

testCodecLaws(samples);

test('reads a greeting put together by hand', () => {
  const payload = Buffer.from(
    `0a 352e362e342d6d372d6c6f6700 560a0000 6162636465666768 00 ffff 08 0200 0fc0 15 00000000000000000000
     696a6b6c6d6e6f7071727374 00 6d7973716c5f6e61746976655f70617373776f726400`.replaceAll(/\s/g, ''),
    'hex',
  );
  assert.deepEqual(handshake.decodeHandshake(payload), {
    serverVersion: '5.6.4-m7-log',
    threadId: 2646,
    capabilities: { client: 0xc00fffff, mariadb: 0 },
    characterSet: 8,
    status: 2,
    authData: Buffer.from('abcdefghijklmnopqrst'),
    authPlugin: 'mysql_native_password',
  });
});

test('reads the HandshakeResponse of the documentation', () => {
  // MySQL internals documentation, "Protocol::HandshakeResponse41", example of MySQL 5.5.8.
  const payload = Buffer.from(
    `8da60f00 00000001 08 0000000000000000000000000000000000000000000000 70616d00
     14ab09eef6bcb1323e61143865c0991d957d75d447 7465737400 6d7973716c5f6e61746976655f70617373776f726400`.replaceAll(
      /\s/g,
      '',
    ),
    'hex',
  );
  assert.deepEqual(handshake.decodeHandshakeResponse(payload), {
    capabilities: { client: 0x000fa68d, mariadb: 0 },
    maxPacketSize: 16_777_216,
    characterSet: 8,
    user: 'pam',
    authResponse: Buffer.from('ab09eef6bcb1323e61143865c0991d957d75d447', 'hex'),
    database: 'test',
    authPlugin: 'mysql_native_password',
    attributes: null,
    zstdLevel: null,
  });
});

test('survives any names and attributes', () => {
  fc.assert(
    fc.property(
      protocolText,
      protocolText,
      fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }))),
      (user, database, pairs) => {
        fc.pre(pairs.flat().every((text) => text.isWellFormed()));
        const value = { ...response, user, database, attributes: new Map(pairs) };
        assert.deepEqual(handshake.decodeHandshakeResponse(handshake.encodeHandshakeResponse(value)), value);
      },
    ),
  );
});

test('names that are not UTF-8 are a violation', () => {
  const encoded = handshake.encodeHandshakeResponse(response);
  const at = encoded.indexOf('agent-7');
  encoded[at] = 0xff;
  assert.throws(() => handshake.decodeHandshakeResponse(encoded), ProtocolViolation);
});

test('is not written where it would say something else', () => {
  assert.throws(() => handshake.encodeHandshakeResponse({ ...response, user: 'a\0b' }), RangeError);
  assert.throws(() => handshake.encodeHandshakeResponse({ ...response, database: null }), RangeError);
  assert.throws(() => handshake.encodeHandshakeResponse({ ...bare, database: 'orders' }), RangeError);
  assert.throws(() => handshake.encodeHandshakeResponse({ ...bare, authResponse: Buffer.alloc(256) }), RangeError);
  assert.throws(() => handshake.encodeHandshake({ ...greeting, authData: Buffer.alloc(8) }), RangeError);
  assert.throws(() => handshake.encodeHandshake({ ...greeting, authPlugin: null }), RangeError);
  assert.throws(() => handshake.encodeHandshake({ ...greeting, capabilities: { ...mysql, mariadb: 1 } }), RangeError);
  assert.throws(() => handshake.encodeSSLRequest(hello), RangeError);
});

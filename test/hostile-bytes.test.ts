import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import {
  BACKEND,
  decodeErrorResponse,
  decodeNegotiateProtocolVersion,
  encodeAuthentication,
  encodeBackendKeyData,
  encodeCommandComplete,
  encodeDataRow,
  encodeErrorResponse,
  encodeParameterStatus,
  encodeReadyForQuery,
  encodeRowDescription,
} from '../protocols/postgres/backend.ts';
import {
  encodeBind,
  encodeCancelRequest,
  encodeClose,
  encodeCopyData,
  encodeCopyDone,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeFunctionCall,
  encodeGSSENCRequest,
  encodeParse,
  encodePasswordMessage,
  encodeQuery,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeSSLRequest,
  encodeStartupMessage,
  encodeSync,
  encodeTerminate,
  FRONTEND,
} from '../protocols/postgres/frontend.ts';
import { ScramClient } from '../protocols/postgres/scram.ts';
import { errorCodes, type Login, type Message, RawClient, ServerError, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Whatever bytes come, from either side: that session ends soon, and no other notices. Milliseconds, for a busy machine. */
const SOON = 20_000;
/** Fixed, so that a failure can be repeated; FUZZ_SEED asks for other bytes. */
const SEED = Number(process.env.FUZZ_SEED ?? 42);

const q = encodeQuery;

/** A message of any type that says any length. */
function lying(type: number, length: number, body = Buffer.from('body')): Buffer {
  const header = Buffer.alloc(5);
  header[0] = type;
  header.writeInt32BE(length, 1);
  return Buffer.concat([header, body]);
}
const LYING_LENGTHS = [0, 1, 3, -1, -(2 ** 31), 2 ** 30, 2 ** 31 - 1];

/** The beginning of a TLS connection, as openssl would send it. */
const CLIENT_HELLO = Buffer.concat([Buffer.from('16030100c8010000c40303', 'hex'), randomBytes(194)]);

/** One of each message a client may send in a session. */
const MESSAGES = {
  Query: q('SELECT 1'),
  Parse: encodeParse({ statement: 's', text: 'SELECT $1', parameterTypes: [23] }),
  Bind: encodeBind({
    portal: 'p',
    statement: 's',
    parameterFormats: [0],
    parameters: [Buffer.from('1')],
    resultFormats: [0],
  }),
  Describe: encodeDescribe({ kind: 'portal', name: 'p' }),
  Execute: encodeExecute({ portal: 'p', maxRows: 0 }),
  Close: encodeClose({ kind: 'statement', name: 's' }),
  Flush: encodeFlush(),
  Sync: encodeSync(),
  CopyData: encodeCopyData(Buffer.from('1\n')),
  CopyDone: encodeCopyDone(),
  CopyFail: encodeCopyFail('why not'),
  FunctionCall: encodeFunctionCall({
    functionOid: 1,
    argumentFormats: [0],
    arguments: [Buffer.from('1')],
    resultFormat: 0,
  }),
  Terminate: encodeTerminate(),
};

describe('hostile bytes', () => {
  let postgres: PostgresServer;
  let sluice: Sluice;
  /** Gives clients one second to log in. */
  let impatient: Sluice;
  /** The same, with TLS. */
  let withTls: Sluice;
  let login: Login;
  let upstream: Server;
  /** What the hostile upstream does with a connection once it has the client's startup packet. */
  let onStartup: () => Buffer;
  /** What it answers to the first bytes after that, before it closes. */
  let onQuery: () => Buffer;
  /** After this many milliseconds it closes, whatever has come. */
  let patience = 500;
  let bystanders: Bystander[];
  let descriptors = 0;

  before(async () => {
    postgres = await startPostgres();
    upstream = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(onStartup());
        socket.once('data', () => {
          socket.write(onQuery());
          setTimeout(() => socket.end(), 20);
        });
      });
      setTimeout(() => socket.destroy(), patience).unref();
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const { host, port, superuser: user, password, database } = postgres;
    const address = { host, user, password, database };
    const options = {
      connections: [
        { name: 'db', upstream: { ...address, port } },
        { name: 'hostile', upstream: { ...address, port: (upstream.address() as AddressInfo).port } },
      ],
      users: [{ name: 'agent', password: 'secret' }],
    };
    const limits = { handshake: '1s' };
    sluice = await startSluice(options);
    impatient = await startSluice({ ...options, limits });
    withTls = await startSluice({ ...options, limits, tls: true });
    login = { host: sluice.host, port: sluice.port, user: 'agent', password: 'secret', database: 'db' };
    await truncations();
    bystanders = [await Bystander.start(login), await Bystander.start({ ...login, port: impatient.port })];
    descriptors = openDescriptors();
  });
  after(async () => {
    upstream?.close();
    await Promise.all([sluice, impatient, withTls].map((one) => one?.stop()));
    await postgres?.stop();
  });

  const isLinux = process.platform === 'linux';
  const resident = () =>
    isLinux ? Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))?.[1]) / 1024 : 0;
  const openDescriptors = () =>
    isLinux ? [sluice, impatient].reduce((sum, { pid }) => sum + readdirSync(`/proc/${pid}/fd`).length, 0) : 0;

  const startup = (parameters: Record<string, string>, minor = 0) =>
    encodeStartupMessage({ major: 3, minor, parameters: new Map(Object.entries(parameters)) });
  const hello = startup({ user: 'agent', database: 'db' });

  /** Sends bytes on a new connection; gives what comes until it is closed, which has to be soon. */
  async function answerTo(at: { host: string; port: number }, ...bytes: Buffer[]): Promise<Message[]> {
    const client = await RawClient.connect(at);
    try {
      client.send(...bytes);
      return await client.untilClosed(SOON);
    } finally {
      client.destroy();
    }
  }

  /** The same in a session. */
  async function answerInSession(...bytes: Buffer[]): Promise<Message[]> {
    const client = await RawClient.login(login);
    try {
      client.send(...bytes);
      return await client.untilClosed(SOON);
    } finally {
      client.destroy();
    }
  }

  /** Every message cut at every byte, then the end of the client. */
  async function truncations(): Promise<void> {
    for (const message of Object.values(MESSAGES)) {
      await Promise.all(
        Array.from({ length: message.length }, async (_, size) => {
          const client = await RawClient.login(login);
          client.send(message.subarray(0, size));
          if (size % 2 === 0) client.destroy();
          else client.socket.end();
          await client.untilClosed(SOON);
          client.destroy();
        }),
      );
    }
  }

  describe('from a client that has not logged in', () => {
    test('a startup packet that ends anywhere is given up', async () => {
      await Promise.all(
        Array.from({ length: hello.length }, async (_, size) => {
          const client = await RawClient.connect(impatient);
          client.send(hello.subarray(0, size));
          if (size % 2 === 0) client.socket.end();
          await client.untilClosed(SOON);
          client.destroy();
        }),
      );
    });

    test('a startup packet may have 8 to 10000 bytes', async () => {
      const ofSize = (size: number) => {
        const bytes = Buffer.concat([hello, Buffer.alloc(Math.max(0, size - hello.length))]).subarray(0, size);
        bytes.writeInt32BE(size, 0);
        return bytes;
      };
      for (const size of [4, 5, 7, 10_001, 10_004, 20_000, 65_536]) {
        assert.equal(shapeOf(await answerTo(impatient, ofSize(size))), '', `${size} bytes`);
      }
      for (let size = 8; size < hello.length; size++) {
        assert.equal(shapeOf(await answerTo(impatient, ofSize(size))), 'E', `${size} bytes`);
      }
      const padding = 'x'.repeat(10_000 - hello.length - 'application_name'.length - 2);
      const largest = startup({ user: 'agent', database: 'db', application_name: padding });
      assert.equal(largest.length, 10_000);
      assert.equal((await answerTo(impatient, largest))[0]?.type, 'R');
    });

    test('startup parameters without their ends are refused', async () => {
      for (const text of ['user', 'user\0', 'user\0agent', 'user\0agent\0', 'user\0agent\0\0x', '\0\0', 'user\0\0\0']) {
        const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(text)]);
        const length = Buffer.alloc(4);
        length.writeInt32BE(body.length + 4);
        assert.equal(shapeOf(await answerTo(impatient, length, body)), 'E', JSON.stringify(text));
      }
    });

    test('a length that lies is not answered', async () => {
      for (const length of LYING_LENGTHS) {
        const bytes = Buffer.from(hello);
        bytes.writeInt32BE(length, 0);
        assert.equal(shapeOf(await answerTo(impatient, bytes)), '', `${length}`);
      }
    });

    test('protocols that are not spoken are refused, newer ones of the same kind negotiated', async () => {
      const version = (major: number, minor: number) => {
        const bytes = Buffer.from(hello);
        bytes.writeUInt16BE(major, 4);
        bytes.writeUInt16BE(minor, 6);
        return bytes;
      };
      for (const [major, minor] of [
        [0, 0],
        [1, 0],
        [2, 0],
        [4, 0],
        [1234, 0],
        [65535, 65535],
      ] as const) {
        assert.equal(shapeOf(await answerTo(impatient, version(major, minor))), 'E', `${major}.${minor}`);
      }
      for (const minor of [3, 9999]) {
        const [negotiate, next] = await answerTo(impatient, version(3, minor));
        assert.equal(`${negotiate?.type}${next?.type}`, 'vR');
        assert.deepEqual(decodeNegotiateProtocolVersion(negotiate!.body), {
          version: 0x30002,
          unrecognizedOptions: [],
        });
      }
      for (const minor of [0, 2]) assert.equal((await answerTo(impatient, version(3, minor)))[0]?.type, 'R');
    });

    test('protocol options that are not known are said to be so', async () => {
      const [negotiate] = await answerTo(impatient, startup({ user: 'agent', '_pq_.x': 'y', '_pq_.z': '' }));
      assert.equal(negotiate?.type, 'v');
      assert.deepEqual(decodeNegotiateProtocolVersion(negotiate!.body).unrecognizedOptions, ['_pq_.x', '_pq_.z']);
    });

    test('TLS where none is offered, and what is not even a startup packet, end the connection', async () => {
      assert.deepEqual(await answerTo(impatient, CLIENT_HELLO), []);
      for (const bytes of [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), Buffer.alloc(100, 0xff)]) {
        await answerTo(impatient, bytes);
      }
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 8, maxLength: 300 }), async (bytes) => {
          await answerTo(impatient, Buffer.from(bytes));
        }),
        { seed: SEED, numRuns: 30, endOnFailure: true },
      );
    });

    /** What a connection gives for these bytes, not read as messages. */
    async function rawAnswer(at: { port: number }, ...bytes: Buffer[]): Promise<string> {
      const client = await RawClient.connect({ host: '127.0.0.1', port: at.port });
      const parts: Buffer[] = [];
      client.socket.removeAllListeners('data');
      client.socket.on('data', (part) => parts.push(part));
      client.send(...bytes);
      await client.untilClosed(SOON);
      client.destroy();
      return Buffer.concat(parts).toString('latin1');
    }

    test('nothing may stand behind a request for encryption: it would count as encrypted', async () => {
      for (const request of [encodeSSLRequest(), encodeGSSENCRequest()]) {
        for (const at of [impatient, withTls]) {
          for (const behind of [hello, CLIENT_HELLO, Buffer.from([0])]) {
            const answer = await rawAnswer(at, request, behind);
            assert.match(answer, /^E.*C08P01.*received unencrypted data/s);
          }
        }
      }
    });

    test('encryption may be asked for once', async () => {
      const twice = async (request: Buffer): Promise<string> => {
        const client = await RawClient.connect(impatient);
        const parts: Buffer[] = [];
        client.socket.removeAllListeners('data');
        client.socket.on('data', (part) => parts.push(part));
        client.send(request);
        await sleep(50);
        client.send(request);
        await sleep(50);
        client.send(hello);
        await client.untilClosed(SOON);
        client.destroy();
        return Buffer.concat(parts).toString('latin1');
      };
      assert.match(await twice(encodeGSSENCRequest()), /^NE.*C08P01/s);
      // A second SSLRequest is answered as the first, or refused; it never gets further.
      assert.match(await twice(encodeSSLRequest()), /^N(NR|E)/s);
    });

    test('what follows the agreement on TLS has to be TLS', async () => {
      for (const bytes of [hello, Buffer.alloc(300, 'x'), CLIENT_HELLO.subarray(0, 50)]) {
        const client = await RawClient.connect(withTls);
        client.socket.removeAllListeners('data');
        const answer = once(client.socket, 'data');
        client.send(encodeSSLRequest());
        assert.equal(String((await answer)[0]), 'S');
        client.send(bytes);
        client.socket.resume();
        await client.untilClosed(SOON);
        client.destroy();
      }
    });

    test('a cancel request of any length ends quietly or with an error', async () => {
      for (const size of [0, 3, 4, 32, 256, 257]) {
        const bytes = Buffer.concat([
          encodeCancelRequest({ processId: 1, secretKey: Buffer.alloc(4) }),
          Buffer.alloc(256),
        ]);
        const cut = bytes.subarray(0, 12 + size);
        cut.writeInt32BE(cut.length, 0);
        assert.ok(['', 'E'].includes(shapeOf(await answerTo(impatient, cut))), `a key of ${size} bytes`);
      }
    });
  });

  describe('from a client that logs in', () => {
    /** Answers the request for SASL with these bytes. */
    const insteadOfSasl = (...bytes: Buffer[]) => answerTo(impatient, hello, ...bytes);

    test('messages with lengths that lie are errors, of every type', async () => {
      for (const type of [...Object.values(FRONTEND), 0, 255]) {
        await Promise.all(
          LYING_LENGTHS.map(async (length) => {
            const messages = await insteadOfSasl(lying(type, length));
            assert.equal(shapeOf(messages), 'R E', `type ${type}, length ${length}`);
            assert.equal(decodeErrorResponse(messages[1]!.body).severityNonLocalized, 'FATAL');
          }),
        );
      }
    });

    test('only a password message is a password message', async () => {
      for (const [name, message] of Object.entries(MESSAGES)) {
        assert.equal(shapeOf(await insteadOfSasl(message)), 'R E', name);
      }
    });

    const response = (text: string, mechanism = 'SCRAM-SHA-256') =>
      encodeSASLInitialResponse({ mechanism, response: Buffer.from(text) });

    test('a SASL exchange that begins wrongly is an error', async () => {
      for (const bytes of [
        encodePasswordMessage('secret'),
        encodeSASLInitialResponse({ mechanism: 'SCRAM-SHA-256', response: null }),
        response('', 'SCRAM-SHA-256'),
        response('n,,n=,r=abc', 'SCRAM-SHA-1'),
        response('n,,n=,r=abc', 'PLAIN'),
        response('p=tls-server-end-point,,n=,r=abc', 'SCRAM-SHA-256-PLUS'),
        response('p=tls-server-end-point,,n=,r=abc'),
        response('n,,n=,r='),
        response('n,,r=abc,n='),
        response('n,,m=x,n=,r=abc'),
        response('n,a=admin,n=,r=abc'),
        response('\0'),
        response('x'.repeat(65_000)),
        encodeSASLResponse(Buffer.alloc(0)),
      ]) {
        assert.equal(shapeOf(await insteadOfSasl(bytes)), 'R E', bytes.toString().slice(0, 80));
      }
    });

    test('a SASL exchange that goes on wrongly is an error, and never lets in', async () => {
      const scram = () => new ScramClient('', 'secret', null);
      const finals: ((right: string, nonce: string) => string)[] = [
        () => '',
        () => 'garbage',
        (right) => right.slice(0, -1),
        (right) => `${right},x=y`,
        (right) => right.replace(/p=.*/, `p=${Buffer.alloc(32).toString('base64')}`),
        (right) => right.replace(/p=.*/, 'p='),
        (right, nonce) => right.replace(nonce, nonce.slice(0, -1)),
        (right) => right.replace('c=biws', 'c=eSws'),
        (right) => right.replace('c=biws', 'c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws'),
      ];
      for (const final of finals) {
        const client = await RawClient.connect(impatient);
        const exchange = scram();
        client.send(hello);
        await client.next();
        client.send(encodeSASLInitialResponse(exchange.start(['SCRAM-SHA-256'])));
        const challenge = (await client.next()).body.subarray(4);
        const right = (await exchange.respond(challenge)).toString();
        const wrong = final(right, /r=([^,]+)/.exec(right)![1]!);
        assert.notEqual(wrong, right);
        // What a client that takes itself for logged in would send.
        client.send(encodeSASLResponse(Buffer.from(wrong)), q('CREATE TABLE got_in (id int)'));
        assert.equal(shapeOf(await client.untilClosed(SOON)), 'E', wrong);
        client.destroy();
      }
      assert.deepEqual(await postgres.query("SELECT to_regclass('got_in') AS t"), [{ t: null }]);
    });
  });

  describe('in a session', () => {
    test('a message cut anywhere, and the end of the client, end the session', () => truncations());

    test('lengths that lie are errors, of every type', async () => {
      for (const type of Object.values(FRONTEND)) {
        await Promise.all(
          LYING_LENGTHS.map(async (length) => {
            const messages = await answerInSession(lying(type, length));
            assert.deepEqual(errorCodes(messages), ['08P01'], `type ${type}, length ${length}`);
          }),
        );
      }
    });

    test('types that no client has are errors', async () => {
      const known = new Set<number>(Object.values(FRONTEND));
      const unknown = Array.from({ length: 256 }, (_, type) => type).filter((type) => !known.has(type));
      for (let i = 0; i < unknown.length; i += 16) {
        await Promise.all(
          unknown.slice(i, i + 16).map(async (type) => {
            assert.deepEqual(errorCodes(await answerInSession(lying(type, 8))), ['08P01'], `type ${type}`);
          }),
        );
      }
    });

    test('messages whose fields do not fill them are errors', async () => {
      for (const [name, message] of Object.entries(MESSAGES)) {
        // Copy messages outside of a COPY are ignored whatever is in them, FunctionCall is refused.
        if (name.startsWith('Copy') || name === 'FunctionCall' || name === 'Terminate') continue;
        const longer = Buffer.concat([message, Buffer.from('\0\0\0')]);
        longer.writeInt32BE(longer.length - 1, 1);
        const client = await RawClient.login(login);
        client.send(MESSAGES.Parse, MESSAGES.Bind, longer, encodeSync());
        // Ours or the server's own, as long as it is an error.
        const messages = await client.take('E', 1, SOON);
        assert.equal(messages.at(-1)?.type, 'E', name);
        client.destroy();
      }
    });

    test('bytes nobody thought of end the session', async () => {
      const types = [...Object.values(FRONTEND)];
      const piece = fc.oneof(
        fc.constantFrom(...Object.values(MESSAGES)),
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        fc
          .tuple(fc.constantFrom(...types), fc.integer({ min: 4, max: 40 }), fc.uint8Array({ maxLength: 40 }))
          .map(([type, length, body]) => lying(type, length, Buffer.from(body))),
        fc
          .tuple(fc.constantFrom(...Object.values(MESSAGES)), fc.nat(), fc.integer({ min: 0, max: 255 }))
          .map(([message, at, byte]) => {
            const bent = Buffer.from(message);
            bent[at % bent.length] = byte;
            return bent;
          }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 10 }), async (pieces) => {
          const client = await RawClient.login(login);
          for (const bytes of pieces) client.send(bytes);
          client.socket.end();
          await client.untilClosed(SOON);
          client.destroy();
        }),
        { seed: SEED, numRuns: 200, endOnFailure: true },
      );
    });
  });

  describe('from the upstream', () => {
    const greeting = Buffer.concat([
      encodeAuthentication({ kind: 'Ok' }),
      encodeParameterStatus({ name: 'client_encoding', value: 'UTF8' }),
      encodeParameterStatus({ name: 'standard_conforming_strings', value: 'on' }),
      encodeBackendKeyData({ processId: 7, secretKey: Buffer.alloc(4) }),
      encodeReadyForQuery('I'),
    ]);
    const answer = Buffer.concat([
      encodeRowDescription([]),
      encodeDataRow([Buffer.from('1')]),
      encodeCommandComplete('SELECT 1'),
      encodeReadyForQuery('I'),
    ]);

    /** What a client gets of a hostile upstream: up to the end of its session. */
    async function clientOf(startupAnswer: Buffer, queryAnswer: Buffer): Promise<Message[]> {
      onStartup = () => startupAnswer;
      onQuery = () => queryAnswer;
      let client: RawClient;
      try {
        client = await RawClient.login({ ...login, database: 'hostile' });
      } catch (error) {
        assert.ok(error instanceof ServerError, String(error));
        return [];
      }
      client.send(q('SELECT 1'));
      const messages = await client.untilClosed(SOON);
      client.destroy();
      return messages;
    }

    test('the hostile upstream works when it is not hostile', async () => {
      assert.match(shapeOf(await clientOf(greeting, answer)), /^T D\(1\) C\(SELECT 1\) Z\(I\)/);
    });

    test('a start that ends anywhere, or is anything else, is an error for the client', async (t) => {
      patience = 30;
      t.after(() => {
        patience = 500;
      });
      for (let size = 0; size < greeting.length; size += 3) {
        assert.deepEqual(await clientOf(greeting.subarray(0, size), answer), []);
      }
      for (const type of [...Object.values(BACKEND), 0, 255]) {
        for (const length of [0, 3, -1, 2 ** 31 - 1]) assert.deepEqual(await clientOf(lying(type, length), answer), []);
      }
    });

    test('an answer that ends anywhere ends the session, and what came whole before it has arrived', async () => {
      for (let size = 0; size < answer.length; size += 2) {
        const shape = shapeOf(await clientOf(greeting, answer.subarray(0, size)));
        assert.doesNotMatch(shape, /Z/, `${size} bytes`);
      }
    });

    test('lengths that lie end the session', async () => {
      for (const type of [...Object.values(BACKEND), 0, 255]) {
        for (const length of LYING_LENGTHS) {
          const shape = shapeOf(await clientOf(greeting, lying(type, length)));
          assert.doesNotMatch(shape, /Z/, `type ${type}, length ${length}`);
        }
      }
    });

    test('answers to what was not asked end the session', async () => {
      for (const bytes of [
        Buffer.concat([answer, answer]),
        Buffer.concat([answer, encodeReadyForQuery('I')]),
        Buffer.from('1\0\0\0\x04'),
        Buffer.from('2\0\0\0\x04'),
        encodeAuthentication({ kind: 'CleartextPassword' }),
        encodeBackendKeyData({ processId: 8, secretKey: Buffer.alloc(4) }),
        Buffer.from('W\0\0\0\x07\0\0\0'),
      ]) {
        const messages = await clientOf(greeting, bytes);
        assert.equal(errorCodes(messages).at(-1), '08006', shapeOf(messages));
      }
    });

    test('bytes nobody thought of end the session', async () => {
      const types = Object.values(BACKEND);
      const piece = fc.oneof(
        fc.constant(answer),
        fc.constant(encodeErrorResponse({ severity: 'ERROR', code: 'XX000', message: 'm' })),
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        fc
          .tuple(fc.constantFrom(...types), fc.integer({ min: 4, max: 40 }), fc.uint8Array({ maxLength: 40 }))
          .map(([type, length, body]) => lying(type, length, Buffer.from(body))),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 8 }), fc.boolean(), async (pieces, atStart) => {
          const bytes = Buffer.concat(pieces);
          if (atStart) await clientOf(bytes, answer);
          else await clientOf(greeting, bytes);
        }),
        { seed: SEED, numRuns: 150, endOnFailure: true },
      );
    });
  });

  test('after all of it the bystander has noticed nothing', async () => {
    for (const bystander of bystanders) {
      const { queries, slowest } = await bystander.stop();
      assert.ok(queries > 50, `${queries} queries`);
      assert.ok(slowest < 5000, `the slowest of ${queries} queries took ${slowest.toFixed(0)} ms`);
    }
  });

  test('after all of it no descriptor is left, and more of it takes no more memory', {
    skip: !isLinux && 'NOT RUN: needs /proc',
  }, async (t) => {
    await until(() => openDescriptors() <= descriptors + 2, `no more descriptors than before, ${descriptors}`);
    // By now the process has nearly the size it has under such load.
    const sizes: number[] = [];
    for (let round = 0; round < 5; round++) {
      await truncations();
      sizes.push(resident());
    }
    t.diagnostic(`MiB: ${sizes.map(Math.round).join(' ')}`);
    const grown = sizes[4]! - sizes[1]!;
    assert.ok(grown < 32, `the process grew by ${grown.toFixed(1)} MiB`);
    assert.doesNotMatch(sluice.log() + impatient.log(), /internal error/, 'all of it were violations of the protocol');
  });
});

/** A healthy client that queries all the time. */
class Bystander {
  #queries = 0;
  #slowest = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  private constructor(client: RawClient) {
    this.#done = this.#run(client);
    // A failure is told by stop().
    this.#done.catch(() => undefined);
  }

  static async start(login: Login): Promise<Bystander> {
    return new Bystander(await RawClient.login(login));
  }

  async stop(): Promise<{ queries: number; slowest: number }> {
    this.#stopped = true;
    await this.#done;
    return { queries: this.#queries, slowest: this.#slowest };
  }

  async #run(client: RawClient): Promise<void> {
    while (!this.#stopped) {
      const number = ++this.#queries;
      const begun = performance.now();
      assert.equal(shapeOf(await client.query(q(`SELECT ${number}`))), `T D(${number}) C(SELECT 1) Z(I)`);
      this.#slowest = Math.max(this.#slowest, performance.now() - begun);
      await sleep(20);
    }
    client.destroy();
  }
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CompressedPackets,
  type Compression,
  encodeCompressedPacket,
  ZLIB,
  zstd,
} from '../../../protocols/mysql/compression.ts';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { CompressedSocket } from './compressed-socket.ts';

const MOST = 4 * 1024 * 1024;
let server: Server;
let client: Socket;
let plain: Socket;

before(async () => {
  server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => server.close());

beforeEach(async () => {
  client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  [plain] = (await once(server, 'connection')) as [Socket];
  client.on('error', () => undefined);
  plain.on('error', () => undefined);
});

afterEach(() => {
  client.destroy();
  plain.destroy();
});

/** Bytes of no repetition that matters, and then ones that can be compressed well. */
function bytesOf(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i % 1000 < 300 ? (i * 7919) % 251 : i % 7)));
}

async function allOf(stream: CompressedSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks);
}

for (const [name, compression] of [
  ['zlib', ZLIB],
  ['zstd', zstd(1)],
] as const satisfies readonly (readonly [string, Compression])[]) {
  describe(`a socket compressed with ${name}`, () => {
    test('carries all sizes, in order, both ways, to the end', async () => {
      const [one, other] = [
        new CompressedSocket(client, compression, MOST),
        new CompressedSocket(plain, compression, MOST),
      ];
      const parts = [1, 49, 50, 51, 4096, 4097, 20_000, 3, 70_000, 2_500_000, 10].map(bytesOf);
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const) {
        const received = allOf(to);
        for (const part of parts) from.write(part);
        from.end();
        assert.ok((await received).equals(Buffer.concat(parts)));
      }
      assert.ok(client.bytesRead < 1_500_000, `${client.bytesRead} bytes`);
    });

    test('stops the other side while nobody reads, and while nobody takes what is written', async () => {
      const reading = new CompressedSocket(plain, compression, MOST);
      const noise = Buffer.concat(Array.from({ length: 40 }, () => randomBytes(500_000)));
      const sending = new CompressedSocket(client, compression, MOST);
      sending.write(noise);
      await sleep(100);
      assert.ok(plain.bytesRead < 8_000_000, `${plain.bytesRead} bytes were read`);
      assert.ok(sending.writableLength > 0);
      sending.end();
      assert.ok((await allOf(reading)).equals(noise));
    });
  });
}

test('sends a packet that comes in many pieces in no more than two, and keeps nothing back at the end', async () => {
  const socket = new CompressedSocket(plain, ZLIB, MOST);
  const packets = new CompressedPackets(MOST);
  let received = Buffer.alloc(0);
  let count = 0;
  client.on('data', (chunk: Buffer) => {
    packets.add(chunk);
    for (let packet = packets.next(); packet !== null; packet = packets.next()) {
      const { body, length } = packet;
      received = Buffer.concat([received, length === 0 ? body : ZLIB.decompressNow(body, length)]);
      count += 1;
    }
  });
  const packet = encodePackets(bytesOf(900_000), 1);
  for (let at = 0; at < packet.length; at += 1500) {
    socket.write(packet.subarray(at, at + 1500));
    await new Promise((resolve) => setImmediate(resolve));
  }
  while (received.length < packet.length) await sleep(5);
  assert.ok(received.equals(packet));
  assert.ok(count <= 2, `${count} compressed packets`);
  socket.end(packet.subarray(0, 1000));
  await once(client, 'end');
  assert.equal(received.length, packet.length + 1000);
});

test('says that the protocol was broken, once, delivers nothing more, and can still be written to', async () => {
  const socket = new CompressedSocket(plain, ZLIB, MOST);
  const delivered: Buffer[] = [];
  const violations: string[] = [];
  socket.on('data', (chunk: Buffer) => delivered.push(chunk));
  socket.on('violation', (error: Error) => violations.push(error.message));
  client.write(
    Buffer.concat([
      encodeCompressedPacket(0, Buffer.from('before'), 0),
      encodeCompressedPacket(1, Buffer.from('not compressed'), 100_000),
      encodeCompressedPacket(2, Buffer.from('after'), 0),
    ]),
  );
  while (violations.length === 0) await sleep(5);
  client.write(encodeCompressedPacket(0, Buffer.from('much later'), 0));
  await sleep(20);
  assert.deepEqual(violations, ['a compressed packet is damaged: Z_DATA_ERROR']);
  assert.equal(Buffer.concat(delivered).toString(), 'before');
  const why = encodePackets(Buffer.from('why'), 1);
  socket.write(why);
  const [answer] = (await once(client, 'data')) as [Buffer];
  assert.deepEqual(answer, encodeCompressedPacket(2, why, 0));
  socket.destroy();
});

test('a violation that nobody hears closes the connection', async () => {
  const socket = new CompressedSocket(plain, ZLIB, MOST);
  socket.resume();
  client.write(encodeCompressedPacket(9, Buffer.from('x'), 0));
  await once(socket, 'close');
  assert.ok(plain.destroyed);
});

test('is closed with the socket it stands for', async () => {
  const socket = new CompressedSocket(plain, ZLIB, MOST);
  socket.resume();
  client.destroy();
  plain.destroy();
  await once(socket, 'close');
  assert.ok(socket.destroyed);
});

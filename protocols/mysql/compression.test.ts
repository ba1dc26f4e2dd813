import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { CompressedPackets, type Compression, encodeCompressedPacket, PacketEnds, ZLIB, zstd } from './compression.ts';
import { encodePackets } from './framing.ts';
import { ProtocolViolation } from './violation.ts';

const MOST = 1 << 20;

/** What comes out of a reader that gets these chunks. */
function read(
  ...chunks: readonly Buffer[]
): { readonly number: number; readonly body: Buffer; readonly length: number }[] {
  const packets = new CompressedPackets(MOST);
  const read = [];
  for (const chunk of chunks) {
    packets.add(chunk);
    for (let packet = packets.next(); packet !== null; packet = packets.next()) {
      read.push({ ...packet, body: Buffer.from(packet.body) });
    }
  }
  return read;
}

describe('compressed packets', () => {
  test('are as MySQL documents them', () => {
    // "Example: One MySQL Packet" of its documentation, in the form of a server of today.
    const text = 'select "012345678901234567890123456789012345"';
    const bytes = Buffer.concat([Buffer.from('2e00000003', 'hex'), Buffer.from(text)]);
    const compressed = zlib.deflateSync(bytes);
    const packet = encodeCompressedPacket(0, compressed, bytes.length);
    assert.equal(packet.subarray(0, 7).toString('hex'), `${compressed.length.toString(16)}000000320000`);
    const [only] = read(packet);
    assert.deepEqual(ZLIB.decompressNow(only!.body, only!.length), bytes);
  });

  test('are found the same at every two split points', () => {
    const packets = [
      { number: 0, body: Buffer.from('one'), length: 0 },
      { number: 1, body: Buffer.alloc(0), length: 0 },
      { number: 255, body: Buffer.from('another'), length: 300 },
    ];
    const bytes = Buffer.concat(
      packets.map(({ number, body, length }) => encodeCompressedPacket(number, body, length)),
    );
    for (let i = 0; i <= bytes.length; i += 1) {
      for (let j = i; j <= bytes.length; j += 1) {
        assert.deepEqual(read(bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)), packets);
      }
    }
  });

  test('are found however they are cut into chunks', () => {
    const packet = fc.record(
      {
        number: fc.nat(255),
        body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
        length: fc.nat(MOST),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
        (packets, sizes) => {
          const bytes = Buffer.concat(
            packets.map(({ number, body, length }) => encodeCompressedPacket(number, body, length)),
          );
          const chunks = [];
          for (let at = 0; at < bytes.length; at += chunks.at(-1)!.length) {
            chunks.push(bytes.subarray(at, at + sizes[chunks.length % sizes.length]!));
          }
          assert.deepEqual(read(...chunks), packets);
        },
      ),
    );
  });

  test('that announce more than they may are a violation before the rest has come', () => {
    const header = (size: number, length: number) => {
      const bytes = Buffer.alloc(7);
      bytes.writeUIntLE(size, 0, 3);
      bytes.writeUIntLE(length, 4, 3);
      return bytes;
    };
    assert.deepEqual(read(header(MOST, 0), header(10, MOST)), []);
    assert.throws(() => read(header(MOST + 1, 0)), ProtocolViolation);
    assert.throws(() => read(header(10, MOST + 1)), ProtocolViolation);
    assert.throws(() => read(header(0xffffff, 0xffffff)), ProtocolViolation);
  });
});

describe('the ends of packets', () => {
  test('are found however packets are cut into chunks', () => {
    const sizes = fc.array(fc.nat(300), { maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (sizes, cuts) => {
        const packets = sizes.map((size) => encodePackets(Buffer.alloc(size, 9), 0));
        const bytes = Buffer.concat(packets);
        const expected = packets.map((_, i) => Buffer.concat(packets.slice(0, i + 1)).length);
        const ends = new PacketEnds();
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const chunk = bytes.subarray(at, at + cuts[i % cuts.length]!);
          const within = expected.filter((end) => end > at && end <= at + chunk.length);
          assert.equal(ends.lastIn(chunk), within.length === 0 ? 0 : within.at(-1)! - at);
          at += chunk.length;
        }
      }),
    );
  });
});

const bytes = Buffer.from('a row of some length, '.repeat(1000));

for (const [name, compression, damage] of [
  ['zlib', ZLIB, 'Z_DATA_ERROR'],
  ['zstd', zstd(3), 'ZSTD_error_prefix_unknown'],
] as const) {
  const inThread = (way: (done: (error: Error | null, bytes: Buffer) => void) => void): Promise<Buffer> =>
    new Promise((resolve, reject) => way((error, out) => (error === null ? resolve(out) : reject(error))));

  describe(name, () => {
    test('gives back what was compressed, at once and in another thread', async () => {
      const compressed = compression.compressNow(bytes);
      assert.ok(compressed.length < bytes.length / 10);
      assert.deepEqual(compression.decompressNow(compressed, bytes.length), bytes);
      const again = await inThread((done) => compression.compress(bytes, done));
      assert.deepEqual(await inThread((done) => compression.decompress(again, bytes.length, done)), bytes);
    });

    test('makes no more than was announced', async () => {
      const bomb = compression.compressNow(Buffer.alloc(16_000_000));
      assert.ok(bomb.length < 100_000);
      for (const announced of [1, 100, 15_999_999]) {
        assert.throws(() => compression.decompressNow(bomb, announced), { code: 'ERR_BUFFER_TOO_LARGE' });
        await assert.rejects(
          inThread((done) => compression.decompress(bomb, announced, done)),
          {
            code: 'ERR_BUFFER_TOO_LARGE',
          },
        );
      }
    });

    test('fails on what is damaged or ends too early', () => {
      const compressed = compression.compressNow(bytes);
      assert.throws(() => compression.decompressNow(bytes, bytes.length), { code: damage });
      assert.throws(() => compression.decompressNow(compressed.subarray(0, -9), bytes.length), { code: 'Z_BUF_ERROR' });
      assert.throws(() => compression.decompressNow(Buffer.alloc(0), 10), { code: 'Z_BUF_ERROR' });
    });
  });
}

test('a zstd frame that wants more memory than a packet can hold is not read', () => {
  // Magic number, a frame of unknown size with a window of 128 MB, one raw block of a byte.
  const frame = Buffer.from('28b52ffd0088090000ff', 'hex');
  assert.throws(() => zstd(1).decompressNow(frame, 1), { code: 'ZSTD_error_frameParameter_windowTooLarge' });
  frame[5] = 0;
  assert.deepEqual(zstd(1).decompressNow(frame, 1), Buffer.of(0xff));
});

test('a level of zstd that does not pay is not used', () => {
  const sizes = [1, 9, 22, 255, 0].map((level) => (zstd(level) satisfies Compression).compressNow(bytes).length);
  assert.equal(sizes[1], sizes[2]);
  assert.equal(sizes[1], sizes[3]);
  assert.equal(sizes[0], sizes[4]);
});

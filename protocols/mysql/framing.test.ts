import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  encodePackets,
  endsRows,
  FULL_PACKET,
  PacketFramer,
  type PacketSink,
  packetCount,
  packetsOf,
  type RowsEnd,
} from './framing.ts';
import { ProtocolViolation } from './violation.ts';

const STREAMED = 0x18; // COM_STMT_SEND_LONG_DATA

/** Collects what is delivered: whole payloads, pieces and rows joined, with their packet headers. */
class Collector implements PacketSink {
  readonly payloads: Buffer[] = [];
  readonly sequences: number[] = [];
  readonly forwarded: Buffer[] = [];
  readonly runs: { bytes: Buffer; begun: number }[] = [];
  stopAt = -1;
  onPayload: (bytes: Buffer) => void = () => {};
  #open = false;

  payload(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    assert.equal(this.#open, false);
    if (this.payloads.length === this.stopAt) return false;
    const payload = Buffer.from(bytes.subarray(start, end));
    this.payloads.push(payload);
    this.sequences.push(sequence);
    this.forwarded.push(Buffer.from(packetsOf(sequence, bytes, start, end)));
    this.onPayload(payload);
    return true;
  }

  piece(first: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void {
    assert.equal(opens, !this.#open);
    assert.equal(first, STREAMED);
    this.forwarded.push(Buffer.from(bytes.subarray(start, end)));
    this.#open = !closes;
  }

  rows(bytes: Buffer, start: number, end: number, begun: number): void {
    this.runs.push({ bytes: Buffer.from(bytes.subarray(start, end)), begun });
    this.forwarded.push(Buffer.from(bytes.subarray(start, end)));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.forwarded);
  }
}

function packetsInOrder(payloads: readonly Uint8Array[], sequence = 0): Buffer {
  const packets: Buffer[] = [];
  let next = sequence;
  for (const payload of payloads) {
    packets.push(encodePackets(Buffer.from(payload), next));
    next = (next + packetCount(payload.length)) & 0xff;
  }
  return Buffer.concat(packets);
}

/** Cuts bytes into chunks of the given sizes, which are used again and again. */
function* chunks(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const end = Math.min(bytes.length, at + sizes[i % sizes.length]!);
    yield bytes.subarray(at, end);
    at = end;
  }
}

const payloadLists = fc.array(
  fc
    .tuple(fc.constantFrom(3, 0x16, STREAMED, 0xff, 0xfe), fc.uint8Array({ maxLength: 30 }))
    .chain(([first, rest]) => fc.constantFrom(Buffer.from([first, ...rest]), Buffer.alloc(0))),
  { maxLength: 8 },
);
const cuts = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });

describe('PacketFramer', () => {
  test('delivers the same payloads at every two split points', () => {
    const payloads = [Buffer.from('\x03select 1'), Buffer.alloc(0), Buffer.from([1]), Buffer.from('\x18long data')];
    const bytes = packetsInOrder(payloads);
    for (let i = 0; i <= bytes.length; i += 1) {
      for (let j = i; j <= bytes.length; j += 1) {
        const sink = new Collector();
        const framer = new PacketFramer(sink, 1 << 20);
        for (const part of [bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)]) {
          assert.equal(framer.push(part), part.length);
        }
        assert.deepEqual(sink.payloads, payloads);
        assert.deepEqual(sink.sequences, [0, 1, 2, 3]);
        assert.deepEqual(sink.bytes, bytes);
        assert.equal(framer.atBoundary, true);
      }
    }
  });

  test('delivers what was sent, however it is cut into chunks, and streamed payloads in pieces', () => {
    fc.assert(
      fc.property(payloadLists, cuts, fc.boolean(), (payloads, sizes, streams) => {
        const bytes = packetsInOrder(payloads);
        const sink = new Collector();
        const framer = new PacketFramer(sink, 1 << 20);
        if (streams) {
          framer.stream = new Uint8Array(256);
          framer.stream[STREAMED] = 1;
        }
        for (const chunk of chunks(bytes, sizes)) assert.equal(framer.push(chunk), chunk.length);
        if (!streams) assert.deepEqual(sink.payloads, payloads);
        assert.deepEqual(sink.bytes, bytes);
        assert.equal(framer.atBoundary, true);
      }),
    );
  });

  test('stops where the sink says so and goes on from there', () => {
    fc.assert(
      fc.property(payloadLists, fc.nat(8), fc.nat(100), (payloads, stopAt, cut) => {
        const bytes = packetsInOrder(payloads);
        const sink = new Collector();
        sink.stopAt = stopAt;
        const framer = new PacketFramer(sink, 1 << 20);
        const first = bytes.subarray(0, cut);
        const rest = Buffer.concat([first.subarray(framer.push(first)), bytes.subarray(cut)]);
        const taken = framer.push(rest);
        if (taken < rest.length) assert.equal(framer.push(rest, taken), taken);
        sink.stopAt = -1;
        assert.equal(framer.push(rest, taken), rest.length);
        // A payload that was held comes with the next push, even if that has no bytes of its own.
        framer.push(Buffer.alloc(0));
        assert.deepEqual(sink.payloads, payloads);
        assert.equal(framer.atBoundary, true);
      }),
    );
  });

  test('joins a payload that goes over several packets, also one that ends with an empty packet', () => {
    for (const extra of [-1, 0, 1, FULL_PACKET]) {
      const payload = Buffer.alloc(FULL_PACKET + extra, 7);
      const bytes = packetsInOrder([payload, Buffer.from([1])]);
      for (const sizes of [[65_536], [FULL_PACKET + 2, 3, 1], [bytes.length]]) {
        const sink = new Collector();
        const framer = new PacketFramer(sink, 1 << 26);
        for (const chunk of chunks(bytes, sizes)) framer.push(chunk);
        assert.equal(sink.payloads.length, 2);
        assert.ok(sink.payloads[0]!.equals(payload));
        assert.deepEqual(sink.sequences, [packetCount(payload.length) - 1, packetCount(payload.length)]);
        assert.ok(sink.bytes.equals(bytes));
      }
    }
  });

  test('passes a payload of several packets on in pieces, with no limit', () => {
    const payload = Buffer.alloc(2 * FULL_PACKET, 3);
    payload[0] = STREAMED;
    const bytes = packetsInOrder([payload, Buffer.from([1])]);
    const sink = new Collector();
    const framer = new PacketFramer(sink, 100);
    framer.stream = new Uint8Array(256);
    framer.stream[STREAMED] = 1;
    for (const chunk of chunks(bytes, [100_000, 1])) framer.push(chunk);
    assert.ok(sink.bytes.equals(bytes));
    assert.equal(sink.payloads.length, 1);
    const inOneChunk = Buffer.alloc(101, STREAMED);
    assert.equal(framer.push(encodePackets(inOneChunk, 4)), 105);
  });

  test('numbers that are out of order are a violation wherever the packet is cut', () => {
    for (const rows of [false, true]) {
      const bytes = Buffer.concat([encodePackets(Buffer.from('ab'), 0), encodePackets(Buffer.from('cd'), 2)]);
      for (let cut = 0; cut <= bytes.length; cut += 1) {
        const framer = new PacketFramer(new Collector(), 100);
        if (rows) framer.passRows('OK');
        assert.throws(() => {
          framer.push(bytes.subarray(0, cut));
          framer.push(bytes.subarray(cut));
        }, ProtocolViolation);
      }
    }
  });

  test('numbers go on after 255 with 0, start where the session says, and need not be in order if it says so', () => {
    const many = new Array<Buffer>(300).fill(Buffer.from('x'));
    const inOrder = new Collector();
    new PacketFramer(inOrder, 100).push(packetsInOrder(many));
    assert.equal(inOrder.sequences[256], 0);

    const commands = new Collector();
    const framer = new PacketFramer(commands, 100);
    commands.onPayload = () => {
      framer.sequence = 0;
    };
    framer.push(Buffer.concat([encodePackets(Buffer.from('a'), 0), encodePackets(Buffer.from('b'), 0)]));
    assert.deepEqual(commands.sequences, [0, 0]);

    const any = new Collector();
    const unchecked = new PacketFramer(any, 100);
    unchecked.sequence = -1;
    unchecked.push(Buffer.concat([encodePackets(Buffer.from('a'), 9), encodePackets(Buffer.from('b'), 3)]));
    assert.deepEqual(any.sequences, [9, 3]);
  });

  test('refuses a payload over the limit at its header, in one packet and in several', () => {
    const limit = FULL_PACKET + 5;
    for (const [header, before] of [
      ['ffffff00', 4],
      ['06000001', 0],
    ] as const) {
      for (let cut = 0; cut <= 4; cut += 1) {
        const framer = new PacketFramer(new Collector(), before === 4 ? 100 : limit);
        if (before === 0) framer.push(Buffer.concat([Buffer.from('ffffff00', 'hex'), Buffer.alloc(FULL_PACKET)]));
        const bytes = Buffer.concat([Buffer.from(header, 'hex'), Buffer.from('a')]);
        assert.throws(() => {
          framer.push(bytes.subarray(0, cut));
          framer.push(bytes.subarray(cut));
        }, ProtocolViolation);
      }
    }
    const framer = new PacketFramer(new Collector(), 100);
    assert.throws(() => framer.push(encodePackets(Buffer.alloc(101), 0)), ProtocolViolation);
  });

  test('allocates for bytes that came, not for bytes that were announced', () => {
    const framer = new PacketFramer(new Collector(), 1 << 30);
    const before = process.memoryUsage().arrayBuffers;
    framer.push(Buffer.concat([Buffer.from('ffffff00', 'hex'), Buffer.alloc(100)]));
    assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  });
});

describe('rows', () => {
  const rowList = fc.array(
    fc
      .tuple(fc.integer({ min: 0, max: 0xfd }), fc.uint8Array({ maxLength: 20 }))
      .map(([first, rest]) => Buffer.from([first, ...rest])),
    { maxLength: 12 },
  );

  test('are passed on in runs up to what ends them, however they are cut, and are counted', () => {
    const ends: [RowsEnd, Buffer][] = [
      ['EOF', Buffer.from('fe00000200', 'hex')],
      ['OK', Buffer.from('fe000002000000', 'hex')],
      ['OK', Buffer.from('ff15042348593030304e6f', 'hex')],
    ];
    fc.assert(
      fc.property(rowList, cuts, fc.constantFrom(...ends), (rows, sizes, [end, last]) => {
        const bytes = packetsInOrder([...rows, last, Buffer.from('next')]);
        const sink = new Collector();
        const framer = new PacketFramer(sink, 1 << 20);
        framer.passRows(end);
        for (const chunk of chunks(bytes, sizes)) assert.equal(framer.push(chunk), chunk.length);
        assert.deepEqual(sink.payloads, [last, Buffer.from('next')]);
        assert.equal(
          sink.runs.reduce((sum, run) => sum + run.begun, 0),
          rows.length,
        );
        assert.deepEqual(sink.bytes, bytes);
        assert.equal(framer.atBoundary, true);
      }),
    );
  });

  test('over the number asked for come in runs of their own', () => {
    fc.assert(
      fc.property(rowList, cuts, fc.nat(14), (rows, sizes, most) => {
        const last = Buffer.from('fe00000200', 'hex');
        const bytes = packetsInOrder([...rows, last]);
        const sink = new Collector();
        const framer = new PacketFramer(sink, 1 << 20);
        framer.passRows('EOF', most);
        for (const chunk of chunks(bytes, sizes)) framer.push(chunk);
        let seen = 0;
        const kept = sink.runs.filter(({ begun }) => {
          seen += begun;
          return seen <= most;
        });
        const expected = packetsInOrder(rows.slice(0, most));
        assert.deepEqual(Buffer.concat(kept.map(({ bytes }) => bytes)), expected);
        assert.deepEqual(sink.payloads, [last]);
      }),
    );
  });

  test('that lie whole in a chunk are one run', () => {
    const rows = new Array<Buffer>(50).fill(Buffer.from('\x03abc'));
    const sink = new Collector();
    const framer = new PacketFramer(sink, 1 << 20);
    framer.passRows('EOF');
    framer.push(packetsInOrder(rows));
    assert.equal(sink.runs.length, 1);
    assert.equal(sink.runs[0]!.begun, 50);
  });

  test('of 16 MB and more are one row whatever their parts begin with, and have no limit', () => {
    const row = Buffer.alloc(2 * FULL_PACKET, 0xff);
    row[0] = 0xfe;
    const last = Buffer.from('fe000002000000', 'hex');
    const bytes = packetsInOrder([row, Buffer.from([0]), last]);
    for (const sizes of [[65_536], [FULL_PACKET + 6, 1, 1, 1, 1, 100], [bytes.length]]) {
      const sink = new Collector();
      const framer = new PacketFramer(sink, 100);
      framer.passRows('OK');
      for (const chunk of chunks(bytes, sizes)) framer.push(chunk);
      assert.equal(
        sink.runs.reduce((sum, run) => sum + run.begun, 0),
        2,
      );
      assert.deepEqual(sink.payloads, [last]);
      assert.ok(sink.bytes.equals(bytes));
    }
  });

  test('end at an empty payload, which no row is', () => {
    const bytes = packetsInOrder([Buffer.from('a'), Buffer.alloc(0), Buffer.from('b')]);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const sink = new Collector();
      const framer = new PacketFramer(sink, 100);
      framer.passRows('OK');
      framer.push(bytes.subarray(0, cut));
      framer.push(bytes.subarray(cut));
      assert.deepEqual(sink.payloads, [Buffer.alloc(0), Buffer.from('b')]);
    }
  });

  test('that begin with 0xfe are told from what ends them by their size', () => {
    assert.equal(endsRows(0xfe, 5, 'EOF'), true);
    assert.equal(endsRows(0xfe, 9, 'EOF'), false);
    assert.equal(endsRows(0xfe, 9, 'OK'), true);
    assert.equal(endsRows(0xfe, FULL_PACKET, 'OK'), false);
    assert.equal(endsRows(0xff, 20, 'EOF'), true);
    assert.equal(endsRows(0xfb, 1, 'OK'), false);
  });
});

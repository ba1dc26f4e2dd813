import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type FrameRules, Framer, type FrameSink } from './framing.ts';
import { ProtocolViolation } from './violation.ts';

const STREAMED = 0x64; // 'd'
const REFUSED = 0x7e;

function rules(limit = 1 << 20): FrameRules {
  const largest = new Int32Array(256).fill(limit);
  largest[REFUSED] = 0;
  const streamed = new Uint8Array(256);
  streamed[STREAMED] = 1;
  return { largest, streamed };
}

function message(type: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  bytes[0] = type;
  bytes.writeInt32BE(4 + body.length, 1);
  bytes.set(body, 5);
  return bytes;
}

/** Collects whole messages as they were delivered; pieces are joined, and their flags checked. */
class Collector implements FrameSink {
  readonly seen: string[] = [];
  stopAt = -1;
  #open: Buffer[] | null = null;

  message(type: number, bytes: Buffer, start: number, end: number): boolean {
    assert.equal(this.#open, null);
    if (this.seen.length === this.stopAt) return false;
    assert.equal(bytes[start], type);
    this.seen.push(bytes.toString('hex', start, end));
    return true;
  }

  piece(type: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void {
    assert.equal(opens, this.#open === null);
    if (opens) assert.equal(bytes[start], type);
    this.#open ??= [];
    this.#open.push(Buffer.from(bytes.subarray(start, end)));
    if (closes) {
      this.seen.push(Buffer.concat(this.#open).toString('hex'));
      this.#open = null;
    }
  }

  passed(): void {
    assert.fail('nothing passes that was not told to');
  }
}

/** Lets messages of the streamed type pass from the first one that comes whole on, and counts those that begin. */
class Passing implements FrameSink {
  readonly framer = new Framer(this, rules());
  bytes = Buffer.alloc(0);
  begun = 0;
  deliveries = 0;

  message(type: number, bytes: Buffer, start: number, end: number): boolean {
    this.framer.passing = type === STREAMED ? STREAMED : 0;
    return this.#add(bytes, start, end, type === STREAMED ? 1 : 0);
  }

  piece(_type: number, bytes: Buffer, start: number, end: number, opens: boolean): void {
    this.#add(bytes, start, end, opens ? 1 : 0);
  }

  passed(bytes: Buffer, start: number, end: number, begun: number): void {
    this.#add(bytes, start, end, begun);
  }

  #add(bytes: Buffer, start: number, end: number, begun: number): true {
    assert.ok(end > start);
    this.bytes = Buffer.concat([this.bytes, bytes.subarray(start, end)]);
    this.begun += begun;
    this.deliveries++;
    return true;
  }
}

const streams = fc.array(
  fc
    .tuple(fc.constantFrom(0x51, 0x50, STREAMED, 0x53), fc.uint8Array({ maxLength: 40 }))
    .map(([t, b]) => message(t, b)),
  { maxLength: 8 },
);

describe('Framer', () => {
  test('delivers the same messages at every split point', () => {
    const messages = [
      message(0x51, Buffer.from('select 1\0')),
      message(STREAMED, Buffer.from('abcdefgh')),
      message(0x53, Buffer.alloc(0)),
    ];
    const bytes = Buffer.concat(messages);
    const expected = messages.map((m) => m.toString('hex'));
    for (let i = 0; i <= bytes.length; i++) {
      for (let j = i; j <= bytes.length; j++) {
        const sink = new Collector();
        const framer = new Framer(sink, rules());
        for (const part of [bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)]) {
          assert.equal(framer.push(part), part.length);
        }
        assert.deepEqual(sink.seen, expected);
        assert.equal(framer.atBoundary, true);
      }
    }
  });

  test('delivers what was sent, however it is cut into chunks', () => {
    fc.assert(
      fc.property(streams, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (messages, cuts) => {
        const bytes = Buffer.concat(messages);
        const sink = new Collector();
        const framer = new Framer(sink, rules());
        for (let at = 0, k = 0; at < bytes.length; k++) {
          const end = Math.min(bytes.length, at + cuts[k % cuts.length]!);
          framer.push(bytes.subarray(at, end));
          at = end;
        }
        assert.deepEqual(
          sink.seen,
          messages.map((m) => m.toString('hex')),
        );
        assert.equal(framer.atBoundary, true);
      }),
    );
  });

  test('stops where the sink says so and goes on from there', () => {
    fc.assert(
      fc.property(streams, fc.nat(8), fc.nat(60), (messages, stopAt, cut) => {
        const bytes = Buffer.concat(messages);
        const sink = new Collector();
        sink.stopAt = stopAt;
        const framer = new Framer(sink, rules());
        let rest = bytes.subarray(Math.min(cut, bytes.length));
        const first = bytes.subarray(0, Math.min(cut, bytes.length));
        const done = framer.push(first);
        if (done < first.length) rest = Buffer.concat([first.subarray(done), rest]);
        const again = framer.push(rest);
        sink.stopAt = -1;
        framer.push(rest, again);
        assert.deepEqual(
          sink.seen,
          messages.map((m) => m.toString('hex')),
        );
      }),
    );
  });

  test('lets messages of one type pass as runs: all bytes, in order, and how many begin, however they are cut', () => {
    fc.assert(
      fc.property(streams, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (messages, cuts) => {
        const bytes = Buffer.concat(messages);
        const sink = new Passing();
        for (let at = 0, k = 0; at < bytes.length; k++) {
          const end = Math.min(bytes.length, at + cuts[k % cuts.length]!);
          assert.equal(sink.framer.push(bytes.subarray(at, end)), end - at);
          at = end;
        }
        assert.ok(sink.bytes.equals(bytes));
        assert.equal(sink.begun, messages.filter((m) => m[0] === STREAMED).length);
        assert.equal(sink.framer.atBoundary, true);
      }),
    );
  });

  test('a run is one delivery, with the rest of a message before and the beginning of one behind', () => {
    const sink = new Passing();
    const row = message(STREAMED, Buffer.alloc(20));
    sink.framer.push(row);
    const rows = Buffer.concat(Array.from({ length: 1000 }, () => row));
    for (const [from, to] of [
      [0, 110],
      [110, 5_037],
      [5_037, rows.length],
    ] as const) {
      const before = sink.deliveries;
      sink.framer.push(rows.subarray(from, to));
      assert.equal(sink.deliveries - before, 1);
    }
    assert.equal(sink.begun, 1001);
  });

  test('refuses a wrong length in a run, after what was right', () => {
    for (const header of ['6400000003', '64ffffffff', '647fffffff']) {
      const sink = new Passing();
      const rows = Buffer.concat([1, 2, 3].map(() => message(STREAMED, Buffer.alloc(7))));
      sink.framer.push(message(STREAMED, Buffer.alloc(0)));
      assert.throws(() => sink.framer.push(Buffer.concat([rows, Buffer.from(header, 'hex')])), ProtocolViolation);
      assert.equal(sink.begun, 4);
    }
  });

  test('refuses lengths below 4, above the limit, and types that are not allowed', () => {
    for (const header of ['5100000003', '51ffffffff', '5180000000', '517fffffff', '5100100000', '7e00000004']) {
      for (const cut of [0, 1, 3, 5]) {
        const bytes = Buffer.from(header, 'hex');
        const framer = new Framer(new Collector(), rules());
        assert.throws(() => {
          framer.push(bytes.subarray(0, cut));
          framer.push(bytes.subarray(cut));
        }, ProtocolViolation);
      }
    }
  });

  test('allocates for bytes that came, not for bytes that were announced', () => {
    const framer = new Framer(new Collector(), rules(0x3fffffff));
    const before = process.memoryUsage().arrayBuffers;
    framer.push(Buffer.from('513ffffff0', 'hex'));
    framer.push(Buffer.alloc(100));
    assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  });
});

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { Outbox } from './outbox.ts';

/** What of a socket an Outbox uses; `room` is what its writes answer. */
class Sink {
  readonly writes: Buffer[] = [];
  corked = 0;
  readonly #room: boolean;

  constructor(room = true) {
    this.#room = room;
  }

  write(bytes: Buffer): boolean {
    this.writes.push(bytes);
    return this.#room;
  }

  cork(): void {
    this.corked++;
  }

  uncork(): void {
    this.corked--;
  }

  get socket(): Socket {
    return this as unknown as Socket;
  }
}

const CHUNK = Buffer.from('0123456789');

test('what is small is one write, from however many buffers it is', () => {
  const outbox = new Outbox();
  const sink = new Sink();
  outbox.add(CHUNK, 0, 3);
  outbox.addMessage(Buffer.from('rewritten'));
  outbox.add(CHUNK, 5, 10);
  assert.equal(outbox.writeTo(sink.socket), true);
  assert.deepEqual(sink.writes.map(String), ['012rewritten56789']);
  assert.equal(outbox.isEmpty, true);
  const big = Buffer.alloc(8192);
  outbox.addMessage(big);
  outbox.addMessage(CHUNK);
  outbox.writeTo(sink.socket);
  assert.equal(sink.writes[1], big);
  assert.equal(sink.corked, 0);
});

test('ranges that touch each other are one write of the bytes as they lie', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 3);
  outbox.add(CHUNK, 3, 10);
  const sink = new Sink();
  assert.equal(outbox.writeTo(sink.socket), true);
  assert.equal(sink.writes.length, 1);
  assert.equal(sink.writes[0], CHUNK);
  assert.equal(outbox.isEmpty, true);
});

test('a gap between ranges is left out', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 3);
  outbox.add(CHUNK, 5, 7);
  const sink = new Sink();
  outbox.writeTo(sink.socket);
  assert.equal(Buffer.concat(sink.writes).toString(), '01256');
  assert.equal(sink.corked, 0);
});

test('an own message stands where it was put', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 2);
  outbox.addMessage(Buffer.from('!'));
  outbox.add(CHUNK, 2, 4);
  assert.equal(Buffer.concat(outbox.take()).toString(), '01!23');
  assert.equal(outbox.isEmpty, true);
});

test('a range right behind a mark is cut off it again', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 5);
  outbox.mark();
  outbox.add(CHUNK, 5, 10);
  outbox.cutBack();
  assert.equal(Buffer.concat(outbox.take()).toString(), '01234');
});

test('cutting back to an empty outbox leaves an empty outbox', () => {
  const outbox = new Outbox();
  outbox.mark();
  outbox.add(CHUNK, 0, 5);
  outbox.cutBack();
  assert.equal(outbox.isEmpty, true);
  const sink = new Sink();
  assert.equal(outbox.writeTo(sink.socket), true);
  assert.equal(sink.writes.length, 0);
});

test('a marked range that was joined and sealed comes back as it was', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 5);
  outbox.mark();
  outbox.add(CHUNK, 5, 7);
  outbox.addMessage(Buffer.from('!'));
  outbox.cutBack();
  outbox.add(CHUNK, 5, 6);
  assert.equal(Buffer.concat(outbox.take()).toString(), '012345');
});

test('clearing drops everything', () => {
  const outbox = new Outbox();
  outbox.add(CHUNK, 0, 5);
  outbox.addMessage(Buffer.from('!'));
  outbox.clear();
  assert.equal(outbox.isEmpty, true);
  assert.deepEqual(outbox.take(), []);
});

test('a full socket is told, for one range and for many', () => {
  const one = new Outbox();
  one.add(CHUNK, 0, 1);
  assert.equal(one.writeTo(new Sink(false).socket), false);
  const many = new Outbox();
  many.add(CHUNK, 0, 1);
  many.add(CHUNK, 2, 3);
  assert.equal(many.writeTo(new Sink(false).socket), false);
});

test('what comes out is what was added and not cut, in order', () => {
  type Step = { op: 'add' | 'mark' | 'cut' | 'write'; from: number; size: number };
  const step: fc.Arbitrary<Step> = fc.record({
    op: fc.constantFrom('add', 'add', 'add', 'mark', 'cut', 'write'),
    from: fc.nat(9),
    size: fc.nat(10),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const outbox = new Outbox();
      const sink = new Sink();
      let staged = '';
      let written = '';
      let mark: string | null = null;
      for (const { op, from, size } of steps) {
        if (op === 'add') {
          const end = Math.min(CHUNK.length, from + size);
          if (end === from) continue;
          outbox.add(CHUNK, from, end);
          staged += CHUNK.toString('latin1', from, end);
        } else if (op === 'mark') {
          outbox.mark();
          mark = staged;
        } else if (op === 'cut' && mark !== null) {
          outbox.cutBack();
          staged = mark;
        } else if (op === 'write') {
          outbox.writeTo(sink.socket);
          written += staged;
          staged = '';
          mark = null;
        }
      }
      assert.equal(outbox.isEmpty, staged === '');
      assert.equal(Buffer.concat(sink.writes).toString('latin1'), written);
      assert.equal(Buffer.concat(outbox.take()).toString('latin1'), staged);
    }),
  );
});

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { UpstreamReads } from './upstream-reads.ts';

/** Keeps every chunk as it was given, and what was in it then. */
class Reader {
  holdsChunk = false;
  owesAnswers = true;
  /** What {@link holdsChunk} becomes with the next chunk. */
  holdsNext = false;
  readonly chunks: Buffer[] = [];
  readonly contents: string[] = [];

  fromUpstream(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.contents.push(chunk.toString('latin1'));
    this.holdsChunk = this.holdsNext;
  }

  isIntact(i: number): boolean {
    return this.chunks[i]!.toString('latin1') === this.contents[i];
  }
}

let reader: Reader;
let reads: UpstreamReads;

beforeEach(() => {
  reader = new Reader();
  reads = new UpstreamReads();
  reads.reader = reader;
});

/** As a socket does it: fills the buffer it was told to, and says how far. */
function read(length: number, letter: string, into = reads): void {
  into.buffer().fill(letter, 0, length);
  assert.equal(into.callback(length), true);
}

const SMALL = 100;
const BIG = 60_000;

test('what was read small stays what it is', () => {
  read(SMALL, 'a');
  read(BIG, 'b');
  read(SMALL, 'c');
  assert.deepEqual(reader.contents, ['a'.repeat(SMALL), 'b'.repeat(BIG), 'c'.repeat(SMALL)]);
  assert.ok(reader.isIntact(0));
});

test('a big result that is taken at once is read into one buffer', () => {
  for (const letter of 'abcd') read(BIG, letter);
  assert.equal(new Set(reader.chunks.map((chunk) => chunk.buffer)).size, 1);
});

test('what was not taken at once stays what it is, whatever is read later, by whom', () => {
  const other = new UpstreamReads();
  other.reader = new Reader();
  read(BIG, 'a');
  reader.holdsNext = true;
  for (const letter of 'bcd') read(BIG, letter);
  reader.holdsNext = false;
  for (const letter of 'efg') {
    read(BIG, letter);
    read(BIG, letter, other);
  }
  for (const held of [1, 2, 3]) assert.ok(reader.isIntact(held));
});

test('what waits for a slow client behind other bytes takes about as much room as it has bytes', () => {
  reader.holdsChunk = true;
  reader.holdsNext = true;
  for (let i = 0; i < 100; i++) read(5_000, 'a');
  const memory = [...new Set(reader.chunks.map((chunk) => chunk.buffer))];
  assert.ok(memory.reduce((sum, { byteLength }) => sum + byteLength, 0) < 1_000_000);
});

test('between results a session has no buffer of its own', () => {
  const other = new UpstreamReads();
  read(BIG, 'a');
  assert.notEqual(reads.buffer(), other.buffer());
  reader.owesAnswers = false;
  read(BIG, 'b');
  assert.equal(reads.buffer(), other.buffer());
});

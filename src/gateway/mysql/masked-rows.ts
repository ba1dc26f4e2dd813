import { encodePackets, FULL_PACKET } from '../../../protocols/mysql/framing.ts';
import { lenencBytesOrNull } from '../../../protocols/mysql/payload-fields.ts';
import { binarySize } from '../../../protocols/mysql/values.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import { type Cell, LARGEST_READ, maskedValue } from '../../masking/cells.ts';
import { copy, type MessageSink, MOST_KEPT, type RewriteBuffer, RowTooLarge } from '../rewrite-buffer.ts';

const HEADER = 4;
const NULL = 0xfb;
/** Most bytes of a length before a value. */
const LONGEST_LENGTH = 9;

/** How many bytes a length takes (MySQL internals documentation, "Protocol::LengthEncodedInteger"). */
function lengthSize(length: number): number {
  return length < 0xfb ? 1 : length <= 0xffff ? 3 : length <= 0xffffff ? 4 : LONGEST_LENGTH;
}

function putLength(out: Buffer, at: number, length: number): void {
  if (length < 0xfb) out[at] = length;
  else if (length <= 0xffff) {
    out[at] = 0xfc;
    out.writeUInt16LE(length, at + 1);
  } else if (length <= 0xffffff) {
    out[at] = 0xfd;
    out.writeUIntLE(length, at + 1, 3);
  } else {
    out[at] = 0xfe;
    out.writeBigUInt64LE(BigInt(length), at + 1);
  }
}

/** Where the length at `at` ends; 0 where it does not end before `end`. */
function afterLength(bytes: Buffer, at: number, end: number): number {
  if (at >= end) return 0;
  const first = bytes[at]!;
  const next = at + (first < NULL ? 1 : first === 0xfc ? 3 : first === 0xfd ? 4 : LONGEST_LENGTH);
  return next > end ? 0 : next;
}

/** The length that ends at `next`. */
function lengthAt(bytes: Buffer, at: number, next: number): number {
  const first = bytes[at]!;
  if (first < NULL) return first;
  if (first === 0xff) throw new ProtocolViolation('a row has a field without a length');
  if (next - at === 3) return bytes.readUInt16LE(at + 1);
  return next - at === 4 ? bytes.readUIntLE(at + 1, 3) : Number(bytes.readBigUInt64LE(at + 1));
}

/**
 * Rewrites rows of the text protocol, whose fields have a length and bytes each or are NULL, and of the binary protocol,
 * where a bitmap says which are NULL and some types have no length (MySQL internals documentation, "Text Resultset Row",
 * "Binary Protocol Resultset Row").
 */
export class RowMasker {
  /** By position; a field without one stays as it is. */
  readonly cells: readonly (Cell | null)[];
  readonly isBinary: boolean;
  /** Bytes of values that have no length before them; 0 for all others. */
  readonly sizes: readonly number[];
  /** What takes the place of every value of a field, its length before it; `null` where it depends on the value, or is NULL. */
  readonly fixed: readonly (Buffer | null)[];
  /** By how many bytes a row grows at most; -1 if that depends on its values. */
  readonly #growth: number;

  /** @param types of the columns */
  constructor(cells: readonly (Cell | null)[], types: readonly number[], isBinary: boolean) {
    this.cells = cells;
    this.isBinary = isBinary;
    this.sizes = types.map((type) => (isBinary ? binarySize(type) : 0));
    this.fixed = cells.map((cell, i) => {
      if (cell?.fixed === undefined || (cell.fixed === null && isBinary)) return null;
      return this.sizes[i]! > 0 ? cell.fixed : lenencBytesOrNull(cell.fixed);
    });
    const grows = cells.some((cell) => cell !== null && cell.growth(FULL_PACKET) > cell.growth(0));
    this.#growth = grows ? -1 : this.#growthOf(0);
  }

  #growthOf(length: number): number {
    let growth = 0;
    for (const [i, cell] of this.cells.entries()) {
      if (cell !== null) growth += this.fixed[i]?.length ?? cell.growth(length) + LONGEST_LENGTH;
    }
    return growth;
  }

  /**
   * Rewrites a whole row, whose payload is from `start` to `end`.
   * @param sequence of the first packet of what it becomes
   * @returns how many packets that is
   * @throws ProtocolViolation if it is malformed or has another number of fields than it was described with
   */
  row(bytes: Buffer, start: number, end: number, sequence: number, room: RewriteBuffer, sink: MessageSink): number {
    // No value is longer than its row, and none grows that is too long to be read.
    const growth = this.#growth < 0 ? this.#growthOf(Math.min(end - start, LARGEST_READ)) : this.#growth;
    room.reserve(HEADER + end - start + growth);
    const from = room.at;
    const { bytes: out } = room;
    const to = this.isBinary
      ? this.#binary(bytes, start, end, out, from + HEADER)
      : this.#text(bytes, start, end, out, from + HEADER);
    const size = to - from - HEADER;
    if (size >= FULL_PACKET) {
      const packets = encodePackets(out.subarray(from + HEADER, to), sequence);
      sink.add(packets, 0, packets.length);
      return Math.floor(size / FULL_PACKET) + 1;
    }
    out[from] = size;
    out[from + 1] = size >> 8;
    out[from + 2] = size >> 16;
    out[from + 3] = sequence;
    room.at = to;
    sink.add(out, from, to);
    return 1;
  }

  #text(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
    const { cells, fixed } = this;
    let p = start;
    let put = at;
    // Fields that stay as they are, since here: one copy for all of them.
    let kept = p;
    for (let i = 0; i < cells.length; i++) {
      const cell = cells[i]!;
      if (p >= end) throw endsInside();
      const isNull = bytes[p] === NULL;
      const value = isNull ? p + 1 : afterLength(bytes, p, end);
      const next = isNull ? value : valueEnd(bytes, p, value, end);
      if (cell !== null && (!isNull || cell.coversNull)) {
        put = copy(bytes, kept, p, out, put);
        kept = next;
        const constant = fixed[i]!;
        if (constant !== null) put = copy(constant, 0, constant.length, out, put);
        else {
          const to = writeWithLength(cell, bytes, value, next, out, put);
          if (to < 0) out[put++] = NULL;
          else put = to;
        }
      }
      p = next;
    }
    if (p !== end) throw new ProtocolViolation('a row has bytes after its last field');
    return copy(bytes, kept, p, out, put);
  }

  #binary(bytes: Buffer, start: number, end: number, out: Buffer, at: number): number {
    const { cells, fixed, sizes } = this;
    const bitmap = start + 1;
    let p = bitmap + bitmapSize(cells.length);
    if (p > end || bytes[start] !== 0) throw new ProtocolViolation('a row without its bitmap');
    let put = copy(bytes, start, p, out, at);
    let kept = p;
    for (let i = 0; i < cells.length; i++) {
      const bit = i + FIRST_BIT;
      const isNull = ((bytes[bitmap + (bit >> 3)]! >> (bit & 7)) & 1) === 1;
      const cell = cells[i]!;
      let value = p;
      let next = p;
      if (!isNull) {
        const size = sizes[i]!;
        value = size > 0 ? p : afterLength(bytes, p, end);
        next = size > 0 ? p + size : valueEnd(bytes, p, value, end);
        if (next > end) throw endsInside();
      }
      if (cell !== null && (!isNull || cell.coversNull)) {
        put = copy(bytes, kept, p, out, put);
        kept = next;
        const constant = fixed[i]!;
        let to = -1;
        if (constant !== null) to = copy(constant, 0, constant.length, out, put);
        else if (cell.fixed === undefined) {
          to =
            sizes[i]! > 0
              ? cell.write(bytes, value, next, out, put)
              : writeWithLength(cell, bytes, value, next, out, put);
        }
        const byte = at + 1 + (bit >> 3);
        if (to < 0) out[byte]! |= 1 << (bit & 7);
        else {
          out[byte]! &= ~(1 << (bit & 7));
          put = to;
        }
      }
      p = next;
    }
    if (p !== end) throw new ProtocolViolation('a row has bytes after its last field');
    return copy(bytes, kept, p, out, put);
  }
}

/** The first bits of the bitmap of a row stand for nothing. */
const FIRST_BIT = 2;

function bitmapSize(columns: number): number {
  return (columns + FIRST_BIT + 7) >> 3;
}

function endsInside(): ProtocolViolation {
  return new ProtocolViolation('a row ends inside a field');
}

/** @param value where it begins, behind its length; 0 where the length does not end */
function valueEnd(bytes: Buffer, at: number, value: number, end: number): number {
  if (value === 0) throw endsInside();
  const next = value + lengthAt(bytes, at, value);
  if (next > end) throw endsInside();
  return next;
}

/** Writes what a value becomes with its length before it. @returns the end, or -1 if it is NULL */
function writeWithLength(cell: Cell, bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
  // Mostly the new length takes as many bytes as the old one.
  const guess = lengthSize(to - from);
  const end = cell.write(bytes, from, to, out, at + guess);
  if (end < 0) return -1;
  const length = end - at - guess;
  const size = lengthSize(length);
  if (size !== guess) out.copyWithin(at + size, at + guess, end);
  putLength(out, at, length);
  return at + size + length;
}

/**
 * Rewrites the rows of one result as they come in, cut anywhere. What is whole in a chunk is rewritten where it lies; a
 * row that is split over chunks is put together; of one that goes over several packets no more is kept than has to be.
 */
export class RowStream {
  readonly #masker: RowMasker;
  readonly #room: RewriteBuffer;
  readonly #sink: MessageSink;
  /** How much higher, modulo 256, the numbers of the client's packets are than those of the server's. */
  shift: number;
  /** Number of the client's first packet of the last row of several packets. */
  largeSequence = 0;
  /** A row of one packet that came in part, its header included. */
  #partial: Buffer = Buffer.alloc(0);
  #have = 0;
  #large: LargeRow | null = null;
  /** Of a packet of a large row: bytes still to come, and its header as far as it is there. */
  #left = 0;
  #continues = false;

  constructor(masker: RowMasker, shift: number, room: RewriteBuffer, sink: MessageSink) {
    this.#masker = masker;
    this.shift = shift;
    this.#room = room;
    this.#sink = sink;
  }

  /** @throws RowTooLarge (nothing of the row has been sent then) or ProtocolViolation */
  push(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#left > 0) {
        const to = Math.min(end, at + this.#left);
        this.#left -= to - at;
        this.#large!.push(bytes, at, to);
        at = to;
        if (this.#left === 0 && !this.#continues) this.#closeLarge();
        continue;
      }
      if (this.#have > 0) {
        at = this.#complete(bytes, at, end);
        continue;
      }
      const next = at + HEADER;
      const size = next > end ? FULL_PACKET : sizeAt(bytes, at);
      if (this.#large !== null || size === FULL_PACKET || next + size > end) at = this.#complete(bytes, at, end);
      else {
        this.#row(bytes, next, next + size, bytes[at + 3]!);
        at = next + size;
      }
    }
  }

  #row(bytes: Buffer, start: number, end: number, sequence: number): void {
    const packets = this.#masker.row(bytes, start, end, (sequence + this.shift) & 0xff, this.#room, this.#sink);
    this.shift = (this.shift + packets - 1) & 0xff;
  }

  /** Goes on with what came in part: a header, or a row of one packet. @returns how far it got */
  #complete(bytes: Buffer, from: number, end: number): number {
    let at = from;
    if (this.#have < HEADER) {
      at = this.#append(bytes, at, Math.min(end, at + HEADER - this.#have));
      if (this.#have < HEADER) return at;
      const size = sizeAt(this.#partial, 0);
      if (this.#large !== null || size === FULL_PACKET) {
        if (this.#large === null) {
          this.largeSequence = (this.#partial[3]! + this.shift) & 0xff;
          this.#large = new LargeRow(this.#masker, this.largeSequence, this.#sink);
        }
        this.#large.packets++;
        this.#have = 0;
        this.#left = size;
        this.#continues = size === FULL_PACKET;
        if (size === 0) this.#closeLarge();
        return at;
      }
    }
    const size = sizeAt(this.#partial, 0);
    at = this.#append(bytes, at, Math.min(end, at + HEADER + size - this.#have));
    if (this.#have === HEADER + size) {
      this.#have = 0;
      this.#row(this.#partial, HEADER, HEADER + size, this.#partial[3]!);
    }
    return at;
  }

  #append(bytes: Buffer, from: number, to: number): number {
    const have = this.#have + to - from;
    if (have > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.max(have, Math.min(2 * this.#partial.length, HEADER + FULL_PACKET), 64));
      this.#partial.copy(grown, 0, 0, this.#have);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#have, from, to);
    this.#have = have;
    return to;
  }

  #closeLarge(): void {
    const large = this.#large!;
    this.#large = null;
    const written = large.close();
    this.shift = (this.shift + written - large.packets) & 0xff;
  }
}

function sizeAt(bytes: Buffer, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}

/**
 * A row that goes over several packets. Long values that are replaced are dropped as they come, short ones are waited for.
 * A packet's length stands before it, so its bytes are kept until
 * it is full; the bitmap of a binary row stands before all, so until its last masked field everything is.
 */
class LargeRow {
  readonly #masker: RowMasker;
  readonly #sink: MessageSink;
  readonly #lastMasked: number;
  /** Packets that have come in, and that have gone out. */
  packets = 0;
  #written = 0;
  #sequence: number;
  /** Payload that is not in a packet yet. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** What is not read yet: less than the bitmap, a length, or a value that has to be read as a whole. */
  #pending: Buffer = Buffer.alloc(0);
  /** A copy of the bitmap with the bits changed, and the one that came. */
  #bitmap: Buffer | null = null;
  #nulls: Buffer | null = null;
  #field = 0;
  #left = 0;
  #keeps = true;

  constructor(masker: RowMasker, sequence: number, sink: MessageSink) {
    this.#masker = masker;
    this.#sequence = sequence;
    this.#sink = sink;
    this.#lastMasked = masker.cells.findLastIndex((cell) => cell !== null);
  }

  push(bytes: Buffer, start: number, end: number): void {
    let at = start;
    if (this.#pending.length > 0) {
      const joined = Buffer.concat([this.#pending, bytes.subarray(start, end)]);
      this.#pending = Buffer.alloc(0);
      this.#read(joined, 0, joined.length);
      return;
    }
    if (this.#left > 0) {
      at = Math.min(end, start + this.#left);
      this.#take(bytes, start, at);
    }
    this.#read(bytes, at, end);
  }

  /** Bytes of the value in hand. */
  #take(bytes: Buffer, from: number, to: number): void {
    this.#left -= to - from;
    if (this.#keeps) this.#keep(bytes, from, to);
  }

  #read(bytes: Buffer, from: number, end: number): void {
    const { cells, isBinary } = this.#masker;
    let at = from;
    if (isBinary && this.#nulls === null) {
      const size = 1 + bitmapSize(cells.length);
      if (end - at < size) {
        this.#pending = Buffer.from(bytes.subarray(at, end));
        return;
      }
      this.#nulls = Buffer.from(bytes.subarray(at, at + size));
      this.#bitmap = Buffer.from(this.#nulls);
      this.#kept.push(this.#bitmap);
      this.#keptBytes += size;
      at += size;
    }
    // NULL has no bytes in a binary row.
    while (at < end || (isBinary && this.#left === 0 && this.#field < cells.length && this.#isNull())) {
      if (this.#field >= cells.length) throw new ProtocolViolation('a row has bytes after its last field');
      const next = this.#begin(bytes, at, end);
      if (next < 0) {
        this.#pending = Buffer.from(bytes.subarray(at, end));
        return;
      }
      at = Math.min(end, next + this.#left);
      this.#take(bytes, next, at);
    }
  }

  #isNull(): boolean {
    const bit = this.#field + FIRST_BIT;
    return ((this.#nulls![1 + (bit >> 3)]! >> (bit & 7)) & 1) === 1;
  }

  /** The next field begins at `at`. @returns where its value does, -1 if its length is not there yet */
  #begin(bytes: Buffer, at: number, end: number): number {
    const { cells, fixed, sizes, isBinary } = this.#masker;
    const cell = cells[this.#field]!;
    const isNull = isBinary ? this.#isNull() : bytes[at] === NULL;
    const size = sizes[this.#field]!;
    let value = isNull && !isBinary ? at + 1 : at;
    let length = isNull ? 0 : size;
    if (!isNull && size === 0) {
      value = afterLength(bytes, at, end);
      if (value === 0) return -1;
      length = lengthAt(bytes, at, value);
    }
    if (cell !== null && !isNull && cell.fixed === undefined && length <= LARGEST_READ) {
      if (value + length > end) return -1;
      this.#replace(cell, size, bytes.subarray(value, value + length));
      this.#field++;
      return value + length;
    }
    this.#keeps = cell === null || (isNull && !cell.coversNull);
    if (this.#keeps) this.#keep(bytes, at, value);
    else {
      const constant = fixed[this.#field]!;
      if (isBinary) this.#setNull(constant === null);
      if (constant !== null) this.#keep(constant, 0, constant.length);
      else if (!isBinary) this.#keep(NULL_FIELD, 0, 1);
    }
    this.#left = length;
    this.#field++;
    return value;
  }

  /** A value that is short enough to be read. */
  #replace(cell: Cell, size: number, value: Buffer): void {
    const masked = maskedValue(cell, value);
    if (this.#masker.isBinary) this.#setNull(masked === null);
    if (masked !== null && size > 0) this.#keep(masked, 0, masked.length);
    else if (masked !== null || !this.#masker.isBinary) {
      const field = lenencBytesOrNull(masked);
      this.#keep(field, 0, field.length);
    }
  }

  #setNull(isNull: boolean): void {
    const bit = this.#field + FIRST_BIT;
    const byte = 1 + (bit >> 3);
    if (isNull) this.#bitmap![byte]! |= 1 << (bit & 7);
    else this.#bitmap![byte]! &= ~(1 << (bit & 7));
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    if (from === to) return;
    this.#kept.push(Buffer.from(bytes.subarray(from, to)));
    this.#keptBytes += to - from;
    if (this.#masker.isBinary && this.#field <= this.#lastMasked) {
      if (this.#keptBytes > MOST_KEPT) throw new RowTooLarge();
    } else if (this.#keptBytes >= FULL_PACKET) this.#send(false);
  }

  /** Sends what is kept in full packets; the last one, which is not full, at the end of the row. */
  #send(isLast: boolean): void {
    let payload = Buffer.concat(this.#kept);
    while (payload.length >= FULL_PACKET) {
      this.#packet(payload.subarray(0, FULL_PACKET));
      payload = payload.subarray(FULL_PACKET);
    }
    if (isLast) this.#packet(payload);
    this.#kept = isLast ? [] : [payload];
    this.#keptBytes = isLast ? 0 : payload.length;
  }

  #packet(payload: Buffer): void {
    const header = Buffer.allocUnsafe(HEADER);
    header.writeUIntLE(payload.length, 0, 3);
    header[3] = this.#sequence;
    this.#sequence = (this.#sequence + 1) & 0xff;
    this.#written++;
    this.#sink.add(header, 0, HEADER);
    if (payload.length > 0) this.#sink.add(payload, 0, payload.length);
  }

  /** @returns how many packets it has become */
  close(): number {
    if (this.#left > 0 || this.#pending.length > 0 || this.#field < this.#masker.cells.length) throw endsInside();
    this.#send(true);
    return this.#written;
  }
}

const NULL_FIELD = Buffer.of(NULL);

import { BACKEND } from '../../../protocols/postgres/backend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { Cell } from '../../masking/cells.ts';
import {
  copy,
  LARGEST_WHOLE,
  type MessageSink,
  MOST_KEPT,
  type RewriteBuffer,
  RowTooLarge,
} from '../rewrite-buffer.ts';

function putInt32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}

function int32At(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Rewrites fields as rows have them in DataRow messages and in COPY BINARY: an Int16 count, then an Int32 length and bytes each. */
export class RowMasker {
  /** By position; a field without one stays as it is. */
  readonly cells: readonly (Cell | null)[];
  /** What takes the place of every value of a field, its length before it. */
  readonly fixed: readonly (Buffer | null)[];
  /** By how many bytes a row grows at most, where that does not depend on its values; otherwise `null`. */
  readonly #growth: number | null;

  constructor(cells: readonly (Cell | null)[]) {
    this.cells = cells;
    this.fixed = cells.map((cell) => (cell?.fixed === undefined ? null : framed(cell.fixed)));
    const grows = cells.some((cell) => cell !== null && cell.growth(LARGEST_WHOLE) > cell.growth(0));
    this.#growth = grows
      ? null
      : cells.reduce((sum, cell, at) => sum + (cell === null ? 0 : (this.fixed[at]?.length ?? cell.growth(0))), 0);
  }

  /** A whole DataRow. @throws ProtocolViolation if it is malformed or has another number of fields than it was described with */
  dataRow(bytes: Buffer, start: number, end: number, room: RewriteBuffer, sink: MessageSink): void {
    room.reserve(end - start + this.growth(bytes, start + 5, end));
    const from = room.at;
    room.bytes[from] = BACKEND.dataRow;
    const to = this.fields(bytes, start + 5, end, room.bytes, from + 5);
    if (to.read !== end) throw new ProtocolViolation('DataRow has bytes after its last field');
    putInt32(room.bytes, from + 1, to.written - from - 1);
    room.at = to.written;
    sink.add(room.bytes, from, to.written);
  }

  readonly #ends = { read: 0, written: 0 };

  /** Rewrites the fields that begin at `start` (with their count) to `out` at `at`. Valid until the next call. */
  fields(
    bytes: Buffer,
    start: number,
    end: number,
    out: Buffer,
    at: number,
  ): { readonly read: number; readonly written: number } {
    const { cells, fixed } = this;
    const count = (bytes[start]! << 8) | bytes[start + 1]!;
    if (count !== cells.length)
      throw new ProtocolViolation(`a row has ${count} fields, ${cells.length} were described`);
    let p = start + 2;
    let put = copy(bytes, start, p, out, at);
    // Fields that stay as they are, since here: one copy for all of them.
    let kept = p;
    for (let i = 0; i < count; i++) {
      if (p + 4 > end) throw new ProtocolViolation('a row ends inside a field');
      const length = int32At(bytes, p);
      const value = p + 4;
      const next = length < 0 ? value : value + length;
      if (next > end) throw new ProtocolViolation('a row has a field longer than itself');
      const cell = cells[i]!;
      if (cell !== null && (length >= 0 || cell.coversNull)) {
        put = copy(bytes, kept, p, out, put);
        kept = next;
        const constant = fixed[i]!;
        if (constant !== null) put = copy(constant, 0, constant.length, out, put);
        else {
          const to = cell.write(bytes, value, next, out, put + 4);
          putInt32(out, put, to < 0 ? -1 : to - put - 4);
          put = to < 0 ? put + 4 : to;
        }
      }
      p = next;
    }
    this.#ends.read = p;
    this.#ends.written = copy(bytes, kept, p, out, put);
    return this.#ends;
  }

  /** By how many bytes at most the fields that begin at `start` grow. */
  growth(bytes: Buffer, start: number, end: number): number {
    if (this.#growth !== null) return this.#growth;
    const { cells, fixed } = this;
    let p = start + 2;
    let growth = 0;
    for (let i = 0; i < cells.length && p + 4 <= end; i++) {
      const length = int32At(bytes, p);
      const cell = cells[i]!;
      if (cell !== null) growth += fixed[i]?.length ?? cell.growth(Math.max(length, 0));
      p += 4 + Math.max(length, 0);
    }
    return growth;
  }
}

/**
 * A DataRow that comes in pieces. A large one is never in memory as a whole: values that are replaced are dropped as they
 * come. Its length stands before its fields, though, so what comes before the last replaced field has to be kept.
 */
export class RowInPieces {
  readonly #masker: RowMasker;
  readonly #room: RewriteBuffer;
  readonly #sink: MessageSink;
  /** What is not read yet, or, of a small row, all that has come. */
  #pending: Buffer = Buffer.alloc(0);
  #have = 0;
  /** Bytes of the message, its type included; and how many of them are neither pending nor still to come. */
  #size = 0;
  #taken = 0;
  /** Of a large row: fields read, bytes still to come of the field in hand, and what becomes of them. */
  #field = -1;
  #left = 0;
  #keeps = true;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** True once the header is sent and the rest passes as it comes. */
  #passes = false;
  readonly #lastMasked: number;

  constructor(masker: RowMasker, room: RewriteBuffer, sink: MessageSink) {
    this.#masker = masker;
    this.#room = room;
    this.#sink = sink;
    this.#lastMasked = masker.cells.findLastIndex((cell) => cell !== null);
  }

  /** @throws RowTooLarge or ProtocolViolation: nothing of the row has been sent then */
  piece(bytes: Buffer, start: number, end: number, closes: boolean): void {
    if (this.#size === 0) this.#size = bytes.readInt32BE(start + 1) + 1;
    if (this.#passes) {
      this.#sink.add(bytes, start, end);
      return;
    }
    this.#append(bytes, start, end);
    if (this.#size > LARGEST_WHOLE) this.#readOn();
    else if (closes) this.#masker.dataRow(this.#pending, 0, this.#have, this.#room, this.#sink);
    if (closes && this.#size > LARGEST_WHOLE && !this.#passes) throw new ProtocolViolation('a row ends inside a field');
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const have = this.#have + end - start;
    if (have > this.#pending.length) {
      const grown = Buffer.allocUnsafe(Math.max(have, Math.min(2 * this.#pending.length, LARGEST_WHOLE)));
      this.#pending.copy(grown, 0, 0, this.#have);
      this.#pending = grown;
    }
    bytes.copy(this.#pending, this.#have, start, end);
    this.#have = have;
  }

  #readOn(): void {
    const { cells, fixed } = this.#masker;
    let at = 0;
    for (;;) {
      if (this.#left > 0) {
        const some = Math.min(this.#left, this.#have - at);
        if (this.#keeps) this.#keep(this.#pending.subarray(at, at + some));
        at += some;
        this.#left -= some;
        if (this.#left > 0) break;
      }
      if (this.#field < 0) {
        if (this.#have < FIELDS) break;
        if (this.#pending.readUInt16BE(5) !== cells.length) {
          throw new ProtocolViolation('a row has other fields than were described');
        }
        this.#keep(this.#pending.subarray(5, FIELDS));
        at = FIELDS;
        this.#field = 0;
      }
      if (this.#field > this.#lastMasked) {
        this.#passOn(at);
        return;
      }
      if (this.#have - at < 4) break;
      const length = this.#pending.readInt32BE(at);
      const cell = cells[this.#field]!;
      const constant = fixed[this.#field++] ?? NULL_FIELD;
      this.#left = Math.max(length, 0);
      this.#keeps = cell === null || (length < 0 && !cell.coversNull);
      // Values in a row as large as this are not read: what would depend on the value is NULL.
      this.#keep(this.#keeps ? this.#pending.subarray(at, at + 4) : constant);
      at += 4;
    }
    this.#pending.copyWithin(0, at, this.#have);
    this.#have -= at;
    this.#taken += at;
  }

  #keep(bytes: Buffer): void {
    this.#kept.push(Buffer.from(bytes));
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > MOST_KEPT) throw new RowTooLarge();
  }

  /** The length is known: what was kept goes on, and everything from `at` on as it is. */
  #passOn(at: number): void {
    const header = Buffer.allocUnsafe(5);
    header[0] = BACKEND.dataRow;
    putInt32(header, 1, 4 + this.#keptBytes + this.#size - this.#taken - at);
    for (const part of [header, ...this.#kept, this.#pending.subarray(at, this.#have)]) {
      if (part.length > 0) this.#sink.add(part, 0, part.length);
    }
    this.#kept = [];
    this.#passes = true;
  }
}

/** A value as a field: its Int32 length before it, -1 for NULL. */
function framed(value: Buffer | null): Buffer {
  const field = Buffer.alloc(4 + (value?.length ?? 0));
  field.writeInt32BE(value?.length ?? -1);
  value?.copy(field, 4);
  return field;
}

/** Where the fields of a DataRow begin: behind type, length and count. */
const FIELDS = 7;
const NULL_FIELD = Buffer.from([0xff, 0xff, 0xff, 0xff]);

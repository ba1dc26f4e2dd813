/** Where rewritten messages go; ranges of one buffer that touch each other are one write. */
export interface MessageSink {
  add(bytes: Buffer, start: number, end: number): void;
}

/** What is allocated at a time for rewritten rows, bytes; at least what one row needs. */
const MOST_ROOM = 64 * 1024;
/** For the first row, as most results have one; each time after that it is so many times as much. */
const FIRST_ROOM = 512;
const MORE = 8;
/** What belongs to nothing yet. */
const NO_ROOM = Buffer.alloc(0);

/** Room for rewritten messages: one allocation for many of them. What was written is never written again. */
export class RewriteBuffer {
  bytes: Buffer = NO_ROOM;
  at = 0;
  #next = FIRST_ROOM;

  /** Makes sure that so many bytes can be written at `at`. */
  reserve(size: number): void {
    if (this.bytes.length - this.at >= size) return;
    const room = Math.max(size, this.#next);
    this.bytes = this.#next < MOST_ROOM ? Buffer.allocUnsafe(room) : Buffer.allocUnsafeSlow(room);
    this.at = 0;
    this.#next = Math.min(this.#next * MORE, MOST_ROOM);
  }
}

/** Shorter runs are copied byte by byte: the call of a native copy costs more. */
const SHORT = 48;

export function copy(from: Buffer, start: number, end: number, to: Buffer, at: number): number {
  if (end - start > SHORT) {
    from.copy(to, at, start, end);
    return at + end - start;
  }
  let put = at;
  for (let i = start; i < end; i++) to[put++] = from[i]!;
  return put;
}

/** A row that cannot be masked without keeping more of it than there is room for. */
export class RowTooLarge extends Error {}

/** Rows up to this size are put together before they are rewritten, bytes. */
export const LARGEST_WHOLE = 16 * 1024 * 1024;
/** What is kept of a larger row until its length is known, bytes. */
export const MOST_KEPT = 64 * 1024 * 1024;

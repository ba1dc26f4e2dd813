/** Where rewritten messages go; ranges of one buffer that touch each other are one write. */
export interface MessageSink {
  add(bytes: Buffer, start: number, end: number): void;
}

/** What is allocated at a time for rewritten rows, bytes; at least what one row needs. */
const ROOM = 64 * 1024;
/** For the first row: most results have one. */
const FIRST_ROOM = 2 * 1024;

/** Room for rewritten messages: one allocation for many of them. What was written is never written again. */
export class RewriteBuffer {
  bytes = Buffer.alloc(0);
  at = 0;
  #isFirst = true;

  /** Makes sure that so many bytes can be written at `at`. */
  reserve(size: number): void {
    if (this.bytes.length - this.at >= size) return;
    const room = Math.max(size, this.#isFirst ? FIRST_ROOM : ROOM);
    this.bytes = this.#isFirst ? Buffer.allocUnsafe(room) : Buffer.allocUnsafeSlow(room);
    this.at = 0;
    this.#isFirst = false;
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

/**
 * What the server still owes: one entry for each forwarded message that has a response, in order.
 * A ring of small numbers and references, so that a query allocates nothing here.
 */

/** What an entry waits for. */
export const EXPECT = {
  query: 1,
  parse: 2,
  bind: 3,
  describe: 4,
  execute: 5,
  close: 6,
  sync: 7,
  /** A Query made to fail in place of a refused one: its ErrorResponse is replaced. */
  refusedQuery: 8,
  /** An Execute made to fail in place of a refused message of the extended protocol. */
  refusedExecute: 9,
  /** CopyDone or CopyFail sent before the server said whether it copies in: no response, but it ends the copy. */
  copyEnd: 10,
  /** A Sync the server ignores if it reads it in copy mode, and answers if the COPY has failed by then. */
  maybeSync: 11,
  /** Messages of our own: everything up to ReadyForQuery. */
  own: 12,
  /** One message of our own in the place of a part of the client's. */
  hidden: 13,
  /** What was sent in the extended protocol in the place of a Query, up to the ReadyForQuery of its Sync. */
  guardedQuery: 14,
} as const;

export type Expectation = (typeof EXPECT)[keyof typeof EXPECT];

export class Expected<T> {
  #kinds: Uint8Array = new Uint8Array(16);
  #values: (T | null)[] = new Array<T | null>(16).fill(null);
  /** Absolute positions: entries are [head, tail). */
  #head = 0;
  #tail = 0;

  get length(): number {
    return this.#tail - this.#head;
  }

  /** Absolute position of the oldest entry. */
  get head(): number {
    return this.#head;
  }

  /** Absolute position of the next entry, for {@link truncate}. */
  get tail(): number {
    return this.#tail;
  }

  push(kind: Expectation, value: T | null): void {
    if (this.#tail - this.#head === this.#kinds.length) this.#grow();
    const at = this.#tail++ & (this.#kinds.length - 1);
    this.#kinds[at] = kind;
    this.#values[at] = value;
  }

  /** Kind of the oldest entry, or 0 if there is none. */
  kind(): Expectation | 0 {
    return this.#head === this.#tail ? 0 : (this.#kinds[this.#head & (this.#kinds.length - 1)]! as Expectation);
  }

  /** What was pushed with the oldest entry. */
  value(): T | null {
    return this.#head === this.#tail ? null : this.#values[this.#head & (this.#kinds.length - 1)]!;
  }

  /** Removes the oldest entry. */
  shift(): void {
    this.#values[this.#head++ & (this.#kinds.length - 1)] = null;
  }

  /** Takes back what was pushed since `tail` and is not shifted yet, newest first. */
  truncate(tail: number, each: (kind: Expectation, value: T | null) => void): void {
    const to = Math.max(tail, this.#head);
    while (this.#tail > to) {
      const at = --this.#tail & (this.#kinds.length - 1);
      const value = this.#values[at]!;
      this.#values[at] = null;
      each(this.#kinds[at]! as Expectation, value);
    }
  }

  /** Calls `each` for every entry, oldest first. */
  forEach(each: (kind: Expectation, value: T | null) => void): void {
    for (let i = this.#head; i < this.#tail; i++) {
      const at = i & (this.#kinds.length - 1);
      each(this.#kinds[at]! as Expectation, this.#values[at]!);
    }
  }

  /** True if an entry of this kind is there. */
  has(kind: Expectation): boolean {
    for (let at = this.#head; at < this.#tail; at++)
      if (this.#kinds[at & (this.#kinds.length - 1)] === kind) return true;
    return false;
  }

  /**
   * The server has begun to take copy data: what was sent behind the COPY, up to the end of the copy, is read in copy mode.
   * @param extended true if the COPY came by Execute: Syncs up to the end become {@link EXPECT.maybeSync}
   * @returns true if the end of the copy was sent already
   */
  beginCopyIn(extended: boolean): boolean {
    const mask = this.#kinds.length - 1;
    for (let at = this.#head; at < this.#tail; at++) {
      const kind = this.#kinds[at & mask];
      if (kind === EXPECT.copyEnd) return true;
      if (extended && kind === EXPECT.sync) this.#kinds[at & mask] = EXPECT.maybeSync;
    }
    return false;
  }

  #grow(): void {
    const size = this.#kinds.length;
    const kinds = new Uint8Array(size * 2);
    const values = new Array<T | null>(size * 2).fill(null);
    for (let at = this.#head; at < this.#tail; at++) {
      kinds[at & (size * 2 - 1)] = this.#kinds[at & (size - 1)]!;
      values[at & (size * 2 - 1)] = this.#values[at & (size - 1)]!;
    }
    this.#kinds = kinds;
    this.#values = values;
  }
}

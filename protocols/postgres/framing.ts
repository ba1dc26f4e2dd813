import { ProtocolViolation } from './violation.ts';

/**
 * Finds message boundaries in a byte stream without copying.
 *
 * After start-up every message is one type byte, an Int32 length that counts itself but not the type byte, and the
 * body (PostgreSQL documentation, chapter "Message Formats"). Messages that lie whole in a chunk are delivered where
 * they lie. A message split over chunks is completed once, from its parts, when its last byte is there; nothing is
 * allocated for bytes that were only announced, so a length that lies costs no memory. Messages of a *streamed* type
 * are never completed: their bytes are delivered as pieces, in the order and the chunks in which they came. Where
 * messages of a streamed type only have to pass, they are not delivered one by one either, but as runs: a row of a big
 * result then costs no more than a look at its header.
 */
export interface FrameSink {
  /**
   * One whole message: `bytes[start]` is its type, `end` is one past its last byte.
   * @returns false to stop before this message: it will be delivered again by the next {@link Framer.push}.
   */
  message(type: number, bytes: Buffer, start: number, end: number): boolean;
  /** A part of a streamed message; `opens` on its first part (which starts with the type byte), `closes` on its last. */
  piece(type: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void;
  /**
   * Bytes of messages of the type {@link Framer.passing}: the rest of one, if one was cut off by the chunk before, and
   * `begun` further ones, of which the last may be cut off too.
   */
  passed(bytes: Buffer, start: number, end: number, begun: number): void;
}

/** What may come, by type byte. */
export interface FrameRules {
  /** 256 entries: the largest message of that type in bytes, type byte included; 0 if the type is not allowed at all. */
  readonly largest: Int32Array;
  /** 256 entries: 1 if messages of that type are streamed. */
  readonly streamed: Uint8Array;
}

const HEADER = 5;
const EMPTY = Buffer.alloc(0);

export class Framer {
  readonly #sink: FrameSink;
  readonly #largest: Int32Array;
  readonly #streamed: Uint8Array;
  /** Where the message (or its header) that came in part is completed: the first `#have` bytes are there. */
  #partial: Buffer = EMPTY;
  #have = 0;
  /** Size of the message being completed; 0 while even its header is not complete. */
  #need = 0;
  /** Bytes still to come of the streamed message whose beginning was delivered. */
  #left = 0;
  #leftType = 0;
  /** A completed message the sink did not take yet. */
  #held: Buffer | null = null;
  /** The streamed type whose messages are delivered as runs from now on; 0 for none. The sink sets it, at any time. */
  passing = 0;

  constructor(sink: FrameSink, rules: FrameRules) {
    this.#sink = sink;
    this.#largest = rules.largest;
    this.#streamed = rules.streamed;
  }

  /** True if the last byte pushed was the last of a message and nothing is held. */
  get atBoundary(): boolean {
    return this.#have === 0 && this.#left === 0 && this.#held === null;
  }

  /**
   * Takes the bytes of `chunk` from `offset` on.
   * @returns how far it got: `chunk.length`, or less if the sink stopped it; push the rest again to go on.
   * @throws ProtocolViolation on a type or a length that is not allowed.
   */
  push(chunk: Buffer, offset = 0): number {
    if (this.#held !== null) {
      const held = this.#held;
      if (!this.#sink.message(held[0]!, held, 0, held.length)) return offset;
      this.#held = null;
    }
    const length = chunk.length;
    let at = offset;
    if (this.#left > 0) {
      at = this.#leftType === this.passing ? this.#pass(chunk, at) : this.#stream(chunk, at);
      if (this.#left > 0) return at;
    }
    if (this.#have > 0) {
      at = this.#complete(chunk, at);
      if (this.#have > 0 || this.#left > 0 || this.#held !== null) return at;
    }
    const sink = this.#sink;
    while (length - at >= HEADER) {
      const type = chunk[at]!;
      if (type === this.passing) {
        const to = this.#pass(chunk, at);
        if (to > at) {
          at = to;
          continue;
        }
      }
      const size = this.#size(
        type,
        (chunk[at + 1]! << 24) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 8) | chunk[at + 4]!,
      );
      const end = at + size;
      if (end <= length) {
        if (!sink.message(type, chunk, at, end)) return at;
        at = end;
      } else if (this.#streamed[type] === 1) {
        this.#left = end - length;
        this.#leftType = type;
        sink.piece(type, chunk, at, length, true, false);
        return length;
      } else {
        this.#need = size;
        break;
      }
    }
    if (at < length) this.#append(chunk, at, length);
    return length;
  }

  /** The size of a message with its type byte, checked. */
  #size(type: number, announced: number): number {
    const limit = this.#largest[type]!;
    if (limit === 0) throw new ProtocolViolation(`invalid message type ${type}`);
    if (announced < 4) throw new ProtocolViolation(`invalid message length ${announced} for type ${type}`);
    if (announced >= limit)
      throw new ProtocolViolation(`message of type ${type} has ${announced} bytes, ${limit} allowed`);
    return announced + 1;
  }

  /**
   * Delivers the run of messages that begins at `at`, with what is left of one before.
   * @returns its end: the end of the chunk, or where something else begins, or something that is not allowed
   */
  #pass(chunk: Buffer, at: number): number {
    const type = this.passing;
    const limit = this.#largest[type]!;
    const length = chunk.length;
    let end = at + this.#left;
    let begun = 0;
    while (length - end >= HEADER && chunk[end] === type) {
      const announced = (chunk[end + 1]! << 24) | (chunk[end + 2]! << 16) | (chunk[end + 3]! << 8) | chunk[end + 4]!;
      if (announced < 4 || announced >= limit) break;
      end += announced + 1;
      begun++;
    }
    this.#left = 0;
    if (end > length) {
      this.#left = end - length;
      this.#leftType = type;
      end = length;
    }
    if (end > at) this.#sink.passed(chunk, at, end, begun);
    return end;
  }

  /** Delivers the next piece of a streamed message. */
  #stream(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    if (end === at) return at;
    this.#left -= end - at;
    this.#sink.piece(this.#leftType, chunk, at, end, false, this.#left === 0);
    return end;
  }

  /** Keeps bytes of an incomplete message. Grows by doubling: linear work and memory in what has really come. */
  #append(chunk: Buffer, from: number, to: number): void {
    const have = this.#have + to - from;
    if (have > this.#partial.length) {
      const room = Math.max(have, 2 * this.#partial.length, 64);
      const grown = Buffer.allocUnsafe(this.#need === 0 ? room : Math.min(room, this.#need));
      this.#partial.copy(grown, 0, 0, this.#have);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#have, from, to);
    this.#have = have;
  }

  #reset(): void {
    this.#partial = EMPTY;
    this.#have = 0;
    this.#need = 0;
  }

  /** Adds to the message that was begun in an earlier chunk; delivers it when it is whole. */
  #complete(chunk: Buffer, at: number): number {
    if (this.#need === 0) {
      const end = Math.min(chunk.length, at + HEADER - this.#have);
      this.#append(chunk, at, end);
      at = end;
      if (this.#have < HEADER) return at;
      const type = this.#partial[0]!;
      const size = this.#size(type, this.#partial.readInt32BE(1));
      if (this.#streamed[type] === 1) {
        const header = this.#partial;
        this.#reset();
        this.#left = size - HEADER;
        this.#leftType = type;
        this.#sink.piece(type, header, 0, HEADER, true, this.#left === 0);
        return this.#stream(chunk, at);
      }
      this.#need = size;
    }
    const end = Math.min(chunk.length, at + this.#need - this.#have);
    this.#append(chunk, at, end);
    if (this.#have < this.#need) return end;
    const whole = this.#partial.subarray(0, this.#need);
    this.#reset();
    if (!this.#sink.message(whole[0]!, whole, 0, whole.length)) this.#held = whole;
    return end;
  }

  /** What was pushed and not delivered yet: an incomplete message. For handing a stream over to another reader. */
  takeRest(): Buffer {
    const rest = this.#partial.subarray(0, this.#have);
    this.#reset();
    return rest;
  }
}

import { ProtocolViolation } from './violation.ts';

/**
 * Finds packets in a byte stream without copying, and joins those that carry one payload.
 *
 * A packet is a 3-byte length, a sequence number and that many bytes; a payload of 16 MB - 1 or more goes over several
 * packets, all full but the last (MySQL internals documentation, "MySQL Packets"). A payload that lies whole in a chunk
 * is delivered where it lies. One that is split over chunks or packets is completed once, from its parts, when its last
 * byte is there; nothing is allocated for bytes that were only announced, so a length that lies costs no memory.
 */
export interface PacketSink {
  /**
   * One whole payload: `bytes[start]` to `bytes[end - 1]`. If it is shorter than {@link FULL_PACKET} its packet is
   * `bytes[start - 4]` to `bytes[end - 1]`; otherwise {@link packetsOf} makes its packets.
   * `sequence` is the number of its last packet: what answers it goes on from there.
   * The sink may change `sequence`, `limit` and `stream` of the framer and call `passRows`.
   * @returns false to stop before this payload: it will be delivered again by the next {@link PacketFramer.push}.
   */
  payload(sequence: number, bytes: Buffer, start: number, end: number): boolean;
  /**
   * A part of a payload that is passed on in pieces, packet headers included: `opens` on its first part (`bytes[start]`
   * is a header then, and `first` the payload's first byte), `closes` on its last.
   */
  piece(first: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void;
  /**
   * Bytes of result rows, packet headers included; `begun` rows begin among them. Rows may be cut anywhere, but no run
   * has rows both up to and over the number given to {@link PacketFramer.passRows}.
   */
  rows(bytes: Buffer, start: number, end: number, begun: number): void;
}

/** How a run of rows ends: with an OK (CLIENT_DEPRECATE_EOF) or an EOF packet. An ERR packet ends it as well. */
export type RowsEnd = 'OK' | 'EOF';

const HEADER = 4;
/** Payload bytes of a packet that is followed by another of the same payload. */
export const FULL_PACKET = 0xffffff;
const EMPTY = Buffer.alloc(0);

/** Where the bytes of the payload that is under way go. */
const WHOLE = 0;
const PIECES = 1;
const ROWS = 2;

export class PacketFramer {
  /** The number the next packet has to have; -1 if any will do. */
  sequence = 0;
  /**
   * True if a packet with another number is given the right one, where it lies. In the compressed protocol it is the
   * compressed packets that count: MariaDB's clients number all others 0.
   */
  renumbers = false;
  /** The largest payload that is completed; a larger one is a violation. What is passed on in pieces has no limit. */
  limit: number;
  /** By first byte: 1 if a payload that does not lie whole in its chunk is passed on in pieces. `null`: none is. */
  stream: Uint8Array | null = null;
  readonly #sink: PacketSink;
  /** The packet or payload that came in part: its first packet's header and what is there of the payload. */
  #partial: Buffer = EMPTY;
  #have = 0;
  /** How many bytes the current packet will have made of `#partial`; 0 while that is not known. */
  #need = 0;
  /** Header of a following packet that came in part: its bytes, and how many they are. */
  #header = 0;
  #headerBytes = 0;
  /** Payload bytes still to come of the packet whose beginning was passed on. */
  #left = 0;
  /** The current payload goes on in the next packet. */
  #continues = false;
  #way = WHOLE;
  #first = 0;
  /** How rows end while they are passed on, and how many more may be. */
  #rowsEnd: RowsEnd | null = null;
  #rowsLeft = 0;
  /** A completed payload the sink did not take yet, and its number. */
  #held: Buffer | null = null;
  #heldSequence = 0;

  constructor(sink: PacketSink, limit: number) {
    this.#sink = sink;
    this.limit = limit;
  }

  /** True if the last byte pushed was the last of a payload and nothing is held. */
  get atBoundary(): boolean {
    return this.#have === 0 && this.#left === 0 && !this.#continues && this.#held === null;
  }

  /**
   * From the next payload on, result rows come: they are passed on in runs, until the payload that ends them, which is
   * delivered as usual.
   * @param most a run ends after so many rows, so that the sink can drop those that come after them
   */
  passRows(end: RowsEnd, most: number = Number.POSITIVE_INFINITY): void {
    this.#rowsEnd = end;
    this.#rowsLeft = most > 0 ? most : Number.POSITIVE_INFINITY;
  }

  /**
   * Takes the bytes of `chunk` from `offset` on.
   * @returns how far it got: `chunk.length`, or less if the sink stopped it; push the rest again to go on.
   * @throws ProtocolViolation on a sequence number out of order or a payload over the limit.
   */
  push(chunk: Buffer, offset = 0): number {
    if (this.#held !== null && !this.#deliverHeld()) return offset;
    const length = chunk.length;
    let at = offset;
    while (at < length) {
      if (this.#left > 0) {
        at = this.#passOn(chunk, at);
      } else if (this.#continues && this.#way !== WHOLE) {
        at = this.#passOnHeader(chunk, at);
      } else if (this.#have > 0) {
        at = this.#complete(chunk, at);
        if (this.#held !== null) return at;
      } else if (this.#rowsEnd !== null) {
        at = this.#passRun(chunk, at);
      } else {
        const start = at + HEADER;
        const size = length < start ? FULL_PACKET : chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16);
        if (size === FULL_PACKET || start + size > length) {
          at = this.#begin(chunk, at);
        } else {
          if (size > this.limit && this.stream?.[chunk[start]!] !== 1) throw this.#tooLarge(size);
          const expected = this.sequence;
          const sequence = this.#count(chunk, at + 3);
          if (!this.#sink.payload(sequence, chunk, start, start + size)) {
            this.sequence = expected;
            return at;
          }
          at = start + size;
        }
      }
    }
    return at;
  }

  /** Checks the sequence number at `bytes[at]`, and goes on to the next. */
  #count(bytes: Buffer, at: number): number {
    const expected = this.sequence;
    const number = bytes[at]!;
    if (expected < 0) return number;
    if (number !== expected) {
      if (!this.renumbers) throw new ProtocolViolation(`packets out of order: number ${number}, ${expected} expected`);
      bytes[at] = expected;
    }
    this.sequence = (expected + 1) & 0xff;
    return expected;
  }

  #tooLarge(size: number): ProtocolViolation {
    return new ProtocolViolation(`payload has ${size} bytes, ${this.limit} allowed`);
  }

  /** Takes what a chunk has of a packet that does not lie whole in it, or that is full. */
  #begin(chunk: Buffer, at: number): number {
    const length = chunk.length;
    if (length - at <= HEADER) {
      this.#append(chunk, at, length);
      return length;
    }
    this.#open(chunk, at, chunk[at + HEADER]!);
    return at + HEADER;
  }

  /** Decides on the way of a payload: `bytes[at]` is its header, which is taken; `first` its first byte, which is not. */
  #open(bytes: Buffer, at: number, first: number): void {
    const size = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const row = this.#rowsEnd !== null && !endsRows(first, size, this.#rowsEnd);
    if (row || (this.#rowsEnd === null && this.stream !== null && this.stream[first] === 1)) {
      this.#count(bytes, at + 3);
      this.#continues = size === FULL_PACKET;
      this.#left = size;
      if (row) {
        this.#way = ROWS;
        this.#rowsBegan(1);
        this.#sink.rows(bytes, at, at + HEADER, 1);
      } else {
        this.#way = PIECES;
        this.#first = first;
        this.#sink.piece(first, bytes, at, at + HEADER, true, false);
      }
      return;
    }
    this.#rowsEnd = null;
    if (size > this.limit) throw this.#tooLarge(size);
    this.#heldSequence = this.#count(bytes, at + 3);
    this.#continues = size === FULL_PACKET;
    if (this.#have === 0) this.#append(bytes, at, at + HEADER);
    this.#need = HEADER + size;
  }

  /** The next bytes of a payload that is passed on. */
  #passOn(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    const closes = this.#left === 0 && !this.#continues;
    if (this.#way === ROWS) this.#sink.rows(chunk, at, end, 0);
    else this.#sink.piece(this.#first, chunk, at, end, false, closes);
    if (closes) this.#way = WHOLE;
    return end;
  }

  /** The header of a following packet of a payload that is passed on. */
  #passOnHeader(chunk: Buffer, at: number): number {
    const end = this.#readHeader(chunk, at);
    const complete = this.#headerBytes === HEADER;
    let closes = false;
    if (complete) {
      this.#headerBytes = 0;
      this.#count(chunk, end - 1);
      this.#left = this.#header & FULL_PACKET;
      this.#continues = this.#left === FULL_PACKET;
      closes = this.#left === 0;
    }
    if (this.#way === ROWS) this.#sink.rows(chunk, at, end, 0);
    else this.#sink.piece(this.#first, chunk, at, end, false, closes);
    if (closes) this.#way = WHOLE;
    return end;
  }

  #readHeader(chunk: Buffer, at: number): number {
    let next = at;
    if (this.#headerBytes === 0) this.#header = 0;
    while (next < chunk.length && this.#headerBytes < HEADER) {
      this.#header |= chunk[next]! << (8 * this.#headerBytes);
      this.#headerBytes += 1;
      next += 1;
    }
    return next;
  }

  /** Passes on the rows that begin in the chunk, in one run, up to what ends them. */
  #passRun(chunk: Buffer, from: number): number {
    const length = chunk.length;
    const end = this.#rowsEnd!;
    const most = this.#rowsLeft;
    let at = from;
    let begun = 0;
    while (begun < most && length - at >= HEADER) {
      const size = chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16);
      // No row is empty.
      if (size === 0) {
        this.#rowsEnd = null;
        break;
      }
      if (length - at === HEADER) break;
      if (endsRows(chunk[at + HEADER]!, size, end)) {
        this.#rowsEnd = null;
        break;
      }
      this.#count(chunk, at + 3);
      begun += 1;
      at += HEADER + size;
      if (at > length || size === FULL_PACKET) {
        this.#way = ROWS;
        this.#left = Math.max(at - length, 0);
        this.#continues = size === FULL_PACKET;
        at = Math.min(at, length);
        break;
      }
    }
    if (at > from) {
      this.#rowsBegan(begun);
      this.#sink.rows(chunk, from, at, begun);
    } else if (this.#rowsEnd !== null) {
      this.#append(chunk, at, length);
      return length;
    }
    return at;
  }

  #rowsBegan(begun: number): void {
    this.#rowsLeft -= begun;
    if (this.#rowsLeft === 0) this.#rowsLeft = Number.POSITIVE_INFINITY;
  }

  /** Keeps bytes of an incomplete payload. Grows by doubling: linear work and memory in what has really come. */
  #append(chunk: Buffer, from: number, to: number): void {
    const have = this.#have + to - from;
    if (have > this.#partial.length) {
      const room = Math.max(have, 2 * this.#partial.length, 64);
      const grown = Buffer.allocUnsafe(this.#need < have || this.#continues ? room : Math.min(room, this.#need));
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
    this.#continues = false;
  }

  /** Adds to what came in an earlier chunk; delivers the payload when it is whole. */
  #complete(chunk: Buffer, at: number): number {
    if (this.#need === 0) {
      if (this.#have < HEADER) {
        const end = Math.min(chunk.length, at + HEADER - this.#have);
        this.#append(chunk, at, end);
        if (this.#have < HEADER || (this.#partial.readUInt32LE(0) & FULL_PACKET) !== 0) return end;
        // Empty: there is no first byte to wait for.
        this.#rowsEnd = null;
        this.#heldSequence = this.#count(this.#partial, 3);
        this.#finish();
        return end;
      }
      const header = this.#partial;
      this.#open(header, 0, chunk[at]!);
      if (this.#way !== WHOLE) this.#dropPartial();
      return at;
    }
    if (this.#have < this.#need) {
      const end = Math.min(chunk.length, at + this.#need - this.#have);
      this.#append(chunk, at, end);
      if (this.#have === this.#need && !this.#continues) this.#finish();
      return end;
    }
    const end = this.#readHeader(chunk, at);
    if (this.#headerBytes < HEADER) return end;
    this.#headerBytes = 0;
    const size = this.#header & FULL_PACKET;
    if (this.#need - HEADER + size > this.limit) throw this.#tooLarge(this.#need - HEADER + size);
    this.#heldSequence = this.#count(chunk, end - 1);
    this.#need += size;
    this.#continues = size === FULL_PACKET;
    if (size === 0) this.#finish();
    return end;
  }

  #dropPartial(): void {
    this.#partial = EMPTY;
    this.#have = 0;
    this.#need = 0;
  }

  #finish(): void {
    this.#held = this.#partial.subarray(0, this.#have);
    this.#reset();
    this.#deliverHeld();
  }

  #deliverHeld(): boolean {
    const held = this.#held!;
    const expected = this.sequence;
    if (!this.#sink.payload(this.#heldSequence, held, HEADER, held.length)) {
      this.sequence = expected;
      return false;
    }
    this.#held = null;
    return true;
  }
}

/**
 * Whether a payload that begins with `first` and whose first packet has `size` payload bytes ends the rows of a result.
 * A text row may begin with 0xfe only if its first column has 16 MB or more, and then its first packet is full.
 */
export function endsRows(first: number, size: number, end: RowsEnd): boolean {
  return first === 0xff || (first === 0xfe && (end === 'OK' ? size < FULL_PACKET : size < 9));
}

/** How many packets a payload of `size` bytes goes over. */
export function packetCount(size: number): number {
  return Math.floor(size / FULL_PACKET) + 1;
}

/** The packets of a payload; `sequence` is the number of the first. */
export function encodePackets(payload: Buffer, sequence: number): Buffer {
  const count = packetCount(payload.length);
  const packets = Buffer.allocUnsafe(payload.length + count * HEADER);
  for (let i = 0; i < count; i += 1) {
    const from = i * FULL_PACKET;
    const size = Math.min(FULL_PACKET, payload.length - from);
    const at = from + i * HEADER;
    packets.writeUIntLE(size, at, 3);
    packets[at + 3] = (sequence + i) & 0xff;
    payload.copy(packets, at + HEADER, from, from + size);
  }
  return packets;
}

/**
 * The packets of a payload as {@link PacketSink.payload} got it. They are where they came, if it is one packet.
 * @param sequence as the sink got it: the number of the last packet
 */
export function packetsOf(sequence: number, bytes: Buffer, start: number, end: number): Buffer {
  const size = end - start;
  if (size < FULL_PACKET) return bytes.subarray(start - HEADER, end);
  return encodePackets(bytes.subarray(start, end), (sequence - packetCount(size) + 1) & 0xff);
}

/**
 * Entries of the index are kept in blocks, packed: one row of the database for hundreds of them. A block says first which profiles,
 * shapes and sessions are in it, so that a search unpacks only those that may have what it looks for.
 */

/** An entry: a statement, or another record. Ids are those of the node that has written it, without the number of the node. */
export interface Entry {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Number of the record, that of the attempt for a statement. */
  readonly seq: number;
  profile: number;
  readonly shape: number | null;
  readonly session: number | null;
  /** Number of the statement within the session. */
  readonly number: number | null;
  /** Number of the record whose text it is: of those that are the same, the first. */
  readonly text: number | null;
  /** 32 hexadecimal digits. */
  readonly trace: string | null;
  readonly approval: number | null;
  rows: number | null;
  affected: number | null;
  bytes: number | null;
  micros: number | null;
}

/** A block as it is in the database. */
export interface PackedBlock {
  readonly firstAt: number;
  readonly lastAt: number;
  readonly parts: Uint8Array;
  readonly traces: Uint8Array;
  readonly entries: Uint8Array;
}

/** What is in a block, each once. Entries refer to it by position. */
export interface BlockParts {
  readonly profiles: PartIds;
  readonly shapes: PartIds;
  readonly sessions: PartIds;
}

export type PartIds = Uint32Array | Float64Array;

/**
 * True for entries that are to be unpacked, by the positions of their parts; -1 for a shape, session or trace that is not there. A search
 * looks at a million of them: no object is made for those that it does not want.
 */
export type Wanted = (profile: number, shape: number, session: number, trace: number) => boolean;

/** Traces are kept as their bytes, one behind the other. */
const TRACE_BYTES = 16;
/** About. */
const BYTES_OF_AN_ENTRY = 24;
const HEAD_BYTES = 32;

/** @param entries not empty, in the order of their records */
export function packBlock(entries: readonly Entry[]): PackedBlock {
  const profiles = new Positions<number>();
  const shapes = new Positions<number>();
  const sessions = new Positions<number>();
  const traces = new Positions<string>();
  const packed = new Packer(entries.length * BYTES_OF_AN_ENTRY);
  let [at, seq, firstAt, lastAt] = [entries[0]!.at, entries[0]!.seq, entries[0]!.at, entries[0]!.at];
  for (const entry of entries) {
    packed.signed(entry.at - at);
    packed.add(entry.seq - seq);
    packed.add(profiles.of(entry.profile));
    packed.add(entry.shape === null ? 0 : shapes.of(entry.shape) + 1);
    packed.add(entry.session === null ? 0 : sessions.of(entry.session) + 1);
    packed.add(entry.trace === null ? 0 : traces.of(entry.trace) + 1);
    packed.add(entry.text === null ? 0 : entry.seq - entry.text + 1);
    packed.optional(entry.number);
    packed.optional(entry.approval);
    packed.optional(entry.rows);
    packed.optional(entry.affected);
    packed.optional(entry.bytes);
    packed.optional(entry.micros);
    at = entry.at;
    seq = entry.seq;
    if (at < firstAt) firstAt = at;
    if (at > lastAt) lastAt = at;
  }
  const head = new Packer(HEAD_BYTES);
  head.add(entries[0]!.at);
  head.add(entries[0]!.seq);
  return {
    firstAt,
    lastAt,
    parts: packParts(profiles.values, shapes.values, sessions.values),
    traces: Buffer.from(traces.values.join(''), 'hex'),
    entries: Buffer.concat([head.bytes(), packed.bytes()]),
  };
}

/**
 * Numbers of one width: how many there are of each, and these. A search reads them of every block, so nothing has to be decoded. The
 * first says their width, 4 or 8 bytes.
 */
function packParts(...lists: readonly (readonly number[])[]): Buffer {
  const numbers = [...lists.map(({ length }) => length), ...lists.flat()];
  const isWide = numbers.some((number) => number > 0xffffffff);
  const { buffer } = isWide ? Float64Array.of(8, ...numbers) : Uint32Array.of(4, ...numbers);
  return Buffer.from(buffer);
}

export function unpackParts(bytes: Uint8Array): BlockParts {
  // Numbers of an array are where their width can divide.
  const { buffer } = new Uint8Array(bytes);
  const isNarrow = new Uint32Array(buffer, 0, 1)[0] === 4;
  const numbers = isNarrow ? new Uint32Array(buffer) : new Float64Array(buffer);
  const [, profiles = 0, shapes = 0, sessions = 0] = numbers;
  const list = (from: number, length: number) => numbers.subarray(4 + from, 4 + from + length);
  return {
    profiles: list(0, profiles),
    shapes: list(profiles, shapes),
    sessions: list(profiles + shapes, sessions),
  };
}

/** Where a trace is among those of a block; -1 where it is not. */
export function positionOfTrace(traces: Uint8Array, trace: string): number {
  const [bytes, sought] = [bufferOf(traces), Buffer.from(trace, 'hex')];
  if (sought.length !== TRACE_BYTES) return -1;
  for (let from = 0; ; ) {
    const found = bytes.indexOf(sought, from);
    if (found === -1) return -1;
    if (found % TRACE_BYTES === 0) return found / TRACE_BYTES;
    from = found + 1;
  }
}

/** @param parts of the same block, as well as `traces` */
export function unpackEntries(
  bytes: Uint8Array,
  { profiles, shapes, sessions }: BlockParts,
  traceBytes: Uint8Array,
  wanted: Wanted = () => true,
): Entry[] {
  const packed = new Unpacker(bytes);
  let at = packed.next();
  let seq = packed.next();
  const traces = bufferOf(traceBytes);
  const entries: Entry[] = [];
  while (packed.isMore) {
    at += packed.signed();
    seq += packed.next();
    const profile = packed.next();
    const shape = packed.next() - 1;
    const session = packed.next() - 1;
    const trace = packed.next() - 1;
    if (!wanted(profile, shape, session, trace)) {
      packed.skip(7);
      continue;
    }
    const text = packed.next();
    entries.push({
      ...{ at, seq, profile: profiles[profile]!, shape: shapes[shape] ?? null, session: sessions[session] ?? null },
      text: text === 0 ? null : seq - text + 1,
      trace: trace === -1 ? null : traces.toString('hex', trace * TRACE_BYTES, (trace + 1) * TRACE_BYTES),
      number: packed.optional(),
      approval: packed.optional(),
      rows: packed.optional(),
      affected: packed.optional(),
      bytes: packed.optional(),
      micros: packed.optional(),
    });
  }
  return entries;
}

/** Values in the order in which they came first. */
class Positions<Value> {
  readonly values: Value[] = [];
  readonly #positions = new Map<Value, number>();

  of(value: Value): number {
    let position = this.#positions.get(value);
    if (position === undefined) {
      position = this.values.push(value) - 1;
      this.#positions.set(value, position);
    }
    return position;
  }
}

/** Integers from 0 on, below 2^53: seven bits a byte, the lowest first, the eighth bit set in all but the last (LEB128). */
class Packer {
  #bytes: Buffer;
  #length = 0;

  /** @param room how many bytes there will be, about */
  constructor(room: number) {
    this.#bytes = Buffer.allocUnsafe(room);
  }

  add(value: number): void {
    if (this.#length + 8 > this.#bytes.length) {
      const more = Buffer.allocUnsafe(this.#bytes.length * 2);
      this.#bytes.copy(more);
      this.#bytes = more;
    }
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  signed(value: number): void {
    this.add(value < 0 ? -value * 2 - 1 : value * 2);
  }

  optional(value: number | null): void {
    this.add(value === null ? 0 : value + 1);
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

class Unpacker {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bufferOf(bytes);
  }

  get isMore(): boolean {
    return this.#offset < this.#bytes.length;
  }

  next(): number {
    let byte = this.#bytes[this.#offset++]!;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let scale = 0x80; ; scale *= 0x80) {
      byte = this.#bytes[this.#offset++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (this.#offset >= this.#bytes.length) throw new Error('a block of the index is broken');
    }
  }

  /** Passes over so many integers. */
  skip(count: number): void {
    for (let left = count; left > 0 && this.isMore; ) if (this.#bytes[this.#offset++]! < 0x80) left--;
  }

  signed(): number {
    const value = this.next();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  optional(): number | null {
    const value = this.next();
    return value === 0 ? null : value - 1;
  }
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

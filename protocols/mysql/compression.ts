import * as zlib from 'node:zlib';
import { ProtocolViolation } from './violation.ts';

/**
 * The compressed protocol (MySQL internals documentation, "Compression"; MariaDB knowledge base, "0 - Packet"): the
 * bytes of all packets, cut anywhere, in compressed packets. Each has the length of its body, a number of its own, and the
 * length of what is in it, or 0 if that is not compressed. It is in use from the OK packet of the login on.
 */
export interface CompressedPacket {
  readonly number: number;
  /** Bytes on the wire, behind the header. */
  readonly body: Buffer;
  /** Bytes of what is in it, before it was compressed; 0 if it is not compressed. */
  readonly length: number;
}

const HEADER = 7;
const EMPTY = Buffer.alloc(0);

/** Below this, compression saves nothing (MIN_COMPRESS_LENGTH of the servers). */
export const LEAST_COMPRESSED = 50;

/**
 * Finds compressed packets in a byte stream. One that lies whole in a chunk is delivered where it lies. Others are completed
 * in memory that grows with what has come: a length that lies costs nothing.
 */
export class CompressedPackets {
  readonly #most: number;
  #bytes: Buffer = EMPTY;
  #at = 0;
  #end = 0;
  /** True if `#bytes` is ours to append to. */
  #own = false;

  /** @param most what a packet may announce, bytes */
  constructor(most: number) {
    this.#most = most;
  }

  add(chunk: Buffer): void {
    const rest = this.#end - this.#at;
    if (rest === 0) {
      this.#bytes = chunk;
      this.#at = 0;
      this.#end = chunk.length;
      this.#own = false;
      return;
    }
    if (!this.#own || this.#bytes.length - this.#end < chunk.length) {
      const grown = Buffer.allocUnsafe(2 * rest + chunk.length);
      this.#bytes.copy(grown, 0, this.#at, this.#end);
      this.#bytes = grown;
      this.#at = 0;
      this.#end = rest;
      this.#own = true;
    }
    chunk.copy(this.#bytes, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next packet that has come whole; `null` if none has.
   * @throws ProtocolViolation if it announces more than it may
   */
  next(): CompressedPacket | null {
    const at = this.#at;
    if (this.#end - at < HEADER) return null;
    const size = this.#bytes.readUIntLE(at, 3);
    const length = this.#bytes.readUIntLE(at + 4, 3);
    // What is not compressed is no longer than what is in it.
    const announced = Math.max(size, length);
    if (announced > this.#most) {
      throw new ProtocolViolation(`a compressed packet of ${announced} bytes, ${this.#most} allowed`);
    }
    const start = at + HEADER;
    if (this.#end - start < size) return null;
    this.#at = start + size;
    return { number: this.#bytes[at + 3]!, body: this.#bytes.subarray(start, start + size), length };
  }
}

/** Finds where packets, those that are compressed, end in bytes that come in chunks. */
export class PacketEnds {
  /** Of the packet under way: payload bytes to come, and of its header those that have come. */
  #left = 0;
  #header = 0;
  #headerBytes = 0;

  /** @returns the offset in `chunk` behind the last packet that ends in it; 0 if none does */
  lastIn(chunk: Buffer): number {
    const { length } = chunk;
    let last = 0;
    let at = 0;
    while (at < length) {
      if (this.#left === 0) {
        this.#header |= chunk[at]! << (8 * this.#headerBytes);
        at += 1;
        this.#headerBytes += 1;
        if (this.#headerBytes < 4) continue;
        this.#left = this.#header & 0xffffff;
        this.#header = 0;
        this.#headerBytes = 0;
      }
      const step = Math.min(this.#left, length - at);
      this.#left -= step;
      at += step;
      if (this.#left === 0) last = at;
    }
    return last;
  }
}

/** @param length of what is in `body`, bytes; 0 if it is not compressed */
export function encodeCompressedPacket(number: number, body: Buffer, length: number): Buffer {
  const packet = Buffer.allocUnsafe(HEADER + body.length);
  packet.writeUIntLE(body.length, 0, 3);
  packet[3] = number;
  packet.writeUIntLE(length, 4, 3);
  body.copy(packet, HEADER);
  return packet;
}

type Done = (error: Error | null, bytes: Buffer) => void;

/** One way to compress the bodies of packets. */
export interface Compression {
  compressNow(bytes: Buffer): Buffer;
  /** The same in another thread. */
  compress(bytes: Buffer, done: Done): void;
  /** @param length what comes out, bytes @throws Error if more does, or if it is damaged */
  decompressNow(body: Buffer, length: number): Buffer;
  decompress(body: Buffer, length: number, done: Done): void;
}

/** Output is taken in portions, so that a length that lies costs no memory. */
const PORTION = 64 * 1024;

function within(length: number): { readonly maxOutputLength: number; readonly chunkSize: number } {
  return { maxOutputLength: Math.max(1, length), chunkSize: Math.max(64, Math.min(length + 1, PORTION)) };
}

/** Rows become no smaller at the 6 that is usual, which takes four times as long. */
const DEFLATE = { level: 3 };

/** CLIENT_COMPRESS: deflate in the format of zlib (RFC 1950). */
export const ZLIB: Compression = {
  compressNow: (bytes) => zlib.deflateSync(bytes, DEFLATE),
  compress: (bytes, done) => zlib.deflate(bytes, DEFLATE, done),
  decompressNow: (body, length) => zlib.inflateSync(body, within(length)),
  decompress: (body, length, done) => zlib.inflate(body, within(length), done),
};

/** Higher levels take many times as long and save little. */
const MOST_ZSTD_LEVEL = 9;
/** Base-2 logarithm: no more than a packet can have, 16 MB. A frame may ask for 128 MB of memory otherwise. */
const ZSTD_WINDOW = { [zlib.constants.ZSTD_d_windowLogMax]: 24 };

/** CLIENT_ZSTD_COMPRESSION_ALGORITHM: zstd (RFC 8878). @param level the client's wish, 1 to 22 */
export function zstd(level: number): Compression {
  const { ZSTD_c_compressionLevel } = zlib.constants;
  const options = { params: { [ZSTD_c_compressionLevel]: Math.min(Math.max(level, 1), MOST_ZSTD_LEVEL) } };
  return {
    compressNow: (bytes) => zlib.zstdCompressSync(bytes, options),
    compress: (bytes, done) => zlib.zstdCompress(bytes, options, done),
    decompressNow: (body, length) => zlib.zstdDecompressSync(body, { ...within(length), params: ZSTD_WINDOW }),
    decompress: (body, length, done) => zlib.zstdDecompress(body, { ...within(length), params: ZSTD_WINDOW }, done),
  };
}

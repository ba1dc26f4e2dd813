/** What an upstream's bytes are given to. */
export interface UpstreamReader {
  /**
   * @param chunk may be overwritten by what is read next, unless {@link holdsChunk} is true afterwards
   */
  fromUpstream(chunk: Buffer): void;
  /** True if bytes of the chunk are still wanted after {@link fromUpstream} has returned. */
  readonly holdsChunk: boolean;
  /** True while an answer of the upstream is outstanding. */
  readonly owesAnswers: boolean;
}

/** Reads nothing big and may keep what it is given; for a login. */
export const KEEPS_ALL = { holdsChunk: true, owesAnswers: false };

const BYTES = 64 * 1024;
/** A read of so many bytes is a part of a big result, bytes. */
export const BIG = 4 * 1024;

/**
 * What all sockets read into, as long as little comes at a time: an idle session keeps no buffer, and a small
 * answer is copied out of it.
 */
export const SHARED = Buffer.allocUnsafeSlow(BYTES);

/** Buffers for big results that are kept for the next one. */
const MOST_SPARE = 4;
const spare: Buffer[] = [];

/**
 * Memory for what one upstream socket reads, as the `onread` option of `net.connect` takes it.
 *
 * A big result is written from the buffer it was read into, which is used again as soon as the client's socket has taken
 * what was in it: so it makes no garbage. If the socket could not take it at once, the buffer is left to it, and what is
 * read until it has taken all is copied, so that what waits for a slow client is no larger than what was read.
 */
export class UpstreamReads {
  /** Who gets what is read from now on. */
  reader: UpstreamReader = { ...KEEPS_ALL, fromUpstream: () => undefined };
  #buffer: Buffer = SHARED;

  /** The buffer for the next read. */
  readonly buffer = (): Buffer => this.#buffer;

  readonly callback = (length: number): boolean => {
    const { reader } = this;
    const buffer = this.#buffer;
    if (length < BIG || reader.holdsChunk) {
      const chunk = Buffer.allocUnsafe(length);
      buffer.copy(chunk, 0, 0, length);
      reader.fromUpstream(chunk);
    } else {
      if (buffer === SHARED) {
        this.#buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BYTES);
        SHARED.copy(this.#buffer, 0, 0, length);
      }
      reader.fromUpstream(this.#buffer.subarray(0, length));
      if (reader.holdsChunk) this.#buffer = SHARED;
    }
    if (this.#buffer !== SHARED && (length < BIG || !reader.owesAnswers)) {
      if (spare.length < MOST_SPARE) spare.push(this.#buffer);
      this.#buffer = SHARED;
    }
    return true;
  };
}

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  type CompressedPacket,
  CompressedPackets,
  type Compression,
  encodeCompressedPacket,
  LEAST_COMPRESSED,
  PacketEnds,
} from '../../../protocols/mysql/compression.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';

/** What one compressed packet takes at most of what is sent; the header can say 16 MB - 1. */
const PART = 1024 * 1024;
/**
 * So much of a packet waits for its end, bytes: mysql-connector-python does not find a packet that is in more than two
 * compressed ones.
 */
const MOST_HELD = PART;
/** Up to here, compressing takes no longer than asking another thread for it, bytes. */
const AT_ONCE = 4 * 1024;
/** The same for decompressing. */
const DECOMPRESSED_AT_ONCE = 16 * 1024;

/**
 * A client's socket in the compressed protocol, in the place of the socket itself: what is read is what the client
 * compressed, what is written is compressed on its way. So nobody else has to know of it. It says `violation` when the
 * client breaks the protocol; whoever hears that ends it.
 *
 * Numbers of compressed packets go on from the other side's last, and from 0 with each command.
 */
export class CompressedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #compression: Compression;
  readonly #packets: CompressedPackets;
  /** Of the next compressed packet, whoever sends it. */
  #number = 0;
  /** More is wanted than was read. */
  #wanted = false;
  /** Another thread decompresses what comes next. */
  #busy = false;
  #ended = false;
  /** The beginning of a packet that is to be sent when its end has come. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  readonly #ends = new PacketEnds();

  /** @param most what a compressed packet of the client may announce, bytes */
  constructor(socket: Socket, compression: Compression, most: number) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#compression = compression;
    this.#packets = new CompressedPackets(most);
    socket.on('data', (chunk: Buffer) => {
      this.#packets.add(chunk);
      this.#deliver();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#deliver();
    });
    socket.on('close', () => {
      // After a regular end, what is still to be read is.
      if (!this.#ended || !this.writableFinished) this.destroy();
    });
  }

  /** As what it stands for: whoever is past the login needs no more of a socket than is here. */
  static inPlaceOf(socket: Socket, compression: Compression, most: number): Socket {
    return new CompressedSocket(socket, compression, most) as unknown as Socket;
  }

  /** What its bytes travel over. */
  get inner(): Socket {
    return this.#socket;
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }

  // --- What the client sends ---------------------------------------------------------------------------------------

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  #deliver(): void {
    try {
      while (this.#wanted && !this.#busy) {
        const packet = this.#packets.next();
        if (packet === null) {
          if (this.#ended) this.#push(null);
          else this.#socket.resume();
          return;
        }
        this.#take(packet);
      }
      this.#socket.pause();
    } catch (error) {
      this.#broken(error as Error);
    }
  }

  #take({ number, body, length }: CompressedPacket): void {
    if (number !== this.#number && number !== 0) {
      throw new ProtocolViolation(`compressed packets out of order: number ${number}, ${this.#number} expected`);
    }
    this.#number = (number + 1) & 0xff;
    if (length === 0) this.#push(body);
    else if (length <= DECOMPRESSED_AT_ONCE)
      this.#push(asAnnounced(this.#compression.decompressNow(body, length), length));
    else {
      this.#busy = true;
      this.#compression.decompress(body, length, (error, bytes) => {
        this.#busy = false;
        if (this.destroyed) return;
        try {
          if (error !== null) throw error;
          this.#push(asAnnounced(bytes, length));
        } catch (wrong) {
          this.#broken(wrong as Error);
          return;
        }
        this.#deliver();
      });
    }
  }

  #push(bytes: Buffer | null): void {
    if (bytes !== null && bytes.length === 0) return;
    this.#wanted = false;
    if (this.push(bytes)) this.#wanted = true;
  }

  #broken(error: Error): void {
    this.#socket.pause();
    this.#busy = true;
    const { code } = error as NodeJS.ErrnoException;
    if (!(error instanceof ProtocolViolation) && code === undefined) throw error;
    const violation =
      error instanceof ProtocolViolation ? error : new ProtocolViolation(`a compressed packet is damaged: ${code}`);
    if (!this.emit('violation', violation)) this.destroy();
  }

  // --- What it is sent ---------------------------------------------------------------------------------------------

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const end = this.#ends.lastIn(chunk);
    const begun = chunk.length - end + (end === 0 ? this.#heldBytes : 0);
    const cut = begun <= MOST_HELD ? end : chunk.length;
    const whole = cut === 0 ? null : this.#withHeld(chunk.subarray(0, cut));
    if (cut < chunk.length) {
      // The memory of a chunk is somebody else's again once it is written.
      this.#held.push(Buffer.from(chunk.subarray(cut)));
      this.#heldBytes += chunk.length - cut;
    }
    if (whole === null) done();
    else this.#send(whole, done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), '', done);
  }

  /** What was held back, and these bytes behind it. */
  #withHeld(bytes: Buffer): Buffer {
    if (this.#heldBytes === 0) return bytes;
    const all = Buffer.concat([...this.#held, bytes]);
    this.#held = [];
    this.#heldBytes = 0;
    return all;
  }

  #send(bytes: Buffer, done: () => void): void {
    if (bytes.length > PART) {
      this.#send(bytes.subarray(0, PART), () => this.#send(bytes.subarray(PART), done));
    } else if (bytes.length < LEAST_COMPRESSED) this.#put(bytes, 0, done);
    else if (bytes.length <= AT_ONCE) this.#putSmaller(bytes, this.#compression.compressNow(bytes), done);
    else {
      this.#compression.compress(bytes, (error, compressed) => {
        if (error === null) this.#putSmaller(bytes, compressed, done);
        else this.destroy(error);
      });
    }
  }

  #putSmaller(bytes: Buffer, compressed: Buffer, done: () => void): void {
    if (compressed.length < bytes.length) this.#put(compressed, bytes.length, done);
    else this.#put(bytes, 0, done);
  }

  #put(body: Buffer, length: number, done: () => void): void {
    const packet = encodeCompressedPacket(this.#number, body, length);
    this.#number = (this.#number + 1) & 0xff;
    if (this.#socket.write(packet)) done();
    else this.#socket.once('drain', done);
  }

  override _final(done: () => void): void {
    const end = (): void => void this.#socket.end(done);
    if (this.#heldBytes === 0) end();
    else this.#send(this.#withHeld(Buffer.alloc(0)), end);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

function asAnnounced(bytes: Buffer, length: number): Buffer {
  if (bytes.length === length) return bytes;
  throw new ProtocolViolation(`a compressed packet of ${bytes.length} bytes that announced ${length}`);
}

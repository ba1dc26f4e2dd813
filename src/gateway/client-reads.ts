import { Socket, type SocketConstructorOpts } from 'node:net';
import { SHARED } from './upstream-reads.ts';

/** What a client's bytes are given to. */
export interface ClientReader {
  fromClient(chunk: Buffer): void;
}

/**
 * A client's socket, whose bytes are a stream until somebody reads them.
 *
 * To a session they are given as they come, from a buffer that all sockets read into: a stream costs three times as much for a
 * small message, and a buffer of 64 kB for each read. `net.connect` has the option `onread` for that, servers have nothing: so
 * the socket that the server made is replaced by one with the same handle. See docs/decisions/0018-client-sockets.md.
 */
export class ClientReads {
  readonly socket: Socket;
  #reader: ClientReader | null = null;

  /** @param accepted by a server with `pauseOnConnect`, so that nothing has been read from it; it is of no use afterwards */
  constructor(accepted: Socket) {
    const made = accepted as unknown as { _handle: SocketConstructorOpts['handle'] | null };
    const handle = made._handle ?? null;
    // A client that has gone already.
    if (handle === null) {
      this.socket = accepted;
      return;
    }
    made._handle = null;
    accepted.destroy();
    const options = { handle, allowHalfOpen: true, onread: { buffer: SHARED, callback: this.#read } };
    this.socket = new Socket(options);
  }

  /** Who gets what is read from now on; `null` if it is a stream again. What has been read before has to be taken from the stream. */
  readBy(reader: ClientReader | null): void {
    this.#reader = reader;
  }

  readonly #read = (length: number): boolean => {
    const chunk = Buffer.allocUnsafe(length);
    SHARED.copy(chunk, 0, 0, length);
    if (this.#reader === null) return this.socket.push(chunk);
    this.#reader.fromClient(chunk);
    return true;
  };
}

import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { UpstreamConfig } from '../config/config.ts';
import { type UpstreamReader, UpstreamReads } from './upstream-reads.ts';

/** A socket to an upstream, over TLS from the moment its protocol says so, whose bytes go wherever they are wanted at the time. */
export class Link {
  socket!: Socket;
  tls: TLSSocket | null = null;
  readonly #reads = new UpstreamReads();
  #reject: ((error: Error) => void) | null = null;
  #failure: Error | null = null;
  #closed = false;
  #onClosed: (() => void) | null = null;

  async open({ host, port, tls }: UpstreamConfig): Promise<void> {
    // What TLS is made of later has to be read as a stream until then.
    const reads = tls === 'disable' ? { onread: this.#reads } : {};
    const socket = connect({ host, port, noDelay: true, keepAlive: true, ...reads });
    this.socket = socket;
    this.#watch(socket);
    if (tls !== 'disable') socket.on('data', this.#read);
    await this.until<void>((done) => socket.once('connect', done));
  }

  /** Goes over to TLS, and verifies the server as it is configured. @param protocols for ALPN */
  async secure({ host, ca, tls: mode }: UpstreamConfig, protocols: string[]): Promise<void> {
    const plain = this.socket;
    plain.off('data', this.#read);
    plain.pause();
    const tls = connectTls({
      socket: plain,
      host,
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      ...(ca === null ? {} : { ca }),
      rejectUnauthorized: mode === 'verify-full' || mode === 'verify-ca',
      ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
      ...(protocols.length === 0 ? {} : { ALPNProtocols: protocols }),
    });
    this.socket = tls;
    this.tls = tls;
    this.#watch(tls);
    await this.until<void>((done) => tls.once('secureConnect', done));
    tls.on('data', this.#read);
  }

  readonly #read = (chunk: Buffer): void => this.#reads.reader.fromUpstream(chunk);

  fail(error: Error): void {
    this.#failure ??= error;
    this.#reject?.(this.#failure);
  }

  /** Who gets what is read from now on. */
  readBy(reader: UpstreamReader): void {
    this.#reads.reader = reader;
  }

  /** Resolves when `start` calls its argument; rejects when the link fails first. */
  until<T>(start: (resolve: (value: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#reject = reject;
      if (this.#failure !== null) reject(this.#failure);
      start(resolve);
    });
  }

  async closed(): Promise<void> {
    if (this.#closed) return;
    this.socket.resume();
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
  }

  destroy(): void {
    this.socket?.destroy();
  }

  #watch(socket: Socket): void {
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => {
      this.#closed = true;
      this.fail(new Error('the server closed the connection'));
      this.#onClosed?.();
    });
  }
}

/** A connection that stays on this machine. */
export function isLoopback(socket: Socket): boolean {
  const address = socket.remoteAddress ?? '';
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.');
}

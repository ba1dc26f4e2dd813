import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { DeliveryError } from '../../../protocols/webhooks/answers.ts';
import type { SyslogExporter } from '../../config/config.ts';
import type { JournalPosition, RecordBatch } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';
import type { BatchWriter } from './formats.ts';
import type { Origin } from './origin.ts';
import { framed, headOf, syslogMessage } from './syslog-message.ts';

/** Times, milliseconds. */
const CONNECT_MS = 10_000;
const WRITE_MS = 30_000;
/** A connection is used for so long, or for so many bytes; then the receiver is asked whether it has read everything. */
const USE_MS = 30_000;
const USE_BYTES = 16 * 1024 * 1024;
/** A receiver that is gone has answered what was sent to it with a reset by then. */
const QUIET_MS = 500;
const GOODBYE_MS = 10_000;

/** Bytes that were written to the connection, and of which it is not known yet whether they were read. */
interface Sent {
  readonly bytes: Buffer;
  /** Where to begin again to send them. */
  readonly from: JournalPosition;
}

/**
 * Syslog over TLS (RFC 5425), or TCP to this machine, by octet counting.
 *
 * Syslog has no acknowledgement: what was written to a connection may be lost with it. So what was written is kept until
 * the receiver has closed the connection after Sluice has closed its side, which a receiver does once it has read
 * everything; if the connection breaks before, all of it is sent again. Messages can come twice, and none is lost.
 */
export class SyslogSender implements Exporter {
  readonly #config: SyslogExporter;
  readonly #write: BatchWriter;
  readonly #origin: Origin;
  #socket: Socket | null = null;
  /** Why the connection ended that was used last; `null` if it did not. */
  #broken: Error | null = null;
  #sent: Sent[] = [];
  #sentBytes = 0;
  /** Where to begin after everything that was sent; `null` before anything was. */
  #settled: JournalPosition | null = null;
  #connectedAt = 0;

  constructor(config: SyslogExporter, write: BatchWriter, origin: Origin) {
    this.#config = config;
    this.#write = write;
    this.#origin = origin;
  }

  async deliver(batch: RecordBatch, signal: AbortSignal): Promise<JournalPosition> {
    const { events, done } = this.#write(batch);
    const messages = events.map(({ event, text }) => framed(syslogMessage(headOf(event), text, this.#origin)));
    const bytes = Buffer.concat(messages);
    if (bytes.length > 0) {
      await this.#connected(signal);
      await this.#put(bytes, signal);
      // Where an attempt waits for its outcome from earlier on, it begins there.
      this.#sent.push({ bytes, from: this.#settled ?? batch.begin });
      this.#sentBytes += bytes.length;
    }
    this.#settled = done();
    if (this.#sentBytes >= USE_BYTES || performance.now() - this.#connectedAt > USE_MS) await this.settle(signal);
    return this.#sent[0]?.from ?? this.#settled;
  }

  async settle(signal: AbortSignal): Promise<JournalPosition | null> {
    if (this.#sent.length > 0) {
      await this.#connected(signal);
      await this.#confirm(signal);
    }
    return this.#settled;
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
  }

  /** There is a connection, and what an earlier one may have lost was written to it. */
  async #connected(signal: AbortSignal): Promise<void> {
    if (this.#socket !== null && this.#broken === null) return;
    this.#socket?.destroy();
    this.#socket = null;
    const socket = await this.#open(signal);
    this.#broken = null;
    this.#socket = socket;
    this.#connectedAt = performance.now();
    const failed = (why: string) => {
      if (this.#socket === socket) this.#broken ??= new DeliveryError(`${this.#target} ${why}`);
    };
    socket.on('error', (error) => failed(error.message));
    socket.on('end', () => failed('closed the connection'));
    socket.on('close', () => failed('closed the connection'));
    // Syslog is one way; what comes is read so that the end is.
    socket.resume();
    for (const { bytes } of this.#sent) await this.#put(bytes, signal);
  }

  get #target(): string {
    const { host, port } = this.#config.address;
    return `${host}:${port}`;
  }

  #open(signal: AbortSignal): Promise<Socket> {
    const { address, transport, ca, certificate, key } = this.#config;
    const { host, port } = address;
    const options = { host, port, allowHalfOpen: true };
    const socket =
      transport === 'tcp'
        ? connectTcp(options)
        : connectTls({
            ...options,
            // Names only: RFC 6066 has no addresses.
            ...(isIP(host) === 0 && { servername: host }),
            ...(ca !== null && { ca }),
            ...(certificate !== null && { cert: certificate }),
            ...(key !== null && { key }),
            minVersion: 'TLSv1.2',
          });
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(limit);
        signal.removeEventListener('abort', aborted);
        socket.destroy();
        reject(new DeliveryError(`cannot connect to ${this.#target}: ${why}`));
      };
      const limit = setTimeout(() => fail('no answer'), CONNECT_MS);
      const aborted = () => fail('given up');
      signal.addEventListener('abort', aborted);
      socket.on('error', (error) => fail(error.message));
      socket.once(transport === 'tcp' ? 'connect' : 'secureConnect', () => {
        clearTimeout(limit);
        signal.removeEventListener('abort', aborted);
        socket.removeAllListeners('error');
        socket.setKeepAlive(true, 30_000);
        resolve(socket);
      });
    });
  }

  /** Resolves once the operating system has the bytes. */
  #put(bytes: Buffer, signal: AbortSignal): Promise<void> {
    const socket = this.#socket!;
    return new Promise((resolve, reject) => {
      if (this.#broken !== null) {
        reject(this.#broken);
        return;
      }
      const settle = (error: Error | null) => {
        clearTimeout(limit);
        signal.removeEventListener('abort', aborted);
        socket.off('close', closed);
        if (error === null) {
          resolve();
          return;
        }
        this.#broken ??= new DeliveryError(`${this.#target}: ${error.message}`);
        reject(this.#broken);
      };
      const limit = setTimeout(() => settle(new Error(`takes nothing for ${WRITE_MS / 1000} s`)), WRITE_MS);
      const aborted = () => settle(new Error('given up'));
      const closed = () => settle(new Error('closed the connection'));
      signal.addEventListener('abort', aborted);
      socket.once('close', closed);
      socket.write(bytes, (error) => settle(error ?? null));
    });
  }

  /** Closes Sluice's side and waits for the receiver to close the other. Rejects if the connection has broken instead. */
  async #confirm(signal: AbortSignal): Promise<void> {
    const socket = this.#socket!;
    // If the receiver was gone already, this is when that shows.
    await delay(QUIET_MS, null, { signal });
    if (this.#broken !== null) throw this.#broken;
    const ended = new Promise<Error | null>((resolve) => {
      socket.once('end', () => resolve(null));
      socket.once('close', () => resolve(null));
      socket.once('error', resolve);
    });
    this.#socket = null;
    socket.end();
    let error: Error | null;
    try {
      // A receiver that does not close its side has had the time to read.
      error = await Promise.race([ended, delay(GOODBYE_MS, null, { signal })]);
    } finally {
      socket.destroy();
    }
    if (error !== null) throw new DeliveryError(`${this.#target}: ${error.message}`);
    this.#sent = [];
    this.#sentBytes = 0;
  }
}

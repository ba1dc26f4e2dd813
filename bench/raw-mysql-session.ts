/** MySQL sessions as bare sockets that look at no row, as fast or as slowly as they are told. See raw-session.ts. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { COM, encodeBareCommand } from '../protocols/mysql/commands.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { RESPONSE } from '../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from '../test/raw-mysql-client.ts';
import type { Pace, RawSessionTarget } from './raw-session.ts';

/** An EOF packet is shorter than this; a row that begins with the same byte is not. */
const LONGEST_EOF = 9;

/** Finds the end of an answer with one result set, whose definitions and rows both end with an EOF packet; or with none. */
export class AnswerEnd {
  #header = 0;
  #headerBytes = 0;
  #size = 0;
  #left = 0;
  #packets = 0;
  #eofs = 0;
  #isOk = false;
  failed = false;

  /** @returns true if the answer is over with this chunk */
  take(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        this.#header |= chunk[at]! << (8 * this.#headerBytes);
        at += 1;
        this.#headerBytes += 1;
        if (this.#headerBytes < 4) continue;
        this.#size = this.#header & 0xffffff;
        this.#left = this.#size;
        this.#header = 0;
        this.#headerBytes = 0;
        this.#packets += 1;
        continue;
      }
      if (this.#left === this.#size) this.#begins(chunk[at]!);
      const step = Math.min(this.#left, chunk.length - at);
      this.#left -= step;
      at += step;
    }
    return this.#left === 0 && this.#headerBytes === 0 && (this.#eofs === 2 || this.#isOk || this.failed);
  }

  #begins(first: number): void {
    if (first === RESPONSE.err) this.failed = true;
    else if (first === RESPONSE.eof && this.#size < LONGEST_EOF) this.#eofs += 1;
    else if (first === RESPONSE.ok && this.#packets === 1) this.#isOk = true;
  }
}

export class RawMysqlSession {
  readonly socket: Socket;
  /** What the session was greeted with as its id. */
  readonly threadId: number;

  private constructor(client: RawMysqlClient) {
    this.socket = client.socket;
    this.threadId = client.greeting.threadId;
    this.socket.removeAllListeners('data');
  }

  static async open(target: RawSessionTarget): Promise<RawMysqlSession> {
    return new RawMysqlSession(await RawMysqlClient.login(target.port, target));
  }

  /** Prepares a statement with one parameter and one column. @returns its id */
  static async openPrepared(target: RawSessionTarget, sql: string): Promise<[session: RawMysqlSession, id: number]> {
    const client = await RawMysqlClient.login(target.port, target);
    client.send(encodePackets(Buffer.concat([Buffer.of(COM.stmtPrepare), Buffer.from(sql)]), 0));
    const { payload } = await client.packet();
    if (payload[0] !== RESPONSE.ok) throw new Error(`it cannot be prepared: ${sql}`);
    // One parameter and one column, each with an EOF packet.
    for (let i = 0; i < 4; i++) await client.packet();
    return [new RawMysqlSession(client), payload.readUInt32LE(1)];
  }

  /** Sends one query and reads its answer without decoding it; returns its size in bytes. Throws if it fails. */
  query(sql: string, pace?: Pace): Promise<number> {
    return this.send(comQuery(sql), pace);
  }

  /** The same with the packets of any command that has one result. */
  async send(packets: Buffer, pace?: Pace): Promise<number> {
    const { socket } = this;
    if (socket.destroyed) throw new Error('the session was closed');
    const started = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const end = new AnswerEnd();
    let bytes = 0;
    const close = () => settle(() => reject(new Error('the session was closed')));
    const data = (chunk: Buffer) => {
      bytes += chunk.length;
      if (end.take(chunk)) {
        settle(() => (end.failed ? reject(new Error('the answer is an error')) : resolve(bytes)));
        return;
      }
      if (pace === undefined) return;
      const ahead = started + pace.stallMilliseconds + (bytes / pace.bytesPerSecond) * 1000 - performance.now();
      if (ahead > 1) {
        socket.pause();
        setTimeout(() => socket.resume(), ahead);
      }
    };
    const settle = (outcome: () => void) => {
      socket.off('data', data).off('close', close);
      outcome();
    };
    socket.on('close', close);
    if (pace === undefined) socket.on('data', data).resume();
    else {
      socket.pause();
      void sleep(pace.stallMilliseconds).then(() => socket.on('data', data).resume());
    }
    socket.write(packets);
    return promise;
  }

  /** Ends the session with COM_QUIT and waits until the socket is closed. */
  async close(): Promise<void> {
    const { socket } = this;
    if (socket.closed) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.resume();
      socket.end(encodePackets(encodeBareCommand('quit'), 0));
    });
  }
}

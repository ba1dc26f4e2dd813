/**
 * PostgreSQL sessions as bare sockets: node-postgres logs in, then the socket is ours. So a client can read as slowly as
 * it likes, or as fast as Node can without decoding rows, and thousands of idle ones cost this process little.
 */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** ReadyForQuery outside a transaction, as the last message of an answer (protocol chapter, "Message Formats"). */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
const ERROR_RESPONSE = 0x45;

export interface RawSessionTarget {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** How fast a result is taken off the socket. */
export interface Pace {
  /** Read nothing for so long after the query is sent. */
  readonly stallMilliseconds: number;
  readonly bytesPerSecond: number;
}

export class RawSession {
  readonly #socket: net.Socket;
  #failure: Error | null = null;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    socket.on('close', () => {
      this.#failure ??= new Error('the session was closed');
    });
  }

  /** Connects to 127.0.0.1, logs in, and takes the socket over. Throws what the server or the proxy said. */
  static async open(target: RawSessionTarget): Promise<RawSession> {
    const socket = new net.Socket();
    const { port, user, password, database } = target;
    const client = new pg.Client({ host: '127.0.0.1', port, user, password, database, stream: () => socket });
    await client.connect();
    // From here on node-postgres sees no byte of the session.
    for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
    return new RawSession(socket);
  }

  /**
   * Sends one simple query and reads its answer without decoding it; returns the answer's size in bytes.
   * Only for results without zero bytes in their values. Throws if the answer starts with an error or the session ends.
   */
  async query(sql: string, pace?: Pace): Promise<number> {
    if (this.#failure !== null) throw this.#failure;
    const socket = this.#socket;
    const started = performance.now();
    const answer = new Promise<number>((resolve, reject) => {
      let bytes = 0;
      let tail: Buffer = Buffer.alloc(0);
      const close = () => settle(() => reject(this.#failure));
      const data = (chunk: Buffer) => {
        if (bytes === 0 && chunk[0] === ERROR_RESPONSE) {
          return settle(() => reject(new Error(`the query was refused: ${chunk.toString('latin1').slice(5)}`)));
        }
        bytes += chunk.length;
        tail = chunk.length >= 6 ? chunk.subarray(-6) : Buffer.concat([tail, chunk]).subarray(-6);
        if (tail.equals(READY_FOR_QUERY)) return settle(() => resolve(bytes));
        if (pace === undefined) return;
        const dueAt = started + pace.stallMilliseconds + (bytes / pace.bytesPerSecond) * 1000;
        const ahead = dueAt - performance.now();
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
      else sleep(pace.stallMilliseconds).then(() => socket.on('data', data).resume());
    });
    if (pace !== undefined) socket.pause();
    const text = Buffer.from(`${sql}\0`);
    const header = Buffer.from([0x51, 0, 0, 0, 0]);
    header.writeInt32BE(text.length + 4, 1);
    socket.write(Buffer.concat([header, text]));
    return answer;
  }

  /** Ends the session with Terminate and waits until the socket is closed. */
  async close(): Promise<void> {
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once('close', resolve);
      this.#socket.resume();
      this.#socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
    });
  }
}

/** Opens `count` sessions, a few at a time as a pool of a real application would. Closes those it opened if one fails. */
export async function openSessions(target: RawSessionTarget, count: number): Promise<RawSession[]> {
  const sessions: RawSession[] = [];
  let started = 0;
  const opener = async () => {
    while (started < count) {
      started++;
      sessions.push(await RawSession.open(target));
    }
  };
  const openers = await Promise.allSettled(Array.from({ length: 16 }, opener));
  const failure = openers.find((opened) => opened.status === 'rejected');
  if (failure !== undefined) {
    await closeSessions(sessions);
    throw new Error(`session ${sessions.length + 1} of ${count} could not be opened`, { cause: failure.reason });
  }
  return sessions;
}

export async function closeSessions(sessions: readonly RawSession[]): Promise<void> {
  await Promise.all(sessions.map((session) => session.close()));
}

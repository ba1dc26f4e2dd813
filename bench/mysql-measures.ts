/** The cases of `npm run bench -- mysql`: what is done to one contender, and which figures come out of it. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { encodeComStmtExecute } from '../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../protocols/mysql/responses.ts';
import type { RunningContender } from './contenders.ts';
import { cpuMicroseconds, residentBytes } from './process-usage.ts';
import { AnswerEnd, RawMysqlSession } from './raw-mysql-session.ts';
import type { RawSessionTarget } from './raw-session.ts';
import { percentile, spreadOf } from './spread.ts';

/** Every figure the table can show, in its order. */
export const MEASURES = {
  cpu: 'CPU of the proxy, us per query (8 clients, prepared)',
  throughput: 'Throughput, queries/s (noise on a shared machine)',
  p50: 'Latency, 1 client, p50, us',
  p99: 'Latency, 1 client, p99, us',
  connect: 'Connect and log in (TLS off), ms',
  connectCpu: 'CPU of the proxy, us per connection with one query',
  bulk: 'Bulk result of 1 M rows, MB/s',
  bulkCpu: 'CPU of the proxy, ms per 100 MB of result',
  restMemory: 'Memory at rest, MB',
  idleMemory: 'Memory per idle session, kB (500 sessions)',
  streamMemory: 'More memory for 1 GB to a slow reader than for 100 MB, MB',
  crowdAloneP99: '50 busy clients alone, p99, us',
  crowdP99: '50 busy clients beside 2,000 idle sessions, p99, us',
} as const;
export type Measure = keyof typeof MEASURES;
export type Figures = Partial<Record<Measure, number>>;

export type Login = Omit<RawSessionTarget, 'port'>;
export type Case = (contender: RunningContender, login: Login) => Promise<Figures>;

const ROWS = 1_000_000;
const POINTS = 100_000;

/** Makes the tables the cases read: points, and a million rows, three of their four columns text. */
export const BENCH_TABLES = `
  CREATE TABLE points (id INT PRIMARY KEY, balance INT NOT NULL);
  INSERT INTO points SELECT seq, seq * 7 FROM seq_1_to_${POINTS};
  CREATE TABLE bulk (id INT PRIMARY KEY, name VARCHAR(60), note VARCHAR(60), email VARCHAR(60));
  INSERT INTO bulk SELECT seq, CONCAT('name ', MD5(seq)), CONCAT('a note of some length ', seq % 1000),
    CONCAT('mail', seq % 100000, '@example.com') FROM seq_1_to_${ROWS}`;

/** Compiles the code of the contenders and fills caches before anything counts. */
export const warmUp: Case = async (contender, login) => {
  await queries(2)(contender, login);
  return bulk(contender, login);
};

export function queries(seconds: number): Case {
  return async (contender, login) => {
    const before = usedCpu(contender);
    const began = performance.now();
    const { done } = await pointSelects(contender, login, 8, seconds);
    const took = (performance.now() - began) / 1000;
    const cpu = await cpuSince(contender, before);
    return { throughput: done / took, ...(cpu !== null && { cpu: cpu / done }) };
  };
}

export const latency: Case = async (contender, login) => {
  const { times } = await pointSelects(contender, login, 1, 1);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
};

/** What a new connection costs: one client that connects, asks one query, and leaves, for a second. */
export const connect: Case = async (contender, login) => {
  const before = usedCpu(contender);
  let connections = 0;
  let connecting = 0;
  for (const until = performance.now() + 1000; performance.now() < until; connections += 1) {
    const began = performance.now();
    const session = await RawMysqlSession.open({ ...login, port: contender.port });
    connecting += performance.now() - began;
    await session.query('SELECT 1');
    await session.close();
  }
  const cpu = await cpuSince(contender, before);
  return { connect: connecting / connections, ...(cpu !== null && { connectCpu: cpu / connections }) };
};

/** What the server sends of the big result, bytes: masks make less of it, and are measured by what they are given. */
let bulkBytes = 0;

/** A big result, read as fast as a socket can be read. */
export const bulk: Case = async (contender, login) => {
  const session = await RawMysqlSession.open({ ...login, port: contender.port });
  const before = usedCpu(contender);
  const began = performance.now();
  const received = await session.query('SELECT * FROM bulk');
  const milliseconds = performance.now() - began;
  const cpu = await cpuSince(contender, before);
  await session.close();
  bulkBytes = Math.max(bulkBytes, received);
  return {
    bulk: bulkBytes / 1000 / milliseconds,
    ...(cpu !== null && { bulkCpu: cpu / 1000 / (bulkBytes / 100_000_000) }),
  };
};

/** Memory of a process that was just started, and what each of 500 idle sessions adds to it; as measures.ts does it. */
export const idleMemory: Case = async (contender, login) => {
  const { pid } = contender;
  if (pid === null) return {};
  await sleep(1000);
  const atRest = residentBytes(pid);
  const sessions = await openSessions(contender, login, 100);
  try {
    await sleep(500);
    const before = residentBytes(pid);
    sessions.push(...(await openSessions(contender, login, 500)));
    await sleep(1000);
    return { restMemory: atRest / 1e6, idleMemory: (residentBytes(pid) - before) / 500 / 1000 };
  } finally {
    await closeSessions(sessions);
  }
};

/** See measures.ts: a client that first reads nothing, and then 150 MB/s. */
export const slowReader: Case = async (contender, login) => {
  const { pid } = contender;
  if (pid === null) return {};
  const session = await RawMysqlSession.open({ ...login, port: contender.port });
  const mostMemory = async (size: number, stallMilliseconds: number): Promise<number> => {
    let most = residentBytes(pid);
    const watch = setInterval(() => {
      most = Math.max(most, residentBytes(pid));
    }, 50);
    try {
      const sql = `SELECT REPEAT('x', 993) FROM seq_1_to_${size * 1000}`; // 1,000 bytes a row on the wire
      const bytes = await session.query(sql, { stallMilliseconds, bytesPerSecond: 150_000_000 });
      if (bytes < size * 1_000_000) throw new Error(`only ${bytes} bytes of ${size} MB came`);
      return most;
    } finally {
      clearInterval(watch);
    }
  };
  try {
    const small = await mostMemory(100, 1000);
    return { streamMemory: Math.max(0, (await mostMemory(1000, 2000)) - small) / 1e6 };
  } finally {
    await session.close();
  }
};

/** 50 busy clients alone, then beside 2,000 idle sessions, all of which must still answer afterwards. */
export const crowd: Case = async (contender, login) => {
  const busy = async () => percentile((await pointSelects(contender, login, 50, 2)).times, 0.99);
  const alone = [await busy(), await busy()];
  const idle = await openSessions(contender, login, 2000);
  try {
    const beside = [await busy(), await busy()];
    for (const session of idle) await session.query('SELECT 1');
    return { crowdAloneP99: spreadOf(alone).median, crowdP99: spreadOf(beside).median };
  } finally {
    await closeSessions(idle);
  }
};

/** So many clients, each with one `SELECT balance FROM points WHERE id = ?` after the other, prepared. */
async function pointSelects(
  { port }: RunningContender,
  login: Login,
  clients: number,
  seconds: number,
): Promise<{ readonly done: number; readonly times: Float64Array }> {
  const target = { ...login, port };
  const loops = await Promise.all(Array.from({ length: clients }, () => PointSelects.open(target)));
  await Promise.all(loops.map((loop) => loop.run(seconds * 1000)));
  await Promise.all(loops.map((loop) => loop.close()));
  // The first ones of each find code that is not compiled.
  const times = Float64Array.from(loops.flatMap((loop) => loop.times.slice(20))).sort();
  return { done: loops.reduce((sum, loop) => sum + loop.times.length, 0), times };
}

/** Of one client. */
class PointSelects {
  /** Of each query, microseconds. */
  readonly times: number[] = [];
  readonly #session: RawMysqlSession;
  readonly #execute: Buffer;
  #end = new AnswerEnd();
  #until = 0;
  #sentAt = 0;
  #finished: () => void = () => undefined;

  private constructor(session: RawMysqlSession, execute: Buffer) {
    this.#session = session;
    this.#execute = execute;
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  get #socket(): Socket {
    return this.#session.socket;
  }

  static async open(target: RawSessionTarget): Promise<PointSelects> {
    const [session, statementId] = await RawMysqlSession.openPrepared(
      target,
      'SELECT balance FROM points WHERE id = ?',
    );
    const id = { type: FIELD_TYPE.long, unsigned: false, name: '', value: Buffer.alloc(4) };
    const execute = encodeComStmtExecute({ statementId, flags: 0, typesSent: true, parameters: [id] }, 1, {
      client: CLIENT.protocol41,
      mariadb: 0,
    });
    return new PointSelects(session, encodePackets(execute, 0));
  }

  async run(milliseconds: number): Promise<void> {
    this.#until = performance.now() + milliseconds;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#finished = resolve;
    this.#socket.once('close', () => reject(new Error('the session was closed')));
    this.#send();
    await promise;
  }

  #send(): void {
    this.#execute.writeInt32LE(1 + Math.floor(Math.random() * POINTS), this.#execute.length - 4);
    this.#sentAt = performance.now();
    this.#socket.write(Buffer.from(this.#execute));
  }

  #read(chunk: Buffer): void {
    if (!this.#end.take(chunk)) return;
    if (this.#end.failed) {
      this.#socket.destroy();
      return;
    }
    const now = performance.now();
    this.times.push((now - this.#sentAt) * 1000);
    this.#end = new AnswerEnd();
    if (now < this.#until) this.#send();
    else this.#finished();
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/** Opens sessions, a few at a time as a pool of a real application would. Closes those it opened if one fails. */
async function openSessions({ port }: RunningContender, login: Login, count: number): Promise<RawMysqlSession[]> {
  const sessions: RawMysqlSession[] = [];
  let started = 0;
  const opener = async () => {
    while (started < count) {
      started += 1;
      sessions.push(await RawMysqlSession.open({ ...login, port }));
    }
  };
  const openers = await Promise.allSettled(Array.from({ length: 16 }, opener));
  const failure = openers.find((opened) => opened.status === 'rejected');
  if (failure === undefined) return sessions;
  await closeSessions(sessions);
  throw new Error(`session ${sessions.length + 1} of ${count} could not be opened`, { cause: failure.reason });
}

async function closeSessions(sessions: readonly RawMysqlSession[]): Promise<void> {
  await Promise.all(sessions.map((session) => session.close()));
}

function usedCpu({ pid }: RunningContender): number | null {
  return pid === null ? null : cpuMicroseconds(pid);
}

async function cpuSince({ pid }: RunningContender, before: number | null): Promise<number | null> {
  if (pid === null || before === null) return null;
  await sleep(100); // What the last queries leave to do, such as closing sessions and writing records, counts as well.
  return cpuMicroseconds(pid) - before;
}

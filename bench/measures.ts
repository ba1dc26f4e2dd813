/** The cases: what is done to one contender, and which figures come out of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningContender } from './contenders.ts';
import { type PgbenchTarget, selectOnly, selectOnlyLatencies } from './pgbench.ts';
import { cpuMicroseconds, residentBytes } from './process-usage.ts';
import { closeSessions, openSessions, RawSession } from './raw-session.ts';
import { percentile, spreadOf } from './spread.ts';

/** Every figure the table can show, in the order of the table. Smaller is better except where `more` says so. */
export const MEASURES = {
  cpu: { title: 'CPU of the proxy, us per query (8 clients, prepared)', digits: 1 },
  throughput: { title: 'Throughput, queries/s (8 clients; noise on a shared machine)', digits: 0, more: true },
  latencyP50: { title: 'Latency, 1 client, p50, us', digits: 0 },
  latencyP99: { title: 'Latency, 1 client, p99, us', digits: 0 },
  connect: { title: 'Connect and log in (SCRAM, TLS off), ms', digits: 2 },
  connectCpu: { title: 'CPU of the proxy, us per connection with one query', digits: 0 },
  bulk: { title: 'Bulk result of 1 M rows, MB/s', digits: 0, more: true },
  bulkCpu: { title: 'CPU of the proxy, ms per 100 MB of result', digits: 1 },
  restMemory: { title: 'Memory at rest, MB', digits: 1 },
  idleMemory: { title: 'Memory per idle session, kB (500 sessions)', digits: 1 },
  streamMemory: { title: 'More memory for 1 GB to a slow reader than for 100 MB, MB', digits: 1 },
  crowdAloneP99: { title: '50 busy clients alone, p99, us', digits: 0 },
  crowdP99: { title: '50 busy clients beside 2,000 idle sessions, p99, us', digits: 0 },
} as const satisfies Record<string, { title: string; digits: number; more?: true }>;

export type Measure = keyof typeof MEASURES;
export type Figures = Partial<Record<Measure, number>>;

/** What the cases need to know of the server behind the contender. */
export interface Access {
  readonly pgbench: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export type Case = (contender: RunningContender, access: Access) => Promise<Figures>;

/** Makes the table the bulk case reads: a million rows, about 114 MB on the wire, three of its four columns text. */
export const BULK_TABLE = [
  `CREATE TABLE bench_bulk AS
     SELECT n AS id, 'name ' || md5(n::text) AS name, 'a note of some length ' || n % 1000 AS note,
            'mail' || n % 100000 || '@example.com' AS email
     FROM generate_series(1, 1000000) AS n`,
  'VACUUM (FREEZE, ANALYZE) bench_bulk', // So that no reader is the one to set hint bits.
  'CHECKPOINT',
] as const;

/** What the server sends of all rows of that table, bytes: masks may make more or less of it. */
const BULK_BYTES = 111_667_796;

/** Compiles the code of the contenders and fills caches before anything counts. */
export const warmUp: Case = async (contender, access) => {
  await queries(1)(contender, access);
  await bulk(contender, access);
  return {};
};

/** CPU time per query and throughput: `pgbench -S`, prepared, 8 clients. */
export function queries(seconds: number): Case {
  return async (contender, access) => {
    const before = usedCpu(contender);
    const result = await selectOnly(target(contender, access), ['-M', 'prepared', '-c', '8', '-T', String(seconds)]);
    const cpu = await cpuSince(contender, before);
    return {
      ...(cpu === null ? {} : { cpu: cpu / result.transactions }),
      throughput: result.transactionsPerSecond,
    };
  };
}

/** Latency of one client, from pgbench's log of every transaction. */
export function latency(seconds: number): Case {
  return async (contender, access) => {
    const options = ['-M', 'prepared', '-c', '1', '-T', String(seconds)];
    const sorted = await selectOnlyLatencies(target(contender, access), options);
    return { latencyP50: percentile(sorted, 0.5), latencyP99: percentile(sorted, 0.99) };
  };
}

/** What a new connection costs: pgbench connects anew for each query, one client. */
export function connect(seconds: number): Case {
  return async (contender, access) => {
    const before = usedCpu(contender);
    const result = await selectOnly(target(contender, access), ['-C', '-c', '1', '-T', String(seconds)]);
    const cpu = await cpuSince(contender, before);
    if (result.connectMilliseconds === null) throw new Error('pgbench -C reported no connection time');
    return {
      connect: result.connectMilliseconds,
      ...(cpu === null ? {} : { connectCpu: cpu / result.transactions }),
    };
  };
}

/** A big result, read as fast as a socket can be read. */
export const bulk: Case = async (contender, access) => {
  const session = await RawSession.open(target(contender, access));
  try {
    const cpuBefore = usedCpu(contender);
    const started = performance.now();
    await session.query('SELECT * FROM bench_bulk');
    const milliseconds = performance.now() - started;
    const cpu = await cpuSince(contender, cpuBefore);
    return {
      bulk: BULK_BYTES / 1000 / milliseconds,
      ...(cpu === null ? {} : { bulkCpu: cpu / 1000 / (BULK_BYTES / 100_000_000) }),
    };
  } finally {
    await session.close();
  }
};

/** Memory of a process that was just started, and what each of 500 idle sessions adds to it. */
export const idleMemory: Case = async (contender, access) => {
  const { pid } = contender;
  if (pid === null) return {};
  await sleep(1000);
  const atRest = residentBytes(pid);
  // The first sessions make the runtime compile code and grow its heap: that is not what one more session costs.
  const first = await openSessions(target(contender, access), 100);
  const more: RawSession[] = [];
  try {
    await sleep(500);
    const before = residentBytes(pid);
    more.push(...(await openSessions(target(contender, access), 500)));
    await sleep(1000);
    const idle = (residentBytes(pid) - before) / 500;
    return { restMemory: atRest / 1_000_000, idleMemory: idle / 1000 };
  } finally {
    await closeSessions([...first, ...more]);
  }
};

/**
 * How much more memory a process needs at most for a result of 1 GB than for one of 100 MB, in front of a client that first
 * reads nothing and then takes 150 MB/s. In the silent time a proxy without backpressure swallows all there
 * is; what it needs for the smaller result already is what the runtime needs to move any data at all.
 */
export const slowReader: Case = async (contender, access) => {
  const { pid } = contender;
  if (pid === null) return {};
  const session = await RawSession.open(target(contender, access));
  const mostMemory = async (size: number, stallMilliseconds: number): Promise<number> => {
    let most = residentBytes(pid);
    const watch = setInterval(() => {
      most = Math.max(most, residentBytes(pid));
    }, 50);
    try {
      // More than 1,000 bytes a row on the wire, of which masks take or add some.
      const sql = `SELECT name, repeat('x', 989) FROM bench_bulk LIMIT ${size * 1000}`;
      const bytes = await session.query(sql, { stallMilliseconds, bytesPerSecond: 150_000_000 });
      if (bytes < size * 1_000_000) throw new Error(`only ${bytes} bytes of ${size} MB came`);
      return most;
    } finally {
      clearInterval(watch);
    }
  };
  try {
    const small = await mostMemory(100, 1000);
    return { streamMemory: Math.max(0, (await mostMemory(1000, 2000)) - small) / 1_000_000 };
  } finally {
    await session.close();
  }
};

/** 50 busy clients alone, then beside 2,000 idle sessions, all of which must still answer afterwards. */
export function crowd(seconds: number): Case {
  return async (contender, access) => {
    const busy = async () => {
      const options = ['-M', 'prepared', '-c', '50', '-j', '2', '-T', String(seconds)];
      return percentile(await selectOnlyLatencies(target(contender, access), options), 0.99);
    };
    const alone = [await busy(), await busy()];
    const idle = await openSessions(target(contender, access), 2000);
    try {
      const beside = [await busy(), await busy()];
      for (const session of idle) await session.query('SELECT 1');
      return { crowdAloneP99: spreadOf(alone).median, crowdP99: spreadOf(beside).median };
    } finally {
      await closeSessions(idle);
    }
  };
}

function target({ port }: RunningContender, { pgbench, ...login }: Access): PgbenchTarget {
  return { binary: pgbench, port, ...login };
}

function usedCpu({ pid }: RunningContender): number | null {
  return pid === null ? null : cpuMicroseconds(pid);
}

async function cpuSince({ pid }: RunningContender, before: number | null): Promise<number | null> {
  if (pid === null || before === null) return null;
  await sleep(100); // What the last queries leave to do, such as closing sessions and writing records, counts as well.
  return cpuMicroseconds(pid) - before;
}

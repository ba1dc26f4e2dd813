import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { initialise, selectOnly } from '../../bench/pgbench.ts';
import { closeSessions, openSessions } from '../../bench/raw-session.ts';
import { type PostgresServer, startPostgres } from '../servers/postgres.ts';
import { type Sluice, startSluice } from '../sluice.ts';
import { accountFor, type JournalAccount } from './journal-account.ts';
import { openDescriptors, type Sample, takeSample } from './sampling.ts';
import { openWhatStaysOpen, SCENARIOS, type Scenario, SOAK_RULES, SOAK_TABLES, type Worker } from './scenarios.ts';
import { slopePerMinute } from './slope.ts';

export interface SoakOptions {
  /** How long the load lasts. */
  readonly seconds: number;
  /** Time between two samples. */
  readonly sampleSeconds: number;
  /** Told of each sample as it is taken. */
  readonly onSample?: (sample: Sample) => void;
}

/** What one kind of client did. */
export interface ScenarioOutcome {
  readonly name: string;
  /** Turns of a scenario, transactions of pgbench. */
  turns: number;
  /** Statements it saw completed. */
  completed: number;
  /** What went otherwise than it must, with how often. */
  readonly errors: Map<string, number>;
}

/** How a figure grew after the warm-up. */
export interface Growth {
  readonly figure: 'residentMB' | 'heapMB' | 'externalMB' | 'descriptors' | 'sessions';
  readonly perMinute: number;
  /** The most that counts as flat. */
  readonly bound: number;
}

export interface SoakOutcome {
  readonly at: string;
  readonly seconds: number;
  readonly postgres: string;
  readonly samples: readonly Sample[];
  /** Before the load, and after all clients had left. */
  readonly descriptors: { readonly before: number; readonly after: number };
  readonly scenarios: readonly ScenarioOutcome[];
  readonly journal: JournalAccount;
  /** `null` if the run was too short to judge it. */
  readonly growth: readonly Growth[] | null;
  /** What was left out, and why. */
  readonly notRun: readonly string[];
  /** Why the soak fails; empty if it passes. */
  readonly failures: readonly string[];
}

const PASSWORD = 'soak';
const IDLE_SESSIONS = 50;

/** The part of a run that caches, pools and V8's heap are given to reach their size. */
const WARM_UP = 0.25;
/** Seconds after the warm-up below which a slope says more about garbage collection than about leaks. */
const SHORTEST_JUDGED = 180;

/**
 * The most growth a minute, by the regression line, that counts as flat. Garbage collection moves resident memory by
 * some 10 MB from sample to sample, which in ten minutes makes slopes of several tenths of a MB a minute out of nothing.
 * A leak of 1 kB for each connection, or of 100 bytes for each statement, is above the bound at this load.
 */
const BOUNDS: Readonly<Record<Growth['figure'], number>> = {
  residentMB: 1.5,
  heapMB: 1,
  externalMB: 1,
  descriptors: 1,
  sessions: 1,
};

/** pgbench's clients; the rate keeps them from being a CPU burner. */
const PGBENCH: readonly { readonly name: string; readonly options: readonly string[] }[] = [
  { name: 'pgbench-simple', options: ['-M', 'simple', '-c', '4', '-R', '200'] },
  { name: 'pgbench-extended', options: ['-M', 'extended', '-c', '4', '-R', '200'] },
  { name: 'pgbench-prepared', options: ['-M', 'prepared', '-c', '8', '-R', '400'] },
  { name: 'pgbench-connect', options: ['-M', 'simple', '-C', '-c', '2', '-R', '5'] },
];

/** Puts a mixed load on a PostgreSQL behind a Sluice of its own and says what it found. Rejects if it cannot be run. */
export async function soak(options: SoakOptions): Promise<SoakOutcome> {
  const postgres = await startPostgres({ config: { max_connections: '300' } });
  let sluice: Sluice | null = null;
  try {
    await postgres.query(SOAK_TABLES);
    const { host, port, superuser: user, password, database } = postgres;
    const users = ['idle', ...SCENARIOS.map(({ name }) => name), ...PGBENCH.map(({ name }) => name)];
    sluice = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: users.map((name) => ({ name, password: PASSWORD })),
      rulesYaml: SOAK_RULES,
    });
    return await soakSluice(sluice, postgres, options);
  } finally {
    await sluice?.stop();
    await postgres.stop();
  }
}

async function soakSluice(sluice: Sluice, postgres: PostgresServer, options: SoakOptions): Promise<SoakOutcome> {
  const at = new Date().toISOString();
  const failures: string[] = [];
  const notRun: string[] = [];
  await openWhatStaysOpen(workerOf(sluice, 'idle'));
  await settled(sluice, 0);
  const before = openDescriptors(sluice.pid);

  const idle = await openSessions({ ...target(sluice), user: 'idle' }, IDLE_SESSIONS);
  const until = performance.now() + options.seconds * 1000;
  const samples: Sample[] = [];
  const [scenarios, pgbench] = await Promise.all([
    Promise.all(SCENARIOS.map((scenario) => play(sluice, scenario, until))),
    playPgbench(sluice, postgres, options.seconds, notRun),
    keepSampling(sluice, options, until, samples),
  ]);
  for (const session of idle) {
    await session.query('SELECT 1').catch((error: Error) => failures.push(`an idle session: ${error.message}`));
  }
  await closeSessions(idle);

  const after = await settled(sluice, before);
  const last = await takeSample(sluice, options.seconds + (performance.now() - until) / 1000);
  if (last.sessions > 0) failures.push(`${last.sessions} sessions remain at the end`);
  if (after > before) failures.push(`${after} descriptors remain at the end; ${before} before the load`);
  if (last.outcomesLost > 0) failures.push(`${last.outcomesLost} outcomes were given up`);
  const backends = await clientBackends(postgres);
  if (backends > 0) failures.push(`${backends} sessions of Sluice remain on the server`);
  failures.push(...complaints(sluice.log()));

  sluice.signal('SIGTERM');
  const code = await sluice.exited;
  if (code !== 0) failures.push(`Sluice ends with ${code}`);
  const journal = await accountFor(join(dirname(sluice.configFile), 'journal'));
  const clients = [...scenarios, ...pgbench];
  failures.push(...journal.problems, ...unrecorded(clients, journal), ...(await missing(postgres, journal)));
  for (const { name, turns, errors } of clients) {
    for (const [message, count] of errors) failures.push(`${name}, ${count} times: ${message}`);
    if (turns === 0) failures.push(`${name} did nothing`);
  }
  const growth = growthOf(samples, options.seconds);
  for (const { figure, perMinute, bound } of growth ?? []) {
    if (perMinute > bound) failures.push(`${figure} grows by ${perMinute.toFixed(2)} a minute; ${bound} count as flat`);
  }
  return {
    at,
    seconds: options.seconds,
    postgres: postgres.version,
    samples: [...samples, last],
    descriptors: { before, after },
    scenarios: clients,
    journal,
    growth,
    notRun,
    failures,
  };
}

function target({ host, port }: Sluice) {
  return { host, port, password: PASSWORD, database: 'db' };
}

function workerOf(sluice: Sluice, user: string): Worker {
  return { login: { ...target(sluice), user }, turn: 0, completed: 0, client: null };
}

/** All workers of a scenario until the time is over; a turn that has begun is ended. */
async function play(sluice: Sluice, scenario: Scenario, until: number): Promise<ScenarioOutcome> {
  const outcome: ScenarioOutcome = { name: scenario.name, turns: 0, completed: 0, errors: new Map() };
  const work = async (worker: Worker) => {
    for (; performance.now() < until; worker.turn++) {
      try {
        await scenario.turn(worker);
        outcome.turns++;
      } catch (error) {
        count(outcome, error as Error);
        worker.client?.destroy();
        worker.client = null;
      }
      await sleep(scenario.pause);
    }
    if (worker.client !== null) {
      worker.client.socket.end();
      if (!worker.client.closed) await once(worker.client.socket, 'close');
    }
    outcome.completed += worker.completed;
  };
  // Each begins with another turn, so that all kinds of turns meet.
  const workers = Array.from({ length: scenario.workers }, (_, turn) => ({ ...workerOf(sluice, scenario.name), turn }));
  await Promise.all(workers.map(work));
  return outcome;
}

async function playPgbench(
  sluice: Sluice,
  postgres: PostgresServer,
  seconds: number,
  notRun: string[],
): Promise<ScenarioOutcome[]> {
  const binary = join(postgres.binDir ?? '', 'pgbench');
  if (postgres.binDir === null || !existsSync(binary)) {
    notRun.push('pgbench: it is not beside this PostgreSQL');
    return [];
  }
  const { port, superuser: user, password, database } = postgres;
  await initialise({ binary, port, user, password, database }, 1);
  return Promise.all(
    PGBENCH.map(async ({ name, options }) => {
      const outcome: ScenarioOutcome = { name, turns: 0, completed: 0, errors: new Map() };
      const client = { binary, port: sluice.port, user: name, password: PASSWORD, database: 'db' };
      try {
        outcome.turns = (await selectOnly(client, [...options, '-T', String(seconds)])).transactions;
        outcome.completed = outcome.turns;
      } catch (error) {
        count(outcome, error as Error);
      }
      return outcome;
    }),
  );
}

function count({ errors }: ScenarioOutcome, error: Error): void {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  const message = `${error.message}${cause}`;
  errors.set(message, (errors.get(message) ?? 0) + 1);
}

async function keepSampling(sluice: Sluice, options: SoakOptions, until: number, samples: Sample[]): Promise<void> {
  const begun = performance.now();
  while (performance.now() < until) {
    const sample = await takeSample(sluice, (performance.now() - begun) / 1000);
    samples.push(sample);
    options.onSample?.(sample);
    await sleep(options.sampleSeconds * 1000);
  }
}

/** Waits, at most 15 s, until no session is left and no more than `most` descriptors (0: whatever); gives their number. */
async function settled(sluice: Sluice, most: number): Promise<number> {
  for (let waited = 0; ; waited += 100) {
    const { sessions, descriptors } = await takeSample(sluice, 0);
    if ((sessions === 0 && (most === 0 || descriptors <= most)) || waited > 15_000) return descriptors;
    await sleep(100);
  }
}

async function clientBackends(postgres: PostgresServer): Promise<number> {
  const [row] = await postgres.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
  );
  return Number(row?.n);
}

/** Lines of the log that this load gives no cause for. */
function complaints(log: string): string[] {
  const lines = log.split('\n').filter((line) => line !== '');
  const unexpected = lines.filter((line) => {
    if (!line.startsWith('{')) return true;
    const { level, msg } = JSON.parse(line) as { level: string; msg: string };
    return !(['info', 'debug', 'trace'].includes(level) || msg === 'authentication failed');
  });
  return unexpected.slice(0, 10).map((line) => `in the log: ${line}`);
}

/** Every statement that a client saw completed has an `ok` in the journal. */
function unrecorded(clients: readonly ScenarioOutcome[], journal: JournalAccount): string[] {
  return clients.flatMap(({ name, completed }) => {
    const recorded = journal.completedBy.get(name) ?? 0;
    return recorded >= completed ? [] : [`${name} saw ${completed} statements completed, the journal ${recorded}`];
  });
}

/** Every row that is in the table has its INSERT in the journal as completed, and the other way round. */
async function missing(postgres: PostgresServer, journal: JournalAccount): Promise<string[]> {
  const [row] = await postgres.query('SELECT count(*)::int AS n FROM arrived');
  const arrived = Number(row?.n);
  if (arrived === journal.rowsArrived) return [];
  return [`${arrived} rows have arrived at the server, ${journal.rowsArrived} by the journal`];
}

/** `null` if the run is too short. Throws if there are too few samples. */
function growthOf(samples: readonly Sample[], seconds: number): Growth[] | null {
  if (seconds * (1 - WARM_UP) < SHORTEST_JUDGED) return null;
  const judged = samples.filter(({ at }) => at >= seconds * WARM_UP);
  return (Object.keys(BOUNDS) as Growth['figure'][]).map((figure) => ({
    figure,
    perMinute: slopePerMinute(judged.map((sample) => ({ at: sample.at, value: sample[figure] }))),
    bound: BOUNDS[figure],
  }));
}

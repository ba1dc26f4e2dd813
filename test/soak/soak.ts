import { once } from 'node:events';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Login } from '../raw-client.ts';
import { type Sluice, type SluiceConnection, startSluice } from '../sluice.ts';
import { accountFor, type JournalAccount } from './journal-account.ts';
import { type Load, noteError, type Scenario, type ScenarioOutcome, type Worker } from './load.ts';
import { openDescriptors, type Sample, takeSample } from './sampling.ts';
import { slopePerMinute } from './slope.ts';

export interface SoakOptions {
  /** How long the load lasts. */
  readonly seconds: number;
  /** Time between two samples. */
  readonly sampleSeconds: number;
  /** Told of each sample as it is taken. */
  readonly onSample?: (sample: Sample) => void;
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
  readonly server: string;
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

/** Puts a load on its server behind a Sluice of its own and says what it found. Rejects if it cannot be run. */
export async function soak<Client extends { readonly socket: Socket }>(
  load: Load<Client>,
  options: SoakOptions,
): Promise<SoakOutcome> {
  let sluice: Sluice | null = null;
  try {
    const users = ['idle', ...load.scenarios.map(({ name }) => name), ...load.programs];
    sluice = await startSluice({
      connections: [load.connection],
      users: users.map((name) => ({ name, password: PASSWORD })),
      rulesYaml: load.rules,
    });
    return await soakSluice(sluice, load, options);
  } finally {
    await sluice?.stop();
    await load.stop();
  }
}

async function soakSluice<Client extends { readonly socket: Socket }>(
  sluice: Sluice,
  load: Load<Client>,
  options: SoakOptions,
): Promise<SoakOutcome> {
  const login = (user: string): Login => loginOf(sluice, load.connection, user);
  const at = new Date().toISOString();
  const failures: string[] = [];
  const notRun: string[] = [];
  await load.openWhatStaysOpen(workerOf(login('idle')));
  await settled(sluice, 0);
  const before = openDescriptors(sluice.pid);

  const idle = await load.openIdle(login('idle'), IDLE_SESSIONS);
  const until = performance.now() + options.seconds * 1000;
  const samples: Sample[] = [];
  const [scenarios, programs] = await Promise.all([
    Promise.all(load.scenarios.map((scenario) => play(login(scenario.name), scenario, until))),
    load.runPrograms(sluice, PASSWORD, options.seconds, notRun),
    keepSampling(sluice, options, until, samples),
  ]);
  await idle.check().catch((error: Error) => failures.push(`an idle session: ${error.message}`));
  await idle.close();

  const after = await settled(sluice, before);
  const last = await takeSample(sluice, options.seconds + (performance.now() - until) / 1000);
  if (last.sessions > 0) failures.push(`${last.sessions} sessions remain at the end`);
  if (after > before) failures.push(`${after} descriptors remain at the end; ${before} before the load`);
  if (last.outcomesLost > 0) failures.push(`${last.outcomesLost} outcomes were given up`);
  const left = await load.sessionsAtServer();
  if (left > 0) failures.push(`${left} sessions of Sluice remain on the server`);
  failures.push(...complaints(sluice.log()));

  sluice.signal('SIGTERM');
  const code = await sluice.exited;
  if (code !== 0) failures.push(`Sluice ends with ${code}`);
  const journal = await accountFor(join(dirname(sluice.configFile), 'journal'));
  const clients = [...scenarios, ...programs];
  failures.push(...journal.problems, ...unrecorded(clients, journal), ...missing(await load.rowsArrived(), journal));
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
    server: load.server,
    samples: [...samples, last],
    descriptors: { before, after },
    scenarios: clients,
    journal,
    growth,
    notRun,
    failures,
  };
}

function loginOf({ host, port, mysqlPort }: Sluice, { name, protocol }: SluiceConnection, user: string): Login {
  return { host, port: protocol === 'mysql' ? mysqlPort : port, password: PASSWORD, database: name, user };
}

function workerOf<Client>(login: Login): Worker<Client> {
  return { login, turn: 0, completed: 0, client: null };
}

/** All workers of a scenario until the time is over; a turn that has begun is ended. */
async function play<Client extends { readonly socket: Socket }>(
  login: Login,
  scenario: Scenario<Client>,
  until: number,
): Promise<ScenarioOutcome> {
  const outcome: ScenarioOutcome = { name: scenario.name, turns: 0, completed: 0, errors: new Map() };
  const work = async (worker: Worker<Client>) => {
    for (; performance.now() < until; worker.turn++) {
      try {
        await scenario.turn(worker);
        outcome.turns++;
      } catch (error) {
        noteError(outcome, error as Error);
        worker.client?.socket.destroy();
        worker.client = null;
      }
      await sleep(scenario.pause);
    }
    if (worker.client !== null) {
      const { socket } = worker.client;
      socket.end();
      if (!socket.closed) await once(socket, 'close');
    }
    outcome.completed += worker.completed;
  };
  // Each begins with another turn, so that all kinds of turns meet.
  const workers = Array.from({ length: scenario.workers }, (_, turn) => ({ ...workerOf<Client>(login), turn }));
  await Promise.all(workers.map(work));
  return outcome;
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
function missing(arrived: number, journal: JournalAccount): string[] {
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

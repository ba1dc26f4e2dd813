/** `npm run bench -- mysql`: the cases of the PostgreSQL benchmark in front of a MariaDB, with a client of our own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createCachingSha2Verifier, formatCachingSha2Verifier } from '../protocols/mysql/caching-sha2-password.ts';
import { freePort } from '../test/servers/free-port.ts';
import { startMariadb } from '../test/servers/mariadb.ts';
import type { MysqlFamilyServer } from '../test/servers/mysql-family.ts';
import { MOST_SESSIONS, type RunningContender, startProgram, startRelay } from './contenders.ts';
import {
  BENCH_TABLES,
  bulk,
  type Case,
  connect,
  crowd,
  idleMemory,
  latency,
  MEASURES,
  type Measure,
  queries,
  slowReader,
  warmUp,
} from './mysql-measures.ts';
import { pairedSpread, spreadOf } from './spread.ts';

export interface MysqlBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Names of the contenders that take part; others than those here are for PostgreSQL. */
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly gate: boolean;
}

type Start = (server: MysqlFamilyServer, directory: string) => Promise<RunningContender>;

/** The judged one last. */
const CONTENDERS: readonly { readonly name: string; readonly label: string; readonly start: Start }[] = [
  {
    name: 'direct',
    label: 'direct',
    start: async (server) => ({ port: server.port, pid: null, stop: async () => {} }),
  },
  { name: 'relay', label: 'bare Node relay', start: startRelay },
  {
    name: 'sluice-allow',
    label: 'Sluice, no rules',
    start: (server, directory) => startSluice(server, directory, []),
  },
  {
    name: 'sluice-masks',
    label: 'Sluice, + masks',
    start: (server, directory) => startSluice(server, directory, ['../rules/destructive.yaml', 'mysql-masks.yaml']),
  },
  {
    name: 'sluice-rules',
    label: 'Sluice, + shipped rules',
    start: (server, directory) => startSluice(server, directory, ['../rules/destructive.yaml']),
  },
];

/** All that was measured, by contender. */
type Samples = ReadonlyMap<string, Partial<Record<Measure, number[]>>>;

const JUDGED = 'sluice-rules';
/** The same with masks. */
const MASKS = 'sluice-masks';

/** What docs/performance.md promises, of the contender with rules. */
const BUDGETS: readonly {
  readonly title: string;
  readonly bound: 'at most' | 'at least';
  readonly limit: number;
  readonly unit: string;
  /** Only a ratio of CPU time is steady enough on a shared machine to fail a build. */
  readonly gated?: true;
  readonly value: (samples: Samples) => number | null;
}[] = [
  {
    title: 'CPU per query, against the bare relay',
    bound: 'at most',
    limit: 1.25,
    unit: 'x',
    gated: true,
    value: beside('cpu', 'relay', ratio),
  },
  {
    title: 'Bulk throughput, against the bare relay',
    bound: 'at least',
    limit: 0.95,
    unit: 'x',
    value: beside('bulk', 'relay', ratio),
  },
  {
    title: 'CPU per query with a masked column',
    bound: 'at most',
    limit: 1.4,
    unit: 'x',
    value: beside('cpu', 'relay', ratio, MASKS),
  },
  {
    title: 'Bulk throughput, three columns masked',
    bound: 'at least',
    limit: 0.6,
    unit: 'x',
    value: beside('bulk', 'relay', ratio, MASKS),
  },
  { title: 'Latency added, p50', bound: 'at most', limit: 60, unit: 'us', value: beside('p50', 'relay', difference) },
  { title: 'Latency added, p99', bound: 'at most', limit: 200, unit: 'us', value: beside('p99', 'relay', difference) },
  {
    title: 'Connect and log in, against direct',
    bound: 'at most',
    limit: 2,
    unit: 'x',
    value: beside('connect', 'direct', ratio),
  },
  { title: 'Memory at rest', bound: 'at most', limit: 60, unit: 'MB', value: own('restMemory') },
  { title: 'Memory per idle session', bound: 'at most', limit: 40, unit: 'kB', value: own('idleMemory') },
  { title: '1 GB to a slow reader', bound: 'at most', limit: 64, unit: 'MB more', value: own('streamMemory') },
  {
    title: '50 busy beside 2,000 idle, p99',
    bound: 'at most',
    limit: 2,
    unit: 'x',
    value: (samples) => {
      const [beside, alone] = [own('crowdP99')(samples), own('crowdAloneP99')(samples)];
      return beside === null || alone === null ? null : beside / alone;
    },
  },
];
/** By how much the gate lets a budget be missed. */
const SLACK = 0.15;

export async function benchMysql(options: MysqlBenchOptions, progress: (step: string) => void): Promise<number> {
  const { rounds, seconds, only, quick, gate } = options;
  const server = await startMariadb({
    config: { innodb_buffer_pool_size: '512M', max_connections: String(MOST_SESSIONS + 100) },
  });
  if (server === null) return 2;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
  const contenders = CONTENDERS.filter(({ name }) => only.includes(name));
  const running = new Map<string, RunningContender>();
  const samples = new Map(contenders.map(({ name }) => [name, {} as Partial<Record<Measure, number[]>>]));
  const login = { user: server.superuser, password: server.password, database: server.database };

  const start = async (contender: (typeof CONTENDERS)[number]): Promise<void> => {
    const home = mkdtempSync(path.join(directory, 'contender-'));
    running.set(contender.name, await contender.start(server, home));
  };
  const stop = async (name: string): Promise<void> => {
    await running.get(name)?.stop();
    running.delete(name);
  };
  const run = async (name: string, title: string, measure: Case, keep = true): Promise<void> => {
    progress(`${title}: ${name}`);
    const figures = await measure(running.get(name)!, login);
    if (!keep) return;
    const kept = samples.get(name)!;
    for (const [figure, value] of Object.entries(figures) as [Measure, number][]) {
      kept[figure] = [...(kept[figure] ?? []), value];
    }
  };

  try {
    progress('filling the database');
    await server.query(BENCH_TABLES);
    for (const contender of contenders) await start(contender);
    for (const { name } of contenders) await run(name, 'warm-up', warmUp, false);
    const repeated = [
      { title: 'queries', measure: queries(seconds), times: rounds },
      { title: 'latency', measure: latency, times: Math.min(rounds, 3) },
      { title: 'connect', measure: connect, times: Math.min(rounds, 3) },
      { title: 'bulk', measure: bulk, times: rounds },
    ];
    for (const { title, measure, times } of repeated) {
      for (let round = 0; round < times; round++) {
        // Each round begins with another contender, so that none always runs in the wake of the same one.
        for (let i = 0; i < contenders.length; i++) {
          const { name } = contenders[(i + round) % contenders.length]!;
          await run(name, `${title} ${round + 1}/${times}`, measure);
        }
      }
    }
    for (const { name } of contenders) await stop(name);

    // Memory is that of a process that has done nothing else, and one contender at a time.
    for (const contender of contenders) {
      const { name } = contender;
      if (quick || (name !== 'relay' && name !== JUDGED)) continue;
      await start(contender);
      await run(name, 'idle memory', idleMemory);
      await run(name, 'slow reader', slowReader);
      await run(name, '2,000 idle, 50 busy', crowd);
      await stop(name);
    }
    return report(samples, server, gate);
  } finally {
    for (const name of [...running.keys()]) await stop(name);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function startSluice(
  server: MysqlFamilyServer,
  directory: string,
  rules: readonly string[],
): Promise<RunningContender> {
  const port = await freePort();
  const settings = path.join(directory, 'sluice.yaml');
  const { superuser: user, password, database } = server;
  const verifier = formatCachingSha2Verifier(await createCachingSha2Verifier(password));
  const upstream = {
    host: '127.0.0.1',
    port: server.port,
    database,
    user,
    password: { env: 'UPSTREAM' },
    tls: 'disable',
  };
  const configuration = {
    listen: { mysql: `127.0.0.1:${port}` },
    connections: [{ name: database, protocol: 'mysql', upstream, default: 'allow' }],
    identity: { without_tls: 'loopback', users: [{ name: user, kind: 'agent', groups: ['bench'], mysql: verifier }] },
    rules: rules.map((file) => path.join(import.meta.dirname, file)),
    recording: { directory: path.join(directory, 'journal'), index: false },
    limits: { sessions: MOST_SESSIONS },
  };
  writeFileSync(settings, JSON.stringify(configuration)); // JSON is YAML.
  const main = path.join(import.meta.dirname, '../src/cli/sluice.js');
  return startProgram(process.execPath, [main, 'serve', '--config', settings], port, { env: { UPSTREAM: password } });
}

function ratio(value: number, reference: number): number {
  return value / reference;
}

function difference(value: number, reference: number): number {
  return value - reference;
}

function own(measure: Measure): (samples: Samples) => number | null {
  return (samples) => {
    const values = samples.get(JUDGED)?.[measure];
    return values === undefined ? null : spreadOf(values).median;
  };
}

/** Beside another contender, round by round. */
function beside(measure: Measure, other: string, combine: (value: number, reference: number) => number, name = JUDGED) {
  return (samples: Samples): number | null =>
    pairedSpread(samples.get(name)?.[measure] ?? [], samples.get(other)?.[measure] ?? [], combine)?.median ?? null;
}

function report(samples: Samples, server: MysqlFamilyServer, gate: boolean): number {
  const lines: string[] = [
    `MariaDB ${server.version}, Node ${process.versions.node}. Median (min to max); x: against the relay, round by round.`,
  ];
  for (const [measure, title] of Object.entries(MEASURES) as [Measure, string][]) {
    const relay = samples.get('relay')?.[measure] ?? [];
    const measured = CONTENDERS.filter(({ name }) => samples.get(name)?.[measure] !== undefined);
    if (measured.length === 0) continue;
    lines.push('', title);
    for (const { name, label } of measured) {
      const values = samples.get(name)![measure]!;
      const { median, min, max } = spreadOf(values);
      const against = name === 'relay' ? null : pairedSpread(values, relay, ratio);
      const digits = median < 100 ? 1 : 0;
      const range = `(${min.toFixed(digits)} to ${max.toFixed(digits)})`;
      const x = against === null ? '' : `  ${against.median.toFixed(2)} x`;
      lines.push(`  ${label.padEnd(26)}${median.toFixed(digits).padStart(9)} ${range}${x}`);
    }
  }
  lines.push('', 'Budgets, of Sluice with the shipped rules');
  let closed = false;
  for (const { title, bound, limit, unit, gated, value } of BUDGETS) {
    const measured = value(samples);
    if (measured === null) {
      lines.push(`  ${title.padEnd(42)}not measured`);
      continue;
    }
    const isMet = bound === 'at most' ? measured <= limit : measured >= limit;
    if (gated === true && measured > limit * (1 + SLACK)) closed = true;
    lines.push(
      `  ${title.padEnd(42)}${measured.toFixed(2).padStart(8)} ${unit}, ${bound} ${limit}: ${isMet ? 'met' : 'missed'}`,
    );
  }
  console.log(`\n${lines.join('\n')}`);
  const results = path.join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const file = path.join(results, `mysql-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.json`);
  writeFileSync(file, `${JSON.stringify({ server: server.version, samples: Object.fromEntries(samples) }, null, 2)}\n`);
  return gate && closed ? 1 : 0;
}

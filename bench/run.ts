/**
 * `npm run bench`: what Sluice costs, side by side with a direct connection, a bare relay and its peers. docs/performance.md
 * tells what the figures mean. Exit code 0; 1 if a contender or a case failed, or `--gate` found a CPU ratio too far over its
 * budget; 2 for wrong arguments or a machine that cannot measure.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type PostgresServer, startPostgres } from '../test/servers/postgres.ts';
import { gateFailures, judge } from './budgets.ts';
import { chart } from './chart.ts';
import { CONTENDERS, type Contender, isInstalled, MOST_SESSIONS, type RunningContender } from './contenders.ts';
import {
  type Access,
  BULK_TABLE,
  bulk,
  type Case,
  connect,
  crowd,
  idleMemory,
  latency,
  type Measure,
  queries,
  slowReader,
  warmUp,
} from './measures.ts';
import type { ContenderOutcome, DetectorCost, FirstSight, Outcome } from './outcome.ts';
import { initialise } from './pgbench.ts';
import { budgets, table } from './report.ts';

const USAGE =
  'usage: npm run bench -- [postgres|mysql|index] [--rounds N] [--seconds S] [--only NAME,NAME] [--statements N] [--quick] [--gate]';

interface Options {
  readonly what: 'postgres' | 'mysql' | 'index';
  readonly rounds: number;
  readonly seconds: number;
  readonly contenders: readonly Contender[];
  readonly quick: boolean;
  readonly gate: boolean;
  /** Of the journal that the index is made of. */
  readonly statements: number;
}

/** A contender of this run: its process as long as it works, and what was found out. */
interface Entrant {
  readonly contender: Contender;
  readonly outcome: ContenderOutcome;
  running: RunningContender | null;
}

// Children end with this process (see contenders.ts); an interrupt has to go by `exit` for that.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code));
}

const started = performance.now();
const options = readArguments(process.argv.slice(2));
process.exitCode = await main(options);

function readArguments(args: string[]): Options {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        quick: { type: 'boolean', default: false },
        gate: { type: 'boolean', default: false },
        statements: { type: 'string' },
      },
    });
    const [what = 'postgres', ...further] = positionals;
    if ((what !== 'postgres' && what !== 'mysql' && what !== 'index') || further.length > 0)
      throw new Error(`there is no benchmark ${positionals.join(' ')}`);
    const whole = (name: 'rounds' | 'seconds' | 'statements', fallback: number): number => {
      const value = Number(values[name] ?? fallback);
      if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a whole number from 1`);
      return value;
    };
    const names = values.only?.split(',') ?? CONTENDERS.map(({ name }) => name);
    const unknown = names.filter((name) => !CONTENDERS.some((contender) => contender.name === name));
    if (unknown.length > 0) {
      throw new Error(`--only takes ${CONTENDERS.map(({ name }) => name).join(', ')}; not ${unknown.join(', ')}`);
    }
    return {
      what,
      rounds: whole('rounds', values.quick ? 2 : 5),
      seconds: whole('seconds', values.quick ? 1 : 3),
      contenders: CONTENDERS.filter(({ name }) => names.includes(name)),
      quick: values.quick,
      gate: values.gate,
      statements: whole('statements', values.quick ? 100_000 : 1_000_000),
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

async function main({ what, rounds, seconds, contenders, quick, gate, statements }: Options): Promise<number> {
  if (process.platform !== 'linux') {
    console.error('The benchmark reads CPU time and memory from /proc, so it runs on Linux only.');
    return 2;
  }
  if (what === 'index') return (await import('./index.ts')).benchIndex({ rounds, seconds, statements }, progress);
  if (what === 'mysql') {
    const only = contenders.map(({ name }) => name);
    return (await import('./mysql.ts')).benchMysql({ rounds, seconds, only, quick, gate }, progress);
  }
  const server = await startPostgres({
    version: 15,
    config: { max_connections: String(MOST_SESSIONS + 100), shared_buffers: '512MB', autovacuum: 'off' },
  });
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
  chmodSync(directory, 0o711); // PgBouncer, under another account, has to get through to its own directory.
  const entrants: Entrant[] = contenders.map((contender) => ({
    contender,
    outcome: { name: contender.name, label: contender.label, samples: {}, trouble: null },
    running: null,
  }));
  try {
    if (server.binDir === null || !isInstalled('pgbench', [server.binDir])) {
      console.error('The benchmark needs pgbench: install PostgreSQL 15 with its client programs.');
      return 2;
    }
    const { superuser: user, password, database } = server;
    const access: Access = { pgbench: path.join(server.binDir, 'pgbench'), user, password, database };
    await fill(server, access);
    const start = async (entrant: Entrant) => {
      const own = mkdtempSync(path.join(directory, `${entrant.contender.name}-`));
      entrant.running = await entrant.contender.start(server, own);
    };

    await startAll(entrants, start);
    const repeated = [
      { name: 'warm-up', measure: warmUp, rounds: 1 },
      { name: 'queries', measure: queries(seconds), rounds },
      { name: 'latency', measure: latency(1), rounds: Math.min(rounds, 3) },
      { name: 'connect', measure: connect(1), rounds: Math.min(rounds, 3) },
      { name: 'bulk', measure: bulk, rounds },
    ];
    for (const { name, measure, rounds: times } of repeated) {
      for (let round = 0; round < times; round++) {
        // Each round begins with another contender, so that none always runs in the wake of the same one.
        for (const entrant of rotated(entrants, round)) {
          await runCase(entrant, `${name} ${round + 1}/${times}`, measure, access);
        }
      }
    }
    await stopAll(entrants);

    // Memory is that of a process that has done nothing else, and one contender at a time.
    for (const entrant of entrants) {
      const { contender, outcome } = entrant;
      if (contender.name === 'direct' || outcome.trouble !== null || (quick && !contender.longCases)) continue;
      await startAll([entrant], start);
      await runCase(entrant, 'idle memory', idleMemory, access);
      if (contender.longCases && !quick) {
        await runCase(entrant, 'slow reader', slowReader, access);
        await runCase(entrant, '2,000 idle, 50 busy', crowd(2), access);
      }
      await stopAll([entrant]);
    }
    return await conclude(entrants, server, { rounds, seconds, quick }, gate);
  } finally {
    await stopAll(entrants);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fill(server: PostgresServer, access: Access): Promise<void> {
  progress('filling the database');
  const { pgbench, ...login } = access;
  await initialise({ binary: pgbench, port: server.port, ...login }, 10);
  for (const sql of BULK_TABLE) await server.query(sql);
}

async function startAll(entrants: readonly Entrant[], start: (entrant: Entrant) => Promise<void>): Promise<void> {
  for (const entrant of entrants) {
    const { contender, outcome } = entrant;
    if (contender.program !== undefined && !isInstalled(contender.program)) {
      outcome.trouble = { kind: 'not installed', reason: `there is no ${contender.program} on this machine` };
      progress(`${contender.name}: ${outcome.trouble.reason}`);
      continue;
    }
    try {
      await start(entrant);
    } catch (error) {
      fail(entrant, 'start', error);
    }
  }
}

async function stopAll(entrants: readonly Entrant[]): Promise<void> {
  for (const entrant of entrants) {
    await entrant.running?.stop();
    entrant.running = null;
  }
}

/** Runs a case for a contender that still stands. One that fails is out of all further cases, and of none of the report. */
async function runCase(entrant: Entrant, name: string, measure: Case, access: Access): Promise<void> {
  const { running, outcome } = entrant;
  if (running === null || outcome.trouble !== null) return;
  progress(`${name}: ${entrant.contender.name}`);
  try {
    const figures = await measure(running, access);
    for (const [figure, value] of Object.entries(figures) as [Measure, number][]) {
      outcome.samples[figure] = [...(outcome.samples[figure] ?? []), value];
    }
  } catch (error) {
    fail(entrant, name, error);
  }
}

function fail({ contender, outcome }: Entrant, during: string, error: unknown): void {
  const { message, cause } = error as Error;
  const reason = `${during}: ${message}${cause instanceof Error ? `: ${cause.message}` : ''}`;
  outcome.trouble = { kind: 'failed', reason };
  progress(`${contender.name} FAILED: ${reason}`);
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const first = by % list.length;
  return [...list.slice(first), ...list.slice(0, first)];
}

/** First sights, the report on standard output, the files; returns the exit code. */
async function conclude(
  entrants: readonly Entrant[],
  server: PostgresServer,
  options: Outcome['options'],
  gate: boolean,
): Promise<number> {
  const failures: string[] = [];
  const firstSight: FirstSight[] = [];
  if (entrants.some(({ contender }) => contender.name.startsWith('sluice'))) {
    progress('first sight of statements');
    try {
      const { measureFirstSight } = await import('./first-sight.ts');
      firstSight.push(...(await measureFirstSight()));
    } catch (error) {
      failures.push(`first sight of statements: ${(error as Error).message}`);
    }
  }
  const detectors: DetectorCost[] = [];
  if (entrants.some(({ contender }) => contender.name === 'sluice-masks')) {
    progress('detectors');
    try {
      const { measureDetectors } = await import('./detectors.ts');
      detectors.push(...measureDetectors());
    } catch (error) {
      failures.push(`detectors: ${(error as Error).message}`);
    }
  }
  const [cpu] = os.cpus();
  const outcome: Outcome = {
    at: new Date().toISOString(),
    machine: {
      cpu: cpu?.model ?? 'unknown',
      cores: os.availableParallelism(),
      node: process.versions.node,
      postgres: server.version,
    },
    commit: commit(),
    options,
    contenders: entrants.map((entrant) => entrant.outcome),
    firstSight,
    detectors,
    failures,
  };
  const judgements = judge(outcome);
  const gateReport = gate ? gateFailures(judgements, outcome) : [];
  console.log(`\n${table(outcome)}\n\n${budgets(judgements)}`);
  console.log('\nSluice records every statement in all of its rows: recording has no switch.');
  for (const line of gateReport) console.log(`GATE: ${line}`);

  const results = path.join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const base = path.join(results, `postgres-${outcome.at.replaceAll(/[-:]|\.\d+/g, '')}`);
  const judged = judgements.map(({ budget: { title, bound, limit, unit }, value, result }) => ({
    ...{ title, bound, limit, unit, value, result },
  }));
  writeFileSync(`${base}.json`, `${JSON.stringify({ ...outcome, budgets: judged }, null, 2)}\n`);
  writeFileSync(`${base}.svg`, chart(outcome));
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`\n${minutes} minutes. ${path.relative(process.cwd(), base)}.json and .svg`);
  const failed = failures.length > 0 || entrants.some(({ outcome: { trouble } }) => trouble?.kind === 'failed');
  return failed || gateReport.length > 0 ? 1 : 0;
}

function commit(): string | null {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with local changes');
  } catch {
    return null; // Not a clone, or no git: the figures stand without it.
  }
}

/** One line per step on standard error, overwritten in place on a terminal. */
function progress(step: string): void {
  const seconds = Math.round((performance.now() - started) / 1000);
  const line = `[${seconds} s] ${step}`;
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
}

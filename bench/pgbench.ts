/** Runs pgbench and reads what it prints. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where pgbench connects to, and which binary it is. Always 127.0.0.1, TLS off. */
export interface PgbenchTarget {
  readonly binary: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface PgbenchResult {
  readonly transactions: number;
  readonly transactionsPerSecond: number;
  /** Mean time to connect and log in, in milliseconds. Only a run with `-C` has it. */
  readonly connectMilliseconds: number | null;
}

/** Creates pgbench's tables, `scale` times 100,000 accounts. Throws with pgbench's own message if it fails. */
export async function initialise(target: PgbenchTarget, scale: number): Promise<void> {
  await pgbench(target, ['-i', '-q', '-s', String(scale)]);
}

/**
 * One run of pgbench's built-in select-only script. `options` are pgbench's own (`-c 8 -T 3`).
 * Throws if pgbench fails, reports a failed transaction or did none.
 */
export async function selectOnly(target: PgbenchTarget, options: readonly string[]): Promise<PgbenchResult> {
  return parseResult(await pgbench(target, ['-n', '-S', ...options]));
}

/** Like {@link selectOnly}, and returns the latency of each transaction in microseconds, ascending. */
export async function selectOnlyLatencies(target: PgbenchTarget, options: readonly string[]): Promise<Float64Array> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'sluice-bench-latency-'));
  try {
    await selectOnly(target, [...options, '--log', '--log-prefix', path.join(directory, 'log')]);
    const logs = await Promise.all(
      (await readdir(directory)).map((file) => readFile(path.join(directory, file), 'utf8')),
    );
    return parseLatencies(logs.join(''));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The figures in pgbench 15's report. Throws on a report that has failed transactions or lacks a figure. */
export function parseResult(report: string): PgbenchResult {
  const figure = (pattern: RegExp): number | null => {
    const found = pattern.exec(report);
    return found === null ? null : Number(found[1]);
  };
  const transactions = figure(/^number of transactions actually processed: (\d+)/m);
  const failed = figure(/^number of failed transactions: (\d+)/m);
  const transactionsPerSecond = figure(/^tps = ([\d.]+)/m);
  if (transactions === null || transactionsPerSecond === null || transactions === 0 || (failed ?? 0) > 0) {
    throw new Error(`pgbench did not finish cleanly:\n${report}`);
  }
  return {
    transactions,
    transactionsPerSecond,
    connectMilliseconds: figure(/^average connection time = ([\d.]+) ms/m),
  };
}

/** Latencies in microseconds, ascending, from pgbench's per-transaction log: the third of the fields of each line. */
export function parseLatencies(log: string): Float64Array {
  const latencies = log.split('\n').flatMap((line) => {
    if (line === '') return [];
    const latency = Number(line.split(' ')[2]);
    if (!Number.isFinite(latency)) throw new Error(`not a line of a pgbench log: ${line}`);
    return [latency];
  });
  if (latencies.length === 0) throw new Error('the pgbench log is empty');
  return Float64Array.from(latencies).sort();
}

async function pgbench(target: PgbenchTarget, options: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(
    target.binary,
    ['-h', '127.0.0.1', '-p', String(target.port), '-U', target.user, ...options, target.database],
    {
      env: { ...process.env, PGPASSWORD: target.password, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  // pgbench ends with 0 when a client is aborted early and says so only here.
  if (/aborted|error:|fatal:/i.test(stderr)) throw new Error(`pgbench complained:\n${stderr}`);
  return stdout;
}

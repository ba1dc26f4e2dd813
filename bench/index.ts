/** `npm run bench -- index`: what the index of records costs, whether it keeps up, and how long searches take. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreConfig } from '../src/config/config.ts';
import { readBatches } from '../src/recording/record-batch.ts';
import { indexFile } from '../src/recording/record-index/index-place.ts';
import { indexing } from '../src/recording/record-index/indexing.ts';
import { openIndex } from '../src/recording/record-index/open-index.ts';
import { type RecordFilter, type RecordIndex, searchRecords } from '../src/recording/record-index/search.ts';
import { nodeOf, segments } from '../src/recording/segments.ts';
import { openStore } from '../src/store/store.ts';
import { type PostgresServer, startPostgres } from '../test/servers/postgres.ts';
import { writeJournal } from '../test/written-journal.ts';
import { CONTENDERS, isInstalled, type RunningContender } from './contenders.ts';
import { type Access, queries } from './measures.ts';
import { initialise } from './pgbench.ts';
import { cpuMicroseconds } from './process-usage.ts';
import { pairedSpread, type Spread, spreadOf } from './spread.ts';

export interface IndexOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Of the journal that is searched. */
  readonly statements: number;
}

/** Whether a figure is within its budget. */
interface Judged {
  readonly title: string;
  readonly value: number;
  readonly unit: string;
  readonly limit: number;
}

/** How often each search is made. */
const SEARCHES = 40;
const PAGE = 50;
const SEARCH_MS = 200;
const STATEMENT_US = 15;
const LAG_SECONDS = 1;
/** How long the index may take until it is level; then the run fails. */
const LEVEL_MS = 120_000;
const NODE = 'bench';

export async function benchIndex(
  { rounds, seconds, statements }: IndexOptions,
  progress: (step: string) => void,
): Promise<number> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-index-'));
  const server = await startPostgres({ version: 15, config: { shared_buffers: '512MB', autovacuum: 'off' } });
  try {
    const { superuser: user, password, database } = server;
    if (server.binDir === null || !isInstalled('pgbench', [server.binDir])) {
      console.error('The benchmark needs pgbench: install PostgreSQL 15 with its client programs.');
      return 2;
    }
    const access: Access = { pgbench: path.join(server.binDir, 'pgbench'), user, password, database };
    const { pgbench: binary, ...login } = access;
    progress('filling the database');
    await initialise({ binary, port: server.port, ...login }, 10);
    const judged = await underLoad(server, access, directory, { rounds, seconds }, progress);

    progress(`writing a journal of ${statements} statements`);
    const journal = path.join(directory, 'written');
    writeJournal({ directory: journal, statements });
    const file = path.join(directory, 'index.db');
    judged.push(...(await ofStore('SQLite', { kind: 'sqlite', file }, journal, statements, null, progress)));
    await server.query('create database records');
    const url = `postgres://${user}:${password}@${server.host}:${server.port}/records`;
    await (await openStore({ kind: 'postgres', url })).destroy();
    judged.push(...(await ofStore('PostgreSQL', { kind: 'postgres', url }, journal, statements, server, progress)));

    console.log('\nBudgets');
    for (const { title, value, unit, limit } of judged) {
      const result = value <= limit ? 'met' : 'missed';
      console.log(`  ${title.padEnd(64)}${value.toFixed(1).padStart(9)} ${unit}, at most ${limit} ${unit}: ${result}`);
    }
    const results = path.join(import.meta.dirname, 'results');
    mkdirSync(results, { recursive: true });
    const at = new Date().toISOString();
    const written = path.join(results, `index-${at.replaceAll(/[-:]|\.\d+/g, '')}.json`);
    writeFileSync(written, `${JSON.stringify({ at, options: { rounds, seconds, statements }, judged }, null, 2)}\n`);
    console.log(`\n${path.relative(process.cwd(), written)}`);
    return 0;
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The standard load through the relay, and through Sluice without and with the index, in turn; how far the index is behind. */
async function underLoad(
  server: PostgresServer,
  access: Access,
  directory: string,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
  progress: (step: string) => void,
): Promise<Judged[]> {
  const names = ['relay', 'sluice-rules', 'sluice-index'];
  const running: { readonly name: string; readonly own: string; readonly contender: RunningContender }[] = [];
  try {
    for (const name of names) {
      const own = mkdtempSync(path.join(directory, `${name}-`));
      running.push({ name, own, contender: await CONTENDERS.find((each) => each.name === name)!.start(server, own) });
    }
    const samples = new Map(names.map((name) => [name, { cpu: [] as number[], throughput: [] as number[] }]));
    const behind: { readonly records: number; readonly seconds: number }[] = [];
    for (let round = -1; round < rounds; round++) {
      for (let turn = 0; turn < running.length; turn++) {
        const { name, own, contender } = running[(turn + Math.max(0, round)) % running.length]!;
        progress(`queries ${round + 1}/${rounds}: ${name}`);
        const cpuBefore = cpuMicroseconds(contender.pid!);
        const figures = await queries(seconds)(contender, access);
        const lag = name === 'sluice-index' ? await untilLevel(path.join(own, 'journal')) : null;
        // What the index has left to do is its cost as well.
        const cpu = cpuMicroseconds(contender.pid!) - cpuBefore;
        if (round === -1) continue;
        samples.get(name)!.cpu.push(cpu / (figures.throughput! * seconds));
        samples.get(name)!.throughput.push(figures.throughput!);
        if (lag !== null) behind.push(lag);
      }
    }
    const relay = samples.get('relay')!.cpu;
    console.log('\nThe standard load: pgbench -S -M prepared, 8 clients; CPU until the index is level');
    for (const [name, { cpu, throughput }] of samples) {
      const ratio = pairedSpread(cpu, relay, (value, reference) => value / reference)!;
      console.log(
        `  ${name.padEnd(14)} CPU ${text(spreadOf(cpu), 1)} us/query, ${ratio.median.toFixed(2)} x relay; ${spreadOf(throughput).median.toFixed(0)} queries/s`,
      );
    }
    const records = spreadOf(behind.map((lag) => lag.records));
    const lag = spreadOf(behind.map((each) => each.seconds));
    console.log(`  the index behind at the end of a round: ${text(records, 0)} records, level after ${text(lag, 2)} s`);

    const { own } = running.find(({ name }) => name === 'sluice-index')!;
    const journal = path.join(own, 'journal');
    for (const { contender } of running) await contender.stop();
    progress('indexing what was recorded of the load');
    const place = { kind: 'sqlite', file: path.join(directory, 'load.db') } as const;
    const cost = await index(place, journal, nodeOf(journal), null);
    const perStatement = (cost.cpu * 2) / cost.records;
    console.log(`  indexing that journal: ${perStatement.toFixed(1)} us of CPU a statement`);
    return [
      { title: 'CPU a statement of the standard load, SQLite', value: perStatement, unit: 'us', limit: STATEMENT_US },
      { title: 'The index level after the standard load', value: lag.median, unit: 's', limit: LAG_SECONDS },
    ];
  } finally {
    for (const { contender } of running) await contender.stop();
  }
}

/** Indexes a journal in a store, and searches it. */
async function ofStore(
  name: string,
  place: StoreConfig,
  journal: string,
  statements: number,
  server: PostgresServer | null,
  progress: (step: string) => void,
): Promise<Judged[]> {
  progress(`${name}: indexing`);
  const cost = await index(place, journal, NODE, server);
  const perStatement = cost.cpu / statements;
  console.log(`\n${name}, ${statements} statements, a fifth of the agents' of a shape of its own`);
  console.log(
    `  indexing: ${perStatement.toFixed(1)} us of CPU a statement${server === null ? '' : `, and ${(cost.serverCpu / statements).toFixed(1)} of the server's`}`,
  );
  const opened = await openIndex(place);
  try {
    const filters = await filtersOf(opened);
    console.log(
      `  ${'search'.padEnd(44)}${'found'.padStart(6)}${'p50, ms'.padStart(10)}${'p99, ms'.padStart(10)}${'CPU, ms'.padStart(10)}`,
    );
    const judged: Judged[] = [];
    for (const [title, filter] of Object.entries(filters)) {
      progress(`${name}: searching by ${title}`);
      const times: number[] = [];
      let found = 0;
      let cpu = process.cpuUsage();
      for (let search = -3; search < SEARCHES; search++) {
        if (search === 0) cpu = process.cpuUsage();
        const started = performance.now();
        found = (await searchRecords(opened, { event: 'statement', ...filter }, PAGE)).records.length;
        if (search >= 0) times.push(performance.now() - started);
      }
      const { user, system } = process.cpuUsage(cpu);
      const milliseconds = (user + system) / 1000 / SEARCHES;
      times.sort((a, b) => a - b);
      const [p50, p99] = [times[Math.floor(times.length / 2)]!, times[Math.ceil(times.length * 0.99) - 1]!];
      console.log(
        `  ${title.padEnd(44)}${String(found).padStart(6)}${p50.toFixed(1).padStart(10)}${p99.toFixed(1).padStart(10)}${milliseconds.toFixed(1).padStart(10)}`,
      );
      judged.push({ title: `${name}: search by ${title}, p99`, value: p99, unit: 'ms', limit: SEARCH_MS });
    }
    return judged;
  } finally {
    await opened.destroy();
  }
}

/** What people look for: of each kind something frequent, of most something rare. */
async function filtersOf(opened: RecordIndex): Promise<Readonly<Record<string, RecordFilter>>> {
  const { records } = await searchRecords(opened, { event: 'statement', kind: 'agent' }, 200);
  const recent = records.find(({ trace }) => trace !== null)!;
  const { records: before } = await searchRecords(opened, { event: 'session.start', until: Date.UTC(2026, 5, 2) }, 1);
  const { records: earlier } = await searchRecords(opened, { event: 'statement', session: before[0]!.session! }, 200);
  const early = earlier[0]!;
  return {
    identity: { subject: recent.identity!.subject },
    'identity, one of few statements': { subject: 'agent197' },
    table: { object: 'public.table1' },
    'table, identity and verdict': { object: 'table1', subject: 'agent7', verdict: 'deny' },
    fingerprint: { fingerprint: recent.fingerprint! },
    'fingerprint, days ago': { fingerprint: early.fingerprint! },
    'fingerprint that is not there': { fingerprint: '0123456789abcdef' },
    trace: { trace: recent.trace! },
    'trace that is not there': { trace: '0123456789abcdef'.repeat(2) },
    verdict: { verdict: 'deny' },
    'verdict hold, on one connection': { verdict: 'hold', connection: 'archive' },
    rule: { rule: 'writes-1' },
    session: { session: recent.session! },
    'session, days ago': { session: early.session! },
    SQLSTATE: { sqlstate: '57014' },
    'everything of a day': { since: Date.UTC(2026, 5, 3), until: Date.UTC(2026, 5, 4) },
  };
}

/** @returns microseconds of CPU of this process, and of the server's */
async function index(
  place: StoreConfig,
  journal: string,
  node: string,
  server: PostgresServer | null,
): Promise<{ cpu: number; serverCpu: number; records: number }> {
  const consumer = indexing(place, node, () => undefined);
  const { signal } = new AbortController();
  const from = await consumer.begin();
  const pid = server === null ? null : await pidOf(server);
  const serverCpu = () => (pid === null ? 0 : cpuMicroseconds(pid));
  const [cpu, before] = [process.cpuUsage(), serverCpu()];
  let records = 0;
  for await (const batch of readBatches(journal, node, from)) {
    await consumer.take(batch, signal);
    records += batch.last - batch.first + 1;
  }
  const { user, system } = process.cpuUsage(cpu);
  const used = { cpu: user + system, serverCpu: serverCpu() - before, records };
  await consumer.close();
  return used;
}

async function pidOf(server: PostgresServer): Promise<number> {
  const [row] = await server.query("select pg_read_file('postmaster.pid') as file");
  return Number.parseInt(row!.file as string, 10);
}

/** How far the index is behind now, and how long it takes until it has that. */
async function untilLevel(journal: string): Promise<{ records: number; seconds: number }> {
  const begun = performance.now();
  const last = lastRecord(journal);
  const records = Math.max(0, last - indexed(journal));
  while (indexed(journal) < last) {
    if (performance.now() - begun > LEVEL_MS) throw new Error(`the index is not level after ${LEVEL_MS / 1000} s`);
    await sleep(20);
  }
  return { records, seconds: (performance.now() - begun) / 1000 };
}

/** Number of the last record in the index beside a journal. */
function indexed(journal: string): number {
  if (!existsSync(indexFile(journal))) return 0;
  const database = new DatabaseSync(indexFile(journal), { readOnly: true });
  try {
    return (database.prepare('select max(seq) as seq from index_nodes').get()?.seq as number | null) ?? 0;
  } finally {
    database.close();
  }
}

/** Number of the last record in a journal. */
function lastRecord(journal: string): number {
  const newest = segments(journal).at(-1)!;
  const bytes = readFileSync(path.join(journal, newest.name));
  const end = bytes.lastIndexOf(0x0a);
  const line = bytes.toString('utf8', bytes.lastIndexOf(0x0a, end - 1) + 1, end);
  return (JSON.parse(line) as { seq: number }).seq;
}

function text({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)} .. ${max.toFixed(digits)})`;
}

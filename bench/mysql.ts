/** `npm run bench -- mysql`: the cases that matter on a data path, in front of a MariaDB, with a client of our own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createCachingSha2Verifier, formatCachingSha2Verifier } from '../protocols/mysql/caching-sha2-password.ts';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { encodeComStmtExecute } from '../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from '../test/raw-mysql-client.ts';
import { freePort } from '../test/servers/free-port.ts';
import { startMariadb } from '../test/servers/mariadb.ts';
import type { MysqlFamilyServer } from '../test/servers/mysql-family.ts';
import { type RunningContender, startProgram, startRelay } from './contenders.ts';
import { cpuMicroseconds } from './process-usage.ts';
import { pairedSpread, percentile, spreadOf } from './spread.ts';

const CONTENDERS = [
  {
    name: 'direct',
    start: async (server: MysqlFamilyServer) => ({ port: server.port, pid: null, stop: async () => {} }),
  },
  { name: 'bare Node relay', start: startRelay },
  {
    name: 'Sluice, no rules',
    start: (server: MysqlFamilyServer, directory: string) => startSluice(server, directory, []),
  },
  {
    name: 'Sluice, + shipped rules',
    start: (server: MysqlFamilyServer, directory: string) => startSluice(server, directory, ['destructive.yaml']),
  },
] as const;

/** Compared with the relay in the same round: CPU at most, throughput at least. */
const MOST_CPU = 1.25;
const LEAST_BULK = 0.95;
/** By how much the gate lets the CPU budget be missed. */
const SLACK = 1.15;

const MEASURES = {
  cpu: 'CPU of the proxy, us per query (8 clients, prepared)',
  throughput: 'Throughput, queries/s (noise on a shared machine)',
  p50: 'Latency, 1 client, p50, us',
  p99: 'Latency, 1 client, p99, us',
  bulk: 'Bulk result of 1 M rows, MB/s',
  bulkCpu: 'CPU of the proxy, ms per 100 MB of result',
} as const;
type Measure = keyof typeof MEASURES;

const ROWS = 1_000_000;
const POINTS = 100_000;

export async function benchMysql(
  { rounds, seconds, gate }: { readonly rounds: number; readonly seconds: number; readonly gate: boolean },
  progress: (step: string) => void,
): Promise<number> {
  const server = await startMariadb({ config: { innodb_buffer_pool_size: '512M' } });
  if (server === null) return 2;
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
  const running: { readonly name: string; readonly contender: RunningContender }[] = [];
  const samples = new Map<string, Partial<Record<Measure, number[]>>>();
  try {
    progress('filling the database');
    await server.query(
      `CREATE TABLE points (id INT PRIMARY KEY, balance INT NOT NULL);
       INSERT INTO points SELECT seq, seq * 7 FROM seq_1_to_${POINTS};
       CREATE TABLE bulk (id INT PRIMARY KEY, name VARCHAR(60), note VARCHAR(60), email VARCHAR(60));
       INSERT INTO bulk SELECT seq, CONCAT('name ', MD5(seq)), CONCAT('a note of some length ', seq % 1000),
         CONCAT('mail', seq % 100000, '@example.com') FROM seq_1_to_${ROWS}`,
    );
    for (const { name, start } of CONTENDERS) {
      const own = mkdtempSync(path.join(directory, 'contender-'));
      running.push({ name, contender: await start(server, own) });
      samples.set(name, {});
    }
    const login = { user: server.superuser, password: server.password, database: server.database };
    const cases = [
      { name: 'warm-up', rounds: 1, keep: false, run: (it: RunningContender) => warmUp(it, login) },
      { name: 'queries', rounds, keep: true, run: (it: RunningContender) => queries(it, login, 8, seconds) },
      { name: 'latency', rounds: Math.min(3, rounds), keep: true, run: (it: RunningContender) => latency(it, login) },
      { name: 'bulk', rounds, keep: true, run: (it: RunningContender) => bulk(it, login) },
    ];
    for (const { name: step, rounds: times, keep, run } of cases) {
      for (let round = 0; round < times; round++) {
        // Each round begins with another contender, so that none always runs in the wake of the same one.
        for (let i = 0; i < running.length; i++) {
          const { name, contender } = running[(i + round) % running.length]!;
          progress(`${step} ${round + 1}/${times}: ${name}`);
          const figures = await run(contender);
          if (!keep) continue;
          const own = samples.get(name)!;
          for (const [measure, value] of Object.entries(figures) as [Measure, number][]) {
            own[measure] = [...(own[measure] ?? []), value];
          }
        }
      }
    }
    return report(samples, server, gate);
  } finally {
    for (const { contender } of running) await contender.stop();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

async function warmUp(contender: RunningContender, login: Login): Promise<Partial<Record<Measure, number>>> {
  await queries(contender, login, 8, 2);
  return bulk(contender, login);
}

async function queries(
  contender: RunningContender,
  login: Login,
  clients: number,
  seconds: number,
): Promise<Partial<Record<Measure, number>>> {
  const loops = await Promise.all(Array.from({ length: clients }, () => PointSelects.open(contender.port, login)));
  const before = contender.pid === null ? 0 : cpuMicroseconds(contender.pid);
  const began = performance.now();
  await Promise.all(loops.map((loop) => loop.run(seconds * 1000)));
  const took = (performance.now() - began) / 1000;
  const used = contender.pid === null ? null : cpuMicroseconds(contender.pid) - before;
  const done = loops.reduce((sum, loop) => sum + loop.done, 0);
  for (const loop of loops) loop.close();
  return { throughput: done / took, ...(used !== null && { cpu: used / done }) };
}

async function latency(contender: RunningContender, login: Login): Promise<Partial<Record<Measure, number>>> {
  const loop = await PointSelects.open(contender.port, login);
  await loop.run(1000);
  loop.close();
  const sorted = Float64Array.from(loop.times.slice(100)).sort();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

/** `SELECT balance FROM points WHERE id = ?` again and again, one at a time. */
class PointSelects {
  done = 0;
  /** Of each query, microseconds. */
  readonly times: number[] = [];
  readonly #client: RawMysqlClient;
  readonly #execute: Buffer;
  #until = 0;
  #sentAt = 0;
  #packets = 0;
  #left = 0;
  #header: Buffer = Buffer.alloc(0);
  #finished: () => void = () => undefined;

  private constructor(client: RawMysqlClient, execute: Buffer) {
    this.#client = client;
    this.#execute = execute;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  static async open(port: number, login: Login): Promise<PointSelects> {
    const client = await RawMysqlClient.login(port, login);
    client.send(
      encodePackets(Buffer.concat([Buffer.of(0x16), Buffer.from('SELECT balance FROM points WHERE id = ?')]), 0),
    );
    const { payload } = await client.packet();
    if (payload[0] !== 0) throw new Error('the statement cannot be prepared');
    // One parameter and one column, each with an EOF packet.
    for (let i = 0; i < 4; i++) await client.packet();
    const id = { type: FIELD_TYPE.long, unsigned: false, name: '', value: Buffer.alloc(4) };
    const execute = encodeComStmtExecute(
      { statementId: payload.readUInt32LE(1), flags: 0, typesSent: true, parameters: [id] },
      1,
      { client: CLIENT.protocol41, mariadb: 0 },
    );
    return new PointSelects(client, encodePackets(execute, 0));
  }

  async run(milliseconds: number): Promise<void> {
    this.#until = performance.now() + milliseconds;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#finished = resolve;
    this.#client.socket.once('close', () => reject(new Error('the session was closed')));
    this.#send();
    await promise;
  }

  #send(): void {
    this.#execute.writeInt32LE(1 + Math.floor(Math.random() * POINTS), this.#execute.length - 4);
    this.#sentAt = performance.now();
    this.#client.socket.write(Buffer.from(this.#execute));
  }

  /** Header, definition, EOF, row, EOF. */
  #read(chunk: Buffer): void {
    const bytes = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk]);
    let at = Math.min(this.#left, bytes.length);
    this.#left -= at;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUIntLE(at, 3);
      this.#packets += 1;
      if (end > bytes.length) {
        this.#left = end - bytes.length;
        at = bytes.length;
      } else at = end;
    }
    this.#header = bytes.subarray(at);
    if (this.#packets < 5 || this.#left > 0) return;
    const now = performance.now();
    this.times.push((now - this.#sentAt) * 1000);
    this.#packets = 0;
    this.done += 1;
    if (now < this.#until) this.#send();
    else this.#finished();
  }

  close(): void {
    this.#client.close();
  }
}

/** Bytes of the bulk result, once it is known. */
let bulkBytes = 0;

async function bulk(contender: RunningContender, login: Login): Promise<Partial<Record<Measure, number>>> {
  const client = await RawMysqlClient.login(contender.port, login);
  client.socket.removeAllListeners('data');
  const before = contender.pid === null ? 0 : cpuMicroseconds(contender.pid);
  const began = performance.now();
  client.send(comQuery('SELECT * FROM bulk'));
  let bytes = 0;
  await new Promise<void>((resolve, reject) => {
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      // The answer ends with an EOF packet; the first time that is all there is to tell.
      const ends =
        bulkBytes === 0
          ? chunk.length >= 9 && chunk.readUIntLE(chunk.length - 9, 3) === 5 && chunk[chunk.length - 5] === 0xfe
          : bytes === bulkBytes;
      if (ends) resolve();
    });
    client.socket.once('close', () => reject(new Error('the session was closed')));
  });
  const seconds = (performance.now() - began) / 1000;
  bulkBytes ||= bytes;
  const used = contender.pid === null ? null : cpuMicroseconds(contender.pid) - before;
  client.close();
  const megabytes = bytes / 1e6;
  return { bulk: megabytes / seconds, ...(used !== null && { bulkCpu: (used / 1000 / megabytes) * 100 }) };
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
    rules: rules.map((file) => path.join(import.meta.dirname, '../rules', file)),
    recording: { directory: path.join(directory, 'journal') },
  };
  writeFileSync(settings, JSON.stringify(configuration)); // JSON is YAML.
  const main = path.join(import.meta.dirname, '../src/cli/sluice.js');
  return startProgram(process.execPath, [main, 'serve', '--config', settings], port, { env: { UPSTREAM: password } });
}

function report(
  samples: ReadonlyMap<string, Partial<Record<Measure, number[]>>>,
  server: MysqlFamilyServer,
  gate: boolean,
): number {
  const relay = samples.get('bare Node relay')!;
  const lines: string[] = [
    `MariaDB ${server.version}, Node ${process.versions.node}. Median (min to max); x: against the relay, round by round.`,
  ];
  let missed = 0;
  for (const [measure, title] of Object.entries(MEASURES) as [Measure, string][]) {
    lines.push('', title);
    for (const [name, own] of samples) {
      const values = own[measure];
      if (values === undefined) continue;
      const { median, min, max } = spreadOf(values);
      const ratio = pairedSpread(values, relay[measure] ?? [], (value, floor) => value / floor)?.median;
      const digits = median < 100 ? 1 : 0;
      const against = ratio === undefined ? '' : `  ${ratio.toFixed(2)} x`;
      lines.push(
        `  ${name.padEnd(26)}${median.toFixed(digits).padStart(9)} (${min.toFixed(digits)} to ${max.toFixed(digits)})${against}`,
      );
      if (!name.startsWith('Sluice') || ratio === undefined) continue;
      if (measure === 'cpu') {
        const ok = ratio <= MOST_CPU;
        if (ratio > MOST_CPU * SLACK) missed += 1;
        lines.push(`  ${''.padEnd(26)}budget ${MOST_CPU} x: ${ok ? 'kept' : 'MISSED'}`);
      }
      if (measure === 'bulk')
        lines.push(`  ${''.padEnd(26)}budget ${LEAST_BULK} x: ${ratio >= LEAST_BULK ? 'kept' : 'MISSED'}`);
    }
  }
  console.log(`\n${lines.join('\n')}`);
  const results = path.join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const file = path.join(results, `mysql-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.json`);
  writeFileSync(file, `${JSON.stringify({ server: server.version, samples: Object.fromEntries(samples) }, null, 2)}\n`);
  return gate && missed > 0 ? 1 : 0;
}

/**
 * CPU time of a query where all but the proxy is one process that does nothing: it sends so many queries at once, answers them when
 * all have come, and sends the next when all answers have. So nothing depends on how busy client, server and machine are, and a
 * change of one per cent shows after a minute on a machine that others use.
 *
 *     node bench/lockstep.ts [QUERIES AT A TIME] [ROUNDS] [another clone of Sluice to compare with]
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import {
  encodeBindComplete,
  encodeCommandComplete,
  encodeDataRow,
  encodeParameterStatus,
  encodeParseComplete,
  encodeReadyForQuery,
} from '../protocols/postgres/backend.ts';
import { encodeBind, encodeExecute, encodeParse, encodeSync, FRONTEND } from '../protocols/postgres/frontend.ts';
import type { PostgresServer } from '../test/servers/postgres.ts';
import { CONTENDERS, type Contender, type RunningContender } from './contenders.ts';

const [atATime = 8, rounds = 40] = process.argv.slice(2, 4).map(Number);
const other = process.argv[4];
/** Queries of a round, and before the first one. */
const QUERIES = 1_000;
const WARM_UP = 60_000;

const READY = encodeReadyForQuery('I');
const PARSED = Buffer.concat([encodeParseComplete(), READY]);
/** A RowDescription of one integer, `abalance`. */
const DESCRIPTION = Buffer.concat([
  Buffer.from([0x54, 0, 0, 0, 33, 0, 1]),
  Buffer.from('abalance\0'),
  Buffer.alloc(18),
]);
const ROW = encodeDataRow([Buffer.from('12345')]);
const ANSWER = Buffer.concat([encodeBindComplete(), DESCRIPTION, ROW, encodeCommandComplete('SELECT 1'), READY]);
const SETTINGS = { client_encoding: 'UTF8', standard_conforming_strings: 'on', server_version: '15.0' };
const WELCOME = Buffer.concat([
  Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]), // AuthenticationOk
  ...Object.entries(SETTINGS).map(([name, value]) => encodeParameterStatus({ name, value })),
  Buffer.from([0x4b, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2]), // BackendKeyData
  READY,
]);
const TEXT = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;';
const PARSE = Buffer.concat([encodeParse({ statement: 'P_0', text: TEXT, parameterTypes: [] }), encodeSync()]);
/** What `pgbench -M prepared` sends for a query. */
const ASKS = Array.from({ length: 64 }, (_, i) =>
  Buffer.concat([
    encodeBind({
      portal: '',
      statement: 'P_0',
      parameterFormats: [],
      parameters: [Buffer.from(String(100_000 + 7919 * i))],
      resultFormats: [],
    }),
    Buffer.from('D\0\0\0\x06P\0', 'latin1'),
    encodeExecute({ portal: '', maxRows: 0 }),
    encodeSync(),
  ]),
);

/** A server that lets everybody in, knows no SQL, and answers when all have asked. */
async function startServer(): Promise<PostgresServer> {
  let asked: net.Socket[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    let isIn = false;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (!isIn) {
        isIn = true;
        socket.write(WELCOME);
      } else if (chunk[0] === FRONTEND.parse) socket.write(PARSED);
      else if (chunk[0] === FRONTEND.bind && asked.push(socket) === atATime) {
        const all = asked;
        asked = [];
        for (const one of all) one.write(ANSWER);
      }
    });
  });
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { host: '127.0.0.1', port, superuser: 'bench', password: 'bench', database: 'bench' } as PostgresServer;
}

/** Clients of one proxy. */
class Clients {
  readonly proxy: RunningContender;
  readonly #sockets: net.Socket[] = [];
  #answered = 0;
  #left = 0;
  #sent = 0;
  #done: () => void = () => undefined;

  constructor(proxy: RunningContender) {
    this.proxy = proxy;
  }

  async open(): Promise<void> {
    const { port } = this.proxy;
    for (let i = 0; i < atATime; i++) {
      const socket = new net.Socket();
      const login = { host: '127.0.0.1', port, user: 'bench', password: 'bench', database: 'bench' };
      await new pg.Client({ ...login, stream: () => socket }).connect();
      for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
      socket.setNoDelay(true).on('error', () => socket.destroy());
      socket.write(PARSE);
      await once(socket, 'data');
      let bytes = 0;
      socket.on('data', (chunk) => {
        bytes += chunk.length;
        if (bytes < ANSWER.length) return;
        bytes = 0;
        if (++this.#answered === atATime) this.#next();
      });
      this.#sockets.push(socket);
    }
  }

  async run(queries: number): Promise<void> {
    this.#left = Math.ceil(queries / atATime) + 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#done = resolve;
    this.#next();
    await promise;
  }

  #next(): void {
    this.#answered = 0;
    if (--this.#left === 0) this.#done();
    else for (const socket of this.#sockets) socket.write(ASKS[this.#sent++ % ASKS.length]!);
  }

  /** CPU time of the proxy's main thread, microseconds. */
  cpu(): number {
    const { pid } = this.proxy;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  }
}

const directory = mkdtempSync(path.join(os.tmpdir(), 'sluice-lockstep-'));
const server = await startServer();
const found = (all: readonly Contender[], name: string): Contender => all.find((one) => one.name === name)!;
const entrants = [found(CONTENDERS, 'relay'), found(CONTENDERS, 'sluice-allow')];
if (other !== undefined) {
  const its = (await import(path.resolve(other, 'bench/contenders.ts'))) as { CONTENDERS: readonly Contender[] };
  entrants.push({ ...found(its.CONTENDERS, 'sluice-allow'), label: other });
}
const all: { label: string; clients: Clients; used: number[] }[] = [];
try {
  for (const { label, start } of entrants) {
    const clients = new Clients(await start(server, mkdtempSync(path.join(directory, 'one-'))));
    all.push({ label, clients, used: [] });
    await clients.open();
    await clients.run(WARM_UP);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { clients, used } of all) {
      const before = clients.cpu();
      await clients.run(QUERIES);
      used.push((clients.cpu() - before) / QUERIES);
    }
  }
  const quartile = ({ used }: { used: number[] }) => used.toSorted((a, b) => a - b)[Math.floor((used.length - 1) / 4)]!;
  for (const one of all) {
    const ratio = quartile(one) / quartile(all[0]!);
    console.log(`${one.label.padEnd(40)} ${quartile(one).toFixed(1)} us a query   ${ratio.toFixed(2)} x`);
  }
} finally {
  for (const { clients } of all) await clients.proxy.stop();
  rmSync(directory, { recursive: true, force: true });
}
process.exit(0);

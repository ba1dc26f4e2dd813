import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { encodeBind, encodeExecute, encodeParse, encodeQuery, encodeSync } from '../protocols/postgres/frontend.ts';
import { readRecords } from '../src/recording/read-records.ts';
import { segments } from '../src/recording/segments.ts';
import { RawClient } from './raw-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * No statement reaches a database before its record is safe from a crash of Sluice. Two nodes with one store, one for each
 * durability, are killed again and again while clients of both protocols insert through them.
 */

const DURABILITIES = ['process', 'disk'] as const;
const ROUNDS = 3;
const USER = { user: 'agent', password: 'secret' };
/** How many rows have to arrive from each node on each server before it is killed. */
const ENOUGH = 20;
/** Ids of another node begin so much higher. */
const APART = 100_000_000;

interface Node {
  readonly sluice: Sluice;
  /** All of this node's ids are in it. */
  readonly from: number;
  nextId: number;
}

interface Running {
  readonly port: number;
  readonly mysqlPort: number;
  kill(): Promise<void>;
}

describe('killing Sluice under load', () => {
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer;
  const nodes: Node[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'sluice-killing-'));

  before(async () => {
    [postgres, mariadb] = await Promise.all([
      startPostgres(),
      startMariadb().then((server) => server ?? assert.fail('no MariaDB can be had')),
    ]);
    await Promise.all([postgres, mariadb].map((server) => server.query('CREATE TABLE arrived (id int PRIMARY KEY)')));
    await postgres.query('CREATE DATABASE store');
    const store = join(directory, 'store');
    const { host, port, superuser, password } = postgres;
    writeFileSync(store, `postgres://${superuser}:${password}@${host}:${port}/store`, { mode: 0o600 });
    const upstreamOf = ({ host, port, superuser: user, password, database }: PostgresServer | MysqlFamilyServer) => ({
      ...{ host, port, user, password, database },
    });
    for (const durability of DURABILITIES) {
      const sluice = await startSluice({
        connections: [
          { name: 'pg', upstream: upstreamOf(postgres) },
          { name: 'my', protocol: 'mysql', upstream: upstreamOf(mariadb) },
        ],
        users: [{ name: USER.user, password: USER.password }],
        store: { file: store },
        recording: { durability },
      });
      const from = nodes.length * APART;
      nodes.push({ sluice, from, nextId: from });
    }
  });
  after(async () => {
    for (const { sluice } of nodes) await sluice.stop();
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
    rmSync(directory, { recursive: true });
  });

  const journalOf = ({ sluice }: Node) => join(dirname(sluice.configFile), 'journal');
  const newestOf = (node: Node) => join(journalOf(node), segments(journalOf(node)).at(-1)!.name);

  /** Inserts new ids as fast as it can, in one of several ways, until the connection is lost. */
  async function insertIntoPostgres(node: Node, port: number, way: number): Promise<void> {
    const client = await RawClient.login({ host: '127.0.0.1', port, ...USER, database: 'pg' });
    const parse = encodeParse({ statement: '', text: 'INSERT INTO arrived VALUES ($1)', parameterTypes: [23] });
    const binary = (id: number) => {
      const value = Buffer.alloc(4);
      value.writeInt32BE(id);
      return encodeBind({ portal: '', statement: '', parameterFormats: [1], parameters: [value], resultFormats: [] });
    };
    const execute = encodeExecute({ portal: '', maxRows: 0 });
    const insert = () => `INSERT INTO arrived VALUES (${++node.nextId})`;
    const batch = (): Buffer[] => {
      if (way === 0) return [encodeQuery(insert())];
      if (way === 1) return [encodeQuery(`${insert()}; ${insert()}`)];
      // A pipeline of one transaction each, and one of a single transaction.
      const inserts = Array.from({ length: 20 }, () => [parse, binary(++node.nextId), execute]);
      return way === 2 ? inserts.flatMap((messages) => [...messages, encodeSync()]) : [...inserts.flat(), encodeSync()];
    };
    try {
      for (;;) {
        client.send(...batch());
        await client.take('Z', way === 2 ? 20 : 1, 60_000);
      }
    } catch (error) {
      assert.match((error as Error).message, /closed/);
    } finally {
      client.destroy();
    }
  }

  async function insertIntoMariadb(node: Node, port: number, way: number): Promise<void> {
    const login = { host: '127.0.0.1', port, ...USER, database: 'my', multipleStatements: true };
    const client = await mysql.createConnection(login);
    client.on('error', () => {});
    const insert = () => `INSERT INTO arrived VALUES (${++node.nextId})`;
    try {
      for (;;) {
        if (way === 0) await client.query(insert());
        else if (way === 1) await client.query(`${insert()}; ${insert()}`);
        else await client.execute('INSERT INTO arrived VALUES (?)', [String(++node.nextId)]);
      }
    } catch (error) {
      assert.match((error as Error).message, /closed|ECONNRESET|EPIPE/);
    } finally {
      client.destroy();
    }
  }

  /** Every id an attempt in the journal speaks of. */
  function recordedIds(node: Node): Set<number> {
    const ids = new Set<number>();
    for (const { name } of segments(journalOf(node))) {
      const lines = readFileSync(join(journalOf(node), name), 'utf8').split('\n');
      for (const line of lines.slice(0, -1)) {
        const record = JSON.parse(line) as { event: string; text?: string; binds?: (string | { hex: string })[] };
        if (record.event !== 'statement.attempt') continue;
        for (const [, id] of record.text?.matchAll(/VALUES \((\d+)\)/g) ?? []) ids.add(Number(id));
        for (const id of record.binds ?? []) ids.add(typeof id === 'string' ? Number(id) : Number.parseInt(id.hex, 16));
      }
    }
    return ids;
  }

  /** The node's rows on a server. */
  async function arrived({ from }: Node, server: PostgresServer | MysqlFamilyServer): Promise<number[]> {
    const rows = await server.query(`SELECT id FROM arrived WHERE id > ${from} AND id < ${from + APART}`);
    return rows.map(({ id }) => id as number);
  }

  /** Waits until the servers have ended what they had in hand. */
  async function serversRest(): Promise<void> {
    await until(async () => {
      const [sessions] = await postgres.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = '${postgres.database}'`,
      );
      return sessions?.n === 0;
    }, 'sessions are left on PostgreSQL');
    await until(async () => {
      const [sessions] = await mariadb.query(
        "SELECT count(*) AS n FROM information_schema.processlist WHERE id <> connection_id() AND command <> 'Daemon'",
      );
      return Number(sessions?.n) === 0;
    }, 'sessions are left on MariaDB');
  }

  for (let round = 1; round <= ROUNDS; round++) {
    test(`every row that arrived has its attempt in the journal, ${round} of ${ROUNDS}`, async (t) => {
      const running = await Promise.all(
        nodes.map(async ({ sluice }): Promise<Running> => {
          if (round > 1) return serveAgain(sluice.configFile);
          const kill = async () => {
            sluice.signal('SIGKILL');
            await sluice.exited;
          };
          return { port: sluice.port, mysqlPort: sluice.mysqlPort, kill };
        }),
      );
      t.after(() => Promise.all(running.map(({ kill }) => kill())));
      await Promise.all(
        nodes.map(async (node, i) => {
          const { port, mysqlPort, kill } = running[i]!;
          const had = await Promise.all(
            [postgres, mariadb].map(async (server) => (await arrived(node, server)).length),
          );
          const load = [
            ...[0, 1, 2, 3].map((way) => insertIntoPostgres(node, port, way)),
            ...[0, 1, 2].map((way) => insertIntoMariadb(node, mysqlPort, way)),
          ];
          await until(async () => {
            const has = await Promise.all([postgres, mariadb].map((server) => arrived(node, server)));
            return has.every(({ length }, server) => length >= had[server]! + ENOUGH);
          }, 'the load arrives');
          const ms = Math.floor(Math.random() * 400);
          t.diagnostic(`${DURABILITIES[i]}: killed after ${ms} ms`);
          await sleep(ms);
          await kill();
          await Promise.all(load);
        }),
      );
      await serversRest();
      for (const node of nodes) {
        const recorded = recordedIds(node);
        for (const server of [postgres, mariadb]) {
          const rows = await arrived(node, server);
          assert.deepEqual(
            rows.filter((id) => !recorded.has(id)),
            [],
          );
        }
        // What a kill in the middle of a write leaves; the next round begins with mending it.
        if (round % 2 === 1) appendFileSync(newestOf(node), '{"v":1,"seq":99999999,"at":"20');
      }
    });
  }

  /** `sluice recordings verify`. */
  function verify(...args: readonly string[]): Promise<{ ok: boolean; kept: number; findings: { kind: string }[] }> {
    const program = join(import.meta.dirname, '../src/cli/sluice.js');
    return new Promise((resolve) => {
      execFile(process.execPath, [program, 'recordings', 'verify', '--json', ...args], (_, stdout) =>
        resolve(JSON.parse(stdout)),
      );
    });
  }

  test('over all restarts each node has no gap in its numbers, its chain holds, and it says where it was mended', async () => {
    for (const node of nodes) {
      const { end } = await serveAgain(node.sluice.configFile);
      await end();
      let records = 0;
      const mended: unknown[] = [];
      const problems: unknown[] = [];
      await readRecords(journalOf(node), {
        record: ({ seq, event, fields }) => {
          assert.equal(seq, ++records);
          if (event === 'journal.gap') mended.push(fields.reason);
        },
        problem: (problem) => problems.push(problem),
      });
      assert.deepEqual(problems, []);
      // Every other round ends with one; a kill in the middle of a write makes more.
      assert.ok(
        mended.length >= Math.ceil(ROUNDS / 2) && mended.every((reason) => reason === 'torn line'),
        String(mended),
      );
      const { ok, kept, findings } = await verify('--store', '--config', node.sluice.configFile);
      assert.deepEqual([ok, findings], [true, []]);
      // Of the last run, which ended well; of others if they lived long enough.
      assert.ok(kept >= 1);
    }
  });

  test('what is cut off the end of a node that has ended is found by the store, and of that node only', async () => {
    const [one, other] = nodes as [Node, Node];
    const copy = join(directory, 'copy');
    cpSync(journalOf(one), copy, { recursive: true });
    const newest = readdirSync(copy)
      .filter((name) => name.endsWith('.jsonl'))
      .sort()
      .at(-1)!;
    // The last checkpoint, and nothing but that.
    const bytes = readFileSync(join(copy, newest));
    truncateSync(join(copy, newest), bytes.lastIndexOf('\n', bytes.length - 2) + 1);
    const { findings } = await verify(copy, '--store', '--running', '--config', one.sluice.configFile);
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['cut'],
    );
    assert.equal((await verify('--store', '--config', other.sluice.configFile)).ok, true);
  });
});

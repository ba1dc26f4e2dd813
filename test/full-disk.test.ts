/** Disks that are full: no statement runs without its record, clients are told, and all goes on once there is room. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { mountSmallDisk, type SmallDisk } from './small-disk.ts';
import { until } from './until.ts';

const USER = { user: 'agent', password: 'secret' };
const rulesYaml = `version: 1
rules:
  - id: changes-wait
    match: { effects: [update] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 1s }
`;
/** What a client was told when it was refused. */
type Told = Record<string, unknown>;

/** A client that inserts one new id after the other in its own way, and keeps what became of each. */
class Inserter {
  readonly done: number[] = [];
  readonly refused: { readonly id: number; readonly told: Told }[] = [];
  readonly #insert: (id: number) => Promise<unknown>;
  readonly #close: () => Promise<void>;
  readonly #first: number;
  #isStopped = false;
  #stopped: Promise<void> | null = null;
  readonly #ended: Promise<void>;

  constructor(first: number, insert: (id: number) => Promise<unknown>, close: () => Promise<void>) {
    this.#first = first;
    this.#insert = insert;
    this.#close = close;
    this.#ended = this.#run();
  }

  async #run(): Promise<void> {
    for (let id = this.#first; !this.#isStopped; id++) {
      try {
        await this.#insert(id);
        this.done.push(id);
      } catch (error) {
        this.refused.push({ id, told: { ...(error as object), message: (error as Error).message } });
      }
    }
  }

  /** Once. */
  stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopped ??= this.#ended.then(this.#close);
    return this.#stopped;
  }
}

describe('full disks', () => {
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer;
  let sluice: Sluice;
  /** Of the journal; of the store; of what an exporter writes; of the index. */
  let disks: readonly SmallDisk[] | null = null;
  let journalDisk: Pick<SmallDisk, 'fill' | 'free'>;

  before(async () => {
    [postgres, mariadb] = await Promise.all([
      startPostgres(),
      startMariadb().then((server) => server ?? assert.fail('no MariaDB can be had')),
    ]);
    for (const server of [postgres, mariadb]) {
      await server.query('CREATE TABLE arrived (id int PRIMARY KEY)');
      await server.query('CREATE TABLE goods (id int, name varchar(20))');
    }
    const mounted = [24, 2, 2, 64].map(mountSmallDisk);
    if (mounted.every((disk) => disk !== null)) disks = mounted;
    if (disks !== null) symlinkSync(join(disks[3]!.directory, 'index.db'), join(disks[0]!.directory, 'index.db'));
    const upstreamOf = ({ host, port, superuser: user, password, database }: PostgresServer | MysqlFamilyServer) => ({
      ...{ host, port, user, password, database },
    });
    sluice = await startSluice({
      connections: [
        { name: 'pg', upstream: upstreamOf(postgres) },
        { name: 'my', protocol: 'mysql', upstream: upstreamOf(mariadb) },
      ],
      users: [{ name: USER.user, password: USER.password }],
      rulesYaml,
      ...(disks !== null && { store: `sqlite:${join(disks[1]!.directory, 'store.db')}` }),
      recording: {
        index: true,
        ...(disks !== null && {
          directory: disks[0]!.directory,
          export: [{ to: 'jsonl', name: 'copy', file: join(disks[2]!.directory, 'copy.jsonl') }],
        }),
      },
    });
    journalDisk = disks?.[0] ?? limitFiles(sluice);
  });
  after(async () => {
    await sluice?.stop();
    for (const disk of disks ?? []) disk.remove();
    await Promise.all([postgres?.stop(), mariadb?.stop()]);
  });

  const inPostgres = async () => {
    const client = new pg.Client({ host: sluice.host, port: sluice.port, ...USER, database: 'pg' });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  const inMariadb = () =>
    mysql.createConnection({ host: sluice.host, port: sluice.mysqlPort, ...USER, database: 'my' });

  async function inserters(): Promise<Inserter[]> {
    const [simple, extended] = [await inPostgres(), await inPostgres()];
    const [text, prepared] = [await inMariadb(), await inMariadb()];
    const sql = (id: number) => `INSERT INTO arrived VALUES (${id})`;
    return [
      new Inserter(
        1,
        (id) => simple.query(sql(id)),
        () => simple.end(),
      ),
      new Inserter(
        1_000_001,
        (id) => extended.query('INSERT INTO arrived VALUES ($1)', [String(id)]),
        () => extended.end(),
      ),
      new Inserter(
        1,
        (id) => text.query(sql(id)),
        () => text.end(),
      ),
      new Inserter(
        1_000_001,
        (id) => prepared.execute('INSERT INTO arrived VALUES (?)', [String(id)]),
        () => prepared.end(),
      ),
    ];
  }

  async function readiness(): Promise<{ status: number; notOk: { check: string; reason: string }[] }> {
    const response = await fetch(`http://127.0.0.1:${sluice.apiPort}/readyz`);
    const { checks } = (await response.json()) as { checks: { check: string; ok: boolean; reason: string }[] };
    return { status: response.status, notOk: checks.filter(({ ok }) => !ok) };
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${sluice.apiPort}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1),
    );
  }

  /** After a large record has failed there may be room for smaller ones. */
  async function isFull(): Promise<boolean> {
    const records = await metric('sluice_journal_records_total');
    const failures = await metric('sluice_journal_failures_total');
    await until(async () => (await metric('sluice_journal_failures_total')) >= failures + 2, 'it is tried again');
    return records === (await metric('sluice_journal_records_total'));
  }

  /** The ids that attempts in the journal speak of, on one connection. */
  function recordedIds(connection: string): Set<number> {
    const ids = new Set<number>();
    for (const { event, connection: on, text, binds } of sluice.journal()) {
      if (event !== 'statement.attempt' || on !== connection) continue;
      for (const [, id] of String(text).matchAll(/VALUES \((\d+)\)/g)) ids.add(Number(id));
      for (const id of (binds as string[] | undefined) ?? []) ids.add(Number(id));
    }
    return ids;
  }

  test('of the journal: nothing runs without its record, clients are told, and all goes on once there is room', async (t) => {
    const load = await inserters();
    t.after(() => {
      for (const inserter of load) inserter.stop();
    });
    const [open, held] = [await inPostgres(), await inMariadb()];
    for (const sql of ['BEGIN', 'INSERT INTO arrived VALUES (-1)'])
      await Promise.all([open.query(sql), held.query(sql)]);
    await until(() => load.every(({ done }) => done.length >= 20), 'the load arrives');
    journalDisk.fill(100_000);
    await until(() => load.every(({ refused }) => refused.length >= 20), 'everybody is refused');
    await until(isFull, 'there is no room for the least record');
    const { status, notOk } = await readiness();
    assert.equal(status, 503);
    assert.match(notOk.find(({ check }) => check === 'journal')!.reason, /ENOSPC|EFBIG/);
    assert.equal(await metric('sluice_journal_writable'), 0);
    // Open transactions: PostgreSQL's has failed, as with any error, and MariaDB's is as it was.
    await assert.rejects(open.query('INSERT INTO arrived VALUES (-2)'), /no room to record it/);
    await assert.rejects(held.query('INSERT INTO arrived VALUES (-2)'), /no room to record it/);
    journalDisk.free();
    const had = load.map(({ done }) => done.length);
    await until(() => load.every(({ done }, i) => done.length >= had[i]! + 20), 'service goes on');
    assert.equal((await open.query('COMMIT')).command, 'ROLLBACK');
    await held.query('COMMIT');
    await Promise.all([...load.map((inserter) => inserter.stop()), open.end(), held.end()]);
    await until(async () => (await readiness()).status === 200, 'it is ready again');

    for (const { refused } of load.slice(0, 2)) {
      for (const { told } of refused) {
        assert.deepEqual(
          [told.code, told.message, told.hint],
          [
            '53100',
            'The statement was not run: Sluice has no room to record it.',
            'Nothing reached the database. Try again later; whoever runs Sluice can see why.',
          ],
        );
        assert.equal(JSON.parse(String(told.detail)).sluice.retry, 'later');
      }
    }
    for (const { refused } of load.slice(2)) for (const { told } of refused) assert.equal(told.errno, 1021);
    const servers = [
      { connection: 'pg', server: postgres, clients: load.slice(0, 2), others: [] },
      { connection: 'my', server: mariadb, clients: load.slice(2), others: [-1] },
    ];
    for (const { connection, server, clients, others } of servers) {
      const rows = (await server.query('SELECT id FROM arrived')).map(({ id }) => id as number);
      const byNumber = (a: number, b: number) => a - b;
      assert.deepEqual(rows.sort(byNumber), [...others, ...clients.flatMap(({ done }) => done)].sort(byNumber));
      const recorded = recordedIds(connection);
      assert.deepEqual(
        rows.filter((id) => id > 0 && !recorded.has(id)),
        [],
      );
      // What was refused for want of a record has none.
      assert.deepEqual(
        clients.flatMap(({ refused }) => refused).filter(({ id }) => recorded.has(id)),
        [],
      );
    }
    const journal = sluice.journal();
    assert.deepEqual(
      journal.map(({ seq }) => seq),
      journal.map((_, i) => i + 1),
    );
    const gaps = journal.filter(({ event }) => event === 'journal.gap');
    assert.ok(gaps.length > 0);
    for (const { reason, failures, lost } of gaps) {
      assert.match(String(reason), /ENOSPC|EFBIG/);
      assert.ok((failures as number) > 0);
      assert.equal(lost, 0);
    }
  });

  test('of an exporter: statements run, it is told, and lacks nothing once there is room', async (t) => {
    if (disks === null) return t.skip('NOT RUN: there is no small disk');
    const [, , disk] = disks;
    disk!.fill(20_000);
    const client = await inPostgres();
    await until(async () => {
      await client.query('SELECT 1');
      return (await metric('sluice_follower_failing{follower="copy"}')) === 1;
    }, 'the exporter fails');
    await client.end();
    assert.equal((await readiness()).status, 200);
    const last = sluice.journal().at(-1)!.seq as number;
    disk!.free();
    await until(async () => (await metric('sluice_follower_lag_records{follower="copy"}')) === 0, 'it has all');
    const copied = readFileSync(join(disk!.directory, 'copy.jsonl'), 'utf8').split('\n').slice(0, -1);
    const seqs = [...new Set(copied.map((line) => (JSON.parse(line) as { seq: number }).seq))];
    assert.deepEqual(
      seqs,
      seqs.map((_, i) => i + 1),
    );
    assert.ok(seqs.length >= last);
  });

  test('of the store: statements run, and none that has to wait for people', async (t) => {
    if (disks === null) return t.skip('NOT RUN: there is no small disk');
    const [, disk] = disks;
    disk!.fill(0);
    const client = await inPostgres();
    const update = () =>
      client.query("UPDATE goods SET name = 'x'").then(
        () => assert.fail(),
        (error: pg.DatabaseError) => error,
      );
    const { notOk } = await until(async () => {
      await client.query('SELECT 1');
      const [error, { status, notOk }] = [await update(), await readiness()];
      // What is on the disk already may be written to for a while.
      assert.match(error.message, /needs approval/);
      return status === 503 && /Nobody can be asked now/.test(error.message) && { notOk };
    }, 'the store is full');
    assert.equal(notOk[0]!.check, 'store');
    assert.match(notOk[0]!.reason, /disk/);
    disk!.free();
    await until(async () => (await readiness()).status === 200, 'the store works again');
    assert.match((await update()).message, /needs approval \(rule changes-wait\)\.$/);
    await client.end();
    assert.deepEqual(await postgres.query('SELECT 1 FROM goods'), []);
  });

  test('of the index: statements run, and it is level with the journal once there is room', async (t) => {
    if (disks === null) return t.skip('NOT RUN: there is no small disk');
    const [, , , disk] = disks;
    disk!.fill(0);
    const client = await inPostgres();
    await until(async () => {
      await client.query('SELECT 1');
      return (await metric('sluice_follower_failing{follower="index"}')) === 1;
    }, 'the index fails');
    assert.equal((await readiness()).status, 200);
    await client.query('SELECT 1 AS while_it_was_full');
    await client.end();
    disk!.free();
    await until(async () => (await metric('sluice_follower_lag_records{follower="index"}')) === 0, 'it has all');
    const program = join(import.meta.dirname, '../src/cli/sluice.js');
    const search = ['recordings', 'search', '--journal', disks[0]!.directory, '--text', 'while_it_was_full', '--json'];
    const { records } = JSON.parse(execFileSync(process.execPath, [program, ...search], { encoding: 'utf8' }));
    assert.equal(records.length, 1);
  });
});

/** What a disk is where none can be mounted: no file of the process grows any more. */
function limitFiles({ pid, configFile }: Sluice): Pick<SmallDisk, 'fill' | 'free'> {
  console.log('NOT RUN: this process may not mount a small disk; files are limited in size instead, by prlimit');
  const limit = (bytes: string) => execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
  const directory = join(configFile, '../journal');
  return {
    fill: () => {
      const newest = readdirSync(directory)
        .filter((name) => name.endsWith('.jsonl'))
        .sort()
        .at(-1)!;
      limit(String(statSync(join(directory, newest)).size + 20_000));
    },
    free: () => limit('unlimited'),
  };
}

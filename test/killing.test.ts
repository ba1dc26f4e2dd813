import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBind, encodeExecute, encodeParse, encodeQuery, encodeSync } from '../protocols/postgres/frontend.ts';
import { readRecords } from '../src/recording/read-records.ts';
import { KEYS_FILE, readJwks } from '../src/recording/signing-key.ts';
import { verifyJournal } from '../src/recording/verify.ts';
import { RawClient } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';

/** No statement reaches a database before its record is safe from a crash of Sluice. */

/** Rounds for each durability; the first one is what most run. */
const DURABILITIES = { process: 5, disk: 3 } as const;
const CLIENTS = 4;

for (const [durability, rounds] of Object.entries(DURABILITIES)) {
  describe(`killing Sluice under load, durability: ${durability}`, () => {
    let postgres: PostgresServer;
    let sluice: Sluice;
    let nextId = 0;

    before(async () => {
      postgres = await startPostgres();
      await postgres.query('CREATE TABLE arrived (id int PRIMARY KEY)');
      const { host, port, superuser: user, password, database } = postgres;
      sluice = await startSluice({
        connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
        users: [{ name: 'agent', password: 'secret' }],
        recording: { durability },
      });
    });
    after(async () => {
      await sluice?.stop();
      await postgres?.stop();
    });

    const journalDirectory = () => join(dirname(sluice.configFile), 'journal');

    /** Inserts new ids as fast as it can, each client in another way, until the connection is lost. */
    async function insertUntilLost(port: number, way: number): Promise<void> {
      const login = { host: '127.0.0.1', port, user: 'agent', password: 'secret', database: 'db' };
      const client = await RawClient.login(login);
      const parse = encodeParse({ statement: '', text: 'INSERT INTO arrived VALUES ($1)', parameterTypes: [23] });
      const binary = (id: number) => {
        const value = Buffer.alloc(4);
        value.writeInt32BE(id);
        return encodeBind({ portal: '', statement: '', parameterFormats: [1], parameters: [value], resultFormats: [] });
      };
      const execute = encodeExecute({ portal: '', maxRows: 0 });
      const batch = (): Buffer[] => {
        if (way === 0) return [encodeQuery(`INSERT INTO arrived VALUES (${++nextId})`)];
        if (way === 1)
          return [encodeQuery(`INSERT INTO arrived VALUES (${++nextId}); INSERT INTO arrived VALUES (${++nextId})`)];
        // A pipeline of one transaction each, and one of a single transaction.
        const inserts = Array.from({ length: 20 }, () => [parse, binary(++nextId), execute]);
        return way === 2
          ? inserts.flatMap((messages) => [...messages, encodeSync()])
          : [...inserts.flat(), encodeSync()];
      };
      const ready = way === 2 ? 20 : 1;
      try {
        for (;;) {
          client.send(...batch());
          await client.take('Z', ready);
        }
      } catch (error) {
        assert.match((error as Error).message, /closed/);
      } finally {
        client.destroy();
      }
    }

    /** Every id an attempt in the journal speaks of. */
    function recordedIds(): Set<number> {
      const ids = new Set<number>();
      const files = readdirSync(journalDirectory()).filter((name) => name.endsWith('.jsonl'));
      for (const file of files) {
        const lines = readFileSync(join(journalDirectory(), file), 'utf8').split('\n');
        for (const line of lines.slice(0, -1)) {
          const record = JSON.parse(line) as { event: string; text?: string; binds?: { hex: string }[] };
          if (record.event !== 'statement.attempt') continue;
          for (const [, id] of record.text?.matchAll(/VALUES \((\d+)\)/g) ?? []) ids.add(Number(id));
          for (const { hex } of record.binds ?? []) ids.add(Number.parseInt(hex, 16));
        }
      }
      return ids;
    }

    for (let round = 1; round <= rounds; round++) {
      test(`every row that arrived has its attempt in the journal, ${round} of ${rounds}`, async (t) => {
        let port = sluice.port;
        let kill = async () => {
          sluice.signal('SIGKILL');
          await sluice.exited;
        };
        if (round > 1) ({ port, kill } = await serveAgain(sluice.configFile));
        t.after(() => kill());
        const arrived = async () => (await postgres.query('SELECT count(*)::int AS n FROM arrived'))[0]?.n as number;
        const before = await arrived();
        const load = Array.from({ length: CLIENTS }, (_, way) => insertUntilLost(port, way));
        for (let waited = 0; (await arrived()) <= before + 20; waited += 20) {
          assert.ok(waited < 10_000, 'the load arrives');
          await sleep(20);
        }
        const ms = Math.floor(Math.random() * 500);
        t.diagnostic(`killed after ${ms} ms`);
        await sleep(ms);
        await kill();
        await Promise.all(load);
        // What the server has in hand, it ends.
        for (let waited = 0; ; waited += 20) {
          const [left] = await postgres.query(
            "SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
          );
          if (left?.n === 0) break;
          assert.ok(waited < 5000, `${left?.n} sessions are left on the server`);
          await sleep(20);
        }
        const rows = await postgres.query('SELECT id FROM arrived');
        const recorded = recordedIds();
        assert.deepEqual(
          rows.map(({ id }) => id as number).filter((id) => !recorded.has(id)),
          [],
        );
        // What a kill in the middle of a write leaves; the next round begins with mending it.
        const newest = readdirSync(journalDirectory())
          .filter((name) => name.endsWith('.jsonl'))
          .sort()
          .at(-1)!;
        if (round % 2 === 1) appendFileSync(join(journalDirectory(), newest), '{"v":1,"seq":99999999,"at":"20');
      });
    }

    test('over all restarts the journal has no gap in its numbers, its chain holds, and it says where it was mended', async () => {
      const { kill } = await serveAgain(sluice.configFile);
      await kill();
      let records = 0;
      const mended: unknown[] = [];
      const problems: unknown[] = [];
      await readRecords(journalDirectory(), {
        record: ({ seq, event, fields }) => {
          assert.equal(seq, ++records);
          if (event === 'journal.gap') mended.push(fields.reason);
        },
        problem: (problem) => problems.push(problem),
      });
      assert.deepEqual(problems, []);
      const keys = readJwks(join(journalDirectory(), KEYS_FILE))!;
      const { findings } = await verifyJournal(journalDirectory(), { keys, isCopyOfRunning: true });
      assert.deepEqual(findings, []);
      // Every other round ends with one; a kill in the middle of a write makes more.
      assert.ok(
        mended.length >= Math.ceil(rounds / 2) && mended.every((reason) => reason === 'torn line'),
        String(mended),
      );
    });
  });
}

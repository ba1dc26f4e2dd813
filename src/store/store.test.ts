import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import type { StoreConfig } from '../config/config.ts';
import { openStore } from './store.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-store-'));
const file = join(directory, 'deeper', 'sluice.db');
let server: PostgresServer;
const stores: Record<string, () => StoreConfig> = {
  SQLite: () => ({ kind: 'sqlite', file }),
  PostgreSQL: () => {
    const { host, port, superuser, password, database } = server;
    return { kind: 'postgres', url: `postgres://${superuser}:${password}@${host}:${port}/${database}` };
  },
};

before(async () => {
  server = await startPostgres();
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});

for (const [name, config] of Object.entries(stores)) {
  describe(name, () => {
    test('has its tables after it was opened, and keeps what was written', async () => {
      const first = await openStore(config());
      const kill = { session: 's1', reason: 'a reason', by: 'alice', at: 1_790_000_000_123 };
      await first.insertInto('kills').values(kill).execute();
      await first.destroy();
      const again = await openStore(config());
      assert.deepEqual(await again.selectFrom('kills').selectAll().execute(), [kill]);
      const { numUpdatedRows } = await again.updateTable('kills').set({ reason: 'x' }).executeTakeFirstOrThrow();
      assert.equal(numUpdatedRows, 1n);
      await again.destroy();
    });

    test('counts up in one step, and takes back a transaction that failed', async () => {
      const store = await openStore(config());
      const count = async (n: number, fails: boolean) =>
        store.transaction().execute(async (transaction) => {
          await transaction
            .insertInto('uses')
            .values({ identity: 'i', connection: 'c', aspect: 'rule', name: 'r', count: n, first_at: n, last_at: n })
            .onConflict((conflict) =>
              conflict.columns(['identity', 'connection', 'aspect', 'name']).doUpdateSet((eb) => ({
                count: eb('uses.count', '+', eb.ref('excluded.count')),
                last_at: eb.ref('excluded.last_at'),
              })),
            )
            .execute();
          if (fails) throw new Error('no');
        });
      await Promise.all([count(1, false), count(2, false), assert.rejects(count(100, true), /no/)]);
      const [row] = await store.selectFrom('uses').select('count').execute();
      assert.equal(row!.count, 3);
      await store.destroy();
    });

    test('says what is wrong with a statement, and lives on', async () => {
      const store = await openStore(config());
      const twice = { session: 'twice', reason: '', by: '', at: 1 };
      await store.insertInto('kills').values(twice).execute();
      await assert.rejects(store.insertInto('kills').values(twice).execute(), /unique/i);
      assert.equal((await store.selectFrom('kills').where('session', '=', 'twice').selectAll().execute()).length, 1);
      await store.destroy();
    });
  });
}

describe('nodes that are started at the same moment', () => {
  const NODES = 4;
  const ROUNDS = 5;
  /** Opens, each time that it is told to, the store of that round, writes, and says how it went. */
  const node = `
    import { createInterface } from 'node:readline';
    import { openStore } from ${JSON.stringify(new URL('./store.ts', import.meta.url).href)};
    console.log('ready');
    for await (const line of createInterface({ input: process.stdin })) {
      const { config, session } = JSON.parse(line);
      try {
        const store = await openStore(config);
        await store.insertInto('kills').values({ session, reason: '', by: '', at: 1 }).execute();
        await store.destroy();
        console.log('opened');
      } catch (error) {
        console.log(error.message);
      }
    }`;
  const nodes: { readonly child: ChildProcess; readonly said: AsyncIterator<string> }[] = [];
  const nextLine = async ({ said }: (typeof nodes)[number]) => (await said.next()).value as string;

  before(async () => {
    const program = join(directory, 'node.mjs');
    writeFileSync(program, node);
    for (let n = 0; n < NODES; n++) {
      const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
      nodes.push({ child, said: createInterface({ input: child.stdout })[Symbol.asyncIterator]() });
    }
    assert.deepEqual(await Promise.all(nodes.map(nextLine)), Array(NODES).fill('ready'));
  });
  after(() => {
    for (const { child } of nodes) child.stdin!.end();
  });

  const newStores: Record<string, (round: number) => Promise<StoreConfig>> = {
    SQLite: async (round) => ({ kind: 'sqlite', file: join(directory, `new-${round}.db`) }),
    PostgreSQL: async (round) => {
      await server.query(`CREATE DATABASE new_${round}`);
      const { host, port, superuser, password } = server;
      return { kind: 'postgres', url: `postgres://${superuser}:${password}@${host}:${port}/new_${round}` };
    },
  };
  for (const [name, newStore] of Object.entries(newStores)) {
    test(`all open a new store (${name})`, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const config = await newStore(round);
        for (const [at, { child }] of nodes.entries())
          child.stdin!.write(`${JSON.stringify({ config, session: `node ${at}` })}\n`);
        assert.deepEqual(await Promise.all(nodes.map(nextLine)), Array(NODES).fill('opened'));
        const store = await openStore(config);
        assert.equal((await store.selectFrom('kills').select('session').execute()).length, NODES);
        await store.destroy();
      }
    });
  }
});

test('a file of SQLite is for its owner only', () => {
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('what cannot be opened is said without its password', async () => {
  const url = 'postgres://sluice:hunter2@127.0.0.1:1/sluice';
  await assert.rejects(openStore({ kind: 'postgres', url }), (error: Error) => {
    assert.match(error.message, /the store postgres:\/\/127\.0\.0\.1:1\/sluice cannot be opened: .*ECONNREFUSED/);
    assert.ok(!error.message.includes('hunter2'));
    return true;
  });
  const broken = join(directory, 'broken.db');
  writeFileSync(broken, 'this is no database, it is some text that is longer than the header of one'.repeat(20));
  await assert.rejects(openStore({ kind: 'sqlite', file: broken }), /not a database/);
});

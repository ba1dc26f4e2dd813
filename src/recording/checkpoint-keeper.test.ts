import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import type { StoreConfig } from '../config/config.ts';
import { openStore, type Store } from '../store/store.ts';
import { CheckpointKeeper, keptCheckpoints } from './checkpoint-keeper.ts';
import { Journal } from './journal.ts';
import { segments } from './segments.ts';
import { readJwks } from './signing-key.ts';
import { verifyJournal } from './verify.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-checkpoints-'));
let server: PostgresServer;
const stores: Record<string, () => StoreConfig> = {
  SQLite: () => ({ kind: 'sqlite', file: join(directory, 'sluice.db') }),
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

/** Writes a run of a node, with a checkpoint kept at its end. */
async function run(store: Store, journalDirectory: string, statements: number): Promise<void> {
  const journal = Journal.open(journalDirectory);
  const keeper = new CheckpointKeeper(store, journal);
  for (let n = 0; n < statements; n++) journal.append(`"statement.attempt","text":"SELECT ${n}"`, false);
  journal.close();
  await keeper.close();
}

for (const [name, config] of Object.entries(stores)) {
  describe(name, () => {
    test('of two nodes with one store, the one whose end was cut off is found, and only that', async () => {
      const store = await openStore(config());
      const [one, other] = ['one', 'other'].map((node) => join(directory, `${name}-${node}`)) as [string, string];
      for (const statements of [3, 2]) for (const node of [one, other]) await run(store, node, statements);
      const kept = await keptCheckpoints(store);
      assert.equal(kept.length, 4, 'one for each segment of each node');
      const verify = (node: string) =>
        verifyJournal(node, { keys: readJwks(join(node, 'journal.keys.json'))!, kept, isCopyOfRunning: true });
      for (const node of [one, other]) {
        const { findings, kept: found } = await verify(node);
        assert.deepEqual([findings, found], [[], 2]);
      }
      const newest = join(one, segments(one).at(-1)!.name);
      const lines = readFileSync(newest, 'utf8').split('\n');
      writeFileSync(newest, `${lines.slice(0, 3).join('\n')}\n`);
      const { findings } = await verify(one);
      assert.deepEqual(
        findings.map(({ kind }) => kind),
        ['cut'],
      );
      // Also when the node has gone on since, over the numbers that were cut off.
      await run(store, one, 20);
      const later = await verify(one);
      assert.deepEqual(
        later.findings.map(({ kind }) => kind),
        ['changed'],
      );
      assert.deepEqual((await verify(other)).findings, []);
      await store.destroy();
    });
  });
}

test('a store that cannot be asked loses nothing: the checkpoint is kept when it can', async () => {
  const store = await openStore({ kind: 'sqlite', file: join(directory, 'later.db') });
  const gone = await openStore({ kind: 'sqlite', file: join(directory, 'gone.db') });
  await gone.destroy();
  let reached = gone;
  const line = '{"a":"checkpoint"}';
  const through = { insertInto: (table: 'journal_checkpoints') => reached.insertInto(table) } as Store;
  const keeper = new CheckpointKeeper(through, { node: 'n', checkpoint: { segment: 1, seq: 7, line } });
  await keeper.keep();
  reached = store;
  await keeper.close();
  assert.deepEqual(await keptCheckpoints(store), [line]);
  await store.destroy();
});

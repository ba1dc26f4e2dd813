import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Load } from './soak/load.ts';
import { mysqlLoad } from './soak/mysql-load.ts';
import { postgresLoad } from './soak/postgres-load.ts';
import { summary } from './soak/report.ts';
import { soak } from './soak/soak.ts';

/** The soak itself takes minutes and is not part of the tests: `npm run soak`. */
async function shortSoak<Client extends { readonly socket: Socket }>(
  load: Load<Client>,
  t: TestContext,
): Promise<void> {
  const outcome = await soak(load, { seconds: 10, sampleSeconds: 1 });
  for (const what of outcome.notRun) t.diagnostic(`NOT RUN: ${what}`);
  assert.deepEqual(outcome.failures, [], summary(outcome));
  assert.ok(outcome.samples.length >= 5);
  for (const { name } of load.scenarios) {
    const client = outcome.scenarios.find((scenario) => scenario.name === name);
    assert.ok(client !== undefined && client.turns > 0, `${name} had no turn`);
  }
  const { outcomes } = outcome.journal;
  for (const status of ['ok', 'error', 'refused', 'skipped', 'lost']) {
    assert.ok((outcomes[status] ?? 0) > 0, `no statement ended ${status}: ${JSON.stringify(outcomes)}`);
  }
}

test('a short soak finds nothing wrong on PostgreSQL, and all its clients are at work', async (t) => {
  await shortSoak(await postgresLoad(), t);
});

test('a short soak finds nothing wrong on MariaDB, and all its clients are at work', async (t) => {
  await shortSoak(await mysqlLoad(), t);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summary } from './soak/report.ts';
import { SCENARIOS } from './soak/scenarios.ts';
import { soak } from './soak/soak.ts';

/** The soak itself takes minutes and is not part of the tests: `npm run soak`. */
test('a short soak finds nothing wrong, and all its clients are at work', async (t) => {
  const outcome = await soak({ seconds: 10, sampleSeconds: 1 });
  for (const what of outcome.notRun) t.diagnostic(`NOT RUN: ${what}`);
  assert.deepEqual(outcome.failures, [], summary(outcome));
  assert.ok(outcome.samples.length >= 5);
  for (const { name } of SCENARIOS) {
    const client = outcome.scenarios.find((scenario) => scenario.name === name);
    assert.ok(client !== undefined && client.turns > 0, `${name} had no turn`);
  }
  const { outcomes } = outcome.journal;
  for (const status of ['ok', 'error', 'refused', 'skipped', 'lost']) {
    assert.ok((outcomes[status] ?? 0) > 0, `no statement ended ${status}: ${JSON.stringify(outcomes)}`);
  }
});

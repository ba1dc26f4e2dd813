import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RetentionConfig } from '../config/config.ts';
import type { FollowerStatus } from './follower.ts';
import { Journal } from './journal.ts';
import { type Removal, Retention } from './retention.ts';
import { segments } from './segments.ts';

const DAY_MS = 24 * 60 * 60_000;

/** A journal of so many segments, begun a day after one another, the last of them now; and a retention on it. */
function retention(t: TestContext, count: number, limits: RetentionConfig) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-retention-'));
  const now = Date.now();
  t.mock.timers.enable({ apis: ['Date'], now: now - (count - 1) * DAY_MS });
  const journal = Journal.open(directory);
  for (let n = 1; ; n++) {
    journal.append(`"tick","n":${n}`, true);
    journal.flush();
    if (n === count) break;
    t.mock.timers.setTime(now - (count - 1 - n) * DAY_MS);
    assert.ok(journal.closeSegment());
  }
  t.after(() => {
    journal.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const follower = (name: string, segment: number | null): FollowerStatus => ({
    ...{ name, pendingSince: null, taken: { records: 0, bytes: 0 }, failures: 0, failure: null },
    position: segment === null ? null : { segment, offset: 0, seq: 0 },
  });
  const state = {
    followers: [] as FollowerStatus[],
    /** What was recorded, and which segments were there then. */
    recorded: [] as { removal: Removal; there: number[] }[],
    record: async (): Promise<void> => undefined,
  };
  const numbers = () => segments(directory).map(({ number }) => number);
  const retaining = new Retention(limits, {
    directory,
    head: () => journal.head,
    followers: () => state.followers,
    record: async (removal) => {
      await state.record();
      state.recorded.push({ removal, there: numbers() });
      return journal.head.segment;
    },
    log: () => undefined,
  });
  return { directory, journal, retaining, state, numbers, follower };
}

test('segments go when the last of them is older than so many days, and are recorded before', async (t) => {
  const { retaining, state, numbers } = retention(t, 5, { days: 2, bytes: null });
  await retaining.run();
  // The third was closed a day ago, and the second just two.
  assert.deepEqual(numbers(), [2, 3, 4, 5]);
  t.mock.timers.tick(1);
  await retaining.run();
  assert.deepEqual(numbers(), [3, 4, 5]);
  assert.deepEqual(
    state.recorded.map(({ removal, there }) => [removal.segment, removal.reason, there]),
    [
      [1, 'age', [1, 2, 3, 4, 5]],
      [2, 'age', [2, 3, 4, 5]],
    ],
  );
  assert.deepEqual(retaining.status, { removed: 2, blocked: null });
});

test('the segment that is written to stays, however old and large it is', async (t) => {
  const { retaining, numbers } = retention(t, 2, { days: 1, bytes: 1 });
  await retaining.run();
  assert.deepEqual(numbers(), [2]);
  await retaining.run();
  assert.deepEqual([numbers(), retaining.status.blocked], [[2], null]);
});

test('a segment stays until everybody has all of it', async (t) => {
  const { retaining, state, numbers, follower, directory } = retention(t, 4, { days: null, bytes: 1 });
  const [first, second] = segments(directory);
  state.followers = [follower('index', 4), follower('siem', 2)];
  await retaining.run();
  assert.deepEqual(numbers(), [2, 3, 4]);
  assert.equal(retaining.status.blocked, `${second!.name} cannot be removed: siem does not have all of it yet`);
  state.followers = [follower('index', 4), follower('siem', null)];
  await retaining.run();
  assert.deepEqual(numbers(), [2, 3, 4], 'of one that has not begun nothing is known');
  state.followers = [follower('index', 4), follower('siem', 4)];
  await retaining.run();
  assert.deepEqual([numbers(), retaining.status], [[4], { removed: 3, blocked: null }]);
  assert.equal(state.recorded[0]!.removal.file, first!.name);
});

test('a segment that somebody changed stays, and those behind it', async (t) => {
  const { retaining, state, numbers, directory } = retention(t, 4, { days: null, bytes: 1 });
  const file = join(directory, segments(directory)[1]!.name);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"event":"tick"', '"event":"tock"'));
  await retaining.run();
  assert.deepEqual(numbers(), [2, 3, 4]);
  assert.match(retaining.status.blocked!, /-2\.jsonl cannot be removed: it does not verify: line 2: .*was changed$/);
  assert.equal(state.recorded.length, 1);
});

test('what cannot be recorded is not removed', async (t) => {
  const { retaining, state, numbers } = retention(t, 3, { days: null, bytes: 1 });
  state.record = async () => {
    throw new Error('ENOSPC');
  };
  await retaining.run();
  assert.deepEqual(numbers(), [1, 2, 3]);
  assert.equal(retaining.status.blocked, 'segments cannot be removed: ENOSPC');
  state.record = async () => undefined;
  await retaining.run();
  assert.deepEqual([numbers(), retaining.status.blocked], [[3], null]);
});

test('no more goes than has to, by size', async (t) => {
  const { directory, numbers, retaining, state } = retention(t, 4, { days: null, bytes: 10_000 });
  await retaining.run();
  assert.deepEqual(numbers(), [1, 2, 3, 4]);
  const newest = join(directory, segments(directory).at(-1)!.name);
  const sizes = segments(directory).map(({ name }) => statSync(join(directory, name)).size);
  // One segment too much.
  appendFileSync(newest, 'x'.repeat(10_001 - sizes.reduce((sum, size) => sum + size, 0)));
  await retaining.run();
  assert.deepEqual([numbers(), state.recorded[0]!.removal.reason], [[2, 3, 4], 'size']);
});

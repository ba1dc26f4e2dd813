import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { type Jump, Pace } from './replay-pace.ts';

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

/** What a pause gave, once it has ended. */
function ended(pause: Promise<Jump>): { jump: Jump | null } {
  const result: { jump: Jump | null } = { jump: null };
  void pause.then((jump) => {
    result.jump = jump;
  });
  return result;
}

async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  await Promise.resolve();
  await Promise.resolve();
}

test('a pause is as long as it was, divided by the speed, and never longer than the longest', async () => {
  for (const [speed, ms, expected] of [
    [1, 1000, 1000],
    [4, 1000, 250],
    [1, 60_000, 3000],
    [0.5, 1000, 2000],
  ] as const) {
    const pause = ended(new Pace(speed, 3000).pause(ms));
    await pass(expected - 1);
    assert.equal(pause.jump, null);
    await pass(1);
    assert.equal(pause.jump, 'none');
  }
});

test('space stops the time and lets it go on, + and - change how fast it goes', async () => {
  const pace = new Pace(1, 10_000);
  const pause = ended(pace.pause(1000));
  pace.press(' ');
  await pass(100_000);
  assert.equal(pause.jump, null);
  pace.press('+');
  pace.press(' ');
  await pass(499);
  assert.equal(pause.jump, null);
  await pass(1);
  assert.equal(pause.jump, 'none');
  pace.press('-');
  pace.press('-');
  const slower = ended(pace.pause(1000));
  await pass(1999);
  assert.equal(slower.jump, null);
  await pass(1);
  assert.equal(slower.jump, 'none');
});

test('keys jump and end, also those that came before the pause', async () => {
  const pace = new Pace(1, 10_000);
  for (const [key, jump] of [
    ['n', 'next'],
    ['b', 'back'],
    ['q', 'end'],
    ['\u0003', 'end'],
  ] as const) {
    const pause = ended(pace.pause(1000));
    pace.press('x');
    pace.press(key);
    await pass(0);
    assert.equal(pause.jump, jump);
    pace.press(key);
    assert.equal(await pace.pause(1000), jump);
  }
});

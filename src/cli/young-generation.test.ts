import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turnEnds } from 'node:timers/promises';
import v8 from 'node:v8';
import { YoungGeneration } from './young-generation.ts';

const MB = 1024 * 1024;

function size(): number {
  return v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size;
}

/** Makes garbage, of which much survives for a while, until `until` says so or a minute is over. */
async function work(until: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  let kept: object[] = [];
  while (!until() && performance.now() < end) {
    for (let i = 0; i < 20_000; i++) kept.push({ i });
    if (kept.length > 100_000) kept = [];
    await turnEnds();
  }
}

test('the young generation grows when there is something to do, and not on and on', async () => {
  v8.setFlagsFromString('--semi-space-growth-factor=1');
  let statements = 0;
  const young = new YoungGeneration(() => statements);
  const before = size();
  const idleUntil = performance.now() + 1_500;
  await work(() => performance.now() > idleUntil);
  // V8 may make it smaller by itself.
  assert.ok(size() <= before, `${size()} bytes after ${before}, though nobody asks for anything`);

  await work(() => {
    statements += 1_000;
    return size() >= 6 * MB;
  });
  assert.ok(size() >= 6 * MB, `${size()} bytes`);
  // It is looked at again meanwhile, in this thread.
  const busy = (milliseconds: number) => {
    const end = performance.now() + milliseconds;
    return work(() => {
      statements += 1_000;
      return performance.now() > end;
    });
  };
  await busy(1_500);
  const grown = size();
  await busy(1_500);
  assert.ok(size() <= grown, `${size()} bytes after ${grown}`);
  young.close();
});

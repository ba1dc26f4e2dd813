import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FileWatch } from './file-watch.ts';

test('a change is told once all files are left alone, also one behind a link that is replaced', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-watch-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const written = join(directory, 'written.yaml');
  const linked = join(directory, 'current/linked.yaml');
  const missing = join(directory, 'missing.yaml');
  writeFileSync(written, 'a');
  for (const release of ['one', 'two']) {
    mkdirSync(join(directory, release));
    writeFileSync(join(directory, release, 'linked.yaml'), release);
  }
  symlinkSync('one', join(directory, 'current'));

  let told = 0;
  const watch = new FileWatch(() => told++, 200);
  t.after(() => watch.close());
  watch.watch([written, linked, missing]);
  const becomes = async (count: number) => {
    for (let waited = 0; told < count && waited < 10_000; waited += 50) await delay(50);
    await delay(500);
    assert.equal(told, count);
  };
  await delay(700);
  assert.equal(told, 0);

  // Every write is a change, and the next comes before it has settled.
  for (let part = 0; part < 6; part++) {
    writeFileSync(written, 'a'.repeat(2 + part));
    await delay(100);
    assert.equal(told, 0);
  }
  await becomes(1);
  symlinkSync('two', join(directory, 'next'));
  renameSync(join(directory, 'next'), join(directory, 'current'));
  await becomes(2);
  writeFileSync(missing, 'a');
  await becomes(3);
  watch.watch([linked]);
  writeFileSync(written, 'b');
  await delay(1000);
  assert.equal(told, 3);
});

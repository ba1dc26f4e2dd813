import assert from 'node:assert/strict';
import fs, {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import fsPromises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RecordBatch } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';
import { fileExporter } from './jsonl.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-jsonl-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const line = (seq: number, text = '') =>
  `{"v":1,"seq":${seq},"at":"2026-01-01T00:00:00.000Z","event":"tick","text":"${text}"}\n`;
const batch = (...lines: readonly string[]) =>
  new RecordBatch('node', { segment: 1, offset: 0, seq: 0 }, Buffer.from(lines.join('')));

function exporterTo(t: TestContext, path: string): Exporter {
  const exporter = fileExporter(path, ({ bytes }) => bytes);
  t.after(() => exporter.close());
  return exporter;
}

const { signal } = new AbortController();

test('records are appended, byte for byte, to a file that only its owner can read', async (t) => {
  const path = join(temporary(t), 'records.jsonl');
  const exporter = exporterTo(t, path);
  await exporter.deliver(batch(line(1), line(2, 'ünï')), signal);
  await exporter.deliver(batch(line(3)), signal);
  assert.equal(readFileSync(path, 'utf8'), line(1) + line(2, 'ünï') + line(3));
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a file that was moved away or removed is made anew', async (t) => {
  const path = join(temporary(t), 'records.jsonl');
  const exporter = exporterTo(t, path);
  await exporter.deliver(batch(line(1)), signal);
  renameSync(path, `${path}.1`);
  await exporter.deliver(batch(line(2)), signal);
  unlinkSync(path);
  await exporter.deliver(batch(line(3)), signal);
  assert.equal(readFileSync(`${path}.1`, 'utf8'), line(1));
  assert.equal(readFileSync(path, 'utf8'), line(3));
});

test('a file that was emptied in place goes on at its beginning', async (t) => {
  const path = join(temporary(t), 'records.jsonl');
  const exporter = exporterTo(t, path);
  await exporter.deliver(batch(line(1)), signal);
  fs.truncateSync(path);
  await exporter.deliver(batch(line(2)), signal);
  assert.equal(readFileSync(path, 'utf8'), line(2));
});

test('a line that a killed process did not end is cut off', async (t) => {
  const path = join(temporary(t), 'records.jsonl');
  appendFileSync(path, `${line(1)}{"v":1,"seq":2,"text":"${'x'.repeat(200_000)}`);
  await exporterTo(t, path).deliver(batch(line(2), line(3)), signal);
  assert.equal(readFileSync(path, 'utf8'), line(1) + line(2) + line(3));
});

test('a full disk leaves no half line behind', async (t) => {
  const path = join(temporary(t), 'records.jsonl');
  const exporter = exporterTo(t, path);
  await exporter.deliver(batch(line(1)), signal);
  const probe = await fsPromises.open(path, 'r');
  const handle = Object.getPrototypeOf(probe) as typeof probe;
  await probe.close();
  const real = handle.write as (data: Buffer, offset: number, length: number) => Promise<{ bytesWritten: number }>;
  let room = line(2).length + 10;
  const write = function (this: typeof probe, data: Buffer, offset: number, length: number) {
    if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const size = Math.min(room, length);
    room -= size;
    return real.call(this, data, offset, size);
  };
  const full = t.mock.method(handle, 'write', write as never);
  await assert.rejects(exporter.deliver(batch(line(2), line(3)), signal), /ENOSPC/);
  full.mock.restore();
  await exporter.deliver(batch(line(2), line(3)), signal);
  // The record that was written whole comes twice: at least once.
  assert.equal(readFileSync(path, 'utf8'), line(1) + line(2) + line(2) + line(3));
});

test('a path that cannot be written is an error, until it can', async (t) => {
  const directory = join(temporary(t), 'mounted-later');
  const path = join(directory, 'records.jsonl');
  const exporter = exporterTo(t, path);
  await assert.rejects(exporter.deliver(batch(line(1)), signal), /ENOENT/);
  mkdirSync(directory);
  await exporter.deliver(batch(line(1)), signal);
  assert.equal(readFileSync(path, 'utf8'), line(1));
});

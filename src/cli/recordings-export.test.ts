import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Journal } from '../recording/journal.ts';
import { segments } from '../recording/segments.ts';

const SLUICE = join(import.meta.dirname, 'sluice.js');
const directory = mkdtempSync(join(tmpdir(), 'sluice-export-'));
const journalDirectory = join(directory, 'journal');
after(() => rmSync(directory, { recursive: true }));

before(() => {
  for (let n = 1; n <= 2; n++) {
    const journal = Journal.open(journalDirectory);
    journal.append(
      '"auth.failed","user":"mallory","via":"postgres","client":{"address":"127.0.0.1"},"reason":"no"',
      true,
    );
    journal.close();
  }
});

async function run(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [SLUICE, 'recordings', 'export', '--journal', journalDirectory, ...args]);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = await once(child, 'close');
  return { code: code as number | null, out, err };
}

const written = () =>
  segments(journalDirectory)
    .map(({ name }) => readFileSync(join(journalDirectory, name), 'utf8'))
    .join('');

test('records are written to a new file as they are, for its owner only', async () => {
  const file = join(directory, 'records.jsonl');
  const { code, err } = await run('--to', file);
  assert.equal(code, 0, err);
  assert.equal(readFileSync(file, 'utf8'), written());
  assert.equal(err, `${written().split('\n').length - 1} records in ${file}.\n`);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const again = await run('--to', file);
  assert.deepEqual([again.code, again.err], [2, `${file} is there already.\n`]);
});

test('only those of a time are written, and to standard output if asked', async () => {
  const all = await run('--to', '-', '--since', '1h');
  assert.deepEqual([all.code, all.out, all.err], [0, written(), '']);
  const older = await run('--to', '-', '--until', '1h');
  assert.deepEqual([older.code, older.out], [0, '']);
});

test('events of OCSF are written instead', async () => {
  const { code, out } = await run('--to', '-', '--format', 'ocsf');
  assert.equal(code, 0);
  const events = out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { class_uid: number; metadata: { version: string } });
  assert.ok(events.length >= 2);
  assert.ok(events.every(({ class_uid, metadata }) => typeof class_uid === 'number' && /^1\./.test(metadata.version)));
});

test('a directory that is not there is an error', async () => {
  const { code, err } = await run('--to', '-', '--journal', join(directory, 'nowhere'));
  assert.equal(code, 1);
  assert.match(err, /^The export ends here: ENOENT/);
});

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Journal, type JournalHead } from './journal.ts';
import { BATCH_BYTES, type JournalPosition, type RecordBatch, readBatch, readBatches } from './record-batch.ts';
import { segments } from './segments.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-batch-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A journal with so many segments, in each of them what the number says beside what the journal itself writes; the last is open. */
function journalOf(t: TestContext, directory: string, ...counts: readonly number[]): Journal {
  let journal: Journal | null = null;
  let n = 0;
  for (const count of counts) {
    journal?.close();
    journal = Journal.open(directory);
    for (let i = 0; i < count; i++) journal.append(`"tick","n":${++n}`, true);
    assert.ok(journal.flush());
  }
  t.after(() => journal!.close());
  return journal!;
}

async function all(journal: Journal, from: JournalPosition | null = null): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  for (let position = from; ; position = batches.at(-1)!.end) {
    const batch = await readBatch(journal.directory, journal.node, position, journal.head);
    if (batch === null) return batches;
    batches.push(batch);
  }
}

const ticks = (batches: readonly RecordBatch[]) =>
  batches.flatMap((batch) => batch.records().flatMap(({ event, fields }) => (event === 'tick' ? [fields.n] : [])));

test('every record is read once, in order, over all segments', async (t) => {
  const journal = journalOf(t, temporary(t), 3, 0, 2);
  const batches = await all(journal);
  assert.deepEqual(ticks(batches), [1, 2, 3, 4, 5]);
  assert.equal(batches[0]!.first, 1);
  assert.equal(batches.at(-1)!.last, journal.head.seq);
  batches.slice(1).forEach((batch, i) => {
    assert.equal(batch.first, batches[i]!.last + 1);
  });
  for (const batch of batches) {
    assert.equal(batch.node, journal.node);
    assert.equal(batch.records()[0]!.seq, batch.first);
    assert.equal(batch.records()[0]!.at, batch.at);
    assert.equal(batch.records().at(-1)!.seq, batch.last);
  }
});

test('who is not told of the head reads up to the end there is', async (t) => {
  const { directory, node } = journalOf(t, temporary(t), 2, 1);
  const batches: RecordBatch[] = [];
  for await (const batch of readBatches(directory, node)) batches.push(batch);
  assert.deepEqual(ticks(batches), [1, 2, 3]);
  for await (const batch of readBatches(temporary(t), node)) assert.fail(`${batch.bytes}`);
});

test('reading goes on behind any batch', async (t) => {
  const journal = journalOf(t, temporary(t), 1);
  const [first] = await all(journal);
  journal.append('"tick","n":2', true);
  journal.flush();
  assert.deepEqual(ticks(await all(journal, first!.end)), [2]);
});

test('a batch is bounded, and one record alone may be longer', async (t) => {
  const journal = journalOf(t, temporary(t), 0);
  const text = 'x'.repeat(BATCH_BYTES / 4);
  for (let n = 1; n <= 9; n++) journal.append(`"tick","n":${n},"text":"${text}"`, true);
  journal.append(`"tick","n":10,"text":"${text.repeat(20)}"`, true);
  journal.append('"tick","n":11', true);
  journal.flush();
  const batches = await all(journal);
  assert.deepEqual(
    ticks(batches),
    Array.from({ length: 11 }, (_, i) => i + 1),
  );
  const long = batches.filter(({ bytes }) => bytes.length > BATCH_BYTES);
  assert.deepEqual(ticks(long).at(0), 10);
  assert.ok(long.every(({ bytes }) => bytes.length < BATCH_BYTES * 7));
});

test('nothing behind the head is read, for it may be taken back', async (t) => {
  const journal = journalOf(t, temporary(t), 2);
  const { head } = journal;
  const file = join(journal.directory, segments(journal.directory).at(-1)!.name);
  appendFileSync(file, `{"v":1,"seq":${head.seq + 1},"at":"2026-01-01T00:00:00.000Z","event":"tick","n":3}\n`);
  assert.deepEqual(ticks(await all(journal)), [1, 2]);
});

test('a line without an end, at the end of a segment that is no longer written, is no record', async (t) => {
  const directory = temporary(t);
  const journal = journalOf(t, directory, 1, 1);
  appendFileSync(join(directory, segments(directory)[0]!.name), '{"v":1,"seq":');
  assert.deepEqual(ticks(await all(journal)), [1, 2]);
});

test('where a segment is shorter than what was read of it, or gone, reading goes on with the next', async (t) => {
  const directory = temporary(t);
  const journal = journalOf(t, directory, 3, 2, 1);
  const [first, second] = segments(directory);
  const read: JournalHead = { ...journal.head };
  const end = (await all(journal))[0]!.end;
  truncateSync(join(directory, first!.name), end.offset - 20);
  assert.deepEqual(ticks(await all(journal, end)), [4, 5, 6]);
  unlinkSync(join(directory, first!.name));
  assert.deepEqual(ticks(await all(journal, end)), [4, 5, 6]);
  unlinkSync(join(directory, second!.name));
  assert.deepEqual(ticks(await all(journal, end)), [6]);
  assert.deepEqual(journal.head, read);
});

test('a line that is no record is left out, and what is around it is not', async (t) => {
  const directory = temporary(t);
  const journal = journalOf(t, directory, 1, 1);
  appendFileSync(join(directory, segments(directory)[0]!.name), 'not a record\n');
  const batches = await all(journal);
  assert.deepEqual(ticks(batches), [1, 2]);
  assert.match(batches[0]!.lines().at(-1)!, /^not a record$/);
  assert.equal(batches[1]!.last, journal.head.seq);
});

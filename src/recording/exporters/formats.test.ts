import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordBatch } from '../record-batch.ts';
import { linesOf, writerOf } from './formats.ts';
import { ORIGIN, SAMPLES } from './test-records.ts';

const START = { segment: 3, offset: 100, seq: SAMPLES[0]!.seq - 1 };
const lines = SAMPLES.map(({ fields }) => `${JSON.stringify(fields)}\n`);
const batch = (from: number, to: number) => {
  const offset = START.offset + lines.slice(0, from).join('').length;
  const bytes = Buffer.from(lines.slice(from, to).join(''));
  return new RecordBatch('node1', { segment: 3, offset, seq: START.seq + from }, bytes);
};
const attempt = SAMPLES.findIndex(({ event }) => event === 'statement.attempt');

test("in the format of Sluice are the journal's own bytes, each line of which is an event", async () => {
  const all = batch(0, SAMPLES.length);
  const { format, done } = await linesOf('sluice', ORIGIN);
  assert.equal(format(all), all.bytes);
  assert.equal(done(), undefined);
  const write = await writerOf('sluice', ORIGIN);
  const { events, done: settled } = write(all);
  assert.deepEqual(
    events.map(({ text }) => `${text}\n`),
    lines,
  );
  assert.deepEqual(settled(), all.end);
});

test('formats that join a statement with its outcome begin again where the first one waits', async () => {
  for (const format of ['ocsf', 'cef'] as const) {
    const write = await writerOf(format, ORIGIN);
    const first = batch(0, attempt + 1);
    const rest = batch(attempt + 1, SAMPLES.length);
    assert.deepEqual(write(first).done(), START);
    assert.deepEqual(write(rest).done(), rest.end);
  }
});

test('what was not delivered is written again as it was, its chain included', async () => {
  const { format, done } = await linesOf('ocsf', ORIGIN);
  format(batch(0, attempt));
  done();
  const rest = batch(attempt, SAMPLES.length);
  const once = format(rest).toString();
  assert.equal(format(rest).toString(), once);
  const [first] = once.split('\n').map((line) => line && JSON.parse(line));
  assert.equal(first.attestation_list[0].prev_event.uid, `node1/${SAMPLES[attempt - 1]!.seq}`);
});

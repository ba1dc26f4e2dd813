import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { S3Server } from '../../test/s3-server.ts';
import type { ExporterConfig, RetentionConfig } from '../config/config.ts';
import { ORIGIN } from './exporters/test-records.ts';
import { Journal } from './journal.ts';
import { type RecordingStatus, RecordingThread } from './recording-thread.ts';
import { segments } from './segments.ts';
import { KEYS_FILE } from './signing-key.ts';
import { verifyJournal } from './verify.ts';

const LIMIT_MS = 30_000;

async function until(what: string, done: () => boolean): Promise<void> {
  for (const begun = performance.now(); !done(); await delay(20)) {
    assert.ok(performance.now() - begun < LIMIT_MS, `in ${LIMIT_MS} ms: ${what}`);
  }
}

interface Followed {
  readonly directory: string;
  readonly journal: Journal;
  readonly logged: string[];
  thread: RecordingThread;
  tick(n: number): void;
  file(name: string): string;
  /** What an exported file has. */
  ticks(name: string): number[];
}

function followed(t: TestContext, ...given: readonly (string | ExporterConfig)[]) {
  return retaining(t, null, ...given);
}

function retaining(
  t: TestContext,
  retain: RetentionConfig | null,
  ...given: readonly (string | ExporterConfig)[]
): Followed & { begin(): RecordingThread } {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-thread-'));
  const journalDirectory = join(directory, 'journal');
  const journal = Journal.open(journalDirectory);
  const logged: string[] = [];
  const log = (level: string) => (_fields: object, message: string) => void logged.push(`${level}: ${message}`);
  const file = (name: string) => join(directory, `${name}.jsonl`);
  const exporters = given.map(
    (one): ExporterConfig =>
      typeof one === 'string' ? { to: 'jsonl', name: one, file: file(one), format: 'sluice' } : one,
  );
  const begin = () =>
    new RecordingThread(
      journal,
      { exporters, index: null, retain, origin: ORIGIN },
      { info: log('info'), warn: log('warn'), error: log('error') },
    );
  const all = {
    ...{ directory: journalDirectory, journal, logged, file, begin },
    thread: begin(),
    tick: (n: number) => {
      journal.append(`"tick","n":${n}`, true);
      journal.flush();
    },
    ticks: (name: string) =>
      (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as { event: string; n: number })
        .flatMap(({ event, n }) => (event === 'tick' ? [n] : [])),
  };
  t.after(async () => {
    await all.thread.end();
    journal.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return all;
}

test('records reach an exporter in a thread of its own, over its end and a new beginning', async (t) => {
  const all = followed(t, 'copy');
  all.tick(1);
  await until('the first arrives', () => all.ticks('copy').length === 1);
  all.tick(2);
  all.tick(3);
  await until('the others arrive', () => all.ticks('copy').length === 3);
  await until('it is level', () => all.thread.status().followers[0]!.lag.records === 0);
  await delay(300);
  const before = Date.now();
  all.tick(4);
  const { lag } = all.thread.status().followers[0]!;
  assert.ok(lag.records > 0 && lag.seconds * 1000 <= Date.now() - before, 'it is behind since the record, not longer');
  await all.thread.end();
  assert.deepEqual(all.ticks('copy'), [1, 2, 3, 4], 'what is there is delivered before the end');
  all.thread = all.begin();
  all.tick(5);
  await until('it goes on where it was', () => all.ticks('copy').length === 5);
  assert.deepEqual(all.ticks('copy'), [1, 2, 3, 4, 5]);
  assert.deepEqual(all.logged, []);
});

test('what is exported is the journal, byte for byte', async (t) => {
  const all = followed(t, 'copy');
  for (let n = 1; n <= 100; n++) all.tick(n);
  await until('all arrive', () => all.ticks('copy').length === 100);
  const written = segments(all.directory).map(({ name }) => readFileSync(join(all.directory, name), 'utf8'));
  assert.equal(readFileSync(all.file('copy'), 'utf8'), written.join(''));
});

test('an exporter that fails delays no other, shows what is wrong, and gets everything later', async (t) => {
  const all = followed(t, 'good', 'bad');
  mkdirSync(all.file('bad'));
  for (let n = 1; n <= 50; n++) all.tick(n);
  await until('the good one has all', () => all.ticks('good').length === 50);
  await until('the bad one has failed', () => all.thread.status().followers[1]!.failure !== null);
  const { failure, restarts, followers } = all.thread.status();
  assert.deepEqual([failure, restarts], [null, 0]);
  const [good, bad] = followers;
  assert.deepEqual([good!.name, bad!.name], ['good', 'bad']);
  await until('the good one is level', () => all.thread.status().followers[0]!.lag.records === 0);
  assert.match(bad!.failure!.message, /EISDIR/);
  const { lag } = all.thread.status().followers[1]!;
  assert.equal(lag.records, all.journal.head.seq);
  assert.equal(lag.bytes, all.journal.head.bytes);
  assert.ok(lag.seconds > 0);
  rmSync(all.file('bad'), { recursive: true });
  await until('the bad one has all', () => all.ticks('bad').length === 50);
  assert.deepEqual(all.ticks('bad'), all.ticks('good'));
  await until('both are well', () => all.thread.status().followers.every((follower) => follower.failure === null));
  assert.deepEqual(all.logged, [
    'error: records cannot be delivered; they wait in the journal',
    'info: records are taken again',
  ]);
});

test('a thread that dies is begun again, and that shows', async (t) => {
  const workers: Worker[] = [];
  const unref = Worker.prototype.unref;
  t.mock.method(Worker.prototype, 'unref', function (this: Worker) {
    workers.push(this);
    return unref.call(this);
  });
  const all = followed(t, 'copy');
  all.tick(1);
  await until('the first arrives', () => all.ticks('copy').length === 1);
  void workers[0]!.terminate();
  await until('its death shows', () => all.thread.status().failure !== null);
  all.tick(2);
  await until('it goes on', () => all.ticks('copy').length >= 2);
  assert.deepEqual([...new Set(all.ticks('copy'))], [1, 2]);
  assert.equal(all.thread.status().restarts, 1);
  await until('it shows that it is well', () => all.thread.status().failure === null);
  assert.deepEqual(all.logged, ['error: the recording thread died; it is begun again, and goes on where it was']);
});

test('what is brought in whole segments is not kept waiting until one is full, and where nothing happens none is begun', async (t) => {
  const credentials = { accessKeyId: 'AKIASLUICE', secretAccessKey: 'secret', region: 'eu-central-1' };
  const server = await S3Server.start(credentials);
  t.after(() => server.stop());
  const storage = { to: 's3', name: 's3', url: server.url, prefix: '', lock: null, everyMs: 500 } as const;
  const all = followed(t, { ...storage, ...credentials });
  all.tick(1);
  const brought = () =>
    [...server.objects].filter(([name]) => name.endsWith('.jsonl')).map(([, { body }]) => `${body}`);
  await until('it is brought', () => brought().join('').includes('"event":"tick","n":1}'));
  const before = segments(all.directory).length;
  all.tick(2);
  await until('the next is brought', () => brought().join('').includes('"event":"tick","n":2}'));
  assert.equal(segments(all.directory).length, before + 1);
  // Its checkpoint is written in this time, and is not news.
  await delay(2_500);
  assert.equal(segments(all.directory).length, before + 1);
  const [oldest] = segments(all.directory);
  assert.equal(brought()[0], readFileSync(join(all.directory, oldest!.name), 'utf8'));
  await until('it is behind by what is in the current segment', () => {
    const [{ position, lag }] = all.thread.status().followers as [RecordingStatus['followers'][number]];
    return position?.segment === all.journal.head.segment && lag.bytes === all.journal.head.bytes;
  });
});

test('segments that are too much go once every exporter has them, and the journal says so and still verifies', async (t) => {
  const bytes = 300_000;
  const all = retaining(t, { days: null, bytes }, 'good', 'bad');
  mkdirSync(all.file('bad'));
  const text = 'x'.repeat(100_000);
  for (let n = 1; n <= 6; n++) {
    all.journal.append(`"tick","n":${n},"text":"${text}"`, true);
    all.journal.flush();
    assert.ok(all.journal.closeSegment());
  }
  const [oldest] = segments(all.directory);
  await until('the good one has all', () => all.ticks('good').length === 6);
  await until('it shows what is in the way', () => all.thread.status().retention?.blocked != null);
  assert.equal(
    all.thread.status().retention!.blocked,
    `${oldest!.name} cannot be removed: bad does not have all of it yet`,
  );
  assert.equal(segments(all.directory).length, 7);
  rmSync(all.file('bad'), { recursive: true });
  await until('what is too much is gone', () => {
    const { removed = 0, blocked } = all.thread.status().retention ?? {};
    return removed > 0 && blocked === null;
  });
  assert.deepEqual(all.ticks('bad'), [1, 2, 3, 4, 5, 6], 'nothing went before it was delivered');
  const left = segments(all.directory);
  const size = left.reduce((sum, { name }) => sum + statSync(join(all.directory, name)).size, 0);
  assert.ok(size <= bytes, `${size} bytes are left`);
  // Each removal is a record, and names what went.
  const removals = left
    .flatMap(({ name }) => readFileSync(join(all.directory, name), 'utf8').split('\n').slice(0, -1))
    .map(
      (line) => JSON.parse(line) as { event: string; segment: number; file: string; firstSeq: number; lastSeq: number },
    )
    .filter(({ event }) => event === 'journal.removed');
  assert.deepEqual(
    removals.map(({ segment }) => segment),
    Array.from({ length: 7 - left.length }, (_, i) => i + 1),
  );
  assert.equal(removals[0]!.file, oldest!.name);
  assert.equal(removals[0]!.firstSeq, 1);
  removals.slice(1).forEach(({ firstSeq }, i) => {
    assert.equal(firstSeq, removals[i]!.lastSeq + 1);
  });
  const keys = JSON.parse(readFileSync(join(all.directory, KEYS_FILE), 'utf8'));
  assert.deepEqual((await verifyJournal(all.directory, { keys, isCopyOfRunning: true })).findings, []);
});

test('a position that cannot be read is an error, not a guess', async (t) => {
  const all = followed(t, 'copy');
  await all.thread.end();
  const position = join(all.directory, 'exporters', 'copy.json');
  const written = existsSync(position) ? readFileSync(position, 'utf8') : '{"segment":0,"offset":0,"seq":0}\n';
  writeFileSync(position, '');
  appendFileSync(position, '{"segment":');
  all.thread = all.begin();
  all.tick(1);
  await until('it says so', () => all.thread.status().followers[0]!.failure !== null);
  assert.match(all.thread.status().followers[0]!.failure!.message, /copy\.json does not say what was delivered$/);
  writeFileSync(position, written);
  await until('it goes on', () => all.ticks('copy').length === 1);
});

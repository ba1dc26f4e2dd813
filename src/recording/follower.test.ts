import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DeliveryError } from '../../protocols/webhooks/answers.ts';
import { type Consumer, Follower, type FollowerEvents, retryDelay } from './follower.ts';
import { Journal } from './journal.ts';
import type { JournalPosition, RecordBatch } from './record-batch.ts';

/** Takes what it is given, unless it was told to fail; what a `take` comes to is told to whoever waits for it. */
class Recorder implements Consumer {
  readonly name = 'recorder';
  readonly taken: unknown[] = [];
  position: JournalPosition | null = null;
  /** Why it fails. */
  failure: Error | null = null;
  tries = 0;
  isClosed = false;
  #waiting: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  async begin(): Promise<JournalPosition | null> {
    return this.position;
  }

  async take(batch: RecordBatch): Promise<undefined> {
    this.tries++;
    try {
      if (this.failure !== null) throw this.failure;
      for (const { event, fields } of batch.records()) if (event === 'tick') this.taken.push(fields.n);
      this.position = batch.end;
    } finally {
      this.#look();
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ done, resolve });
      this.#look();
    });
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ done, resolve }) => {
      if (!done()) return true;
      resolve();
      return false;
    });
  }
}

function journalOf(t: TestContext): { journal: Journal; tick: (n: number) => void } {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-follower-'));
  const journal = Journal.open(directory);
  t.after(() => {
    journal.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    journal,
    tick: (n) => {
      journal.append(`"tick","n":${n}`, true);
      journal.flush();
    },
  };
}

function follow(t: TestContext, consumer: Consumer, journal: Journal) {
  const logged: string[] = [];
  const events: FollowerEvents = {
    level: () => journal.onGrowth(() => follower.wake()),
    changed: () => undefined,
    log: (level, _, message) => logged.push(`${level}: ${message}`),
  };
  const { directory, node } = journal;
  const follower = new Follower(consumer, { directory, node, head: () => journal.head }, events);
  t.after(() => follower.end(0));
  return { follower, logged };
}

test('records that are there and those that come are taken in order', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  tick(2);
  const recorder = new Recorder();
  const { follower } = follow(t, recorder, journal);
  await recorder.until(() => recorder.taken.length === 2);
  tick(3);
  await recorder.until(() => recorder.taken.length === 3);
  assert.deepEqual(recorder.taken, [1, 2, 3]);
  await follower.end(20_000);
  assert.equal(follower.status.position!.seq, journal.head.seq);
  assert.equal(follower.status.pendingSince, null);
  assert.equal(follower.status.taken.records, journal.head.seq);
  assert.ok(recorder.isClosed);
});

test('a consumer goes on where it says that it is', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const first = new Recorder();
  await follow(t, first, journal).follower.end(20_000);
  tick(2);
  const second = new Recorder();
  second.position = first.position;
  await follow(t, second, journal).follower.end(20_000);
  assert.deepEqual([first.taken, second.taken], [[1], [2]]);
});

test('what cannot be delivered is tried again until it can, and logged once', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const recorder = new Recorder();
  recorder.failure = new Error('the receiver is away');
  const { follower, logged } = follow(t, recorder, journal);
  await recorder.until(() => recorder.tries === 3);
  const { failure, failures, position, pendingSince } = follower.status;
  assert.equal(failure!.message, 'the receiver is away');
  // The third try is over, and may not be counted yet.
  assert.ok(failures >= 2 && failure!.attempts === failures);
  assert.equal(position, null);
  assert.ok(pendingSince! <= Date.now());
  tick(2);
  recorder.failure = null;
  await recorder.until(() => recorder.taken.length === 2);
  assert.deepEqual(recorder.taken, [1, 2]);
  await follower.end(20_000);
  assert.equal(follower.status.failure, null);
  assert.deepEqual(logged, [
    'error: records cannot be delivered; they wait in the journal',
    'info: records are taken again',
  ]);
});

test('where a consumer cannot say where it is, it is asked again', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const recorder = new Recorder();
  let asked = 0;
  recorder.begin = async () => {
    if (++asked < 3) throw new Error('no such table');
    return null;
  };
  const { follower } = follow(t, recorder, journal);
  await recorder.until(() => recorder.taken.length === 1);
  assert.equal(asked, 3);
  assert.equal(follower.status.failures, 2);
});

test('a consumer that finds itself elsewhere after a failure goes on there', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const recorder = new Recorder();
  follow(t, recorder, journal);
  await recorder.until(() => recorder.taken.length === 1);
  recorder.failure = new Error('its file is broken, and is made anew');
  tick(2);
  await recorder.until(() => recorder.tries >= 2);
  recorder.position = null;
  recorder.failure = null;
  await recorder.until(() => recorder.taken.length === 3);
  assert.deepEqual(recorder.taken, [1, 1, 2]);
});

test('a receiver that wants no more is not asked again', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const recorder = new Recorder();
  recorder.failure = new DeliveryError('gone', { isFinal: true });
  const { follower } = follow(t, recorder, journal);
  await recorder.until(() => recorder.tries === 1);
  tick(2);
  await follower.end(20_000);
  assert.equal(recorder.tries, 1);
  assert.deepEqual([follower.status.failure!.message, follower.status.position], ['gone', null]);
});

test('records that a consumer keeps waiting are behind, and come again after a restart', async (t) => {
  const { journal, tick } = journalOf(t);
  const recorder = new Recorder();
  const take = recorder.take.bind(recorder);
  const start: JournalPosition = { segment: 1, offset: 0, seq: 0 };
  let settled: JournalPosition | undefined = start;
  recorder.take = async (batch) => {
    await take(batch);
    return settled as undefined;
  };
  const { follower } = follow(t, recorder, journal);
  const begun = Date.now();
  for (const n of [1, 2]) {
    tick(n);
    await recorder.until(() => recorder.taken.length === n);
  }
  assert.deepEqual(follower.status.position, start);
  assert.ok(follower.status.pendingSince! <= begun, 'since the first of them');
  settled = undefined;
  tick(3);
  await recorder.until(() => recorder.taken.length === 3);
  await follower.end(20_000);
  assert.deepEqual(recorder.taken, [1, 2, 3]);
  assert.deepEqual([follower.status.position!.seq, follower.status.pendingSince], [journal.head.seq, null]);
});

test('ending does not wait for a receiver that is away, nor longer than it may for one that is slow', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const away = new Recorder();
  away.failure = new Error('away');
  const failing = follow(t, away, journal).follower;
  await away.until(() => away.tries === 2);
  const slow = new Recorder();
  slow.take = (_batch: RecordBatch, signal?: AbortSignal) =>
    new Promise((_, reject) => {
      signal!.addEventListener('abort', () => reject(signal!.reason), { once: true });
    });
  const waiting = follow(t, slow, journal).follower;
  await failing.end(60_000);
  await waiting.end(50);
  assert.deepEqual([away.taken, waiting.status.position], [[], null]);
});

test('records that are missing from the journal are told of, and the others taken', async (t) => {
  const { journal, tick } = journalOf(t);
  tick(1);
  const recorder = new Recorder();
  recorder.position = { segment: 0, offset: 500, seq: 7 };
  const { logged } = follow(t, recorder, journal);
  await recorder.until(() => recorder.taken.length === 1);
  assert.deepEqual(logged, ['warn: the journal is not what it was: records are missing']);
});

test('each wait is about twice the one before, up to half a minute, and what a receiver asks for is granted in bounds', () => {
  const error = new Error('no');
  for (let i = 0; i < 200; i++) {
    const [first, fifth, hundredth] = [1, 5, 100].map((attempts) => retryDelay(attempts, error)) as [
      number,
      number,
      number,
    ];
    assert.ok(first >= 250 && first <= 500);
    assert.ok(fifth >= 4_000 && fifth <= 8_000);
    assert.ok(hundredth >= 15_000 && hundredth <= 30_000);
  }
  assert.ok(new Set(Array.from({ length: 20 }, () => retryDelay(9, error))).size > 10, 'no two wait equally long');
  const asked = (retryAfterMs: number) => new DeliveryError('429', { retryAfterMs });
  assert.equal(retryDelay(1, asked(60_000)), 60_000);
  assert.equal(retryDelay(1, asked(10 ** 9)), 60 * 60_000);
  assert.ok(retryDelay(9, asked(1)) >= 15_000);
});

test('a consumer makes sure of what it has when nothing comes for a while, and before the end', async (t) => {
  const { journal, tick } = journalOf(t);
  const recorder = new Recorder();
  let from: JournalPosition | null = null;
  let asked = 0;
  const unsure: Consumer = {
    name: 'unsure',
    begin: () => recorder.begin(),
    take: async (batch) => {
      await recorder.take(batch);
      from ??= batch.begin;
      return from;
    },
    settle: async () => {
      asked++;
      // Once it is away just then.
      if (asked === 1) throw new DeliveryError('away');
      from = null;
      return recorder.position;
    },
    close: () => recorder.close(),
  };
  tick(1);
  const { follower } = follow(t, unsure, journal);
  await recorder.until(() => recorder.taken.length === 1);
  while (asked < 2 || follower.status.pendingSince !== null) await delay(50);
  assert.equal(follower.status.position!.seq, journal.head.seq);
  assert.equal(follower.status.failure, null);
  tick(2);
  await recorder.until(() => recorder.taken.length === 2);
  await follower.end(20_000);
  assert.equal(asked, 3);
  assert.equal(follower.status.position!.seq, journal.head.seq);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ChangeFeed, type RequestChange, type Told } from './change-feed.ts';
import { requestFor } from './test-requests.ts';

/** What a store has, with no clock and no disk. */
class Requests {
  newest = 100;
  /** How many were read. */
  read = 0;
  failure: Error | null = null;
  readonly #changes = new Map<number, number>();
  readonly feed = new ChangeFeed(
    {
      newest: async () => {
        if (this.failure !== null) throw this.failure;
        return this.newest;
      },
      after: async (change, most) => {
        const found = [...this.#changes]
          .map(([id, at]): RequestChange => ({ change: at, request: requestFor('x', { id }) }))
          .filter((one) => one.change > change)
          .sort((a, b) => a.change - b.change)
          .slice(0, most);
        this.read += found.length;
        return found;
      },
    },
    { lookMs: 5, mostBehind: 50 },
  );

  change(...ids: number[]): void {
    for (const id of ids) this.#changes.set(id, ++this.newest);
  }

  reader(since: number | null, quietMs = 60_000) {
    const stop = new AbortController();
    const told = this.feed.read(since, stop.signal, quietMs);
    return {
      stop,
      told,
      next: async () => wordsOf((await told.next()).value as Told | undefined),
    };
  }
}

function wordsOf(told: Told | undefined): string {
  if (told === undefined) return 'end';
  return told.what === 'request'
    ? `${told.at}: request ${told.request.id}`
    : `${'at' in told ? `${told.at}: ` : ''}${told.what}`;
}

describe('a reader', () => {
  test('begins with what happens next, and is told where it is', async () => {
    const requests = new Requests();
    requests.change(1);
    const { next, stop } = requests.reader(null);
    assert.equal(await next(), '101: begin');
    requests.change(2, 1);
    assert.equal(await next(), '102: request 2');
    assert.equal(await next(), '103: request 1');
    const end = next();
    stop.abort();
    assert.equal(await end, 'end');
  });

  test('goes on behind what it was told last, and is told of each request as it is then', async () => {
    const requests = new Requests();
    requests.change(1, 2, 1, 3, 1);
    const { next } = requests.reader(101);
    assert.equal(await next(), '102: request 2');
    assert.equal(await next(), '104: request 3');
    assert.equal(await next(), '105: request 1');
  });

  test('hears at once of what changes here, and soon of what another node has changed', async () => {
    const requests = new Requests();
    const { next } = requests.reader(100);
    const first = next();
    requests.change(1);
    requests.feed.wake();
    assert.equal(await first, '101: request 1');
    const second = next();
    requests.change(2);
    assert.equal(await second, '102: request 2');
  });

  test('is told to read the list if it has missed too much, or what it was told last is of another store', async () => {
    const requests = new Requests();
    requests.change(...Array(60).keys());
    for (const since of [100, 0, 161, 1e15 - 1]) {
      const { next } = requests.reader(since);
      assert.equal(await next(), '160: reset');
      requests.change(7);
      assert.equal(await next(), '161: request 7');
      requests.newest = 160;
    }
  });

  test('that is slow has nothing read for it, and is told so when it has fallen behind too far', async () => {
    const requests = new Requests();
    requests.change(...Array(45).keys());
    const { next } = requests.reader(100);
    assert.equal(await next(), '101: request 0');
    requests.change(...Array(1_000).keys());
    requests.feed.wake();
    assert.ok(requests.read <= 20, `${requests.read}`);
    for (let n = 1; n < 20; n++) await next();
    assert.equal(await next(), '1145: reset');
  });

  test('is told when nothing happens', async () => {
    const { next } = new Requests().reader(100, 10);
    assert.equal(await next(), 'nothing');
    assert.equal(await next(), 'nothing');
  });

  test('is not left to wait by a store that fails', async () => {
    const requests = new Requests();
    const { next } = requests.reader(100);
    const told = next();
    requests.failure = new Error('the store is away');
    await assert.rejects(told, /the store is away/);
  });
});

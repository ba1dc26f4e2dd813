import type { ApprovalRequest } from './request.ts';

/** How often other nodes' changes are looked for, milliseconds. */
const LOOK_MS = 500;
/** How many changes a reader may have missed and still be told them one by one. */
const MOST_BEHIND = 1_000;
/** How many requests a reader has in memory at once: each has its statement. */
const PAGE = 20;

/** A request as it is after its newest change. Numbers of changes go up, over all nodes that share the store. */
export interface RequestChange {
  readonly change: number;
  readonly request: ApprovalRequest;
}

export interface ChangeSource {
  /** The number of the newest change. Every one that has a number below it can be read. */
  newest(): Promise<number>;
  /** Requests by their newest change, the oldest first. */
  after(change: number, most: number): Promise<readonly RequestChange[]>;
}

/** What a reader is told. `at` is where it goes on with whoever tells it next. */
export type Told =
  | ({ readonly what: 'request'; readonly at: number } & Pick<RequestChange, 'request'>)
  /** It begins here, and what came before was not told. */
  | { readonly what: 'begin'; readonly at: number }
  /** It has missed changes that it is not told: it has to read the list of requests. */
  | { readonly what: 'reset'; readonly at: number }
  /** Nothing has happened for a while. */
  | { readonly what: 'nothing' };

/**
 * Tells readers what changes, whichever node changes it. A reader takes what is next when it is ready for it: one that is
 * slow has nothing kept for it but the number it has come to, and is told of a request that changed several times only as it
 * is then.
 */
export class ChangeFeed {
  readonly #source: ChangeSource;
  readonly #lookMs: number;
  readonly #mostBehind: number;
  /** Of readers that wait for a change. */
  readonly #waiting = new Set<() => void>();
  #wakes = 0;
  #readers = 0;
  #looking: NodeJS.Timeout | null = null;
  #newest = 0;

  constructor(source: ChangeSource, { lookMs = LOOK_MS, mostBehind = MOST_BEHIND } = {}) {
    this.#source = source;
    this.#lookMs = lookMs;
    this.#mostBehind = mostBehind;
  }

  /** Something has changed here. */
  wake(): void {
    this.#wakes++;
    for (const wake of [...this.#waiting]) wake();
  }

  /**
   * What happens from now on, or since a change.
   * @param since what a reader was told last, here or by another node; `null` if nothing
   * @param quietMs how long nothing happens before it is told so
   * @throws what the source throws; the reader may go on later
   */
  async *read(since: number | null, stop: AbortSignal, quietMs: number): AsyncGenerator<Told> {
    this.#begin();
    try {
      let at = since ?? (await this.#source.newest());
      if (since === null) yield { what: 'begin', at };
      let toldAt = performance.now();
      while (!stop.aborted) {
        const wakes = this.#wakes;
        const newest = await this.#source.newest();
        if (newest < at || newest - at > this.#mostBehind) {
          // Another store, one that was put back, or too much.
          at = newest;
          yield { what: 'reset', at };
          toldAt = performance.now();
          continue;
        }
        const page = newest === at ? [] : await this.#source.after(at, PAGE);
        for (const { change, request } of page) {
          at = change;
          if (stop.aborted) return;
          yield { what: 'request', at, request };
          toldAt = performance.now();
        }
        if (page.length > 0) continue;
        // What has changed while it was read has to be looked at first.
        if (this.#wakes === wakes) await this.#change(stop, toldAt + quietMs - performance.now());
        if (stop.aborted || performance.now() - toldAt < quietMs) continue;
        yield { what: 'nothing' };
        toldAt = performance.now();
      }
    } finally {
      this.#end();
    }
  }

  /** Resolves when something may have changed, after a time, or when there is no need to wait any more. */
  #change(stop: AbortSignal, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(ms, 0));
      stop.addEventListener('abort', done);
      this.#waiting.add(done);
      if (stop.aborted) done();
    });
  }

  /** One looks for all. */
  #begin(): void {
    this.#readers++;
    this.#looking ??= setInterval(() => void this.#look(), this.#lookMs).unref();
  }

  #end(): void {
    this.#readers--;
    if (this.#readers > 0 || this.#looking === null) return;
    clearInterval(this.#looking);
    this.#looking = null;
  }

  async #look(): Promise<void> {
    // Readers find out themselves what is wrong with the source.
    const newest = await this.#source.newest().catch(() => Number.NaN);
    if (newest === this.#newest) return;
    this.#newest = newest;
    this.wake();
  }
}

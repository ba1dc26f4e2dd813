import { Catalogue } from './catalogue.ts';
import { connect, type ServiceConnection, type UpstreamAddress } from './service-connection.ts';

/** When a keeper reads, milliseconds. */
export interface KeeperTimes {
  /** Between two readings that nobody asked for. */
  readonly refresh: number;
  /** From a statement that may have changed the schema to the reading: migrations are many statements. */
  readonly afterDdl: number;
  /** At least this between two readings for unknown names. */
  readonly betweenMisses: number;
  /** At least this between two readings for the same unknown name. */
  readonly betweenMissesOfOneName: number;
  /** From a failure to the next try; twice as long after each further one, up to `refresh`. */
  readonly retry: number;
}

export const KEEPER_TIMES: KeeperTimes = {
  refresh: 300_000,
  afterDdl: 100,
  betweenMisses: 2_000,
  betweenMissesOfOneName: 30_000,
  retry: 1_000,
};

export interface CatalogueStatus {
  /** {@link Catalogue.version}; `null` until the first reading has worked. */
  readonly version: string | null;
  /** Milliseconds since the last reading that worked began; `null` until there is one. */
  readonly age: number | null;
  /** Why the catalogue may not be what the server has: the last reading failed, or none has ended yet. `null` if it may. */
  readonly stale: string | null;
}

/** As many unknown names are remembered. */
const MOST_MISSES = 1000;

/**
 * Keeps the catalogue of one upstream up to date. It reads over a connection of its own, which is open only while it
 * reads. A failed reading leaves the catalogue before it in place, and stale.
 */
export class CatalogueKeeper {
  readonly #upstream: UpstreamAddress;
  readonly #times: KeeperTimes;
  #current: Catalogue | null = null;
  #connection: ServiceConnection | null = null;
  #running: Promise<void> | null = null;
  #queued: Promise<void> | null = null;
  #readAt: number | null = null;
  #failure: string | null = 'the catalogue has not been read yet';
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerDue = 0;
  #missDue = Number.NEGATIVE_INFINITY;
  /** When each unknown name was last read for, the longest ago first. */
  readonly #misses = new Map<string, number>();
  #closed = false;

  /** Reads nothing until the first {@link refresh}, which also starts the periodic ones. */
  constructor(upstream: UpstreamAddress, times: KeeperTimes = KEEPER_TIMES) {
    this.#upstream = upstream;
    this.#times = times;
  }

  /** `null` until it was first read. The same object as long as the schema is the same. */
  get current(): Catalogue | null {
    return this.#current;
  }

  status(): CatalogueStatus {
    return {
      version: this.#current?.version ?? null,
      age: this.#readAt === null ? null : performance.now() - this.#readAt,
      stale: this.#failure,
    };
  }

  /**
   * Resolves when a reading that began after this call has ended, whether it worked or not ({@link status} says). One
   * reading runs at a time and at most one waits, for all who asked meanwhile.
   */
  refresh(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#running === null) {
      this.#running = this.#read().finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    this.#queued ??= this.#running.then(() => {
      this.#queued = null;
      return this.refresh();
    });
    return this.#queued;
  }

  /** Reads soon: a statement that may have changed the schema has ended, and its transaction with it. */
  noteDdl(): void {
    this.#readWithin(this.#times.afterDdl);
  }

  /** Reads soon, unless it did for this name or for others lately: a statement used a name that is not in the catalogue. */
  noteMiss(name: string): void {
    const now = performance.now();
    const last = this.#misses.get(name);
    if (last !== undefined && now - last < this.#times.betweenMissesOfOneName) return;
    this.#misses.delete(name);
    this.#misses.set(name, now);
    if (this.#misses.size > MOST_MISSES) this.#misses.delete(this.#misses.keys().next().value!);
    // One that is due will be for this name as well.
    if (this.#missDue > now) return;
    this.#missDue = Math.max(now, this.#missDue + this.#times.betweenMisses);
    this.#readWithin(this.#missDue - now);
  }

  /** Stops reading, and resolves when its connection is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await (this.#queued ?? this.#running);
    // A reading that left it open for the next one, which then did not begin.
    await this.#connection?.close();
    this.#connection = null;
  }

  async #read(): Promise<void> {
    const began = performance.now();
    let worked = false;
    try {
      this.#connection ??= await connect(this.#upstream);
      const read = await Catalogue.inTurns(await this.#connection.readCatalogue());
      // What others keep for a catalogue stays good as long as it says the same.
      if (read.identity !== this.#current?.identity) this.#current = read;
      this.#readAt = began;
      this.#failure = null;
      this.#failures = 0;
      worked = true;
      this.#readWithin(this.#times.refresh);
    } catch (error) {
      this.#failure = `the catalogue could not be read: ${reasonOf(error)}`;
      this.#readWithin(Math.min(this.#times.refresh, this.#times.retry * 2 ** this.#failures++));
    }
    if (worked && this.#queued !== null && !this.#closed) return;
    await this.#connection?.close();
    this.#connection = null;
  }

  /** Has a reading begin within `ms`, unless one is due sooner. */
  #readWithin(ms: number): void {
    const due = performance.now() + ms;
    if (this.#closed || (this.#timer !== null && this.#timerDue <= due)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.refresh();
    }, ms).unref();
  }
}

/** A name with several addresses fails with an error for each, under one without a message. */
function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}

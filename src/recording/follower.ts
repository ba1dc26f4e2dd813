import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { DeliveryError } from '../../protocols/webhooks/answers.ts';
import type { JournalHead } from './journal.ts';
import { type JournalPosition, type RecordBatch, readBatch } from './record-batch.ts';

/** Takes every record of a journal, in order: the index, an exporter. */
export interface Consumer {
  /** Shows in metrics, status and log. */
  readonly name: string;
  /** Where it goes on; `null`: at the oldest record there is. Asked at the start, and again after every failure. */
  begin(): Promise<JournalPosition | null>;
  /**
   * Resolves once the records, and that it has them (`batch.end`), are kept for good; or with an earlier position, if
   * records behind it still wait for something, and are to come again after a restart. If it rejects, the same batch comes
   * again later; after a restart records may come again that it has taken already. It ends early if `signal` is aborted.
   */
  take(batch: RecordBatch, signal: AbortSignal): Promise<JournalPosition | undefined>;
  /**
   * Makes sure of what it may have taken for good and does not know yet, and gives how far it has. Called when nothing came for
   * a while, and before the end. Left out where there is nothing to be done about it.
   */
  settle?(signal: AbortSignal): Promise<JournalPosition | null>;
  close(): Promise<void>;
}

/** How a follower is, as plain data. Times are milliseconds since the epoch. */
export interface FollowerStatus {
  readonly name: string;
  /** Up to which it has everything for good; `null` before it has anything, as far as it knows. */
  readonly position: JournalPosition | null;
  /** When about the oldest record behind that was written; `null` if it knows of none. */
  readonly pendingSince: number | null;
  /** Since this process began to follow. */
  readonly taken: { readonly records: number; readonly bytes: number };
  readonly failures: number;
  /** `null` while the last try went well. */
  readonly failure: { readonly message: string; readonly since: number; readonly attempts: number } | null;
}

export interface FollowedJournal {
  readonly directory: string;
  readonly node: string;
  /** How far it is written, as far as is known here. */
  head(): JournalHead;
}

/** What a follower tells while it works. */
export interface FollowerEvents {
  /** It has read everything before the head. */
  level(): void;
  /** Its status is another. */
  changed(): void;
  log(level: 'info' | 'warn' | 'error', fields: object, message: string): void;
}

/** How long nothing has to come before a consumer is asked to make sure of what it has, milliseconds. */
const QUIET_MS = 5_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** What a receiver asks for is bounded as well: it may be wrong. */
const LONGEST_ASKED_MS = 60 * 60_000;

/** How long to wait after so many failures in a row: doubled each time, up to a limit, and never the same for two. */
export function retryDelay(attempts: number, error: unknown): number {
  const asked = error instanceof DeliveryError ? error.retryAfterMs : null;
  const bound = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 16));
  const own = bound / 2 + (Math.random() * bound) / 2;
  return asked === null ? own : Math.max(own, Math.min(asked, LONGEST_ASKED_MS));
}

/**
 * Brings a consumer the records of a journal, batch by batch: at least once, in order, at the consumer's pace. One batch
 * is in memory at a time, for as long as it takes.
 */
export class Follower {
  readonly #consumer: Consumer;
  readonly #journal: FollowedJournal;
  readonly #events: FollowerEvents;
  readonly #abort = new AbortController();
  /** Up to which it was brought everything. */
  #position: JournalPosition | null = null;
  /** Up to which it keeps that for good, and when the first record behind was written. */
  #settled: JournalPosition | null = null;
  #unsettledSince: number | null = null;
  #batch: RecordBatch | null = null;
  #records = 0;
  #bytes = 0;
  #failures = 0;
  #failure: FollowerStatus['failure'] = null;
  /** True once it is to end as soon as it is level. */
  #ending = false;
  #grown: (() => void) | null = null;
  readonly #ended: Promise<void>;

  /** Begins at once. */
  constructor(consumer: Consumer, journal: FollowedJournal, events: FollowerEvents) {
    this.#consumer = consumer;
    this.#journal = journal;
    this.#events = events;
    this.#ended = this.#run();
  }

  get status(): FollowerStatus {
    return {
      name: this.#consumer.name,
      position: this.#settled,
      pendingSince: this.#unsettledSince ?? this.#batch?.at ?? null,
      taken: { records: this.#records, bytes: this.#bytes },
      failures: this.#failures,
      failure: this.#failure,
    };
  }

  /** The head has moved. */
  wake(): void {
    this.#grown?.();
  }

  /** Ends once everything before the head is taken, or `limitMs` are over, or at once if it cannot deliver anyway. */
  async end(limitMs: number): Promise<void> {
    this.#ending = true;
    this.wake();
    const limit = setTimeout(() => this.#abort.abort(), this.#failure === null ? limitMs : 0);
    await this.#ended;
    clearTimeout(limit);
    await this.#consumer.close();
  }

  async #run(): Promise<void> {
    let begun = false;
    while (!this.#abort.signal.aborted) {
      try {
        if (!begun) this.#goOnAt(await this.#consumer.begin());
        begun = true;
        this.#batch ??= await this.#next();
        if (this.#batch !== null) await this.#deliver(this.#batch);
        else if (this.#ending) {
          if (this.#isUnsettled) await this.#settle();
          return;
        } else await this.#growth();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#fail(error as Error);
        begun = false;
        if (this.#ending) return;
        await this.#pause(error);
      }
    }
  }

  /** A receiver may know a batch again by what is in it, so that one stays as it is where it can. */
  #goOnAt(position: JournalPosition | null): void {
    if (!isDeepStrictEqual(position, this.#position)) this.#batch = null;
    this.#position = position;
    this.#settled = position;
    this.#unsettledSince = null;
  }

  async #next(): Promise<RecordBatch | null> {
    const { directory, node } = this.#journal;
    const batch = await readBatch(directory, node, this.#position, this.#journal.head());
    const expected = (this.#position?.seq ?? 0) + 1;
    if (batch !== null && this.#position !== null && batch.first !== expected) {
      const { name: follower } = this.#consumer;
      this.#events.log(
        'warn',
        { follower, expected, found: batch.first },
        'the journal is not what it was: records are missing',
      );
    }
    return batch;
  }

  async #deliver(batch: RecordBatch): Promise<void> {
    this.#events.changed();
    const settled = (await this.#consumer.take(batch, this.#abort.signal)) ?? batch.end;
    this.#position = batch.end;
    if (settled.seq >= batch.last) this.#unsettledSince = null;
    else if (this.#unsettledSince === null || settled.seq !== this.#settled?.seq) this.#unsettledSince = batch.at;
    this.#settled = settled;
    this.#batch = null;
    this.#records += batch.last - batch.first + 1;
    this.#bytes += batch.bytes.length;
    this.#wentWell();
  }

  /** True if the consumer can be asked to make sure of something. After a failure only it knows whether there is anything. */
  get #isUnsettled(): boolean {
    if (this.#consumer.settle === undefined) return false;
    return this.#failure !== null || (this.#settled?.seq ?? 0) < (this.#position?.seq ?? 0);
  }

  async #settle(): Promise<void> {
    this.#settled = (await this.#consumer.settle!(this.#abort.signal)) ?? this.#settled;
    if (this.#settled?.seq === this.#position?.seq) this.#unsettledSince = null;
    this.#wentWell();
  }

  #wentWell(): void {
    if (this.#failure !== null) {
      const { attempts, since } = this.#failure;
      this.#failure = null;
      const fields = { follower: this.#consumer.name, attempts, seconds: Math.round((Date.now() - since) / 1000) };
      this.#events.log('info', fields, 'records are taken again');
    }
    this.#events.changed();
  }

  #fail(error: Error): void {
    this.#failures++;
    const { message } = error;
    const { since = Date.now(), attempts = 0 } = this.#failure ?? {};
    this.#failure = { message, since, attempts: attempts + 1 };
    // Once, not at every try: metrics and status tell that it lasts.
    if (attempts === 0) {
      this.#events.log(
        'error',
        { follower: this.#consumer.name, reason: message },
        'records cannot be delivered; they wait in the journal',
      );
    }
    this.#events.changed();
  }

  async #pause(error: unknown): Promise<void> {
    const { signal } = this.#abort;
    // It is not asked again before the next start; its records stay where they are.
    if (error instanceof DeliveryError && error.isFinal) await once(signal, 'abort');
    else await delay(retryDelay(this.#failure!.attempts, error), null, { signal }).catch(() => null);
  }

  async #growth(): Promise<void> {
    const grown = new Promise<void>((resolve) => {
      this.#grown = resolve;
    });
    this.#events.level();
    if (this.#isUnsettled) {
      const quiet = new AbortController();
      const isQuiet = delay(QUIET_MS, true, { signal: quiet.signal }).catch(() => false);
      if (await Promise.race([grown.then(() => false), isQuiet])) await this.#settle();
      quiet.abort();
    } else await grown;
    this.#grown = null;
  }
}

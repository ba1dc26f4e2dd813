import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ExporterConfig, RetentionConfig, StoreConfig } from '../config/config.ts';
import type { Origin } from './exporters/origin.ts';
import { type FollowerStatus, retryDelay } from './follower.ts';
import type { Journal, JournalHead } from './journal.ts';
import type { Removal, RetentionStatus } from './retention.ts';
import { segments } from './segments.ts';

/** What the thread is to do, as plain data. */
export interface RecordingWork {
  readonly directory: string;
  readonly node: string;
  readonly head: JournalHead;
  readonly exporters: readonly ExporterConfig[];
  /** Where the index is; `null` if there is none. */
  readonly index: StoreConfig | null;
  /** How much of the journal is kept; `null` for all of it. */
  readonly retain: RetentionConfig | null;
  /** What exporters tell of where records come from. */
  readonly origin: Origin;
}

/** What does not come from the journal. */
export type RecordingTask = Omit<RecordingWork, 'directory' | 'node' | 'head'>;

export type ToRecordingThread = {
  /** `removing`: the segment that was last asked about may be removed, the record of it is written. */
  readonly kind: 'grown' | 'removing' | 'end';
  readonly head: JournalHead;
};

export type FromRecordingThread =
  /** Somebody has read everything up to the record `seq`, and is to be told when there is more. */
  | { readonly kind: 'level'; readonly seq: number }
  | {
      readonly kind: 'status';
      readonly followers: readonly FollowerStatus[];
      readonly retention: RetentionStatus | null;
    }
  /** Is to be recorded before it is done. */
  | { readonly kind: 'remove'; readonly removal: Removal }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly fields: object;
      readonly message: string;
    };

/** How far a follower is behind the journal. */
export interface Lag {
  readonly records: number;
  readonly bytes: number;
  /** Since the oldest record that it has not taken was written; 0 if it has all. */
  readonly seconds: number;
}

export interface RecordingStatus {
  /** Why the thread does not run; `null` if it does. */
  readonly failure: string | null;
  /** How often it was begun again. */
  readonly restarts: number;
  readonly followers: readonly (FollowerStatus & { readonly lag: Lag })[];
  /** `null` where everything is kept. */
  readonly retention: RetentionStatus | null;
}

/** Where the thread's words go. */
export interface RecordingLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How long records gather before the thread is woken for them, milliseconds. */
const GATHER_MS = 100;
/** How long the thread has to end, milliseconds; then it is ended. What it did not deliver it does after the next start. */
const END_MS = 3_000;
const DAY_MS = 24 * 60 * 60_000;
/** When a segment is tried again to be closed where records were about to be written to it, milliseconds. */
const RETRY_MS = 50;
/** A new segment that nothing happens in gets one more record: the checkpoint that signs its first. */
const SIGNED_RECORDS = 1;
/** A thread that has lived so long was well, milliseconds. */
const WELL_MS = 60_000;
/** What consumers may keep on the heap in all, MB: one that takes more ends the thread, not the process. */
const HEAP_MB = 512;

/**
 * The thread that everything runs in that follows the journal: never on the event loop of the sessions. It is told how far
 * the journal is written, and reads that from the disk. If it dies it is begun again.
 */
export class RecordingThread {
  readonly #journal: Journal;
  readonly #work: RecordingTask;
  readonly #log: RecordingLog;
  #worker: Worker | null = null;
  #begunAt = 0;
  #waking: NodeJS.Timeout | null = null;
  #beginning: NodeJS.Timeout | null = null;
  #closing: NodeJS.Timeout | null = null;
  /** Last record that need not be brought in a segment of its own: the first one of the segment, or what signs it. */
  #closedAt = 0;
  #ending = false;
  #failure: string | null = null;
  #deaths = 0;
  #restarts = 0;
  #followers: readonly FollowerStatus[] = [];
  #retention: RetentionStatus | null = null;
  /** When the followers' status came, and when the journal grew after all had been read; milliseconds since the epoch. */
  #heardAt = Date.now();
  #grownAt = 0;

  /** The index alone needs no thread before there is something new to be found in it. */
  constructor(journal: Journal, work: RecordingTask, log: RecordingLog) {
    this.#journal = journal;
    this.#work = work;
    this.#log = log;
    this.#followers = work.exporters.map(({ name }) => ({
      name,
      position: null,
      pendingSince: null,
      taken: { records: 0, bytes: 0 },
      failures: 0,
      failure: null,
    }));
    if (work.exporters.length > 0 || work.retain !== null) this.#begin();
    else {
      journal.onGrowth(() => {
        this.#grownAt = Date.now();
        this.#beginSoon(GATHER_MS);
      });
    }
    const periods = work.exporters.flatMap((exporter) => (exporter.to === 's3' ? [exporter.everyMs] : []));
    // A segment that never fills would never be old enough.
    if (work.retain !== null && work.retain.days !== null) periods.push(DAY_MS);
    if (periods.length > 0) this.#closeSegments(Math.min(...periods));
  }

  status(): RecordingStatus {
    return {
      failure: this.#failure,
      restarts: this.#restarts,
      followers: this.#followers.map((follower) => ({ ...follower, lag: this.#lagOf(follower) })),
      retention: this.#retention,
    };
  }

  /** Lets followers take what is there, for a moment, and ends the thread. */
  async end(): Promise<void> {
    this.#ending = true;
    if (this.#waking !== null) clearTimeout(this.#waking);
    if (this.#beginning !== null) clearTimeout(this.#beginning);
    if (this.#closing !== null) clearTimeout(this.#closing);
    const worker = this.#worker;
    if (worker === null) return;
    worker.ref();
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    this.#tell({ kind: 'end', head: this.#journal.head });
    const limit = setTimeout(() => void worker.terminate(), END_MS);
    await gone;
    clearTimeout(limit);
  }

  /** Has the journal begin another segment every so often, if there is something new in the one before. */
  #closeSegments(everyMs: number): void {
    this.#closing = setTimeout(() => {
      const isNews = this.#journal.head.seq > this.#closedAt + SIGNED_RECORDS;
      const isClosed = isNews && this.#journal.closeSegment();
      if (isClosed) this.#closedAt = this.#journal.head.seq;
      this.#closeSegments(isNews && !isClosed ? RETRY_MS : everyMs);
    }, everyMs).unref();
  }

  #begin(): void {
    const { directory, node, head } = this.#journal;
    const work: RecordingWork = { directory, node, head, ...this.#work };
    const worker = new Worker(new URL('./recording-worker.js', import.meta.url), {
      workerData: work,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    worker.unref();
    this.#worker = worker;
    this.#begunAt = performance.now();
    worker.on('message', (message: FromRecordingThread) => this.#hear(message));
    let reason = 'it ended';
    worker.on('error', (error) => {
      reason = (error as Error).message;
    });
    worker.on('exit', () => this.#died(reason));
  }

  #hear(message: FromRecordingThread): void {
    this.#failure = null;
    switch (message.kind) {
      case 'level':
        if (this.#journal.head.seq > message.seq) this.#wakeSoon();
        else this.#journal.onGrowth(() => this.#wakeSoon());
        break;
      case 'status':
        this.#followers = message.followers;
        this.#retention = message.retention;
        this.#heardAt = Date.now();
        break;
      case 'remove':
        this.#journal.append(`"journal.removed",${JSON.stringify(message.removal).slice(1, -1)}`, true);
        this.#journal.onGrowth(() => this.#tell({ kind: 'removing', head: this.#journal.head }));
        this.#journal.onDue();
        break;
      case 'log':
        this.#log[message.level](message.fields, message.message);
        break;
    }
  }

  #wakeSoon(): void {
    if (this.#ending || this.#waking !== null) return;
    this.#grownAt = Date.now();
    this.#waking = setTimeout(() => {
      this.#waking = null;
      this.#tell({ kind: 'grown', head: this.#journal.head });
    }, GATHER_MS).unref();
  }

  #tell(message: ToRecordingThread): void {
    this.#worker?.postMessage(message);
  }

  #died(reason: string): void {
    this.#worker = null;
    if (this.#ending) return;
    this.#failure = reason;
    this.#deaths = performance.now() - this.#begunAt > WELL_MS ? 1 : this.#deaths + 1;
    this.#log.error({ reason }, 'the recording thread died; it is begun again, and goes on where it was');
    this.#restarts++;
    this.#beginSoon(retryDelay(this.#deaths, null));
  }

  #beginSoon(ms: number): void {
    if (!this.#ending) this.#beginning = setTimeout(() => this.#begin(), ms).unref();
  }

  #lagOf({ position, pendingSince }: FollowerStatus): Lag {
    const { head, directory } = this.#journal;
    const records = Math.max(0, head.seq - (position?.seq ?? 0));
    if (records === 0) return { records: 0, bytes: 0, seconds: 0 };
    let bytes = 0;
    for (const { name, number } of segments(directory)) {
      if (number < (position?.segment ?? 0) || number > head.segment) continue;
      const size = number === head.segment ? head.bytes : statSync(join(directory, name)).size;
      bytes += size - (number === position?.segment ? position.offset : 0);
    }
    const since = pendingSince ?? Math.max(this.#heardAt, this.#grownAt);
    return { records, bytes, seconds: Math.max(0, Date.now() - since) / 1000 };
  }
}

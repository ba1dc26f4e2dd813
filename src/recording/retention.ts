import { open, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { RetentionConfig } from '../config/config.ts';
import type { FollowerStatus } from './follower.ts';
import type { JournalHead } from './journal.ts';
import { frameAt } from './record-batch.ts';
import { segments } from './segments.ts';
import { KEYS_FILE } from './signing-key.ts';
import { verifySegment } from './verify.ts';

/** A segment that is about to be removed, as the journal tells of it. */
export interface Removal {
  readonly segment: number;
  readonly file: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly reason: 'age' | 'size';
}

/** How the retention is, as plain data. */
export interface RetentionStatus {
  /** Segments removed since this process began. */
  readonly removed: number;
  /** Why a segment that is too old or too much is still there; `null` if none is. */
  readonly blocked: string | null;
}

export interface RetentionSurroundings {
  readonly directory: string;
  head(): JournalHead;
  /** Everything that has to have a segment before it may go. */
  followers(): readonly FollowerStatus[];
  /** Resolves once the journal has the record of it: gives the segment that is then written to. */
  record(removal: Removal): Promise<number>;
  log(level: 'info' | 'warn', fields: object, message: string): void;
}

const DAY_MS = 24 * 60 * 60_000;
/** A segment that cannot be removed for so long is told of in the log, milliseconds. */
const PATIENCE_MS = 60_000;
const FRAME_BYTES = 256;

/**
 * Removes the oldest segments that are older than so many days, or more than so many bytes with all others: only closed
 * ones, that verify, and that the index and every exporter have. What is removed is recorded before it is.
 */
export class Retention {
  readonly #limits: RetentionConfig;
  readonly #around: RetentionSurroundings;
  #removed = 0;
  #blocked: { readonly reason: string; readonly since: number; isLogged: boolean } | null = null;
  #running: Promise<void> | null = null;
  /** True if something may have changed since this run looked. */
  #isAskedAgain = false;

  constructor(limits: RetentionConfig, around: RetentionSurroundings) {
    this.#limits = limits;
    this.#around = around;
  }

  get status(): RetentionStatus {
    return { removed: this.#removed, blocked: this.#blocked?.reason ?? null };
  }

  /** Removes what may go now. Never rejects. */
  run(): Promise<void> {
    this.#isAskedAgain = true;
    this.#running ??= this.#runAsked().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #runAsked(): Promise<void> {
    while (this.#isAskedAgain) {
      this.#isAskedAgain = false;
      await this.#run();
    }
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        const due = await this.#oldestDue();
        if (due === null) break;
        const reason = this.#missing(due) ?? (await this.#remove(due));
        if (reason !== null) return this.#block(`${due.file} cannot be removed: ${reason}`);
      }
      this.#blocked = null;
    } catch (error) {
      this.#block(`segments cannot be removed: ${(error as Error).message}`);
    }
  }

  async #oldestDue(): Promise<Due | null> {
    const { directory } = this.#around;
    const { days, bytes } = this.#limits;
    const head = this.#around.head();
    const all = segments(directory).filter(({ number }) => number <= head.segment);
    const [oldest, next] = all;
    if (oldest === undefined || next === undefined) return null;
    const due = { segment: oldest.number, file: oldest.name };
    // The next one was begun when this one was closed.
    if (days !== null && (await beginOf(join(directory, next.name))) < Date.now() - days * DAY_MS) {
      return { ...due, reason: 'age' };
    }
    if (bytes === null) return null;
    let size = 0;
    for (const { name } of all) size += (await stat(join(directory, name))).size;
    return size > bytes ? { ...due, reason: 'size' } : null;
  }

  /** Who does not have the segment yet; `null` if all have. */
  #missing({ segment }: Due): string | null {
    const behind = this.#around.followers().filter(({ position }) => position === null || position.segment <= segment);
    return behind.length === 0 ? null : `${behind.map(({ name }) => name).join(', ')} does not have all of it yet`;
  }

  /** @returns why it may not be removed; `null` if it is */
  async #remove({ segment, file, reason }: Due): Promise<string | null> {
    const { directory } = this.#around;
    const path = join(directory, file);
    const keys = JSON.parse(await readFile(join(directory, KEYS_FILE), 'utf8'));
    const { first, last, findings } = await verifySegment(directory, { name: file, number: segment }, keys);
    const [finding] = findings;
    if (finding !== undefined) return `it does not verify: line ${finding.line}: ${finding.message}`;
    if (first !== null && last !== null) {
      const writtenTo = await this.#around.record({ segment, file, firstSeq: first, lastSeq: last, reason });
      // On the disk before the other leaves it: a machine that stops must not have lost both. It may have filled its segment.
      for (const { name } of segments(directory).filter(
        ({ number }) => number === writtenTo || number === writtenTo - 1,
      )) {
        const journal = await open(join(directory, name), 'r+');
        await journal.datasync().finally(() => journal.close());
      }
    }
    await unlink(path);
    this.#removed++;
    this.#around.log('info', { file, records: `${first} to ${last}`, reason }, 'a segment of the journal was removed');
    return null;
  }

  #block(reason: string): void {
    if (this.#blocked?.reason !== reason) this.#blocked = { reason, since: performance.now(), isLogged: false };
    if (this.#blocked.isLogged || performance.now() - this.#blocked.since < PATIENCE_MS) return;
    this.#blocked.isLogged = true;
    this.#around.log('warn', { reason }, 'the journal is longer than recording.retain says');
  }
}

/** The oldest segment, that is too old, or too much. */
type Due = Pick<Removal, 'segment' | 'file' | 'reason'>;

/** When the first record of a segment was written, milliseconds since the epoch. */
async function beginOf(file: string): Promise<number> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FRAME_BYTES), 0, FRAME_BYTES, 0);
    const frame = frameAt(buffer.subarray(0, bytesRead), 0);
    if (frame === null) throw new Error(`${file} does not begin with a record`);
    return frame.at;
  } finally {
    await handle.close();
  }
}

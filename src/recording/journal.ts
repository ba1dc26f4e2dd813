import { randomUUID } from 'node:crypto';
import {
  close,
  closeSync,
  fdatasync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { CHAIN_START, hashOfGroup } from './chain.ts';
import { ifThere, lockJournal, unlockJournal } from './journal-lock.ts';
import { createSegment, mendTail, segments, type Tail } from './segments.ts';
import { type Jwks, publishKey, SigningKey } from './signing-key.ts';

/**
 * The append-only local log of records: one JSON object a line.
 *
 * Records are collected during one turn of the event loop and written by {@link Journal.flush} in one write, before any
 * statement of that turn is forwarded. Once written they belong to the operating system: killing this process loses
 * none of them (`durability: process`).
 *
 * Every line starts `{"v":1,"seq":N`; `seq` has no gaps on a node, over restarts too, so that a missing record shows. The
 * first line of each write goes on `,"prev":"..."`, the hash of the write before (see chain.ts), and a signed checkpoint
 * follows at the latest a second after something new. A line that was cut by a full disk or a power failure is cut off when
 * the journal is opened next, and said so in a `journal.gap` record. See docs/recording.md.
 */

/** A segment is closed and the next one begun when it is larger than this many bytes. */
const SEGMENT_BYTES = 128 * 1024 * 1024;
/** What was written is signed after at most so many milliseconds. */
const CHECKPOINT_MS = 1_000;
/** The file beside the segments that has the node's name in it. */
const NODE = 'journal.node';
const NODE_NAME = /^[0-9a-f-]{36}$/;

export class JournalError extends Error {
  override name = 'JournalError';
}

/** Plain counters, read by the metrics. */
export interface JournalCounters {
  records: number;
  bytes: number;
  failures: number;
  /** Outcomes that could not be kept until the journal could be written again. */
  lost: number;
}

/** Why a checkpoint is written. */
type CheckpointCause = 'interval' | 'segment' | 'close';

/** Room for the batch of a turn, bytes; a larger batch gets room of its own. */
const BATCH_BYTES = 256 * 1024;
/** More than the line of a checkpoint takes. */
const CHECKPOINT_BYTES = 1024;
/** `000Z`, `001Z`, ... */
const MILLISECONDS = Array.from({ length: 1000 }, (_, n) => `${String(n).padStart(3, '0')}Z`);
/** A UTF-16 code unit takes at most so many bytes in UTF-8. */
const MOST_BYTES = 3;

/** How many outcomes wait in memory while the journal cannot be written; later ones are counted as lost. */
const MOST_KEPT = 100_000;

/** What a record will say of failed writes. */
interface Gap {
  readonly failures: number;
  readonly lost: number;
  /** Numbers of the records that were written but did not get to the disk. */
  readonly notForwarded: { readonly from: number; readonly to: number } | null;
}

/** A checkpoint as it is kept elsewhere. */
export interface KeptCheckpoint {
  readonly segment: number;
  readonly seq: number;
  /** Without its line end. */
  readonly line: string;
}

/** How far the journal is written: what lies before it stays as it is. */
export interface JournalHead {
  readonly segment: number;
  /** Of that segment, all of them whole lines. */
  readonly bytes: number;
  /** Of the last record. */
  readonly seq: number;
}

/** What has to have a record before its statement is forwarded: the operating system, or the disk. */
export type Durability = 'process' | 'disk';

export interface JournalOptions {
  /** The key that signs its checkpoints, PKCS #8 in PEM; without it one that is kept beside the journal. */
  readonly key?: string | null;
  readonly durability?: Durability;
}

export class Journal {
  readonly directory: string;
  /** With `disk`, nothing attempted may be forwarded before a {@link sync} that began after its flush. */
  readonly durability: Durability;
  /** Whose journal it is: with `seq` it names a record among those of all nodes. */
  readonly node: string;
  /** Called when a checkpoint is due and nothing else will have the journal written: see {@link dirty}. */
  onDue: () => void = () => this.flush();
  readonly counters: JournalCounters = { records: 0, bytes: 0, failures: 0, lost: 0 };
  /** Why the last write failed; `null` while records can be written. */
  failure: string | null = null;
  #fd: number;
  #size = 0;
  /** True if a failed write may have left part of a batch behind `#size`. */
  #torn = false;
  #segment: number;
  #seq: number;
  /** Hash of the last group written. */
  #chain: string;
  /** The public keys of all that have signed it. */
  readonly keys: Jwks;
  readonly #key: SigningKey;
  /** Why the next batch ends with a checkpoint; `null` if it does not. */
  #due: CheckpointCause | null = null;
  /** The newest checkpoint: its line, and where it is. */
  #checkpointed: KeptCheckpoint | null = null;
  /** Runs from the first record after a checkpoint. */
  #timer: NodeJS.Timeout | null = null;
  /** Records of this turn without their number, and for each whether it outlives a failed write. */
  #pending: string[] = [];
  #keep: boolean[] = [];
  /** What a record will say of the failed writes since the last good one. */
  #gap: Gap | null = null;
  /** Full segments that are not on the disk yet. */
  #full: number[] = [];
  /** Everything up to this record is on the disk, as far as that is asked for. */
  #syncedSeq: number;
  /** True if the file may have lost what was written to it: the next write begins another. */
  #isSpoilt = false;
  #isClosed = false;
  /** Where batches are encoded. */
  readonly #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  /** The time of the last record, milliseconds since the epoch, and its text: that of the second stays. */
  #clock = 0;
  #at = '';
  #second = 0;
  #secondText = '';

  /** Asked to be called at the next write. */
  #awaiting: (() => void)[] = [];

  private constructor(
    directory: string,
    durability: Durability,
    key: SigningKey,
    fd: number,
    segment: number,
    tail: Tail,
  ) {
    this.directory = directory;
    this.durability = durability;
    this.#syncedSeq = tail.seq;
    this.keys = publishKey(directory, key);
    this.node = nodeOf(directory);
    this.#key = key;
    this.#fd = fd;
    this.#segment = segment;
    this.#seq = tail.seq;
    this.#chain = tail.head;
  }

  /**
   * Opens the journal in `directory` (made if missing) and begins a new segment.
   * @throws JournalError if the directory or the last segment cannot be read or the new one cannot be written.
   */
  static open(directory: string, { key: pem = null, durability = 'process' }: JournalOptions = {}): Journal {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      lockJournal(directory);
      const key = pem === null ? SigningKey.ofJournal(directory) : SigningKey.of(pem);
      const old = segments(directory);
      let tail: Tail = { seq: 0, head: CHAIN_START };
      let cut = 0;
      for (let i = old.length - 1; i >= 0 && tail.seq === 0; i--) {
        const mended = mendTail(join(directory, old[i]!.name));
        cut += mended.cut;
        if (mended.seq > 0) tail = mended;
      }
      const segment = (old.at(-1)?.number ?? 0) + 1;
      const { fd } = createSegment(directory, segment);
      const journal = new Journal(directory, durability, key, fd, segment, tail);
      if (cut > 0) journal.append(`"journal.gap","reason":"torn line","bytes":${cut}`, true);
      journal.append(`"journal.open","segment":${segment},"pid":${process.pid},"node":"${journal.node}"`, true);
      if (!journal.flush()) throw new Error(journal.failure ?? 'cannot write');
      if (durability === 'disk') {
        syncDirectory(directory);
        fdatasyncSync(fd);
      }
      return journal;
    } catch (error) {
      throw new JournalError(`cannot open the journal in ${directory}: ${(error as Error).message}`);
    }
  }

  get head(): JournalHead {
    return { segment: this.#segment, bytes: this.#size, seq: this.#seq };
  }

  /** The newest checkpoint that is as safe as the durability asks for; `null` if there is none. */
  get checkpoint(): KeptCheckpoint | null {
    const newest = this.#checkpointed;
    return this.durability === 'disk' && newest !== null && newest.seq > this.#syncedSeq ? null : newest;
  }

  /** Calls `callback` once, after the next write that adds records; it must be quick. */
  onGrowth(callback: () => void): void {
    this.#awaiting.push(callback);
  }

  /** True if records wait for {@link flush}, or a checkpoint is due. */
  get dirty(): boolean {
    return this.#pending.length > 0 || this.#due !== null;
  }

  /** True if something must not happen before {@link flush}. */
  get isAwaited(): boolean {
    return this.#keep.includes(false);
  }

  /**
   * Adds a record to the batch of this turn.
   * @param fields the record from the value of `event` on, as JSON text without the closing brace: `"session.end","session":"..."`
   * @param keep true for what has happened already (an outcome): if the write fails it waits for the next one. An attempt
   *   is dropped instead, because its statement is not forwarded.
   */
  append(fields: string, keep: boolean): void {
    const now = Date.now();
    if (now !== this.#clock) this.#tick(now);
    this.#pending.push(`,"at":"${this.#at}","event":${fields}}\n`);
    this.#keep.push(keep);
  }

  #tick(now: number): void {
    this.#clock = now;
    const milliseconds = now % 1000;
    if (now - milliseconds !== this.#second) {
      this.#second = now - milliseconds;
      // Up to the point before the milliseconds.
      this.#secondText = new Date(now).toISOString().slice(0, -4);
    }
    this.#at = `${this.#secondText}${MILLISECONDS[milliseconds]!}`;
  }

  /**
   * Writes the batch. On failure nothing of it stays in the file, and its sequence numbers are used again.
   * @returns false if the batch could not be written: nothing attempted in it may be forwarded.
   */
  flush(): boolean {
    const isWritten = this.#put();
    if (!isWritten) return false;
    if (this.#size > SEGMENT_BYTES) this.#rotate();
    if (this.#awaiting.length > 0) for (const grown of this.#awaiting.splice(0)) grown();
    return true;
  }

  #put(): boolean {
    if (this.#isSpoilt && !this.#replace()) return false;
    if (this.#gap !== null) {
      const { failures, lost, notForwarded } = this.#gap;
      const range = notForwarded === null ? '' : `,"notForwarded":${JSON.stringify(notForwarded)}`;
      const reason = JSON.stringify(this.failure);
      this.append(`"journal.gap","reason":${reason},"failures":${failures},"lost":${lost}${range}`, false);
    }
    if (this.#size === 0) this.#putHeader();
    const pending = this.#pending;
    const records = pending.length;
    if (records === 0 && this.#due === null) return true;
    let batch = '';
    if (records > 0) {
      batch = this.#groupBegin(this.#seq + 1, this.#chain) + pending[0]!;
      for (let i = 1; i < records; i++) batch += `{"v":1,"seq":${this.#seq + i + 1}${pending[i]!}`;
    }
    try {
      this.#write(batch, records);
    } catch (error) {
      this.#failed(error as Error);
      return false;
    }
    this.failure = null;
    this.#gap = null;
    pending.length = 0;
    this.#keep.length = 0;
    return true;
  }

  /** Tries to leave the failed state, if it is in one. A record says then why nothing could be recorded. */
  retry(): boolean {
    return this.failure === null || this.flush();
  }

  /**
   * Begins another segment before this one is full.
   * @returns false if it cannot be done now: records wait for the end of their turn, or cannot be written
   */
  closeSegment(): boolean {
    if (this.dirty || this.failure !== null) return false;
    const { segment } = this.head;
    this.#rotate();
    return this.#segment > segment && this.flush();
  }

  /** Writes what is pending and closes the file; once. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.flush();
    this.#checkpoint('close');
    if (this.#timer !== null) clearTimeout(this.#timer);
    try {
      if (this.durability === 'disk') {
        for (const fd of [...this.#full, this.#fd]) fdatasyncSync(fd);
        this.#syncedSeq = this.#seq;
      }
    } finally {
      for (const fd of [...this.#full.splice(0), this.#fd]) closeSync(fd);
    }
    unlockJournal(this.directory);
  }

  readonly #signSoon = (): void => {
    this.#timer = null;
    this.#due ??= 'interval';
    this.onDue();
  };

  /** Writes a checkpoint by itself. */
  #checkpoint(cause: CheckpointCause): boolean {
    this.#due = cause;
    return this.#put();
  }

  #failed(error: Error): void {
    this.counters.failures++;
    this.failure = error.message;
    this.#drop(null);
    // Part of the batch may be in the file, whole lines of it: they would say of statements that they were attempted.
    try {
      ftruncateSync(this.#fd, this.#size);
      this.#torn = false;
    } catch {
      // Tried again before anything else is written.
    }
  }

  /** After a failure: what was attempted is not forwarded, what has happened waits. */
  #drop(notForwarded: Gap['notForwarded']): void {
    const kept = this.#pending.filter((_, i) => this.#keep[i]);
    const lost = Math.max(0, kept.length - MOST_KEPT);
    this.counters.lost += lost;
    const before = this.#gap;
    this.#gap = {
      failures: (before?.failures ?? 0) + 1,
      lost: (before?.lost ?? 0) + lost,
      notForwarded: before?.notForwarded ?? notForwarded,
    };
    this.#pending = kept.slice(0, MOST_KEPT);
    this.#keep = this.#pending.map(() => true);
  }

  /**
   * Brings what is written so far to the disk. One at a time.
   * @param done told whether it is there. If not, nothing written since the last good one may be forwarded
   */
  sync(done: (isOnDisk: boolean) => void): void {
    const seq = this.#seq;
    const [full] = this.#full;
    const finish = (error: Error | null): void => {
      if (this.#isClosed) {
        done(error === null);
      } else if (error !== null) {
        this.#notSynced(error);
        done(false);
      } else if (full === undefined) {
        this.#syncedSeq = seq;
        done(true);
      } else {
        this.#full.shift();
        close(full);
        this.sync(done);
      }
    };
    fdatasync(full ?? this.#fd, finish);
  }

  /**
   * After a failed sync a later good one says nothing: the system may have thrown away what it could not write. So another
   * file is begun. Attempts that were written stay where they are, and the gap says that none of them was forwarded.
   */
  #notSynced(error: Error): void {
    this.counters.failures++;
    this.failure = error.message;
    this.#drop({ from: this.#syncedSeq + 1, to: this.#seq });
    this.#isSpoilt = true;
  }

  /** Begins another segment in the place of a spoilt one. */
  #replace(): boolean {
    let fd: number;
    try {
      fd = this.#create(this.#segment + 1).fd;
    } catch (error) {
      this.#failed(error as Error);
      return false;
    }
    for (const spoilt of [...this.#full.splice(0), this.#fd]) close(spoilt);
    this.#fd = fd;
    this.#size = 0;
    this.#torn = false;
    this.#segment++;
    this.#isSpoilt = false;
    return true;
  }

  #create(segment: number): ReturnType<typeof createSegment> {
    const created = createSegment(this.directory, segment);
    if (this.durability === 'disk') syncDirectory(this.directory);
    return created;
  }

  /** @param batch the lines of `records`; a checkpoint follows them if one is due and there is room */
  #write(batch: string, records: number): void {
    if (this.#torn) ftruncateSync(this.#fd, this.#size);
    const fits = batch.length * MOST_BYTES + CHECKPOINT_BYTES <= BATCH_BYTES;
    const bytes = fits ? this.#batch : Buffer.from(batch, 'utf8');
    let length = fits ? bytes.write(batch, 0, 'utf8') : bytes.length;
    let seq = this.#seq + records;
    let head = length > 0 ? hashOfGroup(bytes.subarray(0, length)) : this.#chain;
    const signs = this.#due !== null && fits;
    let line = '';
    if (signs) {
      const begin = length;
      seq++;
      line = this.#checkpointLine(seq, head);
      length += bytes.write(line, begin, 'utf8');
      head = hashOfGroup(bytes.subarray(begin, length));
    }
    let written = 0;
    this.#torn = true;
    while (written < length) written += writeSync(this.#fd, bytes, written, length - written);
    this.#torn = false;
    this.counters.records += seq - this.#seq;
    this.counters.bytes += length;
    this.#size += length;
    this.#seq = seq;
    this.#chain = head;
    if (signs) {
      this.#checkpointed = { segment: this.#segment, seq, line: line.trimEnd() };
      this.#due = null;
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = null;
    } else this.#timer ??= setTimeout(this.#signSoon, CHECKPOINT_MS).unref();
  }

  /** The beginning of a line that begins a group. */
  #groupBegin(seq: number, head: string): string {
    return `{"v":1,"seq":${seq},"prev":"${head}"`;
  }

  #checkpointLine(seq: number, head: string): string {
    const signed =
      `${this.#groupBegin(seq, head)},"at":"${new Date().toISOString()}","event":"journal.checkpoint",` +
      `"node":"${this.node}","segment":${this.#segment},"by":"${this.#due!}","key":"${this.#key.id}"`;
    return `${signed},"signature":"${this.#key.sign(Buffer.from(signed, 'utf8'))}"}\n`;
  }

  /** The first record of a segment. */
  #putHeader(): void {
    this.#tick(Date.now());
    this.#pending.unshift(
      `,"at":"${this.#at}","event":"journal.segment","node":"${this.node}","segment":${this.#segment}}\n`,
    );
    this.#keep.unshift(false);
  }

  /** Begins the next segment. If that fails, the full one goes on and the next flush tries again. */
  #rotate(): void {
    let next: ReturnType<typeof createSegment>;
    try {
      next = this.#create(this.#segment + 1);
    } catch {
      return;
    }
    const full = { fd: this.#fd, size: this.#size };
    if (this.#checkpoint('segment')) {
      full.size = this.#size;
      this.#fd = next.fd;
      this.#size = 0;
      this.#segment++;
      if (this.#put()) {
        if (this.durability === 'disk') this.#full.push(full.fd);
        // A full segment takes long to reach the disk: no statement waits for that.
        else fsync(full.fd, () => close(full.fd));
        return;
      }
      this.#fd = full.fd;
      this.#size = full.size;
      this.#segment--;
    }
    closeSync(next.fd);
    rmSync(join(this.directory, next.name), { force: true });
  }
}

/** A file is there after a power failure once its directory is on the disk. */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The node's name, made once and kept beside the journal. */
function nodeOf(directory: string): string {
  const path = join(directory, NODE);
  const known = ifThere(() => readFileSync(path, 'utf8').trim());
  if (known !== null && NODE_NAME.test(known)) return known;
  const node = randomUUID();
  const aside = `${path}.${node}`;
  writeFileSync(aside, `${node}\n`, { mode: 0o600, flush: true });
  renameSync(aside, path);
  return node;
}

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
import { LineWriter } from './line-writer.ts';
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
const LINE_BEGIN = Buffer.from('{"v":1,"seq":');
/** What every line goes on with behind its number; the time is written into it. */
const TIME_AND_EVENT = ',"at":"YYYY-MM-DDThh:mm:ss.sssZ","event":';
const TIME_AT = TIME_AND_EVENT.indexOf('YYYY');
const MILLISECONDS_AT = TIME_AND_EVENT.indexOf('sssZ');
const LINE_END = Buffer.from('}\n');
const ZERO = 0x30;

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
  /** The lines of this turn. */
  readonly #lines = new LineWriter(BATCH_BYTES);
  /** Where, in each of them, what follows the number and the hash begins; and whether it outlives a failed write. */
  readonly #tails: number[] = [];
  readonly #keep: boolean[] = [];
  /** How many of them do not. */
  #attempts = 0;
  /** What a record will say of the failed writes since the last good one. */
  #gap: Gap | null = null;
  /** Full segments that are not on the disk yet. */
  #full: number[] = [];
  /** Everything up to this record is on the disk, as far as that is asked for. */
  #syncedSeq: number;
  /** True if the file may have lost what was written to it: the next write begins another. */
  #isSpoilt = false;
  #isClosed = false;
  /** The time of the last record, milliseconds since the epoch, and its text: that of the second stays. */
  #clock = 0;
  #second = 0;
  readonly #timeAndEvent = Buffer.from(TIME_AND_EVENT);

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
    return this.#keep.length > 0 || this.#due !== null;
  }

  /** True if something must not happen before {@link flush}. */
  get isAwaited(): boolean {
    return this.#attempts > 0;
  }

  /**
   * Adds a record to the batch of this turn.
   * @param fields the record from the value of `event` on, as JSON text without the closing brace: `"session.end","session":"..."`
   * @param keep true for what has happened already (an outcome): if the write fails it waits for the next one. An attempt
   *   is dropped instead, because its statement is not forwarded.
   */
  append(fields: string, keep: boolean): void {
    this.begin(keep).text(fields);
    this.end();
  }

  /** As {@link append}, for who writes the fields as bytes; {@link end} follows. */
  begin(keep: boolean): LineWriter {
    const now = Date.now();
    if (now !== this.#clock) this.#tick(now);
    this.#beginLine();
    this.#keep.push(keep);
    if (!keep) this.#attempts++;
    return this.#lines.raw(this.#timeAndEvent);
  }

  end(): void {
    this.#lines.raw(LINE_END);
  }

  /** The next line, up to where its tail begins. */
  #beginLine(): void {
    const lines = this.#lines;
    const before = this.#tails.length;
    lines.raw(LINE_BEGIN).integer(this.#seq + before + 1);
    if (before === 0) lines.text(`,"prev":"${this.#chain}"`);
    this.#tails.push(lines.length);
  }

  #tick(now: number): void {
    this.#clock = now;
    const text = this.#timeAndEvent;
    const milliseconds = now % 1000;
    if (now - milliseconds !== this.#second) {
      this.#second = now - milliseconds;
      text.write(new Date(now).toISOString(), TIME_AT, 'latin1');
    }
    text[MILLISECONDS_AT] = ZERO + Math.floor(milliseconds / 100);
    text[MILLISECONDS_AT + 1] = ZERO + (Math.floor(milliseconds / 10) % 10);
    text[MILLISECONDS_AT + 2] = ZERO + (milliseconds % 10);
  }

  /** What is pending, each line as it is behind its number. */
  #pendingTails(): Buffer[] {
    const written = Buffer.from(this.#lines.bytes.subarray(0, this.#lines.length));
    return this.#tails.map((tail) => written.subarray(tail, written.indexOf(0x0a, tail) + 1));
  }

  /** Has these lines pending, and no others, with numbers from the next one on. */
  #setPending(tails: readonly Buffer[], keep: readonly boolean[]): void {
    this.#forgetPending();
    for (const [i, tail] of tails.entries()) {
      this.#beginLine();
      this.#keep.push(keep[i]!);
      if (!keep[i]) this.#attempts++;
      this.#lines.raw(tail);
    }
  }

  #forgetPending(): void {
    this.#lines.clear();
    this.#tails.length = 0;
    this.#keep.length = 0;
    this.#attempts = 0;
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
    if (!this.dirty) return true;
    try {
      this.#write();
    } catch (error) {
      this.#failed(error as Error);
      return false;
    }
    this.failure = null;
    this.#gap = null;
    this.#forgetPending();
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
    const kept = this.#pendingTails().filter((_, i) => this.#keep[i]);
    const lost = Math.max(0, kept.length - MOST_KEPT);
    this.counters.lost += lost;
    const before = this.#gap;
    this.#gap = {
      failures: (before?.failures ?? 0) + 1,
      lost: (before?.lost ?? 0) + lost,
      notForwarded: before?.notForwarded ?? notForwarded,
    };
    const tails = kept.slice(0, MOST_KEPT);
    this.#setPending(
      tails,
      tails.map(() => true),
    );
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

  /** What is pending, and a checkpoint behind it if one is due. */
  #write(): void {
    if (this.#torn) ftruncateSync(this.#fd, this.#size);
    const lines = this.#lines;
    let seq = this.#seq + this.#keep.length;
    let head = lines.length > 0 ? hashOfGroup(lines.bytes.subarray(0, lines.length)) : this.#chain;
    const signs = this.#due !== null;
    let line = '';
    if (signs) {
      const begin = lines.length;
      seq++;
      line = this.#checkpointLine(seq, head);
      lines.text(line);
      head = hashOfGroup(lines.bytes.subarray(begin, lines.length));
    }
    const { bytes, length } = lines;
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

  #checkpointLine(seq: number, head: string): string {
    const signed =
      `{"v":1,"seq":${seq},"prev":"${head}","at":"${new Date().toISOString()}","event":"journal.checkpoint",` +
      `"node":"${this.node}","segment":${this.#segment},"by":"${this.#due!}","key":"${this.#key.id}"`;
    return `${signed},"signature":"${this.#key.sign(Buffer.from(signed, 'utf8'))}"}\n`;
  }

  /** The first record of a segment. */
  #putHeader(): void {
    const tails = this.#pendingTails();
    const keep = [...this.#keep];
    this.#forgetPending();
    this.append(`"journal.segment","node":"${this.node}","segment":${this.#segment}`, false);
    this.#setPending([...this.#pendingTails(), ...tails], [false, ...keep]);
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

import { randomUUID } from 'node:crypto';
import {
  close,
  closeSync,
  fstatSync,
  fsync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/**
 * The append-only local log of records: one JSON object a line.
 *
 * Records are collected during one turn of the event loop and written by {@link Journal.flush} in one write, before any
 * statement of that turn is forwarded. Once written they belong to the operating system: killing this process loses
 * none of them (`durability: process`).
 *
 * Every line starts `{"v":1,"seq":N,"at":"2026-01-31T12:00:00.000Z","event":"..."`; `seq` has no gaps on a node, over
 * restarts too, so that a missing record shows. A line that was cut by a full disk or a power failure is cut off when the
 * journal is opened next, and said so in a `journal.gap` record.
 */

/** A segment is closed and the next one begun when it is larger than this many bytes. */
const SEGMENT_BYTES = 128 * 1024 * 1024;
/** The file beside the segments that has the node's name in it. */
const NODE = 'journal.node';
const NODE_NAME = /^[0-9a-f-]{36}$/;
const SEGMENT_NAME = /^journal-\d{8}T\d{9}Z-(\d+)\.jsonl$/;

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

/** Room for the batch of a turn, bytes; a larger batch gets room of its own. */
const BATCH_BYTES = 256 * 1024;
/** `000Z`, `001Z`, ... */
const MILLISECONDS = Array.from({ length: 1000 }, (_, n) => `${String(n).padStart(3, '0')}Z`);
/** A UTF-16 code unit takes at most so many bytes in UTF-8. */
const MOST_BYTES = 3;

/** How many outcomes wait in memory while the journal cannot be written; later ones are counted as lost. */
const MOST_KEPT = 100_000;

/** How far the journal is written: what lies before it stays as it is. */
export interface JournalHead {
  readonly segment: number;
  /** Of that segment, all of them whole lines. */
  readonly bytes: number;
  /** Of the last record. */
  readonly seq: number;
}

export class Journal {
  readonly directory: string;
  /** Whose journal it is: with `seq` it names a record among those of all nodes. */
  readonly node: string;
  readonly counters: JournalCounters = { records: 0, bytes: 0, failures: 0, lost: 0 };
  /** Why the last write failed; `null` while records can be written. */
  failure: string | null = null;
  #fd: number;
  #size = 0;
  /** True if a failed write may have left part of a batch behind `#size`. */
  #torn = false;
  #segment: number;
  #seq: number;
  /** Records of this turn without their number, and for each whether it outlives a failed write. */
  #pending: string[] = [];
  #keep: boolean[] = [];
  /** What a record will say of the failed writes since the last good one. */
  #gap: { readonly failures: number; readonly lost: number } | null = null;
  /** Where batches are encoded. */
  readonly #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  /** The time of the last record, milliseconds since the epoch, and its text: that of the second stays. */
  #clock = 0;
  #at = '';
  #second = 0;
  #secondText = '';

  /** Asked to be called at the next write. */
  #awaiting: (() => void)[] = [];

  private constructor(directory: string, node: string, fd: number, segment: number, seq: number) {
    this.directory = directory;
    this.node = node;
    this.#fd = fd;
    this.#segment = segment;
    this.#seq = seq;
  }

  /**
   * Opens the journal in `directory` (made if missing) and begins a new segment.
   * @throws JournalError if the directory or the last segment cannot be read or the new one cannot be written.
   */
  static open(directory: string): Journal {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      lock(directory);
      const old = segments(directory);
      let seq = 0;
      let cut = 0;
      for (let i = old.length - 1; i >= 0 && seq === 0; i--) {
        const tail = mendTail(join(directory, old[i]!.name));
        seq = tail.seq;
        cut += tail.cut;
      }
      const segment = (old.at(-1)?.number ?? 0) + 1;
      const journal = new Journal(directory, nodeOf(directory), openSegment(directory, segment), segment, seq);
      if (cut > 0) journal.append(`"journal.gap","reason":"torn line","bytes":${cut}`, true);
      journal.append(`"journal.open","segment":${segment},"pid":${process.pid},"node":"${journal.node}"`, true);
      if (!journal.flush()) throw new Error(journal.failure ?? 'cannot write');
      return journal;
    } catch (error) {
      throw new JournalError(`cannot open the journal in ${directory}: ${(error as Error).message}`);
    }
  }

  get head(): JournalHead {
    return { segment: this.#segment, bytes: this.#size, seq: this.#seq };
  }

  /** Calls `callback` once, after the next write that adds records; it must be quick. */
  onGrowth(callback: () => void): void {
    this.#awaiting.push(callback);
  }

  /** True if records wait for {@link flush}. */
  get dirty(): boolean {
    return this.#pending.length > 0;
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
    if (this.#gap !== null) {
      const { failures, lost } = this.#gap;
      this.append(
        `"journal.gap","reason":${JSON.stringify(this.failure)},"failures":${failures},"lost":${lost}`,
        false,
      );
    }
    const pending = this.#pending;
    const records = pending.length;
    if (records === 0) return true;
    let batch = '';
    for (let i = 0; i < records; i++) batch += `{"v":1,"seq":${this.#seq + i + 1}${pending[i]}`;
    try {
      const bytes = this.#write(batch);
      this.#seq += records;
      this.#size += bytes;
      this.counters.records += records;
      this.counters.bytes += bytes;
    } catch (error) {
      this.#failed(error as Error);
      return false;
    }
    this.failure = null;
    this.#gap = null;
    this.#pending.length = 0;
    this.#keep.length = 0;
    if (this.#size > SEGMENT_BYTES) this.#rotate();
    if (this.#awaiting.length > 0) for (const grown of this.#awaiting.splice(0)) grown();
    return true;
  }

  /** Tries to leave the failed state, if it is in one. A record says then why nothing could be recorded. */
  retry(): boolean {
    return this.failure === null || this.flush();
  }

  /** Writes what is pending and closes the file. */
  close(): void {
    this.flush();
    closeSync(this.#fd);
    rmSync(join(this.directory, LOCK), { force: true });
  }

  #failed(error: Error): void {
    this.counters.failures++;
    this.failure = error.message;
    const kept = this.#pending.filter((_, i) => this.#keep[i]);
    const lost = Math.max(0, kept.length - MOST_KEPT);
    this.counters.lost += lost;
    this.#gap = { failures: (this.#gap?.failures ?? 0) + 1, lost: (this.#gap?.lost ?? 0) + lost };
    this.#pending = kept.slice(0, MOST_KEPT);
    this.#keep = this.#pending.map(() => true);
    // Part of the batch may be in the file, whole lines of it: they would say of statements that they were attempted.
    try {
      ftruncateSync(this.#fd, this.#size);
      this.#torn = false;
    } catch {
      // Tried again before anything else is written.
    }
  }

  #write(batch: string): number {
    if (this.#torn) ftruncateSync(this.#fd, this.#size);
    const fits = batch.length * MOST_BYTES <= BATCH_BYTES;
    const bytes = fits ? this.#batch : Buffer.from(batch, 'utf8');
    const length = fits ? bytes.write(batch, 0, 'utf8') : bytes.length;
    let written = 0;
    this.#torn = true;
    while (written < length) written += writeSync(this.#fd, bytes, written, length - written);
    this.#torn = false;
    return written;
  }

  /** Begins the next segment. If that fails, the full one goes on and the next flush tries again. */
  #rotate(): void {
    let next: number;
    try {
      next = openSegment(this.directory, this.#segment + 1);
    } catch {
      return;
    }
    // A full segment takes long to reach the disk: no statement waits for that.
    const full = this.#fd;
    fsync(full, () => close(full));
    this.#fd = next;
    this.#segment++;
    this.#size = 0;
  }
}

/**
 * Tells which process writes the journal: two writers would use each other's sequence numbers. One line: process id, and
 * where there is /proc, the boot and the moment in it when the process began, since process ids come again after a boot and
 * are few in a container.
 */
const LOCK = 'journal.lock';
/** A lock without text has just been made, or its maker died between two system calls; milliseconds. */
const LOCK_WRITTEN_MS = 5_000;

/** @throws Error if another process of this machine that can be seen from here has it */
function lock(directory: string): void {
  const path = join(directory, LOCK);
  for (;;) {
    try {
      writeFileSync(path, ownLock(), { mode: 0o600, flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const held = ifThere(() => readFileSync(path, 'utf8'));
    if (held === null) continue;
    if (held === '' && (ifThere(() => Date.now() - statSync(path).mtimeMs) ?? 0) < LOCK_WRITTEN_MS) {
      throw new Error('another process is about to write it');
    }
    if (isHeld(held)) throw new Error(`process ${Number.parseInt(held, 10)} writes it`);
    removeLock(path, held);
  }
}

/** The process that writes the journal in `directory`; `null` if none does that can be seen from here. */
export function journalWriter(directory: string): number | null {
  const held = ifThere(() => readFileSync(join(directory, LOCK), 'utf8'));
  return held !== null && isHeld(held) ? Number.parseInt(held, 10) : null;
}

/** Of several that find the same lock of a dead process, one removes it, and none the lock that the first then makes. */
function removeLock(path: string, stale: string): void {
  const aside = `${path}.${randomUUID()}`;
  if (ifThere(() => renameSync(path, aside)) === null) return;
  try {
    const removed = readFileSync(aside, 'utf8');
    if (removed !== stale) writeFileSync(path, removed, { mode: 0o600, flag: 'wx' });
  } finally {
    rmSync(aside);
  }
}

function ownLock(): string {
  const boot = ifThere(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const begun = beginOf(process.pid);
  return boot === null || begun === null ? `${process.pid}\n` : `${process.pid} ${boot} ${begun}\n`;
}

function isHeld(held: string): boolean {
  const [pid = '', boot, begun] = held.trim().split(' ');
  if (!/^[1-9]\d*$/.test(pid) || Number(pid) === process.pid) return false;
  if (boot === undefined) return isAlive(Number(pid));
  return boot === ownLock().split(' ')[1] && begun === beginOf(Number(pid));
}

/** When a process began, in clock ticks since boot (proc(5), field 22 of stat); `null` if it has ended or cannot be seen. */
function beginOf(pid: number): string | null {
  const stat = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === null) return null;
  // The second field is the command in parentheses and may hold anything.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? null : (rest[18] ?? null);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** `null` if the file, or the process behind it, is not there. */
function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
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

function openSegment(directory: string, number: number): number {
  const stamp = new Date().toISOString().replace(/[-:.]/g, '');
  return openSync(join(directory, `journal-${stamp}-${number}.jsonl`), 'ax', 0o600);
}

/** Segments of a journal directory, oldest first. */
export function segments(directory: string): { name: string; number: number }[] {
  const found: { name: string; number: number }[] = [];
  for (const name of readdirSync(directory)) {
    const match = SEGMENT_NAME.exec(name);
    if (match) found.push({ name, number: Number(match[1]) });
  }
  return found.sort((a, b) => a.number - b.number);
}

/** Cuts a torn last line off a segment; gives the last sequence number in it and how many bytes were cut. */
function mendTail(path: string): { seq: number; cut: number } {
  const fd = openSync(path, 'r+');
  try {
    const size = fstatSync(fd).size;
    let end = size;
    let text = Buffer.alloc(0);
    // Read backwards until a whole last line is in hand.
    for (let from = size; from > 0; ) {
      const step = Math.min(from, 64 * 1024);
      from -= step;
      const part = Buffer.alloc(step);
      readSync(fd, part, 0, step, from);
      text = Buffer.concat([part, text]);
      const lastNewline = text.lastIndexOf(0x0a);
      const before = lastNewline > 0 ? text.lastIndexOf(0x0a, lastNewline - 1) : -1;
      if (lastNewline >= 0 && (before >= 0 || from === 0)) {
        end = from + lastNewline + 1;
        const seq = (JSON.parse(text.toString('utf8', before + 1, lastNewline)) as { seq: number }).seq;
        if (!Number.isSafeInteger(seq)) throw new Error(`${path}: the last record has no sequence number`);
        if (end < size) ftruncateSync(fd, end);
        return { seq, cut: size - end };
      }
    }
    if (size > 0) ftruncateSync(fd, 0);
    return { seq: 0, cut: size };
  } finally {
    closeSync(fd);
  }
}

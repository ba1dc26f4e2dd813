import { closeSync, createReadStream, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { segments } from './segments.ts';

/** One line of the journal. Which other fields it has depends on its event; nothing is promised about their types. */
export interface JournalRecord {
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Something in the journal that cannot be read, or is missing from it. */
export interface JournalProblem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export interface RecordReader {
  /** Where it returns a promise, reading waits for it. */
  record(record: JournalRecord): unknown;
  problem(problem: JournalProblem): void;
}

/**
 * Reads the journal in `directory` from its oldest record to its newest, a chunk at a time, whatever its size. A line that
 * cannot be read is told as a problem and the next is read; so are records that are missing between two. A line without
 * an end at the very end of the newest file may still be in the middle of being written: it is a problem only if the
 * journal's writer is gone, which a reader cannot know, so the message says both.
 *
 * Rejects with the error of the file system if the directory or a file cannot be read.
 */
export async function readRecords(directory: string, reader: RecordReader): Promise<void> {
  const files = segments(directory).map(({ name }) => join(directory, name));
  let previous: number | null = null;
  for (const [index, file] of files.entries()) {
    const isNewest = index === files.length - 1;
    let number = 0;
    await readLines(file, (line, whole) => {
      number++;
      const problem = (message: string) => reader.problem({ file, line: number, message });
      if (!whole && isNewest) {
        problem('the last line is torn: its record is being written, or was when Sluice or the machine stopped');
        return;
      }
      const record = parseRecord(line);
      if (typeof record === 'string') {
        problem(record);
        // Its number cannot be known, and the gap it leaves is not another problem.
        previous = previous === null ? null : previous + 1;
        return;
      }
      if (previous !== null && record.seq !== previous + 1) {
        problem(`record ${previous} is followed by record ${record.seq}`);
      }
      previous = record.seq;
      return reader.record(record);
    });
  }
}

/** Reads what is written to a journal from now on. Lines that cannot be read are passed over. */
export class JournalTail {
  readonly #directory: string;
  #segment: number;
  #offset: number;

  /** Begins at the journal's end. @throws the error of the file system if it cannot be read */
  constructor(directory: string) {
    const newest = segments(directory).at(-1);
    this.#directory = directory;
    this.#segment = newest?.number ?? 0;
    this.#offset = newest === undefined ? 0 : statSync(join(directory, newest.name)).size;
  }

  /** The records since the last call. */
  read(): JournalRecord[] {
    const records: JournalRecord[] = [];
    for (const { name, number } of segments(this.#directory)) {
      if (number < this.#segment) continue;
      if (number > this.#segment) [this.#segment, this.#offset] = [number, 0];
      const bytes = readFrom(join(this.#directory, name), this.#offset);
      const end = bytes.lastIndexOf(0x0a) + 1;
      this.#offset += end;
      for (const line of bytes.toString('utf8', 0, end).split('\n').slice(0, -1)) {
        const record = parseRecord(line);
        if (typeof record !== 'string') records.push(record);
      }
    }
    return records;
  }
}

function readFrom(file: string, offset: number): Buffer {
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(fd).size - offset));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(fd);
  }
}

/** The record of a line, or what is wrong with it. */
export function parseRecord(line: string): JournalRecord | string {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    return 'is not JSON';
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return 'is not a record';
  const { v, seq, at, event } = fields as Record<string, unknown>;
  if (v !== 1) return `is of version ${JSON.stringify(v)}; this Sluice reads version 1`;
  const time = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (!Number.isSafeInteger(seq) || Number.isNaN(time) || typeof event !== 'string') {
    return 'is not a record: it needs seq, at and event';
  }
  return { seq: seq as number, at: time, event, fields: fields as Record<string, unknown> };
}

/** Calls `take` for each line, and waits where it says so; `whole` is false for a last one without a line end. */
async function readLines(file: string, take: (line: string, whole: boolean) => unknown): Promise<void> {
  /** The beginning of a line that goes on in the next chunk; joined once, however many chunks it takes. */
  let parts: Buffer[] = [];
  for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      parts.push(chunk.subarray(start, end));
      const line = parts.length === 1 ? parts[0]!.toString('utf8') : Buffer.concat(parts).toString('utf8');
      parts = [];
      const waiting = take(line, true);
      if (waiting instanceof Promise) await waiting;
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) await take(Buffer.concat(parts).toString('utf8'), false);
}

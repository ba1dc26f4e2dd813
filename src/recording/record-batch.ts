import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalHead } from './journal.ts';
import { type JournalRecord, parseRecord } from './read-records.ts';
import { segments } from './segments.ts';

/** How far somebody has read a journal. */
export interface JournalPosition {
  /** Number of the segment. */
  readonly segment: number;
  /** Bytes of it, all of them whole lines. */
  readonly offset: number;
  /** Of the last record that was taken; 0 before the first. */
  readonly seq: number;
}

/** At most so many bytes of records are read at once if nothing else is said, unless one record alone is longer. */
export const BATCH_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
const FRAME = /^\{"v":1,"seq":(\d{1,16}),(?:"prev":"[^"]{0,60}",)?"at":"([^"]{20,30})"/;
/** The frame of a record is in its first bytes. */
const FRAME_BYTES = 160;

/** Records that follow one another in one segment. */
export class RecordBatch {
  /** Whose journal it is: `node` and `seq` name a record among those of all nodes. */
  readonly node: string;
  readonly segment: number;
  /** Whole lines, each with its line end, as they are in the journal. */
  readonly bytes: Buffer;
  /** Sequence numbers of the first and the last record. */
  readonly first: number;
  readonly last: number;
  /** When the first was written, milliseconds since the epoch. */
  readonly at: number;
  /** Where they begin. */
  readonly begin: JournalPosition;
  /** Where to go on once they are taken. */
  readonly end: JournalPosition;
  #records: readonly JournalRecord[] | null = null;

  /** @param from where `bytes` begin */
  constructor(node: string, from: JournalPosition, bytes: Buffer) {
    this.node = node;
    this.segment = from.segment;
    this.begin = from;
    this.bytes = bytes;
    const first = frameAt(bytes, 0);
    const last = frameAt(bytes, bytes.lastIndexOf(NEWLINE, bytes.length - 2) + 1);
    this.first = first?.seq ?? from.seq + 1;
    this.last = last?.seq ?? Math.max(from.seq, this.first);
    this.at = first?.at ?? Date.now();
    this.end = { segment: from.segment, offset: from.offset + bytes.length, seq: this.last };
  }

  /** The lines as text, without their ends. */
  lines(): string[] {
    return this.bytes.toString('utf8', 0, this.bytes.length - 1).split('\n');
  }

  /** The records, parsed when they are first asked for. A line that is none is left out: telling of it is for `verify`. */
  records(): readonly JournalRecord[] {
    this.#records ??= this.lines()
      .map(parseRecord)
      .filter((record) => typeof record !== 'string');
    return this.#records;
  }
}

/** Number and time of the record that begins at `start`; `null` if there is none. */
export function frameAt(bytes: Buffer, start: number): { readonly seq: number; readonly at: number } | null {
  const match = FRAME.exec(bytes.toString('latin1', start, start + FRAME_BYTES));
  return match === null ? null : { seq: Number(match[1]), at: Date.parse(match[2]!) };
}

/**
 * The records behind `position`, or from the oldest on where that is `null`; `null` if there are none before `head`. What
 * lies behind the head is never read: the journal takes it back if it could not write all of it.
 *
 * Where the position's segment is shorter than the position says (the machine lost what was not on disk yet), or gone, it
 * goes on with what comes next. Rejects with the error of the file system.
 *
 * @param room at most so many bytes, unless one record alone is longer
 */
export async function readBatch(
  directory: string,
  node: string,
  position: JournalPosition | null,
  head: Pick<JournalHead, 'segment' | 'bytes'>,
  room = BATCH_BYTES,
): Promise<RecordBatch | null> {
  const seq = position?.seq ?? 0;
  for (const { name, number } of segments(directory)) {
    if (number > head.segment) return null;
    if (position !== null && number < position.segment) continue;
    const offset = number === position?.segment ? position.offset : 0;
    const file = join(directory, name);
    const size = number === head.segment ? head.bytes : (await stat(file)).size;
    if (offset >= size) continue;
    const bytes = await readLines(file, offset, size, room);
    if (bytes !== null) return new RecordBatch(node, { segment: number, offset, seq }, bytes);
  }
  return null;
}

/** All records behind `from`, up to where the journal ends now, for those who are not told of its head. */
export async function* readBatches(
  directory: string,
  node: string,
  from: JournalPosition | null = null,
  room = BATCH_BYTES,
): AsyncGenerator<RecordBatch> {
  const newest = segments(directory).at(-1);
  if (newest === undefined) return;
  const head = { segment: newest.number, bytes: (await stat(join(directory, newest.name))).size };
  for (let position = from; ; ) {
    const batch = await readBatch(directory, node, position, head, room);
    if (batch === null) return;
    yield batch;
    position = batch.end;
  }
}

/** Whole lines from `offset` on; `null` if there is not one before `end`: a torn one, at the end of a segment. */
async function readLines(file: string, offset: number, end: number, most: number): Promise<Buffer | null> {
  const handle = await open(file, 'r');
  try {
    for (let room = most; ; room *= 4) {
      const bytes = await readFully(handle, offset, Math.min(room, end - offset));
      const lines = bytes.lastIndexOf(NEWLINE) + 1;
      if (lines > 0) return bytes.subarray(0, lines);
      if (bytes.length < room) return null;
    }
  } finally {
    await handle.close();
  }
}

async function readFully(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

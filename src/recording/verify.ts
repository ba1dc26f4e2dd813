import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { CHAIN_START } from './chain.ts';
import { journalWriter } from './journal-lock.ts';
import { segments } from './segments.ts';
import { type Jwks, SignatureCheck } from './signing-key.ts';

/**
 * Whether a journal is what Sluice wrote: numbers without gaps, a chain without breaks, checkpoints with good signatures, and
 * the checkpoints that somebody else has kept. See docs/recording.md for what each of them proves.
 */

/** Something that is not as Sluice wrote it. */
export interface Finding {
  readonly kind:
    | 'changed'
    | 'missing'
    | 'order'
    | 'torn'
    | 'not a record'
    | 'not chained'
    | 'foreign'
    | 'bad signature'
    | 'unknown key'
    | 'not signed'
    | 'cut';
  readonly file: string;
  /** From 1; with `lastLine` the first of several. */
  readonly line: number;
  readonly lastLine: number;
  /** Of the record, or the one that should be there; `null` where that is not known. */
  readonly seq: number | null;
  readonly message: string;
}

export interface Verification {
  /** Whose journal it is; `null` if no segment says so. */
  readonly node: string | null;
  readonly segments: number;
  readonly records: number;
  /** Sequence numbers of the oldest and the newest record; `null` if there is none. */
  readonly first: number | null;
  readonly last: number | null;
  /** Checkpoints with a good signature. */
  readonly checkpoints: number;
  /** The number of the last of them: everything up to it is signed. */
  readonly signedTo: number | null;
  /** Checkpoints of this journal that were kept elsewhere, and are in it. */
  readonly kept: number;
  readonly findings: readonly Finding[];
}

export interface VerifyOptions {
  readonly keys: Jwks;
  /** Lines of checkpoints that were kept elsewhere; those of other nodes are left out. */
  readonly kept?: readonly string[];
  /** True if it was being written when it was copied: its last records need not be signed. */
  readonly isCopyOfRunning?: boolean;
  /** Called now and then with the number of records read. */
  readonly onProgress?: (records: number) => void;
}

/** A journal that is not signed while it is written to for so long is not what Sluice writes, milliseconds. */
const LONGEST_UNSIGNED_MS = 10_000;
/** A longer silence between two records counts as this much: then nothing was there to be signed. */
const SILENCE_MS = 1_000;
/** More findings are counted only. */
const MOST_FINDINGS = 1_000;

const FRAME =
  /^\{"v":1,"seq":([1-9]\d{0,15})(?:,"prev":"([A-Za-z0-9_-]{43})")?,"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","event":"([a-z.]+)"/;
const FRAME_BYTES = 256;
const CHECKPOINT =
  /^(\{"v":1,"seq":(\d+),"prev":"[A-Za-z0-9_-]{43}","at":"[^"]+","event":"journal\.checkpoint","node":"([^"]+)","segment":(\d+),"by":"[a-z]+","key":"([^"]+)"),"signature":"([A-Za-z0-9_-]{86})"\}$/;

/** Verifies the journal in `directory`. Rejects with the error of the file system if it cannot be read. */
export async function verifyJournal(directory: string, options: VerifyOptions): Promise<Verification> {
  const journal = new Verifier(directory, options);
  for (const { name, number } of segments(directory)) await journal.readSegment(name, number);
  return journal.end();
}

/**
 * Verifies one closed segment by itself: everything but how it hangs together with what was before it, and that there was
 * anything, which {@link verifyJournal} did or will do.
 */
export async function verifySegment(
  directory: string,
  { name, number }: { readonly name: string; readonly number: number },
  keys: Jwks,
): Promise<Verification> {
  // The end of a process that was killed is not signed.
  const verifier = new Verifier(directory, { keys, isCopyOfRunning: true });
  await verifier.readSegment(name, number);
  const { findings, ...verification } = verifier.end();
  const { first } = verification;
  const isOfOthers = ({ kind, seq }: Finding) => kind === 'missing' && seq === 1 && first !== 1;
  return { ...verification, findings: findings.filter((finding) => !isOfOthers(finding)) };
}

/** Lines from one with `prev` on. */
interface Group {
  readonly file: string;
  readonly line: number;
  readonly seq: number;
  readonly hash: Hash;
  lastLine: number;
  lastSeq: number;
  /** True if something was found in it already. */
  isBroken: boolean;
}

/** Where one is in a journal. */
interface Place {
  readonly file: string;
  readonly line: number;
}

class Verifier {
  readonly #directory: string;
  readonly #check: SignatureCheck;
  readonly #onProgress: (records: number) => void;
  readonly #findings: Finding[] = [];
  /** Kept checkpoints that have not been seen, by number. */
  readonly #kept: Map<number, string>;
  readonly #allKept: readonly KeptCheckpoint[];
  /** Segments that a record says were removed: the last number of each. */
  readonly #removed = new Set<number>();
  #node: string | null = null;
  #segments = 0;
  #records = 0;
  #first: (Place & { readonly seq: number; readonly isChained: boolean }) | null = null;
  #last: (Place & { readonly seq: number; readonly at: number }) | null = null;
  #group: Group | null = null;
  #checkpoints = 0;
  #signedTo: number | null = null;
  #seen = 0;
  /** True if its end may still be signed. */
  readonly #isWritten: boolean;
  #endsSigned = false;
  /** How long records were written since the last checkpoint, and where the first of them is. */
  #unsigned: (Place & { readonly seq: number; ms: number; isTold: boolean }) | null = null;

  constructor(
    directory: string,
    { keys, kept = [], isCopyOfRunning = false, onProgress = () => undefined }: VerifyOptions,
  ) {
    this.#isWritten = isCopyOfRunning || journalWriter(directory) !== null;
    this.#directory = directory;
    this.#check = new SignatureCheck(keys);
    this.#onProgress = onProgress;
    this.#allKept = kept.flatMap((line) => keptCheckpoint(line, this.#check) ?? []);
    this.#kept = new Map();
  }

  async readSegment(name: string, number: number): Promise<void> {
    const file = join(this.#directory, name);
    this.#segments++;
    let line = 0;
    let rest: Buffer[] = [];
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
        const last = chunk.subarray(start, end + 1);
        line++;
        this.#line({ file, line }, number, rest.length === 0 ? last : Buffer.concat([...rest, last]));
        rest = [];
        start = end + 1;
      }
      if (start < chunk.length) rest.push(chunk.subarray(start));
    }
    // The newest one may be in the middle of being written.
    const isNewest = segments(this.#directory).at(-1)?.name === name;
    if (rest.length > 0 && !(isNewest && this.#isWritten)) {
      this.#find('torn', { file, line: line + 1 }, null, 'the last line has no end');
    }
  }

  /** @param bytes with the line end */
  #line(place: Place, segment: number, bytes: Buffer): void {
    if (++this.#records % 1000 === 0) this.#onProgress(this.#records);
    const match = FRAME.exec(bytes.toString('latin1', 0, FRAME_BYTES));
    if (match === null) {
      if (this.#group !== null) this.#group.isBroken = true;
      this.#find('not a record', place, null, 'the line is no record');
      // Its number cannot be known, and the gap it leaves is not another finding.
      if (this.#last !== null) this.#last = { ...this.#last, seq: this.#last.seq + 1 };
      return;
    }
    const [, number, prev, time, event] = match;
    const seq = Number(number);
    const at = Date.parse(time!);
    this.#first ??= { ...place, seq, isChained: prev !== undefined && prev !== CHAIN_START };
    const follows = this.#number(place, seq);
    if (!follows && this.#group !== null) this.#group.isBroken = true;
    if (prev === undefined) this.#goOn(place, seq, bytes);
    else this.#begin(place, seq, bytes, prev);
    if (place.line === 1 && event !== 'journal.segment') {
      this.#find('not chained', place, seq, 'the segment does not begin with a record of itself');
    }
    if (event!.startsWith('journal.')) this.#ofJournal(place, segment, seq, event!, bytes);
    this.#time(place, seq, at, event!);
    this.#endsSigned = event === 'journal.checkpoint';
    this.#last = { ...place, seq, at };
    const kept = this.#kept.get(seq);
    if (kept === undefined) return;
    this.#kept.delete(seq);
    if (bytes.toString('utf8', 0, bytes.length - 1) === kept) this.#seen++;
    else this.#find('changed', place, seq, `record ${seq} is not the checkpoint that was kept elsewhere`);
  }

  /** @returns false if it does not follow the record before */
  #number(place: Place, seq: number): boolean {
    if (this.#last === null) return true;
    const expected = this.#last.seq + 1;
    if (seq === expected) return true;
    if (seq > expected) {
      const missing = seq - expected === 1 ? `record ${expected} is` : `records ${expected} to ${seq - 1} are`;
      this.#find('missing', place, expected, `${missing} missing`);
    } else {
      this.#find('order', place, seq, `record ${seq} comes after record ${this.#last.seq}: it is there twice or moved`);
    }
    return false;
  }

  #goOn(place: Place, seq: number, bytes: Buffer): void {
    if (this.#group === null) {
      this.#find('not chained', place, seq, `record ${seq} is not part of the chain`);
      return;
    }
    this.#group.hash.update(bytes);
    this.#group.lastLine = place.line;
    this.#group.lastSeq = seq;
  }

  #begin(place: Place, seq: number, bytes: Buffer, prev: string): void {
    const before = this.#group;
    if (before !== null && !before.isBroken && before.hash.digest('base64url') !== prev) {
      const records =
        before.seq === before.lastSeq ? `record ${before.seq}` : `records ${before.seq} to ${before.lastSeq}`;
      this.#find('changed', before, before.seq, `${records}, or the hash of them in record ${seq}, was changed`);
    }
    const hash = createHash('sha256').update(bytes);
    this.#group = { ...place, seq, hash, lastLine: place.line, lastSeq: seq, isBroken: false };
  }

  /** What records about the journal itself say. */
  #ofJournal(place: Place, segment: number, seq: number, event: string, bytes: Buffer): void {
    const text = bytes.toString('utf8', 0, bytes.length - 1);
    if (event === 'journal.checkpoint') {
      this.#checkpoint(place, segment, seq, text);
      return;
    }
    if (event !== 'journal.segment' && event !== 'journal.removed') return;
    let fields: { readonly node?: unknown; readonly segment?: unknown; readonly lastSeq?: unknown };
    try {
      fields = JSON.parse(text);
    } catch {
      this.#find('not a record', place, seq, 'the line is not JSON');
      return;
    }
    if (event === 'journal.removed') {
      if (typeof fields.lastSeq === 'number') this.#removed.add(fields.lastSeq);
      return;
    }
    if (place.line !== 1) this.#find('order', place, seq, 'the beginning of a segment is not at its beginning');
    if (fields.segment !== segment) {
      this.#find('order', place, seq, `it is segment ${fields.segment}, but the file's name says ${segment}`);
    }
    if (this.#node === null && typeof fields.node === 'string') this.#setNode(fields.node);
    if (fields.node !== this.#node) {
      this.#find('foreign', place, seq, `the segment is of node ${fields.node}, those before of ${this.#node}`);
    }
  }

  #setNode(node: string): void {
    this.#node = node;
    for (const kept of this.#allKept) {
      if (kept.node !== node || kept.seq < this.#first!.seq) continue;
      if (kept.isGood) this.#kept.set(kept.seq, kept.line);
      else {
        const message = `checkpoint ${kept.seq} that was kept elsewhere does not have the signature of a key that is known`;
        this.#find('bad signature', { file: this.#directory, line: 1 }, kept.seq, message);
      }
    }
  }

  #checkpoint(place: Place, segment: number, seq: number, text: string): void {
    const match = CHECKPOINT.exec(text);
    if (match === null) {
      this.#find('bad signature', place, seq, `checkpoint ${seq} is not one that Sluice writes`);
      return;
    }
    const [, signed, , node, ofSegment, key, signature] = match;
    const isGood = this.#check.isSignedBy(key!, Buffer.from(signed!, 'utf8'), signature!);
    if (isGood === null)
      this.#find('unknown key', place, seq, `checkpoint ${seq} is signed by key ${key}, which is not known`);
    else if (!isGood)
      this.#find('bad signature', place, seq, `checkpoint ${seq} does not have the signature of key ${key}`);
    else if (node !== this.#node || Number(ofSegment) !== segment) {
      this.#find('foreign', place, seq, `checkpoint ${seq} is of segment ${ofSegment} of node ${node}`);
    } else {
      this.#checkpoints++;
      this.#signedTo = seq;
    }
  }

  #time(place: Place, seq: number, at: number, event: string): void {
    // A process that was killed could not sign its last records any more.
    if (event === 'journal.checkpoint' || event === 'journal.segment') {
      this.#unsigned = null;
      return;
    }
    this.#unsigned ??= { ...place, seq, ms: 0, isTold: false };
    if (this.#last !== null) this.#unsigned.ms += Math.max(0, Math.min(at - this.#last.at, SILENCE_MS));
    if (this.#unsigned.ms <= LONGEST_UNSIGNED_MS || this.#unsigned.isTold) return;
    this.#unsigned.isTold = true;
    this.#find(
      'not signed',
      this.#unsigned,
      this.#unsigned.seq,
      `nothing from record ${this.#unsigned.seq} on was signed in time`,
    );
  }

  end(): Verification {
    const first = this.#first;
    if (first === null) this.#find('missing', { file: this.#directory, line: 1 }, 1, 'there is no record');
    if (first !== null && (first.seq > 1 || first.isChained) && !this.#removed.has(first.seq - 1)) {
      const before = first.seq === 1 ? 'what it follows is' : `records 1 to ${first.seq - 1} are`;
      this.#find('missing', first, 1, `${before} missing, and no record says that they were removed`);
    }
    const last = this.#last;
    if (last !== null && !this.#endsSigned && !this.#isWritten && this.#unsigned?.isTold !== true) {
      const from = this.#unsigned ?? last;
      const to = from.file === last.file ? { lastLine: last.line } : {};
      this.#find('not signed', { ...from, ...to }, from.seq, `record ${from.seq} and those behind it are not signed`);
    }
    for (const [seq] of [...this.#kept].sort(([a], [b]) => a - b)) {
      const where = last ?? { file: this.#directory, line: 1 };
      this.#find(
        'cut',
        where,
        seq,
        last === null || seq > last.seq
          ? `the journal ends at record ${last?.seq ?? 0}, but checkpoint ${seq} was kept elsewhere: its end was cut off`
          : `checkpoint ${seq} was kept elsewhere and is not here`,
      );
    }
    return {
      node: this.#node,
      segments: this.#segments,
      records: this.#records,
      first: first?.seq ?? null,
      last: last?.seq ?? null,
      checkpoints: this.#checkpoints,
      signedTo: this.#signedTo,
      kept: this.#seen,
      findings: this.#findings,
    };
  }

  #find(kind: Finding['kind'], { file, line, ...more }: Place, seq: number | null, message: string): void {
    if (this.#findings.length >= MOST_FINDINGS) return;
    const { lastLine = line } = more as { lastLine?: number };
    this.#findings.push({ kind, file, line, lastLine, seq, message });
  }
}

interface KeptCheckpoint {
  readonly line: string;
  readonly node: string;
  readonly seq: number;
  readonly isGood: boolean;
}

/** `null` if the line is none. */
function keptCheckpoint(line: string, check: SignatureCheck): KeptCheckpoint | null {
  const match = CHECKPOINT.exec(line);
  if (match === null) return null;
  const [, signed, seq, node, , key, signature] = match;
  const isGood = check.isSignedBy(key!, Buffer.from(signed!, 'utf8'), signature!) === true;
  return { line, node: node!, seq: Number(seq), isGood };
}

import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { CHAIN_START, groupBegin, hashOfGroup } from './chain.ts';

const SEGMENT_NAME = /^journal-\d{8}T\d{9}Z-(\d+)\.jsonl$/;
const STEP_BYTES = 64 * 1024;

/** Makes the file of a new segment, for its owner only. @returns its name and descriptor */
export function createSegment(directory: string, number: number): { readonly name: string; readonly fd: number } {
  const stamp = new Date().toISOString().replace(/[-:.]/g, '');
  const name = `journal-${stamp}-${number}.jsonl`;
  return { name, fd: openSync(join(directory, name), 'ax', 0o600) };
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

/** The name of the node whose journal it is; that of one that has none is empty. */
export function nodeOf(directory: string): string {
  try {
    return readFileSync(join(directory, 'journal.node'), 'utf8').trim();
  } catch {
    return '';
  }
}

/** Where a journal goes on. */
export interface Tail {
  /** Number of the last record; 0 if there is none. */
  readonly seq: number;
  /** Hash of the last group. */
  readonly head: string;
}

/** Cuts a torn last line off a segment. @returns where it ends, and how many bytes were cut */
export function mendTail(path: string): Tail & { readonly cut: number } {
  const fd = openSync(path, 'r+');
  try {
    const { size } = fstatSync(fd);
    let bytes = Buffer.alloc(0);
    let from = size;
    const readBack = (): boolean => {
      if (from === 0) return false;
      const part = Buffer.alloc(Math.min(from, Math.max(STEP_BYTES, bytes.length)));
      from -= part.length;
      readSync(fd, part, 0, part.length, from);
      bytes = Buffer.concat([part, bytes]);
      return true;
    };
    let end = -1;
    while (end === -1 && readBack()) end = bytes.lastIndexOf(0x0a);
    const cut = size - (from + end + 1);
    if (cut > 0) ftruncateSync(fd, size - cut);
    if (end === -1) return { seq: 0, head: CHAIN_START, cut };
    bytes = bytes.subarray(0, end + 1);
    // Backwards over whole lines until one begins a group.
    let last: number | null = null;
    for (let begin = bytes.length; ; ) {
      let before = lineEndBefore(bytes, begin);
      while (before === -1 && from > 0) {
        const there = from;
        readBack();
        begin += there - from;
        before = lineEndBefore(bytes, begin);
      }
      begin = before + 1;
      last ??= seqOf(bytes.toString('utf8', begin, bytes.length - 1), path);
      if (groupBegin(bytes, begin) !== null) return { seq: last, head: hashOfGroup(bytes.subarray(begin)), cut };
      // Written before there was a chain.
      if (begin === 0 && from === 0) return { seq: last, head: CHAIN_START, cut };
    }
  } finally {
    closeSync(fd);
  }
}

/** The end of the line before the one that ends at `end`; -1 if there is none. */
function lineEndBefore(bytes: Buffer, end: number): number {
  return end < 2 ? -1 : bytes.lastIndexOf(0x0a, end - 2);
}

function seqOf(line: string, path: string): number {
  const { seq } = JSON.parse(line) as { seq: number };
  if (!Number.isSafeInteger(seq)) throw new Error(`${path}: the last record has no sequence number`);
  return seq;
}

import { hash } from 'node:crypto';

/**
 * What chains records: the lines of one write are a *group*, its first line has `prev`, and that is the hash of the group
 * before. Whoever can write the files can make a chain anew; only a signed checkpoint, which hangs on the chain, says that
 * it is the one that Sluice wrote.
 */

/** `prev` of the first line of a journal. */
export const CHAIN_START = 'A'.repeat(43);

/** SHA-256 of a group, line ends included, in base64url. */
export function hashOfGroup(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64url');
}

const GROUP_BEGIN = /^\{"v":1,"seq":\d+,"prev":"([A-Za-z0-9_-]{43})"/;
/** Longer than what the expression can match. */
const BEGIN_BYTES = 100;

/** The hash of the group before, if `bytes` begin with the first line of one; `null` otherwise. */
export function groupBegin(bytes: Buffer, at = 0): string | null {
  return GROUP_BEGIN.exec(bytes.toString('latin1', at, at + BEGIN_BYTES))?.[1] ?? null;
}

import { hash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

/** Rounds between two turns of the event loop: about half a millisecond. */
const ROUNDS_A_TURN = 400;

/**
 * The digest of SHA-crypt with SHA-256 (Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512"), 32 bytes. Lets the
 * event loop turn in between: thousands of rounds would stop every session otherwise.
 *
 * @param salt here up to 20 bytes, as MySQL has them, where crypt(3) takes 16
 */
export async function sha256Crypt(password: Buffer, salt: Buffer, rounds: number): Promise<Buffer> {
  const alternate = sha256(password, salt, password);
  const parts = [password, salt, fill(alternate, password.length)];
  for (let bits = password.length; bits > 0; bits >>>= 1) parts.push((bits & 1) === 1 ? alternate : password);
  let digest = sha256(...parts);

  const p = fill(sha256(...new Array<Buffer>(password.length).fill(password)), password.length);
  const s = fill(sha256(...new Array<Buffer>(16 + digest[0]!).fill(salt)), salt.length);
  for (let round = 0; round < rounds; round += 1) {
    const odd = round % 2 === 1;
    const input = [odd ? p : digest];
    if (round % 3 !== 0) input.push(s);
    if (round % 7 !== 0) input.push(p);
    input.push(odd ? digest : p);
    digest = sha256(...input);
    if (round % ROUNDS_A_TURN === ROUNDS_A_TURN - 1) await turn();
  }
  return digest;
}

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** SHA-crypt's own base64, with the bytes in its own order: 43 characters. */
export function encodeCryptDigest(digest: Buffer): string {
  let text = '';
  for (const [first, second, third, characters] of GROUPS) {
    let value = (at(digest, first) << 16) | (at(digest, second) << 8) | at(digest, third);
    for (let i = 0; i < characters; i += 1, value >>>= 6) text += ALPHABET[value & 63];
  }
  return text;
}

/** Three bytes give four characters; the last two bytes three. */
const GROUPS = [
  ...Array.from({ length: 10 }, (_, i) => {
    const order = [i, (i + 10) % 30, (i + 20) % 30];
    // Each group starts one further: 0 10 20, 21 1 11, 12 22 2, 3 13 23, ...
    return [...rotated(order, (3 - (i % 3)) % 3), 4] as const;
  }),
  [-1, 31, 30, 3],
] as const;

function rotated(order: readonly number[], by: number): [number, number, number] {
  const at = (i: number) => order[(i + by) % 3]!;
  return [at(0), at(1), at(2)];
}

function at(digest: Buffer, index: number): number {
  return index < 0 ? 0 : digest[index]!;
}

function sha256(...parts: readonly Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

/** `length` bytes of a block that is repeated. */
function fill(block: Buffer, length: number): Buffer {
  return Buffer.alloc(length, block);
}

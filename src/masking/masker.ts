import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import type { FF1 } from '@noble/ciphers/ff1.js';

/**
 * Maskers: what a value becomes. They work on texts of values, whatever the wire format, and know of a type only what
 * values of it look like. Whoever calls them brings the result back into the type and the format.
 */

/** How a value is replaced; secrets are resolved. */
export type Masker =
  | { readonly kind: 'null' }
  /** Text becomes `text`; of other types a fixed value. */
  | { readonly kind: 'redact'; readonly text: string }
  /** Keeps that many characters at both ends, if at least half of all are hidden. */
  | { readonly kind: 'partial'; readonly first: number; readonly last: number }
  | { readonly kind: 'email' }
  /** `key` is `null` where it could not be had: the value becomes NULL then. */
  | { readonly kind: 'hash'; readonly key: Buffer | null }
  | { readonly kind: 'fpe'; readonly key: Buffer | null }
  | { readonly kind: 'year' }
  | { readonly kind: 'month' }
  | { readonly kind: 'bucket'; readonly step: string }
  | { readonly kind: 'constant'; readonly text: string };

/** What texts of a type look like. `other`: nothing that is known here is a value of it. */
export type ValueKind =
  | 'text'
  | 'integer'
  | 'decimal'
  | 'boolean'
  | 'date'
  | 'timestamp'
  | 'time'
  | 'uuid'
  | 'json'
  | 'bytes'
  | 'other';

export const REDACTED = '[redacted]';

/** What stands for characters that are hidden, however many. */
const HIDDEN = '****';

/** The masker for values that are computed from masked ones: always the same, whatever the value. */
export function fullMask(masker: Masker): Masker {
  const isFixed = masker.kind === 'null' || masker.kind === 'redact' || masker.kind === 'constant';
  return isFixed ? masker : { kind: 'redact', text: REDACTED };
}

/** What every value of this kind becomes, `null` for NULL; `undefined` if it depends on the value. */
export function fixedText(masker: Masker, kind: ValueKind): string | null | undefined {
  switch (masker.kind) {
    case 'null':
      return null;
    case 'redact':
      return redacted(masker.text, kind);
    case 'constant':
      return constant(masker.text, kind);
    case 'hash':
    case 'fpe':
      return masker.key === null || kind === 'other' ? null : undefined;
    default:
      return kind === 'other' ? null : undefined;
  }
}

/** What a value becomes; `null` for NULL, which is also what it becomes where the masker does not fit. Never throws. */
export function maskedText(masker: Masker, kind: ValueKind, value: string): string | null {
  const fixed = fixedText(masker, kind);
  if (fixed !== undefined) return fixed;
  try {
    return computed(masker, kind, value);
  } catch {
    return null;
  }
}

function computed(masker: Masker, kind: ValueKind, value: string): string | null {
  switch (masker.kind) {
    case 'partial':
      return kind === 'text' ? partial(value, masker.first, masker.last) : null;
    case 'email':
      return kind === 'text' ? withoutName(value) : null;
    case 'hash':
      return pseudonym(masker.key!, kind, value);
    case 'fpe':
      return encrypted(masker.key!, kind, value);
    case 'year':
    case 'month':
      return cutDate(value, kind, masker.kind);
    case 'bucket':
      return kind === 'integer' || kind === 'decimal' || kind === 'text' ? roundedDown(value, masker.step) : null;
    default:
      return null;
  }
}

function redacted(text: string, kind: ValueKind): string | null {
  switch (kind) {
    case 'text':
      return text;
    case 'integer':
    case 'decimal':
      return '0';
    case 'boolean':
      return 'f';
    case 'date':
      return '1970-01-01';
    case 'timestamp':
      return '1970-01-01 00:00:00';
    case 'time':
      return '00:00:00';
    case 'uuid':
      return '00000000-0000-0000-0000-000000000000';
    case 'json':
      return JSON.stringify(text);
    case 'bytes':
      return '\\x';
    case 'other':
      return null;
  }
}

function constant(text: string, kind: ValueKind): string | null {
  switch (kind) {
    case 'text':
      return text;
    case 'integer':
      return /^-?\d+$/.test(text) ? text : null;
    case 'decimal':
      return /^-?\d+(\.\d+)?$/.test(text) ? text : null;
    case 'boolean':
      return text === 'true' ? 't' : text === 'false' ? 'f' : null;
    case 'json':
      return isJsonScalar(text) ? text : JSON.stringify(text);
    case 'other':
      return null;
    default:
      // Whether it is a value of the type is found out when it is written in the format of the result.
      return text;
  }
}

function isJsonScalar(text: string): boolean {
  return /^(-?(0|[1-9]\d*)(\.\d+)?|true|false)$/.test(text);
}

function partial(value: string, first: number, last: number): string {
  const characters = Array.from(value);
  if (characters.length < 2 * (first + last)) return HIDDEN;
  return characters.slice(0, first).join('') + HIDDEN + (last === 0 ? '' : characters.slice(-last).join(''));
}

function withoutName(value: string): string {
  const domain = /@([A-Za-z0-9.-]{1,253})$/.exec(value)?.[1];
  return domain === undefined ? HIDDEN : `${HIDDEN}@${domain}`;
}

/** The same for the same value, in any column and table under the same key: 128 bits of HMAC-SHA-256 where the type has room. */
function pseudonym(key: Buffer, kind: ValueKind, value: string): string | null {
  const digest = createHmac('sha256', key).update(value, 'utf8').digest();
  switch (kind) {
    case 'text':
      return `${PSEUDONYM}${digest.toString('base64url', 0, 16)}`;
    case 'integer':
      // Within the smallest integer type: a wider one has room for more, see integerPseudonym.
      return String(digest.readUInt16BE(0) >> 1);
    case 'decimal':
      return String(digest.readUIntBE(0, 6));
    case 'uuid': {
      // Version 8, "custom" (RFC 9562).
      digest[6] = (digest[6]! & 0x0f) | 0x80;
      digest[8] = (digest[8]! & 0x3f) | 0x80;
      return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    }
    case 'json':
      return JSON.stringify(`${PSEUDONYM}${digest.toString('base64url', 0, 16)}`);
    case 'bytes':
      return `\\x${digest.toString('hex', 0, 16)}`;
    default:
      return null;
  }
}

/** Begins every pseudonym that is a text. */
const PSEUDONYM = 'h:';

/** A pseudonym within the range of an integer type, positive. */
export function integerPseudonym(key: Buffer, value: string, largest: bigint): string {
  const digest = createHmac('sha256', key).update(value, 'utf8').digest();
  return String(digest.readBigUInt64BE(0) % (largest + 1n));
}

/** FF1 asks for a domain of at least a million values (NIST SP 800-38G Rev. 1). */
const LEAST = { 10: 6, 36: 4 } as const;
const MOST_ENCRYPTED = 64;

function encrypted(key: Buffer, kind: ValueKind, value: string): string | null {
  if (kind === 'integer') return encryptedInteger(key, value);
  if (kind !== 'text') return null;
  const positions: number[] = [];
  const digits: number[] = [];
  let letters = false;
  let lower = false;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    // What is neither letter nor digit keeps its place; what is no ASCII could say too much.
    if (code > 126) return null;
    const digit = DIGIT_OF[code]!;
    if (digit < 0) continue;
    if (digit > 9) letters = true;
    if (code >= 97) lower = true;
    positions.push(i);
    digits.push(digit);
  }
  const radix = letters ? 36 : 10;
  if (digits.length < LEAST[radix] || digits.length > MOST_ENCRYPTED) return null;
  const out = [...value];
  for (const [index, digit] of cipher(key, radix).encrypt(digits).entries()) {
    const character = digit.toString(36);
    out[positions[index]!] = lower ? character : character.toUpperCase();
  }
  return out.join('');
}

/** Of as many digits, with its sign. */
function encryptedInteger(key: Buffer, value: string): string | null {
  const sign = value.startsWith('-') ? '-' : '';
  let digits = [...value.slice(sign.length)].map(Number);
  if (digits.length < LEAST[10]) return null;
  // Walks the cycle of the permutation until there is no leading zero and it fits wherever the value did.
  for (let step = 0; step < 1000; step++) {
    digits = cipher(key, 10).encrypt(digits);
    const text = digits.join('');
    if (digits[0] !== 0 && fitsLike(value.slice(sign.length), text)) return sign + text;
  }
  return null;
}

const LARGEST = ['2147483647', '9223372036854775807'];

function fitsLike(value: string, other: string): boolean {
  return LARGEST.every((largest) => value.length !== largest.length || value > largest || other <= largest);
}

const DIGIT_OF = new Int8Array(128).fill(-1);
for (let i = 0; i < 10; i++) DIGIT_OF[48 + i] = i;
for (let i = 0; i < 26; i++) {
  DIGIT_OF[65 + i] = 10 + i;
  DIGIT_OF[97 + i] = 10 + i;
}

const require = createRequire(import.meta.url);
const ciphers = new WeakMap<Buffer, { 10: ReturnType<typeof FF1>; 36: ReturnType<typeof FF1> }>();

function cipher(key: Buffer, radix: 10 | 36): ReturnType<typeof FF1> {
  let both = ciphers.get(key);
  if (both === undefined) {
    // Not the bytes that key the hash: what one shows says nothing of the other.
    const aes = new Uint8Array(createHmac('sha256', key).update('format-preserving encryption').digest());
    // The ciphers take 7 MB: only masks that keep the format of values pay for them.
    const ff1 = require('@noble/ciphers/ff1.js') as typeof import('@noble/ciphers/ff1.js');
    both = { 10: ff1.FF1(10, aes), 36: ff1.FF1(36, aes) };
    ciphers.set(key, both);
  }
  return both[radix];
}

const DATE = /^(\d{4,7})-(\d\d)-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?([+-]\d\d(?::\d\d){0,2})?)?( BC)?$/;

function cutDate(value: string, kind: ValueKind, to: 'year' | 'month'): string | null {
  if (kind !== 'date' && kind !== 'timestamp' && kind !== 'text') return null;
  const [whole, year, month, zone = '', era = ''] = DATE.exec(value) ?? [];
  if (whole === undefined) return null;
  const day = `${year}-${to === 'year' ? '01' : month}-01`;
  return `${day}${whole.includes(':') ? ` 00:00:00${zone}` : ''}${era}`;
}

const SMALL_INTEGER = /^-?\d{1,15}$/;

/** To a multiple of `step`, towards minus infinity; exact. */
function roundedDown(value: string, step: string): string | null {
  // Nearly all are whole numbers that a double holds exactly.
  if (SMALL_INTEGER.test(value) && SMALL_INTEGER.test(step)) {
    const by = Number(step);
    if (by <= 0) return null;
    const rest = Number(value) % by;
    return String(Number(value) - rest - (rest < 0 ? by : 0));
  }
  const [a, b] = [scaled(value), scaled(step)];
  if (a === null || b === null || b.digits <= 0n) return null;
  const scale = Math.max(a.scale, b.scale);
  const [v, s] = [a.digits * 10n ** BigInt(scale - a.scale), b.digits * 10n ** BigInt(scale - b.scale)];
  const rest = v % s;
  const down = v - rest - (rest < 0n ? s : 0n);
  // In the step's own number of decimal places.
  const text = String(down / 10n ** BigInt(scale - b.scale));
  if (b.scale === 0) return text;
  const [sign, digits] = text.startsWith('-') ? ['-', text.slice(1)] : ['', text];
  const padded = digits.padStart(b.scale + 1, '0');
  return `${sign}${padded.slice(0, -b.scale)}.${padded.slice(-b.scale)}`;
}

function scaled(text: string): { digits: bigint; scale: number } | null {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d{1,400})(?:\.(\d{1,400}))?(?:e([+-]?\d{1,3}))?$/i.exec(text) ?? [];
  if (whole === '') return null;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const scale = fraction.length - Number(exponent);
  return scale < 0 ? { digits: digits * 10n ** BigInt(-scale), scale: 0 } : { digits, scale };
}

/** True if the text is what this masker makes of values, and no value itself: it must not be written back. */
export function isMasked(masker: Masker, text: string): boolean {
  switch (masker.kind) {
    case 'redact':
    case 'constant':
      return text === masker.text;
    case 'partial':
      return Array.from(text).length <= masker.first + masker.last + HIDDEN.length && text.includes(HIDDEN);
    case 'email':
      return text === HIDDEN || text.startsWith(`${HIDDEN}@`);
    case 'hash':
      return /^h:[A-Za-z0-9_-]{22}$/.test(text);
    default:
      return false;
  }
}

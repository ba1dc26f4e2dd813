import { RE2JS } from 're2js';

/** What detectors can find in a value. */
export const DETECTIONS = [
  'payment-card',
  'iban',
  'us-ssn',
  'email',
  'phone',
  'private-key',
  'jwt',
  'aws-access-key',
] as const;
export type Detection = (typeof DETECTIONS)[number];

/** A pattern that an administrator wrote, with the semantics of RE2: matching takes time linear in the value. Throws a SyntaxError. */
export function compilePattern(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    throw new SyntaxError((error as Error).message);
  }
}

/** Bits of {@link CLASS}: bytes at which something can begin, and the detections that look closer there. */
const DIGIT = 1;
const AT = 2;
const DASH = 4;
const SMALL_E = 8;
const CAPITAL_A = 16;
const PLUS = 32;
const PARENTHESIS = 64;

const CLASS = new Uint8Array(256);
for (let i = 48; i <= 57; i++) CLASS[i] = DIGIT;
CLASS[0x40] = AT;
CLASS[0x2d] = DASH;
CLASS[0x65] = SMALL_E;
CLASS[0x41] = CAPITAL_A;
CLASS[0x2b] = PLUS;
CLASS[0x28] = PARENTHESIS;

const LOOKS_AT: Readonly<Record<Detection, number>> = {
  'payment-card': DIGIT,
  iban: DIGIT,
  'us-ssn': DIGIT,
  email: AT,
  phone: DIGIT | PLUS | PARENTHESIS,
  'private-key': DASH,
  jwt: SMALL_E,
  'aws-access-key': CAPITAL_A,
};

/**
 * Looks for secrets and personal numbers in the bytes of a value (UTF-8 or any encoding that keeps ASCII). One pass over
 * the bytes; where something can begin, a bounded look at what follows, and a check of what it would be: check digits,
 * structure. Patterns of administrators take a pass each.
 */
export class Detector {
  readonly #finds: ReadonlySet<Detection>;
  readonly #patterns: readonly RE2JS[];
  readonly #looksAt: number;

  constructor(find: readonly Detection[], patterns: readonly RE2JS[]) {
    this.#finds = new Set(find);
    this.#patterns = patterns;
    this.#looksAt = find.reduce((bits, one) => bits | LOOKS_AT[one], 0);
  }

  /** True if digits alone can be a find: then values of number types are looked at, too. */
  get looksAtNumbers(): boolean {
    return this.#finds.has('payment-card') || this.#patterns.length > 0;
  }

  finds(bytes: Buffer, from: number, to: number): boolean {
    const looksAt = this.#looksAt;
    for (let at = from; at < to; at++) {
      const kind = CLASS[bytes[at]!]! & looksAt;
      if (kind === 0) continue;
      if (kind === DIGIT) {
        if (at > from && isDigit(bytes[at - 1]!)) continue;
        if (this.#numberAt(bytes, from, at, to)) return true;
      } else if (this.#otherAt(kind, bytes, from, at, to)) return true;
    }
    if (this.#patterns.length === 0) return false;
    const text = bytes.toString('utf8', from, to);
    return this.#patterns.some((pattern) => pattern.matcher(text).find());
  }

  /** At the first of some digits. */
  #numberAt(bytes: Buffer, from: number, at: number, to: number): boolean {
    const finds = this.#finds;
    const before = at > from ? bytes[at - 1]! : 0;
    if (isLetter(before)) return finds.has('iban') && isIban(bytes, from, at - 2, to);
    return (
      (finds.has('payment-card') && isPaymentCard(bytes, at, to)) ||
      (finds.has('us-ssn') && before !== 0x2d && isSsn(bytes, at, to)) ||
      (finds.has('phone') && before !== 0x2d && isNorthAmericanPhone(bytes, at, to))
    );
  }

  #otherAt(kind: number, bytes: Buffer, from: number, at: number, to: number): boolean {
    const beginsWord = at === from || !isWord(bytes[at - 1]!);
    switch (kind) {
      case AT:
        return isEmail(bytes, from, at, to);
      case DASH:
        return bytes[at + 1] === 0x2d && (at === from || bytes[at - 1] !== 0x2d) && isPrivateKey(bytes, at, to);
      case SMALL_E:
        // Only where a run of its alphabet begins: so no byte is looked at for more than one of them.
        return bytes[at + 1] === 0x79 && (at === from || !isBase64Url(bytes[at - 1]!)) && isJwt(bytes, at, to);
      case CAPITAL_A:
        return beginsWord && isAwsKey(bytes, at, to);
      case PLUS:
        return beginsWord && isInternationalPhone(bytes, at, to);
      default:
        return isNorthAmericanPhone(bytes, at, to);
    }
  }
}

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 122;
}

function isWord(byte: number): boolean {
  return isDigit(byte) || isLetter(byte) || byte === 0x5f;
}

/** True if a word does not go on here. */
function endsAt(bytes: Buffer, at: number, to: number): boolean {
  return at >= to || !isWord(bytes[at]!);
}

const MOST_CARD_DIGITS = 19;
const card = new Uint8Array(MOST_CARD_DIGITS);

/** A number of a card network, in groups or not, with its check digit (ISO/IEC 7812). */
function isPaymentCard(bytes: Buffer, start: number, to: number): boolean {
  let count = 0;
  let at = start;
  for (;;) {
    while (at < to && isDigit(bytes[at]!)) {
      if (count === MOST_CARD_DIGITS) return false;
      card[count++] = bytes[at++]! - 48;
    }
    if (count >= 13 && !(at < to && isLetter(bytes[at]!)) && isNetworkNumber(count) && hasLuhnDigit(count)) return true;
    // Groups are separated by one space or dash.
    const separated = at + 1 < to && (bytes[at] === 0x20 || bytes[at] === 0x2d) && isDigit(bytes[at + 1]!);
    if (!separated) return false;
    at++;
  }
}

function isNetworkNumber(count: number): boolean {
  const two = card[0]! * 10 + card[1]!;
  const four = two * 100 + card[2]! * 10 + card[3]!;
  if (card[0] === 4) return count === 13 || count === 16 || count === 19;
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return count === 16;
  if (two === 34 || two === 37) return count === 15;
  if (two === 30 || two === 36 || two === 38 || two === 39) return count >= 14;
  if (two === 60 || two === 62 || two === 64 || two === 65) return count >= 16;
  return two === 35 && count >= 16;
}

function hasLuhnDigit(count: number): boolean {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const digit = card[count - 1 - i]!;
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** `123-45-6789` in the ranges that are given out. */
function isSsn(bytes: Buffer, at: number, to: number): boolean {
  if (at + 11 > to || bytes[at + 3] !== 0x2d || bytes[at + 6] !== 0x2d) return false;
  if (at + 11 < to && (isWord(bytes[at + 11]!) || bytes[at + 11] === 0x2d)) return false;
  for (const i of [0, 1, 2, 4, 5, 7, 8, 9, 10]) if (!isDigit(bytes[at + i]!)) return false;
  const area = (bytes[at]! - 48) * 100 + (bytes[at + 1]! - 48) * 10 + bytes[at + 2]! - 48;
  const hasGroup = bytes[at + 4] !== 48 || bytes[at + 5] !== 48;
  const hasSerial = [7, 8, 9, 10].some((i) => bytes[at + i] !== 48);
  return area !== 0 && area !== 666 && area < 900 && hasGroup && hasSerial;
}

/** Lengths by country, from the IBAN registry (SWIFT). */
const IBAN_LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 ' +
    'FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 ' +
    'LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 ' +
    'SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** Country, two check digits, and as many letters and digits as the country has; in groups or not (ISO 13616). */
function isIban(bytes: Buffer, from: number, start: number, to: number): boolean {
  if (start < from || (start > from && isWord(bytes[start - 1]!)) || !isLetter(bytes[start]!)) return false;
  const length = IBAN_LENGTHS.get(bytes.toString('latin1', start, start + 2).toUpperCase());
  if (length === undefined) return false;
  let count = 0;
  let at = start;
  let head = '';
  let rest = 0;
  while (count < length && at < to) {
    const byte = bytes[at++]!;
    if (byte === 0x20 && count > 0 && bytes[at - 2] !== 0x20) continue;
    if (!isDigit(byte) && !isLetter(byte)) return false;
    const value = isDigit(byte) ? byte - 48 : (byte | 0x20) - 87;
    if (count < 4) head += String(value);
    else rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
    count++;
  }
  if (count < length || !endsAt(bytes, at, to)) return false;
  for (const digit of head) rest = (rest * 10 + Number(digit)) % 97;
  return rest === 1;
}

const MOST_LABEL = 63;

function isLocalPart(byte: number): boolean {
  return isWord(byte) || byte === 0x2e || byte === 0x2b || byte === 0x2d || byte === 0x25 || byte === 0x27;
}

/** Something before the `@`, and behind it a host with a top-level domain of letters. */
function isEmail(bytes: Buffer, from: number, at: number, to: number): boolean {
  if (at === from || !isLocalPart(bytes[at - 1]!)) return false;
  let position = at + 1;
  let labels = 0;
  for (;;) {
    const label = position;
    let letters = true;
    while (position < to && position - label <= MOST_LABEL && (isWord(bytes[position]!) || bytes[position] === 0x2d)) {
      if (!isLetter(bytes[position]!)) letters = false;
      position++;
    }
    if (position === label) return false;
    labels++;
    if (labels > 1 && letters && position - label >= 2) return true;
    if (bytes[position] !== 0x2e || position >= to || labels > 8) return false;
    position++;
  }
}

function isInternationalPhone(bytes: Buffer, at: number, to: number): boolean {
  let digits = 0;
  let separators = 0;
  for (let i = at + 1; i < to && digits <= 15; i++) {
    const byte = bytes[i]!;
    if (isDigit(byte)) {
      digits++;
      separators = 0;
    } else if (byte === 0x20 || byte === 0x2d || byte === 0x2e || byte === 0x28 || byte === 0x29) {
      if (digits === 0 || ++separators > 2) break;
    } else if (isWord(byte)) return false;
    else break;
  }
  return digits >= 8 && digits <= 15 && bytes[at + 1] !== 48;
}

/** `(212) 555-0123`, `212-555-0123`, `212.555.0123`. */
function isNorthAmericanPhone(bytes: Buffer, at: number, to: number): boolean {
  // Most digits are of something else: no text is made of them.
  if (bytes[at] === 0x28 ? bytes[at + 4] !== 0x29 : bytes[at + 3] !== 0x2d && bytes[at + 3] !== 0x2e) return false;
  const text = bytes.toString('latin1', at, Math.min(to, at + 15));
  return /^(\([2-9]\d\d\) ?|[2-9]\d\d[-.])[2-9]\d\d[-.]\d{4}(?![\w-])/.test(text);
}

/** The first line of a key in PEM form (RFC 7468), OpenSSH's and PGP's included. */
function isPrivateKey(bytes: Buffer, at: number, to: number): boolean {
  const text = bytes.toString('latin1', at, Math.min(to, at + 64));
  return /^-----BEGIN ([A-Z0-9]+ ){0,3}PRIVATE KEY( BLOCK)?-----/.test(text);
}

const MOST_JWT_HEADER = 2048;

function isBase64Url(byte: number): boolean {
  return isWord(byte) || byte === 0x2d;
}

/** Three parts, the first of them a JOSE header (RFC 7519). */
function isJwt(bytes: Buffer, start: number, to: number): boolean {
  let at = start;
  while (at < to && isBase64Url(bytes[at]!)) at++;
  if (bytes[at] !== 0x2e || at >= to || at - start > MOST_JWT_HEADER) return false;
  const header = Buffer.from(bytes.toString('latin1', start, at), 'base64url').toString('utf8');
  const payload = ++at;
  while (at < to && isBase64Url(bytes[at]!)) at++;
  if (at === payload || at >= to || bytes[at] !== 0x2e) return false;
  try {
    return typeof (JSON.parse(header) as { alg?: unknown }).alg === 'string';
  } catch {
    return false;
  }
}

/** An access key identifier: `AKIA` or `ASIA` and 16 letters and digits. */
function isAwsKey(bytes: Buffer, at: number, to: number): boolean {
  if (at + 20 > to || !endsAt(bytes, at + 20, to)) return false;
  return /^A(KIA|SIA)[A-Z2-7]{16}$/.test(bytes.toString('latin1', at, at + 20));
}

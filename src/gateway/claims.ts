import { traceparentOf } from '../recording/traceparent.ts';

/**
 * What a client says about its statements: who asks for them, on whose behalf, in which trace. Anyone can write anything
 * there: it is claimed, not verified, and nothing that is claimed makes an identity.
 */

/** Most claims of a kind that are kept; those behind are not. */
const MOST_CLAIMS = 50;
/** Most comments that are read before a text, and behind it. */
const MOST_COMMENTS = 8;
/** Longest comment that is read for claims, and longest name, in UTF-16 code units. */
const LONGEST_COMMENT = 16 * 1024;
const LONGEST_NAME = 100;
/** Longest value; of a longer one the beginning is kept. W3C Trace Context lets a tracestate have 512 characters. */
const LONGEST_VALUE = 1_000;

/** Names and values that a client claims. */
export type Claims = ReadonlyMap<string, string>;

/** Adds a claim, bounded. A name that is too long or empty, or one too many, is left out. */
export function addClaim(claims: Map<string, string>, name: string, value: string): void {
  if (name === '' || name.length > LONGEST_NAME) return;
  if (claims.size >= MOST_CLAIMS && !claims.has(name)) return;
  claims.set(name, value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}...` : value);
}

/** Claims of which the last that says something is believed to be said. */
export function claimsTogether(...all: readonly (Claims | null)[]): Claims | null {
  const there = all.filter((one) => one !== null && one.size > 0);
  if (there.length <= 1) return there[0] ?? null;
  const together = new Map<string, string>();
  for (const claims of there) for (const [name, value] of claims!) addClaim(together, name, value);
  return together;
}

/**
 * Claims as they may be kept: `?` in the place of each value in which something is found that is not for records. A traceparent
 * stays: its numbers are drawn by lot, and some of them look like one of a card.
 *
 * @returns the same object where nothing is found
 */
export function keptOf(claims: Claims, finds: (value: string) => boolean): Claims {
  const isHidden = (value: string) => finds(value) && traceparentOf(value) === null;
  if (![...claims.values()].some(isHidden)) return claims;
  return new Map([...claims].map(([name, value]) => [name, isHidden(value) ? '?' : value]));
}

/**
 * What a client says about a statement in comments before it or behind it, in the form of sqlcommenter
 * (https://google.github.io/sqlcommenter/spec/): `SELECT 1 /*action='read',traceparent='00-...'*\/`. Keys and values are
 * URL-encoded. Where two comments say different things, the later one counts.
 *
 * @returns `null` if there is no such comment
 */
export function claimsInComment(text: string): Claims | null {
  // Nearly every text: nothing is made for it.
  if (!text.includes('*/')) return null;
  const { before, behind } = commentsOf(text);
  const claims = new Map<string, string>();
  for (const pairs of [...before, ...behind.reverse()]) {
    for (const [name, value] of pairs) addClaim(claims, decoded(name), decoded(value.replaceAll("\\'", "'")));
  }
  return claims.size === 0 ? null : claims;
}

/** The text without comments of that kind, and without white space and semicolons at its ends: what it says is the same. */
export function withoutClaims(text: string): string {
  const { start, end } = commentsOf(text);
  return text.slice(firstOf(text, start), lastOf(text, end) + 1);
}

type Pairs = readonly (readonly [string, string])[];

interface Comments {
  readonly before: Pairs[];
  /** From the last one. */
  readonly behind: Pairs[];
  /** Where the rest of the text is. */
  readonly start: number;
  readonly end: number;
}

function commentsOf(text: string): Comments {
  let start = 0;
  let end = text.length;
  const before: Pairs[] = [];
  const behind: Pairs[] = [];
  while (behind.length < MOST_COMMENTS) {
    const last = lastOf(text, end);
    const begin = last < 3 || !text.startsWith('*/', last - 1) ? -1 : text.lastIndexOf('/*', last - 3);
    const pairs = begin < 0 ? null : pairsIn(text, begin + 2, last - 1);
    if (pairs === null) break;
    behind.push(pairs);
    end = begin;
  }
  while (before.length < MOST_COMMENTS) {
    const begin = firstOf(text, start);
    const close = text.startsWith('/*', begin) ? text.indexOf('*/', begin + 2) : -1;
    const pairs = close < 0 || close + 2 > end ? null : pairsIn(text, begin + 2, close);
    if (pairs === null) break;
    before.push(pairs);
    start = close + 2;
  }
  return { before, behind, start, end };
}

/** Where the first character from `start` on is that is no white space. */
function firstOf(text: string, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Where the last character before `end` is that is no white space and no semicolon; -1 for none. */
function lastOf(text: string, end: number): number {
  let at = end - 1;
  for (let code = text.charCodeAt(at); isSpace(code) || code === SEMICOLON; code = text.charCodeAt(at)) at--;
  return at;
}

const SEMICOLON = 0x3b;

/** What SQL takes for white space: blank, tab, line ends, vertical tab, form feed. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/**
 * Keys are letters, digits and what URL encoding has: so `/*! ... *\/`, which MySQL executes, and `/*+ ... *\/`, which tells
 * planners what to do, are no claims. White space other than a blank is encoded, and neither mark of a comment is in a value.
 * OpenTelemetry for Python writes numbers without quotes; where nothing has quotes it is a remark.
 */
const PAIR = / *([A-Za-z0-9_.%~-]+)=(?:'((?:[^'\\\n\r]|\\.)*)'|([A-Za-z0-9_.%~+-]+)) *(?:,|$)/y;

/** The pairs of a comment; `null` if it is not of that form throughout. */
function pairsIn(text: string, from: number, to: number): Pairs | null {
  if (to <= from || to - from > LONGEST_COMMENT) return null;
  const comment = text.slice(from, to);
  if (comment.includes('/*') || comment.includes('*/')) return null;
  const pairs: [string, string][] = [];
  let hasQuotes = false;
  PAIR.lastIndex = 0;
  while (PAIR.lastIndex < comment.length) {
    const match = PAIR.exec(comment);
    if (match === null) return null;
    hasQuotes ||= match[2] !== undefined;
    pairs.push([match[1]!, match[2] ?? match[3]!]);
  }
  return hasQuotes ? pairs : null;
}

/**
 * Some libraries write `%%` for `%`, since drivers for Python read `%` as the beginning of a parameter; where the driver has no
 * parameters it stays so. What is no URL encoding either way stands for itself.
 */
function decoded(text: string): string {
  if (!text.includes('%')) return text;
  for (const one of [text, text.replaceAll('%%', '%')]) {
    try {
      return decodeURIComponent(one);
    } catch {
      // The other way, or as it is.
    }
  }
  return text;
}

/** Driver's own attributes: `_client_name`, `_os`, `_pid`, ... They say of the session what does not change with its statements. */
const OF_THE_DRIVER = /^_|^(?:program_name|application_name)$/;
/** A traceparent in the middle of a name, as of an application. */
const TRACEPARENT = /(?<![\w-])[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?![\w-])/;

/**
 * What a session's client claims for all its statements: at its start, and later by `SET sluice.NAME`.
 *
 * An application name with a traceparent in it claims that as well, since many pools let one set nothing else.
 */
export class SessionClaims {
  readonly #said = new Map<string, string>();
  /** All of them, by their names. */
  all: Claims = new Map();
  /** Those that belong into the record of each statement; `null` where there are none. */
  ofStatements: Claims | null = null;

  constructor(said: Iterable<readonly [string, string]> = []) {
    for (const [name, value] of said) addClaim(this.#said, name, value);
    this.#gather();
  }

  /** Claims something from now on; `null` takes it back. */
  set(name: string, value: string | null): void {
    if (value === null) this.#said.delete(name);
    else addClaim(this.#said, name, value);
    this.#gather();
  }

  #gather(): void {
    const said = this.#said;
    const traceparent = said.has('traceparent') ? null : TRACEPARENT.exec(said.get('application_name') ?? '');
    const all = traceparent === null ? said : new Map([...said, ['traceparent', traceparent[0]]]);
    const ofStatements = [...all].filter(([name]) => !OF_THE_DRIVER.test(name));
    this.all = all;
    this.ofStatements = ofStatements.length === 0 ? null : new Map(ofStatements);
  }
}

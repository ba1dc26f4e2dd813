/**
 * The text of a statement with its literals replaced: the key of the analyzer's second-level cache.
 *
 * Two texts with one key must get the same facts from a full parse. So this reads only what it reads exactly as the
 * server's scanner does, and gives `null` for everything else: comments, dollar quotes, prefixed or adjacent strings,
 * backslashes, bytes above ASCII, numbers in any form but plain decimal. White space and letter case stay as they are.
 */

const STRING_MARK = '\x01';
/** At most nine digits: always an integer to the grammar, which asks for one in some places (`time(3)`). */
const INTEGER_MARK = '\x02';
const NUMBER_MARK = '\x03';

const WHITE = 1;
const WORD = 2;
const DIGIT = 3;
const QUOTE = 4;
const DOUBLE_QUOTE = 5;
const DOLLAR = 6;
const DOT = 7;
const PLAIN = 8;

/** The class of each ASCII character; 0 for those that end the attempt. */
const CLASS = new Uint8Array(128);
for (const code of [9, 10, 12, 13, 32]) CLASS[code] = WHITE;
for (let code = 65; code <= 90; code += 1) CLASS[code] = WORD;
for (let code = 97; code <= 122; code += 1) CLASS[code] = WORD;
CLASS[95] = WORD;
for (let code = 48; code <= 57; code += 1) CLASS[code] = DIGIT;
for (const character of '()[],;:+-*/<>=~!@#%^&|?') CLASS[character.charCodeAt(0)] = PLAIN;
CLASS[34] = DOUBLE_QUOTE;
CLASS[36] = DOLLAR;
CLASS[39] = QUOTE;
CLASS[46] = DOT;

const AMPERSAND = 38;
const STAR = 42;
const MINUS = 45;
const SLASH = 47;
const BACKSLASH = 92;

/** The key of a text under `standard_conforming_strings = on` or without backslashes; `null` if it cannot be told exactly. */
export function textWithoutLiterals(text: string): string | null {
  const length = text.length;
  let key = '';
  /** The text from here on is not in the key yet. */
  let copied = 0;
  let at = 0;
  /** A string ended here, with nothing but white space since: another string would join it. */
  let afterString = false;
  while (at < length) {
    const code = text.charCodeAt(at);
    const kind = code < 128 ? CLASS[code] : 0;
    if (kind === WHITE) {
      at += 1;
      continue;
    }
    if (kind === WORD) {
      const start = at;
      at = afterWord(text, at + 1);
      const next = text.charCodeAt(at);
      // E'', B'', X'', N'' and the like; and a character that could belong to the word (a non-ASCII letter).
      if (next === 39 || next >= 128) return null;
      // float(p) is float4 or float8 by the value of p, and an error above 53.
      if (at - start === 5 && text.slice(start, at).toLowerCase() === 'float') return null;
    } else if (kind === DIGIT) {
      const start = at;
      while (CLASS[text.charCodeAt(at)] === DIGIT) at += 1;
      let integer = at - start <= 9;
      if (text.charCodeAt(at) === 46) {
        integer = false;
        at += 1;
        while (CLASS[text.charCodeAt(at)] === DIGIT) at += 1;
      }
      const next = text.charCodeAt(at);
      // 1e5, 0x1F, 1_000, 1abc, 1..2, 1$: read differently by different servers, or not at all.
      if (next >= 128 || isWordPart(next) || next === 46) return null;
      key += text.slice(copied, start) + (integer ? INTEGER_MARK : NUMBER_MARK);
      copied = at;
    } else if (kind === QUOTE) {
      if (afterString || (at > 0 && text.charCodeAt(at - 1) === AMPERSAND)) return null;
      const start = at;
      at = afterPlainString(text, at);
      if (at < 0) return null;
      key += text.slice(copied, start) + STRING_MARK;
      copied = at;
      afterString = true;
      continue;
    } else if (kind === DOUBLE_QUOTE) {
      if (at > 0 && text.charCodeAt(at - 1) === AMPERSAND) return null;
      at = afterPlainIdentifier(text, at);
      if (at < 0) return null;
    } else if (kind === DOLLAR) {
      const start = at;
      at += 1;
      while (CLASS[text.charCodeAt(at)] === DIGIT) at += 1;
      const next = text.charCodeAt(at);
      if (at === start + 1 || next >= 128 || isWordPart(next)) return null;
    } else if (kind === DOT) {
      at += 1;
      if (CLASS[text.charCodeAt(at)] === DIGIT) return null;
    } else if (kind === PLAIN) {
      const next = text.charCodeAt(at + 1);
      if ((code === MINUS && next === MINUS) || (code === SLASH && next === STAR)) return null;
      at += 1;
    } else {
      return null;
    }
    afterString = false;
  }
  return copied === 0 ? text : key + text.slice(copied);
}

function isWordPart(code: number): boolean {
  const kind = CLASS[code];
  return kind === WORD || kind === DIGIT || kind === DOLLAR;
}

function afterWord(text: string, from: number): number {
  let at = from;
  while (isWordPart(text.charCodeAt(at))) at += 1;
  return at;
}

/** The place after the closing quote; -1 for a string with a backslash, a character outside ASCII, or no end. */
function afterPlainString(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    if (code === 39) {
      if (text.charCodeAt(end + 1) !== 39) return end + 1;
      end += 2;
      continue;
    }
    if (code === BACKSLASH || code >= 127 || code === 0) return -1;
    end += 1;
  }
  return -1;
}

/** The place after the closing double quote; -1 for an identifier with anything but printable ASCII, or no end. */
function afterPlainIdentifier(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    if (code === 34) return text.charCodeAt(end + 1) === 34 || end === at + 1 ? -1 : end + 1;
    if (code < 32 || code > 126) return -1;
    end += 1;
  }
  return -1;
}

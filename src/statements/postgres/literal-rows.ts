/**
 * Long INSERTs without most of their rows.
 *
 * What an INSERT of a million characters does shows in its first row, if the others are alike: values that are literals or
 * binds, with the same casts and the same functions without arguments. The parser takes seven times as much memory as
 * the text has, so it is given one row of each kind.
 *
 * This reads only what it reads exactly as the server's scanner does, from the first character on, and stops at the first
 * row that is anything else; what comes from there on is left for the parser.
 */
export interface ShortenedText {
  readonly text: string;
  /** Where the rows end in the shortened text: after it, places in the text itself are later by `removed`. */
  readonly rowsEnd: number;
  readonly removed: number;
}

const NAME = String.raw`(?:[a-z_][a-z0-9_$]*|"[^"\0]+")`;
const COLUMNS = String.raw`\(\s*${NAME}(?:\s*,\s*${NAME})*\s*\)`;
const HEAD = new RegExp(
  String.raw`\s*INSERT\s+INTO\s+${NAME}(?:\s*\.\s*${NAME})?(?:\s+AS\s+${NAME})?\s*(?:${COLUMNS})?\s*VALUES\s*(?=\()`,
  'iy',
);

/** Kinds of rows that are told apart. */
const MOST_KINDS = 64;

const SPACE = /[ \t\n\r\f]*/y;
const NUMBER = /[-+]?[ ]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?![a-z0-9_$.\u0080-\uffff])/iy;
const BIND = /\$\d+(?![a-z0-9_$\u0080-\uffff])/iy;
const WORD = /[a-z_][a-z0-9_]*(?:\(\))?(?![a-z0-9_$.("'&\u0080-\uffff])/iy;
/** `::numeric(10,2)`, `::timestamp with time zone`, `::text[]`. */
const CAST =
  /::[ ]?[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)?(?:[ ][a-z]+)*(?:\(\d+(?:,[ ]?\d+)?\))?(?:[ ][a-z]+)*(?:\[\])*(?![a-z0-9_$."'&\u0080-\uffff])/iy;

/** The text with one row of each kind, if it is an INSERT with several alike; `null` for every other. */
export function withoutLikeRows(text: string): ShortenedText | null {
  HEAD.lastIndex = 0;
  if (!HEAD.test(text)) return null;
  const start = HEAD.lastIndex;
  const kinds = new Set<string>();
  const kept: string[] = [];
  let end = start;
  for (let at = start; ; ) {
    const row = rowAt(text, at);
    if (row === null) break;
    if (!kinds.has(row.kind)) {
      if (kinds.size >= MOST_KINDS) break;
      kinds.add(row.kind);
      kept.push(text.slice(at, row.end));
    }
    end = row.end;
    const comma = afterSpace(text, row.end);
    if (text.charCodeAt(comma) !== COMMA) break;
    at = afterSpace(text, comma + 1);
  }
  const rows = kept.join(',');
  const removed = end - start - rows.length;
  if (removed <= 0) return null;
  const rowsEnd = start + rows.length;
  return { text: text.slice(0, start) + rows + text.slice(end), rowsEnd, removed };
}

const QUOTE = 39;
const OPEN = 40;
const CLOSE = 41;
const COMMA = 44;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;

interface Found {
  readonly end: number;
  /** Equal for what does the same. */
  readonly kind: string;
}

function rowAt(text: string, at: number): Found | null {
  return text.charCodeAt(at) === OPEN ? listAt(text, at + 1, CLOSE) : null;
}

/** Values up to the closing character. */
function listAt(text: string, from: number, closes: number): Found | null {
  let kind = '';
  let at = from;
  for (;;) {
    const value = valueAt(text, afterSpace(text, at));
    if (value === null) return null;
    kind += `${value.kind},`;
    at = afterSpace(text, value.end);
    const code = text.charCodeAt(at);
    if (code === closes) return { end: at + 1, kind };
    if (code !== COMMA) return null;
    at += 1;
  }
}

function valueAt(text: string, at: number): Found | null {
  const found = literalAt(text, at);
  if (found === null) return null;
  const cast = endOf(CAST, text, found.end);
  return cast === null ? found : { end: cast, kind: `${found.kind}${text.slice(found.end, cast)}` };
}

function literalAt(text: string, at: number): Found | null {
  const code = text.charCodeAt(at);
  if (code === QUOTE) return literal(afterString(text, at));
  const next = text.charCodeAt(at + 1);
  if ((code === 69 || code === 101) /* E, e */ && next === QUOTE) return literal(afterEscapeString(text, at + 1));
  const number = endOf(NUMBER, text, at) ?? endOf(BIND, text, at);
  if (number !== null) return literal(number);
  if (/^ARRAY\[$/i.test(text.slice(at, at + 6))) {
    const list = text.charCodeAt(at + 5) === OPEN_BRACKET ? listAt(text, at + 6, CLOSE_BRACKET) : null;
    // However many there are of them.
    return list === null ? null : { end: list.end, kind: `[${[...new Set(list.kind.split(','))].join()}]` };
  }
  const word = endOf(WORD, text, at);
  if (word === null) return null;
  const written = text.slice(at, word).toLowerCase();
  return { end: word, kind: LITERAL_WORDS.has(written) ? '' : written };
}

const LITERAL_WORDS = new Set(['null', 'true', 'false']);

function literal(end: number): Found | null {
  return end < 0 ? null : { end, kind: '' };
}

function endOf(pattern: RegExp, text: string, at: number): number | null {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : null;
}

function afterSpace(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/** The place after the closing quote; -1 if there is none. Another string after white space is no literal's end for {@link listAt}. */
function afterString(text: string, at: number): number {
  for (let from = at + 1; ; ) {
    const end = text.indexOf("'", from);
    if (end < 0) return -1;
    if (text.charCodeAt(end + 1) !== QUOTE) return end + 1;
    from = end + 2;
  }
}

function afterEscapeString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end += 1) {
    const code = text.charCodeAt(end);
    if (code === BACKSLASH) end += 1;
    else if (code === QUOTE) {
      if (text.charCodeAt(end + 1) !== QUOTE) return end + 1;
      end += 1;
    }
  }
  return -1;
}

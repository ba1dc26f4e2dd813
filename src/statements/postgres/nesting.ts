/**
 * Bounds how deep the syntax tree of a text can get, from the text alone and in one pass, before the parser sees it.
 *
 * The parser, the tree's serialiser and our own walks recurse once per level of the tree. What was measured on Node 24
 * with its default stack: the parser traps at 702 nested data-modifying CTEs, 984 nested sub-selects in INSERT, 1,656
 * nested sub-selects, 7,375 operators in a row. The bounds leave a factor of three and more.
 *
 * This is about availability only: a text that slips through and traps costs one parser instance (see parser.ts), never
 * a wrong answer. So the scan may be approximate about SQL, but it must be linear.
 */

/** Parentheses, brackets, CASE and comments that may be open at once. PostgreSQL itself gets to several thousand. */
const MAX_NESTING = 200;
/** Operators, joins and set operations on one path from the root to a leaf. */
const MAX_CHAIN = 500;

/** Words that put one more level on the tree of the expression or FROM item they stand in. */
const EXPRESSION_WORDS = new Set(
  'not is isnull notnull in like ilike similar between collate at overlaps operator any all some escape'.split(' '),
);
/** Words that put one more level on the whole query: `a JOIN b JOIN c` leans left, and so does UNION. */
const QUERY_WORDS = new Set(['join', 'union', 'intersect', 'except']);
/** Words after which a new expression starts, so that operators before them are on another path. */
const BOUNDARY_WORDS = new Set(
  'and or on select from where when then else values set having by limit offset returning using'.split(' '),
);
const LONGEST_WORD = 9;

interface Level {
  readonly closes: ')' | ']' | 'end' | '';
  /** Operators of the current expression, and the most any expression of this level had. */
  operators: number;
  mostOperators: number;
  joins: number;
  /** The longest chain inside something this level contains. */
  within: number;
}

/** True if the text could make a tree deeper than the parser is safe with. */
export function tooDeep(text: string): boolean {
  let level: Level = { closes: '', operators: 0, mostOperators: 0, joins: 0, within: 0 };
  const enclosing: Level[] = [];
  const length = text.length;
  let deepest = 0;

  const open = (closes: Level['closes']) => {
    enclosing.push(level);
    level = { closes, operators: 0, mostOperators: 0, joins: 0, within: 0 };
  };
  const chainOf = (closed: Level) => Math.max(closed.mostOperators, closed.operators) + closed.joins + closed.within;
  const boundary = () => {
    if (level.operators > level.mostOperators) level.mostOperators = level.operators;
    level.operators = 0;
  };
  const close = (closer: Level['closes']) => {
    if (level.closes !== closer) return;
    const chain = chainOf(level);
    level = enclosing.pop()!;
    if (chain > level.within) level.within = chain;
  };

  let at = 0;
  while (at < length) {
    const code = text.charCodeAt(at);
    if (isWordStart(code)) {
      const start = at;
      at += 1;
      while (at < length && isWordPart(text.charCodeAt(at))) at += 1;
      if (at - start > LONGEST_WORD) continue;
      const word = text.slice(start, at).toLowerCase();
      if (text.charCodeAt(at) === QUOTE && word === 'e') at = afterEscapeString(text, at);
      else if (word === 'case') open('end');
      else if (word === 'end') close('end');
      else if (EXPRESSION_WORDS.has(word)) level.operators += 1;
      else if (QUERY_WORDS.has(word)) level.joins += 1;
      else if (BOUNDARY_WORDS.has(word)) boundary();
    } else if (code === QUOTE || code === DOUBLE_QUOTE) {
      at = afterQuoted(text, at, code);
    } else if (code === DOLLAR) {
      at = afterDollarQuoted(text, at);
    } else if (code === OPEN_PAREN || code === OPEN_BRACKET) {
      open(code === OPEN_PAREN ? ')' : ']');
      at += 1;
    } else if (code === CLOSE_PAREN || code === CLOSE_BRACKET) {
      close(code === CLOSE_PAREN ? ')' : ']');
      at += 1;
    } else if (code === COMMA) {
      boundary();
      at += 1;
    } else if (code === SEMICOLON) {
      if (enclosing.length === 0) {
        deepest = Math.max(deepest, chainOf(level));
        level = { closes: '', operators: 0, mostOperators: 0, joins: 0, within: 0 };
      }
      at += 1;
    } else if (code === MINUS && text.charCodeAt(at + 1) === MINUS) {
      while (at < length && text.charCodeAt(at) !== NEWLINE && text.charCodeAt(at) !== RETURN) at += 1;
    } else if (code === SLASH && text.charCodeAt(at + 1) === STAR) {
      at = afterComment(text, at);
      if (at < 0) return true;
    } else if (isOperator(code)) {
      // The server splits a run of operator characters before a trailing + or -, so each of those counts.
      let other = 0;
      while (at < length && isOperator(text.charCodeAt(at))) {
        const character = text.charCodeAt(at);
        if (at + 1 < length) {
          const next = text.charCodeAt(at + 1);
          if (character === MINUS && next === MINUS) break;
          if (character === SLASH && next === STAR) break;
        }
        if (character === PLUS || character === MINUS) level.operators += 1;
        else other = 1;
        at += 1;
      }
      level.operators += other;
    } else {
      at += 1;
    }
    if (enclosing.length > MAX_NESTING) return true;
  }
  // What was never closed is on one path.
  let chain = chainOf(level);
  for (const one of enclosing) chain += chainOf(one);
  return Math.max(deepest, chain) > MAX_CHAIN;
}

const NEWLINE = 10;
const RETURN = 13;
const DOUBLE_QUOTE = 34;
const DOLLAR = 36;
const QUOTE = 39;
const OPEN_PAREN = 40;
const CLOSE_PAREN = 41;
const STAR = 42;
const PLUS = 43;
const COMMA = 44;
const MINUS = 45;
const SLASH = 47;
const SEMICOLON = 59;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;

/** `+ - * / < > = ~ ! @ # % ^ & | ? :` and the backtick: the server's self and op_chars, and the colons of `::`. */
function isOperator(code: number): boolean {
  switch (code) {
    case 33:
    case 35:
    case 37:
    case 38:
    case STAR:
    case PLUS:
    case MINUS:
    case SLASH:
    case 58:
    case 60:
    case 61:
    case 62:
    case 63:
    case 64:
    case 94:
    case 96:
    case 124:
    case 126:
      return true;
    default:
      return false;
  }
}

function isWordStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code >= 128;
}

function isWordPart(code: number): boolean {
  return isWordStart(code) || (code >= 48 && code <= 57) || code === DOLLAR;
}

/** A doubled quote reads as the end of one string and the start of the next, which comes to the same place. */
function afterQuoted(text: string, at: number, quote: number): number {
  const end = text.indexOf(quote === QUOTE ? "'" : '"', at + 1);
  return end < 0 ? text.length : end + 1;
}

function afterEscapeString(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    if (code === BACKSLASH) end += 1;
    else if (code === QUOTE) return end + 1;
    end += 1;
  }
  return text.length;
}

const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;

function afterDollarQuoted(text: string, at: number): number {
  DOLLAR_TAG.lastIndex = at;
  const tag = DOLLAR_TAG.exec(text)?.[0];
  if (tag === undefined) return at + 1;
  const end = text.indexOf(tag, at + tag.length);
  return end < 0 ? text.length : end + tag.length;
}

/** The place after a comment and the comments in it; -1 if they nest too deep (the server's scanner is quadratic there). */
function afterComment(text: string, at: number): number {
  let depth = 0;
  let end = at;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    const next = text.charCodeAt(end + 1);
    if (code === SLASH && next === STAR) {
      depth += 1;
      if (depth > MAX_NESTING) return -1;
      end += 2;
    } else if (code === STAR && next === SLASH) {
      depth -= 1;
      end += 2;
      if (depth === 0) return end;
    } else {
      end += 1;
    }
  }
  return text.length;
}

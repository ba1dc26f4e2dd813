import { isCharacterSet } from './character-sets.ts';
import type { MysqlLexingState, MysqlServer } from './server.ts';

/**
 * The tokens of a MySQL or MariaDB text, cut where that server, at that version and in that sql_mode, cuts them. Sources:
 * the manuals' chapters "Lexical structure" and "Comments", and for what they leave out the behaviour of the servers.
 *
 * Where two servers of one flavour could read a text differently (a six-digit version in a comment of an old MySQL, `=!`,
 * names that start with a dollar sign), the text is refused. Takes time proportional to the text.
 *
 * Of the rows of an INSERT that are alike (literals and parameters at the same places, the same words at the others) only the
 * first is among the tokens: the others do nothing that it does not do.
 */

export type TokenType =
  /** An unquoted name that may be a keyword. */
  | 'word'
  /** A name that cannot be a keyword: quoted, or next to a dot, or started with digits. */
  | 'name'
  | 'string'
  | 'number'
  /** `0x41`, `X'41'`, `0b1`, `B'1'`. */
  | 'bits'
  /** `_utf8mb4` and the like: the character set of the literal that follows. */
  | 'introducer'
  /** `@x`: a user variable, or the host of an account. */
  | 'variable'
  | 'parameter'
  | 'operator'
  | 'end';

export interface Token {
  readonly type: TokenType;
  /** The name, the string's value, the operator; a number as written; of a parameter, how many come before it in the text. */
  readonly value: string;
  /** A word in upper case; empty for everything else. */
  readonly keyword: string;
  /** Where it stands in the text, in UTF-16 code units. */
  readonly start: number;
  readonly end: number;
}

/** An optimizer hint, with what is inside, and the index of the token after it. */
export interface Hint {
  readonly text: string;
  readonly before: number;
}

export type Lexed =
  | { readonly outcome: 'tokens'; readonly tokens: readonly Token[]; readonly hints: readonly Hint[] }
  | { readonly outcome: 'rejected'; readonly message: string };

/** Most tokens of a text, like rows of an INSERT counted once. */
const MOST_TOKENS = 262_144;
/** Kinds of rows of an INSERT that are told apart. */
const MOST_KINDS_OF_ROWS = 64;
/** Most parentheses and braces that are open at once. */
const MOST_NESTING = 100;

export function lex(text: string, server: MysqlServer, state: MysqlLexingState): Lexed {
  const lexer = new Lexer(text, server, state);
  try {
    lexer.run();
  } catch (error) {
    if (error instanceof Rejection) return { outcome: 'rejected', message: error.message };
    throw error;
  }
  return { outcome: 'tokens', tokens: lexer.tokens, hints: lexer.hints };
}

class Rejection extends Error {}

const LOOKS_LIKE_NOTHING = /[\p{White_Space}\p{Cf}]/u;

const SPACE = 32;
const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const BACKTICK = 96;
const BACKSLASH = 92;
const DOT = 46;

const OPERATORS_OF_TWO = new Set(['<=', '>=', '<>', '!=', '<<', '>>', '&&', '||', ':=']);
const SINGLE_OPERATORS = new Set('()+-*/%^~&|,;.<>=!{}:'.split(''));

class Lexer {
  readonly tokens: Token[] = [];
  readonly hints: Hint[] = [];
  readonly #text: string;
  readonly #server: MysqlServer;
  readonly #state: MysqlLexingState;
  #at = 0;
  #nesting = 0;
  /** Inside of an executable comment whose text counts. */
  #inComment = false;
  /** The index of the first token of the row of VALUES that is being read, or comes next; -1 outside of VALUES. */
  #row = -1;
  #kindsOfRows: Set<string> | null = null;
  /** The index of the first token of the statement. */
  #statement = 0;
  #parameters = 0;

  constructor(text: string, server: MysqlServer, state: MysqlLexingState) {
    this.#text = text;
    this.#server = server;
    this.#state = state;
  }

  run(): void {
    const text = this.#text;
    if (text.includes('\0')) throw new Rejection('NUL character');
    for (;;) {
      this.#skipSpaceAndComments();
      if (this.#at >= text.length) break;
      this.#token();
      if (this.tokens.length > MOST_TOKENS) throw new Rejection('too many tokens');
    }
    if (this.#inComment) throw new Rejection('comment without end');
    this.#push('end', '', text.length);
  }

  #push(type: TokenType, value: string, start: number, keyword = ''): void {
    this.tokens.push({ type, value, keyword, start, end: this.#at });
  }

  #code(ahead: number): number {
    const at = this.#at + ahead;
    return at < this.#text.length ? this.#text.charCodeAt(at) : -1;
  }

  #skipSpaceAndComments(): void {
    const text = this.#text;
    for (;;) {
      const code = this.#code(0);
      if (isSpace(code)) this.#at += 1;
      else if (code === 35 /* # */) this.#skipLine();
      else if (code === 45 /* - */ && this.#code(1) === 45 && isSpaceOrControl(this.#code(2))) this.#skipLine();
      else if (code === 47 /* / */ && this.#code(1) === 42 /* * */) this.#comment();
      else if (this.#inComment && code === 42 && this.#code(1) === 47) {
        this.#inComment = false;
        this.#at += 2;
      } else return;
      if (this.#at > text.length) this.#at = text.length;
    }
  }

  #skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end + 1;
  }

  #comment(): void {
    const isMaria = this.#code(2) === 77 /* M */ && this.#code(3) === 33 && this.#server.flavour === 'mariadb';
    if (this.#code(2) !== 33 /* ! */ && !isMaria) {
      const start = this.#at + 2;
      const end = this.#endOfComment(start);
      if (this.#text.charCodeAt(start) === 43 /* + */ && end - 2 > start) {
        this.hints.push({ text: this.#text.slice(start + 1, end - 2), before: this.tokens.length });
      }
      this.#at = end;
      return;
    }
    this.#at += isMaria ? 4 : 3;
    let digits = 0;
    while (digits < 7 && isDigit(this.#code(digits))) digits += 1;
    if (digits < 5) {
      this.#inComment = true;
      return;
    }
    const length = this.#versionLength(digits);
    const version = Number(this.#text.slice(this.#at, this.#at + length));
    if (this.#isExpanded(version, isMaria)) {
      this.#at += length;
      this.#inComment = true;
    } else {
      this.#at = this.#endOfSkippedComment();
    }
  }

  /** How many digits the version has. MariaDB takes six if there are six; MySQL, since 8.0.34, if white space follows. */
  #versionLength(digits: number): 5 | 6 {
    if (digits === 5) return 5;
    if (this.#server.flavour === 'mariadb') return 6;
    if (!isSpace(this.#code(6))) return 5;
    if (this.#server.version < 80_400) throw new Rejection('version of six digits in a comment');
    return 6;
  }

  #isExpanded(version: number, isMaria: boolean): boolean {
    // Galera's own mark: code or not, depending on how the server runs.
    if (version === 99_997 && this.#server.flavour === 'mariadb') throw new Rejection('comment of version 99997');
    if (version > this.#server.version) return false;
    if (this.#server.flavour === 'mysql' || isMaria) return true;
    // Versions of MySQL that MariaDB does not follow.
    return version < 50_700 || version > 99_999;
  }

  #endOfComment(from: number): number {
    const end = this.#text.indexOf('*/', from);
    if (end < 0) throw new Rejection('comment without end');
    return end + 2;
  }

  /** A comment that is skipped for its version may hold one level of other comments. */
  #endOfSkippedComment(): number {
    let from = this.#at;
    for (;;) {
      const end = this.#endOfComment(from);
      const inner = this.#text.indexOf('/*', from);
      if (inner < 0 || inner > end - 2) return end;
      from = this.#endOfComment(inner + 2);
    }
  }

  #token(): void {
    const code = this.#code(0);
    if (isDigit(code)) this.#numberOrName();
    else if (isNameCharacter(code)) this.#word(code);
    else if (code === QUOTE || (code === DOUBLE_QUOTE && !this.#state.ansiQuotes)) this.#string(code, 0);
    else if (code === BACKTICK || code === DOUBLE_QUOTE) {
      const start = this.#at;
      this.#push('name', this.#quotedName(code), start);
    } else if (code === 64 /* @ */) this.#variable();
    else if (code === 63 /* ? */) this.#parameter();
    else if (code === BACKSLASH && this.#code(1) === 78 /* N */) {
      this.#at += 2;
      this.#push('word', 'NULL', this.#at - 2, 'NULL');
    } else if (code === DOT && isDigit(this.#code(1))) this.#fraction(this.#at);
    else this.#operator();
  }

  #word(first: number): void {
    const text = this.#text;
    const start = this.#at;
    const next = this.#code(1);
    if (next === QUOTE) {
      const prefix = text[start]!.toUpperCase();
      if (prefix === 'N') this.#string(QUOTE, 1);
      if (prefix === 'X') this.#bits(isHexDigit, true);
      if (prefix === 'B') this.#bits(isBinaryDigit, false);
      if (this.#at > start) return;
    }
    if (first === 36 /* $ */ && this.#server.flavour === 'mysql') throw new Rejection('name that starts with $');
    this.#skipName();
    const value = text.slice(start, this.#at);
    if (this.#code(0) === DOT && isNameCharacter(this.#code(1))) {
      this.#push('name', value, start);
      this.#dottedNames();
      return;
    }
    const keyword = upperCase(value);
    if (keyword === null) this.#push('name', value, start);
    else if (first === 95 /* _ */ && isCharacterSet(value.slice(1).toLowerCase())) {
      this.#push('introducer', value.slice(1).toLowerCase(), start);
    } else {
      this.#push('word', value, start, keyword);
      if (this.#nesting === 0) this.#wordOutside(keyword);
    }
  }

  /** VALUES of an INSERT begins its rows; any other word ends them. */
  #wordOutside(keyword: string): void {
    const { tokens } = this;
    const begins = keyword === 'VALUES' || keyword === 'VALUE';
    const verb = begins && this.#kindsOfRows === null ? tokens[this.#statement]!.keyword : '';
    if (verb === 'INSERT' || verb === 'REPLACE') {
      this.#kindsOfRows = new Set();
      this.#row = tokens.length;
    } else this.#row = -1;
  }

  /** After an operator that is in no parentheses. */
  #operatorOutside(operator: string): void {
    const { tokens } = this;
    if (operator === ';') {
      this.#statement = tokens.length;
      this.#kindsOfRows = null;
      this.#row = -1;
    }
    if (this.#row < 0) return;
    if (operator === ',') this.#row = tokens.length;
    else if (operator === ')') this.#rowEnds();
    else this.#row = -1;
  }

  /** Drops the row that ends here, and the comma before it, if one like it is there. */
  #rowEnds(): void {
    const { tokens } = this;
    const kinds = this.#kindsOfRows!;
    const kind = kindOfRow(tokens, this.#row);
    if (kind === null) return;
    if (kinds.has(kind)) tokens.length = this.#row - 1;
    else if (kinds.size < MOST_KINDS_OF_ROWS) kinds.add(kind);
  }

  #skipName(): void {
    const start = this.#at;
    while (isNameCharacter(this.#code(0))) this.#at += 1;
    // The servers read it as a part of the name; everybody else sees two words, or none.
    if (LOOKS_LIKE_NOTHING.test(this.#text.slice(start, this.#at)))
      throw new Rejection('name with invisible characters');
  }

  /** What follows a name without space, `.a.b`: names, whatever they look like. */
  #dottedNames(): void {
    while (this.#code(0) === DOT && isNameCharacter(this.#code(1))) {
      const dot = this.#at;
      this.#at += 1;
      this.#push('operator', '.', dot);
      const start = this.#at;
      this.#skipName();
      this.#push('name', this.#text.slice(start, this.#at), start);
    }
  }

  #quotedName(quote: number): string {
    const text = this.#text;
    let from = this.#at + 1;
    let value = '';
    for (;;) {
      const end = text.indexOf(quote === BACKTICK ? '`' : '"', from);
      if (end < 0) throw new Rejection('name without end');
      value += text.slice(from, end);
      if (text.charCodeAt(end + 1) !== quote) {
        this.#at = end + 1;
        if (value === '') throw new Rejection('empty name');
        return value;
      }
      value += text[end];
      from = end + 2;
    }
  }

  /** @param prefix characters before the quote */
  #string(quote: number, prefix: number): void {
    const start = this.#at;
    this.#at += prefix + 1;
    const value = this.#stringValue(quote);
    this.#push('string', value, start);
  }

  #stringValue(quote: number): string {
    const text = this.#text;
    const escapes = !this.#state.noBackslashEscapes;
    let value = '';
    let from = this.#at;
    let at = from;
    for (;;) {
      if (at >= text.length) throw new Rejection('string without end');
      const code = text.charCodeAt(at);
      if (code === BACKSLASH && escapes) {
        const escaped = text[at + 1];
        if (escaped === undefined) throw new Rejection('string without end');
        value += text.slice(from, at) + (ESCAPES.get(escaped) ?? escaped);
        at += 2;
        from = at;
      } else if (code === quote) {
        value += text.slice(from, at);
        if (text.charCodeAt(at + 1) !== quote) {
          this.#at = at + 1;
          return value;
        }
        value += text[at];
        at += 2;
        from = at;
      } else at += 1;
    }
  }

  /** `X'41'`, `B'01'`. */
  #bits(isOne: (code: number) => boolean, even: boolean): void {
    const start = this.#at;
    this.#at += 2;
    const first = this.#at;
    while (isOne(this.#code(0))) this.#at += 1;
    if (this.#code(0) !== QUOTE || (even && (this.#at - first) % 2 !== 0)) throw new Rejection('bits that are none');
    this.#at += 1;
    this.#push('bits', this.#text.slice(start, this.#at), start);
  }

  #numberOrName(): void {
    const start = this.#at;
    const second = this.#code(1);
    if (this.#code(0) === 48 && (second === 120 || second === 98) /* 0x, 0b */) {
      const isOne = second === 120 ? isHexDigit : isBinaryDigit;
      this.#at += 2;
      while (isOne(this.#code(0))) this.#at += 1;
      if (this.#at - start >= 3 && !isNameCharacter(this.#code(0))) {
        this.#push('bits', this.#text.slice(start, this.#at), start);
        return;
      }
      this.#nameFrom(start);
      return;
    }
    this.#skipDigits();
    const next = this.#code(0);
    if (!isNameCharacter(next)) {
      const isRange = this.#server.flavour === 'mariadb' && this.#code(1) === DOT;
      if (next === DOT && !isRange) this.#fraction(start);
      else this.#push('number', this.#text.slice(start, this.#at), start);
      return;
    }
    if (next === 101 || next === 69 /* e */) {
      const sign = this.#code(1) === 43 || this.#code(1) === 45 ? 1 : 0;
      if (isDigit(this.#code(1 + sign))) {
        this.#at += 1 + sign;
        this.#skipDigits();
        this.#push('number', this.#text.slice(start, this.#at), start);
        return;
      }
    }
    this.#nameFrom(start);
  }

  #nameFrom(start: number): void {
    this.#skipName();
    this.#push('name', this.#text.slice(start, this.#at), start);
    this.#dottedNames();
  }

  /** From the dot of a number on. */
  #fraction(start: number): void {
    this.#at += 1;
    this.#skipDigits();
    const next = this.#code(0);
    if (next === 101 || next === 69) {
      this.#at += 1;
      if (this.#code(0) === 43 || this.#code(0) === 45) this.#at += 1;
      if (!isDigit(this.#code(0))) throw new Rejection('number that is none');
      this.#skipDigits();
    }
    this.#push('number', this.#text.slice(start, this.#at), start);
  }

  #skipDigits(): void {
    while (isDigit(this.#code(0))) this.#at += 1;
  }

  #variable(): void {
    const start = this.#at;
    this.#at += 1;
    const next = this.#code(0);
    if (next === 64) {
      this.#at += 1;
      this.#push('operator', '@@', start);
      if (!isNameCharacter(this.#code(0)) && this.#code(0) !== BACKTICK) throw new Rejection('@@ without a name');
      return;
    }
    if (next === BACKTICK || (next === DOUBLE_QUOTE && this.#state.ansiQuotes)) {
      this.#push('variable', this.#quotedName(next), start);
      return;
    }
    if (next === QUOTE || next === DOUBLE_QUOTE) {
      this.#at += 1;
      this.#push('variable', this.#stringValue(next), start);
      return;
    }
    const from = this.#at;
    while (isNameCharacter(this.#code(0)) || this.#code(0) === DOT) this.#at += 1;
    this.#push('variable', this.#text.slice(from, this.#at), start);
  }

  #parameter(): void {
    this.#at += 1;
    if (isNameCharacter(this.#code(0))) throw new Rejection('? before a name');
    this.#push('parameter', String(this.#parameters), this.#at - 1);
    this.#parameters += 1;
  }

  #operator(): void {
    const start = this.#at;
    const value = this.#operatorHere();
    if (value === '(' || value === '{') {
      this.#nesting += 1;
      if (this.#nesting > MOST_NESTING) throw new Rejection('too deep');
    } else if (value === ')' || value === '}') this.#nesting -= 1;
    // A server that reads the text statement by statement would begin the next one outside of the comment.
    else if (value === ';' && this.#inComment) throw new Rejection('; in an executable comment');
    this.#at += value.length;
    this.#push('operator', value, start);
    if (this.#nesting === 0) this.#operatorOutside(value);
    if (value === '.' && isNameCharacter(this.#code(0))) {
      const from = this.#at;
      this.#nameFrom(from);
    }
  }

  #operatorHere(): string {
    const text = this.#text;
    const one = text[this.#at]!;
    const two = text.slice(this.#at, this.#at + 2);
    if ('<>=!'.includes(one)) {
      // MySQL loses the characters of a run that is no operator (`=!`, `<>!`); MariaDB gives them back.
      let length = 1;
      const longest = one === '<' ? 3 : 2;
      while (length < longest && '<>=!'.includes(text[this.#at + length] ?? ' ')) length += 1;
      const run = text.slice(this.#at, this.#at + length);
      if (length === 1 || OPERATORS_OF_TWO.has(run) || run === '<=>') return run;
      throw new Rejection(`unknown operator ${run}`);
    }
    if (OPERATORS_OF_TWO.has(two)) return two;
    if (two === '->' && this.#server.flavour === 'mysql') return text[this.#at + 2] === '>' ? '->>' : '->';
    if (SINGLE_OPERATORS.has(one)) return one;
    throw new Rejection(`unexpected character U+${text.codePointAt(this.#at)!.toString(16).padStart(4, '0')}`);
  }
}

/** Equal for rows that do the same whatever their literals are; `null` for a row with more in it than values and words. */
function kindOfRow(tokens: readonly Token[], from: number): string | null {
  let kind = '';
  const opens = tokens[from]?.keyword === 'ROW' ? from + 1 : from;
  for (let at = from; at < tokens.length; at += 1) {
    const { type, value } = tokens[at]!;
    switch (type) {
      case 'string':
      case 'number':
      case 'bits':
      case 'parameter':
      case 'introducer':
        kind += '?';
        break;
      case 'word':
        kind += ` ${value} `;
        break;
      case 'operator': {
        // The row itself, signs, and calls without arguments.
        const isEmpty = value === '(' && tokens[at + 1]?.value === ')';
        if (!'(),+-'.includes(value) || (value === '(' && at !== opens && !isEmpty)) return null;
        kind += value;
        break;
      }
      default:
        return null;
    }
  }
  return kind;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['0', '\0'],
  ['b', '\b'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['Z', '\x1a'],
  // Kept for LIKE.
  ['%', '\\%'],
  ['_', '\\_'],
]);

function isSpace(code: number): boolean {
  return code === SPACE || (code >= 9 && code <= 13);
}

/** White space, a control character or the end of the text: what makes `--` a comment. */
function isSpaceOrControl(code: number): boolean {
  return code <= SPACE || code === 127;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102);
}

function isBinaryDigit(code: number): boolean {
  return code === 48 || code === 49;
}

function isNameCharacter(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 65 && code <= 90) ||
    isDigit(code) ||
    code === 95 ||
    code === 36 ||
    code >= 128
  );
}

/** `null` for what no keyword can be. Not for the whole of Unicode: there `ſ` becomes `S`, and the servers' keywords are ASCII. */
function upperCase(word: string): string | null {
  for (let at = 0; at < word.length; at += 1) if (word.charCodeAt(at) >= 128) return null;
  return word.toUpperCase();
}

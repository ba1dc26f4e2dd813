import type { Token } from './lexer.ts';
import { isReserved } from './reserved-words.ts';
import type { MysqlLexingState, MysqlServer } from './server.ts';
import type { Name } from './tree.ts';

/** Why a text was not understood. */
export class NotUnderstood extends Error {}

/** Deepest nesting of what has no parentheses (NOT, CASE, BETWEEN ... AND, JOIN). */
const MOST_DEPTH = 200;

/** What a token is called that is not called by its value. */
const NOT_NAMED: Readonly<Partial<Record<Token['type'], string>>> = {
  end: 'the end',
  string: 'a string',
  parameter: 'a parameter',
};

/** Walks over the tokens of a text; what is expected and not there is a {@link NotUnderstood}. */
export class TokenReader {
  readonly server: MysqlServer;
  readonly state: MysqlLexingState;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], server: MysqlServer, state: MysqlLexingState) {
    this.#tokens = tokens;
    this.server = server;
    this.state = state;
  }

  /** Index of the next token. */
  get position(): number {
    return this.#at;
  }

  get isMaria(): boolean {
    return this.server.flavour === 'mariadb';
  }

  /** Goes back to a position. */
  goTo(position: number): void {
    this.#at = position;
  }

  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]!;
  }

  next(): Token {
    const token = this.peek();
    if (token.type !== 'end') this.#at += 1;
    return token;
  }

  /** The token before the next one. */
  previous(): Token {
    return this.#tokens[Math.max(this.#at - 1, 0)]!;
  }

  fail(expected: string): never {
    const token = this.peek();
    throw new NotUnderstood(`expected ${expected}, found ${NOT_NAMED[token.type] ?? `"${token.value}"`}`);
  }

  isWord(...keywords: readonly string[]): boolean {
    const { keyword } = this.peek();
    return keyword !== '' && keywords.includes(keyword);
  }

  wordAt(ahead: number, ...keywords: readonly string[]): boolean {
    const { keyword } = this.peek(ahead);
    return keyword !== '' && keywords.includes(keyword);
  }

  takeWord(...keywords: readonly string[]): boolean {
    if (!this.isWord(...keywords)) return false;
    this.#at += 1;
    return true;
  }

  /** Takes these words if all of them come next. */
  takeWords(...keywords: readonly string[]): boolean {
    if (!keywords.every((keyword, ahead) => this.peek(ahead).keyword === keyword)) return false;
    this.#at += keywords.length;
    return true;
  }

  expectWord(...keywords: readonly string[]): void {
    if (!this.takeWord(...keywords)) this.fail(keywords.join(' or '));
  }

  isOperator(operator: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.type === 'operator' && token.value === operator;
  }

  takeOperator(operator: string): boolean {
    if (!this.isOperator(operator)) return false;
    this.#at += 1;
    return true;
  }

  expectOperator(operator: string): void {
    if (!this.takeOperator(operator)) this.fail(operator);
  }

  /** True if the next token can be a name. */
  isName(ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.type === 'name' || (token.type === 'word' && !isReserved(token.keyword, this.server.flavour));
  }

  name(): string {
    if (!this.isName()) this.fail('a name');
    return this.next().value;
  }

  /** `t`, `s.t`, `.t`. */
  qualifiedName(): Name {
    if (this.takeOperator('.')) return { schema: null, name: this.name() };
    const first = this.name();
    if (!this.takeOperator('.')) return { schema: null, name: first };
    return { schema: first, name: this.name() };
  }

  string(): string {
    if (this.peek().type !== 'string') this.fail('a string');
    return this.next().value;
  }

  /** One or more, with commas between them. */
  list<Item>(item: () => Item): Item[] {
    const items = [item()];
    while (this.takeOperator(',')) items.push(item());
    return items;
  }

  parenthesised<Inside>(inside: () => Inside): Inside {
    this.expectOperator('(');
    const result = inside();
    this.expectOperator(')');
    return result;
  }

  /** Bounds the recursion of what parentheses do not bound. */
  deeper<Inside>(inside: () => Inside): Inside {
    this.#depth += 1;
    if (this.#depth > MOST_DEPTH) throw new NotUnderstood('too deep');
    try {
      return inside();
    } finally {
      this.#depth -= 1;
    }
  }

  /** True at the end of the statement. */
  get isAtEnd(): boolean {
    return this.peek().type === 'end' || this.isOperator(';');
  }

  /** Takes everything up to the end of the statement, parentheses paired. Gives the tokens taken. */
  rest(): readonly Token[] {
    const from = this.#at;
    let open = 0;
    while (!(this.isAtEnd && open === 0)) {
      const token = this.next();
      if (token.type === 'end') this.fail(')');
      if (token.type !== 'operator') continue;
      if (token.value === '(') open += 1;
      else if (token.value === ')') {
        open -= 1;
        if (open < 0) throw new NotUnderstood('unexpected )');
      }
    }
    return this.#tokens.slice(from, this.#at);
  }

  /** Takes a parenthesised run of tokens, whatever is in it. */
  skipParentheses(): readonly Token[] {
    const from = this.#at;
    this.expectOperator('(');
    for (let open = 1; open > 0; ) {
      const token = this.next();
      if (token.type === 'end') this.fail(')');
      if (token.type === 'operator' && token.value === '(') open += 1;
      else if (token.type === 'operator' && token.value === ')') open -= 1;
    }
    return this.#tokens.slice(from, this.#at);
  }
}

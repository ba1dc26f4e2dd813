import { NotUnderstood, type TokenReader } from './token-reader.ts';
import type { Expression, Name, Query } from './tree.ts';

/**
 * Expressions, by the operator precedence of the manuals ("Operator Precedence").
 *
 * Accepts somewhat more than the servers do: what they reject does nothing. Chains of one operator become one node, so
 * that no chain is deeper than its parentheses.
 */
export abstract class ExpressionParser {
  readonly tokens: TokenReader;

  constructor(tokens: TokenReader) {
    this.tokens = tokens;
  }

  /** True if a query expression comes next. */
  protected abstract startsQuery(): boolean;
  /** A whole query expression, without parentheses around it. */
  protected abstract query(): Query;
  /** The rest of a query expression whose first arm was a parenthesised query. */
  protected abstract queryAfter(first: Query): Query;
  protected abstract continuesQuery(): boolean;

  expression(): Expression {
    return this.tokens.deeper(() => this.#or());
  }

  expressions(): Expression[] {
    return this.tokens.list(() => this.expression());
  }

  #or(): Expression {
    const { tokens } = this;
    const isOr = () => tokens.takeWord('OR') || (!tokens.state.pipesAsConcat && tokens.takeOperator('||'));
    return this.#chain('or', isOr, () =>
      this.#chain(
        'xor',
        () => tokens.takeWord('XOR'),
        () =>
          this.#chain(
            'and',
            () => tokens.takeWord('AND') || tokens.takeOperator('&&'),
            () => this.#not(),
          ),
      ),
    );
  }

  #chain(type: 'and' | 'or' | 'xor', joined: () => boolean, operand: () => Expression): Expression {
    const first = operand();
    if (!joined()) return first;
    const operands = [first];
    do operands.push(operand());
    while (joined());
    return { type, operands };
  }

  #not(): Expression {
    let negations = 0;
    while (this.tokens.takeWord('NOT')) negations += 1;
    const operand = this.#comparison();
    return negations === 0 ? operand : { type: 'not', operand };
  }

  #comparison(): Expression {
    const { tokens } = this;
    const operators: string[] = [];
    const operands = [this.#predicate()];
    let tested = false;
    for (;;) {
      const { type, value } = tokens.peek();
      if (type === 'operator' && COMPARISONS.has(value)) {
        tokens.next();
        operators.push(value);
        if (tokens.isWord('ALL', 'ANY', 'SOME') && tokens.isOperator('(', 1)) {
          tokens.next();
          operands.push({ type: 'operation', operands: [this.#parentheses()] });
        } else operands.push(this.#predicate());
      } else if (tokens.takeWord('IS')) {
        tokens.takeWord('NOT');
        tokens.expectWord('NULL', 'TRUE', 'FALSE', 'UNKNOWN');
        tested = true;
      } else break;
    }
    if (tested) return { type: 'operation', operands };
    return operators.length === 0 ? operands[0]! : { type: 'comparison', operators, operands };
  }

  #predicate(): Expression {
    const { tokens } = this;
    let left = this.arithmetic();
    for (;;) {
      const negated = tokens.isWord('NOT') && tokens.wordAt(1, 'IN', 'BETWEEN', 'LIKE', 'REGEXP', 'RLIKE');
      if (negated) tokens.next();
      if (tokens.takeWord('IN')) {
        // Parenthesised expressions or one query.
        const list = tokens.isOperator('(') ? this.#list() : tokens.fail('(');
        left = { type: 'in', negated, operand: left, list };
      } else if (tokens.takeWord('BETWEEN')) {
        const low = this.arithmetic();
        tokens.expectWord('AND');
        left = { type: 'operation', operands: [left, low, tokens.deeper(() => this.#predicate())] };
      } else if (tokens.takeWord('LIKE')) {
        const operands = [left, this.arithmetic()];
        if (tokens.takeWord('ESCAPE')) operands.push(this.arithmetic());
        left = { type: 'operation', operands };
      } else if (tokens.takeWord('REGEXP', 'RLIKE')) {
        left = { type: 'pattern', value: left, pattern: this.arithmetic() };
      } else if (tokens.isWord('SOUNDS') && tokens.wordAt(1, 'LIKE')) {
        tokens.takeWords('SOUNDS', 'LIKE');
        left = { type: 'operation', operands: [left, this.arithmetic()] };
      } else if (tokens.isWord('MEMBER') && (tokens.wordAt(1, 'OF') || tokens.isOperator('(', 1))) {
        tokens.next();
        tokens.takeWord('OF');
        left = { type: 'operation', operands: [left, this.#parentheses()] };
      } else return left;
    }
  }

  #list(): Expression[] {
    const inside = this.#parentheses();
    if (inside.type === 'row') return [...inside.items];
    return [inside];
  }

  /** An expression without comparisons and logic, as IN, LIKE and BETWEEN take on their sides. */
  arithmetic(): Expression {
    const operands = [this.#operand()];
    let isArithmetic = false;
    for (;;) {
      const joinsTexts = this.tokens.isOperator('||');
      if (!this.#takeArithmeticOperator()) break;
      isArithmetic ||= !joinsTexts;
      operands.push(this.#operand());
    }
    if (operands.length === 1) return operands[0]!;
    return isArithmetic ? { type: 'operation', does: 'arithmetic', operands } : { type: 'operation', operands };
  }

  #takeArithmeticOperator(): boolean {
    const { tokens } = this;
    const { type, value } = tokens.peek();
    if (type === 'operator' && (ARITHMETIC.has(value) || (value === '||' && tokens.state.pipesAsConcat))) {
      tokens.next();
      return true;
    }
    return tokens.takeWord('DIV', 'MOD');
  }

  #operand(): Expression {
    const { tokens } = this;
    let minus = 0;
    let changed = false;
    for (;;) {
      if (tokens.takeOperator('-')) minus += 1;
      else if (tokens.takeOperator('~') || tokens.takeOperator('!')) changed = true;
      else if (tokens.isWord('BINARY')) {
        tokens.next();
        changed = true;
      } else if (!tokens.takeOperator('+')) break;
    }
    let value = this.#primary();
    for (;;) {
      if (tokens.takeWord('COLLATE')) {
        if (tokens.peek().type === 'string' || tokens.isWord('BINARY')) tokens.next();
        else tokens.name();
        changed = true;
      } else if (tokens.takeOperator('->') || tokens.takeOperator('->>')) {
        tokens.string();
        value = call('json_extract', [value]);
      } else break;
    }
    if (changed) return { type: 'operation', operands: [value] };
    if (minus === 0) return value;
    if (value.type === 'literal' && value.kind === 'number')
      return minus % 2 === 0 ? value : { ...value, value: `-${value.value}` };
    return { type: 'operation', does: 'arithmetic', operands: [value] };
  }

  #primary(): Expression {
    const { tokens } = this;
    const token = tokens.peek();
    switch (token.type) {
      case 'string': {
        let value = '';
        while (tokens.peek().type === 'string') value += tokens.next().value;
        return { type: 'literal', kind: 'text', value };
      }
      case 'introducer': {
        tokens.next();
        const { type } = tokens.peek();
        if (type !== 'string' && type !== 'bits') tokens.fail('a literal');
        return { type: 'literal', kind: 'text', value: tokens.next().value };
      }
      case 'bits':
        tokens.next();
        return { type: 'literal', kind: 'bits', value: token.value };
      case 'number':
        tokens.next();
        return { type: 'literal', kind: 'number', value: token.value };
      case 'parameter':
        tokens.next();
        return { type: 'parameter', index: Number(token.value) };
      case 'variable':
        tokens.next();
        if (!tokens.takeOperator(':=')) return { type: 'variable', name: token.value.toLowerCase() };
        return { type: 'assignment', name: token.value.toLowerCase(), value: this.expression() };
      case 'operator':
        if (token.value === '(') return this.#parentheses();
        if (token.value === '@@') return this.#setting();
        if (token.value === '{') return this.#odbc();
        return tokens.fail('an expression');
      case 'name':
        return this.#nameOrCall();
      case 'word':
        return this.#wordOrCall();
      default:
        return tokens.fail('an expression');
    }
  }

  /** A query or a row in parentheses; a row of one is its item. */
  #parentheses(): Expression {
    return this.tokens.deeper(() => this.#insideParentheses());
  }

  #insideParentheses(): Expression {
    const { tokens } = this;
    tokens.expectOperator('(');
    if (this.startsQuery()) {
      const query = this.query();
      tokens.expectOperator(')');
      return { type: 'query', query };
    }
    const isNested = tokens.isOperator('(');
    const items = [this.expression()];
    const first = items[0]!;
    // ((SELECT ...) UNION ...): only now it shows that this is a query.
    if (isNested && first.type === 'query' && this.continuesQuery()) {
      const query = this.queryAfter(first.query);
      tokens.expectOperator(')');
      return { type: 'query', query };
    }
    while (tokens.takeOperator(',')) items.push(this.expression());
    tokens.expectOperator(')');
    return items.length === 1 ? first : { type: 'row', items };
  }

  /** After `@@`. */
  #setting(): Expression {
    return { type: 'setting', name: this.settingName().name };
  }

  /** `@@x`, `@@global.x`, `@@a.b` (a variable of a component or key cache); the name in lower case. */
  settingName(): { readonly scope: string | null; readonly name: string } {
    const { tokens } = this;
    tokens.expectOperator('@@');
    const parts = [this.#settingPart()];
    while (tokens.takeOperator('.')) parts.push(this.#settingPart());
    const scope = parts.length > 1 && SCOPES.has(parts[0]!) ? parts.shift()! : null;
    return { scope, name: parts.join('.') };
  }

  #settingPart(): string {
    const { type } = this.tokens.peek();
    if (type !== 'name' && type !== 'word') this.tokens.fail('the name of a setting');
    return this.tokens.next().value.toLowerCase();
  }

  /** `{d '2026-01-01'}`; any name may stand in front, and nothing comes of it. */
  #odbc(): Expression {
    const { tokens } = this;
    tokens.expectOperator('{');
    tokens.name();
    const value = this.expression();
    tokens.expectOperator('}');
    return { type: 'operation', operands: [value] };
  }

  #nameOrCall(): Expression {
    const { tokens } = this;
    const isQuoted = tokens.peek().end - tokens.peek().start !== tokens.peek().value.length;
    const first = tokens.next().value;
    if (tokens.isOperator('(')) {
      const keyword = first.toUpperCase();
      const isBuiltIn =
        NEEDS_ITS_PARENTHESIS.has(keyword) || FUNCTION_WORDS.has(keyword) || GRAMMAR_FUNCTIONS.has(keyword);
      if (isQuoted && isBuiltIn) {
        throw new NotUnderstood(`quoted name of a built-in function: ${first}`);
      }
      return this.#call({ schema: null, name: first.toLowerCase() });
    }
    return this.#column(first);
  }

  /** The rest of `a`, `a.b`, `a.b.c`, `a.f(...)`. */
  #column(first: string): Expression {
    const { tokens } = this;
    if (!tokens.takeOperator('.')) return { type: 'column', schema: null, table: null, name: first };
    if (tokens.isOperator('*')) return this.#star(null, first);
    const second = tokens.name();
    if (tokens.isOperator('(')) return this.#call({ schema: first, name: second.toLowerCase() });
    if (!tokens.takeOperator('.')) return { type: 'column', schema: null, table: first, name: second };
    if (tokens.isOperator('*')) return this.#star(first, second);
    return { type: 'column', schema: first, table: second, name: tokens.name() };
  }

  #star(schema: string | null, table: string): Expression {
    this.tokens.next();
    return { type: 'column', schema, table, name: '*' };
  }

  #wordOrCall(): Expression {
    const { tokens } = this;
    const { keyword, value, end } = tokens.peek();
    switch (keyword) {
      case 'NULL':
        tokens.next();
        return { type: 'literal', kind: 'null', value: '' };
      case 'TRUE':
      case 'FALSE':
        tokens.next();
        return { type: 'literal', kind: 'number', value: keyword === 'TRUE' ? '1' : '0' };
      case 'DEFAULT':
        tokens.next();
        if (!tokens.isOperator('(')) return { type: 'literal', kind: 'default', value: '' };
        return { type: 'operation', operands: [this.#parentheses()] };
      case 'IGNORE':
        // MariaDB: a value that leaves the column as it is.
        if (!tokens.isMaria) break;
        tokens.next();
        return { type: 'literal', kind: 'default', value: '' };
      case 'EXISTS':
        if (!tokens.isOperator('(', 1)) break;
        tokens.next();
        return this.#exists();
      case 'CASE':
        return this.#case();
      case 'INTERVAL':
        return this.#interval();
      case 'ROW':
        if (!tokens.isOperator('(', 1)) break;
        tokens.next();
        return this.#parentheses();
      case 'DATE':
      case 'TIME':
      case 'TIMESTAMP':
        if (tokens.peek(1).type !== 'string') break;
        tokens.next();
        return { type: 'literal', kind: 'text', value: tokens.string() };
      case 'MATCH':
        return this.#match();
      case 'NEXT':
      case 'PREVIOUS':
        if (!tokens.wordAt(1, 'VALUE') || !tokens.wordAt(2, 'FOR')) break;
        tokens.next();
        tokens.next();
        tokens.next();
        return { type: 'sequence', name: tokens.qualifiedName(), advances: keyword === 'NEXT' };
    }
    if (tokens.isOperator('(', 1)) {
      if (!tokens.isName() && !FUNCTION_WORDS.has(keyword)) tokens.fail('an expression');
      tokens.next();
      if (NEEDS_ITS_PARENTHESIS.has(keyword) && tokens.peek().start !== end && !tokens.state.ignoreSpace) {
        throw new NotUnderstood(`white space between ${value} and its parenthesis`);
      }
      return this.#call({ schema: null, name: value.toLowerCase() });
    }
    if (WITHOUT_PARENTHESES.has(keyword)) {
      tokens.next();
      return call(keyword.toLowerCase(), []);
    }
    if (!tokens.isName()) tokens.fail('an expression');
    tokens.next();
    return this.#column(value);
  }

  #exists(): Expression {
    const inside = this.#parentheses();
    return inside.type === 'query'
      ? { type: 'exists', query: inside.query }
      : { type: 'operation', operands: [inside] };
  }

  #case(): Expression {
    const { tokens } = this;
    tokens.expectWord('CASE');
    const operands: Expression[] = [];
    if (!tokens.isWord('WHEN')) operands.push(this.expression());
    if (!tokens.isWord('WHEN')) tokens.fail('WHEN');
    while (tokens.takeWord('WHEN')) {
      operands.push(this.expression());
      tokens.expectWord('THEN');
      operands.push(this.expression());
    }
    if (tokens.takeWord('ELSE')) operands.push(this.expression());
    tokens.expectWord('END');
    return { type: 'operation', does: 'choice', operands };
  }

  /** `INTERVAL 1 DAY`, or the function INTERVAL(a, b, ...). */
  #interval(): Expression {
    const { tokens } = this;
    tokens.expectWord('INTERVAL');
    const value = this.expression();
    if (!tokens.takeWord(...UNITS) && value.type !== 'row') tokens.fail('a unit of time');
    return { type: 'operation', operands: [value] };
  }

  #match(): Expression {
    const { tokens } = this;
    tokens.expectWord('MATCH');
    const columns = tokens.isOperator('(') ? this.#parentheses() : { type: 'row' as const, items: this.expressions() };
    tokens.expectWord('AGAINST');
    tokens.expectOperator('(');
    const text = this.arithmetic();
    if (tokens.takeWord('IN')) {
      if (tokens.takeWords('BOOLEAN', 'MODE') || tokens.takeWords('NATURAL', 'LANGUAGE', 'MODE')) {
        // The mode changes nothing here.
      } else tokens.fail('a mode');
    }
    if (tokens.takeWord('WITH')) {
      tokens.expectWord('QUERY');
      tokens.expectWord('EXPANSION');
    }
    tokens.expectOperator(')');
    return { type: 'operation', operands: [columns, text] };
  }

  #call(name: Name): Expression {
    return this.tokens.deeper(() => {
      const special = name.schema === null ? SPECIAL_ARGUMENTS[name.name] : undefined;
      const { tokens } = this;
      tokens.expectOperator('(');
      const over: Expression[] = [];
      const given = special === undefined ? this.#plainArguments(name, over) : special(this, over);
      tokens.expectOperator(')');
      over.push(...this.#afterCall());
      return { type: 'call', name, arguments: given, over };
    });
  }

  #plainArguments({ schema, name }: Name, over: Expression[]): Expression[] {
    const { tokens } = this;
    if (tokens.isOperator(')')) return [];
    if (schema !== null || !AGGREGATES.has(name)) return this.expressions();
    if (tokens.takeOperator('*')) return [];
    const isDistinct = tokens.takeWord('DISTINCT');
    if (!isDistinct) tokens.takeWord('ALL');
    const given = this.expressions();
    if (isDistinct) over.push(...given);
    return given;
  }

  /** FILTER-like clauses and OVER. */
  #afterCall(): Expression[] {
    const { tokens } = this;
    const found: Expression[] = [];
    if (tokens.isWord('FROM') && tokens.wordAt(1, 'FIRST', 'LAST') && tokens.wordAt(2, 'OVER', 'RESPECT', 'IGNORE')) {
      tokens.next();
      tokens.next();
    }
    if (tokens.isWord('RESPECT', 'IGNORE') && tokens.wordAt(1, 'NULLS')) {
      tokens.next();
      tokens.next();
    }
    if (tokens.isWord('WITHIN') && tokens.wordAt(1, 'GROUP')) {
      tokens.next();
      tokens.next();
      found.push(...tokens.parenthesised(() => this.orderBy()));
    }
    if (tokens.takeWord('OVER')) {
      if (tokens.isOperator('(')) found.push(...this.window());
      else tokens.name();
    }
    return found;
  }

  /** A window specification in its parentheses. */
  window(): Expression[] {
    const { tokens } = this;
    return tokens.parenthesised(() => {
      const found: Expression[] = [];
      if (tokens.isName() && !tokens.isWord('ROWS', 'RANGE', 'GROUPS')) tokens.name();
      if (tokens.takeWord('PARTITION')) {
        tokens.expectWord('BY');
        found.push(...this.expressions());
      }
      if (tokens.isWord('ORDER')) found.push(...this.orderBy());
      if (tokens.takeWord('ROWS', 'RANGE', 'GROUPS')) {
        const isBetween = tokens.takeWord('BETWEEN');
        found.push(...this.#frameBound());
        if (isBetween) {
          tokens.expectWord('AND');
          found.push(...this.#frameBound());
        }
        if (tokens.takeWord('EXCLUDE')) {
          if (!tokens.takeWords('CURRENT', 'ROW') && !tokens.takeWords('NO', 'OTHERS'))
            tokens.expectWord('GROUP', 'TIES');
        }
      }
      return found;
    });
  }

  #frameBound(): Expression[] {
    const { tokens } = this;
    if (tokens.takeWords('CURRENT', 'ROW')) return [];
    const found = tokens.takeWord('UNBOUNDED') ? [] : [this.arithmetic()];
    tokens.expectWord('PRECEDING', 'FOLLOWING');
    return found;
  }

  /** ORDER BY with its list. */
  orderBy(): Expression[] {
    const { tokens } = this;
    tokens.expectWord('ORDER');
    tokens.expectWord('BY');
    return this.sortList();
  }

  sortList(): Expression[] {
    const { tokens } = this;
    return tokens.list(() => {
      const value = this.expression();
      tokens.takeWord('ASC', 'DESC');
      return value;
    });
  }

  /** A type as CAST and its like name it: `CHAR(10) CHARACTER SET utf8mb4`, `UNSIGNED INTEGER`, `DECIMAL(10,2)`. */
  type(): void {
    const { tokens } = this;
    if (!tokens.isWord(...TYPE_WORDS)) tokens.fail('a type');
    for (;;) {
      if (tokens.takeWords('CHARACTER', 'SET') || tokens.takeWord('CHARSET', 'COLLATE')) {
        if (tokens.peek().type === 'string' || tokens.isWord('BINARY', 'DEFAULT')) tokens.next();
        else tokens.name();
      } else if (tokens.isOperator('(')) tokens.skipParentheses();
      else if (!tokens.takeWord(...TYPE_WORDS, ...TYPE_OPTIONS)) return;
    }
  }
}

const COMPARISONS = new Set(['=', '<=>', '<', '>', '<=', '>=', '<>', '!=']);
const ARITHMETIC = new Set(['+', '-', '*', '/', '%', '^', '&', '|', '<<', '>>']);
const SCOPES = new Set(['global', 'session', 'local', 'persist', 'persist_only']);

/** Functions called without parentheses. */
const WITHOUT_PARENTHESES = new Set(
  `CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_ROLE LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME
   UTC_TIMESTAMP`.split(/\s+/),
);

/** Reserved words that are functions as well. */
const FUNCTION_WORDS = new Set(
  `CHAR CONVERT CUME_DIST CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_ROLE DATABASE DENSE_RANK FIRST_VALUE
   GROUPING IF INSERT LAG LAST_VALUE LEAD LEFT LOCALTIME LOCALTIMESTAMP MOD NTH_VALUE NTILE PERCENT_RANK RANK REPEAT REPLACE
   RIGHT ROW_NUMBER SCHEMA UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES BINARY`.split(/\s+/),
);

/**
 * Built-in functions only if the parenthesis follows at once; with white space before it, or quoted, the server looks for
 * a stored function of that name.
 */
const NEEDS_ITS_PARENTHESIS = new Set(
  `ADDDATE BIT_AND BIT_OR BIT_XOR CAST COUNT CURDATE CURTIME DATE_ADD DATE_SUB DATE_FORMAT DECODE EXTRACT GROUP_CONCAT
   JSON_ARRAYAGG JSON_OBJECTAGG MAX MEDIAN MID MIN NOW POSITION SESSION_USER STD STDDEV STDDEV_POP STDDEV_SAMP SUBDATE SUBSTR
   SUBSTRING SUM SYSDATE SYSTEM_USER TRIM TRIM_ORACLE VARIANCE VAR_POP VAR_SAMP`.split(/\s+/),
);

/** Further functions of the grammar: they are built in only if their name is not quoted. */
const GRAMMAR_FUNCTIONS = new Set(
  `ASCII AVG CHARSET COALESCE COLLATION CONTAINS DATE DAY FORMAT GEOMETRYCOLLECTION GET_FORMAT HOUR JSON_VALUE LINESTRING
   MICROSECOND MINUTE MONTH MULTILINESTRING MULTIPOINT MULTIPOLYGON OLD_PASSWORD PASSWORD POINT POLYGON QUARTER REVERSE ROW_COUNT
   SECOND TIME TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TRUNCATE USER WEEK WEIGHT_STRING YEAR LOG INSTR LASTVAL NEXTVAL SETVAL`.split(
    /\s+/,
  ),
);

/** Functions over all rows of a group. */
export const AGGREGATES: ReadonlySet<string> = new Set(
  `avg bit_and bit_or bit_xor count max min std stddev stddev_pop stddev_samp sum var_pop var_samp variance any_value
   json_arrayagg json_objectagg group_concat st_collect`.split(/\s+/),
);

const UNITS =
  `MICROSECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR SECOND_MICROSECOND MINUTE_MICROSECOND MINUTE_SECOND
  HOUR_MICROSECOND HOUR_SECOND HOUR_MINUTE DAY_MICROSECOND DAY_SECOND DAY_MINUTE DAY_HOUR YEAR_MONTH SQL_TSI_SECOND
  SQL_TSI_MINUTE SQL_TSI_HOUR SQL_TSI_DAY SQL_TSI_WEEK SQL_TSI_MONTH SQL_TSI_QUARTER SQL_TSI_YEAR`.split(/\s+/);

const TYPE_WORDS =
  `BINARY CHAR NCHAR NATIONAL CHARACTER VARCHAR DATE DATETIME TIME TIMESTAMP YEAR DECIMAL DEC NUMERIC DOUBLE FLOAT
  REAL INT INTEGER SIGNED UNSIGNED JSON BIGINT SMALLINT TINYINT MEDIUMINT INTERVAL DAY_SECOND POINT LINESTRING POLYGON MULTIPOINT
  MULTILINESTRING MULTIPOLYGON GEOMETRY GEOMETRYCOLLECTION INET4 INET6 UUID VECTOR`.split(/\s+/);
const TYPE_OPTIONS = ['PRECISION', 'ARRAY', 'ZEROFILL', 'ASCII', 'UNICODE', 'VARYING'];

/** Types to which a cast fails for what is no value of them; others make NULL or 0 of it. */
const FAILING_TYPES = ['JSON', 'INET4', 'INET6', 'UUID', 'VECTOR', 'POINT', 'GEOMETRY', 'POLYGON', 'LINESTRING'];

function call(name: string, given: readonly Expression[]): Expression {
  return { type: 'call', name: { schema: null, name }, arguments: given, over: [] };
}

/** Reads arguments; what decides their order and groups goes to `over`. */
type ArgumentReader = (parser: ExpressionParser, over: Expression[]) => Expression[];

/** Arguments with words of their own between them. */
const SPECIAL_ARGUMENTS: Readonly<Record<string, ArgumentReader>> = {
  cast: (parser) => {
    const value = parser.expression();
    if (parser.tokens.takeWord('AT')) {
      parser.tokens.expectWord('TIME');
      parser.tokens.expectWord('ZONE');
      parser.tokens.takeWord('INTERVAL');
      parser.tokens.string();
    }
    parser.tokens.expectWord('AS');
    const canFail = parser.tokens.isWord(...FAILING_TYPES);
    parser.type();
    return canFail ? [{ type: 'operation', does: 'conversion', operands: [value] }] : [value];
  },
  convert: (parser) => {
    const { tokens } = parser;
    const value = parser.expression();
    if (tokens.takeWord('USING')) {
      if (tokens.peek().type === 'string' || tokens.isWord('BINARY', 'DEFAULT')) tokens.next();
      else tokens.name();
    } else {
      tokens.expectOperator(',');
      const canFail = tokens.isWord(...FAILING_TYPES);
      parser.type();
      if (canFail) return [{ type: 'operation', does: 'conversion', operands: [value] }];
    }
    return [value];
  },
  extract: (parser) => {
    parser.tokens.expectWord(...UNITS);
    parser.tokens.expectWord('FROM');
    return [parser.expression()];
  },
  trim: (parser) => {
    const { tokens } = parser;
    const found: Expression[] = [];
    const sided = tokens.takeWord('BOTH', 'LEADING', 'TRAILING');
    if (!(sided && tokens.isWord('FROM'))) found.push(parser.expression());
    if (tokens.takeWord('FROM')) found.push(parser.expression());
    return found;
  },
  substring: substringArguments,
  substr: substringArguments,
  mid: substringArguments,
  position: (parser) => {
    const found = [parser.arithmetic()];
    parser.tokens.expectWord('IN');
    return [...found, parser.expression()];
  },
  char: (parser) => {
    const found = parser.expressions();
    if (parser.tokens.takeWord('USING')) {
      if (parser.tokens.isWord('BINARY')) parser.tokens.next();
      else parser.tokens.name();
    }
    return found;
  },
  group_concat: groupConcatArguments,
  json_arrayagg: groupConcatArguments,
  column_create: typedArguments,
  column_add: typedArguments,
  column_get: typedArguments,
  weight_string: (parser) => {
    const { tokens } = parser;
    const value = parser.expression();
    if (tokens.takeWord('AS')) parser.type();
    if (tokens.takeWord('LEVEL')) {
      tokens.list(() => {
        const level = parser.arithmetic();
        while (tokens.takeWord('ASC', 'DESC', 'REVERSE'));
        return level;
      });
    }
    while (tokens.takeOperator(',')) parser.expression();
    return [value];
  },
  get_format: (parser) => {
    parser.tokens.expectWord('DATE', 'TIME', 'DATETIME', 'TIMESTAMP');
    parser.tokens.expectOperator(',');
    return [parser.expression()];
  },
  timestampadd: unitFirst,
  timestampdiff: unitFirst,
  json_value: (parser) => {
    const { tokens } = parser;
    const found = parser.expressions();
    if (tokens.takeWord('RETURNING')) parser.type();
    for (let clauses = 0; clauses < 2; clauses += 1) {
      if (tokens.takeWord('DEFAULT')) found.push(parser.expression());
      else if (!tokens.takeWord('NULL', 'ERROR')) break;
      tokens.expectWord('ON');
      tokens.expectWord('EMPTY', 'ERROR');
    }
    return found;
  },
};

/** MariaDB's dynamic columns: any value may say its type. */
function typedArguments(parser: ExpressionParser): Expression[] {
  return parser.tokens.list(() => {
    const value = parser.expression();
    if (parser.tokens.takeWord('AS')) parser.type();
    return value;
  });
}

function substringArguments(parser: ExpressionParser): Expression[] {
  const found = [parser.expression()];
  if (parser.tokens.takeWord('FROM')) {
    found.push(parser.expression());
    if (parser.tokens.takeWord('FOR')) found.push(parser.expression());
    return found;
  }
  while (parser.tokens.takeOperator(',')) found.push(parser.expression());
  return found;
}

function groupConcatArguments(parser: ExpressionParser, over: Expression[]): Expression[] {
  const { tokens } = parser;
  const isDistinct = tokens.takeWord('DISTINCT');
  const found = parser.expressions();
  if (isDistinct) over.push(...found);
  if (tokens.isWord('ORDER')) over.push(...parser.orderBy());
  if (tokens.takeWord('SEPARATOR')) found.push(parser.expression());
  if (tokens.takeWord('LIMIT')) {
    over.push(parser.expression());
    if (tokens.takeOperator(',') || tokens.takeWord('OFFSET')) over.push(parser.expression());
  }
  return found;
}

function unitFirst(parser: ExpressionParser): Expression[] {
  parser.tokens.expectWord(...UNITS);
  parser.tokens.expectOperator(',');
  return parser.expressions();
}

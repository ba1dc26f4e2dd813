import { ExpressionParser } from './expression-parser.ts';
import { NotUnderstood } from './token-reader.ts';
import type {
  Arm,
  Assignment,
  CommonTable,
  Delete,
  Expression,
  Insert,
  Into,
  Query,
  Select,
  Table,
  TableReference,
  Update,
} from './tree.ts';

/** SELECT, INSERT, REPLACE, UPDATE, DELETE and what is in them. */
export abstract class QueryParser extends ExpressionParser {
  /** In ON DUPLICATE KEY UPDATE, where VALUES(column) is an expression in parentheses, too. */
  #isInOnDuplicate = false;

  startsQuery(): boolean {
    const { tokens } = this;
    if (tokens.isWord('SELECT', 'WITH')) return true;
    // VALUES(column) is an expression; VALUES ROW(...) and MariaDB's VALUES (...) are queries. TABLE is reserved.
    if (tokens.isWord('VALUES')) return tokens.wordAt(1, 'ROW') || (tokens.isMaria && !this.#isInOnDuplicate);
    return tokens.isWord('TABLE');
  }

  query(): Query {
    return this.tokens.deeper(() => {
      const ctes = this.tokens.isWord('WITH') ? this.withClause() : NO_CTES;
      return this.#queryFrom([this.#arm()], ctes);
    });
  }

  /** A query expression that may be in parentheses itself. */
  queryOrParenthesised(): Query {
    const { tokens } = this;
    if (!tokens.isOperator('(')) return this.startsQuery() ? this.query() : tokens.fail('a query');
    return this.#queryFrom([this.#arm()], NO_CTES);
  }

  protected queryAfter(first: Query): Query {
    return this.#queryFrom([{ type: 'nested', query: first }], NO_CTES);
  }

  protected continuesQuery(): boolean {
    return this.tokens.isWord(
      'UNION',
      'EXCEPT',
      'INTERSECT',
      'MINUS',
      'ORDER',
      'LIMIT',
      'OFFSET',
      'FETCH',
      'INTO',
      'FOR',
      'LOCK',
    );
  }

  withClause(): { readonly ctes: CommonTable[]; readonly isRecursive: boolean } {
    const { tokens } = this;
    tokens.expectWord('WITH');
    const isRecursive = tokens.takeWord('RECURSIVE');
    const ctes = tokens.list(() => {
      const name = tokens.name();
      const columns = tokens.isOperator('(') ? this.#names() : [];
      tokens.expectWord('AS');
      const query = tokens.parenthesised(() => this.queryOrParenthesised());
      if (tokens.takeWord('CYCLE')) {
        tokens.list(() => tokens.name());
        tokens.expectWord('RESTRICT');
      }
      return { name, columns, query };
    });
    if (ctes.length > MOST_CTES) throw new NotUnderstood('too many common table expressions');
    return { ctes, isRecursive };
  }

  #names(): string[] {
    return this.tokens.parenthesised(() =>
      this.tokens.isOperator(')') ? [] : this.tokens.list(() => this.tokens.name()),
    );
  }

  #queryFrom(arms: Arm[], { ctes, isRecursive }: { ctes: readonly CommonTable[]; isRecursive: boolean }): Query {
    const { tokens } = this;
    let comparesArms = false;
    while (tokens.isWord('UNION', 'EXCEPT', 'INTERSECT', 'MINUS')) {
      const isUnion = tokens.next().keyword === 'UNION';
      const isAll = tokens.takeWord('ALL');
      if (!isAll) tokens.takeWord('DISTINCT');
      comparesArms ||= !(isUnion && isAll);
      arms.push(this.#arm());
    }
    const orderBy: Expression[] = [];
    const limit: Expression[] = [];
    const into: Into[] = [];
    let locks = false;
    let procedure: Expression | null = null;
    for (;;) {
      if (tokens.isWord('ORDER')) orderBy.push(...this.orderBy());
      else if (tokens.isWord('LIMIT', 'OFFSET', 'FETCH')) limit.push(...this.#limit());
      else if (tokens.isWord('INTO')) into.push(...this.#into());
      else if (tokens.isWord('PROCEDURE')) {
        tokens.next();
        procedure = this.arithmetic();
      } else if (tokens.isWord('FOR', 'LOCK')) {
        this.#lock();
        locks = true;
      } else break;
    }
    return { ctes, isRecursive, arms, comparesArms, orderBy, limit, into, locks, procedure };
  }

  #arm(): Arm {
    const { tokens } = this;
    if (tokens.isOperator('(')) {
      const query = tokens.deeper(() => tokens.parenthesised(() => this.queryOrParenthesised()));
      return { type: 'nested', query };
    }
    if (tokens.takeWord('VALUES')) {
      const rows = tokens.list(() => {
        tokens.takeWord('ROW');
        return tokens.parenthesised(() => (tokens.isOperator(')') ? [] : this.expressions()));
      });
      return { type: 'values', rows };
    }
    if (tokens.takeWord('TABLE'))
      return { type: 'table', table: { type: 'table', name: tokens.qualifiedName(), alias: null } };
    return this.#select();
  }

  #select(): Select {
    const { tokens } = this;
    tokens.expectWord('SELECT');
    let isDistinct = false;
    while (tokens.isWord(...SELECT_OPTIONS) && !tokens.isOperator('.', 1)) {
      isDistinct ||= tokens.isWord('DISTINCT', 'DISTINCTROW');
      tokens.next();
    }
    const found = tokens.list(() => this.#labelledItem());
    const items = found.map(({ value }) => value);
    const labels = found.map(({ label }) => label);
    const into = tokens.isWord('INTO') ? this.#into() : [];
    const from = tokens.takeWord('FROM') ? this.tableReferences() : [];
    const where = tokens.takeWord('WHERE') ? this.expression() : null;
    const further: Expression[] = [];
    if (tokens.takeWord('GROUP')) {
      tokens.expectWord('BY');
      further.push(...this.sortList());
      if (tokens.takeWord('WITH')) tokens.expectWord('ROLLUP', 'CUBE');
    }
    if (tokens.takeWord('HAVING')) further.push(this.expression());
    if (tokens.isWord('WINDOW') && tokens.wordAt(2, 'AS')) {
      tokens.next();
      tokens.list(() => {
        tokens.name();
        tokens.expectWord('AS');
        further.push(...this.window());
      });
    }
    if (tokens.takeWord('QUALIFY')) further.push(this.expression());
    return { type: 'select', isDistinct, items, labels, into, from, where, further };
  }

  /** `*`, or an expression with its label. */
  selectItem(): Expression {
    return this.#labelledItem().value;
  }

  #labelledItem(): { readonly value: Expression; readonly label: string | null } {
    const { tokens } = this;
    if (tokens.takeOperator('*')) return { value: ALL_COLUMNS, label: null };
    const value = this.expression();
    if (tokens.takeWord('AS'))
      return { value, label: tokens.peek().type === 'string' ? tokens.next().value : tokens.name() };
    if (tokens.peek().type === 'string' || tokens.isName()) return { value, label: tokens.next().value };
    return { value, label: null };
  }

  #limit(): Expression[] {
    const { tokens } = this;
    const found: Expression[] = [];
    if (tokens.takeWord('LIMIT')) {
      if (tokens.takeWords('ROWS', 'EXAMINED')) return [this.arithmetic()];
      found.push(this.arithmetic());
      if (tokens.takeOperator(',') || tokens.takeWord('OFFSET')) found.push(this.arithmetic());
      if (tokens.takeWords('ROWS', 'EXAMINED')) found.push(this.arithmetic());
      return found;
    }
    if (tokens.takeWord('OFFSET')) {
      found.push(this.arithmetic());
      tokens.expectWord('ROW', 'ROWS');
    }
    if (tokens.takeWord('FETCH')) {
      tokens.expectWord('FIRST', 'NEXT');
      if (!tokens.isWord('ROW', 'ROWS')) found.push(this.arithmetic());
      tokens.expectWord('ROW', 'ROWS');
      if (!tokens.takeWord('ONLY')) {
        tokens.expectWord('WITH');
        tokens.expectWord('TIES');
      }
    }
    return found;
  }

  #into(): Into[] {
    const { tokens } = this;
    tokens.expectWord('INTO');
    if (tokens.takeWord('OUTFILE')) {
      const path = tokens.string();
      this.#exportOptions();
      return [{ type: 'file', path }];
    }
    if (tokens.takeWord('DUMPFILE')) return [{ type: 'file', path: tokens.string() }];
    return tokens.list(() => {
      if (tokens.peek().type !== 'variable') tokens.fail('OUTFILE, DUMPFILE or a variable');
      return { type: 'variable', name: tokens.next().value.toLowerCase() };
    });
  }

  /** How a file of rows is written or read: CHARACTER SET, FIELDS, LINES. */
  #exportOptions(): void {
    const { tokens } = this;
    if (tokens.takeWords('CHARACTER', 'SET') || tokens.takeWord('CHARSET')) tokens.next();
    const takeDelimiters = (...words: readonly string[]) => {
      while (tokens.takeWord(...words)) {
        tokens.takeWord('ENCLOSED');
        tokens.expectWord('BY');
        if (tokens.peek().type !== 'string' && tokens.peek().type !== 'bits') tokens.fail('a string');
        tokens.next();
      }
    };
    if (tokens.takeWord('FIELDS', 'COLUMNS')) takeDelimiters('TERMINATED', 'OPTIONALLY', 'ENCLOSED', 'ESCAPED');
    if (tokens.takeWord('LINES')) takeDelimiters('STARTING', 'TERMINATED');
  }

  #lock(): void {
    const { tokens } = this;
    if (tokens.takeWords('LOCK', 'IN', 'SHARE', 'MODE')) return;
    tokens.expectWord('FOR');
    tokens.expectWord('UPDATE', 'SHARE');
    if (tokens.takeWord('OF')) tokens.list(() => tokens.qualifiedName());
    if (tokens.takeWord('SKIP')) tokens.expectWord('LOCKED');
    else if (tokens.takeWord('WAIT')) tokens.next();
    else tokens.takeWord('NOWAIT');
  }

  tableReferences(): TableReference[] {
    if (this.tokens.takeWord('DUAL')) return [];
    return this.tokens.list(() => this.tableReference());
  }

  tableReference(): TableReference {
    return this.tokens.deeper(() => this.#joins(this.#tableFactor()));
  }

  /** The joins that follow a table. */
  #joins(first: TableReference): TableReference {
    const { tokens } = this;
    const tables = [first];
    const conditions: Expression[] = [];
    let isInner = true;
    const merges: string[][] = [];
    // Tables that wait for their ON: a JOIN b JOIN c ON ... ON ... joins b with c first.
    let waiting = 0;
    let isChain = true;
    for (;;) {
      if (tokens.isWord('ON') && !tokens.wordAt(1, 'DUPLICATE')) {
        tokens.next();
        conditions.push(this.expression());
        waiting -= 1;
      } else if (tokens.takeWord('USING')) {
        const names = this.#names();
        conditions.push({ type: 'operation', operands: names.map(column) });
        if (merges.length > 0) merges[merges.length - 1] = names;
        isChain &&= waiting === 1;
        waiting -= 1;
      } else if (tokens.isWord(...JOIN_WORDS)) {
        isChain &&= waiting <= 0;
        const isNatural = tokens.isWord('NATURAL');
        if (isNatural) conditions.push(ALL_COLUMNS);
        // The columns of the right table come first, then.
        isChain &&= !tokens.isWord('RIGHT') && !(isNatural && tokens.wordAt(1, 'RIGHT'));
        isInner = this.#joinOperator() && isInner;
        tables.push(this.#tableFactor());
        merges.push(isNatural ? ['*'] : []);
        waiting = isNatural ? 0 : 1;
      } else break;
    }
    if (tables.length === 1) {
      if (conditions.length > 0) tokens.fail('a join before ON');
      return first;
    }
    return { type: 'joined', tables, conditions, isInner, merges: isChain ? merges : null };
  }

  /** Takes JOIN with the words before it; false if rows without a match are kept. */
  #joinOperator(): boolean {
    const { tokens } = this;
    if (tokens.takeWord('STRAIGHT_JOIN')) return true;
    tokens.takeWord('NATURAL');
    const isOuter = tokens.takeWord('LEFT', 'RIGHT');
    if (isOuter) tokens.takeWord('OUTER');
    else tokens.takeWord('INNER', 'CROSS');
    tokens.expectWord('JOIN', 'STRAIGHT_JOIN');
    return !isOuter;
  }

  #tableFactor(): TableReference {
    const { tokens } = this;
    if (tokens.isOperator('(')) return this.#parenthesisedTables();
    if (tokens.takeOperator('{')) {
      tokens.name();
      const inside = this.tableReference();
      tokens.expectOperator('}');
      return inside;
    }
    if (tokens.isWord('LATERAL') && tokens.isOperator('(', 1)) {
      tokens.next();
      const derived = this.#parenthesisedTables();
      return derived.type === 'derived' ? { ...derived, lateral: true } : tokens.fail('a query after LATERAL');
    }
    if (tokens.isWord('JSON_TABLE') && tokens.isOperator('(', 1)) return this.#jsonTable();
    return this.table();
  }

  /** A derived table, or tables in parentheses. */
  #parenthesisedTables(): TableReference {
    const { tokens } = this;
    return tokens.deeper(() => {
      tokens.expectOperator('(');
      if (this.startsQuery()) {
        const query = this.query();
        tokens.expectOperator(')');
        return this.#derived(query);
      }
      const isNested = tokens.isOperator('(');
      const first = this.#tableFactor();
      // ((SELECT ...) UNION ...): only now it shows that this is a query.
      if (
        isNested &&
        first.type === 'derived' &&
        first.alias === null &&
        (this.continuesQuery() || tokens.isOperator(')'))
      ) {
        const query = this.continuesQuery() ? this.queryAfter(first.query) : first.query;
        tokens.expectOperator(')');
        return this.#derived(query);
      }
      const tables = [this.#joins(first)];
      while (tokens.takeOperator(',')) tables.push(this.tableReference());
      tokens.expectOperator(')');
      if (tables.length === 1) return tables[0]!;
      return { type: 'joined', tables, conditions: [], isInner: true, merges: tables.slice(1).map(() => []) };
    });
  }

  #jsonTable(): TableReference {
    const { tokens } = this;
    tokens.expectWord('JSON_TABLE');
    const table = tokens.parenthesised(() => {
      const document = this.expression();
      tokens.expectOperator(',');
      const path = this.expression();
      const columns = this.#jsonColumns();
      const call: Expression = {
        type: 'call',
        name: { schema: null, name: 'json_table' },
        arguments: [document, path],
        over: [],
      };
      return { type: 'function' as const, call, columns };
    });
    return { ...table, alias: this.#tableAlias() };
  }

  /** COLUMNS (...) of JSON_TABLE: the names, those of nested columns in their place. */
  #jsonColumns(): string[] {
    const { tokens } = this;
    return tokens.deeper(() => {
      tokens.expectWord('COLUMNS');
      const found = tokens.parenthesised(() =>
        tokens.list(() => {
          if (tokens.takeWord('NESTED')) {
            tokens.takeWord('PATH');
            tokens.string();
            return this.#jsonColumns();
          }
          const name = tokens.name();
          while (!tokens.isOperator(',') && !tokens.isOperator(')') && !tokens.isAtEnd) {
            if (tokens.isWord('SELECT')) throw new NotUnderstood('query in the columns of JSON_TABLE');
            if (tokens.isOperator('(')) tokens.skipParentheses();
            else tokens.next();
          }
          return [name];
        }),
      );
      return found.flat();
    });
  }

  #derived(query: Query): TableReference {
    const alias = this.#tableAlias();
    const columns = alias !== null && this.tokens.isOperator('(') ? this.#names() : [];
    return { type: 'derived', query, alias, columns, lateral: false };
  }

  #tableAlias(): string | null {
    const { tokens } = this;
    if (tokens.takeWord('AS')) return tokens.name();
    if (!tokens.isName() || tokens.isWord(...NO_ALIAS)) return null;
    if (tokens.isWord('WINDOW') && tokens.wordAt(2, 'AS')) return null;
    return tokens.name();
  }

  /** A table with its alias and everything that says which rows or indexes of it. */
  table(): Table {
    const { tokens } = this;
    const name = tokens.qualifiedName();
    if (tokens.takeWord('PARTITION')) this.#names();
    if (tokens.isWord('FOR') && tokens.wordAt(1, 'SYSTEM_TIME')) this.#systemTime();
    const alias = this.#tableAlias();
    while (tokens.isWord('USE', 'IGNORE', 'FORCE') && tokens.wordAt(1, 'INDEX', 'KEY')) {
      tokens.next();
      tokens.next();
      if (tokens.takeWord('FOR')) {
        if (!tokens.takeWord('JOIN')) {
          tokens.expectWord('ORDER', 'GROUP');
          tokens.expectWord('BY');
        }
      }
      tokens.parenthesised(() => {
        if (!tokens.isOperator(')'))
          tokens.list(() => (tokens.isWord('PRIMARY') ? tokens.next().value : tokens.name()));
      });
    }
    return { type: 'table', name, alias };
  }

  /** MariaDB's FOR SYSTEM_TIME: past rows of a versioned table. */
  #systemTime(): void {
    const { tokens } = this;
    tokens.next();
    tokens.next();
    if (tokens.takeWord('ALL')) return;
    const point = () => {
      if (!tokens.isOperator('(', 1)) tokens.takeWord('TIMESTAMP', 'TRANSACTION');
      this.arithmetic();
    };
    if (tokens.takeWord('AS')) {
      tokens.expectWord('OF');
      point();
      return;
    }
    const isBetween = tokens.takeWord('BETWEEN');
    if (!isBetween) tokens.expectWord('FROM');
    point();
    tokens.expectWord(isBetween ? 'AND' : 'TO');
    point();
  }

  insert(): Insert {
    const { tokens } = this;
    const replaces = tokens.takeWord('REPLACE');
    if (!replaces) tokens.expectWord('INSERT');
    let ignores = false;
    while (tokens.isWord('LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE'))
      ignores = tokens.next().keyword === 'IGNORE' || ignores;
    tokens.takeWord('INTO');
    const name = tokens.qualifiedName();
    if (tokens.takeWord('PARTITION')) this.#names();
    const table: Table = { type: 'table', name, alias: null };
    let columns: string[] = [];
    const isParenthesisedQuery =
      tokens.isOperator('(') && (tokens.isOperator('(', 1) || tokens.wordAt(1, 'SELECT', 'WITH', 'TABLE', 'VALUES'));
    if (tokens.isOperator('(') && !isParenthesisedQuery) columns = this.#columnNames();
    let rows: Expression[][] = [];
    let query: Query | null = null;
    if (tokens.isWord('VALUES', 'VALUE')) {
      tokens.next();
      rows = tokens.list(() => {
        tokens.takeWord('ROW');
        return tokens.parenthesised(() => (tokens.isOperator(')') ? [] : this.expressions()));
      });
    } else if (tokens.takeWord('SET')) {
      const assignments = this.assignments();
      columns = assignments.map((one) => (one.column.type === 'column' ? one.column.name : ''));
      rows = [assignments.map((one) => one.value)];
    } else query = this.queryOrParenthesised();
    let row: Insert['row'] = null;
    if (tokens.takeWord('AS')) {
      const rowName = tokens.name();
      row = { name: rowName, columns: tokens.isOperator('(') ? this.#names() : columns };
    }
    let onDuplicate: Assignment[] | null = null;
    if (tokens.takeWords('ON', 'DUPLICATE', 'KEY', 'UPDATE')) {
      this.#isInOnDuplicate = true;
      onDuplicate = this.assignments();
      this.#isInOnDuplicate = false;
    }
    const returning = this.#returning();
    return { type: 'insert', replaces, ignores, table, columns, rows, query, row, onDuplicate, returning };
  }

  /** Columns to insert into, which may be qualified. */
  #columnNames(): string[] {
    const { tokens } = this;
    return tokens.parenthesised(() =>
      tokens.isOperator(')')
        ? []
        : tokens.list(() => {
            let name = tokens.name();
            while (tokens.takeOperator('.')) name = tokens.name();
            return name;
          }),
    );
  }

  assignments(): Assignment[] {
    const { tokens } = this;
    return tokens.list(() => {
      const first = tokens.name();
      let target: Expression = { type: 'column', schema: null, table: null, name: first };
      if (tokens.takeOperator('.')) {
        const second = tokens.name();
        target = { type: 'column', schema: null, table: first, name: second };
        if (tokens.takeOperator('.')) target = { type: 'column', schema: first, table: second, name: tokens.name() };
      }
      if (!tokens.takeOperator('=')) tokens.expectOperator(':=');
      return { column: target, value: this.expression() };
    });
  }

  #returning(): Expression[] | null {
    const { tokens } = this;
    return tokens.takeWord('RETURNING') ? tokens.list(() => this.selectItem()) : null;
  }

  /** MariaDB's FOR PORTION OF. */
  #portion(): Expression[] {
    const { tokens } = this;
    if (!tokens.isWord('FOR') || !tokens.wordAt(1, 'PORTION')) return [];
    tokens.next();
    tokens.next();
    tokens.expectWord('OF');
    tokens.name();
    tokens.expectWord('FROM');
    const from = this.expression();
    tokens.expectWord('TO');
    return [from, this.expression()];
  }

  update(): Update {
    const { tokens } = this;
    const { ctes, isRecursive } = tokens.isWord('WITH') ? this.withClause() : NO_CTES;
    tokens.expectWord('UPDATE');
    while (tokens.takeWord('LOW_PRIORITY', 'IGNORE'));
    const tables = this.tableReferences();
    const portion = this.#portion();
    tokens.expectWord('SET');
    const assignments = this.assignments();
    const where = tokens.takeWord('WHERE') ? this.expression() : null;
    const further = [...portion, ...this.#orderAndLimit()];
    return { type: 'update', ctes, isRecursive, tables, assignments, where, further, returning: this.#returning() };
  }

  delete(): Delete {
    const { tokens } = this;
    const { ctes, isRecursive } = tokens.isWord('WITH') ? this.withClause() : NO_CTES;
    tokens.expectWord('DELETE');
    while (tokens.takeWord('LOW_PRIORITY', 'QUICK', 'IGNORE'));
    if (tokens.isWord('HISTORY') && tokens.wordAt(1, 'FROM')) {
      tokens.next();
      tokens.next();
      const table = this.table();
      if (tokens.takeWord('BEFORE')) {
        tokens.takeWord('SYSTEM_TIME');
        if (!tokens.isOperator('(', 1)) tokens.takeWord('TIMESTAMP', 'TRANSACTION');
        this.expression();
      }
      return {
        type: 'delete',
        ctes,
        isRecursive,
        targets: [nameIn(table)],
        tables: [table],
        where: null,
        further: [],
        returning: null,
      };
    }
    let targets: { schema: string | null; name: string }[];
    let tables: TableReference[];
    let portion: Expression[] = [];
    if (tokens.takeWord('FROM')) {
      const start = this.#deleteTargets();
      if (tokens.takeWord('USING')) {
        targets = start.map(({ name }) => name);
        tables = this.tableReferences();
      } else {
        if (start.length !== 1 || start[0]!.hasStar) tokens.fail('USING');
        const { name } = start[0]!;
        if (tokens.takeWord('PARTITION')) this.#names();
        portion = this.#portion();
        const table: Table = { type: 'table', name, alias: this.#tableAlias() };
        tables = [table];
        targets = [nameIn(table)];
      }
    } else {
      targets = this.#deleteTargets().map(({ name }) => name);
      tokens.expectWord('FROM');
      tables = this.tableReferences();
    }
    const where = tokens.takeWord('WHERE') ? this.expression() : null;
    const further = [...portion, ...this.#orderAndLimit()];
    return { type: 'delete', ctes, isRecursive, targets, tables, where, further, returning: this.#returning() };
  }

  /** `t`, `s.t`, `t.*`, with commas. */
  #deleteTargets(): { name: { schema: string | null; name: string }; hasStar: boolean }[] {
    const { tokens } = this;
    return tokens.list(() => {
      tokens.takeOperator('.');
      const parts = [tokens.name()];
      let hasStar = false;
      while (tokens.takeOperator('.')) {
        if (tokens.takeOperator('*')) {
          hasStar = true;
          break;
        }
        parts.push(tokens.name());
      }
      if (parts.length > 2) tokens.fail('a table');
      return { name: { schema: parts.length === 2 ? parts[0]! : null, name: parts.at(-1)! }, hasStar };
    });
  }

  #orderAndLimit(): Expression[] {
    const found: Expression[] = [];
    if (this.tokens.isWord('ORDER')) found.push(...this.orderBy());
    if (this.tokens.isWord('LIMIT')) found.push(...this.#limit());
    return found;
  }
}

/** Most names of a WITH clause. */
const MOST_CTES = 256;

const NO_CTES = { ctes: [], isRecursive: false } as const;

const SELECT_OPTIONS =
  `ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT
  SQL_CACHE SQL_NO_CACHE SQL_CALC_FOUND_ROWS`.split(/\s+/);

const ALL_COLUMNS: Expression = { type: 'column', schema: null, table: null, name: '*' };

const JOIN_WORDS = ['JOIN', 'INNER', 'CROSS', 'LEFT', 'RIGHT', 'NATURAL', 'STRAIGHT_JOIN'];

/** Words that are not reserved, and yet begin a clause after a table. */
const NO_ALIAS = ['OFFSET', 'RETURNING', 'MINUS', 'QUALIFY', 'VALUES', 'TABLESAMPLE', 'CYCLE', 'SYSTEM_TIME', 'PERIOD'];

function column(name: string): Expression {
  return { type: 'column', schema: null, table: null, name };
}

function nameIn(table: Table): { schema: string | null; name: string } {
  return table.alias === null ? table.name : { schema: null, name: table.alias };
}

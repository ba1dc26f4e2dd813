import type { EffectName, ObjectName } from '../facts.ts';

/** What the parser makes of a statement: as much of its structure as decides what the statement does. */

export interface Name {
  readonly schema: string | null;
  readonly name: string;
}

export type Expression =
  /** `bits` are text or a number, as their surroundings want them. */
  | { readonly type: 'literal'; readonly kind: 'text' | 'number' | 'bits' | 'null' | 'default'; readonly value: string }
  | { readonly type: 'parameter'; readonly index: number }
  | { readonly type: 'variable'; readonly name: string }
  | { readonly type: 'setting'; readonly name: string }
  | { readonly type: 'column'; readonly schema: string | null; readonly table: string | null; readonly name: string }
  | {
      readonly type: 'call';
      readonly name: Name;
      readonly arguments: readonly Expression[];
      /** What decides which rows it is over, in which order and groups: DISTINCT, ORDER BY, OVER. */
      readonly over: readonly Expression[];
    }
  /** `PREVIOUS VALUE FOR` only tells of this session. */
  | { readonly type: 'sequence'; readonly name: Name; readonly advances: boolean }
  | { readonly type: 'and' | 'or' | 'xor'; readonly operands: readonly Expression[] }
  | { readonly type: 'not'; readonly operand: Expression }
  /** `a = b = c` has three operands and two operators. */
  | { readonly type: 'comparison'; readonly operators: readonly string[]; readonly operands: readonly Expression[] }
  | {
      readonly type: 'in';
      readonly negated: boolean;
      readonly operand: Expression;
      readonly list: readonly Expression[];
    }
  | { readonly type: 'row'; readonly items: readonly Expression[] }
  | { readonly type: 'assignment'; readonly name: string; readonly value: Expression }
  | { readonly type: 'query'; readonly query: Query }
  /** Whether it has rows; which columns it selects says nothing. */
  | { readonly type: 'exists'; readonly query: Query }
  | { readonly type: 'pattern'; readonly value: Expression; readonly pattern: Expression }
  /**
   * Whatever else computes a value from values: LIKE, BETWEEN, IS NULL. `arithmetic` and `conversion` can fail by a value, `choice` (CASE)
   * computes some of its operands only.
   */
  | {
      readonly type: 'operation';
      readonly operands: readonly Expression[];
      readonly does?: 'arithmetic' | 'conversion' | 'choice';
    };

/** The expressions an expression is made of; not those of its sub-selects. */
export function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.type) {
    case 'call':
      return expression.over.length === 0 ? expression.arguments : [...expression.arguments, ...expression.over];
    case 'not':
      return [expression.operand];
    case 'in':
      return [expression.operand, ...expression.list];
    case 'row':
      return expression.items;
    case 'assignment':
      return [expression.value];
    case 'pattern':
      return [expression.value, expression.pattern];
    case 'and':
    case 'or':
    case 'xor':
    case 'comparison':
    case 'operation':
      return expression.operands;
    default:
      return [];
  }
}

export interface Query {
  readonly ctes: readonly CommonTable[];
  readonly isRecursive: boolean;
  readonly arms: readonly Arm[];
  /** Rows of the arms are compared with each other: by anything but UNION ALL. */
  readonly comparesArms: boolean;
  readonly orderBy: readonly Expression[];
  readonly limit: readonly Expression[];
  readonly into: readonly Into[];
  /** FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE. */
  readonly locks: boolean;
  /** PROCEDURE ANALYSE(...). */
  readonly procedure: Expression | null;
}

export interface CommonTable {
  readonly name: string;
  /** Names given to its columns; empty if they have those of the query. */
  readonly columns: readonly string[];
  readonly query: Query;
}

export type Arm =
  | Select
  | { readonly type: 'values'; readonly rows: readonly (readonly Expression[])[] }
  | { readonly type: 'table'; readonly table: Table }
  | { readonly type: 'nested'; readonly query: Query };

export interface Select {
  readonly type: 'select';
  readonly isDistinct: boolean;
  readonly items: readonly Expression[];
  /** What each item is called in the text; `null` where it has no alias. */
  readonly labels: readonly (string | null)[];
  /** INTO before FROM. */
  readonly into: readonly Into[];
  readonly from: readonly TableReference[];
  readonly where: Expression | null;
  /** GROUP BY, HAVING and WINDOW. */
  readonly further: readonly Expression[];
}

export interface Table {
  readonly type: 'table';
  readonly name: Name;
  readonly alias: string | null;
}

export type TableReference =
  | Table
  /** LATERAL: it sees the tables before it. */
  | {
      readonly type: 'derived';
      readonly query: Query;
      readonly alias: string | null;
      /** Names given to its columns; empty if they have those of the query. */
      readonly columns: readonly string[];
      readonly lateral: boolean;
    }
  /** JSON_TABLE, with the names of its columns. */
  | {
      readonly type: 'function';
      readonly call: Expression;
      readonly columns: readonly string[];
      readonly alias: string | null;
    }
  | {
      readonly type: 'joined';
      readonly tables: readonly TableReference[];
      /** ON conditions, and USING as comparisons of columns. */
      readonly conditions: readonly Expression[];
      /** True if every condition has to hold for a row to be kept. */
      readonly isInner: boolean;
      /**
       * For each table after the first, the columns that are one with those of the tables before it: USING, or `*` for
       * NATURAL. `null` where their order in `SELECT *` cannot be told from this list.
       */
      readonly merges: readonly (readonly string[])[] | null;
    };

export type Into =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'variable'; readonly name: string };

export interface Assignment {
  readonly column: Expression;
  readonly value: Expression;
}

export interface Insert {
  readonly type: 'insert';
  readonly replaces: boolean;
  readonly table: Table;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Expression[])[];
  readonly query: Query | null;
  /** IGNORE: a row whose key is there already is left out in silence. */
  readonly ignores: boolean;
  /** MySQL's name for the row that is inserted: `VALUES (1, 2) AS new (a, b)`. */
  readonly row: { readonly name: string; readonly columns: readonly string[] } | null;
  /** ON DUPLICATE KEY UPDATE; `null` without it. */
  readonly onDuplicate: readonly Assignment[] | null;
  readonly returning: readonly Expression[] | null;
}

export interface Update {
  readonly type: 'update';
  readonly ctes: readonly CommonTable[];
  readonly isRecursive: boolean;
  readonly tables: readonly TableReference[];
  readonly assignments: readonly Assignment[];
  readonly where: Expression | null;
  /** ORDER BY and LIMIT. */
  readonly further: readonly Expression[];
  readonly returning: readonly Expression[] | null;
}

export interface Delete {
  readonly type: 'delete';
  readonly ctes: readonly CommonTable[];
  readonly isRecursive: boolean;
  /** Names of what rows are deleted from: tables or their aliases in `tables`. */
  readonly targets: readonly Name[];
  readonly tables: readonly TableReference[];
  readonly where: Expression | null;
  readonly further: readonly Expression[];
  readonly returning: readonly Expression[] | null;
}

/** One thing a statement does, said by its first words alone. */
export interface Action {
  readonly effect: EffectName;
  readonly object: ObjectName | null;
  readonly via: string | null;
  /** Of a setting, where it is constant. */
  readonly value?: string;
}

/** A statement that is no query: what it does, and the expressions and queries in it. */
export interface Plain {
  readonly type: 'plain';
  readonly kind: string;
  readonly actions: readonly Action[];
  readonly expressions: readonly Expression[];
  readonly inner: readonly { readonly statement: Statement; readonly via: string }[];
  /** `EXECUTE name`. */
  readonly executes: string | null;
  readonly deallocates: string | null;
  /** The client character set it sets cannot be read safely; why. */
  readonly refuses: string | null;
  /** It may change how later text is read. */
  readonly changesLexing: boolean;
}

export type Statement =
  | { readonly type: 'query'; readonly query: Query }
  | Insert
  | Update
  | Delete
  | Plain
  | {
      readonly type: 'explain';
      readonly executes: boolean;
      /** The columns of the plan. */
      readonly columns: readonly string[];
      readonly statement: Statement;
    }
  | {
      readonly type: 'prepare';
      readonly name: string | null;
      readonly text: string;
      readonly using: readonly Expression[];
    };

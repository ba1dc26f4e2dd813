import type { EffectName, ObjectName } from '../facts.ts';

/** What the parser makes of a statement: as much of its structure as decides what the statement does. */

export interface Name {
  readonly schema: string | null;
  readonly name: string;
}

export type Expression =
  | { readonly type: 'literal'; readonly kind: 'text' | 'number' | 'null' | 'default'; readonly value: string }
  | { readonly type: 'parameter' }
  | { readonly type: 'variable'; readonly name: string }
  | { readonly type: 'setting'; readonly name: string }
  | { readonly type: 'column'; readonly schema: string | null; readonly table: string | null; readonly name: string }
  | { readonly type: 'call'; readonly name: Name; readonly arguments: readonly Expression[] }
  | { readonly type: 'sequence'; readonly name: Name }
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
  | { readonly type: 'pattern'; readonly value: Expression; readonly pattern: Expression }
  /** Whatever else computes a value from values: arithmetic, CASE, LIKE, BETWEEN, IS NULL. */
  | { readonly type: 'operation'; readonly operands: readonly Expression[] };

export interface Query {
  readonly ctes: readonly CommonTable[];
  readonly isRecursive: boolean;
  readonly arms: readonly Arm[];
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
  /** JSON_TABLE. */
  | { readonly type: 'function'; readonly call: Expression; readonly alias: string | null }
  | {
      readonly type: 'joined';
      readonly tables: readonly TableReference[];
      /** ON conditions, and USING as comparisons of columns. */
      readonly conditions: readonly Expression[];
      /** True if every condition has to hold for a row to be kept. */
      readonly isInner: boolean;
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
  | { readonly type: 'explain'; readonly executes: boolean; readonly statement: Statement }
  | {
      readonly type: 'prepare';
      readonly name: string | null;
      readonly text: string;
      readonly using: readonly Expression[];
    };

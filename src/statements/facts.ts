import type { OwnStatement } from './own-statement.ts';

/**
 * Facts: what the analysis found in a statement. Facts never decide; `policy` does.
 */

/** Everything one statement can do to one object. Classes of effects are in {@link EFFECT_CLASSES}. */
export type EffectName =
  | 'read'
  | 'insert'
  | 'update'
  | 'delete'
  | 'merge'
  | 'truncate'
  | 'copy-in'
  | 'copy-out'
  | 'create'
  | 'alter'
  | 'drop'
  | 'rename'
  | 'comment'
  | 'grant'
  | 'revoke'
  | 'role'
  | 'set-session'
  | 'set-role'
  | 'set-global'
  | 'call-function'
  | 'call-procedure'
  | 'file'
  | 'program'
  | 'network'
  | 'large-object'
  | 'lock'
  | 'maintenance'
  | 'admin'
  | 'transaction'
  | 'cursor'
  | 'notify'
  | 'listen'
  | 'prepare'
  | 'execute'
  | 'explain'
  | 'resource'
  | 'opaque';

/** The names a rule can use for a group of effects. An effect can be in several classes. */
export const EFFECT_CLASSES = {
  read: ['read', 'copy-out'],
  write: ['insert', 'update', 'delete', 'merge', 'truncate', 'copy-in'],
  ddl: ['create', 'alter', 'drop', 'rename', 'comment'],
  privilege: ['grant', 'revoke', 'role'],
  session: ['set-session', 'set-role', 'set-global'],
  admin: ['lock', 'maintenance', 'admin'],
  exfiltration: ['file', 'program', 'network', 'large-object'],
  resource: ['resource'],
  opaque: ['opaque'],
} as const satisfies Record<string, readonly EffectName[]>;

/**
 * What the condition of an update, delete or read proves about the rows of its target, from wide to narrow. What cannot be
 * shown to be narrower counts as the wider, so `bounded` and `keyed` are proofs and the others are not.
 *
 * - `none`: there is no condition.
 * - `tautology`: it keeps every or nearly every row, or constrains another relation only.
 * - `open`: it constrains the target in form only: ranges, patterns, inequalities, functions, sub-selects, other relations.
 * - `bounded`: an equality or IN between a column of the target and constants or binds holds for every row.
 * - `keyed`: bounded on all columns of one unique key.
 */
export type Predicate = 'none' | 'tautology' | 'open' | 'bounded' | 'keyed';

/** The object an effect is on, as written: `null` parts were not given in the text. Names are folded as the server folds them. */
export interface ObjectName {
  readonly kind: 'relation' | 'function' | 'setting' | 'schema' | 'database' | 'role' | 'other';
  readonly schema: string | null;
  readonly name: string;
  /**
   * For a relation: the catalogue has it under this name, so that what a view reads has effects of its own. Absent: it may be
   * a view of anything.
   */
  readonly catalogued?: true;
}

export interface Effect {
  readonly effect: EffectName;
  /** `null` where the effect has no object (BEGIN) or it cannot be known. */
  readonly object: ObjectName | null;
  /** For update, delete and read of a relation; `null` where it does not apply. */
  readonly predicate: Predicate | null;
  /**
   * For `opaque`: why Sluice cannot know. For `resource`: what it costs. For others: the construct it hides in (`cte`,
   * `explain analyze`, `view v`, `trigger x`, `foreign key`), or `null`.
   */
  readonly via: string | null;
  /** The columns of the object it reads or writes; absent: all of them, or it cannot be told. */
  readonly columns?: readonly string[];
  /**
   * Other relations whose rows it touches under this name: those the object inherits from or is a partition of, and its
   * own children and partitions. What denies one of them denies the effect; what allows one of them does not allow it.
   */
  readonly also?: readonly ObjectName[];
  /** For `set-session` and `set-global`: the value, where it is constant. */
  readonly value?: string;
}

/** A stored column. `column` is `*` where some of the columns are meant and it cannot be told which. */
export interface ColumnName {
  readonly schema: string | null;
  readonly relation: string;
  readonly column: string;
}

/**
 * What a value is computed from.
 *
 * - `none`: from no stored value; `columns` is empty.
 * - `plain`: it is the value of one stored column. Read through views it has several names: `columns` has them all.
 * - `derived`: it is computed from these columns, or which of them it is depends on the row.
 * - `unknown`: it cannot be told; `columns` are those known to be among its sources.
 */
export interface Lineage {
  readonly from: 'none' | 'plain' | 'derived' | 'unknown';
  readonly columns: readonly ColumnName[];
}

export interface OutputColumn extends Lineage {
  /** The label as the server makes it up; informative, since labels prove nothing. */
  readonly name: string;
}

/**
 * A stored column that has an influence other than by being shown.
 *
 * - `equality`: compared with constants or binds by `=` or IN.
 * - `join`: compared by `=` with another stored column, which has the names `with`.
 * - `condition`: anything else that decides which rows, how many, in which order or groups, or which of several values.
 * - `copy`: its value goes somewhere else than to the client: into a relation, a setting, a function that does something.
 */
export interface ColumnUse extends ColumnName {
  readonly use: 'equality' | 'join' | 'condition' | 'copy';
  readonly with?: readonly ColumnName[];
}

/**
 * The literals of a statement in the order of its text, and its parameters from `$1` on: the stored columns each is compared
 * with or written to; none for a number of rows. `null` where it can be anything.
 */
export interface GivenValues {
  readonly literals: readonly (readonly ColumnName[] | null)[];
  readonly parameters: readonly (readonly ColumnName[] | null)[];
}

/** A change made by SQL text to the session's prepared statements or cursors, in the order of the text. */
export type NameChange =
  | { readonly op: 'prepare'; readonly name: string; readonly inner: StatementFacts }
  /** DECLARE: `inner` is what FETCH from the cursor reads. */
  | { readonly op: 'declare'; readonly name: string; readonly inner: StatementFacts }
  | { readonly op: 'deallocate'; readonly name: string }
  | { readonly op: 'deallocate-all' };

export interface StatementFacts {
  /** The parser's name for the statement, upper case with spaces: `SELECT`, `CREATE TABLE`, `EXPLAIN`. `OPAQUE` if unparsed. */
  readonly kind: string;
  readonly effects: readonly Effect[];
  /** Names of prepared statements run by this one (SQL `EXECUTE name`): their effects count, and only the session knows them. */
  readonly executes: readonly string[];
  /** The cursor whose rows it returns, which only the session knows. */
  readonly fetches?: string;
  /** How the rows of COPY TO STDOUT are written; absent for every other statement. */
  readonly copyOut?: CopyFormat;
  readonly nameChange: NameChange | null;
  /** True if it may change how later text is read (client_encoding, standard_conforming_strings, ... or cannot be known). */
  readonly changesLexing: boolean;
  /**
   * Why no rule may let this statement through, in words that go on behind "the statement", or `null`. The one case: it sets a client_encoding in which a backslash
   * or quote byte can be half of a character (SJIS, BIG5, GBK, GB18030, UHC, JOHAB, SHIFT_JIS_2004, an unknown one, or,
   * in PostgreSQL, one that cannot be read from the text). The gateway refuses it before it asks the rules.
   */
  readonly refuses: string | null;
  /** The columns of its result, in order; empty if it has none, absent if they cannot be told. */
  readonly outputs?: readonly OutputColumn[];
  /** Every stored column that is used other than for output; absent if they cannot be told. */
  readonly uses?: readonly ColumnUse[];
  /** What the values given in it meet; absent if that cannot be told of any. */
  readonly given?: GivenValues;
  /**
   * MySQL: parameters, from 0, that name the rows of a write by a column of text; absent if there are none. A number in
   * their place keeps every row whose text begins with no digit: then the predicates of the effects do not hold.
   */
  readonly textParameters?: readonly number[];
  /** What it asks of Sluice itself; absent for every statement of the server's. */
  readonly asks?: OwnStatement;
  /** What the client says about itself by it, in the order of the text; absent if nothing. It has no effect besides. */
  readonly claims?: readonly ClaimChange[];
  /** Hash that is equal for statements that differ only in literals; 16 hex digits. `''` if unparsed. */
  readonly fingerprint: string;
  /** Its text as JSON, where another thread has read it and it is long: to make that of some megabytes takes too long elsewhere. */
  readonly json?: string;
  /** Start and end of this statement in the analysed text, in UTF-16 code units. */
  readonly start: number;
  readonly end: number;
}

/** A claim that a client makes or takes back: `SET sluice.intent = '...'`, `SET @sluice_intent = '...'`. */
export interface ClaimChange {
  /** Without `sluice.`. */
  readonly name: string;
  /** `null` for none; absent where the text does not say it. */
  readonly value?: string | null;
}

/** The options of COPY TO STDOUT (PostgreSQL documentation, COPY), with the defaults of the format. */
export interface CopyFormat {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  readonly null: string;
  readonly header: boolean;
  readonly quote: string;
  readonly escape: string;
  /** Of the data; `null` for the client's. */
  readonly encoding: string | null;
}

/** What one Query or Parse text holds; an empty list for an empty query. */
export interface TextFacts {
  readonly statements: readonly StatementFacts[];
}

/** Session settings that change how the server reads text. */
export interface LexingState {
  readonly standardConformingStrings: boolean;
}

/** Facts of text that cannot be read: one opaque statement of `length` code units, with the reason why. */
export function opaqueText(length: number, reason: string): TextFacts {
  return {
    statements: [
      {
        kind: 'OPAQUE',
        effects: [{ effect: 'opaque', object: null, predicate: null, via: reason }],
        executes: [],
        nameChange: null,
        changesLexing: true,
        refuses: null,
        fingerprint: '',
        start: 0,
        end: length,
      },
    ],
  };
}

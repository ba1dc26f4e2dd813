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
  opaque: ['opaque'],
} as const satisfies Record<string, readonly EffectName[]>;

/** How an update, delete or read constrains its target. What cannot be shown to be narrower counts as the wider. */
export type Predicate = 'none' | 'present';

/** The object an effect is on, as written: `null` parts were not given in the text. Names are folded as the server folds them. */
export interface ObjectName {
  readonly kind: 'relation' | 'function' | 'setting' | 'schema' | 'database' | 'role' | 'other';
  readonly schema: string | null;
  readonly name: string;
}

export interface Effect {
  readonly effect: EffectName;
  /** `null` where the effect has no object (BEGIN) or it cannot be known. */
  readonly object: ObjectName | null;
  /** For update, delete and read of a relation; `null` where it does not apply. */
  readonly predicate: Predicate | null;
  /** For `opaque`: why Sluice cannot know. For others: the construct it hides in (`cte`, `explain analyze`), or `null`. */
  readonly via: string | null;
}

/** A change to the session's prepared-statement namespace made by SQL text, in the order of the text. */
export type NameChange =
  | { readonly op: 'prepare'; readonly name: string; readonly inner: StatementFacts }
  | { readonly op: 'deallocate'; readonly name: string }
  | { readonly op: 'deallocate-all' };

export interface StatementFacts {
  /** The parser's name for the statement, upper case with spaces: `SELECT`, `CREATE TABLE`, `EXPLAIN`. `OPAQUE` if unparsed. */
  readonly kind: string;
  readonly effects: readonly Effect[];
  /** Names of prepared statements run by this one (SQL `EXECUTE name`): their effects count, and only the session knows them. */
  readonly executes: readonly string[];
  readonly nameChange: NameChange | null;
  /** True if it may change how later text is read (client_encoding, standard_conforming_strings, ... or cannot be known). */
  readonly changesLexing: boolean;
  /**
   * Why no rule may let this statement through, or `null`. The one case: it sets a client_encoding in which a backslash
   * or quote byte can be half of a character (SJIS, BIG5, GBK, GB18030, UHC, JOHAB, SHIFT_JIS_2004, an unknown one, or
   * one that cannot be read from the text). The gateway refuses it before it asks the rules.
   */
  readonly refuses: string | null;
  /** Hash that is equal for statements that differ only in literals; 16 hex digits. `''` if unparsed. */
  readonly fingerprint: string;
  /** Start and end of this statement in the analysed text, in UTF-16 code units. */
  readonly start: number;
  readonly end: number;
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

/** What is written to the tables of the index in bulk, for both databases. */

export type Cell = string | number | null;
/** Cells in the order of the columns. */
export type Row = readonly Cell[];

/** Columns that rows are inserted with, and their types. */
export const COLUMNS = {
  index_sessions: {
    ...{ id: 'int', session: 'text', subject: 'text', issuer: 'text', kind: 'text', owner: 'text', groups: 'text' },
    ...{ connection: 'text', address: 'text', tls: 'int', application: 'text', state: 'text', reason: 'text' },
    ...{ first_at: 'int', last_at: 'int', started: 'int', ended: 'int' },
    ...{ statements: 'int', refused: 'int', errors: 'int' },
    ...{ from_segment: 'int', from_byte: 'int', from_seq: 'int', to_segment: 'int', to_byte: 'int' },
  },
  index_profiles: {
    ...{ id: 'int', digest: 'text', event: 'text', subject: 'text', issuer: 'text', kind: 'text', owner: 'text' },
    ...{ connection: 'text', verdict: 'text', status: 'text', sqlstate: 'text', refused_by: 'text' },
    ...{ rules: 'text', masks: 'text' },
  },
  index_profile_rules: { rule: 'text', profile: 'int' },
  index_shapes: { id: 'int', digest: 'text', fingerprint: 'text', statement: 'text', effects: 'text' },
  index_shape_objects: { object: 'text', shape: 'int' },
  index_traces: { id: 'int', trace: 'text' },
  index_pairs: { part: 'int', profile: 'int' },
  index_texts: { id: 'int', text: 'text' },
  index_entries: {
    ...{ at: 'int', id: 'int', profile: 'int', shape: 'int', session: 'int', number: 'int', text: 'int' },
    ...{ trace: 'int', approval: 'int', rows: 'int', affected: 'int', bytes: 'int', micros: 'int' },
  },
} as const satisfies Record<string, Readonly<Record<string, 'int' | 'text'>>>;
export type InsertedTable = keyof typeof COLUMNS;
export const INSERTED_TABLES = Object.keys(COLUMNS) as InsertedTable[];

/**
 * What happens to a column when a row is changed: `key` finds the row, `set` replaces, `first` keeps what is there unless it is
 * null, `last` takes what is new unless that is null, `add` adds.
 */
export type Change = 'key' | 'set' | 'first' | 'last' | 'add';

export const CHANGES = {
  index_entries: {
    ...{ profile: 'set', rows: 'set', affected: 'set', bytes: 'set', micros: 'set', at: 'key', id: 'key' },
  },
  index_sessions: {
    ...{ subject: 'first', issuer: 'first', kind: 'first', owner: 'first', groups: 'first', connection: 'first' },
    ...{ address: 'first', tls: 'first', application: 'first', state: 'last', reason: 'last' },
    ...{ last_at: 'last', started: 'first', ended: 'last', statements: 'add', refused: 'add', errors: 'add' },
    ...{ to_segment: 'last', to_byte: 'last', id: 'key' },
  },
} as const satisfies Partial<Record<InsertedTable, Readonly<Record<string, Change>>>>;
export type ChangedTable = keyof typeof CHANGES;

/** `"a" = ...` for each column that is changed. @param given the text that stands for the new value of a column */
export function assignments(table: ChangedTable, given: (column: string) => string): string {
  const columns: [string, Change][] = Object.entries(CHANGES[table]);
  return columns
    .filter(([, change]) => change !== 'key')
    .map(([column, change]) => `"${column}" = ${newValue(`${table}."${column}"`, given(column), change)}`)
    .join(', ');
}

function newValue(old: string, given: string, change: Change): string {
  if (change === 'add') return `${old} + ${given}`;
  if (change === 'set') return given;
  return change === 'first' ? `coalesce(${old}, ${given})` : `coalesce(${given}, ${old})`;
}

/** `"a" = ...` for each column of the key. */
export function keyCondition(table: ChangedTable, given: (column: string) => string): string {
  const columns: [string, Change][] = Object.entries(CHANGES[table]);
  return columns
    .filter(([, change]) => change === 'key')
    .map(([column]) => `${table}."${column}" = ${given(column)}`)
    .join(' and ');
}

export interface Found {
  readonly id: number;
  readonly value: string;
}

/** The database the index is in. Parameters are `?1`, `?2`, ... in the texts. */
export interface IndexSql {
  all<Result>(text: string, values: readonly Cell[]): Promise<Result[]>;
  run(text: string, values: readonly Cell[]): Promise<void>;
  /** The ids, at least `from` and below `to`, of rows whose column has one of these values. */
  find(table: InsertedTable, column: string, values: readonly string[], from: number, to: number): Promise<Found[]>;
  /** Rows that are there already are left as they are. */
  insert(table: InsertedTable, rows: readonly Row[]): Promise<void>;
  /** @param rows cells in the order of {@link CHANGES} */
  change(table: ChangedTable, rows: readonly Row[]): Promise<void>;
  /** All that `work` does, or nothing. */
  transaction(work: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

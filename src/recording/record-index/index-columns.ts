/** What is written to the tables of the index in bulk, for both databases. */

export type Cell = string | number | null | Uint8Array;
/** Cells in the order of the columns. */
export type Row = readonly Cell[];

/** Columns that rows are inserted with, and their types. */
export const COLUMNS = {
  index_sessions: {
    ...{ id: 'int', session: 'text', subject: 'text', issuer: 'text', kind: 'text', owner: 'text', groups: 'text' },
    ...{ connection: 'text', address: 'text', tls: 'int', application: 'text', state: 'text', reason: 'text' },
    ...{ first_at: 'int', last_at: 'int', started: 'int', ended: 'int' },
    ...{ statements: 'int', refused: 'int', errors: 'int' },
    ...{ from_segment: 'int', from_byte: 'int', from_seq: 'int', to_segment: 'int', to_byte: 'int', to_seq: 'int' },
  },
  index_profiles: {
    ...{ id: 'int', digest: 'text', event: 'text', subject: 'text', issuer: 'text', kind: 'text', owner: 'text' },
    ...{ connection: 'text', verdict: 'text', status: 'text', sqlstate: 'text', refused_by: 'text' },
    ...{ rules: 'text', masks: 'text' },
  },
  index_profile_rules: { rule: 'text', profile: 'int' },
  index_shapes: { id: 'int', digest: 'text', fingerprint: 'text', statement: 'text', effects: 'text' },
  index_shape_objects: { object: 'text', shape: 'int' },
  index_texts: { id: 'int', text: 'text' },
  index_blocks: {
    ...{
      id: 'int',
      last_id: 'int',
      first_at: 'int',
      last_at: 'int',
      parts: 'bytes',
      traces: 'bytes',
      entries: 'bytes',
    },
  },
} as const satisfies Record<string, Readonly<Record<string, ColumnType>>>;
export type ColumnType = 'int' | 'text' | 'bytes';
export type InsertedTable = keyof typeof COLUMNS;
export const INSERTED_TABLES = Object.keys(COLUMNS) as InsertedTable[];

/** `insert into ... (columns)` without the rows. */
export function insertInto(table: InsertedTable): string {
  return `insert into ${table} (${columnNames(Object.keys(COLUMNS[table]))})`;
}

/** What happens to rows that are there already: a block is written again when it has more in it, all others stay as they are. */
export function onConflict(table: InsertedTable): string {
  if (table !== 'index_blocks') return 'on conflict do nothing';
  const changed = Object.keys(COLUMNS.index_blocks).filter((column) => column !== 'id');
  return `on conflict (id) do update set ${changed.map((column) => `${column} = excluded.${column}`).join(', ')}`;
}

/**
 * What happens to a column when a row is changed: `key` finds the row, `first` keeps what is there unless it is null, `last` takes
 * what is new unless that is null, `add` adds.
 */
type Change = 'key' | 'first' | 'last' | 'add';

/** What is new of sessions: of those that were seen before, no index has to be looked at for it. */
export const CHANGES = {
  known: {
    ...{ subject: 'first', issuer: 'first', kind: 'first', owner: 'first', groups: 'first', connection: 'first' },
    ...{ address: 'first', tls: 'first', application: 'first', state: 'last', reason: 'last' },
    ...{ last_at: 'last', started: 'first', ended: 'last', statements: 'add', refused: 'add', errors: 'add' },
    ...{ to_segment: 'last', to_byte: 'last', to_seq: 'last', id: 'key' },
  },
  seen: {
    ...{ last_at: 'last', statements: 'add', refused: 'add', errors: 'add' },
    ...{ to_segment: 'last', to_byte: 'last', to_seq: 'last', id: 'key' },
  },
} as const satisfies Record<string, Readonly<Partial<Record<keyof typeof COLUMNS.index_sessions, Change>>>>;
export type SessionChangeKind = keyof typeof CHANGES;
export type ChangedColumn = keyof typeof CHANGES.known;

/** `update index_sessions set ...` @param given the text that stands for the new value of a column @param from comes before `where` */
export function updateSessions(
  kind: SessionChangeKind,
  given: (column: ChangedColumn) => string,
  from: (columns: readonly ChangedColumn[]) => string = () => '',
): string {
  const columns = Object.entries(CHANGES[kind]) as [ChangedColumn, Change][];
  const set = columns
    .filter(([, change]) => change !== 'key')
    .map(([column, change]) => `"${column}" = ${newValue(`index_sessions."${column}"`, given(column), change)}`);
  const source = from(columns.map(([column]) => column));
  return `update index_sessions set ${set.join(', ')} ${source} where index_sessions.id = ${given('id')}`;
}

function newValue(old: string, given: string, change: Change): string {
  if (change === 'add') return `${old} + ${given}`;
  return change === 'first' ? `coalesce(${old}, ${given})` : `coalesce(${given}, ${old})`;
}

/** In quotes: some are words of SQL. */
export function columnNames(columns: readonly string[]): string {
  return columns.map((name) => `"${name}"`).join(', ');
}

export interface Found {
  readonly id: number;
  readonly value: string;
}

/** Whose ids are looked up: by the first column, and which row it is says the second. */
export const LOOK_UPS = {
  index_sessions: ['session', 'session'],
  index_profiles: ['digest', 'digest'],
  index_shapes: ['fingerprint', 'digest'],
} as const satisfies Partial<Record<InsertedTable, readonly [string, string]>>;
export type LookedUpTable = keyof typeof LOOK_UPS;

/** The database the index is in. Parameters are `?1`, `?2`, ... in the texts. */
export interface IndexSql {
  all<Result>(text: string, values: readonly Cell[]): Promise<Result[]>;
  run(text: string, values: readonly Cell[]): Promise<void>;
  /** The rows with ids of at least `from` and below `to` that {@link LOOK_UPS} finds by one of these values. */
  find(table: LookedUpTable, values: readonly string[], from: number, to: number): Promise<Found[]>;
  insert(table: InsertedTable, rows: readonly Row[]): Promise<void>;
  /** @param rows cells in the order of {@link CHANGES} */
  changeSessions(kind: SessionChangeKind, rows: readonly Row[]): Promise<void>;
  /** All that `work` does, or nothing. */
  transaction(work: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

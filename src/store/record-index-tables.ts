/**
 * The tables of the record index: every statement and event of the journals of all nodes, to be searched. In a PostgreSQL
 * store they are among its tables; beside a SQLite store they are in a file of their own, since they can be made again from the
 * journal and the store cannot.
 *
 * What many records have in common is kept once: as a *profile* who, where, which verdict and which outcome, as a *shape* what
 * a statement is and does. Conditions of a search are about these, which are few. Records themselves, a handful of small numbers
 * each, are packed in *blocks* of some hundred, in their order: the database has one row to write for all of these, and one to read.
 *
 * Rows are written by the node whose records they are about: `id` is the number of the node times 2^40, plus a number of that
 * node's, and no two nodes ever write the same row.
 */

/** What the ids of a node's rows begin at is its number times this. */
export const IDS_OF_A_NODE = 2 ** 40;

/** How far each node has come. */
export interface IndexNodesTable {
  readonly id: number;
  /** As in the journal. */
  readonly name: string;
  /** The position in the journal behind the last record that is in the index. */
  readonly segment: number;
  readonly byte: number;
  readonly seq: number;
  /** The first id of the node that is not used yet. */
  readonly next_id: number;
}

export interface IndexSessionsTable {
  readonly id: number;
  readonly session: string;
  readonly subject: string | null;
  readonly issuer: string | null;
  readonly kind: string | null;
  readonly owner: string | null;
  /** JSON text. */
  readonly groups: string | null;
  readonly connection: string | null;
  readonly address: string | null;
  readonly tls: number | null;
  readonly application: string | null;
  /** `active`, `ended` or `lost`. */
  readonly state: string;
  readonly reason: string | null;
  /** Times of the first and the last record, milliseconds since the epoch. */
  readonly first_at: number;
  readonly last_at: number;
  /** `null` where the record of it is not in the journal. */
  readonly started: number | null;
  readonly ended: number | null;
  readonly statements: number;
  readonly refused: number;
  readonly errors: number;
  /** A position in the journal before its first record, and one behind its last. */
  readonly from_segment: number;
  readonly from_byte: number;
  readonly from_seq: number;
  readonly to_segment: number;
  readonly to_byte: number;
  readonly to_seq: number;
}

/** Who did something, where, and what became of it. Never changed. */
export interface IndexProfilesTable {
  readonly id: number;
  /** SHA-256 of all the rest, in base64url, cut to 22 characters. */
  readonly digest: string;
  /** `statement`, or the event of any other record. */
  readonly event: string;
  readonly subject: string | null;
  readonly issuer: string | null;
  readonly kind: string | null;
  readonly owner: string | null;
  readonly connection: string | null;
  readonly verdict: string | null;
  /** `null` while no outcome is recorded. */
  readonly status: string | null;
  /** SQLSTATE. */
  readonly sqlstate: string | null;
  readonly refused_by: string | null;
  /** JSON texts. */
  readonly rules: string;
  readonly masks: string;
}

export interface IndexProfileRulesTable {
  readonly rule: string;
  readonly profile: number;
}

/** What statements are and do that differ only in literals. Never changed. */
export interface IndexShapesTable {
  readonly id: number;
  /** As in {@link IndexProfilesTable}. */
  readonly digest: string;
  /** Empty where a text could not be read. */
  readonly fingerprint: string;
  /** `SELECT` */
  readonly statement: string | null;
  /** JSON text. */
  readonly effects: string;
}

export interface IndexShapeObjectsTable {
  /** As in effects, and once more without its schema. */
  readonly object: string;
  readonly shape: number;
}

/** Beginnings of statements and what else records say. Not all of them differ. */
export interface IndexTextsTable {
  /** Made of the node's number and the number of the first record that says so. */
  readonly id: number;
  readonly text: string;
}

/** Records that follow one another, in one segment, see src/recording/record-index/entry-block.ts. */
export interface IndexBlocksTable {
  /** Made of the node's number and the number of the first record. */
  readonly id: number;
  /** The same of the last record. */
  readonly last_id: number;
  /** The earliest and the latest time of its records. */
  readonly first_at: number;
  readonly last_at: number;
  readonly parts: Uint8Array;
  readonly traces: Uint8Array;
  readonly entries: Uint8Array;
}

export interface RecordIndexTables {
  readonly index_nodes: IndexNodesTable;
  readonly index_sessions: IndexSessionsTable;
  readonly index_profiles: IndexProfilesTable;
  readonly index_profile_rules: IndexProfileRulesTable;
  readonly index_shapes: IndexShapesTable;
  readonly index_shape_objects: IndexShapeObjectsTable;
  readonly index_texts: IndexTextsTable;
  readonly index_blocks: IndexBlocksTable;
}

/** The statements that make the tables, in order. A released one is never changed for PostgreSQL: a migration is added. */
export function recordIndexDdl(dialect: 'sqlite' | 'postgres'): string[] {
  const clustered = dialect === 'sqlite' ? ' without rowid' : '';
  const integer = dialect === 'sqlite' ? 'integer' : 'bigint';
  const bytes = dialect === 'sqlite' ? 'blob' : 'bytea';
  return DDL.map((text) =>
    text.replaceAll('CLUSTERED', clustered).replaceAll('INT', integer).replaceAll('BYTES', bytes),
  );
}

const DDL: readonly string[] = [
  `create table index_nodes (id INT not null primary key, name text not null unique, segment INT not null,
    byte INT not null, seq INT not null, next_id INT not null)`,

  `create table index_sessions (id INT not null primary key, session text not null, subject text, issuer text, kind text,
    owner text, "groups" text, connection text, address text, tls INT, application text, state text not null, reason text,
    first_at INT not null, last_at INT not null, started INT, ended INT, statements INT not null, refused INT not null,
    errors INT not null, from_segment INT not null, from_byte INT not null, from_seq INT not null,
    to_segment INT not null, to_byte INT not null, to_seq INT not null)`,
  'create index index_sessions_session on index_sessions (session)',
  'create index index_sessions_first on index_sessions (first_at, id)',
  'create index index_sessions_subject on index_sessions (subject, first_at, id)',
  'create index index_sessions_connection on index_sessions (connection, first_at, id)',
  "create index index_sessions_active on index_sessions (first_at, id) where state = 'active'",

  `create table index_profiles (id INT not null primary key, digest text not null, event text not null, subject text,
    issuer text, kind text, owner text, connection text, verdict text, status text, sqlstate text, refused_by text,
    rules text not null, masks text not null)`,
  'create index index_profiles_digest on index_profiles (digest)',
  'create index index_profiles_subject on index_profiles (subject)',

  'create table index_profile_rules (rule text not null, profile INT not null, primary key (rule, profile))CLUSTERED',

  `create table index_shapes (id INT not null primary key, digest text not null, fingerprint text not null, statement text,
    effects text not null)`,
  'create index index_shapes_fingerprint on index_shapes (fingerprint)',
  'create table index_shape_objects (object text not null, shape INT not null, primary key (object, shape))CLUSTERED',
  'create table index_texts (id INT not null primary key, text text not null)',

  // Parts before entries: SQLite reads a row up to what is asked for.
  `create table index_blocks (id INT not null primary key, last_id INT not null, first_at INT not null, last_at INT not null,
    parts BYTES not null, traces BYTES not null, entries BYTES not null)`,
  'create index index_blocks_last on index_blocks (last_at, id, first_at, last_id)',
];

/**
 * The tables of the record index: every statement and event of the journals of all nodes, to be searched. In a PostgreSQL
 * store they are among its tables; beside a SQLite store they are in a file of their own, since they can be made again from the
 * journal and the store cannot.
 *
 * What many records have in common is kept once: as a *profile* who, where, which verdict and which outcome, as a *shape* what
 * a statement is and does. Conditions of a search are about these, which are few. Records themselves are kept in the order of time
 * within their profile, within their shape and profile, and within their session and profile. So whatever is asked, only what is
 * shown is read.
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

export interface IndexTracesTable {
  readonly id: number;
  /** Of the W3C trace context that the client claims, 32 hexadecimal digits. */
  readonly trace: string;
}

/** The profiles that there are records of in a session, or of a shape. */
export interface IndexPairsTable {
  /** Id of the session or of the shape. */
  readonly part: number;
  readonly profile: number;
}

/** Beginnings of statements and what else records say. Not all of them differ. */
export interface IndexTextsTable {
  readonly id: number;
  readonly text: string;
}

export interface IndexEntriesTable {
  readonly at: number;
  /** Made of the node's number and the number of the record, that of the attempt for a statement. */
  readonly id: number;
  readonly profile: number;
  readonly shape: number | null;
  readonly session: number | null;
  /** Number of the statement within the session. */
  readonly number: number | null;
  readonly text: number | null;
  readonly trace: number | null;
  /** Number of the request for approval. */
  readonly approval: number | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  readonly micros: number | null;
}

export interface RecordIndexTables {
  readonly index_nodes: IndexNodesTable;
  readonly index_sessions: IndexSessionsTable;
  readonly index_profiles: IndexProfilesTable;
  readonly index_profile_rules: IndexProfileRulesTable;
  readonly index_shapes: IndexShapesTable;
  readonly index_shape_objects: IndexShapeObjectsTable;
  readonly index_traces: IndexTracesTable;
  readonly index_pairs: IndexPairsTable;
  readonly index_texts: IndexTextsTable;
  readonly index_entries: IndexEntriesTable;
}

/** The statements that make the tables, in order. A released one is never changed for PostgreSQL: a migration is added. */
export function recordIndexDdl(dialect: 'sqlite' | 'postgres'): string[] {
  const clustered = dialect === 'sqlite' ? ' without rowid' : '';
  const integer = dialect === 'sqlite' ? 'integer' : 'bigint';
  return DDL.map((text) => text.replaceAll('CLUSTERED', clustered).replaceAll('INT', integer));
}

const DDL: readonly string[] = [
  `create table index_nodes (id INT not null primary key, name text not null unique, segment INT not null,
    byte INT not null, seq INT not null, next_id INT not null)`,

  `create table index_sessions (id INT not null primary key, session text not null, subject text, issuer text, kind text,
    owner text, "groups" text, connection text, address text, tls INT, application text, state text not null, reason text,
    first_at INT not null, last_at INT not null, started INT, ended INT, statements INT not null, refused INT not null,
    errors INT not null, from_segment INT not null, from_byte INT not null, from_seq INT not null,
    to_segment INT not null, to_byte INT not null)`,
  'create index index_sessions_session on index_sessions (session)',
  'create index index_sessions_first on index_sessions (first_at, id)',
  'create index index_sessions_last on index_sessions (last_at)',
  'create index index_sessions_subject on index_sessions (subject, first_at, id)',
  'create index index_sessions_connection on index_sessions (connection, first_at, id)',
  "create index index_sessions_active on index_sessions (first_at, id) where state = 'active'",

  `create table index_profiles (id INT not null primary key, digest text not null, event text not null, subject text,
    issuer text, kind text, owner text, connection text, verdict text, status text, sqlstate text, refused_by text,
    rules text not null, masks text not null)`,
  'create index index_profiles_digest on index_profiles (digest)',
  'create index index_profiles_subject on index_profiles (subject, connection, verdict)',
  'create index index_profiles_owner on index_profiles (owner)',
  'create index index_profiles_kind on index_profiles (kind)',
  'create index index_profiles_connection on index_profiles (connection, verdict)',
  'create index index_profiles_verdict on index_profiles (verdict, status)',
  'create index index_profiles_status on index_profiles (status, sqlstate)',
  'create index index_profiles_sqlstate on index_profiles (sqlstate)',
  'create index index_profiles_event on index_profiles (event)',

  'create table index_profile_rules (rule text not null, profile INT not null, primary key (rule, profile))CLUSTERED',

  `create table index_shapes (id INT not null primary key, digest text not null, fingerprint text not null, statement text,
    effects text not null)`,
  'create index index_shapes_digest on index_shapes (digest)',
  'create index index_shapes_fingerprint on index_shapes (fingerprint)',
  'create table index_shape_objects (object text not null, shape INT not null, primary key (object, shape))CLUSTERED',
  'create table index_traces (id INT not null primary key, trace text not null)',
  'create index index_traces_trace on index_traces (trace)',
  'create table index_pairs (part INT not null, profile INT not null, primary key (part, profile))CLUSTERED',
  'create table index_texts (id INT not null primary key, text text not null)',

  `create table index_entries (at INT not null, id INT not null, profile INT not null, shape INT, session INT,
    number INT, text INT, trace INT, approval INT, rows INT, affected INT, bytes INT, micros INT,
    primary key (at, id))CLUSTERED`,
  'create index index_entries_profile on index_entries (profile, at, id)',
  'create index index_entries_shape on index_entries (shape, profile, at, id) where shape is not null',
  'create index index_entries_session on index_entries (session, profile, at, id) where session is not null',
  'create index index_entries_trace on index_entries (trace, at, id) where trace is not null',
];

import { type Expression, type ExpressionBuilder, type Kysely, PostgresAdapter, type SqlBool, sql } from 'kysely';
import {
  IDS_OF_A_NODE,
  type IndexProfilesTable,
  type IndexShapesTable,
  type RecordIndexTables,
} from '../../store/record-index-tables.ts';
import {
  type BlockParts,
  type Entry,
  type PartIds,
  positionOfTrace,
  unpackEntries,
  unpackParts,
  type Wanted,
} from './entry-block.ts';

export type RecordIndex = Kysely<RecordIndexTables>;

/** What records are searched for; all that is given has to hold. */
export interface RecordFilter {
  readonly subject?: string | undefined;
  readonly kind?: string | undefined;
  readonly owner?: string | undefined;
  readonly session?: string | undefined;
  readonly connection?: string | undefined;
  /** A table, function or other object, with or without its schema, as the server folds its name. */
  readonly object?: string | undefined;
  readonly verdict?: string | undefined;
  readonly rule?: string | undefined;
  readonly fingerprint?: string | undefined;
  /** Trace id, 32 hexadecimal digits. */
  readonly trace?: string | undefined;
  /** `statement`, or the event of other records; left out, all of them. */
  readonly event?: string | undefined;
  readonly status?: string | undefined;
  readonly sqlstate?: string | undefined;
  /** Milliseconds since the epoch: at or after, before. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  /** Is in the text, in whatever case. */
  readonly text?: string | undefined;
}

/** A statement, or another record, as the index has it. */
export interface IndexedRecord {
  /** The node in whose journal it is, and its number there. */
  readonly node: string;
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly event: string;
  readonly session: string | null;
  /** Number of the statement within the session. */
  readonly statement: number | null;
  readonly identity: {
    readonly subject: string;
    readonly issuer: string | null;
    readonly kind: string | null;
    readonly owner: string | null;
  } | null;
  readonly connection: string | null;
  /** The beginning of the text of a statement, without what records leave out; for other records the rest of them, as JSON. */
  readonly text: string | null;
  readonly fingerprint: string | null;
  readonly kind: string | null;
  readonly effects: readonly string[];
  readonly verdict: string | null;
  readonly rules: readonly string[];
  readonly masks: readonly string[];
  readonly trace: string | null;
  /** Number of the request for approval. */
  readonly approval: number | null;
  /** `null` while no outcome is recorded. */
  readonly status: string | null;
  readonly sqlstate: string | null;
  readonly refusedBy: string | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  readonly ms: number | null;
}

export interface FoundRecords {
  /** The newest first. */
  readonly records: readonly IndexedRecord[];
  /** Where to go on; `null` if there is no more. There may be a next page without anything on this one, if a text is looked for. */
  readonly next: string | null;
}

const TRACE = /^[0-9a-f]{32}$/;
/** What statements have for an event. */
const STATEMENT = 'statement';
/** Most records of a page. */
export const MOST_FOUND = 200;
/** How many records are looked at for a text before the page is given as it is. */
const MOST_LOOKED_AT = 50_000;
/** Ids that are fetched at once; of more, only those that the blocks have that are looked at. */
const MOST_IDS = 10_000;
/** How many blocks are looked at at once, first, and at most: what is found often is found in the first. */
const FIRST_BLOCKS = 4;
const MOST_BLOCKS = 64;

/** Where records are in their order: by time, then by id. */
export interface Place {
  readonly at: number;
  readonly id: number;
}

type ProfileCondition = (
  eb: ExpressionBuilder<RecordIndexTables & { p: IndexProfilesTable }, 'p'>,
) => Expression<SqlBool>;
type ShapeCondition = (eb: ExpressionBuilder<RecordIndexTables & { f: IndexShapesTable }, 'f'>) => Expression<SqlBool>;

/** An entry that was found. */
interface FoundEntry extends Entry, Place {}

/**
 * Searches the index, newest first. Which profiles, shapes and sessions fit is looked up; then of one block after the other what is in
 * it, and of those that have some of all, the entries. What is rare has the parts of all blocks read, some bytes for each statement.
 *
 * @param after {@link placeIn} the `next` of the page before
 * @param limit at most {@link MOST_FOUND}
 */
export async function searchRecords(
  index: RecordIndex,
  filter: RecordFilter,
  limit: number,
  after: Place | null = null,
): Promise<FoundRecords> {
  return new Search(index, filter, Math.min(limit, MOST_FOUND), after).run();
}

/** The place that a `next` says. @throws Error if it is none */
export function placeIn(cursor: string): Place {
  const match = /^(\d{1,15})-(\d{1,16})$/.exec(cursor);
  if (match === null) throw new Error('is no place in a search');
  return { at: Number(match[1]), id: Number(match[2]) };
}

interface Ids {
  has(id: number): boolean;
}

/** Ids of profiles or shapes that fit; looked up for each block where they are too many to be kept. */
class Fitting {
  readonly #look: (ids: readonly number[] | null) => Promise<number[]>;
  readonly #fits = new Map<number, boolean>();
  #hasAll = false;

  /** @param look the ids that fit, of these or of all; no more than one more than {@link MOST_IDS} */
  constructor(look: (ids: readonly number[] | null) => Promise<number[]>) {
    this.#look = look;
  }

  /** @returns false if there are none */
  async begin(): Promise<boolean> {
    const ids = await this.#look(null);
    this.#hasAll = ids.length <= MOST_IDS;
    if (this.#hasAll) for (const id of ids) this.#fits.set(id, true);
    return ids.length > 0;
  }

  /** Has it known of all that are in these blocks. */
  async learn(blocks: readonly { id: number; parts: BlockParts }[], part: keyof BlockParts): Promise<void> {
    if (this.#hasAll) return;
    const unknown = new Set<number>();
    for (const { id, parts } of blocks) {
      const base = baseOf(id);
      for (const one of parts[part]) if (!this.#fits.has(base + one)) unknown.add(base + one);
    }
    const list = [...unknown];
    for (let from = 0; from < list.length; from += MOST_IDS) {
      for (const id of await this.#look(list.slice(from, from + MOST_IDS))) this.#fits.set(id, true);
    }
    for (const id of list) if (!this.#fits.has(id)) this.#fits.set(id, false);
  }

  has(id: number): boolean {
    return this.#fits.get(id) === true;
  }
}

/** A block of which it is not known yet what is in it. */
interface Candidate {
  readonly id: number;
  readonly last_at: number;
  readonly parts: Uint8Array;
}

class Search {
  readonly #index: RecordIndex;
  readonly #filter: RecordFilter;
  readonly #limit: number;
  readonly #after: Place | null;
  #profiles: Fitting | null = null;
  #shapes: Fitting | null = null;
  /** Ids of the sessions, and between which ids their records are; `null` where all are meant. */
  #sessions: (Ids & { readonly first: number; readonly last: number }) | null = null;
  /** Ids of texts, and whether they have what is looked for. */
  readonly #texts = new Map<number, boolean>();

  constructor(index: RecordIndex, filter: RecordFilter, limit: number, after: Place | null) {
    this.#index = index;
    this.#filter = filter;
    this.#limit = limit;
    this.#after = after;
  }

  async run(): Promise<FoundRecords> {
    if (!(await this.#begin())) return { records: [], next: null };
    const found: FoundEntry[] = [];
    let lookedAt = 0;
    let size = FIRST_BLOCKS;
    for (let behind: Place | null = null; ; size = Math.min(size * 4, MOST_BLOCKS)) {
      const candidates = await this.#candidates(behind, size);
      const entries = await this.#entriesOf(candidates);
      lookedAt += entries.length;
      for (const entry of await this.#withText(entries)) found.push(entry);
      found.sort(newestFirst);
      found.length = Math.min(found.length, this.#limit);
      const last = candidates.at(-1);
      if (last === undefined || candidates.length < size) return this.#page(found, null);
      behind = { at: last.last_at, id: last.id };
      // Nothing behind is newer than this.
      const worst = found[this.#limit - 1];
      if (worst !== undefined && worst.at > last.last_at) return this.#page(found, null);
      if (this.#filter.text === undefined || lookedAt < MOST_LOOKED_AT) continue;
      const rest = { at: last.last_at + 1, id: 0 };
      return this.#page(
        found.filter(({ at }) => at >= rest.at),
        rest,
      );
    }
  }

  /** Looks up what fits. @returns false if nothing does */
  async #begin(): Promise<boolean> {
    const { session, trace } = this.#filter;
    if (trace !== undefined && !TRACE.test(trace)) return false;
    if (session !== undefined) {
      const rows = await this.#index
        .selectFrom('index_sessions')
        .select(['id', 'from_seq', 'to_seq'])
        .where('session', '=', session)
        .execute();
      const bound = (seq: 'from_seq' | 'to_seq') => rows.map((row) => baseOf(row.id) + row[seq]);
      const [first, last] = [Math.min(...bound('from_seq')), Math.max(...bound('to_seq'))];
      const ids = new Set(rows.map(({ id }) => id));
      this.#sessions = { has: (id) => ids.has(id), first, last };
      if (rows.length === 0) return false;
    }
    const profiles = this.#profileConditions();
    if (profiles.length > 0) {
      this.#profiles = new Fitting(async (ids) => {
        const rows = await this.#index
          .selectFrom('index_profiles as p')
          .select('p.id')
          .where((eb) => eb.and(profiles.map((condition) => condition(eb))))
          .$if(ids !== null, (query) => query.where('p.id', 'in', ids!))
          .limit(MOST_IDS + 1)
          .execute();
        return rows.map(({ id }) => id);
      });
      if (!(await this.#profiles.begin())) return false;
    }
    const shapes = this.#shapeConditions();
    if (shapes.length > 0) {
      this.#shapes = new Fitting(async (ids) => {
        const rows = await this.#index
          .selectFrom('index_shapes as f')
          .select('f.id')
          .where((eb) => eb.and(shapes.map((condition) => condition(eb))))
          .$if(ids !== null, (query) => query.where('f.id', 'in', ids!))
          .limit(MOST_IDS + 1)
          .execute();
        return rows.map(({ id }) => id);
      });
      if (!(await this.#shapes.begin())) return false;
    }
    return true;
  }

  /** The next blocks that may have something, those with the latest records first. */
  async #candidates(behind: Place | null, size: number): Promise<Candidate[]> {
    const { since, until, trace } = this.#filter;
    const [after, sessions] = [this.#after, this.#sessions];
    return this.#index
      .selectFrom('index_blocks as b')
      .select(['b.id', 'b.last_at', 'b.parts'])
      .where((eb) =>
        eb.and([
          ...(since === undefined ? [] : [eb('b.last_at', '>=', since)]),
          ...(until === undefined ? [] : [eb('b.first_at', '<', until)]),
          ...(after === null ? [] : [eb('b.first_at', '<=', after.at)]),
          ...(behind === null ? [] : [eb(eb.refTuple('b.last_at', 'b.id'), '<', eb.tuple(behind.at, behind.id))]),
          ...(sessions === null ? [] : [eb('b.last_id', '>', sessions.first), eb('b.id', '<=', sessions.last)]),
          ...(trace === undefined ? [] : [this.#hasTrace(trace)]),
        ]),
      )
      .orderBy('b.last_at', 'desc')
      .orderBy('b.id', 'desc')
      .limit(size)
      .execute();
  }

  /** The database looks for it: there may be many thousand blocks, and few have it. */
  #hasTrace(trace: string): Expression<SqlBool> {
    const bytes = Buffer.from(trace, 'hex');
    const isPostgres = this.#index.getExecutor().adapter instanceof PostgresAdapter;
    return isPostgres ? sql<SqlBool>`position(${bytes} in b.traces) > 0` : sql<SqlBool>`instr(b.traces, ${bytes}) > 0`;
  }

  /** The entries of these blocks that fit, but for the text. */
  async #entriesOf(candidates: readonly Candidate[]): Promise<FoundEntry[]> {
    const { trace } = this.#filter;
    let left = candidates.map(({ id, parts }) => ({ id, parts: unpackParts(parts) }));
    // Of the blocks that one condition leaves, the next is looked at: that about profiles last, which fits most.
    for (const [part, fitting] of [
      ['sessions', this.#sessions],
      ['shapes', this.#shapes],
      ['profiles', this.#profiles],
    ] as const) {
      if (fitting === null) continue;
      if (fitting instanceof Fitting) await fitting.learn(left, part);
      left = left.filter(({ id, parts }) => hasSome(parts[part], baseOf(id), fitting));
    }
    if (left.length === 0) return [];
    // All of a block anew: it may have been written again since.
    const blocks = await this.#index
      .selectFrom('index_blocks')
      .select(['id', 'parts', 'traces', 'entries'])
      .where(
        'id',
        'in',
        left.map(({ id }) => id),
      )
      .execute();
    return blocks.flatMap(({ id, parts: packed, traces, entries }) => {
      const parts = unpackParts(packed);
      const wanted = this.#wanted(id, parts);
      if (wanted === null) return [];
      const sought = trace === undefined ? null : positionOfTrace(traces, trace);
      const base = baseOf(id);
      return unpackEntries(
        ...([entries, parts, traces] as const),
        (profile, shape, session, trace) =>
          (sought === null || trace === sought) && wanted(profile, shape, session, trace),
      )
        .map((entry) => ({ ...entry, id: base + entry.seq }))
        .filter((entry) => this.#isWithin(entry));
    });
  }

  /** Which entries of a block fit, by their parts; `null` if none can. */
  #wanted(id: number, parts: BlockParts): Wanted | null {
    const base = baseOf(id);
    const profiles = fitsOf(parts.profiles, base, this.#profiles);
    const shapes = fitsOf(parts.shapes, base, this.#shapes);
    const sessions = fitsOf(parts.sessions, base, this.#sessions);
    for (const fits of [profiles, shapes, sessions]) if (fits !== null && !fits.includes(true)) return null;
    return (profile, shape, session) =>
      (profiles === null || profiles[profile]!) &&
      (shapes === null || (shape !== -1 && shapes[shape]!)) &&
      (sessions === null || (session !== -1 && sessions[session]!));
  }

  #isWithin({ at, id, shape, number }: FoundEntry): boolean {
    const { since, until, event } = this.#filter;
    const after = this.#after;
    return (
      (event !== STATEMENT || (shape !== null && number !== null)) &&
      (since === undefined || at >= since) &&
      (until === undefined || at < until) &&
      (after === null || at < after.at || (at === after.at && id < after.id))
    );
  }

  /** Those that have the text that is looked for. Texts have no index. */
  async #withText(entries: readonly FoundEntry[]): Promise<readonly FoundEntry[]> {
    const { text } = this.#filter;
    if (text === undefined) return entries;
    const pattern = `%${text.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
    const unknown = new Set<number>();
    for (const entry of entries) {
      const id = textIdOf(entry);
      if (id !== null && !this.#texts.has(id)) unknown.add(id);
    }
    const list = [...unknown];
    for (let from = 0; from < list.length; from += MOST_IDS) {
      const rows = await this.#index
        .selectFrom('index_texts as t')
        .select('t.id')
        .where('t.id', 'in', list.slice(from, from + MOST_IDS))
        .where(sql<boolean>`lower(t.text) like ${pattern} escape '\\'`)
        .execute();
      for (const { id } of rows) this.#texts.set(id, true);
    }
    for (const id of list) if (!this.#texts.has(id)) this.#texts.set(id, false);
    return entries.filter((entry) => this.#texts.get(textIdOf(entry) ?? -1) === true);
  }

  /** What has to hold for a profile. */
  #profileConditions(): ProfileCondition[] {
    const { subject, kind, owner, connection, verdict, rule, event, status, sqlstate } = this.#filter;
    // Statements are known by their entries.
    const other = event === STATEMENT ? undefined : event;
    const equal = { subject, kind, owner, connection, verdict, event: other, status, sqlstate };
    const conditions: ProfileCondition[] = [];
    for (const [column, value] of Object.entries(equal) as [keyof typeof equal, string | undefined][]) {
      if (value !== undefined) conditions.push((eb) => eb(`p.${column}`, '=', value));
    }
    if (rule !== undefined) {
      conditions.push((eb) =>
        eb('p.id', 'in', eb.selectFrom('index_profile_rules as r').select('r.profile').where('r.rule', '=', rule)),
      );
    }
    return conditions;
  }

  /** What has to hold for a shape. */
  #shapeConditions(): ShapeCondition[] {
    const { fingerprint, object } = this.#filter;
    const conditions: ShapeCondition[] = [];
    if (fingerprint !== undefined) conditions.push((eb) => eb('f.fingerprint', '=', fingerprint));
    if (object !== undefined) {
      conditions.push((eb) =>
        eb('f.id', 'in', eb.selectFrom('index_shape_objects as o').select('o.shape').where('o.object', '=', object)),
      );
    }
    return conditions;
  }

  /**
   * The records of these entries.
   * @param rest where to go on if there are fewer than fit on a page; `null` if that is all
   */
  async #page(entries: readonly FoundEntry[], rest: Place | null): Promise<FoundRecords> {
    const rowsOf = async <Table extends 'index_profiles' | 'index_shapes' | 'index_sessions' | 'index_texts'>(
      table: Table,
      ids: readonly (number | null)[],
    ) => {
      const known = new Set(ids.filter((id) => id !== null));
      if (known.size === 0) return new Map<number, RecordIndexTables[Table]>();
      const rows = await sql<
        RecordIndexTables[Table]
      >`select * from ${sql.table(table)} where id in (${sql.join([...known])})`.execute(this.#index);
      return new Map(rows.rows.map((row) => [row.id, row]));
    };
    const idsOf = (part: 'profile' | 'shape' | 'session') =>
      entries.map((entry) => (entry[part] === null ? null : baseOf(entry.id) + entry[part]));
    const profiles = await rowsOf('index_profiles', idsOf('profile'));
    const shapes = await rowsOf('index_shapes', idsOf('shape'));
    const sessions = await rowsOf('index_sessions', idsOf('session'));
    const texts = await rowsOf('index_texts', entries.map(textIdOf));
    const nodes = await nodeNames(this.#index);
    const last = entries.length < this.#limit ? rest : entries.at(-1)!;
    return {
      records: entries.map((entry): IndexedRecord => {
        const { id, seq, at, number, trace, approval, rows, affected, bytes, micros } = entry;
        const base = baseOf(id);
        const profile = profiles.get(base + entry.profile)!;
        const shape = entry.shape === null ? null : shapes.get(base + entry.shape)!;
        const { event, subject, issuer, kind, owner, connection, verdict, status, sqlstate } = profile;
        return {
          ...{ node: nodes.get(nodeOfId(id)) ?? '', seq, at, event, statement: number },
          session: entry.session === null ? null : (sessions.get(base + entry.session)?.session ?? null),
          identity: subject === null ? null : { subject, issuer, kind, owner },
          ...{ connection, text: texts.get(textIdOf(entry) ?? -1)?.text ?? null },
          fingerprint: shape === null || shape.fingerprint === '' ? null : shape.fingerprint,
          ...{ kind: shape?.statement ?? null, verdict, effects: shape === null ? [] : listIn(shape.effects) },
          ...{ rules: listIn(profile.rules), masks: listIn(profile.masks), trace, approval, status, sqlstate },
          ...{ refusedBy: profile.refused_by, rows, affected, bytes, ms: micros === null ? null : micros / 1000 },
        };
      }),
      next: last === null ? null : `${last.at}-${last.id}`,
    };
  }
}

function newestFirst(a: Place, b: Place): number {
  return b.at - a.at || b.id - a.id;
}

function hasSome(parts: PartIds, base: number, fitting: Ids): boolean {
  for (let i = 0; i < parts.length; i++) if (fitting.has(base + parts[i]!)) return true;
  return false;
}

/** Which of the parts of a block fit; `null` where all do. */
function fitsOf(parts: PartIds, base: number, fitting: Ids | null): boolean[] | null {
  return fitting === null ? null : Array.from(parts, (part) => fitting.has(base + part));
}

function textIdOf({ id, text }: FoundEntry): number | null {
  return text === null ? null : baseOf(id) + text;
}

/** The names of nodes by their numbers. */
export async function nodeNames(index: RecordIndex): Promise<ReadonlyMap<number, string>> {
  const rows = await index.selectFrom('index_nodes').select(['id', 'name']).execute();
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** The number of the node that has written a row. */
export function nodeOfId(id: number): number {
  return Math.floor(id / IDS_OF_A_NODE);
}

/** What is added to the numbers that a node gives for ids. */
function baseOf(id: number): number {
  return nodeOfId(id) * IDS_OF_A_NODE;
}

function listIn(text: string): string[] {
  return JSON.parse(text);
}

import {
  type Expression,
  type ExpressionBuilder,
  type Kysely,
  type SelectQueryBuilder,
  type SqlBool,
  sql,
} from 'kysely';
import {
  IDS_OF_A_NODE,
  type IndexEntriesTable,
  type IndexProfilesTable,
  type IndexShapesTable,
  type RecordIndexTables,
} from '../../store/record-index-tables.ts';

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

/** Most records of a page. */
export const MOST_FOUND = 200;
/** How many records are looked at for a text before the page is given as it is. */
const MOST_LOOKED_AT = 50_000;

/** Where records are in their order: by time, then by id. */
export interface Place {
  readonly at: number;
  readonly id: number;
}

/** Ids of sessions and traces that are looked for; `null` where all are meant. */
interface Parts {
  readonly sessions: readonly number[] | null;
  readonly traces: readonly number[] | null;
}

/** A query for places, in their order. */
type Places = SelectQueryBuilder<RecordIndexTables & { e: IndexEntriesTable }, 'e', Place>;

type Profiles = ExpressionBuilder<RecordIndexTables & { p: IndexProfilesTable }, 'p'>;
type ProfileCondition = (eb: Profiles) => Expression<SqlBool>;

type ShapeCondition = (eb: ExpressionBuilder<RecordIndexTables & { f: IndexShapesTable }, 'f'>) => Expression<SqlBool>;

type Entries = ExpressionBuilder<RecordIndexTables & { e: IndexEntriesTable }, 'e'>;

/** Records of one profile, in one session or of one shape if the filter says so. */
interface Bucket {
  readonly session: number | null;
  readonly shape: number | null;
  readonly profile: number;
  /** Sorts as its newest record does. */
  readonly newest: string;
}

/** Of a bucket without a record that fits: sorts behind all others, in both databases. */
const NOWHERE = '';

function newestOf(place: Expression<unknown>) {
  return sql<string>`coalesce(${place}, ${NOWHERE})`.as('newest');
}

/**
 * Searches the index, newest first. How long that takes depends on how many profiles (and shapes) fit, and not on how many records:
 * of each the newest record is looked up, and only those whose newest are the newest of all can have any of the page.
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

class Search {
  readonly #index: RecordIndex;
  readonly #filter: RecordFilter;
  readonly #limit: number;
  readonly #after: Place | null;

  constructor(index: RecordIndex, filter: RecordFilter, limit: number, after: Place | null) {
    this.#index = index;
    this.#filter = filter;
    this.#limit = limit;
    this.#after = after;
  }

  async run(): Promise<FoundRecords> {
    const { session, trace, text } = this.#filter;
    const sessions = session === undefined ? null : await this.#ids('index_sessions', 'session', session);
    const traces = trace === undefined ? null : await this.#ids('index_traces', 'trace', trace);
    if (sessions?.length === 0 || traces?.length === 0) return { records: [], next: null };
    const parts = { sessions, traces };
    if (text !== undefined) return this.#byText(parts);
    const isAboutAll =
      sessions === null && this.#profileConditions().length === 0 && this.#shapeConditions().length === 0;
    // One index gives the rows in their order, that of a trace or that of all; else buckets do.
    const places = traces !== null || isAboutAll ? this.#rows(parts) : await this.#inBuckets(sessions);
    return places === null ? { records: [], next: null } : this.#page(places, null);
  }

  /** @returns `null` if there are none */
  async #inBuckets(sessions: readonly number[] | null): Promise<Places | null> {
    const buckets = await this.#newestBuckets(sessions);
    const queries = buckets.map(({ session, shape, profile }, position) =>
      this.#index
        .selectFrom(
          this.#inBucket(sessions)
            .where('e.profile', '=', profile)
            .$if(session !== null, (query) => query.where('e.session', '=', session))
            .$if(shape !== null, (query) => query.where('e.shape', '=', shape))
            .limit(this.#limit)
            .as(`bucket${position}`),
        )
        .select(['at', 'id']),
    );
    const [first, ...others] = queries;
    if (first === undefined) return null;
    const all = others.reduce((query, one) => query.unionAll(one as never), first);
    return all.orderBy('at', 'desc').orderBy('id', 'desc') as unknown as Places;
  }

  /**
   * The buckets that may have records of the page. If a record is among the newest so many of all, the newest of its bucket is among
   * the newest so many of all buckets.
   */
  async #newestBuckets(sessions: readonly number[] | null): Promise<Bucket[]> {
    const shapeConditions = this.#shapeConditions();
    const profileConditions = this.#profileConditions(sessions !== null || shapeConditions.length > 0);
    const index = this.#index;
    const newest = this.#inBucket(sessions)
      .clearSelect()
      // Time and id in one text that sorts as they do, since a sub-select gives one value. Times have 13 digits until 2286.
      .select(sql<string>`cast(e.at as text) || cast(10000000000000000 + e.id as text)`.as('place'))
      .whereRef('e.profile', '=', sql.ref('p.id'))
      .limit(1);
    const nothing = sql<null>`null`;
    const profileFits = (eb: Profiles) => eb.and(profileConditions.map((condition) => condition(eb)));
    // Cross joins, because SQLite takes their sides in their order.
    const buckets =
      sessions !== null
        ? index
            .selectFrom('index_pairs as x')
            .where('x.part', 'in', sessions)
            .crossJoin('index_profiles as p')
            .whereRef('p.id', '=', 'x.profile')
            .where((eb) => profileFits(eb as unknown as Profiles))
            .select(['p.id as profile', 'x.part as session', nothing.as('shape')])
            .select(newestOf(newest.whereRef('e.session', '=', sql.ref('x.part'))))
        : shapeConditions.length > 0
          ? index
              .selectFrom('index_shapes as f')
              .where((eb) => eb.and(shapeConditions.map((condition) => condition(eb))))
              .crossJoin('index_pairs as x')
              .whereRef('x.part', '=', 'f.id')
              .crossJoin('index_profiles as p')
              .whereRef('p.id', '=', 'x.profile')
              .where((eb) => profileFits(eb as unknown as Profiles))
              .select(['p.id as profile', nothing.as('session'), 'x.part as shape'])
              .select(newestOf(newest.whereRef('e.shape', '=', sql.ref('x.part'))))
          : index
              .selectFrom('index_profiles as p')
              .where(profileFits)
              .select(['p.id as profile', nothing.as('session'), nothing.as('shape')])
              .select(newestOf(newest));
    const rows = await (buckets as unknown as SelectQueryBuilder<RecordIndexTables, never, Bucket>)
      .orderBy('newest', 'desc')
      .limit(this.#limit)
      .execute();
    return rows.filter((bucket) => bucket.newest !== NOWHERE);
  }

  /** The records of a bucket, in their order; which one it is has to be added. */
  #inBucket(sessions: readonly number[] | null): Places {
    const shapes = this.#shapeConditions();
    return this.#index
      .selectFrom('index_entries as e')
      .select(['e.at', 'e.id'])
      .where((eb) => this.#bounds(eb))
      .$if(sessions !== null && shapes.length > 0, (query) => query.where((eb) => this.#hasShape(eb)))
      .orderBy('e.at', 'desc')
      .orderBy('e.id', 'desc');
  }

  /** Texts have no index: so many records are looked at, those of the session or the trace, or the newest. */
  async #byText(parts: Parts): Promise<FoundRecords> {
    const isNarrow = parts.sessions !== null || parts.traces !== null;
    const end = isNarrow ? null : await this.#placeFurther(MOST_LOOKED_AT);
    const pattern = `%${this.#filter.text!.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
    const places = this.#rows(parts)
      .innerJoin('index_texts as t', 't.id', 'e.text')
      .where(sql<boolean>`lower(t.text) like ${pattern} escape '\\'`)
      .$if(end !== null, (query) => query.where('e.at', '>=', end!.at));
    // All of that millisecond is looked at.
    return this.#page(places as unknown as Places, end === null ? null : { at: end.at, id: 0 });
  }

  async #placeFurther(records: number): Promise<Place | null> {
    const place = await this.#index
      .selectFrom('index_entries as e')
      .select(['e.at', 'e.id'])
      .where((eb) => this.#bounds(eb))
      .orderBy('e.at', 'desc')
      .orderBy('e.id', 'desc')
      .offset(records)
      .limit(1)
      .executeTakeFirst();
    return place ?? null;
  }

  /** Records that fit, in their order. */
  #rows({ sessions, traces }: Parts): Places {
    const profiles = this.#profileConditions();
    return this.#index
      .selectFrom('index_entries as e')
      .select(['e.at', 'e.id'])
      .where((eb) => this.#bounds(eb))
      .$if(traces !== null, (query) => query.where('e.trace', 'in', traces!))
      .$if(sessions !== null, (query) => query.where('e.session', 'in', sessions!))
      .$if(this.#shapeConditions().length > 0, (query) => query.where((eb) => this.#hasShape(eb)))
      .$if(profiles.length > 0, (query) =>
        query.where('e.profile', 'in', (eb) =>
          eb
            .selectFrom('index_profiles as p')
            .select('p.id')
            .where((inner) => inner.and(profiles.map((condition) => condition(inner)))),
        ),
      )
      .orderBy('e.at', 'desc')
      .orderBy('e.id', 'desc');
  }

  #hasShape(eb: Entries) {
    const conditions = this.#shapeConditions();
    const shapes = eb
      .selectFrom('index_shapes as f')
      .select('f.id')
      .where((inner) => inner.and(conditions.map((condition) => condition(inner))));
    return eb('e.shape', 'in', shapes);
  }

  #bounds(eb: Entries) {
    const { since, until } = this.#filter;
    const after = this.#after;
    return eb.and([
      ...(since === undefined ? [] : [eb('e.at', '>=', since)]),
      ...(until === undefined ? [] : [eb('e.at', '<', until)]),
      ...(after === null ? [] : [eb(eb.refTuple('e.at', 'e.id'), '<', eb.tuple(after.at, after.id))]),
    ]);
  }

  /** What has to hold for a profile. */
  #profileConditions(isOfPairs = false): ProfileCondition[] {
    const { subject, kind, owner, connection, verdict, rule, event, status, sqlstate } = this.#filter;
    const equal = { subject, kind, owner, connection, verdict, event, status, sqlstate };
    const conditions: ProfileCondition[] = [];
    for (const [column, value] of Object.entries(equal) as [keyof typeof equal, string | undefined][]) {
      if (value !== undefined) conditions.push((eb) => eb(`p.${column}`, '=', value));
    }
    if (rule !== undefined) {
      // Of pairs each profile is looked up; SQLite would go through the whole list for each, were it one.
      conditions.push((eb) =>
        isOfPairs
          ? eb.exists(
              eb
                .selectFrom('index_profile_rules as r')
                .select('r.rule')
                .where('r.rule', '=', rule)
                .whereRef('r.profile', '=', 'p.id'),
            )
          : eb('p.id', 'in', eb.selectFrom('index_profile_rules as r').select('r.profile').where('r.rule', '=', rule)),
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

  async #ids(table: 'index_sessions' | 'index_traces', column: string, value: string): Promise<number[]> {
    const rows = await (this.#index.selectFrom(table) as SelectQueryBuilder<RecordIndexTables, typeof table, object>)
      .select('id')
      .where(sql.ref(column), '=', value)
      .execute();
    return rows.map(({ id }) => id);
  }

  /**
   * The records at the first of these places.
   * @param end where to go on if there are fewer than fit on a page; `null` if that is all
   */
  async #page(places: Places, end: Place | null): Promise<FoundRecords> {
    const rows = await this.#index
      .selectFrom(places.limit(this.#limit).as('found'))
      // A cross join, because SQLite takes its sides in their order: the found ones, and then each by its key.
      .crossJoin('index_entries as e')
      .whereRef('e.at', '=', 'found.at')
      .whereRef('e.id', '=', 'found.id')
      .innerJoin('index_profiles as p', 'p.id', 'e.profile')
      .leftJoin('index_sessions as s', 's.id', 'e.session')
      .leftJoin('index_shapes as f', 'f.id', 'e.shape')
      .leftJoin('index_texts as t', 't.id', 'e.text')
      .leftJoin('index_traces as c', 'c.id', 'e.trace')
      .select(['e.at', 'e.id', 'e.number', 'e.approval', 'e.rows', 'e.affected', 'e.bytes', 'e.micros'])
      .select(['p.event', 'p.subject', 'p.issuer', 'p.kind', 'p.owner', 'p.connection', 'p.verdict'])
      .select(['p.status', 'p.sqlstate', 'p.refused_by', 'p.rules', 'p.masks'])
      .select(['s.session', 'f.fingerprint', 'f.statement', 'f.effects', 't.text', 'c.trace'])
      .orderBy('e.at', 'desc')
      .orderBy('e.id', 'desc')
      .execute();
    const nodes = await nodeNames(this.#index);
    const last = rows.length < this.#limit ? end : rows.at(-1)!;
    return {
      records: rows.map((row) => recordOf(row, nodes)),
      next: last === null ? null : `${last.at}-${last.id}`,
    };
  }
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

interface Row extends Place {
  readonly number: number | null;
  readonly trace: string | null;
  readonly approval: number | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  readonly micros: number | null;
  readonly event: string;
  readonly subject: string | null;
  readonly issuer: string | null;
  readonly kind: string | null;
  readonly owner: string | null;
  readonly connection: string | null;
  readonly statement: string | null;
  readonly verdict: string | null;
  readonly status: string | null;
  readonly sqlstate: string | null;
  readonly refused_by: string | null;
  readonly rules: string;
  readonly effects: string | null;
  readonly masks: string;
  readonly session: string | null;
  readonly fingerprint: string | null;
  readonly text: string | null;
}

function recordOf(row: Row, nodes: ReadonlyMap<number, string>): IndexedRecord {
  const { id, at, event, session, subject, issuer, kind, owner, connection, text, fingerprint, verdict } = row;
  const { trace, approval, status, sqlstate, rows, affected, bytes, micros } = row;
  const node = nodeOfId(id);
  return {
    ...{ node: nodes.get(node) ?? '', seq: id - node * IDS_OF_A_NODE, at, event, session, statement: row.number },
    identity: subject === null ? null : { subject, issuer, kind, owner },
    ...{ connection, text, fingerprint: fingerprint === '' ? null : fingerprint, kind: row.statement, verdict },
    ...{ effects: row.effects === null ? [] : listIn(row.effects), rules: listIn(row.rules), masks: listIn(row.masks) },
    ...{ trace, approval, status, sqlstate, refusedBy: row.refused_by, rows, affected, bytes },
    ms: micros === null ? null : micros / 1000,
  };
}

function listIn(text: string): string[] {
  return JSON.parse(text);
}

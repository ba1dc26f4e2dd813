import type { IndexSessionsTable } from '../../store/record-index-tables.ts';
import { nodeNames, nodeOfId, placeIn, type RecordIndex } from './search.ts';

/**
 * `active` as far as the journal says; `lost` if Sluice was started again without having recorded the end, which
 * happens when it was killed.
 */
export type SessionState = 'active' | 'ended' | 'lost';

export interface IndexedSessionFilter {
  readonly subject?: string | undefined;
  readonly connection?: string | undefined;
  readonly active?: boolean | undefined;
  /** Only those with a record at or after this time, milliseconds since the epoch. */
  readonly since?: number | undefined;
}

/** A session as the index has it. Times are milliseconds since the epoch. */
export interface IndexedSession {
  readonly node: string;
  readonly session: string;
  readonly state: SessionState;
  readonly identity: {
    readonly subject: string;
    readonly kind: string;
    readonly groups: readonly string[];
    readonly issuer: string | null;
    readonly owner: string | null;
  } | null;
  readonly connection: string | null;
  readonly client: { readonly address: string; readonly tls: boolean } | null;
  readonly application: string | null;
  /** When its last record was written. */
  readonly lastAt: number;
  readonly started: number | null;
  readonly ended: number | null;
  readonly reason: string | null;
  readonly statements: number;
  readonly refused: number;
  readonly errors: number;
}

/** Most sessions of a page. */
export const MOST_SESSIONS = 200;

/** Sessions, those that began last first. @param after the `next` of the page before */
export async function indexedSessions(
  index: RecordIndex,
  { subject, connection, active, since }: IndexedSessionFilter,
  limit: number,
  after: { readonly at: number; readonly id: number } | null = null,
): Promise<{ sessions: IndexedSession[]; next: string | null }> {
  const rows = await index
    .selectFrom('index_sessions as s')
    .selectAll()
    .$if(subject !== undefined, (query) => query.where('s.subject', '=', subject!))
    .$if(connection !== undefined, (query) => query.where('s.connection', '=', connection!))
    .$if(active === true, (query) => query.where('s.state', '=', 'active'))
    .$if(since !== undefined, (query) => query.where('s.last_at', '>=', since!))
    .$if(after !== null, (query) =>
      query.where((eb) => eb(eb.refTuple('s.first_at', 's.id'), '<', eb.tuple(after!.at, after!.id))),
    )
    .orderBy('s.first_at', 'desc')
    .orderBy('s.id', 'desc')
    .limit(Math.min(limit, MOST_SESSIONS))
    .execute();
  const nodes = await nodeNames(index);
  const last = rows.length < limit ? undefined : rows.at(-1);
  return {
    sessions: rows.map((row) => sessionOf(row, nodes)),
    next: last === undefined ? null : `${last.first_at}-${last.id}`,
  };
}

function sessionOf(row: IndexSessionsTable, nodes: ReadonlyMap<number, string>): IndexedSession {
  const { id, session, subject, issuer, owner, kind, connection, address, tls, application, started, ended } = row;
  const { reason, statements, refused, errors } = row;
  const groups = row.groups === null ? [] : (JSON.parse(row.groups) as string[]);
  return {
    node: nodes.get(nodeOfId(id)) ?? '',
    ...{ session, state: row.state as SessionState, connection, application, started, ended, reason },
    lastAt: row.last_at,
    identity: subject === null ? null : { subject, kind: kind ?? '', groups, issuer, owner },
    client: address === null ? null : { address, tls: tls === 1 },
    ...{ statements, refused, errors },
  };
}

/** All of them, in the order of their beginnings. */
export async function allIndexedSessions(index: RecordIndex, filter: IndexedSessionFilter): Promise<IndexedSession[]> {
  const all: IndexedSession[] = [];
  for (let next: string | null = null; ; ) {
    const page: Awaited<ReturnType<typeof indexedSessions>> = await indexedSessions(
      index,
      filter,
      MOST_SESSIONS,
      next === null ? null : placeIn(next),
    );
    all.push(...page.sessions);
    if (page.next === null) return all.reverse();
    next = page.next;
  }
}

import type { Store } from '../store/store.ts';
import type { ApprovalRequest, Vote } from './request.ts';

/** What became of earlier requests, the newest thousand, for statements on the same connection that differ only in literals, whoever asked. */
export interface History {
  readonly approved: number;
  /** Of those, the ones that ran; more than once where the grant was for more. */
  readonly ran: number;
  readonly rejected: number;
  /** Nobody decided, or nobody collected the grant, in time. */
  readonly expired: number;
  readonly withdrawn: number;
  /** The newest that people decided; `null` if none. */
  readonly last: {
    readonly request: number;
    readonly decision: 'approved' | 'rejected';
    readonly by: readonly string[];
    /** Milliseconds since the epoch. */
    readonly at: number;
    readonly reason: string;
  } | null;
  /** The newest that ran and is known to have changed rows; `null` if none. */
  readonly lastRun: { readonly request: number; readonly rows: number } | null;
}

const DECIDED: ReadonlySet<string> = new Set(['approved', 'used', 'rejected']);
/** Of more, the newest: what was long ago says little. */
const MOST_EARLIER = 1_000;

/** @returns `null` for a statement that could not be read */
export async function historyOf(
  store: Store,
  { id, question: { fingerprint, binding } }: ApprovalRequest,
  votesOf: (request: number) => Promise<readonly Vote[]>,
): Promise<History | null> {
  if (fingerprint === '') return null;
  const earlier = await store
    .selectFrom('approval_requests')
    .select(['id', 'state', 'changed_rows'])
    .where('connection', '=', binding.connection)
    .where('fingerprint', '=', fingerprint)
    .where('id', '<', id)
    .orderBy('id', 'desc')
    .limit(MOST_EARLIER)
    .execute();
  const count = (...states: string[]) => earlier.filter(({ state }) => states.includes(state)).length;
  const newest = earlier.find(({ state }) => DECIDED.has(state));
  const run = earlier.find(({ changed_rows: rows }) => rows !== null);
  return {
    approved: count('approved', 'used'),
    ran: count('used'),
    rejected: count('rejected'),
    expired: count('expired'),
    withdrawn: count('withdrawn'),
    last: newest === undefined ? null : decisionIn(newest.id, await votesOf(newest.id)),
    lastRun: run === undefined ? null : { request: run.id, rows: run.changed_rows! },
  };
}

function decisionIn(request: number, votes: readonly Vote[]): History['last'] {
  const rejected = votes.find(({ decision }) => decision === 'reject');
  const deciding = rejected === undefined ? votes : [rejected];
  const newest = deciding.at(-1);
  if (newest === undefined) return null;
  const by = deciding.map(({ subject }) => subject);
  return {
    request,
    decision: rejected === undefined ? 'approved' : 'rejected',
    by,
    at: newest.at,
    reason: newest.reason,
  };
}

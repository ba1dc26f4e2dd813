import type { JournalRecord } from './read-records.ts';
import { type Fields, number, object, text, texts } from './record-fields.ts';
import { type TraceContext, traceparentOf } from './traceparent.ts';

/** What a system that looks at events is told: a statement with its outcome, or any other record. */
export type RecordedEvent = StatementEvent | OtherEvent;

/** Who did something, verified. */
export interface RecordedIdentity {
  readonly subject: string;
  readonly kind: string | null;
  readonly groups: readonly string[];
  /** Left out: Sluice's own configuration says who it is. */
  readonly issuer: string | null;
  readonly owner: string | null;
}

export interface StatementEvent {
  readonly kind: 'statement';
  /** Whose journal it is in. */
  readonly node: string;
  readonly seq: number;
  /** When it was recorded, milliseconds since the epoch. */
  readonly at: number;
  readonly session: string;
  /** Number within the session. */
  readonly statement: number;
  readonly identity: RecordedIdentity | null;
  readonly connection: string;
  readonly protocol: 'postgres' | 'mysql' | null;
  /** Address of the client. */
  readonly client: string | null;
  readonly text: string;
  /** `SELECT`, `OPAQUE`, ... */
  readonly type: string;
  readonly effects: readonly string[];
  readonly fingerprint: string;
  readonly verdict: string;
  readonly rules: readonly string[];
  readonly rulesVersion: string;
  readonly masks: readonly string[];
  readonly approval: number | null;
  /** How long it waited for people, milliseconds; `null` if it did not, or that is no longer known. */
  readonly heldMs: number | null;
  /** Claimed, not verified, as is {@link trace}. */
  readonly claimed: Readonly<Record<string, string>>;
  readonly trace: TraceContext | null;
  /** `null` where it is not known how it ended. */
  readonly outcome: StatementOutcome | null;
}

export interface StatementOutcome {
  /** `ok`, `error`, `refused`, `skipped` or `lost`. */
  readonly status: string;
  readonly sqlstate: string | null;
  readonly errno: number | null;
  /** What refused it. */
  readonly by: string | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  /** From being forwarded to its end, milliseconds. */
  readonly ms: number | null;
  /** What Sluice took to read and judge it, milliseconds. */
  readonly judgedMs: number | null;
}

export interface OtherEvent {
  readonly kind: 'other';
  readonly node: string;
  readonly record: JournalRecord;
}

/** Records about the journal itself, and copies of results: they are of use where the journal's own lines are. */
const OF_THE_JOURNAL: ReadonlySet<string> = new Set(['journal.segment', 'journal.checkpoint', 'statement.result']);
/** Most statements whose outcome is waited for, and most requests for approval that are remembered. */
const MOST_WAITING = 20_000;

/** What {@link JoinedStatements} reads: some records of one journal that follow one another. */
export interface Batch<Position> {
  readonly node: string;
  readonly first: number;
  readonly last: number;
  readonly begin: Position;
  readonly end: Position;
  records(): readonly JournalRecord[];
}

interface Waiting<Position> {
  readonly record: JournalRecord;
  readonly heldMs: number | null;
  /** Where the batch begins that the record is in. */
  readonly from: Position;
}

interface State<Position> {
  /** By session and statement, the oldest first. */
  readonly attempts: Map<string, Waiting<Position>>;
  /** When requests for approval were made, by their numbers. */
  readonly requests: Map<number, number>;
}

/**
 * Joins what was attempted with how it ended. A batch can be read again until it is done with: nothing is forgotten
 * before {@link Joined.done}.
 */
export class JoinedStatements<Position> {
  #state: State<Position> = { attempts: new Map(), requests: new Map() };
  /** Number of the record that is to come next. */
  #next = 0;

  read(batch: Batch<Position>): Joined<Position> {
    const follows = batch.first === this.#next;
    const attempts = new Map(follows ? this.#state.attempts : []);
    const requests = new Map(follows ? this.#state.requests : []);
    const events: RecordedEvent[] = [];
    for (const record of batch.records()) take(record, batch, { attempts, requests }, events);
    return {
      events,
      done: () => {
        this.#state = { attempts, requests };
        this.#next = batch.last + 1;
        for (const { from } of attempts.values()) return from;
        return batch.end;
      },
    };
  }
}

export interface Joined<Position> {
  readonly events: readonly RecordedEvent[];
  /** The events have been delivered. Gives where to begin again after a restart: attempts wait for their outcomes from there on. */
  done(): Position;
}

function take<Position>(
  record: JournalRecord,
  { node, begin }: Batch<Position>,
  { attempts, requests }: State<Position>,
  events: RecordedEvent[],
): void {
  const { event, fields, at } = record;
  const lose = (isLost: (key: string) => boolean) => {
    for (const [key, waiting] of attempts) {
      if (!isLost(key)) continue;
      attempts.delete(key);
      events.push(joined(node, waiting, null));
    }
  };
  if (event === 'statement.attempt') {
    const request = number(fields.approval);
    const requestedAt = request === null ? undefined : requests.get(request);
    const heldMs = requestedAt === undefined ? null : Math.max(0, at - requestedAt);
    attempts.set(keyOf(fields), { record, heldMs, from: begin });
    if (attempts.size <= MOST_WAITING) return;
    const [oldest] = attempts.keys();
    lose((key) => key === oldest);
  } else if (event === 'statement.outcome') {
    const key = keyOf(fields);
    const waiting = attempts.get(key);
    if (waiting === undefined) events.push({ kind: 'other', node, record });
    else {
      attempts.delete(key);
      events.push(joined(node, waiting, fields));
    }
  } else if (!OF_THE_JOURNAL.has(event)) {
    if (event === 'approval.requested') {
      requests.set(number(fields.request) ?? 0, at);
      const [oldest] = requests.keys();
      if (requests.size > MOST_WAITING) requests.delete(oldest!);
    } else if (event === 'session.end') lose((key) => key.startsWith(`${text(fields.session)} `));
    // What the process before was in the middle of has no outcome.
    else if (event === 'journal.open') lose(() => true);
    events.push({ kind: 'other', node, record });
  }
}

function keyOf({ session, statement }: Fields): string {
  return `${text(session)} ${number(statement)}`;
}

function joined(node: string, { record, heldMs }: Waiting<unknown>, outcome: Fields | null): StatementEvent {
  const { seq, at, fields } = record;
  const { protocol } = fields;
  const claimed = claimsOf(fields.claimed);
  return {
    kind: 'statement',
    node,
    seq,
    at,
    session: text(fields.session) ?? '',
    statement: number(fields.statement) ?? 0,
    identity: identityOf(fields.identity),
    connection: text(fields.connection) ?? '',
    protocol: protocol === 'postgres' || protocol === 'mysql' ? protocol : null,
    client: text(object(fields.client).address),
    text: text(fields.text) ?? '',
    type: text(fields.kind) ?? '',
    effects: texts(fields.effects),
    fingerprint: text(fields.fingerprint) ?? '',
    verdict: text(fields.verdict) ?? '',
    rules: texts(fields.rules),
    rulesVersion: text(fields.rulesVersion) ?? '',
    masks: texts(fields.masks),
    approval: number(fields.approval),
    heldMs,
    claimed,
    trace: traceparentOf(claimed.traceparent),
    outcome: outcome === null ? null : outcomeOf(outcome),
  };
}

function outcomeOf(fields: Fields): StatementOutcome {
  return {
    status: text(fields.status) ?? 'lost',
    sqlstate: text(fields.sqlstate),
    errno: number(fields.errno),
    by: text(fields.by),
    rows: number(fields.rows),
    affected: number(fields.affected),
    bytes: number(fields.bytes),
    ms: number(fields.ms),
    judgedMs: number(fields.judgedMs),
  };
}

/** `null` if it is none. */
export function identityOf(value: unknown): RecordedIdentity | null {
  const { subject, kind, groups, issuer, owner } = object(value);
  if (typeof subject !== 'string') return null;
  return { subject, kind: text(kind), groups: texts(groups), issuer: text(issuer), owner: text(owner) };
}

export function claimsOf(value: unknown): Record<string, string> {
  const claims = Object.entries(object(value)).filter(
    (claim): claim is [string, string] => typeof claim[1] === 'string',
  );
  return Object.fromEntries(claims);
}

/** The relations that effects name, each once: `delete public.orders (none)` names `public.orders`. */
export function relationsIn(effects: readonly string[]): string[] {
  const names = new Set<string>();
  for (const effect of effects) {
    const name = /^(?:read|insert|update|delete|merge|truncate|copy-in|copy-out) ([^(]+?)(?: \(|$)/.exec(effect)?.[1];
    if (name !== undefined) names.add(name);
  }
  return [...names];
}

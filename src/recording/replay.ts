import type { JournalRecord } from './read-records.ts';
import { number, object, text, texts } from './record-fields.ts';
import { recordsOfSession } from './session-records.ts';

/** Something that happened in a session. */
export type ReplayEvent = {
  readonly at: string /** Milliseconds after the first. */;
  readonly offsetMs: number;
} & Happening;

export type Happening =
  | {
      readonly event: 'start';
      readonly session: string;
      readonly identity: {
        readonly subject: string;
        readonly kind: string;
        readonly groups: readonly string[];
        readonly owner: string | null;
      } | null;
      readonly connection: string | null;
      readonly client: { readonly address: string; readonly tls: boolean } | null;
      /** `application_name`, as the client claims. */
      readonly application: string | null;
    }
  | {
      readonly event: 'statement';
      /** Number within the session. */
      readonly statement: number;
      readonly via: string | null;
      readonly text: string;
      readonly binds: readonly unknown[] | null;
      readonly claimed: Readonly<Record<string, unknown>>;
      readonly verdict: string | null;
      readonly rules: readonly string[];
      readonly masks: readonly string[];
      /** Positions of the columns of its result that are masked, from 1. */
      readonly maskedColumns: readonly number[];
      /** The request for approval by which it may run. */
      readonly request: number | null;
    }
  | {
      readonly event: 'prepared';
      readonly text: string;
      readonly verdict: string | null;
      readonly rules: readonly string[];
    }
  | {
      readonly event: 'held';
      readonly request: number;
      readonly rules: readonly string[];
      readonly expires: string | null;
    }
  | {
      readonly event: 'vote';
      readonly request: number;
      readonly voter: string | null;
      readonly decision: string | null;
      readonly reason: string | null;
      readonly channel: string | null;
    }
  | {
      readonly event: 'decision';
      readonly request: number;
      readonly state: string | null;
      readonly reason: string | null;
    }
  | {
      readonly event: 'result';
      readonly statement: number;
      readonly columns: readonly string[];
      /** As the client was sent them: what is masked is masked here. */
      readonly rows: readonly (readonly (string | null)[])[];
      /** True if the statement had more rows, or longer ones, than are recorded. */
      readonly isCut: boolean;
    }
  | {
      readonly event: 'outcome';
      readonly statement: number;
      readonly status: string | null;
      readonly sqlstate: string | null;
      /** What refused it: a rule's id, `default`, or a word for what else did. */
      readonly refusedBy: string | null;
      readonly tag: string | null;
      readonly rows: number | null;
      readonly affected: number | null;
      readonly bytes: number | null;
      /** How long it took. */
      readonly ms: number | null;
    }
  | { readonly event: 'killed'; readonly by: string | null; readonly reason: string | null }
  | { readonly event: 'end'; readonly reason: string | null };

/** What happened in a session, in its order; empty if the journal has no record of it. Rejects with the error of the file system. */
export async function readReplay(directory: string, id: string): Promise<ReplayEvent[]> {
  const events: ReplayEvent[] = [];
  let first: number | null = null;
  for await (const record of recordsOfSession(directory, id)) {
    const happening = happeningIn(record);
    if (happening === null) continue;
    first ??= record.at;
    events.push({ at: new Date(record.at).toISOString(), offsetMs: record.at - first, ...happening });
  }
  return events;
}

function happeningIn({ event, fields }: JournalRecord): Happening | null {
  const statement = number(fields.statement) ?? 0;
  const request = number(fields.request) ?? 0;
  switch (event) {
    case 'session.start': {
      const { subject, kind, groups, owner } = object(fields.identity);
      const { address, tls } = object(fields.client);
      const who = { subject: text(subject) ?? '?', kind: text(kind) ?? '', groups: texts(groups), owner: text(owner) };
      return {
        event: 'start',
        session: text(fields.session) ?? '',
        identity: fields.identity === undefined ? null : who,
        connection: text(fields.connection),
        client: fields.client === undefined ? null : { address: text(address) ?? '', tls: tls === true },
        application: text(object(fields.claimed).application_name),
      };
    }
    case 'statement.attempt':
      return {
        ...{ event: 'statement', statement, via: text(fields.via), text: text(fields.text) ?? '' },
        binds: Array.isArray(fields.binds) ? fields.binds : null,
        ...{ claimed: object(fields.claimed), verdict: text(fields.verdict), rules: texts(fields.rules) },
        masks: texts(fields.masks),
        maskedColumns: Array.isArray(fields.masked) ? fields.masked.filter((column) => typeof column === 'number') : [],
        request: number(fields.approval),
      };
    case 'statement.prepare':
      return {
        ...{
          event: 'prepared',
          text: text(fields.text) ?? '',
          verdict: text(fields.verdict),
          rules: texts(fields.rules),
        },
      };
    case 'approval.requested':
      return { event: 'held', request, rules: texts(fields.rules), expires: text(fields.expires) };
    case 'approval.voted':
      return {
        ...{ event: 'vote', request, voter: text(object(fields.voter).subject), decision: text(fields.decision) },
        ...{ reason: text(fields.reason), channel: text(fields.channel) },
      };
    case 'approval.decided':
      return { event: 'decision', request, state: text(fields.state), reason: text(fields.reason) };
    case 'statement.result':
      return {
        ...{ event: 'result', statement, columns: texts(fields.columns), isCut: fields.truncated === true },
        rows: Array.isArray(fields.rows) ? fields.rows.map(cellsIn) : [],
      };
    case 'statement.outcome':
      return {
        ...{ event: 'outcome', statement, status: text(fields.status), sqlstate: text(fields.sqlstate) },
        ...{ refusedBy: text(fields.by), tag: text(fields.tag), rows: number(fields.rows) },
        ...{ affected: number(fields.affected), bytes: number(fields.bytes), ms: number(fields.ms) },
      };
    case 'session.killed':
      return { event: 'killed', by: text(object(fields.by).subject), reason: text(fields.reason) };
    case 'session.end':
      return { event: 'end', reason: text(fields.reason) };
    default:
      return null;
  }
}

function cellsIn(row: unknown): (string | null)[] {
  return Array.isArray(row) ? row.map((cell) => text(cell)) : [];
}

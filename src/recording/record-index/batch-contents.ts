import type { JournalRecord } from '../read-records.ts';
import type { RecordBatch } from '../record-batch.ts';
import { number, object, text } from '../record-fields.ts';
import { type Draft, draftOf, type Outcome, outcomeOf, whole } from './drafts.ts';
import type { LineReader } from './line-reader.ts';

/** What a batch says of one session. */
export interface SessionChange {
  readonly session: string;
  readonly firstAt: number;
  lastAt: number;
  identity: Readonly<Record<string, unknown>> | null;
  connection: string | null;
  address: string | null;
  tls: number | null;
  application: string | null;
  state: 'ended' | null;
  reason: string | null;
  started: number | null;
  ended: number | null;
  statements: number;
  refused: number;
  errors: number;
  /** Statements of the batch, by their numbers. */
  readonly drafts: Map<number, Draft>;
}

/** A statement of an earlier batch that has ended. */
export interface EndedStatement {
  readonly session: string;
  readonly number: number;
  readonly outcome: Outcome;
}

/** Records of these events make a session known; others only speak of it, maybe of one of another node. */
const OF_SESSIONS = /^(?:session\.(?:start|end)|statement\..*|approval\.requested)$/;

/** What a batch of records says, put together before it has ids. */
export class BatchContents {
  readonly drafts: Draft[] = [];
  readonly outcomes: EndedStatement[] = [];
  readonly sessions = new Map<string, SessionChange>();
  /** True if Sluice was started: what the node had open then was lost. */
  losesSessions = false;
  /** Number of the last record that is no longer in the journal; 0 if the batch does not say that any was removed. */
  removedUpTo = 0;

  /** @param seq of the last record that was taken already */
  constructor(batch: RecordBatch, seq: number, reader: LineReader) {
    for (const line of batch.lines()) {
      const read = reader.read(line);
      if (read === null || read.seq <= seq) continue;
      switch (read.kind) {
        case 'attempt':
          this.#attempted(read.draft, read.who);
          break;
        case 'outcome':
          this.#ended(read.session, read.number, read.outcome, read.at);
          break;
        case 'record':
          this.#add(read.record, reader);
          break;
      }
    }
  }

  #attempted(draft: Draft, who: Readonly<Record<string, unknown>>): void {
    this.drafts.push(draft);
    if (draft.session === null) return;
    const change = this.#sessionAt(draft.session, draft.at);
    change.identity ??= who.identity === undefined ? null : object(who.identity);
    change.connection ??= text(who.connection);
    change.statements++;
    if (draft.number !== null) change.drafts.set(draft.number, draft);
  }

  #ended(session: string, number: number, outcome: Outcome, at: number): void {
    const change = this.#sessionAt(session, at);
    if (outcome.status === 'refused') change.refused++;
    if (outcome.status === 'error') change.errors++;
    const draft = change.drafts.get(number);
    if (draft === undefined) this.outcomes.push({ session, number, outcome });
    else draft.outcome = outcome;
  }

  #add(record: JournalRecord, { known }: LineReader): void {
    const { event, fields, at } = record;
    if (event === 'journal.open') this.losesSessions = true;
    if (event === 'journal.removed') this.removedUpTo = Math.max(this.removedUpTo, number(fields.lastSeq) ?? 0);
    if (event === 'statement.outcome') {
      const [session, statement] = [text(fields.session), whole(fields.statement)];
      if (session !== null && statement !== null) this.#ended(session, statement, outcomeOf(fields), at);
      return;
    }
    const draft = draftOf(record, known);
    if (draft?.profile.profile.event === 'statement') {
      this.#attempted(draft, fields);
      return;
    }
    if (draft !== null) this.drafts.push(draft);
    const session = text(fields.session);
    if (session === null || !OF_SESSIONS.test(event)) return;
    const change = this.#sessionAt(session, at);
    change.identity ??= fields.identity === undefined ? null : object(fields.identity);
    change.connection ??= text(fields.connection);
    if (event === 'session.start') {
      const client = object(fields.client);
      change.started = at;
      change.address = text(client.address);
      change.tls = client.tls === true ? 1 : 0;
      change.application = text(object(fields.claimed).application_name);
    } else if (event === 'session.end') {
      change.state = 'ended';
      change.ended = at;
      change.reason = text(fields.reason);
    }
  }

  #sessionAt(session: string, at: number): SessionChange {
    let change = this.sessions.get(session);
    if (change === undefined) {
      change = { ...NO_CHANGE, session, firstAt: at, lastAt: at, drafts: new Map() };
      this.sessions.set(session, change);
    }
    change.lastAt = at;
    return change;
  }
}

const NO_CHANGE = {
  ...{ identity: null, connection: null, address: null, tls: null, application: null, state: null, reason: null },
  ...{ started: null, ended: null, statements: 0, refused: 0, errors: 0 },
};

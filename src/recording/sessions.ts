/** What the journal says about sessions: a summary of each, and one in full. */

import { type JournalProblem, type JournalRecord, readRecords } from './read-records.ts';
import { readBatches } from './record-batch.ts';
import { number, object, text, texts } from './record-fields.ts';
import { indexedUpTo, sessionBegin, withIndex } from './record-index/index-file.ts';
import { allIndexedSessions, type IndexedSession, type SessionState } from './record-index/indexed-sessions.ts';

/** Fields are `null` where the journal does not have them, as when its first files were removed. */
export interface SessionSummary {
  readonly session: string;
  readonly state: SessionState;
  readonly identity: { readonly subject: string; readonly kind: string; readonly groups: readonly string[] } | null;
  readonly connection: string | null;
  readonly client: { readonly address: string; readonly tls: boolean } | null;
  /** `application_name`, which the client claims and nobody verifies. */
  readonly application: string | null;
  /** ISO 8601, as are the other times. */
  readonly started: string | null;
  readonly ended: string | null;
  /** Why it ended. */
  readonly reason: string | null;
  readonly statements: number;
  /** Statements that Sluice refused. */
  readonly refused: number;
  /** Statements that ended in an error of the server. */
  readonly errors: number;
}

export interface StatementEntry {
  /** Number within the session. */
  readonly statement: number;
  readonly at: string;
  /** Milliseconds after the session's start, or after the first record of it that is left. */
  readonly offsetMs: number;
  readonly via: string | null;
  readonly text: string;
  readonly fingerprint: string | null;
  readonly kind: string | null;
  readonly effects: readonly string[];
  readonly binds: readonly unknown[] | null;
  /** What the client said of this execution by query attributes; a comment in the text says it there. */
  readonly claimed: Readonly<Record<string, unknown>>;
  readonly verdict: string | null;
  readonly rules: readonly string[];
  /** Of the rules it was judged by. */
  readonly rulesVersion: string | null;
  /** `null` while no outcome is recorded. */
  readonly status: string | null;
  readonly sqlstate: string | null;
  /** What refused it: a rule's id, `default`, or a word for what else did. */
  readonly refusedBy: string | null;
  readonly tag: string | null;
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly ms: number | null;
}

export interface SessionDetail extends SessionSummary {
  readonly timeline: readonly StatementEntry[];
}

export interface SessionFilter {
  /** Only sessions with a record at or after this time, milliseconds since the epoch. */
  readonly since?: number;
  readonly subject?: string;
  readonly connection?: string;
  readonly active?: boolean;
}

/**
 * Sessions in the order of their start, and what of the journal could not be read: of what its index has already, only what came
 * behind that is read.
 */
export async function listSessions(
  directory: string,
  filter: SessionFilter = {},
): Promise<{ sessions: SessionSummary[]; problems: JournalProblem[] }> {
  const problems: JournalProblem[] = [];
  const { subject, connection } = filter;
  const known = await withIndex(directory, async (index) => ({
    position: await indexedUpTo(index),
    sessions: await allIndexedSessions(index, { subject, connection }),
  }));
  const sessions = new Map(known?.sessions.map((session) => [session.session, new Session(session.session, session)]));
  const take = (record: JournalRecord) => {
    if (record.event === 'journal.open') loseTheActive(sessions.values());
    const id = text(record.fields.session);
    if (id === null) return;
    let session = sessions.get(id);
    if (session === undefined) {
      session = new Session(id);
      sessions.set(id, session);
    }
    session.take(record);
  };
  if (known?.position) {
    for await (const batch of readBatches(directory, '', known.position)) batch.records().forEach(take);
  } else {
    await readRecords(directory, { problem: (problem) => problems.push(problem), record: take });
  }
  const wanted = [...sessions.values()].filter(
    (session) =>
      (filter.since === undefined || session.lastAt >= filter.since) &&
      (subject === undefined || session.identity?.subject === subject) &&
      (connection === undefined || session.connection === connection) &&
      (filter.active !== true || session.state === 'active'),
  );
  return { sessions: wanted.map((session) => session.summary()), problems };
}

/**
 * One session with its statements; `session` is `null` if the journal has no record of it. Where an index says where the session is,
 * only that is read.
 */
export async function readSession(
  directory: string,
  id: string,
): Promise<{ session: SessionDetail | null; problems: JournalProblem[] }> {
  const problems: JournalProblem[] = [];
  const session = new Session(id);
  const timeline = new Timeline();
  let found = false;
  const take = (record: JournalRecord) => {
    if (record.event === 'journal.open' && found) loseTheActive([session]);
    if (record.fields.session !== id) return;
    found = true;
    session.take(record);
    timeline.take(record);
  };
  const begin = await withIndex(directory, (index) => sessionBegin(index, id));
  if (begin === null) {
    await readRecords(directory, { problem: (problem) => problems.push(problem), record: take });
  } else {
    for await (const batch of readBatches(directory, '', begin)) {
      batch.records().forEach(take);
      if (session.state === 'ended') break;
    }
  }
  return { session: found ? { ...session.summary(), timeline: timeline.entries() } : null, problems };
}

function loseTheActive(sessions: Iterable<Session>): void {
  for (const session of sessions) if (session.state === 'active') session.state = 'lost';
}

/** Gathers the summary of one session from its records, in their order. Events it does not know are left alone. */
class Session {
  readonly #id: string;
  state: SessionState = 'active';
  identity: SessionSummary['identity'] = null;
  connection: string | null = null;
  lastAt = 0;
  #client: SessionSummary['client'] = null;
  #application: string | null = null;
  #started: string | null = null;
  #ended: string | null = null;
  #reason: string | null = null;
  #statements = 0;
  #refused = 0;
  #errors = 0;

  /** @param known what the index has of it */
  constructor(id: string, known: IndexedSession | null = null) {
    this.#id = id;
    if (known === null) return;
    this.state = known.state;
    const { subject, kind, groups } = known.identity ?? {};
    this.identity = subject === undefined ? null : { subject, kind: kind!, groups: groups! };
    this.connection = known.connection;
    this.lastAt = known.lastAt;
    this.#client = known.client;
    this.#application = known.application;
    this.#started = known.started === null ? null : new Date(known.started).toISOString();
    this.#ended = known.ended === null ? null : new Date(known.ended).toISOString();
    this.#reason = known.reason;
    this.#statements = known.statements;
    this.#refused = known.refused;
    this.#errors = known.errors;
  }

  take({ at, event, fields }: JournalRecord): void {
    this.lastAt = at;
    // Attempts carry these as well, for when the session's start is in a file that was removed.
    this.identity ??= identityOf(fields.identity);
    this.connection ??= text(fields.connection);
    switch (event) {
      case 'session.start': {
        const client = object(fields.client);
        this.#client = { address: text(client.address) ?? '', tls: client.tls === true };
        this.#application = text(object(fields.claimed).application_name);
        this.#started = new Date(at).toISOString();
        break;
      }
      case 'session.end':
        this.state = 'ended';
        this.#ended = new Date(at).toISOString();
        this.#reason = text(fields.reason);
        break;
      case 'statement.attempt':
        this.#statements++;
        break;
      case 'statement.outcome':
        if (fields.status === 'error') this.#errors++;
        if (fields.status === 'refused') this.#refused++;
        break;
    }
  }

  summary(): SessionSummary {
    return {
      session: this.#id,
      state: this.state,
      identity: this.identity,
      connection: this.connection,
      client: this.#client,
      application: this.#application,
      started: this.#started,
      ended: this.#ended,
      reason: this.#reason,
      statements: this.#statements,
      refused: this.#refused,
      errors: this.#errors,
    };
  }
}

/** Puts the attempts of one session together with their outcomes. */
class Timeline {
  #start: number | null = null;
  readonly #attempts: StatementEntry[] = [];
  /** A prepared statement's text is recorded at Parse; an outcome belongs to the newest attempt of its number. */
  readonly #position = new Map<number, number>();

  take({ at, event, fields }: JournalRecord): void {
    this.#start ??= at;
    const statement = number(fields.statement);
    if (statement === null) return;
    if (event === 'statement.attempt') {
      this.#position.set(statement, this.#attempts.length);
      this.#attempts.push({
        statement,
        at: new Date(at).toISOString(),
        offsetMs: at - this.#start,
        via: text(fields.via),
        text: text(fields.text) ?? '',
        fingerprint: text(fields.fingerprint),
        kind: text(fields.kind),
        effects: texts(fields.effects),
        binds: Array.isArray(fields.binds) ? fields.binds : null,
        claimed: object(fields.claimed),
        verdict: text(fields.verdict),
        rules: texts(fields.rules),
        rulesVersion: text(fields.rulesVersion),
        status: null,
        sqlstate: null,
        refusedBy: null,
        tag: null,
        rows: null,
        bytes: null,
        ms: null,
      });
    } else if (event === 'statement.outcome') {
      const position = this.#position.get(statement);
      if (position === undefined) return;
      this.#attempts[position] = {
        ...this.#attempts[position]!,
        status: text(fields.status),
        sqlstate: text(fields.sqlstate),
        refusedBy: text(fields.by),
        tag: text(fields.tag),
        rows: number(fields.rows),
        bytes: number(fields.bytes),
        ms: number(fields.ms),
      };
    }
  }

  entries(): readonly StatementEntry[] {
    return this.#attempts;
  }
}

function identityOf(value: unknown): SessionSummary['identity'] {
  const { subject, kind, groups } = object(value);
  return typeof subject === 'string' ? { subject, kind: text(kind) ?? '', groups: texts(groups) } : null;
}

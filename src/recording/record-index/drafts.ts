/** What the index keeps of a record, while it has no ids yet. */

import type { JournalRecord } from '../read-records.ts';
import { number, object, text, texts } from '../record-fields.ts';
import { traceparentOf } from '../traceparent.ts';

/** Longest text the index keeps, characters; the journal has it whole. */
export const MOST_TEXT = 2000;
/** Longest list of effects that is kept to be shown, characters; each is indexed. */
const MOST_EFFECTS = 4000;
/** Events whose records are about the journal itself, or about results. */
const LEFT_OUT: ReadonlySet<string> = new Set(['journal.checkpoint', 'journal.segment', 'statement.result']);

/** Who did something, where, and what became of it, see IndexProfilesTable. */
export interface Profile {
  readonly event: string;
  readonly subject: string | null;
  readonly issuer: string | null;
  readonly kind: string | null;
  readonly owner: string | null;
  readonly connection: string | null;
  readonly verdict: string | null;
  readonly rules: readonly string[];
  readonly masks: readonly string[];
  readonly outcome: ProfileOutcome;
}

/** What a statement is and does, see IndexShapesTable. */
export interface Shape {
  readonly fingerprint: string;
  readonly statement: string | null;
  readonly effects: readonly string[];
}

export interface ProfileOutcome {
  readonly status: string | null;
  readonly sqlstate: string | null;
  readonly refusedBy: string | null;
}

const NO_OUTCOME: ProfileOutcome = { status: null, sqlstate: null, refusedBy: null };

/** What is counted of an outcome. */
export interface Counts {
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  readonly micros: number | null;
}

const NO_COUNTS: Counts = { rows: null, affected: null, bytes: null, micros: null };

/** A row of index_entries to be. */
export interface Draft {
  readonly at: number;
  readonly seq: number;
  profile: Profile;
  /** `null` for what is no statement. */
  readonly shape: Shape | null;
  readonly session: string | null;
  readonly number: number | null;
  readonly text: string | null;
  readonly trace: string | null;
  readonly approval: number | null;
  counts: Counts;
}

/** How a statement ended. */
export interface Outcome {
  readonly session: string;
  readonly number: number;
  readonly outcome: ProfileOutcome;
  readonly counts: Counts;
}

/** `null` for records that the index leaves out, and for outcomes. */
export function draftOf(record: JournalRecord): Draft | null {
  const { event, seq, at, fields } = record;
  if (event === 'statement.outcome' || LEFT_OUT.has(event)) return null;
  const isStatement = event === 'statement.attempt';
  const hasText = isStatement || event === 'statement.prepare';
  const identity = object(fields.identity ?? fields.voter ?? fields.by);
  const said = hasText ? text(fields.text) : restOf(fields);
  return {
    at,
    seq,
    profile: {
      event: isStatement ? 'statement' : event,
      subject: text(identity.subject) ?? text(fields.user),
      issuer: text(identity.issuer),
      kind: text(identity.kind),
      owner: text(identity.owner),
      connection: text(fields.connection),
      verdict: text(fields.verdict),
      rules: texts(fields.rules),
      masks: texts(fields.masks),
      outcome: NO_OUTCOME,
    },
    shape: hasText
      ? {
          fingerprint: text(fields.fingerprint) ?? '',
          statement: text(fields.kind),
          effects: texts(fields.effects),
        }
      : null,
    session: text(fields.session),
    number: number(fields.statement),
    text: said === null || said === '' ? null : said.slice(0, MOST_TEXT),
    trace: traceparentOf(object(fields.claimed).traceparent)?.traceId ?? null,
    approval: number(isStatement ? fields.approval : fields.request),
    counts: NO_COUNTS,
  };
}

export function outcomeOf({ fields }: JournalRecord): Outcome | null {
  const [session, statement] = [text(fields.session), number(fields.statement)];
  if (session === null || statement === null) return null;
  const ms = number(fields.ms);
  return {
    session,
    number: statement,
    outcome: { status: text(fields.status), sqlstate: text(fields.sqlstate), refusedBy: text(fields.by) },
    counts: {
      rows: number(fields.rows),
      affected: number(fields.affected) ?? affectedBy(text(fields.tag)),
      bytes: number(fields.bytes),
      micros: ms === null ? null : Math.round(ms * 1000),
    },
  };
}

/** Objects a statement is about, as effects name them (`delete public.orders (none)`), and once more without their schema. */
export function objectsOf({ effects }: Shape): ReadonlySet<string> {
  const objects = new Set<string>();
  for (const effect of effects) {
    const match = /^(?!opaque:)\S+ (.+?)(?: \((?:none|tautology|open|bounded|keyed)\))?$/.exec(effect);
    if (match === null) continue;
    const [, object = ''] = match;
    objects.add(object);
    const dot = object.lastIndexOf('.');
    if (dot > 0) objects.add(object.slice(dot + 1));
  }
  return objects;
}

/** The rules a profile is about: those that matched, and the one that refused. */
export function rulesOf({ rules, outcome }: Profile): ReadonlySet<string> {
  return new Set(outcome.refusedBy === null ? rules : [...rules, outcome.refusedBy]);
}

/** The same text for profiles that are the same. */
export function profileKey(profile: Profile): string {
  const { event, subject, issuer, kind, owner, connection, verdict, rules, masks } = profile;
  const { status, sqlstate, refusedBy } = profile.outcome;
  const parts = [event, subject, issuer, kind, owner, connection, verdict, status, sqlstate, refusedBy];
  return `${parts.join('\u0000')}\u0000${rules.join('\u0001')}\u0000${masks.join('\u0001')}`;
}

/** The same text for shapes that are the same. */
export function shapeKey({ fingerprint, statement, effects }: Shape): string {
  return `${fingerprint}\u0000${statement}\u0000${effects.join('\u0001')}`;
}

/** As JSON text that is shown; of very many effects, the first. */
export function effectsText(effects: readonly string[]): string {
  let length = 0;
  const shown = effects.findIndex((effect) => {
    length += effect.length;
    return length > MOST_EFFECTS;
  });
  return JSON.stringify(shown === -1 ? effects : [...effects.slice(0, shown), '...']);
}

/** PostgreSQL tells how many rows a statement changed in its tag. */
function affectedBy(tag: string | null): number | null {
  const match = tag === null ? null : /^(?:INSERT 0|UPDATE|DELETE|MERGE) (\d+)$/.exec(tag);
  return match === null ? null : Number(match[1]);
}

const FRAME_FIELDS: ReadonlySet<string> = new Set([
  ...['v', 'seq', 'prev', 'at', 'event', 'session', 'identity', 'connection', 'fingerprint', 'rules', 'request'],
]);

/** What else a record says, as JSON text. */
function restOf(fields: Readonly<Record<string, unknown>>): string | null {
  const rest = Object.entries(fields).filter(([name]) => !FRAME_FIELDS.has(name));
  return rest.length === 0 ? null : JSON.stringify(Object.fromEntries(rest));
}

/** What the index keeps of a record, while it has no ids yet. */

import type { JournalRecord } from '../read-records.ts';
import { type Fields, number, object, text, texts } from '../record-fields.ts';
import { traceparentOf } from '../traceparent.ts';
import { Recent } from './recent.ts';

/** Longest text the index keeps, characters; the journal has it whole. */
export const MOST_TEXT = 2000;
/** How many profiles and shapes are kept in memory; others are looked up. */
const MOST_PROFILES = 5_000;
const MOST_SHAPES = 10_000;
/** Longest list of effects that is kept to be shown, characters; each is indexed. */
const MOST_EFFECTS = 4000;
/** Events whose records are about the journal itself, or about results. */
const LEFT_OUT: ReadonlySet<string> = new Set(['journal.checkpoint', 'journal.segment', 'statement.result']);

/** Who did something, where, what was decided, and what became of it, see IndexProfilesTable. */
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
}

/** What a statement is and does, see IndexShapesTable. */
export interface Shape {
  readonly fingerprint: string;
  readonly statement: string | null;
  readonly effects: readonly string[];
}

export interface Outcome {
  readonly status: string | null;
  readonly sqlstate: string | null;
  readonly refusedBy: string | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly bytes: number | null;
  readonly micros: number | null;
}

export const NO_OUTCOME: Outcome = {
  ...{ status: null, sqlstate: null, refusedBy: null, rows: null, affected: null, bytes: null, micros: null },
};

/** An entry of the index to be. */
export interface Draft {
  readonly at: number;
  readonly seq: number;
  readonly profile: KnownProfile;
  /** `null` for what is no statement. */
  readonly shape: KnownShape | null;
  readonly session: string | null;
  /** Of the statement within the session. */
  readonly number: number | null;
  readonly text: string | null;
  readonly trace: string | null;
  readonly approval: number | null;
  outcome: Outcome;
}

/** A profile, and the ids it has in the index with each outcome, by {@link outcomeKey}. */
export interface KnownProfile {
  readonly profile: Profile;
  readonly ids: Map<string, number>;
}

/** A shape, and its id in the index, once it is known. */
export interface KnownShape {
  readonly shape: Shape;
  id: number | null;
}

/** Profiles and shapes that were met before: the same object for those that are the same. */
export class KnownParts {
  readonly #profiles = new Recent<string, KnownProfile>(MOST_PROFILES);
  readonly #shapes = new Recent<string, KnownShape>(MOST_SHAPES);

  profile(profile: Profile): KnownProfile {
    const key = profileKey(profile);
    let known = this.#profiles.get(key);
    if (known === undefined) {
      known = { profile, ids: new Map() };
      this.#profiles.set(key, known);
    }
    return known;
  }

  shape(shape: Shape): KnownShape {
    const key = shapeKey(shape);
    let known = this.#shapes.get(key);
    if (known === undefined) {
      known = { shape, id: null };
      this.#shapes.set(key, known);
    }
    return known;
  }
}

/** `null` for records that the index leaves out, and for outcomes. */
export function draftOf({ event, seq, at, fields }: JournalRecord, known: KnownParts): Draft | null {
  if (event === 'statement.outcome' || LEFT_OUT.has(event)) return null;
  const isStatement = event === 'statement.attempt';
  const hasText = isStatement || event === 'statement.prepare';
  const said = hasText ? text(fields.text) : restOf(fields);
  const who = whoOf(fields);
  return {
    at,
    seq,
    profile: known.profile({ event: isStatement ? 'statement' : event, ...who, ...decisionOf(fields) }),
    shape: hasText ? known.shape(shapeOf(fields)) : null,
    session: text(fields.session),
    number: whole(fields.statement),
    text: said === null || said === '' ? null : said.slice(0, MOST_TEXT),
    trace: traceOf(fields.claimed),
    approval: whole(isStatement ? fields.approval : fields.request),
    outcome: NO_OUTCOME,
  };
}

export function whoOf(fields: Fields): Pick<Profile, 'subject' | 'issuer' | 'kind' | 'owner' | 'connection'> {
  const identity = object(fields.identity ?? fields.voter ?? fields.by);
  return {
    subject: text(identity.subject) ?? text(fields.user),
    issuer: text(identity.issuer),
    kind: text(identity.kind),
    owner: text(identity.owner),
    connection: text(fields.connection),
  };
}

export function decisionOf(fields: Fields): Pick<Profile, 'verdict' | 'rules' | 'masks'> {
  return { verdict: text(fields.verdict), rules: texts(fields.rules), masks: texts(fields.masks) };
}

export function shapeOf(fields: Fields): Shape {
  return {
    fingerprint: text(fields.fingerprint) ?? '',
    statement: text(fields.kind),
    effects: texts(fields.effects),
  };
}

export function traceOf(claimed: unknown): string | null {
  return traceparentOf(object(claimed).traceparent)?.traceId ?? null;
}

export function outcomeOf(fields: Fields): Outcome {
  const ms = number(fields.ms);
  return {
    status: text(fields.status),
    sqlstate: text(fields.sqlstate),
    refusedBy: text(fields.by),
    rows: whole(fields.rows),
    affected: whole(fields.affected) ?? affectedBy(text(fields.tag)),
    bytes: whole(fields.bytes),
    micros: ms === null ? null : whole(Math.round(ms * 1000)),
  };
}

/** A number from 0 on that can be kept exactly; of anything else, nothing. */
export function whole(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
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
export function rulesOf({ rules }: Profile, { refusedBy }: Outcome): ReadonlySet<string> {
  return new Set(refusedBy === null ? rules : [...rules, refusedBy]);
}

/** The same text for profiles that are the same. */
export function profileKey(profile: Profile): string {
  const { event, subject, issuer, kind, owner, connection, verdict, rules, masks } = profile;
  const parts = [event, subject, issuer, kind, owner, connection, verdict];
  return `${parts.join('\u0000')}\u0000${rules.join('\u0001')}\u0000${masks.join('\u0001')}`;
}

/** The same text for outcomes that make the same profile. */
export function outcomeKey({ status, sqlstate, refusedBy }: Outcome): string {
  if (sqlstate === null && refusedBy === null) return status ?? '';
  return `${status}\u0000${sqlstate}\u0000${refusedBy}`;
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

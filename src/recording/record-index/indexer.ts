import { hash } from 'node:crypto';
import { IDS_OF_A_NODE, type IndexProfilesTable } from '../../store/record-index-tables.ts';
import type { JournalRecord } from '../read-records.ts';
import type { JournalPosition, RecordBatch } from '../record-batch.ts';
import { number, object, text, texts } from '../record-fields.ts';
import {
  type Counts,
  type Draft,
  draftOf,
  effectsText,
  type Outcome,
  objectsOf,
  outcomeOf,
  type Profile,
  profileKey,
  rulesOf,
  type Shape,
  shapeKey,
} from './drafts.ts';
import { INSERTED_TABLES, type IndexSql, type InsertedTable, type Row } from './index-columns.ts';
import { Recent } from './recent.ts';

/** How many ids are kept in memory of each kind; others are looked up. */
const MOST_PROFILES = 5_000;
const MOST_SHAPES = 10_000;
const MOST_SESSIONS = 10_000;
const MOST_TRACES = 10_000;
const MOST_PAIRS = 20_000;
/** Only texts that are the same as one of the last so many are kept once. */
const MOST_TEXTS = 1_000;
/** Statements whose outcome has not come. */
const MOST_OPEN = 20_000;
/** Rows that are removed in one transaction. */
const FORGET_ROWS = 5_000;

/** A statement in the index that has no outcome yet. */
interface Open {
  readonly at: number;
  readonly id: number;
  /** Id of its session. */
  readonly session: number;
  readonly shape: number | null;
  readonly profile: Profile;
}

/** What a batch says of one session. */
interface SessionChange {
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
}

/** A statement whose outcome came in a later batch. */
interface Late extends Open {
  readonly counts: Counts;
}

const NO_CHANGE = {
  ...{ identity: null, connection: null, address: null, tls: null, application: null, state: null, reason: null },
  ...{ started: null, ended: null, statements: 0, refused: 0, errors: 0 },
};

interface Node {
  readonly id: number;
  /** Behind the last record in the index; `null` before the first. */
  readonly position: JournalPosition | null;
  nextId: number;
}

/** Records of these events make a session known; others only speak of it, maybe of one of another node. */
const OF_SESSIONS = /^(?:session\.(?:start|end)|statement\..*|approval\.requested)$/;

/**
 * Brings the records of one node's journal into the index, batch after batch. How far it has come is written together with the
 * rows, so that records that come again change nothing.
 */
export class Indexer {
  readonly #sql: IndexSql;
  readonly #nodeName: string;
  #node: Node | null = null;
  /** Ids by what there is one of. */
  readonly #profiles = new Recent<string, number>(MOST_PROFILES);
  readonly #shapes = new Recent<string, number>(MOST_SHAPES);
  readonly #sessions = new Recent<string, number>(MOST_SESSIONS);
  readonly #traces = new Recent<string, number>(MOST_TRACES);
  readonly #texts = new Recent<string, number>(MOST_TEXTS);
  readonly #pairs = new Recent<string, true>(MOST_PAIRS);
  readonly #open = new Recent<string, Open>(MOST_OPEN);

  /** @param nodeName as the journal has it */
  constructor(sql: IndexSql, nodeName: string) {
    this.#sql = sql;
    this.#nodeName = nodeName;
  }

  /** Where to go on; `null` for the oldest record there is. */
  async begin(): Promise<JournalPosition | null> {
    // What is in memory may be about rows that were never written.
    for (const kept of [this.#profiles, this.#shapes, this.#sessions, this.#texts, this.#pairs, this.#open])
      kept.clear();
    this.#node = await this.#readNode();
    return this.#node.position;
  }

  /** Resolves once the records are in the index. After it has rejected, {@link begin} says where to go on. */
  async take(batch: RecordBatch): Promise<void> {
    const node = this.#node!;
    const seq = node.position?.seq ?? 0;
    // So that the texts of a segment can be removed with it.
    if (batch.segment !== node.position?.segment) this.#texts.clear();
    const work = new Batch(batch.records().filter((record) => record.seq > seq));
    const inserts = Object.fromEntries(INSERTED_TABLES.map((table) => [table, [] as Row[]])) as unknown as Inserts;
    await this.#find('index_sessions', this.#sessions, new Set(sessionsIn(work)));
    const sessions = this.#sessionRows(work, batch, inserts);
    const late = await this.#lateOutcomes(work);
    const { drafts } = work;
    const profiles = await this.#profileIds(
      [...drafts, ...late].map(({ profile }) => profile),
      inserts,
    );
    const shapes = await this.#shapeIds(
      drafts.map(({ shape }) => shape),
      inserts,
    );
    const traces = await this.#traceIds(
      drafts.map(({ trace }) => trace),
      inserts,
    );
    drafts.forEach((draft, n) => {
      this.#addEntry(draft, { profile: profiles[n]!, shape: shapes[n]!, trace: traces[n]! }, inserts);
    });
    const outcomes = late.map(({ at, id, session, shape, counts: { rows, affected, bytes, micros } }, n): Row => {
      const profile = profiles[drafts.length + n]!;
      this.#addPairs(profile, shape, session, inserts);
      return [profile, rows, affected, bytes, micros, at, id];
    });
    await this.#sql.transaction(async () => {
      if (work.losesSessions) {
        const lose = "update index_sessions set state = 'lost' where state = 'active' and id >= ?1 and id < ?2";
        await this.#sql.run(lose, idsOf(node));
      }
      for (const table of INSERTED_TABLES) await this.#sql.insert(table, inserts[table]);
      await this.#sql.change('index_entries', outcomes);
      await this.#sql.change('index_sessions', sessions);
      const { segment, offset, seq: last } = batch.end;
      await this.#sql.run('update index_nodes set segment = ?1, byte = ?2, seq = ?3, next_id = ?4 where id = ?5', [
        ...[segment, offset, last, node.nextId, node.id],
      ]);
    });
    this.#node = { ...node, position: batch.end };
    if (work.removedUpTo > 0) await this.#forget(work.removedUpTo);
  }

  close(): Promise<void> {
    return this.#sql.close();
  }

  #newId(): number {
    const node = this.#node!;
    const [first] = idsOf(node);
    return first + node.nextId++;
  }

  /** @returns the rows that change */
  #sessionRows({ sessions }: Batch, batch: RecordBatch, inserts: Inserts): Row[] {
    const changed: Row[] = [];
    const { end, segment, first } = batch;
    for (const change of sessions.values()) {
      const { session, firstAt, lastAt, started, ended, statements, refused, errors } = change;
      const { connection, address, tls, application, state, reason } = change;
      const identity = change.identity ?? {};
      const who = [
        ...['subject', 'issuer', 'kind', 'owner'].map((name) => text(identity[name])),
        change.identity === null ? null : JSON.stringify(texts(identity.groups)),
      ];
      const known = this.#sessions.get(session);
      if (known !== undefined) {
        changed.push([
          ...[...who, connection, address, tls, application, state, reason, lastAt, started, ended],
          ...[statements, refused, errors, end.segment, end.offset, known],
        ]);
        continue;
      }
      const id = this.#newId();
      this.#sessions.set(session, id);
      inserts.index_sessions.push([
        ...[id, session, ...who, connection, address, tls, application, state ?? 'active', reason],
        ...[firstAt, lastAt, started, ended, statements, refused, errors],
        ...[segment, end.offset - batch.bytes.length, first - 1, end.segment, end.offset],
      ]);
    }
    return changed;
  }

  /** Statements of earlier batches whose outcome is in this one. */
  async #lateOutcomes({ outcomes }: Batch): Promise<Late[]> {
    const late: Late[] = [];
    for (const outcome of outcomes) {
      const open = await this.#openStatement(outcome);
      if (open === null) continue;
      this.#open.delete(statementKey(outcome.session, outcome.number));
      late.push({ ...open, profile: { ...open.profile, outcome: outcome.outcome }, counts: outcome.counts });
    }
    return late;
  }

  /** @returns the ids of the profiles, in their order */
  async #profileIds(profiles: readonly Profile[], inserts: Inserts): Promise<number[]> {
    const keys = profiles.map(profileKey);
    await this.#findDigests('index_profiles', this.#profiles, keys);
    return keys.map((key, position) => this.#profiles.get(key) ?? this.#addProfile(key, profiles[position]!, inserts));
  }

  #addProfile(key: string, profile: Profile, inserts: Inserts): number {
    const id = this.#newId();
    this.#profiles.set(key, id);
    const { event, subject, issuer, kind, owner, connection, verdict, rules, masks } = profile;
    const { status, sqlstate, refusedBy } = profile.outcome;
    inserts.index_profiles.push([
      ...[id, digestOf(key), event, subject, issuer, kind, owner, connection],
      ...[verdict, status, sqlstate, refusedBy, JSON.stringify(rules), JSON.stringify(masks)],
    ]);
    for (const rule of rulesOf(profile)) inserts.index_profile_rules.push([rule, id]);
    return id;
  }

  /** @returns the ids of the shapes, in their order; `null` where there is none */
  async #shapeIds(shapes: readonly (Shape | null)[], inserts: Inserts): Promise<(number | null)[]> {
    const keys = shapes.map((shape) => (shape === null ? null : shapeKey(shape)));
    await this.#findDigests('index_shapes', this.#shapes, keys);
    return keys.map((key, position) =>
      key === null ? null : (this.#shapes.get(key) ?? this.#addShape(key, shapes[position]!, inserts)),
    );
  }

  #addShape(key: string, shape: Shape, inserts: Inserts): number {
    const id = this.#newId();
    this.#shapes.set(key, id);
    inserts.index_shapes.push([id, digestOf(key), shape.fingerprint, shape.statement, effectsText(shape.effects)]);
    for (const object of objectsOf(shape)) inserts.index_shape_objects.push([object, id]);
    return id;
  }

  async #traceIds(traces: readonly (string | null)[], inserts: Inserts): Promise<(number | null)[]> {
    await this.#find('index_traces', this.#traces, new Set(traces.filter((trace) => trace !== null)));
    return traces.map((trace) => {
      if (trace === null) return null;
      let id = this.#traces.get(trace);
      if (id === undefined) {
        id = this.#newId();
        this.#traces.set(trace, id);
        inserts.index_traces.push([id, trace]);
      }
      return id;
    });
  }

  #addEntry(draft: Draft, { profile, shape, trace }: Ids, inserts: Inserts): void {
    const { at, seq, number, text, approval, counts } = draft;
    const [first] = idsOf(this.#node!);
    const id = first + seq;
    const session = draft.session === null ? null : (this.#sessions.get(draft.session) ?? null);
    const { rows, affected, bytes, micros } = counts;
    inserts.index_entries.push([
      ...[at, id, profile, shape, session, number, text === null ? null : this.#textId(text, inserts)],
      ...[trace, approval, rows, affected, bytes, micros],
    ]);
    this.#addPairs(profile, shape, session, inserts);
    const { event, outcome } = draft.profile;
    if (event !== 'statement' || outcome.status !== null || session === null || number === null) return;
    this.#open.set(statementKey(draft.session!, number), { at, id, session, shape, profile: draft.profile });
  }

  #textId(text: string, inserts: Inserts): number {
    let id = this.#texts.get(text);
    if (id === undefined) {
      id = this.#newId();
      this.#texts.set(text, id);
      inserts.index_texts.push([id, text]);
    }
    return id;
  }

  #addPairs(profile: number, shape: number | null, session: number | null, inserts: Inserts): void {
    for (const part of [shape, session]) {
      if (part === null) continue;
      const key = `${part}/${profile}`;
      if (this.#pairs.get(key)) continue;
      this.#pairs.set(key, true);
      inserts.index_pairs.push([part, profile]);
    }
  }

  async #readNode(): Promise<Node> {
    const select = 'select id, segment, byte, seq, next_id from index_nodes where name = ?1';
    interface Found {
      readonly id: number;
      readonly segment: number;
      readonly byte: number;
      readonly seq: number;
      readonly next_id: number;
    }
    let [found] = await this.#sql.all<Found>(select, [this.#nodeName]);
    if (found === undefined) {
      // Of two nodes that begin at once, one finds that the number is taken, and comes again.
      await this.#sql.run(
        `insert into index_nodes (id, name, segment, byte, seq, next_id)
          select coalesce(max(id) + 1, 0), ?1, 0, 0, 0, 1 from index_nodes`,
        [this.#nodeName],
      );
      [found] = await this.#sql.all<Found>(select, [this.#nodeName]);
    }
    const { id, segment, byte, seq, next_id: nextId } = found!;
    return { id, position: seq === 0 ? null : { segment, offset: byte, seq }, nextId };
  }

  /** Finds the ids of what the index knows already and is not in memory. */
  async #find(table: keyof typeof KEY_COLUMNS, kept: Recent<string, number>, keys: Iterable<string>): Promise<void> {
    const unknown = [...keys].filter((key) => kept.get(key) === undefined);
    if (unknown.length === 0) return;
    const [from, to] = idsOf(this.#node!);
    for (const { id, value } of await this.#sql.find(table, KEY_COLUMNS[table], unknown, from, to)) kept.set(value, id);
  }

  /** The same where what is known by a key is found by its digest. */
  async #findDigests(
    table: 'index_profiles' | 'index_shapes',
    kept: Recent<string, number>,
    keys: readonly (string | null)[],
  ): Promise<void> {
    const unknown = new Map<string, string>();
    for (const key of keys) if (key !== null && kept.get(key) === undefined) unknown.set(digestOf(key), key);
    if (unknown.size === 0) return;
    const [from, to] = idsOf(this.#node!);
    for (const { id, value } of await this.#sql.find(table, 'digest', [...unknown.keys()], from, to)) {
      kept.set(unknown.get(value)!, id);
    }
  }

  async #openStatement(outcome: Outcome): Promise<Open | null> {
    const known = this.#open.get(statementKey(outcome.session, outcome.number));
    if (known !== undefined) return known;
    const session = this.#sessions.get(outcome.session);
    if (session === undefined) return null;
    interface OpenRow extends Omit<IndexProfilesTable, 'id'> {
      readonly at: number;
      readonly entry: number;
      readonly shape: number | null;
    }
    const [row] = await this.#sql.all<OpenRow>(
      `select e.at, e.id as entry, e.shape, p.* from index_pairs x join index_profiles p on p.id = x.profile
        join index_entries e on e.session = x.part and e.profile = x.profile
        where x.part = ?1 and p.event = 'statement' and p.status is null and e.number = ?2
        order by e.at desc, e.id desc limit 1`,
      [session, outcome.number],
    );
    if (row === undefined) return null;
    const { at, entry: id, shape, event, subject, issuer, kind, owner, connection, verdict } = row;
    const [rules, masks] = [row.rules, row.masks].map((list) => JSON.parse(list) as string[]);
    const common = { event, subject, issuer, kind, owner, connection, verdict };
    const profile = { ...common, rules: rules!, masks: masks!, outcome: outcome.outcome };
    return { at, id, session, shape, profile };
  }

  /** Removes what is about records that are no longer in the journal, up to a number, and the texts that only they have. */
  async #forget(seq: number): Promise<void> {
    const [from, to] = idsOf(this.#node!);
    const last = from + seq;
    const [oldest] = await this.#sql.all<{ at: number }>(
      'select at from index_entries where id > ?1 and id < ?2 order by at, id limit 1',
      [last, to],
    );
    const before = oldest?.at ?? Number.MAX_SAFE_INTEGER;
    for (let removed = FORGET_ROWS; removed === FORGET_ROWS; ) {
      const rows = await this.#sql.all<{ text: number | null }>(
        `delete from index_entries where (at, id) in (select at, id from index_entries
          where at <= ?1 and id >= ?2 and id <= ?3 order by at, id limit ${FORGET_ROWS}) returning text`,
        [before, from, last],
      );
      removed = rows.length;
      let [first, end] = [Number.MAX_SAFE_INTEGER, 0];
      for (const { text } of rows) {
        if (text === null) continue;
        first = Math.min(first, text);
        end = Math.max(end, text);
      }
      await this.#sql.run('delete from index_texts where id >= ?1 and id <= ?2', [first, end]);
    }
    const gone = 'from index_sessions where last_at < ?1 and id >= ?2 and id < ?3';
    await this.#sql.run(`delete from index_pairs where part in (select id ${gone})`, [before, from, to]);
    await this.#sql.run(`delete ${gone}`, [before, from, to]);
    this.#sessions.clear();
    this.#pairs.clear();
  }
}

interface Ids {
  readonly profile: number;
  readonly shape: number | null;
  readonly trace: number | null;
}

/** By what a row is found. */
const KEY_COLUMNS = { index_sessions: 'session', index_traces: 'trace' } as const;

type Inserts = { readonly [Table in InsertedTable]: Row[] };

/** The ids of a node's rows: at least the first, and less than the second. */
function idsOf({ id }: Node): [number, number] {
  return [id * IDS_OF_A_NODE, (id + 1) * IDS_OF_A_NODE];
}

function statementKey(session: string, number: number): string {
  return `${session}/${number}`;
}

function digestOf(key: string): string {
  return hash('sha256', key, 'base64url').slice(0, 22);
}

function sessionsIn({ drafts, outcomes, sessions }: Batch): string[] {
  return [
    ...sessions.keys(),
    ...[...drafts, ...outcomes].flatMap(({ session }) => (session === null ? [] : [session])),
  ];
}

/** What a batch of records says, put together before it has ids. */
class Batch {
  readonly drafts: Draft[] = [];
  /** Of statements that are not in the batch. */
  readonly outcomes: Outcome[] = [];
  readonly sessions = new Map<string, SessionChange>();
  /** True if Sluice was started: what the node had open then was lost. */
  losesSessions = false;
  /** Number of the last record that is no longer in the journal; 0 if the batch does not say that any was removed. */
  removedUpTo = 0;
  readonly #open = new Map<string, Draft>();

  constructor(records: Iterable<JournalRecord>) {
    for (const record of records) this.#add(record);
  }

  #add(record: JournalRecord): void {
    const { event, fields } = record;
    if (event === 'journal.open') this.losesSessions = true;
    if (event === 'journal.removed') this.removedUpTo = Math.max(this.removedUpTo, number(fields.lastSeq) ?? 0);
    const session = this.#sessionOf(record);
    if (event === 'statement.outcome') {
      const outcome = outcomeOf(record);
      if (outcome !== null) this.#end(outcome, session);
      return;
    }
    const draft = draftOf(record);
    if (draft === null) return;
    this.drafts.push(draft);
    if (draft.profile.event !== 'statement' || session === null) return;
    session.statements++;
    if (draft.number !== null) this.#open.set(statementKey(session.session, draft.number), draft);
  }

  #end(outcome: Outcome, session: SessionChange | null): void {
    if (session !== null && outcome.outcome.status === 'refused') session.refused++;
    if (session !== null && outcome.outcome.status === 'error') session.errors++;
    const draft = this.#open.get(statementKey(outcome.session, outcome.number));
    if (draft === undefined) {
      this.outcomes.push(outcome);
      return;
    }
    draft.profile = { ...draft.profile, outcome: outcome.outcome };
    draft.counts = outcome.counts;
  }

  /** The session that a record is of. */
  #sessionOf({ at, event, fields }: JournalRecord): SessionChange | null {
    const name = text(fields.session);
    if (name === null || !OF_SESSIONS.test(event)) return null;
    let change = this.sessions.get(name);
    if (change === undefined) {
      change = { ...NO_CHANGE, session: name, firstAt: at, lastAt: at };
      this.sessions.set(name, change);
    }
    change.lastAt = at;
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
    return change;
  }
}

import { hash } from 'node:crypto';
import { IDS_OF_A_NODE, type IndexBlocksTable, type IndexProfilesTable } from '../../store/record-index-tables.ts';
import type { JournalPosition, RecordBatch } from '../record-batch.ts';
import { text, texts } from '../record-fields.ts';
import { BatchContents } from './batch-contents.ts';
import {
  type Draft,
  effectsText,
  type KnownProfile,
  type KnownShape,
  type Outcome,
  objectsOf,
  outcomeKey,
  profileKey,
  rulesOf,
  shapeKey,
} from './drafts.ts';
import { type Entry, packBlock, unpackEntries, unpackParts } from './entry-block.ts';
import { INSERTED_TABLES, type IndexSql, type InsertedTable, type LookedUpTable, type Row } from './index-columns.ts';
import { LineReader } from './line-reader.ts';
import { ownText, Recent } from './recent.ts';

/** How many are kept in memory; others are looked up. */
const MOST_SESSIONS = 10_000;
/** Only texts that are the same as one of the last so many are kept once. */
const MOST_TEXTS = 1_000;
const MOST_ENTRIES = 1_000;
/** Blocks whose entries stay in memory, since outcomes of the last of them come with the next batch. */
const BLOCKS_AT_HAND = 3;
/** Blocks that are read at once. */
const BLOCKS_AT_ONCE = 32;

interface KnownSession {
  readonly id: number;
  /** True once the index has who it is. */
  isKnown: boolean;
}

/** A statement in the index that has no outcome yet. */
interface Open {
  /** Number of the first record of its block, and its own. */
  readonly block: number;
  readonly seq: number;
  readonly profile: KnownProfile;
}

interface Node {
  readonly id: number;
  /** Behind the last record in the index; `null` before the first. */
  readonly position: JournalPosition | null;
  nextId: number;
}

/**
 * Brings the records of one node's journal into the index, batch after batch. How far it has come is written together with the
 * rows, so that records that come again change nothing.
 */
export class Indexer {
  readonly #sql: IndexSql;
  readonly #nodeName: string;
  #node: Node | null = null;
  #reader = new LineReader();
  #sessions = new Recent<string, KnownSession>(MOST_SESSIONS);
  /** Numbers of the records whose texts are kept. */
  #texts = new Recent<string, number>(MOST_TEXTS);
  /** By session and number within it. */
  #open = new Map<string, Map<number, Open>>();
  /** The last blocks, by the numbers of their first records; the last one is filled. */
  #blocks = new Map<number, Entry[]>();
  #filled: Entry[] | null = null;

  /** @param nodeName as the journal has it */
  constructor(sql: IndexSql, nodeName: string) {
    this.#sql = sql;
    this.#nodeName = nodeName;
  }

  /** Where to go on; `null` for the oldest record there is. */
  async begin(): Promise<JournalPosition | null> {
    // What is in memory may be about rows that were never written.
    this.#reader = new LineReader();
    this.#sessions = new Recent(MOST_SESSIONS);
    this.#texts = new Recent(MOST_TEXTS);
    this.#open = new Map();
    this.#blocks = new Map();
    this.#filled = null;
    this.#node = await this.#readNode();
    await this.#readOpen();
    return this.#node.position;
  }

  /** Resolves once the records are in the index. After it has rejected, {@link begin} says where to go on. */
  async take(batch: RecordBatch): Promise<void> {
    const node = this.#node!;
    const contents = new BatchContents(batch, node.position?.seq ?? 0, this.#reader);
    if (contents.losesSessions) this.#open.clear();
    if (batch.segment !== node.position?.segment) {
      // What is of a segment is removed with it.
      this.#texts = new Recent(MOST_TEXTS);
      this.#filled = null;
    }
    const inserts = Object.fromEntries(INSERTED_TABLES.map((table) => [table, [] as Row[]])) as unknown as Inserts;
    await this.#findSessions(contents);
    const sessions = this.#sessionRows(contents, batch, inserts);
    const late = this.#lateOutcomes(contents);
    await this.#findProfiles([...contents.drafts, ...late], inserts);
    await this.#findShapes(contents.drafts, inserts);
    const changed = new Map<number, Entry[]>();
    for (const draft of contents.drafts) this.#addEntry(draft, changed, inserts);
    for (const { session, state } of contents.sessions.values()) if (state === 'ended') this.#open.delete(session);
    await this.#sql.transaction(async () => {
      await this.#setOutcomes(late, changed);
      for (const [first, entries] of changed) inserts.index_blocks.push(this.#blockRow(first, entries));
      if (contents.losesSessions) {
        const lose = "update index_sessions set state = 'lost' where state = 'active' and id >= ?1 and id < ?2";
        await this.#sql.run(lose, idsOf(node));
      }
      for (const table of INSERTED_TABLES) await this.#sql.insert(table, inserts[table]);
      await this.#sql.changeSessions('known', sessions.known);
      await this.#sql.changeSessions('seen', sessions.seen);
      if (contents.removedUpTo > 0) await this.#forget(contents.removedUpTo);
      const { segment, offset, seq: last } = batch.end;
      await this.#sql.run('update index_nodes set segment = ?1, byte = ?2, seq = ?3, next_id = ?4 where id = ?5', [
        ...[segment, offset, last, node.nextId, node.id],
      ]);
    });
    this.#node = { ...node, position: batch.end };
    for (const first of this.#blocks.keys()) {
      if (this.#blocks.size <= BLOCKS_AT_HAND) break;
      this.#blocks.delete(first);
    }
  }

  close(): Promise<void> {
    return this.#sql.close();
  }

  async #findSessions({ sessions, drafts }: BatchContents): Promise<void> {
    const names = new Set(sessions.keys());
    for (const { session } of drafts) if (session !== null) names.add(session);
    const unknown = [...names].filter((name) => this.#sessions.get(name) === undefined);
    for (const { id, value } of await this.#find('index_sessions', unknown)) {
      this.#sessions.set(value, { id, isKnown: false });
    }
  }

  /** @returns the rows that change */
  #sessionRows(
    { sessions, drafts }: BatchContents,
    batch: RecordBatch,
    inserts: Inserts,
  ): { known: Row[]; seen: Row[] } {
    const rows = { known: [] as Row[], seen: [] as Row[] };
    const { end, segment, first } = batch;
    const to = [end.segment, end.offset, end.seq];
    for (const change of sessions.values()) {
      const { session, firstAt, lastAt, statements, refused, errors, state, started } = change;
      const known = this.#sessions.get(session);
      if (known?.isKnown && started === null && state === null) {
        rows.seen.push([lastAt, statements, refused, errors, ...to, this.#rowId(known.id)]);
        continue;
      }
      const { connection, address, tls, application, reason, ended } = change;
      const identity = change.identity ?? {};
      const who = [
        ...['subject', 'issuer', 'kind', 'owner'].map((name) => text(identity[name])),
        change.identity === null ? null : JSON.stringify(texts(identity.groups)),
      ];
      const isKnown = change.identity !== null;
      if (known !== undefined) {
        known.isKnown ||= isKnown;
        rows.known.push([
          ...[...who, connection, address, tls, application, state, reason, lastAt, started, ended],
          ...[statements, refused, errors, ...to, this.#rowId(known.id)],
        ]);
        continue;
      }
      const id = this.#newId();
      this.#sessions.set(ownText(session), { id, isKnown });
      inserts.index_sessions.push([
        ...[this.#rowId(id), session, ...who, connection, address, tls, application, state ?? 'active', reason],
        ...[firstAt, lastAt, started, ended, statements, refused, errors],
        ...[segment, end.offset - batch.bytes.length, first - 1, ...to],
      ]);
    }
    // Records that speak of a session are found with it, too.
    const spoken = new Map<string, number>();
    for (const { session, at } of drafts) if (session !== null && !sessions.has(session)) spoken.set(session, at);
    for (const [session, at] of spoken) {
      const known = this.#sessions.get(session);
      if (known !== undefined) rows.seen.push([at, 0, 0, 0, ...to, this.#rowId(known.id)]);
    }
    return rows;
  }

  /** Statements of earlier batches whose outcome is in this one. */
  #lateOutcomes({ outcomes }: BatchContents): Late[] {
    const late: Late[] = [];
    for (const { session, number, outcome } of outcomes) {
      const statements = this.#open.get(session);
      const open = statements?.get(number);
      if (open === undefined) continue;
      statements!.delete(number);
      late.push({ ...open, outcome });
    }
    return late;
  }

  /** Has the ids of all these profiles known. */
  async #findProfiles(all: readonly (Draft | Late)[], inserts: Inserts): Promise<void> {
    const unknown = new Map<string, (Draft | Late)[]>();
    for (const one of all) {
      if (!one.profile.ids.has(outcomeKey(one.outcome))) addTo(unknown, digestOf(one.profile, one.outcome), one);
    }
    const know = (digest: string, id: number) => {
      for (const { profile, outcome } of unknown.get(digest)!) profile.ids.set(outcomeKey(outcome), id);
      unknown.delete(digest);
    };
    for (const { id, value } of await this.#find('index_profiles', [...unknown.keys()])) know(value, id);
    for (const [digest, [one]] of unknown) {
      const id = this.#newId();
      const { profile, outcome } = one!;
      const { event, subject, issuer, kind, owner, connection, verdict, rules, masks } = profile.profile;
      const { status, sqlstate, refusedBy } = outcome;
      inserts.index_profiles.push([
        ...[this.#rowId(id), digest, event, subject, issuer, kind, owner, connection],
        ...[verdict, status, sqlstate, refusedBy, JSON.stringify(rules), JSON.stringify(masks)],
      ]);
      for (const rule of rulesOf(profile.profile, outcome)) {
        inserts.index_profile_rules.push([rule, this.#rowId(id)]);
      }
      know(digest, id);
    }
  }

  /** The same for shapes. */
  async #findShapes(drafts: readonly Draft[], inserts: Inserts): Promise<void> {
    const unknown = new Map<string, KnownShape[]>();
    const fingerprints = new Set<string>();
    for (const { shape } of drafts) {
      if (shape === null || shape.id !== null) continue;
      addTo(unknown, shortHash(shapeKey(shape.shape)), shape);
      fingerprints.add(shape.shape.fingerprint);
    }
    const know = (digest: string, id: number) => {
      for (const shape of unknown.get(digest) ?? []) shape.id = id;
      unknown.delete(digest);
    };
    for (const { id, value } of await this.#find('index_shapes', [...fingerprints])) know(value, id);
    for (const [digest, [known]] of unknown) {
      const id = this.#newId();
      const { fingerprint, statement, effects } = known!.shape;
      inserts.index_shapes.push([this.#rowId(id), digest, fingerprint, statement, effectsText(effects)]);
      for (const object of objectsOf(known!.shape)) inserts.index_shape_objects.push([object, this.#rowId(id)]);
      know(digest, id);
    }
  }

  /** @param changed blocks that are to be written */
  #addEntry(draft: Draft, changed: Map<number, Entry[]>, inserts: Inserts): void {
    const { at, seq, number, approval, outcome, profile, shape, trace } = draft;
    const { rows, affected, bytes, micros } = outcome;
    if (this.#filled === null || this.#filled.length === MOST_ENTRIES) {
      this.#filled = [];
      this.#blocks.set(seq, this.#filled);
    }
    const block = this.#filled[0]?.seq ?? seq;
    changed.set(block, this.#filled);
    this.#filled.push({
      at,
      seq,
      profile: profile.ids.get(outcomeKey(outcome))!,
      shape: shape === null ? null : shape.id,
      session: draft.session === null ? null : (this.#sessions.get(draft.session)?.id ?? null),
      number,
      text: draft.text === null ? null : this.#textOf(draft.text, seq, inserts),
      ...{ trace, approval, rows, affected, bytes, micros },
    });
    if (profile.profile.event !== 'statement' || outcome.status !== null) return;
    if (draft.session !== null && number !== null) this.#openStatement(draft.session, number, { block, seq, profile });
  }

  #openStatement(session: string, number: number, open: Open): void {
    let statements = this.#open.get(session);
    if (statements === undefined) {
      statements = new Map();
      this.#open.set(ownText(session), statements);
    }
    statements.set(number, open);
  }

  /** @returns the number of the record whose text is kept */
  #textOf(text: string, seq: number, inserts: Inserts): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(ownText(text), seq);
    inserts.index_texts.push([this.#rowId(seq), text]);
    return seq;
  }

  async #setOutcomes(late: readonly Late[], changed: Map<number, Entry[]>): Promise<void> {
    for (const { block, seq, profile, outcome } of late) {
      let entries = changed.get(block) ?? this.#blocks.get(block);
      if (entries === undefined) {
        const [row] = await this.#sql.all<IndexBlocksTable>(
          'select parts, traces, entries from index_blocks where id = ?1',
          [this.#rowId(block)],
        );
        // Removed from the journal since.
        if (row === undefined) continue;
        entries = unpackEntries(row.entries, unpackParts(row.parts), row.traces);
      }
      changed.set(block, entries);
      const entry = entries[positionOf(entries, seq)]!;
      const { rows, affected, bytes, micros } = outcome;
      Object.assign(entry, { profile: profile.ids.get(outcomeKey(outcome))!, rows, affected, bytes, micros });
    }
  }

  #blockRow(first: number, entries: readonly Entry[]): Row {
    const { firstAt, lastAt, parts, traces, entries: packed } = packBlock(entries);
    return [this.#rowId(first), this.#rowId(entries.at(-1)!.seq), firstAt, lastAt, parts, traces, packed];
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

  /** Finds the statements of sessions that go on whose outcome may still come. */
  async #readOpen(): Promise<void> {
    const [from, to] = idsOf(this.#node!);
    const own = 'id >= ?1 and id < ?2';
    const sessions = new Map<number, string>();
    let since = Number.MAX_SAFE_INTEGER;
    for (const row of await this.#sql.all<{ id: number; session: string; from_seq: number }>(
      `select id, session, from_seq from index_sessions where state = 'active' and ${own}`,
      [from, to],
    )) {
      sessions.set(row.id - from, row.session);
      since = Math.min(since, from + row.from_seq);
    }
    const profiles = new Map<number, KnownProfile>();
    for (const row of await this.#sql.all<IndexProfilesTable>(
      `select * from index_profiles where event = 'statement' and status is null and ${own}`,
      [from, to],
    )) {
      const [rules, masks] = [row.rules, row.masks].map((list) => JSON.parse(list) as string[]);
      const { event, subject, issuer, kind, owner, connection, verdict } = row;
      const common = { event, subject, issuer, kind, owner, connection, verdict };
      profiles.set(row.id - from, this.#reader.known.profile({ ...common, rules: rules!, masks: masks! }));
    }
    if (sessions.size === 0 || profiles.size === 0) return;
    for (let after = from - 1; ; ) {
      const blocks = await this.#sql.all<IndexBlocksTable>(
        `select id, parts, traces, entries from index_blocks where id > ?1 and id < ?2 and last_id > ?3 order by id limit ${BLOCKS_AT_ONCE}`,
        [after, to, since],
      );
      for (const { id, parts: packed, traces, entries } of blocks) {
        after = id;
        const parts = unpackParts(packed);
        const isOpen = Array.from(parts.profiles, (profile) => profiles.has(profile));
        if (!isOpen.includes(true)) continue;
        for (const entry of unpackEntries(entries, parts, traces, (profile) => isOpen[profile]!)) {
          const session = sessions.get(entry.session ?? -1);
          if (session === undefined || entry.number === null) continue;
          const [block, profile] = [id - from, profiles.get(entry.profile)!];
          this.#openStatement(session, entry.number, { block, seq: entry.seq, profile });
        }
      }
      if (blocks.length < BLOCKS_AT_ONCE) return;
    }
  }

  /** The ids of what the index has already, without that of the node. */
  async #find(table: LookedUpTable, values: readonly string[]): Promise<{ id: number; value: string }[]> {
    if (values.length === 0) return [];
    const [from, to] = idsOf(this.#node!);
    const found = await this.#sql.find(table, values, from, to);
    return found.map(({ id, value }) => ({ id: id - from, value }));
  }

  /** Removes what is about records that are no longer in the journal, up to a number. */
  async #forget(seq: number): Promise<void> {
    const [from, to] = idsOf(this.#node!);
    const last = from + seq;
    // No block has records of two segments, and texts are those of its own.
    await this.#sql.run('delete from index_blocks where id >= ?1 and id <= ?2', [from, last]);
    await this.#sql.run('delete from index_texts where id >= ?1 and id <= ?2', [from, last]);
    const gone = 'delete from index_sessions where id >= ?1 and id < ?2 and to_seq <= ?3';
    await this.#sql.run(gone, [from, to, seq]);
    this.#sessions = new Recent(MOST_SESSIONS);
  }

  #newId(): number {
    return this.#node!.nextId++;
  }

  /** What a row has of the number that it has within the node. */
  #rowId(number: number): number {
    return this.#node!.id * IDS_OF_A_NODE + number;
  }
}

interface Late extends Open {
  readonly outcome: Outcome;
}

type Inserts = { readonly [Table in InsertedTable]: Row[] };

/** The ids of a node's rows: at least the first, and less than the second. */
function idsOf({ id }: Node): [number, number] {
  return [id * IDS_OF_A_NODE, (id + 1) * IDS_OF_A_NODE];
}

function digestOf({ profile }: KnownProfile, outcome: Outcome): string {
  return shortHash(`${profileKey(profile)}\u0000${outcomeKey(outcome)}`);
}

function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

function addTo<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** Where a record is among entries, which are in order. */
function positionOf(entries: readonly Entry[], seq: number): number {
  let [low, high] = [0, entries.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

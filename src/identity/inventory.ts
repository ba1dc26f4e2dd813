import type { Selectable } from 'kysely';
import type { Store } from '../store/store.ts';
import type { IdentitiesTable } from '../store/tables.ts';
import { type Identity, identityId } from './identity.ts';
import { enlist, identityOf } from './identity-rows.ts';

/** Something that was used: a rule that counted, an effect on an object that was let pass, a client that began a session. */
export interface Use {
  readonly aspect: 'rule' | 'effect' | 'client';
  readonly name: string;
  count: number;
}

/** What one session did since that was last asked. */
export interface Activity {
  readonly identity: Identity;
  readonly connection: string;
  /** The short-lived credential it logged in with; `null` if it did not. */
  readonly credential: string | null;
  /** 1 if it began in this time. */
  readonly sessions: number;
  /** Statements by their verdict. */
  readonly allowed: number;
  readonly held: number;
  readonly denied: number;
  readonly uses: readonly Use[];
}

export type State = 'active' | 'locked' | 'retired';

/** One identity as the inventory has it. Times are milliseconds since the epoch. */
export interface InventoryEntry {
  readonly id: string;
  readonly identity: Identity;
  readonly state: State;
  readonly stateReason: string | null;
  readonly stateBy: string | null;
  readonly stateAt: number | null;
  readonly firstSeen: number;
  readonly firstUsed: number | null;
  readonly lastUsed: number | null;
  readonly sessions: number;
  readonly allowed: number;
  readonly held: number;
  readonly denied: number;
  readonly credentials: CredentialsInSum;
}

/** Short-lived credentials that could be used now. */
export interface CredentialsInSum {
  readonly live: number;
  /** Those that nobody has logged in with, though there was time to. */
  readonly unused: readonly string[];
  /** When the oldest was made, and when the last ends; `null` where there are none. */
  readonly oldest: number | null;
  readonly lastExpiry: number | null;
}

export interface RecordedUse extends Use {
  readonly connection: string;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** How often what sessions did is written to the store, milliseconds. */
const WRITE_MS = 1_000;
/** A credential that was not used so long after it was made will not be. */
const UNUSED_MS = 15 * 60_000;
/** Rows of one statement. */
const BATCH = 200;
/** Different uses that wait in memory while the store cannot be written. */
const MOST_WAITING = 20_000;
/** What was not used for so long, and credentials that ended so long ago, are forgotten. */
const KEPT_MS = 90 * 24 * 3_600_000;
/** So are identities, unless they are locked or retired: providers make ever new ones, for each job of a CI system. */
const IDENTITIES_KEPT_MS = 400 * 24 * 3_600_000;
/** Most identities of one answer. */
const MOST_LISTED = 5_000;
const FORGET_EVERY_MS = 3_600_000;

interface Totals {
  identity: Identity;
  sessions: number;
  allowed: number;
  held: number;
  denied: number;
}

interface WaitingUse {
  readonly identity: string;
  readonly connection: string;
  readonly aspect: Use['aspect'];
  readonly name: string;
  count: number;
}

/** Which identities there are, and what each did: from what was issued, and from the traffic. */
export class Inventory {
  readonly #store: Store;
  readonly #take: () => readonly Activity[];
  readonly #totals = new Map<string, Totals>();
  readonly #uses = new Map<string, WaitingUse>();
  /** Sessions by the credential they began with. */
  readonly #credentials = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #writing: Promise<void> = Promise.resolve();
  #forgotAt = Date.now();
  /** Why the last write failed; `null` if it did not. What was to be written waits. */
  failure: string | null = null;

  /** @param take what sessions did since it was last called */
  constructor(store: Store, take: () => readonly Activity[]) {
    this.#store = store;
    this.#take = take;
    this.#timer = setInterval(() => void this.write(), WRITE_MS).unref();
  }

  /** Has identities in it that have not been seen yet, because they are configured. */
  async enlist(identities: readonly Identity[]): Promise<void> {
    await enlist(this.#store, identities);
  }

  /** Writes what was done since the last time. Never rejects. */
  write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.write();
  }

  async #write(): Promise<void> {
    for (const activity of this.#take()) this.#add(activity);
    if (this.#totals.size === 0 && Date.now() - this.#forgotAt < FORGET_EVERY_MS) return;
    const totals = [...this.#totals];
    const uses = [...this.#uses.values()];
    const credentials = [...this.#credentials];
    try {
      await this.#writeAll(totals, uses, credentials);
      this.failure = null;
    } catch (error) {
      // It is still in the maps, and is written with what comes.
      this.failure = (error as Error).message;
      return;
    }
    this.#totals.clear();
    this.#uses.clear();
    this.#credentials.clear();
  }

  #add({ identity, connection, credential, sessions, allowed, held, denied, uses }: Activity): void {
    const id = identityId(identity);
    const total = this.#totals.get(id) ?? { identity, sessions: 0, allowed: 0, held: 0, denied: 0 };
    total.identity = identity;
    total.sessions += sessions;
    total.allowed += allowed;
    total.held += held;
    total.denied += denied;
    this.#totals.set(id, total);
    if (credential !== null) this.#credentials.set(credential, (this.#credentials.get(credential) ?? 0) + sessions);
    for (const { aspect, name, count } of uses) {
      const key = JSON.stringify([id, connection, aspect, name]);
      const use = this.#uses.get(key);
      if (use !== undefined) use.count += count;
      else if (this.#uses.size < MOST_WAITING) this.#uses.set(key, { identity: id, connection, aspect, name, count });
    }
  }

  async #writeAll(
    totals: readonly (readonly [string, Totals])[],
    uses: readonly WaitingUse[],
    credentials: readonly (readonly [string, number])[],
  ): Promise<void> {
    const now = Date.now();
    const forget = now - this.#forgotAt >= FORGET_EVERY_MS;
    await this.#store.transaction().execute(async (transaction) => {
      await enlist(
        transaction,
        totals.map(([, { identity }]) => identity),
      );
      for (const [id, { sessions, allowed, held, denied }] of totals) {
        await transaction
          .updateTable('identities')
          .set((eb) => ({
            first_used: eb.fn.coalesce('first_used', eb.val(now)),
            last_used: now,
            sessions: eb('sessions', '+', sessions),
            allowed: eb('allowed', '+', allowed),
            held: eb('held', '+', held),
            denied: eb('denied', '+', denied),
          }))
          .where('id', '=', id)
          .execute();
      }
      for (let from = 0; from < uses.length; from += BATCH) {
        await transaction
          .insertInto('uses')
          .values(uses.slice(from, from + BATCH).map((use) => ({ ...use, first_at: now, last_at: now })))
          .onConflict((conflict) =>
            conflict.columns(['identity', 'connection', 'aspect', 'name']).doUpdateSet((eb) => ({
              count: eb('uses.count', '+', eb.ref('excluded.count')),
              last_at: eb.ref('excluded.last_at'),
            })),
          )
          .execute();
      }
      for (const [id, sessions] of credentials) {
        await transaction
          .updateTable('credentials')
          .set((eb) => ({
            first_used: eb.fn.coalesce('first_used', eb.val(now)),
            last_used: now,
            uses: eb('uses', '+', sessions),
          }))
          .where('id', '=', id)
          .execute();
      }
      if (!forget) return;
      await transaction
        .deleteFrom('uses')
        .where('last_at', '<', now - KEPT_MS)
        .execute();
      await transaction
        .deleteFrom('credentials')
        .where('expires_at', '<', now - KEPT_MS)
        .execute();
      await transaction
        .deleteFrom('logins')
        .where('expires_at', '<', now - KEPT_MS)
        .execute();
      await transaction
        .deleteFrom('identities')
        .where('state', '=', 'active')
        .where((eb) => eb(eb.fn.coalesce('last_used', 'first_seen'), '<', now - IDENTITIES_KEPT_MS))
        .execute();
      await transaction
        .deleteFrom('kills')
        .where('at', '<', now - FORGET_EVERY_MS)
        .execute();
    });
    if (forget) this.#forgotAt = now;
  }

  /** Those of these kinds, who was used last first. */
  async list(kinds: readonly Identity['kind'][]): Promise<InventoryEntry[]> {
    const rows = await this.#store
      .selectFrom('identities')
      .selectAll()
      .where('kind', 'in', kinds)
      .orderBy('last_used', 'desc')
      .orderBy('subject')
      .limit(MOST_LISTED)
      .execute();
    return this.#entries(rows);
  }

  /** Those of this id or this subject; more than one where several providers vouch for the same name. */
  async find(idOrSubject: string): Promise<InventoryEntry[]> {
    const rows = await this.#store
      .selectFrom('identities')
      .selectAll()
      .where((eb) => eb.or([eb('id', '=', idOrSubject), eb('subject', '=', idOrSubject)]))
      .execute();
    return this.#entries(rows);
  }

  /** What identities used, the most used first. @param aspects left out, all */
  async uses(identities: readonly string[], aspects: readonly Use['aspect'][]): Promise<Map<string, RecordedUse[]>> {
    const byIdentity = new Map<string, RecordedUse[]>();
    if (identities.length === 0) return byIdentity;
    const rows = await this.#store
      .selectFrom('uses')
      .selectAll()
      .where('identity', 'in', identities)
      .where('aspect', 'in', aspects)
      .orderBy('count', 'desc')
      .execute();
    for (const { identity, connection, aspect, name, count, first_at: firstAt, last_at: lastAt } of rows) {
      const uses = byIdentity.get(identity) ?? [];
      uses.push({ connection, aspect: aspect as Use['aspect'], name, count, firstAt, lastAt });
      byIdentity.set(identity, uses);
    }
    return byIdentity;
  }

  async #entries(rows: readonly Selectable<IdentitiesTable>[]): Promise<InventoryEntry[]> {
    const now = Date.now();
    const live = await this.#store
      .selectFrom('credentials')
      .select(['id', 'identity', 'created_at', 'expires_at', 'uses'])
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now)
      .execute();
    const byIdentity = Map.groupBy(live, ({ identity }) => identity);
    return rows.map((row) => {
      const own = byIdentity.get(row.id) ?? [];
      return {
        id: row.id,
        identity: identityOf(row),
        state: row.state as State,
        stateReason: row.state_reason,
        stateBy: row.state_by,
        stateAt: row.state_at,
        firstSeen: row.first_seen,
        firstUsed: row.first_used,
        lastUsed: row.last_used,
        sessions: row.sessions,
        allowed: row.allowed,
        held: row.held,
        denied: row.denied,
        credentials: {
          live: own.length,
          unused: own.filter(({ uses, created_at }) => uses === 0 && created_at < now - UNUSED_MS).map(({ id }) => id),
          oldest: own.length === 0 ? null : Math.min(...own.map(({ created_at }) => created_at)),
          lastExpiry: own.length === 0 ? null : Math.max(...own.map(({ expires_at }) => expires_at)),
        },
      };
    });
  }
}

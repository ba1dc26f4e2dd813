import type { Store } from '../store/store.ts';
import { AccessUnknown } from './access-unknown.ts';
import { type Authenticated, identityId } from './identity.ts';
import { noteChange } from './noted-changes.ts';
import { revokeCredentials } from './revoked-credentials.ts';

/** How often other nodes' changes are looked for, milliseconds. */
const LOOK_MS = 500;
/** How long what was read last is believed when the store does not answer, milliseconds. */
const BELIEVED_MS = 5_000;
/** How long an order to end a session is kept: every node has seen it long before, milliseconds. */
const KILL_KEPT_MS = 60_000;

/** What has been taken back, as it was in the store when it was last read. */
interface Taken {
  readonly version: number;
  /** Locked and retired identities by id: why. */
  readonly identities: ReadonlyMap<string, string>;
  /** The people among them by subject: what acts on their behalf ends with them, whoever vouches for it. */
  readonly owners: ReadonlyMap<string, string>;
  /** Credentials that ended before their time. */
  readonly credentials: ReadonlyMap<string, string>;
  /** Sessions that are to end. */
  readonly sessions: ReadonlyMap<string, string>;
}

/**
 * Who may not log in any more, and which sessions have to end: kept in memory, so that no session waits for the store, and
 * read again within half a second when any node has changed it.
 */
export class Access {
  readonly #store: Store;
  #taken: Taken;
  #readAt: number;
  #reading: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Why the store could not be asked at the last look; `null` if it could. */
  failure: string | null = null;
  /** Told when something has been taken back. */
  onChange: () => void = () => {};

  private constructor(store: Store, taken: Taken) {
    this.#store = store;
    this.#taken = taken;
    this.#readAt = performance.now();
  }

  /** Rejects if the store cannot be asked. */
  static async open(store: Store): Promise<Access> {
    const access = new Access(store, await readTaken(store, await readVersion(store)));
    access.#lookLater();
    return access;
  }

  /** Why this login is worth nothing now, in words for its client; `null` if it is good. */
  refusal({ identity, credential }: Pick<Authenticated, 'identity' | 'credential'>): string | null {
    const { identities, owners, credentials } = this.#taken;
    if (credential !== undefined) {
      const reason = credentials.get(credential.id);
      if (reason !== undefined) return `its credential was revoked${because(reason)}`;
    }
    if (identities.size === 0) return null;
    const state = identities.get(identityId(identity));
    if (state !== undefined) return `it ${state}`;
    const owner = identity.owner === undefined ? undefined : owners.get(identity.owner);
    if (owner !== undefined) return `its owner ${owner}`;
    const maker = credential === undefined ? undefined : identities.get(credential.by);
    return maker === undefined ? null : `whoever made its credential ${maker}`;
  }

  /** Why this session has to end, in words for its client; `null` if it may go on. */
  killed(session: string): string | null {
    return this.#taken.sessions.get(session) ?? null;
  }

  /**
   * Locks, unlocks or retires an identity; a retired one does not come back, and its credentials end.
   * @returns false if there is no such identity, or it is retired
   */
  async setState(id: string, state: 'active' | 'locked' | 'retired', by: string, reason: string): Promise<boolean> {
    const known = await this.#store.transaction().execute(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('identities')
        .set({ state, state_by: by, state_reason: reason, state_at: Date.now() })
        .where('id', '=', id)
        .where('state', '<>', 'retired')
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n) return false;
      await noteChange(transaction);
      if (state === 'retired') await revokeCredentials(transaction, { identity: id }, by, reason);
      return true;
    });
    await this.look();
    return known;
  }

  /** Ends a session, whichever node has it. */
  async kill(session: string, by: string, reason: string): Promise<void> {
    await this.#store.transaction().execute(async (transaction) => {
      const row = { session, by, reason, at: Date.now() };
      await transaction
        .insertInto('kills')
        .values(row)
        .onConflict((conflict) => conflict.column('session').doUpdateSet(row))
        .execute();
      await noteChange(transaction);
    });
    await this.look();
  }

  /** @throws AccessUnknown if what is known is too old to let anybody in by it */
  check(): void {
    if (this.failure === null || performance.now() - this.#readAt < BELIEVED_MS) return;
    throw new AccessUnknown(`the store cannot be asked: ${this.failure}`);
  }

  /** Reads what has changed now, for whoever has changed something. Never rejects. */
  async look(): Promise<void> {
    // A reading that has begun may have missed it.
    await this.#reading;
    this.#reading ??= this.#look().finally(() => {
      this.#reading = null;
    });
    await this.#reading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#reading;
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.look().then(() => this.#lookLater()), LOOK_MS).unref();
  }

  async #look(): Promise<void> {
    try {
      const version = await readVersion(this.#store);
      const changed = version !== this.#taken.version;
      if (changed) this.#taken = await readTaken(this.#store, version);
      this.#readAt = performance.now();
      this.failure = null;
      if (changed) this.onChange();
    } catch (error) {
      this.failure = (error as Error).message;
    }
  }
}

async function readVersion(store: Store): Promise<number> {
  const query = store.selectFrom('versions').select('version').where('name', '=', 'access');
  return (await query.executeTakeFirstOrThrow()).version;
}

/** @param version read before, so that a change in between is read again */
async function readTaken(store: Store, version: number): Promise<Taken> {
  const now = Date.now();
  const [identities, credentials, kills] = await Promise.all([
    store
      .selectFrom('identities')
      .select(['id', 'subject', 'kind', 'state', 'state_reason'])
      .where('state', '<>', 'active')
      .execute(),
    store
      .selectFrom('credentials')
      .select(['id', 'revoked_reason'])
      .where('revoked_at', 'is not', null)
      .where('expires_at', '>', now)
      .execute(),
    store
      .selectFrom('kills')
      .select(['session', 'reason'])
      .where('at', '>', now - KILL_KEPT_MS)
      .execute(),
  ]);
  const why = (state: string, reason: string | null) => `is ${state}${because(reason)}`;
  return {
    version,
    identities: new Map(identities.map(({ id, state, state_reason }) => [id, why(state, state_reason)])),
    owners: new Map(
      identities
        .filter(({ kind }) => kind !== 'agent')
        .map(({ subject, state, state_reason }) => [subject, why(state, state_reason)]),
    ),
    credentials: new Map(credentials.map(({ id, revoked_reason }) => [id, revoked_reason ?? ''])),
    sessions: new Map(
      kills.map(({ session, reason }) => [session, `it was ended by an administrator${because(reason)}`]),
    ),
  };
}

function because(reason: string | null): string {
  return reason === null || reason === '' ? '' : ` (${reason})`;
}

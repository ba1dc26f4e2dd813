import { currentTime } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import { type Identity, identityId } from './identity.ts';

/** So often at most is a login of the same person, in the same groups, noted, milliseconds. */
const NOTE_EVERY_MS = 60_000;
/** People that this process remembers to have noted. */
const MOST_REMEMBERED = 10_000;

/**
 * When people last proved at the HTTP API who they are, and in which groups they were then: what is known of them when they
 * act where they cannot prove it, as in a chat. Not taken from sessions, which may have begun long ago.
 */
export class LastLogins {
  readonly #store: Store;
  readonly #noted = new Map<string, { readonly at: number; readonly groups: string }>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Somebody has just proved to a provider who they are. Does nothing for those that no provider vouches for, and for programs. */
  async note({ kind, issuer, subject, groups: list }: Identity): Promise<void> {
    if (kind !== 'human' || issuer === undefined) return;
    const identity = identityId({ issuer, subject });
    const groups = JSON.stringify(list);
    const at = currentTime();
    const noted = this.#noted.get(identity);
    if (noted !== undefined && noted.groups === groups && at - noted.at < NOTE_EVERY_MS) return;
    await this.#store
      .insertInto('last_logins')
      .values({ identity, issuer, subject, groups, at })
      .onConflict((conflict) => conflict.column('identity').doUpdateSet({ groups, at }))
      .execute();
    if (this.#noted.size >= MOST_REMEMBERED) this.#noted.clear();
    this.#noted.set(identity, { at, groups });
  }

  /** Who logged in since a time as exactly this subject; `null` if they did not. */
  async find(issuer: string, subject: string, since: number): Promise<Identity | null> {
    const row = await this.#store
      .selectFrom('last_logins')
      .selectAll()
      .where('identity', '=', identityId({ issuer, subject }))
      .where('at', '>=', since)
      .executeTakeFirst();
    return row === undefined ? null : identityOf(row);
  }

  /** The same where the subject is an e-mail address, in whatever case; `null` if it is not one person's. */
  async findByEmail(issuer: string, email: string, since: number): Promise<Identity | null> {
    const rows = await this.#store
      .selectFrom('last_logins')
      .selectAll()
      .where('issuer', '=', issuer)
      .where((eb) => eb(eb.fn('lower', ['subject']), '=', email.toLowerCase()))
      .where('at', '>=', since)
      .execute();
    return rows.length === 1 ? identityOf(rows[0]!) : null;
  }
}

function identityOf({ issuer, subject, groups }: { issuer: string; subject: string; groups: string }): Identity {
  return { subject, issuer, kind: 'human', groups: JSON.parse(groups) as string[] };
}

import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { currentTime, isLive } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import { AccessUnknown } from './access-unknown.ts';
import { type Authenticated, identityId } from './identity.ts';
import { enlist, identityColumns, identityOf } from './identity-rows.ts';
import { revokeCredentials } from './revoked-credentials.ts';

/** What tokens of logins begin with: `slt_<id>_<secret>`. */
const PREFIX = 'slt_';
const ID_BYTES = 9;
const SECRET_BYTES = 32;

/** True for what may be the token of a login, and is no token of anybody else's. */
export function isLoginToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** Somebody who has logged in at the HTTP API, and was given a token of Sluice's own for it. */
export interface Login {
  readonly id: string;
  readonly authenticated: Authenticated;
}

/** Logins at the HTTP API, where what proved the identity (a SAML assertion, a code) is no token itself. */
export class Logins {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** @returns the token, which is nowhere else */
  async create(
    authenticated: Authenticated & { readonly expiresAt: number },
  ): Promise<Login & { readonly token: string }> {
    const id = randomBytes(ID_BYTES).toString('hex');
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    const { identity, expiresAt } = authenticated;
    await this.#store.transaction().execute(async (transaction) => {
      await enlist(transaction, [identity]);
      await transaction
        .insertInto('logins')
        .values({
          id,
          secret: hash('sha256', secret),
          identity: identityId(identity),
          ...identityColumns(identity),
          created_at: currentTime(),
          expires_at: expiresAt,
        })
        .execute();
    });
    return { id, authenticated, token: `${PREFIX}${id}_${secret}` };
  }

  /**
   * The login of a token, `null` if there is none, or it has ended.
   * @throws AccessUnknown if the store cannot be asked
   */
  async find(token: string): Promise<Login | null> {
    const [, id = '', secret = ''] = /^slt_([0-9a-f]+)_(.+)$/.exec(token) ?? [];
    const row = await this.#store
      .selectFrom('logins')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst()
      .catch((error: Error) => {
        throw new AccessUnknown(`the store cannot be asked for a login: ${error.message}`);
      });
    if (row === undefined || row.ended_at !== null || !isLive(row)) return null;
    if (!timingSafeEqual(Buffer.from(row.secret), Buffer.from(hash('sha256', secret)))) return null;
    return { id, authenticated: { identity: identityOf(row), expiresAt: row.expires_at } };
  }

  /** True if it has ended before its time, or there is none. Rejects if the store cannot be asked. */
  async hasEnded(id: string): Promise<boolean> {
    const row = await this.#store.selectFrom('logins').select('ended_at').where('id', '=', id).executeTakeFirst();
    return row === undefined || row.ended_at !== null;
  }

  /** Ends a login, and the credentials that were made in it. */
  async end(id: string): Promise<void> {
    await this.#store.transaction().execute(async (transaction) => {
      const now = currentTime();
      await transaction.updateTable('logins').set({ ended_at: now }).where('id', '=', id).execute();
      await revokeCredentials(transaction, { login: id }, 'logout', 'logged out');
    });
  }
}

import { createHash, randomBytes } from 'node:crypto';
import type { Selectable } from 'kysely';
import {
  createCachingSha2Verifier,
  formatCachingSha2Verifier,
  parseCachingSha2Verifier,
} from '../../protocols/mysql/caching-sha2-password.ts';
import {
  createNativeVerifier,
  formatNativeVerifier,
  parseNativeVerifier,
} from '../../protocols/mysql/native-password.ts';
import { createScramVerifier, formatScramVerifier, parseScramVerifier } from '../../protocols/postgres/scram.ts';
import { currentTime, isLive } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import type { CredentialsTable } from '../store/tables.ts';
import { AccessUnknown } from './access-unknown.ts';
import { type Identity, identityId } from './identity.ts';
import { enlist, identityOf } from './identity-rows.ts';
import { type CredentialFilter, revokeCredentials } from './revoked-credentials.ts';
import type { User } from './users.ts';

/** What the names of credentials begin with. */
const PREFIX = 'sl_';
const NAME_BYTES = 9;
const SECRET_BYTES = 24;

/** True for what may be the name of a credential: others are not looked for in the store. */
export function isCredentialName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** A credential as people see it. */
export interface Credential {
  /** The user name to log in with. */
  readonly id: string;
  readonly identity: Identity;
  readonly connections: readonly string[] | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly revokedAt: number | null;
  readonly revokedBy: string | null;
  readonly revokedReason: string | null;
  readonly firstUsed: number | null;
  readonly lastUsed: number | null;
  readonly uses: number;
}

export interface NewCredential {
  /** Who the sessions will be. */
  readonly identity: Identity;
  /** Names of the connections it is for; `null` for all. */
  readonly connections: readonly string[] | null;
  readonly expiresAt: number;
  /** Who makes it. */
  readonly by: Identity;
  /** Id of the login it is made in, which takes it along when it ends; `null` if that has none. */
  readonly login: string | null;
}

/**
 * Short-lived credentials: a user name and a random secret that any driver can log in with, SCRAM-SHA-256 on PostgreSQL,
 * caching_sha2_password and mysql_native_password on MySQL. The store has only what logins are checked against. The secret
 * has 192 random bits, so that hashes without a salt give nothing away.
 */
export class Credentials {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** @returns the credential and its secret, which is nowhere else */
  async create(wanted: NewCredential): Promise<{ readonly credential: Credential; readonly secret: string }> {
    const secret = randomBytes(SECRET_BYTES).toString('hex');
    const [scram, sha2] = await Promise.all([createScramVerifier(secret), createCachingSha2Verifier(secret)]);
    const { identity, connections, expiresAt, by, login } = wanted;
    const row: CredentialsTable = {
      id: PREFIX + randomBytes(NAME_BYTES).toString('hex'),
      identity: identityId(identity),
      issuer: identity.issuer ?? '',
      subject: identity.subject,
      kind: identity.kind,
      owner: identity.owner ?? null,
      groups: JSON.stringify(identity.groups),
      connections: connections === null ? null : JSON.stringify(connections),
      scram: formatScramVerifier(scram),
      caching_sha2: formatCachingSha2Verifier(sha2),
      caching_sha2_fast: sha256(sha256(Buffer.from(secret))).toString('hex'),
      native: formatNativeVerifier(createNativeVerifier(secret)),
      login,
      created_by: identityId(by),
      created_at: currentTime(),
      expires_at: expiresAt,
      revoked_at: null,
      revoked_by: null,
      revoked_reason: null,
      first_used: null,
      last_used: null,
      uses: 0,
    };
    await this.#store.transaction().execute(async (transaction) => {
      await enlist(transaction, [identity, by]);
      await transaction.insertInto('credentials').values(row).execute();
    });
    return { credential: credentialOf(row), secret };
  }

  /**
   * The credential of this name as an account, `null` if there is none, or it has ended.
   * @throws AccessUnknown if the store cannot be asked
   */
  async find(name: string): Promise<User | null> {
    let row: Selectable<CredentialsTable> | undefined;
    try {
      row = await this.#store.selectFrom('credentials').selectAll().where('id', '=', name).executeTakeFirst();
    } catch (error) {
      throw new AccessUnknown(`the store cannot be asked for a credential: ${(error as Error).message}`);
    }
    if (row === undefined || row.revoked_at !== null || !isLive(row)) return null;
    const { identity, connections } = credentialOf(row);
    const cachingSha2 = parseCachingSha2Verifier(row.caching_sha2);
    cachingSha2.fastDigest = Buffer.from(row.caching_sha2_fast, 'hex');
    return {
      authenticated: {
        identity,
        expiresAt: row.expires_at,
        credential: { id: row.id, connections, by: row.created_by },
      },
      scram: parseScramVerifier(row.scram),
      cachingSha2,
      native: parseNativeVerifier(row.native),
      certificates: null,
    };
  }

  /** Newest first. */
  async list(filter: CredentialFilter, most = 1000): Promise<Credential[]> {
    let query = this.#store.selectFrom('credentials').selectAll();
    if (filter.id !== undefined) query = query.where('id', '=', filter.id);
    if (filter.identity !== undefined) query = query.where('identity', '=', filter.identity);
    if (filter.createdBy !== undefined) query = query.where('created_by', '=', filter.createdBy);
    if (filter.live) query = query.where('revoked_at', 'is', null).where('expires_at', '>', currentTime());
    return (await query.orderBy('created_at', 'desc').limit(most).execute()).map(credentialOf);
  }

  /** Ends those that have not ended. @returns their names */
  revoke(filter: Omit<CredentialFilter, 'live'>, by: string, reason: string): Promise<string[]> {
    return this.#store.transaction().execute((transaction) => revokeCredentials(transaction, filter, by, reason));
  }
}

function credentialOf(row: Selectable<CredentialsTable>): Credential {
  return {
    id: row.id,
    identity: identityOf(row),
    connections: row.connections === null ? null : (JSON.parse(row.connections) as string[]),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    revokedBy: row.revoked_by,
    revokedReason: row.revoked_reason,
    firstUsed: row.first_used,
    lastUsed: row.last_used,
    uses: row.uses,
  };
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

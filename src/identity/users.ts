import { createHmac, hash, randomBytes } from 'node:crypto';
import { type CachingSha2Verifier, parseCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { type NativeVerifier, parseNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { mockVerifier, parseScramVerifier, type ScramVerifier } from '../../protocols/postgres/scram.ts';
import type { UserConfig } from '../config/config.ts';
import type { Authenticated } from './identity.ts';

/** A user, and what its password is checked against; `null` where it cannot log in that way. */
export interface User {
  /** What the password proves. */
  readonly authenticated: Authenticated;
  /** PostgreSQL. */
  readonly scram: ScramVerifier | null;
  /** MySQL, by the plugins caching_sha2_password and mysql_native_password. */
  readonly cachingSha2: CachingSha2Verifier | null;
  readonly native: NativeVerifier | null;
  /** Names of the client certificates of which it needs one; `null` if it needs none. */
  readonly certificates: readonly string[] | null;
}

/** The users in `identity.users` of sluice.yaml. */
export class Users {
  readonly #byName: ReadonlyMap<string, User>;
  readonly #ofPostgres: readonly User[];
  readonly #ofMysql: readonly User[];
  /**
   * From it comes what a name is asked that nobody has. It is as secret as the verifiers it is made of, and as lasting: what is asked
   * after a restart, or by another node, tells no more than before.
   */
  readonly #mockSecret: Buffer;

  /** Throws an Error if a verifier cannot be read or a name is there twice; a loaded configuration has neither. */
  constructor(users: readonly UserConfig[]) {
    const byName = new Map<string, User>();
    for (const { name, kind, groups, owner, scram, mysql, mysql_native: native, certificates } of users) {
      if (byName.has(name)) throw new Error(`user "${name}" is there twice`);
      const identity = { subject: name, kind, groups: [...groups], ...(owner !== undefined && { owner }) };
      byName.set(name, {
        authenticated: { identity, expiresAt: null },
        scram: scram === undefined ? null : parseScramVerifier(scram),
        cachingSha2: mysql === undefined ? null : parseCachingSha2Verifier(mysql),
        native: native === undefined ? null : parseNativeVerifier(native),
        certificates: certificates ?? null,
      });
    }
    this.#byName = byName;
    const all = [...byName.values()];
    this.#ofPostgres = all.filter(({ scram }) => scram !== null);
    this.#ofMysql = all.filter(({ cachingSha2, native }) => cachingSha2 !== null || native !== null);
    const verifiers = users.flatMap(({ scram, mysql, mysql_native: native }) => [scram, mysql, native]).filter(Boolean);
    this.#mockSecret = verifiers.length === 0 ? randomBytes(32) : hash('sha256', verifiers.join('\n'), 'buffer');
  }

  /** The user of exactly this name (neither protocol folds case in it), `null` if there is none. */
  find(name: string): User | null {
    return this.#byName.get(name) ?? null;
  }

  /** A verifier that no password fits, for a name that nobody has: the same each time. @param like whose form it has: some user's */
  mockScram(name: string, like: User | null = this.#likely(name, this.#ofPostgres)): ScramVerifier {
    return mockVerifier(name, this.#mockSecret, like?.scram);
  }

  /** Some user that can log in to MySQL, the same each time for the same name: whoever is not known is asked as that one would be. */
  likelyOfMysql(name: string): User | null {
    return this.#likely(name, this.#ofMysql);
  }

  #likely(name: string, among: readonly User[]): User | null {
    const number = createHmac('sha256', this.#mockSecret).update(name).digest().readUInt32LE(0);
    return among[number % among.length] ?? null;
  }

  [Symbol.iterator](): Iterator<User> {
    return this.#byName.values();
  }
}

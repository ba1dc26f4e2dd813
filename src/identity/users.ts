import { type CachingSha2Verifier, parseCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { type NativeVerifier, parseNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { parseScramVerifier, type ScramVerifier } from '../../protocols/postgres/scram.ts';
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
  }

  /** The user of exactly this name (neither protocol folds case in it), `null` if there is none. */
  find(name: string): User | null {
    return this.#byName.get(name) ?? null;
  }

  [Symbol.iterator](): Iterator<User> {
    return this.#byName.values();
  }
}

import { type CachingSha2Verifier, parseCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { type NativeVerifier, parseNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { parseScramVerifier, type ScramVerifier } from '../../protocols/postgres/scram.ts';
import type { UserConfig } from '../config/config.ts';
import type { Identity } from './identity.ts';

/** A user, and what its password is checked against; `null` where it cannot log in that way. */
export interface User {
  readonly identity: Identity;
  /** PostgreSQL. */
  readonly scram: ScramVerifier | null;
  /** MySQL, by the plugins caching_sha2_password and mysql_native_password. */
  readonly cachingSha2: CachingSha2Verifier | null;
  readonly native: NativeVerifier | null;
}

/** Who may log in, from `identity.users` of sluice.yaml. */
export class Users {
  readonly #byName: ReadonlyMap<string, User>;

  /** Throws an Error if a verifier cannot be read or a name is there twice; a loaded configuration has neither. */
  constructor(users: readonly UserConfig[]) {
    const byName = new Map<string, User>();
    for (const { name, kind, groups, scram, mysql, mysql_native: native } of users) {
      if (byName.has(name)) throw new Error(`user "${name}" is there twice`);
      byName.set(name, {
        identity: { subject: name, kind, groups: [...groups] },
        scram: scram === undefined ? null : parseScramVerifier(scram),
        cachingSha2: mysql === undefined ? null : parseCachingSha2Verifier(mysql),
        native: native === undefined ? null : parseNativeVerifier(native),
      });
    }
    this.#byName = byName;
  }

  /** The user of exactly this name (neither protocol folds case in it), `null` if there is none. */
  find(name: string): User | null {
    return this.#byName.get(name) ?? null;
  }

  /** Some user that can log in to MySQL: whoever is not known is asked as that one would be. @param number any */
  likely(number: number): User | null {
    const users = [...this.#byName.values()].filter(
      ({ cachingSha2, native }) => cachingSha2 !== null || native !== null,
    );
    return users[number % users.length] ?? null;
  }

  /** True if MySQL clients are best asked by mysql_native_password first: nobody has a better verifier. */
  get prefersNative(): boolean {
    const users = [...this.#byName.values()];
    return users.some(({ native }) => native !== null) && users.every(({ cachingSha2 }) => cachingSha2 === null);
  }
}

import { parseScramVerifier, type ScramVerifier } from '../../protocols/postgres/scram.ts';
import type { UserConfig } from '../config/config.ts';
import type { Identity } from './identity.ts';

export interface User {
  readonly identity: Identity;
  /** What the password is checked against. */
  readonly verifier: ScramVerifier;
}

/** Who may log in, from `identity.users` of sluice.yaml. */
export class Users {
  readonly #byName: ReadonlyMap<string, User>;

  /** Throws an Error if a verifier cannot be read or a name is there twice; a loaded configuration has neither. */
  constructor(users: readonly UserConfig[]) {
    const byName = new Map<string, User>();
    for (const { name, kind, groups, scram } of users) {
      if (byName.has(name)) throw new Error(`user "${name}" is there twice`);
      byName.set(name, { identity: { subject: name, kind, groups: [...groups] }, verifier: parseScramVerifier(scram) });
    }
    this.#byName = byName;
  }

  /** The user of exactly this name (PostgreSQL folds no case in the StartupMessage), `null` if there is none. */
  find(name: string): User | null {
    return this.#byName.get(name) ?? null;
  }
}

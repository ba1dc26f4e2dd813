import type { ScramVerifier } from '../../protocols/postgres/scram.ts';
import { type Credentials, isCredentialName } from './credentials.ts';
import type { User, Users } from './users.ts';

/** Everybody who can log in with a name and a password: users of sluice.yaml and short-lived credentials. */
export class Accounts {
  readonly #users: Users;
  readonly #credentials: Credentials;
  /** True if MySQL clients are best asked by mysql_native_password first: no user has a better verifier. */
  readonly prefersNative: boolean;

  constructor(users: Users, credentials: Credentials) {
    this.#users = users;
    this.#credentials = credentials;
    const all = [...users];
    this.prefersNative =
      all.some(({ native }) => native !== null) && all.every(({ cachingSha2 }) => cachingSha2 === null);
  }

  /**
   * The account of exactly this name, `null` if there is none, or none any more.
   * @throws AccessUnknown if the store cannot be asked
   */
  async find(name: string): Promise<User | null> {
    return this.#users.find(name) ?? (isCredentialName(name) ? await this.#credentials.find(name) : null);
  }

  /** True if it is the name of a user of sluice.yaml. */
  isUser(name: string): boolean {
    return this.#users.find(name) !== null;
  }

  /** As {@link Users.mockScram}; for the name of a credential as those have it. */
  mockScram(name: string): ScramVerifier {
    return isCredentialName(name) ? this.#users.mockScram(name, null) : this.#users.mockScram(name);
  }

  /** As {@link Users.likelyOfMysql}. */
  likelyOfMysql(name: string): User | null {
    return this.#users.likelyOfMysql(name);
  }
}

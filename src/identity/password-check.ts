import { timingSafeEqual } from 'node:crypto';
import { CachingSha2Server } from '../../protocols/mysql/caching-sha2-password.ts';
import { createNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { createScramVerifier } from '../../protocols/postgres/scram.ts';
import type { Authenticated } from './identity.ts';
import type { User, Users } from './users.ts';

/** Checks passwords that come as they are: those of users of sluice.yaml, over a channel that nobody reads. */
export class PasswordCheck {
  readonly #users: Users;

  constructor(users: Users) {
    this.#users = users;
  }

  /**
   * What the password proves, `null` if nothing: alone it is not enough for a user that needs a certificate as well. Takes as
   * long for a name that nobody has.
   */
  async check(name: string, password: string): Promise<Authenticated | null> {
    const found = this.#users.find(name);
    const user = found?.certificates == null ? found : null;
    const scram = user === null ? this.#users.mockScram(name) : user.scram;
    try {
      if (scram !== null) {
        const { storedKey } = await createScramVerifier(password, scram.iterations, scram.salt);
        return timingSafeEqual(storedKey, scram.storedKey) && user !== null ? user.authenticated : null;
      }
      return user !== null && (await fitsMysql(user, password)) ? user.authenticated : null;
    } catch (error) {
      // What cannot be a password: empty, too long, or with a zero byte in it.
      if (error instanceof RangeError) return null;
      throw error;
    }
  }
}

async function fitsMysql({ cachingSha2, native }: User, password: string): Promise<boolean> {
  if (cachingSha2 !== null) {
    const server = new CachingSha2Server(cachingSha2, Buffer.alloc(20), 'tls');
    server.start(Buffer.alloc(32));
    return (await server.answer(Buffer.from(`${password}\0`))).step === 'accepted';
  }
  return native !== null && timingSafeEqual(createNativeVerifier(password), native);
}

/**
 * caching_sha2_password, both sides (MySQL internals documentation, "Caching_sha2_password Information").
 *
 * The server keeps a slow salted hash of the password. A client first answers the scramble: XOR(SHA256(password),
 * SHA256(SHA256(SHA256(password)), scramble)). A server that has SHA256(SHA256(password)) in memory from an earlier login
 * can check that at once ("fast"). Otherwise it asks for the password itself, inside TLS or encrypted with its RSA key
 * ("full").
 */
import { hash, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  decodePublicKey,
  decryptPassword,
  encodePublicKey,
  encryptPassword,
  type PasswordChannel,
  terminatedPassword,
  withoutTerminator,
} from './password-channel.ts';
import { xor } from './scramble.ts';
import { encodeCryptDigest, sha256Crypt } from './sha256-crypt.ts';
import { ProtocolViolation } from './violation.ts';

export const CACHING_SHA2_PASSWORD = 'caching_sha2_password';

/** What server and client say besides the hashes. */
const REQUEST_PUBLIC_KEY = Buffer.from([0x02]);
/** What a server says that knows the client by its first answer. */
export const FAST_SUCCESS = Buffer.from([0x03]);
/** What a server says that wants the password itself. */
export const FULL_AUTHENTICATION = Buffer.from([0x04]);

const DIGEST_BYTES = 32;
const DEFAULT_ROUNDS = 5000;
const ROUNDS_UNIT = 1000;
/** MySQL takes no longer passwords by this method; the work grows with their square. */
const MAX_PASSWORD_BYTES = 256;

/** What the server keeps of a password: enough to check a login, not enough to make one. */
export interface CachingSha2Verifier {
  /** A multiple of 1000. */
  readonly rounds: number;
  /** 20 bytes without `$` and zero. */
  readonly salt: Buffer;
  /** 43 characters. */
  readonly digest: string;
  /** SHA256(SHA256(password)) once a full authentication has shown the password. Only ever in memory. */
  fastDigest: Buffer | null;
}

// Verifiers.

/**
 * Reads the form in the column authentication_string of mysql.user: `$A$005$`, 20 bytes of salt, 43 characters of
 * digest; or all of it in hexadecimal digits after `0x`, as SHOW CREATE USER can give it, since a server's salt may have
 * bytes that no text file holds.
 *
 * @throws Error that says what is wrong with it, without quoting it
 */
export function parseCachingSha2Verifier(text: string): CachingSha2Verifier {
  const hex = /^0[xX]((?:[0-9a-fA-F]{2})+)$/.exec(text)?.[1];
  const bytes = hex === undefined ? Buffer.from(text, 'latin1') : Buffer.from(hex, 'hex');
  const parts = /^\$A\$([0-9A-F]{3})\$([^\0$]{20})([./0-9A-Za-z]{43})$/s.exec(bytes.toString('latin1'));
  if (parts === null) {
    throw new Error('not a caching_sha2_password verifier: expected $A$, rounds, $, 20 bytes of salt and 43 of digest');
  }
  const rounds = Number.parseInt(parts[1]!, 16) * ROUNDS_UNIT;
  if (rounds < DEFAULT_ROUNDS) throw new Error('not a caching_sha2_password verifier: too few rounds');
  return { rounds, salt: Buffer.from(parts[2]!, 'latin1'), digest: parts[3]!, fastDigest: null };
}

/** The reverse of {@link parseCachingSha2Verifier}; in hexadecimal digits if the salt is not printable. */
export function formatCachingSha2Verifier(verifier: CachingSha2Verifier): string {
  const rounds = (verifier.rounds / ROUNDS_UNIT).toString(16).toUpperCase().padStart(3, '0');
  const text = `$A$${rounds}$${verifier.salt.toString('latin1')}${verifier.digest}`;
  return /^[!-~]+$/.test(text) ? text : `0x${Buffer.from(text, 'latin1').toString('hex').toUpperCase()}`;
}

/** @param salt random when left out; given only to compute a known verifier again */
export async function createCachingSha2Verifier(
  password: string,
  salt: Buffer = randomSalt(),
): Promise<CachingSha2Verifier> {
  const bytes = Buffer.from(password, 'utf8');
  if (bytes.length === 0) throw new RangeError('an empty password has no verifier');
  if (bytes.length > MAX_PASSWORD_BYTES) throw new RangeError(`the password has more than ${MAX_PASSWORD_BYTES} bytes`);
  if (bytes.includes(0)) throw new RangeError('the password has a zero byte');
  const digest = encodeCryptDigest(await sha256Crypt(bytes, salt, DEFAULT_ROUNDS));
  return { rounds: DEFAULT_ROUNDS, salt, digest, fastDigest: null };
}

/**
 * A verifier that no password fits, for the exchange with a user that does not exist: it asks for a full authentication
 * and takes as long as that of a user who does.
 *
 * @param rounds those of the users who do
 */
export function mockCachingSha2Verifier(rounds: number = DEFAULT_ROUNDS): CachingSha2Verifier {
  // Characters of the digest's alphabet, but of no digest that anybody knows the password for.
  const digest = encodeCryptDigest(randomBytes(DIGEST_BYTES));
  return { rounds, salt: randomSalt(), digest, fastDigest: null };
}

/** Printable, so that the verifier is text: 6 bits a byte. */
function randomSalt(): Buffer {
  return Buffer.from(randomBytes(15).toString('base64').replaceAll('+', '.'), 'latin1');
}

// The server's side.

export type ServerStep =
  /** Send this as AuthMoreData and give what the client answers to {@link CachingSha2Server.answer}. */
  | { readonly step: 'ask'; readonly data: Buffer }
  /** The client has the password. `data`, if any, goes out as AuthMoreData before the OK packet. */
  | { readonly step: 'accepted'; readonly data: Buffer | null }
  | { readonly step: 'refused' };

/** One exchange as the server: {@link start}, then {@link answer} for each answer that was asked for. */
export class CachingSha2Server {
  readonly #verifier: CachingSha2Verifier;
  readonly #scramble: Buffer;
  readonly #channel: 'tls' | KeyObject;
  #expects: 'response' | 'password' | 'key request or password' | 'nothing' = 'response';

  /**
   * @param scramble 20 bytes, as sent to the client
   * @param channel how the password itself can come: through TLS; or, on this machine only, encrypted with the public part
   *   of this RSA key or in clear, as MariaDB's Connector/C sends it over the loopback interface
   */
  constructor(verifier: CachingSha2Verifier, scramble: Buffer, channel: 'tls' | KeyObject) {
    this.#verifier = verifier;
    this.#scramble = scramble;
    this.#channel = channel;
  }

  /** @param response the client's answer to the scramble */
  start(response: Buffer): ServerStep {
    this.#expect('response');
    const { fastDigest } = this.#verifier;
    // A password that was changed since is asked for again, too. An empty one is no user's.
    if (response.length !== DIGEST_BYTES) return { step: 'refused' };
    if (fastDigest !== null && answers(fastDigest, this.#scramble, response)) {
      return { step: 'accepted', data: FAST_SUCCESS };
    }
    this.#expects = this.#channel === 'tls' ? 'password' : 'key request or password';
    return { step: 'ask', data: FULL_AUTHENTICATION };
  }

  /**
   * @param payload the client's next payload
   * @throws ProtocolViolation if it is none of this exchange
   */
  async answer(payload: Buffer): Promise<ServerStep> {
    const expected = this.#expects;
    const channel = this.#channel;
    if (channel !== 'tls' && expected === 'key request or password' && payload.equals(REQUEST_PUBLIC_KEY)) {
      this.#expects = 'password';
      return { step: 'ask', data: encodePublicKey(channel) };
    }
    this.#expect(expected === 'key request or password' ? expected : 'password');
    const password =
      channel === 'tls'
        ? withoutTerminator(payload)
        : (decryptPassword(payload, this.#scramble, channel) ?? withoutTerminator(payload));
    if (password === null || password.length > MAX_PASSWORD_BYTES) return { step: 'refused' };
    const digest = encodeCryptDigest(await sha256Crypt(password, this.#verifier.salt, this.#verifier.rounds));
    if (!timingSafeEqual(Buffer.from(digest, 'latin1'), Buffer.from(this.#verifier.digest, 'latin1'))) {
      return { step: 'refused' };
    }
    this.#verifier.fastDigest = sha256(sha256(password));
    return { step: 'accepted', data: null };
  }

  #expect(what: 'response' | 'password' | 'key request or password'): void {
    if (this.#expects !== what) throw new ProtocolViolation(`authentication expects ${this.#expects}, not ${what}`);
    this.#expects = 'nothing';
  }
}

/** Whether `response` to `scramble` shows SHA256(password), whose hash is `fastDigest`. */
function answers(fastDigest: Buffer, scramble: Buffer, response: Buffer): boolean {
  const once = xor(response, sha256(Buffer.concat([fastDigest, scramble])));
  return timingSafeEqual(sha256(once), fastDigest);
}

// The client's side.

/** What a client answers to the scramble: 32 bytes, or one zero byte for an empty password. */
export function cachingSha2Response(password: string, scramble: Buffer): Buffer {
  if (password === '') return Buffer.alloc(1);
  const once = sha256(Buffer.from(password, 'utf8'));
  return xor(once, sha256(Buffer.concat([sha256(once), scramble])));
}

/** What the client's side does with the server's AuthMoreData. */
export class CachingSha2Client {
  readonly #password: string;
  readonly #scramble: Buffer;
  readonly #channel: PasswordChannel;
  #state: 'response sent' | 'key asked for' | 'password sent' | 'fast' = 'response sent';

  constructor(password: string, scramble: Buffer, channel: PasswordChannel) {
    this.#password = password;
    this.#scramble = scramble;
    this.#channel = channel;
  }

  /**
   * @param data of the server's AuthMoreData
   * @returns what to send; `null` for nothing, the server's OK or ERR comes then
   * @throws ProtocolViolation if it is none of this exchange, or the server wants the password in a way it may not come
   */
  answer(data: Buffer): Buffer | null {
    if (this.#state === 'key asked for') {
      this.#state = 'password sent';
      return encryptPassword(this.#password, this.#scramble, decodePublicKey(data));
    }
    if (this.#state === 'response sent') {
      if (data.equals(FAST_SUCCESS)) {
        this.#state = 'fast';
        return null;
      }
      if (data.equals(FULL_AUTHENTICATION)) return this.#giveAway();
    }
    throw new ProtocolViolation(`authentication data of the server does not belong into ${CACHING_SHA2_PASSWORD}`);
  }

  #giveAway(): Buffer {
    switch (this.#channel) {
      case 'tls':
        this.#state = 'password sent';
        return terminatedPassword(this.#password);
      case 'ask for the key':
        this.#state = 'key asked for';
        return REQUEST_PUBLIC_KEY;
      case 'none':
        throw new ProtocolViolation('the server asks for the password, which must not go out without TLS');
      default:
        this.#state = 'password sent';
        return encryptPassword(this.#password, this.#scramble, this.#channel);
    }
  }
}

function sha256(bytes: Buffer): Buffer {
  return hash('sha256', bytes, 'buffer');
}

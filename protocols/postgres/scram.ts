/**
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: RFC 5802, RFC 7677, with the channel binding tls-server-end-point of RFC 5929,
 * in the way PostgreSQL uses them (its documentation, "SASL Authentication"): the user's name comes from the
 * StartupMessage and the one inside the exchange is ignored; there is no authorization identity.
 */

import { isUtf8 } from 'node:buffer';
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { preparePassword } from './saslprep.ts';
import { ProtocolViolation } from './violation.ts';

export { endPointBinding } from './channel-binding.ts';

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
export const SCRAM_SHA_256_PLUS = 'SCRAM-SHA-256-PLUS';

/** PostgreSQL's default of `scram_iterations`. */
const DEFAULT_ITERATIONS = 4096;
const SALT_BYTES = 16;
const NONCE_BYTES = 18;
const KEY_BYTES = 32;
/** An upstream server chooses how long a login computes; this much takes about half a second of one core. */
const MAX_ITERATIONS = 1_000_000;

/** What a server keeps of a password: enough to check a login, not enough to make one. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  /** 32 bytes: H(ClientKey) */
  readonly storedKey: Buffer;
  /** 32 bytes */
  readonly serverKey: Buffer;
}

/** Ties an exchange to its TLS connection. `data` is what `endPointBinding` gives for the server's certificate. */
export interface ChannelBinding {
  readonly type: 'tls-server-end-point';
  readonly data: Buffer;
}

// Verifiers.

/**
 * Reads the form in PostgreSQL's pg_authid.rolpassword: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`,
 * the last three in base64.
 *
 * @throws Error that says what is wrong with it, without quoting it
 */
export function parseScramVerifier(text: string): ScramVerifier {
  const parts = /^SCRAM-SHA-256\$([1-9][0-9]{0,9}):([^$:]+)\$([^$:]+):([^$:]+)$/.exec(text);
  if (parts === null) {
    throw new Error('not a SCRAM verifier: expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>');
  }
  const iterations = Number(parts[1]);
  const salt = decodeBase64(parts[2]!);
  const storedKey = decodeBase64(parts[3]!);
  const serverKey = decodeBase64(parts[4]!);
  if (iterations > 0x7fffffff) throw new Error('not a SCRAM verifier: too many iterations');
  if (salt === null) throw new Error('not a SCRAM verifier: the salt is not base64');
  if (storedKey?.length !== KEY_BYTES) throw new Error('not a SCRAM verifier: StoredKey is not 32 bytes in base64');
  if (serverKey?.length !== KEY_BYTES) throw new Error('not a SCRAM verifier: ServerKey is not 32 bytes in base64');
  return { iterations, salt, storedKey, serverKey };
}

/** The reverse of {@link parseScramVerifier}. */
export function formatScramVerifier(verifier: ScramVerifier): string {
  const [salt, storedKey, serverKey] = [verifier.salt, verifier.storedKey, verifier.serverKey].map(encodeBase64);
  return `SCRAM-SHA-256$${verifier.iterations}:${salt}$${storedKey}:${serverKey}`;
}

/** @param salt random when left out; given only to compute a known verifier again */
export async function createScramVerifier(
  password: string,
  iterations: number = DEFAULT_ITERATIONS,
  salt: Buffer = randomBytes(SALT_BYTES),
): Promise<ScramVerifier> {
  const { storedKey, serverKey } = keysOf(await derive(preparePassword(password), salt, iterations));
  return { iterations, salt, storedKey, serverKey };
}

/**
 * A verifier that no password fits, for the exchange with a user that does not exist. It is the same each time for the
 * same name, as a real one would be, so that asking twice does not tell. Its StoredKey is the output of a keyed hash:
 * a proof for it would need a preimage under SHA-256.
 *
 * @param secret at least as secret as the verifiers; the same for all nodes that serve the same users
 * @param like a real verifier, whose iterations and length of salt it has: others could be told from it by them. PostgreSQL's own
 *   has the default ones
 */
export function mockVerifier(username: string, secret: Buffer, like: ScramVerifier | null = null): ScramVerifier {
  const part = (name: string) => hmac(secret, Buffer.from(`${name}\0${username}`, 'utf8'));
  return {
    iterations: like?.iterations ?? DEFAULT_ITERATIONS,
    salt: part('salt').subarray(0, like?.salt.length ?? SALT_BYTES),
    storedKey: part('StoredKey'),
    serverKey: part('ServerKey'),
  };
}

// The server's side.

export type ScramOutcome = { readonly ok: true; readonly serverFinal: Buffer } | { readonly ok: false };

/** What the server remembers between its two steps. */
interface ServerExchange {
  readonly gs2Header: string;
  readonly bound: boolean;
  readonly clientFirstBare: string;
  readonly nonce: string;
  readonly serverFirst: string;
}

/** One exchange as the server: {@link start}, then {@link finish}, each once. */
export class ScramServer {
  readonly #verifier: ScramVerifier;
  readonly #channelBinding: ChannelBinding | null;
  readonly #serverNonce: string;
  #exchange: ServerExchange | null = null;
  #started = false;

  /**
   * @param channelBinding of this connection; null without TLS or if the certificate has none: -PLUS is not offered
   * @param serverNonce for test vectors; random when left out
   */
  constructor(verifier: ScramVerifier, channelBinding: ChannelBinding | null, serverNonce: string = randomNonce()) {
    this.#verifier = verifier;
    this.#channelBinding = channelBinding;
    this.#serverNonce = serverNonce;
  }

  /** For the AuthenticationSASL message, the preferred one first. */
  get mechanisms(): string[] {
    return this.#channelBinding === null ? [SCRAM_SHA_256] : [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
  }

  /**
   * @param mechanism and `initialResponse` (client-first-message) of the SASLInitialResponse
   * @returns server-first-message, for AuthenticationSASLContinue
   * @throws ProtocolViolation if they are malformed, want what was not offered, or show that someone between client
   *   and server removed -PLUS from the offer
   */
  start(mechanism: string, initialResponse: Buffer): Buffer {
    if (this.#started) throw new Error('ScramServer.start was called before');
    this.#started = true;
    if (!this.mechanisms.includes(mechanism)) {
      throw new ProtocolViolation('client selected an invalid SASL authentication mechanism');
    }
    // gs2-header = gs2-cbind-flag "," [ authzid ] ","
    const parts = /^((n|y|p=[A-Za-z0-9.-]+),(a=[^,]*)?,)(.*)$/s.exec(decodeText(initialResponse));
    if (parts === null) throw malformed('the GS2 header is not valid');
    const gs2Header = parts[1]!;
    const bound = mechanism === SCRAM_SHA_256_PLUS;
    this.#checkBindingFlag(parts[2]!, bound);
    if (parts[3] !== undefined) throw malformed('an authorization identity is not supported');

    const clientFirstBare = parts[4]!;
    const attributes = clientFirstBare.split(',');
    if (attributes[0]!.startsWith('m=')) throw malformed('a mandatory extension is not supported');
    attribute(attributes[0], 'n');
    const clientNonce = attribute(attributes[1], 'r');
    if (!PRINTABLE.test(clientNonce)) throw malformed('the nonce is empty or not printable');
    checkExtensions(attributes.slice(2));

    const { salt, iterations } = this.#verifier;
    const nonce = clientNonce + this.#serverNonce;
    const serverFirst = `r=${nonce},s=${encodeBase64(salt)},i=${iterations}`;
    this.#exchange = { gs2Header, bound, clientFirstBare, nonce, serverFirst };
    return Buffer.from(serverFirst, 'utf8');
  }

  /**
   * @param clientFinal client-final-message, from the SASLResponse
   * @returns `ok` with the server-final-message, for AuthenticationSASLFinal, if the client knows the password and both
   *   ends see the same nonce and the same TLS connection
   * @throws ProtocolViolation if the message is malformed
   */
  finish(clientFinal: Buffer): ScramOutcome {
    const exchange = this.#exchange;
    if (exchange === null) throw new Error('ScramServer.finish needs a start, and can be called once');
    this.#exchange = null;

    const text = decodeText(clientFinal);
    const proofAt = text.lastIndexOf(',');
    const withoutProof = text.slice(0, Math.max(proofAt, 0));
    const proof = decodeBase64(attribute(text.slice(proofAt + 1), 'p'));
    if (proof?.length !== KEY_BYTES) throw malformed('the proof is not 32 bytes in base64');
    const attributes = withoutProof.split(',');
    const binding = attribute(attributes[0], 'c');
    const nonce = attribute(attributes[1], 'r');
    checkExtensions(attributes.slice(2));

    const authMessage = Buffer.from(`${exchange.clientFirstBare},${exchange.serverFirst},${withoutProof}`, 'utf8');
    const clientKey = xor(proof, hmac(this.#verifier.storedKey, authMessage));
    const bindingIsOurs = sameText(binding, this.#expectedBinding(exchange));
    const nonceIsOurs = sameText(nonce, exchange.nonce);
    const proofIsRight = timingSafeEqual(sha256(clientKey), this.#verifier.storedKey);
    if (!bindingIsOurs || !nonceIsOurs || !proofIsRight) return { ok: false };
    const signature = hmac(this.#verifier.serverKey, authMessage);
    return { ok: true, serverFinal: Buffer.from(`v=${encodeBase64(signature)}`, 'utf8') };
  }

  /** RFC 5802 section 6: what the flag may be depends on the mechanism and on what was offered. */
  #checkBindingFlag(flag: string, bound: boolean): void {
    if (flag.startsWith('p=')) {
      if (!bound) throw malformed('it has channel binding data, but the mechanism selected has no channel binding');
      if (flag !== `p=${this.#channelBinding!.type}`) throw malformed('the channel binding type is not supported');
    } else if (bound) {
      throw malformed('the mechanism selected needs channel binding data');
    } else if (flag === 'y' && this.#channelBinding !== null) {
      throw new ProtocolViolation(
        'SCRAM channel binding negotiation error: the client supports channel binding but thinks the server does not, ' +
          'and this server does',
      );
    }
  }

  #expectedBinding(exchange: ServerExchange): string {
    const header = Buffer.from(exchange.gs2Header, 'latin1');
    return encodeBase64(exchange.bound ? Buffer.concat([header, this.#channelBinding!.data]) : header);
  }
}

// The client's side.

interface ClientExchange {
  readonly gs2Header: string;
  readonly clientFirstBare: string;
  readonly mechanism: string;
}

/** One exchange as the client: {@link start}, {@link respond}, {@link finish}, each once and in this order. */
export class ScramClient {
  readonly #user: string;
  readonly #password: string;
  readonly #channelBinding: ChannelBinding | null;
  readonly #clientNonce: string;
  #exchange: ClientExchange | null = null;
  #started = false;
  #serverSignature: Buffer | null = null;
  #verified = false;

  /**
   * @param user PostgreSQL ignores it here; it may be empty, as it is with libpq
   * @param channelBinding of the server's certificate as this end sees it; null without TLS or if it has none
   * @param clientNonce for test vectors; random when left out
   */
  constructor(
    user: string,
    password: string,
    channelBinding: ChannelBinding | null,
    clientNonce: string = randomNonce(),
  ) {
    this.#user = user;
    this.#password = password;
    this.#channelBinding = channelBinding;
    this.#clientNonce = clientNonce;
  }

  /**
   * True once the server has shown that it knows the password too. AuthenticationOk before that is not to be believed:
   * whoever sends it need not be the server.
   */
  get verified(): boolean {
    return this.#verified;
  }

  /**
   * Chooses -PLUS if both sides can.
   *
   * @param offered mechanisms of the AuthenticationSASL message
   * @returns what the SASLInitialResponse carries
   * @throws ProtocolViolation if the server offers none that can be used
   */
  start(offered: readonly string[]): { readonly mechanism: string; readonly response: Buffer } {
    if (this.#started) throw new Error('ScramClient.start was called before');
    this.#started = true;
    const bound = this.#channelBinding !== null && offered.includes(SCRAM_SHA_256_PLUS);
    if (!bound && !offered.includes(SCRAM_SHA_256)) {
      throw new ProtocolViolation('server offers no SASL mechanism that can be used');
    }
    // "y" makes a server that did offer -PLUS notice that somebody took it out of the offer.
    const flag = bound ? `p=${this.#channelBinding!.type}` : this.#channelBinding !== null ? 'y' : 'n';
    const gs2Header = `${flag},,`;
    const saslname = this.#user.replaceAll('=', '=3D').replaceAll(',', '=2C');
    const clientFirstBare = `n=${saslname},r=${this.#clientNonce}`;
    const mechanism = bound ? SCRAM_SHA_256_PLUS : SCRAM_SHA_256;
    this.#exchange = { gs2Header, clientFirstBare, mechanism };
    return { mechanism, response: Buffer.from(gs2Header + clientFirstBare, 'utf8') };
  }

  /**
   * @param serverFirstMessage from AuthenticationSASLContinue
   * @returns client-final-message, for the SASLResponse
   * @throws ProtocolViolation (as a rejection) if the message is malformed, does not carry on our nonce, or asks for
   *   more than a million iterations
   */
  async respond(serverFirstMessage: Buffer): Promise<Buffer> {
    const exchange = this.#exchange;
    if (exchange === null) throw new Error('ScramClient.respond needs a start, and can be called once');
    this.#exchange = null;
    const serverFirst = decodeText(serverFirstMessage);
    const attributes = serverFirst.split(',');
    if (attributes[0]!.startsWith('m=')) throw malformed('a mandatory extension is not supported');
    const nonce = attribute(attributes[0], 'r');
    const salt = decodeBase64(attribute(attributes[1], 's'));
    const iterationText = attribute(attributes[2], 'i');
    checkExtensions(attributes.slice(3));
    if (!nonce.startsWith(this.#clientNonce) || nonce.length === this.#clientNonce.length || !PRINTABLE.test(nonce)) {
      throw malformed('the nonce does not carry on the one that was sent');
    }
    if (salt === null) throw malformed('the salt is empty or not base64');
    if (!/^[1-9][0-9]*$/.test(iterationText)) throw malformed('the iteration count is not a positive number');
    const iterations = Number(iterationText);
    if (iterations > MAX_ITERATIONS) throw malformed(`more than ${MAX_ITERATIONS} iterations are asked for`);

    const header = Buffer.from(exchange.gs2Header, 'latin1');
    const bound = exchange.mechanism === SCRAM_SHA_256_PLUS;
    const binding = bound ? Buffer.concat([header, this.#channelBinding!.data]) : header;
    const withoutProof = `c=${encodeBase64(binding)},r=${nonce}`;
    const authMessage = Buffer.from(`${exchange.clientFirstBare},${serverFirst},${withoutProof}`, 'utf8');
    const keys = keysOf(await cachedDerive(preparePassword(this.#password), salt, iterations));
    this.#serverSignature = hmac(keys.serverKey, authMessage);
    const proof = xor(keys.clientKey, hmac(keys.storedKey, authMessage));
    return Buffer.from(`${withoutProof},p=${encodeBase64(proof)}`, 'utf8');
  }

  /**
   * Checks that the server knows the password.
   *
   * @param serverFinal server-final-message, from AuthenticationSASLFinal
   * @throws ProtocolViolation if the server does not, reports an error, or the message is malformed
   */
  finish(serverFinal: Buffer): void {
    const expected = this.#serverSignature;
    if (expected === null) throw new Error('ScramClient.finish needs a respond, and can be called once');
    this.#serverSignature = null;
    const [first, ...extensions] = decodeText(serverFinal).split(',');
    if (first!.startsWith('e=')) {
      const reason = /^e=([a-z-]{1,64})$/.exec(first!)?.[1] ?? 'it gives no reason of RFC 5802';
      throw new ProtocolViolation(`server refused the SCRAM exchange: ${reason}`);
    }
    const signature = decodeBase64(attribute(first, 'v'));
    checkExtensions(extensions);
    if (signature?.length !== KEY_BYTES) throw malformed('the server signature is not 32 bytes in base64');
    if (!timingSafeEqual(signature, expected)) {
      throw new ProtocolViolation('incorrect SCRAM server signature: the server does not know the password');
    }
    this.#verified = true;
  }
}

// Keys: RFC 5802 section 3.

interface ScramKeys {
  readonly clientKey: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

const pbkdf2Async = promisify(pbkdf2);

/** SaltedPassword. Runs in the thread pool: thousands of hash rounds would stop every session otherwise. */
function derive(password: Buffer, salt: Buffer, iterations: number): Promise<Buffer> {
  return pbkdf2Async(password, salt, iterations, KEY_BYTES, 'sha256');
}

function keysOf(saltedPassword: Buffer): ScramKeys {
  const clientKey = hmac(saltedPassword, Buffer.from('Client Key', 'latin1'));
  const serverKey = hmac(saltedPassword, Buffer.from('Server Key', 'latin1'));
  return { clientKey, storedKey: sha256(clientKey), serverKey };
}

/** Enough for the connections of a configuration; a server that changes its salt each time evicts, no more. */
const CACHED_DERIVATIONS = 64;
const derivations = new Map<string, Promise<Buffer>>();
/** Keys of the cache must not be a quick way to guess passwords if memory leaks into a dump without this. */
const cacheSecret = randomBytes(KEY_BYTES);

/** {@link derive}, with the most recently used results kept: every session logs in upstream with the same password. */
function cachedDerive(password: Buffer, salt: Buffer, iterations: number): Promise<Buffer> {
  const key = [hmac(cacheSecret, password), salt].map(encodeBase64).concat(String(iterations)).join(' ');
  let derivation = derivations.get(key);
  if (derivation === undefined) {
    derivation = derive(password, salt, iterations);
    derivation.catch(() => derivations.delete(key));
    if (derivations.size >= CACHED_DERIVATIONS) derivations.delete(derivations.keys().next().value!);
  } else {
    derivations.delete(key);
  }
  derivations.set(key, derivation);
  return derivation;
}

// Bytes and text.

/** `printable` of RFC 5802 section 7: ASCII without space and comma. */
const PRINTABLE = /^[\x21-\x2b\x2d-\x7e]+$/;

function malformed(reason: string): ProtocolViolation {
  return new ProtocolViolation(`malformed SCRAM message: ${reason}`);
}

function decodeText(message: Buffer): string {
  if (!isUtf8(message) || message.includes(0)) throw malformed('it is not UTF-8, or has a zero byte');
  return message.toString('utf8');
}

/** The value of `name=value`. */
function attribute(text: string | undefined, name: string): string {
  if (text === undefined || !text.startsWith(`${name}=`)) throw malformed(`attribute "${name}" expected`);
  return text.slice(2);
}

/** Optional extensions are ignored, but have to look like attributes. */
function checkExtensions(attributes: readonly string[]): void {
  if (!attributes.every((text) => /^[A-Za-z]=./s.test(text))) throw malformed('attribute expected');
}

function encodeBase64(bytes: Buffer): string {
  return bytes.toString('base64');
}

/** Null if the text is empty or not exactly what encoding the result would give: Node's own decoder skips what it does not know. */
function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && encodeBase64(bytes) === text ? bytes : null;
}

function sameText(left: string, right: string): boolean {
  return timingSafeEqual(sha256(Buffer.from(left, 'utf8')), sha256(Buffer.from(right, 'utf8')));
}

function xor(left: Buffer, right: Buffer): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ right[index]!));
}

function hmac(key: Buffer, bytes: Buffer): Buffer {
  return createHmac('sha256', key).update(bytes).digest();
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function randomNonce(): string {
  return encodeBase64(randomBytes(NONCE_BYTES));
}

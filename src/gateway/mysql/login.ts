import { generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import {
  CACHING_SHA2_PASSWORD,
  CachingSha2Server,
  type CachingSha2Verifier,
  FAST_SUCCESS,
  FULL_AUTHENTICATION,
  mockCachingSha2Verifier,
} from '../../../protocols/mysql/caching-sha2-password.ts';
import { agreed, type Capabilities, CLIENT } from '../../../protocols/mysql/capabilities.ts';
import { CLEAR_PASSWORD } from '../../../protocols/mysql/client-authentication.ts';
import type { ComChangeUser } from '../../../protocols/mysql/commands.ts';
import { type Compression, ZLIB, zstd } from '../../../protocols/mysql/compression.ts';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import {
  decodeHandshakeResponse,
  decodeSSLRequest,
  encodeAuthMoreData,
  encodeAuthSwitchRequest,
  encodeHandshake,
  SSL_REQUEST_BYTES,
} from '../../../protocols/mysql/handshake.ts';
import {
  NATIVE_PASSWORD,
  type NativeVerifier,
  verifyNativePassword,
} from '../../../protocols/mysql/native-password.ts';
import { type Err, encodeErr } from '../../../protocols/mysql/responses.ts';
import { SCRAMBLE_BYTES } from '../../../protocols/mysql/scramble.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import { TOKEN_USER } from '../../config/config.ts';
import type { Accounts } from '../../identity/accounts.ts';
import { type ClientCertificate, certified } from '../../identity/client-certificate.ts';
import type { Authenticated } from '../../identity/identity.ts';
import { TokenRefused, type TokenVerifier } from '../../identity/token-verifier.ts';
import type { User } from '../../identity/users.ts';
import { type ClientTls, certificateOf } from '../client-tls.ts';
import { NotLetIn } from '../entrance.ts';
import { type Conditions, proved } from '../proof.ts';
import { takeBytes } from '../take-bytes.ts';
import { CompressedSocket } from './compressed-socket.ts';

/** Before a client has proved who it is, it has no need to send more. */
const LARGEST = 64 * 1024;

/** A client that has proved who it is, and what it asks for. */
export interface LoggedIn {
  readonly authenticated: Authenticated;
  /** The connection it names behind its user name; `null` if it names none. */
  readonly connection: string | null;
  readonly database: string | null;
  /** What it and Sluice agreed on. */
  readonly capabilities: Capabilities;
  /** Collation id. */
  readonly characterSet: number;
  readonly maxPacketSize: number;
  /** How its packets are compressed from the login on; `null` if they are not. */
  readonly compression: Compression | null;
  /** What it says of itself. */
  readonly attributes: ReadonlyMap<string, string>;
  /** What it answered to: a COM_CHANGE_USER answers to it again. */
  readonly scramble: Buffer;
}

type Proof = Pick<LoggedIn, 'authenticated' | 'scramble'>;
type Proved = Proof & Pick<LoggedIn, 'connection'>;
/** What a client says of itself at first. */
type Said = {
  readonly user: string;
  readonly authResponse: Buffer;
  readonly authPlugin: string | null;
  /** False without CLIENT_PLUGIN_AUTH: it knows mysql_native_password, and cannot be asked by another plugin. */
  readonly canSwitch: boolean;
};

/** What clients are greeted with. */
export interface Greeting {
  readonly serverVersion: string;
  readonly threadId: number;
  readonly capabilities: Capabilities;
  readonly characterSet: number;
}

export interface LoginServices extends Conditions {
  readonly accounts: Accounts;
  /** `null` where no tokens are accepted. */
  readonly tokens: TokenVerifier | null;
  readonly tls: ClientTls | null;
}

/** The packets of a login: one side speaks, then the other. */
export class LoginChannel {
  socket: Socket;
  isSecure: boolean;
  /** Number of the next packet, whoever sends it. */
  sequence: number;

  constructor(socket: Socket, isSecure: boolean, sequence: number) {
    this.socket = socket;
    this.isSecure = isSecure;
    this.sequence = sequence;
  }

  /** @throws ProtocolViolation, NotLetIn */
  async take(): Promise<Buffer> {
    const header = await takeBytes(this.socket, 4);
    const length = header.readUIntLE(0, 3);
    // In the compressed protocol these numbers do not count.
    if (header[3] !== this.sequence && !(this.socket instanceof CompressedSocket))
      throw new ProtocolViolation('packets out of order');
    if (length === 0) {
      this.#count();
      return Buffer.alloc(0);
    }
    if (length > LARGEST) throw new ProtocolViolation('a packet that is too large for a login');
    const payload = await takeBytes(this.socket, length);
    this.#count();
    return payload;
  }

  send(payload: Buffer): void {
    this.socket.write(encodePackets(payload, this.sequence));
    this.#count();
  }

  /** What the client has shown in its TLS handshake. */
  get certificate(): ClientCertificate | null {
    return certificateOf(this.socket instanceof CompressedSocket ? this.socket.inner : this.socket);
  }

  /** The packet that says no, as the next one. */
  error(error: Err): Buffer {
    return encodePackets(encodeErr(error), this.sequence);
  }

  #count(): void {
    this.sequence = (this.sequence + 1) & 0xff;
  }
}

/**
 * The connection phase as a server (MySQL internals documentation, "Connection Phase"): greeting, TLS, authentication.
 * The OK packet at its end is the caller's.
 *
 * @param onTls told when the socket is replaced by one over TLS
 * @throws NotLetIn, ProtocolViolation
 */
export async function login(
  channel: LoginChannel,
  greeting: Greeting,
  services: LoginServices,
  onTls: (socket: Socket) => void,
): Promise<LoggedIn> {
  const scramble = newScramble();
  const tls = services.tls === null ? 0 : CLIENT.ssl;
  const offered = { client: (greeting.capabilities.client | tls) >>> 0, mariadb: greeting.capabilities.mariadb };
  channel.send(
    encodeHandshake({
      serverVersion: greeting.serverVersion,
      threadId: greeting.threadId,
      capabilities: offered,
      characterSet: greeting.characterSet,
      status: 2,
      authData: scramble,
      authPlugin: services.accounts.prefersNative ? NATIVE_PASSWORD : CACHING_SHA2_PASSWORD,
    }),
  );
  let payload = await channel.take();
  if (payload.length === SSL_REQUEST_BYTES && (payload.readUInt32LE(0) & CLIENT.ssl) !== 0) {
    decodeSSLRequest(payload);
    if (services.tls === null) throw new ProtocolViolation('asks for TLS, which was not offered');
    const secured = await services.tls.secure(channel.socket);
    channel.socket = secured;
    channel.isSecure = true;
    onTls(secured);
    payload = await channel.take();
  }
  const response = decodeHandshakeResponse(payload);
  if ((response.capabilities.client & CLIENT.ssl) !== 0 && !channel.isSecure) {
    throw new ProtocolViolation('asks for TLS and does not begin it');
  }
  const capabilities = agreed(response.capabilities, offered);
  return {
    ...(await authenticate(channel, services, saidBy(response, capabilities), scramble)),
    database: response.database || null,
    capabilities,
    characterSet: response.characterSet,
    maxPacketSize: response.maxPacketSize,
    compression: compressionOf(capabilities, response.zstdLevel),
    attributes: response.attributes ?? new Map(),
  };
}

function saidBy(said: Omit<Said, 'canSwitch'>, { client }: Capabilities): Said {
  const { user, authResponse, authPlugin } = said;
  const canSwitch = (client & CLIENT.pluginAuth) !== 0;
  return { user, authResponse, authPlugin: canSwitch ? authPlugin : NATIVE_PASSWORD, canSwitch };
}

/** Where a client could have either it is zlib, as at a server. */
function compressionOf({ client }: Capabilities, zstdLevel: number | null): Compression | null {
  if ((client & CLIENT.compress) !== 0) return ZLIB;
  return (client & CLIENT.zstdCompressionAlgorithm) !== 0 ? zstd(zstdLevel!) : null;
}

/**
 * The same for a client that has been in, and says who it is now.
 *
 * @param before its last login: as at a server, its answer is to the scramble of that, and some clients (libmariadb) never
 *   look at another
 */
export async function loginAgain(
  channel: LoginChannel,
  services: LoginServices,
  change: ComChangeUser,
  { scramble, capabilities }: Pick<LoggedIn, 'scramble' | 'capabilities'>,
): Promise<Proved> {
  return authenticate(channel, services, saidBy(change, capabilities), scramble);
}

/** @param scramble what the client's first answer is to */
async function authenticate(
  channel: LoginChannel,
  services: LoginServices,
  said: Said,
  scramble: Buffer,
): Promise<Proved> {
  const { tokens } = services;
  const { user, connection } = named(said.user, services.accounts);
  const proof = await (tokens !== null && user === TOKEN_USER
    ? proved(services, channel, null, () => byToken(channel, tokens, said, scramble))
    : proved(services, channel, user, () => byPassword(channel, services, user, said, scramble)));
  return { connection, ...proof };
}

async function byPassword(
  channel: LoginChannel,
  services: LoginServices,
  user: string,
  said: Said,
  scramble: Buffer,
): Promise<Proof> {
  const { authResponse, authPlugin } = said;
  const known = certified(await services.accounts.find(user), channel.certificate);
  if (known.needs === 'nothing') {
    // What a client of this plugin waits for if it has given a password.
    if (authPlugin === CACHING_SHA2_PASSWORD && authResponse.length > 1) channel.send(encodeAuthMoreData(FAST_SUCCESS));
    return { authenticated: known.authenticated, scramble };
  }
  const asked = methodFor(user, known.user, authPlugin, channel.isSecure, services);
  let response = authResponse;
  let current = scramble;
  if (authPlugin !== asked.plugin) {
    current = newScramble();
    response = await switchTo(channel, said, asked.plugin, current);
  }
  const isProved = await proves(asked, response, current, channel);
  if (!isProved || known.authenticated === null) {
    const why = ` (using password: ${response.length > 0 ? 'YES' : 'NO'})`;
    throw new NotLetIn('authentication', known.reason, accessDenied(channel, said.user, why), said.user);
  }
  return { authenticated: known.authenticated, scramble: current };
}

/**
 * A token in the place of the password. Over TLS, caching_sha2_password ends with the password itself when the server asks
 * for it: clients need no plugin for tokens, nor leave to send passwords in clear.
 */
async function byToken(channel: LoginChannel, tokens: TokenVerifier, said: Said, scramble: Buffer): Promise<Proof> {
  const { user, authResponse, authPlugin } = said;
  if (!channel.isSecure) {
    // Whoever reads a token can use it: it is not asked for where others can read along.
    throw new NotLetIn('refused', 'a token without TLS', accessDenied(channel, user, ': it can log in over TLS only'));
  }
  let response = authResponse;
  let current = scramble;
  if (authPlugin !== CLEAR_PASSWORD) {
    if (authPlugin !== CACHING_SHA2_PASSWORD) {
      current = newScramble();
      await switchTo(channel, said, CACHING_SHA2_PASSWORD, current);
    }
    channel.send(encodeAuthMoreData(FULL_AUTHENTICATION));
    response = await channel.take();
  }
  const token = response.subarray(0, response.at(-1) === 0 ? -1 : undefined).toString();
  try {
    return {
      authenticated: await tokens.verify(token, channel.certificate?.thumbprint ?? null),
      scramble: current,
    };
  } catch (error) {
    if (!(error instanceof TokenRefused)) throw error;
    // The client is not told why: that is for the log.
    const answer = accessDenied(channel, user, ': the token is not accepted. Get a new token and connect again.');
    throw new NotLetIn('authentication', `token refused: ${error.message}`, answer, user);
  }
}

/** Has the client answer to another plugin. @returns its answer @throws NotLetIn if it is too old to be asked */
async function switchTo(channel: LoginChannel, said: Said, plugin: string, scramble: Buffer): Promise<Buffer> {
  if (!said.canSwitch) {
    const message = `The client can log in by ${NATIVE_PASSWORD} only, for which the user has no verifier. Use a newer client.`;
    throw new NotLetIn(
      'refused',
      'a client without CLIENT_PLUGIN_AUTH',
      // ER_NOT_SUPPORTED_AUTH_MODE
      channel.error({ code: 1251, sqlState: '08004', message }),
    );
  }
  channel.send(encodeAuthSwitchRequest({ plugin, data: Buffer.concat([scramble, Buffer.alloc(1)]) }));
  return channel.take();
}

function accessDenied(channel: LoginChannel, user: string, why: string): Buffer {
  const message = `Access denied for user '${user}'@'${channel.socket.remoteAddress ?? ''}'${why}`;
  return channel.error({ code: 1045, sqlState: '28000', message });
}

/** `user%connection`, unless there is a user of the whole name. */
function named(given: string, accounts: Accounts): { user: string; connection: string | null } {
  const at = given.lastIndexOf('%');
  if (at <= 0 || accounts.isUser(given)) return { user: given, connection: null };
  return { user: given.slice(0, at), connection: given.slice(at + 1) };
}

type Method =
  | { readonly plugin: typeof CACHING_SHA2_PASSWORD; readonly verifier: CachingSha2Verifier }
  | { readonly plugin: typeof NATIVE_PASSWORD; readonly verifier: NativeVerifier }
  | { readonly plugin: typeof CLEAR_PASSWORD; readonly verifier: CachingSha2Verifier };

/** How a user is asked: as the client would have it, if the user has a verifier for that. Nobody can tell who is a user. */
function methodFor(
  user: string,
  known: User | null,
  wish: string | null,
  isSecure: boolean,
  services: LoginServices,
): Method {
  const like = known?.cachingSha2 != null || known?.native != null ? known : services.accounts.likelyOfMysql(user);
  const isKnown = like === known;
  const sha2 =
    like?.cachingSha2 == null ? null : isKnown ? like.cachingSha2 : mockCachingSha2Verifier(like.cachingSha2.rounds);
  const native = like?.native == null ? null : isKnown ? like.native : (randomBytes(20) as NativeVerifier);
  if (sha2 !== null && wish === CLEAR_PASSWORD && isSecure) return { plugin: CLEAR_PASSWORD, verifier: sha2 };
  if (native !== null && (sha2 === null || wish === NATIVE_PASSWORD))
    return { plugin: NATIVE_PASSWORD, verifier: native };
  return { plugin: CACHING_SHA2_PASSWORD, verifier: sha2 ?? mockCachingSha2Verifier() };
}

async function proves(method: Method, response: Buffer, scramble: Buffer, channel: LoginChannel): Promise<boolean> {
  if (method.plugin === NATIVE_PASSWORD) return verifyNativePassword(method.verifier, scramble, response);
  const way = channel.isSecure ? 'tls' : await rsaKey();
  const server = new CachingSha2Server(method.verifier, scramble, way);
  if (method.plugin === CLEAR_PASSWORD) {
    // The password itself came at once: it is checked as that of a full authentication.
    server.start(Buffer.alloc(32));
    return (await server.answer(response)).step === 'accepted';
  }
  let step = server.start(response);
  while (step.step === 'ask') {
    channel.send(encodeAuthMoreData(step.data));
    step = await server.answer(await channel.take());
  }
  if (step.step === 'accepted' && step.data !== null) channel.send(encodeAuthMoreData(step.data));
  return step.step === 'accepted';
}

/** For passwords of clients without TLS; made when the first of them comes. */
let rsa: Promise<KeyObject> | null = null;

function rsaKey(): Promise<KeyObject> {
  rsa ??= promisify(generateKeyPair)('rsa', { modulusLength: 2048 }).then(({ privateKey }) => privateKey);
  return rsa;
}

/** Bytes that are neither zero, which would end it for some clients, nor above 127. */
function newScramble(): Buffer {
  return randomBytes(SCRAMBLE_BYTES).map((byte) => byte & 0x7f || 1) as Buffer;
}

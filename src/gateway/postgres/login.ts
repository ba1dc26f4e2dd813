import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  type ErrorFields,
  encodeAuthentication,
  encodeNegotiateProtocolVersion,
} from '../../../protocols/postgres/backend.ts';
import {
  CANCEL_REQUEST,
  type CancelRequest,
  decodeCancelRequest,
  decodePasswordMessage,
  decodeRequestCode,
  decodeSASLInitialResponse,
  decodeSASLResponse,
  decodeStartupMessage,
  FRONTEND,
  GSSENC_REQUEST,
  PROTOCOL_3_2,
  SSL_REQUEST,
} from '../../../protocols/postgres/frontend.ts';
import {
  checkOAuthBearerEnd,
  decodeOAuthBearer,
  encodeOAuthBearerError,
  OAUTHBEARER,
} from '../../../protocols/postgres/oauthbearer.ts';
import { ScramServer } from '../../../protocols/postgres/scram.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { BEARER_USER, TOKEN_USER } from '../../config/config.ts';
import type { Accounts } from '../../identity/accounts.ts';
import { certified } from '../../identity/client-certificate.ts';
import type { Authenticated } from '../../identity/identity.ts';
import { TokenRefused, type TokenVerifier } from '../../identity/token-verifier.ts';
import { bindingOf, type ClientTls, certificateOf } from '../client-tls.ts';
import { type Conditions, proved } from '../proof.ts';
import { takeBytes } from '../take-bytes.ts';
import { fatal } from './errors.ts';

/** MAX_STARTUP_PACKET_LENGTH and PG_MAX_AUTH_TOKEN_LENGTH of the server. */
const LARGEST_STARTUP = 10_000;
const LARGEST_AUTH_MESSAGE = 65_535;
const TLS_HANDSHAKE = 0x16;

/** A client that has proved who it is, and what it asks for. */
export interface LoggedIn {
  readonly socket: Socket;
  readonly user: string;
  readonly authenticated: Authenticated;
  /** The name of the connection it asks for. */
  readonly database: string;
  /** All other parameters of the StartupMessage. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly tls: boolean;
  /** True if the client speaks protocol 3.2, which has longer cancel keys. */
  readonly longKeys: boolean;
}

/** Why a login ended; `fields` is what the client is told, `null` where there is nobody to tell. */
export class LoginRefused extends Error {
  readonly fields: ErrorFields | null;
  readonly user: string | null;

  constructor(message: string, fields: ErrorFields | null, user: string | null = null) {
    super(message);
    this.name = 'LoginRefused';
    this.fields = fields;
    this.user = user;
  }
}

export interface LoginServices extends Conditions {
  readonly accounts: Accounts;
  /** `null` where no tokens are accepted. */
  readonly tokens: TokenVerifier | null;
  readonly tls: ClientTls | null;
}

/**
 * The start-up phase as a server (chapter Message Flow, Start-up): TLS, GSSENC and cancel requests, the StartupMessage,
 * SCRAM-SHA-256 authentication.
 *
 * @param onTls told when the socket is replaced by one over TLS
 * @returns the client, or the cancel request it made instead
 * @throws LoginRefused, ProtocolViolation
 */
export async function login(
  plain: Socket,
  services: LoginServices,
  onTls: (socket: Socket) => void,
): Promise<LoggedIn | { readonly cancel: CancelRequest }> {
  let socket: Socket = plain;
  let tls = false;
  let gssAsked = false;
  const secure = async (direct: boolean): Promise<void> => {
    socket = await startTls(socket, services.tls!, direct);
    tls = true;
    onTls(socket);
  };
  for (;;) {
    const first = await takeBytes(socket, 1);
    if (first[0] === TLS_HANDSHAKE && !tls) {
      // PostgreSQL 17's direct TLS: no SSLRequest, but ALPN is a must.
      if (services.tls === null) throw new LoginRefused('direct TLS to a listener without TLS', null);
      socket.unshift(first);
      await secure(true);
      continue;
    }
    const length = Buffer.concat([first, await takeBytes(socket, 3)]).readInt32BE(0);
    // Whoever sends that does not speak the protocol, or says goodbye before it has begun: PostgreSQL does not answer.
    if (length < 8 || length > LARGEST_STARTUP) throw new LoginRefused('invalid length of startup packet', null);
    const body = await takeBytes(socket, length - 4);
    switch (decodeRequestCode(body)) {
      case SSL_REQUEST:
        if (tls || length !== 8) throw new ProtocolViolation('unexpected SSLRequest');
        // Bytes after the request would be read as if they had come through TLS (CVE-2021-23222).
        if (socket.readableLength > 0) throw new ProtocolViolation('received unencrypted data after SSL request');
        socket.write(services.tls === null ? 'N' : 'S');
        if (services.tls !== null) await secure(false);
        continue;
      case GSSENC_REQUEST:
        if (gssAsked || length !== 8) throw new ProtocolViolation('unexpected GSSENCRequest');
        gssAsked = true;
        if (socket.readableLength > 0) throw new ProtocolViolation('received unencrypted data after GSSENC request');
        socket.write('N');
        continue;
      case CANCEL_REQUEST:
        return { cancel: decodeCancelRequest(body) };
      default:
        return authenticate(socket, tls, body, services);
    }
  }
}

async function authenticate(socket: Socket, tls: boolean, startup: Buffer, services: LoginServices): Promise<LoggedIn> {
  const { major, minor, parameters } = decodeStartupMessage(startup);
  if (major !== 3) {
    throw new LoginRefused(
      `protocol ${major}.${minor}`,
      fatal('0A000', `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.2`),
    );
  }
  const user = parameters.get('user') ?? '';
  if (user === '')
    throw new LoginRefused('no user name', fatal('28000', 'no PostgreSQL user name specified in startup packet'));
  const database = parameters.get('database') || user;
  const unrecognizedOptions = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  if (minor > 2 || unrecognizedOptions.length > 0) {
    socket.write(
      encodeNegotiateProtocolVersion({ version: Math.min(PROTOCOL_3_2, (major << 16) | minor), unrecognizedOptions }),
    );
  }

  const authenticated = await proveIdentity(socket, tls, user, services);
  const rest = new Map(parameters);
  rest.delete('user');
  rest.delete('database');
  return { socket, user, authenticated, database, parameters: rest, tls, longKeys: minor >= 2 };
}

function proveIdentity(socket: Socket, tls: boolean, user: string, services: LoginServices): Promise<Authenticated> {
  const { tokens } = services;
  const client = { socket, isSecure: tls };
  if (tokens !== null && user === TOKEN_USER) return proved(services, client, null, () => byToken(socket, tls, tokens));
  if (tokens !== null && user === BEARER_USER) {
    return proved(services, client, null, () => byOAuthBearer(socket, tls, tokens));
  }
  return proved(services, client, user, () => byPassword(socket, user, services));
}

async function byPassword(socket: Socket, user: string, services: LoginServices): Promise<Authenticated> {
  const known = certified(await services.accounts.find(user), certificateOf(socket));
  if (known.needs === 'nothing') return known.authenticated;
  const scram = new ScramServer(known.user?.scram ?? services.accounts.mockScram(user), bindingOf(socket));
  socket.write(encodeAuthentication({ kind: 'SASL', mechanisms: scram.mechanisms }));
  const initial = decodeSASLInitialResponse(await takePassword(socket));
  if (initial.response === null) throw new ProtocolViolation('SASL without an initial response');
  socket.write(encodeAuthentication({ kind: 'SASLContinue', data: scram.start(initial.mechanism, initial.response) }));
  const outcome = scram.finish(decodeSASLResponse(await takePassword(socket)));
  if (!outcome.ok || known.authenticated === null || known.user?.scram == null) {
    // The same words whether the user exists or not, and whatever its certificate.
    throw new LoginRefused(known.reason, fatal('28P01', `password authentication failed for user "${user}"`), user);
  }
  socket.write(encodeAuthentication({ kind: 'SASLFinal', data: outcome.serverFinal }));
  return known.authenticated;
}

/** A token in the place of the password: any driver can do that. */
async function byToken(socket: Socket, tls: boolean, tokens: TokenVerifier): Promise<Authenticated> {
  refuseInClear(tls, TOKEN_USER);
  socket.write(encodeAuthentication({ kind: 'CleartextPassword' }));
  const token = decodePasswordMessage(await takePassword(socket));
  try {
    return await tokens.verify(token, certificateOf(socket)?.thumbprint ?? null);
  } catch (error) {
    throw tokenRefused(error, TOKEN_USER);
  }
}

async function byOAuthBearer(socket: Socket, tls: boolean, tokens: TokenVerifier): Promise<Authenticated> {
  refuseInClear(tls, BEARER_USER);
  socket.write(encodeAuthentication({ kind: 'SASL', mechanisms: [OAUTHBEARER] }));
  const { mechanism, response } = decodeSASLInitialResponse(await takePassword(socket));
  if (mechanism !== OAUTHBEARER || response === null) {
    throw new ProtocolViolation('SASL without an initial response, or with another mechanism than was offered');
  }
  const token = decodeOAuthBearer(response);
  try {
    if (token === null) throw new TokenRefused('the client asks where to get one');
    return await tokens.verify(token, certificateOf(socket)?.thumbprint ?? null);
  } catch (error) {
    const refused = tokenRefused(error, BEARER_USER);
    socket.write(encodeAuthentication({ kind: 'SASLContinue', data: encodeOAuthBearerError(tokens.source) }));
    checkOAuthBearerEnd(decodeSASLResponse(await takePassword(socket)));
    throw refused;
  }
}

/** Whoever reads a token can use it: it is not asked for where others can read along. */
function refuseInClear(tls: boolean, user: string): void {
  if (tls) return;
  throw new LoginRefused('a token without TLS', {
    ...fatal('28000', `user "${user}" can log in over TLS only`),
    hint: 'Connect with sslmode=verify-full.',
  });
}

/** The client is not told why: that is for the log. */
function tokenRefused(error: unknown, user: string): LoginRefused {
  if (!(error instanceof TokenRefused)) throw error;
  return new LoginRefused(
    `token refused: ${error.message}`,
    { ...fatal('28000', 'the token is not accepted'), hint: 'Get a new token and connect again.' },
    user,
  );
}

/** The body of the next message, which has to be a PasswordMessage, SASLInitialResponse or SASLResponse. */
async function takePassword(socket: Socket): Promise<Buffer> {
  const header = await takeBytes(socket, 5);
  const length = header.readInt32BE(1);
  if (header[0] !== FRONTEND.password) throw new ProtocolViolation('expected a password response');
  if (length < 4 || length > LARGEST_AUTH_MESSAGE) throw new ProtocolViolation('invalid length of password response');
  return length === 4 ? Buffer.alloc(0) : takeBytes(socket, length - 4);
}

async function startTls(socket: Socket, clientTls: ClientTls, direct: boolean): Promise<TLSSocket> {
  const tls = await clientTls.secure(socket);
  if (direct && tls.alpnProtocol !== 'postgresql') {
    throw new LoginRefused(
      'direct TLS without ALPN',
      fatal('08P01', 'received direct SSL connection request without ALPN protocol negotiation extension'),
    );
  }
  return tls;
}

import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  type ErrorFields,
  encodeAuthentication,
  encodeBackendKeyData,
  encodeErrorResponse,
  encodeReadyForQuery,
} from '../../../protocols/postgres/backend.ts';
import type { FrameRules } from '../../../protocols/postgres/framing.ts';
import type { CancelRequest } from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { Address, Config, ConnectionConfig, TlsConfig, UpstreamConfig } from '../../config/config.ts';
import type { Accounts } from '../../identity/accounts.ts';
import type { TokenVerifier } from '../../identity/token-verifier.ts';
import { SessionClaims } from '../claims.ts';
import { ClientTls } from '../client-tls.ts';
import { endSocket } from '../end-socket.ts';
import { type Arrival, type Entrance, type Inside, NotLetIn, type Reason } from '../entrance.ts';
import type { Analyzer } from '../judge.ts';
import type { Session } from '../session.ts';
import { fatal } from './errors.ts';
import { frontendRules } from './frame-rules.ts';
import { type LoggedIn, LoginRefused, type LoginServices, login } from './login.ts';
import { PostgresSession } from './session.ts';
import { judgeStartup, pinStartup } from './startup.ts';
import { cancelUpstream, connectUpstream, terminateUpstream, type Upstream, UpstreamError } from './upstream.ts';

/** Who may cancel what: the key the client was given, and the one the upstream gave us. */
interface CancelKey {
  readonly session: Session;
  readonly secretKey: Buffer;
  readonly upstream: UpstreamConfig;
  readonly upstreamKey: Buffer;
}

/** How PostgreSQL clients get in, and cancel what runs. */
export class PostgresEntrance implements Entrance {
  readonly protocol = 'postgres';
  readonly listen: Address;
  readonly #inside: Inside;
  readonly #login: LoginServices;
  readonly #analyzer: Analyzer;
  readonly #frontendRules: FrameRules;
  readonly #connections: ReadonlyMap<string, ConnectionConfig>;
  /** By the process id that clients see, which is the upstream's. */
  readonly #cancelKeys = new Map<number, CancelKey[]>();
  readonly #keyOf = new Map<Session, { readonly processId: number; readonly key: CancelKey }>();
  #lastParameters: ReadonlyMap<string, string> = new Map();

  constructor(
    listen: Address,
    config: Config,
    accounts: Accounts,
    tokens: TokenVerifier | null,
    analyzer: Analyzer,
    inside: Inside,
  ) {
    this.#analyzer = analyzer;
    this.listen = listen;
    this.#inside = inside;
    this.#login = {
      accounts,
      tokens,
      tls: config.tls === null ? null : new ClientTls(config.tls, ['postgresql']),
      ...inside.conditions,
    };
    this.#frontendRules = frontendRules(config.limits.messageBytes);
    const own = config.connections.filter(({ protocol }) => protocol === 'postgres');
    this.#connections = new Map(own.map((connection) => [connection.name, connection]));
  }

  async enter(arrival: Arrival): Promise<void> {
    try {
      const client = await login(arrival.socket, this.#login, (tls) => arrival.reachedThrough(tls));
      if ('cancel' in client) {
        await this.#cancel(client.cancel);
        endSocket(arrival.socket);
        return;
      }
      await this.#begin(client, arrival);
    } catch (error) {
      throw notLetIn(error);
    }
  }

  encodeError(_arrival: Arrival, reason: Reason): Buffer {
    return encodeErrorResponse(fieldsOf(reason));
  }

  async #begin(client: LoggedIn, arrival: Arrival): Promise<void> {
    const connection = this.#connections.get(client.database);
    if (connection === undefined) {
      throw new LoginRefused(
        `no connection "${client.database}"`,
        fatal('3D000', `database "${client.database}" does not exist: Sluice has no connection of that name`),
      );
    }
    const inside = this.#inside;
    const { identity, expiresAt, credential } = client.authenticated;
    inside.admit(arrival, client.authenticated, connection);
    const judge = inside.judgeOf(identity, connection, this.#analyzer);
    const startup = await judgeStartup(client.parameters, judge);
    if (!startup.ok) throw new LoginRefused(startup.fields.message, startup.fields);
    const names = await inside.namesOf(connection);
    pinStartup(startup.parameters, inside.pinsOf(identity, connection));

    const upstream = await inside.withRoom(arrival, () =>
      connectUpstream(connection.name, connection.upstream, startup.parameters, names !== null),
    );
    if (upstream === null) return;
    const application = client.parameters.get('application_name');
    const claims = new SessionClaims([
      ...(application === undefined ? [] : [['application_name', application] as const]),
      ...startup.claims,
    ]);
    const cancel = () => cancelUpstream(connection.upstream, upstream.processId, upstream.secretKey);
    const session = new PostgresSession(
      inside.services,
      this.#frontendRules,
      client.socket,
      upstream.socket,
      {
        id: randomBytes(8).toString('hex'),
        startedAt: Date.now(),
        identity,
        expiresAt,
        credential,
        connection,
        judge,
        names,
        cancel,
        kill: async () => {
          const ended = await terminateUpstream(connection.upstream, upstream.processId).catch(() => false);
          if (!ended) await cancel();
        },
        address: client.socket.remoteAddress ?? '',
        tls: client.tls,
        claims,
      },
      this.#shared(upstream.parameters),
      upstream.roleAndPath,
    );
    const { parameters } = client;
    inside.begin(arrival, session, upstream, { pid: upstream.processId, parameters }, () =>
      this.#greet(session, client, upstream),
    );
  }

  /** Tells the client that it is in, and with which key it can cancel. */
  #greet(session: Session, client: LoggedIn, upstream: Upstream): void {
    const secretKey = randomBytes(client.longKeys ? 32 : 4);
    this.#addCancelKey(session, upstream, secretKey);
    client.socket.write(
      Buffer.concat([
        encodeAuthentication({ kind: 'Ok' }),
        upstream.greeting,
        encodeBackendKeyData({ processId: upstream.processId, secretKey }),
        encodeReadyForQuery('I'),
      ]),
    );
  }

  /** Most sessions begin with the same parameters: they share one map. */
  #shared(parameters: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const last = this.#lastParameters;
    const same = parameters.size === last.size && [...parameters].every(([name, value]) => last.get(name) === value);
    if (!same) this.#lastParameters = parameters;
    return this.#lastParameters;
  }

  // --- Cancel ------------------------------------------------------------------------------------------------------

  #addCancelKey(session: Session, { processId, secretKey: upstreamKey }: Upstream, secretKey: Buffer): void {
    const key = { secretKey, session, upstream: session.start.connection.upstream, upstreamKey };
    const keys = this.#cancelKeys.get(processId);
    if (keys === undefined) this.#cancelKeys.set(processId, [key]);
    else keys.push(key);
    this.#keyOf.set(session, { processId, key });
  }

  renewTls(config: TlsConfig): void {
    this.#login.tls?.renew(config);
  }

  ended(session: Session): void {
    const entry = this.#keyOf.get(session);
    if (entry === undefined) return;
    this.#keyOf.delete(session);
    const left = this.#cancelKeys.get(entry.processId)!.filter((key) => key !== entry.key);
    if (left.length === 0) this.#cancelKeys.delete(entry.processId);
    else this.#cancelKeys.set(entry.processId, left);
  }

  /** Passes a cancel request on to the one backend its key is for; as the protocol wants it, without an answer. */
  async #cancel({ processId, secretKey }: CancelRequest): Promise<void> {
    const { counters, log } = this.#inside.services;
    counters.cancelRequests++;
    for (const key of this.#cancelKeys.get(processId) ?? []) {
      if (key.secretKey.length !== secretKey.length || !timingSafeEqual(key.secretKey, secretKey)) continue;
      // What waits for a person has not reached the server.
      if (key.session.stopWaiting('withdraw')) return;
      try {
        await cancelUpstream(key.upstream, processId, key.upstreamKey);
      } catch (error) {
        log.warn({ reason: (error as Error).message }, 'cancel request failed');
      }
      return;
    }
  }
}

function fieldsOf(reason: Reason): ErrorFields {
  switch (reason.why) {
    case 'late':
      return fatal('57014', `login was not complete within ${reason.seconds} s`);
    case 'shutting down':
      return fatal('57P03', 'Sluice is shutting down.');
    case 'too many sessions':
      return fatal('53300', 'Sluice has no free sessions: try again later.');
    case 'too many logins':
      return fatal('53300', 'Too many clients are logging in: try again later.');
    case 'too many failures':
      return fatal('28000', `Too many failed logins: try again in ${reason.seconds} s.`);
    case 'without TLS':
      return {
        ...fatal('28000', 'Log in over TLS only.'),
        hint: 'Connect with sslmode=verify-full.',
      };
    case 'contradicting rules':
      return {
        ...fatal('28000', 'The session cannot begin: the rules for it contradict each other.'),
        hint: 'Tell the people who write the rules of this connection.',
      };
    case 'access':
      return fatal('28000', reason.message);
    case 'access unknown':
      return {
        ...fatal('57P03', 'Sluice cannot find out now who may log in.'),
        hint: 'Try again later; whoever runs Sluice can see why.',
      };
    case 'internal error':
      return fatal('XX000', 'Internal error in Sluice.');
  }
}

/** What the gateway makes of an error on the way in; what it is not about stays as it is. */
function notLetIn(error: unknown): unknown {
  if (error instanceof LoginRefused) {
    const answer = error.fields === null ? null : encodeErrorResponse(error.fields);
    return new NotLetIn(error.user === null ? 'refused' : 'authentication', error.message, answer, error.user);
  }
  if (error instanceof ProtocolViolation) {
    return new NotLetIn('violation', error.message, encodeErrorResponse(fatal(error.code, error.message)));
  }
  if (error instanceof UpstreamError) {
    return new NotLetIn('upstream', error.message, encodeErrorResponse(error.fields));
  }
  return error;
}

import { randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { encodeAuthentication, encodeBackendKeyData, encodeReadyForQuery } from '../../protocols/postgres/backend.ts';
import type { CancelRequest } from '../../protocols/postgres/frontend.ts';
import { endPointBinding } from '../../protocols/postgres/scram.ts';
import { ProtocolViolation } from '../../protocols/postgres/violation.ts';
import type { Config, ConnectionConfig, UpstreamConfig } from '../config/config.ts';
import type { Identity } from '../identity/identity.ts';
import type { Users } from '../identity/users.ts';
import { Budgets } from '../policy/budgets.ts';
import type { RuleSet } from '../policy/decide.ts';
import type { Journal } from '../recording/journal.ts';
import { endSocket } from './end-socket.ts';
import { type Analyzer, Judge } from './judge.ts';
import { NamesInForce } from './names-in-force.ts';
import { fatal } from './postgres/errors.ts';
import { frontendRules } from './postgres/frame-rules.ts';
import { hangUp, type LoggedIn, LoginRefused, type LoginServices, login } from './postgres/login.ts';
import { PostgresSession } from './postgres/session.ts';
import { judgeStartup, pinStartup } from './postgres/startup.ts';
import { cancelUpstream, connectUpstream, type Upstream, UpstreamError } from './postgres/upstream.ts';
import { Counters, type SessionServices } from './services.ts';
import type { Session } from './session.ts';
import { Turn } from './turn.ts';

export interface GatewayOptions {
  readonly config: Config;
  readonly users: Users;
  readonly rules: RuleSet;
  readonly journal: Journal;
  readonly analyzer: Analyzer;
  readonly log: Logger;
}

/** What the gateway looks like from outside. */
export interface GatewayStatus {
  readonly draining: boolean;
  readonly sessions: number;
  /** Version of the rules in force. */
  readonly rules: string;
}

/** Who may cancel what: the key the client was given, and the one the upstream gave us. */
interface CancelKey {
  readonly secretKey: Buffer;
  readonly upstream: UpstreamConfig;
  readonly upstreamKey: Buffer;
}

/** How long sessions that are ended at once may take to tell their clients, milliseconds. */
const END_MS = 1_000;
const SHUTTING_DOWN = fatal('57P03', 'Sluice is shutting down.');
const HOUSEKEEPING_MS = 1_000;

/** The data path: listens, logs clients in, and joins each with an upstream connection of its own. */
export class Gateway {
  readonly counters = new Counters();
  readonly #options: GatewayOptions;
  readonly #server: Server;
  readonly #login: LoginServices;
  readonly #services: SessionServices;
  readonly #connections: ReadonlyMap<string, ConnectionConfig>;
  /** One judge for each identity on each connection that has had a session. */
  readonly #judges = new Map<string, Judge>();
  readonly #names = new Map<string, NamesInForce>();
  readonly #sessions = new Set<Session>();
  readonly #sockets = new Set<Socket>();
  /** Clients that have no session yet. */
  readonly #arriving = new Set<Socket>();
  /** Clients that are logged in while their upstream is being connected: they count as sessions. */
  #beginning = 0;
  /** By the process id that clients see, which is the upstream's. */
  readonly #cancelKeys = new Map<number, CancelKey[]>();
  readonly #housekeeping: NodeJS.Timeout;
  #rules: RuleSet;
  #draining = false;
  #lastParameters: ReadonlyMap<string, string> = new Map();
  #onEmpty: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    const { config, journal, log } = options;
    this.#options = options;
    this.#rules = options.rules;
    this.#connections = new Map(config.connections.map((connection) => [connection.name, connection]));
    this.#login = { users: options.users, tls: tlsOf(config), mockSecret: randomBytes(32) };
    this.#services = {
      journal,
      turn: new Turn(journal),
      counters: this.counters,
      log,
      frontendRules: frontendRules(config.limits.messageBytes),
      budgets: new Budgets(),
      now: () => performance.now(),
      ended: (session) => this.#ended(session),
    };
    // Half-open: a client that has sent its last byte still gets its answers.
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true },
      (socket) => void this.#accept(socket),
    );
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS).unref();
  }

  /** Starts to listen. @returns the port, which the system chose if the configuration says 0 */
  async listen(): Promise<number> {
    const { host, port } = this.#options.config.listen.postgres;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** Puts other rules in force for everything that is judged from now on. */
  setRules(rules: RuleSet): void {
    this.#rules = rules;
    for (const judge of this.#judges.values()) judge.setRules(rules);
    for (const session of this.#sessions) {
      const names = this.#namesOf(session.start.connection);
      session.setNames(names);
      void names?.ready();
    }
    this.#services.journal.append(`"rules.loaded","version":${JSON.stringify(rules.version)}`, true);
    this.#services.turn.wake();
  }

  status(): GatewayStatus {
    return { draining: this.#draining, sessions: this.#sessions.size, rules: this.#rules.version };
  }

  /** Stops accepting, lets open transactions end within the configured limit, then ends what is left. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#server.close();
    for (const socket of this.#arriving) hangUp(socket, SHUTTING_DOWN);
    for (const session of this.#sessions) session.drain();
    await this.#emptyWithin(this.#options.config.limits.drainMs);
    await this.end();
  }

  /** Ends all sessions now. Their last records are pending in the journal when this resolves. */
  async end(): Promise<void> {
    this.#draining = true;
    this.#server.close();
    for (const socket of this.#arriving) hangUp(socket, SHUTTING_DOWN);
    for (const session of this.#sessions) session.terminate('57P01', 'Sluice is shutting down.', 'shut down');
    await this.#emptyWithin(END_MS);
    for (const socket of this.#sockets) socket.destroy();
    clearInterval(this.#housekeeping);
    await Promise.all([...this.#names.values()].map((names) => names.close()));
  }

  async #emptyWithin(ms: number): Promise<void> {
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onEmpty = null;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#onEmpty?.();
    });
  }

  // --- From connect to session -------------------------------------------------------------------------------------

  async #accept(plain: Socket): Promise<void> {
    const { limits } = this.#options.config;
    const { log, counters } = this.#services;
    this.#track(plain);
    let socket = plain;
    this.#arriving.add(socket);
    let timedOut = false;
    const deadline = setTimeout(() => {
      timedOut = true;
      hangUp(socket, fatal('57014', `login was not complete within ${limits.handshakeMs / 1000} s`));
    }, limits.handshakeMs);
    const from = `${plain.remoteAddress}:${plain.remotePort}`;
    try {
      const client = await login(plain, this.#login, (tls) => {
        this.#arriving.delete(socket);
        socket = tls;
        this.#arriving.add(socket);
        tls.on('error', () => tls.destroy());
      });
      if ('cancel' in client) {
        await this.#cancel(client.cancel);
        endSocket(socket);
        return;
      }
      await this.#begin(client, from, () => !timedOut && !socket.destroyed);
    } catch (error) {
      if (timedOut) return;
      if (error instanceof LoginRefused) {
        if (error.user !== null) this.#authenticationFailed(error.user, from, error.message);
        else log.info({ from, reason: error.message }, 'login refused');
        hangUp(socket, error.fields);
      } else if (error instanceof ProtocolViolation) {
        counters.violations++;
        log.warn({ from, violation: error.message }, 'protocol violation during login');
        hangUp(socket, fatal(error.code, error.message));
      } else if (error instanceof UpstreamError) {
        counters.upstreamFailures++;
        log.error({ from, reason: error.message }, 'upstream login failed');
        hangUp(socket, error.fields);
      } else {
        log.error({ from, err: error }, 'internal error during login');
        hangUp(socket, fatal('XX000', 'Internal error in Sluice.'));
      }
    } finally {
      clearTimeout(deadline);
      this.#arriving.delete(socket);
    }
  }

  #authenticationFailed(user: string, from: string, reason: string): void {
    const { journal, turn, counters, log } = this.#services;
    counters.authenticationFailures++;
    log.warn({ from, user, reason }, 'authentication failed');
    journal.append(
      `"auth.failed","user":${JSON.stringify(user)},"client":{"address":${JSON.stringify(from)}},"reason":${JSON.stringify(reason)}`,
      true,
    );
    turn.wake();
  }

  async #begin(client: LoggedIn, from: string, stillThere: () => boolean): Promise<void> {
    const { journal, turn, counters } = this.#services;
    const connection = this.#connections.get(client.database);
    if (connection === undefined) {
      throw new LoginRefused(
        `no connection "${client.database}"`,
        fatal('3D000', `database "${client.database}" does not exist: Sluice has no connection of that name`),
      );
    }
    const judge = this.#judgeOf(client.identity, connection);
    const startup = await judgeStartup(client.parameters, judge);
    if (!startup.ok) throw new LoginRefused(startup.fields.message, startup.fields);
    const { identity } = client;
    const names = this.#namesOf(connection);
    await names?.ready();
    const pins = this.#rules.pinsFor({ identity, connection: connection.name, default: connection.default });
    if (pins.conflict !== null) {
      const fields = fatal('28000', 'The session cannot begin: the rules for it contradict each other.');
      throw new LoginRefused(pins.conflict, {
        ...fields,
        hint: 'Tell the people who write the rules of this connection.',
      });
    }
    pinStartup(startup.parameters, pins);

    if (this.#draining) throw new LoginRefused('draining', SHUTTING_DOWN);
    if (this.#sessions.size + this.#beginning >= this.#options.config.limits.sessions) {
      throw new LoginRefused('too many sessions', fatal('53300', 'Sluice has no free sessions: try again later.'));
    }
    this.#beginning++;
    let upstream: Upstream;
    try {
      upstream = await connectUpstream(connection.name, connection.upstream, startup.parameters, names !== null);
    } finally {
      this.#beginning--;
    }
    if (this.#draining) {
      upstream.socket.destroy();
      throw new LoginRefused('draining', SHUTTING_DOWN);
    }
    if (!stillThere()) {
      upstream.socket.destroy();
      return;
    }
    const id = randomBytes(8).toString('hex');
    const application = client.parameters.get('application_name');
    const claimed = new Map(application === undefined ? [] : [['application_name', application]]);
    const start = {
      id,
      identity,
      connection,
      judge,
      names,
      cancel: () => cancelUpstream(connection.upstream, upstream.processId, upstream.secretKey),
      address: client.socket.remoteAddress ?? '',
      tls: client.tls,
      claimed,
    };
    const session = new PostgresSession(
      this.#services,
      client.socket,
      upstream.socket,
      start,
      this.#shared(upstream.parameters),
      upstream.searchPath,
    );
    journal.append(
      `"session.start","session":"${id}","identity":${JSON.stringify(identity)},"connection":${JSON.stringify(connection.name)},` +
        `"upstream":{"pid":${upstream.processId}},"client":{"address":${JSON.stringify(from)},"tls":${client.tls}},` +
        `"claimed":${JSON.stringify({ application_name: application ?? null })},` +
        `"parameters":${JSON.stringify(Object.fromEntries(client.parameters))}`,
      true,
    );
    turn.wake();
    counters.sessions++;
    this.#sessions.add(session);
    this.#join(session, client, upstream);
  }

  /** Tells the client that it is in, and joins the two sockets by the session. */
  #join(session: Session, client: LoggedIn, upstream: Upstream): void {
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
    const { socket } = client;
    const up = upstream.socket;
    this.#track(up);
    up.on('close', () => session.upstreamClosed('upstream closed'));
    up.on('end', () => session.upstreamClosed('upstream closed'));
    up.on('drain', () => session.upstreamDrained());
    upstream.onBytes((chunk) => session.fromUpstream(chunk));
    socket.on('drain', () => session.clientDrained());
    socket.on('end', () => session.clientEnded());
    socket.on('close', () => session.clientClosed('client lost'));
    socket.on('data', (chunk: Buffer) => session.fromClient(chunk));
    socket.resume();
    if (socket.destroyed) session.clientClosed('client lost');
  }

  /** Most sessions begin with the same parameters: they share one map. */
  #shared(parameters: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const last = this.#lastParameters;
    const same = parameters.size === last.size && [...parameters].every(([name, value]) => last.get(name) === value);
    if (!same) this.#lastParameters = parameters;
    return this.#lastParameters;
  }

  /** Where everything is allowed nothing depends on names: then the upstream is not asked about them. */
  #namesOf(connection: ConnectionConfig): NamesInForce | null {
    if (connection.default === 'allow' && this.#rules.rules.length === 0) return null;
    let names = this.#names.get(connection.name);
    if (names === undefined) {
      names = new NamesInForce(connection);
      this.#names.set(connection.name, names);
    }
    return names;
  }

  #judgeOf(identity: Identity, connection: ConnectionConfig): Judge {
    const key = JSON.stringify([identity, connection.name]);
    let judge = this.#judges.get(key);
    if (judge === undefined) {
      judge = new Judge(this.#options.analyzer, identity, connection, this.#rules);
      this.#judges.set(key, judge);
    }
    return judge;
  }

  #ended(session: Session): void {
    this.#sessions.delete(session);
    this.#dropCancelKey(session);
  }

  // --- Cancel ------------------------------------------------------------------------------------------------------

  readonly #keyOf = new Map<Session, { readonly processId: number; readonly key: CancelKey }>();

  #addCancelKey(session: Session, upstream: Upstream, secretKey: Buffer): void {
    const key = { secretKey, upstream: session.start.connection.upstream, upstreamKey: upstream.secretKey };
    const keys = this.#cancelKeys.get(upstream.processId);
    if (keys === undefined) this.#cancelKeys.set(upstream.processId, [key]);
    else keys.push(key);
    this.#keyOf.set(session, { processId: upstream.processId, key });
  }

  #dropCancelKey(session: Session): void {
    const entry = this.#keyOf.get(session);
    if (entry === undefined) return;
    this.#keyOf.delete(session);
    const left = this.#cancelKeys.get(entry.processId)!.filter((key) => key !== entry.key);
    if (left.length === 0) this.#cancelKeys.delete(entry.processId);
    else this.#cancelKeys.set(entry.processId, left);
  }

  /** Passes a cancel request on to the one backend its key is for; as the protocol wants it, without an answer. */
  async #cancel({ processId, secretKey }: CancelRequest): Promise<void> {
    this.counters.cancelRequests++;
    for (const key of this.#cancelKeys.get(processId) ?? []) {
      if (key.secretKey.length !== secretKey.length || !timingSafeEqual(key.secretKey, secretKey)) continue;
      try {
        await cancelUpstream(key.upstream, processId, key.upstreamKey);
      } catch (error) {
        this.#services.log.warn({ reason: (error as Error).message }, 'cancel request failed');
      }
      return;
    }
  }

  // --- Housekeeping ------------------------------------------------------------------------------------------------

  #keepHouse(): void {
    const { limits } = this.#options.config;
    if (this.#services.journal.failure !== null) this.#services.journal.retry();
    if (limits.idleMs === 0) return;
    const since = performance.now() - limits.idleMs;
    for (const session of this.#sessions) {
      if (session.isSilentSince(since)) {
        session.terminate('57P05', `terminating the session: it was silent for ${limits.idleMs / 1000} s`, 'idle');
      }
    }
  }
}

function tlsOf(config: Config): LoginServices['tls'] {
  if (config.tls === null) return null;
  const { certificate: cert, key } = config.tls;
  const data = endPointBinding(new X509Certificate(cert).raw);
  return {
    context: createSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
    binding: data === null ? null : { type: 'tls-server-end-point', data },
  };
}

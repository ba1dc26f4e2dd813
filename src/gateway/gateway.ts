import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Question } from '../approvals/request.ts';
import { Estimates } from '../catalog/estimates.ts';
import type { CatalogueStatus } from '../catalog/keeper.ts';
import type { Config, ConnectionConfig, TlsConfig } from '../config/config.ts';
import type { Access } from '../identity/access.ts';
import { AccessUnknown } from '../identity/access-unknown.ts';
import type { Accounts } from '../identity/accounts.ts';
import { Backoff } from '../identity/backoff.ts';
import type { Authenticated, Identity } from '../identity/identity.ts';
import type { TokenVerifier } from '../identity/token-verifier.ts';
import { Budgets } from '../policy/budgets.ts';
import type { RuleSet } from '../policy/decide.ts';
import type { SessionPins } from '../policy/session-rules.ts';
import type { Journal } from '../recording/journal.ts';
import { currentTime } from '../store/clock.ts';
import { Activities } from './activities.ts';
import type { Analyzers } from './analyzers.ts';
import type { Claims } from './claims.ts';
import { ClientReads } from './client-reads.ts';
import {
  Arrival,
  type Begun,
  type Entrance,
  type Inside,
  NotLetIn,
  type Reason,
  type UpstreamLink,
} from './entrance.ts';
import { type HeldReading, readHeld } from './held-reading.ts';
import { type Analyzer, Judge } from './judge.ts';
import { JudgementRoom } from './judgement-room.ts';
import { NamesInForce } from './names-in-force.ts';
import type { Conditions } from './proof.ts';
import { Counters, type SessionServices } from './services.ts';
import type { Session } from './session.ts';
import { Turn } from './turn.ts';

export interface GatewayOptions {
  readonly config: Config;
  readonly accounts: Accounts;
  readonly access: Access;
  readonly approvals: SessionServices['approvals'];
  /** `null` where no tokens are accepted. */
  readonly tokens: TokenVerifier | null;
  readonly rules: RuleSet;
  readonly journal: Journal;
  readonly analyzers: Analyzers;
  /** See {@link loadServed}. */
  readonly served: Served;
  readonly log: Logger;
}

/** What serves each protocol; `null` for those that are not served. */
export interface Served {
  readonly postgres: (typeof import('./postgres/entrance.ts') & { readonly analyzer: Analyzer }) | null;
  readonly mysql: typeof import('./mysql/entrance.ts') | null;
}

/** Loads what the protocols that are served need, and nothing of the others. */
export async function loadServed({ postgres, mysql }: Config['listen'], analyzers: Analyzers): Promise<Served> {
  return {
    postgres:
      postgres === null ? null : { ...(await import('./postgres/entrance.ts')), analyzer: await analyzers.postgres() },
    mysql: mysql === null ? null : await import('./mysql/entrance.ts'),
  };
}

/** What the gateway looks like from outside. */
export interface GatewayStatus {
  readonly draining: boolean;
  readonly sessions: number;
  /** Version of the rules in force. */
  readonly rules: string;
}

/** A session that is open now. */
export interface LiveSession {
  readonly id: string;
  readonly identity: Identity;
  readonly connection: string;
  /** The short-lived credential it logged in with, if it did. */
  readonly credential: string | null;
  readonly address: string;
  readonly tls: boolean;
  /** What the client calls itself. */
  readonly application: string | null;
  readonly startedAt: number;
  readonly expiresAt: number | null;
  readonly statements: number;
}

/** The port each protocol is served on; those that are not served are not there. */
export type Ports = ReadonlyMap<ConnectionConfig['protocol'], number>;

/** How long sessions that are ended at once may take to tell their clients, milliseconds. */
const END_MS = 1_000;
/** Why a login is turned away before it is looked at: somebody may be guessing. */
const UNHEARD: readonly Reason['why'][] = ['too many logins', 'too many failures'];
const SHUTTING_DOWN: Reason = { why: 'shutting down' };
/** Judges that are kept for each dialect, for identities that come again. */
const MOST_JUDGES = 1_000;
const HOUSEKEEPING_MS = 500;
/** Of clients that have not logged in, this many violations are recorded between two housekeepings: anybody can make them. */
const MOST_VIOLATIONS = 10;

/** The data path: listens, lets clients in, and joins each with an upstream connection of its own. */
export class Gateway implements Inside {
  readonly counters = new Counters();
  readonly services: SessionServices;
  readonly conditions: Conditions;
  readonly #options: GatewayOptions;
  readonly #doors: readonly { readonly entrance: Entrance; readonly server: Server }[];
  /** One judge for each identity on each connection that has had a session. */
  readonly #judges = new Map<Analyzer, Map<string, Judge>>();
  readonly #room = new JudgementRoom();
  readonly #estimates = new Estimates();
  readonly #names = new Map<string, NamesInForce>();
  readonly #sessions = new Map<Session, Entrance>();
  /** Takes the client away from its session. */
  readonly #leaving = new Map<Session, () => Arrival>();
  readonly #sockets = new Set<Socket>();
  /** Clients that have no session yet, and how many of them each address has. */
  readonly #arriving = new Map<Arrival, Entrance>();
  readonly #arrivingFrom = new Map<string, number>();
  /** Clients that are logged in while their upstream is being connected: they count as sessions. */
  #beginning = 0;
  readonly #housekeeping: NodeJS.Timeout;
  /** The rules in force: every judge looks here, whoever keeps it. */
  readonly #inForce: { current: RuleSet };
  #draining = false;
  /** Before a login, since the last housekeeping. */
  #violations = 0;
  #onEmpty: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    const { config, journal, log, accounts, tokens, access, analyzers, served } = options;
    this.#options = options;
    this.#inForce = { current: options.rules };
    this.services = {
      journal,
      turn: new Turn(journal),
      counters: this.counters,
      log,
      budgets: new Budgets(),
      activities: new Activities(),
      approvals: options.approvals,
      estimates: this.#estimates,
      approvalsUrl: config.approvals.url,
      now: () => performance.now(),
      ended: (session) => this.#ended(session),
    };
    this.conditions = { backoff: new Backoff(), clearOnLoopback: config.withoutTls === 'loopback' };
    const entrances: Entrance[] = [];
    const { postgres, mysql } = config.listen;
    if (postgres !== null && served.postgres !== null) {
      const { PostgresEntrance, analyzer } = served.postgres;
      entrances.push(new PostgresEntrance(postgres, config, accounts, tokens, analyzer, this));
    }
    if (mysql !== null && served.mysql !== null)
      entrances.push(new served.mysql.MysqlEntrance(mysql, config, accounts, tokens, analyzers, this));
    this.#doors = entrances.map((entrance) => ({
      entrance,
      // Half-open: a client that has sent its last byte still gets its answers.
      server: createServer(
        { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true },
        (socket) => void this.#accept(socket, entrance),
      ),
    }));
    access.onChange = () => this.#endRevoked();
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS).unref();
  }

  /** Starts to listen. @returns the ports, which the system chose where the configuration says 0 */
  async listen(): Promise<Ports> {
    const ports = new Map<ConnectionConfig['protocol'], number>();
    for (const { entrance, server } of this.#doors) {
      const { host, port } = entrance.listen;
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, backlog: 1024 }, () => {
          server.off('error', reject);
          resolve();
        });
      });
      const address = server.address();
      ports.set(entrance.protocol, typeof address === 'object' && address !== null ? address.port : port);
    }
    return ports;
  }

  /** Puts other rules in force for everything that is judged from now on. */
  setRules(rules: RuleSet): void {
    const areOthers = rules.version !== this.#inForce.current.version;
    this.#inForce.current = rules;
    for (const session of this.#sessions.keys()) {
      const names = this.#namesInForce(session.start.connection);
      session.setNames(names);
      void names?.ready();
      // What people are asked about was held by rules that are not in force any more.
      if (areOthers) session.stopWaiting('judge again');
    }
  }

  /** Other certificates, for clients that connect from now on. */
  renewTls(config: TlsConfig): void {
    for (const { entrance } of this.#doors) entrance.renewTls(config);
  }

  status(): GatewayStatus {
    return { draining: this.#draining, sessions: this.#sessions.size, rules: this.#inForce.current.version };
  }

  /** Ids of the rules in force that allow an identity something on a connection, see RuleSet.grantsFor. */
  grantsFor(identity: Identity, { name, default: otherwise }: Pick<ConnectionConfig, 'name' | 'default'>): string[] {
    return this.#inForce.current.grantsFor({ identity, connection: name, default: otherwise });
  }

  /** The sessions that are open now. */
  sessions(): LiveSession[] {
    return [...this.#sessions.keys()].map((session) => {
      const { id, identity, connection, credential, address, tls, claims, startedAt, expiresAt } = session.start;
      return {
        id,
        identity,
        connection: connection.name,
        credential: credential?.id ?? null,
        address,
        tls,
        application: claims.all.get('application_name') ?? null,
        startedAt,
        expiresAt,
        statements: session.statements,
      };
    });
  }

  /** Stops accepting, lets open transactions end within the configured limit, then ends what is left. */
  async drain(): Promise<void> {
    this.#close();
    for (const session of this.#sessions.keys()) session.drain();
    await this.#emptyWithin(this.#options.config.limits.drainMs);
    await this.end();
  }

  /** Ends all sessions now. Their last records are pending in the journal when this resolves. */
  async end(): Promise<void> {
    this.#close();
    for (const session of this.#sessions.keys()) session.terminate('57P01', 'Sluice is shutting down.', 'shut down');
    await this.#emptyWithin(END_MS);
    for (const socket of this.#sockets) socket.destroy();
    clearInterval(this.#housekeeping);
    this.#estimates.close();
    await Promise.all([...this.#names.values()].map((names) => names.close()));
  }

  /** Takes nobody in any more. */
  #close(): void {
    this.#draining = true;
    for (const { server } of this.#doors) server.close();
    for (const [arrival, entrance] of this.#arriving) this.#turnAway(arrival, entrance, SHUTTING_DOWN);
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

  async #accept(accepted: Socket, entrance: Entrance): Promise<void> {
    const reads = new ClientReads(accepted);
    const { socket } = reads;
    this.#track(socket);
    const arrival = new Arrival(reads, socket);
    const source = socket.remoteAddress ?? '';
    const fromThere = this.#arrivingFrom.get(source) ?? 0;
    const { logins } = this.#options.config.limits;
    // Half of them for one address: others still get in while it opens connections and says nothing.
    if (this.#arriving.size >= logins || fromThere >= logins / 2) {
      const refused = new NotLetIn('refused', 'too many logins at once', { why: 'too many logins' });
      this.#note(arrival, refused);
      this.#turnAway(arrival, entrance, refused.answer);
      return;
    }
    this.#arrivingFrom.set(source, fromThere + 1);
    await this.#letIn(arrival, entrance, () => entrance.enter(arrival));
    const left = this.#arrivingFrom.get(source)! - 1;
    if (left === 0) this.#arrivingFrom.delete(source);
    else this.#arrivingFrom.set(source, left);
  }

  /** Lets a client in, within the time for it. */
  async #letIn(arrival: Arrival, entrance: Entrance, enter: () => Promise<void>): Promise<void> {
    const { handshakeMs } = this.#options.config.limits;
    this.#arriving.set(arrival, entrance);
    const deadline = setTimeout(() => {
      arrival.isLate = true;
      this.#turnAway(arrival, entrance, { why: 'late', seconds: handshakeMs / 1000 });
    }, handshakeMs);
    try {
      await enter();
    } catch (error) {
      if (arrival.isLate) return;
      if (error instanceof AccessUnknown) {
        this.services.log.error({ from: arrival.from, reason: error.message }, 'nobody is let in');
        this.#turnAway(arrival, entrance, { why: 'access unknown' });
      } else if (error instanceof NotLetIn) {
        this.#note(arrival, error);
        this.#turnAway(arrival, entrance, error.answer);
      } else {
        this.services.log.error({ from: arrival.from, err: error }, 'internal error during login');
        this.#turnAway(arrival, entrance, { why: 'internal error' });
      }
    } finally {
      clearTimeout(deadline);
      this.#arriving.delete(arrival);
    }
  }

  #turnAway(arrival: Arrival, entrance: Entrance, answer: NotLetIn['answer']): void {
    arrival.hangUp(answer === null || Buffer.isBuffer(answer) ? answer : entrance.encodeError(arrival, answer));
  }

  #note(arrival: Arrival, { kind, message: reason, user, answer }: NotLetIn): void {
    const { counters, log } = this.services;
    const { from } = arrival;
    switch (kind) {
      case 'refused':
        if (answer !== null && 'why' in answer && UNHEARD.includes(answer.why)) counters.unheardLogins++;
        log.info({ from, reason }, 'login refused');
        return;
      case 'violation':
        counters.violations++;
        log.warn({ from, violation: reason }, 'protocol violation during login');
        if (this.#violations++ < MOST_VIOLATIONS) {
          this.#record(
            `"protocol.violation","side":"client","client":${clientOf(arrival)},"reason":${JSON.stringify(reason)}`,
          );
        }
        return;
      case 'upstream':
        counters.upstreamFailures++;
        log.error({ from, reason }, 'upstream login failed');
        return;
      case 'authentication':
        counters.authenticationFailures++;
        log.warn({ from, user, reason }, 'authentication failed');
        this.#record(
          `"auth.failed","user":${JSON.stringify(user)},"client":${clientOf(arrival)},"reason":${JSON.stringify(reason)}`,
        );
    }
  }

  /** @param fields as Journal.append takes them */
  #record(fields: string): void {
    this.services.journal.append(fields, true);
    this.services.turn.wake();
  }

  admit(arrival: Arrival, { identity, expiresAt, credential }: Authenticated, { name }: ConnectionConfig): void {
    const { access } = this.#options;
    access.check();
    let reason = access.refusal({ identity, credential });
    if (expiresAt !== null && expiresAt <= currentTime()) reason ??= 'it has expired';
    if (reason !== null) {
      const message = `the login is not accepted: ${reason}`;
      throw new NotLetIn('authentication', message, { why: 'access', message }, identity.subject);
    }
    if (credential !== undefined && credential.connections?.includes(name) === false) {
      const message = `the credential is not for connection "${name}"`;
      throw new NotLetIn('authentication', message, { why: 'access', message }, identity.subject);
    }
    const by = credential === undefined ? '' : `"credential":${JSON.stringify(credential.id)},`;
    this.#record(
      `"auth.ok","identity":${JSON.stringify(identity)},"connection":${JSON.stringify(name)},${by}"client":${clientOf(arrival)}`,
    );
  }

  judgeOf(identity: Identity, connection: ConnectionConfig, analyzer: Analyzer): Judge {
    let judges = this.#judges.get(analyzer);
    if (judges === undefined) {
      judges = new Map();
      this.#judges.set(analyzer, judges);
    }
    const key = JSON.stringify([identity, connection.name]);
    const known = judges.get(key);
    judges.delete(key);
    const judge =
      known ??
      new Judge(
        analyzer,
        identity,
        connection,
        this.#inForce,
        (name) => this.#names.get(connection.name)?.noteMiss(name),
        this.#room,
        this.#options.config.recording.redact,
      );
    judges.set(key, judge);
    // Tokens bring ever new identities: what nobody has asked for longest is left to its sessions.
    if (judges.size > MOST_JUDGES) judges.delete(judges.keys().next().value!);
    return judge;
  }

  async namesOf(connection: ConnectionConfig): Promise<NamesInForce | null> {
    const names = this.#namesInForce(connection);
    await names?.ready();
    return names;
  }

  /** The catalogues that sessions have asked for, by connection. */
  catalogues(): ReadonlyMap<string, CatalogueStatus> {
    return new Map([...this.#names].map(([name, names]) => [name, names.status()]));
  }

  /** Where everything is allowed nothing depends on names: then the upstream is not asked about them. */
  #namesInForce(connection: ConnectionConfig): NamesInForce | null {
    if (connection.default === 'allow' && this.#inForce.current.rules.length === 0) return null;
    let names = this.#names.get(connection.name);
    if (names === undefined) {
      names = new NamesInForce(connection);
      this.#names.set(connection.name, names);
    }
    return names;
  }

  /** A query about a held statement, as its session would have it read now. */
  async readHeld(text: string, question: Question, connection: ConnectionConfig): Promise<HeldReading> {
    const names = await this.namesOf(connection);
    return readHeld(text, question, names, this.#options.analyzers, connection.protocol);
  }

  /** The rules in force. */
  get rules(): RuleSet {
    return this.#inForce.current;
  }

  pinsOf(identity: Identity, connection: ConnectionConfig): SessionPins {
    const pins = this.#inForce.current.pinsFor({ identity, connection: connection.name, default: connection.default });
    if (pins.conflict !== null) throw new NotLetIn('refused', pins.conflict, { why: 'contradicting rules' });
    return pins;
  }

  async withRoom<Link extends UpstreamLink>(arrival: Arrival, connect: () => Promise<Link>): Promise<Link | null> {
    if (this.#draining) throw new NotLetIn('refused', 'draining', SHUTTING_DOWN);
    if (this.#sessions.size + this.#beginning >= this.#options.config.limits.sessions) {
      throw new NotLetIn('refused', 'too many sessions', { why: 'too many sessions' });
    }
    this.#beginning++;
    let upstream: Link;
    try {
      upstream = await connect();
    } finally {
      this.#beginning--;
    }
    if (!this.#draining && arrival.isThere) return upstream;
    upstream.socket.destroy();
    if (this.#draining) throw new NotLetIn('refused', 'draining', SHUTTING_DOWN);
    return null;
  }

  begin(arrival: Arrival, session: Session, upstream: UpstreamLink, begun: Begun, greet: () => void): void {
    const { journal, turn, counters } = this.services;
    const { id, identity, expiresAt, credential, connection, tls, claims, judge } = session.start;
    const { host, port, database } = connection.upstream;
    const kept = (said: Claims) => JSON.stringify(Object.fromEntries(judge.kept(said)));
    const { pid, parameters } = begun;
    const by = credential === undefined ? '' : `"credential":${JSON.stringify(credential.id)},`;
    const ends = expiresAt === null ? '' : `"expires":"${new Date(expiresAt).toISOString()}",`;
    const set = parameters === null ? '' : `,"parameters":${kept(parameters)}`;
    journal.append(
      `"session.start","session":"${id}","identity":${JSON.stringify(identity)},"connection":${JSON.stringify(connection.name)},` +
        `"protocol":"${connection.protocol}",${by}${ends}"client":{"address":${JSON.stringify(arrival.from)},"tls":${tls}},` +
        `"upstream":${JSON.stringify({ host, port, database, pid })},"claimed":${kept(claims.all)}${set}`,
      true,
    );
    turn.wake();
    counters.sessions++;
    this.#sessions.set(session, this.#arriving.get(arrival)!);
    greet();
    this.#join(session, arrival, upstream);
    // It may have been taken back while the upstream was connected.
    this.#endIfRevoked(session);
  }

  /** Has the session told what comes from both sides. */
  #join(session: Session, { socket, reads }: Arrival, upstream: UpstreamLink): void {
    const up = upstream.socket;
    this.#track(up);
    up.on('close', () => session.upstreamClosed('upstream closed'));
    up.on('end', () => session.upstreamClosed('upstream closed'));
    up.on('drain', () => session.upstreamDrained());
    upstream.readBy(session);
    const listeners = {
      drain: () => session.clientDrained(),
      end: () => session.clientEnded(),
      close: () => session.clientClosed('client lost'),
      // Of what was read before, or of a socket that is a stream because it decrypts or decompresses.
      data: (chunk: Buffer) => session.fromClient(chunk),
      // Of a socket that reads a protocol of its own before the session does.
      violation: (error: Error) => session.clientFailed(error),
    };
    for (const [event, listener] of Object.entries(listeners)) socket.on(event, listener);
    if (socket === reads.socket && socket.readableLength === 0) reads.readBy(session);
    this.#leaving.set(session, () => {
      for (const [event, listener] of Object.entries(listeners)) socket.off(event, listener);
      reads.readBy(null);
      return new Arrival(reads, socket);
    });
    socket.resume();
    if (socket.destroyed) session.clientClosed('client lost');
  }

  again(session: Session, reason: string, enter: (arrival: Arrival) => Promise<void>): void {
    const entrance = this.#sessions.get(session);
    const leave = this.#leaving.get(session);
    if (entrance === undefined || leave === undefined) return;
    const arrival = leave();
    const rest = session.leaveClient(reason);
    arrival.socket.pause();
    if (rest.length > 0) arrival.socket.unshift(rest);
    void this.#letIn(arrival, entrance, () => enter(arrival));
  }

  #ended(session: Session): void {
    this.#leaving.delete(session);
    this.#sessions.get(session)?.ended(session);
    this.#sessions.delete(session);
  }

  // --- Housekeeping ------------------------------------------------------------------------------------------------

  /** Ends the sessions whose identity or credential has been taken back. */
  #endRevoked(): void {
    for (const session of this.#sessions.keys()) this.#endIfRevoked(session);
  }

  #endIfRevoked(session: Session): void {
    const { access } = this.#options;
    const { identity, credential } = session.start;
    const killed = access.killed(session.id);
    if (killed !== null) session.revoke(`terminating the session: ${killed}`, 'killed');
    const reason = access.refusal({ identity, credential });
    if (reason !== null) session.revoke(`terminating the session: ${reason}`, 'access revoked');
  }

  #keepHouse(): void {
    const { limits } = this.#options.config;
    if (this.services.journal.failure !== null) this.services.journal.retry();
    this.#violations = 0;
    const since = performance.now() - limits.idleMs;
    const now = currentTime();
    for (const session of this.#sessions.keys()) {
      const { expiresAt } = session.start;
      if (expiresAt !== null && expiresAt <= now) {
        session.revoke('terminating the session: its login has expired, log in again', 'login expired');
      } else if (limits.idleMs > 0 && session.isSilentSince(since)) {
        session.terminate('57P05', `terminating the session: it was silent for ${limits.idleMs / 1000} s`, 'idle');
      }
    }
  }
}

/** As JSON text. */
function clientOf({ from }: Arrival): string {
  return `{"address":${JSON.stringify(from)}}`;
}

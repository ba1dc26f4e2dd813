import { randomBytes } from 'node:crypto';
import { type Capabilities, CLIENT, MARIADB_CLIENT, SERVER_STATUS } from '../../../protocols/mysql/capabilities.ts';
import { decodeComChangeUser } from '../../../protocols/mysql/commands.ts';
import { type Err, encodeOk, RESPONSE } from '../../../protocols/mysql/responses.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import type { Address, Config, ConnectionConfig, TlsConfig } from '../../config/config.ts';
import type { Accounts } from '../../identity/accounts.ts';
import type { TokenVerifier } from '../../identity/token-verifier.ts';
import { readServer } from '../../statements/mysql/server.ts';
import type { Analyzers } from '../analyzers.ts';
import { SessionClaims } from '../claims.ts';
import { ClientTls } from '../client-tls.ts';
import { type Arrival, type Entrance, type Inside, NotLetIn, type Reason } from '../entrance.ts';
import type { Session } from '../session.ts';
import { CompressedSocket } from './compressed-socket.ts';
import { errorFor } from './errors.ts';
import { type LoggedIn, LoginChannel, type LoginServices, login, loginAgain } from './login.ts';
import { MysqlSession } from './session.ts';
import { quoteName, setupOf } from './session-setup.ts';
import { TextReading } from './text-reading.ts';
import { askServer, connectUpstream, kill, type Upstream, UpstreamError } from './upstream.ts';

/** What clients can be offered of what a server has: Sluice passes the rest on for nobody, or does not understand it. */
const OFFERED =
  CLIENT.longPassword |
  CLIENT.foundRows |
  CLIENT.longFlag |
  CLIENT.connectWithDb |
  CLIENT.noSchema |
  CLIENT.odbc |
  CLIENT.localFiles |
  CLIENT.ignoreSpace |
  CLIENT.protocol41 |
  CLIENT.interactive |
  CLIENT.transactions |
  CLIENT.reserved |
  CLIENT.secureConnection |
  CLIENT.multiStatements |
  CLIENT.multiResults |
  CLIENT.psMultiResults |
  CLIENT.pluginAuth |
  CLIENT.pluginAuthLenencClientData |
  CLIENT.sessionTrack |
  CLIENT.deprecateEof |
  CLIENT.queryAttributes;
const OFFERED_MARIADB =
  MARIADB_CLIENT.stmtBulkOperations |
  MARIADB_CLIENT.extendedMetadata |
  MARIADB_CLIENT.cacheMetadata |
  MARIADB_CLIENT.bulkUnitResults;
/** What Sluice itself does, whatever the server has. */
const OWN =
  CLIENT.connectAttrs | CLIENT.pluginAuth | CLIENT.pluginAuthLenencClientData | CLIENT.connectWithDb | CLIENT.compress;
/** And where it stands for MySQL; no MariaDB offers that. */
const OWN_AS_MYSQL = CLIENT.longPassword | CLIENT.zstdCompressionAlgorithm;

const BETWEEN_QUESTIONS_MS = 1_000;

/** What a server said of itself when it was last connected to. */
interface Profile {
  readonly serverVersion: string;
  readonly capabilities: Capabilities;
  readonly characterSet: number;
}

/** How MySQL and MariaDB clients get in, and kill what is theirs. */
export class MysqlEntrance implements Entrance {
  readonly protocol = 'mysql';
  readonly listen: Address;
  readonly #inside: Inside;
  readonly #login: LoginServices;
  readonly #analyzers: Analyzers;
  readonly #messageBytes: number;
  readonly #connections: ReadonlyMap<string, ConnectionConfig>;
  readonly #profiles = new Map<string, Profile>();
  readonly #asking = new Map<string, Promise<void>>();
  /** By the id that the client knows. */
  readonly #byId = new Map<number, { readonly session: Session; readonly threadId: number }>();
  readonly #ids = new Map<Session, number>();
  /** How each client is spoken to, until its session has begun. */
  readonly #channels = new WeakMap<Arrival, LoginChannel>();
  // Not near those of servers, which count from 1: a client may also have the upstream's from CONNECTION_ID().
  #lastId = 0x4000_0000 + randomBytes(3).readUIntLE(0, 3);

  constructor(
    listen: Address,
    config: Config,
    accounts: Accounts,
    tokens: TokenVerifier | null,
    analyzers: Analyzers,
    inside: Inside,
  ) {
    this.listen = listen;
    this.#inside = inside;
    this.#analyzers = analyzers;
    this.#messageBytes = config.limits.messageBytes;
    const { tls } = config;
    this.#login = {
      accounts,
      tokens,
      tls: tls === null ? null : new ClientTls(tls, []),
      ...inside.conditions,
    };
    const own = config.connections.filter(({ protocol }) => protocol === 'mysql');
    this.#connections = new Map(own.map((connection) => [connection.name, connection]));
  }

  async enter(arrival: Arrival): Promise<void> {
    const channel = new LoginChannel(arrival.socket, false, 0);
    this.#channels.set(arrival, channel);
    try {
      const threadId = this.#newId();
      const profile = await this.#profile();
      const client = await login(channel, { ...profile, threadId }, this.#login, (tls) => arrival.reachedThrough(tls));
      await this.#begin(client, threadId, channel, arrival);
    } catch (error) {
      throw notLetIn(error, channel);
    }
  }

  encodeError(arrival: Arrival, reason: Reason): Buffer {
    return (this.#channels.get(arrival) ?? new LoginChannel(arrival.socket, false, 0)).error(errorOf(reason));
  }

  renewTls(config: TlsConfig): void {
    this.#login.tls?.renew(config);
  }

  ended(session: Session): void {
    const id = this.#ids.get(session);
    if (id === undefined) return;
    this.#ids.delete(session);
    this.#byId.delete(id);
  }

  #newId(): number {
    this.#lastId = this.#lastId >= 0x7fff_ffff ? 0x4000_0000 : this.#lastId + 1;
    return this.#byId.has(this.#lastId) ? this.#newId() : this.#lastId;
  }

  /**
   * What clients are greeted with, before it is known which connection they want: the version of the first server that can
   * be reached, and what all servers have.
   */
  async #profile(): Promise<Profile> {
    const failures: unknown[] = [];
    await Promise.all(
      [...this.#connections.values()].map(async ({ name, upstream }) => {
        if (this.#profiles.has(name)) return;
        // However many clients come: one question at a time, and its answer holds for a moment when it is no.
        let asking = this.#asking.get(name);
        if (asking === undefined) {
          asking = askServer(name, upstream).then((server) => this.#note(name, server));
          this.#asking.set(name, asking);
          const over = () => setTimeout(() => this.#asking.delete(name), BETWEEN_QUESTIONS_MS).unref();
          asking.then(over, over);
        }
        await asking.catch((error) => failures.push(error));
      }),
    );
    const known = [...this.#connections.keys()].flatMap((name) => this.#profiles.get(name) ?? []);
    const [first] = known;
    if (first === undefined) throw failures[0] ?? new Error('no connection');
    const common = known.reduce(
      ({ client, mariadb }, { capabilities }) => ({
        client: client & capabilities.client,
        mariadb: mariadb & capabilities.mariadb,
      }),
      { client: -1, mariadb: -1 },
    );
    // A server without longPassword is a MariaDB, and says so that it has capabilities of its own.
    const isMysql = known.some(({ capabilities }) => (capabilities.client & CLIENT.longPassword) !== 0);
    const client = ((common.client & OFFERED) | OWN | (isMysql ? OWN_AS_MYSQL : 0)) >>> 0;
    return { ...first, capabilities: { client, mariadb: isMysql ? 0 : common.mariadb & OFFERED_MARIADB } };
  }

  #note(name: string, { handshake }: Pick<Upstream, 'handshake'>): void {
    const { serverVersion, capabilities, characterSet } = handshake;
    this.#profiles.set(name, { serverVersion, capabilities, characterSet });
  }

  /** The connection a client asks for, and the database it wants there. @throws NotLetIn */
  #chosen(client: LoggedIn, channel: LoginChannel): { connection: ConnectionConfig; database: string | null } {
    const { database } = client;
    const only = this.#connections.size === 1 ? [...this.#connections.values()][0]! : null;
    const byName = client.connection ?? (database !== null && this.#connections.has(database) ? database : null);
    const connection = byName === null ? only : (this.#connections.get(byName) ?? null);
    if (connection === null) {
      const asked = byName ?? database;
      const error: Err =
        asked === null
          ? {
              code: 1046,
              sqlState: '3D000',
              message: 'No database selected: Sluice has several connections, name one as the database.',
            }
          : {
              code: 1049,
              sqlState: '42000',
              message: `Unknown database '${asked}': Sluice has no connection of that name`,
            };
      throw new NotLetIn('refused', error.message, channel.error(error));
    }
    const isDefault = database === connection.name || database === connection.upstream.database;
    return { connection, database: isDefault ? null : database };
  }

  async #begin(client: LoggedIn, threadId: number, channel: LoginChannel, arrival: Arrival): Promise<void> {
    const inside = this.#inside;
    const { connection, database } = this.#chosen(client, channel);
    const { identity, expiresAt, credential } = client.authenticated;
    inside.admit(arrival, client.authenticated, connection);
    const names = await inside.namesOf(connection);
    const pins = inside.pinsOf(identity, connection);
    const { capabilities, characterSet, maxPacketSize } = client;
    const wanted = { capabilities, characterSet, maxPacketSize, database: database ?? connection.upstream.database };
    const upstream = await inside.withRoom(arrival, () =>
      connectUpstream(connection.name, connection.upstream, wanted, (flavour, agreedOn) =>
        setupOf(flavour, agreedOn, pins),
      ),
    );
    if (upstream === null) return;
    try {
      this.#note(connection.name, upstream);
      this.#checkCapabilities(connection.name, client, upstream);
      const { state, flavour, handshake } = upstream;
      const analyzer = await this.#analyzers.mysql(flavour, handshake.serverVersion, state.foldsNames);
      const judge = inside.judgeOf(identity, connection, analyzer);
      const reading = new TextReading();
      if (!state.settings.every((value, i) => reading.reportAt(i, value ?? ''))) {
        const message = 'The character set of the connection cannot be used through Sluice. Use utf8mb4.';
        throw new NotLetIn('refused', message, channel.error(errorFor('22023', message)));
      }
      if (database !== null) {
        const context = names?.context([]) ?? { catalogue: null, searchPath: [] };
        const use = await judge.judge(`USE ${quoteName(database)}`, { lexing: reading.modes, names: context });
        const refused = use.statements.find(({ verdict }) => verdict.action !== 'allow')?.verdict;
        if (refused !== undefined && refused.action !== 'allow') {
          throw new NotLetIn('refused', refused.message, channel.error(errorFor('42501', refused.message)));
        }
      }
      const program = client.attributes.get('program_name');
      const claims = new SessionClaims(client.attributes);
      if (program !== undefined) claims.set('application_name', program);
      const { compression } = client;
      const socket =
        compression === null || channel.socket instanceof CompressedSocket
          ? channel.socket
          : CompressedSocket.inPlaceOf(channel.socket, compression, this.#messageBytes);
      const session: MysqlSession = new MysqlSession(
        inside.services,
        socket,
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
          cancel: () => kill(connection.name, connection.upstream, 'QUERY', handshake.threadId),
          kill: () => kill(connection.name, connection.upstream, 'CONNECTION', handshake.threadId),
          address: channel.socket.remoteAddress ?? '',
          tls: channel.isSecure,
          claims,
        },
        {
          capabilities,
          upstreamCapabilities: upstream.capabilities,
          server: readServer(flavour, handshake.serverVersion, state.foldsNames),
          pins,
          state,
          messageBytes: this.#messageBytes,
          kill: (id, what) => this.#kill(session, id, what),
          changeUser: (payload, sequence) => this.#changeUser(session, client, threadId, payload, sequence),
        },
      );
      inside.begin(arrival, session, upstream, { pid: handshake.threadId, parameters: null }, () => {
        this.#byId.set(threadId, { session, threadId: handshake.threadId });
        this.#ids.set(session, threadId);
        channel.send(okPacket(capabilities));
        if (socket !== channel.socket) arrival.reachedThrough(socket);
      });
    } catch (error) {
      upstream.socket.destroy();
      throw error;
    }
  }

  /** The server may have been replaced since the client was greeted in its name. */
  #checkCapabilities(name: string, { capabilities }: LoggedIn, upstream: Upstream): void {
    const format = CLIENT.deprecateEof | CLIENT.queryAttributes;
    const { client, mariadb } = capabilities;
    if ((client & format & ~upstream.capabilities.client) === 0 && (mariadb & ~upstream.capabilities.mariadb) === 0)
      return;
    throw new UpstreamError(`connection ${name} is another server than the client was greeted for`, {
      code: 2003,
      sqlState: 'HY000',
      message: `The upstream of connection "${name}" is another server now. Connect again.`,
    });
  }

  /**
   * Kills a session of the same identity on the same connection, or what it runs.
   * @returns false if the id is of no such session
   */
  async #kill(by: Session, id: number, what: 'query' | 'connection'): Promise<boolean> {
    const { connection, identity } = by.start;
    const isOwn = ({ start }: Session): boolean =>
      start.connection.name === connection.name &&
      start.identity.subject === identity.subject &&
      start.identity.issuer === identity.issuer;
    let target = this.#byId.get(id);
    if (target === undefined)
      target = [...this.#byId.values()].find(({ session, threadId }) => threadId === id && isOwn(session));
    if (target === undefined || !isOwn(target.session)) return false;
    this.#inside.services.counters.cancelRequests++;
    if (what === 'query' && target.session.stopWaiting('withdraw')) return true;
    if (what === 'query') await target.session.start.cancel();
    else {
      target.session.stopWaiting('withdraw');
      target.session.terminate('70100', 'Connection was killed.', 'killed by its own identity');
    }
    return true;
  }

  #changeUser(session: MysqlSession, before: LoggedIn, threadId: number, payload: Buffer, sequence: number): void {
    const change = decodeComChangeUser(payload, before.capabilities);
    this.#inside.again(session, 'user changed', async (arrival) => {
      const channel = new LoginChannel(arrival.socket, session.start.tls, (sequence + 1) & 0xff);
      this.#channels.set(arrival, channel);
      try {
        const proved = await loginAgain(channel, this.#login, change, before);
        const client: LoggedIn = {
          ...before,
          ...proved,
          connection: proved.connection ?? (change.database === '' ? session.start.connection.name : null),
          database: change.database || null,
          characterSet: change.characterSet === null ? before.characterSet : change.characterSet & 0xff,
          attributes: change.attributes ?? before.attributes,
        };
        await this.#begin(client, threadId, channel, arrival);
      } catch (error) {
        throw notLetIn(error, channel);
      }
    });
  }
}

function okPacket(capabilities: Capabilities): Buffer {
  const status = SERVER_STATUS.autocommit;
  return encodeOk(
    { header: RESPONSE.ok, affectedRows: 0n, lastInsertId: 0n, status, warnings: 0, info: '', sessionState: null },
    capabilities,
  );
}

function errorOf(reason: Reason): Err {
  switch (reason.why) {
    case 'late':
      return { code: 1159, sqlState: '08S01', message: `Login was not complete within ${reason.seconds} s` };
    case 'shutting down':
      return errorFor('57P01', 'Sluice is shutting down.');
    case 'too many sessions':
      return { code: 1040, sqlState: '08004', message: 'Sluice has no free sessions: try again later.' };
    case 'too many logins':
      return { code: 1040, sqlState: '08004', message: 'Too many clients are logging in: try again later.' };
    case 'too many failures':
      return { code: 1045, sqlState: '28000', message: `Too many failed logins: try again in ${reason.seconds} s.` };
    case 'without TLS':
      // ER_SECURE_TRANSPORT_REQUIRED
      return {
        code: 3159,
        sqlState: 'HY000',
        message: 'Log in over TLS only: connect with --ssl-mode=VERIFY_IDENTITY.',
      };
    case 'contradicting rules':
      return {
        code: 1045,
        sqlState: '28000',
        message:
          'The session cannot begin: the rules for it contradict each other. Tell the people who write the rules of this connection.',
      };
    case 'access':
      return { code: 1045, sqlState: '28000', message: reason.message };
    case 'access unknown':
      return errorFor(
        '57P03',
        'Sluice cannot find out now who may log in. Try again later; whoever runs Sluice can see why.',
      );
    case 'internal error':
      return errorFor('XX000', 'Internal error in Sluice.');
  }
}

/** What the gateway makes of an error on the way in; what it is not about stays as it is. */
function notLetIn(error: unknown, channel: LoginChannel): unknown {
  if (error instanceof ProtocolViolation) {
    const answer = channel.error({ code: error.code, sqlState: error.sqlState, message: error.message });
    return new NotLetIn('violation', error.message, answer);
  }
  if (error instanceof UpstreamError) return new NotLetIn('upstream', error.message, channel.error(error.error));
  return error;
}

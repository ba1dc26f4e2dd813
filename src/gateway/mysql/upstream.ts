import type { Socket } from 'node:net';
import { CACHING_SHA2_PASSWORD } from '../../../protocols/mysql/caching-sha2-password.ts';
import { agreed, type Capabilities, CLIENT } from '../../../protocols/mysql/capabilities.ts';
import { authenticateAsClient, type ClientAuthentication } from '../../../protocols/mysql/client-authentication.ts';
import { encodePackets, PacketFramer, type PacketSink } from '../../../protocols/mysql/framing.ts';
import {
  AUTH_MORE_DATA,
  AUTH_SWITCH_REQUEST,
  decodeAuthMoreData,
  decodeAuthSwitchRequest,
  decodeHandshake,
  encodeHandshakeResponse,
  encodeSSLRequest,
  type Handshake,
} from '../../../protocols/mysql/handshake.ts';
import { NATIVE_PASSWORD } from '../../../protocols/mysql/native-password.ts';
import { decodeErr, type Err, RESPONSE } from '../../../protocols/mysql/responses.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import type { UpstreamConfig } from '../../config/config.ts';
import type { Flavour } from '../../statements/mysql/server.ts';
import { isLoopback, Link } from '../link.ts';
import { KEEPS_ALL, type UpstreamReader } from '../upstream-reads.ts';
import { ANSWER, PART, Response } from './response.ts';
import { ASK_STATE, NO_SETUP, ownQuery, type SessionState, type Setup, stateOf } from './session-setup.ts';

/** The upstream could not be had. `error` is what the client may be told. */
export class UpstreamError extends Error {
  readonly error: Err;

  constructor(message: string, error: Err) {
    super(message);
    this.name = 'UpstreamError';
    this.error = error;
  }
}

/** What a client asks of its session, and the upstream has to be told. */
export interface Wanted {
  readonly capabilities: Capabilities;
  /** Collation id. */
  readonly characterSet: number;
  readonly maxPacketSize: number;
  readonly database: string | null;
}

/** A connection to an upstream server, logged in and ready for the first command. */
export interface Upstream {
  readonly socket: Socket;
  readonly handshake: Handshake;
  readonly flavour: Flavour;
  /** What is in use on it. */
  readonly capabilities: Capabilities;
  readonly state: SessionState;
  /** Gives what is read from now on to `reader`, and what has been read already at once. */
  readBy(reader: UpstreamReader): void;
}

/** Time to connect and to log in, milliseconds. */
const DEADLINE_MS = 15_000;
/** Everything before the first command is small. */
const LARGEST = 1024 * 1024;

/**
 * Connects and logs in as the configured user.
 *
 * @param setup what to begin with, once it is known what the server is
 * @throws UpstreamError
 */
export async function connectUpstream(
  name: string,
  config: UpstreamConfig,
  wanted: Wanted,
  setup: (flavour: Flavour, capabilities: Capabilities) => Setup,
): Promise<Upstream> {
  const link = new Link();
  const timer = setTimeout(() => link.fail(new Error(`no login within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
  try {
    await link.open(config);
    return await new UpstreamLogin(link, config, wanted).run(setup);
  } catch (error) {
    link.destroy();
    if (error instanceof UpstreamError) throw error;
    const said = error instanceof ProtocolViolation ? 'broke the protocol' : 'cannot be reached';
    throw new UpstreamError((error as Error).message, {
      // CR_CONN_HOST_ERROR
      code: 2003,
      sqlState: 'HY000',
      message: `The upstream of connection "${name}" ${said}. Try again later; whoever runs Sluice can see why.`,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** What a server says of itself, from its greeting and to one who has logged in. */
export async function askServer(
  name: string,
  config: UpstreamConfig,
): Promise<Pick<Upstream, 'handshake' | 'flavour'>> {
  const upstream = await connectUpstream(name, config, PLAIN, () => NO_SETUP);
  upstream.socket.end(encodePackets(Buffer.of(1), 0));
  upstream.socket.resume();
  return upstream;
}

/** Has the server end a connection, or what it runs. Resolves when it has been told. */
export async function kill(
  name: string,
  config: UpstreamConfig,
  what: 'CONNECTION' | 'QUERY',
  threadId: number,
): Promise<void> {
  const setup = { before: [`KILL ${what} ${threadId}`], after: [] };
  const upstream = await connectUpstream(name, config, PLAIN, () => setup);
  upstream.socket.end(encodePackets(Buffer.of(1), 0));
}

const UTF8MB4_GENERAL_CI = 45;
/** A connection for a question of Sluice's own. */
const PLAIN: Wanted = {
  capabilities: { client: CLIENT.longPassword | CLIENT.longFlag | CLIENT.transactions, mariadb: 0 },
  characterSet: UTF8MB4_GENERAL_CI,
  maxPacketSize: LARGEST,
  database: null,
};

const ALWAYS =
  CLIENT.protocol41 |
  CLIENT.secureConnection |
  CLIENT.pluginAuth |
  CLIENT.pluginAuthLenencClientData |
  CLIENT.multiResults |
  CLIENT.sessionTrack;
/** Of the client's affair only, or decided by Sluice. */
const NEVER =
  CLIENT.ssl | CLIENT.compress | CLIENT.zstdCompressionAlgorithm | CLIENT.connectAttrs | CLIENT.connectWithDb;

/** The connection phase as a client. */
class UpstreamLogin implements PacketSink {
  readonly #link: Link;
  readonly #config: UpstreamConfig;
  readonly #wanted: Wanted;
  readonly #framer: PacketFramer;
  readonly #packets: Buffer[] = [];
  #wake: (() => void) | null = null;
  #sequence = 0;

  constructor(link: Link, config: UpstreamConfig, wanted: Wanted) {
    this.#link = link;
    this.#config = config;
    this.#wanted = wanted;
    this.#framer = new PacketFramer(this, LARGEST);
    this.#framer.sequence = -1;
    link.readBy({
      ...KEEPS_ALL,
      fromUpstream: (chunk) => {
        try {
          this.#framer.push(chunk);
        } catch (error) {
          link.fail(error as Error);
        }
      },
    });
  }

  payload(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    this.#sequence = (sequence + 1) & 0xff;
    this.#packets.push(bytes.subarray(start, end));
    this.#wake?.();
    return true;
  }

  piece(): void {}
  rows(): void {}

  async #next(): Promise<Buffer> {
    if (this.#packets.length === 0) {
      await this.#link.until<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#packets.shift()!;
  }

  #send(payload: Buffer): void {
    this.#link.socket.write(encodePackets(payload, this.#sequence));
  }

  async run(setup: (flavour: Flavour, capabilities: Capabilities) => Setup): Promise<Upstream> {
    const link = this.#link;
    const greeting = await this.#next();
    if (greeting[0] === RESPONSE.err) throw this.#refused(decodeErr(greeting));
    const handshake = decodeHandshake(greeting);
    const flavour = /mariadb/i.test(handshake.serverVersion) ? 'mariadb' : 'mysql';
    const needed = CLIENT.protocol41 | CLIENT.secureConnection | CLIENT.pluginAuth;
    if ((handshake.capabilities.client & needed) !== needed) throw new ProtocolViolation('the server is too old');
    const { client, mariadb } = this.#wanted.capabilities;
    const capabilities = agreed(handshake.capabilities, { client: (client & ~NEVER) | ALWAYS, mariadb });
    await this.#login(handshake, capabilities);
    const { before, after } = setup(flavour, capabilities);
    for (const text of before) await this.#ask(text, capabilities);
    const [row] = await this.#ask(ASK_STATE, capabilities);
    if (row === undefined) throw new ProtocolViolation('no answer about the state of the session');
    for (const text of after) await this.#ask(text, capabilities);
    return {
      socket: link.socket,
      handshake,
      flavour,
      capabilities,
      state: stateOf(row),
      readBy: (reader) => link.readBy(reader),
    };
  }

  async #login(handshake: Handshake, capabilities: Capabilities): Promise<void> {
    const { user } = this.#config;
    const { characterSet, maxPacketSize, database } = this.#wanted;
    const link = this.#link;
    const withDatabase = database === null ? 0 : CLIENT.connectWithDb;
    const withTls = this.#config.tls === 'disable' ? 0 : CLIENT.ssl;
    const own = {
      client: (capabilities.client | withDatabase | withTls) >>> 0,
      mariadb: (capabilities.client & CLIENT.longPassword) === 0 ? capabilities.mariadb : 0,
    };
    const hello = { capabilities: own, maxPacketSize, characterSet };
    if (withTls !== 0) {
      if ((handshake.capabilities.client & CLIENT.ssl) === 0) throw new Error('the server does not speak TLS');
      this.#send(encodeSSLRequest(hello));
      this.#sequence += 1;
      await link.secure(this.#config, []);
    }
    // The server asks for the account's own method afterwards, if it is another one.
    const plugin = handshake.authPlugin === CACHING_SHA2_PASSWORD ? CACHING_SHA2_PASSWORD : NATIVE_PASSWORD;
    let exchange = this.#exchange(plugin, handshake.authData);
    this.#send(
      encodeHandshakeResponse({
        ...hello,
        user,
        authResponse: exchange.response,
        database,
        authPlugin: plugin,
        attributes: null,
        zstdLevel: null,
      }),
    );
    for (;;) {
      const answer = await this.#next();
      switch (answer[0]) {
        case RESPONSE.ok:
          return;
        case RESPONSE.err:
          throw this.#refused(decodeErr(answer));
        case AUTH_SWITCH_REQUEST: {
          if (answer.length === 1) throw new Error('the server asks for authentication of the time before 4.1');
          const request = decodeAuthSwitchRequest(answer);
          exchange = this.#exchange(request.plugin, request.data);
          this.#send(exchange.response);
          break;
        }
        default: {
          const data = answer[0] === AUTH_MORE_DATA ? decodeAuthMoreData(answer) : answer;
          const next = await exchange.answer(data);
          if (next !== null) this.#send(next);
        }
      }
    }
  }

  #exchange(plugin: string, data: Buffer): ClientAuthentication {
    const { socket, tls } = this.#link;
    // Without TLS a key that is asked for could be anybody's; on this machine there is nobody in between.
    const channel = tls !== null ? 'tls' : isLoopback(socket) ? 'ask for the key' : 'none';
    const exchange = authenticateAsClient(plugin, this.#config.password ?? '', data, channel);
    if (exchange === null) throw new Error(`the server asks for ${plugin}, which Sluice does not do`);
    return exchange;
  }

  /** Rows of the answer to a statement of our own. */
  async #ask(text: string, capabilities: Capabilities): Promise<Buffer[]> {
    const rows: Buffer[] = [];
    const response = new Response(capabilities);
    response.begin(ANSWER.results);
    this.#sequence = 0;
    this.#send(ownQuery(text, capabilities));
    while (!response.isOver) {
      const payload = await this.#next();
      const part = response.take(payload, 0, payload.length);
      if (part === PART.row) rows.push(payload);
      else if (part === PART.error) throw this.#refused(decodeErr(payload));
    }
    return rows;
  }

  /** The server's own refusal; what it says about our login is not the client's business. */
  #refused(error: Err): UpstreamError {
    const said = `${error.code}: ${error.message}`;
    // ER_BAD_DB_ERROR is about what the client asked for.
    if (error.code === 1049) return new UpstreamError(said, error);
    const message = 'The upstream does not let Sluice in. Whoever runs Sluice can see why.';
    return new UpstreamError(said, { code: 2003, sqlState: 'HY000', message });
  }
}

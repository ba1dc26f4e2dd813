import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  BACKEND,
  decodeAuthentication,
  decodeBackendKeyData,
  decodeErrorResponse,
  decodeParameterStatus,
  type ErrorFields,
} from '../../../protocols/postgres/backend.ts';
import { type FrameRules, Framer } from '../../../protocols/postgres/framing.ts';
import {
  encodeCancelRequest,
  encodePasswordMessage,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeSSLRequest,
  encodeStartupMessage,
} from '../../../protocols/postgres/frontend.ts';
import { md5Password } from '../../../protocols/postgres/md5.ts';
import { type ChannelBinding, endPointBinding, ScramClient } from '../../../protocols/postgres/scram.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { connectPostgresClient } from '../../catalog/service-connection.ts';
import type { UpstreamConfig } from '../../config/config.ts';
import { isLoopback, Link } from '../link.ts';
import { KEEPS_ALL, type UpstreamReader } from '../upstream-reads.ts';
import { ASK_SEARCH_PATH, type RoleAndPath, roleAndPathOf } from './search-path.ts';

/** The upstream could not be had. `fields` is what the client may be told. */
export class UpstreamError extends Error {
  readonly fields: ErrorFields;

  constructor(message: string, fields: ErrorFields) {
    super(message);
    this.name = 'UpstreamError';
    this.fields = fields;
  }
}

/** A connection to an upstream server, logged in and ready for the first query. */
export interface Upstream {
  readonly socket: Socket;
  readonly processId: number;
  readonly secretKey: Buffer;
  readonly parameters: ReadonlyMap<string, string>;
  /** The schemas it searches; empty if it was not asked for them. */
  readonly roleAndPath: RoleAndPath;
  /** ParameterStatus and NoticeResponse messages of the start, as they came. */
  readonly greeting: Buffer;
  /** Gives what is read from now on to `reader`, and what has been read already at once. */
  readBy(reader: UpstreamReader): void;
}

/** What may come in answer to the question for the search path, before ReadyForQuery. */
const ANSWERS: ReadonlySet<number> = new Set([
  BACKEND.parseComplete,
  BACKEND.bindComplete,
  BACKEND.dataRow,
  BACKEND.commandComplete,
  BACKEND.closeComplete,
]);

/** Time to connect and to log in, milliseconds. */
const DEADLINE_MS = 15_000;
/** Everything before the first ReadyForQuery is small. */
const LOGIN_RULES: FrameRules = {
  largest: new Int32Array(256).fill(64 * 1024),
  streamed: new Uint8Array(256),
};
/**
 * Connects and logs in as the configured user.
 *
 * @param parameters for the StartupMessage, besides user and database
 * @param asksSearchPath true to learn which schemas the session searches
 * @throws UpstreamError
 */
export async function connectUpstream(
  name: string,
  config: UpstreamConfig,
  parameters: ReadonlyMap<string, string>,
  asksSearchPath: boolean,
): Promise<Upstream> {
  const link = new Link();
  const timer = setTimeout(() => link.fail(new Error(`no login within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
  try {
    await open(link, config);
    return await new UpstreamLogin(link, config, asksSearchPath).run(parameters);
  } catch (error) {
    link.destroy();
    if (error instanceof UpstreamError) throw error;
    const said = error instanceof ProtocolViolation ? 'broke the protocol' : 'cannot be reached';
    throw new UpstreamError((error as Error).message, {
      severity: 'FATAL',
      severityNonLocalized: 'FATAL',
      code: error instanceof ProtocolViolation ? '08006' : '08001',
      message: `The upstream of connection "${name}" ${said}.`,
      hint: 'Try again later; whoever runs Sluice can see why.',
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Asks the server to cancel what the backend with this key runs. Resolves when the server has closed the connection. */
export async function cancelUpstream(config: UpstreamConfig, processId: number, secretKey: Buffer): Promise<void> {
  const link = new Link();
  const timer = setTimeout(() => link.fail(new Error('timeout')), DEADLINE_MS);
  try {
    await open(link, config);
    link.socket.end(encodeCancelRequest({ processId, secretKey }));
    await link.closed();
  } finally {
    clearTimeout(timer);
    link.destroy();
  }
}

/**
 * Ends the backend with this process id for good: one that is cancelled would go on with what it was sent behind that. It takes
 * a connection of our own, which may do it as it is of the same role.
 *
 * @returns false if the server knows no such backend, as when a pooler stands in between and made the id up
 * @throws what `pg` throws if the server cannot be asked
 */
export async function terminateUpstream(config: UpstreamConfig, processId: number): Promise<boolean> {
  const client = await connectPostgresClient({ protocol: 'postgres', ...config }, 'sluice ending', DEADLINE_MS);
  try {
    const { rows } = await client.query('SELECT pg_catalog.pg_terminate_backend($1) AS ended', [processId]);
    return rows[0].ended === true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function open(link: Link, config: UpstreamConfig): Promise<void> {
  await link.open(config);
  if (config.tls === 'disable') return;
  link.socket.write(encodeSSLRequest());
  const answer = await link.until<Buffer>((resolve) => link.readBy({ ...KEEPS_ALL, fromUpstream: resolve }));
  if (answer.length !== 1 || answer[0] !== 0x53) throw new Error('the server does not speak TLS');
  await link.secure(config, ['postgresql']);
}

/** The start-up phase as a client: chapter Message Flow, Start-up. */
class UpstreamLogin {
  readonly #link: Link;
  readonly #config: UpstreamConfig;
  readonly #parameters = new Map<string, string>();
  readonly #greeting: Buffer[] = [];
  readonly #scram: ScramClient;
  #saslBegun = false;
  #authenticated = false;
  #processId = 0;
  #secretKey = Buffer.alloc(0);
  #ready = false;
  /** Rows of the answer to our question for the search path; `null` if it is not asked. */
  readonly #pathRows: Buffer[] | null;
  #asked = false;
  /** Messages that came while one was being worked on. */
  readonly #queue: Buffer[] = [];
  #working = false;

  constructor(link: Link, config: UpstreamConfig, asksSearchPath: boolean) {
    this.#pathRows = asksSearchPath ? [] : null;
    this.#link = link;
    this.#config = config;
    this.#scram = new ScramClient('', config.password ?? '', bindingOf(link.tls));
  }

  async run(parameters: ReadonlyMap<string, string>): Promise<Upstream> {
    const link = this.#link;
    const { user, database } = this.#config;
    const framer = await link.until<Framer>((resolve) => {
      const framer = new Framer(
        {
          message: (_type, bytes, start, end) => {
            this.#queue.push(bytes.subarray(start, end));
            return true;
          },
          piece: () => undefined,
          passed: () => undefined,
        },
        LOGIN_RULES,
      );
      link.readBy({
        ...KEEPS_ALL,
        fromUpstream: (chunk) => {
          try {
            framer.push(chunk);
            void this.#work(() => resolve(framer));
          } catch (error) {
            link.fail(error as Error);
          }
        },
      });
      const all = new Map([...parameters, ['user', user], ['database', database]]);
      link.socket.write(encodeStartupMessage({ major: 3, minor: 0, parameters: all }));
    });
    return {
      socket: link.socket,
      processId: this.#processId,
      secretKey: this.#secretKey,
      parameters: this.#parameters,
      roleAndPath: roleAndPathOf(this.#pathRows ?? []),
      greeting: Buffer.concat(this.#greeting),
      readBy: (reader) => {
        // What the server said behind its ReadyForQuery, unasked.
        const early = Buffer.concat([...this.#queue, framer.takeRest()]);
        if (early.length > 0) reader.fromUpstream(early);
        link.readBy(reader);
      },
    };
  }

  /** One message after the other: an answer may take a moment to compute. */
  async #work(done: () => void): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift()) {
        await this.#message(message);
        if (!this.#ready) continue;
        done();
        return;
      }
    } catch (error) {
      this.#link.fail(error as Error);
    } finally {
      this.#working = false;
    }
  }

  async #message(message: Buffer): Promise<void> {
    const body = message.subarray(5);
    if (this.#asked && message[0] === BACKEND.dataRow) this.#pathRows?.push(body);
    if (this.#asked && ANSWERS.has(message[0]!)) return;
    switch (message[0]) {
      case BACKEND.authentication:
        await this.#authentication(body);
        return;
      case BACKEND.errorResponse:
        throw this.#refused(decodeErrorResponse(body));
      case BACKEND.noticeResponse:
        this.#greeting.push(message);
        return;
      case BACKEND.parameterStatus: {
        const { name, value } = decodeParameterStatus(body);
        this.#parameters.set(name, value);
        this.#greeting.push(message);
        return;
      }
      case BACKEND.backendKeyData: {
        const { processId, secretKey } = decodeBackendKeyData(body);
        this.#processId = processId;
        // Of its own: a few bytes of Node's buffer pool would keep 8 KiB alive for as long as the session lives.
        this.#secretKey = Buffer.allocUnsafeSlow(secretKey.length);
        secretKey.copy(this.#secretKey);
        return;
      }
      case BACKEND.readyForQuery:
        if (!this.#authenticated) throw new ProtocolViolation('ready before it authenticated');
        if (this.#pathRows === null || this.#asked) this.#ready = true;
        else {
          this.#asked = true;
          this.#link.socket.write(ASK_SEARCH_PATH);
        }
        return;
      default:
        throw new ProtocolViolation(`message of type ${message[0]} during start-up`);
    }
  }

  async #authentication(body: Buffer): Promise<void> {
    const request = decodeAuthentication(body);
    const { socket, tls } = this.#link;
    const { user, password } = this.#config;
    if (request.kind !== 'Ok' && password === null)
      throw new Error('the server asks for a password, none is configured');
    switch (request.kind) {
      case 'Ok':
        if (this.#saslBegun && !this.#scram.verified)
          throw new ProtocolViolation('the server did not prove that it knows the password');
        this.#authenticated = true;
        return;
      case 'CleartextPassword':
        if (tls === null && !isLoopback(socket))
          throw new Error('the server asks for the password in clear, over a connection without TLS');
        socket.write(encodePasswordMessage(password!));
        return;
      case 'MD5Password':
        socket.write(encodePasswordMessage(md5Password(user, password!, request.salt)));
        return;
      case 'SASL': {
        this.#saslBegun = true;
        const { mechanism, response } = this.#scram.start(request.mechanisms);
        socket.write(encodeSASLInitialResponse({ mechanism, response }));
        return;
      }
      case 'SASLContinue':
        socket.write(encodeSASLResponse(await this.#scram.respond(request.data)));
        return;
      case 'SASLFinal':
        this.#scram.finish(request.data);
        return;
      default:
        throw new Error(`the server asks for ${request.kind} authentication, which Sluice does not do`);
    }
  }

  /** The server's own refusal; what it says about our login is not the client's business. */
  #refused(fields: ErrorFields): UpstreamError {
    const said = `${fields.code}: ${fields.message}`;
    if (!fields.code.startsWith('28')) return new UpstreamError(said, fields);
    return new UpstreamError(said, {
      severity: 'FATAL',
      severityNonLocalized: 'FATAL',
      code: '08001',
      message: 'The upstream does not let Sluice in.',
      hint: 'Whoever runs Sluice can see why.',
    });
  }
}

/** RFC 5929 tls-server-end-point of the server's certificate, `null` without TLS or where it has none. */
function bindingOf(tls: TLSSocket | null): ChannelBinding | null {
  const certificate = tls?.getPeerCertificate(false).raw;
  const data = certificate === undefined ? null : endPointBinding(certificate);
  return data === null ? null : { type: 'tls-server-end-point', data };
}

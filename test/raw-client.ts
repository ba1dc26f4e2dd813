import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  type BackendKeyData,
  decodeAuthentication,
  decodeBackendKeyData,
  decodeCommandComplete,
  decodeDataRow,
  decodeErrorResponse,
  type ErrorFields,
} from '../protocols/postgres/backend.ts';
import { encodeSASLInitialResponse, encodeSASLResponse, encodeStartupMessage } from '../protocols/postgres/frontend.ts';
import { ScramClient } from '../protocols/postgres/scram.ts';

/** One message of the server. */
export interface Message {
  /** Its type byte as a character. */
  readonly type: string;
  /** Without type and length. */
  readonly body: Buffer;
}

/** Where to log in, and as whom. */
export interface Login {
  /** The address to connect from. */
  readonly from?: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** A PostgreSQL client that sends any bytes at all and shows every message that comes back. */
export class RawClient {
  readonly socket: Socket;
  /** True once the connection is gone. */
  closed = false;
  /** Of BackendKeyData; from the login. */
  key: BackendKeyData = { processId: 0, secretKey: Buffer.alloc(0) };
  /** Messages not taken yet. */
  #messages: Message[] = [];
  /** The bytes received of the next message. */
  #bytes = Buffer.alloc(0);
  #changed: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#split();
      this.#changed();
    });
    // The server may hang up with a reset where bytes of ours were not read; that is a close like any other here.
    socket.on('error', () => undefined);
    for (const event of ['end', 'close'] as const) {
      socket.on(event, () => {
        this.closed = true;
        this.#changed();
      });
    }
  }

  /** Connects, and sends nothing. */
  static async connect({ host, port, from }: Pick<Login, 'host' | 'port' | 'from'>): Promise<RawClient> {
    const socket = connect({ host, port, noDelay: true, ...(from !== undefined && { localAddress: from }) });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects and logs in by SCRAM-SHA-256. Rejects with a {@link ServerError} if the server refuses. */
  static async login(login: Login, parameters: Readonly<Record<string, string>> = {}): Promise<RawClient> {
    const client = await RawClient.connect(login);
    const all = new Map(Object.entries({ user: login.user, database: login.database, ...parameters }));
    client.send(encodeStartupMessage({ major: 3, minor: 0, parameters: all }));
    const scram = new ScramClient('', login.password, null);
    for (;;) {
      const message = await client.next();
      if (message.type === 'Z') return client;
      if (message.type === 'E') throw new ServerError(decodeErrorResponse(message.body));
      if (message.type === 'K') client.key = decodeBackendKeyData(message.body);
      if (message.type !== 'R') continue;
      const asked = decodeAuthentication(message.body);
      if (asked.kind === 'SASL') client.send(encodeSASLInitialResponse(scram.start(asked.mechanisms)));
      else if (asked.kind === 'SASLContinue') client.send(encodeSASLResponse(await scram.respond(asked.data)));
      else if (asked.kind === 'SASLFinal') scram.finish(asked.data);
      else if (asked.kind !== 'Ok') throw new Error(`the server asks for ${asked.kind}`);
    }
  }

  /** Sends everything in one write. */
  send(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The next message. Rejects after `ms`, or if the connection is closed before it comes. */
  async next(ms = 20_000): Promise<Message> {
    await this.#until(() => this.#messages.length > 0, ms, 'a message');
    return this.#messages.shift()!;
  }

  /** Takes the messages up to the `count`th of type `type`, that one included. */
  async take(type: string, count = 1, ms = 20_000): Promise<Message[]> {
    const end = () => {
      let left = count;
      return this.#messages.findIndex((message) => message.type === type && --left === 0);
    };
    await this.#until(() => end() >= 0, ms, `${count} of ${type}`);
    return this.#messages.splice(0, end() + 1);
  }

  /** Takes everything up to the close of the connection. */
  async untilClosed(ms = 20_000): Promise<Message[]> {
    await this.#until(() => this.closed, ms, 'a close');
    return this.#messages.splice(0);
  }

  /** Takes what has come so far. */
  taken(): Message[] {
    return this.#messages.splice(0);
  }

  /** Runs `bytes` that end in one ReadyForQuery. */
  async query(...bytes: readonly Buffer[]): Promise<Message[]> {
    this.send(...bytes);
    return this.take('Z');
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #until(condition: () => boolean, ms: number, what: string): Promise<void> {
    const deadline = Date.now() + ms;
    while (!condition()) {
      const came = `came so far: ${this.#messages.map(({ type }) => type).join(' ')}`;
      if (this.closed) throw new Error(`the connection was closed before ${what} came; ${came}`);
      if (Date.now() > deadline) throw new Error(`${what} did not come within ${ms} ms; ${came}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now() + 1);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #split(): void {
    let at = 0;
    while (this.#bytes.length - at >= 5) {
      const end = at + 1 + this.#bytes.readInt32BE(at + 1);
      if (this.#bytes.length < end) break;
      this.#messages.push({
        type: String.fromCharCode(this.#bytes[at]!),
        body: Buffer.from(this.#bytes.subarray(at + 5, end)),
      });
      at = end;
    }
    this.#bytes = this.#bytes.subarray(at);
  }
}

/** What the server said instead of letting in. */
export class ServerError extends Error {
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    super(`${fields.code}: ${fields.message}`);
    this.fields = fields;
  }
}

/** SQLSTATEs of the ErrorResponses among the messages. */
export function errorCodes(messages: readonly Message[]): string[] {
  return messages.filter(({ type }) => type === 'E').map(({ body }) => decodeErrorResponse(body).code);
}

/** The conversation in short: types, with the tag of each CommandComplete, the values of each row, each status. */
export function shapeOf(messages: readonly Message[]): string {
  return messages
    .map(({ type, body }) => {
      if (type === 'C') return `C(${decodeCommandComplete(body)})`;
      if (type === 'D') return `D(${decodeDataRow(body).join(',')})`;
      if (type === 'Z') return `Z(${body.toString()})`;
      return type;
    })
    .join(' ');
}

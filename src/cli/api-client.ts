import type { Command } from 'commander';
import { formatAddress, isLoopback } from '../config/address.ts';
import { readConfigFile } from '../config/load.ts';
import { askPassword } from './ask-password.ts';
import { currentToken } from './current-token.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { printable } from './terminal.ts';

export interface ApiOptions {
  readonly config: string;
  readonly api?: string;
  readonly user?: string;
}

const DEADLINE_MS = 30_000;
/** A stream of events from which nothing comes for so long, not even the server's heartbeat, is dead, milliseconds. */
const SILENT_MS = 20_000;

export interface ServerSentEvent {
  /** `open` once the server has begun to answer; `message` where the server names none. */
  readonly event: string;
  readonly data: string;
}

/** Where a stream of events goes on; written when events have arrived. */
export interface StreamPosition {
  /** `null` before there was any. */
  lastId: string | null;
}

/** The API has answered, and refused. */
export class ApiRefusal extends CommandFailure {
  readonly status: number;

  constructor(status: number, message: string) {
    super(EXIT.problem, message);
    this.status = status;
  }
}

/** Adds the options that say where the API of a running Sluice is. */
export function withApiAddress(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file, for the address of the API', 'sluice.yaml')
    .option('--api <address>', 'host:port or https://host:port of the API; no configuration file is read');
}

/** Adds the options of every command that asks it as somebody. */
export function withApiOptions(command: Command): Command {
  return withApiAddress(command).option(
    '--user <name>',
    'log in as this user of sluice.yaml; the password is asked for, or in $SLUICE_PASSWORD',
  );
}

/**
 * Asks the API of a running Sluice: as the user who was named, with the token in $SLUICE_TOKEN, or with the login that
 * `sluice login` left. Every failure is a CommandFailure with what the API says of it.
 */
export class ApiClient {
  /** `https://sluice.example:6480` */
  readonly origin: string;
  readonly #authorization: string | null;

  private constructor(origin: string, authorization: string | null) {
    this.origin = origin;
    this.#authorization = authorization;
  }

  static async open(options: ApiOptions): Promise<ApiClient> {
    const origin = await originFor(options);
    return new ApiClient(origin, await authorizationFor(origin, options.user));
  }

  /** For what needs no login. */
  static async anonymous(options: ApiOptions): Promise<ApiClient> {
    return new ApiClient(await originFor(options), null);
  }

  static withToken(origin: string, token: string): ApiClient {
    return new ApiClient(origin, `Bearer ${token}`);
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.#ask('GET', path);
  }

  post<Answer>(path: string, body: object): Promise<Answer> {
    return this.#ask('POST', path, body);
  }

  /**
   * Server-sent events, until the server ends them or says nothing for a while.
   * @throws CommandFailure: unreachable also if the connection breaks
   */
  async *events(path: string, position: StreamPosition, stop: AbortSignal): AsyncGenerator<ServerSentEvent> {
    const url = `${this.origin}/api/v1${path}`;
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(new Error('it says nothing any more')), SILENT_MS);
    const signal = AbortSignal.any([stop, silent.signal]);
    try {
      const response = await fetch(url, {
        redirect: 'error',
        signal,
        headers: {
          accept: 'text/event-stream',
          ...(position.lastId !== null && { 'last-event-id': position.lastId }),
          ...(this.#authorization !== null && { authorization: this.#authorization }),
        },
      });
      if (!response.ok) throw failure(response.status, await response.json().catch(() => null));
      yield { event: 'open', data: '' };
      let arrived: ServerSentEvent[] = [];
      const { createParser } = await import('eventsource-parser');
      const parser = createParser({
        onId: (id) => {
          position.lastId = id;
        },
        onEvent: ({ event = 'message', data }) => arrived.push({ event, data }),
      });
      for await (const text of response.body!.pipeThrough(new TextDecoderStream(), { signal })) {
        timer.refresh();
        parser.feed(text);
        yield* arrived;
        arrived = [];
      }
    } catch (error) {
      if (error instanceof CommandFailure) throw error;
      throw noAnswer(url, silent.signal.aborted ? (silent.signal.reason as Error) : (error as Error));
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const url = `${this.origin}/api/v1${path}`;
    let status: number;
    let answer: unknown;
    try {
      const response = await fetch(url, {
        method,
        redirect: 'error',
        signal: AbortSignal.timeout(DEADLINE_MS),
        headers: {
          ...(this.#authorization !== null && { authorization: this.#authorization }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      status = response.status;
      answer = await response.json();
    } catch (error) {
      throw noAnswer(url, error as Error);
    }
    if (status < 400) return answer as Answer;
    throw failure(status, answer);
  }
}

async function originFor({ api, config }: ApiOptions): Promise<string> {
  return originOf(api ?? (await configuredApi(config)));
}

function noAnswer(url: string, error: Error): CommandFailure {
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return new CommandFailure(EXIT.unreachable, `No answer from ${url}: ${cause?.code ?? error.message}`);
}

/** What the API says of a request that it did not answer. */
function failure(status: number, answer: unknown): CommandFailure {
  const { message } = (answer ?? {}) as { message?: unknown };
  const said = typeof message === 'string' ? printable(message) : `HTTP ${status}`;
  const hint = status === 401 ? ' (`sluice login`, --user NAME or $SLUICE_TOKEN)' : '';
  return new ApiRefusal(status, `${said}${hint}`);
}

async function configuredApi(config: string): Promise<string> {
  const { file, value } = await readConfigFile(config);
  const { api } = value.listen;
  if (api === undefined) throw new CommandFailure(EXIT.usage, `${file} has no listen.api to ask.`);
  // What listens everywhere listens here.
  const host = api.host === '0.0.0.0' || api.host === '::' ? '127.0.0.1' : api.host;
  return `${isLoopback(host) ? 'http' : 'https'}://${formatAddress({ host, port: api.port })}`;
}

/** A password goes in clear to this machine only. */
function originOf(api: string): string {
  const url = URL.parse(api.includes('://') ? api : `http://${api}`);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new CommandFailure(EXIT.usage, `${api} is neither host:port nor an address.`);
  }
  const isHere = isLoopback(url.hostname.replace(/^\[|\]$/g, ''));
  if (url.protocol === 'http:' && !isHere) {
    if (api.includes('://')) throw new CommandFailure(EXIT.usage, `${api} is on another machine: use https.`);
    url.protocol = 'https:';
  }
  return url.origin;
}

async function authorizationFor(origin: string, user: string | undefined): Promise<string | null> {
  if (user !== undefined) {
    const password = process.env.SLUICE_PASSWORD ?? (await typedPassword(user));
    return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
  const token = process.env.SLUICE_TOKEN ?? (await currentToken(origin));
  return token === null ? null : `Bearer ${token}`;
}

async function typedPassword(user: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new CommandFailure(EXIT.usage, 'Without a terminal the password has to be in $SLUICE_PASSWORD.');
  return askPassword(`Password of ${user}: `);
}

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

  /** The data of server-sent events, until the server ends them. */
  async *events(path: string): AsyncGenerator<string> {
    const url = `${this.origin}/api/v1${path}`;
    const response = await fetch(url, {
      redirect: 'error',
      headers: { ...(this.#authorization !== null && { authorization: this.#authorization }) },
    }).catch((error: Error) => {
      const cause = error.cause as NodeJS.ErrnoException | undefined;
      throw new CommandFailure(EXIT.unreachable, `No answer from ${url}: ${cause?.code ?? error.message}`);
    });
    if (!response.ok) throw failure(response.status, await response.json().catch(() => null));
    let rest = '';
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      const events = (rest + text).split('\n\n');
      rest = events.pop()!;
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '));
        if (data !== undefined) yield data.slice('data: '.length);
      }
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
      const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
      throw new CommandFailure(EXIT.unreachable, `No answer from ${url}: ${cause?.code ?? (error as Error).message}`);
    }
    if (status < 400) return answer as Answer;
    throw failure(status, answer);
  }
}

async function originFor({ api, config }: ApiOptions): Promise<string> {
  return originOf(api ?? (await configuredApi(config)));
}

/** What the API says of a request that it did not answer. */
function failure(status: number, answer: unknown): CommandFailure {
  const { message } = (answer ?? {}) as { message?: unknown };
  const said = typeof message === 'string' ? printable(message) : `HTTP ${status}`;
  const hint = status === 401 ? ' (`sluice login`, --user NAME or $SLUICE_TOKEN)' : '';
  return new CommandFailure(EXIT.problem, `${said}${hint}`);
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

import { createHmac } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptibleServer } from './interruptible-server.ts';

export type Block = Readonly<Record<string, unknown>>;

/** A call of the Web API whose token was right. */
export interface SlackCall {
  readonly method: string;
  readonly fields: Readonly<Record<string, string>>;
  /** What it was answered with. */
  readonly answer: Answer;
}

/** A message as it stands now. */
export interface PostedMessage {
  readonly channel: string;
  readonly ts: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** A modal that was opened. */
export interface OpenedView {
  readonly trigger: string;
  readonly private_metadata: string;
  readonly callback_id: string;
  readonly blocks: readonly Block[];
  readonly submit?: unknown;
}

/** An HTTP status, or Slack's own error; `silent`: nothing is answered. */
export type Answer =
  | 'ok'
  | 'silent'
  | number
  | { readonly status: number; readonly retryAfter: string }
  | { readonly error: string };

/** What Slack knows of somebody. */
export interface SlackUser {
  readonly team_id?: string;
  readonly email?: string;
  readonly is_email_confirmed?: boolean;
  readonly [field: string]: unknown;
}

/** What is wrong with an interaction, on purpose. */
export interface Forgery {
  readonly secret?: string;
  /** Milliseconds since the epoch. */
  readonly at?: number;
  readonly team?: string;
  readonly userTeam?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly triggerId?: string;
}

/**
 * Slack as far as Sluice talks with it: a real HTTP server that wants the bot's token, looks at blocks as Slack's
 * documentation limits them, and can sign what its users do. It can be slow, failing, rate-limiting or gone.
 */
export class FakeSlack extends InterruptibleServer {
  readonly team = 'T024BE7LD';
  readonly token = 'xoxb-of-the-tests';
  readonly signingSecret = '8f742231b10e8888abcd99yyyzzz85a5';
  readonly users = new Map<string, SlackUser>();
  /** Those with the right token, in the order they came. */
  readonly calls: SlackCall[] = [];
  /** By conversation and ts. */
  readonly messages = new Map<string, PostedMessage>();
  readonly views: OpenedView[] = [];
  readonly ephemerals: { readonly user: string; readonly text: string }[] = [];
  /** Calls with another token. */
  unauthorized = 0;
  /** How calls end. */
  answer: (method: string, fields: Readonly<Record<string, string>>) => Answer = () => 'ok';
  #posted = 0;
  #triggers = 0;

  private constructor() {
    super();
  }

  static async start(): Promise<FakeSlack> {
    const slack = new FakeSlack();
    await slack.listen();
    return slack;
  }

  get api(): string {
    return `http://127.0.0.1:${this.port}/api`;
  }

  /** What an interaction is sent as: a button that is pressed, or a modal that is sent off. */
  signed(payload: object, { secret = this.signingSecret, at = Date.now(), headers = {} }: Forgery = {}) {
    const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
    const timestamp = String(Math.floor(at / 1000));
    const signature = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex');
    return {
      body,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': timestamp,
        'x-slack-signature': `v0=${signature}`,
        ...headers,
      },
    };
  }

  /** Somebody presses a button of a message. */
  pressed(message: PostedMessage, action: string, user: string, forgery: Forgery = {}) {
    const button = buttonsOf(message).find(({ action_id }) => action_id === action);
    if (button === undefined) throw new Error(`there is no button ${action}: ${JSON.stringify(message.blocks)}`);
    return {
      type: 'block_actions',
      ...this.#from(user, forgery),
      trigger_id: forgery.triggerId ?? `trigger.${++this.#triggers}`,
      container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
      channel: { id: message.channel },
      actions: [{ action_id: action, block_id: 'vote', type: 'button', value: button.value, action_ts: '1' }],
    };
  }

  /** Somebody sends a modal off. */
  submitted(view: OpenedView, reason: string | null, user: string, forgery: Forgery = {}) {
    return {
      type: 'view_submission',
      ...this.#from(user, forgery),
      view: {
        type: 'modal',
        callback_id: view.callback_id,
        private_metadata: view.private_metadata,
        // Slack gives every view that is sent off an id of its own.
        id: `V${++this.#triggers}`,
        state: { values: { reason: { reason: { type: 'plain_text_input', value: reason } } } },
      },
    };
  }

  /** The message in a conversation that is about a request, as soon as `isSo`. */
  async message(
    channel: string,
    request: number,
    isSo: (message: PostedMessage) => boolean = () => true,
  ): Promise<PostedMessage> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = [...this.messages.values()].find(
        (message) => message.channel === channel && message.text.startsWith(`Request ${request} `) && isSo(message),
      );
      if (found !== undefined) return found;
      if (Date.now() > deadline) {
        const all = [...this.messages.values()].map(({ channel: of, text }) => `${of}: ${text}`);
        throw new Error(`no such message, only ${all.join('; ')}`);
      }
      await sleep(10);
    }
  }

  #from(user: string, { team = this.team, userTeam = this.team }: Forgery) {
    // The name is what anybody may call themselves.
    return {
      team: { id: team, domain: 'acme' },
      user: { id: user, username: 'dana', name: 'dana', team_id: userTeam },
    };
  }

  protected override take({ url = '', headers }: IncomingMessage, body: string, response: ServerResponse): void {
    if (headers.authorization !== `Bearer ${this.token}`) {
      this.unauthorized++;
      send(response, { ok: false, error: 'invalid_auth' });
      return;
    }
    const method = url.replace('/api/', '');
    const fields = Object.fromEntries(new URLSearchParams(body));
    const answer = this.answer(method, fields);
    this.calls.push({ method, fields, answer });
    if (answer === 'silent') return;
    if (typeof answer === 'number') {
      response.writeHead(answer).end('<html>');
      return;
    }
    if (answer !== 'ok' && 'status' in answer) {
      response.writeHead(answer.status, { 'retry-after': answer.retryAfter });
      response.end(JSON.stringify({ ok: false, error: 'ratelimited' }));
      return;
    }
    try {
      if (answer !== 'ok') throw new Error(answer.error);
      send(response, { ok: true, ...this.#do(method, fields) });
    } catch (error) {
      send(response, { ok: false, error: (error as Error).message });
    }
  }

  /** @throws Error with what Slack calls it */
  #do(method: string, fields: Record<string, string>): object {
    const { channel = '', ts = `1700000000.${String(this.#posted).padStart(6, '0')}`, text = '', user = '' } = fields;
    switch (method) {
      case 'auth.test':
        return { team_id: this.team };
      case 'chat.postMessage':
      case 'chat.update': {
        if (method === 'chat.update' && !this.messages.has(`${channel} ${ts}`)) throw new Error('message_not_found');
        if (method === 'chat.postMessage') this.#posted++;
        const blocks = JSON.parse(fields.blocks ?? '[]') as Block[];
        checkBlocks(blocks, 50);
        this.messages.set(`${channel} ${ts}`, { channel, ts, text, blocks });
        return { channel, ts };
      }
      case 'chat.postEphemeral':
        this.ephemerals.push({ user, text });
        return { message_ts: ts };
      case 'views.open': {
        const view = JSON.parse(fields.view!) as OpenedView & { title: { text: string } };
        if (view.title.text.length > 24 || view.private_metadata.length > 3000) throw new Error('invalid_arguments');
        checkBlocks(view.blocks, 100);
        if (JSON.stringify(view).length > 250_000) throw new Error('view_too_large');
        this.views.push({ ...view, trigger: fields.trigger_id! });
        return {};
      }
      case 'users.info': {
        const found = this.users.get(user);
        if (found === undefined) throw new Error('user_not_found');
        const { email, display_name = 'dana', ...rest } = found;
        return {
          user: {
            id: user,
            team_id: this.team,
            name: 'dana',
            real_name: 'Dana',
            ...rest,
            profile: { display_name, email },
          },
        };
      }
      default:
        throw new Error('unknown_method');
    }
  }
}

export function buttonsOf({ blocks }: { readonly blocks: readonly Block[] }) {
  return blocks.flatMap(({ type, elements }) =>
    type === 'actions' ? (elements as { action_id: string; value?: string; confirm?: object; url?: string }[]) : [],
  );
}

/** All text of preformatted elements. */
export function preformattedOf({ blocks }: { readonly blocks: readonly Block[] }): string {
  return blocks
    .filter(({ type }) => type === 'rich_text')
    .flatMap(({ elements }) => elements as { elements: { text: string }[] }[])
    .flatMap(({ elements }) => elements.map(({ text }) => text))
    .join('');
}

function send(response: ServerResponse, answer: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

/** Limits of https://docs.slack.dev/reference/block-kit/blocks. @throws Error */
function checkBlocks(blocks: readonly Block[], most: number): void {
  const wrong = (condition: boolean): void => {
    if (condition) throw new Error('invalid_blocks');
  };
  const isText = (value: unknown, longest: number): boolean => {
    const { type, text } = value as { type?: string; text?: string };
    return type === 'plain_text' && typeof text === 'string' && text.length > 0 && text.length <= longest;
  };
  wrong(blocks.length > most);
  for (const block of blocks) {
    switch (block.type) {
      case 'header':
        wrong(!isText(block.text, 150));
        break;
      case 'section': {
        const fields = block.fields as object[];
        wrong(fields.length > 10 || !fields.every((field) => isText(field, 2000)));
        break;
      }
      case 'context':
        wrong(!(block.elements as object[]).every((element) => isText(element, 3000)));
        break;
      case 'rich_text':
        wrong(preformattedOf({ blocks: [block] }).length > 3000);
        break;
      case 'input':
        wrong(!isText(block.label, 2000));
        break;
      case 'actions':
        for (const button of block.elements as { text: object; value?: string; url?: string }[]) {
          wrong(!isText(button.text, 75) || (button.value ?? '').length > 2000 || (button.url ?? '').length > 3000);
        }
        break;
      default:
        wrong(true);
    }
  }
}

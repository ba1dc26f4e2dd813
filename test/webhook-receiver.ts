import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { InterruptibleServer } from './interruptible-server.ts';

/** What came in one request. */
export interface Received {
  readonly id: string;
  /** When it came, milliseconds since the epoch. */
  readonly at: number;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** What the reference library says of its signature. */
  readonly isVerified: boolean;
  readonly body: string;
  /** Of the body. */
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** `silent`: nothing is answered. */
export type Answer =
  | number
  | 'silent'
  | { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** A program that webhooks are sent to: a real server, which checks signatures with the library of Standard Webhooks. */
export class WebhookReceiver extends InterruptibleServer {
  readonly received: Received[] = [];
  /** What it answers, by what came. */
  answer: (received: Received) => Answer = () => 204;
  readonly #secret: string;

  private constructor(secret: string, tls: { readonly cert: string; readonly key: string } | null) {
    super(tls);
    this.#secret = secret;
  }

  /** @param secret `whsec_...` @param tls PEM texts; without them it is HTTP */
  static async start(
    secret: string,
    tls: { readonly cert: string; readonly key: string } | null = null,
  ): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(secret, tls);
    await receiver.listen();
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** What has come when it is as many, or rather, when `enough` says so. */
  async until(enough: number | ((received: readonly Received[]) => boolean)): Promise<readonly Received[]> {
    const isEnough = typeof enough === 'number' ? () => this.received.length >= enough : () => enough(this.received);
    // Longer than the lease of a node that has died.
    const deadline = Date.now() + 60_000;
    while (!isEnough()) {
      if (Date.now() > deadline) throw new Error(`only this came: ${JSON.stringify(this.received, null, 1)}`);
      await sleep(10);
    }
    return this.received;
  }

  protected override take({ url: path = '', headers }: IncomingMessage, body: string, response: ServerResponse): void {
    const { type, data } = JSON.parse(body) as Pick<Received, 'type' | 'data'>;
    const id = String(headers['webhook-id']);
    const received = { id, at: Date.now(), path, headers, isVerified: this.#verifies(body, headers), body, type, data };
    this.received.push(received);
    const answer = this.answer(received);
    if (answer === 'silent') return;
    const { status, headers: more } = typeof answer === 'number' ? { status: answer, headers: {} } : answer;
    response.writeHead(status, more).end();
  }

  #verifies(body: string, headers: IncomingHttpHeaders): boolean {
    try {
      new Webhook(this.#secret).verify(body, headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  }
}

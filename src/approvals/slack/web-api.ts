import { causeOf, DeliveryError, retryAfterMs } from '../../../protocols/webhooks/answers.ts';

/** Slack answered, and said no: `channel_not_found`, `trigger_expired`. */
export class SlackRefused extends DeliveryError {
  readonly code: string;

  constructor(method: string, code: string) {
    super(`${method}: ${code}`);
    this.code = code;
  }
}

/** A few methods of Slack's Web API, called with a bot's token (https://docs.slack.dev/apis/web-api). */
export class SlackWebApi {
  readonly #address: string;
  readonly #token: string;

  /** @param address without a slash at its end: `https://slack.com/api` */
  constructor(address: string, token: string) {
    this.#address = address;
    this.#token = token;
  }

  /**
   * @returns the answer, whose `ok` is true
   * @throws SlackRefused; DeliveryError if there is no answer, with how long Slack asks to be left alone where it says so
   */
  async call(
    method: string,
    fields: Readonly<Record<string, string | boolean | object>>,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, unknown>>> {
    let response: Response;
    let text: string;
    try {
      // Form fields: that is what all methods take; what is not text in them is JSON.
      response = await fetch(`${this.#address}/${method}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.#token}` },
        body: new URLSearchParams(
          Object.entries(fields).map(([name, value]) => [
            name,
            typeof value === 'string' ? value : JSON.stringify(value),
          ]),
        ),
        redirect: 'error',
        signal,
      });
      text = await response.text();
    } catch (error) {
      throw signal.aborted ? signal.reason : new DeliveryError(`${method}: ${causeOf(error as Error)}`);
    }
    if (!response.ok) {
      throw new DeliveryError(`${method}: HTTP ${response.status}`, {
        retryAfterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()),
      });
    }
    const answer = parsed(text);
    if (answer === null) throw new DeliveryError(`${method}: the answer is not Slack's`);
    if (answer.ok !== true) throw new SlackRefused(method, String(answer.error).slice(0, 100));
    return answer;
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

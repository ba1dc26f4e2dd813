import { DeliveryError } from '../../../protocols/webhooks/answers.ts';
import type { SlackChannelConfig } from '../../config/config.ts';
import type { Store } from '../../store/store.ts';
import type { ApprovalEvent, Approvals } from '../approvals.ts';
import type { Channel, Delivery } from '../channel.ts';
import { type MessageStyle, messageOf } from './message.ts';
import { SlackRefused, SlackWebApi } from './web-api.ts';

/** One message a request, which says how the request stands now. */
export class SlackChannel implements Channel {
  readonly name: string;
  readonly config: SlackChannelConfig;
  readonly style: MessageStyle;
  readonly api: SlackWebApi;
  readonly #store: Store;
  readonly #request: Approvals['request'];

  /**
   * @param approvalsUrl where people find requests, without a slash at its end; `null` where nowhere
   * @param request reads one
   */
  constructor(config: SlackChannelConfig, approvalsUrl: string | null, store: Store, request: Approvals['request']) {
    this.name = config.name;
    this.config = config;
    this.style = { channel: config.name, statements: config.statements, approvalsUrl };
    this.api = new SlackWebApi(config.api, config.botToken);
    this.#store = store;
    this.#request = request;
  }

  /** Nothing has to be kept: what is posted is how the request stands when it is. */
  payloadOf({ request }: ApprovalEvent): string | null {
    return this.config.connections?.includes(request.question.binding.connection) === false ? null : '';
  }

  async deliver({ request: id }: Delivery, signal: AbortSignal): Promise<number> {
    const request = await this.#request(id);
    const message = {
      ...messageOf(request, this.style),
      unfurl_links: false,
      unfurl_media: false,
    };
    const posted = await this.#store
      .selectFrom('slack_messages')
      .select(['conversation', 'ts'])
      .where('channel', '=', this.name)
      .where('request', '=', id)
      .executeTakeFirst();
    if (posted !== undefined && (await this.#update({ ...posted, ...message }, signal))) return request.events;
    const answer = await this.api.call('chat.postMessage', { channel: this.config.conversation, ...message }, signal);
    const where = { conversation: String(answer.channel), ts: String(answer.ts) };
    await this.#store
      .insertInto('slack_messages')
      .values({ channel: this.name, request: id, ...where })
      .onConflict((conflict) => conflict.columns(['channel', 'request']).doUpdateSet(where))
      .execute();
    return request.events;
  }

  async test(_: string, signal: AbortSignal): Promise<void> {
    const { team, conversation } = this.config;
    const { team_id: found } = await this.api.call('auth.test', {}, signal);
    if (found !== team) throw new DeliveryError(`the bot is of workspace ${found}, not ${team}`, { isFinal: true });
    const text = 'This is a test: requests for approval will be posted here.';
    await this.api.call('chat.postMessage', { channel: conversation, text }, signal);
  }

  /** @returns false if somebody has deleted the message */
  async #update(
    { conversation, ...message }: { conversation: string; ts: string; text: string; blocks: readonly object[] },
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.api.call('chat.update', { channel: conversation, ...message }, signal);
      return true;
    } catch (error) {
      if (error instanceof SlackRefused && error.code === 'message_not_found') return false;
      throw error;
    }
  }
}

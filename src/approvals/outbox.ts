import type { Transaction } from 'kysely';
import type { Config } from '../config/config.ts';
import type { Store } from '../store/store.ts';
import type { Tables } from '../store/tables.ts';
import type { ApprovalEvent, Approvals } from './approvals.ts';
import { Courier, type CourierServices } from './courier.ts';
import { noteEvent } from './deliveries.ts';
import { SlackChannel } from './slack/slack-channel.ts';
import { WebhookChannel } from './webhook-channel.ts';

/** The channels of sluice.yaml, with what is on its way to them. */
export class Outbox {
  readonly channels: readonly (WebhookChannel | SlackChannel)[];
  readonly #store: Store;
  #courier: Courier | null = null;

  /** @param request reads one */
  constructor({ channels, url }: Config['approvals'], store: Store, request: Approvals['request']) {
    this.#store = store;
    this.channels = channels.map((channel) =>
      channel.to === 'webhook' ? new WebhookChannel(channel, url) : new SlackChannel(channel, url, store, request),
    );
  }

  /** Conversations that people vote from. */
  get slack(): readonly SlackChannel[] {
    return this.channels.filter((channel) => channel instanceof SlackChannel);
  }

  /** What was sent, and what was not; `null` before it is begun with. */
  get courier(): Pick<Courier, 'counters' | 'undelivered'> | null {
    return this.#courier;
  }

  /** Notes what channels are to be told, in the transaction that makes it so. */
  announce(transaction: Transaction<Tables>, event: ApprovalEvent): Promise<void> {
    return noteEvent(transaction, this.channels, event);
  }

  /** Sends, from now on, what there is. */
  start(approvals: Approvals, services: Pick<CourierServices, 'gaveUp' | 'troubled'>): void {
    const courier = new Courier({ store: this.#store, channels: this.channels, ...services });
    approvals.events.on('change', () => courier.wake());
    this.#courier = courier;
  }

  async close(): Promise<void> {
    await this.#courier?.close();
  }
}

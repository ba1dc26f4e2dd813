import { DeliveryError } from '../../protocols/webhooks/answers.ts';
import type { Store } from '../store/store.ts';
import type { Channel } from './channel.ts';
import {
  type ClaimedDelivery,
  claimDue,
  forgetDeliveries,
  giveBack,
  LONGEST_WAIT_MS,
  noteDelivered,
  noteFailed,
  undelivered,
} from './deliveries.ts';

/** Times of the courier, milliseconds. */
export interface CourierPace {
  /** How often it looks for what other nodes have left, and what is due again. */
  readonly lookMs: number;
  /** How long one attempt may take. */
  readonly attemptMs: number;
  /** Between the first attempt and the second; each further time twice as much, up to `longestRetryMs`. */
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
  /** How long after the event it is given up. */
  readonly giveUpMs: number;
}

const PACE: CourierPace = {
  lookMs: 1_000,
  attemptMs: 10_000,
  firstRetryMs: 1_000,
  longestRetryMs: 15 * 60_000,
  giveUpMs: 3 * 24 * 3_600_000,
};
/** What one channel is sent at once. */
const MOST_AT_ONCE = 8;
const COUNT_EVERY_MS = 5_000;
const FORGET_EVERY_MS = 3_600_000;

export interface CourierServices {
  readonly store: Store;
  readonly channels: readonly Channel[];
  /** It has been given up: somebody has to look. */
  readonly gaveUp: (channel: string, delivery: ClaimedDelivery, failure: string) => void;
  /** A channel has begun to fail, or the store; or, with `null`, works again. */
  readonly troubled: (what: string, failure: string | null) => void;
}

/** What came of attempts since the start of the process. */
export interface ChannelCounters {
  delivered: number;
  failed: number;
  dead: number;
}

/**
 * Sends what is in the outbox, each channel at its own pace: one that is slow or gone holds up no other. At least once: an
 * attempt of which nobody knows how it ended is made again, by this node or, after its lease, by another.
 */
export class Courier {
  readonly counters: ReadonlyMap<string, ChannelCounters>;
  readonly #services: CourierServices;
  readonly #pace: CourierPace;
  readonly #rounds: readonly ChannelRounds[];
  readonly #timer: NodeJS.Timeout;
  #chores: Promise<void> = Promise.resolve();
  #countedAt = Number.NEGATIVE_INFINITY;
  #forgotAt = Number.NEGATIVE_INFINITY;
  /** What waits in the store, or was given up, of all nodes; as it was a moment ago. */
  undelivered: Awaited<ReturnType<typeof undelivered>> = [];

  constructor(services: CourierServices, pace: Partial<CourierPace> = {}) {
    this.#services = services;
    this.#pace = { ...PACE, ...pace };
    this.#rounds = services.channels.map((channel) => new ChannelRounds(channel, services, this.#pace));
    this.counters = new Map(this.#rounds.map(({ channel, counters }) => [channel.name, counters]));
    this.#timer = setInterval(() => this.#look(), this.#pace.lookMs).unref();
    this.#look();
  }

  /** Something was put into the outbox. */
  wake(): void {
    for (const rounds of this.#rounds) rounds.look();
  }

  /** Attempts that are under way are broken off, and made again later. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#chores, ...this.#rounds.map((rounds) => rounds.close())]);
  }

  #look(): void {
    this.wake();
    const now = performance.now();
    if (now - this.#countedAt < COUNT_EVERY_MS) return;
    this.#countedAt = now;
    const forgets = now - this.#forgotAt >= FORGET_EVERY_MS;
    if (forgets) this.#forgotAt = now;
    this.#chores = this.#chores.then(() => this.#doChores(forgets));
  }

  async #doChores(forgets: boolean): Promise<void> {
    const { store } = this.#services;
    try {
      if (forgets) await forgetDeliveries(store, this.#pace.giveUpMs);
      this.undelivered = await undelivered(store);
    } catch {
      // The rounds tell of a store that fails.
    }
  }
}

/** One channel's. */
class ChannelRounds {
  readonly channel: Channel;
  readonly counters: ChannelCounters = { delivered: 0, failed: 0, dead: 0 };
  readonly #services: CourierServices;
  readonly #pace: CourierPace;
  readonly #closing = new AbortController();
  readonly #sending = new Set<Promise<void>>();
  #looking: Promise<void> | null = null;
  #lookAgain = false;
  /** Until then, by the clock of the process, the receiver wants to be left alone. */
  #pausedUntil = 0;
  /** What was last told of; `null` if all is well. */
  #trouble: string | null = null;

  constructor(channel: Channel, services: CourierServices, pace: CourierPace) {
    this.channel = channel;
    this.#services = services;
    this.#pace = pace;
  }

  look(): void {
    this.#lookAgain = true;
    this.#looking ??= this.#lookWhileAsked().finally(() => {
      this.#looking = null;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#looking;
    await Promise.all(this.#sending);
  }

  async #lookWhileAsked(): Promise<void> {
    while (this.#lookAgain && !this.#closing.signal.aborted) {
      this.#lookAgain = false;
      const room = MOST_AT_ONCE - this.#sending.size;
      if (room <= 0 || performance.now() < this.#pausedUntil) return;
      try {
        const claimed = await claimDue(this.#services.store, this.channel.name, room);
        for (const delivery of claimed) this.#begin(delivery);
      } catch (error) {
        this.#tell(`the store: ${(error as Error).message}`);
        return;
      }
    }
  }

  #begin(delivery: ClaimedDelivery): void {
    const sending = this.#send(delivery)
      .catch((error: Error) => this.#tell(`the store: ${error.message}`))
      .finally(() => {
        this.#sending.delete(sending);
        // There is room again, and the request's next event may go.
        this.look();
      });
    this.#sending.add(sending);
  }

  async #send(delivery: ClaimedDelivery): Promise<void> {
    const { store } = this.#services;
    const { channel, counters } = this;
    if (this.#closing.signal.aborted || performance.now() < this.#pausedUntil) return giveBack(store, delivery);
    let upTo: number;
    try {
      const late = AbortSignal.timeout(this.#pace.attemptMs);
      upTo = await channel.deliver(delivery, AbortSignal.any([late, this.#closing.signal]));
    } catch (error) {
      if (this.#closing.signal.aborted) return giveBack(store, delivery);
      return this.#failed(delivery, error as Error);
    }
    counters.delivered++;
    this.#tell(null);
    await noteDelivered(store, channel.name, delivery.request, upTo);
  }

  async #failed(delivery: ClaimedDelivery, error: Error): Promise<void> {
    const { store, gaveUp } = this.#services;
    const { firstRetryMs, longestRetryMs, giveUpMs, attemptMs } = this.#pace;
    const { retryAfterMs, isFinal } = error instanceof DeliveryError ? error : { retryAfterMs: null, isFinal: false };
    const failure = error.name === 'TimeoutError' ? `no answer within ${attemptMs / 1000} s` : error.message;
    this.counters.failed++;
    this.#tell(failure);
    const now = Date.now();
    if (retryAfterMs !== null) this.#pausedUntil = performance.now() + Math.min(retryAfterMs, LONGEST_WAIT_MS);
    const backoff = Math.min(firstRetryMs * 2 ** (delivery.attempts - 1), longestRetryMs);
    // Those that failed together do not come again together.
    const dueAt = now + Math.max(backoff * (0.5 + Math.random() / 2), this.#pausedUntil - performance.now());
    const isOver = isFinal || dueAt > delivery.createdAt + giveUpMs;
    await noteFailed(store, delivery, failure, isOver ? null : Math.ceil(dueAt));
    if (!isOver) return;
    this.counters.dead++;
    gaveUp(this.channel.name, delivery, failure);
  }

  /** Once when it begins, once when it is over. */
  #tell(trouble: string | null): void {
    if ((trouble === null) === (this.#trouble === null)) return;
    this.#trouble = trouble;
    this.#services.troubled(this.channel.name, trouble);
  }
}

import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Notice } from '../config/approval-notices.ts';
import { MOST_AHEAD_MS } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import type { ApprovalDeliveriesTable, Tables } from '../store/tables.ts';
import type { ApprovalEvent } from './approvals.ts';
import { type Channel, type Delivery, noticeOf } from './channel.ts';

/**
 * The outbox: what channels are to be told, as rows of the store. A row is written in the transaction of what it tells, so
 * that neither is there without the other, and is sent by whichever node claims it first.
 */

/** How long a node that has claimed a delivery has it for itself: longer than an attempt takes, milliseconds. */
export const LEASE_MS = 30_000;
/** The longest that a delivery waits before it is tried again: as long as a receiver may ask to be left alone, milliseconds. */
export const LONGEST_WAIT_MS = 3_600_000;
/** How long what was delivered is kept, and what was not, milliseconds. */
const DELIVERED_KEPT_MS = 7 * 24 * 3_600_000;
const DEAD_KEPT_MS = 90 * 24 * 3_600_000;

export type DeliveryState = 'pending' | 'delivered' | 'dead';

/** A delivery and how it went. Times are milliseconds since the epoch. */
export interface DeliveryEntry {
  readonly id: string;
  readonly channel: string;
  readonly request: number;
  readonly event: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  /** When it is sent next; `null` if it is not. */
  readonly dueAt: number | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly failure: string | null;
}

/** A delivery that this node has for itself until `leasedUntil`. */
export interface ClaimedDelivery extends Delivery {
  readonly createdAt: number;
  /** With this one. */
  readonly attempts: number;
  readonly leasedUntil: number;
}

/** Writes what each channel is to be told of an event. */
export async function noteEvent(
  transaction: Transaction<Tables>,
  channels: readonly Channel[],
  event: ApprovalEvent,
): Promise<void> {
  const request = event.request.id;
  // This locks the request, so that the order of the numbers is that of the events, on all nodes.
  const { events: number } = await transaction
    .updateTable('approval_requests')
    .set((eb) => ({ events: eb('events', '+', 1) }))
    .where('id', '=', request)
    .returning('events')
    .executeTakeFirstOrThrow();
  const now = Date.now();
  const rows = channels.flatMap((channel): ApprovalDeliveriesTable[] => {
    const payload = channel.payloadOf(event, number);
    if (payload === null) return [];
    return [
      {
        id: `msg_${randomBytes(16).toString('hex')}`,
        channel: channel.name,
        request,
        number,
        event: noticeOf(event),
        payload,
        state: 'pending',
        attempts: 0,
        due_at: now,
        created_at: now,
        ended_at: null,
        failure: null,
      },
    ];
  });
  if (rows.length > 0) await transaction.insertInto('approval_deliveries').values(rows).execute();
}

/**
 * Takes what is due for a channel, so that no other node sends it meanwhile. Of one request it is the oldest only: its events
 * are told in their order.
 */
export async function claimDue(store: Store, channel: string, most: number): Promise<ClaimedDelivery[]> {
  const now = Date.now();
  const rows = await store
    .selectFrom('approval_deliveries as one')
    .selectAll()
    .where('state', '=', 'pending')
    .where('channel', '=', channel)
    // Nothing waits for so long: the clock was set back.
    .where((eb) => eb.or([eb('due_at', '<=', now), eb('due_at', '>', now + LONGEST_WAIT_MS + MOST_AHEAD_MS)]))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('approval_deliveries as older')
            .select('older.id')
            .whereRef('older.channel', '=', 'one.channel')
            .whereRef('older.request', '=', 'one.request')
            .whereRef('older.number', '<', 'one.number')
            .where('older.state', '=', 'pending'),
        ),
      ),
    )
    .orderBy('due_at')
    .limit(most)
    .execute();
  const claimed: ClaimedDelivery[] = [];
  for (const { id, request, number, event, payload, created_at: createdAt, attempts, due_at: wasDue } of rows) {
    const leasedUntil = now + LEASE_MS;
    const { numUpdatedRows } = await store
      .updateTable('approval_deliveries')
      .set({ due_at: leasedUntil, attempts: attempts + 1 })
      .where('id', '=', id)
      .where('state', '=', 'pending')
      // Otherwise another node was faster.
      .where('due_at', '=', wasDue)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) continue;
    const delivery = { id, request, number, event: event as Notice, payload };
    claimed.push({ ...delivery, createdAt, attempts: attempts + 1, leasedUntil });
  }
  return claimed;
}

/** The channel knows of everything about the request up to an event. */
export async function noteDelivered(store: Store, channel: string, request: number, upTo: number): Promise<void> {
  await store
    .updateTable('approval_deliveries')
    .set({ state: 'delivered', ended_at: Date.now(), failure: null })
    .where('channel', '=', channel)
    .where('request', '=', request)
    .where('number', '<=', upTo)
    .where('state', '=', 'pending')
    .execute();
}

/** It is sent again at `dueAt`, or never if that is `null`. Does nothing if another node has it by now. */
export async function noteFailed(
  store: Store,
  { id, leasedUntil }: ClaimedDelivery,
  failure: string,
  dueAt: number | null,
): Promise<void> {
  await store
    .updateTable('approval_deliveries')
    .set(dueAt === null ? { state: 'dead', ended_at: Date.now(), failure } : { due_at: dueAt, failure })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .where('due_at', '=', leasedUntil)
    .execute();
}

/** Gives back what was claimed and not sent. */
export async function giveBack(store: Store, { id, leasedUntil, attempts }: ClaimedDelivery): Promise<void> {
  await store
    .updateTable('approval_deliveries')
    .set({ due_at: Date.now(), attempts: attempts - 1 })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .where('due_at', '=', leasedUntil)
    .execute();
}

/** The newest first. @param states all if empty */
export async function listDeliveries(
  store: Store,
  states: readonly DeliveryState[],
  most: number,
): Promise<DeliveryEntry[]> {
  let query = store
    .selectFrom('approval_deliveries')
    .select(['id', 'channel', 'request', 'event', 'state', 'attempts', 'due_at', 'created_at', 'ended_at', 'failure'])
    .orderBy('created_at', 'desc')
    .orderBy('request', 'desc')
    .orderBy('number', 'desc')
    .limit(most);
  if (states.length > 0) query = query.where('state', 'in', states);
  return (await query.execute()).map(({ due_at, created_at: createdAt, ended_at: endedAt, state, ...row }) => ({
    ...row,
    state: state as DeliveryState,
    dueAt: state === 'pending' ? due_at : null,
    createdAt,
    endedAt,
  }));
}

/** Sends something again that was given up, with all its attempts. @returns false if there is no such thing */
export async function sendAgain(store: Store, id: string): Promise<boolean> {
  const now = Date.now();
  const { numUpdatedRows } = await store
    .updateTable('approval_deliveries')
    .set({ state: 'pending', attempts: 0, due_at: now, created_at: now, ended_at: null })
    .where('id', '=', id)
    .where('state', '=', 'dead')
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** How many there are that were not delivered, of all nodes. */
export async function undelivered(
  store: Store,
): Promise<readonly { readonly channel: string; readonly state: DeliveryState; readonly count: number }[]> {
  const rows = await store
    .selectFrom('approval_deliveries')
    .select(({ fn }) => ['channel', 'state', fn.countAll<number>().as('count')])
    .where('state', 'in', ['pending', 'dead'])
    .groupBy(['channel', 'state'])
    .execute();
  return rows.map(({ channel, state, count }) => ({ channel, state: state as DeliveryState, count: Number(count) }));
}

/** Forgets what is old, and gives up what no node has had a channel for. @param giveUpMs when a node would have given up */
export async function forgetDeliveries(store: Store, giveUpMs: number): Promise<void> {
  const now = Date.now();
  await store
    .updateTable('approval_deliveries')
    .set({ state: 'dead', ended_at: now, failure: 'No node has the channel any more.' })
    .where('state', '=', 'pending')
    .where('created_at', '<', now - giveUpMs - DELIVERED_KEPT_MS)
    .execute();
  await store
    .deleteFrom('approval_deliveries')
    .where(({ or, and, eb }) =>
      or([
        and([eb('state', '=', 'delivered'), eb('ended_at', '<', now - DELIVERED_KEPT_MS)]),
        and([eb('state', '=', 'dead'), eb('ended_at', '<', now - DEAD_KEPT_MS)]),
      ]),
    )
    .execute();
}

import type { Notice } from '../config/approval-notices.ts';
import type { ApprovalEvent } from './approvals.ts';

export function noticeOf(event: ApprovalEvent): Notice {
  if (event.event === 'voted') {
    return event.vote.decision === 'break-glass' ? 'approval.break_glass' : 'approval.voted';
  }
  const { state } = event.request;
  if (event.event === 'decided' && (state === 'expired' || state === 'withdrawn')) return `approval.${state}`;
  return `approval.${event.event}`;
}

/** One event on its way to one channel. */
export interface Delivery {
  readonly id: string;
  readonly request: number;
  /** The how-manieth event of the request, from 1. */
  readonly number: number;
  readonly event: Notice;
  /** What the channel made of it when it happened. */
  readonly payload: string;
}

/** Where people, or programs, are told of requests. */
export interface Channel {
  readonly name: string;
  /**
   * What is kept of an event until it is sent; `null` if the channel is not told of it.
   * @param number the how-manieth event of the request, from 1
   */
  payloadOf(event: ApprovalEvent, number: number): string | null;
  /**
   * Tells it once.
   * @returns the number of the newest event of the request that the channel knows of now
   * @throws DeliveryError, or anything else, if it may not know
   */
  deliver(delivery: Delivery, signal: AbortSignal): Promise<number>;
  /** Tells it that it is being tried. @throws DeliveryError */
  test(id: string, signal: AbortSignal): Promise<void>;
}

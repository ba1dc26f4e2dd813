import type { Logger } from 'pino';
import type { Approvals } from '../approvals/approvals.ts';
import type { Estimates } from '../catalog/estimates.ts';
import type { Budgets } from '../policy/budgets.ts';
import type { Journal } from '../recording/journal.ts';
import type { Activities } from './activities.ts';
import type { Session } from './session.ts';
import type { Turn } from './turn.ts';

/** Plain counters since the start of the process: the data path adds, the metrics read. */
export class Counters {
  sessions = 0;
  authenticationFailures = 0;
  /** Logins that were turned away because too many failed, or came at once. */
  unheardLogins = 0;
  allowed = 0;
  refused = 0;
  /** Statements that wait for a person now. */
  waiting = 0;
  /** Statements that changed more rows than were approved, and were undone. */
  rolledBack = 0;
  violations = 0;
  cancelRequests = 0;
  upstreamFailures = 0;
  /** Results that were not what masks had been planned for. */
  unmaskable = 0;
  readonly refusals = new Map<string, number>();

  refusal(by: string): void {
    this.refusals.set(by, (this.refusals.get(by) ?? 0) + 1);
  }
}

/** What every session works with. */
export interface SessionServices {
  readonly journal: Journal;
  readonly turn: Turn;
  readonly counters: Counters;
  readonly log: Logger;
  readonly budgets: Budgets;
  readonly activities: Activities;
  /** Asks people about what rules hold, and knows what was asked. */
  readonly approvals: Pick<Approvals, 'rule' | 'requestsOf' | 'ran'>;
  /** Asks servers what statements would cost. */
  readonly estimates: Pick<Estimates, 'of'>;
  /** Where people find requests for approval; `null` where nowhere. */
  readonly approvalsUrl: string | null;
  /** Milliseconds on the monotonic clock. */
  now(): number;
  /** The session has sent its last byte. */
  ended(session: Session): void;
}

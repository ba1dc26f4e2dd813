import type { Approval } from './approval.ts';
import type { ResultLimits } from './compiled-rule.ts';
import type { Limit } from './limit.ts';
import type { MaskPlan } from './mask-plan.ts';

/** The outcome for one statement. */
export type Verdict = AllowVerdict | HoldVerdict | DenyVerdict;

interface Outcome {
  /** Ids of the rules that matched, sorted. */
  readonly rules: readonly string[];
  /** Ids of shadow rules that would have changed the verdict, sorted. */
  readonly shadow: readonly string[];
  /**
   * True if it depends on nothing but facts, identity and connection, and so can be kept for the next execution. False if
   * it was decided by the time, by what the client claims, by bind values or by the state of the session.
   */
  readonly stable: boolean;
  /** True if a rule about the statement asks what the server expects of it: that has to be found out at its execution. */
  readonly needsEstimate?: true;
  /** Budgets to check before each execution and to charge, whether or not the verdict is stable; see budgets.ts. */
  readonly limits: readonly Limit[];
  /** What happens to its result; `null` if no mask and no detector is for the subject. */
  readonly masks: MaskPlan | null;
  /** How much of its result is recorded, as the client is sent it; left out where no rule wants that. */
  readonly recordResults?: ResultLimits;
}

export interface AllowVerdict extends Outcome {
  readonly action: 'allow';
}

/** What a client is told when its statement does not run. */
interface Refused extends Outcome {
  /** The rule the refusal names; `default` when the connection's default refused. */
  readonly rule: string;
  /** One sentence for the client: what was refused. */
  readonly message: string;
  /** One sentence for the client: what to do instead. Never names a setting to change. */
  readonly hint: string;
  readonly retry: Retry;
}

export interface DenyVerdict extends Refused {
  readonly action: 'deny';
}

/** The statement may run once all approvals are given. */
export interface HoldVerdict extends Refused {
  readonly action: 'hold';
  /** All of them are needed; by rule id, sorted. At least one. */
  readonly approvals: readonly Approval[];
}

/** Whether sending the same statement again can succeed. `after:` is followed by an ISO 8601 time. */
export type Retry = 'never' | 'after_approval' | `after:${string}`;

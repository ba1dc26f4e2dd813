import type { OverLimit } from '../policy/budgets.ts';
import { type Budgets, Meter } from '../policy/budgets.ts';
import { isRefused, type JudgedStatement } from './judge.ts';
import { overBudget, type Refusal } from './refusal.ts';
import type { SessionStart } from './session-start.ts';
import type { Execution } from './statement-recorder.ts';

/** Nothing has to be measured. */
export const UNMETERED = { meter: null, refusal: null };

/** Holds what a session runs to the budgets of its verdicts. */
export class Metering {
  readonly #budgets: Budgets;
  readonly #start: SessionStart;
  readonly #cancelled: () => void;
  /** True while a cancel request for a result over its budget is on its way: what is sent now could be what it cancels. */
  isCancelling = false;

  /** @param cancelled is called when a cancel request has been made: what waited for that can be sent */
  constructor(budgets: Budgets, start: SessionStart, cancelled: () => void) {
    this.#budgets = budgets;
    this.#start = start;
    this.#cancelled = cancelled;
  }

  /** The meter of an execution that is about to be recorded, or why it may not begin. */
  begin(statements: readonly JudgedStatement[]): { readonly meter: Meter | null; readonly refusal: Refusal | null } {
    if (!statements.some(hasLimits) || statements.some(isRefused)) return UNMETERED;
    const limits = statements.flatMap(({ verdict }) => verdict.limits);
    const who = { subject: this.#start.identity.subject, session: this.#start.id };
    const begun = this.#budgets.begin(limits, who, Date.now());
    if (begun === null) return UNMETERED;
    if (begun instanceof Meter) return { meter: begun, refusal: null };
    return { meter: null, refusal: overBudget(begun, statements[0]!.facts.kind) };
  }

  /** Has the execution measured by its meter from now on. */
  attach(execution: Execution, meter: Meter): void {
    execution.meter = meter;
    const left = meter.millisecondsLeft(Date.now());
    if (left === Number.POSITIVE_INFINITY) return;
    execution.timer = setTimeout(() => {
      const over = execution.isDone ? null : meter.end(left + 1, Date.now());
      if (over !== null) this.#cutOver(execution, over);
    }, left + 1).unref();
  }

  /** Charges a part of a result. @returns true if it is over the budget, and not for the client */
  isOver(running: Execution, rows: number, bytes: number): boolean {
    if (running.meter === null) return false;
    if (running.cut !== null) return true;
    const over = running.meter.add(rows, bytes, Date.now());
    if (over !== null) this.#cutOver(running, over);
    return over !== null;
  }

  #cutOver(execution: Execution, over: OverLimit): void {
    this.cut(execution, overBudget(over, execution.statements[0]!.facts.kind));
  }

  /** No more of this result reaches the client; the upstream is asked to stop making it. */
  cut(execution: Execution, refusal: Refusal): void {
    execution.cut = refusal;
    this.isCancelling = true;
    const done = (): void => {
      this.isCancelling = false;
      this.#cancelled();
    };
    this.#start.cancel().then(done, done);
  }
}

function hasLimits({ verdict }: JudgedStatement): boolean {
  return verdict.limits.length > 0;
}

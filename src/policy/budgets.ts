import type { Limit } from './limit.ts';
import type { Retry } from './verdict.ts';

/**
 * Budgets: what `limit:` counts. Kept in memory: a restart begins anew.
 *
 * Before an execution `begin` checks and hands out a {@link Meter}; while the result streams, `add` says when to cut it;
 * afterwards `end` charges the time. Everything is charged as it happens, so that sessions of one identity that run at the
 * same time draw on one budget.
 */
export class Budgets {
  /** By rule, measure and period, then by identity or session. A reload of the rules keeps what was counted. */
  readonly #counters = new Map<string, Map<string, Counter>>();
  #sweptAt = 0;

  /**
   * @param limits those of the verdict
   * @param now milliseconds since 1970
   * @returns why it may not run, or the meter of this execution; `null` if nothing has to be measured
   */
  begin(limits: readonly Limit[], who: { subject: string; session: string }, now: number): OverLimit | Meter | null {
    if (limits.length === 0) return null;
    if (now - this.#sweptAt > SWEEP_MS) this.#sweep(now);
    const counters = limits.map((limit) => this.#counterOf(limit, who));
    for (const [i, limit] of limits.entries()) {
      const counter = counters[i]!;
      if (!limit.shadow && counter.used(now) >= limit.most) return overLimit(limit, counter, now, false);
    }
    const meter = new Meter(limits, counters);
    meter.charge('statements', 1, now);
    return meter;
  }

  /** Forgets what was counted for a session. */
  endSession(session: string): void {
    for (const [key, counters] of this.#counters) {
      counters.delete(`session ${session}`);
      if (counters.size === 0) this.#counters.delete(key);
    }
  }

  #counterOf(limit: Limit, { subject, session }: { subject: string; session: string }): Counter {
    if (limit.per === 'statement') return new Total();
    const key = `${limit.rule} ${limit.of} ${limit.perText}`;
    let counters = this.#counters.get(key);
    if (counters === undefined) {
      counters = new Map();
      this.#counters.set(key, counters);
    }
    const name = limit.per === 'session' ? `session ${session}` : `identity ${subject}`;
    let counter = counters.get(name);
    if (counter === undefined) {
      counter = limit.windowMs === null ? new Total() : new RollingTotal(limit.windowMs);
      counters.set(name, counter);
    }
    return counter;
  }

  /** Windows in which nothing was used are as good as new ones. */
  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, counters] of this.#counters) {
      for (const [name, counter] of counters) {
        if (counter instanceof RollingTotal && counter.used(now) === 0) counters.delete(name);
      }
      if (counters.size === 0) this.#counters.delete(key);
    }
  }
}

const SWEEP_MS = 60_000;

/** What one execution may use. */
export class Meter {
  readonly #limits: readonly Limit[];
  readonly #counters: readonly Counter[];
  /** Ids of shadow rules whose budget was exceeded. */
  readonly shadow: string[] = [];

  constructor(limits: readonly Limit[], counters: readonly Counter[]) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /**
   * Charges a part of the result. Allocates nothing while within the budget, so that it can be called for each row or chunk.
   *
   * @returns `null`, or why the result has to be cut before what was added
   */
  add(rows: number, bytes: number, now: number): OverLimit | null {
    return this.charge('rows', rows, now) ?? this.charge('bytes', bytes, now);
  }

  /** How long the statement may run, milliseconds; `Infinity` without a limit. */
  millisecondsLeft(now: number): number {
    let left = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#limits.length; i++) {
      const limit = this.#limits[i]!;
      if (limit.of === 'seconds' && !limit.shadow) {
        left = Math.min(left, (limit.most - this.#counters[i]!.used(now)) * 1000);
      }
    }
    return Math.max(0, left);
  }

  /** Charges the time. @returns the limit that is exceeded now, for a statement that was cancelled for it */
  end(milliseconds: number, now: number): OverLimit | null {
    return this.charge('seconds', milliseconds / 1000, now);
  }

  charge(of: Limit['of'], amount: number, now: number): OverLimit | null {
    let over: OverLimit | null = null;
    for (let i = 0; i < this.#limits.length; i++) {
      const limit = this.#limits[i]!;
      if (limit.of !== of) continue;
      const counter = this.#counters[i]!;
      counter.add(amount, now);
      if (counter.used(now) <= limit.most) continue;
      if (!limit.shadow) over ??= overLimit(limit, counter, now, true);
      else if (!this.shadow.includes(limit.rule)) this.shadow.push(limit.rule);
    }
    return over;
  }
}

/** Why a statement does not run, or does not go on: SQLSTATE 53400 in PostgreSQL. */
export interface OverLimit {
  readonly limit: Limit;
  /** When the budget has room again, ISO 8601; `null` if it never has, for this statement or session. */
  readonly returnsAt: string | null;
  readonly message: string;
  readonly hint: string;
  readonly retry: Retry;
}

function overLimit(limit: Limit, counter: Counter, now: number, underWay: boolean): OverLimit {
  const returns = limit.per === 'window' ? counter.returnsAt(limit.most, now) : null;
  const returnsAt = returns === null ? null : new Date(returns).toISOString();
  const budget = `${limit.most} ${limit.of} per ${limit.perText} (rule ${limit.rule})`;
  return {
    limit,
    returnsAt,
    message:
      limit.message ?? (underWay ? `The statement was cut off at ${budget}.` : `The budget is used up: ${budget}.`),
    hint:
      limit.hint ??
      (returnsAt === null
        ? 'Ask for less: aggregate, or name fewer rows and columns.'
        : `Send it again after ${returnsAt}.`),
    retry: limit.action === 'hold' ? 'after_approval' : returnsAt === null ? 'never' : `after:${returnsAt}`,
  };
}

interface Counter {
  add(amount: number, now: number): void;
  used(now: number): number;
  /** When less than `most` is used; `null` for never. */
  returnsAt(most: number, now: number): number | null;
}

class Total implements Counter {
  #used = 0;

  add(amount: number): void {
    this.#used += amount;
  }

  used(): number {
    return this.#used;
  }

  returnsAt(): null {
    return null;
  }
}

const SLICES = 60;

/**
 * What was used within the last so many milliseconds, counted in sixty slices. A slice leaves the window as a whole, so use
 * counts for up to a sixtieth longer than the window and never shorter.
 */
class RollingTotal implements Counter {
  readonly #sliceMs: number;
  /** One more than the window has: the newest is not complete. */
  readonly #slices = new Float64Array(SLICES + 1);
  #newest = 0;
  #used = 0;

  constructor(windowMs: number) {
    this.#sliceMs = windowMs / SLICES;
  }

  add(amount: number, now: number): void {
    this.#advance(now);
    this.#slices[this.#newest % this.#slices.length]! += amount;
    this.#used += amount;
  }

  used(now: number): number {
    this.#advance(now);
    return this.#used;
  }

  returnsAt(most: number, now: number): number {
    this.#advance(now);
    let used = this.#used;
    let slice = this.#newest - SLICES;
    while (used >= most && slice <= this.#newest) {
      used -= this.#slices[((slice % this.#slices.length) + this.#slices.length) % this.#slices.length]!;
      slice++;
    }
    // The last slice that had to go was slice - 1; it leaves when the newest is a whole window after it.
    return (slice + SLICES) * this.#sliceMs;
  }

  /** A clock that goes back changes nothing. */
  #advance(now: number): void {
    const slice = Math.floor(now / this.#sliceMs);
    if (slice <= this.#newest) return;
    if (slice - this.#newest > SLICES) {
      this.#slices.fill(0);
      this.#used = 0;
    } else {
      for (let next = this.#newest + 1; next <= slice; next++) {
        const index = next % this.#slices.length;
        this.#used -= this.#slices[index]!;
        this.#slices[index] = 0;
      }
    }
    this.#newest = slice;
  }
}

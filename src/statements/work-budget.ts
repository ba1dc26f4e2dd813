/** A statement that means more work than its length shows: through the catalogue, or by naming one thing many times. */
export class TooComplex extends Error {}

/** True for an error that says nothing about the text, only that it was too much for this thread, its work or its stack. */
export function isTooMuch(error: unknown): boolean {
  return error instanceof TooComplex || error instanceof RangeError;
}

/**
 * The work that the statements of one text may cause between them, counted in steps: nodes read, columns and relations
 * looked at, characters of stored code. Counted and not timed, so that a text has the same facts on every machine.
 */
export class WorkBudget {
  /** True if nobody has more steps for the same text. */
  readonly isLast: boolean;
  #left: number;

  constructor(steps: number) {
    this.isLast = steps >= MANY_STEPS;
    this.#left = steps;
  }

  /** @throws {TooComplex} if that is more than is left */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new TooComplex('too complex');
  }
}

/** Steps of a text on the thread that serves sessions: about 20 ms of it. A text of many characters may take some more. */
export const FEW_STEPS = 100_000;
/** Steps where nobody waits for the thread. */
export const MANY_STEPS = 2_000_000;
export const STEPS_PER_CHARACTER = 8;

/** Most effects of a statement, and most columns its outputs and uses are made of: each is held against every rule. */
export const MOST_EFFECTS = 4_000;
export const MOST_LINEAGE = 20_000;

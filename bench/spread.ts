/** Medians, percentiles and spreads of repeated measurements. */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, smallest and largest of the values. Throws on an empty list: nothing measured is not zero. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: percentile(sorted, 0.5), min: sorted[0]!, max: sorted[sorted.length - 1]! };
}

/** The value below which `fraction` (0 to 1) of the values lie, between neighbours by proportion. `sorted` ascends. */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) throw new Error('no values to take a percentile of');
  const position = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(position)]!;
  const above = sorted[Math.ceil(position)]!;
  return below + (above - below) * (position - Math.floor(position));
}

/**
 * Spread of `combine(value, reference)` over the rounds both were measured in: a noisy moment of a shared machine touches
 * both sides of a pair, so it cancels where a quotient of two medians would keep it. `null` if they share no round.
 */
export function pairedSpread(
  values: readonly number[],
  reference: readonly number[],
  combine: (value: number, reference: number) => number,
): Spread | null {
  const rounds = Math.min(values.length, reference.length);
  if (rounds === 0) return null;
  return spreadOf(values.slice(0, rounds).map((value, round) => combine(value, reference[round]!)));
}

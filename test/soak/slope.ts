/** One value over time. */
export interface Point {
  /** Seconds. */
  readonly at: number;
  readonly value: number;
}

/**
 * How much the value grows a minute, by the regression line (least squares) through the points.
 * Throws on fewer than two moments: no line goes through one.
 */
export function slopePerMinute(points: readonly Point[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = mean(points.map(({ at }) => at));
  const level = mean(points.map(({ value }) => value));
  let together = 0;
  let spread = 0;
  for (const { at, value } of points) {
    together += (at - middle) * (value - level);
    spread += (at - middle) ** 2;
  }
  if (!(spread > 0)) throw new Error(`no slope through ${points.length} points at one moment`);
  return (together / spread) * 60;
}

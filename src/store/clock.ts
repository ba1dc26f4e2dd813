/**
 * How far the clocks of nodes that share a store may be apart, milliseconds. What is in the store with a later time than that was
 * written before the clock was set back: nobody knows how old it is.
 */
export const MOST_AHEAD_MS = 60_000;

/**
 * The time by which things end: milliseconds since the epoch, and never behind what has passed since this process began, so that
 * nothing lives longer because somebody sets the clock back.
 */
export function currentTime(): number {
  return Math.max(Date.now(), Math.floor(performance.timeOrigin + performance.now()));
}

/** True while what was written then has not ended yet, by a clock that has not been set back since. */
export function isLive({
  created_at: createdAt,
  expires_at: expiresAt,
}: {
  readonly created_at: number;
  readonly expires_at: number;
}): boolean {
  const at = currentTime();
  return at < expiresAt && createdAt <= at + MOST_AHEAD_MS;
}

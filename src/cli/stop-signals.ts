const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ctrl-C under `npm run` comes twice, once from the terminal and once passed on by npm; nobody presses it twice as fast as
 * this, milliseconds.
 */
const SAME_KEYSTROKE_MS = 500;

/**
 * Calls `first` at the first SIGINT or SIGTERM, `again` at each later one.
 * @returns a function that leaves the signals alone again
 */
export function onStopSignals(first: (signal: string) => void, again: (signal: string) => void): () => void {
  let stoppedAt: number | null = null;
  const handle = (signal: string) => {
    const now = performance.now();
    if (stoppedAt === null) {
      stoppedAt = now;
      first(signal);
    } else if (now - stoppedAt > SAME_KEYSTROKE_MS) {
      again(signal);
    }
  };
  for (const signal of STOP_SIGNALS) process.on(signal, handle);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, handle);
  };
}

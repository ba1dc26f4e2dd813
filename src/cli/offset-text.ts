/** How long after a session's start: `+1.250s`, `+2h03m04s`. @param ms milliseconds */
export function offsetText(ms: number): string {
  if (ms < 60_000) return `+${(ms / 1000).toFixed(3)}s`;
  const seconds = Math.floor(ms / 1000);
  const pad = (value: number) => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `+${h}h${pad(m)}m${pad(s)}s` : `+${m}m${pad(s)}s`;
}

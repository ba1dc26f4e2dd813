/** What a sender of webhooks reads from how its request ended. */

/** Reads a Retry-After header (RFC 9110, 10.2.3): seconds, or a date. @returns milliseconds from now, `null` if it is neither */
export function retryAfterMs(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(at - now, 0);
}

/** Why `fetch` failed: `ECONNREFUSED`, not "fetch failed". */
export function causeOf(error: Error): string {
  const cause = error.cause as (Error & { readonly code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? error.message;
}

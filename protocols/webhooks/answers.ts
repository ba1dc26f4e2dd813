/** What a sender reads from how its request ended. */

/** Why a receiver does not have what it was sent, as far as is known. The message is for operators and has no secret in it. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  /** How long the receiver asked to be left alone, milliseconds; `null` if it did not say. */
  readonly retryAfterMs: number | null;
  /** True if there is no use in sending it again. */
  readonly isFinal: boolean;

  constructor(message: string, { retryAfterMs = null, isFinal = false }: Partial<DeliveryErrorMore> = {}) {
    super(message);
    this.retryAfterMs = retryAfterMs;
    this.isFinal = isFinal;
  }
}

type DeliveryErrorMore = Pick<DeliveryError, 'retryAfterMs' | 'isFinal'>;

/** Reads a Retry-After header (RFC 9110, 10.2.3): seconds, or a date. @returns milliseconds from now, `null` if it is neither */
export function retryAfterMs(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(at - now, 0);
}

/** HTTP 410: the receiver wants no more of it, however often it is sent. */
const GONE = 410;

/** What a receiver of webhooks has said that did not take a message. @param now milliseconds since the epoch */
export function refusalIn({ status, headers }: Pick<Response, 'status' | 'headers'>, now: number): DeliveryError {
  return new DeliveryError(`HTTP ${status}`, {
    retryAfterMs: retryAfterMs(headers.get('retry-after'), now),
    isFinal: status === GONE,
  });
}

/** Why `fetch` failed: `ECONNREFUSED`, not "fetch failed". */
export function causeOf(error: Error): string {
  const cause = error.cause as (Error & { readonly code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? error.message;
}

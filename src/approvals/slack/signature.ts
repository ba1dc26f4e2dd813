import { createHmac, timingSafeEqual } from 'node:crypto';

/** How old, or how far ahead, a request may be, milliseconds. */
const TOLERANCE_MS = 5 * 60_000;

/**
 * True if Slack sent it, lately: `v0=` and the HMAC-SHA256 of `v0:TIMESTAMP:BODY` by the app's signing secret, hexadecimal
 * (https://docs.slack.dev/authentication/verifying-requests-from-slack). Compared in constant time.
 *
 * @param headers with names in lower case, as node:http has them
 * @param body as it came, before anything read it
 */
export function isFromSlack(
  signingSecret: string,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  body: Uint8Array,
  now: number,
): boolean {
  const { 'x-slack-request-timestamp': timestamp, 'x-slack-signature': signature } = headers;
  if (typeof timestamp !== 'string' || typeof signature !== 'string') return false;
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp) * 1000) > TOLERANCE_MS) return false;
  const hmac = createHmac('sha256', signingSecret).update(`v0:${timestamp}:`).update(body);
  const right = Buffer.from(`v0=${hmac.digest('hex')}`);
  const given = Buffer.from(signature);
  return given.length === right.length && timingSafeEqual(given, right);
}

import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Signatures of webhooks as https://www.standardwebhooks.com has them, so that receivers check them with its libraries:
 * HMAC-SHA256 over `id.timestamp.body`, in base64, one a secret.
 */

/** The bytes that both sides know. */
export type WebhookSecret = Buffer & { readonly isWebhookSecret: true };

/** What goes with a webhook. */
export interface WebhookHeaders {
  /** The same each time that one message is sent: by it a receiver knows what it has already. */
  readonly 'webhook-id': string;
  /** When it was sent, this time, seconds since the epoch. */
  readonly 'webhook-timestamp': string;
  /** `v1,SIGNATURE`, one a secret, with spaces between them. */
  readonly 'webhook-signature': string;
}

const PREFIX = 'whsec_';
const LEAST_SECRET_BYTES = 24;
const MOST_SECRET_BYTES = 64;
/** How far the clocks of both sides may differ, and how long a message may have travelled, milliseconds. */
const TOLERANCE_MS = 5 * 60_000;

/** Reads `whsec_` and 24 to 64 bytes in base64. @throws Error that does not quote the text */
export function parseWebhookSecret(text: string): WebhookSecret {
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : '';
  const bytes = Buffer.from(encoded, 'base64');
  // Buffer.from skips what is not base64: only what reads back as written was.
  if (encoded === '' || withoutPadding(bytes.toString('base64')) !== withoutPadding(encoded)) {
    throw new Error('a webhook secret is whsec_ and bytes in base64');
  }
  if (bytes.length < LEAST_SECRET_BYTES || bytes.length > MOST_SECRET_BYTES) {
    throw new Error(`a webhook secret has ${LEAST_SECRET_BYTES} to ${MOST_SECRET_BYTES} bytes`);
  }
  return bytes as WebhookSecret;
}

function withoutPadding(base64: string): string {
  return base64.replace(/=+$/, '');
}

/**
 * The headers that a message is sent with.
 *
 * @param secrets several while they are changed: a receiver accepts a message that any one of them signs
 * @param id without a `.`, which ends it in what is signed
 * @param at milliseconds since the epoch
 */
export function signWebhook(
  secrets: readonly [WebhookSecret, ...WebhookSecret[]],
  { id, at, body }: { readonly id: string; readonly at: number; readonly body: string | Uint8Array },
): WebhookHeaders {
  if (!/^[\x21-\x2d\x2f-\x7e]+$/.test(id)) throw new Error('the id of a webhook is printable ASCII without a point');
  const timestamp = String(Math.floor(at / 1000));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets
      .map((secret) => `v1,${signatureOf(secret, id, timestamp, body).toString('base64')}`)
      .join(' '),
  };
}

/** A message of JSON as `fetch` takes it. Parameters are those of {@link signWebhook}. */
export function webhookRequest(
  secrets: readonly [WebhookSecret, ...WebhookSecret[]],
  message: { readonly id: string; readonly at: number; readonly body: string },
): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'Sluice', ...signWebhook(secrets, message) },
    body: message.body,
    // What was meant for one receiver is for no other.
    redirect: 'manual',
  };
}

/**
 * True if one of the secrets signed the message, and it was sent at most five minutes before or after `now`. Each
 * signature is compared in constant time.
 *
 * @param headers with names in lower case, as node:http has them
 * @param body as it came, before anything read it
 */
export function verifyWebhook(
  secrets: readonly WebhookSecret[],
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  body: string | Uint8Array,
  now: number = Date.now(),
): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers;
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string') return false;
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp) * 1000) > TOLERANCE_MS) return false;
  const expected = secrets.map((secret) => signatureOf(secret, id, timestamp, body));
  return signatures.split(' ').some((one) => {
    const given = one.startsWith('v1,') ? Buffer.from(one.slice(3), 'base64') : null;
    return given !== null && expected.some((right) => given.length === right.length && timingSafeEqual(given, right));
  });
}

function signatureOf(secret: WebhookSecret, id: string, timestamp: string, body: string | Uint8Array): Buffer {
  return createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest();
}

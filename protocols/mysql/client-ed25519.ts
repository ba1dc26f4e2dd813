/**
 * client_ed25519, the client's side (MariaDB knowledge base, "Authentication Plugin - ed25519").
 *
 * The client signs the server's random data with Ed25519 (RFC 8032), but with the password in the place of the 32-byte
 * private key. node:crypto takes only private keys of 32 bytes, so the signature is made here, from the curve's
 * arithmetic.
 */
import { hash } from 'node:crypto';
import { createRequire } from 'node:module';

export const CLIENT_ED25519 = 'client_ed25519';

/** Bytes of the random data that this method signs. */
export const ED25519_SCRAMBLE_BYTES = 32;

const require = createRequire(import.meta.url);

/** The curve takes 4 MB: only accounts that ask for this method pay for it. */
function loadPoint() {
  return (require('@noble/curves/ed25519.js') as typeof import('@noble/curves/ed25519.js')).ed25519.Point;
}

let loaded: ReturnType<typeof loadPoint> | null = null;

function curve(): ReturnType<typeof loadPoint> {
  loaded ??= loadPoint();
  return loaded;
}

/** The signature, 64 bytes. RFC 8032 section 5.1.6. */
export function ed25519Response(password: string, scramble: Buffer): Buffer {
  const Point = curve();
  const { ORDER } = Point.Fn;
  const digest = sha512(Buffer.from(password, 'utf8'));
  const secret = clamped(digest) % ORDER;
  const publicKey = Point.BASE.multiply(secret).toBytes();
  const nonce = littleEndian(sha512(digest.subarray(32), scramble)) % ORDER;
  const commitment = Point.BASE.multiply(nonce).toBytes();
  const challenge = littleEndian(sha512(commitment, publicKey, scramble)) % ORDER;
  const proof = Point.Fn.toBytes((nonce + challenge * secret) % ORDER);
  return Buffer.concat([commitment, proof]);
}

/** The public key of a password, 32 bytes: what the server keeps, there in base64 without `=`. */
export function ed25519PublicKey(password: string): Buffer {
  const Point = curve();
  const secret = clamped(sha512(Buffer.from(password, 'utf8')));
  // Modulo the order of the base point, which gives the same multiple of it.
  return Buffer.from(Point.BASE.multiply(secret % Point.Fn.ORDER).toBytes());
}

/** Section 5.1.5, steps 2 and 3. */
function clamped(digest: Buffer): bigint {
  const bytes = Buffer.from(digest.subarray(0, 32));
  bytes[0]! &= 248;
  bytes[31]! &= 127;
  bytes[31]! |= 64;
  return littleEndian(bytes);
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function sha512(...parts: readonly Uint8Array[]): Buffer {
  return hash('sha512', Buffer.concat(parts), 'buffer');
}

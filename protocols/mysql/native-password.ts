/**
 * mysql_native_password, both sides (MySQL internals documentation, "Native Authentication").
 *
 * SHA1(password) XOR SHA1(scramble, SHA1(SHA1(password))) proves that the client knows SHA1(password); the server keeps
 * SHA1(SHA1(password)). It has no salt and SHA-1 is fast: a verifier that leaks is soon a password. MySQL 9 has it no more.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { xor } from './scramble.ts';

export const NATIVE_PASSWORD = 'mysql_native_password';

/** SHA1(SHA1(password)), 20 bytes. */
export type NativeVerifier = Buffer & { readonly __brand: 'NativeVerifier' };

/** What a client answers. @param scramble the server's 20 bytes, without a zero byte behind them */
export function nativePasswordResponse(password: string, scramble: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  const once = sha1(Buffer.from(password, 'utf8'));
  return xor(once, sha1(Buffer.concat([scramble, sha1(once)])));
}

/** Whether a client's answer to `scramble` proves the password. */
export function verifyNativePassword(verifier: NativeVerifier, scramble: Buffer, response: Buffer): boolean {
  if (response.length !== verifier.length) return false;
  const once = xor(response, sha1(Buffer.concat([scramble, verifier])));
  return timingSafeEqual(sha1(once), verifier);
}

export function createNativeVerifier(password: string): NativeVerifier {
  if (password === '') throw new RangeError('an empty password has no verifier');
  return sha1(sha1(Buffer.from(password, 'utf8'))) as NativeVerifier;
}

/** As in the column authentication_string of mysql.user: `*` and 40 hexadecimal digits. */
export function formatNativeVerifier(verifier: NativeVerifier): string {
  return `*${verifier.toString('hex').toUpperCase()}`;
}

/**
 * The reverse of {@link formatNativeVerifier}; the `*` may be left out.
 *
 * @throws Error that says what is wrong with it, without quoting it
 */
export function parseNativeVerifier(text: string): NativeVerifier {
  const digits = /^\*?([0-9a-fA-F]{40})$/.exec(text)?.[1];
  if (digits === undefined)
    throw new Error('not a mysql_native_password verifier: expected * and 40 hexadecimal digits');
  return Buffer.from(digits, 'hex') as NativeVerifier;
}

function sha1(bytes: Buffer): Buffer {
  return hash('sha1', bytes, 'buffer');
}

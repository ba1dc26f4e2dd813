/**
 * How caching_sha2_password and sha256_password bring the password itself to the server: through TLS, or encrypted with
 * the server's RSA key (MySQL internals documentation, "Caching_sha2_password Information").
 */
import { constants, createPublicKey, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto';
import { xor } from './scramble.ts';
import { ProtocolViolation } from './violation.ts';

/**
 * How a client may give its password away: through TLS, encrypted with this key, with one that it asks the server for
 * (which somebody in between can answer), or not at all.
 */
export type PasswordChannel = 'tls' | KeyObject | 'ask for the key' | 'none';

/** The password and the zero byte that ends it. */
export function terminatedPassword(password: string): Buffer {
  if (password.includes('\0')) throw new RangeError('a password with a zero byte cannot be sent');
  return Buffer.from(`${password}\0`, 'utf8');
}

/** The reverse of {@link terminatedPassword}: `null` if the zero byte is missing, there is another one, or nothing else. */
export function withoutTerminator(bytes: Buffer): Buffer | null {
  const end = bytes.indexOf(0);
  return end > 0 && end === bytes.length - 1 ? bytes.subarray(0, end) : null;
}

/** Encrypted together with the scramble, so that it is of no use in another exchange. */
export function encryptPassword(password: string, scramble: Buffer, key: KeyObject): Buffer {
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING }, xor(terminatedPassword(password), scramble));
}

/** @returns the password, `null` if this is not one encrypted with this key */
export function decryptPassword(encrypted: Buffer, scramble: Buffer, privateKey: KeyObject): Buffer | null {
  try {
    const key = { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING };
    return withoutTerminator(xor(privateDecrypt(key, encrypted), scramble));
  } catch {
    return null;
  }
}

/** @param pem what a server answers to the request for its key */
export function decodePublicKey(pem: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new ProtocolViolation('the server did not send its public key');
  }
  if (key.asymmetricKeyType !== 'rsa') throw new ProtocolViolation("the server's public key is not of RSA");
  return key;
}

/** What a server answers to the request for its key. */
export function encodePublicKey(privateKey: KeyObject): Buffer {
  return Buffer.from(createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }));
}

import { constants, type KeyObject, publicEncrypt } from 'node:crypto';

/**
 * A password for a server without TLS: with its zero byte, XORed with the scramble, encrypted with the server's RSA key
 * (MySQL internals documentation, "Caching_sha2_password Information").
 */
export function encryptPassword(password: string, scramble: Buffer, key: KeyObject): Buffer {
  const bytes = Buffer.from(`${password}\0`, 'utf8');
  for (let i = 0; i < bytes.length; i += 1) bytes[i]! ^= scramble[i % scramble.length]!;
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING }, bytes);
}

/**
 * parsec, the client's side (MariaDB knowledge base, "Authentication Plugin - PARSEC"): the password and a salt of the
 * server give an Ed25519 key by PBKDF2; the client signs random data of both sides with it.
 */
import { createPrivateKey, pbkdf2, randomBytes, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { ProtocolViolation } from './violation.ts';

export const PARSEC = 'parsec';

/** Bytes of the random data of each side. */
export const PARSEC_SCRAMBLE_BYTES = 32;

const SALT_BYTES = 18;
const PBKDF2 = 0x50; // 'P'
/** The server says how long a login computes, as 1024 times a power of two; this much takes about half a second. */
const MAX_ITERATION_FACTOR = 9;

const pbkdf2Async = promisify(pbkdf2);

/**
 * What a client answers to the server's salt, after it asked for that by an empty payload.
 *
 * @param scramble the server's 32 bytes, from its AuthSwitchRequest
 * @param extSalt `P`, the power of two, and 18 bytes of salt
 * @param clientScramble random when left out; given only to compute a known answer again
 * @throws ProtocolViolation if the server's message is malformed or asks for too much work
 */
export async function parsecResponse(
  password: string,
  scramble: Buffer,
  extSalt: Buffer,
  clientScramble: Buffer = randomBytes(PARSEC_SCRAMBLE_BYTES),
): Promise<Buffer> {
  if (extSalt.length !== 2 + SALT_BYTES || extSalt[0] !== PBKDF2) throw new ProtocolViolation('malformed parsec salt');
  const factor = extSalt[1]!;
  if (factor > MAX_ITERATION_FACTOR) throw new ProtocolViolation('the server asks for too many parsec iterations');
  const seed = await pbkdf2Async(password, extSalt.subarray(2), 1024 << factor, 32, 'sha512');
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  return Buffer.concat([clientScramble, sign(null, Buffer.concat([scramble, clientScramble]), key)]);
}

/** What comes before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

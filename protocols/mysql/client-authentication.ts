/**
 * The client's side of authentication, whatever method the server wants: what to answer to its random data, and to what
 * it says after that.
 */
import { CACHING_SHA2_PASSWORD, CachingSha2Client, cachingSha2Response } from './caching-sha2-password.ts';
import { CLIENT_ED25519, ED25519_SCRAMBLE_BYTES, ed25519Response } from './client-ed25519.ts';
import { NATIVE_PASSWORD, nativePasswordResponse } from './native-password.ts';
import { PARSEC, PARSEC_SCRAMBLE_BYTES, parsecResponse } from './parsec.ts';
import { decodePublicKey, encryptPassword, type PasswordChannel, terminatedPassword } from './password-channel.ts';
import { scrambleOf } from './scramble.ts';
import { ProtocolViolation } from './violation.ts';

export const CLEAR_PASSWORD = 'mysql_clear_password';
export const SHA256_PASSWORD = 'sha256_password';

/** One exchange by one method. */
export interface ClientAuthentication {
  /** For the HandshakeResponse or AuthSwitchResponse. */
  readonly response: Buffer;
  /**
   * @param data what the server says: of its AuthMoreData what comes after the first byte. MariaDB leaves that byte out
   *   if the data cannot be mistaken for another packet.
   * @returns what to send; `null` for nothing
   * @throws ProtocolViolation if it does not belong into this exchange
   */
  answer(data: Buffer): Buffer | null | Promise<Buffer>;
}

/**
 * @param plugin the method that the server names in its greeting or AuthSwitchRequest
 * @param data the server's random data that came with the name
 * @param channel how the password itself may go out
 * @returns `null` if the method is not known here
 * @throws ProtocolViolation if the data is too short, or the method needs the password to go out in a way it may not
 */
export function authenticateAsClient(
  plugin: string,
  password: string,
  data: Buffer,
  channel: PasswordChannel,
): ClientAuthentication | null {
  switch (plugin) {
    case NATIVE_PASSWORD:
      return { response: nativePasswordResponse(password, scramble(data)), answer: nothingToAsk };
    case CACHING_SHA2_PASSWORD: {
      const exchange = new CachingSha2Client(password, scramble(data), channel);
      return { response: cachingSha2Response(password, scramble(data)), answer: (more) => exchange.answer(more) };
    }
    case SHA256_PASSWORD:
      return sha256Password(password, scramble(data), channel);
    case CLEAR_PASSWORD:
      if (channel !== 'tls') throw needsTls();
      return { response: terminatedPassword(password), answer: nothingToAsk };
    case CLIENT_ED25519:
      return { response: ed25519Response(password, scramble(data, ED25519_SCRAMBLE_BYTES)), answer: nothingToAsk };
    case PARSEC: {
      const random = scramble(data, PARSEC_SCRAMBLE_BYTES);
      // An empty payload asks for the salt.
      return { response: Buffer.alloc(0), answer: (salt) => parsecResponse(password, random, salt) };
    }
    default:
      return null;
  }
}

/** The byte by which sha256_password asks for the server's key. */
const SHA256_REQUEST_PUBLIC_KEY = Buffer.from([0x01]);

/** MySQL internals documentation, "SHA256". */
function sha256Password(password: string, random: Buffer, channel: PasswordChannel): ClientAuthentication {
  if (password === '') return { response: Buffer.alloc(1), answer: nothingToAsk };
  switch (channel) {
    case 'tls':
      return { response: terminatedPassword(password), answer: nothingToAsk };
    case 'ask for the key':
      return {
        response: SHA256_REQUEST_PUBLIC_KEY,
        answer: (pem) => encryptPassword(password, random, decodePublicKey(pem)),
      };
    case 'none':
      throw needsTls();
    default:
      return { response: encryptPassword(password, random, channel), answer: nothingToAsk };
  }
}

function scramble(data: Buffer, bytes?: number): Buffer {
  const random = scrambleOf(data, bytes);
  if (random === null) throw new ProtocolViolation('the server sent too little random data to authenticate with');
  return random;
}

function nothingToAsk(): never {
  throw new ProtocolViolation('the server goes on with an authentication that is over');
}

function needsTls(): ProtocolViolation {
  return new ProtocolViolation('the server asks for the password, which must not go out without TLS');
}

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Public half of a key, as RFC 8037 writes it. */
export interface PublicJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: 'EdDSA';
}

export interface Jwks {
  readonly keys: readonly PublicJwk[];
}

/** Where a journal has the key that was made for it, PKCS #8 in PEM, and the public ones of all that have signed it. */
const KEY_FILE = 'journal.key.pem';
export const KEYS_FILE = 'journal.keys.json';

/** Signs the checkpoints of a journal. */
export class SigningKey {
  /** JWK thumbprint (RFC 7638) of the key. */
  readonly id: string;
  readonly publicJwk: PublicJwk;
  readonly #private: KeyObject;

  private constructor(key: KeyObject) {
    const { x } = createPublicKey(key).export({ format: 'jwk' });
    const thumbprint = JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x });
    this.#private = key;
    this.id = createHash('sha256').update(thumbprint).digest('base64url');
    this.publicJwk = { kty: 'OKP', crv: 'Ed25519', x: x!, kid: this.id, use: 'sig', alg: 'EdDSA' };
  }

  /** @param pem PKCS #8. @throws Error if it is no Ed25519 key */
  static of(pem: string): SigningKey {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is a key of ${key.asymmetricKeyType}, not of Ed25519`);
    return new SigningKey(key);
  }

  /** The key of a journal: its own is made when it is opened first, for its owner only. */
  static ofJournal(directory: string): SigningKey {
    const file = join(directory, KEY_FILE);
    try {
      return SigningKey.of(readFileSync(file, 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new Error(`${file}: ${(error as Error).message}`);
    }
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
    return new SigningKey(privateKey);
  }

  /** In base64url. */
  sign(bytes: Uint8Array): string {
    return sign(null, bytes, this.#private).toString('base64url');
  }
}

/** Adds a key to the public ones of a journal. @returns all of them */
export function publishKey(directory: string, { publicJwk }: SigningKey): Jwks {
  const file = join(directory, KEYS_FILE);
  const { keys } = readJwks(file) ?? { keys: [] };
  if (keys.some(({ kid }) => kid === publicJwk.kid)) return { keys };
  const all = { keys: [...keys, publicJwk] };
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o644 });
  return all;
}

/** `null` if there is no such file. @throws Error if it is no JWKS */
export function readJwks(file: string): Jwks | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return parseJwks(text, file);
}

/** Keys of other kinds are left out. @param where for the message. @throws Error if it is no JWKS */
export function parseJwks(text: string, where: string): Jwks {
  let keys: unknown;
  try {
    ({ keys } = JSON.parse(text) as { keys: unknown });
  } catch {
    keys = null;
  }
  if (!Array.isArray(keys)) throw new Error(`${where} is no JWKS`);
  return { keys: keys.filter((key) => key?.kty === 'OKP' && key.crv === 'Ed25519' && typeof key.kid === 'string') };
}

/** Checks signatures by the keys of a JWKS. */
export class SignatureCheck {
  readonly #keys: ReadonlyMap<string, KeyObject>;

  constructor({ keys }: Jwks) {
    this.#keys = new Map(keys.map((jwk) => [jwk.kid, createPublicKey({ key: { ...jwk }, format: 'jwk' })]));
  }

  /** `null` if it has no key of that id. @param signature in base64url */
  isSignedBy(id: string, bytes: Uint8Array, signature: string): boolean | null {
    const key = this.#keys.get(id);
    if (key === undefined) return null;
    const decoded = Buffer.from(signature, 'base64url');
    // One signature has one text: decoding alone overlooks bits that stand for nothing.
    return decoded.toString('base64url') === signature && verify(null, bytes, key, decoded);
  }
}

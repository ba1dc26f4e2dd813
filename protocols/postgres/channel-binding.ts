import { createHash } from 'node:crypto';

/**
 * The channel binding tls-server-end-point (RFC 5929 section 4.1): a hash of the certificate the TLS server showed.
 *
 * The hash is the one in the certificate's signature algorithm, except that SHA-256 takes the place of MD5 and SHA-1.
 * It is read from the field signatureAlgorithm of the certificate (RFC 5280 section 4.1), the second of its three
 * parts: for RSA with PKCS #1 padding and ECDSA the object identifier says it; for RSASSA-PSS it is in the parameters
 * (RFC 4055 section 3.1), which node:crypto does not show, hence the small DER reader here.
 *
 * @param certificate the server's certificate in DER: what `X509Certificate.raw` or `getPeerCertificate().raw` holds
 * @returns the binding data, or null if the hash cannot be determined, as for Ed25519 where RFC 5929 leaves it open;
 *   SCRAM-SHA-256-PLUS cannot be used with such a certificate
 */
export function endPointBinding(certificate: Buffer): Buffer | null {
  const hash = signatureHash(certificate);
  return hash === null ? null : createHash(hash).update(certificate).digest();
}

/** DER of the object identifiers, in hexadecimal, and what a binding hashes with for them. */
const HASH_OF_SIGNATURE = new Map([
  ['2a864886f70d010104', 'sha256'], // md5WithRSAEncryption
  ['2a864886f70d010105', 'sha256'], // sha1WithRSAEncryption
  ['2a864886f70d01010e', 'sha224'], // sha224WithRSAEncryption
  ['2a864886f70d01010b', 'sha256'], // sha256WithRSAEncryption
  ['2a864886f70d01010c', 'sha384'], // sha384WithRSAEncryption
  ['2a864886f70d01010d', 'sha512'], // sha512WithRSAEncryption
  ['2a8648ce3d0401', 'sha256'], // ecdsa-with-SHA1
  ['2a8648ce3d040301', 'sha224'], // ecdsa-with-SHA224
  ['2a8648ce3d040302', 'sha256'], // ecdsa-with-SHA256
  ['2a8648ce3d040303', 'sha384'], // ecdsa-with-SHA384
  ['2a8648ce3d040304', 'sha512'], // ecdsa-with-SHA512
]);

const RSASSA_PSS = '2a864886f70d01010a';

const HASH_OF_PSS_PARAMETER = new Map([
  ['608648016503040204', 'sha224'], // id-sha224
  ['608648016503040201', 'sha256'], // id-sha256
  ['608648016503040202', 'sha384'], // id-sha384
  ['608648016503040203', 'sha512'], // id-sha512
]);

const OBJECT_IDENTIFIER = 0x06;
const SEQUENCE = 0x30;
/** [0] EXPLICIT, the tag of hashAlgorithm in RSASSA-PSS-params. */
const CONTEXT_0 = 0xa0;

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

function signatureHash(certificate: Buffer): string | null {
  const [outer] = elements(certificate);
  if (outer?.tag !== SEQUENCE) return null;
  const [, algorithm] = elements(outer.content);
  if (algorithm?.tag !== SEQUENCE) return null;
  const [identifier, parameters] = elements(algorithm.content);
  if (identifier?.tag !== OBJECT_IDENTIFIER) return null;
  const signature = identifier.content.toString('hex');
  if (signature !== RSASSA_PSS) return HASH_OF_SIGNATURE.get(signature) ?? null;

  if (parameters?.tag !== SEQUENCE) return null;
  const [first] = elements(parameters.content);
  // Left out, as DER wants the default to be, hashAlgorithm is SHA-1, which gives way to SHA-256.
  if (first?.tag !== CONTEXT_0) return 'sha256';
  const [hashAlgorithm] = elements(first.content);
  if (hashAlgorithm?.tag !== SEQUENCE) return null;
  const [hash] = elements(hashAlgorithm.content);
  if (hash?.tag !== OBJECT_IDENTIFIER) return null;
  return HASH_OF_PSS_PARAMETER.get(hash.content.toString('hex')) ?? null;
}

/** The DER elements (X.690 section 8.1) that stand one after the other in `bytes`, up to the first that is cut short. */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const tag = bytes[at]!;
    let length = bytes[at + 1]!;
    at += 2;
    if (length >= 0x80) {
      const size = length - 0x80;
      if (size === 0 || size > 4 || at + size > bytes.length) break;
      length = bytes.readUIntBE(at, size);
      at += size;
    }
    if (length > bytes.length - at) break;
    found.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

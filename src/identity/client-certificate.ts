import { hash, type X509Certificate } from 'node:crypto';
import { currentTime } from '../store/clock.ts';
import type { Authenticated } from './identity.ts';
import type { User } from './users.ts';

/** The certificate that a client has proved to have the key of. */
export interface ClientCertificate {
  /** Who it says it is: `CN=reports`, `DNS:reports.example`, `URI:spiffe://example/reports`, `email:reports@example`. */
  readonly names: ReadonlySet<string>;
  /** SHA-256 of it, in base64url. */
  readonly thumbprint: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Why it is not accepted, in the words of OpenSSL; `null` if an authority of ours vouches for it. */
  readonly refusal: string | null;
}

const KINDS = ['DNS', 'URI', 'email'];

export function readCertificate(certificate: X509Certificate, refusal: string | null): ClientCertificate {
  const { subject } = certificate.toLegacyObject();
  const names = new Set(alternativeNames(certificate.subjectAltName ?? ''));
  const commonName: unknown = subject?.CN;
  // One that has several could be anybody.
  if (typeof commonName === 'string') names.add(`CN=${commonName}`);
  const thumbprint = hash('sha256', certificate.raw, 'base64url');
  return { names, thumbprint, expiresAt: certificate.validToDate.getTime(), refusal };
}

/** `DNS:a, URI:"with, commas"`: Node writes what is not plain as a JSON string (CVE-2021-44532). */
function* alternativeNames(text: string): Iterable<string> {
  for (const [, kind, value] of text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy)) {
    if (KINDS.includes(kind!)) yield `${kind}:${value!.startsWith('"') ? JSON.parse(value!) : value}`;
  }
}

/** What a client still has to prove, after its certificate was looked at. */
export type Certified =
  /** The password of this user; `null` where there is no such user for this client. */
  | {
      readonly needs: 'password';
      readonly user: User | null;
      readonly authenticated: Authenticated | null;
      readonly reason: string;
    }
  /** Nothing. */
  | { readonly needs: 'nothing'; readonly authenticated: Authenticated };

/**
 * A user that has certificates logs in with one of them; if it has a password as well, with both.
 *
 * @param user `null` if there is none of the name
 */
export function certified(user: User | null, certificate: ClientCertificate | null): Certified {
  const wrong = 'wrong user or password';
  if (user === null) return { needs: 'password', user, authenticated: null, reason: wrong };
  const { authenticated, certificates } = user;
  if (certificates === null) return { needs: 'password', user, authenticated, reason: wrong };
  const problem = problemOf(certificate, certificates);
  if (problem !== null) return { needs: 'password', user: null, authenticated: null, reason: problem };
  const expiresAt = Math.min(authenticated.expiresAt ?? Number.POSITIVE_INFINITY, certificate!.expiresAt);
  const proved = { ...authenticated, expiresAt };
  if (user.scram === null && user.cachingSha2 === null && user.native === null) {
    return { needs: 'nothing', authenticated: proved };
  }
  return { needs: 'password', user, authenticated: proved, reason: wrong };
}

function problemOf(certificate: ClientCertificate | null, wanted: readonly string[]): string | null {
  if (certificate === null) return 'the user needs a certificate, and the client has none';
  if (certificate.refusal !== null) return `the certificate is not accepted: ${certificate.refusal}`;
  if (certificate.expiresAt <= currentTime()) return 'the certificate is not accepted: CERT_HAS_EXPIRED';
  if (wanted.some((name) => certificate.names.has(name))) return null;
  return `the certificate is of ${[...certificate.names].join(', ') || 'nobody'}, not of the user`;
}

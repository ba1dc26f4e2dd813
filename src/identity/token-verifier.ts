import type { Authenticated } from './identity.ts';

/** Why a token is not accepted, in words for the log; the client is not told. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
}

/** Verifies tokens of OpenID providers. */
export interface TokenVerifier {
  /** Where a client gets a token. */
  readonly source: { readonly issuer: string; readonly scope: string };

  /**
   * @param token a JWT in compact form
   * @param certificate SHA-256 of the client's certificate, in base64url; left out or `null` where it has shown none
   * @throws TokenRefused; AccessUnknown if the provider's keys cannot be had
   */
  verify(token: string, certificate?: string | null): Promise<Authenticated>;
}

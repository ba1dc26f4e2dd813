import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import type { OidcConfig } from '../config/config.ts';
import { currentTime } from '../store/clock.ts';
import { AccessUnknown } from './access-unknown.ts';
import type { Authenticated, Identity } from './identity.ts';
import { isName, MOST_GROUPS } from './names.ts';
import { TokenRefused, type TokenVerifier } from './token-verifier.ts';

/** Only signatures by a private key that the provider alone has: `none` and HMAC would let anybody sign (RFC 8725, 3.1 and 3.2). */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** How far a provider's clock may be ahead of ours, seconds. What has expired has expired, whatever the clocks say. */
const CLOCK_SKEW_S = 30;
/** How long a provider may take to answer, milliseconds. */
const FETCH_MS = 5_000;
/** How long the provider's keys are believed without asking again, milliseconds. */
const KEYS_MS = 600_000;
/** A token with a key that is not known has the keys asked for again at most this often, milliseconds. */
const KEYS_COOLDOWN_MS = 5_000;
/** How much of the name of a key is told. */
const MOST_OF_KID = 255;

/**
 * Verifies JWTs by the keys of the providers in `identity.oidc` (OpenID Connect Discovery 1.0; RFC 7519, 8725, 9068).
 * Keys are fetched at the first token, kept, and fetched again when they are old or a token names one that is not known.
 */
export class OidcTokens implements TokenVerifier {
  readonly source: TokenVerifier['source'];
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #isLocal: (subject: string) => boolean;

  /**
   * @param providers at least one; clients that ask are sent to the first
   * @param isLocal true for the names of Sluice's own users: a token must not pass for one of them
   */
  constructor(providers: readonly OidcConfig[], isLocal: (subject: string) => boolean) {
    this.source = { issuer: providers[0]!.issuer, scope: 'openid' };
    this.#providers = new Map(providers.map((provider) => [provider.issuer, new Provider(provider)]));
    this.#isLocal = isLocal;
  }

  async verify(token: string, certificate: string | null = null): Promise<Authenticated> {
    const issuer = issuerOf(token);
    const provider = issuer === undefined ? undefined : this.#providers.get(issuer);
    if (provider === undefined)
      throw new TokenRefused(`its issuer ${JSON.stringify(issuer ?? null)} is not configured`);
    const authenticated = await provider.verify(token, certificate);
    const { subject } = authenticated.identity;
    if (this.#isLocal(subject))
      throw new TokenRefused(`its subject ${JSON.stringify(subject)} is a user of sluice.yaml`);
    return authenticated;
  }
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    throw new TokenRefused('it is not a JWT');
  }
}

class Provider {
  readonly #config: OidcConfig;
  #keys: Promise<JWTVerifyGetKey> | null = null;

  constructor(config: OidcConfig) {
    this.#config = config;
  }

  async verify(token: string, certificate: string | null): Promise<Authenticated> {
    const { issuer, audience } = this.#config;
    const keys = await this.#discovered();
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, keys, {
        issuer,
        audience: [...audience],
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_SKEW_S,
        requiredClaims: ['exp'],
      }));
    } catch (error) {
      throw error instanceof AccessUnknown ? error : new TokenRefused(reasonOf(error, token));
    }
    const expiresAt = payload.exp! * 1000;
    if (expiresAt <= currentTime()) throw new TokenRefused('it has expired');
    // A logout token is for the same audience, signed by the same key (OpenID Connect Back-Channel Logout 1.0, 2.4; RFC 8417).
    if (payload.events !== undefined) throw new TokenRefused('it tells of events and is for nobody to log in with');
    checkConfirmation(payload.cnf, certificate);
    for (const [claim, wanted] of Object.entries(this.#config.require)) {
      if (!textsAt(payload, claim).some((value) => wanted.includes(value))) {
        throw new TokenRefused(`its claim "${claim}" is not what the configuration requires`);
      }
    }
    return { identity: this.#identityOf(payload), expiresAt };
  }

  #identityOf(payload: JWTPayload): Identity {
    const { issuer, claims, kind } = this.#config;
    const subject = oneAt(payload, claims.subject);
    if (subject === null) throw new TokenRefused(`it has no claim "${claims.subject}" to name its subject`);
    const groups = claims.groups === null ? [] : textsAt(payload, claims.groups);
    if (groups.length > MOST_GROUPS) throw new TokenRefused(`it has more than ${MOST_GROUPS} groups`);
    const claimedKind = claims.kind === null ? null : oneAt(payload, claims.kind);
    if (claimedKind !== null && !isKind(claimedKind)) {
      throw new TokenRefused(`its claim "${claims.kind}" is not human, agent or service`);
    }
    const owner = claims.owner === null ? null : oneAt(payload, claims.owner);
    return { subject, kind: claimedKind ?? kind, groups, issuer, ...(owner !== null && { owner }) };
  }

  /** The provider's keys; what it could not be asked for is asked for again at the next token. */
  #discovered(): Promise<JWTVerifyGetKey> {
    this.#keys ??= this.#discover().catch((error) => {
      this.#keys = null;
      throw this.#noKeys(error);
    });
    return this.#keys;
  }

  async #discover(): Promise<JWTVerifyGetKey> {
    const { issuer } = this.#config;
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(FETCH_MS) });
    if (!response.ok) throw new Error(`${url} answers ${response.status}`);
    const metadata = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
    // A document that is another provider's would have its tokens accepted as this one's (Discovery, 4.3).
    if (metadata.issuer !== issuer) throw new Error(`${url} is about another issuer`);
    const keys = new URL(String(metadata.jwks_uri));
    if (keys.protocol !== new URL(issuer).protocol && keys.protocol !== 'https:')
      throw new Error('its keys are not served over https');
    const published = createRemoteJWKSet(keys, {
      timeoutDuration: FETCH_MS,
      cooldownDuration: KEYS_COOLDOWN_MS,
      cacheMaxAge: KEYS_MS,
    });
    return (header, token) =>
      published(header, token).catch((error) => {
        throw isAboutToken(error) ? error : this.#noKeys(error);
      });
  }

  /** Not the token's fault: it is not counted among failed logins. */
  #noKeys(error: Error): AccessUnknown {
    const cause = error.cause as NodeJS.ErrnoException | undefined;
    const why = cause?.code ?? error.message;
    return new AccessUnknown(`the provider ${this.#config.issuer} cannot be asked for its keys: ${why}`);
  }
}

/** A token that is bound to a key (RFC 7800) is worth nothing without it; what can be shown here is a certificate's (RFC 8705, 3). */
function checkConfirmation(confirmation: unknown, certificate: string | null): void {
  if (confirmation === undefined) return;
  const bound = (confirmation as Record<string, unknown> | null)?.['x5t#S256'];
  if (bound === undefined) throw new TokenRefused('it is bound to a key in a way that is not accepted here');
  if (bound !== certificate) throw new TokenRefused('it is bound to a certificate that the client has not shown');
}

/** True if the keys were there, and the token does not fit them. */
function isAboutToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  );
}

function reasonOf(error: unknown, token: string): string {
  if (error instanceof errors.JWTExpired) return 'it has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'nbf') return 'it is not valid yet';
    if (error.claim === 'aud') return 'it is for another audience';
    return error.reason === 'missing'
      ? `it has no claim "${error.claim}"`
      : `its claim "${error.claim}" is not as it must be`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'it is signed by an algorithm that is not accepted';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature is wrong';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'it does not say which key of the provider signed it';
  if (error instanceof errors.JWKSNoMatchingKey) {
    const { alg, kid } = decodeProtectedHeader(token);
    const named = kid === undefined ? '' : ` named ${JSON.stringify(kid.slice(0, MOST_OF_KID))}`;
    return `it is signed by a key that the provider does not have: one for ${alg}${named}`;
  }
  return `it cannot be verified: ${(error as Error).message}`;
}

/** The value at a dotted path of claims. Names may have dots in them, as in `https://example.com/groups` or `kubernetes.io.namespace`. */
function claimAt(claims: unknown, path: string): unknown {
  if (typeof claims !== 'object' || claims === null) return undefined;
  if (Object.hasOwn(claims, path)) return (claims as Record<string, unknown>)[path];
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot);
    if (Object.hasOwn(claims, name)) return claimAt((claims as Record<string, unknown>)[name], path.slice(dot + 1));
  }
  return undefined;
}

function textsAt(payload: JWTPayload, path: string): string[] {
  const value = claimAt(payload, path);
  const texts = Array.isArray(value) ? value : [value];
  return texts.filter((text): text is string => typeof text === 'string' && isName(text));
}

function oneAt(payload: JWTPayload, path: string): string | null {
  const value = claimAt(payload, path);
  return typeof value === 'string' && isName(value) ? value : null;
}

function isKind(text: string): text is Identity['kind'] {
  return text === 'human' || text === 'agent' || text === 'service';
}

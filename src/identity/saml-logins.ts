import { hash, randomBytes } from 'node:crypto';
import { type Profile, SAML, ValidateInResponseTo } from '@node-saml/node-saml';
import type { SamlConfig } from '../config/config.ts';
import { currentTime } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import type { Identity } from './identity.ts';
import { identityColumns, identityOf } from './identity-rows.ts';
import type { Login, Logins } from './logins.ts';
import { isName, MOST_GROUPS } from './names.ts';

/** How long somebody may take to log in at the provider, milliseconds. */
const REQUEST_MS = 600_000;
/** How long the code at the end of it is good for, milliseconds. */
const CODE_MS = 60_000;
/** How far the provider's clock may be off, milliseconds. */
const CLOCK_SKEW_MS = 30_000;
/** Attributes of SignatureMethod and DigestMethod: RSA and ECDSA with SHA-2 (RFC 6931). */
const ALGORITHM =
  /^\s+Algorithm\s*=\s*["']http:\/\/www\.w3\.org\/2001\/04\/(?:xmldsig-more#(?:rsa|ecdsa)-sha(?:256|384|512)|xmlenc#sha(?:256|512)|xmldsig-more#sha384)["']\s*\/?$/;
const BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer';

/** Why a response or code is not accepted, in words for the log; the client is not told. */
export class SamlRefused extends Error {
  override readonly name = 'SamlRefused';
}

/** Who wants to log in: a program of this person's, that listens on their machine until the browser is done. */
export interface SamlRequest {
  /** `http://127.0.0.1:PORT/...`: where the browser brings the code. */
  readonly redirect: string;
  /** Comes back with the code, so that the program knows it for its own. */
  readonly state: string;
  /** SHA-256, in base64url, of the verifier that has to come with the code (RFC 7636, method S256). */
  readonly challenge: string;
}

/**
 * Logins by SAML 2.0 (Core, Bindings, Profiles: web browser SSO), as the service provider: an AuthnRequest by redirect, a
 * response with a signed assertion by POST, and a code that a program on the same machine as the browser turns into a login.
 * Each request takes one response and each code is good once, on whichever node: both are in the store.
 */
export class SamlLogins {
  readonly #config: SamlConfig;
  readonly #store: Store;
  readonly #logins: Logins;
  readonly #isLocal: (subject: string) => boolean;

  /** @param isLocal true for the names of Sluice's own users: an assertion must not pass for one of them */
  constructor(config: SamlConfig, store: Store, logins: Logins, isLocal: (subject: string) => boolean) {
    this.#config = config;
    this.#store = store;
    this.#logins = logins;
    this.#isLocal = isLocal;
  }

  /** What the provider is configured with, as XML. */
  metadata(): string {
    return this.#saml().generateServiceProviderMetadata(null);
  }

  /** @returns where the browser logs in */
  async begin({ redirect, state, challenge }: SamlRequest): Promise<string> {
    const id = `_${randomBytes(20).toString('hex')}`;
    const expiresAt = currentTime() + REQUEST_MS;
    await this.#store.deleteFrom('saml_requests').where('expires_at', '<=', currentTime()).execute();
    await this.#store
      .insertInto('saml_requests')
      .values({ id, redirect, state, challenge, expires_at: expiresAt })
      .execute();
    return this.#saml(id).getAuthorizeUrlAsync('', undefined, {});
  }

  /**
   * Takes the provider's response.
   * @param response the field SAMLResponse of the form
   * @returns who it is, and where the browser goes on
   * @throws SamlRefused
   */
  async finish(response: string): Promise<{ readonly identity: Identity; readonly next: string }> {
    const assertion = await this.#validAssertion(response);
    const { identity, expiresAt } = this.#said(assertion);
    const request = await this.#store
      .selectFrom('saml_requests')
      .selectAll()
      .where('id', '=', assertion.inResponseTo)
      .executeTakeFirst();
    if (request === undefined || request.expires_at <= currentTime()) {
      throw new SamlRefused('it answers no request of ours, or one that is over');
    }
    const code = randomBytes(32).toString('base64url');
    const { numUpdatedRows } = await this.#store
      .updateTable('saml_requests')
      .set({
        ...identityColumns(identity),
        code: hash('sha256', code),
        code_expires_at: currentTime() + CODE_MS,
        login_expires_at: expiresAt,
      })
      .where('id', '=', request.id)
      .where('code', 'is', null)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) throw new SamlRefused('it was used before');
    const next = new URL(request.redirect);
    next.searchParams.set('code', code);
    next.searchParams.set('state', request.state);
    return { identity, next: next.href };
  }

  /**
   * Turns a code into a login, once.
   * @throws SamlRefused
   */
  async redeem(code: string, verifier: string): Promise<Login & { readonly token: string }> {
    const row = await this.#store
      .selectFrom('saml_requests')
      .selectAll()
      .where('code', '=', hash('sha256', code))
      .executeTakeFirst();
    if (row === undefined) throw new SamlRefused('there is no such code');
    // Whoever brings the wrong verifier has used the code up, too.
    const { numUpdatedRows } = await this.#store
      .updateTable('saml_requests')
      .set({ redeemed_at: currentTime() })
      .where('id', '=', row.id)
      .where('redeemed_at', 'is', null)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) throw new SamlRefused('the code was used before');
    if (row.code_expires_at! <= currentTime()) throw new SamlRefused('the code is over');
    if (hash('sha256', verifier, 'base64url') !== row.challenge) {
      throw new SamlRefused('the code came without the verifier of its request');
    }
    const { issuer, subject, kind, owner, groups } = row;
    const identity = identityOf({ issuer: issuer!, subject: subject!, kind: kind!, owner, groups: groups! });
    return this.#logins.create({ identity, expiresAt: row.login_expires_at! });
  }

  async #validAssertion(response: string): Promise<Assertion> {
    const xml = Buffer.from(response, 'base64').toString();
    // The parser knows no entities; what brings its own is no SAML.
    if (/<!DOCTYPE/i.test(xml)) throw new SamlRefused('it has a DOCTYPE');
    // The library takes SHA-1, too. Whatever is not plainly one of ours is refused, wherever it stands.
    for (const [, algorithm] of xml.matchAll(/<(?:[\w.-]+:)?(?:Signature|Digest)Method\b([^>]*)>/g)) {
      if (!ALGORITHM.test(algorithm!)) throw new SamlRefused('it is signed by an algorithm that is not accepted');
    }
    let profile: Profile | null;
    try {
      ({ profile } = await this.#saml().validatePostResponseAsync({ SAMLResponse: response }));
    } catch (error) {
      throw new SamlRefused(`it cannot be verified: ${(error as Error).message}`);
    }
    if (profile?.getAssertion === undefined) throw new SamlRefused('it has no assertion');
    return readAssertion(profile, profile.getAssertion(), this.#config);
  }

  #said({ profile, sessionEnds }: Assertion): { readonly identity: Identity; readonly expiresAt: number } {
    const { attributes, kind, idp, longestMs } = this.#config;
    const subjects = attributes.subject === null ? [profile.nameID] : textsOf(profile, attributes.subject);
    const [subject] = subjects;
    if (subjects.length !== 1 || subject === undefined || !isName(subject)) {
      throw new SamlRefused('it does not name its subject');
    }
    if (this.#isLocal(subject)) {
      throw new SamlRefused(`its subject ${JSON.stringify(subject)} is a user of sluice.yaml`);
    }
    const groups = attributes.groups === null ? [] : textsOf(profile, attributes.groups);
    if (groups.length > MOST_GROUPS) throw new SamlRefused(`it has more than ${MOST_GROUPS} groups`);
    return {
      identity: { subject, kind, groups, issuer: idp.issuer },
      expiresAt: Math.min(currentTime() + longestMs, sessionEnds),
    };
  }

  /** @param id of the AuthnRequest it makes */
  #saml(id = ''): SAML {
    const { url, entityId, idp } = this.#config;
    return new SAML({
      issuer: entityId,
      audience: entityId,
      callbackUrl: acsOf(url),
      entryPoint: idp.signIn,
      idpIssuer: idp.issuer,
      idpCert: idp.certificate,
      wantAssertionsSigned: true,
      // What is said is in the assertion. Many providers sign only that.
      wantAuthnResponseSigned: false,
      acceptedClockSkewMs: CLOCK_SKEW_MS,
      // By the assertion's own, signed InResponseTo, in finish().
      validateInResponseTo: ValidateInResponseTo.never,
      disableRequestedAuthnContext: true,
      identifierFormat: null,
      generateUniqueId: () => id,
    });
  }
}

/** Assertion consumer service. */
function acsOf(url: string): string {
  return `${url}/api/v1/login/saml/acs`;
}

interface Assertion {
  readonly profile: Profile;
  readonly inResponseTo: string;
  /** When the session at the provider ends, milliseconds since the epoch. */
  readonly sessionEnds: number;
}

/** An element as node-saml reads it: attributes in `$`, children by name, text in `_`. */
interface Element {
  readonly $?: Readonly<Record<string, string>>;
  readonly _?: string;
  readonly [child: string]: unknown;
}

/** What the library leaves to its user (Profiles, 4.1.4.3): who says it, to whom, and in answer to what. */
function readAssertion(profile: Profile, document: Record<string, unknown>, { url, idp }: SamlConfig): Assertion {
  const assertion = document.Assertion as Element;
  const [issuer] = childrenOf(assertion, 'Issuer');
  if (issuer?._ !== idp.issuer) throw new SamlRefused(`it is of another issuer: ${JSON.stringify(issuer?._ ?? null)}`);
  const [subject] = childrenOf(assertion, 'Subject');
  const bearers = childrenOf(subject, 'SubjectConfirmation').filter(({ $ }) => $?.Method === BEARER);
  const confirmations = bearers.flatMap((bearer) => childrenOf(bearer, 'SubjectConfirmationData'));
  const confirmation = confirmations.find(({ $ }) => $?.Recipient === acsOf(url))?.$;
  if (confirmation === undefined) throw new SamlRefused('it is for another recipient');
  const { InResponseTo: inResponseTo, NotOnOrAfter: end } = confirmation;
  if (!(Date.parse(end ?? '') > currentTime() - CLOCK_SKEW_MS)) throw new SamlRefused('it has expired');
  if (inResponseTo === undefined) throw new SamlRefused('it answers no request');
  const [statement] = childrenOf(assertion, 'AuthnStatement');
  if (statement === undefined) throw new SamlRefused('it does not say that anybody logged in');
  const sessionEnds = statement.$?.SessionNotOnOrAfter;
  const ends = sessionEnds === undefined ? Number.POSITIVE_INFINITY : Date.parse(sessionEnds);
  if (!(ends > currentTime())) throw new SamlRefused('the session at the provider has ended');
  return { profile, inResponseTo, sessionEnds: ends };
}

function childrenOf(element: Element | undefined, name: string): readonly Element[] {
  const children = element?.[name];
  return Array.isArray(children) ? (children as Element[]) : [];
}

function textsOf({ attributes }: Profile, name: string): string[] {
  const value = (attributes as Readonly<Record<string, unknown>> | undefined)?.[name];
  return [value].flat().filter((text): text is string => typeof text === 'string' && isName(text));
}

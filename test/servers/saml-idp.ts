import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as samlify from 'samlify';

// The responses it makes are what is tested; what it reads is a request of ours.
samlify.setSchemaValidator({ validate: async () => 'not validated' });

/** A SAML 2.0 identity provider: what it would post to a service provider, in any shape a test wants. */
export interface SamlIdp {
  readonly issuer: string;
  readonly signIn: string;
  /** Path of a PEM file. */
  readonly certificate: string;
  /**
   * Answers a request that came by redirect.
   * @param address where the service provider sent the browser
   * @returns the response in base64, and where it is to be posted
   */
  respond(address: string, changes?: Changes): Promise<{ readonly SAMLResponse: string; readonly acs: string }>;
}

/** What differs from a good response. */
export interface Changes {
  readonly subject?: string;
  readonly groups?: readonly string[];
  readonly audience?: string;
  readonly recipient?: string;
  readonly issuer?: string;
  readonly inResponseTo?: string;
  /** When the assertion ends, milliseconds from now. */
  readonly endsIn?: number;
  /** When it begins. */
  readonly beginsIn?: number;
  /** Sign by another key than the one that is published. */
  readonly byStranger?: boolean;
  /** Sign by RSA and SHA-1. */
  readonly bySha1?: boolean;
  /** Changes the XML after it was signed. */
  readonly tamper?: (xml: string) => string;
}

const RSA_SHA256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';
const RSA_SHA1 = 'http://www.w3.org/2000/09/xmldsig#rsa-sha1';
const TEMPLATE = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{ID}" Version="2.0" IssueInstant="{IssueInstant}" Destination="{Destination}" InResponseTo="{InResponseTo}"><saml:Issuer>{Issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="{StatusCode}"/></samlp:Status><saml:Assertion ID="{AssertionID}" Version="2.0" IssueInstant="{IssueInstant}"><saml:Issuer>{Issuer}</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">{NameID}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{SubjectConfirmationDataNotOnOrAfter}" Recipient="{SubjectRecipient}" InResponseTo="{InResponseTo}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{ConditionsNotBefore}" NotOnOrAfter="{ConditionsNotOnOrAfter}"><saml:AudienceRestriction><saml:Audience>{Audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{IssueInstant}" SessionIndex="{AssertionID}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>{Groups}</saml:AttributeStatement></saml:Assertion></samlp:Response>`;

/**
 * @param directory for its keys
 * @param metadataOfSp asked for when it is needed
 * @param signIn where it says that it is
 */
export function createSamlIdp(
  directory: string,
  metadataOfSp: () => string | Promise<string>,
  signIn = 'https://idp.example/sign-in',
): SamlIdp {
  const issuer = 'https://idp.example';
  const keys = (name: string) => {
    const [key, certificate] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        key,
        '-out',
        certificate,
        '-days',
        '2',
        '-subj',
        '/CN=idp',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    return { key, certificate };
  };
  const own = keys('idp');
  const stranger = keys('stranger');
  const idpWith = ({ key, certificate }: { key: string; certificate: string }, algorithm = RSA_SHA256) =>
    samlify.IdentityProvider({
      entityID: issuer,
      privateKey: readFileSync(key),
      signingCert: readFileSync(certificate),
      requestSignatureAlgorithm: algorithm,
      isAssertionEncrypted: false,
      wantAuthnRequestsSigned: false,
      nameIDFormat: ['urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress'],
      singleSignOnService: [{ Binding: samlify.Constants.namespace.binding.redirect, Location: signIn }],
      loginResponseTemplate: { context: TEMPLATE, attributes: [] },
    });
  const idps = { own: idpWith(own), stranger: idpWith(stranger), sha1: idpWith(own, RSA_SHA1) };
  return {
    issuer,
    signIn,
    certificate: own.certificate,
    async respond(address, changes = {}) {
      const sp = samlify.ServiceProvider({ metadata: await metadataOfSp() });
      const query = Object.fromEntries(new URL(address).searchParams);
      const idp = changes.byStranger ? idps.stranger : changes.bySha1 ? idps.sha1 : idps.own;
      const request = await idp.parseLoginRequest(sp, 'redirect', { query });
      const { id } = (request.extract as { request: { id: string } }).request;
      const acs = String(sp.entityMeta.getAssertionConsumerService('post'));
      const { context } = await idp.createLoginResponse(sp, request as never, 'post', {}, (template: string) => {
        const at = (ms: number) => new Date(Date.now() + ms).toISOString();
        const end = at(changes.endsIn ?? 300_000);
        const values: Record<string, string> = {
          ID: `_${randomBytes(16).toString('hex')}`,
          AssertionID: `_${randomBytes(16).toString('hex')}`,
          IssueInstant: at(0),
          Destination: acs,
          InResponseTo: changes.inResponseTo ?? id,
          Issuer: changes.issuer ?? issuer,
          StatusCode: samlify.Constants.StatusCode.Success,
          NameID: changes.subject ?? 'alice@example.com',
          SubjectConfirmationDataNotOnOrAfter: end,
          SubjectRecipient: changes.recipient ?? acs,
          ConditionsNotBefore: at(changes.beginsIn ?? -1000),
          ConditionsNotOnOrAfter: end,
          Audience: changes.audience ?? String(sp.entityMeta.getEntityID()),
        };
        const groups = (changes.groups ?? ['dba'])
          .map((name) => `<saml:AttributeValue>${name}</saml:AttributeValue>`)
          .join('');
        const attribute = `<saml:Attribute Name="groups">${groups}</saml:Attribute>`;
        const context = template
          .replace('{Groups}', attribute)
          .replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
        return { id: values.ID!, context };
      });
      const xml = Buffer.from(context, 'base64').toString();
      const sent = changes.tamper?.(xml) ?? xml;
      return { SAMLResponse: Buffer.from(sent).toString('base64'), acs };
    },
  };
}

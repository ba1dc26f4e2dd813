import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { type Changes, createSamlIdp, type SamlIdp } from '../../test/servers/saml-idp.ts';
import type { SamlConfig } from '../config/config.ts';
import { SamlLogins } from '../identity/saml-logins.ts';
import { createApi } from './api.ts';
import { type TestServices, testServices } from './test-services.ts';

const URL_OF_SLUICE = 'https://sluice.example:6480';
const REDIRECT = 'http://127.0.0.1:4711/done';

const directory = mkdtempSync(join(tmpdir(), 'sluice-saml-'));
let own: TestServices;
let api: FastifyInstance;
let idp: SamlIdp;

before(async () => {
  const first = await testServices();
  const configWith = (provider: Partial<SamlConfig['idp']>): SamlConfig => ({
    url: URL_OF_SLUICE,
    entityId: `${URL_OF_SLUICE}/api/v1/login/saml/metadata`,
    idp: { issuer: 'https://idp.example', signIn: 'https://idp.example/sign-in', certificate: '', ...provider },
    attributes: { subject: null, groups: 'groups' },
    kind: 'human',
    longestMs: 3_600_000,
  });
  const isLocal = (name: string) => name === 'admin';
  idp = createSamlIdp(directory, () => saml.metadata());
  const certificate = readFileSync(idp.certificate, 'utf8');
  const saml = new SamlLogins(configWith({ certificate }), first.store, first.services.logins, isLocal);
  own = { ...first, services: { ...first.services, saml } };
  api = await createApi(own.services);
});
after(async () => {
  await api.close();
  await own.close();
  rmSync(directory, { recursive: true });
});

const secret = () => randomBytes(32).toString('base64url');

interface Begun {
  /** Where the browser was sent. */
  readonly signIn: string;
  readonly state: string;
  readonly verifier: string;
}

async function begin(): Promise<Begun> {
  const [state, verifier] = [secret(), secret()];
  const query = { redirect: REDIRECT, state, challenge: hash('sha256', verifier, 'base64url') };
  const { statusCode, headers } = await api.inject({ url: '/api/v1/login/saml', query });
  assert.equal(statusCode, 303);
  return { signIn: headers.location!, state, verifier };
}

function post(SAMLResponse: string) {
  return api.inject({
    method: 'POST',
    url: '/api/v1/login/saml/acs',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ SAMLResponse }).toString(),
  });
}

const redeem = (code: string, verifier: string) =>
  api.inject({ method: 'POST', url: '/api/v1/login/saml/token', payload: { code, verifier } });

/** Refused in plain words; the journal has the reason. */
async function isRefused(SAMLResponse: string, reason: RegExp): Promise<void> {
  const { statusCode, body } = await post(SAMLResponse);
  assert.equal(statusCode, 403);
  assert.deepEqual(JSON.parse(body), {
    code: 'login_refused',
    message: 'The login is not accepted. Log in again.',
  });
  const record = own.records.at(-1)!;
  assert.equal(record.event, 'auth.failed');
  assert.match(String(record.reason), reason);
}

const tampered = async (tamper: NonNullable<Changes['tamper']>) =>
  (await idp.respond((await begin()).signIn, { tamper })).SAMLResponse;

describe('a login by SAML', () => {
  test('begins with metadata that a provider can read', async () => {
    const { statusCode, headers, body } = await api.inject({ url: '/api/v1/login/saml/metadata' });
    assert.equal(statusCode, 200);
    assert.match(String(headers['content-type']), /samlmetadata\+xml/);
    assert.match(body, /WantAssertionsSigned="true"/);
  });

  test('ends with a token of its own, from which credentials can be made, until logout', async () => {
    const { signIn, state, verifier } = await begin();
    assert.ok(signIn.startsWith('https://idp.example/sign-in?SAMLRequest='));
    const { SAMLResponse, acs } = await idp.respond(signIn, { groups: ['dba', 'readers'] });
    assert.equal(acs, `${URL_OF_SLUICE}/api/v1/login/saml/acs`);
    const { statusCode, headers } = await post(SAMLResponse);
    assert.equal(statusCode, 303);
    const next = new URL(headers.location!);
    assert.equal(next.origin + next.pathname, REDIRECT);
    assert.equal(next.searchParams.get('state'), state);
    const answer = (await redeem(next.searchParams.get('code')!, verifier)).json();
    const identity = {
      subject: 'alice@example.com',
      kind: 'human',
      groups: ['dba', 'readers'],
      issuer: 'https://idp.example',
    };
    assert.deepEqual(answer.identity, identity);
    assert.deepEqual(own.records.at(-1), {
      event: 'login.created',
      login: answer.token.split('_')[1],
      identity,
      via: 'saml',
      client: { address: '127.0.0.1' },
    });
    const authorization = `Bearer ${answer.token}`;
    const ask = (method: 'GET' | 'POST', url: string, payload?: object) =>
      api.inject({ method, url: `/api/v1${url}`, headers: { authorization }, ...(payload && { payload }) });
    assert.deepEqual((await ask('GET', '/me')).json().identity, identity);
    const made = (await ask('POST', '/credentials', { ttl: 60 })).json();
    assert.ok(await own.services.credentials.find(made.credential.credential));
    assert.deepEqual((await ask('POST', '/logout', {})).json(), { ended: true });
    assert.equal((await ask('GET', '/me')).statusCode, 401);
    assert.equal(await own.services.credentials.find(made.credential.credential), null);
  });

  test('reads its subject as it was signed, whatever comments are put into it', async () => {
    const { signIn, verifier } = await begin();
    const subject = 'alice@example.com.evil.example';
    const { SAMLResponse } = await idp.respond(signIn, {
      subject,
      tamper: (xml) => xml.replace('com.evil', 'com<!-- -->.evil'),
    });
    const { statusCode, headers } = await post(SAMLResponse);
    assert.equal(statusCode, 303);
    const answer = await redeem(new URL(headers.location!).searchParams.get('code')!, verifier);
    assert.equal(answer.json().identity.subject, subject);
  });

  test('gives its code to the program that began it, once, and to nobody else', async () => {
    const finished = async () => {
      const begun = await begin();
      const { headers } = await post((await idp.respond(begun.signIn)).SAMLResponse);
      return { ...begun, code: new URL(headers.location!).searchParams.get('code')! };
    };
    const reasonOf = () => String(own.records.at(-1)?.reason);
    const good = await finished();
    assert.equal((await redeem(good.code, good.verifier)).statusCode, 200);
    assert.equal((await redeem(good.code, good.verifier)).statusCode, 403);
    assert.match(reasonOf(), /code was used before/);
    const stolen = await finished();
    assert.equal((await redeem(stolen.code, secret())).statusCode, 403);
    assert.match(reasonOf(), /without the verifier/);
    assert.equal((await redeem(stolen.code, stolen.verifier)).statusCode, 403);
    assert.equal((await redeem(secret(), stolen.verifier)).statusCode, 403);
    assert.match(reasonOf(), /no such code/);
  });

  test('brings its code to the same machine only', async () => {
    for (const redirect of [
      'https://evil.example/',
      'http://evil.example/',
      'http://127.0.0.1.evil.example/',
      'http://127.0.0.1@evil.example/',
      'http://localhost:1/',
      'javascript:alert(1)',
    ]) {
      const query = { redirect, state: secret(), challenge: secret() };
      assert.equal((await api.inject({ url: '/api/v1/login/saml', query })).statusCode, 400, redirect);
    }
  });
});

describe('a response of a SAML provider is refused', () => {
  test('when it comes again', async () => {
    const { SAMLResponse } = await idp.respond((await begin()).signIn);
    assert.equal((await post(SAMLResponse)).statusCode, 303);
    await isRefused(SAMLResponse, /used before/);
  });

  test('when two come at once, all but one', async () => {
    const { SAMLResponse } = await idp.respond((await begin()).signIn);
    const codes = await Promise.all(Array.from({ length: 5 }, async () => (await post(SAMLResponse)).statusCode));
    assert.deepEqual(codes.sort(), [303, 403, 403, 403, 403]);
  });

  test('when it answers no request of ours', async () => {
    const { SAMLResponse } = await idp.respond((await begin()).signIn, { inResponseTo: '_0123456789' });
    await isRefused(SAMLResponse, /answers no request of ours/);
  });

  const cases: [string, Changes, RegExp][] = [
    ['that is for another service', { audience: 'https://other.example' }, /audience mismatch/],
    ['that is for another address', { recipient: 'https://other.example/acs' }, /another recipient/],
    ['that has expired', { endsIn: -60_000 }, /expired/],
    ['that is not valid yet', { beginsIn: 120_000 }, /not yet valid/],
    ['of another issuer', { issuer: 'https://other.example' }, /another issuer: "https:\/\/other\.example"/],
    ['that is signed by another key', { byStranger: true }, /Invalid signature/],
    ['that is signed with SHA-1', { bySha1: true }, /algorithm that is not accepted/],
    ['that would pass for a user of sluice.yaml', { subject: 'admin' }, /"admin" is a user of sluice\.yaml/],
    ['whose subject has control characters', { subject: 'a&#10;b' }, /does not name its subject/],
    ['with more groups than rules can go through', { groups: Array.from({ length: 501 }, (_, i) => `g${i}`) }, /500/],
  ];
  for (const [what, changes, reason] of cases) {
    test(what, async () => {
      await isRefused((await idp.respond((await begin()).signIn, changes)).SAMLResponse, reason);
    });
  }

  test('without a signature', async () => {
    const unsigned = await tampered((xml) => xml.replace(/<ds:Signature.*<\/ds:Signature>/s, ''));
    await isRefused(unsigned, /Invalid signature/);
  });

  test('that was changed after it was signed', async () => {
    await isRefused(await tampered((xml) => xml.replace('alice@', 'admin@')), /Invalid signature/);
    await isRefused(await tampered((xml) => xml.replace('>dba<', '>admins<')), /Invalid signature/);
  });

  test('whose signature is of another assertion than the one that is read', async () => {
    const assertionOf = (xml: string) => /<saml:Assertion.*<\/saml:Assertion>/s.exec(xml)![0];
    const forgedFrom = (assertion: string) =>
      assertion
        .replace(/<ds:Signature.*<\/ds:Signature>/s, '')
        .replace('alice@', 'mallory@')
        .replace(/ID="_[0-9a-f]+"/, 'ID="_forged"');
    const signatureOf = (xml: string) => /<ds:Signature.*<\/ds:Signature>/s.exec(xml)![0];
    const wrappings: ((xml: string) => string)[] = [
      // The forged one before the signed one, behind it, around it, in its signature, and with its id.
      (xml) => xml.replace(assertionOf(xml), forgedFrom(assertionOf(xml)) + assertionOf(xml)),
      (xml) => xml.replace(assertionOf(xml), assertionOf(xml) + forgedFrom(assertionOf(xml))),
      (xml) => {
        const forged = forgedFrom(assertionOf(xml)).replace('</saml:Issuer>', `</saml:Issuer>${signatureOf(xml)}`);
        const object = `<ds:Object>${assertionOf(xml).replace(signatureOf(xml), '')}</ds:Object></ds:Signature>`;
        return xml.replace(assertionOf(xml), forged.replace('</ds:Signature>', object));
      },
      (xml) => {
        const extensions = `<samlp:Extensions>${assertionOf(xml)}</samlp:Extensions>`;
        return xml
          .replace(assertionOf(xml), forgedFrom(assertionOf(xml)))
          .replace('<samlp:Status>', `${extensions}<samlp:Status>`);
      },
      (xml) =>
        xml.replace(
          assertionOf(xml),
          forgedFrom(assertionOf(xml)).replace('</saml:Assertion>', `${assertionOf(xml)}</saml:Assertion>`),
        ),
      (xml) => {
        const id = /<saml:Assertion ID="([^"]+)"/.exec(xml)![1]!;
        return xml.replace(assertionOf(xml), forgedFrom(assertionOf(xml)).replace('_forged', id) + assertionOf(xml));
      },
    ];
    for (const wrap of wrappings) await isRefused(await tampered(wrap), /SAML: it /);
  });

  test('that is no response', async () => {
    const declared = await tampered((xml) => `<!DOCTYPE r [<!ENTITY x "y">]>${xml}`);
    await isRefused(declared, /DOCTYPE/);
    for (const text of ['', 'nonsense', '<a/>', '<samlp:Response/>']) {
      await isRefused(Buffer.from(text).toString('base64'), /SAML: it /);
    }
  });
});

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { OidcConfig } from '../config/config.ts';
import { AccessUnknown } from './access-unknown.ts';
import { OidcTokens } from './oidc-tokens.ts';
import { TokenRefused } from './token-verifier.ts';

/** Claims of a token; `undefined` leaves one out that it would have. */
type Claims = { readonly [Name in keyof JWTPayload]: JWTPayload[Name] | undefined };
type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>;

let server: Server;
let issuer: string;
let keys: KeyPair;
/** What the provider publishes; a test may change it. */
let published: object[];
let answers: 'well' | 'not at all' | 'without keys' | 'as another issuer';
let asked: string[];

before(async () => {
  keys = await generateKeyPair('ES256', { extractable: true });
  server = createServer((request, response) => {
    asked.push(request.url!);
    if (answers === 'not at all') response.writeHead(503).end();
    else if (request.url === '/keys' && answers === 'without keys') response.writeHead(500).end();
    else if (request.url === '/keys') response.end(JSON.stringify({ keys: published }));
    else {
      const named = answers === 'as another issuer' ? 'https://other.example' : issuer;
      response.end(JSON.stringify({ issuer: named, jwks_uri: `${issuer}/keys` }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.close();
});
beforeEach(async () => {
  published = [{ ...(await exportJWK(keys.publicKey)), kid: 'one' }];
  answers = 'well';
  asked = [];
});

function verifier(changes: Partial<OidcConfig> = {}): OidcTokens {
  const config: OidcConfig = {
    issuer,
    audience: ['sluice'],
    claims: { subject: 'sub', groups: 'groups', kind: 'sluice_kind', owner: 'act.sub' },
    kind: 'agent',
    require: {},
    login: null,
    ...changes,
  };
  return new OidcTokens([config], (subject) => subject === 'local');
}

const now = () => Math.floor(Date.now() / 1000);

function token(payload: Claims = {}, { key = keys, kid = 'one' } = {}): Promise<string> {
  return new SignJWT({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60, ...payload } as JWTPayload)
    .setProtectedHeader({ alg: 'ES256', kid })
    .sign(key.privateKey);
}

const refused =
  (pattern: RegExp, kind: typeof TokenRefused | typeof AccessUnknown = TokenRefused) =>
  (error: unknown) => {
    assert.ok(error instanceof kind, String(error));
    assert.match(error.message, pattern);
    return true;
  };

describe('a token that is accepted', () => {
  test('says who it is, on whose behalf, and until when', async () => {
    const exp = now() + 60;
    const given = await token({ exp, groups: ['readers', 7, ''], sluice_kind: 'service', act: { sub: 'alice' } });
    assert.deepEqual(await verifier().verify(given), {
      identity: { subject: 'bot', kind: 'service', groups: ['readers'], issuer, owner: 'alice' },
      expiresAt: exp * 1000,
    });
  });

  test('has the configured kind, no groups and no owner where no claim says otherwise', async () => {
    const { identity } = await verifier({ kind: 'human' }).verify(await token());
    assert.deepEqual(identity, { subject: 'bot', kind: 'human', groups: [], issuer });
  });

  test('may have claims whose names have dots in them', async () => {
    const claims = { subject: 'sub', groups: 'https://sluice.example/groups', kind: null, owner: null };
    const given = await token({ 'https://sluice.example/groups': 'one' });
    assert.deepEqual((await verifier({ claims }).verify(given)).identity.groups, ['one']);
  });

  test('may have its claims inside of others whose names have dots in them', async () => {
    const claims = {
      subject: 'sub',
      groups: 'kubernetes.io.namespace',
      kind: null,
      owner: 'kubernetes.io.serviceaccount.name',
    };
    const given = await token({ 'kubernetes.io': { namespace: 'batch', serviceaccount: { name: 'reports' } } });
    const { identity } = await verifier({ claims }).verify(given);
    assert.deepEqual([identity.groups, identity.owner], [['batch'], 'reports']);
  });

  test('costs one look at the keys for all tokens', async () => {
    const tokens = verifier();
    for (let i = 0; i < 3; i++) await tokens.verify(await token());
    assert.deepEqual(asked, ['/.well-known/openid-configuration', '/keys']);
  });
});

describe('a token is refused', () => {
  const cases: [string, Claims, RegExp][] = [
    ['that has expired', { exp: 1 }, /expired/],
    ['that expired a moment ago, whatever the skew of the clocks', { exp: now() - 2 }, /expired/],
    ['that never expires', { exp: undefined }, /no claim "exp"/],
    ['that is not valid yet', { nbf: now() + 3600 }, /not valid yet/],
    ['for another audience', { aud: 'billing' }, /another audience/],
    ['without an audience', { aud: undefined }, /audience/],
    ['of another issuer', { iss: 'https://evil.example' }, /"https:\/\/evil\.example" is not configured/],
    ['without an issuer', { iss: undefined }, /null is not configured/],
    ['without a subject', { sub: undefined }, /no claim "sub"/],
    ['with control characters in its subject', { sub: 'a\nb' }, /no claim "sub"/],
    ['that would pass for a user of sluice.yaml', { sub: 'local' }, /"local" is a user of sluice\.yaml/],
    ['that is a logout token', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, /events/],
    ['with a kind there is not', { sluice_kind: 'admin' }, /human, agent or service/],
    [
      'with more groups than rules can go through',
      { groups: Array.from({ length: 501 }, (_, i) => `g${i}`) },
      /500 groups/,
    ],
  ];
  for (const [what, payload, reason] of cases) {
    test(what, async () => {
      await assert.rejects(verifier().verify(await token(payload)), refused(reason));
    });
  }

  test('without a claim that is required', async () => {
    const tokens = verifier({ require: { azp: ['runner'], env: ['prod', 'stage'] } });
    await assert.rejects(tokens.verify(await token({ azp: 'runner' })), refused(/"env"/));
    await assert.rejects(tokens.verify(await token({ azp: 'other', env: 'prod' })), refused(/"azp"/));
    await tokens.verify(await token({ azp: 'runner', env: 'stage' }));
  });

  test('signed with the public key as if it were a shared secret', async () => {
    const jwk = await exportJWK(keys.publicKey);
    const forged = await new SignJWT({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60 })
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      .sign(new TextEncoder().encode(JSON.stringify(jwk)));
    await assert.rejects(verifier().verify(forged), refused(/algorithm/));
  });

  test('without a signature', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const bare = `${part({ alg: 'none' })}.${part({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60 })}.`;
    await assert.rejects(verifier().verify(bare), refused(/algorithm that is not accepted/));
  });

  test('that brings the key it is signed with', async () => {
    const own = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(own.publicKey);
    const forged = await new SignJWT({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60 })
      .setProtectedHeader({ alg: 'ES256', kid: 'mine', jwk })
      .sign(own.privateKey);
    await assert.rejects(verifier().verify(forged), refused(/does not have: one for ES256 named "mine"/));
  });

  test('whose algorithm is for another kind of key than the one it names', async () => {
    const rsa = await generateKeyPair('RS256');
    const forged = await new SignJWT({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60 })
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .sign(rsa.privateKey);
    await assert.rejects(verifier().verify(forged), refused(/does not have: one for RS256 named "one"/));
  });

  test('that is bound to a key which the client has not shown', async () => {
    const bound = await token({ cnf: { 'x5t#S256': 'of the certificate' } });
    for (const certificate of [null, 'of another certificate']) {
      await assert.rejects(verifier().verify(bound, certificate), refused(/bound to a certificate/));
    }
    await verifier().verify(bound, 'of the certificate');
    await assert.rejects(verifier().verify(await token({ cnf: { jkt: 'x' } }), 'x'), refused(/in a way that is not/));
  });

  test('that does not say which of several keys signed it', async () => {
    const given = await new SignJWT({ iss: issuer, aud: 'sluice', sub: 'bot', exp: now() + 60 })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(keys.privateKey);
    await verifier().verify(given);
    const other = await generateKeyPair('ES256', { extractable: true });
    published = [...published, { ...(await exportJWK(other.publicKey)), kid: 'two' }];
    await assert.rejects(verifier().verify(given), refused(/does not say which key/));
  });

  test('with another key under the name of a known one', async () => {
    const other = await generateKeyPair('ES256');
    await assert.rejects(verifier().verify(await token({}, { key: other })), refused(/signature/));
  });

  test('that was changed after it was signed', async () => {
    const [head, , signature] = (await token()).split('.');
    const payload = Buffer.from(JSON.stringify({ iss: issuer, aud: 'sluice', sub: 'root', exp: now() + 60 }));
    await assert.rejects(
      verifier().verify(`${head}.${payload.toString('base64url')}.${signature}`),
      refused(/signature/),
    );
  });

  test('that is none', async () => {
    for (const text of ['', 'hunter2', 'a.b.c', 'e30.e30.e30']) {
      await assert.rejects(verifier().verify(text), refused(/not a JWT|not configured/));
    }
  });
});

describe('the keys of a provider', () => {
  test('are asked for again when a token names one that is not known', async (t) => {
    const tokens = verifier();
    await tokens.verify(await token());
    const next = await generateKeyPair('ES256', { extractable: true });
    published = [{ ...(await exportJWK(next.publicKey)), kid: 'two' }];
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 6_000 });
    await tokens.verify(await token({}, { key: next, kid: 'two' }));
    await assert.rejects(tokens.verify(await token()), refused(/key that the provider does not have/));
  });

  test('that cannot be had refuse every token, until they can', async () => {
    const tokens = verifier();
    answers = 'not at all';
    await assert.rejects(tokens.verify(await token()), refused(/cannot be asked for its keys/, AccessUnknown));
    answers = 'well';
    await tokens.verify(await token());
  });

  test('that the provider stops to answer with hold until they are old, then every token is refused', async (t) => {
    const tokens = verifier();
    await tokens.verify(await token());
    answers = 'without keys';
    await tokens.verify(await token());
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 601_000 });
    await assert.rejects(tokens.verify(await token()), refused(/cannot be asked for its keys/, AccessUnknown));
    answers = 'well';
    await tokens.verify(await token());
  });

  test('are not taken from a document about another issuer', async () => {
    answers = 'as another issuer';
    await assert.rejects(verifier().verify(await token()), refused(/another issuer/, AccessUnknown));
  });
});

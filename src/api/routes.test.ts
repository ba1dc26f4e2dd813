import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { Backoff } from '../identity/backoff.ts';
import type { Use } from '../identity/inventory.ts';
import { createApi } from './api.ts';
import { type TestServices, testServices } from './test-services.ts';

interface Agent {
  readonly id: string;
  readonly identity: { readonly subject: string };
  readonly state_changed: { readonly by: string; readonly reason: string } | null;
  readonly first_used: string | null;
  readonly last_used: string | null;
  readonly sessions: number;
  readonly statements: object;
  readonly clients: readonly string[];
  readonly credentials: { readonly live: number };
  readonly stale: readonly string[];
  readonly unused_grants: readonly object[];
}

let own: TestServices;
let api: FastifyInstance;
let backoffClock = 0;
let recordingFailure: string | null = null;
let reloadFailure: string | null = null;

before(async () => {
  own = await testServices({
    reload: async () => reloadFailure,
    recordingFailure: () => recordingFailure,
    backoff: new Backoff(() => backoffClock),
  });
  api = await createApi(own.services);
});
after(async () => {
  await api.close();
  await own.close();
});

const basic = (user: string, password = 'secret') => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

function ask(
  method: 'GET' | 'POST',
  path: string,
  authorization: string | null = null,
  body?: object,
  from = '127.0.0.1',
): Promise<LightMyRequestResponse> {
  // What goes on for ever is not waited for.
  const payloadAsStream = path.endsWith('/events') && from === '127.0.0.1';
  return api.inject({
    method,
    payloadAsStream,
    url: `/api/v1${path}`,
    remoteAddress: from,
    ...(authorization !== null && { headers: { authorization } }),
    ...(body && { payload: body }),
  });
}

interface Operation {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly audience: string;
}

async function operations(): Promise<Operation[]> {
  const document = (await ask('GET', '/openapi.json')).json<{
    paths: Record<string, Record<string, { 'x-audience': string }>>;
  }>();
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase() as Operation['method'],
      path: path.replace('/api/v1', '').replaceAll(/\{[^}]*\}/g, '0123456789abcdef'),
      audience: operation['x-audience'],
    })),
  );
}

/** Who may use a route of each audience; the document has no others. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  public: ['viewer', 'approver', 'auditor', 'admin', 'robot', 'nobody', 'agent'],
  anyone: ['viewer', 'approver', 'auditor', 'admin', 'robot', 'nobody', 'agent'],
  viewer: ['viewer', 'approver', 'auditor', 'admin', 'robot'],
  // A service is in the group, too; but only people vote.
  approver: ['approver'],
  auditor: ['auditor', 'admin', 'robot'],
  admin: ['admin', 'robot'],
};

describe('every route of the OpenAPI document', () => {
  test('is there, with what it is for and who may use it', async () => {
    const all = await operations();
    assert.ok(all.length >= 7, `only ${all.length}`);
    for (const { audience, method, path } of all) assert.ok(audience in MAY, `${method} ${path}`);
  });

  test('answers nobody who has not logged in', async () => {
    for (const { method, path, audience } of await operations()) {
      if (audience === 'public') continue;
      backoffClock += 600_000;
      for (const authorization of [
        null,
        basic('admin', 'wrong'),
        basic('who'),
        'Bearer nonsense',
        'Bearer slt_0_0',
        'x',
      ]) {
        const { statusCode, headers } = await ask(method, path, authorization);
        assert.equal(statusCode, 401, `${method} ${path} ${authorization}`);
        assert.ok(headers['www-authenticate']);
      }
    }
  });

  test('lets in those with its role and no others; an agent has none, whatever groups it is in', async () => {
    for (const { method, path, audience } of await operations()) {
      for (const user of MAY.public!) {
        const { statusCode } = await ask(method, path, basic(user), method === 'POST' ? {} : undefined);
        const may = MAY[audience]!.includes(user);
        assert.equal(statusCode === 403, !may, `${user}: ${method} ${path} is ${statusCode}`);
      }
    }
    assert.ok(own.records.some(({ event, by }) => event === 'api.refused' && JSON.stringify(by).includes('"agent"')));
  });

  test('is closed to the short-lived credential of an agent, which is for databases', async () => {
    const made = await ask('POST', '/credentials', basic('admin'), { agent: { name: 'bot', groups: ['admin'] } });
    const { credential, secret } = made.json<{ credential: { credential: string }; secret: string }>();
    for (const { method, path, audience } of await operations()) {
      if (audience === 'public') continue;
      backoffClock += 600_000;
      for (const authorization of [basic(credential.credential, secret), `Bearer ${secret}`]) {
        assert.equal((await ask(method, path, authorization)).statusCode, 401, `${method} ${path}`);
      }
    }
  });

  test('is closed to other machines without TLS, whoever asks', async () => {
    for (const { method, path } of await operations()) {
      const { statusCode, body } = await ask(method, path, basic('admin'), undefined, '10.0.0.1');
      assert.equal(statusCode, 403, `${method} ${path}`);
      assert.match(body, /HTTPS only/);
    }
  });
});

test('who guesses passwords is not heard for a while', async () => {
  const from = '127.0.0.9';
  for (let tries = 0; tries < 10; tries++) {
    assert.equal((await ask('GET', '/me', basic('viewer', `guess ${tries}`), undefined, from)).statusCode, 401);
  }
  const { statusCode, body } = await ask('GET', '/me', basic('viewer'), undefined, from);
  assert.equal(statusCode, 429);
  assert.match(body, /try again in \d+ s/);
  backoffClock += 600_000;
  assert.equal((await ask('GET', '/me', basic('viewer'), undefined, from)).statusCode, 200);
});

test('an address that sends too many requests is not heard for a while, whoever it is', async () => {
  const from = '127.0.0.8';
  for (let sent = 0; sent < 1200; sent++) await ask('GET', '/me', null, undefined, from);
  const { statusCode, body } = await ask('GET', '/me', basic('viewer'), undefined, from);
  assert.equal(statusCode, 429);
  assert.match(body, /too_many_requests/);
  assert.equal((await ask('GET', '/me', basic('viewer'), undefined, '127.0.0.7')).statusCode, 200);
});

test('a user that needs a certificate does not get in with the password alone', async () => {
  assert.equal((await ask('GET', '/me', basic('certified'))).statusCode, 401);
});

test('a page of another site cannot have a browser do what its user may', async () => {
  const send = (origin: string) =>
    api.inject({
      method: 'POST',
      url: '/api/v1/reload',
      headers: { authorization: basic('admin'), host: '127.0.0.1:6480', origin },
    });
  for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:6481', 'nonsense']) {
    const { statusCode, body } = await send(origin);
    assert.equal(statusCode, 403, origin);
    assert.match(body, /another site/);
  }
  assert.equal((await send('http://127.0.0.1:6480')).statusCode, 200);
});

test('a login has a token that ends with it', async () => {
  const { logins } = own.services;
  const identity = { subject: 'carol', kind: 'human', groups: ['viewer'], issuer: 'https://idp.example' } as const;
  const { token, id } = await logins.create({ identity, expiresAt: Date.now() + 60_000 });
  const me = (await ask('GET', '/me', `Bearer ${token}`)).json();
  assert.deepEqual(me.identity, { ...identity, groups: ['viewer'] });
  assert.deepEqual(me.roles, ['viewer']);
  const made = await ask('POST', '/credentials', `Bearer ${token}`, { ttl: 7200 });
  assert.equal(made.statusCode, 201);
  // Not longer than the login it comes from.
  assert.ok(Date.parse(made.json().credential.expires) <= Date.parse(me.expires));
  await logins.end(id);
  assert.equal((await ask('GET', '/me', `Bearer ${token}`)).statusCode, 401);
  const all = (await ask('GET', '/credentials?all=true', basic('auditor'))).json().credentials;
  assert.equal(
    all.find((each: { credential: string }) => each.credential === made.json().credential.credential).state,
    'revoked',
  );
  const { token: late } = await logins.create({ identity, expiresAt: Date.now() - 1 });
  assert.equal((await ask('GET', '/me', `Bearer ${late}`)).statusCode, 401);
  assert.equal((await ask('GET', '/me', `Bearer ${token.slice(0, -1)}_`)).statusCode, 401);
});

describe('a credential', () => {
  test('is made for oneself, with its secret told once, and the places to use it', async () => {
    const made = await ask('POST', '/credentials', basic('nobody'), { connections: ['stock'], ttl: 60 });
    assert.equal(made.statusCode, 201);
    const { credential, secret, connections } = made.json();
    assert.equal(credential.identity.subject, 'nobody');
    assert.equal(credential.state, 'live');
    assert.deepEqual(connections, [{ name: 'stock', protocol: 'mysql', address: '127.0.0.1:6306', tls: false }]);
    assert.ok(secret.length >= 32);
    const record = own.records.findLast(({ event }) => event === 'credential.created')!;
    assert.equal(record.credential, credential.credential);
    assert.ok(!JSON.stringify(own.records).includes(secret));
    const { credentials } = (await ask('GET', '/credentials', basic('nobody'))).json();
    assert.ok(!JSON.stringify(credentials).includes(secret));
    assert.ok(
      credentials.length > 0 && credentials.every((each: typeof credential) => each.identity.subject === 'nobody'),
    );
  });

  test('lives no longer than is configured', async () => {
    const { credential } = (await ask('POST', '/credentials', basic('nobody'), { ttl: 1_000_000 })).json();
    const life = Date.parse(credential.expires) - Date.parse(credential.created);
    assert.ok(Math.abs(life - 7_200_000) < 1000, `${life} ms`);
  });

  test('is for an agent of its maker, in groups of its maker at most', async () => {
    const agent = { name: 'bot', groups: ['viewer'] };
    const { credential } = (await ask('POST', '/credentials', basic('viewer'), { agent })).json();
    const identity = { subject: 'viewer/bot', kind: 'agent', groups: ['viewer'], owner: 'viewer' };
    assert.deepEqual(credential.identity, identity);
    const greedy = { name: 'bot', groups: ['admin'] };
    assert.equal((await ask('POST', '/credentials', basic('viewer'), { agent: greedy })).statusCode, 403);
    assert.equal((await ask('POST', '/credentials', basic('agent'), { agent })).statusCode, 403);
    assert.equal((await ask('POST', '/credentials', basic('viewer'), { agent: { name: 'a/b' } })).statusCode, 400);
  });

  test('is for no agent that is somebody else already', async () => {
    const taken = { subject: 'viewer/taken', kind: 'agent', groups: [], issuer: 'https://idp.example' } as const;
    await own.services.inventory.enlist([taken]);
    const { statusCode, body } = await ask('POST', '/credentials', basic('viewer'), { agent: { name: 'taken' } });
    assert.equal(statusCode, 409);
    assert.match(body, /somebody else/);
    for (let again = 0; again < 2; again++) {
      assert.equal((await ask('POST', '/credentials', basic('viewer'), { agent: { name: 'own' } })).statusCode, 201);
    }
  });

  test('is revoked by its maker or an administrator, by nobody else', async () => {
    const { credential } = (await ask('POST', '/credentials', basic('nobody'), {})).json();
    const path = `/credentials/${credential.credential}/revoke`;
    assert.equal((await ask('POST', path, basic('agent'), {})).statusCode, 404);
    assert.equal((await ask('POST', path, basic('auditor'), {})).statusCode, 404);
    assert.deepEqual((await ask('POST', path, basic('admin'), { reason: 'leaked' })).json(), { revoked: true });
    assert.deepEqual((await ask('POST', path, basic('nobody'))).json(), { revoked: false });
    const { credentials } = (await ask('GET', '/credentials', basic('nobody'))).json();
    const [shown] = credentials.filter((each: typeof credential) => each.credential === credential.credential);
    assert.equal(shown.state, 'revoked');
    assert.deepEqual({ ...shown.revoked, at: null }, { at: null, by: 'admin', reason: 'leaked' });
  });

  test('is not made while that cannot be recorded, nor in any number', async () => {
    recordingFailure = 'ENOSPC';
    assert.equal((await ask('POST', '/credentials', basic('robot'), {})).statusCode, 503);
    recordingFailure = null;
    assert.equal((await ask('POST', '/credentials', basic('robot'), {})).statusCode, 201);
    const [row] = await own.store
      .selectFrom('credentials')
      .selectAll()
      .where('subject', '=', 'robot')
      .where('revoked_at', 'is', null)
      .execute();
    const many = Array.from({ length: 499 }, (_, n) => ({ ...row!, id: `sl_${n}` }));
    await own.store.insertInto('credentials').values(many).execute();
    const { statusCode, body } = await ask('POST', '/credentials', basic('robot'), {});
    assert.equal(statusCode, 429);
    assert.match(body, /500 credentials/);
  });

  test('of an unknown connection, or with a key that is not known, is not made', async () => {
    for (const body of [{ connections: ['x'] }, { connections: [] }, { ttl: 'long' }, { ttl: 1 }]) {
      assert.equal((await ask('POST', '/credentials', basic('nobody'), body)).statusCode, 400, JSON.stringify(body));
    }
  });
});

test('a reload that fails says why', async () => {
  assert.deepEqual((await ask('POST', '/reload', basic('admin'))).json(), { reloaded: true });
  reloadFailure = 'x.yaml:1:1: no';
  const { statusCode, body } = await ask('POST', '/reload', basic('admin'));
  assert.equal(statusCode, 409);
  assert.match(body, /x\.yaml:1:1: no/);
});

describe('agents', () => {
  const identity = { subject: 'dora/etl', kind: 'agent', groups: [], owner: 'dora' } as const;
  const did = (uses: Use[]) =>
    own.activities.push({
      identity,
      connection: 'shop',
      credential: null,
      sessions: 1,
      allowed: 3,
      held: 1,
      denied: 2,
      uses,
    });
  const agents = async (query = ''): Promise<Agent[]> =>
    (await ask('GET', `/agents?${query}`, basic('viewer'))).json().agents;
  const named = async (query = ''): Promise<Agent | undefined> =>
    (await agents(query)).find((agent) => agent.identity.subject === identity.subject);

  test('are listed with owner, age, verdicts and clients, counted up', async () => {
    did([{ aspect: 'client', name: 'psql', count: 1 }]);
    did([
      { aspect: 'client', name: 'mysql2', count: 1 },
      { aspect: 'rule', name: 'reads', count: 3 },
      { aspect: 'effect', name: 'read public.orders', count: 3 },
    ]);
    await own.services.inventory.write();
    did([{ aspect: 'rule', name: 'reads', count: 4 }]);
    await own.services.inventory.write();
    const agent = (await named())!;
    assert.deepEqual(agent.identity, identity);
    assert.deepEqual(agent.statements, { allowed: 9, held: 3, denied: 6 });
    assert.equal(agent.sessions, 3);
    assert.deepEqual(agent.clients, ['mysql2', 'psql']);
    assert.ok(Date.parse(agent.last_used!) >= Date.parse(agent.first_used!));
    assert.deepEqual(agent.stale, []);
    const detail = (await ask('GET', '/agents/dora%2Fetl', basic('viewer'))).json();
    assert.equal(detail.id, agent.id);
    const [effect] = detail.effects;
    assert.deepEqual([effect.name, effect.count], ['read public.orders', 3]);
    const rule = detail.rules.find((use: { name: string }) => use.name === 'reads');
    assert.equal(rule.count, 7);
  });

  test('have what they may do and do not, by connection', async () => {
    const grants = [
      { connection: 'shop', rule: 'writes' },
      { connection: 'stock', rule: 'reads' },
      { connection: 'stock', rule: 'writes' },
    ];
    assert.deepEqual((await named())!.unused_grants, grants);
    assert.ok((await named('over_privileged=true')) !== undefined);
    // Nothing counts as used where the time that is asked about has no length.
    await sleep(5);
    assert.equal((await named('days=0'))!.unused_grants.length, 4);
  });

  test('are stale when they were never used, not for long, or a credential of theirs was not', async () => {
    assert.equal(await named('stale=true'), undefined);
    const { credential } = await own.services.credentials.create({
      identity,
      connections: null,
      expiresAt: Date.now() + 3_600_000,
      by: identity,
      login: null,
    });
    assert.deepEqual((await named())!.stale, []);
    await own.store
      .updateTable('credentials')
      .set({ created_at: Date.now() - 3_600_000 })
      .where('id', '=', credential.id)
      .execute();
    assert.deepEqual((await named('stale=true'))!.stale, [`credential ${credential.id} was never used`]);
    own.activities.push({
      identity,
      connection: 'shop',
      credential: credential.id,
      sessions: 1,
      allowed: 0,
      held: 0,
      denied: 0,
      uses: [],
    });
    await own.services.inventory.write();
    assert.equal(await named('stale=true'), undefined);
    assert.equal((await named())!.credentials.live, 1);
    await own.store.updateTable('identities').set({ last_used: 1 }).where('subject', '=', identity.subject).execute();
    assert.deepEqual((await named('stale=true'))!.stale, ['not used in 30 days']);
  });

  test('are locked, unlocked and retired by administrators, which the journal tells', async () => {
    const { access } = own.services;
    const act = (verb: string) => ask('POST', `/agents/dora%2Fetl/${verb}`, basic('admin'), { reason: 'odd' });
    assert.equal((await act('lock')).json().state, 'locked');
    assert.equal(access.refusal({ identity }), 'it is locked (odd)');
    const { by, ...changed } = (await named())!.state_changed!;
    assert.deepEqual([by, changed.reason], ['admin', 'odd']);
    assert.equal((await act('unlock')).json().state, 'active');
    assert.equal(access.refusal({ identity }), null);
    assert.equal((await act('retire')).json().state, 'retired');
    assert.equal((await act('unlock')).statusCode, 409);
    assert.equal(access.refusal({ identity }), 'it is retired (odd)');
    assert.equal((await named())!.credentials.live, 0);
    const events = own.records.map(({ event }) => String(event)).filter((event) => event.startsWith('identity.'));
    assert.deepEqual(events, ['identity.locked', 'identity.unlocked', 'identity.retired', 'identity.unlocked']);
  });

  test('end with their owner, who need not have been here', async () => {
    const other = { ...identity, subject: 'dora/other' };
    await own.services.inventory.enlist([other]);
    assert.equal((await ask('POST', '/agents/dora/lock', basic('admin'), {})).statusCode, 200);
    assert.equal(own.services.access.refusal({ identity: other }), 'its owner is locked');
  });

  test('of the same name at two providers are told apart by id', async () => {
    const one = { subject: 'twin', kind: 'agent', groups: [], issuer: 'https://one.example' } as const;
    await own.services.inventory.enlist([one, { ...one, issuer: 'https://two.example' }]);
    const { statusCode, body } = await ask('POST', '/agents/twin/lock', basic('admin'), {});
    assert.equal(statusCode, 409);
    const id = /([\w-]{20}) \(https:\/\/two\.example\)/.exec(body)![1];
    assert.equal((await ask('POST', `/agents/${id}/lock`, basic('admin'), {})).statusCode, 200);
    assert.equal(own.services.access.refusal({ identity: one }), null);
    assert.equal((await ask('POST', '/agents/nobody-of-this-name/lock', basic('admin'), {})).statusCode, 404);
  });
});

test('while the store does not answer, who cannot be looked up is told to try again', async () => {
  const broken = await testServices();
  const server = await createApi(broken.services);
  const asked = (authorization: string) => server.inject({ url: '/api/v1/me', headers: { authorization } });
  assert.equal((await asked(basic('viewer'))).statusCode, 200);
  await broken.store.schema.dropTable('logins').execute();
  const { statusCode, body } = await asked('Bearer slt_00_00');
  assert.equal(statusCode, 503);
  assert.match(body, /cannot find out now/);
  assert.ok(!body.includes('logins'));
  await server.close();
  await broken.close();
});

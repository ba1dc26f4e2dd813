import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, exportSPKI, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { freePort } from './servers/free-port.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** Tokens that a cluster gives to its service accounts and a CI system to its jobs, as passwords in both protocols. */

type Keys = Awaited<ReturnType<typeof generateKeyPair>>;

let postgres: PostgresServer;
let mariadb: MysqlFamilyServer | null;
let sluice: Sluice;
let issuers: Server;
let cluster: string;
let ci: string;
let gone: string;
let clusterKeys: Keys;
let ciKeys: Keys;
/** What the issuers publish, by path. */
const published = new Map<string, object[]>();

before(async () => {
  clusterKeys = await generateKeyPair('RS256', { extractable: true });
  ciKeys = await generateKeyPair('ES256', { extractable: true });
  issuers = createServer((request, response) => {
    const url = request.url!;
    const [, name] = url.split('/');
    if (url.endsWith('/keys')) response.end(JSON.stringify({ keys: published.get(name!) }));
    else response.end(JSON.stringify({ issuer: `${base}/${name}`, jwks_uri: `${base}/${name}/keys` }));
  });
  issuers.listen(0, '127.0.0.1');
  await once(issuers, 'listening');
  const base = `http://127.0.0.1:${(issuers.address() as AddressInfo).port}`;
  cluster = `${base}/cluster`;
  ci = `${base}/ci`;
  gone = `http://127.0.0.1:${await freePort()}`;
  published.set('cluster', [{ ...(await exportJWK(clusterKeys.publicKey)), kid: 'c1' }]);
  published.set('ci', [
    { ...(await exportJWK(ciKeys.publicKey)), kid: 'j1' },
    { ...(await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey)), kid: 'j2' },
  ]);

  [postgres, mariadb] = await Promise.all([startPostgres({ config: { log_connections: 'on' } }), startMariadb()]);
  const upstreams = [
    { name: 'shop', protocol: 'postgres' as const, server: postgres },
    ...(mariadb === null ? [] : [{ name: 'stock', protocol: 'mysql' as const, server: mariadb }]),
  ];
  sluice = await startSluice({
    connections: upstreams.map(({ name, protocol, server }) => {
      const { host, port, database, superuser: user, password } = server;
      return { name, protocol, upstream: { host, port, database, user, password } };
    }),
    users: [],
    oidc: [
      {
        issuer: cluster,
        audience: 'sluice',
        claims: { groups: 'kubernetes.io.namespace' },
        kind: 'service',
        require: { 'kubernetes.io.namespace': ['batch', 'reports'] },
      },
      {
        issuer: ci,
        audience: ['https://sluice.example', 'sluice'],
        claims: { groups: 'repository', owner: 'actor' },
        require: { repository_owner: 'shop' },
      },
      { issuer: gone, audience: 'sluice' },
    ],
    tls: true,
  });
});
after(async () => {
  await sluice?.stop();
  issuers?.close();
  await Promise.all([postgres?.stop(), mariadb?.stop()]);
});

const now = () => Math.floor(Date.now() / 1000);

/** What a cluster projects into a pod. */
const serviceAccount = (
  changes: object = {},
  header: object = {},
  keys: Keys['privateKey'] | Uint8Array = clusterKeys.privateKey,
) =>
  signed(
    {
      iss: cluster,
      aud: ['sluice', 'https://kubernetes.default.svc'],
      sub: 'system:serviceaccount:batch:nightly',
      'kubernetes.io': { namespace: 'batch', pod: { name: 'nightly-7' }, serviceaccount: { name: 'nightly' } },
      ...changes,
    },
    { alg: 'RS256', kid: 'c1', ...header },
    keys,
  );
/** What a CI system gives to a job. */
const job = (changes: object = {}, header: object = {}, keys = ciKeys.privateKey) =>
  signed(
    {
      iss: ci,
      aud: 'https://sluice.example',
      sub: 'repo:shop/reports:ref:refs/heads/main',
      repository: 'shop/reports',
      repository_owner: 'shop',
      actor: 'alice',
      ...changes,
    },
    { alg: 'ES256', kid: 'j1', ...header },
    keys,
  );
function signed(payload: JWTPayload, header: object, key: Keys['privateKey'] | Uint8Array): Promise<string> {
  const claims = { iat: now(), nbf: now(), exp: now() + 60, ...payload };
  return new SignJWT(claims).setProtectedHeader(header as JWTHeaderParameters).sign(key);
}

interface Way {
  readonly name: string;
  /** Logs in and out again. */
  readonly login: (token: string) => Promise<void>;
  readonly code: string | number;
}

const WAYS: readonly Way[] = [
  {
    name: 'PostgreSQL',
    code: '28000',
    async login(password) {
      const ca = readFileSync(sluice.certificates!.ca, 'utf8');
      const { host, port } = sluice;
      const client = new pg.Client({ host, port, user: 'oidc', database: 'shop', password, ssl: { ca } });
      client.on('error', () => undefined);
      await client.connect();
      await client.query('SELECT 1');
      await client.end();
    },
  },
  {
    name: 'MySQL',
    code: 'ER_ACCESS_DENIED_ERROR',
    async login(password) {
      const ca = readFileSync(sluice.certificates!.ca, 'utf8');
      const { host, mysqlPort: port } = sluice;
      const connection = await mysql.createConnection({ host, port, user: 'oidc%stock', password, ssl: { ca } });
      await connection.query('SELECT 1');
      await connection.end();
    },
  },
];
const ways = () => (mariadb === null ? WAYS.slice(0, 1) : WAYS);

const lastOf = (event: string) => sluice.journal().findLast((record) => record.event === event);
const connections = () => sluice.journal().filter(({ event }) => event === 'session.start').length;

/** Refused in both protocols, in the same plain words; the reason is in the journal, and no session began. */
async function isRefused(token: string, reason: RegExp): Promise<void> {
  for (const { name, login, code } of ways()) {
    const before = connections();
    const received = postgres.log().match(/connection received/g)?.length;
    await assert.rejects(login(token), (error: { code?: string; message: string }) => {
      assert.equal(error.code, code, name);
      assert.match(error.message, /the token is not accepted/, name);
      assert.doesNotMatch(error.message, reason, name);
      return true;
    });
    await until(() => reason.test(String(lastOf('auth.failed')?.reason)), `${name}: ${reason}`);
    assert.equal(connections(), before, name);
    assert.equal(postgres.log().match(/connection received/g)?.length, received, name);
  }
}

describe('a workload token', () => {
  test('of a cluster says which service account it is', async () => {
    for (const { name, login } of ways()) {
      await login(await serviceAccount());
      assert.deepEqual(
        lastOf('session.start')?.identity,
        { subject: 'system:serviceaccount:batch:nightly', kind: 'service', groups: ['batch'], issuer: cluster },
        name,
      );
    }
  });

  test('of a CI job says which job it is, and on whose behalf', async () => {
    for (const { name, login } of ways()) {
      await login(await job());
      assert.deepEqual(
        lastOf('session.start')?.identity,
        {
          subject: 'repo:shop/reports:ref:refs/heads/main',
          kind: 'agent',
          groups: ['shop/reports'],
          issuer: ci,
          owner: 'alice',
        },
        name,
      );
    }
  });

  test('is refused if it is for another audience, over, not yet valid, or of another place', async () => {
    await isRefused(await serviceAccount({ aud: ['https://kubernetes.default.svc'] }), /another audience/);
    await isRefused(await serviceAccount({ exp: now() - 1 }), /has expired/);
    await isRefused(await serviceAccount({ nbf: now() + 120 }), /not valid yet/);
    await isRefused(await serviceAccount({ 'kubernetes.io': { namespace: 'default' } }), /"kubernetes\.io\.namespace"/);
    await isRefused(await job({ repository_owner: 'fork' }), /"repository_owner"/);
    await isRefused(await job({ iss: 'https://ci.example' }), /issuer "https:\/\/ci\.example" is not configured/);
  });

  test('is refused if one issuer signs in the name of another', async () => {
    await isRefused(await job({ iss: cluster }), /does not have: one for ES256 named "j1"/);
    await isRefused(await serviceAccount({ iss: ci }, { kid: 'j1' }), /does not have: one for RS256 named "j1"/);
  });

  test('is refused if it confuses algorithms', async () => {
    const shared = new TextEncoder().encode(await exportSPKI(clusterKeys.publicKey));
    await isRefused(await serviceAccount({}, { alg: 'HS256' }, shared), /algorithm that is not accepted/);
    const [, payload] = (await serviceAccount()).split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    await isRefused(`${none}.${payload}.`, /algorithm that is not accepted/);
    const pss = await generateKeyPair('PS256');
    await isRefused(await serviceAccount({}, { alg: 'PS256' }, pss.privateKey), /signature is wrong/);
  });

  test('is refused if it does not say which of several keys signed it', async () => {
    await isRefused(await job({}, { kid: undefined }), /does not say which key/);
  });

  test('whose issuer cannot be asked is refused, and that counts as no failure of who brings it', async () => {
    for (const { name, login } of ways()) {
      const before = connections();
      // More than what is heard of somebody who fails.
      for (let i = 0; i < 35; i++) {
        await assert.rejects(login(await job({ iss: gone })), /cannot find out now who may log in/, name);
      }
      assert.equal(connections(), before, name);
      assert.match(sluice.log(), /cannot be asked for its keys: ECONNREFUSED/);
      await login(await job());
    }
  });

  test('is accepted when its issuer has changed its keys, and no longer by the old ones', async () => {
    const next = await generateKeyPair('RS256', { extractable: true });
    const old = await serviceAccount();
    published.set('cluster', [{ ...(await exportJWK(next.publicKey)), kid: 'c2' }]);
    // Keys are not asked for again for some seconds, however many tokens name one that is not known.
    const deadline = Date.now() + 10_000;
    const tried = async (): Promise<void> => {
      const fresh = await serviceAccount({}, { kid: 'c2' }, next.privateKey);
      await WAYS[0]!.login(fresh).catch(async (error) => {
        if (Date.now() > deadline) throw error;
        await sleep(250);
        await tried();
      });
    };
    await tried();
    await isRefused(old, /does not have: one for RS256 named "c1"/);
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser } from './servers/browser.ts';
import { freePort } from './servers/free-port.ts';
import { type OidcProvider, startOidcProvider } from './servers/oidc-provider.ts';
import { createSamlIdp } from './servers/saml-idp.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** `sluice login` and `logout` against a real OpenID provider, and what other commands make of it. */

const PROGRAM = join(import.meta.dirname, '../src/cli/sluice.js');

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('sluice login', { timeout: 500_000 }, () => {
  let provider: OidcProvider;
  let sluice: Sluice;
  let samlIdp: Server;
  const home = mkdtempSync(join(tmpdir(), 'sluice-home-'));
  const loginsFile = join(home, 'sluice', 'logins.json');

  before(async () => {
    provider = await startOidcProvider();
    const apiPort = await freePort();
    const url = `http://127.0.0.1:${apiPort}`;
    const idp = createSamlIdp(home, async () => (await fetch(`${url}/api/v1/login/saml/metadata`)).text());
    // A page that posts the response, as identity providers have it; whoever comes is Alice.
    samlIdp = createServer(async (request, response) => {
      const { SAMLResponse, acs } = await idp.respond(`http://idp${request.url}`);
      response.end(`<form method="post" action="${acs}"><input name="SAMLResponse" value="${SAMLResponse}"></form>`);
    });
    samlIdp.listen(0, '127.0.0.1');
    await once(samlIdp, 'listening');
    const signIn = `http://127.0.0.1:${(samlIdp.address() as AddressInfo).port}/sign-in`;
    sluice = await startSluice({
      apiPort,
      saml: {
        url,
        idp: { issuer: idp.issuer, sign_in: signIn, certificate: idp.certificate },
        attributes: { groups: 'groups' },
        longest: '1h',
      },
      // Nobody gets as far as to the database.
      connections: [
        { name: 'shop', upstream: { host: '127.0.0.1', port: 1, database: 'shop', user: 'sluice', password: 'x' } },
      ],
      users: [{ name: 'local', password: 'secret' }],
      oidc: [
        {
          issuer: provider.issuer,
          audience: 'sluice',
          claims: { groups: 'groups', kind: 'kind', owner: 'owner' },
          login: {
            client_id: provider.publicClient,
            scopes: ['openid', 'offline_access'],
            resource: provider.resource,
          },
        },
      ],
      tls: true,
    });
  });
  after(async () => {
    await sluice?.stop();
    provider?.stop();
    samlIdp?.close();
    rmSync(home, { recursive: true });
  });

  /** Runs a command. @param said told each line on standard error as it comes */
  async function run(
    args: readonly string[],
    env: object = {},
    said: (line: string) => unknown = () => {},
  ): Promise<Ran> {
    const child = spawn(process.execPath, [PROGRAM, ...args, '--api', `127.0.0.1:${sluice.apiPort}`], {
      env: { PATH: process.env.PATH, XDG_CONFIG_HOME: home, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (stderr.endsWith('\n')) said(stderr);
    });
    const [code] = await once(child, 'close');
    return { code, stdout, stderr };
  }

  const saved = () =>
    Object.values(JSON.parse(readFileSync(loginsFile, 'utf8')) as Record<string, { token: string }>)[0]!;
  const browse = (line: string, browser = new Browser({ login: 'alice', password: 'any' })) =>
    void browser.visit(/http\S+/.exec(line)![0]);

  test('by the browser keeps a login that nobody else can read, for other commands', async () => {
    const { code, stdout, stderr } = await run(['login', '--no-browser'], {}, browse);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^Logged in at http:\/\/127\.0\.0\.1:\d+ as alice \(human, in dba\) until .*renewed by itself\.\n$/,
    );
    assert.equal(statSync(loginsFile).mode & 0o777, 0o600);
    assert.equal(statSync(join(home, 'sluice')).mode & 0o777, 0o700);
    const { token } = saved();
    assert.ok(!`${stdout}${stderr}${sluice.log()}`.includes(token.slice(0, 40)));
    const made = await run(['credentials', 'create', '--json', 'shop']);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /"subject": ?"alice"/);
  });

  test('renews the token when it is over, once for several commands', async () => {
    provider.lifetime = 2;
    assert.equal((await run(['login', '--no-browser'], {}, browse)).code, 0);
    provider.lifetime = 60;
    const { token } = saved();
    await sleep(2_100);
    const lists = await Promise.all([1, 2, 3].map(() => run(['credentials', 'list', '--json'])));
    for (const { code, stderr } of lists) assert.equal(code, 0, stderr);
    assert.notEqual(saved().token, token);
  });

  test('is over after logout, at the provider as well', async () => {
    assert.equal((await run(['login', '--no-browser'], {}, browse)).code, 0);
    const kept = readFileSync(loginsFile, 'utf8');
    const { code, stdout } = await run(['logout']);
    assert.equal(code, 0);
    assert.match(stdout, /^Logged out at /);
    const after = await run(['credentials', 'list']);
    assert.equal(after.code, 1);
    assert.match(after.stderr, /Log in first/);
    assert.match((await run(['logout'])).stdout, /Nobody is logged in/);
    // Whoever has stolen the file gets no new token by it.
    const stolen = JSON.parse(kept) as Record<string, { expiresAt: number }>;
    for (const login of Object.values(stolen)) login.expiresAt = 0;
    writeFileSync(loginsFile, JSON.stringify(stolen));
    const thief = await run(['credentials', 'list']);
    assert.equal(thief.code, 1);
    assert.match(thief.stderr, /refuses the login/);
    await run(['logout']);
  });

  test('by a code that is entered on another device', async () => {
    const { code, stdout, stderr } = await run(['login', '--device'], {}, (line) => {
      const [, address, userCode] = /Open (\S+) .* the code (\S+)/.exec(line)!;
      browse(`${address}?user_code=${userCode}`);
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /as alice \(human/);
  });

  test('by the credentials of a client, which is an agent', async () => {
    const { id, secret } = provider.client;
    const { code, stdout, stderr } = await run(['login', '--client-credentials', id], { SLUICE_CLIENT_SECRET: secret });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /as runner \(agent, in agents\) until [^,]*\.\n$/);
    const wrong = await run(['login', '--client-credentials', id], { SLUICE_CLIENT_SECRET: 'wrong' });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /refuses the login/);
    assert.equal((await run(['login', '--client-credentials', id])).code, 2);
  });

  test('by the exchange of a token that a workload has', async () => {
    const file = join(home, 'token');
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    writeFileSync(file, `${part({ alg: 'none' })}.${part({ sub: 'nightly' })}.\n`);
    const { code, stdout, stderr } = await run(['login', '--exchange', file]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /as nightly \(human, in dba\)/);
  });

  test('by SAML gives a login of Sluice, which ends with logout, and its credentials with it', async () => {
    const { code, stdout, stderr } = await run(['login', '--saml', '--no-browser'], {}, browse);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /as alice@example\.com \(human, in dba\) until [^,]*\.\n$/);
    const { token } = saved();
    const made = await run(['credentials', 'create', '--json', 'shop']);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await run(['logout'])).code, 0);
    const me = await fetch(`http://127.0.0.1:${sluice.apiPort}/api/v1/me`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(me.status, 401);
    const ends = sluice.journal().filter(({ event }) => event === 'login.created' || event === 'login.ended');
    assert.deepEqual(
      ends.map(({ event }) => event),
      ['login.created', 'login.ended'],
    );
  });

  test('takes no login that was not begun by it, and waits for its own', async () => {
    const strays: number[] = [];
    const { code, stdout } = await run(['login', '--no-browser'], {}, async (line) => {
      const redirect = new URL(/http\S+/.exec(line)![0]).searchParams.get('redirect_uri')!;
      for (const query of ['?code=stolen', '?code=stolen&state=other', '']) {
        strays.push((await fetch(`${redirect}${query}`)).status);
      }
      browse(line);
    });
    assert.equal(code, 0);
    assert.match(stdout, /as alice/);
    assert.deepEqual(strays, [404, 404, 404]);
  });

  test('says what it is about where there is none', async () => {
    for (const [args, message] of [
      [['login', '--issuer', 'https://other.example'], /no such OpenID provider/],
      [['login', '--device', '--saml'], /cannot be used with/],
      [['login', '--exchange', '/nowhere'], /cannot be read: ENOENT/],
    ] as const) {
      const { code, stderr } = await run(args);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    }
  });
});

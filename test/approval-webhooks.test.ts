import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { makeCertificates } from './servers/certificates.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { type Received, WebhookReceiver } from './webhook-receiver.ts';

/** Webhooks about held statements, from a running Sluice to a real HTTPS server. */

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const RULES = `version: 1
rules:
  - id: deletes-wait
    match: { effects: [delete], tables: [public.orders] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 2m, within: 1h }
`;

const directory = mkdtempSync(join(tmpdir(), 'sluice-approval-webhooks-'));
const certificates = makeCertificates(directory);
let server: PostgresServer;
let receiver: WebhookReceiver;
const running: Sluice[] = [];
let stores = 0;

before(async () => {
  server = await startPostgres({ config: { log_statement: 'all' } });
  writeFileSync(join(directory, 'secret'), SECRET);
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  stores++;
  await server.query(`DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY);
    INSERT INTO orders SELECT generate_series(1, 10)`);
  const { certificate, key } = certificates;
  receiver = await WebhookReceiver.start(SECRET, {
    cert: readFileSync(certificate, 'utf8'),
    key: readFileSync(key, 'utf8'),
  });
});
afterEach(async () => {
  for (const sluice of running.splice(0)) await sluice.stop();
  await receiver.stop();
});

/** One node; all of a test have one store. */
async function start(): Promise<Sluice> {
  const { host, port, database, superuser: user, password } = server;
  const sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [
      { name: 'bot', password: 'secret' },
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba', 'admins'] },
    ],
    roles: { approver: ['dba'], admin: ['admins'] },
    rulesYaml: RULES,
    store: `sqlite:${join(directory, `store${stores}.db`)}`,
    approvals: {
      channels: [
        {
          to: 'webhook',
          name: 'pager',
          url: `https://localhost:${receiver.port}/hook`,
          secret: { file: join(directory, 'secret') },
        },
      ],
    },
    environment: { NODE_EXTRA_CA_CERTS: certificates.ca },
  });
  running.push(sluice);
  return sluice;
}

async function connected({ host, port }: Sluice): Promise<pg.Client> {
  const client = new pg.Client({ host, port, user: 'bot', password: 'secret', database: 'shop' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function ask<T = unknown>(
  { apiPort }: Sluice,
  path: string,
  body?: object,
): Promise<{ status: number; answer: T }> {
  const response = await fetch(`http://127.0.0.1:${apiPort}${path}`, {
    headers: {
      authorization: `Basic ${Buffer.from('dana:secret').toString('base64')}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, answer: (path.startsWith('/api') ? JSON.parse(text) : text) as T };
}

async function approve(sluice: Sluice, request: number): Promise<void> {
  // Its rows are counted when it has been opened.
  await ask(sluice, `/api/v1/approvals/${request}`);
  assert.equal((await ask(sluice, `/api/v1/approvals/${request}/approve`, {})).status, 200);
}

/** What waits at a node. */
async function pendingRequest(sluice: Sluice): Promise<number> {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    const { answer } = await ask<{ requests: { request: number }[] }>(sluice, '/api/v1/approvals');
    if (answer.requests.length > 0) return answer.requests[0]!.request;
    await sleep(20);
  }
  return assert.fail('nothing waits');
}

const is =
  (...types: string[]) =>
  (received: readonly Received[]) =>
    types.every((type) => received.some((one) => one.type === type));
const rows = async () => (await server.query('SELECT id FROM orders')).length;

describe('a receiver of webhooks', () => {
  test('hears over HTTPS of a held statement, of the vote, and that it ran', async () => {
    const sluice = await start();
    const client = await connected(sluice);
    const result = client.query('DELETE FROM orders WHERE id = $1', [3]);
    const [asked] = await receiver.until(is('approval.requested'));
    assert.equal(await rows(), 10);
    await approve(sluice, asked!.data.request as number);
    assert.equal((await result).rowCount, 1);
    const received = await receiver.until(is('approval.voted', 'approval.decided', 'approval.collected'));
    assert.ok(received.every(({ isVerified }) => isVerified));
    assert.ok(received.every(({ body }) => !body.includes('DELETE FROM')));
    await client.end();
  });

  test('that is gone holds up nobody and approves nothing; after kill -9 and a restart it hears of everything', async () => {
    receiver.goAway();
    const first = await start();
    const client = await connected(first);
    const done = client.query('DELETE FROM orders WHERE id = 1');
    const request = await pendingRequest(first);
    await approve(first, request);
    assert.equal((await done).rowCount, 1);
    const lost = client
      .query('DELETE FROM orders WHERE id = 2 /* nobody approves it */')
      .catch((error: Error) => error);
    const waiting = await pendingRequest(first);
    // What a node is sending when it dies waits for its lease to end: not in every run of this test.
    const tried = async () =>
      (
        await ask<{ deliveries: { request: number; failure: string | null }[] }>(first, '/api/v1/approvals/deliveries')
      ).answer.deliveries.some((one) => one.request === waiting && one.failure !== null);
    while (!(await tried())) await sleep(20);
    first.signal('SIGKILL');
    await first.exited;
    assert.ok((await lost) instanceof Error);
    assert.equal(receiver.received.length, 0);

    const second = await start();
    receiver.comeBack();
    await receiver.until((all) => is('approval.collected')(all) && all.some(({ data }) => data.request === waiting));
    const told = receiver.received.filter(({ data }) => data.request === request).map(({ type }) => type);
    assert.deepEqual(
      told.filter((type) => type !== 'approval.estimated'),
      ['approval.requested', 'approval.voted', 'approval.decided', 'approval.collected'],
    );
    assert.ok(receiver.received.every(({ isVerified }) => isVerified));
    assert.equal(await rows(), 9);
    assert.ok(
      !/(statement|execute).*nobody approves it/.test(server.log().replace(/statement: (EXPLAIN|SELECT count).*/g, '')),
    );
    const { answer } = await ask<{ deliveries: object[] }>(second, '/api/v1/approvals/deliveries?state=dead');
    assert.deepEqual(answer.deliveries, []);
  });

  test('that wants no more is told so in the API, the metrics, the journal and the log; it can be told again, and tried', async () => {
    receiver.answer = () => 410;
    const sluice = await start();
    const client = await connected(sluice);
    const result = client.query('DELETE FROM orders WHERE id = 4').catch((error: Error) => error);
    await receiver.until(is('approval.requested'));
    const journalHas = (event: string) => sluice.journal().find((record) => record.event === event);
    while (journalHas('approval.undelivered') === undefined) await sleep(20);
    const { reason, notice, request } = journalHas('approval.undelivered')!;
    assert.deepEqual([reason, notice], ['HTTP 410', 'approval.requested']);
    assert.match(sluice.log(), /"channel":"pager".*HTTP 410.*given up/);
    const { answer } = await ask<{ deliveries: { delivery: string; state: string }[] }>(
      sluice,
      '/api/v1/approvals/deliveries?state=dead',
    );
    const dead = answer.deliveries.at(-1)!;
    assert.equal(dead.state, 'dead');
    while (
      !(await ask<string>(sluice, '/metrics')).answer.includes(
        'sluice_approval_undelivered{channel="pager",state="dead"}',
      )
    )
      await sleep(100);

    assert.equal((await ask(sluice, '/api/v1/approvals/channels/pager/test', {})).status, 502);
    receiver.answer = () => 204;
    const before = receiver.received.length;
    assert.equal((await ask(sluice, `/api/v1/approvals/deliveries/${dead.delivery}/retry`, {})).status, 200);
    assert.equal((await ask(sluice, `/api/v1/approvals/deliveries/none/retry`, {})).status, 404);
    await receiver.until((all) => all.slice(before).some(({ id }) => id === dead.delivery));
    assert.equal((await ask(sluice, '/api/v1/approvals/channels/pager/test', {})).status, 200);
    assert.equal((await ask(sluice, '/api/v1/approvals/channels/none/test', {})).status, 404);
    await receiver.until(is('channel.test'));
    await approve(sluice, request as number);
    await result;
    await client.end();
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { openStore } from '../src/store/store.ts';
import { buttonsOf, FakeSlack, type Forgery, type PostedMessage, preformattedOf } from './fake-slack.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** From a driver through Sluice to people in Slack and back; what reached the server is asked of its log. */

const RULES = `version: 1
rules:
  - id: deletes-wait
    match: { effects: [delete], tables: [public.orders] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 2m, within: 1h }
`;
const DANA = 'U000DANA';
const OLGA = 'U000OLGA';

const directory = mkdtempSync(join(tmpdir(), 'sluice-approval-slack-'));
const storeFile = join(directory, 'store.db');
let server: PostgresServer;
let slack: FakeSlack;
let sluice: Sluice;
let texts = 0;

before(async () => {
  server = await startPostgres({ config: { log_statement: 'all' } });
  slack = await FakeSlack.start();
  writeFileSync(join(directory, 'token'), slack.token);
  writeFileSync(join(directory, 'signing'), slack.signingSecret);
  sluice = await start();
});
after(async () => {
  await sluice?.stop();
  await slack?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  await server.query(`DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY);
    INSERT INTO orders SELECT generate_series(1, 10)`);
});
afterEach(() => slack.comeBack());

function start(): Promise<Sluice> {
  const { host, port, database, superuser: user, password } = server;
  const common = {
    to: 'slack',
    team: slack.team,
    api: slack.api,
    bot_token: { file: join(directory, 'token') },
    signing_secret: { file: join(directory, 'signing') },
    users: [
      { slack: DANA, subject: 'dana' },
      { slack: OLGA, subject: 'olga' },
    ],
  };
  return startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [
      { name: 'bot', password: 'secret', owner: 'olga' },
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'olga', password: 'secret', kind: 'human', groups: ['dba'] },
    ],
    roles: { approver: ['dba'] },
    rulesYaml: RULES,
    store: `sqlite:${storeFile}`,
    approvals: {
      url: 'https://sluice.example',
      channels: [
        { ...common, name: 'quiet', channel: 'C0QUIET' },
        { ...common, name: 'open', channel: 'C00OPEN', statements: true },
      ],
    },
  });
}

async function connected(user = 'bot'): Promise<pg.Client> {
  const client = new pg.Client({ host: sluice.host, port: sluice.port, user, password: 'secret', database: 'shop' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A DELETE that nobody has sent before. */
const statement = (id: number) => `DELETE FROM orders WHERE id = ${id} /* ${++texts} */`;
/** Other than for its plan, and for the rows it would change. */
const reached = (text: string) =>
  server
    .log()
    .split('\n')
    .some((line) => line.includes(text) && !/statement: (EXPLAIN|SELECT count)/.test(line));
const isCounted = (message: PostedMessage): boolean => /Rows\\n\d+, counted/.test(JSON.stringify(message));
const isOpen = (message: PostedMessage): boolean => buttonsOf(message).some(({ action_id }) => action_id === 'approve');

/** The message about what was asked for last, while it can be voted on. */
async function newest(conversation: 'C0QUIET' | 'C00OPEN', text: string): Promise<PostedMessage> {
  const open = await until(() =>
    [...slack.messages.values()].find((message) => preformattedOf(message).includes(text)),
  );
  const request = Number(/^Request (\d+) /.exec(open.text)![1]);
  // With the number of rows: before that, one click is not enough.
  return slack.message(conversation, request, (message) => isOpen(message) && isCounted(message));
}

async function until<T>(find: () => T | undefined): Promise<T> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const found = find();
    if (found !== undefined) return found;
    await sleep(10);
  }
  return assert.fail('it does not come');
}

/** Slack sends something to Sluice. */
async function send(payload: object, forgery: Forgery = {}): Promise<number> {
  const { body, headers } = slack.signed(payload, forgery);
  const response = await fetch(`http://127.0.0.1:${sluice.apiPort}/api/v1/approvals/slack`, {
    method: 'POST',
    headers,
    body,
  });
  await response.text();
  return response.status;
}

describe('a held statement and people in Slack', () => {
  test('runs when somebody approves it there by one click', async () => {
    const client = await connected();
    const text = statement(3);
    const result = client.query(text);
    const message = await newest('C00OPEN', text);
    assert.ok(!reached(text));
    assert.equal(await send(slack.pressed(message, 'approve', DANA)), 200);
    assert.equal((await result).rowCount, 1);
    assert.ok(reached(text));
    const { ts } = await slack.message('C00OPEN', Number(/\d+/.exec(message.text)), ({ text }) =>
      /has run$/.test(text),
    );
    assert.equal(ts, message.ts);
    const voted = sluice.journal().find(({ event }) => event === 'approval.voted')!;
    assert.deepEqual([voted.channel, (voted.voter as { subject: string }).subject], ['slack', 'dana']);
    await client.end();
  });

  test('runs when somebody has seen it in a modal and approves; its client is told why when it is rejected', async () => {
    const client = await connected();
    const [approved, rejected] = [statement(4), statement(5)];
    const result = client.query(approved);
    assert.equal(await send(slack.pressed(await newest('C0QUIET', approved), 'approve', DANA)), 200);
    assert.equal(preformattedOf(slack.views.at(-1)!), approved);
    assert.ok(!reached(approved));
    assert.equal(await send(slack.submitted(slack.views.at(-1)!, 'ok', DANA)), 200);
    assert.equal((await result).rowCount, 1);

    const refused = client.query(rejected).catch((error: Error) => error);
    assert.equal(await send(slack.pressed(await newest('C0QUIET', rejected), 'reject', DANA)), 200);
    assert.equal(await send(slack.submitted(slack.views.at(-1)!, 'use the archive job', DANA)), 200);
    assert.match(((await refused) as Error).message, /was rejected: use the archive job/);
    assert.ok(!reached(rejected));
    await client.end();
  });

  test('does not run for forgeries, nor for the votes of who asks or answers for the agent', async () => {
    const client = await connected();
    const text = statement(6);
    const result = client.query(text).catch((error: Error) => error);
    const message = await newest('C00OPEN', text);
    const press = (user: string, forgery: Forgery = {}) =>
      send(slack.pressed(message, 'approve', user, forgery), forgery);
    assert.equal(await press(DANA, { secret: 'guessed' }), 401);
    assert.equal(await press(DANA, { at: Date.now() - 600_000 }), 401);
    assert.equal(await press(DANA, { team: 'T0000EVIL', userTeam: 'T0000EVIL' }), 403);
    assert.equal(await press('U0000EVE'), 200);
    assert.match(slack.ephemerals.at(-1)!.text, /does not know who you are/);
    assert.equal(await press(OLGA), 200);
    assert.match(slack.ephemerals.at(-1)!.text, /owner of an agent/);
    assert.ok(!reached(text));

    const own = await connected('dana');
    const hers = statement(7);
    const asked = own.query(hers).catch((error: Error) => error);
    assert.equal(await send(slack.pressed(await newest('C00OPEN', hers), 'approve', DANA)), 200);
    assert.match(slack.ephemerals.at(-1)!.text, /a request of their own/);
    assert.ok(!reached(hers));

    await Promise.all([client.end(), own.end()]);
    await Promise.all([result, asked]);
    assert.ok(!reached(text) && !reached(hers));
    assert.equal((await server.query('SELECT id FROM orders')).length, 10);
  });

  test('waits where Slack is gone, and hears of the vote when Slack and Sluice are back', async () => {
    slack.goAway();
    const client = await connected();
    const text = statement(8);
    const requested = () => sluice.journal().filter(({ event }) => event === 'approval.requested');
    const before = requested().length;
    // It has to wait no longer than the rule says, whether anybody is told or not.
    const failed = client.query(text).catch((error: Error) => error);
    const asked = await until(() => requested()[before]);
    // Opened, so that its rows are counted.
    const opened = await fetch(`http://127.0.0.1:${sluice.apiPort}/api/v1/approvals/${asked.request}`, {
      headers: { authorization: `Basic ${Buffer.from('dana:secret').toString('base64')}` },
    });
    assert.equal(opened.status, 200);
    for (const name of ['quiet', 'open']) {
      await until(() => (new RegExp(`"channel":"${name}".*fails`).test(sluice.log()) ? true : undefined));
    }
    sluice.signal('SIGKILL');
    await sluice.exited;
    assert.ok((await failed) instanceof Error);
    await sluice.stop();
    // What is being sent when a node dies waits for the node's lease to end: as if it had.
    const store = await openStore({ kind: 'sqlite', file: storeFile });
    await store.updateTable('approval_deliveries').set({ due_at: 0 }).execute();
    await store.destroy();
    sluice = await start();
    slack.comeBack();
    const message = await slack.message('C00OPEN', asked.request as number, isOpen);
    assert.equal(await send(slack.pressed(message, 'approve', DANA)), 200);
    assert.ok(!reached(text));
    const again = await connected();
    assert.equal((await again.query(text)).rowCount, 1);
    await slack.message('C00OPEN', asked.request as number, ({ text: title }) => /has run$/.test(title));
    await again.end();
  });
});

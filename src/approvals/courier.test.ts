import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseWebhookSecret } from '../../protocols/webhooks/standard-webhooks.ts';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import { WebhookReceiver } from '../../test/webhook-receiver.ts';
import { NOTICES } from '../config/approval-notices.ts';
import type { StoreConfig, WebhookChannelConfig } from '../config/config.ts';
import { openStore, type Store } from '../store/store.ts';
import { type ApprovalServices, Approvals } from './approvals.ts';
import type { Channel } from './channel.ts';
import { Courier, type CourierPace } from './courier.ts';
import { claimDue, listDeliveries, noteEvent, sendAgain } from './deliveries.ts';
import { person, question, TICKET_ONLY } from './test-requests.ts';
import { WebhookChannel } from './webhook-channel.ts';

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const QUICK: Partial<CourierPace> = { lookMs: 20, firstRetryMs: 10, longestRetryMs: 40, attemptMs: 25_000 };

/** One process of several that share the store. */
interface Node {
  readonly store: Store;
  readonly approvals: Approvals;
  readonly couriers: Courier[];
  readonly gaveUp: string[];
  readonly troubles: (string | null)[];
}

const directory = mkdtempSync(join(tmpdir(), 'sluice-courier-'));
let server: PostgresServer;
let databases = 0;
const stores: Record<string, () => Promise<StoreConfig>> = {
  SQLite: async () => ({ kind: 'sqlite', file: join(directory, `${++databases}.db`) }),
  PostgreSQL: async () => {
    const name = `outbox${++databases}`;
    await server.query(`CREATE DATABASE ${name}`);
    const { host, port, superuser, password } = server;
    return { kind: 'postgres', url: `postgres://${superuser}:${password}@${host}:${port}/${name}` };
  },
};
before(async () => {
  server = await startPostgres();
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});

let receiver: WebhookReceiver;
let config: StoreConfig;
let nodes: Node[];
let preview: ApprovalServices['preview'];
beforeEach(async () => {
  preview = null;
  receiver = await WebhookReceiver.start(SECRET);
  nodes = [];
});
afterEach(async () => {
  for (const { approvals, couriers, store } of nodes) {
    await approvals.close();
    for (const courier of couriers) await courier.close();
    await store.destroy();
  }
  await receiver.stop();
});

const webhook = (change: Partial<WebhookChannelConfig> = {}): WebhookChannel =>
  new WebhookChannel(
    {
      to: 'webhook',
      name: 'pager',
      url: receiver.url,
      secrets: [parseWebhookSecret(SECRET)],
      events: NOTICES,
      connections: null,
      statements: false,
      ...change,
    },
    'https://sluice.example',
  );

/** @param pace `null`: it writes into the outbox, and sends nothing */
async function node(
  pace: Partial<CourierPace> | null = QUICK,
  channels: readonly Channel[] = [webhook()],
): Promise<Node> {
  const store = await openStore(config);
  const approvals = new Approvals({
    store,
    ended: ({ subject }) => (subject === 'gone' ? 'locked' : null),
    preview,
    announce: (transaction, event) => noteEvent(transaction, channels, event),
    failed: (what, error) => assert.fail(`${what}: ${error.stack}`),
  });
  const opened: Node = { store, approvals, couriers: [], gaveUp: [], troubles: [] };
  nodes.push(opened);
  if (pace !== null) courierOf(opened, pace, channels);
  return opened;
}

function courierOf(
  { store, approvals, couriers, gaveUp, troubles }: Node,
  pace: Partial<CourierPace>,
  channels: readonly Channel[] = [webhook()],
): Courier {
  const courier = new Courier(
    {
      store,
      channels,
      gaveUp: (channel, { event }, failure) => gaveUp.push(`${channel} ${event}: ${failure}`),
      troubled: (_, failure) => troubles.push(failure),
    },
    pace,
  );
  approvals.events.on('change', () => courier.wake());
  couriers.push(courier);
  return courier;
}

let texts = 0;
/** Asks without waiting. @returns the ticket */
async function ask({ approvals }: Node, change: Parameters<typeof question>[0] = {}): Promise<number> {
  const asked = question({ approvals: [TICKET_ONLY], ...change }, { statement: `DELETE FROM orders -- ${++texts}` });
  const ruling = await approvals.rule(asked, () => undefined, new AbortController().signal);
  assert.equal(ruling.kind, 'ticket');
  return (ruling as { request: number }).request;
}

const vote = (
  { approvals }: Node,
  id: number,
  decision: 'approve' | 'reject' | 'break-glass' = 'approve',
  by = 'ann',
) => approvals.vote(id, person(by, ['dba'], { mayBreakGlass: true }), decision, { reason: 'why', channel: 'api' });

const deliveries = ({ store }: Node) => listDeliveries(store, [], 1000);

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) assert.fail(`not within 30 s: ${what}`);
    await sleep(10);
  }
}

const allDelivered = async (one: Node) => (await deliveries(one)).every(({ state }) => state === 'delivered');

for (const [kind, newStore] of Object.entries(stores)) {
  describe(`the outbox in ${kind}`, () => {
    beforeEach(async () => {
      config = await newStore();
    });

    test('tells of every event of a request, in order, signed', async () => {
      const one = await node();
      const asked = question({ approvals: [TICKET_ONLY] }, { statement: 'DELETE FROM orders -- whole life' });
      const send = () => one.approvals.rule(asked, () => undefined, new AbortController().signal);
      await send();
      const id = (await one.approvals.list([], 1))[0]!.id;
      await vote(one, id);
      assert.equal((await send()).kind, 'granted');
      const received = await receiver.until(4);
      assert.deepEqual(
        received.map(({ type, data }) => [type, data.number, data.state]),
        [
          ['approval.requested', 1, 'pending'],
          ['approval.voted', 2, 'approved'],
          ['approval.decided', 3, 'approved'],
          ['approval.collected', 4, 'used'],
        ],
      );
      assert.ok(received.every(({ isVerified }) => isVerified));
      assert.equal(new Set(received.map((each) => each.id)).size, 4);
      await until('all are delivered', () => allDelivered(one));
    });

    test('tells of what is rejected, withdrawn, expired or approved by breaking the glass', async () => {
      const one = await node();
      const rejected = await ask(one);
      await vote(one, rejected, 'reject');
      const broken = await ask(one);
      await vote(one, broken, 'break-glass');
      const stop = new AbortController();
      const withdrawn = one.approvals.rule(
        question({ approvals: [{ ...TICKET_ONLY, waitMs: 60_000 }] }),
        () => stop.abort('withdraw'),
        stop.signal,
      );
      assert.equal((await withdrawn).kind, 'withdrawn');
      const asked = question({ approvals: [TICKET_ONLY] }, { statement: 'DELETE FROM orders -- of who has gone' });
      const send = () => one.approvals.rule(asked, () => undefined, new AbortController().signal);
      const late = ((await send()) as { request: number }).request;
      await vote(one, late, 'approve', 'gone');
      assert.equal((await send()).kind, 'expired');
      await receiver.until((all) => all.some(({ type }) => type === 'approval.expired'));
      const typesOf = (request: number) =>
        receiver.received.filter(({ data }) => data.request === request).map(({ type }) => type);
      await until('all are delivered', () => allDelivered(one));
      assert.deepEqual(typesOf(rejected), ['approval.requested', 'approval.voted', 'approval.decided']);
      assert.deepEqual(typesOf(broken), ['approval.requested', 'approval.break_glass', 'approval.decided']);
      assert.deepEqual(typesOf(broken + 1), ['approval.requested', 'approval.withdrawn']);
      assert.deepEqual(typesOf(late).slice(2), ['approval.decided', 'approval.expired']);
    });

    test('is written with the event or not at all', async () => {
      const one = await node(null);
      const id = await ask(one);
      const failing = new Approvals({
        store: one.store,
        ended: () => null,
        preview: null,
        announce: async (transaction, event) => {
          await noteEvent(transaction, [webhook()], event);
          throw new Error('the power is gone');
        },
        failed: () => undefined,
      });
      const voter = person('ann');
      await assert.rejects(failing.vote(id, voter, 'approve', { reason: '', channel: 'api' }), /power is gone/);
      const { state, votes } = await one.approvals.request(id);
      assert.deepEqual([state, votes.length], ['pending', 0]);
      assert.equal((await deliveries(one)).length, 1);
      const asked = question({ approvals: [TICKET_ONLY] }, { statement: 'DELETE FROM orders -- unheard' });
      const ruling = await failing.rule(asked, () => undefined, new AbortController().signal);
      assert.equal(ruling.kind, 'unavailable');
      assert.equal((await one.approvals.list([], 10)).length, 1);
      await failing.close();
    });

    test('is emptied by several nodes at once, each of its notices sent by one of them', async () => {
      const [one, two] = [await node(), await node()];
      const asked = await Promise.all(
        [one, two].map(async (asker) => [await ask(asker), await ask(asker), await ask(asker), await ask(asker)]),
      );
      const ids = asked.flat();
      // Each votes on what the other has asked.
      await Promise.all(
        [two, one].map(async (voter, index) => {
          for (const id of asked[index]!) await vote(voter, id);
        }),
      );
      await receiver.until(24);
      await until('all are delivered', () => allDelivered(one));
      assert.equal(receiver.received.length, 24);
      assert.equal(new Set(receiver.received.map(({ id }) => id)).size, 24);
      for (const id of ids) {
        const numbers = receiver.received.filter(({ data }) => data.request === id).map(({ data }) => data.number);
        assert.deepEqual(numbers, [1, 2, 3]);
      }
      assert.ok((await deliveries(one)).every(({ attempts }) => attempts === 1));
    });

    test('goes on with what a node had claimed that died', async () => {
      const dead = await node(null);
      const id = await ask(dead);
      const [claimed] = await claimDue(dead.store, 'pager', 8);
      assert.equal(claimed!.request, id);
      const alive = await node();
      // While the lease lasts, nobody else sends it, nor what came after it.
      await vote(alive, id);
      assert.deepEqual(await claimDue(alive.store, 'pager', 8), []);
      assert.equal(receiver.received.length, 0);
      await alive.store
        .updateTable('approval_deliveries')
        .set({ due_at: Date.now() })
        .where('id', '=', claimed!.id)
        .execute();
      const received = await receiver.until(3);
      assert.deepEqual(
        received.map(({ data }) => data.number),
        [1, 2, 3],
      );
      assert.equal(received[0]!.id, claimed!.id);
    });
  });
}

describe('a receiver', () => {
  beforeEach(async () => {
    config = await stores.SQLite!();
  });

  test('that fails is asked again, with the same id, and the order stays', async () => {
    const failures = [500, 503, 404, 302];
    receiver.answer = () => failures.shift() ?? 200;
    const one = await node();
    await vote(one, await ask(one));
    const received = await receiver.until(7);
    assert.deepEqual(
      received.map(({ data }) => data.number),
      [1, 1, 1, 1, 1, 2, 3],
    );
    assert.equal(new Set(received.slice(0, 5).map(({ id }) => id)).size, 1);
    assert.ok(received.every(({ isVerified, body }) => isVerified && body !== ''));
    await until('all are delivered', () => allDelivered(one));
    assert.equal((await deliveries(one)).at(-1)!.attempts, 5);
    assert.deepEqual(one.troubles, ['HTTP 500', null]);
  });

  test('is not followed to another address', async () => {
    const other = await WebhookReceiver.start(SECRET);
    receiver.answer = () => (receiver.received.length === 1 ? { status: 307, headers: { location: other.url } } : 200);
    const one = await node();
    await ask(one);
    await receiver.until(2);
    assert.equal(other.received.length, 0);
    await other.stop();
  });

  test('that does not answer is asked again', async () => {
    receiver.answer = () => (receiver.received.length === 1 ? 'silent' : 200);
    const one = await node({ ...QUICK, attemptMs: 200 });
    await ask(one);
    await receiver.until(2);
    await until('it is delivered', () => allDelivered(one));
    assert.match(one.troubles[0]!, /no answer within 0\.2 s/);
  });

  test('that is gone gets everything when it is back', async () => {
    receiver.goAway();
    const one = await node();
    const ids = [await ask(one), await ask(one)];
    for (const id of ids) await vote(one, id);
    await until('it was tried', async () => (await deliveries(one)).some(({ attempts }) => attempts > 1));
    assert.ok((await deliveries(one)).every(({ state }) => state === 'pending'));
    receiver.comeBack();
    await until('all are delivered', () => allDelivered(one));
    assert.deepEqual(new Set(receiver.received.map(({ data }) => `${data.request} ${data.number}`)).size, 6);
    assert.equal(typeof one.troubles[0], 'string');
  });

  test('that asks for time gets it: nothing is sent to it meanwhile', async () => {
    receiver.answer = () => (receiver.received.length === 1 ? { status: 429, headers: { 'retry-after': '1' } } : 200);
    const one = await node();
    await ask(one);
    // What was begun before the answer came is not held up by it.
    await until('it has the answer', () => one.troubles.length > 0);
    await ask(one);
    const [first, second] = await receiver.until(3);
    assert.ok(second!.at - first!.at >= 990, `${second!.at - first!.at} ms`);
  });

  test('that is gone for good is not asked again; a person can have it sent', async () => {
    receiver.answer = () => 410;
    const one = await node();
    await ask(one);
    await until('it is given up', () => one.gaveUp.length > 0);
    assert.deepEqual(one.gaveUp, ['pager approval.requested: HTTP 410']);
    const [given] = await deliveries(one);
    assert.deepEqual([given!.state, given!.attempts, given!.failure, given!.dueAt], ['dead', 1, 'HTTP 410', null]);
    receiver.answer = () => 200;
    assert.ok(await sendAgain(one.store, given!.id));
    await until('it is delivered', () => allDelivered(one));
    assert.ok(!(await sendAgain(one.store, given!.id)));
    assert.equal(new Set(receiver.received.map(({ id }) => id)).size, 1);
  });

  test('that fails for too long is given up, and what comes next is sent', async () => {
    receiver.answer = ({ data }) => (data.number === 1 ? 500 : 200);
    const one = await node({ ...QUICK, giveUpMs: 100 });
    await vote(one, await ask(one));
    await until('it is given up', () => one.gaveUp.length > 0);
    await receiver.until((all) => all.some(({ data }) => data.number === 3));
    assert.deepEqual(one.gaveUp, ['pager approval.requested: HTTP 500']);
    assert.deepEqual(one.couriers[0]!.counters.get('pager')!.dead, 1);
  });

  test('that is slow holds up no other channel', async () => {
    receiver.answer = () => 'silent';
    const prompt = await WebhookReceiver.start(SECRET);
    const one = await node(QUICK, [webhook(), webhook({ name: 'chat', url: prompt.url })]);
    const ids = [];
    for (let asked = 0; asked < 12; asked++) ids.push(await ask(one));
    await prompt.until(12);
    assert.ok(receiver.received.length <= 8);
    await one.couriers[0]!.close();
    await prompt.stop();
  });

  test('is told once after an attempt that a shutdown broke off', async () => {
    receiver.answer = () => 'silent';
    const one = await node();
    await ask(one);
    await receiver.until(1);
    await one.couriers[0]!.close();
    const [waiting] = await deliveries(one);
    assert.deepEqual([waiting!.state, waiting!.attempts], ['pending', 0]);
    assert.ok(waiting!.dueAt! <= Date.now());
    receiver.answer = () => 200;
    courierOf(one, QUICK);
    await until('it is delivered', () => allDelivered(one));
    assert.equal(receiver.received[0]!.id, receiver.received[1]!.id);
  });
});

describe('what a webhook says', () => {
  beforeEach(async () => {
    config = await stores.SQLite!();
  });

  const told = async (change: Partial<WebhookChannelConfig>) => {
    const one = await node(QUICK, [webhook(change)]);
    await ask(one, { claimed: { intent: 'forget what ann bought' } });
    return (await receiver.until(1))[0]!;
  };

  test('is who asks for what by which rule, without the statement', async () => {
    const { body, data, headers } = await told({});
    assert.ok(!/DELETE FROM|forget/.test(body), body);
    const { identity, connection, effects, rule, link, kind } = data;
    assert.deepEqual(
      { identity, connection, effects, rule, link, kind },
      {
        identity: { subject: 'bot', kind: 'agent', owner: 'olga' },
        connection: 'shop',
        effects: ['delete public.orders (none)'],
        rule: 'r',
        link: `https://sluice.example/approvals/${data.request}`,
        kind: 'DELETE',
      },
    );
    assert.equal(JSON.parse(body).version, 1);
    assert.equal(headers['content-type'], 'application/json');
  });

  test('is what it would do as well, once that is known', async () => {
    const found = { rows: 3, estimatedRows: 5, cascades: ['delete public.items'], triggers: [], gaps: [] };
    preview = async () => ({ ...found, sample: { columns: ['name'], rows: [['Ann']] } });
    await ask(await node());
    const received = await receiver.until(2);
    assert.equal(received[0]!.data.impact, null);
    assert.equal(received[1]!.type, 'approval.estimated');
    const { rows, cascades, triggers } = found;
    assert.deepEqual(received[1]!.data.impact, { rows, estimated_rows: 5, cascades, triggers });
    assert.ok(!received[1]!.body.includes('Ann'));
  });

  test('is the statement and what is claimed, too, if it is set so', async () => {
    const { data } = await told({ statements: true });
    assert.match(String(data.statement), /^DELETE FROM orders/);
    assert.deepEqual(data.claimed, { intent: 'forget what ann bought' });
  });

  test('is only of the events and connections that are asked for', async () => {
    const one = await node(QUICK, [webhook({ events: ['approval.decided'], connections: ['shop'] })]);
    await vote(one, await ask(one));
    const [first] = await receiver.until(1);
    assert.deepEqual([first!.type, first!.data.number], ['approval.decided', 3]);
    const none = await node(QUICK, [webhook({ connections: ['crm'] })]);
    await vote(none, await ask(none));
    assert.equal((await deliveries(one)).length, 1);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { until } from '../../test/until.ts';
import { Credentials } from '../identity/credentials.ts';
import { Logins } from '../identity/logins.ts';
import { currentTime } from '../store/clock.ts';
import { openStore, type Store } from '../store/store.ts';
import { Approvals, type Ruling } from './approvals.ts';
import type { Channel } from './channel.ts';
import { claimDue, noteEvent } from './deliveries.ts';
import type { Question } from './request.ts';
import { type APPROVAL, person, question, TICKET_ONLY } from './test-requests.ts';

/**
 * The system's clock is set while things wait: whatever is wrong, nothing that was approved lasts longer. "Put right" is also
 * what a restart sees, and another node: what is in the store has times that have not come.
 */

const MINUTE = 60_000;
const HOURS = 180 * MINUTE;
const realNow = Date.now;
const realElapsed = performance.now.bind(performance);
const setClock = (by: number) => {
  Date.now = () => realNow() + by;
};
/** Time goes by, whatever the clock says. */
const pass = (ms: number) => {
  performance.now = () => realElapsed() + ms;
};
const putRight = () => {
  Date.now = realNow;
  performance.now = realElapsed;
};

const directory = mkdtempSync(join(tmpdir(), 'sluice-clocks-'));
let store: Store;
let approvals: Approvals;
let n = 0;

before(async () => {
  store = await openStore({ kind: 'sqlite', file: join(directory, 'store.db') });
});
after(async () => {
  await store.destroy();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  n++;
  approvals = opened();
});
afterEach(async () => {
  putRight();
  await approvals.close();
});

const opened = () =>
  new Approvals({
    store,
    ended: () => null,
    preview: null,
    announce: (transaction, event) => noteEvent(transaction, [channel], event),
    failed: (what, error) => assert.fail(`${what}: ${error.stack}`),
  });

const channel: Channel = {
  name: 'pager',
  payloadOf: () => '{}',
  deliver: async ({ number }) => number,
  test: async () => undefined,
};

const own = (approval: Partial<typeof APPROVAL> = {}, binding: Partial<Question['binding']> = {}) =>
  question(
    { fingerprint: `f${n}`, approvals: [{ ...TICKET_ONLY, ...approval }] },
    { statement: `DELETE FROM orders -- ${n}`, ...binding },
  );
const ask = (asked: Question, at = approvals): Promise<Ruling> =>
  at.rule(asked, () => undefined, new AbortController().signal);
async function ticket(asked: Question): Promise<number> {
  const ruling = await ask(asked);
  assert.equal(ruling.kind, 'ticket');
  return (ruling as { request: number }).request;
}
const approve = (id: number) => approvals.vote(id, person('ann'), 'approve', { reason: '', channel: 'api' });

test('time goes on when the clock is set back, and goes forward when it does', () => {
  const before = currentTime();
  assert.ok(Math.abs(before - realNow()) < 1_000, 'it is the time of day');
  setClock(-HOURS);
  assert.ok(currentTime() >= before - 1);
  setClock(HOURS);
  assert.ok(currentTime() >= before + HOURS);
});

describe('a clock that is set back', () => {
  test('gives nobody more time to vote, and no client more to wait', async () => {
    const waiting = ask(own({ withinMs: 5 * MINUTE, waitMs: 10 * HOURS }));
    const [request] = await until(async () => {
      const found = await approvals.list(['pending'], 1);
      return found.length > 0 && found;
    }, 'it is asked');
    setClock(-HOURS);
    pass(6 * MINUTE);
    assert.equal((await waiting).kind, 'expired');
    await assert.rejects(approve(request!.id), /expired already/);
  });

  test('lets no grant last longer', async () => {
    const one = own({ withinMs: 5 * MINUTE });
    const shape = own({ grant: 'fingerprint', grantForMs: 5 * MINUTE }, { statement: 'x' });
    const ids = [await ticket(one), await ticket(shape)];
    for (const id of ids) await approve(id);
    setClock(-HOURS);
    pass(6 * MINUTE);
    for (const [at, asked] of [one, shape].entries()) assert.notEqual(await ticket(asked), ids[at]);
  });

  test('lets no delegation last longer', async () => {
    const bob = person('bob').identity;
    await approvals.delegate(person('ann').identity, bob, Date.now() + 5 * MINUTE);
    setClock(-HOURS);
    assert.equal((await approvals.delegatedTo(bob)).length, 1);
    pass(6 * MINUTE);
    assert.deepEqual(await approvals.delegatedTo(bob), []);
  });
});

describe('a clock that jumps forward', () => {
  test('ends what waits, and what was approved', async () => {
    const approved = own();
    const id = await ticket(approved);
    await approve(id);
    const waiting = ask(own({ waitMs: MINUTE }, { statement: 'another' }));
    await until(async () => (await approvals.list(['pending'], 1)).length > 0, 'it is asked');
    setClock(HOURS);
    assert.equal((await waiting).kind, 'expired');
    assert.notEqual(await ticket(approved), id);
  });

  test('and is put right leaves nothing that lasts until then', async () => {
    setClock(HOURS);
    const bob = person('bob').identity;
    const grants = ['once', 'session', 'fingerprint'] as const;
    const asked = grants.map((grant) =>
      own({ grant, grantForMs: grant === 'fingerprint' ? 60_000 : null }, { statement: `${n} ${grant}` }),
    );
    const ids: number[] = [];
    for (const one of asked) ids.push(await ticket(one));
    const pending = own({}, { statement: `${n} pending` });
    const open = await ticket(pending);
    for (const id of ids) await approve(id);
    await approvals.delegate(person('ann').identity, bob, Date.now() + 60_000);
    putRight();
    await assert.rejects(approve(open), /time to vote is over/);
    assert.deepEqual(await approvals.delegatedTo(bob), []);
    // Another node, or this one after a restart.
    const restarted = opened();
    for (const [at, one] of [...asked, pending].entries()) {
      const ruling = await ask(one, restarted);
      assert.equal(ruling.kind, 'ticket');
      assert.notEqual((ruling as { request: number }).request, [...ids, open][at]);
    }
    // Whoever waits until its time is over has all closed whose time nobody knows.
    assert.equal((await ask(own({ withinMs: 1, waitMs: 60_000 }, { statement: 'short' }), restarted)).kind, 'expired');
    for (const id of [...ids, open]) {
      const { state, reason } = await restarted.request(id);
      assert.equal(state, 'expired');
      assert.match(reason ?? '', /clock was set back/);
    }
    await restarted.close();
  });

  test('and is put right holds up nothing that channels are to be told', async () => {
    setClock(HOURS);
    await ticket(own());
    const claimed = await claimDue(store, 'pager', 1);
    assert.equal(claimed.length, 1);
    assert.deepEqual(
      (await claimDue(store, 'pager', 100)).some(({ id }) => id === claimed[0]!.id),
      false,
    );
    putRight();
    assert.ok((await claimDue(store, 'pager', 100)).some(({ id }) => id === claimed[0]!.id));
  });
});

describe('who has logged in', () => {
  const identity = person('sam').identity;

  test('stays so no longer because the clock is set back', async () => {
    const expiresAt = currentTime() + 5 * MINUTE;
    const login = await new Logins(store).create({ identity, expiresAt });
    const { credential } = await new Credentials(store).create({
      identity,
      by: identity,
      connections: null,
      login: null,
      expiresAt,
    });
    const found = async () => [
      await new Logins(store).find(login.token),
      await new Credentials(store).find(credential.id),
    ];
    setClock(-HOURS);
    assert.ok((await found()).every((one) => one !== null));
    pass(6 * MINUTE);
    assert.deepEqual(await found(), [null, null]);
  });

  test('has not when that was at a time that has not come', async () => {
    setClock(HOURS);
    const login = await new Logins(store).create({ identity, expiresAt: Date.now() + 60_000 });
    assert.notEqual(await new Logins(store).find(login.token), null);
    putRight();
    assert.equal(await new Logins(store).find(login.token), null);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { until } from '../../test/until.ts';
import { identityId } from '../identity/identity.ts';
import { openStore, type Store } from '../store/store.ts';
import { type ApprovalEvent, Approvals, type Ruling } from './approvals.ts';
import type { Impact } from './impact.ts';
import type { Question } from './request.ts';
import { APPROVAL, person, question, TICKET_ONLY } from './test-requests.ts';
import type { Voter } from './voting.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-approvals-'));
let store: Store;
let approvals: Approvals;
let events: ApprovalEvent[];
let n = 0;

before(async () => {
  store = await openStore({ kind: 'sqlite', file: join(directory, 'store.db') });
});
after(async () => {
  await store.destroy();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  approvals = open();
  events = [];
  // Every test has statements of its own.
  n++;
});
afterEach(() => approvals.close());

function open(): Approvals {
  const opened = new Approvals({
    store,
    ended: () => null,
    preview: null,
    announce: null,
    failed: (what, error) => assert.fail(`${what}: ${error.stack}`),
  });
  opened.events.on('change', (event) => events.push(event));
  return opened;
}

const own = (change: Partial<Question> = {}, binding: Partial<Question['binding']> = {}) =>
  question({ fingerprint: `f${n}`, ...change }, { statement: `DELETE FROM orders -- ${n}`, ...binding });

/** Asks, and gives the ticket as soon as it is known. */
async function ask(asked: Question, stop = new AbortController().signal, at = approvals) {
  let known: (id: number) => void;
  const id = new Promise<number>((resolve) => {
    known = resolve;
  });
  const ruling = at.rule(asked, (request) => known(request.id), stop);
  void ruling.then((given) => known('request' in given ? given.request : -1));
  return { id: await id, ruling };
}

const vote = (id: number, voter: Voter, decision: 'approve' | 'reject' | 'break-glass' = 'approve', reason = '') =>
  approvals.vote(id, voter, decision, { reason, channel: 'api' });

describe('a client that waits', () => {
  test('gets its grant when the last vote is in, and once only', async () => {
    const stages = [
      { groups: ['dba'], subjects: [], count: 2 },
      { groups: [], subjects: ['sec'], count: 1 },
    ];
    const asked = own({ approvals: [{ ...APPROVAL, stages }] });
    const { id, ruling } = await ask(asked);
    await vote(id, person('ann'));
    await vote(id, person('sec', []));
    assert.equal((await approvals.request(id)).state, 'pending');
    await vote(id, person('bob'));
    assert.deepEqual(await ruling, { kind: 'granted', request: id, rows: null });
    assert.equal((await approvals.request(id)).state, 'used');
    const next = await ask({ ...asked, approvals: [TICKET_ONLY] });
    assert.notEqual(next.id, id);
    assert.deepEqual(
      events.map(({ event }) => event),
      ['requested', 'voted', 'voted', 'voted', 'decided', 'collected', 'requested'],
    );
  });

  test('is told of a rejection with its reason, and again when it asks again', async () => {
    const { id, ruling } = await ask(own());
    await vote(id, person('ann'), 'reject', 'use the archive job');
    const rejected = { kind: 'rejected', request: id, reason: 'use the archive job' };
    assert.deepEqual(await ruling, rejected);
    assert.deepEqual(await (await ask(own())).ruling, rejected);
  });

  test('gets a ticket when its time is over, and the grant when it asks again', async () => {
    const { id, ruling } = await ask(own({ approvals: [{ ...APPROVAL, waitMs: 30 }] }));
    assert.deepEqual(await ruling, { kind: 'ticket', request: id });
    await vote(id, person('ann'));
    assert.deepEqual(await (await ask(own({ session: 'another' }))).ruling, {
      kind: 'granted',
      request: id,
      rows: null,
    });
  });

  test('takes its request back when it cancels', async () => {
    const stop = new AbortController();
    const { id, ruling } = await ask(own(), stop.signal);
    stop.abort('withdraw');
    assert.deepEqual(await ruling, { kind: 'withdrawn', request: id });
    await assert.rejects(vote(id, person('ann')), /withdrawn already/);
  });

  test('leaves its request open when it has to go', async () => {
    const stop = new AbortController();
    const { id, ruling } = await ask(own(), stop.signal);
    stop.abort('leave');
    assert.deepEqual(await ruling, { kind: 'ticket', request: id });
    await vote(id, person('ann'));
  });

  test('hears of votes that another node has taken', async () => {
    const other = open();
    const { id, ruling } = await ask(own(), undefined, other);
    await vote(id, person('ann'));
    assert.equal((await ruling).kind, 'granted');
    await other.close();
  });

  test('and another that waits for the same: one of them runs', async () => {
    const asked = own({ approvals: [{ ...APPROVAL, waitMs: 400 }] });
    const [first, second] = await Promise.all([ask(asked), ask({ ...asked, session: 's2' })]);
    assert.equal(first.id, second.id);
    await vote(first.id, person('ann'));
    const kinds = (await Promise.all([first.ruling, second.ruling])).map(({ kind }) => kind).sort();
    assert.deepEqual(kinds, ['granted', 'ticket']);
  });
});

describe('a grant is for nothing else', () => {
  const differences: Record<string, [Partial<Question>, Partial<Question['binding']>]> = {
    'another statement': [{}, { statement: 'DELETE FROM items' }],
    'other values': [{}, { binds: '[{"int4":2}]' }],
    'another identity': [{}, { subject: 'bot2' }],
    'the same name at another provider': [{}, { issuer: 'https://idp.example' }],
    'another connection': [{}, { connection: 'crm' }],
    'another database': [{}, { database: 'crm' }],
    'another role': [{}, { role: 'root' }],
    'another search path': [{}, { path: ['evil', 'public'] }],
    'text that is read in another way': [{}, { reading: 'ANSI_QUOTES' }],
    'other rules': [{}, { rules: 'v2' }],
  };
  for (const [name, [change, binding]] of Object.entries(differences)) {
    test(`not for ${name}`, async () => {
      const { id } = await ask(own({ approvals: [TICKET_ONLY] }, { binds: '[{"int4":1}]' }));
      await vote(id, person('ann'));
      const other = await ask(own({ ...change, approvals: [TICKET_ONLY] }, { binds: '[{"int4":1}]', ...binding }));
      assert.deepEqual(await other.ruling, { kind: 'ticket', request: other.id });
      assert.notEqual(other.id, id);
    });
  }

  test('a grant for the session is for no other session', async () => {
    const asked = own({ approvals: [{ ...TICKET_ONLY, grant: 'session' }] });
    const { id } = await ask(asked);
    await vote(id, person('ann'));
    const kinds: Ruling['kind'][] = [];
    for (const session of ['s1', 's1', 's2']) kinds.push((await (await ask({ ...asked, session })).ruling).kind);
    assert.deepEqual(kinds, ['granted', 'granted', 'ticket']);
  });

  test('a grant for the shape is for other literals, as long as it lasts', async () => {
    const asked = own({ approvals: [{ ...TICKET_ONLY, grant: 'fingerprint', grantForMs: 150 }] });
    const { id } = await ask(asked);
    await vote(id, person('ann'));
    const other = {
      ...asked,
      session: 's9',
      binding: { ...asked.binding, statement: 'DELETE FROM orders WHERE id = 7' },
    };
    assert.deepEqual(await (await ask(other)).ruling, { kind: 'granted', request: id, rows: null });
    assert.equal((await (await ask({ ...other, kind: 'UPDATE' })).ruling).kind, 'ticket');
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await (await ask(other)).ruling).kind, 'ticket');
  });

  test('reaches as far as the one says who lets it reach the least, and no further than the rules', async () => {
    const two = [{ groups: ['dba'], subjects: [], count: 2 }];
    const asked = own({ approvals: [{ ...TICKET_ONLY, stages: two, grant: 'fingerprint', grantForMs: 60_000 }] });
    const { id } = await ask(asked);
    const voteFor = (voter: Voter, grant?: 'once' | 'session' | 'fingerprint') =>
      approvals.vote(id, voter, 'approve', { reason: '', channel: 'api', unguarded: true, grant });
    assert.equal((await voteFor(person('ann'), 'session')).grant, 'session');
    await assert.rejects(voteFor(person('ben'), 'fingerprint'), /reaches no further than session/);
    // Who says nothing leaves it as it is.
    assert.equal((await voteFor(person('ben'))).state, 'approved');
    const voted = events.flatMap((event) => (event.event === 'voted' ? [event.grant] : []));
    assert.deepEqual(voted, ['session', null]);
    const other = { ...asked, binding: { ...asked.binding, statement: 'DELETE FROM orders WHERE id = 7' } };
    const kinds: Ruling['kind'][] = [];
    for (const one of [other, asked, asked, { ...asked, session: 's2' }]) {
      kinds.push((await (await ask(one)).ruling).kind);
    }
    assert.deepEqual(kinds, ['ticket', 'granted', 'granted', 'ticket']);
  });

  test('asks for the rows to be counted once it is for one statement only', async () => {
    const reaching = own({
      unguarded: null,
      approvals: [{ ...TICKET_ONLY, grant: 'fingerprint', grantForMs: 60_000 }],
    });
    const { id } = await ask(reaching);
    const ballot = { reason: '', channel: 'api', grant: 'once' } as const;
    await assert.rejects(approvals.vote(id, person('ann'), 'approve', ballot), { name: 'NotCounted' });
    const { votes, grant } = await approvals.request(id);
    assert.deepEqual([votes, grant], [[], 'fingerprint']);
  });
});

describe('who may not vote', () => {
  const cases: Record<string, [Voter, RegExp]> = {
    'who asks': [person('bot'), /of their own/],
    "the agent's owner": [person('olga'), /owner of an agent/],
    'people nobody asked': [person('eve', ['sales']), /other people/],
    'an approver where the rule names a group': [person('eve', [], { isApprover: true }), /other people/],
    'an agent': [{ ...person('b'), identity: { subject: 'b', kind: 'agent', groups: ['dba'] } }, /Only people/],
    'a service': [{ ...person('b'), identity: { subject: 'b', kind: 'service', groups: ['dba'] } }, /Only people/],
  };
  for (const [name, [voter, reason]] of Object.entries(cases)) {
    test(name, async () => {
      const { id } = await ask(own({ approvals: [TICKET_ONLY] }));
      await assert.rejects(vote(id, voter), reason);
      await assert.rejects(vote(id, voter, 'reject', 'no'), reason);
      assert.equal((await approvals.request(id)).votes.length, 0);
    });
  }

  test('nobody votes twice, and a rejection has a reason', async () => {
    const two = { ...TICKET_ONLY, stages: [{ groups: ['dba'], subjects: [], count: 2 }] };
    const { id } = await ask(own({ approvals: [two] }));
    await assert.rejects(vote(id, person('ann'), 'reject'), /needs a reason/);
    await vote(id, person('ann'));
    await assert.rejects(vote(id, person('ann')), /voted already/);
  });

  test('a delegate votes in the place of one person, but never of who asks', async () => {
    const asked = own({ approvals: [{ ...TICKET_ONLY, stages: [{ groups: [], subjects: ['ann'], count: 1 }] }] });
    const { id } = await ask(asked);
    const eve = person('eve', []);
    await approvals.delegate(person('ann').identity, eve.identity, Date.now() + 60_000);
    await approvals.delegate(person('olga').identity, eve.identity, Date.now() + 60_000);
    const inPlaceOf = await approvals.delegatedTo(eve.identity);
    const voted = await vote(id, { ...eve, inPlaceOf });
    assert.deepEqual(voted.votes[0]!.onBehalfOf, ['ann']);
    assert.equal(voted.state, 'approved');
    await approvals.delegate(person('ann').identity, eve.identity, Date.now() - 1);
    assert.deepEqual(
      (await approvals.delegatedTo(eve.identity)).map(({ subject }) => subject),
      ['olga'],
    );
  });

  test('whoever hands a vote over has one still, and not two', async () => {
    const two = [{ groups: ['dba'], subjects: [], count: 2 }];
    const inPlaceOf = [{ subject: 'ann', groups: ['dba'] }];
    const eve = person('eve', [], { inPlaceOf });
    const fay = person('fay', [], { inPlaceOf });
    const first = await ask(own({ approvals: [{ ...TICKET_ONLY, stages: two }] }));
    assert.equal((await vote(first.id, eve)).state, 'pending');
    await assert.rejects(vote(first.id, fay), /ask other people/);
    await assert.rejects(vote(first.id, person('ann')), /eve has voted in your place already/);
    // Who is asked anyway takes nobody's place.
    const bob = await vote(first.id, person('bob', ['dba'], { inPlaceOf: [{ subject: 'cat', groups: ['dba'] }] }));
    assert.deepEqual([bob.state, bob.votes[1]!.onBehalfOf], ['approved', []]);

    const second = await ask(own({ approvals: [{ ...TICKET_ONLY, stages: two }] }, { statement: `second ${n}` }));
    await vote(second.id, person('ann'));
    await assert.rejects(vote(second.id, eve), /ask other people/);
    assert.equal((await approvals.request(second.id)).state, 'pending');
  });

  test('breaking the glass needs the right and a reason, and is reviewed by somebody else', async () => {
    const { id } = await ask(own({ approvals: [TICKET_ONLY] }));
    const olga = person('olga', [], { mayBreakGlass: true });
    await assert.rejects(vote(id, person('ann'), 'break-glass', 'fire'), /may not approve alone/);
    await assert.rejects(vote(id, olga, 'break-glass', ' '), /Say why/);
    assert.equal((await vote(id, olga, 'break-glass', 'the disk is full')).state, 'approved');
    await assert.rejects(approvals.review(id, olga.identity, 'fine'), /Somebody else/);
    assert.equal((await approvals.review(id, person('ann').identity, 'fine')).review!.note, 'fine');
    await assert.rejects(approvals.review(id, person('bob').identity, 'too'), /already/);
  });
});

describe('nothing that was approved runs once somebody has gone', () => {
  const asks = { subject: 'bot', kind: 'agent', groups: [], owner: 'olga' } as const;
  const whoever: Readonly<
    Record<string, readonly [subject: string, kind: 'human' | 'agent', asked: Question['identity']]>
  > = {
    'who approved': ['gina', 'human', asks],
    'in whose place it was approved': ['greg', 'human', asks],
    'who asks': ['gus', 'agent', { ...asks, subject: 'gus' }],
    'who owns the agent that asks': ['gwen', 'human', { ...asks, owner: 'gwen' }],
  };
  for (const [who, [subject, kind, identity]] of Object.entries(whoever)) {
    test(who, async () => {
      const asked = own({
        identity,
        approvals: [{ ...TICKET_ONLY, stages: [{ groups: ['dba'], subjects: [], count: 2 }] }],
      });
      const { id } = await ask(asked);
      await vote(id, person('gina'));
      const inPlaceOf = [{ subject: 'greg', groups: ['dba'] }];
      assert.equal((await vote(id, person('fay', [], { inPlaceOf }))).state, 'approved');
      await store
        .insertInto('identities')
        .values({
          ...{ id: identityId({ subject }), issuer: '', subject, kind, owner: null, groups: '[]', state: 'locked' },
          ...{ state_reason: null, state_by: null, state_at: null, first_used: null, last_used: null },
          ...{ first_seen: 1, sessions: 0, allowed: 0, denied: 0, held: 0 },
        })
        .execute();
      const { ruling } = await ask(asked);
      assert.equal((await ruling).kind, 'expired');
      assert.equal((await approvals.request(id)).state, 'expired');
      await store.deleteFrom('identities').where('subject', '=', subject).execute();
    });
  }
});

test('of many statements only a few are looked into at once, and each in its turn', async () => {
  let now = 0;
  let most = 0;
  const impact = { rows: 1, estimatedRows: null, cascades: [], triggers: [], gaps: [] };
  const looking = new Approvals({
    store,
    ended: () => null,
    announce: null,
    failed: (what) => assert.fail(what),
    preview: async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return impact;
    },
  });
  const seen = new Set<number>();
  const all = new Promise<void>((resolve) => {
    looking.events.on('change', ({ event, request }) => {
      if (event === 'estimated' && seen.add(request.id).size === 20) resolve();
    });
  });
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => {
      const asked = own({ approvals: [TICKET_ONLY] }, { statement: `DELETE FROM t WHERE id = ${n}.${i}` });
      return looking.rule(asked, () => undefined, new AbortController().signal);
    }),
  );
  await all;
  assert.ok(most <= 4, `${most} at once`);
  await looking.close();
});

describe('an update or delete whose rows can be counted', () => {
  const counted = { rows: 7, estimatedRows: null, cascades: [], triggers: [], gaps: [] };
  /** Asks, at a node that finds out as much. @param stop keeps it from finding out anything */
  async function askCounting(preview: () => Promise<Impact>) {
    const at = new Approvals({ store, ended: () => null, announce: null, failed: () => undefined, preview });
    const { id } = await ask(own({ approvals: [TICKET_ONLY], unguarded: null }), undefined, at);
    return { at, id };
  }
  const approve = (at: Approvals, id: number, unguarded = false, by = person('ann')) =>
    at.vote(id, by, 'approve', { reason: '', channel: 'api', unguarded });

  test('is approved by a number of rows that its approvers were told', async () => {
    let count: (impact: Impact) => void = () => undefined;
    const { at, id } = await askCounting(
      () =>
        new Promise((resolve) => {
          count = resolve;
        }),
    );
    const early = approve(at, id);
    await new Promise((resolve) => setTimeout(resolve, 50));
    count(counted);
    await assert.rejects(early, { name: 'NotCounted', message: /They are 7\. Approve it again/ });
    assert.equal((await at.request(id)).state, 'pending');
    const { state, votes } = await approve(at, id);
    assert.deepEqual([state, votes.map(({ isUncounted }) => isUncounted)], ['approved', [false]]);
    assert.deepEqual(await (await ask(own({ approvals: [TICKET_ONLY], unguarded: null }))).ruling, {
      kind: 'granted',
      request: id,
      rows: 7,
    });
    await at.close();
  });

  test('that could not be counted is approved unguarded only, which the vote says', async () => {
    for (const preview of [async () => ({ ...counted, rows: null }), () => Promise.reject(new Error('gone'))]) {
      n++;
      const { at, id } = await askCounting(preview);
      await assert.rejects(approve(at, id), { name: 'NotCounted', message: /or approve it unguarded/ });
      await assert.rejects(approve(at, id, false, person('olga')), /owner of an agent does not vote/);
      const { state, votes } = await approve(at, id, true);
      assert.deepEqual([state, votes.map(({ isUncounted }) => isUncounted)], ['approved', [true]]);
      await at.close();
    }
  });

  test('is rejected at once, and in an emergency approved', async () => {
    const { at, id } = await askCounting(() => new Promise(() => undefined));
    const alone = person('zoe', ['dba'], { mayBreakGlass: true });
    await at.vote(id, alone, 'break-glass', { reason: 'it burns', channel: 'api' });
    n++;
    const other = await askCounting(() => new Promise(() => undefined));
    assert.equal((await other.at.vote(other.id, alone, 'reject', { reason: 'no', channel: 'api' })).state, 'rejected');
    assert.deepEqual(
      (await at.request(id)).votes.map(({ isUncounted }) => isUncounted),
      [true],
    );
  });
});

test('a request knows what became of those like it before, on its connection', async () => {
  const asking = (i: number, binding: Partial<Question['binding']> = {}) =>
    ask(own({ approvals: [TICKET_ONLY] }, { statement: `DELETE FROM t WHERE id = ${n}.${i}`, ...binding }));
  const none = { approved: 0, ran: 0, rejected: 0, expired: 0, withdrawn: 0, last: null, lastRun: null };
  const first = await asking(1);
  assert.deepEqual(await approvals.history(await approvals.request(first.id)), none);
  await vote(first.id, person('ann'));
  await asking(1);
  approvals.ran(first.id, 12);
  const second = await asking(2);
  await vote(second.id, person('bob'));
  const third = await asking(3);
  await vote(third.id, person('ann'), 'reject', 'use the archive job');
  await asking(4, { connection: 'stock' });
  await until(
    async () => (await approvals.history(await approvals.request(third.id)))?.lastRun !== null,
    'it is noted',
  );
  const { id } = await asking(5);
  const history = await approvals.history(await approvals.request(id));
  const { at } = (await approvals.request(third.id)).votes[0]!;
  assert.deepEqual(history, {
    ...{ ...none, approved: 2, ran: 1, rejected: 1 },
    last: { request: third.id, decision: 'rejected', by: ['ann'], at, reason: 'use the archive job' },
    lastRun: { request: first.id, rows: 12 },
  });
  const unread = await ask(own({ approvals: [TICKET_ONLY], fingerprint: '' }));
  assert.equal(await approvals.history(await approvals.request(unread.id)), null);
});

test('nothing is collected after the deadline', async () => {
  const short = { ...TICKET_ONLY, withinMs: 60 };
  const { id } = await ask(own({ approvals: [short] }));
  await vote(id, person('ann'));
  await new Promise((resolve) => setTimeout(resolve, 80));
  const again = await ask(own({ approvals: [short] }));
  assert.deepEqual(await again.ruling, { kind: 'ticket', request: again.id });
  assert.notEqual(again.id, id);
});

test('a store that fails lets nothing run', async () => {
  const file = join(directory, 'gone.db');
  const gone = await openStore({ kind: 'sqlite', file });
  const failures: string[] = [];
  const broken = new Approvals({
    store: gone,
    ended: () => null,
    preview: null,
    announce: null,
    failed: (what) => failures.push(what),
  });
  await gone.destroy();
  const { ruling } = await ask(own(), undefined, broken);
  assert.equal((await ruling).kind, 'unavailable');
  assert.equal(failures.length, 1);
  await broken.close();
});

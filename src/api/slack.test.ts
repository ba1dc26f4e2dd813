import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import {
  buttonsOf,
  FakeSlack,
  type Forgery,
  type OpenedView,
  type PostedMessage,
  preformattedOf,
} from '../../test/fake-slack.ts';
import type { ApprovalRequest } from '../approvals/request.ts';
import { person, question, TICKET_ONLY } from '../approvals/test-requests.ts';
import type { SlackChannelConfig } from '../config/config.ts';
import { type Authenticated, identityId } from '../identity/identity.ts';
import { TokenRefused } from '../identity/token-verifier.ts';
import { createApi } from './api.ts';
import { SLACK, type TestServices, testServices } from './test-services.ts';

const IDP = 'https://idp.example';
/** Slack's ids of people. */
const [APPROVER, ANN, EVE] = ['U00APPROVER', 'U000ANN', 'U000EVE'];
const ADDRESS = 'ann@acme.example';
const stages = [{ groups: ['approver'], subjects: [], count: 1 }];

let slack: FakeSlack;
let own: TestServices;
let api: FastifyInstance;
let channels: { readonly quiet: SlackChannelConfig; readonly open: SlackChannelConfig };

before(async () => {
  slack = await FakeSlack.start();
});
after(async () => {
  await slack?.stop();
});
beforeEach(async () => {
  const { api: address, team, token: botToken, signingSecret } = slack;
  const users = new Map([
    [APPROVER!, { issuer: null, subject: 'approver' }],
    ['U00VIEWER', { issuer: null, subject: 'viewer' }],
    ['U0000MIA', { issuer: IDP, subject: 'mia' }],
  ]);
  const common = { ...SLACK, api: address, team, botToken, signingSecret, users, emailIssuer: IDP };
  channels = {
    quiet: { ...common, name: 'quiet', conversation: 'C0QUIET' },
    open: { ...common, name: 'open', conversation: 'C00OPEN', statements: true },
  };
  own = await testServices(
    { tokens: { source: { issuer: IDP, scope: 'openid' }, verify: tokenOfAnn } },
    Object.values(channels),
  );
  api = await createApi(own.services);
  own.services.outbox!.start(own.services.approvals, { gaveUp: () => undefined, troubled: () => undefined });
  slack.answer = () => 'ok';
  slack.users.clear();
  for (const list of [slack.calls, slack.views, slack.ephemerals]) list.length = 0;
  slack.messages.clear();
});
afterEach(async () => {
  slack.comeBack();
  await api.close();
  await own.services.outbox!.close();
  await own.close();
});

async function tokenOfAnn(token: string): Promise<Authenticated> {
  if (token !== 'of-ann') throw new TokenRefused('it is not of ann');
  return { identity: { subject: ADDRESS, issuer: IDP, kind: 'human', groups: ['approver'] }, expiresAt: null };
}

let texts = 0;
async function ask(
  change: Parameters<typeof question>[0] = {},
  statement = `DELETE FROM orders -- ${++texts}`,
): Promise<number> {
  const asked = question({ approvals: [{ ...TICKET_ONLY, stages }], ...change }, { statement });
  const ruling = await own.services.approvals.rule(asked, () => undefined, new AbortController().signal);
  return (ruling as { request: number }).request;
}

const requestOf = (id: number): Promise<ApprovalRequest> => own.services.approvals.request(id);
const isOpen = (message: PostedMessage): boolean => buttonsOf(message).some(({ action_id }) => action_id === 'approve');

/** Has Slack send something. */
async function deliver(payload: object, forgery: Forgery = {}): Promise<{ status: number; body: string }> {
  const { body, headers } = slack.signed(payload, forgery);
  const { statusCode, payload: answer } = await api.inject({
    method: 'POST',
    url: '/api/v1/approvals/slack',
    headers,
    payload: body,
  });
  return { status: statusCode, body: answer };
}

/** Somebody presses a button. @returns the modal that opened, `null` if none did */
async function press(
  message: PostedMessage,
  action: 'approve' | 'reject',
  user: string,
  forgery: Forgery = {},
): Promise<OpenedView | null> {
  const opened = slack.views.length;
  const { status, body } = await deliver(slack.pressed(message, action, user, forgery), forgery);
  assert.deepEqual([status, body], [200, '']);
  return slack.views[opened] ?? null;
}

/** Somebody of the provider has logged in, at a time. */
async function loggedIn(subject: string, groups: readonly string[], at = Date.now(), issuer = IDP): Promise<void> {
  const row = { identity: identityId({ issuer, subject }), issuer, subject, groups: JSON.stringify(groups), at };
  await own.store.insertInto('last_logins').values(row).execute();
}

const member = (email: string, more: object = {}) => ({ email, is_email_confirmed: true, ...more });
const records = (event: string) => own.records.filter((record) => record.event === event);

describe('a request in Slack', () => {
  test('is a message that says who asks for what, and shows the statement only where everybody may see it', async () => {
    const id = await ask({ claimed: { intent: 'tidy up' } }, 'DELETE FROM orders WHERE id = 3 -- in Slack');
    const quiet = await slack.message('C0QUIET', id);
    const open = await slack.message('C00OPEN', id);
    for (const part of [
      'bot (agent), on behalf of olga',
      'shop, database shop, as app',
      'delete public.orders',
      '1 of group approver',
    ]) {
      assert.ok(JSON.stringify(quiet.blocks).includes(part), part);
    }
    assert.ok(!/DELETE FROM|tidy up/.test(JSON.stringify(quiet)));
    assert.equal(preformattedOf(open), 'DELETE FROM orders WHERE id = 3 -- in Slack');
    assert.match(JSON.stringify(open.blocks), /tidy up/);
    const [, , link] = buttonsOf(quiet);
    assert.equal(link!.url, `https://sluice.example/approvals/${id}`);
    assert.equal(slack.unauthorized, 0);
  });

  test('is changed when it is decided, and has no buttons to vote by any more', async () => {
    const id = await ask();
    const { ts } = await slack.message('C0QUIET', id, isOpen);
    await own.services.approvals.vote(id, person('ann', ['approver']), 'reject', {
      reason: 'use the job',
      channel: 'api',
    });
    const rejected = await slack.message('C0QUIET', id, (message) => !isOpen(message));
    assert.equal(rejected.ts, ts);
    assert.match(rejected.text, /was rejected/);
    assert.match(JSON.stringify(rejected.blocks), /ann rejected: use the job/);
    assert.equal([...slack.messages.values()].filter(({ channel }) => channel === 'C0QUIET').length, 1);
  });

  test('is posted anew if somebody has deleted the message', async () => {
    const id = await ask();
    const { ts } = await slack.message('C0QUIET', id);
    slack.messages.clear();
    await own.services.approvals.vote(id, person('ann', ['approver']), 'approve', { reason: '', channel: 'api' });
    assert.notEqual((await slack.message('C0QUIET', id, (message) => !isOpen(message))).ts, ts);
  });

  test('comes later where Slack limits rates, fails, does not know its own answer or is gone', async () => {
    const failures = ['429', 500, 'no_answer', 'away'];
    slack.answer = (method) => {
      if (method !== 'chat.postMessage') return 'ok';
      const next = failures.shift();
      if (next === '429') return { status: 429, retryAfter: '1' };
      if (next === 'no_answer') return { error: 'fatal_error' };
      return typeof next === 'number' ? next : 'ok';
    };
    const id = await ask();
    await slack.message('C0QUIET', id);
    await slack.message('C00OPEN', id);
    slack.goAway();
    const later = await ask();
    const failed = () => own.services.outbox!.courier!.counters.get('quiet')!.failed;
    const before = failed();
    while (failed() === before) await sleep(10);
    slack.comeBack();
    await slack.message('C0QUIET', later);
    assert.equal((await requestOf(later)).state, 'pending');
  });
});

describe('who may vote in Slack', () => {
  test('approves by one click where all of the statement is shown', async () => {
    const id = await ask();
    const message = await slack.message('C00OPEN', id, isOpen);
    assert.ok(buttonsOf(message)[0]!.confirm);
    assert.equal(await press(message, 'approve', APPROVER!), null);
    const { state, votes } = await requestOf(id);
    assert.equal(state, 'approved');
    assert.deepEqual(
      votes.map(({ subject, issuer, channel }) => [subject, issuer, channel]),
      [['approver', '', 'slack']],
    );
    await slack.message('C00OPEN', id, ({ text }) => text.endsWith('is approved'));
    await slack.message('C0QUIET', id, ({ text }) => text.endsWith('is approved'));
    const { event, at, ...record } = records('approval.slack')[0]!;
    assert.deepEqual(record, {
      channel: 'open',
      request: id,
      slack: { team: slack.team, user: APPROVER },
      decision: 'approve',
      outcome: 'voted',
      by: { subject: 'approver', kind: 'human', groups: ['approver'] },
    });
  });

  test('sees the statement before approving it where others may not', async () => {
    const id = await ask({}, 'DELETE FROM orders WHERE id = 9 -- hidden');
    const view = await press(await slack.message('C0QUIET', id, isOpen), 'approve', APPROVER!);
    assert.equal(preformattedOf(view!), 'DELETE FROM orders WHERE id = 9 -- hidden');
    assert.equal((await requestOf(id)).state, 'pending');
    assert.deepEqual(await deliver(slack.submitted(view!, null, APPROVER!)), { status: 200, body: '' });
    assert.equal((await requestOf(id)).state, 'approved');
  });

  test('rejects with a reason, which is asked for', async () => {
    const id = await ask();
    const view = await press(await slack.message('C00OPEN', id, isOpen), 'reject', APPROVER!);
    const { body } = await deliver(slack.submitted(view!, ' ', APPROVER!));
    assert.match(JSON.parse(body).errors.reason, /needs a reason/);
    assert.equal((await requestOf(id)).state, 'pending');
    await deliver(slack.submitted(view!, 'not on a Friday', APPROVER!));
    const { state, reason } = await requestOf(id);
    assert.deepEqual([state, reason], ['rejected', 'not on a Friday']);
  });

  test('is known by the e-mail address that Slack has confirmed, with the groups of the last login', async () => {
    await loggedIn(ADDRESS, ['approver']);
    slack.users.set(ANN!, member('Ann@Acme.example'));
    const id = await ask();
    await press(await slack.message('C00OPEN', id, isOpen), 'approve', ANN!);
    const [vote] = (await requestOf(id)).votes;
    assert.deepEqual([vote!.subject, vote!.issuer, vote!.groups], [ADDRESS, IDP, ['approver']]);
  });

  test('is known once a token of the provider has been shown to Sluice', async () => {
    slack.users.set(ANN!, member(ADDRESS));
    const id = await ask();
    const message = await slack.message('C00OPEN', id, isOpen);
    await press(message, 'approve', ANN!);
    assert.equal((await requestOf(id)).votes.length, 0);
    const me = (authorization: string) => api.inject({ url: '/api/v1/me', headers: { authorization } });
    assert.equal((await me('Bearer another')).statusCode, 401);
    await press(message, 'approve', ANN!);
    assert.equal((await requestOf(id)).votes.length, 0);
    assert.equal((await me('Bearer of-ann')).statusCode, 200);
    await press(message, 'approve', ANN!);
    assert.equal((await requestOf(id)).votes[0]!.subject, ADDRESS);
  });

  test('is known by the id that is configured, and the login at the provider', async () => {
    const id = await ask();
    const message = await slack.message('C00OPEN', id, isOpen);
    await press(message, 'approve', 'U0000MIA');
    assert.match(slack.ephemerals.at(-1)!.text, /Nobody has logged in at Sluice as mia lately/);
    await loggedIn('mia', ['approver']);
    await press(message, 'approve', 'U0000MIA');
    assert.equal((await requestOf(id)).votes[0]!.subject, 'mia');
    assert.ok(slack.calls.every(({ method }) => method !== 'users.info'));
  });

  test('votes in the place of who handed the vote over', async () => {
    const { approvals } = own.services;
    const id = await ask({ approvals: [{ ...TICKET_ONLY, stages: [{ groups: [], subjects: ['zoe'], count: 1 }] }] });
    const approver = { subject: 'approver' };
    await approvals.delegate(person('zoe').identity, approver, Date.now() + 60_000);
    await press(await slack.message('C00OPEN', id, isOpen), 'approve', APPROVER!);
    assert.deepEqual((await requestOf(id)).votes[0]!.onBehalfOf, ['zoe']);
  });

  test('votes once, however often Slack sends it', async () => {
    const two = [{ groups: ['approver'], subjects: [], count: 2 }];
    const id = await ask({ approvals: [{ ...TICKET_ONLY, stages: two }] });
    const payload = slack.pressed(await slack.message('C00OPEN', id, isOpen), 'approve', APPROVER!);
    const again = { headers: { 'x-slack-retry-num': '1', 'x-slack-retry-reason': 'http_timeout' } };
    const answers = await Promise.all([deliver(payload), deliver(payload, again), deliver(payload, again)]);
    assert.deepEqual(answers.map(({ status }) => status).slice(1), [200, 200]);
    assert.equal((await requestOf(id)).votes.length, 1);
    assert.equal(records('approval.slack').length, 1);
    assert.equal(slack.ephemerals.length, 0);
  });
});

describe('a vote from Slack does not count', () => {
  /** Nobody has voted, and Slack was not asked anything for it. */
  async function nothingHappened(id: number): Promise<void> {
    const { state, votes } = await requestOf(id);
    assert.deepEqual([state, votes.length], ['pending', 0]);
    assert.equal(slack.views.length, 0);
    assert.ok(slack.calls.every(({ method }) => method.startsWith('chat.') && method !== 'chat.postEphemeral'));
  }

  const forgeries: Record<string, [number, Forgery, RegExp]> = {
    'that somebody else signed': [401, { secret: 'guessed' }, /not signed by Slack, or it is old/],
    'that nobody signed': [401, { headers: { 'x-slack-signature': '' } }, /not signed/],
    'that is old': [401, { at: Date.now() - 3_600_000 }, /it is old/],
    'from the future': [401, { at: Date.now() + 3_600_000 }, /it is old/],
    'of another workspace': [403, { team: 'T0000EVIL', userTeam: 'T0000EVIL' }, /of workspace T0000EVIL/],
    'of somebody of another workspace, in a conversation that both share': [
      403,
      { userTeam: 'T0000EVIL' },
      /T0000EVIL in T024BE7LD/,
    ],
  };
  for (const [name, [status, forgery, reason]] of Object.entries(forgeries)) {
    test(name, async () => {
      const id = await ask();
      const message = await slack.message('C00OPEN', id, isOpen);
      const answer = await deliver(slack.pressed(message, 'approve', APPROVER!, forgery), forgery);
      assert.equal(answer.status, status);
      assert.match(String(records('auth.failed')[0]!.reason), reason);
      assert.equal(records('auth.failed')[0]!.via, 'slack');
      await nothingHappened(id);
    });
  }

  test('that nobody signed, and does not fill the journal either', async () => {
    const id = await ask();
    const forged = slack.pressed(await slack.message('C00OPEN', id, isOpen), 'approve', APPROVER!);
    for (let sent = 0; sent < 130; sent++) assert.equal((await deliver(forged, { secret: 'guessed' })).status, 401);
    const { length } = records('auth.failed');
    // In two minutes at most.
    assert.ok(length >= 60 && length <= 120, `${length}`);
    await nothingHappened(id);
  });

  test('whose body was changed after it was signed', async () => {
    const [one, other] = [await ask(), await ask()];
    const message = await slack.message('C00OPEN', one, isOpen);
    const { body, headers } = slack.signed(slack.pressed(message, 'approve', APPROVER!));
    const payload = body.replaceAll(`request%5C%22%3A${one}`, `request%5C%22%3A${other}`);
    assert.notEqual(payload, body);
    assert.equal(
      (await api.inject({ method: 'POST', url: '/api/v1/approvals/slack', headers, payload })).statusCode,
      401,
    );
    await nothingHappened(one);
    await nothingHappened(other);
  });

  test('that is sent again by somebody who has seen it', async () => {
    const two = [{ groups: ['approver'], subjects: [], count: 2 }];
    const id = await ask({ approvals: [{ ...TICKET_ONLY, stages: two }] });
    const payload = slack.pressed(await slack.message('C00OPEN', id, isOpen), 'approve', APPROVER!);
    assert.equal((await deliver(payload)).status, 200);
    assert.equal((await deliver(payload)).status, 409);
    // Signed anew it is the same: it was taken once.
    assert.equal((await deliver(payload, { at: Date.now() + 2_000 })).status, 409);
    assert.equal((await requestOf(id)).votes.length, 1);
    assert.equal(records('auth.failed').length, 2);
  });

  test('that is none: what Slack would never send', async () => {
    const id = await ask();
    const message = await slack.message('C00OPEN', id, isOpen);
    const right = slack.pressed(message, 'approve', APPROVER!);
    const wrong = [
      {},
      { ...right, type: 'shortcut' },
      { ...right, user: {} },
      { ...right, actions: [] },
      { ...right, actions: [{ action_id: 'break-glass', value: right.actions[0]!.value }] },
      { ...right, actions: [{ action_id: 'approve', value: 'nonsense' }] },
      { ...right, actions: [{ action_id: 'approve', value: JSON.stringify({ channel: 'open', request: -1 }) }] },
    ];
    for (const payload of wrong) assert.equal((await deliver(payload)).status, 400, JSON.stringify(payload));
    const other = {
      ...right,
      actions: [{ action_id: 'approve', value: JSON.stringify({ channel: 'other', request: id }) }],
    };
    assert.equal((await deliver(other)).status, 403);
    await nothingHappened(id);
    assert.equal((await deliver({ ...right, actions: [{ action_id: 'open' }] })).status, 200);
  });

  /** Who it is, why it is refused, and what is true before. */
  const people: Record<string, [string, RegExp, (() => Promise<void> | void)?]> = {
    'of who is not known': [
      EVE!,
      /Nobody has logged in at Sluice as eve@acme/,
      () => void slack.users.set(EVE!, member('eve@acme.example')),
    ],
    'of who calls themselves like an approver': [
      EVE!,
      /Nobody has logged in at Sluice as eve@acme/,
      async () => {
        await loggedIn(ADDRESS, ['approver']);
        const names = { name: ADDRESS, real_name: ADDRESS, username: 'approver' };
        slack.users.set(EVE!, { ...member('eve@acme.example'), ...names, display_name: ADDRESS });
      },
    ],
    'of who has an address that is not confirmed': [
      EVE!,
      /has not confirmed your e-mail/,
      async () => {
        await loggedIn(ADDRESS, ['approver']);
        slack.users.set(EVE!, { email: ADDRESS, is_email_confirmed: false });
      },
    ],
    'of a guest with the address of an approver': [
      EVE!,
      /Guests of the workspace do not vote/,
      async () => {
        await loggedIn(ADDRESS, ['approver']);
        slack.users.set(EVE!, member(ADDRESS, { is_ultra_restricted: true }));
      },
    ],
    'of who is from another workspace': [
      EVE!,
      /from another workspace/,
      async () => {
        await loggedIn(ADDRESS, ['approver']);
        slack.users.set(EVE!, member(ADDRESS, { team_id: 'T0000EVIL', is_stranger: true }));
      },
    ],
    'of a bot': [EVE!, /Only people vote/, () => void slack.users.set(EVE!, member(ADDRESS, { is_bot: true }))],
    'of who has left': [EVE!, /Only people vote/, () => void slack.users.set(EVE!, member(ADDRESS, { deleted: true }))],
    'of who has the address at another provider': [
      ANN!,
      /Nobody has logged in/,
      async () => {
        await loggedIn(ADDRESS, ['approver'], Date.now(), 'https://other.example');
        slack.users.set(ANN!, member(ADDRESS));
      },
    ],
    'of who logged in too long ago': [
      ANN!,
      /Nobody has logged in at Sluice as ann@acme.example lately/,
      async () => {
        await loggedIn(ADDRESS, ['approver'], Date.now() - SLACK.loginWithinMs - 1000);
        slack.users.set(ANN!, member(ADDRESS));
      },
    ],
    'of who is not in the group any more': [
      ANN!,
      /those with the role "approver"/,
      async () => {
        await loggedIn(ADDRESS, ['sales']);
        slack.users.set(ANN!, member(ADDRESS));
      },
    ],
    'of who is locked': [
      APPROVER!,
      /not good any more: it is locked/,
      async () => {
        await own.services.inventory.enlist([{ subject: 'approver', kind: 'human', groups: ['approver'] }]);
        await own.services.access.setState(identityId({ subject: 'approver' }), 'locked', 'admin', '');
      },
    ],
    'of who has another role': ['U00VIEWER', /those with the role "approver"/],
  };
  for (const [name, [user, reason, prepare]] of Object.entries(people)) {
    test(name, async () => {
      await prepare?.();
      const id = await ask();
      for (const channel of ['C00OPEN', 'C0QUIET']) {
        const message = await slack.message(channel, id, isOpen);
        for (const action of ['approve', 'reject'] as const) assert.equal(await press(message, action, user), null);
      }
      const { state, votes } = await requestOf(id);
      assert.deepEqual([state, votes.length], ['pending', 0]);
      assert.equal(slack.ephemerals.length, 4);
      assert.ok(
        slack.ephemerals.every((each) => each.user === user && reason.test(each.text)),
        JSON.stringify(slack.ephemerals),
      );
      assert.ok(records('approval.slack').every(({ outcome }) => outcome === 'refused'));
    });
  }

  /** People who have the role, and may not vote on this. */
  const asked: Record<string, [Parameters<typeof question>[0], RegExp]> = {
    'of who asks': [{ identity: { subject: 'approver', kind: 'human', groups: [] } }, /a request of their own/],
    'of who answers for the agent': [
      { identity: { subject: 'b', kind: 'agent', groups: [], owner: 'approver' } },
      /owner of an agent/,
    ],
    'of whom the rule does not ask': [
      { approvals: [{ ...TICKET_ONLY, stages: [{ groups: ['dba'], subjects: [], count: 1 }] }] },
      /other people/,
    ],
  };
  for (const [name, [change, reason]] of Object.entries(asked)) {
    test(name, async () => {
      const id = await ask(change);
      for (const channel of ['C00OPEN', 'C0QUIET']) {
        const message = await slack.message(channel, id, isOpen);
        assert.equal(await press(message, 'approve', APPROVER!), null);
        assert.match(slack.ephemerals.at(-1)!.text, reason);
      }
      assert.equal((await requestOf(id)).votes.length, 0);
    });
  }

  test('after it is decided, or twice', async () => {
    const two = [{ groups: ['approver', 'dba'], subjects: [], count: 2 }];
    const id = await ask({ approvals: [{ ...TICKET_ONLY, stages: two }] });
    const message = await slack.message('C00OPEN', id, isOpen);
    await press(message, 'approve', APPROVER!);
    await press(message, 'approve', APPROVER!);
    assert.match(slack.ephemerals.at(-1)!.text, /voted already/);
    await own.services.approvals.vote(id, person('dan'), 'reject', { reason: 'no', channel: 'api' });
    await press(message, 'approve', APPROVER!);
    assert.match(slack.ephemerals.at(-1)!.text, /rejected already/);
    assert.equal((await requestOf(id)).votes.length, 2);
  });

  test('in a modal that was opened before somebody lost the right', async () => {
    const id = await ask();
    const view = await press(await slack.message('C0QUIET', id, isOpen), 'approve', APPROVER!);
    await own.services.inventory.enlist([{ subject: 'approver', kind: 'human', groups: ['approver'] }]);
    await own.services.access.setState(identityId({ subject: 'approver' }), 'locked', 'admin', 'gone');
    const { status, body } = await deliver(slack.submitted(view!, '', APPROVER!));
    assert.equal(status, 200);
    assert.match(JSON.parse(body).errors.reason, /it is locked/);
    // Nor does somebody else who sends it off vote by it.
    assert.match((await deliver(slack.submitted(view!, '', 'U00VIEWER'))).body, /those with the role/);
    assert.equal((await requestOf(id)).state, 'pending');
  });

  test('to approve what is too long to be read there', async () => {
    const id = await ask({}, `DELETE FROM orders WHERE id IN (${'1, '.repeat(10_000)}1)`);
    for (const channel of ['C00OPEN', 'C0QUIET']) {
      const message = await slack.message(channel, id, isOpen);
      const view = await press(message, 'approve', APPROVER!);
      assert.equal(view!.submit, undefined);
      assert.match(JSON.stringify(view!.blocks), /too many to be read here/);
      assert.match((await deliver(slack.submitted(view!, '', APPROVER!))).body, /too long to be approved here/);
    }
    assert.equal((await requestOf(id)).votes.length, 0);
    const view = await press(await slack.message('C00OPEN', id, isOpen), 'reject', APPROVER!);
    await deliver(slack.submitted(view!, 'too long', APPROVER!));
    assert.equal((await requestOf(id)).state, 'rejected');
  });

  test('while Slack does not say who it is, or cannot show a modal: who pressed is told that it failed', async () => {
    await loggedIn(ADDRESS, ['approver']);
    slack.users.set(ANN!, member(ADDRESS));
    const id = await ask();
    const message = await slack.message('C0QUIET', id, isOpen);
    await slack.message('C00OPEN', id);
    for (const failing of ['users.info', 'views.open']) {
      const answers = [500, { error: 'fatal_error' }, { status: 429, retryAfter: '1' }] as const;
      for (const answer of failing === 'users.info' ? [...answers, 'silent' as const] : answers) {
        slack.answer = (method) => (method === failing ? answer : 'ok');
        const { status } = await deliver(slack.pressed(message, 'approve', ANN!));
        assert.ok(status >= 500, `${failing}: ${status}`);
      }
    }
    const { state, votes } = await requestOf(id);
    assert.deepEqual([state, votes.length], ['pending', 0]);
  });
});

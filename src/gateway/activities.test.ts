import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Verdict } from '../policy/verdict.ts';
import type { Effect } from '../statements/facts.ts';
import { Activities } from './activities.ts';
import { type Claims, keptOf, SessionClaims } from './claims.ts';
import type { JudgedStatement } from './judge.ts';
import type { SessionStart } from './session-start.ts';

const IDENTITY = { subject: 'bot', kind: 'agent', groups: [] } as const;

function startOf(claimed: Record<string, string>, credential?: string): SessionStart {
  return {
    identity: IDENTITY,
    connection: { name: 'shop', protocol: 'postgres' },
    credential: credential === undefined ? undefined : { id: credential, connections: null, by: 'x' },
    claims: new SessionClaims(Object.entries(claimed)),
    judge: { kept: (said: Claims) => keptOf(said, (value) => value.includes('4111')) },
  } as unknown as SessionStart;
}

function statement(action: Verdict['action'], rules: string[], name = 'orders'): JudgedStatement {
  const effect = { effect: 'read', object: { kind: 'relation', schema: 'public', name } } as unknown as Effect;
  return { verdict: { action, rules }, facts: { effects: [effect] } } as unknown as JudgedStatement;
}

test('statements are counted by verdict, rule and effect; what was refused had no effect', () => {
  const activities = new Activities();
  const activity = activities.begin(startOf({ application_name: 'psql' }, 'sl_1'));
  const read = statement('allow', ['reads']);
  activity.passed(read);
  activity.passed(read);
  activity.refused(statement('deny', ['no-drop']));
  activity.refused(statement('hold', ['ask']));
  activity.passed(statement('hold', ['ask'], 'payments'));
  assert.deepEqual(activities.take(), [
    {
      identity: IDENTITY,
      connection: 'shop',
      credential: 'sl_1',
      sessions: 1,
      allowed: 2,
      held: 2,
      denied: 1,
      uses: [
        { aspect: 'client', name: 'psql', count: 1 },
        { aspect: 'rule', name: 'reads', count: 2 },
        { aspect: 'effect', name: 'read public.orders', count: 2 },
        { aspect: 'rule', name: 'no-drop', count: 1 },
        { aspect: 'rule', name: 'ask', count: 2 },
        { aspect: 'effect', name: 'read public.payments', count: 1 },
      ],
    },
  ]);
});

test('each thing is told once, and a session that ended is told to its end', () => {
  const activities = new Activities();
  const activity = activities.begin(startOf({ _client_name: 'libmariadb', application_name: 'x' }));
  assert.equal(activities.take().length, 1);
  assert.deepEqual(activities.take(), []);
  activity.passed(statement('allow', []));
  activity.end();
  const [last] = activities.take();
  assert.deepEqual([last!.sessions, last!.allowed, last!.credential], [0, 1, null]);
  assert.deepEqual(activities.take(), []);
});

test('names are cut, and their number is bounded, because a client chooses them', () => {
  const activities = new Activities();
  const activity = activities.begin(startOf({}));
  for (let i = 0; i < 3000; i++) activity.passed(statement('allow', [], `table_${i}_${'x'.repeat(500)}`));
  const [report] = activities.take();
  assert.equal(report!.allowed, 3000);
  assert.equal(report!.uses.length, 1000);
  assert.ok(report!.uses.every(({ name }) => name.length < 210));
  assert.equal(report!.uses[0]!.name, 'postgres without a name');
});

test('a client that calls itself by what a detector finds is not named, nor by what it calls itself later', () => {
  const activities = new Activities();
  activities.begin(startOf({ application_name: 'card 4111' }));
  const start = startOf({ application_name: 'psql' });
  activities.begin(start);
  start.claims.set('application_name', 'card 4111');
  const names = activities.take().flatMap(({ uses }) => uses.map(({ name }) => name));
  assert.deepEqual(names, ['?', 'psql']);
});

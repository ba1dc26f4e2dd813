import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ColumnUse, Effect } from '../statements/facts.ts';
import { type DecidableFacts, type Moment, RuleSet, type Subject } from './decide.ts';
import type { DetectorSource, MaskSource } from './rule-schema.ts';

const AGENT: Subject = {
  identity: { subject: 'a', kind: 'agent', groups: ['agents'] },
  connection: 'c',
  default: 'allow',
};
const READER: Subject = { ...AGENT, identity: { ...AGENT.identity, groups: ['pii-readers'] } };

const MOMENT: Moment = {
  now: Date.parse('2026-11-23T12:00:00Z'),
  claimed: new Map(),
  binds: [],
  session: { id: 's', address: '::1', tls: false, inTransaction: false, settings: new Map() },
  estimate: null,
};

const PII: MaskSource = {
  id: 'pii',
  columns: ['public.customers.email', '*.*.ssn', 't.j:$.card'],
  with: { email: 'keep-domain' },
};

function masked(mask: Partial<MaskSource> = {}): RuleSet {
  return new RuleSet([], 'v', { session: [], masks: [{ mask: { ...PII, ...mask }, shadow: false }], detectors: [] });
}

function read(name: string, columns?: readonly string[], schema: string | null = 'public'): Effect {
  const effect: Effect = {
    effect: 'read',
    object: { kind: 'relation', schema, name, catalogued: true },
    predicate: 'none',
    via: null,
  };
  return columns === undefined ? effect : { ...effect, columns };
}

function action(facts: Partial<DecidableFacts>, subject = AGENT, rules = masked(), moment: Moment | null = MOMENT) {
  return rules.decide({ effects: [], uses: [], ...facts }, subject, moment).action;
}

test('a statement that touches a masked column is refused, others are not', () => {
  assert.equal(action({ effects: [read('customers', ['id', 'name'])] }), 'allow');
  assert.equal(action({ effects: [read('customers', [])] }), 'allow', 'count(*)');
  assert.equal(action({ effects: [read('customers', ['id', 'email'])] }), 'deny');
  assert.equal(action({ effects: [read('customers', ['email'], 'hr')] }), 'allow');
  assert.equal(action({ effects: [read('customers', ['email'], null)] }), 'deny', 'it may be the one in public');
  assert.equal(action({ effects: [read('people', ['ssn'], 'hr')] }), 'deny');
  assert.equal(action({ effects: [read('t', ['j'])] }), 'deny', 'the column of a path is masked as a whole');
  const use: ColumnUse = { schema: 'public', relation: 'customers', column: 'email', use: 'condition' };
  assert.equal(action({ effects: [read('customers', ['id'])], uses: [use] }), 'deny');
  const update: Effect = { ...read('customers', ['name']), effect: 'update' };
  assert.equal(action({ effects: [update] }), 'allow');
  assert.equal(action({ effects: [update], uses: [use] }), 'deny');
});

test('a statement of which it cannot be told is refused', () => {
  const at = (effect: Effect['effect'], kind: 'function' | 'relation' = 'function'): Effect => ({
    effect,
    object: { kind, schema: null, name: 'f' },
    predicate: null,
    via: null,
  });
  assert.equal(action({ effects: [read('anything')] }), 'deny', 'its columns are not known');
  const written = { kind: 'relation', schema: 'public', name: 'anything' } as const;
  assert.equal(action({ effects: [{ ...read('anything', ['x']), object: written }] }), 'deny', 'it may be a view');
  const { uses: _, ...untold } = { effects: [read('customers', ['id'])], uses: [] };
  assert.equal(masked().decide(untold, AGENT, MOMENT).action, 'deny');
  const called = { effects: [at('call-function')], uses: [] };
  assert.equal(action(called), 'deny');
  assert.equal(action({ ...called, outputs: [{ name: 'x', from: 'unknown', columns: [] }] }), 'deny');
  assert.equal(action({ ...called, outputs: [{ name: 'x', from: 'none', columns: [] }] }), 'allow');
  assert.equal(action({ effects: [at('call-procedure')] }), 'deny');
  assert.equal(action({ effects: [{ ...at('opaque'), object: null }] }), 'deny');
  assert.equal(action({ effects: [read('pg_stats', ['tablename'], 'pg_catalog')] }), 'deny');
  assert.equal(action({ effects: [read('pg_class', undefined, 'pg_catalog')] }), 'allow');
  assert.equal(action({ effects: [at('transaction'), at('set-session'), at('create', 'relation')] }), 'allow');
});

test('an exception holds for whom it names, until it ends, and not when the time is not known', () => {
  const effects = [read('customers', ['email'])];
  const rules = masked({ unless: { identities: { groups: ['pii-readers'] }, until: '2026-11-23' } });
  assert.equal(action({ effects }, READER, rules), 'allow');
  assert.equal(action({ effects }, AGENT, rules), 'deny');
  const tomorrow = { ...MOMENT, now: Date.parse('2026-11-24T00:00:00Z') };
  assert.equal(action({ effects }, READER, rules, tomorrow), 'deny');
  assert.equal(action({ effects }, READER, rules, null), 'deny');
  assert.equal(rules.decide({ effects, uses: [] }, READER, MOMENT).stable, false);
});

test('a mask for some is none for the others', () => {
  const rules = masked({ match: { identities: { kind: ['agent'] } } });
  const human: Subject = { ...AGENT, identity: { ...AGENT.identity, kind: 'human' } };
  assert.equal(action({ effects: [read('customers')] }, human, rules), 'allow');
  assert.equal(rules.masks[0]?.appliesTo(human, MOMENT), false);
  assert.equal(rules.masks[0]?.appliesTo(AGENT, MOMENT), true);
});

test('masks are there as data, with every default', () => {
  const [mask] = masked().masks;
  assert.deepEqual(
    { ...mask, columns: mask?.columns.map(({ path }) => path) },
    {
      id: 'pii',
      shadow: false,
      columns: [null, null, '$.card'],
      with: { email: 'keep-domain' },
      derived: 'redact',
      predicates: 'equality',
      copies: 'deny',
      appliesTo: mask?.appliesTo,
    },
  );
});

test('a detector refuses what touches its columns, and of all columns every read of one', () => {
  const detector: DetectorSource = { id: 'd', find: ['jwt'], columns: ['*'], with: { redact: true } };
  const rules = new RuleSet([], 'v', { session: [], masks: [], detectors: [{ detector, shadow: false }] });
  assert.equal(action({ effects: [read('t', ['x'])] }, AGENT, rules), 'deny');
  assert.equal(action({ effects: [read('t', [])] }, AGENT, rules), 'allow');
  assert.deepEqual(
    rules.detectors.map(({ find }) => find),
    [['jwt']],
  );
});

test('a refusal says what to do, and no setting', () => {
  const verdict = masked().decide({ effects: [read('customers', ['email'])], uses: [] }, AGENT, MOMENT);
  assert.ok(verdict.action === 'deny');
  assert.equal(verdict.message, 'Reading public.customers is refused by rule pii.');
  assert.match(verdict.hint, /^Leave that column out/);
});

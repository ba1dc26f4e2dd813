import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ColumnUse, Effect, OutputColumn } from '../statements/facts.ts';
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

const EMAIL = { schema: 'public', relation: 'customers', column: 'email' } as const;
const PLAIN: OutputColumn = { name: 'e', from: 'plain', columns: [EMAIL] };
const DERIVED: OutputColumn = { name: 'd', from: 'derived', columns: [EMAIL] };

/** What happens to each output: `-` nothing, else the kind of masker; `!` behind it if NULL is masked too. */
function planned(facts: Partial<DecidableFacts>, rules = masked(), subject = AGENT): string {
  const { masks } = rules.decide({ effects: [], uses: [], ...facts }, subject, MOMENT);
  return (masks?.columns ?? [])
    .map((column) => (column === null ? '-' : `${column.mask?.kind ?? 'parts'}${column.isDerived ? '!' : ''}`))
    .join(' ');
}

test('a masked column is shown masked, and nothing else is', () => {
  const effects = [read('customers', ['id', 'email'])];
  const id: OutputColumn = { name: 'id', from: 'plain', columns: [{ ...EMAIL, column: 'id' }] };
  const count: OutputColumn = { name: 'count', from: 'none', columns: [] };
  const outputs = [id, PLAIN, DERIVED, count];
  assert.equal(action({ effects, outputs }), 'allow');
  assert.equal(planned({ effects, outputs }), '- email redact! -');
  assert.equal(planned({ effects, outputs: [{ ...DERIVED, from: 'unknown', columns: [] }] }), 'redact!');
  assert.equal(planned({ effects: [read('t', ['a'])], outputs: [{ ...id, from: 'unknown', columns: [] }] }), 'redact!');
  const inJson: OutputColumn = { name: 'j', from: 'plain', columns: [{ schema: null, relation: 't', column: 'j' }] };
  assert.equal(
    planned({ effects: [read('t', ['j'])], outputs: [inJson, { ...inJson, from: 'derived' }] }),
    'parts redact!',
  );
  assert.equal(planned({ effects, outputs }, masked({ derived: 'allow' })), '- email - -');
  assert.equal(action({ effects, outputs }, AGENT, masked({ derived: 'deny' })), 'deny');
  assert.equal(action({ effects, outputs: [PLAIN] }, AGENT, masked({ derived: 'deny' })), 'allow');
});

test('of several masks the strictest counts', () => {
  const sources = [
    PII,
    { ...PII, id: 'p', with: { partial: { last: 2 } } },
    { ...PII, id: 'n', with: { null: true } },
  ] as const;
  const of = (masks: readonly MaskSource[]) =>
    new RuleSet([], 'v', { session: [], masks: masks.map((mask) => ({ mask, shadow: false })), detectors: [] });
  const facts = { effects: [read('customers', ['email'])], outputs: [PLAIN] };
  assert.equal(planned(facts, of(sources)), 'null');
  assert.equal(planned(facts, of(sources.slice(0, 2))), 'partial');
  assert.equal(planned(facts, of([sources[1], { ...sources[1], id: 'q', with: { partial: { last: 9 } } }])), 'redact');
});

test('a masked column that decides or is copied is refused as the mask says', () => {
  const effects = [read('customers', ['id'])];
  const decide = (use: ColumnUse['use'], mask: Partial<MaskSource>) =>
    action({ effects, outputs: [], uses: [{ ...EMAIL, use }] }, AGENT, masked(mask));
  assert.equal(decide('equality', {}), 'allow');
  assert.equal(decide('condition', {}), 'deny');
  assert.equal(decide('equality', { predicates: 'deny' }), 'deny');
  assert.equal(decide('condition', { predicates: 'allow' }), 'allow');
  assert.equal(decide('copy', { predicates: 'allow' }), 'deny');
  assert.equal(decide('copy', { copies: 'hold' }), 'hold');
  assert.equal(decide('copy', { copies: 'allow' }), 'allow');
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
      columns: [null, null, ['card']],
      masker: { kind: 'email' },
      derived: 'redact',
      predicates: 'equality',
      copies: 'deny',
      isVolatileFor: mask?.isVolatileFor,
      appliesTo: mask?.appliesTo,
    },
  );
});

test('a detector looks at its columns and refuses nothing', () => {
  const detector: DetectorSource = {
    id: 'd',
    find: ['jwt'],
    patterns: ['EMP-[0-9]+'],
    columns: ['*'],
    with: { redact: true },
  };
  const rules = new RuleSet([], 'v', { session: [], masks: [], detectors: [{ detector, shadow: false }] });
  const { action: verdict, masks } = rules.decide(
    { effects: [read('t', ['x'])], uses: [], outputs: [PLAIN] },
    AGENT,
    MOMENT,
  );
  assert.equal(verdict, 'allow');
  assert.deepEqual([masks?.ids, masks?.detectorIds, masks?.columns?.[0]?.detectors.length], [[], ['d'], 1]);
  assert.equal(masks?.finds('for EMP-17'), true);
});

test('a refusal says what to do, and no setting', () => {
  const verdict = masked().decide(
    { effects: [read('customers', ['email'])], uses: [{ ...EMAIL, use: 'condition' }], outputs: [] },
    AGENT,
    MOMENT,
  );
  assert.ok(verdict.action === 'deny');
  assert.equal(verdict.message, 'Reading public.customers is refused by rule pii.');
  assert.match(verdict.hint, /^Use the columns? .* in the select list only/);
});

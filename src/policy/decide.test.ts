import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Identity } from '../identity/identity.ts';
import type { Effect, EffectName, ObjectName } from '../statements/facts.ts';
import { RuleSet, type Subject } from './decide.ts';
import type { Condition, RuleSource } from './rule-schema.ts';
import type { DenyVerdict, Verdict } from './verdict.ts';

const AGENT: Identity = { subject: 'agent-7', kind: 'agent', groups: ['agents'] };

function subject(change: Partial<Subject> = {}): Subject {
  return { identity: AGENT, connection: 'orders-eu', default: 'allow', ...change };
}

function rule(change: Partial<RuleSource> & { shadow?: boolean } = {}) {
  const { shadow = false, ...rest } = change;
  return { rule: { id: 'r', match: {}, action: 'deny' as const, ...rest }, shadow };
}

function decide(rules: readonly ReturnType<typeof rule>[], effects: readonly Effect[], change: Partial<Subject> = {}) {
  return new RuleSet(rules, 'v').decide({ effects }, subject(change));
}

function relation(name: string, schema: string | null = null): ObjectName {
  return { kind: 'relation', schema, name };
}

function effect(name: EffectName, object: ObjectName | null = null, rest: Partial<Effect> = {}): Effect {
  return { effect: name, object, predicate: null, via: null, ...rest };
}

function refused(verdict: Verdict): DenyVerdict {
  assert.equal(verdict.action, 'deny');
  return verdict as DenyVerdict;
}

test('without rules the default decides, and a statement without effects is allowed', () => {
  assert.equal(decide([], [effect('read', relation('t'))]).action, 'allow');
  assert.equal(refused(decide([], [effect('read', relation('t'))], { default: 'deny' })).rule, 'default');
  assert.equal(decide([], [], { default: 'deny' }).action, 'allow');
});

test('every key of a match has to hold, for the same effect', () => {
  const rules = [rule({ match: { effects: ['delete'], tables: ['t'], predicate: ['none'] } })];
  assert.equal(decide(rules, [effect('delete', relation('t'), { predicate: 'none' })]).action, 'deny');
  assert.equal(decide(rules, [effect('delete', relation('t'), { predicate: 'open' })]).action, 'allow');
  assert.equal(decide(rules, [effect('delete', relation('u'), { predicate: 'none' })]).action, 'allow');
  const spread = [
    effect('delete', relation('u'), { predicate: 'none' }),
    effect('read', relation('t'), { predicate: 'none' }),
  ];
  assert.equal(decide(rules, spread).action, 'allow');
});

test('names of classes stand for their effects', () => {
  const rules = [rule({ match: { effects: ['write', 'ddl'] } })];
  for (const name of ['insert', 'copy-in', 'truncate', 'drop', 'comment'] as const) {
    assert.equal(decide(rules, [effect(name)]).action, 'deny', name);
  }
  for (const name of ['read', 'grant', 'lock'] as const)
    assert.equal(decide(rules, [effect(name)]).action, 'allow', name);
});

test('tables match by pattern, and a name without schema could be in any', () => {
  const denied = (pattern: string, object: ObjectName) =>
    decide([rule({ match: { tables: [pattern] } })], [effect('read', object)]).action === 'deny';
  assert.ok(denied('public.customers', relation('customers', 'public')));
  assert.ok(denied('public.customers', relation('customers')));
  assert.ok(denied('customers', relation('customers', 'hr')));
  assert.ok(denied('*.cust*', relation('customers', 'hr')));
  assert.ok(denied('hr.*', relation('anything')));
  assert.ok(!denied('public.customers', relation('customers', 'hr')));
  assert.ok(!denied('public.customers', relation('orders')));
  assert.ok(!denied('customers', relation('Customers')));
  assert.ok(!denied('customers', { kind: 'function', schema: null, name: 'customers' }));
});

test('what is not known about an object counts against the statement', () => {
  const unknown = effect('update', null, { predicate: 'open' });
  assert.equal(decide([rule({ match: { tables: ['customers'] } })], [unknown]).action, 'deny');
  const allow = (tables: string[]) => [rule({ action: 'allow', match: { tables } })];
  assert.equal(decide(allow(['customers']), [unknown], { default: 'deny' }).action, 'deny');
  assert.equal(decide(allow(['*']), [unknown], { default: 'deny' }).action, 'allow');
  const unless = (action: 'allow' | 'deny', tables: string[]) => [rule({ action, unless: { tables } })];
  assert.equal(decide(unless('deny', ['scratch']), [unknown]).action, 'deny');
  assert.equal(decide(unless('allow', ['customers']), [unknown], { default: 'deny' }).action, 'deny');
  const unqualified = effect('update', relation('t'));
  assert.equal(decide(unless('deny', ['scratch.t']), [unqualified]).action, 'deny');
  assert.equal(decide(unless('deny', ['t']), [unqualified]).action, 'allow');
  const wholeSchema = effect('drop', { kind: 'schema', schema: null, name: 'public' });
  assert.equal(decide([rule({ match: { tables: ['public.customers'] } })], [wholeSchema]).action, 'deny');
  assert.equal(decide([rule({ match: { tables: ['hr.customers'] } })], [wholeSchema]).action, 'allow');
  assert.equal(decide([rule({ match: { functions: ['f'] } })], [effect('opaque')]).action, 'deny');
  assert.equal(decide([rule({ match: { settings: ['role'] } })], [effect('set-session')]).action, 'deny');
  assert.equal(decide([rule({ match: { settings: ['role'] } })], [effect('transaction')]).action, 'allow');
});

test('settings match whatever their case', () => {
  const rules = [rule({ match: { settings: ['Search_Path'] } })];
  assert.equal(
    decide(rules, [effect('set-session', { kind: 'setting', schema: null, name: 'search_path' })]).action,
    'deny',
  );
});

test('identities and connections restrict whom a rule is about', () => {
  const denies = (match: RuleSource['match'], change: Partial<Subject> = {}) =>
    decide([rule({ match })], [effect('read')], change).action === 'deny';
  assert.ok(denies({ connections: ['orders-*'] }));
  assert.ok(!denies({ connections: ['billing-*', 'orders'] }));
  assert.ok(denies({ identities: { groups: ['dba', 'agents'] } }));
  assert.ok(!denies({ identities: { groups: ['dba'] } }));
  assert.ok(denies({ identities: { subjects: ['agent-*'], kind: ['agent'] } }));
  assert.ok(!denies({ identities: { subjects: ['agent-*'], kind: ['human'] } }));
  const exempt = [rule({ unless: { identities: { groups: ['dba'] } } })];
  assert.equal(decide(exempt, [effect('read')]).action, 'deny');
  assert.equal(decide(exempt, [effect('read')], { identity: { ...AGENT, groups: ['dba'] } }).action, 'allow');
});

test('a verdict names every rule that matched, sorted', () => {
  const rules = [
    rule({ id: 'b' }),
    rule({ id: 'c', action: 'allow' }),
    rule({ id: 'a' }),
    rule({ id: 'd', match: { effects: ['drop'] } }),
  ];
  const verdict = refused(decide(rules, [effect('read')]));
  assert.deepEqual(verdict.rules, ['a', 'b', 'c']);
  assert.equal(verdict.rule, 'a');
});

test('shadow rules that would have changed the verdict are named, and change nothing', () => {
  const read = [effect('read', relation('t'))];
  const plain = { action: 'allow', rules: [], stable: true, limits: [] };
  assert.deepEqual(decide([rule({ shadow: true })], read), { ...plain, shadow: ['r'] });
  const allow = [rule({ shadow: true, action: 'allow' })];
  const verdict = refused(decide(allow, read, { default: 'deny' }));
  assert.deepEqual([verdict.rule, verdict.shadow], ['default', ['r']]);
  assert.deepEqual(decide(allow, [...read, effect('drop')]), { ...plain, shadow: [] });
});

test('a refusal says in one sentence what was refused, and what to do', () => {
  const words = (one: Effect, rules = [rule({ id: 'no-unbounded-deletes' })]) => refused(decide(rules, [one])).message;
  assert.equal(
    words(effect('delete', relation('customers', 'public'), { predicate: 'none' })),
    'DELETE on public.customers without WHERE is refused by rule no-unbounded-deletes.',
  );
  assert.equal(
    words(effect('opaque', null, { via: 'unparsed: syntax error\n at "x"' })),
    'A statement that cannot be read (unparsed: syntax error  at "x") is refused by rule no-unbounded-deletes.',
  );
  assert.equal(words(effect('program')), 'Running a program on the server is refused by rule no-unbounded-deletes.');
  const own = refused(decide([rule({ message: 'Not today.', hint: 'Tomorrow.' })], [effect('read')]));
  assert.deepEqual([own.message, own.hint], ['Not today.', 'Tomorrow.']);
  const byDefault = refused(decide([], [effect('read', relation('t'))], { default: 'deny' }));
  assert.equal(byDefault.message, 'Reading t is refused: no rule allows it.');
  assert.doesNotMatch(byDefault.hint, /default|sluice\.yaml|rules?:/);
});

test('every effect has a sentence without gaps, with and without object', () => {
  const names = fc.constantFrom(
    ...(['read', 'copy-out', 'set-role', 'file', 'lock', 'cursor', 'explain', 'execute', 'admin'] as const),
  );
  fc.assert(
    fc.property(names, fc.option(fc.string(), { nil: null }), (name, object) => {
      const { message } = refused(decide([rule()], [effect(name, object === null ? null : relation(object))]));
      assert.match(message, /^\P{Cc}+ is refused by rule r\.$/u);
      assert.doesNotMatch(message, /undefined|null /);
    }),
  );
});

const effectArbitrary: fc.Arbitrary<Effect> = fc.record({
  effect: fc.constantFrom<EffectName[]>(
    'read',
    'insert',
    'update',
    'delete',
    'drop',
    'call-function',
    'set-session',
    'opaque',
    'transaction',
  ),
  object: fc.constantFrom<(ObjectName | null)[]>(
    null,
    relation('t'),
    relation('t', 'public'),
    relation('u', 'hr'),
    { kind: 'function', schema: null, name: 'f' },
    { kind: 'setting', schema: null, name: 'role' },
    { kind: 'schema', schema: null, name: 'public' },
  ),
  predicate: fc.constantFrom('none' as const, 'open' as const, null),
  via: fc.constant(null),
});

const conditionArbitrary: fc.Arbitrary<Condition> = fc.record<Condition>(
  {
    connections: fc.constantFrom<string[][]>(['orders-*'], ['other']),
    identities: fc.constantFrom<NonNullable<Condition['identities']>[]>({ groups: ['agents'] }, { kind: ['human'] }),
    effects: fc.subarray(['read', 'write', 'drop', 'opaque', 'call-function', 'session'], { minLength: 1 }),
    tables: fc.subarray(['t', 'public.*', 'hr.u', '*'], { minLength: 1 }),
    functions: fc.constantFrom<string[][]>(['f'], ['g', '*.h']),
    settings: fc.constantFrom<string[][]>(['role'], ['*']),
    predicate: fc.subarray(['none' as const, 'present' as const], { minLength: 1 }),
  },
  { requiredKeys: [] },
);

const rulesArbitrary = fc
  .array(
    fc.record({
      match: conditionArbitrary,
      unless: fc.option(conditionArbitrary, { nil: undefined }),
      action: fc.constantFrom('allow' as const, 'deny' as const),
      shadow: fc.boolean(),
    }),
    { maxLength: 6 },
  )
  .map((rules) => rules.map((one, i) => rule({ ...one, unless: one.unless, id: `rule-${i}` } as Partial<RuleSource>)));

const effectsArbitrary = fc.array(effectArbitrary, { maxLength: 4 });
const defaultArbitrary = fc.constantFrom('allow' as const, 'deny' as const);

test('the order of rules and of effects never matters', () => {
  fc.assert(
    fc.property(rulesArbitrary, effectsArbitrary, defaultArbitrary, fc.nat(), (rules, effects, fallback, turn) => {
      const by = rules.length === 0 ? 0 : turn % rules.length;
      const turned = [...rules.slice(by), ...rules.slice(0, by)].reverse();
      const change = { default: fallback };
      assert.deepEqual(decide(turned, effects, change), decide(rules, effects, change));
      assert.equal(decide(rules, [...effects].reverse(), change).action, decide(rules, effects, change).action);
    }),
  );
});

test('one more deny rule never allows more, one more allow rule never denies more', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      conditionArbitrary,
      effectsArbitrary,
      defaultArbitrary,
      (rules, match, effects, fallback) => {
        const change = { default: fallback };
        const before = decide(rules, effects, change).action;
        const withDeny = decide([...rules, rule({ id: 'more', match })], effects, change).action;
        const withAllow = decide([...rules, rule({ id: 'more', match, action: 'allow' })], effects, change).action;
        if (before === 'deny') assert.equal(withDeny, 'deny');
        if (before === 'allow') assert.equal(withAllow, 'allow');
      },
    ),
  );
});

test('a shadow rule never changes the action, the rules or the words of a verdict', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      conditionArbitrary,
      fc.boolean(),
      effectsArbitrary,
      defaultArbitrary,
      (rules, match, denies, effects, fallback) => {
        const change = { default: fallback };
        const shadow = rule({ id: 'shadow', match, action: denies ? 'deny' : 'allow', shadow: true });
        const { shadow: _, ...before } = decide(rules, effects, change);
        const { shadow: named, ...after } = decide([...rules, shadow], effects, change);
        assert.deepEqual(after, before);
        if (denies && named.includes('shadow')) {
          assert.equal(decide([...rules, { ...shadow, shadow: false }], effects, change).action, 'deny');
        }
      },
    ),
  );
});

test('under default deny a statement passes only if each of its effects would pass alone', () => {
  fc.assert(
    fc.property(rulesArbitrary, effectsArbitrary, (rules, effects) => {
      const alone = effects.map((one) => decide(rules, [one], { default: 'deny' }).action);
      const together = decide(rules, effects, { default: 'deny' }).action;
      assert.equal(together, alone.every((action) => action === 'allow') ? 'allow' : 'deny');
    }),
  );
});

test('a statement with more effects is never allowed where one with fewer is refused', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      effectsArbitrary,
      effectArbitrary,
      defaultArbitrary,
      (rules, effects, one, fallback) => {
        if (decide(rules, effects, { default: fallback }).action === 'deny') {
          assert.equal(decide(rules, [...effects, one], { default: fallback }).action, 'deny');
        }
      },
    ),
  );
});

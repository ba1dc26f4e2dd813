import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Identity } from '../identity/identity.ts';
import type { Effect, EffectName, ObjectName } from '../statements/facts.ts';
import { type Moment, RuleSet, type Subject } from './decide.ts';
import type { Condition, RuleSource } from './rule-schema.ts';
import type { DenyVerdict, HoldVerdict, Verdict } from './verdict.ts';

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

test('a name without schema matches an allow rule only where its schema does not matter', () => {
  const allowed = (tables: string[], object: ObjectName, also: ObjectName[] = []) =>
    decide([rule({ action: 'allow', match: { tables } })], [{ ...effect('read', object), also }], { default: 'deny' })
      .action === 'allow';
  assert.ok(!allowed(['public.customers'], relation('customers')));
  assert.ok(allowed(['public.customers'], relation('customers', 'public')));
  assert.ok(allowed(['customers'], relation('customers')));
  assert.ok(allowed(['*'], relation('customers')));
  assert.ok(!allowed(['parent'], relation('child', 'public'), [relation('parent', 'public')]));
  const denied = (tables: string[], also: ObjectName[]) =>
    decide([rule({ match: { tables } })], [{ ...effect('read', relation('child', 'public')), also }]).action === 'deny';
  assert.ok(denied(['public.parent'], [relation('parent', 'public')]));
  assert.ok(!denied(['public.other'], [relation('parent', 'public')]));
});

test('a deny rule needs one of its columns to be touched, an allow rule that no other one is', () => {
  const read = (columns: string[] | null, used: string[] | null = []) => ({
    effects: [{ ...effect('read', relation('t', 's')), ...(columns === null ? {} : { columns }) }],
    ...(used === null
      ? {}
      : { uses: used.map((column) => ({ schema: 's', relation: 't', column, use: 'condition' as const })) }),
  });
  const denied = (facts: ReturnType<typeof read>) =>
    new RuleSet([rule({ match: { columns: ['s.t.email'] } })], 'v').decide(facts, subject()).action === 'deny';
  const allowed = (facts: ReturnType<typeof read>, columns = ['s.t.id', 't.name']) =>
    new RuleSet([rule({ action: 'allow', match: { columns } })], 'v').decide(facts, subject({ default: 'deny' }))
      .action === 'allow';
  assert.deepEqual(
    [denied(read(['id'])), denied(read(['id', 'email'])), denied(read(['id'], ['email']))],
    [false, true, true],
  );
  assert.deepEqual([denied(read(null)), denied(read(['id'], null)), denied(read(['id'], ['*']))], [true, true, true]);
  assert.deepEqual(
    [allowed(read(['id'])), allowed(read(['id', 'name'], ['id'])), allowed(read([]))],
    [true, true, true],
  );
  assert.deepEqual([allowed(read(['id', 'email'])), allowed(read(['id'], ['email']))], [false, false]);
  assert.deepEqual(
    [allowed(read(null)), allowed(read(['id'], null)), allowed(read(['id'], ['*']))],
    [false, false, false],
  );
  assert.deepEqual([allowed(read(null), ['s.t.*']), allowed(read(null), ['s.u.*'])], [true, false]);
});

const MOMENT: Moment = {
  now: Date.parse('2026-11-23T13:00:00Z'),
  claimed: new Map([['intent', 'cleaning up']]),
  binds: [],
  session: { id: 's', address: '::1', tls: false, inTransaction: false, settings: new Map() },
  estimate: null,
};

/** The action at {@link MOMENT} and where the moment is not known, and whether the verdict is stable. */
function atMoments(change: Partial<RuleSource>, fallback: 'allow' | 'deny' = 'allow') {
  const rules = new RuleSet([rule(change)], 'v');
  const facts = { effects: [effect('read', relation('t'))] };
  const [now, unknown] = [MOMENT, null].map((moment) => rules.decide(facts, subject({ default: fallback }), moment));
  assert.equal(now?.stable, unknown?.stable);
  return [now?.action, unknown?.action, now?.stable];
}

test('time, claims and expressions are asked at the moment; where it is not known the stricter answer counts', () => {
  const noon = { hours: ['12:00-14:00'], zone: 'UTC' };
  assert.deepEqual(atMoments({ match: { during: noon } }), ['deny', 'deny', false]);
  assert.deepEqual(atMoments({ match: { outside: noon } }), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: { missing: ['intent'] } }), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: { missing: ['intent', 'traceparent'] } }), ['deny', 'deny', false]);
  assert.deepEqual(atMoments({ match: { during: noon }, action: 'allow' }, 'deny'), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, unless: { during: noon } }), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, unless: { until: '2026-11-23' } }), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, unless: { until: '2026-11-22' } }), ['deny', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, if: 'claimed.intent == "x"' }), ['allow', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, if: 'claimed.nothing == "x"' }), ['deny', 'deny', false]);
  assert.deepEqual(atMoments({ match: {}, if: 'claimed.nothing == "x"', action: 'allow' }, 'deny'), [
    'deny',
    'deny',
    false,
  ]);
  assert.deepEqual(atMoments({ match: {}, if: 'identity.kind == "human"' }), ['allow', 'allow', true]);
  assert.deepEqual(
    atMoments({ match: { effects: ['drop'], during: noon } }),
    ['allow', 'allow', true],
    'it is not about this',
  );
});

test('an expression is asked for each effect, and no more often than it may', () => {
  const reads = (count: number) => Array.from({ length: count }, (_, i) => effect('read', relation(`t${i}`, 's')));
  const one = rule({ if: 'effect.object == "t3"' });
  assert.equal(decide([one], reads(3)).action, 'allow');
  assert.equal(decide([one], reads(4)).action, 'deny');
  assert.equal(decide([rule({ if: 'effect.object == "x"' })], reads(20_000)).action, 'deny', 'too many to ask');
});

const HOLD: Required<Pick<RuleSource, 'action' | 'approval'>> = {
  action: 'hold',
  approval: { from: { groups: ['dba'] }, count: 2, within: '15m', wait: '0s' },
};

function held(verdict: Verdict): HoldVerdict {
  assert.equal(verdict.action, 'hold');
  return verdict as HoldVerdict;
}

test('holds add up, and deny is stricter', () => {
  const read = [effect('read', relation('t'))];
  const other = rule({
    id: 'q',
    action: 'hold',
    approval: { stages: [{ from: { subjects: ['ann'] } }], grant: 'session' },
  });
  const verdict = held(decide([rule({ id: 's', ...HOLD }), other, rule({ id: 'a', action: 'allow' })], read));
  assert.deepEqual(
    [verdict.rule, verdict.rules, verdict.retry, verdict.stable, verdict.message],
    ['q', ['a', 'q', 's'], 'after_approval', true, 'Reading t needs approval (rule q).'],
  );
  const rest = { grantForMs: null, tolerancePercent: 0 };
  assert.deepEqual(verdict.approvals, [
    {
      rule: 'q',
      stages: [{ groups: [], subjects: ['ann'], count: 1 }],
      withinMs: 3_600_000,
      waitMs: 60_000,
      grant: 'session',
      ...rest,
    },
    {
      rule: 's',
      stages: [{ groups: ['dba'], subjects: [], count: 2 }],
      withinMs: 900_000,
      waitMs: 0,
      grant: 'once',
      ...rest,
    },
  ]);
  assert.equal(decide([rule({ id: 's', ...HOLD }), rule({ id: 'd' })], read).action, 'deny');
});

test('under default hold what no rule allows is held, and under default deny a hold allows nothing', () => {
  const read = [effect('read', relation('t'))];
  assert.deepEqual(
    held(decide([], read, { default: 'hold' })).approvals.map(({ rule: by }) => by),
    ['default'],
  );
  assert.equal(decide([rule({ action: 'allow' })], read, { default: 'hold' }).action, 'allow');
  assert.equal(decide([rule({ ...HOLD })], read, { default: 'deny' }).action, 'deny');
  assert.equal(
    decide([rule({ ...HOLD }), rule({ id: 'a', action: 'allow' })], read, { default: 'deny' }).action,
    'hold',
  );
  const shadowAllow = rule({ id: 'a', action: 'allow', shadow: true });
  assert.deepEqual(decide([shadowAllow], read, { default: 'hold' }).shadow, ['a']);
});

test('a limit is handed on for what matches, and decides nothing by itself', () => {
  const rules = [rule({ match: { effects: ['read'] }, limit: { rows: 10, bytes: '1MiB', per: '1h' } })];
  const verdict = decide(rules, [effect('read', relation('t'))]);
  assert.deepEqual([verdict.action, verdict.rules], ['allow', ['r']]);
  assert.deepEqual(
    verdict.limits.map(({ of, most, windowMs, action }) => [of, most, windowMs, action]),
    [
      ['rows', 10, 3_600_000, 'deny'],
      ['bytes', 1_048_576, 3_600_000, 'deny'],
    ],
  );
  assert.deepEqual(decide(rules, [effect('drop', relation('t'))]).limits, []);
});

test('an explanation says of every rule whether it matched, and else the first key that failed', () => {
  const rules = new RuleSet(
    [
      rule({ id: 'a', match: { connections: ['billing'] } }),
      rule({ id: 'b', match: { identities: { groups: ['dba'] } } }),
      rule({ id: 'c', match: { effects: ['delete'], predicate: ['none'], tables: ['hr.*'] } }),
      rule({ id: 'd', match: { missing: ['intent'] } }),
      rule({ id: 'e', unless: { tables: ['t'] } }),
      rule({ id: 'f', if: 'identity.kind == "human"' }),
      rule({ id: 'g', match: { effects: ['delete'] } }),
      rule({ id: 'h', match: { columns: ['hr.staff.salary'] }, shadow: true }),
    ],
    'v',
  );
  const deletion = effect('delete', relation('t', 's'), { predicate: 'bounded', columns: [] });
  const { verdict, rules: explained } = rules.explain({ effects: [deletion], uses: [] }, subject(), MOMENT);
  assert.equal(verdict.action, 'deny');
  assert.deepEqual(
    explained.map(({ id, key, because, effects }) => [id, key, because, effects.length]),
    [
      ['a', 'connections', 'the connection is not billing', 0],
      ['b', 'identities.groups', 'the identity is not in the group dba', 0],
      ['c', 'predicate', 'the predicate is not none', 0],
      ['d', 'missing', 'the client claims intent', 0],
      ['e', 'unless', 'it is excepted by unless', 0],
      ['f', 'if', 'the expression of if is not true', 0],
      ['g', null, null, 1],
      ['h', 'columns', 'it does not touch hr.staff.salary', 0],
    ],
  );
});

test('an opaque effect may touch anything, whatever it is called after', () => {
  for (const object of [{ kind: 'function', schema: 'app', name: 'f' } as const, relation('v', 'app'), null]) {
    const opaque = [effect('opaque', object)];
    for (const match of [{ tables: ['hr.t'] }, { columns: ['hr.t.c'] }, { functions: ['g'] }, { settings: ['role'] }]) {
      assert.equal(decide([rule({ match })], opaque).action, 'deny', JSON.stringify([object, match]));
      assert.equal(decide([rule({ match, action: 'allow' })], opaque, { default: 'deny' }).action, 'deny');
    }
    assert.equal(
      decide([rule({ match: { tables: ['app.v'] }, action: 'allow' })], opaque, { default: 'deny' }).action,
      'deny',
    );
    assert.equal(
      decide([rule({ match: { tables: ['*'] }, action: 'allow' })], opaque, { default: 'deny' }).action,
      'allow',
    );
  }
  const called = [effect('opaque', { kind: 'function', schema: 'app', name: 'f' })];
  const byName = rule({ match: { functions: ['app.f'] }, action: 'allow' });
  assert.equal(decide([byName], called, { default: 'deny' }).action, 'allow', 'a function can be allowed by name');
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
  const plain = { action: 'allow', rules: [], stable: true, limits: [], masks: null };
  assert.deepEqual(decide([rule({ shadow: true })], read), { ...plain, shadow: ['r'] });
  const allow = [rule({ shadow: true, action: 'allow' })];
  const verdict = refused(decide(allow, read, { default: 'deny' }));
  assert.deepEqual([verdict.rule, verdict.shadow], ['default', ['r']]);
  assert.deepEqual(decide(allow, [...read, effect('drop')]), { ...plain, shadow: [] });
});

test('a rule set in shadow does nothing, and neither does the default it stands before', () => {
  const rules = [
    rule({ id: 'reads', match: { effects: ['read'] }, action: 'allow' }),
    rule({ id: 'no-drops', match: { effects: ['drop'] } }),
  ];
  const shadow = new RuleSet(rules, 'v', undefined, undefined, true);
  const verdict = (name: EffectName, otherwise: Subject['default']) =>
    shadow.decide({ effects: [effect(name)] }, subject({ default: otherwise }));
  for (const otherwise of ['allow', 'hold', 'deny'] as const) {
    for (const name of ['read', 'drop', 'insert'] as const) assert.equal(verdict(name, otherwise).action, 'allow');
  }
  assert.deepEqual(verdict('read', 'deny').shadow, []);
  assert.deepEqual(verdict('insert', 'deny').shadow, ['default']);
  assert.deepEqual(verdict('drop', 'deny').shadow, ['default', 'no-drops']);
  assert.deepEqual(verdict('drop', 'allow').shadow, ['no-drops']);
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

test('of several rules that refuse, one about what was seen is named before one about what could not be read', () => {
  const rules = [
    rule({ id: 'a-secrets', match: { columns: ['t.secret'] } }),
    rule({ id: 'b-unreadable', match: { effects: ['opaque'] } }),
    rule({ id: 'c-elsewhere', match: { effects: ['network'] } }),
  ];
  const opaque = effect('opaque', null, { via: 'runs SQL text: dblink' });
  assert.equal(refused(decide(rules, [opaque, effect('network')])).rule, 'c-elsewhere');
  assert.equal(refused(decide(rules, [opaque])).rule, 'b-unreadable');
  assert.equal(refused(decide(rules.slice(0, 1), [opaque])).rule, 'a-secrets');
});

test('a hint says what to do instead, for what was refused', () => {
  const hint = (one: Effect) => refused(decide([], [one], { default: 'deny' })).hint;
  const setting = (name: string): ObjectName => ({ kind: 'setting', schema: null, name });
  assert.match(hint(effect('set-session', setting('search_path'))), /schema\.table/);
  assert.match(hint(effect('set-session', setting('work_mem'))), /stays as it is/);
  assert.match(hint(effect('opaque', null, { via: 'unparsed: syntax error at or near "SELEC"' })), /^Correct/);
  assert.match(hint(effect('opaque', null, { via: 'unknown function f' })), /built in/);
  assert.match(hint(effect('opaque', null, { via: 'anonymous code' })), /without code in a string/);
  assert.match(hint(effect('opaque', null, { via: 'too deep' })), /nest it less/);
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
  columns: fc.subarray(['id', 'email']),
});

const conditionArbitrary: fc.Arbitrary<Condition> = fc.record<Condition>(
  {
    connections: fc.constantFrom<string[][]>(['orders-*'], ['other']),
    identities: fc.constantFrom<NonNullable<Condition['identities']>[]>({ groups: ['agents'] }, { kind: ['human'] }),
    effects: fc.subarray(['read', 'write', 'drop', 'opaque', 'call-function', 'session'], { minLength: 1 }),
    tables: fc.subarray(['t', 'public.*', 'hr.u', '*'], { minLength: 1 }),
    functions: fc.constantFrom<string[][]>(['f'], ['g', '*.h']),
    settings: fc.constantFrom<string[][]>(['role'], ['*']),
    predicate: fc.subarray(['none' as const, 'bounded' as const, 'present' as const], { minLength: 1 }),
    columns: fc.constantFrom<string[][]>(['t.email'], ['t.*'], ['public.t.id']),
    missing: fc.constantFrom<string[][]>(['intent'], ['traceparent']),
  },
  { requiredKeys: [] },
);

const rulesArbitrary = fc
  .array(
    fc.record({
      match: conditionArbitrary,
      unless: fc.option(conditionArbitrary, { nil: undefined }),
      action: fc.constantFrom('allow' as const, 'hold' as const, 'deny' as const),
      expression: fc.constantFrom(
        undefined,
        'effect.name == "read"',
        'claimed.intent == "x"',
        '"agents" in identity.groups',
      ),
      shadow: fc.boolean(),
    }),
    { maxLength: 6 },
  )
  .map((rules) =>
    rules.map(({ expression, ...one }, i) =>
      rule({ ...one, ...(one.action === 'hold' ? HOLD : {}), if: expression, id: `rule-${i}` } as Partial<RuleSource>),
    ),
  );

const effectsArbitrary = fc.array(effectArbitrary, { maxLength: 4 });
const defaultArbitrary = fc.constantFrom('allow' as const, 'hold' as const, 'deny' as const);

const STRICTNESS = { allow: 0, hold: 1, deny: 2 } as const;

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

test('one more deny or hold rule never allows more, one more allow rule never refuses more', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      conditionArbitrary,
      effectsArbitrary,
      defaultArbitrary,
      (rules, match, effects, fallback) => {
        const strictness = (more: Partial<RuleSource>[]) =>
          STRICTNESS[
            decide([...rules, ...more.map((one) => rule({ id: 'more', match, ...one }))], effects, {
              default: fallback,
            }).action
          ];
        const before = strictness([]);
        assert.ok(strictness([{ action: 'deny' }]) >= before);
        assert.ok(strictness([HOLD]) >= before);
        assert.ok(strictness([{ action: 'allow' }]) <= before);
      },
    ),
  );
});

test('what is allowed when the moment is not known is allowed at every moment', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      effectsArbitrary,
      defaultArbitrary,
      fc.boolean(),
      (loaded, effects, fallback, claims) => {
        const rules = new RuleSet(loaded, 'v');
        const moment = claims ? MOMENT : { ...MOMENT, claimed: new Map() };
        const unknown = rules.decide({ effects }, subject({ default: fallback }));
        const known = rules.decide({ effects }, subject({ default: fallback }), moment);
        assert.ok(STRICTNESS[known.action] <= STRICTNESS[unknown.action]);
        if (known.stable) assert.deepEqual(known, unknown);
      },
    ),
  );
});

test('unless takes away exactly the effects it holds for', () => {
  fc.assert(
    fc.property(conditionArbitrary, conditionArbitrary, effectArbitrary, (match, unless, one) => {
      // Where something is not known match and unless answer differently, on purpose.
      if (one.object === null || one.object.schema === null) return;
      const matches = (condition: Condition) =>
        new RuleSet([rule({ match: condition })], 'v').decide({ effects: [one], uses: [] }, subject(), MOMENT)
          .action === 'deny';
      const { columns: _, ...known } = unless;
      fc.pre(Object.keys(known).length > 0);
      const both = new RuleSet([rule({ match, unless: known })], 'v').decide(
        { effects: [one], uses: [] },
        subject(),
        MOMENT,
      );
      assert.equal(both.action === 'deny', matches(match) && !matches(known));
    }),
  );
});

test('an explanation agrees with the verdict', () => {
  fc.assert(
    fc.property(rulesArbitrary, effectsArbitrary, defaultArbitrary, (loaded, effects, fallback) => {
      const { verdict, rules } = new RuleSet(loaded, 'v').explain(
        { effects, uses: [] },
        subject({ default: fallback }),
        MOMENT,
      );
      const matched = rules.filter((one) => one.effects.length > 0);
      assert.deepEqual(
        matched.filter(({ shadow }) => !shadow).map(({ id }) => id),
        verdict.rules,
      );
      for (const one of rules) assert.equal(one.because === null, one.effects.length > 0, one.id);
      const strictest = Math.max(0, ...matched.filter(({ shadow }) => !shadow).map(({ action }) => STRICTNESS[action]));
      assert.ok(STRICTNESS[verdict.action] >= strictest);
      const allowed = new Set(
        matched.filter(({ action, shadow }) => action === 'allow' && !shadow).flatMap((one) => one.effects),
      );
      const isCovered = fallback === 'allow' || effects.every((one) => allowed.has(one));
      assert.equal(verdict.action, isCovered ? ACTIONS[strictest] : ACTIONS[Math.max(strictest, STRICTNESS[fallback])]);
    }),
  );
});

const ACTIONS = ['allow', 'hold', 'deny'] as const;

test('a shadow rule never changes the action, the rules or the words of a verdict', () => {
  fc.assert(
    fc.property(
      rulesArbitrary,
      conditionArbitrary,
      fc.constantFrom<Pick<RuleSource, 'action' | 'approval'>[]>({ action: 'allow' }, HOLD, { action: 'deny' }),
      effectsArbitrary,
      defaultArbitrary,
      (rules, match, action, effects, fallback) => {
        const change = { default: fallback };
        const shadow = rule({ id: 'shadow', match, ...action, shadow: true });
        const { shadow: _, stable: __, ...before } = decide(rules, effects, change);
        const { shadow: named, stable: ___, ...after } = decide([...rules, shadow], effects, change);
        assert.deepEqual(after, before);
        if (action.action === 'deny' && named.includes('shadow')) {
          const enforced = decide([...rules, { ...shadow, shadow: false }], effects, change).action;
          assert.ok(enforced === 'deny');
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
      assert.equal(together, ACTIONS[Math.max(0, ...alone.map((action) => STRICTNESS[action]))]);
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
        const more = decide(rules, [...effects, one], { default: fallback }).action;
        assert.ok(STRICTNESS[more] >= STRICTNESS[decide(rules, effects, { default: fallback }).action]);
      },
    ),
  );
});

test('what a subject may do is told by rules that allow it something beyond its own session, and by the default', () => {
  const rules = [
    rule({ id: 'reads', action: 'allow', match: { effects: ['read', 'transaction'] } }),
    rule({ id: 'anything', action: 'allow', match: {} }),
    rule({ id: 'others', action: 'allow', match: { identities: { kind: ['human'] }, effects: ['write'] } }),
    rule({ id: 'elsewhere', action: 'allow', match: { connections: ['nowhere'] } }),
    rule({ id: 'not-these', action: 'allow', match: {}, unless: { identities: { groups: ['agents'] } } }),
    rule({ id: 'not-all', action: 'allow', match: {}, unless: { effects: ['drop'] } }),
    rule({ id: 'settings', action: 'allow', match: { effects: ['set-session', 'transaction'] } }),
    rule({ id: 'shadow', action: 'allow', match: {}, shadow: true }),
    rule({ id: 'refuses', action: 'deny', match: {} }),
  ];
  const granted = (otherwise: 'allow' | 'deny') => new RuleSet(rules, 'v').grantsFor(subject({ default: otherwise }));
  assert.deepEqual(granted('deny'), ['anything', 'not-all', 'reads']);
  assert.deepEqual(granted('allow'), ['default', 'anything', 'not-all', 'reads']);
});

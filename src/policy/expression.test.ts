import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Identity } from '../identity/identity.ts';
import type { Effect } from '../statements/facts.ts';
import { compileExpression, type Expression, isFault } from './expression.ts';
import type { Moment } from './moment.ts';

const EFFECT: Effect = {
  effect: 'update',
  object: { kind: 'relation', schema: 'public', name: 'customers' },
  predicate: 'open',
  via: null,
  columns: ['email', 'name'],
};

const MOMENT: Moment = {
  now: Date.parse('2026-11-23T13:00:00Z'),
  claimed: new Map([['traceparent', '00-1-2-01']]),
  binds: ['7', null],
  session: {
    id: 's1',
    address: '10.0.0.9',
    tls: true,
    inTransaction: false,
    settings: new Map([['search_path', 'app']]),
  },
  estimate: { rows: 1200.4, cost: 55.5 },
};

const VISIBLE = {
  facts: { effects: [EFFECT], kind: 'UPDATE', fingerprint: 'ab' },
  identity: {
    subject: 'agent-7',
    kind: 'agent',
    groups: ['agents', 'eu'],
    issuer: 'https://idp.example',
    owner: 'alice',
  } as Identity,
  connection: 'orders',
};

function compiled(source: string): Expression {
  const expression = compileExpression(source);
  if (isFault(expression)) assert.fail(`${source}: ${expression.message}`);
  return expression;
}

function evaluate(
  source: string,
  effect = EFFECT,
  moment: Moment | null = MOMENT,
  visible: Partial<typeof VISIBLE> = {},
) {
  return compiled(source).evaluate({ ...VISIBLE, ...visible }, effect, moment);
}

test('every variable has its value', () => {
  for (const source of [
    'statement.kind == "UPDATE" && statement.fingerprint == "ab"',
    'statement.effects == ["update"] && "public.customers" in statement.tables && size(statement.functions) == 0',
    'statement.binds[0] == "7" && statement.binds[1] == null',
    'effect.name == "update" && effect.schema == "public" && effect.object.startsWith("cust")',
    'effect.kind == "relation" && effect.predicate == "open" && effect.columns.exists(c, c == "email")',
    'identity.subject.matches("^agent-[0-9]+$") && identity.kind == "agent" && "eu" in identity.groups',
    'identity.issuer.startsWith("https://idp.") && identity.owner == "alice"',
    'connection.name == "orders"',
    'session.id == "s1" && session.tls && !session.in_transaction && session.address.startsWith("10.")',
    'session.settings["search_path"] == "app" && has(claimed.traceparent) && !("intent" in claimed)',
    'now.getHours("Europe/Berlin") == 14 && now < timestamp("2027-01-01T00:00:00Z") && now.getDayOfWeek() == 1',
    'estimate.rows == 1200 && estimate.cost > 55',
    'now - duration("1h") < now ? true : false',
    'identity.groups.all(g, size(g) > 1) && identity.groups.exists_one(g, g.endsWith("u"))',
  ]) {
    assert.equal(evaluate(source), true, source);
  }
});

test('what is wrong is told when the rule is loaded, with its place', () => {
  const faults: Record<string, RegExp> = {
    'identity.subjct == "a"': /^1:9 identity has no "subjct". Did you mean "subject"\?$/,
    'identty.kind == "a"': /^1:1 "identty" is not a variable. Did you mean "identity"\?$/,
    'true &&\n  effect.nam == "a"': /^2:9 effect has no "nam"/,
    'identity.kind': /must be true or false/,
    '1 + 1': /must be true or false/,
    'identity.kind == 1': /== cannot be used on string and int/,
    'estimate.rows > "1"': /> cannot be used on int and string/,
    'identity.kind && true': /&& cannot be used on string and bool/,
    '"a" in identity.kind': /in cannot be used on string and string/,
    'identity.groups.map(g, g)': /"map" is not a function/,
    'identity.groups.exists(g)': /./,
    'frobnicate(1)': /"frobnicate" is not a function/,
    'identity.subject.matches("(")': /regexp/,
    'identity.subject.matches(connection.name)': /needs a text in quotes/,
    'now.getHours("Nowhere/X") == 1': /time zone/,
    'now < timestamp("x")': /timestamp/,
    '[1, "a"] == [1]': /of one type/,
    'identity.kind == ': /./,
    'a.b.c': /not a variable/,
    constructor: /not a variable/,
    'identity.constructor == "x"': /has no "constructor"/,
    'effect.columns.exists(a, effect.columns.exists(b, effect.columns.exists(c, a == b && b == c)))': /too long/,
    [`${'('.repeat(990)}true${')'.repeat(990)}`]: /nested too deep|./,
  };
  for (const [source, message] of Object.entries(faults)) {
    const fault = compileExpression(source);
    assert.ok(isFault(fault), source);
    assert.match(`${fault.line}:${fault.column} ${fault.message}`, message, source);
  }
});

test('what it asks for and cannot be told makes it fail, rather than count as empty', () => {
  const unknown: Effect = { effect: 'update', object: null, predicate: null, via: null };
  assert.equal(evaluate('effect.object == "customers"', unknown), null);
  assert.equal(evaluate('effect.name == "update"', unknown), true);
  const { columns: _, ...withoutColumns } = EFFECT;
  assert.equal(evaluate('effect.columns.exists(c, c == "ssn")', withoutColumns), null);
  const unqualified: Effect = { ...EFFECT, object: { kind: 'relation', schema: null, name: 'customers' } };
  assert.equal(evaluate('effect.schema == "hr"', unqualified), null);
  const setting: Effect = {
    effect: 'set-session',
    object: { kind: 'setting', schema: null, name: 'x' },
    predicate: null,
    via: null,
  };
  assert.equal(evaluate('effect.value == "on"', setting), null);
  assert.equal(evaluate('effect.value == "on"', { ...setting, value: 'on' }), true);
  const opaque: Effect = { effect: 'opaque', object: null, predicate: null, via: null };
  assert.equal(
    evaluate('size(statement.tables) == 0', opaque, MOMENT, { facts: { ...VISIBLE.facts, effects: [opaque] } }),
    null,
  );
  assert.equal(evaluate('claimed.intent == "x"'), null);
  assert.equal(evaluate('estimate.rows > 1', EFFECT, { ...MOMENT, estimate: null }), null);
  assert.equal(evaluate('estimate.rows / 0 > 1'), null);
  assert.equal(evaluate('statement.binds[5] == "x"'), null);
});

test('without a moment an expression that needs one fails, and says that it needs one', () => {
  for (const source of [
    'now.getHours() > 1',
    'has(claimed.x)',
    'session.tls',
    'estimate.rows > 1',
    'size(statement.binds) > 0',
  ]) {
    assert.equal(compiled(source).needsMoment, true, source);
    assert.equal(evaluate(source, EFFECT, null), null, source);
  }
  for (const source of ['identity.kind == "agent"', 'effect.name == "update"', 'statement.kind == "UPDATE"']) {
    assert.equal(compiled(source).needsMoment, false, source);
    assert.equal(evaluate(source, EFFECT, null), true, source);
  }
});

test('lists and texts that are too large to look at make it fail', () => {
  const moment = { ...MOMENT, binds: Array.from({ length: 201 }, () => 'x') };
  assert.equal(evaluate('statement.binds.exists(b, b == "y")', EFFECT, moment), null);
  assert.equal(evaluate('statement.binds[0] == "y"', EFFECT, { ...MOMENT, binds: ['x'.repeat(10_001)] }), null);
});

test('the largest expression over the largest lists takes no time worth mentioning', () => {
  const inner = Array.from({ length: 25 }, (_, i) => `a.startsWith("z${i}")`).join(' || ');
  const expression = compiled(`effect.columns.exists(a, ${inner})`);
  const effect = { ...EFFECT, columns: Array.from({ length: 200 }, (_, i) => `column_${i}`) };
  expression.evaluate(VISIBLE, effect, MOMENT);
  const started = process.threadCpuUsage().user;
  for (let i = 0; i < expression.mostEvaluations; i++) {
    assert.equal(expression.evaluate(VISIBLE, effect, MOMENT), false);
  }
  assert.ok(process.threadCpuUsage().user - started < 100_000, 'microseconds, generously');
});

test('an identity that nobody vouches for or owns has an empty issuer and owner', () => {
  const identity: Identity = { subject: 'local', kind: 'human', groups: [] };
  assert.equal(evaluate('identity.issuer == "" && identity.owner == ""', EFFECT, MOMENT, { identity }), true);
});

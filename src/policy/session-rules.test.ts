import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect, EffectName } from '../statements/facts.ts';
import { RuleSet, type Subject } from './decide.ts';
import type { SessionRuleSource } from './rule-schema.ts';

const AGENT: Subject = { identity: { subject: 'a', kind: 'agent', groups: [] }, connection: 'c', default: 'allow' };
const HUMAN: Subject = { ...AGENT, identity: { ...AGENT.identity, kind: 'human' } };

const AGENTS: SessionRuleSource = {
  id: 'agents',
  match: { identities: { kind: ['agent'] } },
  read_only: true,
  statement_timeout: '30s',
  role: 'reader',
  settings: { Search_Path: 'app', lock_timeout: 5000 },
};

function rules(...session: SessionRuleSource[]): RuleSet {
  return new RuleSet([], 'v', { session, masks: [], detectors: [] });
}

function set(name: string | null, value?: string, effect: EffectName = 'set-session'): Effect {
  const object = name === null ? null : ({ kind: 'setting', schema: null, name } as const);
  return { effect, object, predicate: null, via: null, ...(value === undefined ? {} : { value }) };
}

function action(effect: Effect, subject = AGENT) {
  return rules(AGENTS).decide({ effects: [effect] }, subject).action;
}

test('a session begins with what its rules say, and others with nothing', () => {
  const pins = rules(AGENTS).pinsFor(AGENT);
  assert.deepEqual(pins, {
    readOnly: true,
    statementTimeoutMs: 30_000,
    role: 'reader',
    settings: new Map([
      ['search_path', 'app'],
      ['lock_timeout', '5000'],
    ]),
    rules: ['agents'],
    conflict: null,
  });
  assert.deepEqual(rules(AGENTS).pinsFor(HUMAN).rules, []);
});

test('of several rules the strictest holds, and where none is stricter the session cannot begin', () => {
  const all = { match: {} };
  const pins = rules(
    { id: 'a', ...all, statement_timeout: '1m' },
    { id: 'b', ...all, statement_timeout: '10s', settings: { x: 1 } },
    { id: 'c', ...all, read_only: true, settings: { x: 1 } },
  ).pinsFor(AGENT);
  assert.deepEqual([pins.readOnly, pins.statementTimeoutMs, pins.conflict], [true, 10_000, null]);
  assert.match(
    rules({ id: 'a', ...all, role: 'x' }, { id: 'b', ...all, role: 'y' }).pinsFor(AGENT).conflict ?? '',
    /x and y/,
  );
  const different = rules({ id: 'a', ...all, settings: { x: 1 } }, { id: 'b', ...all, settings: { X: 2 } });
  assert.match(different.pinsFor(AGENT).conflict ?? '', /different values of x/);
});

test('a statement that changes what is pinned, or may, is refused', () => {
  for (const effect of [
    set('search_path', 'evil'),
    set('search_path'),
    set('SEARCH_PATH', 'evil'),
    set('transaction_read_only', 'off'),
    set('default_transaction_read_only'),
    set('statement_timeout', '0'),
    set('role', 'postgres'),
    set('search_path', 'evil', 'set-global'),
    set('x', undefined, 'set-role'),
    set(null),
    set(null, undefined, 'opaque'),
  ]) {
    assert.equal(action(effect), 'deny', JSON.stringify(effect));
    assert.equal(action(effect, HUMAN), 'allow');
  }
});

test('other settings may change, and a pinned one may be set to what it is', () => {
  for (const effect of [
    set('application_name', 'x'),
    set('search_path', 'app'),
    set('transaction_read_only', 'on'),
    set('transaction_read_only', 'TRUE'),
    set('lock_timeout', '5000'),
    set('t', undefined, 'read'),
  ]) {
    assert.equal(action(effect), 'allow', JSON.stringify(effect));
  }
});

import { parseDuration } from '../config/quantity.ts';
import type { Effect } from '../statements/facts.ts';
import type { CompiledRule } from './compiled-rule.ts';
import { type CompiledCondition, compileWho, type Subject } from './condition.ts';
import type { SessionRuleSource } from './rule-schema.ts';

/** `session:` rules: what is set when a session begins, and stays so. */
export interface CompiledSessionRule {
  readonly id: string;
  readonly readOnly: boolean;
  readonly statementTimeoutMs: number | null;
  readonly role: string | null;
  /** Names in lower case. */
  readonly settings: ReadonlyMap<string, string>;
  appliesTo(subject: Subject): boolean;
}

/** What one session is pinned to, by all session rules that are for it. */
export interface SessionPins {
  readonly readOnly: boolean;
  /** The shortest of those asked for; `null` if none is. */
  readonly statementTimeoutMs: number | null;
  readonly role: string | null;
  readonly settings: ReadonlyMap<string, string>;
  /** Ids of the rules, sorted. */
  readonly rules: readonly string[];
  /** Why the session cannot begin: two rules want different things. `null` if all is well. */
  readonly conflict: string | null;
}

export function compileSessionRule(source: SessionRuleSource): CompiledSessionRule {
  const { who, unless } = whose(source);
  return {
    id: source.id,
    readOnly: source.read_only === true,
    statementTimeoutMs: source.statement_timeout === undefined ? null : parseDuration(source.statement_timeout),
    role: source.role ?? null,
    settings: new Map(
      Object.entries(source.settings ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]),
    ),
    appliesTo: (subject) =>
      who.every((test) => test.holds(subject)) && !unless?.who.every((test) => test.holds(subject)),
  };
}

function whose({ match, unless }: SessionRuleSource): {
  who: CompiledCondition['who'];
  unless: CompiledCondition | null;
} {
  return {
    who: compileWho(match),
    unless: unless === undefined ? null : { who: compileWho(unless), when: [], what: [] },
  };
}

/** What a session begins with. The strictest of several: read-only if one says so, the shortest timeout. */
export function pinsFor(rules: readonly CompiledSessionRule[], subject: Subject): SessionPins {
  const mine = rules.filter((rule) => rule.appliesTo(subject));
  const timeouts = mine.flatMap(({ statementTimeoutMs }) => (statementTimeoutMs === null ? [] : [statementTimeoutMs]));
  const roles = new Set(mine.flatMap(({ role }) => (role === null ? [] : [role])));
  const settings = new Map<string, string>();
  let conflict = roles.size > 1 ? `session rules want the roles ${[...roles].sort().join(' and ')}` : null;
  for (const rule of mine) {
    for (const [name, value] of rule.settings) {
      if ((settings.get(name) ?? value) !== value) conflict ??= `session rules want different values of ${name}`;
      settings.set(name, value);
    }
  }
  return {
    readOnly: mine.some(({ readOnly }) => readOnly),
    statementTimeoutMs: timeouts.length === 0 ? null : Math.min(...timeouts),
    role: [...roles][0] ?? null,
    settings,
    rules: mine.map(({ id }) => id),
    conflict,
  };
}

const READ_ONLY = ['transaction_read_only', 'default_transaction_read_only', 'tx_read_only'];
const TIMEOUT = ['statement_timeout', 'max_execution_time', 'max_statement_time'];

/** The rule that refuses statements that change what is pinned, or of which it cannot be told whether they do. */
export function pinsAsRule(source: SessionRuleSource): CompiledRule {
  const rule = compileSessionRule(source);
  const pinned = new Map<string, string | null>(rule.settings);
  if (rule.readOnly) for (const name of READ_ONLY) pinned.set(name, 'on');
  if (rule.statementTimeoutMs !== null) for (const name of TIMEOUT) pinned.set(name, null);
  if (rule.role !== null) pinned.set('role', rule.role);
  const { who, unless } = whose(source);
  return {
    id: rule.id,
    section: 'session',
    action: 'deny',
    shadow: false,
    match: {
      who,
      when: [],
      what: [
        {
          key: 'settings',
          words: `it does not change ${[...pinned.keys()].join(', ')}`,
          holds: (effect) => changes(effect, pinned, rule.role !== null),
        },
      ],
    },
    unless,
    expression: null,
    approval: null,
    limits: [],
    recordResults: null,
    message: undefined,
    hint: 'Go on without changing it: it is fixed for this session.',
  };
}

/** @param pinned what is fixed, and its value where setting it to that value changes nothing */
function changes(effect: Effect, pinned: ReadonlyMap<string, string | null>, role: boolean): boolean {
  switch (effect.effect) {
    case 'opaque':
      return true;
    case 'set-role':
      return role;
    case 'set-session':
    case 'set-global': {
      if (effect.object === null) return true;
      const name = effect.object.name.toLowerCase();
      const value = pinned.get(name);
      if (value === undefined) return false;
      return value === null || effect.value === undefined || !isSameValue(value, effect.value);
    }
    default:
      return false;
  }
}

const TRUE = ['on', 'true', 'yes', '1'];

function isSameValue(pinned: string, given: string): boolean {
  return pinned === given || (pinned === 'on' && TRUE.includes(given.toLowerCase()));
}

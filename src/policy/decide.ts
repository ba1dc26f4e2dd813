import type { Identity } from '../identity/identity.ts';
import { EFFECT_CLASSES, type Effect, type EffectName, type ObjectName, type Predicate } from '../statements/facts.ts';
import { anyMatches, compileGlob, type Glob } from './glob.ts';
import { refusalOf } from './refusal-text.ts';
import type { Condition, RuleSource } from './rule-schema.ts';
import type { Verdict } from './verdict.ts';

/**
 * From facts to a verdict.
 *
 * A rule matches an effect if every key of `match` holds for it and not every key of `unless`. A deny rule that matches
 * any effect refuses the statement, whatever else matches. Where the connection's default is `deny`, allow rules together
 * have to match every effect. Order never matters, shadow rules never change a verdict, and a statement without effects
 * (an empty query, `SELECT 1`) is allowed.
 *
 * What cannot be known about an object counts against the statement: an object that is not known matches every pattern
 * of a deny rule and none (but `*`) of an allow rule; in `unless` it is the other way round. A name written without
 * schema could be in any: it matches every schema's pattern, except in the `unless` of a deny rule, where only a pattern
 * that holds in every schema counts.
 */

/** Who sends the statement, to which connection, and what holds when no rule matches. */
export interface Subject {
  readonly identity: Identity;
  readonly connection: string;
  readonly default: 'allow' | 'deny';
}

/** What a verdict is about. */
export interface DecidableFacts {
  readonly effects: readonly Effect[];
}

export interface LoadedRule {
  readonly rule: RuleSource;
  readonly shadow: boolean;
}

/** All rules in force, compiled. Immutable: a reload makes another one. */
export class RuleSet {
  /** Hash of the files' contents, 16 hex digits. */
  readonly version: string;
  readonly #rules: readonly CompiledRule[];

  constructor(rules: readonly LoadedRule[], version: string) {
    this.version = version;
    this.#rules = rules.map(compileRule).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Ids of all rules, sorted. */
  get ids(): readonly string[] {
    return this.#rules.map((rule) => rule.id);
  }

  decide(facts: DecidableFacts, subject: Subject): Verdict {
    const { effects } = facts;
    const matched: string[] = [];
    const shadowDeny: string[] = [];
    const shadowAllow: string[] = [];
    let refusing: CompiledRule | null = null;
    let refused: Effect | null = null;
    const covered = new Set<Effect>();
    const coveredWithShadow = new Set<Effect>();
    for (const rule of this.#rules) {
      if (!appliesTo(rule, subject)) continue;
      const hits = effects.filter((effect) => rule.matches(effect, subject));
      const first = hits[0];
      if (first === undefined) continue;
      if (rule.shadow) {
        (rule.action === 'deny' ? shadowDeny : shadowAllow).push(rule.id);
      } else {
        matched.push(rule.id);
        if (rule.action === 'deny' && refusing === null) {
          refusing = rule;
          refused = first;
        }
      }
      if (rule.action === 'allow') {
        for (const effect of hits) {
          coveredWithShadow.add(effect);
          if (!rule.shadow) covered.add(effect);
        }
      }
    }
    if (refusing !== null && refused !== null) {
      const { message, hint } = refusalOf(refused, refusing.id, refusing);
      return { action: 'deny', rules: matched, shadow: [], rule: refusing.id, message, hint };
    }
    const uncovered = subject.default === 'deny' ? effects.find((effect) => !covered.has(effect)) : undefined;
    if (uncovered !== undefined) {
      const wouldAllow = effects.every((effect) => coveredWithShadow.has(effect)) && shadowDeny.length === 0;
      const { message, hint } = refusalOf(uncovered, 'default', {});
      return { action: 'deny', rules: matched, shadow: wouldAllow ? shadowAllow : [], rule: 'default', message, hint };
    }
    return { action: 'allow', rules: matched, shadow: shadowDeny };
  }
}

interface CompiledRule {
  readonly id: string;
  readonly action: 'allow' | 'deny';
  readonly shadow: boolean;
  readonly message?: string | undefined;
  readonly hint?: string | undefined;
  readonly match: CompiledCondition;
  matches(effect: Effect, subject: Subject): boolean;
}

function compileRule({ rule, shadow }: LoadedRule): CompiledRule {
  const denies = rule.action === 'deny';
  const match = compileCondition(rule.match, { unknownObject: denies, unknownSchema: true });
  const unless =
    rule.unless === undefined
      ? null
      : compileCondition(rule.unless, { unknownObject: !denies, unknownSchema: !denies });
  return {
    id: rule.id,
    action: rule.action,
    shadow,
    message: rule.message,
    hint: rule.hint,
    match,
    matches: (effect, subject) => match.holdsFor(effect) && !(unless?.appliesTo(subject) && unless.holdsFor(effect)),
  };
}

function appliesTo(rule: CompiledRule, subject: Subject): boolean {
  return rule.match.appliesTo(subject);
}

interface CompiledCondition {
  appliesTo(subject: Subject): boolean;
  holdsFor(effect: Effect): boolean;
}

/** What a pattern answers about what cannot be known. */
interface Doubt {
  readonly unknownObject: boolean;
  readonly unknownSchema: boolean;
}

function compileCondition(condition: Condition, doubt: Doubt): CompiledCondition {
  const connections = condition.connections?.map(compileGlob);
  const subjects = condition.identities?.subjects?.map(compileGlob);
  const groups = condition.identities?.groups?.map(compileGlob);
  const kinds = condition.identities?.kind;
  const effects = condition.effects === undefined ? null : expandEffects(condition.effects);
  const tables = condition.tables?.map(compileObjectPattern);
  const functions = condition.functions?.map(compileObjectPattern);
  const settings = condition.settings?.map((pattern) => compileGlob(pattern.toLowerCase()));
  const predicates = condition.predicate === undefined ? undefined : expandPredicates(condition.predicate);
  return {
    appliesTo: ({ identity, connection }) =>
      (connections === undefined || anyMatches(connections, connection)) &&
      (subjects === undefined || anyMatches(subjects, identity.subject)) &&
      (groups === undefined || identity.groups.some((group) => anyMatches(groups, group))) &&
      (kinds === undefined || kinds.includes(identity.kind)),
    holdsFor: (effect) =>
      (effects === null || effects.has(effect.effect)) &&
      (predicates === undefined || (effect.predicate !== null && predicates.includes(effect.predicate))) &&
      (tables === undefined || tables.some((pattern) => isTable(pattern, effect, doubt))) &&
      (functions === undefined || functions.some((pattern) => isFunction(pattern, effect, doubt))) &&
      (settings === undefined || settings.some((glob) => isSetting(glob, effect, doubt))),
  };
}

function expandEffects(names: readonly string[]): ReadonlySet<EffectName> {
  const classes: Readonly<Record<string, readonly EffectName[]>> = EFFECT_CLASSES;
  return new Set(names.flatMap((name) => classes[name] ?? [name as EffectName]));
}

/** `present` is any but `none`. */
function expandPredicates(names: readonly string[]): readonly Predicate[] {
  const any = ['tautology', 'open', 'bounded', 'keyed'];
  return names.flatMap((name) => (name === 'present' ? any : [name])) as Predicate[];
}

interface ObjectPattern {
  readonly schema: Glob;
  readonly name: Glob;
  readonly matchesAll: boolean;
}

const ANY = compileGlob('*');

/** `name` is that name in any schema. */
function compileObjectPattern(pattern: string): ObjectPattern {
  const dot = pattern.indexOf('.');
  const schema = dot < 0 ? ANY : compileGlob(pattern.slice(0, dot));
  const name = compileGlob(pattern.slice(dot + 1));
  return { schema, name, matchesAll: schema.matchesAll && name.matchesAll };
}

function isObject(pattern: ObjectPattern, object: ObjectName, doubt: Doubt): boolean {
  if (!pattern.name.matches(object.name)) return false;
  if (object.schema !== null) return pattern.schema.matches(object.schema);
  return pattern.schema.matchesAll || doubt.unknownSchema;
}

/** Effects that are on a relation when the text does not say which one, or says it as a schema or database. */
const ON_RELATIONS = expandEffects([
  'read',
  'write',
  'ddl',
  'grant',
  'revoke',
  'lock',
  'maintenance',
  'opaque',
] satisfies (EffectName | keyof typeof EFFECT_CLASSES)[]);

function isTable(pattern: ObjectPattern, effect: Effect, doubt: Doubt): boolean {
  const { object } = effect;
  if (object?.kind === 'relation') return isObject(pattern, object, doubt);
  if (!ON_RELATIONS.has(effect.effect)) return false;
  // DROP SCHEMA, GRANT ON ALL TABLES IN SCHEMA: some of its tables may be the ones meant.
  if (object?.kind === 'schema') {
    if (!pattern.schema.matches(object.name)) return false;
    return pattern.name.matchesAll || doubt.unknownObject;
  }
  if (object === null || object.kind === 'database') return pattern.matchesAll || doubt.unknownObject;
  return false;
}

function isFunction(pattern: ObjectPattern, effect: Effect, doubt: Doubt): boolean {
  const { object } = effect;
  if (object?.kind === 'function') return isObject(pattern, object, doubt);
  return effect.effect === 'opaque' && (pattern.matchesAll || doubt.unknownObject);
}

const ON_SETTINGS = expandEffects(['session', 'opaque'] satisfies (EffectName | keyof typeof EFFECT_CLASSES)[]);

function isSetting(glob: Glob, effect: Effect, doubt: Doubt): boolean {
  const { object } = effect;
  if (object?.kind === 'setting') return glob.matches(object.name);
  return object === null && ON_SETTINGS.has(effect.effect) && (glob.matchesAll || doubt.unknownObject);
}

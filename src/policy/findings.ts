import { isDeepStrictEqual } from 'node:util';
import type { FilePlace } from '../config/yaml-file.ts';
import { compileColumnPattern } from './column-pattern.ts';
import { compileGlob } from './glob.ts';
import type { RuleFiles } from './load.ts';
import { compileObjectPattern, expandEffects, ON_RELATIONS, ON_SETTINGS } from './object-pattern.ts';
import { type Condition, EFFECTS, PREDICATES, type RuleSource } from './rule-schema.ts';
import { endOfDay } from './time-window.ts';

/** Something about rules that are right each by itself, and still not what their author can have meant. */
export interface RuleFinding extends FilePlace {
  readonly rule: string;
  readonly about: 'never matches' | 'duplicate' | 'overruled' | 'expired' | 'unknown name';
  readonly message: string;
}

/** What a catalogue knows, asked by patterns: whether there is anything by a name that matches. */
export interface KnownNames {
  hasRelation(matches: (schema: string, name: string) => boolean): boolean;
  hasColumn(matches: (schema: string, relation: string, column: string) => boolean): boolean;
  hasFunction(matches: (schema: string, name: string) => boolean): boolean;
}

/**
 * Rules that can never match, that are there twice, that another one overrules entirely, exceptions that are over, and names
 * that are not in the catalogue (`null`: not looked for). By place.
 *
 * @param now milliseconds since 1970
 */
export function findMistakes({ sections, places }: RuleFiles, now: number, known: KnownNames | null): RuleFinding[] {
  const findings: RuleFinding[] = [];
  const add = (rule: string, about: RuleFinding['about'], message: string) =>
    findings.push({ rule, about, message, ...places.get(rule)! });
  const rules = sections.rules.map(({ rule }) => rule);
  for (const rule of rules) {
    const never = whyNever(rule.match) ?? whyExcepted(rule);
    if (never !== null) add(rule.id, 'never matches', `never matches: ${never}`);
  }
  const excepted = [
    ...rules,
    ...sections.masks.map(({ mask }) => mask),
    ...sections.detectors.map((one) => one.detector),
  ];
  for (const { id, unless } of excepted) {
    if (unless?.until !== undefined && endOfDay(unless.until) <= now) {
      add(id, 'expired', `its exception ended with ${unless.until}`);
    }
  }
  for (const [index, rule] of rules.entries()) {
    const same = rules.slice(0, index).find((other) => isSameRule(rule, other));
    if (same !== undefined) add(rule.id, 'duplicate', `says the same as ${same.id}`);
  }
  const denying = sections.rules.filter(({ rule, shadow }) => !shadow && isPlainDeny(rule)).map(({ rule }) => rule);
  for (const rule of rules) {
    if (rule.action !== 'allow') continue;
    const over = denying.find((other) => covers(other.match, rule.match));
    if (over !== undefined) add(rule.id, 'overruled', `allows nothing: ${over.id} denies all of it`);
  }
  if (known !== null) {
    for (const { id, match, unless } of rules) {
      for (const condition of [match, unless ?? {}]) {
        for (const name of unknownNames(condition, known)) add(id, 'unknown name', name);
      }
    }
    for (const { mask } of sections.masks) {
      const columns = mask.columns.map((text) => text.split(':')[0]!);
      for (const name of unknownNames({ columns }, known)) add(mask.id, 'unknown name', name);
    }
  }
  return findings.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column));
}

/** Keys about the object of an effect, of which an effect has one. */
const OBJECT_KEYS = ['tables', 'columns', 'functions', 'settings', 'predicate'] as const;

const WITH_PREDICATE = ['read', 'update', 'delete'];

/** Why no effect can have all of these keys, or `null`. An opaque statement matches several of them, but says nothing. */
function whyNever(match: Condition): string | null {
  const given = OBJECT_KEYS.filter((key) => match[key] !== undefined);
  const [first] = given.filter((key) => key === 'functions' || key === 'settings');
  const other = given.find((key) => key !== first);
  if (first !== undefined && other !== undefined) return `an effect on ${first} has no ${other}`;
  if (match.during !== undefined && isDeepStrictEqual(match.during, match.outside))
    return 'during and outside are the same';
  if (match.effects === undefined) return null;
  const effects = [...expandEffects(match.effects)];
  const words = match.effects.join(', ');
  if (match.predicate !== undefined && !effects.some((effect) => WITH_PREDICATE.includes(effect))) {
    return `${words} has no predicate`;
  }
  if ((match.tables ?? match.columns) !== undefined && !effects.some((effect) => ON_RELATIONS.has(effect))) {
    return `${words} is on no table`;
  }
  if (match.settings !== undefined && !effects.some((effect) => ON_SETTINGS.has(effect) || effect === 'read')) {
    return `${words} changes no setting`;
  }
  return null;
}

function whyExcepted({ match, unless }: RuleSource): string | null {
  if (unless === undefined) return null;
  const { until, ...condition } = unless;
  return until === undefined && covers(condition, match) ? 'unless excepts everything that match is about' : null;
}

function isSameRule(a: RuleSource, b: RuleSource): boolean {
  const said = ({ match, unless, if: expression, action, approval, limit, mode }: RuleSource) => ({
    match,
    unless,
    expression,
    action,
    approval,
    limit,
    mode,
  });
  return isDeepStrictEqual(said(a), said(b));
}

function isPlainDeny({ action, unless, limit, if: expression }: RuleSource): boolean {
  return action === 'deny' && unless === undefined && limit === undefined && expression === undefined;
}

/** True if `wide` certainly holds wherever `narrow` does. */
function covers(wide: Condition, narrow: Condition): boolean {
  const { connections, identities, effects, tables, columns, functions, settings, predicate, ...times } = wide;
  // A deny rule holds for one column of many, an allow rule for all of them; and times are seldom the same.
  if (columns !== undefined || Object.values(times).some((key) => key !== undefined)) return false;
  return (
    coversNames(connections, narrow.connections) &&
    coversNames(identities?.subjects, narrow.identities?.subjects) &&
    coversNames(identities?.groups, narrow.identities?.groups) &&
    coversSet(identities?.kind, narrow.identities?.kind) &&
    coversSet(effects && expanded(effects), narrow.effects ? expanded(narrow.effects) : Object.keys(EFFECTS)) &&
    coversNames(tables?.map(qualified), narrow.tables?.map(qualified)) &&
    coversNames(functions?.map(qualified), narrow.functions?.map(qualified)) &&
    coversNames(lower(settings), lower(narrow.settings)) &&
    coversSet(predicate && present(predicate), narrow.predicate && present(narrow.predicate))
  );
}

/** Each narrow pattern, read as a name, matches a wide one: a `*` in it can only be matched by a `*`. */
function coversNames(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  if (wide === undefined) return true;
  const globs = wide.map(compileGlob);
  return narrow?.every((name) => globs.some((glob) => glob.matches(name))) ?? false;
}

function coversSet(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  if (wide === undefined) return true;
  return narrow?.every((name) => wide.includes(name)) ?? false;
}

function expanded(effects: readonly string[]): readonly string[] {
  return [...expandEffects(effects)];
}

function qualified(pattern: string): string {
  return pattern.includes('.') ? pattern : `*.${pattern}`;
}

function lower(names: readonly string[] | undefined): readonly string[] | undefined {
  return names?.map((name) => name.toLowerCase());
}

function present(predicates: readonly string[]): readonly string[] {
  return predicates.includes('present')
    ? [...predicates, ...Object.keys(PREDICATES).filter((name) => name !== 'none')]
    : predicates;
}

/** Schemas of the server's own, whose relations are in no catalogue. */
const OF_THE_SERVER = /^(pg_catalog|pg_toast|information_schema|mysql|performance_schema|sys)\./;

/** A pattern of stars finds something in every catalogue that has anything. */
function* unknownNames({ tables, columns, functions }: Condition, known: KnownNames): Generator<string> {
  for (const text of tables ?? []) {
    if (OF_THE_SERVER.test(text)) continue;
    const pattern = compileObjectPattern(text);
    if (!known.hasRelation((schema, name) => pattern.schema.matches(schema) && pattern.name.matches(name))) {
      yield `there is no table ${text}`;
    }
  }
  for (const text of columns ?? []) {
    if (OF_THE_SERVER.test(text)) continue;
    const { table, column } = compileColumnPattern(text);
    const matches = (schema: string, relation: string, name: string) =>
      table.schema.matches(schema) && table.name.matches(relation) && column.matches(name);
    if (!known.hasColumn(matches)) yield `there is no column ${text}`;
  }
  for (const text of functions ?? []) {
    const pattern = compileObjectPattern(text);
    if (!known.hasFunction((schema, name) => pattern.schema.matches(schema) && pattern.name.matches(name))) {
      yield `there is no function ${text}`;
    }
  }
}

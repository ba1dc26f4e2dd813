import { EFFECT_CLASSES, type Effect, type EffectName, type ObjectName } from '../statements/facts.ts';
import { compileGlob, type Glob } from './glob.ts';

/**
 * Patterns for the names of objects, against names of which parts may not be known.
 *
 * `doubt` is what a pattern answers about what cannot be known: true where a match makes the verdict stricter (`match` of
 * a deny or hold rule, `unless` of an allow rule), false where it makes it milder. So a name without schema matches the
 * pattern of every schema for the one, and for the other only patterns that hold in all of them.
 */

export interface ObjectPattern {
  readonly schema: Glob;
  readonly name: Glob;
  readonly matchesAll: boolean;
}

const ANY = compileGlob('*');

/** `schema.name`; `name` is that name in any schema. */
export function compileObjectPattern(pattern: string): ObjectPattern {
  const dot = pattern.indexOf('.');
  const schema = dot < 0 ? ANY : compileGlob(pattern.slice(0, dot));
  const name = compileGlob(pattern.slice(dot + 1));
  return { schema, name, matchesAll: schema.matchesAll && name.matchesAll };
}

export function matchesName(pattern: ObjectPattern, name: string, schema: string | null, doubt: boolean): boolean {
  if (!pattern.name.matches(name)) return false;
  if (schema !== null) return pattern.schema.matches(schema);
  return pattern.schema.matchesAll || doubt;
}

export function expandEffects(names: readonly string[]): ReadonlySet<EffectName> {
  const classes: Readonly<Record<string, readonly EffectName[]>> = EFFECT_CLASSES;
  return new Set(names.flatMap((name) => classes[name] ?? [name as EffectName]));
}

/** Effects that are on a relation when the text does not say which one, or says it as a schema or database. */
export const ON_RELATIONS = expandEffects([
  'read',
  'write',
  'ddl',
  'grant',
  'revoke',
  'lock',
  'maintenance',
  'opaque',
] satisfies (EffectName | keyof typeof EFFECT_CLASSES)[]);

export const ON_SETTINGS = expandEffects(['session', 'opaque'] satisfies (EffectName | keyof typeof EFFECT_CLASSES)[]);

export function isTable(pattern: ObjectPattern, effect: Effect, doubt: boolean): boolean {
  const { object } = effect;
  // Its object is what hides the rest: a function, a view. What it touches can be anything.
  if (effect.effect === 'opaque') return pattern.matchesAll || doubt;
  if (object?.kind === 'relation') {
    return (
      matchesName(pattern, object.name, object.schema, doubt) ||
      (doubt && (effect.also ?? []).some((other) => matchesOther(pattern, other)))
    );
  }
  if (!ON_RELATIONS.has(effect.effect)) return false;
  // DROP SCHEMA, GRANT ON ALL TABLES IN SCHEMA: some of its tables may be the ones meant.
  if (object?.kind === 'schema') {
    if (!pattern.schema.matches(object.name)) return false;
    return pattern.name.matchesAll || doubt;
  }
  if (object === null || object.kind === 'database') return pattern.matchesAll || doubt;
  return false;
}

function matchesOther(pattern: ObjectPattern, other: ObjectName): boolean {
  return matchesName(pattern, other.name, other.schema, true);
}

export function isFunction(pattern: ObjectPattern, effect: Effect, doubt: boolean): boolean {
  const { object } = effect;
  if (effect.effect === 'opaque' && doubt) return true;
  if (object?.kind === 'function') {
    // The server looks in pg_catalog before anywhere else, unless search_path says otherwise.
    return matchesName(pattern, object.name, object.schema ?? (doubt ? null : 'pg_catalog'), doubt);
  }
  return effect.effect === 'opaque' && pattern.matchesAll;
}

/** @param glob in lower case: names of settings have no case */
export function isSetting(glob: Glob, effect: Effect, doubt: boolean): boolean {
  const { object } = effect;
  if (effect.effect === 'opaque') return glob.matchesAll || doubt;
  if (object?.kind === 'setting') return glob.matches(object.name.toLowerCase());
  return object === null && ON_SETTINGS.has(effect.effect) && (glob.matchesAll || doubt);
}

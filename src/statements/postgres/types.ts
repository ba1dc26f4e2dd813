import type { CatalogueCast, CatalogueData, CatalogueType } from '../catalogue.ts';
import type { EffectWalk, Place } from './effects.ts';
import type { TreeNode } from './parser.ts';
import { nameParts } from './tree.ts';

/** Names of the grammar for types that are printed otherwise. */
const PRINTED: Readonly<Record<string, string>> = {
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  float4: 'real',
  float8: 'double precision',
  bool: 'boolean',
  bpchar: 'character',
  varchar: 'character varying',
  varbit: 'bit varying',
  time: 'time without time zone',
  timetz: 'time with time zone',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
};

/** Kinds of types whose values come to be without code of a user. */
const WITHOUT_CODE = new Set<CatalogueType['kind']>(['enum', 'range']);

const TEXTS = new Set(['text', 'character varying', 'character', 'name', 'bpchar', 'varchar']);

/** Types between which every value can be converted. */
const ALIKE: readonly ReadonlySet<string>[] = [
  new Set(['json', 'jsonb']),
  new Set(['date', 'timestamp without time zone', 'timestamp with time zone']),
];
const NUMBERS: readonly string[] = ['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision'];
const WIDE_NUMBERS = new Set(['bigint', 'numeric', 'double precision']);

/** True if the conversion of a value cannot fail: then whether it does tells nothing about the value. */
export function convertsAll(from: string | null, type: TreeNode | undefined): boolean {
  const name = nameParts(type?.names).at(-1) ?? '';
  const target = PRINTED[name] ?? name;
  if (TEXTS.has(target)) return true;
  if (from === null) return false;
  const source = withoutModifier(from);
  if (source === target || ALIKE.some((types) => types.has(source) && types.has(target))) return true;
  return NUMBERS.includes(source) && WIDE_NUMBERS.has(target);
}

/**
 * Adds what a conversion to a type does: constraints of domains, input functions, casts.
 *
 * @param from the type of the value, as the catalogue prints it; `null` if not known
 * @returns true if the type is built in, or its values are what they look like
 */
export function useType(walk: EffectWalk, type: TreeNode | undefined, from: string | null, place: Place): boolean {
  const parts = nameParts(type?.names);
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts.at(-2)! : null;
  const { catalogue, searchPath, known } = walk.names;
  if (schema === 'pg_catalog' || schema === 'information_schema') {
    runsCasts(walk, PRINTED[name] ?? name, from, place);
    return true;
  }
  if (catalogue === null) return schema === null;
  const found = catalogue.typesNamed(schema, name).filter((one) => schema !== null || searchPath.includes(one.schema));
  if (found.length === 0) {
    const row = schema === null ? catalogue.resolve(name, searchPath) : catalogue.relation(schema, name);
    if (row === null && schema !== null && known !== null) walk.opaque(`unknown type ${schema}.${name}`);
    runsCasts(walk, name, from, place);
    return row === null && schema === null;
  }
  for (const one of found) {
    for (const code of one.functions) walk.runsFunction(code, place);
    for (const check of one.checks) walk.runsText(`SELECT ${check}`, `type ${one.name}`);
    mayBeCast(walk, 'from', `${one.schema}.${one.name}`, place);
    runsCasts(walk, `${one.schema}.${one.name}`, from, place);
  }
  return found.every((one) => WITHOUT_CODE.has(one.kind));
}

function runsCasts(walk: EffectWalk, target: string, from: string | null, place: Place): void {
  for (const cast of walk.names.catalogue?.data.casts ?? []) {
    if (cast.function === null || cast.target !== target) continue;
    const given = from === null || from === 'unknown' ? null : withoutModifier(from);
    if (given === null || given === cast.source) walk.runsFunction(cast.function, place);
  }
}

/** Casts that run code without being written, by the type they are from and by the one they are to. */
interface SilentCasts {
  readonly from: ReadonlyMap<string, readonly CatalogueCast[]>;
  readonly to: ReadonlyMap<string, readonly CatalogueCast[]>;
}

const SILENT_CASTS = new WeakMap<CatalogueData, SilentCasts>();

function silentCasts(data: CatalogueData): SilentCasts {
  let known = SILENT_CASTS.get(data);
  if (known === undefined) {
    const casts = data.casts.filter((one) => one.function !== null && one.context !== 'explicit');
    // A type of the server's own becomes a user's only where a function of a user asks for that.
    const isUsers = (type: string) => type.includes('.');
    const from = casts.filter((one) => isUsers(one.source) || !isUsers(one.target));
    const to = casts.filter((one) => isUsers(one.target));
    known = { from: Map.groupBy(from, (one) => one.source), to: Map.groupBy(to, (one) => one.target) };
    SILENT_CASTS.set(data, known);
  }
  return known;
}

/**
 * A value of this type is used somehow, or wanted as an argument: where another type is asked for, or given, a cast of a
 * user runs that nobody has written. Whether one does is not asked; such casts are few.
 */
export function mayBeCast(walk: EffectWalk, direction: keyof SilentCasts, type: string | null, place: Place): void {
  const { catalogue } = walk.names;
  if (catalogue === null || type === null || walk.isCasting || catalogue.data.casts.length === 0) return;
  for (const cast of silentCasts(catalogue.data)[direction].get(withoutModifier(type)) ?? []) {
    // Its function is given what it wants.
    walk.isCasting = true;
    walk.runsFunction(cast.function!, place);
    walk.isCasting = false;
  }
}

/** True for a type of the catalogue; types are told as the server prints them, with their schema. */
export function isUserType(walk: EffectWalk, printed: string): boolean {
  const [schema, name] = withoutModifier(printed)
    .replace(/(\[\])+$|"/g, '')
    .split('.');
  if (name === undefined) return false;
  return (walk.names.catalogue?.typesNamed(schema!, name).length ?? 0) > 0;
}

/** `character varying(20)` as `character varying`. */
export function withoutModifier(printed: string): string {
  return printed.replace(/\(\d+(?:,-?\d+)?\)/, '');
}

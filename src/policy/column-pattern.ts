import type { ColumnUse, Effect, ObjectName } from '../statements/facts.ts';
import { compileGlob, type Glob } from './glob.ts';
import { compileObjectPattern, isTable, matchesName, type ObjectPattern, ON_RELATIONS } from './object-pattern.ts';

/** `schema.table.column` or `table.column`. */
export interface ColumnPattern {
  readonly table: ObjectPattern;
  readonly column: Glob;
}

export function compileColumnPattern(pattern: string): ColumnPattern {
  const dot = pattern.lastIndexOf('.');
  return { table: compileObjectPattern(pattern.slice(0, dot)), column: compileGlob(pattern.slice(dot + 1)) };
}

/**
 * The same for masks and detectors: the column may be written in any case, as MySQL takes it. In PostgreSQL that covers columns
 * whose names differ in case only.
 */
export function compileMaskedColumn(pattern: string): ColumnPattern {
  const dot = pattern.lastIndexOf('.');
  const { matches, matchesAll } = compileGlob(pattern.slice(dot + 1).toLowerCase());
  return {
    table: compileObjectPattern(pattern.slice(0, dot)),
    column: { matches: (text) => matches(text.toLowerCase()), matchesAll },
  };
}

/** Where some columns are meant and it is not known which. */
const SOME = '*';

/**
 * Whether an effect is about the columns of these patterns.
 *
 * @param uses every column the statement uses other than for output; `undefined` if that cannot be told
 * @param doubt true: one column that matches, or may match, is enough. False: the effect touches no other columns than
 * ones that match for certain. See object-pattern.ts.
 */
export function areColumns(
  patterns: readonly ColumnPattern[],
  effect: Effect,
  uses: readonly ColumnUse[] | undefined,
  doubt: boolean,
): boolean {
  const { object, columns } = effect;
  if (object?.kind !== 'relation' || effect.effect === 'opaque') {
    return doubt
      ? patterns.some(({ table }) => isTable(table, effect, true))
      : ON_RELATIONS.has(effect.effect) && patterns.some(({ table, column }) => table.matchesAll && column.matchesAll);
  }
  const about = patterns.filter(({ table }) => isTable(table, effect, doubt));
  if (about.length === 0) return false;
  const oneMatches = (column: string) =>
    about.some((pattern) => pattern.column.matchesAll || (column === SOME ? doubt : pattern.column.matches(column)));
  if (doubt) {
    if (columns === undefined || uses === undefined) return true;
    return columns.some(oneMatches) || uses.some((use) => mayBeOf(use, effect) && oneMatches(use.column));
  }
  if (about.some(({ column }) => column.matchesAll)) return true;
  if (columns === undefined || uses === undefined) return false;
  return columns.every(oneMatches) && uses.every((use) => !mayBeOf(use, effect) || oneMatches(use.column));
}

/** Whether a used column may be one of the relation an effect is on, or of one whose rows it touches under this name. */
function mayBeOf(use: ColumnUse, effect: Effect): boolean {
  return isSame(use, effect.object!) || (effect.also?.some((other) => isSame(use, other)) ?? false);
}

function isSame(use: ColumnUse, relation: ObjectName): boolean {
  return (
    use.relation === relation.name &&
    (use.schema === null || relation.schema === null || use.schema === relation.schema)
  );
}

/** Whether a column that is not part of an effect, such as one of the result, may be the one of a pattern. */
export function mayBeColumn(
  { table, column }: ColumnPattern,
  schema: string | null,
  relation: string,
  name: string,
): boolean {
  return matchesName(table, relation, schema, true) && (name === SOME || column.matches(name));
}

/** Whether a pattern is about columns of this name. */
export function isNamed({ column }: ColumnPattern, name: string): boolean {
  return name === SOME || column.matches(name);
}

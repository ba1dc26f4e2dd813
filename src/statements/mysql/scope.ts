import type { CatalogueColumn, CatalogueLookup, CatalogueRelation } from '../catalogue.ts';
import type { ObjectName } from '../facts.ts';
import type { Expression } from './tree.ts';

/** Most columns of a table that are told apart. */
const MOST_COLUMNS = 1_000;

/** A table of a FROM clause, and what of it is used. */
export interface Source {
  /** The name it goes by. */
  readonly alias: string;
  readonly schema: string | null;
  /** `null` for what is computed: derived tables, CTEs, JSON_TABLE. */
  readonly object: ObjectName | null;
  /** From the catalogue, where it is known. */
  readonly relation: CatalogueRelation | null;
  /** In lower case, as columns are compared. */
  readonly columns: Set<string>;
  /** True once it is not known which columns are used, or all are. */
  usesAll: boolean;
  /** How many rows it is thought to have, as a power of ten. */
  readonly magnitude: number;
}

/** The tables a query sees: its own, then those of the queries around it. */
export interface Frame {
  readonly sources: readonly Source[];
  readonly outer: Frame | null;
}

export type Column = Extract<Expression, { type: 'column' }>;

/** Which tables a column can be of. More than one if only the catalogue could tell; none if it is of none that is known. */
export function sourcesOf(column: Column, frame: Frame | null): readonly Source[] {
  for (let one = frame; one !== null; one = one.outer) {
    const found = column.table === null ? withColumn(column.name, one) : byName(column, one);
    if (found.length > 0) return found;
  }
  return [];
}

function withColumn(name: string, { sources }: Frame): readonly Source[] {
  if (name === '*') return sources;
  const folded = name.toLowerCase();
  return sources.filter(({ relation }) => relation === null || columnsOf(relation).has(folded));
}

const FOLDED_COLUMNS = new WeakMap<CatalogueRelation, ReadonlyMap<string, CatalogueColumn>>();

/** The columns of a relation by their names in lower case. */
export function columnsOf(relation: CatalogueRelation): ReadonlyMap<string, CatalogueColumn> {
  const known = FOLDED_COLUMNS.get(relation);
  if (known !== undefined) return known;
  const columns = new Map(relation.columns.map((column) => [column.name.toLowerCase(), column]));
  FOLDED_COLUMNS.set(relation, columns);
  return columns;
}

function byName({ schema, table }: Column, { sources }: Frame): readonly Source[] {
  const inSchema = sources.filter((source) => schema === null || source.schema === null || source.schema === schema);
  const exact = inSchema.filter((source) => source.alias === table);
  if (exact.length > 0) return exact;
  // Where names do not fold, this is an error on the server.
  const folded = table!.toLowerCase();
  return inSchema.filter((source) => source.alias.toLowerCase() === folded);
}

/** Notes the use of a column at every table it can be of. */
export function noteUse(column: Column, frame: Frame | null): void {
  for (const source of sourcesOf(column, frame)) {
    if (source.usesAll) continue;
    if (column.name !== '*') source.columns.add(column.name.toLowerCase());
    source.usesAll = column.name === '*' || source.columns.size > MOST_COLUMNS;
  }
  // Not of a table of the innermost query for sure: it may be of one further out.
  const isCertain = column.table !== null || frame?.sources.some(({ relation }) => relation !== null);
  if (!isCertain && frame?.outer) noteUse(column, frame.outer);
}

/** The relation a name means, as far as the catalogue knows. */
export function relationOf(
  schema: string | null,
  name: string,
  catalogue: CatalogueLookup | null,
  database: string | null,
): CatalogueRelation | null {
  const where = schema ?? database;
  return catalogue === null || where === null ? null : catalogue.relation(where, name);
}

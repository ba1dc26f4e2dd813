import type { CatalogueRelation } from '../catalogue.ts';
import type { ColumnName, Lineage, ObjectName } from '../facts.ts';
import { computedFrom, NONE, plain } from './lineage.ts';

/** What names mean inside one query: the relations of FROM with their columns, and the queries around it. */

export interface Column {
  readonly name: string;
  readonly lineage: Lineage;
  /** True if its values stand in the statement: a column of VALUES over literals and binds. */
  readonly constant: boolean;
  /** As the catalogue prints it; `null` if not known. */
  readonly type: string | null;
  /** True if it is stored NOT NULL. */
  readonly notNull: boolean;
  /** True if equality with a constant says something about the row: not for generated and system columns. */
  readonly bounds: boolean;
  /** For columns of a join: the columns of its sides whose value it is. */
  readonly origins: readonly BoundColumn[];
}

/** A column of one particular relation of a FROM clause. */
export interface BoundColumn {
  readonly source: Source;
  readonly column: Column;
}

/** The columns of a relation or a query's result. Shared by all that use the same one. */
export class Shape {
  readonly columns: readonly Column[];
  /** `null` if the columns listed are all there are; otherwise what the others are computed from. */
  readonly rest: Lineage | null;
  #byName: Map<string, Column> | null = null;
  #wholeRow: Lineage | null = null;

  constructor(columns: readonly Column[], rest: Lineage | null) {
    this.columns = columns;
    this.rest = rest;
  }

  column(name: string): Column | undefined {
    if (this.columns.length < 8) return this.columns.find((column) => column.name === name);
    if (this.#byName === null) {
      this.#byName = new Map();
      for (const column of this.columns) if (!this.#byName.has(column.name)) this.#byName.set(column.name, column);
    }
    return this.#byName.get(name);
  }

  /** The column of a name that is not listed, if there can be one. */
  unlisted(name: string): Column | undefined {
    return this.rest === null ? undefined : column(name, this.rest);
  }

  get wholeRow(): Lineage {
    this.#wholeRow ??= computedFrom([
      ...this.columns.map((one) => one.lineage),
      ...(this.rest === null ? [] : [this.rest]),
    ]);
    return this.#wholeRow;
  }
}

/** A relation of which nothing but the name is known: every name is a column of it. */
export class UnknownTable extends Shape {
  readonly #object: ObjectName;
  readonly #known = new Map<string, Column>();

  constructor(object: ObjectName) {
    super([], { from: 'derived', columns: [{ schema: object.schema, relation: object.name, column: '*' }] });
    this.#object = object;
  }

  override unlisted(name: string): Column {
    let known = this.#known.get(name);
    if (known === undefined) {
      const stored: ColumnName = { schema: this.#object.schema, relation: this.#object.name, column: name };
      known = { ...column(name, plain(stored)), bounds: true };
      this.#known.set(name, known);
    }
    return known;
  }
}

export function column(name: string, lineage: Lineage, constant = false): Column {
  return { name, lineage, constant, type: null, notNull: false, bounds: false, origins: [] };
}

/** One relation, sub-select, function or join of a FROM clause. */
export class Source {
  /** What it goes by; `null` if it cannot be named. */
  readonly alias: string | null;
  /** The schema it can be named with as well: that of a relation without an alias. */
  readonly schema: string | null;
  readonly shape: Shape;
  /** For stored relations and views; `null` for others. */
  readonly object: ObjectName | null;
  readonly relation: CatalogueRelation | null;
  /** True if rows of its children are left out. */
  readonly only: boolean;
  /** Unique keys, by the names its columns have here. */
  readonly keys: readonly (readonly string[])[];
  /** Decimal logarithm of the number of rows it is taken to have. */
  readonly magnitude: number;
  /** Columns that were named; `null` once all of them were, or it cannot be told. */
  read: Set<string> | null = new Set();

  constructor(
    alias: string | null,
    shape: Shape,
    about: {
      readonly schema?: string | null;
      readonly object?: ObjectName;
      readonly relation?: CatalogueRelation | null;
      readonly only?: boolean;
      readonly keys?: readonly (readonly string[])[];
      readonly magnitude?: number;
    } = {},
  ) {
    this.alias = alias;
    this.schema = about.schema ?? null;
    this.shape = shape;
    this.object = about.object ?? null;
    this.relation = about.relation ?? null;
    this.only = about.only ?? false;
    this.keys = about.keys ?? [];
    this.magnitude = about.magnitude ?? 2.5;
  }

  readsAll(): void {
    this.read = null;
  }
}

export interface Scope {
  /** Whose columns can be named without saying whose they are, in the order `*` lists them. */
  columns: Source[];
  /** Whose name can stand before a column's. */
  named: Source[];
  readonly outer: Scope | null;
}

export function scopeIn(outer: Scope | null): Scope {
  return { columns: [], named: [], outer };
}

/** What a column reference means. */
export interface Reference {
  readonly lineage: Lineage;
  /** The relations it may be a column of. */
  readonly sources: readonly Source[];
  /** The one column it is; `null` if it is a whole row, or it cannot be told. */
  readonly column: BoundColumn | null;
  /** True if nothing of this name was found where it should be: it may be the call of a function of one row. */
  readonly missing: boolean;
}

/** Columns every stored relation has. Equality with them finds rows, but not by anything a rule could mean. */
const SYSTEM_COLUMNS = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax']);

const NO_REFERENCE: Reference = { lineage: NONE, sources: [], column: null, missing: true };

function exact(source: Source, found: Column): Reference {
  source.read?.add(found.name);
  for (const origin of found.origins) origin.source.read?.add(origin.column.name);
  return { lineage: found.lineage, sources: [source], column: { source, column: found }, missing: false };
}

function systemColumn(source: Source, name: string): Reference | null {
  if (source.object === null || !SYSTEM_COLUMNS.has(name)) return null;
  return { lineage: NONE, sources: [source], column: null, missing: false };
}

export function wholeRow(source: Source): Reference {
  source.readsAll();
  return { lineage: source.shape.wholeRow, sources: [source], column: null, missing: false };
}

/** `name` alone: a column of this query or one around it, or else the whole row of a relation. */
export function resolveColumn(scope: Scope | null, name: string): Reference {
  const possible: Reference[] = [];
  let listed: Reference | null = null;
  let levels = 0;
  for (let at = scope; at !== null && listed === null; at = at.outer) {
    levels += 1;
    const all: Reference[] = [];
    for (const source of at.columns) {
      const found = source.shape.column(name);
      if (found !== undefined) all.push(exact(source, found));
    }
    // Twice in one query is an error of the server's, unless this is not the server's catalogue any more.
    if (all.length > 0) listed = all.length === 1 ? all[0]! : either(all);
    if (listed !== null) break;
    for (const source of at.columns) {
      const system = systemColumn(source, name);
      if (system !== null) return system;
      const found = source.shape.unlisted(name);
      if (found !== undefined) possible.push(exact(source, found));
    }
    const row = at.named.find((source) => source.alias === name);
    if (row !== undefined) {
      // A column would come first; without one, it is the row.
      if (possible.length === 0) return wholeRow(row);
      possible.push(wholeRow(row));
    }
  }
  if (listed !== null) return possible.length === 0 ? listed : either([...possible, listed]);
  if (possible.length === 1) return possible[0]!;
  if (possible.length > 1) return either(possible);
  return levels === 0 ? NO_REFERENCE : { ...anything(scope), missing: true };
}

/** A source by the name it goes by, in this query or the nearest around it. */
export function findSource(scope: Scope | null, schema: string | null, alias: string): Source | null {
  for (let at = scope; at !== null; at = at.outer) {
    for (const source of at.named) {
      if (source.alias === alias && (schema === null || source.schema === schema)) return source;
    }
  }
  return null;
}

/** `source.name`. */
export function resolveIn(source: Source, name: string): Reference {
  const found = source.shape.column(name);
  if (found !== undefined) return exact(source, found);
  const system = systemColumn(source, name);
  if (system !== null) return system;
  const unlisted = source.shape.unlisted(name);
  if (unlisted !== undefined) return exact(source, unlisted);
  // Not a column: the call of a function with the whole row, or nothing at all.
  return { ...wholeRow(source), missing: true };
}

/** What a name that means nothing here can be made of: everything in sight. */
export function anything(scope: Scope | null): Reference {
  const sources: Source[] = [];
  for (let at = scope; at !== null; at = at.outer) sources.push(...at.columns);
  for (const source of sources) source.readsAll();
  const { columns } = computedFrom(sources.map((source) => source.shape.wholeRow));
  return { lineage: { from: 'unknown', columns }, sources, column: null, missing: false };
}

function either(references: readonly Reference[]): Reference {
  return {
    lineage: computedFrom(references.map((one) => one.lineage)),
    sources: references.flatMap((one) => one.sources),
    column: null,
    missing: false,
  };
}

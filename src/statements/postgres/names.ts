import type {
  CatalogueExpression,
  CatalogueFunction,
  CatalogueLookup,
  CatalogueName,
  CatalogueRelation,
} from '../catalogue.ts';
import type { ColumnName, Effect, ObjectName } from '../facts.ts';
import type { CodeReading } from './code.ts';
import type { KnownNames } from './functions.ts';
import { plain } from './lineage.ts';
import type { PostgresParser, TreeNode } from './parser.ts';
import { type Column, Shape, UnknownTable } from './scope.ts';
import { text } from './tree.ts';

/** What a view is, read from its definition. */
export interface ViewReading {
  /** Its columns, by place; `null` if they cannot be told. */
  readonly columns: readonly Column[] | null;
  /** Unique keys by the names of its columns. */
  readonly keys: readonly (readonly string[])[];
  /** The relation whose rows a write to the view writes; `null` where it has no single one. */
  readonly writes: ViewTarget | null;
  /** What reading the view does besides. */
  readonly effects: readonly Effect[];
}

export interface ViewTarget {
  readonly relation: CatalogueRelation;
  /** Columns of the relation by those of the view. */
  readonly columns: ReadonlyMap<string, string>;
}

/** What was read from one catalogue so far: views, bodies of functions. Kept as long as the catalogue. */
export class Readings {
  readonly catalogue: CatalogueLookup;
  readonly shapes = new Map<CatalogueRelation, Shape>();
  /** `null` while it is being read. */
  readonly views = new Map<CatalogueRelation, ViewReading | null>();
  readonly code = new Map<string, CodeReading | null>();
  /** Expressions of relations that only compute. */
  readonly plain = new WeakSet<CatalogueExpression>();
  /** How many pieces of code are being read within each other, and if one was met again within itself. */
  codeDepth = 0;
  codeWasCut = false;

  constructor(catalogue: CatalogueLookup) {
    this.catalogue = catalogue;
  }
}

export interface ResolvedRelation {
  /** The name as the server resolves it; schema `null` where that cannot be told. */
  readonly object: ObjectName;
  readonly relation: CatalogueRelation | null;
}

/** What names mean in the statements of one session, and what is known about what they name. */
export class Names {
  /** `null` without a catalogue. */
  readonly readings: Readings | null;
  readonly searchPath: readonly string[];
  /** `null` without allow-lists: then every function is named, and none is judged. */
  readonly known: KnownNames | null;
  readonly parser: PostgresParser;

  constructor(
    readings: Readings | null,
    searchPath: readonly string[],
    known: KnownNames | null,
    parser: PostgresParser,
  ) {
    this.readings = readings;
    this.searchPath = searchPath;
    this.known = known;
    this.parser = parser;
  }

  get catalogue(): CatalogueLookup | null {
    return this.readings?.catalogue ?? null;
  }

  /** The same knowledge, for text in which every name of a user has its schema: definitions as the server prints them. */
  withoutPath(): Names {
    return this.under([]);
  }

  /** The same knowledge under another search path. */
  under(searchPath: readonly string[]): Names {
    return new Names(this.readings, searchPath, this.known, this.parser);
  }

  /** What a RangeVar names. */
  relation(range: TreeNode): ResolvedRelation {
    const name = text(range.relname);
    const schema = typeof range.schemaname === 'string' ? range.schemaname : null;
    if (this.catalogue === null) return unresolved(schema, name);
    if (schema !== null) {
      const relation = this.catalogue.relation(schema, name);
      return relation === null ? unresolved(schema, name) : resolved(relation);
    }
    const relation = this.catalogue.resolve(name, this.searchPath);
    // Only the server knows which names are pg_catalog's, which it searches first: then both are possible.
    if (name.startsWith('pg_')) return unresolved(relation === null ? 'pg_catalog' : null, name);
    return relation === null ? unresolved(null, name) : resolved(relation);
  }

  /** Overloads that a call by this name could mean: one schema's, or those on the search path. */
  userFunctions(schema: string | null, name: string): readonly CatalogueFunction[] {
    if (this.catalogue === null) return [];
    const named = this.catalogue.functionsNamed(schema, name);
    return schema === null ? named.filter((one) => this.searchPath.includes(one.schema)) : named;
  }

  /** The columns of a relation that is not a view, with the names each of them has. */
  tableShape({ object, relation }: ResolvedRelation): Shape {
    if (relation === null || this.readings === null) return new UnknownTable(object);
    const { shapes, catalogue } = this.readings;
    let shape = shapes.get(relation);
    if (shape === undefined) {
      const parents = relation.parents.flatMap(({ schema, name }) => catalogue.relation(schema, name) ?? []);
      const names = (column: string): ColumnName[] => [
        { schema: relation.schema, relation: relation.name, column },
        ...parents
          .filter((parent) => parent.columns.some((one) => one.name === column))
          .map((parent) => ({ schema: parent.schema, relation: parent.name, column })),
      ];
      shape = new Shape(
        relation.columns.map(
          (one): Column => ({
            name: one.name,
            lineage: plain(...names(one.name)),
            constant: false,
            type: one.type,
            notNull: one.notNull,
            bounds: one.generated === null,
            origins: [],
          }),
        ),
        null,
      );
      shapes.set(relation, shape);
    }
    return shape;
  }

  /** Relations a statement on this one is on as well, unless it says ONLY. */
  also(relation: CatalogueRelation, only: boolean): readonly ObjectName[] {
    const below = only ? [] : (this.catalogue?.descendants(relation) ?? []);
    return [...relation.parents, ...below].map(objectOf);
  }
}

export function objectOf({ schema, name }: CatalogueName): ObjectName {
  return { kind: 'relation', schema, name, catalogued: true };
}

function unresolved(schema: string | null, name: string): ResolvedRelation {
  return { object: { kind: 'relation', schema, name }, relation: null };
}

function resolved(relation: CatalogueRelation): ResolvedRelation {
  return { object: objectOf(relation), relation };
}

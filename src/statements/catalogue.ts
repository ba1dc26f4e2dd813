import type { ColumnName } from './facts.ts';

/**
 * The catalogue as statements need it: what the upstream's schema looks like. Plain data, read from a server or from a
 * snapshot file by `src/catalog/`; the same shape for both dialects (a MySQL database is a schema here).
 */
export interface CatalogueData {
  /** Shape version of this data. */
  readonly version: 1;
  readonly dialect: 'postgres' | 'mysql' | 'mariadb';
  /** As the server says it: `15.18`, `10.11.6-MariaDB`. */
  readonly serverVersion: string;
  readonly database: string;
  /**
   * True if names of schemas and relations that differ only in case are the same name, as in MySQL under
   * `lower_case_table_names` 1 or 2. Names of MySQL's columns and routines always fold, whatever this says.
   */
  readonly foldsNames: boolean;
  /**
   * What the server did not tell the account that read this, one sentence each: MySQL hides triggers without a word from
   * those who lack the privilege, and columns of what it cannot open. What is not there may then only be hidden.
   */
  readonly unseen: readonly string[];
  readonly relations: readonly CatalogueRelation[];
  /** User-defined ones; built-in ones are in the data files under `rules/`. */
  readonly functions: readonly CatalogueFunction[];
  readonly operators: readonly CatalogueOperator[];
  readonly casts: readonly CatalogueCast[];
  readonly types: readonly CatalogueType[];
  /**
   * PostgreSQL: which relations and columns the identifiers in a RowDescription mean. Of this one database as it is now: a
   * snapshot has none.
   */
  readonly origins?: readonly CatalogueOrigin[];
}

/** The identifier of a relation, and its columns by number, from 1; `null` where one was dropped. */
export interface CatalogueOrigin extends CatalogueName {
  readonly oid: number;
  readonly columns: readonly (string | null)[];
}

export interface CatalogueRelation {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned' | 'view' | 'materialized view' | 'foreign table' | 'sequence' | 'type';
  readonly columns: readonly CatalogueColumn[];
  /**
   * Unique keys whose columns are all NOT NULL, so that equality on all of them finds at most one row. A table whose rows
   * are also looked for in inheritance children has none: uniqueness ends at each table.
   */
  readonly keys: readonly (readonly string[])[];
  readonly foreignKeys: readonly CatalogueForeignKey[];
  /** All relations it inherits from or is a partition of, directly or not, nearest first. */
  readonly parents: readonly CatalogueName[];
  /**
   * The SELECT of a view or materialized view, as the server prints it; `null` for others, and for a MySQL view whose
   * definition the account may not see.
   */
  readonly definition: string | null;
  readonly triggers: readonly CatalogueTrigger[];
  /** Rewrite rules other than a view's own SELECT. */
  readonly rules: readonly { readonly name: string; readonly event: string; readonly definition: string }[];
  /** True if row level security applies to it. */
  readonly rowSecurity: boolean;
  /** MySQL: the storage engine of a table, as the server says it; absent for others. */
  readonly engine?: string;
  /** PostgreSQL: code that stands in its definition, besides that of generated columns; absent if there is none. */
  readonly expressions?: readonly CatalogueExpression[];
}

/** An expression that the server computes when rows are written; that of a policy when they are read as well. */
export interface CatalogueExpression {
  /** `index`: of an index, its condition, or of a partition key. */
  readonly kind: 'default' | 'check' | 'index' | 'policy';
  /** The column of a default; `null` for others. */
  readonly column: string | null;
  /** As the server prints it; several with commas between them for an index. */
  readonly expression: string;
}

export interface CatalogueName {
  readonly schema: string;
  readonly name: string;
}

export interface CatalogueColumn {
  readonly name: string;
  /** As the server prints the type: `integer`, `character varying(20)`, `public.email_address`. */
  readonly type: string;
  readonly notNull: boolean;
  /** The expression of a generated column; `null` for others. */
  readonly generated: string | null;
}

export interface CatalogueForeignKey {
  readonly columns: readonly string[];
  readonly references: CatalogueName;
  readonly referencedColumns: readonly string[];
  readonly onDelete: string;
  readonly onUpdate: string;
}

export interface CatalogueTrigger {
  readonly name: string;
  readonly timing: 'before' | 'after' | 'instead of';
  readonly events: readonly ('insert' | 'update' | 'delete' | 'truncate')[];
  /** The function it runs; `null` for MySQL, whose triggers hold their body. */
  readonly function: CatalogueName | null;
  /** MySQL: the statement it runs. PostgreSQL: its CREATE TRIGGER as the server prints it, whose WHEN runs code as well. */
  readonly body: string;
}

export interface CatalogueFunction {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window';
  /** Types of the input arguments. */
  readonly arguments: readonly string[];
  /** PostgreSQL: the arguments as CREATE FUNCTION has them, with names, modes and defaults: `cid bigint, OUT n text`. */
  readonly signature?: string;
  /** PostgreSQL: what SET of CREATE FUNCTION sets while it runs, `search_path=public`; absent if nothing. */
  readonly settings?: readonly string[];
  readonly returns: string;
  /**
   * PostgreSQL calls every aggregate immutable; here it is the most volatile of the functions it runs. MySQL's is what the
   * declaration says (DETERMINISTIC, NO SQL, READS SQL DATA), which the server does not enforce.
   */
  readonly volatility: 'immutable' | 'stable' | 'volatile';
  readonly language: string;
  /** Of an aggregate: true if any function it runs is one. */
  readonly securityDefiner: boolean;
  /** The functions an aggregate runs, built-in ones too; empty for others. */
  readonly calls: readonly CatalogueName[];
  /** Source text where the language has one and the account may see it. */
  readonly body: string | null;
  /** The extension it belongs to, or `null`. */
  readonly extension: string | null;
}

export interface CatalogueOperator {
  readonly schema: string;
  readonly name: string;
  /** Types of the operands: `=` on two integers stays built-in when an extension adds one on its own type. */
  readonly left: string | null;
  readonly right: string | null;
  readonly function: CatalogueName;
}

export interface CatalogueCast {
  readonly source: string;
  readonly target: string;
  /** `null` for casts that run none of their own: they are binary, or go through the text form of both types. */
  readonly function: CatalogueName | null;
  /** Casts that are not `explicit` happen without being written. */
  readonly context: 'explicit' | 'assignment' | 'implicit';
}

/** User-defined types. Input of values runs code of the user for domains with constraints and for base types. */
export interface CatalogueType {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'domain' | 'base' | 'enum' | 'range' | 'composite';
  /** CHECK expressions of a domain, and of the domains it is over. */
  readonly checks: readonly string[];
  /** User-defined functions that run when a value is read, printed or brought to its normal form. */
  readonly functions: readonly CatalogueName[];
}

/**
 * What the analysis asks of a catalogue. Names are as the server stores them; where {@link CatalogueData.foldsNames} holds,
 * schemas and relations are found whatever their case.
 */
export interface CatalogueLookup {
  /** Different for every content: facts are kept by it. */
  readonly version: string;
  readonly data: CatalogueData;
  relation(schema: string, name: string): CatalogueRelation | null;
  /** The first relation of this name on a path of schemas. */
  resolve(name: string, searchPath: readonly string[]): CatalogueRelation | null;
  /** All that inherit from it or are its partitions, directly or not. */
  descendants(relation: CatalogueName): readonly CatalogueRelation[];
  /** User-defined functions of this name, in one schema or in any (`null`). */
  functionsNamed(schema: string | null, name: string): readonly CatalogueFunction[];
  /** User-defined operators of this name in any schema. */
  operatorsNamed(name: string): readonly CatalogueOperator[];
  /** User-defined types of this name, in one schema or in any (`null`). */
  typesNamed(schema: string | null, name: string): readonly CatalogueType[];
  /**
   * The column a RowDescription means by a table's identifier and a column's number, also under the names it has in what the
   * table inherits from or is a partition of; `null` if there is none. Not there where the server is not.
   */
  columnOf?(oid: number, number: number): readonly ColumnName[] | null;
}

/** A foreign key, from the side it references. */
export interface CatalogueReference {
  readonly from: CatalogueRelation;
  readonly foreignKey: CatalogueForeignKey;
}

/** What unqualified names mean: the catalogue (`null` while there is none) and the schemas searched, first to last. */
export interface NameContext {
  readonly catalogue: CatalogueLookup | null;
  /** As `current_schemas(false)` lists them: existing schemas only, `$user` replaced, `pg_catalog` only where it is written. */
  readonly searchPath: readonly string[];
}

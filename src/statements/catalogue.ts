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
  readonly relations: readonly CatalogueRelation[];
  /** User-defined ones; built-in ones are in the data files under `rules/`. */
  readonly functions: readonly CatalogueFunction[];
  readonly operators: readonly CatalogueOperator[];
  readonly casts: readonly CatalogueCast[];
  readonly types: readonly CatalogueType[];
}

export interface CatalogueRelation {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned' | 'view' | 'materialized view' | 'foreign table' | 'sequence' | 'type';
  readonly columns: readonly CatalogueColumn[];
  /** Unique keys whose columns are all NOT NULL, so that equality on all of them finds at most one row. */
  readonly keys: readonly (readonly string[])[];
  /** Expressions of indexes and defaults of columns are not here; those of generated columns are. */
  readonly foreignKeys: readonly CatalogueForeignKey[];
  /** Inheritance and partition parents, nearest first. */
  readonly parents: readonly CatalogueName[];
  /** The SELECT of a view or materialized view, as the server prints it; `null` for others. */
  readonly definition: string | null;
  readonly triggers: readonly CatalogueTrigger[];
  /** Rewrite rules other than a view's own SELECT. */
  readonly rules: readonly { readonly name: string; readonly event: string; readonly definition: string }[];
  /** True if row level security applies to it. */
  readonly rowSecurity: boolean;
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
  readonly body: string | null;
}

export interface CatalogueFunction {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'function' | 'procedure' | 'aggregate' | 'window';
  /** Types of the input arguments. */
  readonly arguments: readonly string[];
  readonly returns: string;
  readonly volatility: 'immutable' | 'stable' | 'volatile';
  readonly language: string;
  readonly securityDefiner: boolean;
  /** Source text where the language has one. */
  readonly body: string | null;
  /** The extension it belongs to, or `null`. */
  readonly extension: string | null;
}

export interface CatalogueOperator {
  readonly schema: string;
  readonly name: string;
  readonly function: CatalogueName;
}

export interface CatalogueCast {
  readonly source: string;
  readonly target: string;
  /** `null` for casts that run no function. */
  readonly function: CatalogueName | null;
}

/** Types whose input runs code of the user: domains with constraints, and user-defined base types. */
export interface CatalogueType {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'domain' | 'base' | 'enum' | 'range' | 'composite';
  /** CHECK expressions of a domain. */
  readonly checks: readonly string[];
}

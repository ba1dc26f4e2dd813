import type { Connection } from 'mysql2/promise';
import type {
  CatalogueColumn,
  CatalogueData,
  CatalogueForeignKey,
  CatalogueFunction,
  CatalogueRelation,
  CatalogueTrigger,
} from '../statements/catalogue.ts';
import { inOrder } from './order.ts';

/** Time one query of the reading may take, and may wait for a lock, seconds. */
const STATEMENT_TIMEOUT_S = 60;
const LOCK_TIMEOUT_S = 5;

const SYSTEM_DATABASES = ['information_schema', 'mysql', 'performance_schema', 'sys'];

/**
 * Reads the catalogue of a MySQL 8 or 9 or MariaDB (10.11 and later) server from information_schema. Changes settings of
 * the connection's session, which is for nothing else. Views and routines whose text the account may not see have `null`
 * for it; what else is missing is in {@link CatalogueData.unseen}. Loadable functions, events and routines
 * inside MariaDB's packages are not in it.
 *
 * @param databases the databases to read; all but the server's own if left out
 * @throws the server's error
 */
export async function readMysqlCatalogue(
  connection: Connection,
  databases?: readonly string[],
): Promise<CatalogueData> {
  const [server] = await rows<[string, string, string | null]>(
    connection,
    'SELECT VERSION(), @@lower_case_table_names, DATABASE()',
  );
  const [serverVersion, lowerCaseTableNames, database] = server!;
  const dialect = /mariadb/i.test(serverVersion) ? 'mariadb' : 'mysql';
  const timeout =
    dialect === 'mariadb'
      ? `max_statement_time = ${STATEMENT_TIMEOUT_S}`
      : `max_execution_time = ${STATEMENT_TIMEOUT_S * 1000}`;
  // The SQL mode changes how texts are read, here and in what the server prints.
  await connection.query(`SET SESSION ${timeout}, lock_wait_timeout = ${LOCK_TIMEOUT_S}, sql_mode = ''`);
  await connection.query('START TRANSACTION READ ONLY');
  try {
    const schemas = await rows<[string]>(connection, 'SELECT schema_name FROM information_schema.schemata');
    const wanted = schemas
      .map(([name]) => name)
      .filter((name) => databases?.includes(name) ?? !SYSTEM_DATABASES.includes(name.toLowerCase()));
    const relations = await readRelations(connection, wanted);
    // The server leaves out, with nothing but a warning, the columns of what it cannot open: a view on what is no longer
    // there, a damaged table, one that someone alters just now.
    const unopened = relations
      .filter(({ columns }) => columns.length === 0)
      .map(({ schema, name }) => `Columns of ${schema}.${name}: the server did not tell any.`);
    return inOrder({
      version: 1,
      dialect,
      serverVersion,
      database: database ?? '',
      foldsNames: lowerCaseTableNames !== '0',
      unseen: [...(await hiddenTriggers(connection, wanted)), ...unopened].sort(),
      relations,
      functions: await readFunctions(connection, wanted),
      operators: [],
      casts: [],
      types: [],
    });
  } finally {
    // Of a broken connection there is nothing to roll back, and the first error says why it broke.
    await connection.query('ROLLBACK').catch(() => undefined);
  }
}

/** Every value as text: which types information_schema's columns have differs between servers. */
async function rows<Row extends (string | null)[]>(
  connection: Connection,
  sql: string,
  databases: readonly string[] = [],
): Promise<Row[]> {
  const [result] = await connection.query({
    sql,
    // No database has the empty name, and IN () is no SQL.
    values: [databases.length === 0 ? [''] : databases],
    rowsAsArray: true,
    typeCast: (field) => field.string(),
  });
  return result as unknown as Row[];
}

/**
 * Triggers show only to accounts with the privilege TRIGGER. Counted is what the account has, by itself or by a role that
 * SHOW GRANTS tells about, on everything or on a whole database.
 */
async function hiddenTriggers(connection: Connection, databases: readonly string[]): Promise<string[]> {
  const seen: RegExp[] = [];
  for (const [grant] of await rows<[string]>(connection, 'SHOW GRANTS')) {
    const [, privileges, database] = /^GRANT (.+?) ON (\*|`(?:[^`]|``)+`)\.\* TO /s.exec(grant) ?? [];
    if (privileges === undefined || !/^ALL PRIVILEGES$|(?:^|, )TRIGGER(?:,|$)/.test(privileges)) continue;
    if (database === '*') return [];
    seen.push(likePattern(database!.slice(1, -1).replaceAll('``', '`')));
  }
  return databases
    .filter((name) => !seen.some((pattern) => pattern.test(name)))
    .map((name) => `Triggers of the database ${name}: the account has no TRIGGER privilege on all of it.`);
}

/** Databases are granted on by pattern: `%` is anything, `_` one character, `\` takes the next as it is. */
function likePattern(pattern: string): RegExp {
  const source = pattern.replace(/\\(.)|[\s\S]/gu, (character, escaped?: string) => {
    if (escaped === undefined && character === '%') return '.*';
    if (escaped === undefined && character === '_') return '.';
    return (escaped ?? character).replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 'su');
}

// --- Relations -----------------------------------------------------------------------------------------------------

const TABLES = `
  SELECT table_schema, table_name, table_type, create_options, engine
  FROM information_schema.tables WHERE table_schema IN (?)`;

const COLUMNS = `
  SELECT table_schema, table_name, column_name, column_type, is_nullable, generation_expression
  FROM information_schema.columns WHERE table_schema IN (?)
  ORDER BY table_schema, table_name, ordinal_position`;

/**
 * One row for each column of each unique index. The column is NULL for an expression. Over a prefix of a column, texts
 * that the collation calls equal can differ: "abcdß" and "abcdss" in their first five characters.
 */
const KEYS = `
  SELECT s.table_schema, s.table_name, s.index_name, s.column_name,
         CASE WHEN s.sub_part IS NULL AND c.is_nullable = 'NO' THEN 'yes' END
  FROM information_schema.statistics s
  LEFT JOIN information_schema.columns c ON c.table_schema = s.table_schema AND c.table_name = s.table_name
    AND c.column_name = s.column_name
  WHERE s.non_unique = 0 AND s.table_schema IN (?)
  ORDER BY s.table_schema, s.table_name, s.index_name, s.seq_in_index`;

const FOREIGN_KEYS = `
  SELECT k.table_schema, k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema,
         k.referenced_table_name, k.referenced_column_name, r.delete_rule, r.update_rule
  FROM information_schema.key_column_usage k
  JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema
    AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
  WHERE k.table_schema IN (?) AND k.referenced_table_name IS NOT NULL
  ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position`;

const VIEWS = `
  SELECT table_schema, table_name, view_definition FROM information_schema.views WHERE table_schema IN (?)`;

const TRIGGERS = `
  SELECT event_object_schema, event_object_table, trigger_name, action_timing, event_manipulation, action_statement
  FROM information_schema.triggers WHERE event_object_schema IN (?)
  ORDER BY event_object_schema, event_object_table, action_timing, event_manipulation, action_order`;

async function readRelations(connection: Connection, databases: readonly string[]): Promise<CatalogueRelation[]> {
  const tables = await rows<[string, string, string, string | null, string | null]>(connection, TABLES, databases);
  const columns = grouped(
    await rows<[string, string, string, string, string, string | null]>(connection, COLUMNS, databases),
    ([, , name, type, nullable, generated]): CatalogueColumn => ({
      name,
      type,
      notNull: nullable === 'NO',
      generated: generated || null,
    }),
  );
  const keyColumns = grouped(
    await rows<[string, string, string, string | null, string | null]>(connection, KEYS, databases),
    ([, , index, column, usable]) => ({ constraint: index, column: usable === null ? null : column }),
  );
  const references = grouped(
    await rows<[string, string, string, string, string, string, string, string, string]>(
      connection,
      FOREIGN_KEYS,
      databases,
    ),
    ([, , constraint, column, schema, name, referenced, onDelete, onUpdate]) => ({
      constraint,
      column,
      references: { schema, name },
      referenced,
      onDelete: onDelete.toLowerCase(),
      onUpdate: onUpdate.toLowerCase(),
    }),
  );
  const views = grouped(
    await rows<[string, string, string | null]>(connection, VIEWS, databases),
    ([, , text]) => text || null,
  );
  const triggers = grouped(
    await rows<[string, string, string, string, string, string]>(connection, TRIGGERS, databases),
    ([, , name, timing, event, body]): CatalogueTrigger => ({
      name,
      timing: timing.toLowerCase() as CatalogueTrigger['timing'],
      events: event.toLowerCase().split(/\s*(?:,|\bor\b)\s*/) as CatalogueTrigger['events'][number][],
      function: null,
      body,
    }),
  );
  return tables.map(([schema, name, type, options, engine]): CatalogueRelation => {
    const key = keyOf(schema, name);
    return {
      schema,
      name,
      kind: kindOf(type, options ?? ''),
      columns: columns.get(key) ?? [],
      keys: byConstraint(keyColumns.get(key) ?? []).flatMap((parts) => {
        const names = parts.flatMap(({ column }) => column ?? []);
        return names.length === parts.length ? [names] : [];
      }),
      foreignKeys: byConstraint(references.get(key) ?? []).map((parts): CatalogueForeignKey => {
        const { references, onDelete, onUpdate } = parts[0]!;
        return {
          columns: parts.map(({ column }) => column),
          references,
          referencedColumns: parts.map(({ referenced }) => referenced),
          onDelete,
          onUpdate,
        };
      }),
      parents: [],
      definition: views.get(key)?.[0] ?? null,
      triggers: triggers.get(key) ?? [],
      rules: [],
      rowSecurity: false,
      ...(engine !== null && { engine }),
    };
  });
}

/** `SYSTEM VERSIONED` and whatever else is not a view or sequence is a table. Partitions have no names of their own. */
function kindOf(type: string, options: string): CatalogueRelation['kind'] {
  if (type.endsWith('VIEW')) return 'view';
  if (type === 'SEQUENCE') return 'sequence';
  return /\bpartitioned\b/i.test(options) ? 'partitioned' : 'table';
}

function keyOf(schema: string, name: string): string {
  return `${schema}\0${name}`;
}

/** What belongs to each relation or routine, by {@link keyOf} of its first two values, in the order of the rows. */
function grouped<Row extends [string, string, ...(string | null)[]], T>(
  all: readonly Row[],
  item: (row: Row) => T,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of all) {
    const key = keyOf(row[0], row[1]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item(row)]);
    else group.push(item(row));
  }
  return groups;
}

function byConstraint<T extends { readonly constraint: string }>(parts: readonly T[]): T[][] {
  return [...Map.groupBy(parts, ({ constraint }) => constraint).values()];
}

// --- Routines ------------------------------------------------------------------------------------------------------

const ROUTINES = `
  SELECT routine_schema, specific_name, routine_name, routine_type, dtd_identifier, external_language,
         is_deterministic, sql_data_access, security_type, routine_definition
  FROM information_schema.routines
  WHERE routine_schema IN (?) AND routine_type IN ('FUNCTION', 'PROCEDURE')`;

/** Position 0 is what a function returns. A function and a procedure may have the same name. */
const PARAMETERS = `
  SELECT specific_schema, CONCAT(routine_type, ' ', specific_name), dtd_identifier
  FROM information_schema.parameters
  WHERE specific_schema IN (?) AND ordinal_position > 0
  ORDER BY specific_schema, routine_type, specific_name, ordinal_position`;

async function readFunctions(connection: Connection, databases: readonly string[]): Promise<CatalogueFunction[]> {
  const parameters = grouped(
    await rows<[string, string, string]>(connection, PARAMETERS, databases),
    ([, , type]) => type,
  );
  type Routine = [
    schema: string,
    specific: string,
    name: string,
    kind: string,
    returns: string | null,
    language: string | null,
    deterministic: string,
    access: string,
    security: string,
    body: string | null,
  ];
  const routines = await rows<Routine>(connection, ROUTINES, databases);
  return routines.map(
    ([schema, specific, name, kind, returns, language, deterministic, access, security, body]): CatalogueFunction => ({
      schema,
      name,
      kind: kind === 'FUNCTION' ? 'function' : 'procedure',
      arguments: parameters.get(keyOf(schema, `${kind} ${specific}`)) ?? [],
      returns: returns ?? 'void',
      volatility: volatilityOf(deterministic === 'YES', access),
      language: (language ?? 'SQL').toLowerCase(),
      securityDefiner: security === 'DEFINER',
      calls: [],
      body,
      extension: null,
    }),
  );
}

/** CONTAINS SQL is what the server writes down for a routine that declares nothing. */
function volatilityOf(deterministic: boolean, access: string): CatalogueFunction['volatility'] {
  if (access === 'READS SQL DATA') return 'stable';
  return access === 'NO SQL' && deterministic ? 'immutable' : 'volatile';
}

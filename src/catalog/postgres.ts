import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Client } from 'pg';
import type {
  CatalogueCast,
  CatalogueColumn,
  CatalogueData,
  CatalogueExpression,
  CatalogueForeignKey,
  CatalogueFunction,
  CatalogueName,
  CatalogueOperator,
  CatalogueOrigin,
  CatalogueRelation,
  CatalogueTrigger,
  CatalogueType,
} from '../statements/catalogue.ts';
import { inOrder } from './order.ts';

/** Time one query of the reading may take, and may wait for a lock, milliseconds. */
const STATEMENT_TIMEOUT_MS = 60_000;
const LOCK_TIMEOUT_MS = 5_000;
const PAGE_ROWS = 5_000;

/**
 * Reads the catalogue of the database that `client` is connected to; PostgreSQL 13 to 18, with any role: pg_catalog is
 * readable to everyone. The client must be outside a transaction, and is so again afterwards.
 *
 * The pg_get_ functions look at the present, not at the transaction's snapshot: an object dropped meanwhile makes the
 * whole reading fail, and it can be tried again.
 *
 * @throws the server's error
 */
export async function readPostgresCatalogue(client: Client): Promise<CatalogueData> {
  // An empty search_path has the server print every user-defined name with its schema, and keeps functions and operators
  // of the user out of these queries. The other settings change how it prints names and texts.
  await client.query(
    `BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
     SET LOCAL search_path = '';
     SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS};
     SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS};
     SET LOCAL cursor_tuple_fraction = 1;
     SET LOCAL quote_all_identifiers = off;
     SET LOCAL standard_conforming_strings = on`,
  );
  try {
    const data = await read(client);
    await client.query('COMMIT');
    return data;
  } catch (error) {
    // Of a broken connection there is nothing to roll back, and the first error says why it broke.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function read(client: Client): Promise<CatalogueData> {
  const [server] = await rows<[string, string, string]>(
    client,
    `SELECT current_setting('server_version'), current_setting('server_version_num'), current_database()`,
  );
  const [serverVersion, versionNumber, database] = server!;
  const functions = await readFunctions(client, Number(versionNumber));
  const operators = await readOperators(client);
  const casts = await rows<[string, string, string | null, string | null, CatalogueCast['context']]>(client, CASTS);
  const types = await readTypes(client);
  const { relations, origins } = await readRelations(client);
  // Sessions get their turn before the next long step as well.
  await nextTurn();
  return inOrder({
    version: 1,
    dialect: 'postgres',
    // Debian and others put the name of their package behind it.
    serverVersion: serverVersion.split(' ')[0]!,
    database,
    foldsNames: false,
    unseen: [],
    relations,
    functions,
    operators,
    casts: casts.map(([source, target, schema, name, context]) => ({
      source,
      target,
      function: schema === null || name === null ? null : { schema, name },
      context,
    })),
    types,
    origins,
  });
}

/** Page by page: taking in a hundred thousand rows in one go would hold up the sessions that share the event loop. */
async function rows<Row extends unknown[]>(client: Client, text: string): Promise<Row[]> {
  await client.query(`DECLARE catalogue NO SCROLL CURSOR FOR ${text}`);
  const all: Row[] = [];
  for (;;) {
    const page = await client.query<Row>({ text: `FETCH ${PAGE_ROWS} FROM catalogue`, rowMode: 'array' });
    for (const row of page.rows) all.push(row);
    if (page.rows.length < PAGE_ROWS) break;
  }
  await client.query('CLOSE catalogue');
  return all;
}

/**
 * True of what is not built in. Object identifiers below 16384 are initdb's, above are everyone else's, whatever schema
 * they chose. Temporary objects belong to one session, and no schema of a user can begin with pg_.
 */
const USERS_OWN = (object: string, namespace: string) => `
  ${namespace}.nspname !~ '^pg_(temp|toast)' AND
  (${object}.oid >= 16384 OR ${namespace}.nspname NOT IN ('pg_catalog', 'information_schema'))`;

// --- Relations -----------------------------------------------------------------------------------------------------

/** The relations, for the other queries to join with. */
const RELATIONS = `
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relrowsecurity
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relpersistence <> 't'`;

const KINDS: Readonly<Record<string, CatalogueRelation['kind']>> = {
  r: 'table',
  p: 'partitioned',
  v: 'view',
  m: 'materialized view',
  f: 'foreign table',
  S: 'sequence',
  c: 'type',
};

const COLUMNS = `
  WITH relation AS (${RELATIONS})
  SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
         CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END
  FROM relation r
  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
  ORDER BY a.attrelid, a.attnum`;

/**
 * Deferrable keys can be broken within a transaction, partial ones say nothing of other rows, those over expressions
 * nothing of columns. Under another operator class or collation than the type's and the column's own, "equal" to the
 * index is not "equal" to a statement.
 */
const KEYS = `
  WITH relation AS (${RELATIONS})
  SELECT i.indrelid, array_agg(a.attname::text ORDER BY k.position)
  FROM relation r
  JOIN pg_index i ON i.indrelid = r.oid
  CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k(position)
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.position]
    AND a.attnum > 0 AND a.attnotnull AND a.attcollation = i.indcollation[k.position]
  LEFT JOIN pg_opclass o ON o.oid = i.indclass[k.position] AND o.opcdefault
  WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready AND i.indislive
    AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
      SELECT FROM pg_inherits h JOIN pg_class child ON child.oid = h.inhrelid
      WHERE h.inhparent = i.indrelid AND NOT child.relispartition)
  GROUP BY i.indrelid, i.indexrelid
  HAVING bool_and(a.attnum IS NOT NULL AND o.oid IS NOT NULL)`;

/**
 * One to a partitioned table has a copy for each of its partitions, on the same table, which say nothing more. Copies on
 * the partitions of the referencing table do: they are those tables' own.
 */
const FOREIGN_KEYS = `
  WITH relation AS (${RELATIONS})
  SELECT f.conrelid,
         array(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(attnum, position)
               JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.position),
         tn.nspname, t.relname,
         array(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(attnum, position)
               JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.position),
         f.confdeltype, f.confupdtype
  FROM relation r
  JOIN pg_constraint f ON f.conrelid = r.oid AND f.contype = 'f'
  JOIN pg_class t ON t.oid = f.confrelid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_constraint original ON original.oid = f.conparentid
  WHERE original.conrelid IS DISTINCT FROM f.conrelid`;

const ACTIONS: Readonly<Record<string, string>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

const PARENTS = 'SELECT inhrelid, inhparent FROM pg_inherits ORDER BY inhrelid, inhseqno';

/**
 * Those that can fire. A constraint's own are the server's (tgisinternal); before PostgreSQL 15 the copies that
 * partitions have of their parent's triggers are called internal as well.
 */
const TRIGGERS = `
  WITH relation AS (${RELATIONS})
  SELECT t.tgrelid, t.tgname, t.tgtype, n.nspname, p.proname, pg_get_triggerdef(t.oid)
  FROM relation r
  JOIN pg_trigger t ON t.tgrelid = r.oid
  JOIN pg_proc p ON p.oid = t.tgfoid
  JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE (NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0)) AND t.tgenabled <> 'D'
  ORDER BY t.tgrelid, t.tgname`;

/** Bits of pg_trigger.tgtype (catalog/pg_trigger.h). */
const TRIGGER_BEFORE = 2;
const TRIGGER_INSTEAD = 64;
const TRIGGER_EVENTS = [
  [4, 'insert'],
  [8, 'delete'],
  [16, 'update'],
  [32, 'truncate'],
] as const;

/** The rule that makes a view a view is its definition, and not here. */
const RULES = `
  WITH relation AS (${RELATIONS})
  SELECT w.ev_class, w.rulename, w.ev_type, pg_get_ruledef(w.oid)
  FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
  WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D'`;

const RULE_EVENTS: Readonly<Record<string, string>> = { '1': 'select', '2': 'update', '3': 'insert', '4': 'delete' };

/** Most defaults take the next number of the column's own sequence, which is no more than the column itself. */
const EXPRESSIONS = `
  WITH relation AS (${RELATIONS})
  SELECT d.adrelid, 'default', a.attname, pg_get_expr(d.adbin, d.adrelid)
  FROM relation r
  JOIN pg_attrdef d ON d.adrelid = r.oid
  JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
  WHERE pg_get_expr(d.adbin, d.adrelid) !~ '^nextval\\(''[^'']*''::regclass\\)$'
  UNION ALL
  SELECT c.conrelid, 'check', NULL, pg_get_expr(c.conbin, c.conrelid)
  FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'c'
  UNION ALL
  SELECT i.indrelid, 'index', NULL, pg_get_expr(e.tree, i.indrelid)
  FROM relation r
  JOIN pg_index i ON i.indrelid = r.oid
  CROSS JOIN LATERAL (VALUES (i.indexprs), (i.indpred)) AS e(tree)
  WHERE e.tree IS NOT NULL
  UNION ALL
  SELECT p.partrelid, 'index', NULL, pg_get_expr(p.partexprs, p.partrelid)
  FROM relation r JOIN pg_partitioned_table p ON p.partrelid = r.oid AND p.partexprs IS NOT NULL
  UNION ALL
  SELECT p.polrelid, 'policy', NULL, pg_get_expr(e.tree, p.polrelid)
  FROM relation r
  JOIN pg_policy p ON p.polrelid = r.oid AND r.relrowsecurity
  CROSS JOIN LATERAL (VALUES (p.polqual), (p.polwithcheck)) AS e(tree)
  WHERE e.tree IS NOT NULL`;

const DEFINITIONS = `
  WITH relation AS (${RELATIONS})
  SELECT oid, pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')`;

async function readRelations(client: Client): Promise<{ relations: CatalogueRelation[]; origins: CatalogueOrigin[] }> {
  type Relation = [oid: number, schema: string, name: string, kind: string, rowSecurity: boolean];
  const relations = await rows<Relation>(client, RELATIONS);
  const types = new Map<string, string>();
  const attributes = await rows<[number, number, string, string, boolean, string | null]>(client, COLUMNS);
  const numbered = new Map<number, (string | null)[]>();
  for (const [oid, number, name] of attributes) {
    const names = numbered.get(oid) ?? [];
    while (names.length < number - 1) names.push(null);
    names.push(name);
    numbered.set(oid, names);
  }
  const columns = grouped(
    attributes,
    ([, , name, type, notNull, generated]): CatalogueColumn => ({
      name,
      // The same few types come back for every column: one text of each is kept.
      type: types.get(type) ?? types.set(type, type).get(type)!,
      notNull,
      generated,
    }),
  );
  const keys = grouped(await rows<[number, string[]]>(client, KEYS), ([, key]) => key);
  const foreignKeys = grouped(
    await rows<[number, string[], string, string, string[], string, string]>(client, FOREIGN_KEYS),
    ([, columns, schema, name, referencedColumns, onDelete, onUpdate]): CatalogueForeignKey => ({
      columns,
      references: { schema, name },
      referencedColumns,
      onDelete: ACTIONS[onDelete]!,
      onUpdate: ACTIONS[onUpdate]!,
    }),
  );
  const parents = grouped(await rows<[number, number]>(client, PARENTS), ([, parent]) => parent);
  const triggers = grouped(
    await rows<[number, string, number, string, string, string]>(client, TRIGGERS),
    ([, name, type, schema, functionName, body]): CatalogueTrigger => ({
      name,
      timing: type & TRIGGER_INSTEAD ? 'instead of' : type & TRIGGER_BEFORE ? 'before' : 'after',
      events: TRIGGER_EVENTS.filter(([bit]) => type & bit).map(([, event]) => event),
      function: { schema, name: functionName },
      body,
    }),
  );
  const rules = grouped(await rows<[number, string, string, string]>(client, RULES), ([, name, event, definition]) => ({
    name,
    event: RULE_EVENTS[event]!,
    definition,
  }));
  const expressions = grouped(
    await rows<[number, CatalogueExpression['kind'], string | null, string]>(client, EXPRESSIONS),
    ([, kind, column, expression]): CatalogueExpression => ({ kind, column, expression }),
  );
  // Last, since it locks what the views read against being altered until the transaction ends.
  const definitions = new Map(await rows<[number, string | null]>(client, DEFINITIONS));
  const names = new Map<number, CatalogueName>(relations.map(([oid, schema, name]) => [oid, { schema, name }]));
  const described = relations.map(([oid, schema, name, kind, rowSecurity]) => ({
    schema,
    name,
    kind: KINDS[kind]!,
    columns: columns.get(oid) ?? [],
    keys: keys.get(oid) ?? [],
    foreignKeys: foreignKeys.get(oid) ?? [],
    parents: ancestors(oid, parents).flatMap((parent) => names.get(parent) ?? []),
    definition: definitions.get(oid) ?? null,
    triggers: triggers.get(oid) ?? [],
    rules: rules.get(oid) ?? [],
    rowSecurity,
    ...(expressions.has(oid) ? { expressions: expressions.get(oid)! } : {}),
  }));
  const origins = relations.map(([oid, schema, name]) => ({ oid, schema, name, columns: numbered.get(oid) ?? [] }));
  return { relations: described, origins };
}

/** What belongs to each relation, by its oid, in the order of the rows. */
function grouped<Row extends [number, ...unknown[]], T>(all: readonly Row[], item: (row: Row) => T): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of all) {
    const group = groups.get(row[0]);
    if (group === undefined) groups.set(row[0], [item(row)]);
    else group.push(item(row));
  }
  return groups;
}

/** Breadth first, so that nearer ones come first; each once, though it can be inherited from on several ways. */
function ancestors(oid: number, parents: ReadonlyMap<number, readonly number[]>): number[] {
  const found = new Set(parents.get(oid));
  for (const parent of found) for (const next of parents.get(parent) ?? []) found.add(next);
  return [...found];
}

// --- Functions -----------------------------------------------------------------------------------------------------

/** Built-in ones are in data files; those that an extension of initdb's time brought (plpgsql) are here. */
const FUNCTIONS = (body: string) => `
  SELECT p.oid, n.nspname, p.proname, p.prokind,
         array(SELECT format_type(t.type, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS t(type, position)
               ORDER BY t.position),
         CASE WHEN p.prokind <> 'a' THEN pg_get_function_arguments(p.oid) END, p.proconfig,
         coalesce(pg_get_function_result(p.oid), format_type(p.prorettype, NULL)),
         p.provolatile, l.lanname, p.prosecdef,
         CASE WHEN l.lanname NOT IN ('c', 'internal') AND p.prokind <> 'a' THEN ${body} END,
         e.extname
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_extension'::regclass
  LEFT JOIN pg_extension e ON e.oid = d.refobjid
  WHERE (${USERS_OWN('p', 'n')}) OR e.oid IS NOT NULL`;

/** The functions aggregates run, with what decides what an aggregate may do. */
const AGGREGATES = `
  SELECT a.aggfnoid::oid, n.nspname, p.proname, p.provolatile, p.prosecdef
  FROM pg_aggregate a
  CROSS JOIN LATERAL unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
    a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) AS f(oid)
  JOIN pg_proc p ON p.oid = f.oid
  JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE a.aggfnoid::oid >= 16384
  GROUP BY 1, 2, 3, 4, 5
  ORDER BY 1, n.nspname COLLATE "C", p.proname COLLATE "C"`;

const FUNCTION_KINDS: Readonly<Record<string, CatalogueFunction['kind']>> = {
  f: 'function',
  p: 'procedure',
  a: 'aggregate',
  w: 'window',
};

const VOLATILITIES: Readonly<Record<string, CatalogueFunction['volatility']>> = {
  i: 'immutable',
  s: 'stable',
  v: 'volatile',
};

async function readFunctions(client: Client, versionNumber: number): Promise<CatalogueFunction[]> {
  type Function = [
    oid: number,
    schema: string,
    name: string,
    kind: string,
    args: string[],
    signature: string | null,
    settings: string[] | null,
    returns: string,
    volatility: string,
    language: string,
    securityDefiner: boolean,
    body: string | null,
    extension: string | null,
  ];
  // BEGIN ATOMIC bodies, which have no source text, came with 14.
  const body = versionNumber >= 140_000 ? 'coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)' : 'p.prosrc';
  const functions = await rows<Function>(client, FUNCTIONS(body));
  const called = grouped(
    await rows<[number, string, string, string, boolean]>(client, AGGREGATES),
    ([, schema, name, volatility, securityDefiner]) => ({ schema, name, volatility, securityDefiner }),
  );
  return functions.map((row) => {
    const [oid, schema, name, kind, args, signature, settings, returns, own, language, definer, body, extension] = row;
    const calls = called.get(oid) ?? [];
    const volatilities = [own, ...calls.map(({ volatility }) => volatility)];
    return {
      schema,
      name,
      kind: FUNCTION_KINDS[kind]!,
      arguments: args,
      ...(signature === null ? {} : { signature }),
      ...(settings === null ? {} : { settings }),
      returns,
      volatility: VOLATILITIES[['v', 's', 'i'].find((volatility) => volatilities.includes(volatility))!]!,
      language,
      securityDefiner: definer || calls.some(({ securityDefiner }) => securityDefiner),
      calls: calls.map(({ schema, name }) => ({ schema, name })),
      body,
      extension,
    };
  });
}

// --- Operators, casts, types ---------------------------------------------------------------------------------------

/** Without those that are only announced (CREATE OPERATOR of a commutator) and have no function yet. */
const OPERATORS = `
  SELECT n.nspname, o.oprname,
         CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END,
         CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END,
         fn.nspname, f.proname
  FROM pg_operator o
  JOIN pg_namespace n ON n.oid = o.oprnamespace
  JOIN pg_proc f ON f.oid = o.oprcode
  JOIN pg_namespace fn ON fn.oid = f.pronamespace
  WHERE ${USERS_OWN('o', 'n')}`;

async function readOperators(client: Client): Promise<CatalogueOperator[]> {
  type Operator = [string, string, string | null, string | null, string, string];
  return (await rows<Operator>(client, OPERATORS)).map(([schema, name, left, right, functionSchema, functionName]) => ({
    schema,
    name,
    left,
    right,
    function: { schema: functionSchema, name: functionName },
  }));
}

const CASTS = `
  SELECT format_type(c.castsource, NULL), format_type(c.casttarget, NULL), n.nspname, f.proname,
         CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END
  FROM pg_cast c
  LEFT JOIN pg_proc f ON f.oid = c.castfunc
  LEFT JOIN pg_namespace n ON n.oid = f.pronamespace
  WHERE c.oid >= 16384`;

/** Without array types and row types of tables, which add nothing to what they are made of. */
const TYPES = `
  SELECT t.oid, n.nspname, t.typname,
         CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'b' THEN 'base' WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite'
              ELSE 'range' END
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE ${USERS_OWN('t', 'n')}
    AND t.typtype IN ('d', 'b', 'e', 'c', 'r', 'm') AND (t.typrelid = 0 OR c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)`;

const CHECKS = `
  WITH RECURSIVE over(domain, base) AS (
    SELECT oid, oid FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT o.domain, b.oid FROM over o
    JOIN pg_type t ON t.oid = o.base
    JOIN pg_type b ON b.oid = t.typbasetype AND b.typtype = 'd'
  )
  SELECT o.domain, pg_get_expr(c.conbin, 0)
  FROM over o JOIN pg_constraint c ON c.contypid = o.base AND c.contype = 'c'
  ORDER BY 1, c.conname COLLATE "C"`;

const TYPE_FUNCTIONS = `
  SELECT t.oid, n.nspname, f.proname
  FROM pg_type t
  LEFT JOIN pg_range r ON r.rngtypid = t.oid
  CROSS JOIN LATERAL unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout,
    r.rngcanonical, r.rngsubdiff]::oid[]) AS u(oid)
  JOIN pg_proc f ON f.oid = u.oid AND f.oid >= 16384
  JOIN pg_namespace n ON n.oid = f.pronamespace
  GROUP BY 1, 2, 3
  ORDER BY 1, n.nspname COLLATE "C", f.proname COLLATE "C"`;

async function readTypes(client: Client): Promise<CatalogueType[]> {
  const types = await rows<[number, string, string, CatalogueType['kind']]>(client, TYPES);
  const checks = grouped(await rows<[number, string]>(client, CHECKS), ([, expression]) => expression);
  const functions = grouped(await rows<[number, string, string]>(client, TYPE_FUNCTIONS), ([, schema, name]) => ({
    schema,
    name,
  }));
  return types.map(([oid, schema, name, kind]) => ({
    schema,
    name,
    kind,
    checks: checks.get(oid) ?? [],
    functions: functions.get(oid) ?? [],
  }));
}

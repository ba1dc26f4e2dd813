/**
 * Writes the lists of what PostgreSQL has, with what is known about it, from two servers: 15 and 18. Functions that came
 * with a version in between are in both or in the later one; what 13 and 14 had besides is listed here.
 *
 *     node rules/data/generate.ts
 *
 * The lists are read by people: review the difference before it is committed. What the servers do not say (that a stable
 * function reads other people's data) is in the patterns below.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/demo/embedded-postgres.ts';
import { startPostgres } from '../../test/servers/postgres.ts';

interface ServerFunction {
  readonly schema: string;
  readonly name: string;
  /** `i`, `s` or `v`, the worst of all overloads. */
  readonly volatility: string;
  /** True if an overload takes or gives what only the server's own code can hold. */
  readonly internal: boolean;
  /** Names of the columns if it returns rows; empty where they depend on the call; `null` for single values. */
  readonly columns: readonly string[] | null;
  /** True if it returns any number of rows. */
  readonly isSet: boolean;
}

const FUNCTIONS = `
  SELECT n.nspname, p.proname,
         max(CASE p.provolatile WHEN 'v' THEN 'v' WHEN 's' THEN 's' ELSE 'i' END),
         bool_or(p.prokind = 'p' OR r.typtype = 'p' AND r.typname NOT IN ('record', 'void') AND r.typname !~ '^any'
                 OR r.typname = 'cstring'
                 OR EXISTS (SELECT FROM unnest(p.proargtypes) AS a(oid) JOIN pg_type t ON t.oid = a.oid
                            WHERE t.typname IN ('internal', 'cstring'))),
         bool_and(r.typname = 'record' OR r.typtype = 'c' OR r.typname = 'anyelement' AND p.proname LIKE '%populate_record%'),
         max((SELECT string_agg(m.name, ',' ORDER BY m.at)
              FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS m(name, mode, at)
              WHERE m.mode IN ('o', 'b', 't'))),
         bool_or(p.proretset)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_type r ON r.oid = p.prorettype
  WHERE n.nspname IN ('pg_catalog', 'information_schema') AND p.oid < 16384
  GROUP BY 1, 2 ORDER BY 1, 2`;

const OPERATORS = `
  SELECT DISTINCT o.oprname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
  WHERE n.nspname = 'pg_catalog' ORDER BY 1`;

/** A new value for each call, and nothing else. */
const VOLATILE_AND_HARMLESS = words(`
  random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 current_query
  pg_relation_size pg_table_size pg_indexes_size pg_total_relation_size pg_database_size pg_tablespace_size
  pg_is_in_recovery pg_postmaster_start_time pg_column_size pg_backend_pid pg_trigger_depth currval lastval`);

/** Cost what their arguments say, or what they do not say. */
const RESOURCE = words(`
  generate_series repeat lpad rpad format array_fill power pow exp factorial pg_sleep pg_sleep_for pg_sleep_until
  numeric_power numeric_exp numeric_fac dpow dexp generate_series_int4 generate_series_int8 pg_timezone_names`);

/** Stable or immutable for the server, and yet more than a computation: they read data, run text or tell of others. */
const NOT_PURE = new RegExp(
  `^(?:${words(`
  .*_to_xml .*_to_xmlschema .*_to_xml_and_xmlschema ts_stat ts_rewrite nextval setval set_config setseed
  pg_stat_.* pg_read_.* pg_ls_.* pg_show_.* pg_hba_.* pg_ident_.* pg_current_logfile pg_config pg_control_.* pg_cursor
  pg_prepared_.* pg_lock_status pg_get_functiondef pg_get_function_sqlbody pg_get_shmem.* pg_get_backend.* pg_get_wal.*
  pg_get_replication.* pg_get_multixact.* pg_get_aios pg_get_dsm.* pg_get_loaded.* pg_available_.* pg_replication_.*
  pg_logical_.* pg_mcv_list_items pg_stats_ext.* pg_relation_filepath pg_tablespace_databases pg_event_trigger_.*
  binary_upgrade_.* lo_.* loread lowrite be_lo.* pg_last_.* pg_.*wal.* pg_get_sequence_data pg_sequence_last_value
  pg_xact_commit.* pg_last_committed.* pg_get_catalog_foreign_keys`).join('|')})$`,
);
/** Names of one type's functions for the protocol and for storage: they leave the shape of values in clear. */
const CONVERSIONS = /^(?!string_)(?:.*_|[a-z0-9]*)(?:send|recv)$/;

/** Of PostgreSQL 13 and 14, gone since. */
const OLDER = words('pg_start_backup pg_stop_backup pg_is_in_backup pg_backup_start_time array_ndims_old');

const POSTGRES_OPERATORS_OF_13 = ['!', '!!'];

type FunctionClass = 'pure' | 'volatile' | 'resource' | 'other';

function classOf({ name, volatility, internal }: ServerFunction): FunctionClass {
  if (RESOURCE.includes(name)) return 'resource';
  if (internal) return 'other';
  if (VOLATILE_AND_HARMLESS.includes(name)) return 'volatile';
  if (volatility === 'v' || NOT_PURE.test(name) || CONVERSIONS.test(name)) return 'other';
  return 'pure';
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

async function read(client: pg.Client) {
  const rows = async (text: string) => (await client.query({ text, rowMode: 'array' })).rows as unknown[][];
  const functions = (await rows(FUNCTIONS)).map(
    ([schema, name, volatility, internal, isRow, columns, isSet]): ServerFunction => {
      const named = typeof columns === 'string' ? columns.split(',') : [];
      return {
        schema: String(schema),
        name: String(name),
        volatility: String(volatility),
        internal: internal === true,
        columns: isRow === true ? named : null,
        isSet: isSet === true,
      };
    },
  );
  const operators = (await rows(OPERATORS)).map(([name]) => String(name));
  return { functions, operators };
}

async function withClient<T>(
  server: { host: string; port: number; user: string; password: string; database: string },
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ ...server, ssl: false });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const older = await startPostgres({ version: 15 });
const newer = await startEmbeddedPostgres();
try {
  const of15 = await withClient({ ...older, user: older.superuser }, read);
  const of18 = await withClient(newer, read);
  write(of15, of18);
} finally {
  await older.stop();
  await newer.stop();
}

type Server = Awaited<ReturnType<typeof read>>;

function write(of15: Server, of18: Server): void {
  const RANK: readonly FunctionClass[] = ['pure', 'volatile', 'resource', 'other'];
  const classes = new Map<string, FunctionClass>();
  const columns = new Map<string, readonly string[]>();
  for (const one of [...of15.functions, ...of18.functions]) {
    const name = one.schema === 'pg_catalog' ? one.name : `${one.schema}.${one.name}`;
    const found = classOf(one);
    const known = classes.get(name);
    // Between versions and overloads the worst counts.
    if (known === undefined || RANK.indexOf(found) > RANK.indexOf(known)) classes.set(name, found);
    if (one.columns !== null) columns.set(name, one.columns);
  }
  for (const name of OLDER) if (!classes.has(name)) classes.set(name, 'other');
  const names = (wanted: FunctionClass) => [...classes].filter(([, one]) => one === wanted).map(([name]) => name);
  const all = [...of15.functions, ...of18.functions];
  const sets = new Set(all.flatMap(({ name, isSet }) => (isSet && classes.get(name) !== 'other' ? [name] : [])));
  const rowFunctions = [...columns].sort(byText);
  save(
    'postgres-functions.yaml',
    `# Functions of PostgreSQL 13 to 18, by what a call does. Sluice has no rule for a call of a pure or volatile function: it
# is only a computation. Every other call is the effect call-function, with the name, for rules to allow or refuse; calls
# under "resource" are the effect resource, unless their arguments show that they cost little.
#
# Names without a schema are pg_catalog's. Functions of your own go here as schema.name, once somebody has read what they do.
# Made by generate.ts, which says why and overwrites it: put functions of your own into another file of the same form.
version: 1
pure:
${list(names('pure'))}
# A new value for each call, and nothing else.
volatile:
${list(names('volatile'))}
# Can take time or memory out of proportion.
resource:
${list(names('resource'))}
# The server has them; that is all.
other:
${list(names('other'))}
# Those of the above that return any number of rows.
sets:
${list([...sets])}
# Columns of the rows that functions return; [] where they depend on the call.
rows:
${rowFunctions.map(([name, of]) => `  ${quoted(name)}: [${of.map(quoted).join(', ')}]`).join('\n')}
`,
  );
  const operators = [...new Set([...of15.operators, ...of18.operators, ...POSTGRES_OPERATORS_OF_13])].sort();
  save(
    'postgres-operators.yaml',
    `# Operators of PostgreSQL 13 to 18; all of them only compute. An operator that is neither here nor in the catalogue of the
# database is the effect opaque.
version: 1
operators:
${operators.map((name) => `  - ${JSON.stringify(name)}`).join('\n')}
`,
  );
  console.log(`${names('pure').length} pure, ${names('other').length} other functions, ${operators.length} operators`);
}

function byText([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function list(names: readonly string[]): string {
  return [...names]
    .sort()
    .map((name) => `  - ${quoted(name)}`)
    .join('\n');
}

/** YAML has words of its own. */
function quoted(name: string): string {
  return /^(?:true|false|yes|no|on|off|null|y|n)$/i.test(name) || !/^[A-Za-z_][\w.]*$/.test(name)
    ? JSON.stringify(name)
    : name;
}

function save(file: string, text: string): void {
  writeFileSync(join(import.meta.dirname, file), text);
}

import type { EffectName } from '../facts.ts';

/**
 * What is known of a function by its name alone. Read from the data files under `rules/data/`, which a DBA can extend.
 *
 * - `pure`: computes a value from its arguments and the state of the session, the same all through a statement; no effect.
 * - `volatile`: the same, but a new value for each call (random(), gen_random_uuid()).
 * - `resource`: computes a value, and can take time or memory out of all proportion to its arguments.
 * - `other`: the server has it, and nothing good is known of it.
 */
export type FunctionClass = 'pure' | 'volatile' | 'resource' | 'other';

/** The allow-lists. Names without a schema are pg_catalog's; a function elsewhere is listed as `schema.name`. */
export interface KnownNames {
  readonly functions: ReadonlyMap<string, FunctionClass>;
  /** Columns of the rows that a function returns, for those that return more than one value. */
  readonly rowFunctions: ReadonlyMap<string, readonly string[]>;
  /** Extensions whose functions only compute; by name, with those of their volatile functions that do, too. */
  readonly extensions: ReadonlyMap<string, ReadonlySet<string>>;
  /** Functions that return any number of rows. */
  readonly setFunctions: ReadonlySet<string>;
  /** Operators of pg_catalog. */
  readonly operators: ReadonlySet<string>;
}

/**
 * What PostgreSQL's own functions, and those of the extensions it ships with, do beyond computing a value.
 *
 * A function not listed here gets the effect `call-function` alone: rules that have to be safe list the functions they
 * allow, they do not trust this list to be complete. Names count in every schema: `dblink` can be installed in any, and a
 * user's function of the same name is then refused too often, not too rarely.
 */
export interface FunctionEffect {
  readonly effect: EffectName;
  readonly via: string;
}

/**
 * Functions of which nothing good is known and whose results have, all the same, nothing to do with what is stored.
 * The results of all others that are not known to compute can be made of anything.
 */
export const TELLS_NO_STORED_VALUES: ReadonlySet<string> = new Set(
  `currval lastval nextval setval set_config pg_blocking_pids pg_get_functiondef pg_get_function_sqlbody pg_notify
   pg_partition_ancestors pg_partition_tree pg_sequence_last_value pg_stat_get_numscans`.split(/\s+/),
);

/** Names, or beginnings of names when they end in `*`. */
const LISTED: readonly (readonly [EffectName, string, string])[] = [
  [
    'file',
    'reads or writes files of the server',
    `pg_read_file pg_read_binary_file pg_read_file_old pg_stat_file pg_ls_* pg_file_* pg_logdir_ls pg_current_logfile
     lo_import lo_export be_lo_import be_lo_export pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings
     pg_import_system_collations pg_walfile_name pg_walfile_name_offset`,
  ],
  ['network', 'opens a second connection', 'dblink dblink_* postgres_fdw_*'],
  [
    'large-object',
    'reads or writes large objects',
    `lo_* loread lowrite loopen loclose locreat be_lo_* lotell lolseek lotruncate`,
  ],
  [
    'admin',
    'acts on the server itself',
    `pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old pg_switch_wal
     pg_switch_xlog pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup pg_promote
     pg_wal_replay_* pg_create_physical_replication_slot pg_create_logical_replication_slot pg_copy_physical_replication_slot
     pg_copy_logical_replication_slot pg_drop_replication_slot pg_replication_* pg_logical_slot_* pg_sync_replication_slots
     pg_stat_reset* pg_stat_force_next_flush pg_log_backend_memory_contexts pg_log_standby_snapshot pg_logical_emit_message
     pg_export_snapshot binary_upgrade_* pg_extension_config_dump pg_nextoid pg_restore_* pg_clear_*
     pg_truncate_visibility_map heap_force_kill heap_force_freeze get_raw_page page_* heap_page_* bt_page_* bt_metap
     pg_get_wal_* pg_prewarm autoprewarm_* pg_set_relation_* gin_clean_pending_list brin_summarize_* brin_desummarize_range
     pg_event_trigger_* pg_stat_statements_reset`,
  ],
  ['lock', 'takes an advisory lock', 'pg_advisory_* pg_try_advisory_*'],
  ['notify', 'sends a notification', 'pg_notify'],
  [
    'opaque',
    'runs SQL text',
    `query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema table_to_xml table_to_xmlschema
     table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml
     database_to_xmlschema database_to_xml_and_xmlschema ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn
     connectby xpath_table dblink dblink_*`,
  ],
];

const exact = new Map<string, FunctionEffect[]>();
const beginnings: { readonly start: string; readonly found: FunctionEffect }[] = [];
for (const [effect, via, names] of LISTED) {
  for (const name of names.split(/\s+/)) {
    const found = { effect, via };
    if (name.endsWith('*')) beginnings.push({ start: name.slice(0, -1), found });
    else exact.set(name, [...(exact.get(name) ?? []), found]);
  }
}

/** The further effects of calling a function of this (folded, unqualified) name; empty for most. */
export function effectsOfFunction(name: string): readonly FunctionEffect[] {
  const found = exact.get(name) ?? [];
  const further = beginnings.filter(({ start }) => name.startsWith(start)).map((one) => one.found);
  return further.length === 0 ? found : [...found, ...further];
}

import type { EffectName } from '../facts.ts';
import type { FunctionClass } from '../postgres/functions.ts';
import { type Expression, partsOf } from './tree.ts';

/**
 * What is known of built-in functions by their names in lower case, read from `rules/data/mysql-functions.yaml`; `null`
 * without a list: then every call is named.
 */
export type KnownFunctions = ReadonlyMap<string, FunctionClass> | null;

/**
 * What functions do beyond computing a value. Every call that is not of a function known to be harmless has the effect
 * `call-function` besides, whatever is said here: rules that have to be safe list the functions they allow, they do not
 * trust this list to be complete.
 */
export interface FunctionEffect {
  readonly effect: EffectName;
  readonly via: string;
}

const LISTED: readonly (readonly [EffectName, string, string])[] = [
  ['file', 'reads a file of the server', 'load_file'],
  ['program', 'runs a program', 'sys_exec sys_eval sys_get sys_set sys_bineval'],
  [
    'lock',
    'takes or gives back a lock by name',
    `get_lock release_lock release_all_locks service_get_read_locks service_get_write_locks service_release_locks`,
  ],
  [
    'admin',
    'acts on the server itself',
    `group_replication_set_as_primary group_replication_switch_to_multi_primary_mode
     group_replication_switch_to_single_primary_mode group_replication_set_communication_protocol
     group_replication_set_write_concurrency asynchronous_connection_failover_add_source
     asynchronous_connection_failover_delete_source asynchronous_connection_failover_add_managed
     asynchronous_connection_failover_delete_managed asynchronous_connection_failover_reset audit_log_encryption_password_set
     audit_log_filter_set_filter audit_log_filter_remove_filter audit_log_filter_set_user audit_log_filter_remove_user
     audit_log_filter_flush audit_log_rotate keyring_key_store keyring_key_remove keyring_key_generate keyring_key_fetch
     mysql_firewall_flush_status set_firewall_mode set_firewall_group_mode version_tokens_set version_tokens_edit
     version_tokens_delete version_tokens_lock_shared version_tokens_lock_exclusive mysqlx_error ps_thread_id`,
  ],
  [
    'resource',
    'waits',
    `sleep benchmark master_pos_wait source_pos_wait master_gtid_wait wait_for_executed_gtid_set
     wait_until_sql_thread_after_gtids`,
  ],
];

const EFFECTS = new Map<string, FunctionEffect[]>();
for (const [effect, via, names] of LISTED) {
  for (const name of names.split(/\s+/)) EFFECTS.set(name, [...(EFFECTS.get(name) ?? []), { effect, via }]);
}

const NONE: readonly FunctionEffect[] = [];
/** Longest text that may be made from a short one. */
const LONGEST_MADE = 10_000;
const MAKES_LONG_TEXT: Readonly<Record<string, number>> = { repeat: 1, space: 0, lpad: 1, rpad: 1 };
const TAKES_A_PATTERN = new Set(['regexp_like', 'regexp_replace', 'regexp_instr', 'regexp_substr']);

/** The further effects of a call. @param name in lower case */
export function effectsOfCall(name: string, argumentsGiven: readonly Expression[]): readonly FunctionEffect[] {
  const length = MAKES_LONG_TEXT[name];
  if (length !== undefined && !(isSmall(argumentsGiven[length]) && argumentsGiven.every((one) => !makesLongText(one))))
    return [{ effect: 'resource', via: 'makes a long text' }];
  if (TAKES_A_PATTERN.has(name)) return effectsOfPattern(argumentsGiven[1]);
  return EFFECTS.get(name) ?? NONE;
}

/** The further effects of a call of a function that is listed as one that costs. @param name in lower case */
export function effectsOfCostlyCall(name: string, argumentsGiven: readonly Expression[]): readonly FunctionEffect[] {
  const effects = effectsOfCall(name, argumentsGiven);
  if (name in MAKES_LONG_TEXT || TAKES_A_PATTERN.has(name)) return effects;
  return effects.some(({ effect }) => effect === 'resource')
    ? effects
    : [...effects, { effect: 'resource', via: 'costs more than it shows' }];
}

/** The effects of matching with a regular expression. */
export function effectsOfPattern(pattern: Expression | undefined): readonly FunctionEffect[] {
  const isPlain = pattern?.type === 'literal' && !repeatsAGroup(pattern.value);
  return isPlain || pattern?.type === 'parameter'
    ? NONE
    : [{ effect: 'resource', via: 'pattern that may take for ever' }];
}

/** `(a+)+`: matching takes time that doubles with every character. */
function repeatsAGroup(pattern: string): boolean {
  for (let at = pattern.indexOf(')'); at >= 0; at = pattern.indexOf(')', at + 1)) {
    if ('+*{'.includes(pattern[at + 1] ?? ' ')) return true;
  }
  return false;
}

/** True if one of the functions that make long texts is somewhere in it: what they make can be repeated. */
function makesLongText(value: Expression): boolean {
  if (value.type === 'call' && value.name.name in MAKES_LONG_TEXT) return true;
  return partsOf(value).some(makesLongText);
}

function isSmall(value: Expression | undefined): boolean {
  return value?.type === 'literal' && Number(value.value) <= LONGEST_MADE;
}

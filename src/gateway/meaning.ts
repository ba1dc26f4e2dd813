import { hash } from 'node:crypto';
import type { CatalogueLookup, CatalogueRelation, NameContext } from '../statements/catalogue.ts';
import type { Word } from '../statements/changed-rows.ts';
import type { Effect, StatementFacts } from '../statements/facts.ts';
import type { JudgedStatement } from './judge.ts';

/**
 * What the names in statements stand for, as one hash: the definitions of the relations they touch, and all code of users,
 * since an operator, a cast or a trigger runs functions that no statement names. Other triggers, columns or keys, another
 * view of the same name, another body of a function are another meaning.
 */
export function meaningOf(statements: readonly JudgedStatement[], names: NameContext): string {
  const { catalogue } = names;
  if (catalogue === null) return '';
  const relations = statements.flatMap(({ facts }) => facts.effects.map((effect) => relationOf(effect, names)));
  return hash('sha256', JSON.stringify([codeOf(catalogue), relations]));
}

/** @param names with a catalogue */
export function relationOf(
  { object }: Pick<Effect, 'object'>,
  { catalogue, searchPath }: NameContext,
): CatalogueRelation | null {
  if (object?.kind !== 'relation') return null;
  const { schema, name } = object;
  return schema === null ? catalogue!.resolve(name, searchPath) : catalogue!.relation(schema, name);
}

/** Of each catalogue, once it has been asked for. */
const codes = new WeakMap<CatalogueLookup, string>();

function codeOf(catalogue: CatalogueLookup): string {
  let code = codes.get(catalogue);
  if (code === undefined) {
    const { functions, operators, casts, types } = catalogue.data;
    code = hash('sha256', JSON.stringify([functions, operators, casts, types]));
    codes.set(catalogue, code);
  }
  return code;
}

/** True if something is named without its schema, and it is not known in which schemas the server looks for it. */
export function hasLooseNames(statements: readonly JudgedStatement[], { searchPath }: NameContext): boolean {
  if (searchPath.length > 0) return false;
  return statements.some(({ facts }) => facts.effects.some(isLoose));
}

function isLoose({ object }: Effect): boolean {
  return object !== null && object.schema === null && (object.kind === 'relation' || object.kind === 'function');
}

/** What a session did before decides what these stand for: `currval('s')`, `WHERE CURRENT OF c`, `@a`. */
const OF_THE_SESSION = new Set(['CURRVAL', 'LASTVAL', 'LAST_INSERT_ID', 'FOUND_ROWS', 'ROW_COUNT']);

/** True if something in a statement stands for what only its session knows. @param words of its text */
export function dependsOnSession(words: readonly Word[]): boolean {
  return words.some(
    ({ keyword }, i) =>
      (OF_THE_SESSION.has(keyword) && words[i + 1]?.keyword === '(') ||
      keyword.startsWith('@') ||
      (keyword === 'CURRENT' && words[i + 1]?.keyword === 'OF'),
  );
}

/**
 * Settings that change nothing of what a statement does, or are told apart by themselves in what an approval is for: role,
 * schemas that are searched, how text, times and numbers are read.
 */
const HARMLESS = new Set([
  ...['application_name', 'client_min_messages', 'extra_float_digits', 'bytea_output', 'jit', 'synchronous_commit'],
  ...['statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_session_timeout'],
  ...['idle_in_transaction_session_timeout', 'work_mem', 'maintenance_work_mem', 'temp_buffers'],
  ...['role', 'session_authorization', 'search_path', 'client_encoding', 'standard_conforming_strings'],
  ...['datestyle', 'intervalstyle', 'timezone', 'time_zone', 'sql_mode', 'names', 'autocommit', 'charset', 'database'],
  ...['transaction_isolation', 'tx_isolation', 'default_transaction_isolation', 'transaction_read_only'],
  ...['tx_read_only', 'default_transaction_read_only', 'transaction_deferrable', 'default_transaction_deferrable'],
  ...['collation_connection', 'max_execution_time', 'max_statement_time', 'wait_timeout', 'interactive_timeout'],
  ...['net_read_timeout', 'net_write_timeout', 'innodb_lock_wait_timeout', 'lock_wait_timeout', 'sql_select_limit'],
  ...['group_concat_max_len', 'max_allowed_packet'],
]);
const HARMLESS_BEGINNINGS = /^(enable_|character_set_|session_track_|@[^@])/;

/** True if what a statement sets may change what others do, in a way that cannot be read from them. */
export function changesOthers({ effects }: Pick<StatementFacts, 'effects'>): boolean {
  return effects.some(({ effect, object }) => {
    if (effect !== 'set-session') return false;
    if (object === null) return true;
    if (object.kind !== 'setting') return false;
    const name = object.name.toLowerCase();
    return !HARMLESS.has(name) && !HARMLESS_BEGINNINGS.test(name);
  });
}

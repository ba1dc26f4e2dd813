import type { CatalogueFunction, CatalogueTrigger } from '../catalogue.ts';
import type { Effect } from '../facts.ts';
import type { EffectWalk } from './effects.ts';
import type { TreeNode } from './parser.ts';
import { listOf, only, text } from './tree.ts';

/** What code that the catalogue holds does: functions of triggers, actions of rules. */

/** Functions of the server's own that triggers run and that do no more than look at or change the row in hand. */
const HARMLESS_TRIGGERS = new Set([
  'suppress_redundant_updates_trigger',
  'tsvector_update_trigger',
  'tsvector_update_trigger_column',
  'unique_key_recheck',
]);

/** The effects of code, read once for each catalogue. */
export function codeOf(walk: EffectWalk, code: CatalogueTrigger | { readonly rule: string }): readonly Effect[] {
  const { readings } = walk.names;
  if (readings === null) return [];
  // A rule has the schema of every name in it; a function is read anew under each search path.
  const key = 'rule' in code ? code.rule : `${walk.names.searchPath.join('\0')}\0\0${code.body}`;
  const known = readings.code.get(key);
  if (known === null) {
    // Code that sets itself off again does nothing it has not done; but what is read on the way is not all there is.
    readings.codeWasCut = true;
    return [];
  }
  if (known !== undefined) return known;
  readings.code.set(key, null);
  readings.codeDepth += 1;
  const inner = walk.another('rule' in code ? walk.names.withoutPath() : walk.names);
  inner.hasVariables = true;
  try {
    if (readings.codeDepth > MOST_NESTED) inner.opaque('triggers within triggers');
    else if ('rule' in code) readRule(inner, code.rule);
    else readTrigger(inner, code);
  } catch {
    inner.opaque('unread code');
  }
  readings.codeDepth -= 1;
  const effects = inner.effects();
  if (readings.codeWasCut && readings.codeDepth > 0) readings.code.delete(key);
  else readings.code.set(key, effects);
  if (readings.codeDepth === 0) readings.codeWasCut = false;
  return effects;
}

/** Triggers that set off triggers: deeper is for nobody to understand. */
const MOST_NESTED = 8;

function readRule(walk: EffectWalk, definition: string): void {
  const statement = walk.parse(definition);
  const [type, rule] = only(statement);
  if (type !== 'RuleStmt') {
    walk.opaque('unread rule');
    return;
  }
  for (const action of listOf(rule.actions)) walk.node(action, walk.top);
}

function readTrigger(walk: EffectWalk, trigger: CatalogueTrigger): void {
  if (trigger.function === null) {
    walk.opaque(`unread trigger ${trigger.name}`);
    return;
  }
  const { schema, name } = trigger.function;
  // WHEN (...) of the trigger itself runs for every row.
  const created = walk.parse(trigger.body);
  const [type, body] = only(created);
  if (type === 'CreateTrigStmt') walk.node(body.whenClause, walk.top);
  else walk.opaque(`unread trigger ${trigger.name}`);
  if (schema === 'pg_catalog' && HARMLESS_TRIGGERS.has(name)) return;
  if (walk.names.known?.functions.get(`${schema}.${name}`) === 'pure') return;
  const found = walk.names.catalogue!.functionsNamed(schema, name);
  if (found.length !== 1) {
    walk.opaque(`unknown trigger function ${name}`);
    return;
  }
  readFunction(walk, found[0]!);
}

function readFunction(walk: EffectWalk, { name, language, body }: CatalogueFunction): void {
  if (language !== 'plpgsql' || body === null) {
    walk.opaque(`trigger function ${name} in ${language}`);
    return;
  }
  let tag = '$code$';
  while (body.includes(tag)) tag = `$${tag.slice(1, -1)}_$`;
  const tree = walk.names.parser.parsePlpgsql(
    `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS ${tag}${body}${tag}`,
  );
  if (tree === null) {
    walk.opaque(`unread trigger function ${name}`);
    return;
  }
  readPlpgsql(walk, tree, name);
}

/** Statements of plpgsql whose SQL stands in them as it will run. */
const READABLE = new Set(
  `block assign if case loop while fori fors foreach_a exit return return_next return_query raise assert execsql perform
   getdiag fetch close`
    .split(/\s+/)
    .map((name) => `PLpgSQL_stmt_${name}`),
);

function readPlpgsql(walk: EffectWalk, node: unknown, name: string): void {
  if (typeof node !== 'object' || node === null) return;
  if (Array.isArray(node)) {
    for (const item of node) readPlpgsql(walk, item, name);
    return;
  }
  for (const key in node) {
    const value = (node as TreeNode)[key];
    if (key === 'PLpgSQL_expr') readExpression(walk, value as TreeNode, name);
    else if (key.startsWith('PLpgSQL_stmt_') && !READABLE.has(key))
      walk.opaque(`trigger function ${name} runs SQL text`);
    else if (key === 'dynquery') walk.opaque(`trigger function ${name} runs SQL text`);
    else readPlpgsql(walk, value, name);
  }
}

/** RawParseMode: a whole statement, a type name, an expression, or an assignment to a target with 1 to 3 parts. */
const STATEMENT = 0;
const TYPE_NAME = 1;
const EXPRESSION = 2;

function readExpression(walk: EffectWalk, { query, parseMode }: TreeNode, name: string): void {
  const mode = Number(parseMode ?? STATEMENT);
  if (mode === TYPE_NAME) return;
  let sql = text(query);
  if (mode === EXPRESSION) sql = `SELECT ${sql}`;
  else if (mode > EXPRESSION) {
    const assignment = /^\s*(?:[\w$]+|"[^"]+")(?:\s*\.\s*(?:[\w$]+|"[^"]+"))*\s*:?=([\s\S]*)$/.exec(sql);
    if (assignment === null) {
      walk.opaque(`unread assignment in ${name}`);
      return;
    }
    sql = `SELECT ${assignment[1]}`;
  }
  const statement = walk.parse(sql);
  if (statement === null) walk.opaque(`unread statement in ${name}`);
  else walk.node(statement, walk.top);
}

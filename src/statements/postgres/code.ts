import type { CatalogueExpression, CatalogueFunction, CatalogueTrigger } from '../catalogue.ts';
import type { ColumnUse, Effect, Lineage } from '../facts.ts';
import { isTooMuch, TooComplex } from '../work-budget.ts';
import { type EffectWalk, isQuery } from './effects.ts';
import { computedFrom, NONE } from './lineage.ts';
import type { Names } from './names.ts';
import type { TreeNode } from './parser.ts';
import { type Column, column, type Shape } from './scope.ts';
import { listOf, nameParts, nodesIn, only, text } from './tree.ts';

/** What code that the catalogue holds does: functions, triggers, actions of rules, expressions of relations. */

export interface CodeReading {
  readonly effects: readonly Effect[];
  /** The columns that are used in it other than for its result; `null` if they cannot be told. */
  readonly uses: readonly ColumnUse[] | null;
  /** What the result is computed from, besides the arguments. */
  readonly result: Lineage;
  /** The columns of the rows a function returns; `null` where they cannot be told one from another. */
  readonly rows: readonly Column[] | null;
}

const NOTHING: CodeReading = { effects: [], uses: [], result: NONE, rows: null };

/** Functions of the server's own that triggers run and that do no more than look at or change the row in hand. */
const HARMLESS_TRIGGERS = new Set([
  'suppress_redundant_updates_trigger',
  'tsvector_update_trigger',
  'tsvector_update_trigger_column',
  'unique_key_recheck',
]);

/** Functions that run functions that run functions: deeper is for nobody to understand. */
const MOST_NESTED = 8;

type Found = Pick<CodeReading, 'result' | 'rows'>;

/** Reads a piece of code once for each catalogue. */
function once(
  walk: EffectWalk,
  key: string,
  names: Names,
  read: (inner: EffectWalk) => Found | undefined,
): CodeReading {
  const { readings } = walk.names;
  if (readings === null) return NOTHING;
  const known = readings.code.get(key);
  if (known === null) {
    // Code that sets itself off again does nothing it has not done; but what is read on the way is not all there is.
    readings.codeWasCut = true;
    return NOTHING;
  }
  if (known !== undefined) return known;
  readings.code.set(key, null);
  readings.codeDepth += 1;
  const inner = walk.another(names);
  inner.hasVariables = true;
  let found: Found | undefined;
  try {
    if (readings.codeDepth > MOST_NESTED) inner.opaque('code within code');
    else found = read(inner);
  } catch (error) {
    if (isTooMuch(error)) {
      readings.code.delete(key);
      throw error;
    }
    inner.opaque('unread code');
  } finally {
    readings.codeDepth -= 1;
  }
  const reading: CodeReading = { effects: inner.effects(), uses: inner.uses(), result: NONE, rows: null, ...found };
  if (readings.codeWasCut && readings.codeDepth > 0) readings.code.delete(key);
  else readings.code.set(key, reading);
  if (readings.codeDepth === 0) readings.codeWasCut = false;
  return reading;
}

/** A rule has the schema of every name in it; what is written by hand is read anew under each search path. */
function underPath(walk: EffectWalk, code: string): string {
  return `${walk.names.searchPath.join('\0')}\0\0${code}`;
}

export function triggerCode(walk: EffectWalk, trigger: CatalogueTrigger): readonly Effect[] {
  return once(walk, underPath(walk, trigger.body), walk.names, (inner) => {
    readTrigger(inner, trigger);
    return undefined;
  }).effects;
}

/** What the actions of a rule do; `rows` is `null` if they may have rows, which are the client's. */
export function ruleCode(walk: EffectWalk, definition: string): CodeReading {
  return once(walk, definition, walk.names.withoutPath(), (inner) => readRule(inner, definition));
}

/** What a function does and returns; aggregates do what the functions they are made of do. */
export function functionCode(walk: EffectWalk, called: CatalogueFunction): CodeReading {
  const { schema, name } = called;
  const key = underPath(walk, `function ${schema}.${name}(${called.arguments.join()}) ${called.body ?? ''}`);
  return once(walk, key, namesIn(walk, called), (inner) => readFunction(inner, called));
}

/** What a function that is being created will make its result of, or do something with; unknown if its code cannot be read. */
export function createdCode(walk: EffectWalk, body: TreeNode): Lineage {
  const options = new Map(nodesIn(body.options, 'DefElem').map((one) => [text(one.defname), one.arg]));
  const [code = null] = nameParts(options.get('as'));
  if (code === null && body.sql_body !== undefined) {
    const inner = walk.another(walk.names);
    inner.hasVariables = true;
    return computedFrom(flattened(body.sql_body).map((statement) => returnedBy(inner, statement).wholeRow));
  }
  const parameters = nodesIn(body.parameters, 'FunctionParameter');
  const out = parameters.filter(({ mode }) => GIVES_OUT.has(text(mode)));
  const returns = body.returnType as TreeNode | undefined;
  const setof = returns?.setof === true ? 'SETOF ' : '';
  const [single, ...others] = out;
  const created: CatalogueFunction = {
    ...{ schema: '', name: nameParts(body.funcname).join('.'), arguments: [], volatility: 'volatile' },
    kind: body.is_procedure === true ? 'procedure' : 'function',
    signature: parameters.map(parameterText).join(', '),
    returns:
      single === undefined
        ? typeText(returns)
        : `${setof}${others.length > 0 ? 'record' : typeText(single.argType as TreeNode)}`,
    language: text((only(options.get('language'))[1] as TreeNode).sval).toLowerCase() || 'sql',
    ...{ securityDefiner: false, calls: [], body: code, extension: null },
  };
  const { effects, uses, result } = functionCode(walk, created);
  if (uses === null || effects.some(({ effect }) => effect === 'opaque')) return { from: 'unknown', columns: [] };
  return computedFrom([result, ...uses.map((one): Lineage => ({ from: 'derived', columns: [one] }))]);
}

const GIVES_OUT = new Set(['FUNC_PARAM_OUT', 'FUNC_PARAM_INOUT', 'FUNC_PARAM_TABLE']);

function parameterText({ name, mode, argType }: TreeNode): string {
  const written = mode === 'FUNC_PARAM_INOUT' ? 'INOUT ' : GIVES_OUT.has(text(mode)) ? 'OUT ' : '';
  return `${written}${name === undefined ? '' : quoted(text(name))} ${typeText(argType as TreeNode | undefined)}`;
}

function typeText(type: TreeNode | undefined): string {
  if (type === undefined) return 'void';
  const setof = type.setof === true ? 'SETOF ' : '';
  return `${setof}${nameParts(type.names).map(quoted).join('.')}${listOf(type.arrayBounds).length > 0 ? '[]' : ''}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The code of an expression of a relation, without what it reads: that shows to nobody. */
export function expressionCode(walk: EffectWalk, given: CatalogueExpression): CodeReading {
  const { kind, expression } = given;
  const plain = walk.names.readings?.plain;
  if (plain?.has(given)) return NOTHING;
  if (isPlain(walk, expression)) {
    plain?.add(given);
    return NOTHING;
  }
  return once(walk, `${kind} ${expression}`, walk.names.withoutPath(), (inner) => {
    const statement = inner.parse(`SELECT ${expression}`);
    if (statement === null) inner.opaque(`unread ${kind}`);
    else return { result: inner.query(statement, inner.top).wholeRow, rows: null };
    return undefined;
  });
}

/**
 * True if an expression that the server has printed is plain to see to have no code of a user and no function but those
 * that compute: most are, and parsing all of them would cost the first write to a table too much. The server puts the
 * schema before every name of a user, since its search path is empty then.
 */
function isPlain(walk: EffectWalk, expression: string): boolean {
  const { known } = walk.names;
  if (known === null) return false;
  const bare = expression.replace(/'(?:[^']|'')*'/g, "''");
  if (/[\w"]\s*\.\s*[a-z_"]/i.test(bare) || bare.includes('OPERATOR(')) return false;
  for (const [, quoted, name] of bare.matchAll(/(?:"([^"]*)"|([a-z_][\w$]*))\s*\(/gi)) {
    const called = quoted ?? name!;
    const found = known.functions.get(called);
    if (found !== 'pure' && found !== 'volatile' && (quoted !== undefined || !BEFORE_PARENTHESES.has(called)))
      return false;
  }
  return true;
}

/** What stands before a parenthesis in what the server prints, and calls nothing. */
const BEFORE_PARENTHESES = new Set(
  `AND OR NOT IN ANY ALL CASE WHEN THEN ELSE COALESCE NULLIF GREATEST LEAST ROW EXTRACT FROM VALUES numeric varying
   character varchar bit time timestamp interval`.split(/\s+/),
);

function readRule(walk: EffectWalk, definition: string): Found | undefined {
  const statement = walk.parse(definition);
  const [type, rule] = only(statement);
  if (type !== 'RuleStmt') {
    walk.opaque('unread rule');
    return undefined;
  }
  const actions = listOf(rule.actions);
  for (const action of actions) walk.node(action, walk.top);
  const hasRows = actions.some((action) => {
    const [kind, body] = only(action);
    return kind === 'SelectStmt' || body.returningClause !== undefined;
  });
  return { result: NONE, rows: hasRows ? null : [] };
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
  if (found.length !== 1) walk.opaque(`unknown trigger function ${name}`);
  else if (found[0]!.language !== 'plpgsql') walk.opaque(`trigger function ${name} in ${found[0]!.language}`);
  else readPlpgsqlFunction(walk, found[0]!, '');
}

/** The names as they are while a function runs: it can have a search path of its own. */
function namesIn(walk: EffectWalk, { settings = [] }: CatalogueFunction): Names {
  const own = settings.find((one) => one.startsWith('search_path='));
  if (own === undefined) return walk.names;
  const path = own.slice('search_path='.length).split(',');
  return walk.names.under(path.map((one) => one.trim().replace(/^"(.*)"$/, '$1')));
}

function readFunction(walk: EffectWalk, called: CatalogueFunction): Found | undefined {
  const { kind, name, language, body, signature = '', settings = [], returns } = called;
  if (kind === 'aggregate') {
    for (const one of called.calls) walk.runsFunction(one, walk.top);
    return undefined;
  }
  for (const one of settings) {
    if (!one.startsWith('search_path=')) walk.opaque(`function ${name} sets ${one.split('=')[0]}`);
  }
  const isReadable = language === 'sql' || language === 'plpgsql';
  if (body === null || !isReadable) {
    walk.opaque(isReadable ? `unread function ${name}` : `function ${name} in ${language}`);
    return undefined;
  }
  const header = `CREATE FUNCTION f(${signature}) RETURNS ${returns} LANGUAGE sql `;
  const created = only(walk.parse(`${header} AS ''`))[1];
  const parameters = nodesIn(created.parameters, 'FunctionParameter');
  // Arguments that are left out are computed.
  for (const parameter of parameters) walk.node(parameter.defexpr, walk.top);
  if (language === 'plpgsql') return { result: readPlpgsqlFunction(walk, called, signature), rows: null };
  const statements = sqlStatements(walk, header, body);
  if (statements === null) {
    walk.opaque(`unread function ${name}`);
    return undefined;
  }
  let last: readonly Column[] | null = null;
  let result: Lineage = NONE;
  for (const statement of statements) {
    const shape = returnedBy(walk, statement);
    last = shape.rest === null ? shape.columns : null;
    result = shape.wholeRow;
  }
  return { result, rows: last === null ? null : returnedRows(walk, returns, parameters, last) };
}

/** The rows of a statement of a body, or of the one value of RETURN. */
function returnedBy(walk: EffectWalk, statement: unknown): Shape {
  const [type, body] = only(statement);
  if (type !== 'ReturnStmt') return walk.query(statement, walk.top);
  return walk.query({ SelectStmt: { targetList: [{ ResTarget: { val: body.returnval } }] } }, walk.top);
}

/** The statements of a body: text, or `BEGIN ATOMIC ... END` and `RETURN ...` as the server prints them. */
function sqlStatements(walk: EffectWalk, header: string, body: string): readonly unknown[] | null {
  if (/^\s*(begin\s+atomic|return)\b/i.test(body)) {
    const [type, created] = only(walk.parse(`${header}${body}`));
    return type !== 'CreateFunctionStmt' ? null : flattened(created.sql_body);
  }
  walk.step(body.length);
  const parsed = walk.names.parser.parse(body);
  if (parsed.outcome === 'failed') throw new TooComplex('parser failed');
  return parsed.outcome === 'parsed' ? parsed.statements.map(({ stmt }) => stmt) : null;
}

function flattened(node: unknown): unknown[] {
  const [type, list] = only(node);
  return type === 'List' ? listOf(list.items).flatMap(flattened) : isNothing(node) ? [] : [node];
}

function isNothing(node: unknown): boolean {
  return only(node)[0] === '';
}

/** The columns of a query under the names a function gives them: those of TABLE, OUT arguments, or a row type. */
function returnedRows(
  walk: EffectWalk,
  returns: string,
  parameters: readonly TreeNode[],
  rows: readonly Column[],
): Column[] | null {
  const given = parameters
    .filter(({ mode }) => ['FUNC_PARAM_OUT', 'FUNC_PARAM_INOUT', 'FUNC_PARAM_TABLE'].includes(text(mode)))
    .map(({ name }) => text(name));
  const [schema, name] = nameParts(only(rowType(walk, returns))[1].names);
  const type = name === undefined ? null : (walk.names.catalogue?.relation(schema!, name) ?? null);
  const names = given.length > 0 ? given : type?.columns.map((one) => one.name);
  if (names?.length !== rows.length) return null;
  return rows.map((one, at) => column(names[at]!, one.lineage));
}

function rowType(walk: EffectWalk, returns: string): unknown {
  const [, created] = only(walk.parse(`CREATE FUNCTION f() RETURNS ${returns} LANGUAGE sql AS ''`));
  return created.returnType === undefined ? null : { TypeName: created.returnType };
}

/** @returns what its variables can hold, and so its result: the values of everything it computes or reads */
function readPlpgsqlFunction(walk: EffectWalk, called: CatalogueFunction, signature: string): Lineage {
  const { name, body, kind, returns } = called;
  if (body === null) {
    walk.opaque(`unread function ${name}`);
    return NONE;
  }
  let tag = '$code$';
  while (body.includes(tag)) tag = `$${tag.slice(1, -1)}_$`;
  const header = kind === 'procedure' ? `PROCEDURE f(${signature})` : `FUNCTION f(${signature}) RETURNS ${returns}`;
  walk.step(body.length);
  const tree = walk.names.parser.parsePlpgsql(`CREATE ${header} LANGUAGE plpgsql AS ${tag}${body}${tag}`);
  if (tree === null) {
    walk.opaque(`unread function ${name}`);
    return NONE;
  }
  const found: PlpgsqlValues = { values: [], decide: false, show: false };
  readPlpgsql(walk, tree, name, found);
  const result = computedFrom(found.values);
  // Any variable can hold any of them: which, the text does not show.
  if (found.decide) walk.use(result, 'condition');
  if (found.show) walk.use(result, 'copy');
  return result;
}

/** Statements of plpgsql whose SQL stands in them as it will run. */
const READABLE = new Set(
  `block assign if case loop while fori fors foreach_a exit return return_next return_query raise assert execsql perform
   getdiag fetch close`
    .split(/\s+/)
    .map((name) => `PLpgSQL_stmt_${name}`),
);

interface PlpgsqlValues {
  readonly values: Lineage[];
  /** True if a value decides what is done; if one can go into a message. */
  decide: boolean;
  show: boolean;
}

function readPlpgsql(walk: EffectWalk, node: unknown, name: string, found: PlpgsqlValues): void {
  if (typeof node !== 'object' || node === null) return;
  if (Array.isArray(node)) {
    for (const item of node) readPlpgsql(walk, item, name, found);
    return;
  }
  for (const key in node) {
    const value = (node as TreeNode)[key];
    if (key === 'PLpgSQL_expr') found.values.push(readExpression(walk, value as TreeNode, name));
    else if ((key.startsWith('PLpgSQL_stmt_') && !READABLE.has(key)) || key === 'dynquery') {
      walk.opaque(`function ${name} runs SQL text`);
    } else {
      found.decide ||= DECIDING.has(key);
      found.show ||= SHOWING.has(key);
      readPlpgsql(walk, value, name, found);
    }
  }
}

const DECIDING = new Set('if case while fori exit'.split(' ').map((statement) => `PLpgSQL_stmt_${statement}`));
const SHOWING = new Set(['PLpgSQL_stmt_raise', 'PLpgSQL_stmt_assert']);

/** RawParseMode: a whole statement, a type name, an expression, or an assignment to a target with 1 to 3 parts. */
const STATEMENT = 0;
const TYPE_NAME = 1;
const EXPRESSION = 2;

/** @returns what its value is computed from */
function readExpression(walk: EffectWalk, { query, parseMode }: TreeNode, name: string): Lineage {
  const mode = Number(parseMode ?? STATEMENT);
  if (mode === TYPE_NAME) return NONE;
  let sql = text(query);
  if (mode === EXPRESSION) sql = `SELECT ${sql}`;
  else if (mode > EXPRESSION) {
    const assignment = /^\s*(?:[\w$]+|"[^"]+")(?:\s*\.\s*(?:[\w$]+|"[^"]+"))*\s*:?=([\s\S]*)$/.exec(sql);
    if (assignment === null) {
      walk.opaque(`unread assignment in ${name}`);
      return NONE;
    }
    sql = `SELECT ${assignment[1]}`;
  }
  const statement = walk.parse(sql);
  if (statement !== null) return rowsOf(walk, statement);
  walk.opaque(`unread statement in ${name}`);
  return NONE;
}

/** What the rows of a statement are computed from; nothing if it has none. */
function rowsOf(walk: EffectWalk, statement: TreeNode): Lineage {
  if (isQuery(statement)) return walk.query(statement, walk.top).wholeRow;
  walk.node(statement, walk.top);
  return NONE;
}

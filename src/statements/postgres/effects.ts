import type { Effect, EffectName, NameChange, ObjectName, Predicate, StatementFacts } from '../facts.ts';
import { isSafeEncoding, isUnsafeEncoding } from './encodings.ts';
import { fingerprint } from './fingerprint.ts';
import { effectsOfFunction } from './functions.ts';
import { statementKind } from './kinds.ts';
import { FIXED_TYPES, NODE_DECISIONS } from './nodes.ts';
import type { TreeNode } from './parser.ts';

/**
 * From the syntax tree of one statement to its effects.
 *
 * One walk over the whole tree: every node type has a decision (nodes.ts), so an effect counts wherever it hides. What
 * the walk does not know becomes an `opaque` effect, never silence. No catalogue yet: names are as written, operators,
 * casts and `a.b` (which may be the function call b(a)) are taken as harmless, functions are named, not judged.
 */

/** The facts of one statement, and whether a literal of the text decided any of them. */
export interface AnalysedStatement {
  readonly facts: StatementFacts;
  /** False if other literals in the same places could have given other facts. */
  readonly literalsAreFree: boolean;
}

/** Analyses the tree of one statement (`RawStmt.stmt`). `start` and `end` are passed through. */
export function analyseStatement(statement: TreeNode, start: number, end: number): AnalysedStatement {
  const walk = new EffectWalk();
  walk.node(statement, TOP);
  return {
    facts: {
      kind: statementKind(statement),
      effects: walk.effects(),
      executes: walk.executes,
      nameChange: walk.nameChange,
      changesLexing: walk.changesLexing,
      refuses: walk.refuses,
      fingerprint: fingerprint(statement),
      start,
      end,
    },
    literalsAreFree: walk.literalsAreFree,
  };
}

/** What surrounds a node: the CTE names it can see, the WHERE of its query, and the construct it hides in. */
interface Place {
  readonly ctes: CteScope | null;
  readonly predicate: Predicate;
  readonly via: string | null;
}

interface CteScope {
  readonly names: ReadonlySet<string>;
  readonly outer: CteScope | null;
}

const TOP: Place = { ctes: null, predicate: 'none', via: null };

/** Settings that move the borders of strings or characters in later text. */
const LEXING_SETTINGS = new Set(['client_encoding', 'standard_conforming_strings', 'backslash_quote']);

const ROLE_SETTINGS = new Set(['role', 'session_authorization']);

type Handler = (walk: EffectWalk, body: TreeNode, place: Place, type: string) => void;

class EffectWalk {
  readonly executes: string[] = [];
  nameChange: NameChange | null = null;
  changesLexing = false;
  refuses: string | null = null;
  literalsAreFree = true;
  #effects = new Map<string, Effect>();

  effects(): Effect[] {
    return [...this.#effects.values()];
  }

  add(effect: EffectName, object: ObjectName | null, place: Place, predicate: Predicate | null = null): void {
    this.addVia(effect, object, place.via, predicate);
  }

  addVia(effect: EffectName, object: ObjectName | null, via: string | null, predicate: Predicate | null = null): void {
    const name = object === null ? '' : `${object.kind}\0${object.schema ?? '\0'}\0${object.name}`;
    const key = `${effect}\0${predicate}\0${via}\0${name}`;
    if (!this.#effects.has(key)) this.#effects.set(key, { effect, object, predicate, via });
  }

  opaque(why: string): void {
    this.addVia('opaque', null, why);
    this.changesLexing = true;
  }

  /** A node with its type as its only key, or a list of such. */
  node(value: unknown, place: Place): void {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const item of value) this.node(item, place);
      return;
    }
    for (const type in value) this.typed(type, (value as TreeNode)[type] as TreeNode, place);
  }

  /** The fields of a node of a known type. */
  typed(type: string, body: TreeNode | undefined, place: Place): void {
    if (body === undefined) return;
    switch (NODE_DECISIONS.get(type)) {
      case 'handled': {
        const handler = HANDLERS[type];
        if (handler === undefined) this.opaque(`not analysed: ${type}`);
        else handler(this, body, place, type);
        return;
      }
      case 'contains':
        this.inside(type, body, place);
        return;
      case 'inert':
        return;
      default:
        this.opaque(`not analysed: ${type}`);
    }
  }

  /** Everything inside a node, except the fields named. */
  inside(type: string, body: TreeNode, place: Place, except: readonly string[] = []): void {
    for (const field in body) {
      const value = body[field];
      if (typeof value !== 'object' || value === null || except.includes(field)) continue;
      if (Array.isArray(value)) {
        for (const item of value) this.node(item, place);
        continue;
      }
      const fixed = FIXED_TYPES.get(`${type}.${field}`) ?? FIXED_TYPES.get(field);
      // A wrapped node's only key is its type, and types start with a capital; bare fields do not.
      if (isWrapped(value)) this.node(value, place);
      else if (fixed !== undefined) this.typed(fixed, value as TreeNode, place);
      else if (!isEmpty(value)) this.opaque(`not analysed: ${type}.${field}`);
    }
  }

  /** The WITH clause of a statement; gives the place its body is read in. */
  withClause(clause: TreeNode | undefined, place: Place): Place {
    if (clause === undefined) return place;
    const ctes = nodesIn(clause.ctes, 'CommonTableExpr');
    const via = place.via ?? 'cte';
    let scope = place.ctes;
    if (clause.recursive === true) {
      scope = { names: new Set(ctes.map((cte) => text(cte.ctename))), outer: scope };
      for (const cte of ctes) this.inside('CommonTableExpr', cte, { ctes: scope, predicate: 'none', via });
    } else {
      // Each sees the ones before it: WITH t AS (SELECT * FROM t) reads the table t.
      for (const cte of ctes) {
        this.inside('CommonTableExpr', cte, { ctes: scope, predicate: 'none', via });
        scope = { names: new Set([text(cte.ctename)]), outer: scope };
      }
    }
    return { ...place, ctes: scope };
  }

  /** Setting a session setting, whichever way it is written. `value` is null where it is not a literal or is the default. */
  setting(name: string, value: string | null | undefined, place: Place): void {
    const folded = name.toLowerCase();
    this.add(ROLE_SETTINGS.has(folded) ? 'set-role' : 'set-session', setting(folded), place);
    if (!LEXING_SETTINGS.has(folded)) return;
    this.changesLexing = true;
    if (folded !== 'client_encoding' || value === undefined) return;
    if (value === null) this.refuses = 'sets a client_encoding that cannot be read from the statement';
    else if (!isSafeEncoding(value))
      this.refuses = `sets the client_encoding ${value}, in which text cannot be read safely`;
  }

  explain(body: TreeNode, place: Place): void {
    this.add('explain', null, place);
    if (explainExecutes(body.options)) {
      this.node(body.query, { ...place, via: place.via ?? 'explain analyze' });
      return;
    }
    // Planning does not run the statement, but it reads the relations' statistics and evaluates stable functions.
    const inner = new EffectWalk();
    inner.node(body.query, { ...place, via: place.via ?? 'explain' });
    for (const one of inner.effects()) {
      if (WRITES_EXPLAIN_ONLY_READS.has(one.effect)) this.addVia('read', one.object, one.via, one.predicate ?? 'none');
      else if (!NOT_DONE_BY_EXPLAIN.has(one.effect)) this.addVia(one.effect, one.object, one.via, one.predicate);
    }
    this.#take(inner);
  }

  prepare(body: TreeNode, place: Place): void {
    const name = text(body.name);
    const query = body.query as TreeNode;
    this.add('prepare', { kind: 'other', schema: null, name }, place);
    const inner = new EffectWalk();
    inner.node(query, TOP);
    this.nameChange = {
      op: 'prepare',
      name,
      inner: {
        kind: statementKind(query),
        effects: inner.effects(),
        executes: inner.executes,
        nameChange: null,
        changesLexing: inner.changesLexing,
        refuses: inner.refuses,
        fingerprint: fingerprint(query),
        start: 0,
        end: 0,
      },
    };
    // The inner effects count at PREPARE as well: a statement that may not run may not be prepared.
    for (const one of inner.effects()) {
      this.addVia(one.effect, one.object, one.effect === 'opaque' ? one.via : (one.via ?? 'prepare'), one.predicate);
    }
    this.#take(inner);
  }

  #take(inner: EffectWalk): void {
    this.executes.push(...inner.executes);
    this.changesLexing ||= inner.changesLexing;
    this.refuses ??= inner.refuses;
    this.literalsAreFree &&= inner.literalsAreFree;
  }
}

const WRITES_EXPLAIN_ONLY_READS: ReadonlySet<EffectName> = new Set(['insert', 'update', 'delete', 'merge']);
const NOT_DONE_BY_EXPLAIN: ReadonlySet<EffectName> = new Set(['create', 'lock', 'cursor', 'maintenance']);

const EXPLAIN_OPTIONS = new Set(
  'analyze verbose costs settings generic_plan buffers serialize wal timing summary memory format'.split(' '),
);

/** The last ANALYZE counts; an option or value that is not known counts as executing. */
function explainExecutes(options: unknown): boolean {
  let executes = false;
  for (const option of nodesIn(options, 'DefElem')) {
    const name = text(option.defname);
    if (!EXPLAIN_OPTIONS.has(name)) return true;
    if (name !== 'analyze') continue;
    const value = option.arg === undefined ? 'true' : optionValue(option.arg);
    executes = !(value === 'false' || value === 'off' || value === '0');
  }
  return executes;
}

/** The value of an option as defGetBoolean reads it: `'x'`, `0`, `on`; lower case. `null` for anything else. */
function optionValue(value: unknown): string | null {
  const [type, body] = only(value);
  if (type === 'String') return text(body.sval).toLowerCase();
  if (type === 'Integer') return String(body.ival ?? 0);
  if (type === 'Boolean') return String(body.boolval ?? false);
  return literal(value);
}

/** The text of a literal, through casts: `'a'`, `'a'::text`, `1`, `on`. `null` if the expression is not one literal. */
function literal(value: unknown): string | null {
  const [type, body] = only(value);
  if (type === 'TypeCast') return literal(body.arg);
  if (type !== 'A_Const' || body.isnull === true) return null;
  if (body.sval !== undefined) return text((body.sval as TreeNode).sval);
  if (body.ival !== undefined) return String((body.ival as TreeNode).ival ?? 0);
  if (body.fval !== undefined) return text((body.fval as TreeNode).fval);
  if (body.boolval !== undefined) return String((body.boolval as TreeNode).boolval ?? false);
  return null;
}

function only(value: unknown): [string, TreeNode] {
  if (typeof value === 'object' && value !== null) {
    for (const type in value) return [type, (value as TreeNode)[type] as TreeNode];
  }
  return ['', {}];
}

function isWrapped(value: object): boolean {
  for (const key in value) {
    const first = key.charCodeAt(0);
    return first >= 65 && first <= 90;
  }
  return false;
}

function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}

/** The bodies of the nodes of one type in a list. */
function nodesIn(list: unknown, type: string): TreeNode[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: TreeNode) => (item[type] === undefined ? [] : [item[type] as TreeNode]));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function relation(range: unknown): ObjectName | null {
  if (typeof range !== 'object' || range === null) return null;
  const body = range as TreeNode;
  return { kind: 'relation', schema: (body.schemaname as string | undefined) ?? null, name: text(body.relname) };
}

function setting(name: string): ObjectName {
  return { kind: 'setting', schema: null, name };
}

function other(name: unknown): ObjectName | null {
  return typeof name === 'string' && name !== '' ? { kind: 'other', schema: null, name } : null;
}

function role(spec: unknown): ObjectName | null {
  const body = (spec ?? {}) as TreeNode;
  const name = text(body.rolename) || text(body.roletype).replace('ROLESPEC_', '').toLowerCase();
  return name === '' ? null : { kind: 'role', schema: null, name };
}

/** The parts of a dotted name: a list of String nodes, a List node of them, a String, a TypeName, an ObjectWithArgs or a RangeVar. */
function nameParts(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(nameParts);
  const [type, body] = only(value);
  switch (type) {
    case 'String':
      return [text(body.sval)];
    case 'List':
      return nameParts(body.items);
    case 'TypeName':
      return nameParts(body.names);
    case 'ObjectWithArgs':
      return nameParts(body.objname);
    case 'RangeVar':
      return [body.schemaname, body.relname].filter((part) => typeof part === 'string');
    default:
      return [];
  }
}

function named(kind: ObjectName['kind'], parts: readonly string[]): ObjectName | null {
  const name = parts.at(-1);
  return name === undefined ? null : { kind, schema: parts.at(-2) ?? null, name };
}

const RELATION_TYPES = new Set(
  `TABLE VIEW MATVIEW SEQUENCE INDEX FOREIGN_TABLE`.split(' ').map((type) => `OBJECT_${type}`),
);
/** Parts of a relation: the last part of the name is theirs, the rest is the relation's. */
const RELATION_PART_TYPES = new Set(
  `COLUMN TRIGGER RULE POLICY TABCONSTRAINT DEFAULT`.split(' ').map((type) => `OBJECT_${type}`),
);
const FUNCTION_TYPES = new Set(`FUNCTION PROCEDURE ROUTINE AGGREGATE`.split(' ').map((type) => `OBJECT_${type}`));

/** The object a DROP, COMMENT, ALTER or GRANT names, by the kind of object the statement says it is. */
function objectOf(type: unknown, value: unknown): ObjectName | null {
  const parts = nameParts(value);
  const objectType = text(type);
  if (RELATION_TYPES.has(objectType)) return named('relation', parts);
  if (RELATION_PART_TYPES.has(objectType)) return named('relation', parts.slice(0, -1));
  if (FUNCTION_TYPES.has(objectType)) return named('function', parts);
  if (objectType === 'OBJECT_SCHEMA') return named('schema', parts.slice(-1));
  if (objectType === 'OBJECT_DATABASE') return named('database', parts.slice(-1));
  if (objectType === 'OBJECT_ROLE') {
    const [node, body] = only(value);
    return node === 'RoleSpec' ? role(body) : null;
  }
  return named('other', parts);
}

/** Relations of a FROM clause with the names they go by, sub-selects included: FOR UPDATE reaches into those. */
function relationsIn(
  from: unknown,
  found: { alias: string; range: TreeNode }[],
  underAlias: string | null = null,
): void {
  if (Array.isArray(from)) {
    for (const item of from) relationsIn(item, found, underAlias);
    return;
  }
  const [type, body] = only(from);
  const aliasOf = () => underAlias ?? (text((body.alias as TreeNode | undefined)?.aliasname) || null);
  if (type === 'RangeVar') found.push({ alias: aliasOf() ?? text(body.relname), range: body });
  else if (type === 'JoinExpr') {
    relationsIn(body.larg, found, aliasOf());
    relationsIn(body.rarg, found, aliasOf());
  } else if (type === 'RangeTableSample') relationsIn(body.relation, found, underAlias);
  else if (type === 'RangeSubselect') {
    const [, select] = only(body.subquery);
    for (const arm of selectArms(select)) relationsIn(arm.fromClause, found, aliasOf() ?? '');
  }
}

function selectArms(select: TreeNode): TreeNode[] {
  const { larg, rarg } = select;
  if (larg === undefined || rarg === undefined) return [select];
  return [...selectArms(larg as TreeNode), ...selectArms(rarg as TreeNode)];
}

/** True if the expression names no column, so that it cannot tie one relation to another. */
function namesNoColumn(expression: unknown): boolean {
  if (typeof expression !== 'object' || expression === null) return true;
  for (const key in expression) {
    if (key === 'ColumnRef' || !namesNoColumn((expression as TreeNode)[key])) return false;
  }
  return true;
}

function present(clause: unknown): Predicate {
  return clause === undefined ? 'none' : 'open';
}

/** Writing a relation and, where RETURNING shows the written rows, reading it. */
function target(walk: EffectWalk, effect: EffectName, body: TreeNode, place: Place, predicate: Predicate | null): void {
  const object = relation(body.relation);
  walk.add(effect, object, place, predicate);
  if (body.returningClause !== undefined) walk.addVia('read', object, place.via ?? 'returning', predicate ?? 'none');
}

function insert(walk: EffectWalk, body: TreeNode, outer: Place): void {
  const place = walk.withClause(body.withClause as TreeNode | undefined, outer);
  target(walk, 'insert', body, place, null);
  const conflict = body.onConflictClause as TreeNode | undefined;
  if (conflict?.action === 'ONCONFLICT_UPDATE') {
    // The rows an upsert updates are the ones its source collides with: VALUES bounds them by the text, a query does not.
    const [, source] = only(body.selectStmt);
    const bounded = source.valuesLists !== undefined || conflict.whereClause !== undefined;
    walk.addVia('update', relation(body.relation), place.via ?? 'on conflict', bounded ? 'open' : 'none');
  }
  walk.inside('InsertStmt', body, { ...place, predicate: 'none' }, ['withClause', 'relation']);
}

function merge(walk: EffectWalk, body: TreeNode, outer: Place): void {
  const place = walk.withClause(body.withClause as TreeNode | undefined, outer);
  target(walk, 'merge', body, place, null);
  const object = relation(body.relation);
  const via = place.via ?? 'merge';
  // ON is required by the syntax, so that it is there says nothing; one without columns joins everything to everything.
  const joined: Predicate = namesNoColumn(body.joinCondition) ? 'none' : 'open';
  for (const when of nodesIn(body.mergeWhenClauses, 'MergeWhenClause')) {
    const matched = when.matchKind === 'MERGE_WHEN_MATCHED' ? joined : 'none';
    const predicate = when.condition === undefined ? matched : 'open';
    if (when.commandType === 'CMD_INSERT') walk.addVia('insert', object, via);
    else if (when.commandType === 'CMD_UPDATE') walk.addVia('update', object, via, predicate);
    else if (when.commandType === 'CMD_DELETE') walk.addVia('delete', object, via, predicate);
    else if (when.commandType !== 'CMD_NOTHING') walk.opaque(`not analysed: MERGE ${text(when.commandType)}`);
  }
  walk.inside('MergeStmt', body, { ...place, predicate: joined }, ['withClause', 'relation']);
}

function select(walk: EffectWalk, body: TreeNode, outer: Place): void {
  const scoped = walk.withClause(body.withClause as TreeNode | undefined, outer);
  const place: Place = { ...scoped, predicate: present(body.whereClause) };
  const into = body.intoClause as TreeNode | undefined;
  if (into !== undefined) walk.addVia('create', relation(into.rel), place.via ?? 'select into');
  const locking = nodesIn(body.lockingClause, 'LockingClause');
  if (locking.length > 0) lockRows(walk, body, locking, place);
  // The arms of a set operation have their own WHERE; ORDER BY and LIMIT of the whole have none.
  walk.inside('SelectStmt', body, place, ['withClause', 'intoClause', 'lockingClause']);
}

function lockRows(walk: EffectWalk, body: TreeNode, locking: readonly TreeNode[], place: Place): void {
  const found: { alias: string; range: TreeNode }[] = [];
  for (const arm of selectArms(body)) relationsIn(arm.fromClause, found);
  for (const clause of locking) {
    const named = nodesIn(clause.lockedRels, 'RangeVar').map((range) => text(range.relname));
    const locked = named.length === 0 ? found : found.filter(({ alias }) => named.includes(alias));
    if (locked.length === 0) walk.add('lock', null, place);
    for (const { range } of locked) walk.add('lock', relation(range), place);
  }
}

function functionCall(walk: EffectWalk, body: TreeNode, place: Place): void {
  const object = named('function', nameParts(body.funcname));
  walk.add('call-function', object, place);
  const name = object?.name ?? '';
  const args = Array.isArray(body.args) ? body.args : [];
  // Named notation (f(value => ...)) can reorder, so only the plain form tells which argument is which.
  const first = args.length > 0 && !args.some((arg) => 'NamedArgExpr' in arg) ? literal(args[0]) : null;
  if (name === 'set_config') {
    walk.literalsAreFree = false;
    if (first !== null) walk.setting(first, literal(args[1]), { ...place, via: place.via ?? 'set_config' });
    else {
      walk.addVia('set-session', null, place.via ?? 'set_config');
      walk.addVia('set-role', null, place.via ?? 'set_config');
      walk.changesLexing = true;
      // With both from binds nothing is known here; the session sees a changed client_encoding in ParameterStatus.
      const value = literal(args[1]);
      if (value !== null && isUnsafeEncoding(value)) walk.refuses = `may set the client_encoding ${value}`;
    }
  } else if (name === 'nextval' || name === 'setval') {
    walk.literalsAreFree = false;
    walk.addVia('update', first === null ? null : sequence(first), place.via ?? name, 'open');
  } else {
    for (const { effect, via } of effectsOfFunction(name)) {
      if (effect === 'opaque') walk.opaque(`runs SQL text: ${name}`);
      else if (effect === 'notify') {
        walk.literalsAreFree = false;
        walk.addVia('notify', first === null ? null : other(first), via);
      } else walk.addVia(effect, object, via);
    }
  }
  walk.inside('FuncCall', body, place, ['funcname']);
}

/** A sequence's name as regclass reads it from text; `null` where it is quoted or odd and so not plainly readable. */
function sequence(name: string): ObjectName | null {
  const match = /^\s*(?:([A-Za-z_][\w$]*)\s*\.\s*)?([A-Za-z_][\w$]*)\s*$/.exec(name);
  if (match === null) return null;
  return { kind: 'relation', schema: match[1]?.toLowerCase() ?? null, name: match[2]!.toLowerCase() };
}

function copy(walk: EffectWalk, body: TreeNode, place: Place): void {
  if (body.is_from === true) walk.add('copy-in', relation(body.relation), place);
  // The relations a query reads are counted one by one; the query itself is no relation.
  else if (body.relation === undefined) walk.add('copy-out', other('query'), place);
  else walk.add('copy-out', relation(body.relation), place, 'none');
  if (body.is_program === true) walk.add('program', null, place);
  else if (body.filename !== undefined) walk.add('file', null, place);
  walk.inside('CopyStmt', body, { ...place, via: place.via ?? 'copy' }, ['relation']);
}

function variableSet(walk: EffectWalk, body: TreeNode, place: Place): void {
  const name = text(body.name);
  switch (body.kind) {
    case 'VAR_SET_MULTI':
      if (name === 'TRANSACTION SNAPSHOT') walk.add('set-session', setting('transaction_snapshot'), place);
      transactionModes(walk, body.args, name === 'SESSION CHARACTERISTICS', place);
      walk.add('transaction', null, place);
      return;
    case 'VAR_RESET_ALL':
      walk.add('set-session', null, place);
      walk.changesLexing = true;
      return;
    case 'VAR_SET_VALUE': {
      const args = Array.isArray(body.args) ? body.args : [];
      walk.setting(name, args.length === 1 ? literal(args[0]) : null, place);
      walk.node(args, place);
      return;
    }
    default:
      walk.setting(name, undefined, place);
  }
}

/** READ WRITE takes a protection away, so it is a setting; READ ONLY, isolation and deferrability only shape the transaction. */
function transactionModes(walk: EffectWalk, modes: unknown, forSession: boolean, place: Place): void {
  for (const mode of nodesIn(modes, 'DefElem')) {
    const name = text(mode.defname);
    const readOnly = name === 'transaction_read_only' && literal(mode.arg) === '1';
    if (forSession) walk.add('set-session', setting(`default_${name}`), place);
    else if (name === 'transaction_read_only' && !readOnly) walk.add('set-session', setting(name), place);
  }
}

function grant(walk: EffectWalk, body: TreeNode, place: Place): void {
  const effect = body.is_grant === true ? 'grant' : 'revoke';
  const objects = Array.isArray(body.objects) ? body.objects : [];
  const inSchemas = body.targtype === 'ACL_TARGET_ALL_IN_SCHEMA';
  for (const object of objects) walk.add(effect, objectOf(inSchemas ? 'OBJECT_SCHEMA' : body.objtype, object), place);
  if (objects.length === 0) walk.add(effect, null, place);
}

/** Fields that are the statement's own object or its alias, and not a relation it reads. */
const OWN_OBJECT = [
  'relation',
  'view',
  'sequence',
  'typevar',
  'table',
  'object',
  'objects',
  'func',
  'funcname',
  'setstmt',
];

/** A statement that does one thing to one object, and whatever is inside it. */
function does(effect: EffectName, object: (body: TreeNode) => ObjectName | null, via: string | null = null): Handler {
  return (walk, body, place, type) => {
    walk.add(effect, object(body), place);
    walk.inside(type, body, via === null ? place : { ...place, via: place.via ?? via }, OWN_OBJECT);
  };
}

/** The same for a statement with several effects on one object. */
function doesAll(effects: readonly EffectName[], object: (body: TreeNode) => ObjectName | null): Handler {
  return (walk, body, place, type) => {
    for (const effect of effects) walk.add(effect, object(body), place);
    walk.inside(type, body, place, OWN_OBJECT);
  };
}

const onRelation = (body: TreeNode) => relation(body.relation);
const onNothing = () => null;
const onOther = (field: string) => (body: TreeNode) => other(body[field]);
const onName =
  (field: string, kind: ObjectName['kind'] = 'other') =>
  (body: TreeNode) =>
    named(kind, nameParts(body[field]));

/** The objects of a statement that has either `relation` or `object` with `objectType`. */
function relationOrObject(typeField: string): (body: TreeNode) => ObjectName | null {
  return (body) => (body.relation === undefined ? objectOf(body[typeField], body.object) : onRelation(body));
}

/** One effect for each item of a list; one without object where the list is empty (VACUUM of everything). */
function doesToEach(
  effect: EffectName,
  field: string,
  object: (item: unknown, body: TreeNode) => ObjectName | null,
): Handler {
  return (walk, body, place, type) => {
    const items = Array.isArray(body[field]) ? body[field] : [];
    for (const item of items) walk.add(effect, object(item, body), place);
    if (items.length === 0) walk.add(effect, null, place);
    walk.inside(type, body, place, [field, ...OWN_OBJECT]);
  };
}

const rangeItem = (item: unknown) => relation(only(item)[1]);

const HANDLERS: Readonly<Record<string, Handler>> = {
  SelectStmt: select,
  InsertStmt: insert,
  UpdateStmt: (walk, body, outer) => {
    const place = walk.withClause(body.withClause as TreeNode | undefined, outer);
    const predicate = present(body.whereClause);
    target(walk, 'update', body, place, predicate);
    walk.inside('UpdateStmt', body, { ...place, predicate }, ['withClause', 'relation']);
  },
  DeleteStmt: (walk, body, outer) => {
    const place = walk.withClause(body.withClause as TreeNode | undefined, outer);
    const predicate = present(body.whereClause);
    target(walk, 'delete', body, place, predicate);
    walk.inside('DeleteStmt', body, { ...place, predicate }, ['withClause', 'relation']);
  },
  MergeStmt: merge,
  RangeVar: (walk, body, place) => {
    if (body.schemaname === undefined && body.catalogname === undefined) {
      const name = text(body.relname);
      for (let scope = place.ctes; scope !== null; scope = scope.outer) if (scope.names.has(name)) return;
    }
    walk.add('read', relation(body), place, place.predicate);
  },
  FuncCall: functionCall,
  LockingClause: (walk, _body, place) => walk.add('lock', null, place),
  CopyStmt: copy,
  TruncateStmt: doesToEach('truncate', 'relations', rangeItem),
  LockStmt: doesToEach('lock', 'relations', rangeItem),

  ExplainStmt: (walk, body, place) => walk.explain(body, place),
  PrepareStmt: (walk, body, place) => walk.prepare(body, place),
  ExecuteStmt: (walk, body, place) => {
    const name = text(body.name);
    walk.executes.push(name);
    walk.add('execute', other(name), place);
    walk.node(body.params, place);
  },
  DeallocateStmt: (walk, body, place) => {
    const name = text(body.name);
    walk.nameChange = body.isall === true ? { op: 'deallocate-all' } : { op: 'deallocate', name };
    walk.add('prepare', other(name), place);
  },
  DeclareCursorStmt: (walk, body, place) => {
    walk.add('cursor', other(body.portalname), place);
    walk.node(body.query, { ...place, via: place.via ?? 'cursor' });
  },
  FetchStmt: does('cursor', onOther('portalname')),
  ClosePortalStmt: does('cursor', onOther('portalname')),
  DoStmt: (walk) => walk.opaque('anonymous code'),
  CallStmt: (walk, body, place) => {
    const call = (body.funccall ?? {}) as TreeNode;
    walk.add('call-procedure', named('function', nameParts(call.funcname)), place);
    walk.changesLexing = true;
    walk.inside('FuncCall', call, place, ['funcname']);
  },

  TransactionStmt: (walk, body, place) => {
    walk.add('transaction', null, place);
    transactionModes(walk, body.options, false, place);
  },
  ConstraintsSetStmt: (walk, _body, place) => walk.add('transaction', null, place),
  VariableSetStmt: variableSet,
  VariableShowStmt: (walk, body, place) => walk.add('read', setting(text(body.name).toLowerCase()), place, 'none'),
  DiscardStmt: (walk, body, place) => {
    walk.add('set-session', null, place);
    if (body.target !== 'DISCARD_ALL') return;
    // DISCARD ALL is RESET ALL, DEALLOCATE ALL and RESET SESSION AUTHORIZATION in one.
    walk.add('set-role', setting('session_authorization'), place);
    walk.nameChange = { op: 'deallocate-all' };
    walk.changesLexing = true;
  },
  AlterSystemStmt: setGlobal(onNothing),
  AlterDatabaseSetStmt: setGlobal((body) => namedAs('database', body.dbname)),
  AlterRoleSetStmt: setGlobal((body) => role(body.role)),

  NotifyStmt: does('notify', onOther('conditionname')),
  ListenStmt: does('listen', onOther('conditionname')),
  UnlistenStmt: does('listen', onOther('conditionname')),
  LoadStmt: doesAll(['admin', 'file'], onOther('filename')),
  CheckPointStmt: does('maintenance', onNothing),
  ClusterStmt: does('maintenance', onRelation),
  ReindexStmt: does('maintenance', (body) => (body.relation === undefined ? other(body.name) : onRelation(body))),
  RefreshMatViewStmt: does('maintenance', onRelation),
  VacuumStmt: doesToEach('maintenance', 'rels', (item) => relation((only(item)[1] as TreeNode).relation)),

  GrantStmt: grant,
  AlterDefaultPrivilegesStmt: (walk, body, place) => grant(walk, (body.action ?? {}) as TreeNode, place),
  GrantRoleStmt: (walk, body, place) => {
    const effect = body.is_grant === true ? 'grant' : 'revoke';
    for (const granted of nodesIn(body.granted_roles, 'AccessPriv')) {
      walk.add(effect, namedAs('role', granted.priv_name), place);
    }
  },
  CreateRoleStmt: does('role', (body) => namedAs('role', body.role)),
  AlterRoleStmt: (walk, body, place) => walk.add('role', role(body.role), place),
  DropRoleStmt: doesToEach('role', 'roles', (item) => role(only(item)[1])),
  ReassignOwnedStmt: doesToEach('role', 'roles', (item) => role(only(item)[1])),
  DropOwnedStmt: (walk, body, place) => {
    for (const owner of nodesIn(body.roles, 'RoleSpec')) walk.add('role', role(owner), place);
    walk.add('drop', null, place);
  },

  CreateStmt: does('create', onRelation),
  CreateForeignTableStmt: (walk, body, place) => {
    walk.typed('CreateStmt', body.base as TreeNode, place);
    walk.add('network', other(body.servername), place);
  },
  CreateTableAsStmt: (walk, body, place) => {
    const into = (body.into ?? {}) as TreeNode;
    walk.add('create', relation(into.rel), place);
    walk.node(body.query, { ...place, via: place.via ?? 'create table as' });
  },
  ViewStmt: does('create', (body) => relation(body.view), 'view'),
  CreateSeqStmt: does('create', (body) => relation(body.sequence)),
  CreateSchemaStmt: does('create', (body) => namedAs('schema', body.schemaname ?? roleName(body.authrole))),
  IndexStmt: does('create', onRelation, 'index'),
  CreateStatsStmt: (walk, body, place) => {
    walk.add('create', named('other', nameParts(body.defnames)), place);
    walk.inside('CreateStatsStmt', body, { ...place, via: place.via ?? 'statistics' });
  },
  CreateTrigStmt: does('create', onRelation, 'trigger'),
  CreateEventTrigStmt: does('create', onOther('trigname')),
  CreatePolicyStmt: does('create', (body) => relation(body.table), 'policy'),
  RuleStmt: does('create', onRelation, 'rule'),
  CreateFunctionStmt: does('create', onName('funcname', 'function'), 'function body'),
  DefineStmt: does('create', (body) =>
    named(body.kind === 'OBJECT_AGGREGATE' ? 'function' : 'other', nameParts(body.defnames)),
  ),
  CreateDomainStmt: does('create', onName('domainname')),
  CompositeTypeStmt: does('create', (body) => {
    const typevar = (body.typevar ?? {}) as TreeNode;
    return {
      kind: 'other',
      schema: (typevar.schemaname as string | undefined) ?? null,
      name: text(typevar.relname),
    };
  }),
  CreateEnumStmt: does('create', onName('typeName')),
  CreateRangeStmt: does('create', onName('typeName')),
  CreateCastStmt: does('create', onNothing),
  CreateTransformStmt: does('create', onOther('lang')),
  CreateConversionStmt: does('create', onName('conversion_name')),
  CreateOpClassStmt: does('create', onName('opclassname')),
  CreateOpFamilyStmt: does('create', onName('opfamilyname')),
  CreateAmStmt: does('create', onOther('amname')),
  CreatePLangStmt: does('create', onOther('plname')),
  CreateExtensionStmt: does('create', onOther('extname')),
  CreatePublicationStmt: does('create', onOther('pubname'), 'publication'),
  CreatedbStmt: does('create', (body) => namedAs('database', body.dbname)),
  CreateTableSpaceStmt: doesAll(['create', 'file'], onOther('tablespacename')),
  CreateFdwStmt: doesAll(['create', 'network'], onOther('fdwname')),
  CreateForeignServerStmt: doesAll(['create', 'network'], onOther('servername')),
  CreateUserMappingStmt: doesAll(['create', 'network'], onOther('servername')),
  CreateSubscriptionStmt: doesAll(['create', 'network'], onOther('subname')),
  ImportForeignSchemaStmt: doesAll(['create', 'network'], (body) => namedAs('schema', body.local_schema)),

  AlterTableStmt: does('alter', onRelation),
  PartitionCmd: (walk, body, place) => {
    walk.add('alter', relation(body.name), { ...place, via: place.via ?? 'partition' });
    walk.inside('PartitionCmd', body, place, ['name']);
  },
  AlterDomainStmt: does('alter', onName('typeName')),
  AlterSeqStmt: does('alter', (body) => relation(body.sequence)),
  AlterPolicyStmt: does('alter', (body) => relation(body.table), 'policy'),
  AlterFunctionStmt: does('alter', (body) =>
    named('function', nameParts((body.func as TreeNode | undefined)?.objname)),
  ),
  AlterObjectDependsStmt: does('alter', relationOrObject('objectType')),
  AlterObjectSchemaStmt: does('alter', relationOrObject('objectType')),
  AlterOwnerStmt: does('alter', relationOrObject('objectType')),
  AlterOperatorStmt: does('alter', onNothing),
  AlterTypeStmt: does('alter', onName('typeName')),
  AlterEnumStmt: does('alter', onName('typeName')),
  AlterCollationStmt: does('alter', onName('collname')),
  AlterStatsStmt: does('alter', onName('defnames')),
  AlterOpFamilyStmt: does('alter', onName('opfamilyname')),
  AlterTSDictionaryStmt: does('alter', onName('dictname')),
  AlterTSConfigurationStmt: does('alter', onName('cfgname')),
  AlterExtensionStmt: does('alter', onOther('extname')),
  AlterExtensionContentsStmt: does('alter', onOther('extname')),
  AlterEventTrigStmt: does('alter', onOther('trigname')),
  AlterPublicationStmt: does('alter', onOther('pubname'), 'publication'),
  AlterDatabaseStmt: does('alter', (body) => namedAs('database', body.dbname)),
  AlterDatabaseRefreshCollStmt: does('alter', (body) => namedAs('database', body.dbname)),
  AlterTableSpaceOptionsStmt: does('alter', onOther('tablespacename')),
  AlterTableMoveAllStmt: does('alter', onOther('orig_tablespacename')),
  AlterFdwStmt: doesAll(['alter', 'network'], onOther('fdwname')),
  AlterForeignServerStmt: doesAll(['alter', 'network'], onOther('servername')),
  AlterUserMappingStmt: doesAll(['alter', 'network'], onOther('servername')),
  AlterSubscriptionStmt: doesAll(['alter', 'network'], onOther('subname')),
  SecLabelStmt: does('alter', (body) => objectOf(body.objtype, body.object)),
  RenameStmt: does('rename', relationOrObject('renameType')),
  CommentStmt: does('comment', (body) => objectOf(body.objtype, body.object)),

  DropStmt: doesToEach('drop', 'objects', (item, body) => objectOf(body.removeType, item)),
  DropdbStmt: does('drop', (body) => namedAs('database', body.dbname)),
  DropTableSpaceStmt: doesAll(['drop', 'file'], onOther('tablespacename')),
  DropUserMappingStmt: does('drop', onOther('servername')),
  DropSubscriptionStmt: doesAll(['drop', 'network'], onOther('subname')),
};

function namedAs(kind: ObjectName['kind'], name: unknown): ObjectName | null {
  return typeof name === 'string' && name !== '' ? { kind, schema: null, name } : null;
}

function roleName(spec: unknown): string | undefined {
  return role(spec)?.name;
}

/** A setting for sessions to come: of a role, a database or the whole server (`target` says which; none for the server). */
function setGlobal(target: (body: TreeNode) => ObjectName | null): Handler {
  return (walk, body, place) => {
    const setstmt = (body.setstmt ?? {}) as TreeNode;
    const name = text(setstmt.name).toLowerCase();
    walk.addVia('set-global', name === '' ? null : setting(name), place.via);
    const on = target(body);
    if (on?.kind === 'role') walk.add('role', on, place);
    else if (on !== null) walk.add('alter', on, place);
  };
}

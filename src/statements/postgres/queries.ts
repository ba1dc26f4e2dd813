import type { Lineage, OutputColumn } from '../facts.ts';
import type { CteScope, EffectWalk, Place } from './effects.ts';
import { condition, evaluate, evaluateAll, type Value } from './expressions.ts';
import { type CalledValue, callFunction, seriesMagnitude, TOO_MANY_ROWS } from './function-calls.ts';
import { computedFrom, isSame, NONE, oneOf } from './lineage.ts';
import { outputName } from './output-names.ts';
import type { TreeNode } from './parser.ts';
import { constrains, type Proof, predicateOn } from './proof.ts';
import { type Column, column, findSource, resolveColumn, type Scope, Shape, Source, scopeIn } from './scope.ts';
import { listOf, literal, nameParts, nodesIn, only, text } from './tree.ts';
import { sourceOf } from './views.ts';

/**
 * Queries: what they read, under which conditions, and what their columns are computed from. One pass, in the order in
 * which the server resolves names: WITH, FROM, WHERE, GROUP BY, output, ORDER BY.
 */

/** The columns of a star beyond which the server refuses the statement. */
const MOST_COLUMNS = 1664;
/** Passes over a recursive query until its columns have all their sources. */
const MOST_PASSES = 5;

const UNKNOWN_ROWS = new Shape([], { from: 'unknown', columns: [] });

/** A name that WITH gives to a query. */
export interface CommonTable {
  shape: Shape;
  magnitude: number;
  /** True while the query itself is being read: then `shape` is what it has so far. */
  reading: boolean;
  usesItself: boolean;
}

/** What is known about one query level while it is read. */
export interface Level {
  readonly scope: Scope;
  readonly place: Place;
  /** Stored relations and views, in the order of the text. */
  readonly relations: Source[];
  /** All items of FROM, with what holds for the rows of each. */
  readonly items: Source[];
  readonly conditions: Condition[];
}

interface Condition {
  readonly proof: Proof;
  /** The relations whose rows it restricts; `null` for all. An outer join's says nothing about the side it keeps. */
  readonly restricts: ReadonlySet<Source> | null;
}

export function levelIn(place: Place): Level {
  const scope = scopeIn(place.scope);
  return { scope, place: { ...place, scope, recursion: null }, relations: [], items: [], conditions: [] };
}

// --- Reading --------------------------------------------------------------------------------------------------------

/** Reads a SELECT, VALUES or set operation; its rows. */
export function select(walk: EffectWalk, body: TreeNode, outer: Place): Shape {
  walk.step();
  const place = withClause(walk, body.withClause as TreeNode | undefined, outer);
  if (Array.isArray(body.valuesLists)) return values(walk, body, place);
  if (body.op !== undefined && body.op !== 'SETOP_NONE') return setOperation(walk, body, place);
  const level = levelIn(place);
  for (const item of listOf(body.fromClause)) fromItem(walk, item, level);
  if (body.whereClause !== undefined) {
    level.conditions.push({ proof: condition(walk, body.whereClause, level.place), restricts: null });
  }
  const outputs = targetList(walk, body.targetList, level);
  grouping(walk, body, outputs, level);
  ordering(walk, body, outputs, level);
  checkMagnitude(walk, body, level);
  for (const source of level.relations) readOf(walk, source, level);
  lockRows(walk, body, level);
  return outputs;
}

/** Adds the effect of reading one relation of a query. */
export function readOf(walk: EffectWalk, source: Source, level: Level): void {
  if (source.object === null) return;
  const predicate = predicateOn(source, proofsFor(source, level));
  walk.reads(source, predicate, level.place);
}

/** The conditions on the rows of a relation. */
export function proofsFor(source: Source, level: Level): readonly Proof[] {
  return level.conditions
    .filter(({ restricts }) => restricts === null || restricts.has(source))
    .map(({ proof }) => proof);
}

function values(walk: EffectWalk, body: TreeNode, place: Place): Shape {
  const rows = nodesIn(body.valuesLists, 'List').map((row) => evaluateAll(walk, row.items, place));
  const width = Math.max(0, ...rows.slice(0, 1).map((row) => row.length));
  const columns: Column[] = [];
  for (let at = 0; at < width; at += 1) {
    const cells = rows.map((row) => row[at]).filter((cell): cell is Value => cell !== undefined);
    columns.push(
      column(
        `column${at + 1}`,
        oneOf(cells.map((cell) => cell.lineage)),
        cells.every((cell) => cell.constant),
      ),
    );
  }
  const shape = new Shape(columns, null);
  ordering(walk, body, shape, levelIn(place));
  walk.magnitude = 1;
  return shape;
}

function setOperation(walk: EffectWalk, body: TreeNode, place: Place): Shape {
  const inner: Place = { ...place, recursion: null };
  const left = select(walk, (body.larg ?? {}) as TreeNode, inner);
  if (place.recursion !== null) return recursion(walk, body, left, place);
  const magnitude = walk.magnitude;
  const right = select(walk, (body.rarg ?? {}) as TreeNode, inner);
  walk.magnitude = Math.max(magnitude, walk.magnitude);
  // Only UNION ALL compares nothing.
  if (body.op !== 'SETOP_UNION' || body.all !== true) for (const arm of [left, right]) compares(walk, arm);
  for (const { lineage } of left.columns) walk.step(1 + lineage.columns.length);
  const shape = united(left, right);
  ordering(walk, body, shape, levelIn(place));
  return shape;
}

function compares(walk: EffectWalk, { columns, rest }: Shape): void {
  for (const one of columns) walk.use(one.lineage, 'condition');
  if (rest !== null) walk.use(rest, 'condition');
}

function united(left: Shape, right: Shape): Shape {
  if (left.rest !== null || right.rest !== null) {
    return new Shape([], computedFrom([left.wholeRow, right.wholeRow]));
  }
  return new Shape(
    left.columns.map((one, at) => column(one.name, oneOf([one.lineage, right.columns[at]?.lineage ?? NONE]))),
    null,
  );
}

/** Reads the recursive arm until what its columns are computed from does not grow any more. */
function recursion(walk: EffectWalk, body: TreeNode, first: Shape, place: Place): Shape {
  const { table, names } = place.recursion!;
  const inner: Place = { ...place, recursion: null };
  let shape = first;
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    table.shape = renamed(shape, names);
    const right = select(walk, (body.rarg ?? {}) as TreeNode, inner);
    const next = united(shape, right);
    if (body.all !== true) compares(walk, next);
    const grew = next.columns.some((one, at) => !isSame(one.lineage, shape.columns[at]?.lineage ?? NONE));
    shape = next;
    if (!grew) {
      if (table.usesItself && body.limitCount === undefined && !ends(body.rarg as TreeNode, walk))
        walk.resource('unbounded recursion', place);
      return shape;
    }
  }
  return new Shape([], { from: 'unknown', columns: shape.wholeRow.columns });
}

/** True if the recursive arm has something that can end it: a condition, a join with what is stored, or a limit. */
function ends(arm: TreeNode | undefined, walk: EffectWalk): boolean {
  if (arm === undefined || arm.limitCount !== undefined) return true;
  if (arm.op !== undefined && arm.op !== 'SETOP_NONE') {
    return ends(arm.larg as TreeNode, walk) && ends(arm.rarg as TreeNode, walk);
  }
  if (arm.whereClause !== undefined) return mayEnd(arm.whereClause, arm, walk);
  return listOf(arm.fromClause).some((item) => {
    const [type, join] = only(item);
    return (
      type === 'JoinExpr' && (join.quals !== undefined || join.usingClause !== undefined || join.isNatural === true)
    );
  });
}

/** Rounds of a recursion that are too many, where a comparison says how many there are. */
const MOST_ROUNDS = 1_000_000;

/** True if a condition of a recursive arm can become false for all rows: it bounds what grows, or compares with what is stored. */
function mayEnd(node: unknown, arm: TreeNode, walk: EffectWalk): boolean {
  const [type, body] = only(node);
  if (type === 'BoolExpr' && body.boolop !== 'NOT_EXPR') {
    const parts = listOf(body.args);
    const ended = (part: unknown) => mayEnd(part, arm, walk);
    return body.boolop === 'AND_EXPR' ? parts.some(ended) : parts.every(ended);
  }
  const isStored = listOf(arm.fromClause).length > 1 || only(listOf(arm.fromClause)[0])[0] === 'JoinExpr';
  if (!isStored) {
    // What the recursion makes of itself: not NULL it stays, equal to itself as well, and above a bound if it only grows.
    if (type === 'NullTest') return false;
    if (type === 'A_Expr') {
      if (isSameTree(body.lexpr, body.rexpr)) return false;
      const grows = { '>': body.lexpr, '>=': body.lexpr, '<': body.rexpr, '<=': body.rexpr }[
        nameParts(body.name).at(-1) ?? ''
      ];
      if (grows !== undefined && namesColumn(grows) && !lessens(arm.targetList)) return false;
    }
  }
  return namesNoAbsurdNumber(node, walk);
}

function namesColumn(node: unknown): boolean {
  return contains(node, (type) => type === 'ColumnRef');
}

/** True if a select list subtracts, divides, cuts or computes by a function. */
function lessens(targets: unknown): boolean {
  return contains(
    targets,
    (type, body) => type === 'FuncCall' || (type === 'A_Expr' && /^[-/%#>]/.test(nameParts(body.name).at(-1) ?? '')),
  );
}

function contains(node: unknown, wanted: (type: string, body: TreeNode) => boolean): boolean {
  if (typeof node !== 'object' || node === null) return false;
  for (const key in node) {
    const value = (node as TreeNode)[key] as TreeNode;
    if (wanted(key, value) || contains(value, wanted)) return true;
  }
  return false;
}

/** True for trees that differ in nothing but their places in the text. */
function isSameTree(one: unknown, other: unknown): boolean {
  const withoutPlaces = (key: string, value: unknown) => (key === 'location' ? undefined : value);
  return JSON.stringify(one, withoutPlaces) === JSON.stringify(other, withoutPlaces);
}

/** True if a condition names a column and no absurd number. */
function namesNoAbsurdNumber(node: unknown, walk: EffectWalk): boolean {
  let names = false;
  let absurd = false;
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const key in value) {
      if (key === 'ColumnRef') names = true;
      if (key === 'A_Const') {
        const number = literal(value);
        walk.literalsAreFree = false;
        if (number !== null && Number(number) > MOST_ROUNDS) absurd = true;
        continue;
      }
      look((value as TreeNode)[key]);
    }
  };
  look(node);
  return names && !absurd;
}

// --- WITH -----------------------------------------------------------------------------------------------------------

/** The WITH clause of a statement; gives the place its body is read in. */
export function withClause(walk: EffectWalk, clause: TreeNode | undefined, outer: Place): Place {
  const place = outer.recursion === null || clause === undefined ? outer : { ...outer, recursion: null };
  if (clause === undefined) return place;
  const ctes = nodesIn(clause.ctes, 'CommonTableExpr');
  const via = place.via ?? 'cte';
  if (clause.recursive !== true) {
    // Each sees the ones before it: WITH t AS (SELECT * FROM t) reads the table t.
    let scope = place.ctes;
    for (const cte of ctes) {
      const table = commonTable();
      readCommonTable(walk, cte, table, { ...place, ctes: scope, via }, false);
      scope = { names: new Map([[text(cte.ctename), table]]), outer: scope };
    }
    return { ...place, ctes: scope };
  }
  const tables = new Map(ctes.map((cte) => [text(cte.ctename), commonTable()]));
  const scope: CteScope = { names: tables, outer: place.ctes };
  // One may name another that comes later: the second pass knows all of them.
  const forward = ctes.length > 1 ? 2 : 1;
  for (let pass = 0; pass < forward; pass += 1) {
    for (const cte of ctes)
      readCommonTable(walk, cte, tables.get(text(cte.ctename))!, { ...place, ctes: scope, via }, true);
  }
  return { ...place, ctes: scope };
}

function commonTable(): CommonTable {
  return { shape: UNKNOWN_ROWS, magnitude: 2.5, reading: false, usesItself: false };
}

function readCommonTable(walk: EffectWalk, cte: TreeNode, table: CommonTable, place: Place, recursive: boolean): void {
  const names = nameParts(cte.aliascolnames);
  table.reading = true;
  table.usesItself = false;
  const shape = walk.query(cte.ctequery, { ...place, recursion: recursive ? { table, names } : null });
  table.reading = false;
  table.magnitude = table.usesItself ? 3 : walk.magnitude;
  // SEARCH and CYCLE add columns, computed from those they name.
  const added = [cte.search_clause, cte.cycle_clause].flatMap((clause) =>
    clause === undefined ? [] : addedColumns(clause as TreeNode, shape),
  );
  table.shape = renamed(added.length === 0 ? shape : new Shape([...shape.columns, ...added], shape.rest), names);
}

function addedColumns(clause: TreeNode, shape: Shape): Column[] {
  const names = ['search_seq_column', 'cycle_mark_column', 'cycle_path_column'].map((field) => text(clause[field]));
  return names.filter((name) => name !== '').map((name) => column(name, computedFrom([shape.wholeRow])));
}

/** The same columns, the first ones under other names. */
export function renamed(shape: Shape, names: readonly string[]): Shape {
  if (names.length === 0) return shape;
  const columns = shape.columns.map((one, at) => (names[at] === undefined ? one : { ...one, name: names[at] }));
  const more = shape.rest === null ? [] : names.slice(columns.length).map((name) => column(name, shape.rest!));
  return new Shape([...columns, ...more], shape.rest);
}

// --- FROM -----------------------------------------------------------------------------------------------------------

/** Adds an item of FROM to a level; the relations it is made of. */
export function fromItem(walk: EffectWalk, node: unknown, level: Level): Source[] {
  walk.step();
  const [type, body] = only(node);
  const { scope, place } = level;
  const alias = body.alias as TreeNode | undefined;
  const name = text(alias?.aliasname) || null;
  const renames = nameParts(alias?.colnames);
  const visible = (source: Source): Source[] => {
    scope.columns.push(source);
    scope.named.push(source);
    level.items.push(source);
    return [source];
  };
  switch (type) {
    case 'RangeVar': {
      const table = commonTableOf(body, place);
      if (table !== null) {
        if (table.reading) table.usesItself = true;
        return visible(
          new Source(name ?? text(body.relname), renamed(table.shape, renames), { magnitude: table.magnitude }),
        );
      }
      const source = sourceOf(walk, body, renames);
      level.relations.push(source);
      return visible(source);
    }
    case 'RangeSubselect': {
      const inner: Place = body.lateral === true ? place : { ...place, scope: scope.outer };
      const shape = walk.query(body.subquery, inner);
      return visible(new Source(name, renamed(shape, renames), { magnitude: walk.magnitude }));
    }
    case 'RangeFunction':
      return visible(functionSource(walk, body, name, renames, place));
    case 'RangeTableSample': {
      for (const argument of [...listOf(body.args), body.repeatable]) {
        walk.use(evaluate(walk, argument, place).lineage, 'condition');
      }
      return fromItem(walk, body.relation, level);
    }
    case 'JoinExpr':
      return join(walk, body, name, renames, level);
    default: {
      // XMLTABLE and JSON_TABLE: rows computed from their arguments, and from the functions of their paths.
      const lineage = computedFrom([evaluate(walk, { [type]: { ...body, alias: undefined } }, place).lineage]);
      return visible(new Source(name, renamed(new Shape([], lineage), renames)));
    }
  }
}

function commonTableOf(range: TreeNode, place: Place): CommonTable | null {
  if (range.schemaname !== undefined || range.catalogname !== undefined) return null;
  for (let scope = place.ctes; scope !== null; scope = scope.outer) {
    const table = scope.names.get(text(range.relname));
    if (table !== undefined) return table;
  }
  return null;
}

function functionSource(
  walk: EffectWalk,
  body: TreeNode,
  alias: string | null,
  renames: readonly string[],
  place: Place,
): Source {
  let columns: Column[] = [];
  let rest: Lineage | null = null;
  let magnitude = 2;
  let functionName: string | null = null;
  for (const { items } of nodesIn(body.functions, 'List')) {
    const [call, definitions] = listOf(items);
    const [callType, callBody] = only(call);
    const value: CalledValue =
      callType === 'FuncCall' ? callFunction(walk, callBody, place) : evaluate(walk, call, place);
    const lineage = computedFrom([value.lineage]);
    const name = outputName(call);
    functionName ??= name;
    const defined = [
      ...nodesIn(body.coldeflist, 'ColumnDef'),
      ...nodesIn((only(definitions)[1] as TreeNode).items, 'ColumnDef'),
    ];
    const rows = callType === 'FuncCall' ? walk.names.known?.rowFunctions.get(name) : undefined;
    if (defined.length > 0) columns.push(...defined.map((one) => column(text(one.colname), lineage)));
    else if (value.rows !== undefined) columns.push(...value.rows);
    else if (rows !== undefined) {
      columns.push(...rows.map((one) => column(one, lineage)));
      if (rows.length === 0) rest = lineage;
    } else if (callType === 'FuncCall' && walk.isBuiltIn(callBody)) {
      // The elements of an array that stands in the statement stand in the statement.
      const constant = name === 'unnest' && value.constant;
      const arrays = name === 'unnest' ? listOf(callBody.args).length : 1;
      for (let at = 0; at < arrays; at += 1)
        columns.push(column(arrays > 1 ? name : (alias ?? name), lineage, constant));
    } else {
      columns = columns.concat(column(alias ?? name, lineage));
      rest = lineage;
    }
    if (name === 'generate_series') {
      const nodes = listOf(callBody.args);
      magnitude = seriesMagnitude({ nodes, values: evaluateAll(walk, nodes, place) });
    }
  }
  if (body.ordinality === true) columns.push(column('ordinality', NONE));
  return new Source(alias ?? functionName, renamed(new Shape(columns, rest), renames), { magnitude });
}

function join(
  walk: EffectWalk,
  body: TreeNode,
  name: string | null,
  renames: readonly string[],
  level: Level,
): Source[] {
  const { scope, place } = level;
  const columnsFrom = scope.columns.length;
  const namedFrom = scope.named.length;
  const left = fromItem(walk, body.larg, level);
  const middle = scope.columns.length;
  const right = fromItem(walk, body.rarg, level);
  const restricts = restricted(text(body.jointype), left, right);
  const sides = [scope.columns.slice(columnsFrom, middle), scope.columns.slice(middle)] as const;
  if (body.isNatural === true || body.usingClause !== undefined) {
    // All columns of both sides are made anew.
    for (const source of sides.flat()) walk.step(8 * source.shape.columns.length);
  }
  const common = body.isNatural === true ? commonNames(sides) : nameParts(body.usingClause);
  if (body.quals !== undefined) {
    // The condition of a join sees its own sides only (and, from inside LATERAL, what is outside).
    const inner = {
      columns: scope.columns.slice(columnsFrom),
      named: scope.named.slice(namedFrom),
      outer: scope.outer,
    };
    const proof = condition(walk, body.quals, { ...place, scope: inner });
    level.conditions.push({ proof, restricts });
  }
  if (common !== null && common.length === 0 && name === null) return [...left, ...right];
  const merged = mergedColumns(walk, text(body.jointype), sides, common);
  if (common === null || common.length > 0) {
    const compared = new Set([...left, ...right]);
    level.conditions.push({ proof: constrains(compared), restricts });
  }
  const shape = renamed(merged.shape, renames);
  const source = new Source(name, shape, { magnitude: 0 });
  scope.columns.splice(columnsFrom, scope.columns.length - columnsFrom, source);
  if (name !== null) scope.named.splice(namedFrom, scope.named.length - namedFrom, source);
  const usingAlias = text((body.join_using_alias as TreeNode | undefined)?.aliasname);
  if (usingAlias !== '') scope.named.push(new Source(usingAlias, new Shape(merged.common, null)));
  return [...left, ...right];
}

/** Whose rows the condition of a join restricts. */
function restricted(type: string, left: readonly Source[], right: readonly Source[]): ReadonlySet<Source> {
  switch (type) {
    case 'JOIN_INNER':
      return new Set([...left, ...right]);
    case 'JOIN_LEFT':
      return new Set(right);
    case 'JOIN_RIGHT':
      return new Set(left);
    default:
      return new Set();
  }
}

/** The names both sides of NATURAL JOIN have; `null` if that cannot be told. */
function commonNames([left, right]: readonly [readonly Source[], readonly Source[]]): string[] | null {
  if ([...left, ...right].some((source) => source.shape.rest !== null)) return null;
  const names = new Set(right.flatMap((source) => source.shape.columns.map((one) => one.name)));
  return left.flatMap((source) => source.shape.columns.map((one) => one.name)).filter((name) => names.has(name));
}

interface MergedColumns {
  readonly shape: Shape;
  readonly common: readonly Column[];
}

/** The columns of a join as one relation: those of USING first, then the others of either side. */
function mergedColumns(
  walk: EffectWalk,
  type: string,
  sides: readonly [readonly Source[], readonly Source[]],
  common: readonly string[] | null,
): MergedColumns {
  if (common === null) {
    const everything = computedFrom(sides.flat().map((source) => source.shape.wholeRow));
    for (const source of sides.flat()) source.readsAll();
    walk.use(everything, 'condition');
    return { shape: new Shape([], { from: 'unknown', columns: everything.columns }), common: [] };
  }
  const shared = common.map((name): Column => {
    const [left, right] = sides.map((side) => resolveColumn({ columns: [...side], named: [], outer: null }, name));
    walk.joins(left!.lineage, right!.lineage);
    const kept = type === 'JOIN_RIGHT' ? [right!] : type === 'JOIN_FULL' ? [left!, right!] : [left!];
    const origins = type === 'JOIN_INNER' ? [left!, right!] : kept.length === 1 ? kept : [];
    return {
      ...column(name, oneOf(kept.map((one) => one.lineage))),
      notNull: kept.every((one) => one.column?.column.notNull === true) && type === 'JOIN_INNER',
      type: left!.column?.column.type ?? null,
      origins: origins.flatMap((one) => (one.column === null ? [] : [one.column])),
    };
  });
  const names = new Set(common);
  const others = sides.flatMap((side) =>
    side.flatMap((source) =>
      source.shape.columns
        .filter((one) => !names.has(one.name))
        .map((one): Column => ({ ...one, notNull: false, origins: [{ source, column: one }] })),
    ),
  );
  const rests = sides.flat().flatMap((source) => source.shape.rest ?? []);
  return { shape: new Shape([...shared, ...others], rests.length === 0 ? null : computedFrom(rests)), common: shared };
}

/** Relations that no condition ties to each other multiply. */
function checkMagnitude(walk: EffectWalk, body: TreeNode, level: Level): void {
  const group = new Map<Source, Source>();
  const root = (source: Source): Source => {
    let at = source;
    for (let next = group.get(at); next !== undefined && next !== at; next = group.get(at)) at = next;
    return at;
  };
  const items = new Set(level.items);
  for (const { proof } of level.conditions) {
    const [first, ...others] = [...proof.mentions].filter((source) => items.has(source));
    if (first === undefined) continue;
    for (const other of others) if (root(other) !== root(first)) group.set(root(other), root(first));
  }
  const largest = new Map<Source, number>();
  for (const source of items) {
    const isBound = proofsFor(source, level).some((proof) => proof.bound.has(source));
    const magnitude = isBound ? Math.min(source.magnitude, 1) : source.magnitude;
    largest.set(root(source), Math.max(largest.get(root(source)) ?? 0, magnitude));
  }
  walk.magnitude = [...largest.values()].reduce((sum, one) => sum + one, 0);
  if (walk.magnitude >= TOO_MANY_ROWS) walk.resource('a product of relations', level.place);
  if (isOneRow(body)) walk.magnitude = 0;
  else if (body.limitCount !== undefined) walk.magnitude = Math.min(walk.magnitude, 3);
}

const AGGREGATES = new Set(
  'count sum avg min max array_agg string_agg json_agg jsonb_agg bool_and bool_or every'.split(' '),
);

/** True if the select list shows that all rows become one. */
function isOneRow(body: TreeNode): boolean {
  if (body.groupClause !== undefined) return false;
  return nodesIn(body.targetList, 'ResTarget').some(({ val }) => {
    const [type, call] = only(val);
    return type === 'FuncCall' && call.over === undefined && AGGREGATES.has(nameParts(call.funcname).at(-1) ?? '');
  });
}

// --- Output, GROUP BY, ORDER BY -------------------------------------------------------------------------------------

/** Evaluates a select list or RETURNING. */
export function targetList(walk: EffectWalk, list: unknown, level: Level): Shape {
  const columns: Column[] = [];
  let rest: Lineage | null = null;
  for (const target of nodesIn(list, 'ResTarget')) {
    const stars = starOf(target.val, level);
    if (stars !== null) {
      for (const source of stars) {
        source.readsAll();
        for (const one of source.shape.columns) for (const origin of one.origins) origin.source.readsAll();
        columns.push(...source.shape.columns.map((one) => ({ ...one, origins: [] })));
        if (source.shape.rest !== null) rest = computedFrom([rest ?? NONE, source.shape.rest]);
      }
      walk.step(columns.length);
      if (columns.length > MOST_COLUMNS) {
        const { columns: known } = computedFrom(columns.map((one) => one.lineage));
        return new Shape([], { from: 'unknown', columns: known });
      }
      continue;
    }
    const value = evaluate(walk, target.val, level.place);
    const name = typeof target.name === 'string' ? target.name : outputName(target.val);
    const stored = value.column?.column;
    columns.push({
      ...column(name, value.lineage),
      // Constants of a sub-select are not constants of the statement: how many rows it has is another matter.
      type: stored?.type ?? null,
      bounds: stored?.bounds ?? false,
    });
    if (expandsRow(target.val)) rest = computedFrom([rest ?? NONE, value.lineage]);
  }
  return new Shape(columns, rest);
}

/** The sources a star stands for; `null` if the target is none. */
function starOf(value: unknown, { scope }: Level): readonly Source[] | null {
  const [type, body] = only(value);
  if (type === 'A_Indirection') {
    // `(t).*`
    const [argumentType, argument] = only(body.arg);
    const steps = listOf(body.indirection);
    if (argumentType !== 'ColumnRef' || steps.length !== 1 || only(steps[0])[0] !== 'A_Star') return null;
    const parts = nameParts(argument.fields);
    const source = parts.length === 1 ? findSource(scope, null, parts[0]!) : null;
    return source === null || resolveColumn(scope, parts[0]!).column !== null ? null : [source];
  }
  if (type !== 'ColumnRef') return null;
  const fields = listOf(body.fields);
  if (only(fields.at(-1))[0] !== 'A_Star') return null;
  const parts = nameParts(fields.slice(0, -1));
  if (parts.length === 0) return scope.columns;
  const source = findSource(scope, parts.at(-2) ?? null, parts.at(-1)!);
  return source === null ? null : [source];
}

/** True for `(expression).*`, which is as many columns as the row of the expression has. */
function expandsRow(value: unknown): boolean {
  const [type, body] = only(value);
  if (type === 'A_Indirection') return only(listOf(body.indirection).at(-1))[0] === 'A_Star';
  return type === 'ColumnRef' && only(listOf(body.fields).at(-1))[0] === 'A_Star';
}

function grouping(walk: EffectWalk, body: TreeNode, outputs: Shape, level: Level): void {
  for (const item of listOf(body.groupClause)) groupItem(walk, item, outputs, level);
  // It is about groups: of the rows of the relations it proves nothing.
  if (body.havingClause !== undefined) condition(walk, body.havingClause, level.place);
  for (const window of listOf(body.windowClause)) walk.use(evaluate(walk, window, level.place).lineage, 'condition');
  for (const item of listOf(body.distinctClause)) {
    // DISTINCT without ON has one empty node in its list.
    if (only(item)[0] === '') compares(walk, outputs);
    else walk.use(sortItem(walk, item, outputs, level, true), 'condition');
  }
}

function groupItem(walk: EffectWalk, item: unknown, outputs: Shape, level: Level): void {
  const [type, body] = only(item);
  if (type === 'GroupingSet') {
    for (const one of listOf(body.content)) groupItem(walk, one, outputs, level);
    return;
  }
  if (type === 'RowExpr') for (const one of listOf(body.args)) groupItem(walk, one, outputs, level);
  else walk.use(sortItem(walk, item, outputs, level, false), 'condition');
}

/** An item of ORDER BY, GROUP BY or DISTINCT ON: a place of the select list, a name of it, or an expression. */
function sortItem(walk: EffectWalk, item: unknown, outputs: Shape, level: Level, outputFirst: boolean): Lineage {
  const [type, body] = only(item);
  if (type === 'A_Const' && body.ival !== undefined) {
    walk.literalsAreFree = false;
    const at = outputs.columns[Number((body.ival as TreeNode).ival ?? 0) - 1];
    // A star whose columns are not known moves the places.
    if (outputs.rest !== null) return outputs.wholeRow;
    return at?.lineage ?? NONE;
  }
  if (type === 'ColumnRef') {
    const parts = nameParts(body.fields);
    const inOutput = parts.length === 1 ? outputs.columns.find((one) => one.name === parts[0]) : undefined;
    if (inOutput !== undefined) {
      if (outputFirst) return inOutput.lineage;
      const { columns } = level.scope;
      const isInput = columns.some((source) => source.shape.column(parts[0]!) !== undefined);
      if (!isInput && columns.every((source) => source.shape.rest === null)) return inOutput.lineage;
      if (!isInput) return computedFrom([inOutput.lineage, evaluate(walk, item, level.place).lineage]);
    }
  }
  return evaluate(walk, item, level.place).lineage;
}

function ordering(walk: EffectWalk, body: TreeNode, outputs: Shape, level: Level): void {
  for (const sort of nodesIn(body.sortClause, 'SortBy')) {
    walk.use(sortItem(walk, sort.node, outputs, level, true), 'condition');
  }
  for (const limit of [body.limitCount, body.limitOffset]) {
    if (limit === undefined) continue;
    const { lineage, at } = evaluate(walk, limit, level.place);
    walk.use(lineage, 'condition');
    walk.meets(at, []);
  }
}

function lockRows(walk: EffectWalk, body: TreeNode, level: Level): void {
  for (const clause of nodesIn(body.lockingClause, 'LockingClause')) {
    const named = nodesIn(clause.lockedRels, 'RangeVar').map((range) => text(range.relname));
    const locked = level.items.filter((source) => named.length === 0 || named.includes(source.alias ?? ''));
    const relations = locked.filter((source) => source.object !== null);
    // Of a sub-select, its relations: they are read one level further down.
    if (relations.length < locked.length || locked.length === 0) walk.add('lock', null, level.place);
    for (const source of relations) walk.add('lock', source.object, level.place);
  }
}

/** The rows of a query as facts; absent if they cannot be told. */
export function outputsOf({ columns, rest }: Shape): readonly OutputColumn[] | undefined {
  if (rest !== null) return undefined;
  return columns.map(({ name, lineage }) => ({ name, from: lineage.from, columns: lineage.columns }));
}

import type { EffectName, Predicate } from '../facts.ts';
import type { EffectWalk, Place } from './effects.ts';
import { condition, evaluate, mentioning, type Value } from './expressions.ts';
import { computedFrom } from './lineage.ts';
import type { TreeNode } from './parser.ts';
import { type Proof, predicateOn } from './proof.ts';
import { fromItem, type Level, levelIn, proofsFor, readOf, targetList, withClause } from './queries.ts';
import { column, Shape, Source } from './scope.ts';
import { listOf, nodesIn, only, text } from './tree.ts';
import { sourceOf } from './views.ts';
import { written } from './written.ts';

/** INSERT, UPDATE, DELETE and MERGE: what they write, to which rows, and what they return. Each gives the rows of RETURNING. */

const NO_ROWS = new Shape([], null);

/** The relation a statement changes, visible in its level. */
function targetIn(walk: EffectWalk, body: TreeNode, level: Level): Source {
  const target = sourceOf(walk, (body.relation ?? {}) as TreeNode, []);
  level.scope.columns.push(target);
  level.scope.named.push(target);
  level.items.push(target);
  return target;
}

/** RETURNING, with the rows before and after under the names it gives them. */
function returning(walk: EffectWalk, body: TreeNode, target: Source, predicate: Predicate, level: Level): Shape {
  const clause = body.returningClause as TreeNode | undefined;
  if (clause === undefined) return NO_ROWS;
  for (const [name, option] of [
    ['old', 'RETURNING_OPTION_OLD'],
    ['new', 'RETURNING_OPTION_NEW'],
  ] as const) {
    const given = nodesIn(clause.options, 'ReturningOption').find((one) => one.option === option);
    const alias = given === undefined ? name : text(given.value);
    if (level.scope.named.some((source) => source.alias === alias)) continue;
    level.scope.named.push(new Source(alias, target.shape, { object: target.object!, relation: target.relation }));
  }
  const rows = targetList(walk, clause.exprs, level);
  // The columns written are not the columns read: which of them RETURNING shows is in the outputs.
  const read = new Source(target.alias, target.shape, {
    object: target.object!,
    relation: target.relation,
    only: target.only,
  });
  read.readsAll();
  walk.reads(read, predicate, { ...level.place, via: level.place.via ?? 'returning' });
  return rows;
}

export function update(walk: EffectWalk, body: TreeNode, outer: Place): Shape {
  const level = levelIn(withClause(walk, body.withClause as TreeNode | undefined, outer));
  const target = targetIn(walk, body, level);
  for (const item of listOf(body.fromClause)) fromItem(walk, item, level);
  where(walk, body, level);
  const columns = assignments(walk, body.targetList, target, level);
  const predicate = predicateOn(target, proofsFor(target, level));
  written(walk, 'update', target, predicate, columns, level.place);
  for (const source of level.relations) readOf(walk, source, level);
  return returning(walk, body, target, predicate, level);
}

export function deleteFrom(walk: EffectWalk, body: TreeNode, outer: Place): Shape {
  const level = levelIn(withClause(walk, body.withClause as TreeNode | undefined, outer));
  const target = targetIn(walk, body, level);
  for (const item of listOf(body.usingClause)) fromItem(walk, item, level);
  where(walk, body, level);
  const predicate = predicateOn(target, proofsFor(target, level));
  written(walk, 'delete', target, predicate, null, level.place);
  for (const source of level.relations) readOf(walk, source, level);
  return returning(walk, body, target, predicate, level);
}

function where(walk: EffectWalk, body: TreeNode, level: Level): void {
  if (body.whereClause === undefined) return;
  level.conditions.push({ proof: condition(walk, body.whereClause, level.place), restricts: null });
}

/** SET a = ..., (b, c) = ...: the columns written. */
function assignments(walk: EffectWalk, list: unknown, target: Source, level: Level): string[] {
  const columns: string[] = [];
  for (const one of nodesIn(list, 'ResTarget')) {
    const name = text(one.name);
    columns.push(name);
    const value = evaluate(walk, one.val, level.place);
    evaluate(walk, one.indirection, level.place);
    stores(walk, value, target, name);
  }
  return columns;
}

/** A value goes into a column. What a column is computed from itself is not copied anywhere. */
function stores(walk: EffectWalk, { lineage, at }: Value, target: Source, name: string): void {
  const own = target.shape.column(name) ?? target.shape.unlisted(name);
  if (own !== undefined) walk.meets(at, own.lineage.columns);
  const from = new Set(own?.lineage.columns);
  const others = lineage.columns.filter((one) => !from.has(one));
  if (others.length > 0 || lineage.from === 'unknown') walk.use({ from: lineage.from, columns: others }, 'copy');
}

export function insert(walk: EffectWalk, body: TreeNode, outer: Place): Shape {
  const place = withClause(walk, body.withClause as TreeNode | undefined, outer);
  const level = levelIn(place);
  const target = sourceOf(walk, (body.relation ?? {}) as TreeNode, []);
  const [, source] = only(body.selectStmt);
  const rows = body.selectStmt === undefined ? NO_ROWS : walk.query(body.selectStmt, place);
  for (const one of rows.columns) walk.use(one.lineage, 'copy');
  if (rows.rest !== null) walk.use(rows.rest, 'copy');
  const named = nodesIn(body.cols, 'ResTarget');
  for (const one of named) evaluate(walk, one.indirection, place);
  const columns = body.cols === undefined ? null : named.map((one) => text(one.name));
  for (const { items } of nodesIn(source.valuesLists, 'List')) {
    for (const [at, item] of listOf(items).entries()) {
      const name = columns === null ? target.shape.columns[at]?.name : columns[at];
      const into = name === undefined ? undefined : target.shape.column(name);
      if (into !== undefined) walk.meets(placeOf(item), into.lineage.columns);
    }
  }
  written(walk, 'insert', target, null, columns, place);
  level.scope.columns.push(target);
  level.scope.named.push(target);
  level.items.push(target);
  let predicate: Predicate = 'none';
  const conflict = body.onConflictClause as TreeNode | undefined;
  if (conflict !== undefined) predicate = onConflict(walk, conflict, { source, rows, columns, target, level });
  return returning(walk, body, target, predicate, level);
}

/** Where a literal or parameter stands in the text; `undefined` for anything else. */
function placeOf(node: unknown): number | undefined {
  const [type, body] = only(node);
  if (type === 'TypeCast') return placeOf(body.arg);
  return type === 'A_Const' || type === 'ParamRef' ? Number(body.location ?? 0) : undefined;
}

interface Insertion {
  readonly source: TreeNode;
  readonly rows: Shape;
  readonly columns: readonly string[] | null;
  readonly target: Source;
  readonly level: Level;
}

/** ON CONFLICT: that a row is there already shows in the result, and DO UPDATE changes it. */
function onConflict(walk: EffectWalk, clause: TreeNode, insertion: Insertion): Predicate {
  const { source, rows, columns, target, level } = insertion;
  const place: Place = { ...level.place, via: level.place.via ?? 'on conflict' };
  const inferred = (clause.infer ?? {}) as TreeNode;
  const names = nodesIn(inferred.indexElems, 'IndexElem').flatMap((one) =>
    one.name === undefined ? [] : [text(one.name)],
  );
  for (const one of nodesIn(inferred.indexElems, 'IndexElem')) {
    if (one.expr !== undefined) walk.use(evaluate(walk, one.expr, place).lineage, 'condition');
  }
  if (inferred.whereClause !== undefined) condition(walk, inferred.whereClause, place);
  // Without a target, any unique index: that of any column that is given a value.
  const compared = names.length > 0 ? names : (columns ?? target.shape.columns.map((one) => one.name));
  for (const name of compared) {
    const found = target.shape.column(name) ?? target.shape.unlisted(name);
    if (found !== undefined) walk.use(found.lineage, 'condition');
  }
  if (clause.action !== 'ONCONFLICT_UPDATE') return 'none';
  const given = computedFrom(rows.columns.map((one) => one.lineage));
  const excluded = new Shape(
    target.shape.columns.map((one) => column(one.name, given)),
    target.shape.rest === null ? null : given,
  );
  level.scope.named.push(new Source('excluded', excluded));
  const [proof] = mentioning(walk, () =>
    clause.whereClause === undefined ? null : condition(walk, clause.whereClause, place),
  );
  const changed = assignments(walk, clause.targetList, target, { ...level, place });
  const predicate = upserted(source, target, proof);
  written(walk, 'update', target, predicate, changed, place);
  return predicate;
}

/** The rows an upsert changes are those its source collides with: VALUES bounds them by the text, a query does not. */
function upserted(source: TreeNode, target: Source, proof: Proof | null): Predicate {
  const fromText = source.valuesLists !== undefined || (source.op === 'SETOP_NONE' && source.fromClause === undefined);
  return fromText ? 'bounded' : predicateOn(target, proof === null ? [] : [proof]);
}

export function merge(walk: EffectWalk, body: TreeNode, outer: Place): Shape {
  const level = levelIn(withClause(walk, body.withClause as TreeNode | undefined, outer));
  const { place } = level;
  const target = targetIn(walk, body, level);
  fromItem(walk, body.sourceRelation, level);
  const joined = condition(walk, body.joinCondition, place);
  walk.merges(target, place);
  const via: Place = { ...place, via: place.via ?? 'merge' };
  let widest: Predicate = 'keyed';
  for (const when of nodesIn(body.mergeWhenClauses, 'MergeWhenClause')) {
    const further = when.condition === undefined ? [] : [condition(walk, when.condition, place)];
    const proofs = when.matchKind === 'MERGE_WHEN_MATCHED' ? [joined, ...further] : further;
    const predicate = predicateOn(target, proofs);
    const effect = MERGE_EFFECTS[text(when.commandType)];
    if (effect === undefined) {
      if (when.commandType !== 'CMD_NOTHING') walk.opaque(`not analysed: MERGE ${text(when.commandType)}`);
      continue;
    }
    const columns = mergeColumns(walk, when, target, level);
    written(walk, effect, target, effect === 'insert' ? null : predicate, columns, via);
    if (effect !== 'insert' && WIDTHS.indexOf(predicate) < WIDTHS.indexOf(widest)) widest = predicate;
  }
  // Rows of the source that match nothing are read as well; what the join says is all there is about them.
  const restricted: Level = { ...level, conditions: [{ proof: joined, restricts: null }, ...level.conditions] };
  for (const source of level.relations) readOf(walk, source, restricted);
  // RETURNING * lists the columns of the source before those of the target.
  const { columns } = level.scope;
  level.scope.columns = [...columns.filter((source) => source !== target), target];
  return returning(walk, body, target, widest, level);
}

const MERGE_EFFECTS: Readonly<Record<string, EffectName>> = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
};

const WIDTHS: readonly Predicate[] = ['none', 'tautology', 'open', 'bounded', 'keyed'];

function mergeColumns(walk: EffectWalk, when: TreeNode, target: Source, level: Level): string[] | null {
  if (when.commandType === 'CMD_DELETE') return null;
  if (when.commandType === 'CMD_UPDATE') return assignments(walk, when.targetList, target, level);
  const names = nodesIn(when.targetList, 'ResTarget').map((one) => text(one.name));
  for (const [at, value] of listOf(when.values).entries()) {
    const inserted = evaluate(walk, value, level.place);
    const name = names[at] ?? target.shape.columns[at]?.name;
    if (name === undefined) walk.use(inserted.lineage, 'copy');
    else stores(walk, inserted, target, name);
  }
  return names.length === 0 ? null : names;
}

import type { CatalogueRelation } from '../catalogue.ts';
import type { Lineage, ObjectName } from '../facts.ts';
import { expressionCode } from './code.ts';
import type { EffectWalk } from './effects.ts';
import { evaluate } from './expressions.ts';
import { computedFrom, plain } from './lineage.ts';
import { objectOf, type ResolvedRelation, type ViewReading } from './names.ts';
import type { TreeNode } from './parser.ts';
import { renamed } from './queries.ts';
import { type Column, type Scope, Shape, Source } from './scope.ts';
import { listOf, nameParts, nodesIn, only, text } from './tree.ts';

/** Relations of FROM and targets of writes, with views read through to what they are made of. */

/** The source a RangeVar is, which names no common table. */
export function sourceOf(walk: EffectWalk, range: TreeNode, renames: readonly string[]): Source {
  const found = walk.names.relation(range);
  const alias = text((range.alias as TreeNode | undefined)?.aliasname);
  const shape = renamed(shapeOf(walk, found), renames);
  return new Source(alias === '' ? text(range.relname) : alias, shape, {
    schema: alias === '' ? (found.object.schema ?? null) : null,
    object: found.object,
    relation: found.relation,
    only: range.inh !== true,
    magnitude: isOfTheServer(found.object) ? CATALOGUE_MAGNITUDE : TABLE_MAGNITUDE,
    keys: renames.length === 0 ? keysOf(walk, found.relation) : [],
  });
}

/** Rows that relations are taken to have, as decimal logarithms. */
const TABLE_MAGNITUDE = 2.5;
const CATALOGUE_MAGNITUDE = 3.5;

function isOfTheServer({ schema, name }: ObjectName): boolean {
  return schema === null ? name.startsWith('pg_') : schema === 'pg_catalog' || schema === 'information_schema';
}

function isView(relation: CatalogueRelation): boolean {
  return relation.kind === 'view' || relation.kind === 'materialized view';
}

function keysOf(walk: EffectWalk, relation: CatalogueRelation | null): readonly (readonly string[])[] {
  if (relation === null) return [];
  return isView(relation) ? readView(walk, relation).keys : relation.keys;
}

export function shapeOf(walk: EffectWalk, found: ResolvedRelation): Shape {
  const { relation } = found;
  const { readings } = walk.names;
  if (relation === null || readings === null) return walk.names.tableShape(found);
  const known = readings.shapes.get(relation);
  if (known !== undefined) return known;
  if (!isView(relation)) {
    const shape = walk.names.tableShape(found);
    return relation.columns.some((one) => one.generated !== null) ? withGenerated(walk, relation, shape) : shape;
  }
  const read = readView(walk, relation).columns;
  const columns = relation.columns.map((one, at): Column => {
    const lineage = viewColumn(relation, one.name, read?.[at]?.lineage ?? { from: 'unknown', columns: [] });
    return {
      name: one.name,
      lineage,
      constant: false,
      type: one.type,
      notNull: false,
      // A constant of the view's own is equal in every row, and may be what a generated column is.
      bounds: read?.[at]?.bounds === true,
      origins: [],
    };
  });
  const shape = new Shape(columns, null);
  // While the view is being read, what is known of it is not all.
  if (readings.views.get(relation) !== null) readings.shapes.set(relation, shape);
  return shape;
}

/** A generated column is computed from others of its row, besides being stored under its own name. */
function withGenerated(walk: EffectWalk, relation: CatalogueRelation, stored: Shape): Shape {
  const row = new Source(relation.name, stored);
  const scope: Scope = { columns: [row], named: [row], outer: null };
  const columns = relation.columns.map(({ generated }, at): Column => {
    const own = stored.columns[at]!;
    if (generated === null) return own;
    const [, select] = only(walk.parse(`SELECT ${generated}`));
    const [target] = nodesIn(select.targetList, 'ResTarget');
    const inner = walk.another(walk.names.withoutPath());
    const from: Lineage =
      target === undefined
        ? { from: 'unknown', columns: [] }
        : computedFrom([evaluate(inner, target.val, { ...inner.top, scope }).lineage]);
    if (from.from === 'none') return own;
    return { ...own, lineage: { from: from.from, columns: [...own.lineage.columns, ...from.columns] } };
  });
  const shape = new Shape(columns, null);
  walk.names.readings!.shapes.set(relation, shape);
  return shape;
}

/** A view's column has its own name, and those of what it is computed from. */
function viewColumn({ schema, name }: CatalogueRelation, column: string, lineage: Lineage): Lineage {
  const own = { schema, relation: name, column };
  if (lineage.from === 'none') return plain(own);
  return { from: lineage.from, columns: [own, ...lineage.columns] };
}

const NOT_READ: ViewReading = { columns: null, keys: [], writes: null, effects: [] };

/** Reads a view's definition, once for each catalogue. */
export function readView(walk: EffectWalk, view: CatalogueRelation): ViewReading {
  const { readings } = walk.names;
  if (readings === null || view.definition === null) return NOT_READ;
  const known = readings.views.get(view);
  // Views cannot be made of themselves; a catalogue that says so is not the server's.
  if (known !== undefined) return known ?? NOT_READ;
  readings.views.set(view, null);
  let reading: ViewReading | null;
  try {
    reading = readDefinition(walk, view.definition);
  } catch (error) {
    // What is known of it now is not all: the next statement, or another thread, reads it anew.
    readings.views.delete(view);
    throw error;
  }
  reading ??= {
    ...NOT_READ,
    effects: [{ effect: 'opaque', object: objectOf(view), predicate: null, via: `unread view ${view.name}` }],
  };
  readings.views.set(view, reading);
  return reading;
}

function readDefinition(walk: EffectWalk, definition: string): ViewReading | null {
  const statement = walk.parse(definition);
  const [type, select] = only(statement);
  if (statement === null || type !== 'SelectStmt') return null;
  const inner = walk.another(walk.names.withoutPath());
  const shape = inner.query(statement, inner.top);
  if (shape.rest !== null) return null;
  const target = targetOf(inner, select, shape);
  return {
    columns: shape.columns,
    // A function in the select list can make several rows of one.
    keys: target === null || calls(select.targetList) ? [] : keysThrough(inner, target),
    writes: target,
    effects: inner.effects(),
  };
}

function calls(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false;
  for (const key in node) if (key === 'FuncCall' || calls((node as TreeNode)[key])) return true;
  return false;
}

/** What a write to the view writes: the relation of a view that is simple enough for the server to write through. */
function targetOf(walk: EffectWalk, select: TreeNode, shape: Shape): ViewReading['writes'] {
  const from = listOf(select.fromClause);
  const [type, range] = only(from[0]);
  if (from.length !== 1 || type !== 'RangeVar' || select.op !== 'SETOP_NONE') return null;
  const { withClause, groupClause, havingClause, distinctClause, limitCount, limitOffset } = select;
  if (
    [withClause, groupClause, havingClause, distinctClause, limitCount, limitOffset].some((one) => one !== undefined)
  ) {
    return null;
  }
  const { relation } = walk.names.relation(range);
  if (relation === null) return null;
  const targets = nodesIn(select.targetList, 'ResTarget');
  // pg_get_viewdef writes stars out.
  if (targets.length !== shape.columns.length) return null;
  const columns = new Map<string, string>();
  for (const [at, { val }] of targets.entries()) {
    const [kind, reference] = only(val);
    const name = kind === 'ColumnRef' ? nameParts(reference.fields).at(-1) : undefined;
    if (name !== undefined && shape.columns[at]!.lineage.from === 'plain') columns.set(shape.columns[at]!.name, name);
  }
  return { relation, columns };
}

/** Keys of the relation below, by the names of the view's columns. */
function keysThrough(walk: EffectWalk, { relation, columns }: NonNullable<ViewReading['writes']>): string[][] {
  const above = new Map([...columns].map(([view, stored]) => [stored, view]));
  return keysOf(walk, relation).flatMap((key) => {
    const names = key.map((name) => above.get(name));
    return names.every((name) => name !== undefined) ? [names] : [];
  });
}

/** Adds what reading a source does beyond naming it. */
export function readsThrough(walk: EffectWalk, { relation }: Source): void {
  if (relation === null) return;
  for (const one of relation.expressions ?? []) {
    if (one.kind !== 'policy') continue;
    // What the policy reads decides which rows there are, for its owner's reasons; it shows to nobody.
    const effects = expressionCode(walk, one).effects.filter(({ effect }) => effect !== 'read');
    walk.takesCode(effects, `policy of ${relation.name}`);
  }
  if (relation.kind !== 'view') return;
  for (const one of readView(walk, relation).effects) {
    walk.addEffect(
      one.effect === 'opaque' || one.effect === 'resource' ? one : { ...one, via: `view ${relation.name}` },
    );
  }
}

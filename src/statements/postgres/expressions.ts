import type { Lineage } from '../facts.ts';
import type { EffectWalk, Place } from './effects.ts';
import { decidingOperands } from './failing.ts';
import { callFunction } from './function-calls.ts';
import { computedFrom, NONE, oneOf } from './lineage.ts';
import { FIXED_TYPES, NODE_DECISIONS } from './nodes.ts';
import { checkOperator } from './operators.ts';
import type { TreeNode } from './parser.ts';
import { allOf, anyOf, binds, constrains, PROVES_NOTHING, type Proof } from './proof.ts';
import { anything, type BoundColumn, findSource, resolveColumn, resolveIn, type Source, wholeRow } from './scope.ts';
import { isWrapped, listOf, literal, nameParts, nodesIn, only, text } from './tree.ts';
import { convertsAll, mayBeCast, useType } from './types.ts';

/** What an expression is worth to the analysis. */
export interface Value {
  readonly lineage: Lineage;
  /** True if it is one value for the whole statement: literals, binds, and what pure functions make of them. */
  readonly constant: boolean;
  /** The column it is, not only computed from; `null` for everything else. */
  readonly column: BoundColumn | null;
  /** Where it stands in the text, in bytes, if it is a literal or a parameter. */
  readonly at?: number;
}

const CONSTANT: Value = { lineage: NONE, constant: true, column: null };
/** NULL is constant, but equality with it finds nothing, or under transform_null_equals whatever is NULL. */
const NO_VALUE: Value = { lineage: NONE, constant: false, column: null };

export function computed(lineage: Lineage, constant = false): Value {
  return { lineage, constant, column: null };
}

/** Evaluates a wrapped node: its effects are added to the walk, its columns are read. */
export function evaluate(walk: EffectWalk, node: unknown, place: Place): Value {
  if (typeof node !== 'object' || node === null) return NO_VALUE;
  if (Array.isArray(node)) return computed(computedFrom(evaluateAll(walk, node, place).map((one) => one.lineage)));
  for (const type in node) return typedValue(walk, type, (node as TreeNode)[type] as TreeNode, place);
  return NO_VALUE;
}

export function evaluateAll(walk: EffectWalk, nodes: unknown, place: Place): Value[] {
  return listOf(nodes).map((node) => evaluate(walk, node, place));
}

export function typedValue(walk: EffectWalk, type: string, body: TreeNode, place: Place): Value {
  walk.step();
  const evaluator = EVALUATED[type];
  if (evaluator !== undefined) return evaluator(walk, body, place);
  switch (NODE_DECISIONS.get(type)) {
    case 'contains': {
      const value = computed(computedFrom(partsOf(walk, type, body, place)));
      if (canFail(type, body)) fails(walk, [value]);
      return value;
    }
    case 'inert':
      return NO_VALUE;
    default:
      walk.typed(type, body, place);
      return computed({ from: 'unknown', columns: [] });
  }
}

/** What reads a text as JSON or XML, or was told to do other than NULL with what it does not find. */
function canFail(type: string, body: TreeNode): boolean {
  if (type === 'JsonFuncExpr') return body.on_error !== undefined || body.on_empty !== undefined;
  if (type === 'XmlExpr') return !['IS_XMLELEMENT', 'IS_XMLFOREST', 'IS_XMLCONCAT'].includes(text(body.op));
  return type === 'JsonParseExpr' || type === 'JsonTable' || type === 'RangeTableFunc';
}

/** The lineages of all that is inside a node whatever it is: JSON and XML constructors, sort keys, window definitions. */
function partsOf(walk: EffectWalk, type: string, body: TreeNode, place: Place): Lineage[] {
  const found: Lineage[] = [];
  for (const field in body) {
    const value = body[field];
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value) || isWrapped(value)) {
      found.push(evaluate(walk, value, place).lineage);
      continue;
    }
    const fixed = FIXED_TYPES.get(`${type}.${field}`) ?? FIXED_TYPES.get(field);
    if (fixed !== undefined) found.push(typedValue(walk, fixed, value as TreeNode, place).lineage);
    else walk.inside(type, { [field]: value }, place);
  }
  return found;
}

/** What is computed can fail, and whether it does shows something of these values. */
export function fails(walk: EffectWalk, deciding: readonly Value[]): void {
  walk.canFail += 1;
  for (const { lineage } of deciding) walk.use(lineage, 'condition');
}

/**
 * Evaluates what the server computes only until it knows the result: whether it comes to what can fail, behind it, shows
 * something of what comes before. That a stored value is NULL is no secret.
 */
function inTurn(walk: EffectWalk, nodes: unknown, place: Place): Value[] {
  const values: { readonly value: Value; readonly canFail: number }[] = [];
  for (const node of listOf(nodes)) {
    const value = evaluate(walk, node, place);
    values.push({ value, canFail: walk.canFail });
  }
  for (const { value, canFail } of values) {
    if (canFail < walk.canFail && value.lineage.from !== 'plain') walk.use(value.lineage, 'condition');
  }
  return values.map(({ value }) => value);
}

type Evaluator = (walk: EffectWalk, body: TreeNode, place: Place) => Value;

function givenAt({ location }: TreeNode): Value {
  return { ...CONSTANT, at: Number(location ?? 0) };
}

/** What is compared with a column may be a value of it. */
function meets(walk: EffectWalk, { column, lineage }: Value, others: readonly Value[]): void {
  if (column === null || lineage.from === 'none') return;
  for (const { at } of others) walk.meets(at, lineage.columns);
}

const EVALUATED: Readonly<Record<string, Evaluator>> = {
  A_Const: (_walk, body) => (body.isnull === true ? NO_VALUE : givenAt(body)),
  // In a function it is an argument, which can be another value for each row.
  ParamRef: (walk, body) => (walk.hasVariables ? NO_VALUE : givenAt(body)),
  SQLValueFunction: () => CONSTANT,
  ColumnRef: columnReference,
  A_Expr: operatorExpression,
  FuncCall: callFunction,
  TypeCast: (walk, body, place) => {
    const argument = evaluate(walk, body.arg, place);
    const type = body.typeName as TreeNode | undefined;
    const from = typeOf(body.arg, argument);
    const builtIn = useType(walk, type, from, place);
    if (!convertsAll(from, type)) fails(walk, [argument]);
    const value = computed(computedFrom([argument.lineage]), argument.constant && builtIn);
    return argument.at === undefined ? value : { ...value, at: argument.at };
  },
  CollateClause: (walk, body, place) => computed(evaluate(walk, body.arg, place).lineage),
  NamedArgExpr: (walk, body, place) => evaluate(walk, body.arg, place),
  A_ArrayExpr: (walk, body, place) => {
    const elements = evaluateAll(walk, body.elements, place);
    return computed(
      computedFrom(elements.map((one) => one.lineage)),
      elements.every((one) => one.constant),
    );
  },
  RowExpr: (walk, body, place) => {
    const fields = evaluateAll(walk, body.args, place);
    return computed(
      computedFrom(fields.map((one) => one.lineage)),
      fields.every((one) => one.constant),
    );
  },
  CaseExpr: (walk, body, place) => {
    const decides: Lineage[] = [evaluate(walk, body.arg, place).lineage];
    const results: Lineage[] = [evaluate(walk, body.defresult, place).lineage];
    for (const branch of nodesIn(body.args, 'CaseWhen')) {
      decides.push(evaluate(walk, branch.expr, place).lineage);
      results.push(evaluate(walk, branch.result, place).lineage);
    }
    for (const lineage of decides) walk.use(lineage, 'condition');
    return computed(computedFrom([...decides, ...results]));
  },
  CoalesceExpr: (walk, body, place) => {
    const values = inTurn(walk, body.args, place);
    return computed(oneOf(values.map((one) => one.lineage)));
  },
  BoolExpr: (walk, body, place) => computed(computedFrom(inTurn(walk, body.args, place).map((one) => one.lineage))),
  JsonKeyValue: (walk, body, place) => {
    const name = evaluate(walk, body.key, place);
    fails(walk, [name]);
    return computed(computedFrom([name.lineage, ...partsOf(walk, 'JsonKeyValue', { ...body, key: undefined }, place)]));
  },
  A_Indirection: indirection,
  SubLink: subLink,
  MultiAssignRef: (walk, body, place) => evaluate(walk, body.source, place),
  CurrentOfExpr: (walk, _body, place) => {
    for (const source of place.scope?.named ?? []) walk.mention(source);
    return NO_VALUE;
  },
  GroupingFunc: (walk, body, place) => {
    for (const { lineage } of evaluateAll(walk, body.args, place)) walk.use(lineage, 'condition');
    return NO_VALUE;
  },
};

function columnReference(walk: EffectWalk, body: TreeNode, place: Place): Value {
  const fields = listOf(body.fields);
  const star = only(fields.at(-1))[0] === 'A_Star';
  const parts = nameParts(star ? fields.slice(0, -1) : fields);
  const name = parts.at(-1);
  if (name === undefined) {
    // `count(*)` and the like come without it; a bare star elsewhere is everything.
    const all = anything(place.scope);
    for (const source of all.sources) walk.mention(source);
    return computed(all.lineage);
  }
  const reference = star ? rowOf(place, parts) : referenceOf(place, parts);
  for (const source of reference.sources) walk.mention(source);
  if (reference.column !== null) mentionOrigins(walk, reference.column);
  if (reference.missing && walk.names.catalogue !== null && place.scope !== null && !walk.hasVariables) {
    // `t.f` is the call f(t) where t has no column f.
    const result = !star && parts.length > 1 ? callsRowFunction(walk, name, place, reference.lineage) : null;
    if (result !== null) return computed(computedFrom([reference.lineage, result]));
    return computed({ from: 'unknown', columns: reference.lineage.columns });
  }
  // A variable: what it can hold is known where it is filled.
  if (reference.missing && walk.hasVariables) return NO_VALUE;
  const { column } = reference;
  mayBeCast(walk, 'from', column?.column.type ?? null, place);
  return { lineage: reference.lineage, constant: column?.column.constant === true, column };
}

/** A column of a join is one of its sides'. */
function mentionOrigins(walk: EffectWalk, { column }: BoundColumn): void {
  for (const origin of column.origins) {
    walk.mention(origin.source);
    mentionOrigins(walk, origin);
  }
}

function rowOf(place: Place, parts: readonly string[]) {
  const source = findSource(place.scope, parts.at(-2) ?? null, parts.at(-1)!);
  return source === null ? { ...anything(place.scope), missing: true } : wholeRow(source);
}

function referenceOf(place: Place, parts: readonly string[]) {
  if (parts.length === 1) return resolveColumn(place.scope, parts[0]!);
  const source = findSource(place.scope, parts.at(-3) ?? null, parts.at(-2)!);
  return source === null ? { ...anything(place.scope), missing: true } : resolveIn(source, parts.at(-1)!);
}

/** If there is a function of this name that could take a row, it counts as called. @returns what it reads besides */
function callsRowFunction(walk: EffectWalk, name: string, place: Place, row: Lineage): Lineage | null {
  const candidates = walk.names.userFunctions(null, name);
  const results = candidates.map((one) => walk.callsUserFunction(one, place, row).result);
  return candidates.length === 0 ? null : computedFrom(results);
}

/** `(expression).field`, `.*`, `[subscript]`. */
function indirection(walk: EffectWalk, body: TreeNode, place: Place): Value {
  const steps = listOf(body.indirection);
  const [first, ...others] = steps;
  const [, argument] = only(body.arg);
  const [kind, field] = only(first);
  // `(t).a` is the column a of t.
  if (only(body.arg)[0] === 'ColumnRef' && kind === 'String') {
    const parts = nameParts(argument.fields);
    const source = parts.length === 1 ? findSource(place.scope, null, parts[0]!) : null;
    if (source !== null && resolveColumn(place.scope, parts[0]!).column === null) {
      const path = { fields: [...listOf(argument.fields), { String: field }] };
      const value = columnReference(walk, path, place);
      return others.length === 0 ? value : computed(computedFrom([value.lineage, subscripts(walk, others, place)]));
    }
  }
  const value = evaluate(walk, body.arg, place);
  const called = steps.flatMap((step) => {
    const [type, name] = only(step);
    return type === 'String' ? (callsRowFunction(walk, text(name.sval), place, value.lineage) ?? []) : [];
  });
  return computed(computedFrom([value.lineage, ...called, subscripts(walk, steps, place)]));
}

function subscripts(walk: EffectWalk, steps: readonly unknown[], place: Place): Lineage {
  const indices = steps.filter((step) => only(step)[0] === 'A_Indices');
  return computedFrom(
    indices.flatMap((step) => {
      const { lidx, uidx } = only(step)[1];
      return [evaluate(walk, lidx, place).lineage, evaluate(walk, uidx, place).lineage];
    }),
  );
}

function subLink(walk: EffectWalk, body: TreeNode, place: Place): Value {
  const rows = walk.query(body.subselect, place);
  if (body.subLinkType === 'EXISTS_SUBLINK') return NO_VALUE;
  const lineages = rows.columns.map((column) => column.lineage);
  if (rows.rest !== null) lineages.push(rows.rest);
  if (body.testexpr !== undefined) {
    if (body.operName !== undefined) checkOperator(walk, nameParts(body.operName), [null, null], place);
    lineages.push(evaluate(walk, body.testexpr, place).lineage);
    for (const lineage of lineages) walk.use(lineage, 'condition');
  } else if (body.subLinkType === 'EXPR_SUBLINK') {
    // Of more than one row.
    fails(walk, []);
    if (lineages.length === 1) return computed(lineages[0]!);
  }
  return computed(computedFrom(lineages));
}

/** Operands of an operator, with what stands in lists flattened. */
interface Operands {
  readonly left: Value | null;
  readonly right: readonly Value[];
}

function operandsOf(walk: EffectWalk, body: TreeNode, place: Place): Operands {
  const left = body.lexpr === undefined ? null : evaluate(walk, body.lexpr, place);
  const [type, list] = only(body.rexpr);
  const right = type === 'List' ? evaluateAll(walk, list.items, place) : [evaluate(walk, body.rexpr, place)];
  const name = nameParts(body.name);
  const rightType = right.length === 1 ? typeOf(body.rexpr, right[0]!) : null;
  checkOperator(walk, name, [left === null ? null : typeOf(body.lexpr, left), rightType], place, body);
  const deciding = decidingOperands(
    name.at(-1) ?? '',
    text(body.kind),
    left === null ? null : { node: body.lexpr, value: left },
    right.map((value) => ({ node: body.rexpr, value })),
  );
  if (deciding.length > 0) fails(walk, deciding);
  return { left, right };
}

/** The type of an operand where it is plain to see. */
function typeOf(node: unknown, value: Value): string | null {
  if (value.column !== null) return value.column.column.type;
  const [type, body] = only(node);
  if (type !== 'A_Const') return null;
  return body.ival !== undefined ? 'integer' : body.fval !== undefined ? 'numeric' : 'unknown';
}

function operatorExpression(walk: EffectWalk, body: TreeNode, place: Place): Value {
  const { left, right } = operandsOf(walk, body, place);
  const all = left === null ? right : [left, ...right];
  if (left !== null) {
    meets(walk, left, right);
    for (const one of right) meets(walk, one, [left]);
  }
  const constant = body.kind === 'AEXPR_OP' && all.every((one) => one.constant) && isBuiltIn(nameParts(body.name));
  return computed(computedFrom(all.map((one) => one.lineage)), constant);
}

function isBuiltIn(name: readonly string[]): boolean {
  return name.length === 1 || name[0] === 'pg_catalog';
}

/**
 * Evaluates a condition: every column in it has an influence on which rows there are.
 *
 * The proof holds for rows the condition is true for; those for which it is NULL are kept by nothing.
 */
export function condition(walk: EffectWalk, node: unknown, place: Place): Proof {
  const [type, body] = only(node);
  if (type === 'BoolExpr') {
    walk.step();
    const parts = listOf(body.args);
    if (body.boolop === 'AND_EXPR') return allOf(parts.map((part) => condition(walk, part, place)));
    if (body.boolop === 'OR_EXPR') return anyOf(parts.map((part) => condition(walk, part, place)));
  }
  if (type === 'A_Expr') {
    const proof = equality(walk, body, place);
    if (proof !== null) return proof;
  }
  const [value, mentions] = mentioning(walk, () => evaluate(walk, node, place));
  walk.use(value.lineage, 'condition');
  return keepsAll(walk, type, body, place) ? PROVES_NOTHING : constrains(mentions);
}

/** Runs an evaluation; gives the relations of this and the outer queries that it named. */
export function mentioning<Result>(walk: EffectWalk, read: () => Result): [Result, ReadonlySet<Source>] {
  const outer = walk.mentions;
  const mentions = new Set<Source>();
  walk.mentions = mentions;
  const result = read();
  walk.mentions = outer;
  if (outer !== null) for (const source of mentions) outer.add(source);
  return [result, mentions];
}

const EQUALITIES = new Set(['AEXPR_OP', 'AEXPR_IN', 'AEXPR_OP_ANY', 'AEXPR_NOT_DISTINCT']);

/** What an equality proves; `null` if it is none. */
function equality(walk: EffectWalk, body: TreeNode, place: Place): Proof | null {
  const name = nameParts(body.name);
  if (!EQUALITIES.has(text(body.kind)) || name.at(-1) !== '=' || !isBuiltIn(name)) return null;
  const [leftType, leftRow] = only(body.lexpr);
  if (leftType === 'RowExpr') return rowEquality(walk, body, leftRow, place);
  const [{ left, right }, mentions] = mentioning(walk, () => operandsOf(walk, body, place));
  if (left === null) return null;
  return compared(walk, body, left, right, mentions);
}

function compared(
  walk: EffectWalk,
  body: TreeNode,
  left: Value,
  right: readonly Value[],
  mentions: ReadonlySet<Source>,
): Proof {
  // A bind may be NULL, and IS NOT DISTINCT FROM then finds all that is.
  const exact = body.kind !== 'AEXPR_NOT_DISTINCT' || literal(body.rexpr) !== null;
  meets(walk, left, right);
  for (const one of right) meets(walk, one, [left]);
  const pairs: [Value, readonly Value[]][] = [[left, right]];
  if (body.kind !== 'AEXPR_OP_ANY' && right.length === 1) pairs.push([right[0]!, [left]]);
  for (const [value, constants] of pairs) {
    if (value.column === null || value.constant || !exact) continue;
    if (constants.length === 0 || !constants.every((one) => one.constant)) continue;
    // Of a value that is computed, equality can be any condition on what it is computed from.
    walk.use(value.lineage, value.lineage.from === 'plain' ? 'equality' : 'condition');
    for (const one of constants) walk.use(one.lineage, 'condition');
    const bound = boundColumns(walk, value.column);
    return bound.length === 0 ? constrains(mentions) : binds(bound, mentions);
  }
  const same = left.column !== null && right.length === 1 && isSameColumn(left.column, right[0]!.column);
  const isJoin = body.kind === 'AEXPR_OP' && right.length === 1 && left.column !== null && right[0]!.column !== null;
  if (isJoin && !same) walk.joins(left.lineage, right[0]!.lineage);
  else for (const one of [left, ...right]) walk.use(one.lineage, 'condition');
  return same ? PROVES_NOTHING : constrains(mentions);
}

function isSameColumn(one: BoundColumn, other: BoundColumn | null): boolean {
  return other !== null && one.source === other.source && one.column.name === other.column.name;
}

/** The columns a constant is equal to: one of a relation, or through a join those of its sides. */
function boundColumns(walk: EffectWalk, { source, column }: BoundColumn): (readonly [Source, string])[] {
  if (column.origins.length > 0) return column.origins.flatMap((origin) => boundColumns(walk, origin));
  if (!column.bounds || !walk.equalsAsBuiltIn(column.type)) return [];
  return [[source, column.name]];
}

/** `(a, b) = (1, 2)`, `(a, b) IN ((1, 2), (3, 4))`. */
function rowEquality(walk: EffectWalk, body: TreeNode, leftRow: TreeNode, place: Place): Proof | null {
  const [type, rightBody] = only(body.rexpr);
  const rows = type === 'List' ? listOf(rightBody.items) : [body.rexpr];
  if (body.kind === 'AEXPR_OP_ANY' || body.kind === 'AEXPR_NOT_DISTINCT') return null;
  if (!rows.every((row) => only(row)[0] === 'RowExpr')) return null;
  const [[left, right], mentions] = mentioning(walk, () => {
    checkOperator(walk, nameParts(body.name), [null, null], place, body);
    return [
      evaluateAll(walk, leftRow.args, place),
      rows.map((row) => evaluateAll(walk, only(row)[1].args, place)),
    ] as const;
  });
  const proofs = left.map((value, index) => {
    const others = right.map((row) => row[index] ?? NO_VALUE);
    return compared(walk, { kind: 'AEXPR_IN' }, value, others, mentions);
  });
  return proofs.length === 0 ? null : allOf(proofs);
}

/** True for some conditions that keep every row, or every row that has a value. What is not shown here counts as `open`. */
function keepsAll(walk: EffectWalk, type: string, body: TreeNode, place: Place): boolean {
  if (type === 'A_Expr' && (body.kind === 'AEXPR_LIKE' || body.kind === 'AEXPR_ILIKE')) {
    const pattern = literal(body.rexpr);
    if (pattern === null) return false;
    walk.literalsAreFree = false;
    return text(nameParts(body.name)[0]).startsWith('~') && /^%+$/.test(pattern);
  }
  if (type === 'NullTest' && body.nulltesttype === 'IS_NOT_NULL') {
    const [argumentType, argument] = only(body.arg);
    if (argumentType !== 'ColumnRef') return false;
    const parts = nameParts(argument.fields);
    return parts.length > 0 && referenceOf(place, parts).column?.column.notNull === true;
  }
  if (type === 'SubLink' && body.subLinkType === 'ANY_SUBLINK') {
    const [argumentType, argument] = only(body.testexpr);
    const [, select] = only(body.subselect);
    if (argumentType !== 'ColumnRef' || select.whereClause !== undefined) return false;
    const tested = referenceOf(place, nameParts(argument.fields)).lineage;
    const [inner] = listOf(select.targetList);
    const value = only((only(inner)[1] as TreeNode).val);
    const sameName =
      value[0] === 'ColumnRef' && tested.columns.some((one) => one.column === nameParts(value[1].fields).at(-1));
    return tested.from === 'plain' && sameName && onlyRelation(walk, select, tested);
  }
  return false;
}

/** True if the query reads the one relation a column is of, and all of its rows. */
function onlyRelation(walk: EffectWalk, select: TreeNode, { columns }: Lineage): boolean {
  const from = listOf(select.fromClause);
  const [type, range] = only(from[0]);
  if (from.length !== 1 || type !== 'RangeVar') return false;
  if (select.limitCount !== undefined || select.groupClause !== undefined || select.op !== 'SETOP_NONE') return false;
  const { object } = walk.names.relation(range);
  return columns.some((one) => one.relation === object.name && one.schema === object.schema);
}

import type { Predicate } from '../facts.ts';
import type { Call } from './effects.ts';
import { type Column, columnsOf, type Frame, type Source, sourcesOf } from './scope.ts';
import { type Expression, partsOf } from './tree.ts';

/**
 * What a condition proves about the tables of a query, built bottom-up: an equality between a column and a constant binds
 * the column, AND adds up, OR keeps what holds on every side, and everything else only mentions tables.
 */
export interface Proof {
  /** Of each table, the columns that equal a constant in every row the condition keeps. */
  readonly bound: ReadonlyMap<Source, ReadonlySet<string>>;
  /** Tables with a unique key that is bound on every side. */
  readonly keyed: ReadonlySet<Source>;
  /** Tables it constrains in some way. */
  readonly mentions: ReadonlySet<Source>;
}

/** A frame, and which calls only compute. */
export interface ProofContext {
  readonly frame: Frame;
  readonly isPure: (call: Call) => boolean;
  /** Told of a parameter that a column of text equals: that says little of the column if the value is a number. */
  readonly comparesText?: (parameter: number) => void;
}

/** Longest chain of AND or OR that is looked through; a longer one only mentions tables. */
const MOST_OPERANDS = 2_000;

const PROVES_NOTHING: Proof = { bound: new Map(), keyed: new Set(), mentions: new Set() };

/** All conditions hold. `null` if there is none. */
export function proofOf(conditions: readonly Expression[], context: ProofContext): Proof | null {
  return conditions.length === 0 ? null : allOf(conditions.map((condition) => prove(condition, context)));
}

export function predicateOn(source: Source, proof: Proof | null): Predicate {
  if (proof === null) return 'none';
  if (proof.keyed.has(source)) return 'keyed';
  if (proof.bound.has(source)) return 'bounded';
  return proof.mentions.has(source) ? 'open' : 'tautology';
}

function prove(condition: Expression, context: ProofContext): Proof {
  switch (condition.type) {
    case 'and':
      if (condition.operands.length > MOST_OPERANDS) break;
      return allOf(condition.operands.map((operand) => prove(operand, context)));
    case 'or':
      if (condition.operands.length > MOST_OPERANDS) break;
      return anyOf(condition.operands.map((operand) => prove(operand, context)));
    case 'comparison': {
      const [left, right] = condition.operands;
      const [operator] = condition.operators;
      if (condition.operands.length !== 2 || left === undefined || right === undefined) break;
      if (isSameColumn(left, right)) return PROVES_NOTHING;
      if (operator !== '=' && operator !== '<=>') break;
      const isNullSafe = operator === '<=>';
      return (
        equals(left, [right], isNullSafe, context) ??
        equals(right, [left], isNullSafe, context) ??
        mentioned(condition, context.frame)
      );
    }
    case 'in':
      if (condition.negated) break;
      return equals(condition.operand, condition.list, false, context) ?? mentioned(condition, context.frame);
    case 'column':
      // True for every value but 0: nearly every row.
      return PROVES_NOTHING;
    default:
  }
  return mentioned(condition, context.frame);
}

function mentioned(condition: Expression, frame: Frame): Proof {
  const mentions = new Set<Source>();
  for (const column of columnsIn(condition)) {
    for (const source of sourcesOf(column, frame)) if (frame.sources.includes(source)) mentions.add(source);
  }
  return { ...PROVES_NOTHING, mentions };
}

/** The columns of an expression, those of its sub-selects left out: they are about other rows. */
function* columnsIn(expression: Expression): Generator<Column> {
  if (expression.type === 'column') yield expression;
  else for (const part of partsOf(expression)) yield* columnsIn(part);
}

/** The proof that a column, or a row of columns, equals one of some constants; `null` if it is none. */
function equals(
  left: Expression,
  values: readonly Expression[],
  isNullSafe: boolean,
  context: ProofContext,
): Proof | null {
  const { frame } = context;
  if (left.type === 'row') {
    const rows: (readonly Expression[])[] = [];
    for (const value of values) {
      if (value.type !== 'row' || value.items.length !== left.items.length) return null;
      rows.push(value.items);
    }
    const proofs: Proof[] = [];
    for (const [at, item] of left.items.entries()) {
      const proof = equals(
        item,
        rows.map((row) => row[at]!),
        isNullSafe,
        context,
      );
      if (proof === null) return null;
      proofs.push(proof);
    }
    return allOf(proofs);
  }
  if (left.type !== 'column' || left.name === '*') return null;
  const sources = sourcesOf(left, frame);
  const source = sources[0];
  // Of several tables, only the server knows which one is bound; a table of a query further out is no target here.
  if (source === undefined || sources.length > 1 || !frame.sources.includes(source)) return null;
  const column = source.relation === null ? undefined : columnsOf(source.relation).get(left.name.toLowerCase());
  // It may be the same in every row.
  if (column !== undefined && column.generated !== null) return null;
  const type = column?.type;
  if (values.length === 0 || !values.every((value) => isNarrow(value, type, isNullSafe, context))) return null;
  const columns = new Set([left.name.toLowerCase()]);
  return withKeys({ bound: new Map([[source, columns]]), keyed: new Set(), mentions: new Set([source]) });
}

/** True if only few values of a column can equal this constant. @param type of the column; undefined if not known */
function isNarrow(value: Expression, type: string | undefined, isNullSafe: boolean, context: ProofContext): boolean {
  if (value.type === 'parameter') {
    if (type !== undefined && isText(type)) context.comparesText?.(value.index);
    return true;
  }
  if (value.type !== 'literal') {
    // NULL for all that is known, and then <=> keeps all rows without a value.
    if (type === undefined || isNullSafe || !isConstant(value, context)) return false;
    return !isText(type) || (value.type === 'call' && GIVES_TEXT.has(value.name.name));
  }
  if (value.kind === 'default') return false;
  if (value.kind === 'null') return !isNullSafe;
  if (value.kind === 'text') return true;
  // Text that does not begin with a number equals 0: a number next to a column of text keeps many rows. Bits can be one.
  if (type === undefined) return value.kind === 'number' && Number(value.value) !== 0;
  return !isText(type);
}

/** True for a value that is computed from constants alone. */
function isConstant(value: Expression, context: ProofContext): boolean {
  switch (value.type) {
    case 'literal':
      return value.kind !== 'default';
    case 'parameter':
      return true;
    case 'call':
      return context.isPure(value) && partsOf(value).every((part) => isConstant(part, context));
    case 'operation':
      return value.operands.every((part) => isConstant(part, context));
    default:
      return false;
  }
}

/** Pure functions that never give a number. */
const GIVES_TEXT = new Set(
  'concat concat_ws date_format from_base64 hex inet6_aton lower md5 sha sha1 sha2 to_base64 trim unhex upper uuid_to_bin'.split(
    ' ',
  ),
);

const TEXT_TYPES = [
  'char',
  'varchar',
  'tinytext',
  'text',
  'mediumtext',
  'longtext',
  'binary',
  'varbinary',
  'tinyblob',
  'blob',
  'mediumblob',
  'longblob',
  'json',
  'nchar',
  'nvarchar',
  'enum',
  'set',
  'uuid',
  'inet4',
  'inet6',
  'geometry',
  'vector',
];

function isText(type: string): boolean {
  const folded = type.toLowerCase();
  return TEXT_TYPES.some((one) => folded === one || folded.startsWith(`${one}(`) || folded.startsWith(`${one} `));
}

function isSameColumn(left: Expression, right: Expression): boolean {
  return (
    left.type === 'column' &&
    right.type === 'column' &&
    left.name.toLowerCase() === right.name.toLowerCase() &&
    (left.table === null || right.table === null || left.table.toLowerCase() === right.table.toLowerCase())
  );
}

function allOf(proofs: readonly Proof[]): Proof {
  const bound = new Map<Source, Set<string>>();
  const keyed = new Set<Source>();
  const mentions = new Set<Source>();
  for (const proof of proofs) {
    for (const source of proof.mentions) mentions.add(source);
    for (const source of proof.keyed) keyed.add(source);
    for (const [source, columns] of proof.bound) {
      const known = bound.get(source) ?? new Set();
      for (const column of columns) known.add(column);
      bound.set(source, known);
    }
  }
  return withKeys({ bound, keyed, mentions });
}

function anyOf(proofs: readonly Proof[]): Proof {
  // One side that holds for all rows makes the whole hold for all.
  if (proofs.some((proof) => proof.mentions.size === 0)) return PROVES_NOTHING;
  const [first, ...others] = proofs;
  if (first === undefined) return PROVES_NOTHING;
  const bound = new Map<Source, ReadonlySet<string>>();
  for (const [source, columns] of first.bound) {
    // Which column it is may differ from side to side: each side is narrow.
    const all = others.map((proof) => proof.bound.get(source));
    if (all.some((one) => one === undefined)) continue;
    bound.set(source, new Set([...columns].filter((column) => all.every((one) => one!.has(column)))));
  }
  const keyed = new Set([...first.keyed].filter((source) => others.every((proof) => proof.keyed.has(source))));
  const mentions = new Set<Source>();
  // A table that one side says nothing about is free there.
  for (const source of first.mentions) if (others.every((proof) => proof.mentions.has(source))) mentions.add(source);
  return { bound, keyed, mentions };
}

function withKeys(proof: Proof): Proof {
  const keyed = new Set(proof.keyed);
  for (const [source, columns] of proof.bound) {
    if (source.relation?.keys.some((key) => key.every((column) => columns.has(column.toLowerCase()))))
      keyed.add(source);
  }
  return { ...proof, keyed };
}

import type { CatalogueOperator } from '../catalogue.ts';
import type { EffectWalk, Place } from './effects.ts';
import type { TreeNode } from './parser.ts';
import { literal, text } from './tree.ts';
import { isUserType, withoutModifier } from './types.ts';

/** Types of the operands, left and right; `null` where there is none or it is not known, `unknown` for string literals. */
export type OperandTypes = readonly [string | null, string | null];

const REGULAR_EXPRESSIONS = new Set(['~', '~*', '!~', '!~*']);
/** From here on numeric powers take seconds: the digits of the result grow with the exponent. */
const LARGE_EXPONENT = 1000;

/** Adds what an operator does besides computing. Without allow-lists and catalogue, operators are taken as harmless. */
export function checkOperator(
  walk: EffectWalk,
  name: readonly string[],
  types: OperandTypes,
  place: Place,
  body: TreeNode = {},
): void {
  // BETWEEN is written as a name of its own, and means two others.
  if (text(body.kind).includes('BETWEEN')) {
    for (const bound of ['>=', '<=']) checkOperator(walk, [bound], types, place);
    return;
  }
  const operator = name.at(-1) ?? '';
  const schema = name.length > 1 ? name.at(-2)! : null;
  const { known, catalogue, searchPath } = walk.names;
  costs(walk, operator, body, place);
  if (known === null) return;
  const builtIn = schema === null || schema === 'pg_catalog' ? known.operators.has(operator) : false;
  const all = catalogue?.operatorsNamed(operator) ?? [];
  const candidates = all.filter(
    (one) => (schema === null ? searchPath.includes(one.schema) : one.schema === schema) && couldTake(walk, one, types),
  );
  for (const one of candidates) walk.runsFunction(one.function, place, !builtIn);
  if (!builtIn && candidates.length === 0) walk.opaque(`unknown operator ${name.join('.')}`);
}

/** False if an operand's type is known and the operator is for another one. */
function couldTake(walk: EffectWalk, one: CatalogueOperator, [left, right]: OperandTypes): boolean {
  const fits = (wanted: string | null, given: string | null) => {
    if (given === null || given === 'unknown' || wanted === null || withoutModifier(given) === wanted) return true;
    // Between built-in types the server converts; to or from a user's only where there is a cast for it.
    if (!isUserType(walk, wanted) && !isUserType(walk, given)) return true;
    return walk.names.catalogue!.data.casts.some(
      (cast) => cast.target === wanted && cast.source === withoutModifier(given),
    );
  };
  return fits(one.left, left) && fits(one.right, right);
}

function costs(walk: EffectWalk, operator: string, body: TreeNode, place: Place): void {
  if (operator === '^') {
    const exponent = literal(body.rexpr);
    if (exponent === null) return;
    walk.literalsAreFree = false;
    if (!(Number(exponent) < LARGE_EXPONENT)) walk.resource('a large power', place);
  } else if (REGULAR_EXPRESSIONS.has(operator)) {
    checkPattern(walk, body.rexpr, place);
  }
}

/** Back references make the matching of regular expressions take exponential time; all else the server does in linear time. */
export function checkPattern(walk: EffectWalk, pattern: unknown, place: Place): void {
  const expression = literal(pattern);
  if (expression === null) return;
  walk.literalsAreFree = false;
  if (/\\[1-9]/.test(expression)) walk.resource('a regular expression with back references', place);
}

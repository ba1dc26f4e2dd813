import type { CatalogueFunction } from '../catalogue.ts';
import type { Lineage, ObjectName } from '../facts.ts';
import type { EffectWalk, Place } from './effects.ts';
import { isUnsafeEncoding } from './encodings.ts';
import { computed, evaluate, evaluateAll, fails, typedValue, type Value } from './expressions.ts';
import { decidingArguments } from './failing.ts';
import { effectsOfFunction, type FunctionClass, TELLS_NO_STORED_VALUES } from './functions.ts';
import { computedFrom, NONE } from './lineage.ts';
import { checkPattern } from './operators.ts';
import type { TreeNode } from './parser.ts';
import { type Column, findSource } from './scope.ts';
import { listOf, literal, nameParts, nodesIn, only, text } from './tree.ts';

/** The arguments of a call, evaluated. */
interface Call {
  readonly schema: string | null;
  readonly name: string;
  readonly object: ObjectName;
  readonly nodes: readonly unknown[];
  readonly values: readonly Value[];
  readonly lineage: Lineage;
}

export interface CalledValue extends Value {
  /** The columns of its rows, in the function of a user; absent where they cannot be told one from another. */
  readonly rows?: readonly Column[];
}

/** Evaluates a FuncCall node. */
export function callFunction(walk: EffectWalk, body: TreeNode, place: Place): CalledValue {
  const parts = nameParts(body.funcname);
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts.at(-2)! : null;
  const nodes = listOf(body.args);
  const values = evaluateAll(walk, nodes, place);
  const lineage = computedFrom(values.map((one) => one.lineage));
  const decides = [
    ...nodesIn(body.agg_order, 'SortBy').map((sort) => evaluate(walk, sort.node, place).lineage),
    ...(body.agg_filter === undefined ? [] : [evaluate(walk, body.agg_filter, place).lineage]),
    ...(body.agg_distinct === true ? [lineage] : []),
    ...(body.over === undefined ? [] : [typedValue(walk, 'WindowDef', body.over as TreeNode, place).lineage]),
  ];
  for (const one of decides) walk.use(one, 'condition');
  const object: ObjectName = { kind: 'function', schema, name };
  const call: Call = { schema, name, object, nodes, values, lineage: computedFrom([lineage, ...decides]) };
  const found = judge(walk, call, place);
  if (found === null) return rowField(walk, call, place) ?? unknownFunction(walk, call, place);
  if (found.class === 'user') {
    // Whether it fails, how long it takes, how many rows it has.
    fails(walk, values);
    const value = computed(computedFrom([call.lineage, found.result]));
    return found.rows === null ? value : { ...value, rows: found.rows };
  }
  if (found.class === 'other') {
    // What such a function does with its arguments is its own affair.
    walk.use(call.lineage, 'copy');
    fails(walk, []);
    if (TELLS_NO_STORED_VALUES.has(name)) return computed(call.lineage);
    return computed({ from: 'unknown', columns: call.lineage.columns });
  }
  const deciding = decidingArguments(name, values).filter((one) => literal(nodes[values.indexOf(one)]) === null);
  if (deciding.length > 0) fails(walk, deciding);
  // How many rows there are shows something of the values they are made of.
  if (walk.names.known?.setFunctions.has(name) && !isListed(nodes)) walk.use(lineage, 'condition');
  if (name === 'count' && decides.length === 0 && values[0]?.lineage.from === 'plain' && values[0].column !== null) {
    return computed(NONE);
  }
  return computed(call.lineage, found.class === 'pure' && values.every((one) => one.constant));
}

/** True for arguments whose number of elements stands in the statement. */
function isListed(nodes: readonly unknown[]): boolean {
  return nodes.every((node) => only(node)[0] === 'A_ArrayExpr');
}

/** What a call may run: a built-in function, or one of a user's and what that makes its result of. */
type Judged =
  | { readonly class: FunctionClass }
  | { readonly class: 'user'; readonly result: Lineage; readonly rows: readonly Column[] | null };

/** What a call may run; `null` if nothing of this name is known. Effects are added. */
function judge(walk: EffectWalk, call: Call, place: Place): Judged | null {
  const { known } = walk.names;
  const { schema, name } = call;
  if (known === null) {
    walk.add('call-function', call.object, place);
    knownEffects(walk, call, place);
    return { class: 'other' };
  }
  const builtIn = schema === null || schema === 'pg_catalog' ? known.functions.get(name) : undefined;
  const declared = schema === null ? undefined : known.functions.get(`${schema}.${name}`);
  const users = schema === 'pg_catalog' ? [] : walk.names.userFunctions(schema, name).filter((one) => takes(one, call));
  if (declared !== undefined) return { class: classEffects(walk, declared, call, place) };
  // An extension's overload of a built-in function is for the extension's own types.
  const counted = builtIn === undefined ? users : users.filter((one) => !isHarmlessExtension(one));
  if (builtIn === 'pure' && COLLECTING.has(name) && call.nodes.some(isMadeLong)) {
    walk.literalsAreFree = false;
    walk.resource(`${name} of long values`, place, { ...call.object, schema: schema ?? 'pg_catalog' });
  }
  if (counted.length === 0) return builtIn === undefined ? null : { class: classEffects(walk, builtIn, call, place) };
  const codes = counted.map((one) => {
    const code = walk.callsUserFunction(one, place, call.lineage);
    if (!walk.isOfTrustedExtension(one)) knownEffects(walk, call, place);
    else if (one.extension === 'pgcrypto' && hashesForLong(walk, call)) walk.resource(name, place, call.object);
    return code;
  });
  if (builtIn !== undefined) classEffects(walk, builtIn, call, place);
  const rows = codes.length === 1 && builtIn === undefined ? codes[0]!.rows : null;
  return { class: 'user', result: computedFrom(codes.map((one) => one.result)), rows };
}

function isHarmlessExtension(one: CatalogueFunction): boolean {
  return one.extension !== null && one.volatility !== 'volatile';
}

/** False if it has too few arguments. Defaults make fewer possible, VARIADIC more. */
function takes(one: CatalogueFunction, { nodes }: Call): boolean {
  const last = one.arguments.at(-1) ?? '';
  return nodes.length <= one.arguments.length || last.endsWith('[]') || last === '"any"';
}

function classEffects(walk: EffectWalk, found: FunctionClass, call: Call, place: Place): FunctionClass {
  if (found === 'resource') {
    estimate(walk, call, place);
  } else if (found === 'pure') {
    // SHOW by another name.
    const shown = call.name === 'current_setting' ? literal(call.nodes[0]) : null;
    if (shown !== null) {
      walk.literalsAreFree = false;
      walk.add('read', { kind: 'setting', schema: null, name: shown.toLowerCase() }, place, 'none');
    }
    if (PATTERN_FUNCTIONS.has(call.name)) checkPattern(walk, call.nodes[1], place);
  } else if (found === 'other') {
    // SET by another name: the effect of that says it all.
    const isSetting = call.name === 'set_config' && literal(call.nodes[0]) !== null;
    if (!isSetting) walk.add('call-function', { ...call.object, schema: call.schema ?? 'pg_catalog' }, place);
    knownEffects(walk, call, place);
  }
  return found;
}

const PATTERN_FUNCTIONS = new Set(
  'regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_count regexp_instr regexp_like regexp_substr'.split(
    ' ',
  ),
);

/** `f(t)` is `t.f` where f is a column and no function. */
function rowField(walk: EffectWalk, { name, nodes }: Call, place: Place): Value | null {
  if (walk.names.catalogue === null || nodes.length !== 1) return null;
  const [type, argument] = only(nodes[0]);
  if (type !== 'ColumnRef') return null;
  const parts = nameParts(argument.fields);
  const source = parts.length === 1 ? findSource(place.scope, null, parts[0]!) : null;
  if (source?.shape.column(name) === undefined) return null;
  return typedValue(walk, 'ColumnRef', { fields: [...listOf(argument.fields), { String: { sval: name } }] }, place);
}

function unknownFunction(walk: EffectWalk, call: Call, place: Place): Value {
  walk.add('call-function', call.object, place);
  knownEffects(walk, call, place);
  walk.opaque(`unknown function ${call.name}`, call.object);
  walk.use(call.lineage, 'copy');
  fails(walk, []);
  return computed({ from: 'unknown', columns: call.lineage.columns });
}

/** The effects of functions of which more is known than that they have some. */
function knownEffects(walk: EffectWalk, { name, object, nodes }: Call, place: Place): void {
  // Named notation (f(value => ...)) can reorder, so only the plain form tells which argument is which.
  const first = nodes.length > 0 && !nodes.some((node) => only(node)[0] === 'NamedArgExpr') ? literal(nodes[0]) : null;
  if (name === 'set_config') {
    walk.literalsAreFree = false;
    if (first !== null) {
      walk.setting(first, literal(nodes[1]), { ...place, via: place.via ?? 'set_config' });
      return;
    }
    walk.addVia('set-session', null, place.via ?? 'set_config');
    walk.addVia('set-role', null, place.via ?? 'set_config');
    walk.changesLexing = true;
    // With both from binds nothing is known here; the session sees a changed client_encoding in ParameterStatus.
    const value = literal(nodes[1]);
    if (value !== null && isUnsafeEncoding(value)) walk.refuses = `may set the client_encoding ${value}`;
    return;
  }
  if (name === 'nextval' || name === 'setval') {
    walk.literalsAreFree = false;
    walk.addVia('update', first === null ? null : sequence(walk, first), place.via ?? name, 'keyed');
    return;
  }
  for (const { effect, via } of effectsOfFunction(name)) {
    if (effect === 'opaque') walk.opaque(`runs SQL text: ${name}`, object);
    else if (effect === 'notify') {
      walk.literalsAreFree = false;
      walk.addVia('notify', first === null ? null : { kind: 'other', schema: null, name: first }, via);
    } else walk.addVia(effect, object, via);
  }
}

/** A sequence's name as regclass reads it from text; `null` where it is quoted or odd and so not plainly readable. */
function sequence(walk: EffectWalk, name: string): ObjectName | null {
  const match = /^\s*(?:([A-Za-z_][\w$]*)\s*\.\s*)?([A-Za-z_][\w$]*)\s*$/.exec(name);
  if (match === null) return null;
  const range = {
    relname: match[2]!.toLowerCase(),
    ...(match[1] === undefined ? {} : { schemaname: match[1].toLowerCase() }),
  };
  return walk.names.relation(range).object;
}

/** Numbers from which a result that is as long as a number says is out of proportion. */
const LONG_RESULT = 100_000;
const LARGE_FORMAT = /\d{6}/;

/** Functions that cost as much as their arguments say; those whose arguments do not say it cost too much. */
function estimate(walk: EffectWalk, call: Call, place: Place): void {
  walk.literalsAreFree = false;
  const { name, nodes, values } = call;
  const bounded = (index: number, most: number): boolean => {
    const value = literal(nodes[index]);
    if (value !== null) return Number(value) <= most;
    const argument = values[index];
    // Bounded by what is stored. A bind or a computed value can be anything.
    return argument !== undefined && argument.lineage.from !== 'none';
  };
  switch (name) {
    case 'repeat': {
      const repeated = literal(nodes[0]);
      const times = Number(literal(nodes[1]) ?? 1);
      const isLong = repeated === null ? isComputedLong(nodes[0]) : repeated.length * times > LONG_RESULT * 10;
      if (bounded(1, LONG_RESULT) && !isLong) return;
      break;
    }
    case 'lpad':
    case 'rpad':
      if (bounded(1, LONG_RESULT)) return;
      break;
    case 'generate_series':
      if (seriesMagnitude(call) < TOO_LONG_A_SERIES) return;
      break;
    case 'format': {
      const pattern = literal(nodes[0]);
      if (pattern !== null && !LARGE_FORMAT.test(pattern) && !pattern.includes('*')) return;
      if (pattern === null && values[0]?.lineage.from !== 'none') return;
      break;
    }
    case 'power':
    case 'pow':
      if (bounded(1, 1000)) return;
      break;
    case 'exp':
      if (bounded(0, 1000)) return;
      break;
    case 'factorial':
      if (bounded(0, 1000)) return;
      break;
    case 'array_fill': {
      const [type, array] = only(nodes[1]);
      const sizes = listOf(array.elements).map((size) => Number(literal(size) ?? Number.NaN));
      if (type === 'A_ArrayExpr' && sizes.reduce((a, b) => a * b, 1) <= LONG_RESULT) return;
      break;
    }
    default:
  }
  walk.resource(name, place, { ...call.object, schema: call.schema ?? 'pg_catalog' });
}

/** True if the value may be long itself: made by a function of which the same has to be asked. */
function isComputedLong(node: unknown): boolean {
  const [type, body] = only(node);
  if (type === 'TypeCast') return isComputedLong(body.arg);
  if (type === 'A_Expr') return isComputedLong(body.lexpr) || isComputedLong(body.rexpr);
  return type === 'FuncCall' && LONG_VALUES.has(nameParts(body.funcname).at(-1) ?? '');
}

/** Rounds of blowfish (as powers of two) and of extended DES in which a password is hashed in less than a second. */
const MOST_BLOWFISH = 12;
const MOST_DES = 100_000;

/** True for functions of pgcrypto that are told, or may be told, to take many rounds: each one more doubles the time. */
function hashesForLong(walk: EffectWalk, { name, nodes, values }: Call): boolean {
  if (name !== 'gen_salt' && name !== 'crypt') return false;
  walk.literalsAreFree = false;
  if (name === 'gen_salt') {
    const most = literal(nodes[0]) === 'xdes' ? MOST_DES : MOST_BLOWFISH;
    return nodes.length > 1 && !(Number(literal(nodes[1]) ?? Number.NaN) <= most);
  }
  const salt = literal(nodes[1]);
  if (salt !== null) return salt.startsWith('_') || Number(/^\$2[a-z]?\$(\d+)/.exec(salt)?.[1] ?? 0) > MOST_BLOWFISH;
  const [type, made] = only(nodes[1]);
  if (type === 'FuncCall' && nameParts(made.funcname).at(-1) === 'gen_salt') return false;
  // Of what is stored, somebody has made it before. A bind or a computed value can be anything.
  return values[1]?.lineage.from === 'none';
}

/** Aggregates whose result is as long as all values together. */
const COLLECTING = new Set(
  'string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg'.split(' '),
);
/** Characters from which values that are made of nothing are too long to be collected. */
const LONG_TO_COLLECT = 1_000;

/** True for a value that is repeated or padded to a length that it does not have of itself. */
function isMadeLong(node: unknown): boolean {
  const [type, body] = only(node);
  if (type === 'TypeCast') return isMadeLong(body.arg);
  if (type === 'A_Expr') return isMadeLong(body.lexpr) || isMadeLong(body.rexpr);
  if (type !== 'FuncCall') return false;
  const given = listOf(body.args);
  const makesLong = ['repeat', 'lpad', 'rpad'].includes(nameParts(body.funcname).at(-1) ?? '');
  return (makesLong && !(Number(literal(given[1])) <= LONG_TO_COLLECT)) || given.some(isMadeLong);
}

const LONG_VALUES = new Set('repeat lpad rpad format concat string_agg'.split(' '));

/** Decimal logarithm of the rows from which a relation costs too much. */
export const TOO_MANY_ROWS = 8;
const TOO_LONG_A_SERIES = 7.5;
const DAY_STEPS = /day|week|mon|year|hour|decade|centur/i;

/** Decimal logarithm of the rows of generate_series with these arguments. */
export function seriesMagnitude({
  nodes,
  values,
}: {
  readonly nodes: readonly unknown[];
  readonly values: readonly Value[];
}): number {
  const [from, to, step] = nodes.map((node) => literal(node));
  if (nodes.length > 2 && step !== null && step !== undefined && !isNumber(step)) return DAY_STEPS.test(step) ? 4 : 9;
  if (isNumber(from) && isNumber(to)) {
    const width = (Number(to) - Number(from)) / Math.abs(Number(isNumber(step) ? step : 1));
    return Math.log10(Math.max(1, Math.abs(width)));
  }
  const isBoundByData = values[1] !== undefined && (isSizeOf(nodes[1]) || values[1].lineage.from !== 'none');
  return isBoundByData ? 3 : 9;
}

function isNumber(value: string | null | undefined): value is string {
  return typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
}

const SIZES = new Set(
  'array_upper array_length cardinality length char_length jsonb_array_length json_array_length'.split(' '),
);

function isSizeOf(node: unknown): boolean {
  const [type, body] = only(node);
  return type === 'FuncCall' && SIZES.has(text(nameParts(body.funcname).at(-1)));
}

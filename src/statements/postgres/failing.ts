import type { Value } from './expressions.ts';
import { literal, only } from './tree.ts';
import { withoutModifier } from './types.ts';

/**
 * Which values can make an expression fail. That a statement fails, or does not, shows something of them: so what can fail
 * by a value is as good as a condition on it. Only what is known never to fail is not: the lists are of that.
 */

/** Functions that take every value of their types. */
const NEVER_FAIL: ReadonlySet<string> = new Set(
  `lower upper initcap casefold length char_length character_length octet_length bit_length btrim ltrim rtrim concat
   left right reverse md5 sha224 sha256 sha384 sha512 quote_literal quote_nullable quote_ident strpos position starts_with
   replace translate ascii to_char abs sign floor ceil ceiling age date_part date_trunc extract isfinite
   to_json to_jsonb row_to_json array_to_json json_build_array jsonb_build_array json_typeof jsonb_typeof jsonb_pretty
   json_strip_nulls jsonb_strip_nulls json_extract_path jsonb_extract_path json_extract_path_text jsonb_extract_path_text
   array_length array_upper array_lower array_ndims array_dims cardinality array_to_string array_position array_positions
   host family masklen network abbrev to_tsvector hashtext pg_column_size pg_typeof num_nulls num_nonnulls
   count sum avg min max json_agg jsonb_agg bool_and bool_or every any_value
   stddev stddev_pop stddev_samp variance var_pop var_samp mode corr covar_pop covar_samp
   row_number rank dense_rank percent_rank cume_dist lag lead first_value last_value lastval now`.split(/\s+/),
);

/** Functions whose first argument can be every value of its type; the others say how long, where or with what. */
const NEVER_FAIL_BY_FIRST: ReadonlySet<string> = new Set(
  `substring substr overlay split_part lpad rpad repeat round trunc encode regexp_replace regexp_match regexp_count
   regexp_instr regexp_like regexp_substr concat_ws string_agg nth_value percentile_cont percentile_disc array_agg
   format_type timezone`.split(/\s+/),
);

/** Functions of names and values in turn, where a name cannot be NULL. */
const NAMES_AND_VALUES: ReadonlySet<string> = new Set(
  'json_build_object jsonb_build_object json_object_agg jsonb_object_agg'.split(' '),
);

/** The arguments of a built-in function that can make it fail. */
export function decidingArguments(name: string, values: readonly Value[]): readonly Value[] {
  if (NEVER_FAIL.has(name)) return [];
  if (NEVER_FAIL_BY_FIRST.has(name)) return values.slice(1);
  if (NAMES_AND_VALUES.has(name)) return values.filter((_, index) => index % 2 === 0);
  if (name === 'format') return values.slice(0, 1);
  return values;
}

/** Operators that take every value of their types. */
const OPERATORS: ReadonlySet<string> = new Set('= <> != < > <= >= || -> ->> #> #>> @> <@ ? ?| ?& && @@ @?'.split(' '));
/** Of these the right operand is a pattern, and can be a malformed one. */
const PATTERNS: ReadonlySet<string> = new Set('~ ~* !~ !~* ~~ ~~* !~~ !~~*'.split(' '));

interface Operand {
  readonly node: unknown;
  readonly value: Value;
}

/** The operands that can make an operator fail. @param kind of the A_Expr */
export function decidingOperands(
  name: string,
  kind: string,
  left: Operand | null,
  right: readonly Operand[],
): readonly Value[] {
  if (OPERATORS.has(name) || kind.includes('BETWEEN')) return [];
  if (PATTERNS.has(name)) return right.map(({ value }) => value).filter(({ lineage }) => lineage.from !== 'none');
  const [other] = right;
  if (left !== null && other !== undefined && isSmallArithmetic(name, left, other)) return [];
  return [...(left === null ? [] : [left.value]), ...right.map(({ value }) => value)];
}

const NUMBERS = new Set(['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision']);
const WITH_FRACTIONS = new Set(['numeric', 'real', 'double precision']);
const DATES = new Set(['date', 'timestamp without time zone', 'timestamp with time zone']);

/** `salary * 1.1`, `salary + 100`, `now() - born`: whether it overflows tells only of values that are at the border anyway. */
function isSmallArithmetic(name: string, left: Operand, right: Operand): boolean {
  const [stored, given, isLeft] = left.value.column !== null ? [left, right, true] : [right, left, false];
  const type = withoutModifier(stored.value.column?.column.type ?? '');
  if (DATES.has(type)) return name === '-' && isNow(given.node);
  const number = literal(given.node);
  if (!NUMBERS.has(type) || number === null || only(given.node)[0] !== 'A_Const') return false;
  const size = Math.abs(Number(number));
  if (!(size <= MOST)) return false;
  if (name === '+' || name === '-') return true;
  if (name === '*') return (WITH_FRACTIONS.has(type) && size > 0) || (number.includes('.') && size >= 1 / MOST);
  return (name === '/' || name === '%') && isLeft && size >= 1 / MOST;
}

/** No number beyond it, or below its inverse, moves a value to where the next one does not fit. */
const MOST = 1e6;

function isNow(node: unknown): boolean {
  const [type, body] = only(node);
  return type === 'SQLValueFunction' || (type === 'FuncCall' && body.args === undefined);
}

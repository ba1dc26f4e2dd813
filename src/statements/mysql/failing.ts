import { type Expression, partsOf } from './tree.ts';

/**
 * Which values can make an expression fail, in a SELECT under a strict sql_mode. That a statement fails, or does not, shows
 * something of them: so what can fail by a value is as good as a condition on it. Only what is known never to fail is not: the
 * lists are of that. Values of which the servers make NULL or 0 with a warning do not fail; warnings are withheld.
 */

/** Functions that take every value. */
const NEVER_FAIL: ReadonlySet<string> = new Set(
  `lower lcase upper ucase concat concat_ws substring substr mid left right length char_length character_length octet_length
   bit_length trim ltrim rtrim replace reverse instr locate position hex unhex ascii ord md5 sha sha1 sha2 crc32 to_base64
   from_base64 quote soundex insert elt field find_in_set substring_index strcmp lpad rpad repeat space format char convert cast
   binary charset collation coercibility bin oct conv make_set export_set weight_string
   year month day dayofmonth dayofweek dayofyear weekday week weekofyear yearweek quarter hour minute second microsecond date time
   date_format time_format dayname monthname last_day datediff timediff timestampdiff timestampadd unix_timestamp from_unixtime
   to_days from_days to_seconds date_add date_sub adddate subdate addtime subtime str_to_date extract timestamp sec_to_time
   time_to_sec convert_tz makedate maketime period_add period_diff
   abs sign floor ceil ceiling round truncate mod sqrt ln log log2 log10 sin cos atan atan2 degrees radians
   if ifnull nullif coalesce isnull interval greatest least nvl nvl2 decode
   count sum avg min max group_concat any_value std stddev stddev_pop stddev_samp var_pop var_samp variance bit_and bit_or bit_xor
   json_arrayagg json_array json_quote json_valid json_unquote
   row_number rank dense_rank percent_rank cume_dist lag lead first_value last_value nth_value ntile
   inet_aton inet_ntoa inet6_aton inet6_ntoa aes_encrypt aes_decrypt compress uncompress uncompressed_length is_ipv4 is_ipv6 is_uuid now`.split(
    /\s+/,
  ),
);

/** Functions of JSON: a stored value is JSON or it is not, but a computed one is it as its maker likes. */
const NEVER_FAIL_ON_COLUMNS: ReadonlySet<string> = new Set(
  `json_extract json_value json_query json_length json_keys json_type json_depth json_contains json_contains_path json_search
   json_pretty json_exists json_table json_overlaps`.split(/\s+/),
);

/** Functions of names and values in turn. */
const NAMES_AND_VALUES: ReadonlySet<string> = new Set(['json_object', 'json_objectagg']);

/** Functions that compute some of their arguments only, depending on others. */
const CHOOSING: ReadonlySet<string> = new Set(
  'if ifnull nullif coalesce elt field interval greatest least nvl nvl2 decode concat_ws find_in_set'.split(/\s+/),
);

/** True if it shows something of the values an expression is made of that it fails, or what of it is computed. */
export function showsItsValues(expression: Expression): boolean {
  switch (expression.type) {
    case 'operation':
      if (expression.does === 'conversion') return true;
      if (expression.does === 'arithmetic') return !isSmall(expression.operands);
      return expression.does === 'choice' && isChoiceSeen(expression.operands);
    case 'and':
    case 'or':
    case 'xor':
      return isChoiceSeen(expression.operands);
    case 'pattern':
      return expression.pattern.type !== 'literal' && expression.pattern.type !== 'parameter';
    case 'call': {
      const { name, arguments: given } = expression;
      return mayFail(expression) || (name.schema === null && CHOOSING.has(name.name) && isChoiceSeen(given));
    }
    default:
      return false;
  }
}

/** The first operand is always computed, the others depend on those before them. */
function isChoiceSeen(operands: readonly Expression[]): boolean {
  return operands.slice(1).some(tellsThatItIsComputed);
}

/** True if it shows whether an expression was computed: it can fail, takes its time, or leaves something behind. */
function tellsThatItIsComputed(expression: Expression): boolean {
  switch (expression.type) {
    case 'query':
    case 'exists':
    case 'assignment':
    case 'sequence':
    case 'pattern':
      return true;
    case 'operation':
      if (expression.does === 'conversion') return true;
      if (expression.does === 'arithmetic' && !isSmall(expression.operands)) return true;
      break;
    case 'call':
      if (mayFail(expression)) return true;
      break;
  }
  return partsOf(expression).some(tellsThatItIsComputed);
}

function mayFail({ name: { schema, name }, arguments: given }: Extract<Expression, { type: 'call' }>): boolean {
  if (schema !== null) return true;
  if (NEVER_FAIL.has(name)) return false;
  // A name cannot be NULL.
  if (NAMES_AND_VALUES.has(name)) return given.some((one, at) => at % 2 === 0 && one.type !== 'literal');
  const isOnColumns = given.every(({ type }) => type === 'column' || type === 'literal' || type === 'parameter');
  return !(NEVER_FAIL_ON_COLUMNS.has(name) && isOnColumns);
}

/** `salary * 1.1`, `price * quantity`, `total + 100`: whether it overflows tells only of values that are at the border anyway. */
function isSmall(operands: readonly Expression[]): boolean {
  if (operands.length > MOST_OPERANDS) return false;
  return operands.every(
    (one) =>
      one.type === 'column' ||
      (one.type === 'operation' && one.does === 'arithmetic' && isSmall(one.operands)) ||
      (one.type === 'literal' && one.kind === 'number' && Math.abs(Number(one.value)) <= MOST),
  );
}

const MOST_OPERANDS = 3;
/** No number beyond it moves a value to where the next one does not fit. */
const MOST = 1e6;

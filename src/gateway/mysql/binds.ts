import {
  type ComStmtBulkExecute,
  LONG_DATA,
  type Parameter,
  type ParameterType,
} from '../../../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../../../protocols/mysql/responses.ts';
import { textOfBinary } from '../../../protocols/mysql/values.ts';

/** What one execution brings besides the text. */
export interface Binds {
  /** For the record, as JSON text: `["a",null,{"hex":"ff00"}]`; `null` where there are none. */
  readonly json: string | null;
  /** For rules: as text, `null` for NULL. */
  readonly values: readonly (string | null)[];
  /** The values that are no text, by their places; NULL is none. */
  readonly notText: ReadonlySet<number>;
  /** How many executions the values are of. */
  readonly sets: number;
  /** False if a value is longer than what is kept of it. */
  readonly isComplete: boolean;
  /** What the client says of this execution by query attributes; `null` where it says nothing. */
  readonly claimed: ReadonlyMap<string, string> | null;
}

const NONE: ReadonlySet<number> = new Set();

export const NO_BINDS: Binds = { json: null, values: [], notText: NONE, sets: 1, isComplete: true, claimed: null };

/** Values that came in pieces. */
export type LongValues = ReadonlyMap<number, { readonly pieces: readonly Buffer[]; readonly bytes: number }>;

/** @param long values that COM_STMT_SEND_LONG_DATA brought, by the number of their parameter */
export function bindsOf(parameters: readonly Parameter[], long: LongValues | null): Binds {
  if (parameters.length === 0) return NO_BINDS;
  let isComplete = true;
  const values = parameters.map((parameter, i) => {
    if (parameter.value !== LONG_DATA) return binaryValue(parameter, parameter.value);
    const { pieces, bytes } = long!.get(i)!;
    const there = Buffer.concat(pieces);
    if (there.length === bytes) return textOf(there);
    isComplete = false;
    return { long: bytes };
  });
  const notText = notTextOf(values, parameters);
  return { json: JSON.stringify(values), values: values.map(asText), notText, sets: 1, isComplete, claimed: null };
}

/** With what query attributes say. One that is NULL, or has no name, says nothing. */
export function withAttributes(binds: Binds, attributes: readonly Parameter[]): Binds {
  const claimed = new Map<string, string>();
  for (const { name, value, ...type } of attributes) {
    const said = value === LONG_DATA ? null : asText(binaryValue({ ...type, name }, value));
    if (name !== '' && said !== null) claimed.set(name, said);
  }
  return claimed.size === 0 ? binds : { ...binds, claimed };
}

/** What stands in a record for a value that the statement itself gives: `DEFAULT`, or the column as it is. */
export function bulkBindsOf({ types, rows }: ComStmtBulkExecute): readonly Binds[] {
  return rows.map((row): Binds => {
    const values = row.map((value, i) => (typeof value === 'string' ? { use: value } : binaryValue(types[i]!, value)));
    const notText = notTextOf(values, types);
    return {
      json: JSON.stringify(values),
      values: values.map(asText),
      notText,
      sets: 1,
      isComplete: true,
      claimed: null,
    };
  });
}

/** Of all executions of one command. */
export function togetherOf(all: readonly Binds[]): Binds {
  return {
    json: `[${all.map(({ json }) => json).join(',')}]`,
    values: all.flatMap(({ values }) => values),
    // Asked of each execution by itself.
    notText: NONE,
    sets: all.length,
    isComplete: all.every(({ isComplete }) => isComplete),
    claimed: null,
  };
}

/** As {@link Binds.json}, each value left out. */
export function withoutValues({ values }: Binds): string {
  return JSON.stringify(values.map(() => ({ masked: true })));
}

type Value = string | null | { readonly hex: string } | { readonly long: number } | { readonly use: string };

function asText(value: Value): string | null {
  if (value === null || typeof value === 'string') return value;
  return 'hex' in value ? value.hex : null;
}

/** Types of values that are compared with text as text. */
const TEXTS: ReadonlySet<number> = new Set([
  FIELD_TYPE.varchar,
  FIELD_TYPE.varString,
  FIELD_TYPE.string,
  FIELD_TYPE.enum,
  FIELD_TYPE.set,
  FIELD_TYPE.tinyBlob,
  FIELD_TYPE.mediumBlob,
  FIELD_TYPE.longBlob,
  FIELD_TYPE.blob,
]);

function notTextOf(values: readonly Value[], types: readonly ParameterType[]): ReadonlySet<number> {
  const found = new Set<number>();
  for (const [at, value] of values.entries()) if (value !== null && !TEXTS.has(types[at]!.type)) found.add(at);
  return found.size === 0 ? NONE : found;
}

/** Types whose values are not the bytes of a text. */
const DECODED: ReadonlySet<number> = new Set([
  FIELD_TYPE.tiny,
  FIELD_TYPE.short,
  FIELD_TYPE.long,
  FIELD_TYPE.longlong,
  FIELD_TYPE.float,
  FIELD_TYPE.double,
  FIELD_TYPE.date,
  FIELD_TYPE.datetime,
  FIELD_TYPE.timestamp,
  FIELD_TYPE.time,
]);

function binaryValue(type: ParameterType, value: Buffer | null): Value {
  if (value === null) return null;
  if (!DECODED.has(type.type)) return textOf(value);
  try {
    return textOfBinary(type, value);
  } catch {
    return { hex: value.toString('hex') };
  }
}

/** Valid UTF-8 is text, all else its bytes in hexadecimal. */
function textOf(value: Buffer): Value {
  const text = value.toString('utf8');
  return text.includes('\ufffd') && !Buffer.from(text, 'utf8').equals(value) ? { hex: value.toString('hex') } : text;
}

import {
  type ComStmtBulkExecute,
  LONG_DATA,
  type Parameter,
  type ParameterType,
} from '../../../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../../../protocols/mysql/responses.ts';

/** The values of one execution of a prepared statement. */
export interface Binds {
  /** For the record, as JSON text: `["a",null,{"hex":"ff00"}]`; `null` where there are none. */
  readonly json: string | null;
  /** For rules: as text, `null` for NULL. */
  readonly values: readonly (string | null)[];
  /** False if a value is longer than what is kept of it. */
  readonly isComplete: boolean;
}

export const NO_BINDS: Binds = { json: null, values: [], isComplete: true };

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
  return { json: JSON.stringify(values), values: values.map(asText), isComplete };
}

/** What stands in a record for a value that the statement itself gives: `DEFAULT`, or the column as it is. */
export function bulkBindsOf({ types, rows }: ComStmtBulkExecute): {
  readonly binds: readonly Binds[];
  readonly json: string;
} {
  const binds = rows.map((row): Binds => {
    const values = row.map((value, i) => (typeof value === 'string' ? { use: value } : binaryValue(types[i]!, value)));
    return { json: JSON.stringify(values), values: values.map(asText), isComplete: true };
  });
  return { binds, json: `[${binds.map(({ json }) => json).join(',')}]` };
}

type Value = string | null | { readonly hex: string } | { readonly long: number } | { readonly use: string };

function asText(value: Value): string | null {
  if (value === null || typeof value === 'string') return value;
  return 'hex' in value ? value.hex : null;
}

/** A value of the binary protocol (MySQL internals documentation, "Binary Protocol Value"). */
function binaryValue({ type, unsigned }: ParameterType, value: Buffer | null): Value {
  if (value === null) return null;
  switch (type) {
    case FIELD_TYPE.tiny:
      return String(unsigned ? value.readUInt8() : value.readInt8());
    case FIELD_TYPE.short:
      return String(unsigned ? value.readUInt16LE() : value.readInt16LE());
    case FIELD_TYPE.long:
      return String(unsigned ? value.readUInt32LE() : value.readInt32LE());
    case FIELD_TYPE.longlong:
      return String(unsigned ? value.readBigUInt64LE() : value.readBigInt64LE());
    case FIELD_TYPE.float:
      return String(Number(value.readFloatLE().toPrecision(7)));
    case FIELD_TYPE.double:
      return String(value.readDoubleLE());
    case FIELD_TYPE.date:
    case FIELD_TYPE.datetime:
    case FIELD_TYPE.timestamp:
      return dateOf(value);
    case FIELD_TYPE.time:
      return timeOf(value);
    default:
      return textOf(value);
  }
}

/** Valid UTF-8 is text, all else its bytes in hexadecimal. */
function textOf(value: Buffer): Value {
  const text = value.toString('utf8');
  return text.includes('\ufffd') && !Buffer.from(text, 'utf8').equals(value) ? { hex: value.toString('hex') } : text;
}

function dateOf(value: Buffer): Value {
  if (value.length === 0) return '0000-00-00';
  if (value.length !== 4 && value.length !== 7 && value.length !== 11) return { hex: value.toString('hex') };
  const date = `${padded(value.readUInt16LE(), 4)}-${padded(value[2]!)}-${padded(value[3]!)}`;
  if (value.length === 4) return date;
  return `${date} ${padded(value[4]!)}:${padded(value[5]!)}:${padded(value[6]!)}${fraction(value, 7)}`;
}

function timeOf(value: Buffer): Value {
  if (value.length === 0) return '00:00:00';
  if (value.length !== 8 && value.length !== 12) return { hex: value.toString('hex') };
  const hours = value.readUInt32LE(1) * 24 + value[5]!;
  return `${value[0] === 1 ? '-' : ''}${padded(hours)}:${padded(value[6]!)}:${padded(value[7]!)}${fraction(value, 8)}`;
}

function fraction(value: Buffer, at: number): string {
  return value.length === at ? '' : `.${padded(value.readUInt32LE(at), 6)}`;
}

function padded(value: number, digits = 2): string {
  return String(value).padStart(digits, '0');
}

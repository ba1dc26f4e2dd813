/**
 * The commands with typed values: COM_QUERY with query attributes, COM_STMT_EXECUTE, and MariaDB's COM_STMT_BULK_EXECUTE
 * (MySQL internals documentation, "COM_QUERY", "COM_STMT_EXECUTE"; MariaDB knowledge base, "COM_STMT_BULK_EXECUTE").
 *
 * A value's type says where the value ends. Types that MySQL and MariaDB read differently, and flags they do not know,
 * are violations here: what a firewall reads must be what the server reads. Values are bytes where they lie, without
 * their length; values.ts turns them into JavaScript values.
 */
import { type Capabilities, CLIENT } from './capabilities.ts';
import { COM } from './commands.ts';
import { int1, int2, int4, lenencBytes, lenencInt } from './payload-fields.ts';
import { PayloadReader } from './payload-reader.ts';
import { FIELD_TYPE } from './responses.ts';

export interface ParameterType {
  /** FIELD_TYPE */
  readonly type: number;
  readonly unsigned: boolean;
  /** Of a query attribute; parameters of a statement have mostly none. Empty without CLIENT_QUERY_ATTRIBUTES. */
  readonly name: string;
}

export interface Parameter extends ParameterType {
  /** `LONG_DATA`: the value is what COM_STMT_SEND_LONG_DATA sent. */
  readonly value: Buffer | null | typeof LONG_DATA;
}

export const LONG_DATA = 'long data';

export interface ComQuery {
  /** Query attributes; none without CLIENT_QUERY_ATTRIBUTES. */
  readonly attributes: readonly Parameter[];
  /** In the client's character set. */
  readonly text: Buffer;
}

/** Flags of COM_STMT_EXECUTE: what cursor to open, and that the number of parameters is there even if it is 0. */
export const EXECUTE_FLAG = {
  readOnlyCursor: 1 << 0,
  forUpdateCursor: 1 << 1,
  scrollableCursor: 1 << 2,
  parameterCountAvailable: 1 << 3,
} as const;

export interface ComStmtExecute {
  readonly statementId: number;
  /** {@link EXECUTE_FLAG} */
  readonly flags: number;
  /** False if the types are those of the execution before; the client sends them only when they change. */
  readonly typesSent: boolean;
  /** The statement's parameters, then the query attributes. */
  readonly parameters: readonly Parameter[];
}

/** What a COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE cannot be read without. */
export interface StatementParameters {
  /** How many parameters the server said the statement has. */
  readonly count: number;
  /** Types that were sent last; `null` if none were. */
  readonly types: readonly ParameterType[] | null;
  /** Parameters that COM_STMT_SEND_LONG_DATA was sent for since the last execution. */
  readonly longData: ReadonlySet<number> | null;
}

/** What stands for a value of COM_STMT_BULK_EXECUTE. */
export type BulkValue = Buffer | null | 'default' | 'ignore';

/** Flags of COM_STMT_BULK_EXECUTE. */
export const BULK_FLAG = {
  /** The client wants the result of each row. */
  sendUnitResults: 64,
  sendTypes: 128,
} as const;

export interface ComStmtBulkExecute {
  readonly statementId: number;
  readonly typesSent: boolean;
  readonly unitResults: boolean;
  readonly types: readonly ParameterType[];
  /** At least one; each has a value for each parameter. */
  readonly rows: readonly (readonly BulkValue[])[];
}

/** The server takes no more parameters than that. */
const MOST_PARAMETERS = 65535;

export function encodeComQuery(query: ComQuery, capabilities: Capabilities): Buffer {
  if (!hasAttributes(capabilities)) {
    if (query.attributes.length > 0) throw new RangeError('query attributes need CLIENT_QUERY_ATTRIBUTES');
    return Buffer.concat([int1(COM.query), query.text]);
  }
  return Buffer.concat([
    int1(COM.query),
    lenencInt(query.attributes.length),
    // Sets of parameters: the protocol has room for more, servers take one.
    lenencInt(1),
    ...(query.attributes.length === 0 ? [] : encodeParameters(query.attributes, true, true)),
    query.text,
  ]);
}

export function decodeComQuery(payload: Buffer, capabilities: Capabilities): ComQuery {
  const reader = new PayloadReader('COM_QUERY', payload);
  reader.expect(COM.query);
  if (!hasAttributes(capabilities)) return { attributes: [], text: reader.rest() };
  const count = parameterCount(reader);
  if (reader.length() !== 1) throw reader.violation('does not have one set of parameters');
  const attributes = count === 0 ? [] : decodeParameters(reader, count, NO_STATEMENT, true).parameters;
  return { attributes, text: reader.rest() };
}

const NO_STATEMENT: StatementParameters = { count: 0, types: null, longData: null };

export function encodeComStmtExecute(execute: ComStmtExecute, count: number, capabilities: Capabilities): Buffer {
  const { parameters, flags } = execute;
  const named = hasAttributes(capabilities);
  const fields = [
    int1(COM.stmtExecute),
    int4(execute.statementId),
    int1(flags),
    // Iterations: always one, and servers do not read it.
    int4(1),
  ];
  if (parameters.length < count || (!named && parameters.length > count)) {
    throw new RangeError(`${parameters.length} values for ${count} parameters`);
  }
  if (count > 0 || (named && (flags & EXECUTE_FLAG.parameterCountAvailable) !== 0)) {
    if (named) fields.push(lenencInt(parameters.length));
    if (parameters.length > 0) fields.push(...encodeParameters(parameters, execute.typesSent, named));
  } else if (parameters.length > 0) {
    throw new RangeError('query attributes need the flag PARAMETER_COUNT_AVAILABLE');
  }
  return Buffer.concat(fields);
}

/** The prepared statement that a COM_STMT_EXECUTE, _BULK_EXECUTE, _FETCH or _SEND_LONG_DATA is about. */
export function statementIdOf(payload: Buffer): number {
  const reader = new PayloadReader('command about a statement', payload);
  reader.int1();
  return reader.int4();
}

export function decodeComStmtExecute(
  payload: Buffer,
  statement: StatementParameters,
  capabilities: Capabilities,
): ComStmtExecute {
  const reader = new PayloadReader('COM_STMT_EXECUTE', payload);
  reader.expect(COM.stmtExecute);
  const statementId = reader.int4();
  const flags = reader.int1();
  reader.int4();
  const named = hasAttributes(capabilities);
  if (statement.count === 0 && (!named || (flags & EXECUTE_FLAG.parameterCountAvailable) === 0)) {
    // Servers read nothing more then, and some clients send an empty list.
    return { statementId, flags, typesSent: false, parameters: [] };
  }
  const count = named ? parameterCount(reader) : statement.count;
  if (count < statement.count) throw reader.violation(`has ${count} values for ${statement.count} parameters`);
  if (count === 0) {
    reader.end();
    return { statementId, flags, typesSent: false, parameters: [] };
  }
  const { typesSent, parameters } = decodeParameters(reader, count, statement, named);
  reader.end();
  return { statementId, flags, typesSent, parameters };
}

const INDICATOR = { none: 0, null: 1, default: 2, ignore: 3 } as const;

export function encodeComStmtBulkExecute(bulk: ComStmtBulkExecute): Buffer {
  const { types, rows } = bulk;
  const fields = [
    int1(COM.stmtBulkExecute),
    int4(bulk.statementId),
    int2((bulk.typesSent ? BULK_FLAG.sendTypes : 0) | (bulk.unitResults ? BULK_FLAG.sendUnitResults : 0)),
  ];
  if (types.length === 0 || rows.length === 0) throw new RangeError('a bulk execution has parameters and rows');
  if (bulk.typesSent) for (const type of types) fields.push(...encodeType(type, false));
  for (const row of rows) {
    if (row.length !== types.length) throw new RangeError(`${row.length} values for ${types.length} parameters`);
    row.forEach((value, i) => {
      if (value === null) fields.push(int1(INDICATOR.null));
      else if (typeof value === 'string') fields.push(int1(INDICATOR[value]));
      else fields.push(int1(INDICATOR.none), encodeValue(types[i]!.type, value));
    });
  }
  return Buffer.concat(fields);
}

export function decodeComStmtBulkExecute(payload: Buffer, statement: StatementParameters): ComStmtBulkExecute {
  const reader = new PayloadReader('COM_STMT_BULK_EXECUTE', payload);
  reader.expect(COM.stmtBulkExecute);
  const statementId = reader.int4();
  const flags = reader.int2();
  if ((flags & ~(BULK_FLAG.sendTypes | BULK_FLAG.sendUnitResults)) !== 0) {
    throw reader.violation(`has unknown flags ${flags}`);
  }
  if (statement.count === 0) throw reader.violation('is for a statement without parameters');
  if (statement.longData !== null && statement.longData.size > 0) throw reader.violation('has long data');
  const typesSent = (flags & BULK_FLAG.sendTypes) !== 0;
  const types = typesSent ? decodeTypes(reader, statement.count, false) : statement.types;
  if (types === null) throw reader.violation('has values without types');
  const rows: BulkValue[][] = [];
  do {
    const row: BulkValue[] = [];
    for (let i = 0; i < statement.count; i += 1) row.push(decodeBulkValue(reader, types[i]!.type));
    rows.push(row);
  } while (!reader.atEnd);
  return { statementId, typesSent, unitResults: (flags & BULK_FLAG.sendUnitResults) !== 0, types, rows };
}

function decodeBulkValue(reader: PayloadReader, type: number): BulkValue {
  const indicator = reader.int1();
  switch (indicator) {
    case INDICATOR.none:
      return decodeValue(reader, type);
    case INDICATOR.null:
      return null;
    case INDICATOR.default:
      return 'default';
    case INDICATOR.ignore:
      return 'ignore';
    default:
      throw reader.violation(`has an unknown indicator ${indicator}`);
  }
}

function hasAttributes(capabilities: Capabilities): boolean {
  return (capabilities.client & CLIENT.queryAttributes) !== 0;
}

function parameterCount(reader: PayloadReader): number {
  const count = reader.length();
  if (count > MOST_PARAMETERS) throw reader.violation(`has ${count} parameters`);
  return count;
}

function encodeParameters(parameters: readonly Parameter[], typesSent: boolean, named: boolean): Buffer[] {
  const nulls = Buffer.alloc((parameters.length + 7) >> 3);
  const fields = [nulls, int1(typesSent ? 1 : 0)];
  if (typesSent) for (const parameter of parameters) fields.push(...encodeType(parameter, named));
  parameters.forEach(({ type, value }, i) => {
    if (value === null) nulls[i >> 3]! |= 1 << (i & 7);
    else if (value !== LONG_DATA) fields.push(encodeValue(type, value));
  });
  return fields;
}

/** NULL bitmap, types, values. */
function decodeParameters(
  reader: PayloadReader,
  count: number,
  statement: StatementParameters,
  named: boolean,
): { typesSent: boolean; parameters: Parameter[] } {
  const nulls = reader.bytes((count + 7) >> 3);
  const typesSent = reader.int1();
  if (typesSent > 1) throw reader.violation(`says ${typesSent} where 0 or 1 is due`);
  const types = typesSent === 1 ? decodeTypes(reader, count, named) : statement.types;
  // The server keeps the types of the statement's own parameters only.
  if (types === null || (typesSent === 0 && count > statement.count))
    throw reader.violation('has values without types');
  const parameters: Parameter[] = [];
  for (let i = 0; i < count; i += 1) {
    const { type, unsigned, name } = types[i]!;
    let value: Parameter['value'];
    if (statement.longData?.has(i) && i < statement.count) value = LONG_DATA;
    else if ((nulls[i >> 3]! & (1 << (i & 7))) !== 0) value = null;
    else value = decodeValue(reader, type);
    parameters.push({ type, unsigned, name, value });
  }
  return { typesSent: typesSent === 1, parameters };
}

const UNSIGNED = 0x80;

function encodeType({ type, unsigned, name }: ParameterType, named: boolean): Buffer[] {
  if (!named && name !== '') throw new RangeError('names of parameters need CLIENT_QUERY_ATTRIBUTES');
  return [int1(type), int1(unsigned ? UNSIGNED : 0), ...(named ? [lenencBytes(name)] : [])];
}

function decodeTypes(reader: PayloadReader, count: number, named: boolean): ParameterType[] {
  const types: ParameterType[] = [];
  for (let i = 0; i < count; i += 1) {
    const type = reader.int1();
    const flags = reader.int1();
    if ((flags & ~UNSIGNED) !== 0) throw reader.violation(`has an unknown type ${type} with flags ${flags}`);
    const name = named ? reader.text(reader.lenencBytes()) : '';
    types.push({ type, unsigned: flags === UNSIGNED, name });
  }
  return types;
}

const LENGTH_FIRST = -1;

/** Bytes a value of a type has as a parameter; {@link LENGTH_FIRST} if its length comes before it, `null` if it cannot be one. */
function sizeOf(type: number): number | null {
  switch (type) {
    case FIELD_TYPE.tiny:
      return 1;
    case FIELD_TYPE.short:
      return 2;
    case FIELD_TYPE.long:
    case FIELD_TYPE.float:
      return 4;
    case FIELD_TYPE.longlong:
    case FIELD_TYPE.double:
      return 8;
    case FIELD_TYPE.decimal:
    case FIELD_TYPE.newdecimal:
    case FIELD_TYPE.timestamp:
    case FIELD_TYPE.date:
    case FIELD_TYPE.time:
    case FIELD_TYPE.datetime:
    case FIELD_TYPE.varchar:
    case FIELD_TYPE.bit:
    case FIELD_TYPE.vector:
    case FIELD_TYPE.json:
    case FIELD_TYPE.enum:
    case FIELD_TYPE.set:
    case FIELD_TYPE.tinyBlob:
    case FIELD_TYPE.mediumBlob:
    case FIELD_TYPE.longBlob:
    case FIELD_TYPE.blob:
    case FIELD_TYPE.varString:
    case FIELD_TYPE.string:
      return LENGTH_FIRST;
    // NULL, YEAR, INT24, GEOMETRY and whatever comes: the servers differ.
    default:
      return null;
  }
}

function encodeValue(type: number, value: Buffer): Buffer {
  const size = sizeOf(type);
  if (size === LENGTH_FIRST) return lenencBytes(value);
  if (size !== value.length) throw new RangeError(`a value of type ${type} cannot have ${value.length} bytes`);
  return value;
}

function decodeValue(reader: PayloadReader, type: number): Buffer {
  const size = sizeOf(type);
  if (size === null) throw reader.violation(`has a value of type ${type}, which servers read differently`);
  return size === LENGTH_FIRST ? reader.lenencBytes() : reader.bytes(size);
}

/**
 * What a server answers commands with, other than rows (MySQL internals documentation, "Generic Response Packets",
 * "Text Resultset", "COM_STMT_PREPARE Response"; MariaDB knowledge base, "Result Set Packets").
 *
 * `encodeX` gives the payload; it throws a RangeError for values that do not fit. `decodeX` takes the payload and throws
 * {@link ProtocolViolation} for anything the documentation does not allow. Bytes in the results are subarrays.
 * Text that is only shown or recorded is decoded leniently: what is not UTF-8 becomes U+FFFD.
 */
import { type Capabilities, CLIENT, MARIADB_CLIENT, SERVER_STATUS } from './capabilities.ts';
import { int1, int2, int3, int4, lenencBytes, lenencBytesOrNull, lenencInt } from './payload-fields.ts';
import { PayloadReader } from './payload-reader.ts';

/** First bytes of responses. */
export const RESPONSE = {
  ok: 0x00,
  localInfile: 0xfb,
  /** EOF, and in its place the OK packet that ends rows with CLIENT_DEPRECATE_EOF. */
  eof: 0xfe,
  err: 0xff,
} as const;

/** OK_Packet */
export interface Ok {
  /** 0xfe in the place of an EOF packet, otherwise 0x00. */
  readonly header: typeof RESPONSE.ok | typeof RESPONSE.eof;
  readonly affectedRows: bigint;
  readonly lastInsertId: bigint;
  /** SERVER_STATUS flags. */
  readonly status: number;
  readonly warnings: number;
  /** For people: `Rows matched: 1  Changed: 1  Warnings: 0`. */
  readonly info: string;
  /** What changed in the session's state, see session-state.ts; `null` if SERVER_SESSION_STATE_CHANGED is not set. */
  readonly sessionState: Buffer | null;
}

/** ERR_Packet */
export interface Err {
  readonly code: number;
  /** SQLSTATE; `null` in an error that comes in place of the greeting. */
  readonly sqlState: string | null;
  readonly message: string;
}

/** EOF_Packet */
export interface Eof {
  readonly warnings: number;
  readonly status: number;
}

/** MariaDB's progress report: comes before the response of a statement that takes long. */
export interface Progress {
  readonly stage: number;
  readonly stages: number;
  /** Of the stage, in thousandths of a percent. */
  readonly progress: number;
  readonly info: string;
}

/** What the columns of a result set begin with. */
export interface ResultSetHeader {
  readonly columns: number;
  /** False if the column definitions are not sent, because the client said it could do without or has them. */
  readonly metadataFollows: boolean;
}

/** Protocol::ColumnDefinition41. Names are text in the client's character set, here UTF-8. */
export interface ColumnDefinition {
  readonly catalog: string;
  readonly schema: string;
  /** Name or alias the statement gives the table; `orgTable` is its own. Both empty for what no table has. */
  readonly table: string;
  readonly orgTable: string;
  readonly name: string;
  readonly orgName: string;
  /** MariaDB: type name (0) and format name (1), by kind; `null` without MARIADB_CLIENT_EXTENDED_METADATA. */
  readonly extendedMetadata: ReadonlyMap<number, string> | null;
  /** Collation id; 63 is binary. */
  readonly characterSet: number;
  /** Largest length in bytes. */
  readonly columnLength: number;
  /** {@link FIELD_TYPE} */
  readonly type: number;
  /** {@link COLUMN_FLAG} */
  readonly flags: number;
  readonly decimals: number;
  /** Only in answers to COM_FIELD_LIST, otherwise `undefined`. */
  readonly defaultValue?: Buffer | null;
}

/** COM_STMT_PREPARE_OK. Definitions of the parameters, then of the columns follow. */
export interface StmtPrepareOk {
  readonly statementId: number;
  readonly columns: number;
  readonly parameters: number;
  readonly warnings: number;
  readonly metadataFollows: boolean;
}

/** Types of columns and parameters: `enum_field_types`. */
export const FIELD_TYPE = {
  decimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  null: 6,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  newdate: 14,
  varchar: 15,
  bit: 16,
  vector: 242,
  json: 245,
  newdecimal: 246,
  enum: 247,
  set: 248,
  tinyBlob: 249,
  mediumBlob: 250,
  longBlob: 251,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const;

export const COLUMN_FLAG = {
  notNull: 1 << 0,
  primaryKey: 1 << 1,
  uniqueKey: 1 << 2,
  multipleKey: 1 << 3,
  blob: 1 << 4,
  unsigned: 1 << 5,
  zerofill: 1 << 6,
  binary: 1 << 7,
  enum: 1 << 8,
  autoIncrement: 1 << 9,
  timestamp: 1 << 10,
  set: 1 << 11,
  noDefaultValue: 1 << 12,
  onUpdateNow: 1 << 13,
  number: 1 << 15,
} as const;

export function encodeOk(ok: Ok, capabilities: Capabilities): Buffer {
  const tracks = (capabilities.client & CLIENT.sessionTrack) !== 0;
  const changed = (ok.status & SERVER_STATUS.sessionStateChanged) !== 0;
  if ((ok.sessionState !== null) !== (tracks && changed)) {
    throw new RangeError('SERVER_SESSION_STATE_CHANGED has to say whether session state is there');
  }
  const fields = [
    int1(ok.header),
    lenencInt(ok.affectedRows),
    lenencInt(ok.lastInsertId),
    int2(ok.status),
    int2(ok.warnings),
  ];
  if (ok.info !== '' || ok.sessionState !== null) fields.push(lenencBytes(ok.info));
  if (ok.sessionState !== null) fields.push(lenencBytes(ok.sessionState));
  return Buffer.concat(fields);
}

export function decodeOk(payload: Buffer, capabilities: Capabilities): Ok {
  const reader = new PayloadReader('OK packet', payload);
  const header = reader.int1();
  if (header !== RESPONSE.ok && header !== RESPONSE.eof) throw reader.violation(`begins with ${header}`);
  const affectedRows = reader.lenencInt();
  const lastInsertId = reader.lenencInt();
  const status = reader.int2();
  const warnings = reader.int2();
  const tracks = (capabilities.client & CLIENT.sessionTrack) !== 0;
  // Servers leave the text out if it is empty and nothing comes after it, and give it a length in any case, though the
  // documentation has it without one where CLIENT_SESSION_TRACK is not set.
  const info = reader.atEnd ? '' : reader.lenencBytes().toString('utf8');
  const changed = tracks && (status & SERVER_STATUS.sessionStateChanged) !== 0;
  const sessionState = changed ? reader.lenencBytes() : null;
  reader.end();
  return { header, affectedRows, lastInsertId, status, warnings, info, sessionState };
}

const SQLSTATE_MARKER = 0x23; // '#'

export function encodeErr(err: Err): Buffer {
  const { code, sqlState, message } = err;
  if (code === PROGRESS_CODE) throw new RangeError('this error code marks a progress report');
  if (sqlState !== null && !/^[0-9A-Z]{5}$/.test(sqlState)) throw new RangeError('a SQLSTATE has 5 digits or letters');
  const state = sqlState === null ? '' : `#${sqlState}`;
  if (sqlState === null && message.startsWith('#')) throw new RangeError('the message would be read as a SQLSTATE');
  return Buffer.concat([int1(RESPONSE.err), int2(code), Buffer.from(state + message, 'utf8')]);
}

export function decodeErr(payload: Buffer): Err {
  const reader = new PayloadReader('ERR packet', payload);
  reader.expect(RESPONSE.err);
  const code = reader.int2();
  if (code === PROGRESS_CODE) throw reader.violation('is a progress report');
  let sqlState: string | null = null;
  if (reader.peek() === SQLSTATE_MARKER) {
    reader.int1();
    sqlState = reader.bytes(5).toString('latin1');
  }
  return { code, sqlState, message: reader.rest().toString('utf8') };
}

/** The code an ERR packet has if it is a progress report. */
export const PROGRESS_CODE = 0xffff;

/** Whether a payload is a progress report, which no response ends with. Only under MARIADB_CLIENT_PROGRESS. */
export function isProgress(payload: Buffer): boolean {
  return payload.length > 3 && payload[0] === RESPONSE.err && payload.readUInt16LE(1) === PROGRESS_CODE;
}

export function encodeProgress(progress: Progress): Buffer {
  return Buffer.concat([
    int1(RESPONSE.err),
    int2(PROGRESS_CODE),
    // The number of strings that follow.
    int1(1),
    int1(progress.stage),
    int1(progress.stages),
    int3(progress.progress),
    lenencBytes(progress.info),
  ]);
}

export function decodeProgress(payload: Buffer): Progress {
  const reader = new PayloadReader('progress report', payload);
  reader.expect(RESPONSE.err);
  if (reader.int2() !== PROGRESS_CODE) throw reader.violation('has another error code');
  reader.expect(1);
  const stage = reader.int1();
  const stages = reader.int1();
  const progress = reader.int3();
  const info = reader.lenencBytes().toString('utf8');
  reader.end();
  return { stage, stages, progress, info };
}

export function encodeEof(eof: Eof): Buffer {
  return Buffer.concat([int1(RESPONSE.eof), int2(eof.warnings), int2(eof.status)]);
}

export function decodeEof(payload: Buffer): Eof {
  const reader = new PayloadReader('EOF packet', payload);
  reader.expect(RESPONSE.eof);
  const warnings = reader.int2();
  const status = reader.int2();
  reader.end();
  return { warnings, status };
}

/** The server asks for a file of the client, by name. */
export function encodeLocalInfile(fileName: string): Buffer {
  return Buffer.concat([int1(RESPONSE.localInfile), Buffer.from(fileName, 'utf8')]);
}

export function decodeLocalInfile(payload: Buffer): string {
  const reader = new PayloadReader('LOCAL INFILE request', payload);
  reader.expect(RESPONSE.localInfile);
  return reader.text(reader.rest());
}

/** Whether a {@link ResultSetHeader} and a {@link StmtPrepareOk} say if metadata follows. */
function saysIfMetadataFollows(capabilities: Capabilities): boolean {
  return (
    (capabilities.client & CLIENT.optionalResultsetMetadata) !== 0 ||
    (capabilities.mariadb & MARIADB_CLIENT.cacheMetadata) !== 0
  );
}

export function encodeResultSetHeader(header: ResultSetHeader, capabilities: Capabilities): Buffer {
  // 0 columns are an OK packet, 251 and 255 as a first byte a LOCAL INFILE request and an error.
  if (header.columns < 1) throw new RangeError('a result set has columns');
  const says = saysIfMetadataFollows(capabilities);
  if (!header.metadataFollows && !says) throw new RangeError('metadata has to follow');
  const fields = [lenencInt(header.columns)];
  if (says) fields.push(int1(header.metadataFollows ? 1 : 0));
  return Buffer.concat(fields);
}

export function decodeResultSetHeader(payload: Buffer, capabilities: Capabilities): ResultSetHeader {
  const reader = new PayloadReader('result set header', payload);
  const columns = reader.length();
  if (columns < 1) throw reader.violation('has no columns');
  const metadataFollows = saysIfMetadataFollows(capabilities) ? flag(reader) : true;
  reader.end();
  return { columns, metadataFollows };
}

/** Bytes of the fields of fixed length at the end of a column definition. */
const FIXED_FIELDS = 0x0c;

export function encodeColumnDefinition(column: ColumnDefinition, capabilities: Capabilities): Buffer {
  const extended = (capabilities.mariadb & MARIADB_CLIENT.extendedMetadata) !== 0;
  if (extended !== (column.extendedMetadata !== null)) {
    throw new RangeError('MARIADB_CLIENT_EXTENDED_METADATA has to say whether its field is there');
  }
  const fields = [column.catalog, column.schema, column.table, column.orgTable, column.name, column.orgName].map(
    lenencBytes,
  );
  if (column.extendedMetadata !== null) {
    const entries = [...column.extendedMetadata].flatMap(([kind, value]) => [int1(kind), lenencBytes(value)]);
    fields.push(lenencBytes(Buffer.concat(entries)));
  }
  fields.push(
    int1(FIXED_FIELDS),
    int2(column.characterSet),
    int4(column.columnLength),
    int1(column.type),
    int2(column.flags),
    int1(column.decimals),
    int2(0),
  );
  if (column.defaultValue !== undefined) fields.push(lenencBytesOrNull(column.defaultValue));
  return Buffer.concat(fields);
}

export function decodeColumnDefinition(payload: Buffer, capabilities: Capabilities): ColumnDefinition {
  const reader = new PayloadReader('column definition', payload);
  const text = () => reader.text(reader.lenencBytes());
  const names = {
    catalog: text(),
    schema: text(),
    table: text(),
    orgTable: text(),
    name: text(),
    orgName: text(),
  };
  const extended = (capabilities.mariadb & MARIADB_CLIENT.extendedMetadata) !== 0;
  const extendedMetadata = extended ? decodeExtendedMetadata(reader.lenencBytes()) : null;
  reader.expect(FIXED_FIELDS);
  const column: ColumnDefinition = {
    ...names,
    extendedMetadata,
    characterSet: reader.int2(),
    columnLength: reader.int4(),
    type: reader.int1(),
    flags: reader.int2(),
    decimals: reader.int1(),
  };
  reader.int2();
  if (reader.atEnd) return column;
  const defaultValue = reader.lenencBytesOrNull();
  reader.end();
  return { ...column, defaultValue };
}

function decodeExtendedMetadata(bytes: Buffer): Map<number, string> {
  const reader = new PayloadReader('extended metadata', bytes);
  const metadata = new Map<number, string>();
  while (!reader.atEnd) {
    const kind = reader.int1();
    metadata.set(kind, reader.text(reader.lenencBytes()));
  }
  return metadata;
}

export function encodeStmtPrepareOk(prepared: StmtPrepareOk, capabilities: Capabilities): Buffer {
  const says = saysIfMetadataFollows(capabilities);
  if (!prepared.metadataFollows && !says) throw new RangeError('metadata has to follow');
  const fields = [
    int1(RESPONSE.ok),
    int4(prepared.statementId),
    int2(prepared.columns),
    int2(prepared.parameters),
    int1(0),
    int2(prepared.warnings),
  ];
  if (says) fields.push(int1(prepared.metadataFollows ? 1 : 0));
  return Buffer.concat(fields);
}

export function decodeStmtPrepareOk(payload: Buffer, capabilities: Capabilities): StmtPrepareOk {
  const reader = new PayloadReader('COM_STMT_PREPARE_OK', payload);
  reader.expect(RESPONSE.ok);
  const statementId = reader.int4();
  const columns = reader.int2();
  const parameters = reader.int2();
  reader.expect(0);
  const warnings = reader.int2();
  const metadataFollows = saysIfMetadataFollows(capabilities) ? flag(reader) : true;
  reader.end();
  return { statementId, columns, parameters, warnings, metadataFollows };
}

function flag(reader: PayloadReader): boolean {
  const value = reader.int1();
  if (value > 1) throw reader.violation(`says ${value} where 0 or 1 is due`);
  return value === 1;
}

/** COM_STATISTICS is answered by text alone. */
export function encodeStatistics(text: string): Buffer {
  return Buffer.from(text, 'utf8');
}

export function decodeStatistics(payload: Buffer): string {
  return payload.toString('utf8');
}

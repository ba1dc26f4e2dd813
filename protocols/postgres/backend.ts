/**
 * The messages a backend sends: PostgreSQL documentation, chapter "Message Formats", protocols 3.0 and 3.2.
 *
 * `encodeX` gives the whole message with its type byte and length; it throws a RangeError for values that do not fit.
 * `decodeX` takes the body, without type byte and length, and throws a ProtocolViolation for
 * anything the documentation does not allow. The upstream server is not trusted here: no body makes a decoder hang or
 * take more memory than a small multiple of its size. Strings are decoded leniently (see BodyReader.lossyText): they
 * are for people and records, and the client gets the server's own bytes. Bytes in the results are subarrays.
 *
 * CopyData and CopyDone are the same in both directions: see frontend.ts.
 */
import { BodyReader } from './body-reader.ts';
import { byte, count, int16, int32, message, oid, secretKey, text, value } from './message-fields.ts';

/** Type bytes of backend messages. */
export const BACKEND = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** What an authentication message asks for, by the Int32 its body begins with. */
const AUTHENTICATION = {
  Ok: 0,
  CleartextPassword: 3,
  MD5Password: 5,
  GSS: 7,
  GSSContinue: 8,
  SSPI: 9,
  SASL: 10,
  SASLContinue: 11,
  SASLFinal: 12,
} as const;

/** `kind` is the documentation's name without its leading "Authentication". */
export type Authentication =
  | { readonly kind: 'Ok' | 'CleartextPassword' | 'GSS' | 'SSPI' }
  | { readonly kind: 'MD5Password'; readonly salt: Buffer }
  | { readonly kind: 'SASL'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'SASLContinue' | 'SASLFinal' | 'GSSContinue'; readonly data: Buffer };

export interface BackendKeyData {
  readonly processId: number;
  readonly secretKey: Buffer;
}

/** The body of CopyInResponse, CopyOutResponse and CopyBothResponse. Formats: 0 text, 1 binary. */
export interface CopyResponse {
  readonly format: number;
  readonly columnFormats: readonly number[];
}

/** The fields of ErrorResponse and NoticeResponse: PostgreSQL documentation, "Error and Notice Message Fields". */
export interface ErrorFields {
  readonly severity: string;
  readonly severityNonLocalized?: string;
  /** SQLSTATE */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** Decimal; counts characters of the query from 1. */
  readonly position?: string;
  readonly internalPosition?: string;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;
  readonly file?: string;
  readonly line?: string;
  readonly routine?: string;
  /** Fields the documentation does not have (yet), by their one-character code. */
  readonly unknown?: Readonly<Record<string, string>>;
}

export interface NegotiateProtocolVersion {
  /**
   * The newest version the server speaks. The documentation calls it a minor version; servers send, and libpq reads,
   * the whole version as in a StartupMessage: 196610 for 3.2.
   */
  readonly version: number;
  /** Names of the `_pq_.` options of the StartupMessage that the server does not know. */
  readonly unrecognizedOptions: readonly string[];
}

export interface NotificationResponse {
  readonly processId: number;
  readonly channel: string;
  readonly payload: string;
}

export interface ParameterStatus {
  readonly name: string;
  readonly value: string;
}

/** I idle, T in a transaction, E in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E';

export interface FieldDescription {
  readonly name: string;
  /** 0 if the field is not a column of a table; so is `columnNumber` then. */
  readonly tableOid: number;
  readonly columnNumber: number;
  readonly typeOid: number;
  /** Bytes; negative for types of variable size. */
  readonly typeSize: number;
  readonly typeModifier: number;
  /** 0 text, 1 binary. What a Describe of a statement says here means nothing yet. */
  readonly format: number;
}

// Authentication and start of the session.

export function encodeAuthentication(authentication: Authentication): Buffer {
  const kind = int32(AUTHENTICATION[authentication.kind]);
  switch (authentication.kind) {
    case 'MD5Password':
      if (authentication.salt.length !== 4) throw new RangeError('the salt of an MD5 password has 4 bytes');
      return message(BACKEND.authentication, [kind, authentication.salt]);
    case 'SASL':
      if (authentication.mechanisms.includes('')) throw new RangeError('a SASL mechanism needs a name');
      return message(BACKEND.authentication, [kind, ...authentication.mechanisms.map(text), byte(0)]);
    case 'SASLContinue':
    case 'SASLFinal':
    case 'GSSContinue':
      return message(BACKEND.authentication, [kind, authentication.data]);
    default:
      return message(BACKEND.authentication, [kind]);
  }
}

export function decodeAuthentication(body: Buffer): Authentication {
  const reader = new BodyReader('Authentication', body);
  const authentication = readAuthentication(reader);
  reader.end();
  return authentication;
}

function readAuthentication(reader: BodyReader): Authentication {
  const code = reader.int32();
  switch (code) {
    case AUTHENTICATION.Ok:
      return { kind: 'Ok' };
    case AUTHENTICATION.CleartextPassword:
      return { kind: 'CleartextPassword' };
    case AUTHENTICATION.MD5Password:
      return { kind: 'MD5Password', salt: reader.bytes(4) };
    case AUTHENTICATION.GSS:
      return { kind: 'GSS' };
    case AUTHENTICATION.GSSContinue:
      return { kind: 'GSSContinue', data: reader.rest() };
    case AUTHENTICATION.SSPI:
      return { kind: 'SSPI' };
    case AUTHENTICATION.SASL: {
      const mechanisms: string[] = [];
      for (let name = reader.text(); name !== ''; name = reader.text()) mechanisms.push(name);
      return { kind: 'SASL', mechanisms };
    }
    case AUTHENTICATION.SASLContinue:
      return { kind: 'SASLContinue', data: reader.rest() };
    case AUTHENTICATION.SASLFinal:
      return { kind: 'SASLFinal', data: reader.rest() };
    default:
      throw reader.violation(`asks for an unknown method (${code})`);
  }
}

export function encodeBackendKeyData(key: BackendKeyData): Buffer {
  return message(BACKEND.backendKeyData, [int32(key.processId), secretKey(key.secretKey)]);
}

export function decodeBackendKeyData(body: Buffer): BackendKeyData {
  const reader = new BodyReader('BackendKeyData', body);
  const processId = reader.int32();
  return { processId, secretKey: reader.secretKey() };
}

export function encodeNegotiateProtocolVersion(negotiate: NegotiateProtocolVersion): Buffer {
  return message(BACKEND.negotiateProtocolVersion, [
    int32(negotiate.version),
    int32(negotiate.unrecognizedOptions.length),
    ...negotiate.unrecognizedOptions.map(text),
  ]);
}

export function decodeNegotiateProtocolVersion(body: Buffer): NegotiateProtocolVersion {
  const reader = new BodyReader('NegotiateProtocolVersion', body);
  const version = reader.int32();
  const length = reader.int32();
  if (length < 0) throw reader.violation(`announces ${length} options`);
  const unrecognizedOptions: string[] = [];
  while (unrecognizedOptions.length < length) unrecognizedOptions.push(reader.lossyText());
  reader.end();
  return { version, unrecognizedOptions };
}

export function encodeParameterStatus(parameter: ParameterStatus): Buffer {
  return message(BACKEND.parameterStatus, [text(parameter.name), text(parameter.value)]);
}

export function decodeParameterStatus(body: Buffer): ParameterStatus {
  const reader = new BodyReader('ParameterStatus', body);
  const name = reader.lossyText();
  const setting = reader.lossyText();
  reader.end();
  return { name, value: setting };
}

export function encodeReadyForQuery(status: TransactionStatus): Buffer {
  return message(BACKEND.readyForQuery, [Buffer.from(status, 'latin1')]);
}

export function decodeReadyForQuery(body: Buffer): TransactionStatus {
  const reader = new BodyReader('ReadyForQuery', body);
  const status = String.fromCharCode(reader.byte());
  reader.end();
  if (status !== 'I' && status !== 'T' && status !== 'E') throw reader.violation('has an unknown transaction status');
  return status;
}

// Answers to queries.

export function encodeParseComplete(): Buffer {
  return message(BACKEND.parseComplete);
}

export function decodeParseComplete(body: Buffer): void {
  new BodyReader('ParseComplete', body).end();
}

export function encodeBindComplete(): Buffer {
  return message(BACKEND.bindComplete);
}

export function decodeBindComplete(body: Buffer): void {
  new BodyReader('BindComplete', body).end();
}

export function encodeCloseComplete(): Buffer {
  return message(BACKEND.closeComplete);
}

export function decodeCloseComplete(body: Buffer): void {
  new BodyReader('CloseComplete', body).end();
}

export function encodeNoData(): Buffer {
  return message(BACKEND.noData);
}

export function decodeNoData(body: Buffer): void {
  new BodyReader('NoData', body).end();
}

export function encodePortalSuspended(): Buffer {
  return message(BACKEND.portalSuspended);
}

export function decodePortalSuspended(body: Buffer): void {
  new BodyReader('PortalSuspended', body).end();
}

export function encodeEmptyQueryResponse(): Buffer {
  return message(BACKEND.emptyQueryResponse);
}

export function decodeEmptyQueryResponse(body: Buffer): void {
  new BodyReader('EmptyQueryResponse', body).end();
}

/** @param tag the command and, for some, its number of rows: `INSERT 0 1` */
export function encodeCommandComplete(tag: string): Buffer {
  return message(BACKEND.commandComplete, [text(tag)]);
}

export function decodeCommandComplete(body: Buffer): string {
  const reader = new BodyReader('CommandComplete', body);
  const tag = reader.lossyText();
  reader.end();
  return tag;
}

export function encodeParameterDescription(typeOids: readonly number[]): Buffer {
  return message(BACKEND.parameterDescription, [count(typeOids.length), ...typeOids.map(oid)]);
}

export function decodeParameterDescription(body: Buffer): number[] {
  const reader = new BodyReader('ParameterDescription', body);
  const typeOids = reader.list(() => reader.oid());
  reader.end();
  return typeOids;
}

export function encodeRowDescription(fields: readonly FieldDescription[]): Buffer {
  const encoded = [count(fields.length)];
  for (const field of fields) {
    encoded.push(
      text(field.name),
      oid(field.tableOid),
      int16(field.columnNumber),
      oid(field.typeOid),
      int16(field.typeSize),
      int32(field.typeModifier),
      int16(field.format),
    );
  }
  return message(BACKEND.rowDescription, encoded);
}

export function decodeRowDescription(body: Buffer): FieldDescription[] {
  const reader = new BodyReader('RowDescription', body);
  const fields = reader.list(() => ({
    name: reader.lossyText(),
    tableOid: reader.oid(),
    columnNumber: reader.int16(),
    typeOid: reader.oid(),
    typeSize: reader.int16(),
    typeModifier: reader.int32(),
    format: reader.int16(),
  }));
  reader.end();
  return fields;
}

export function encodeDataRow(values: readonly (Buffer | null)[]): Buffer {
  return message(BACKEND.dataRow, [count(values.length), ...values.flatMap(value)]);
}

export function decodeDataRow(body: Buffer): (Buffer | null)[] {
  const reader = new BodyReader('DataRow', body);
  const values = reader.list(() => reader.value());
  reader.end();
  return values;
}

export function encodeFunctionCallResponse(result: Buffer | null): Buffer {
  return message(BACKEND.functionCallResponse, value(result));
}

export function decodeFunctionCallResponse(body: Buffer): Buffer | null {
  const reader = new BodyReader('FunctionCallResponse', body);
  const result = reader.value();
  reader.end();
  return result;
}

export function encodeCopyInResponse(copy: CopyResponse): Buffer {
  return encodeCopyResponse(BACKEND.copyInResponse, copy);
}

export function decodeCopyInResponse(body: Buffer): CopyResponse {
  return decodeCopyResponse('CopyInResponse', body);
}

export function encodeCopyOutResponse(copy: CopyResponse): Buffer {
  return encodeCopyResponse(BACKEND.copyOutResponse, copy);
}

export function decodeCopyOutResponse(body: Buffer): CopyResponse {
  return decodeCopyResponse('CopyOutResponse', body);
}

export function encodeCopyBothResponse(copy: CopyResponse): Buffer {
  return encodeCopyResponse(BACKEND.copyBothResponse, copy);
}

export function decodeCopyBothResponse(body: Buffer): CopyResponse {
  return decodeCopyResponse('CopyBothResponse', body);
}

function encodeCopyResponse(type: number, copy: CopyResponse): Buffer {
  return message(type, [byte(copy.format), count(copy.columnFormats.length), ...copy.columnFormats.map(int16)]);
}

function decodeCopyResponse(name: string, body: Buffer): CopyResponse {
  const reader = new BodyReader(name, body);
  const format = reader.byte();
  if (format > 1) throw reader.violation(`has an unknown format (${format})`);
  const columnFormats = reader.list(() => reader.int16());
  reader.end();
  return { format, columnFormats };
}

// What comes at any time.

export function encodeNotificationResponse(notification: NotificationResponse): Buffer {
  return message(BACKEND.notificationResponse, [
    int32(notification.processId),
    text(notification.channel),
    text(notification.payload),
  ]);
}

export function decodeNotificationResponse(body: Buffer): NotificationResponse {
  const reader = new BodyReader('NotificationResponse', body);
  const processId = reader.int32();
  const channel = reader.lossyText();
  const payload = reader.lossyText();
  reader.end();
  return { processId, channel, payload };
}

export function encodeErrorResponse(fields: ErrorFields): Buffer {
  return encodeErrorFields(BACKEND.errorResponse, fields);
}

export function decodeErrorResponse(body: Buffer): ErrorFields {
  return decodeErrorFields('ErrorResponse', body);
}

export function encodeNoticeResponse(fields: ErrorFields): Buffer {
  return encodeErrorFields(BACKEND.noticeResponse, fields);
}

export function decodeNoticeResponse(body: Buffer): ErrorFields {
  return decodeErrorFields('NoticeResponse', body);
}

/** Codes of the documented fields, in the order the server sends them. */
const FIELD_CODES = {
  severity: 'S',
  severityNonLocalized: 'V',
  code: 'C',
  message: 'M',
  detail: 'D',
  hint: 'H',
  position: 'P',
  internalPosition: 'p',
  internalQuery: 'q',
  where: 'W',
  schema: 's',
  table: 't',
  column: 'c',
  dataType: 'd',
  constraint: 'n',
  file: 'F',
  line: 'L',
  routine: 'R',
} as const satisfies Record<Exclude<keyof ErrorFields, 'unknown'>, string>;

type FieldName = keyof typeof FIELD_CODES;
const FIELD_NAMES = new Map(Object.entries(FIELD_CODES).map(([name, code]) => [code as string, name as FieldName]));

function encodeErrorFields(type: number, fields: ErrorFields): Buffer {
  const encoded: Buffer[] = [];
  for (const [name, code] of Object.entries(FIELD_CODES)) {
    const field = fields[name as FieldName];
    if (field !== undefined) encoded.push(Buffer.from(code, 'latin1'), text(field));
  }
  for (const [code, field] of Object.entries(fields.unknown ?? {})) {
    const codeByte = Buffer.from(code, 'latin1');
    if (codeByte.length !== 1 || codeByte[0] === 0) throw new RangeError('the code of an error field is one byte');
    encoded.push(codeByte, text(field));
  }
  return message(type, [...encoded, byte(0)]);
}

function decodeErrorFields(name: string, body: Buffer): ErrorFields {
  const reader = new BodyReader(name, body);
  const fields: Partial<Record<FieldName, string>> = {};
  const unknown: Record<string, string> = {};
  for (let codeByte = reader.byte(); codeByte !== 0; codeByte = reader.byte()) {
    const code = String.fromCharCode(codeByte);
    const field = FIELD_NAMES.get(code);
    if (field === undefined) unknown[code] = reader.lossyText();
    else fields[field] = reader.lossyText();
  }
  reader.end();
  const { severity, code, message: primary, ...others } = fields;
  if (severity === undefined || code === undefined || primary === undefined) {
    throw reader.violation('lacks a field that is always present: severity, code or message');
  }
  const known = { severity, code, message: primary, ...others };
  return Object.keys(unknown).length === 0 ? known : { ...known, unknown };
}

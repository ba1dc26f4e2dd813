/**
 * The messages a frontend sends: PostgreSQL documentation, chapter "Message Formats", protocols 3.0 and 3.2.
 *
 * `encodeX` gives the whole message with its type byte and length; it throws a RangeError for values that do not fit.
 * `decodeX` takes the body, without type byte and length, and throws {@link ProtocolViolation} for anything the
 * documentation does not allow: a string without its end, a count that lies, bytes that are left over.
 * Bytes in the results are subarrays of the body; object identifiers are unsigned.
 */
import { BodyReader } from './body-reader.ts';
import { byte, count, int16, int32, message, oid, secretKey, text, untypedMessage, value } from './message-fields.ts';
import { ProtocolViolation } from './violation.ts';

/** Type bytes of frontend messages. Those of the start-up phase have none. */
export const FRONTEND = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  /** PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse: which one, only the exchange tells. */
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

/** What the first Int32 of a start-up packet's body says it is. */
export const PROTOCOL_3_0 = 196608;
export const PROTOCOL_3_2 = 196610;
export const CANCEL_REQUEST = 80877102;
export const SSL_REQUEST = 80877103;
export const GSSENC_REQUEST = 80877104;

export interface StartupMessage {
  readonly major: number;
  readonly minor: number;
  /** In the order of the message; of a name given twice the last value, as the server does. */
  readonly parameters: Map<string, string>;
}

export interface CancelRequest {
  readonly processId: number;
  readonly secretKey: Buffer;
}

export interface Parse {
  readonly statement: string;
  readonly text: string;
  /** Object identifiers of the parameter types; 0 leaves it to the server. May be shorter than the parameters. */
  readonly parameterTypes: readonly number[];
}

export interface Bind {
  readonly portal: string;
  readonly statement: string;
  /** 0 text, 1 binary. None: all text; one: holds for all; otherwise one for each parameter. */
  readonly parameterFormats: readonly number[];
  readonly parameters: readonly (Buffer | null)[];
  /** As `parameterFormats`, for the columns of the result. */
  readonly resultFormats: readonly number[];
}

/** What Describe and Close are about. */
export interface Target {
  readonly kind: 'statement' | 'portal';
  readonly name: string;
}

export interface Execute {
  readonly portal: string;
  /** 0, and as the server reads it anything below, is no limit. */
  readonly maxRows: number;
}

export interface SASLInitialResponse {
  readonly mechanism: string;
  /** `null` if the client gave no initial response, which is not the same as an empty one. */
  readonly response: Buffer | null;
}

export interface FunctionCall {
  readonly functionOid: number;
  readonly argumentFormats: readonly number[];
  readonly arguments: readonly (Buffer | null)[];
  readonly resultFormat: number;
}

// Start-up phase: bodies begin with the Int32 that says what they are.

/** The code a start-up packet begins with: one of the constants above, or a protocol version Sluice does not know. */
export function decodeRequestCode(body: Buffer): number {
  return new BodyReader('start-up', body).int32();
}

export function encodeStartupMessage(startup: StartupMessage): Buffer {
  const fields = [count(startup.major), count(startup.minor)];
  for (const [name, setting] of startup.parameters) {
    if (name === '') throw new RangeError('a start-up parameter needs a name: an empty one would end the message');
    fields.push(text(name), text(setting));
  }
  return untypedMessage([...fields, byte(0)]);
}

export function decodeStartupMessage(body: Buffer): StartupMessage {
  const reader = new BodyReader('StartupMessage', body);
  const major = reader.count();
  const minor = reader.count();
  // Protocol 2 has another layout, and 1234 marks the requests below.
  if (major !== 3) throw new ProtocolViolation(`unsupported frontend protocol ${major}.${minor}`);
  const parameters = new Map<string, string>();
  for (let name = reader.text(); name !== ''; name = reader.text()) parameters.set(name, reader.text());
  reader.end();
  return { major, minor, parameters };
}

export function encodeSSLRequest(): Buffer {
  return untypedMessage([int32(SSL_REQUEST)]);
}

export function decodeSSLRequest(body: Buffer): void {
  decodeBareRequest('SSLRequest', SSL_REQUEST, body);
}

export function encodeGSSENCRequest(): Buffer {
  return untypedMessage([int32(GSSENC_REQUEST)]);
}

export function decodeGSSENCRequest(body: Buffer): void {
  decodeBareRequest('GSSENCRequest', GSSENC_REQUEST, body);
}

export function encodeCancelRequest(cancel: CancelRequest): Buffer {
  return untypedMessage([int32(CANCEL_REQUEST), int32(cancel.processId), secretKey(cancel.secretKey)]);
}

export function decodeCancelRequest(body: Buffer): CancelRequest {
  const reader = new BodyReader('CancelRequest', body);
  if (reader.int32() !== CANCEL_REQUEST) throw reader.violation('has another request code');
  const processId = reader.int32();
  return { processId, secretKey: reader.secretKey() };
}

// Queries.

export function encodeQuery(query: string): Buffer {
  return message(FRONTEND.query, [text(query)]);
}

export function decodeQuery(body: Buffer): string {
  return decodeText('Query', body);
}

export function encodeParse(parse: Parse): Buffer {
  return message(FRONTEND.parse, [
    text(parse.statement),
    text(parse.text),
    count(parse.parameterTypes.length),
    ...parse.parameterTypes.map(oid),
  ]);
}

export function decodeParse(body: Buffer): Parse {
  const reader = new BodyReader('Parse', body);
  const statement = reader.text();
  const sql = reader.text();
  const parameterTypes = reader.list(() => reader.oid());
  reader.end();
  return { statement, text: sql, parameterTypes };
}

export function encodeBind(bind: Bind): Buffer {
  return message(FRONTEND.bind, [
    text(bind.portal),
    text(bind.statement),
    count(bind.parameterFormats.length),
    ...bind.parameterFormats.map(int16),
    count(bind.parameters.length),
    ...bind.parameters.flatMap(value),
    count(bind.resultFormats.length),
    ...bind.resultFormats.map(int16),
  ]);
}

export function decodeBind(body: Buffer): Bind {
  const reader = new BodyReader('Bind', body);
  const portal = reader.text();
  const statement = reader.text();
  const parameterFormats = reader.list(() => reader.int16());
  const parameters = reader.list(() => reader.value());
  checkFormats(reader, parameterFormats, parameters.length);
  const resultFormats = reader.list(() => reader.int16());
  reader.end();
  return { portal, statement, parameterFormats, parameters, resultFormats };
}

export function encodeDescribe(target: Target): Buffer {
  return encodeTarget(FRONTEND.describe, target);
}

export function decodeDescribe(body: Buffer): Target {
  return decodeTarget('Describe', body);
}

export function encodeClose(target: Target): Buffer {
  return encodeTarget(FRONTEND.close, target);
}

export function decodeClose(body: Buffer): Target {
  return decodeTarget('Close', body);
}

export function encodeExecute(execute: Execute): Buffer {
  return message(FRONTEND.execute, [text(execute.portal), int32(execute.maxRows)]);
}

export function decodeExecute(body: Buffer): Execute {
  const reader = new BodyReader('Execute', body);
  const portal = reader.text();
  const maxRows = reader.int32();
  reader.end();
  return { portal, maxRows };
}

export function encodeSync(): Buffer {
  return message(FRONTEND.sync);
}

export function decodeSync(body: Buffer): void {
  new BodyReader('Sync', body).end();
}

export function encodeFlush(): Buffer {
  return message(FRONTEND.flush);
}

export function decodeFlush(body: Buffer): void {
  new BodyReader('Flush', body).end();
}

export function encodeTerminate(): Buffer {
  return message(FRONTEND.terminate);
}

export function decodeTerminate(body: Buffer): void {
  new BodyReader('Terminate', body).end();
}

export function encodeFunctionCall(call: FunctionCall): Buffer {
  return message(FRONTEND.functionCall, [
    oid(call.functionOid),
    count(call.argumentFormats.length),
    ...call.argumentFormats.map(int16),
    count(call.arguments.length),
    ...call.arguments.flatMap(value),
    int16(call.resultFormat),
  ]);
}

export function decodeFunctionCall(body: Buffer): FunctionCall {
  const reader = new BodyReader('FunctionCall', body);
  const functionOid = reader.oid();
  const argumentFormats = reader.list(() => reader.int16());
  const values = reader.list(() => reader.value());
  checkFormats(reader, argumentFormats, values.length);
  const resultFormat = reader.int16();
  reader.end();
  return { functionOid, argumentFormats, arguments: values, resultFormat };
}

// COPY. CopyData and CopyDone are the same in both directions.

export function encodeCopyData(data: Buffer): Buffer {
  return message(FRONTEND.copyData, [data]);
}

/** The body as it is: its limits mean nothing, rows may cross them. */
export function decodeCopyData(body: Buffer): Buffer {
  return body;
}

export function encodeCopyDone(): Buffer {
  return message(FRONTEND.copyDone);
}

export function decodeCopyDone(body: Buffer): void {
  new BodyReader('CopyDone', body).end();
}

/** @param reason what the server will put into its error */
export function encodeCopyFail(reason: string): Buffer {
  return message(FRONTEND.copyFail, [text(reason)]);
}

export function decodeCopyFail(body: Buffer): string {
  return decodeText('CopyFail', body);
}

// Authentication: four messages with the type byte FRONTEND.password.

export function encodePasswordMessage(password: string): Buffer {
  return message(FRONTEND.password, [text(password)]);
}

export function decodePasswordMessage(body: Buffer): string {
  return decodeText('PasswordMessage', body);
}

export function encodeSASLInitialResponse(initial: SASLInitialResponse): Buffer {
  return message(FRONTEND.password, [text(initial.mechanism), ...value(initial.response)]);
}

export function decodeSASLInitialResponse(body: Buffer): SASLInitialResponse {
  const reader = new BodyReader('SASLInitialResponse', body);
  const mechanism = reader.text();
  const response = reader.value();
  reader.end();
  return { mechanism, response };
}

export function encodeSASLResponse(response: Buffer): Buffer {
  return message(FRONTEND.password, [response]);
}

/** The body as it is: its form is the mechanism's affair. */
export function decodeSASLResponse(body: Buffer): Buffer {
  return body;
}

export function encodeGSSResponse(response: Buffer): Buffer {
  return message(FRONTEND.password, [response]);
}

/** The body as it is: its form is GSSAPI's affair. */
export function decodeGSSResponse(body: Buffer): Buffer {
  return body;
}

// What several messages share.

/** The rule the server has for Bind and FunctionCall, under the same SQLSTATE. */
function checkFormats(reader: BodyReader, formats: readonly number[], values: number): void {
  if (formats.length > 1 && formats.length !== values) {
    throw reader.violation(`has ${formats.length} parameter formats but ${values} parameters`);
  }
}

function decodeBareRequest(name: string, code: number, body: Buffer): void {
  const reader = new BodyReader(name, body);
  if (reader.int32() !== code) throw reader.violation('has another request code');
  reader.end();
}

function decodeText(name: string, body: Buffer): string {
  const reader = new BodyReader(name, body);
  const content = reader.text();
  reader.end();
  return content;
}

const TARGET_BYTES = { statement: 0x53, portal: 0x50 } as const; // S, P

function encodeTarget(type: number, target: Target): Buffer {
  return message(type, [byte(TARGET_BYTES[target.kind]), text(target.name)]);
}

function decodeTarget(name: string, body: Buffer): Target {
  const reader = new BodyReader(name, body);
  const kindByte = reader.byte();
  if (kindByte !== TARGET_BYTES.statement && kindByte !== TARGET_BYTES.portal) {
    throw reader.violation(`is about neither a statement nor a portal (subtype ${kindByte})`);
  }
  const target = reader.text();
  reader.end();
  return { kind: kindByte === TARGET_BYTES.statement ? 'statement' : 'portal', name: target };
}

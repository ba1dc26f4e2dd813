/**
 * The messages of the connection phase (MySQL internals documentation, "Connection Phase"; MariaDB knowledge base,
 * "Connecting to the server"), protocol version 10 with CLIENT_PROTOCOL_41.
 *
 * `encodeX` gives the payload; it throws a RangeError for values that do not fit. `decodeX` takes the payload and throws
 * {@link ProtocolViolation} for anything the documentation does not allow. Bytes in the results are subarrays.
 */
import { type Capabilities, CLIENT } from './capabilities.ts';
import { int1, int2, int4, lenencBytes, shortBytes, terminated } from './payload-fields.ts';
import { PayloadReader } from './payload-reader.ts';
import { SCRAMBLE_BYTES } from './scramble.ts';
import { ProtocolViolation } from './violation.ts';

/** Protocol::HandshakeV10, the server's first message. */
export interface Handshake {
  readonly serverVersion: string;
  /** Connection id, as in KILL. */
  readonly threadId: number;
  readonly capabilities: Capabilities;
  /** Collation id, low 8 bits. */
  readonly characterSet: number;
  /** SERVER_STATUS flags. */
  readonly status: number;
  /** The plugin's data without the zero byte at its end: {@link SCRAMBLE_BYTES} bytes. */
  readonly authData: Buffer;
  /** Authentication method of the server's choice; `null` without CLIENT_PLUGIN_AUTH. */
  readonly authPlugin: string | null;
}

/** What SSLRequest and HandshakeResponse41 begin with. */
export interface ClientHello {
  readonly capabilities: Capabilities;
  readonly maxPacketSize: number;
  /** Collation id. */
  readonly characterSet: number;
}

/** Protocol::HandshakeResponse41. What is `null` is there exactly if the capability says so. */
export interface HandshakeResponse extends ClientHello {
  readonly user: string;
  readonly authResponse: Buffer;
  /** CLIENT_CONNECT_WITH_DB */
  readonly database: string | null;
  /** CLIENT_PLUGIN_AUTH: the method that `authResponse` is for. */
  readonly authPlugin: string | null;
  /** CLIENT_CONNECT_ATTRS: what the client says of itself. Not verified; what is not UTF-8 becomes U+FFFD. */
  readonly attributes: ReadonlyMap<string, string> | null;
  /** CLIENT_ZSTD_COMPRESSION_ALGORITHM: level 1 to 22. */
  readonly zstdLevel: number | null;
}

/** Protocol::AuthSwitchRequest: authenticate by another method. */
export interface AuthSwitchRequest {
  readonly plugin: string;
  /** The plugin's data as it is; of a scramble, with a zero byte at its end. */
  readonly data: Buffer;
}

const PROTOCOL_VERSION = 10;

export function encodeHandshake(handshake: Handshake): Buffer {
  const { capabilities, authData, authPlugin } = handshake;
  if (authData.length !== SCRAMBLE_BYTES) throw new RangeError(`the scramble has ${SCRAMBLE_BYTES} bytes`);
  if ((authPlugin !== null) !== has(capabilities, CLIENT.pluginAuth)) throw flagMismatch('CLIENT_PLUGIN_AUTH');
  return Buffer.concat([
    int1(PROTOCOL_VERSION),
    terminated(handshake.serverVersion),
    int4(handshake.threadId),
    authData.subarray(0, 8),
    int1(0),
    int2(capabilities.client & 0xffff),
    int1(handshake.characterSet),
    int2(handshake.status),
    int2(capabilities.client >>> 16),
    int1(authPlugin === null ? 0 : authData.length + 1),
    Buffer.alloc(6),
    int4(extended(capabilities)),
    authData.subarray(8),
    int1(0),
    ...(authPlugin === null ? [] : [terminated(authPlugin)]),
  ]);
}

export function decodeHandshake(payload: Buffer): Handshake {
  const reader = new PayloadReader('Handshake', payload);
  const version = reader.int1();
  if (version !== PROTOCOL_VERSION) throw new ProtocolViolation(`handshake has protocol version ${version}`);
  const serverVersion = reader.text(reader.terminatedBytes());
  const threadId = reader.int4();
  const firstPart = reader.bytes(8);
  reader.expect(0);
  const lower = reader.int2();
  const characterSet = reader.int1();
  const status = reader.int2();
  const client = ((reader.int2() << 16) | lower) >>> 0;
  const authDataLength = reader.int1();
  reader.bytes(6);
  const mariadb = reader.int4();
  // The length counts the zero byte at the end; what is too short for a scramble is filled up to one.
  const secondPart = reader.bytes(Math.max(13, authDataLength - 8));
  if (secondPart.at(-1) !== 0) throw reader.violation('has authentication data without its end');
  const authPlugin = (client & CLIENT.pluginAuth) === 0 ? null : reader.text(reader.terminatedBytes());
  reader.end();
  return {
    serverVersion,
    threadId,
    capabilities: { client, mariadb: (client & CLIENT.longPassword) === 0 ? mariadb : 0 },
    characterSet,
    status,
    authData: Buffer.concat([firstPart, secondPart.subarray(0, -1)]),
    authPlugin,
  };
}

/** An SSLRequest has exactly so many bytes, and is the beginning of the HandshakeResponse that follows inside TLS. */
export const SSL_REQUEST_BYTES = 32;

export function encodeSSLRequest(hello: ClientHello): Buffer {
  if (!has(hello.capabilities, CLIENT.ssl)) throw flagMismatch('CLIENT_SSL');
  return encodeHello(hello);
}

export function decodeSSLRequest(payload: Buffer): ClientHello {
  const reader = new PayloadReader('SSLRequest', payload);
  const hello = decodeHello(reader);
  if (!has(hello.capabilities, CLIENT.ssl)) throw reader.violation('does not ask for TLS');
  reader.end();
  return hello;
}

export function encodeHandshakeResponse(response: HandshakeResponse): Buffer {
  const { capabilities, authResponse, database, authPlugin, attributes, zstdLevel } = response;
  const optional = (flag: number, name: string, value: unknown): boolean => {
    if ((value !== null) !== has(capabilities, flag)) throw flagMismatch(name);
    return value !== null;
  };
  const fields = [encodeHello(response), terminated(response.user)];
  if (has(capabilities, CLIENT.pluginAuthLenencClientData)) fields.push(lenencBytes(authResponse));
  else if (has(capabilities, CLIENT.secureConnection)) fields.push(shortBytes(authResponse));
  else fields.push(terminated(authResponse));
  if (optional(CLIENT.connectWithDb, 'CLIENT_CONNECT_WITH_DB', database)) fields.push(terminated(database!));
  if (optional(CLIENT.pluginAuth, 'CLIENT_PLUGIN_AUTH', authPlugin)) fields.push(terminated(authPlugin!));
  if (optional(CLIENT.connectAttrs, 'CLIENT_CONNECT_ATTRS', attributes)) fields.push(encodeAttributes(attributes!));
  if (optional(CLIENT.zstdCompressionAlgorithm, 'CLIENT_ZSTD_COMPRESSION_ALGORITHM', zstdLevel)) {
    fields.push(int1(zstdLevel!));
  }
  return Buffer.concat(fields);
}

export function decodeHandshakeResponse(payload: Buffer): HandshakeResponse {
  const reader = new PayloadReader('HandshakeResponse', payload);
  const hello = decodeHello(reader);
  const { capabilities } = hello;
  const user = reader.text(reader.terminatedBytes());
  let authResponse: Buffer;
  if (has(capabilities, CLIENT.pluginAuthLenencClientData)) authResponse = reader.lenencBytes();
  else if (has(capabilities, CLIENT.secureConnection)) authResponse = reader.bytes(reader.int1());
  else authResponse = reader.terminatedBytes();
  const database = has(capabilities, CLIENT.connectWithDb) ? reader.text(reader.terminatedBytes()) : null;
  const authPlugin = has(capabilities, CLIENT.pluginAuth) ? reader.text(reader.terminatedBytes()) : null;
  const attributes = has(capabilities, CLIENT.connectAttrs) ? decodeAttributes(reader) : null;
  const zstdLevel = has(capabilities, CLIENT.zstdCompressionAlgorithm) ? reader.int1() : null;
  reader.end();
  return { ...hello, user, authResponse, database, authPlugin, attributes, zstdLevel };
}

/** What an AuthSwitchRequest begins with: the byte of an EOF packet, which does not come in this phase. */
export const AUTH_SWITCH_REQUEST = 0xfe;

export function encodeAuthSwitchRequest(request: AuthSwitchRequest): Buffer {
  return Buffer.concat([int1(AUTH_SWITCH_REQUEST), terminated(request.plugin), request.data]);
}

export function decodeAuthSwitchRequest(payload: Buffer): AuthSwitchRequest {
  const reader = new PayloadReader('AuthSwitchRequest', payload);
  reader.expect(AUTH_SWITCH_REQUEST);
  const plugin = reader.text(reader.terminatedBytes());
  return { plugin, data: reader.rest() };
}

/** The payload as it is: its form is the plugin's affair. */
export function decodeAuthSwitchResponse(payload: Buffer): Buffer {
  return payload;
}

export const AUTH_MORE_DATA = 0x01;

/** Protocol::AuthMoreData: a further message of the server's side of a plugin. */
export function encodeAuthMoreData(data: Buffer): Buffer {
  return Buffer.concat([int1(AUTH_MORE_DATA), data]);
}

export function decodeAuthMoreData(payload: Buffer): Buffer {
  const reader = new PayloadReader('AuthMoreData', payload);
  reader.expect(AUTH_MORE_DATA);
  return reader.rest();
}

/** Protocol::AuthNextFactor: the next method of CLIENT_MULTI_FACTOR_AUTHENTICATION. */
export const AUTH_NEXT_FACTOR = 0x02;

export function encodeAuthNextFactor(request: AuthSwitchRequest): Buffer {
  return Buffer.concat([int1(AUTH_NEXT_FACTOR), terminated(request.plugin), request.data]);
}

export function decodeAuthNextFactor(payload: Buffer): AuthSwitchRequest {
  const reader = new PayloadReader('AuthNextFactor', payload);
  reader.expect(AUTH_NEXT_FACTOR);
  const plugin = reader.text(reader.terminatedBytes());
  return { plugin, data: reader.rest() };
}

/** Connection attributes: all their names and values in one string<lenenc>. */
export function encodeAttributes(attributes: ReadonlyMap<string, string>): Buffer {
  return lenencBytes(Buffer.concat([...attributes].flat().map(lenencBytes)));
}

export function decodeAttributes(reader: PayloadReader): Map<string, string> {
  const list = new PayloadReader('connection attribute list', reader.lenencBytes());
  const attributes = new Map<string, string>();
  while (!list.atEnd) {
    const name = list.lenencBytes().toString('utf8');
    attributes.set(name, list.lenencBytes().toString('utf8'));
  }
  return attributes;
}

function encodeHello(hello: ClientHello): Buffer {
  const { capabilities } = hello;
  if (!has(capabilities, CLIENT.protocol41)) throw flagMismatch('CLIENT_PROTOCOL_41');
  return Buffer.concat([
    int4(capabilities.client),
    int4(hello.maxPacketSize),
    int1(hello.characterSet),
    Buffer.alloc(19),
    int4(extended(capabilities)),
  ]);
}

function decodeHello(reader: PayloadReader): ClientHello {
  // Before version 4.1 the flags had two bytes, and other fields came after them.
  const client = reader.int4();
  if ((client & CLIENT.protocol41) === 0) throw reader.violation('is not of protocol 4.1');
  const maxPacketSize = reader.int4();
  const characterSet = reader.int1();
  reader.bytes(19);
  const mariadb = reader.int4();
  return {
    capabilities: { client, mariadb: (client & CLIENT.longPassword) === 0 ? mariadb : 0 },
    maxPacketSize,
    characterSet,
  };
}

function has(capabilities: Capabilities, flag: number): boolean {
  return (capabilities.client & flag) !== 0;
}

function extended(capabilities: Capabilities): number {
  if (capabilities.mariadb !== 0 && has(capabilities, CLIENT.longPassword)) {
    throw new RangeError("MariaDB's extended capabilities are not read beside CLIENT_LONG_PASSWORD");
  }
  return capabilities.mariadb;
}

function flagMismatch(flag: string): RangeError {
  return new RangeError(`${flag} has to say whether its field is there`);
}

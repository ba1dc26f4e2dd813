/**
 * The commands a client sends (MySQL internals documentation, "Command Phase"; MariaDB knowledge base, "Text Protocol").
 * COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE and COM_QUERY, which carry typed values, are in parameters.ts.
 *
 * `encodeX` gives the payload; it throws a RangeError for values that do not fit. `decodeX` takes the payload and throws
 * {@link ProtocolViolation} for anything the documentation does not allow. Bytes in the results are subarrays.
 */
import { type Capabilities, CLIENT } from './capabilities.ts';
import { decodeAttributes, encodeAttributes } from './handshake.ts';
import { int1, int2, int4, int8, shortBytes, terminated } from './payload-fields.ts';
import { PayloadReader } from './payload-reader.ts';

/** The first byte of a payload that is a command. */
export const COM = {
  sleep: 0x00,
  quit: 0x01,
  initDb: 0x02,
  query: 0x03,
  fieldList: 0x04,
  createDb: 0x05,
  dropDb: 0x06,
  refresh: 0x07,
  shutdown: 0x08,
  statistics: 0x09,
  processInfo: 0x0a,
  connect: 0x0b,
  processKill: 0x0c,
  debug: 0x0d,
  ping: 0x0e,
  time: 0x0f,
  delayedInsert: 0x10,
  changeUser: 0x11,
  binlogDump: 0x12,
  tableDump: 0x13,
  connectOut: 0x14,
  registerSlave: 0x15,
  stmtPrepare: 0x16,
  stmtExecute: 0x17,
  stmtSendLongData: 0x18,
  stmtClose: 0x19,
  stmtReset: 0x1a,
  setOption: 0x1b,
  stmtFetch: 0x1c,
  daemon: 0x1d,
  binlogDumpGtid: 0x1e,
  resetConnection: 0x1f,
  clone: 0x20,
  subscribeGroupReplicationStream: 0x21,
  /** MariaDB. */
  stmtBulkExecute: 0xfa,
  /** MariaDB 10.2 only, and taken out again. */
  multi: 0xfe,
} as const;

/** The commands the documentation has as their one byte and nothing else. */
export type BareCommand = 'quit' | 'statistics' | 'processInfo' | 'debug' | 'ping' | 'resetConnection';

/** The statement id that stands for the statement prepared last (MariaDB). */
export const LAST_PREPARED = 0xffffffff;

export interface ComFieldList {
  readonly table: string;
  readonly wildcard: string;
}

export interface ComChangeUser {
  readonly user: string;
  readonly authResponse: Buffer;
  /** Empty for none. */
  readonly database: string;
  /** Collation id; `null` if the client leaves it and all after it out. */
  readonly characterSet: number | null;
  /** `null` without CLIENT_PLUGIN_AUTH. */
  readonly authPlugin: string | null;
  /** `null` without CLIENT_CONNECT_ATTRS. */
  readonly attributes: ReadonlyMap<string, string> | null;
}

export interface ComStmtSendLongData {
  readonly statementId: number;
  readonly parameter: number;
  readonly data: Buffer;
}

export interface ComStmtFetch {
  readonly statementId: number;
  readonly rows: number;
}

export interface ComBinlogDump {
  readonly position: number;
  readonly flags: number;
  readonly serverId: number;
  readonly fileName: string;
}

export interface ComBinlogDumpGtid {
  readonly flags: number;
  readonly serverId: number;
  readonly fileName: string;
  readonly position: bigint;
  /** Encoded GTID set. */
  readonly data: Buffer;
}

export interface ComRegisterSlave {
  readonly serverId: number;
  readonly host: string;
  readonly user: string;
  readonly password: string;
  readonly port: number;
  readonly rank: number;
  readonly masterId: number;
}

export interface ComTableDump {
  readonly database: string;
  readonly table: string;
}

export function encodeBareCommand(command: BareCommand): Buffer {
  return int1(COM[command]);
}

export function decodeBareCommand(command: BareCommand, payload: Buffer): void {
  open(`COM ${command}`, COM[command], payload).end();
}

/** Commands that are a name: COM_INIT_DB, COM_CREATE_DB, COM_DROP_DB. */
export type NameCommand = 'initDb' | 'createDb' | 'dropDb';

export function encodeNameCommand(command: NameCommand, database: string): Buffer {
  return Buffer.concat([int1(COM[command]), Buffer.from(database, 'utf8')]);
}

export function decodeNameCommand(command: NameCommand, payload: Buffer): string {
  const reader = open(`COM ${command}`, COM[command], payload);
  return reader.text(reader.rest());
}

/** Commands that are about one prepared statement and nothing else. */
export type StatementCommand = 'stmtClose' | 'stmtReset';

export function encodeStatementCommand(command: StatementCommand, statementId: number): Buffer {
  return Buffer.concat([int1(COM[command]), int4(statementId)]);
}

export function decodeStatementCommand(command: StatementCommand, payload: Buffer): number {
  const reader = open(`COM ${command}`, COM[command], payload);
  const statementId = reader.int4();
  reader.end();
  return statementId;
}

export function encodeComStmtPrepare(text: Buffer): Buffer {
  return Buffer.concat([int1(COM.stmtPrepare), text]);
}

/** The statement's text, in the client's character set. */
export function decodeComStmtPrepare(payload: Buffer): Buffer {
  return open('COM_STMT_PREPARE', COM.stmtPrepare, payload).rest();
}

export function encodeComStmtSendLongData(long: ComStmtSendLongData): Buffer {
  return Buffer.concat([int1(COM.stmtSendLongData), int4(long.statementId), int2(long.parameter), long.data]);
}

export function decodeComStmtSendLongData(payload: Buffer): ComStmtSendLongData {
  const reader = open('COM_STMT_SEND_LONG_DATA', COM.stmtSendLongData, payload);
  const statementId = reader.int4();
  const parameter = reader.int2();
  return { statementId, parameter, data: reader.rest() };
}

export function encodeComStmtFetch(fetch: ComStmtFetch): Buffer {
  return Buffer.concat([int1(COM.stmtFetch), int4(fetch.statementId), int4(fetch.rows)]);
}

export function decodeComStmtFetch(payload: Buffer): ComStmtFetch {
  const reader = open('COM_STMT_FETCH', COM.stmtFetch, payload);
  const statementId = reader.int4();
  const rows = reader.int4();
  reader.end();
  return { statementId, rows };
}

export function encodeComFieldList(list: ComFieldList): Buffer {
  return Buffer.concat([int1(COM.fieldList), terminated(list.table), Buffer.from(list.wildcard, 'utf8')]);
}

export function decodeComFieldList(payload: Buffer): ComFieldList {
  const reader = open('COM_FIELD_LIST', COM.fieldList, payload);
  const table = reader.text(reader.terminatedBytes());
  return { table, wildcard: reader.text(reader.rest()) };
}

/** @param subcommand what to flush: REFRESH_ flags */
export function encodeComRefresh(subcommand: number): Buffer {
  return Buffer.concat([int1(COM.refresh), int1(subcommand)]);
}

export function decodeComRefresh(payload: Buffer): number {
  const reader = open('COM_REFRESH', COM.refresh, payload);
  const subcommand = reader.int1();
  reader.end();
  return subcommand;
}

/** @param level how to shut down; servers know only 0, which may be left out */
export function encodeComShutdown(level: number): Buffer {
  return Buffer.concat([int1(COM.shutdown), int1(level)]);
}

export function decodeComShutdown(payload: Buffer): number {
  const reader = open('COM_SHUTDOWN', COM.shutdown, payload);
  const level = reader.atEnd ? 0 : reader.int1();
  reader.end();
  return level;
}

/** @param threadId as in the greeting */
export function encodeComProcessKill(threadId: number): Buffer {
  return Buffer.concat([int1(COM.processKill), int4(threadId)]);
}

export function decodeComProcessKill(payload: Buffer): number {
  const reader = open('COM_PROCESS_KILL', COM.processKill, payload);
  const threadId = reader.int4();
  reader.end();
  return threadId;
}

/** What COM_SET_OPTION says of CLIENT_MULTI_STATEMENTS. */
export const MULTI_STATEMENTS = { on: 0, off: 1 } as const;

/** @param option {@link MULTI_STATEMENTS} */
export function encodeComSetOption(option: number): Buffer {
  return Buffer.concat([int1(COM.setOption), int2(option)]);
}

export function decodeComSetOption(payload: Buffer): number {
  const reader = open('COM_SET_OPTION', COM.setOption, payload);
  const option = reader.int2();
  reader.end();
  return option;
}

export function encodeComChangeUser(change: ComChangeUser, capabilities: Capabilities): Buffer {
  const has = (flag: number) => (capabilities.client & flag) !== 0;
  const { authResponse, authPlugin, attributes, characterSet } = change;
  const fields = [
    int1(COM.changeUser),
    terminated(change.user),
    has(CLIENT.secureConnection) ? shortBytes(authResponse) : terminated(authResponse),
    terminated(change.database),
  ];
  if (characterSet === null) {
    if (authPlugin !== null || attributes !== null) throw new RangeError('the character set comes before them');
    return Buffer.concat(fields);
  }
  if ((authPlugin !== null) !== has(CLIENT.pluginAuth) || (attributes !== null) !== has(CLIENT.connectAttrs)) {
    throw new RangeError('the capabilities have to say whether their fields are there');
  }
  fields.push(int2(characterSet));
  if (authPlugin !== null) fields.push(terminated(authPlugin));
  if (attributes !== null) fields.push(encodeAttributes(attributes));
  return Buffer.concat(fields);
}

export function decodeComChangeUser(payload: Buffer, capabilities: Capabilities): ComChangeUser {
  const has = (flag: number) => (capabilities.client & flag) !== 0;
  const reader = open('COM_CHANGE_USER', COM.changeUser, payload);
  const user = reader.text(reader.terminatedBytes());
  const authResponse = has(CLIENT.secureConnection) ? reader.bytes(reader.int1()) : reader.terminatedBytes();
  const database = reader.text(reader.terminatedBytes());
  if (reader.atEnd) {
    return { user, authResponse, database, characterSet: null, authPlugin: null, attributes: null };
  }
  const characterSet = reader.int2();
  const authPlugin = has(CLIENT.pluginAuth) ? reader.text(reader.terminatedBytes()) : null;
  const attributes = has(CLIENT.connectAttrs) ? decodeAttributes(reader) : null;
  reader.end();
  return { user, authResponse, database, characterSet, authPlugin, attributes };
}

// Replication.

export function encodeComBinlogDump(dump: ComBinlogDump): Buffer {
  return Buffer.concat([
    int1(COM.binlogDump),
    int4(dump.position),
    int2(dump.flags),
    int4(dump.serverId),
    Buffer.from(dump.fileName, 'utf8'),
  ]);
}

export function decodeComBinlogDump(payload: Buffer): ComBinlogDump {
  const reader = open('COM_BINLOG_DUMP', COM.binlogDump, payload);
  const position = reader.int4();
  const flags = reader.int2();
  const serverId = reader.int4();
  return { position, flags, serverId, fileName: reader.text(reader.rest()) };
}

export function encodeComBinlogDumpGtid(dump: ComBinlogDumpGtid): Buffer {
  const fileName = Buffer.from(dump.fileName, 'utf8');
  return Buffer.concat([
    int1(COM.binlogDumpGtid),
    int2(dump.flags),
    int4(dump.serverId),
    int4(fileName.length),
    fileName,
    int8(dump.position),
    int4(dump.data.length),
    dump.data,
  ]);
}

export function decodeComBinlogDumpGtid(payload: Buffer): ComBinlogDumpGtid {
  const reader = open('COM_BINLOG_DUMP_GTID', COM.binlogDumpGtid, payload);
  const flags = reader.int2();
  const serverId = reader.int4();
  const fileName = reader.text(reader.bytes(reader.int4()));
  const position = reader.int8();
  const data = reader.bytes(reader.int4());
  reader.end();
  return { flags, serverId, fileName, position, data };
}

export function encodeComRegisterSlave(slave: ComRegisterSlave): Buffer {
  return Buffer.concat([
    int1(COM.registerSlave),
    int4(slave.serverId),
    shortBytes(slave.host),
    shortBytes(slave.user),
    shortBytes(slave.password),
    int2(slave.port),
    int4(slave.rank),
    int4(slave.masterId),
  ]);
}

export function decodeComRegisterSlave(payload: Buffer): ComRegisterSlave {
  const reader = open('COM_REGISTER_SLAVE', COM.registerSlave, payload);
  const text = () => reader.text(reader.bytes(reader.int1()));
  const serverId = reader.int4();
  const names = { host: text(), user: text(), password: text() };
  const port = reader.int2();
  const rank = reader.int4();
  const masterId = reader.int4();
  reader.end();
  return { serverId, ...names, port, rank, masterId };
}

export function encodeComTableDump(dump: ComTableDump): Buffer {
  return Buffer.concat([int1(COM.tableDump), shortBytes(dump.database), shortBytes(dump.table)]);
}

export function decodeComTableDump(payload: Buffer): ComTableDump {
  const reader = open('COM_TABLE_DUMP', COM.tableDump, payload);
  const database = reader.text(reader.bytes(reader.int1()));
  const table = reader.text(reader.bytes(reader.int1()));
  reader.end();
  return { database, table };
}

/** A reader behind the command's first byte. */
function open(name: string, command: number, payload: Buffer): PayloadReader {
  const reader = new PayloadReader(name, payload);
  reader.expect(command);
  return reader;
}

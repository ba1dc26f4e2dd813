import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Capabilities, CLIENT } from './capabilities.ts';
import { type CodecSample, testCodecLaws } from './codec-laws.ts';
import * as commands from './commands.ts';
import { ProtocolViolation } from './violation.ts';

const ANY = Number.POSITIVE_INFINITY;
const all: Capabilities = {
  client: CLIENT.protocol41 | CLIENT.secureConnection | CLIENT.pluginAuth | CLIENT.connectAttrs,
  mariadb: 0,
};
const few: Capabilities = { client: CLIENT.protocol41, mariadb: 0 };
const change: commands.ComChangeUser = {
  user: 'agent-7',
  authResponse: Buffer.alloc(20, 7),
  database: 'shop',
  characterSet: 45,
  authPlugin: 'mysql_native_password',
  attributes: new Map([['program_name', 'mysql']]),
};
const short = { ...change, characterSet: null, authPlugin: null, attributes: null };
const oldShort = { ...short, authResponse: Buffer.from('abc') };
const long = { statementId: 7, parameter: 3, data: Buffer.from([0, 1, 255]) };
const fetch = { statementId: commands.LAST_PREPARED, rows: 100 };
const list = { table: 'customers', wildcard: '%' };
const dump = { position: 4, flags: 1, serverId: 9, fileName: 'binlog.000001' };
const gtids = { ...dump, position: 4n, data: Buffer.alloc(8, 3) };
const slave = { serverId: 9, host: 'h', user: 'u', password: 'p', port: 3306, rank: 0, masterId: 1 };
const table = { database: 'shop', table: 'customers' };
const text = Buffer.from('select ?');

const bare: commands.BareCommand[] = ['quit', 'statistics', 'processInfo', 'debug', 'ping', 'resetConnection'];
const named: commands.NameCommand[] = ['initDb', 'createDb', 'dropDb'];
const ofStatements: commands.StatementCommand[] = ['stmtClose', 'stmtReset'];

const changeShort = commands.encodeComChangeUser(short, all).length;

const samples: CodecSample[] = [
  ...bare.map((command) => ({
    name: `COM ${command}`,
    value: undefined,
    encoded: commands.encodeBareCommand(command),
    decode: (payload: Buffer) => commands.decodeBareCommand(command, payload),
  })),
  ...named.map((command) => ({
    name: `COM ${command}`,
    value: 'shöp',
    encoded: commands.encodeNameCommand(command, 'shöp'),
    decode: (payload: Buffer) => commands.decodeNameCommand(command, payload),
    openEnded: { from: 1, to: ANY },
  })),
  ...ofStatements.map((command) => ({
    name: `COM ${command}`,
    value: 4_294_967_295,
    encoded: commands.encodeStatementCommand(command, 4_294_967_295),
    decode: (payload: Buffer) => commands.decodeStatementCommand(command, payload),
  })),
  {
    name: 'COM_STMT_PREPARE',
    value: text,
    encoded: commands.encodeComStmtPrepare(text),
    decode: commands.decodeComStmtPrepare,
    openEnded: { from: 1, to: ANY },
  },
  {
    name: 'COM_STMT_SEND_LONG_DATA',
    value: long,
    encoded: commands.encodeComStmtSendLongData(long),
    decode: commands.decodeComStmtSendLongData,
    openEnded: { from: 7, to: ANY },
  },
  {
    name: 'COM_STMT_FETCH',
    value: fetch,
    encoded: commands.encodeComStmtFetch(fetch),
    decode: commands.decodeComStmtFetch,
  },
  {
    name: 'COM_FIELD_LIST',
    value: list,
    encoded: commands.encodeComFieldList(list),
    decode: commands.decodeComFieldList,
    openEnded: { from: 11, to: ANY },
  },
  { name: 'COM_REFRESH', value: 3, encoded: commands.encodeComRefresh(3), decode: commands.decodeComRefresh },
  {
    name: 'COM_SHUTDOWN',
    value: 16,
    encoded: commands.encodeComShutdown(16),
    decode: commands.decodeComShutdown,
    wholeAt: [1],
  },
  {
    name: 'COM_PROCESS_KILL',
    value: 4711,
    encoded: commands.encodeComProcessKill(4711),
    decode: commands.decodeComProcessKill,
  },
  {
    name: 'COM_SET_OPTION',
    value: commands.MULTI_STATEMENTS.off,
    encoded: commands.encodeComSetOption(commands.MULTI_STATEMENTS.off),
    decode: commands.decodeComSetOption,
  },
  {
    name: 'COM_CHANGE_USER',
    value: change,
    encoded: commands.encodeComChangeUser(change, all),
    decode: (payload) => commands.decodeComChangeUser(payload, all),
    wholeAt: [changeShort],
  },
  {
    name: 'COM_CHANGE_USER without what comes last',
    value: oldShort,
    encoded: commands.encodeComChangeUser(oldShort, few),
    decode: (payload) => commands.decodeComChangeUser(payload, few),
    openEnded: { from: commands.encodeComChangeUser(oldShort, few).length, to: ANY },
  },
  {
    name: 'COM_BINLOG_DUMP',
    value: dump,
    encoded: commands.encodeComBinlogDump(dump),
    decode: commands.decodeComBinlogDump,
    openEnded: { from: 11, to: ANY },
  },
  {
    name: 'COM_BINLOG_DUMP_GTID',
    value: gtids,
    encoded: commands.encodeComBinlogDumpGtid(gtids),
    decode: commands.decodeComBinlogDumpGtid,
  },
  {
    name: 'COM_REGISTER_SLAVE',
    value: slave,
    encoded: commands.encodeComRegisterSlave(slave),
    decode: commands.decodeComRegisterSlave,
  },
  {
    name: 'COM_TABLE_DUMP',
    value: table,
    encoded: commands.encodeComTableDump(table),
    decode: commands.decodeComTableDump,
  },
];

testCodecLaws(samples);

test('a decoder takes no other command', () => {
  for (const { encoded, decode } of samples) {
    const other = Buffer.from(encoded);
    other[0] = commands.COM.sleep;
    assert.throws(() => decode(other), ProtocolViolation);
  }
});

test('is not written where it would say something else', () => {
  assert.throws(() => commands.encodeComChangeUser({ ...change, user: 'a\0' }, all), RangeError);
  assert.throws(() => commands.encodeComChangeUser({ ...change, attributes: null }, all), RangeError);
  assert.throws(() => commands.encodeComChangeUser({ ...change, characterSet: null }, all), RangeError);
  assert.throws(() => commands.encodeComFieldList({ table: 'a\0b', wildcard: '' }), RangeError);
  assert.throws(() => commands.encodeStatementCommand('stmtClose', -1), RangeError);
});

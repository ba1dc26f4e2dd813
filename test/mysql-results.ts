import assert from 'node:assert/strict';
import { CLIENT, SERVER_STATUS } from '../protocols/mysql/capabilities.ts';
import { COM, encodeComStmtPrepare } from '../protocols/mysql/commands.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { encodeComStmtExecute } from '../protocols/mysql/parameters.ts';
import { PayloadReader } from '../protocols/mysql/payload-reader.ts';
import {
  COLUMN_FLAG,
  type ColumnDefinition,
  decodeColumnDefinition,
  decodeErr,
  FIELD_TYPE,
} from '../protocols/mysql/responses.ts';
import { binarySize, textOfBinary } from '../protocols/mysql/values.ts';
import type { RawMysqlClient } from './raw-mysql-client.ts';

/** What a server answers a command with, as a client reads it. */
export interface Answer {
  readonly results: readonly Result[];
  /** The error it ended with; `null` if it did not. */
  readonly error: { readonly code: number; readonly message: string } | null;
  /** Every byte of it. */
  readonly bytes: Buffer;
}

export interface Result {
  readonly columns: readonly ColumnDefinition[];
  /** Texts of values; bytes that are no UTF-8 in hexadecimal. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** The same, bytes as they are. */
  readonly values: readonly (readonly Value[])[];
  readonly hasCursor: boolean;
}

export type Value = string | Buffer | null;

/** Reads one answer, and holds the server to the numbers of its packets. @param first number of its first packet */
export class AnswerReader {
  readonly #client: RawMysqlClient;
  readonly #deprecatesEof: boolean;
  readonly #packets: Buffer[] = [];
  #sequence = 1;

  constructor(client: RawMysqlClient) {
    this.#client = client;
    this.#deprecatesEof = (client.capabilities.client & CLIENT.deprecateEof) !== 0;
  }

  async #payload(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const { sequence, payload } = await this.#client.packet();
      assert.equal(sequence, this.#sequence, 'the packets are numbered in order');
      this.#sequence = (sequence + 1) & 0xff;
      this.#packets.push(payload);
      parts.push(payload);
      if (payload.length < 0xffffff) return parts.length === 1 ? payload : Buffer.concat(parts);
    }
  }

  async answer(isBinary: boolean): Promise<Answer> {
    const results: Result[] = [];
    for (;;) {
      const first = await this.#payload();
      if (first[0] === 0xff) return this.#ended(results, first);
      if (first[0] === 0x00) {
        if ((statusOfOk(first) & SERVER_STATUS.moreResultsExist) === 0) return this.#ended(results, null);
        continue;
      }
      const columns: ColumnDefinition[] = [];
      const count = new PayloadReader('header', first).length();
      while (columns.length < count) {
        columns.push(decodeColumnDefinition(await this.#payload(), this.#client.capabilities));
      }
      const status = this.#deprecatesEof ? 0 : (await this.#payload()).readUInt16LE(3);
      if ((status & SERVER_STATUS.cursorExists) !== 0) {
        results.push({ columns, rows: [], values: [], hasCursor: true });
        return this.#ended(results, null);
      }
      const { values, end } = await this.#rows(columns, isBinary);
      const last = end[0] === 0xff ? 0 : this.#statusOf(end);
      results.push({ columns, ...shown(values), hasCursor: (last & SERVER_STATUS.cursorExists) !== 0 });
      if (end[0] === 0xff) return this.#ended(results, end);
      if ((last & SERVER_STATUS.moreResultsExist) === 0) return this.#ended(results, null);
    }
  }

  /** Rows alone: what COM_STMT_FETCH is answered with. */
  async rows(columns: readonly ColumnDefinition[]): Promise<Answer> {
    const { values, end } = await this.#rows(columns, true);
    return this.#ended([{ columns, ...shown(values), hasCursor: false }], end[0] === 0xff ? end : null);
  }

  async #rows(columns: readonly ColumnDefinition[], isBinary: boolean): Promise<{ values: Value[][]; end: Buffer }> {
    const values: Value[][] = [];
    for (;;) {
      const payload = await this.#payload();
      const isEnd =
        payload[0] === 0xff || (payload[0] === 0xfe && payload.length < (this.#deprecatesEof ? 0xffffff : 9));
      if (isEnd) return { values, end: payload };
      values.push(isBinary ? binaryRow(payload, columns) : textRow(payload, columns));
    }
  }

  #statusOf(end: Buffer): number {
    return this.#deprecatesEof ? statusOfOk(end) : end.readUInt16LE(3);
  }

  #ended(results: Result[], error: Buffer | null): Answer {
    return { results, error: error === null ? null : decodeErr(error), bytes: Buffer.concat(this.#packets) };
  }
}

function statusOfOk(payload: Buffer): number {
  const reader = new PayloadReader('OK', payload);
  reader.int1();
  reader.lenencInt();
  reader.lenencInt();
  return reader.int2();
}

function textRow(payload: Buffer, columns: readonly ColumnDefinition[]): Value[] {
  const reader = new PayloadReader('row', payload);
  const row = columns.map((column) => {
    const value = reader.lenencBytesOrNull();
    return value === null ? null : isBytes(column) ? value : value.toString('utf8');
  });
  reader.end();
  return row;
}

function binaryRow(payload: Buffer, columns: readonly ColumnDefinition[]): Value[] {
  const reader = new PayloadReader('row', payload);
  reader.expect(0);
  const nulls = reader.bytes((columns.length + 9) >> 3);
  const row = columns.map((column, i) => {
    if (((nulls[(i + 2) >> 3]! >> ((i + 2) & 7)) & 1) === 1) return null;
    const { type, flags } = column;
    const size = binarySize(type);
    const value = size > 0 ? reader.bytes(size) : reader.lenencBytes();
    if (isBytes(column)) return value;
    return textOfBinary({ type, unsigned: (flags & COLUMN_FLAG.unsigned) !== 0 }, value);
  });
  reader.end();
  return row;
}

const BYTES: ReadonlySet<number> = new Set([
  ...[FIELD_TYPE.bit, FIELD_TYPE.geometry, FIELD_TYPE.string, FIELD_TYPE.varString, FIELD_TYPE.blob, FIELD_TYPE.vector],
  ...[FIELD_TYPE.tinyBlob, FIELD_TYPE.mediumBlob, FIELD_TYPE.longBlob],
]);

function isBytes({ type, characterSet }: ColumnDefinition): boolean {
  return BYTES.has(type) && characterSet === 63;
}

function shown(values: Value[][]): Pick<Result, 'rows' | 'values'> {
  const text = (value: Value): string | null => (Buffer.isBuffer(value) ? readable(value) : value);
  return { rows: values.map((row) => row.map(text)), values };
}

function readable(value: Buffer): string {
  const text = value.toString('utf8');
  return text.includes('\ufffd') || text.includes('\0') ? value.toString('hex') : text;
}

/** Sends one command and reads what comes back. */
export async function ask(client: RawMysqlClient, command: Buffer, isBinary: boolean): Promise<Answer> {
  client.send(encodePackets(command, 0));
  return new AnswerReader(client).answer(isBinary);
}

/** Prepares a text and executes it. @param flags of COM_STMT_EXECUTE @returns the answer, and the id of the statement */
export async function prepareAndExecute(
  client: RawMysqlClient,
  sql: string,
  parameters: readonly string[] = [],
  flags = 0,
): Promise<Answer & { readonly id: number }> {
  client.send(encodePackets(encodeComStmtPrepare(Buffer.from(sql)), 0));
  const { payload } = await client.packet();
  if (payload[0] === 0xff) return { results: [], error: decodeErr(payload), bytes: payload, id: 0 };
  const id = payload.readUInt32LE(1);
  const hasEof = (client.capabilities.client & CLIENT.deprecateEof) === 0;
  for (const count of [payload.readUInt16LE(7), payload.readUInt16LE(5)]) {
    for (let i = 0; i < count + (count > 0 && hasEof ? 1 : 0); i++) await client.packet();
  }
  const values = parameters.map((value) => ({
    ...{ type: FIELD_TYPE.varString, unsigned: false, name: '' },
    value: Buffer.from(value),
  }));
  const execute = { statementId: id, flags, typesSent: true, parameters: values };
  return { ...(await ask(client, encodeComStmtExecute(execute, values.length, client.capabilities), true)), id };
}

/** The rows of a cursor. @param columns as they were described when it was opened */
export function fetchRows(
  client: RawMysqlClient,
  id: number,
  count: number,
  columns: readonly ColumnDefinition[],
): Promise<Answer> {
  const fetch = Buffer.alloc(9);
  fetch[0] = COM.stmtFetch;
  fetch.writeUInt32LE(id, 1);
  fetch.writeUInt32LE(count, 5);
  client.send(encodePackets(fetch, 0));
  return new AnswerReader(client).rows(columns);
}

import { type Capabilities, CLIENT, MARIADB_CLIENT } from '../../../protocols/mysql/capabilities.ts';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { lenencBytes, lenencBytesOrNull } from '../../../protocols/mysql/payload-fields.ts';
import {
  COLUMN_FLAG,
  encodeColumnDefinition,
  encodeEof,
  encodeOk,
  encodeResultSetHeader,
  encodeStmtPrepareOk,
  FIELD_TYPE,
  RESPONSE,
} from '../../../protocols/mysql/responses.ts';
import { binaryOfText, binarySize } from '../../../protocols/mysql/values.ts';

/** Results that Sluice itself answers with. */

/** `long` and `longlong` are unsigned. */
export type OwnColumn = readonly [name: string, type: 'varString' | 'long' | 'longlong' | 'datetime'];

/** Values as the text protocol has them. */
export type OwnCells = readonly (string | null)[];

export interface AnswerContext {
  readonly capabilities: Capabilities;
  /** SERVER_STATUS flags of the session. */
  readonly status: number;
  /** Of the first packet. */
  readonly sequence: number;
}

const UTF8MB4 = 45;
const BINARY = 63;
const LENGTHS = { varString: 65535, long: 10, longlong: 20, datetime: 19 } as const;

/** A result set of the text protocol, or, for a prepared statement, of the binary one. */
export function encodeResultSet(
  columns: readonly OwnColumn[],
  rows: readonly OwnCells[],
  isBinary: boolean,
  { capabilities, status, sequence }: AnswerContext,
): Buffer {
  const payloads = [encodeResultSetHeader({ columns: columns.length, metadataFollows: true }, capabilities)];
  payloads.push(...definitions(columns, capabilities));
  if (!deprecatesEof(capabilities)) payloads.push(encodeEof({ warnings: 0, status }));
  for (const row of rows) {
    payloads.push(isBinary ? binaryRow(columns, row) : Buffer.concat(row.map(lenencBytesOrNull)));
  }
  payloads.push(end(capabilities, status));
  return packets(payloads, sequence);
}

/** The answer to a COM_STMT_PREPARE. */
export function encodePrepared(
  statementId: number,
  parameters: number,
  columns: readonly OwnColumn[],
  { capabilities, status, sequence }: AnswerContext,
): Buffer {
  const prepared = { statementId, columns: columns.length, parameters, warnings: 0, metadataFollows: true };
  const payloads = [encodeStmtPrepareOk(prepared, capabilities)];
  const own: OwnColumn[] = Array.from({ length: parameters }, () => ['?', 'varString']);
  for (const some of [own, columns]) {
    if (some.length === 0) continue;
    payloads.push(...definitions(some, capabilities));
    if (!deprecatesEof(capabilities)) payloads.push(encodeEof({ warnings: 0, status }));
  }
  return packets(payloads, sequence);
}

function packets(payloads: readonly Buffer[], sequence: number): Buffer {
  return Buffer.concat(payloads.map((payload, i) => encodePackets(payload, (sequence + i) & 0xff)));
}

function deprecatesEof({ client }: Capabilities): boolean {
  return (client & CLIENT.deprecateEof) !== 0;
}

function definitions(columns: readonly OwnColumn[], capabilities: Capabilities): Buffer[] {
  const isExtended = (capabilities.mariadb & MARIADB_CLIENT.extendedMetadata) !== 0;
  return columns.map(([name, type]) => {
    const isNumber = type === 'long' || type === 'longlong';
    return encodeColumnDefinition(
      {
        catalog: 'def',
        schema: '',
        table: '',
        orgTable: '',
        name,
        orgName: '',
        extendedMetadata: isExtended ? new Map() : null,
        characterSet: type === 'varString' ? UTF8MB4 : BINARY,
        columnLength: LENGTHS[type],
        type: FIELD_TYPE[type],
        flags: type === 'varString' ? 0 : COLUMN_FLAG.binary | (isNumber ? COLUMN_FLAG.unsigned : 0),
        decimals: 0,
      },
      capabilities,
    );
  });
}

/** Binary Protocol Resultset Row: the bits of the NULL bitmap begin with the third. */
function binaryRow(columns: readonly OwnColumn[], row: OwnCells): Buffer {
  const nulls = Buffer.alloc((row.length + 9) >> 3);
  const values: Buffer[] = [];
  for (const [i, value] of row.entries()) {
    if (value === null) nulls[(i + 2) >> 3]! |= 1 << ((i + 2) & 7);
    else {
      const type = FIELD_TYPE[columns[i]![1]];
      const bytes = binaryOfText({ type, unsigned: true }, value);
      values.push(binarySize(type) === 0 ? lenencBytes(bytes) : bytes);
    }
  }
  return Buffer.concat([Buffer.of(0), nulls, ...values]);
}

function end(capabilities: Capabilities, status: number): Buffer {
  if (!deprecatesEof(capabilities)) return encodeEof({ warnings: 0, status });
  const header = RESPONSE.eof;
  return encodeOk(
    { header, affectedRows: 0n, lastInsertId: 0n, status, warnings: 0, info: '', sessionState: null },
    capabilities,
  );
}

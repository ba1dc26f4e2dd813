import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { Client, FieldDef, QueryConfig } from 'pg';
import { encodePackets } from '../../protocols/mysql/framing.ts';
import { type ColumnDefinition, encodeColumnDefinition } from '../../protocols/mysql/responses.ts';
import { encodeRowDescription } from '../../protocols/postgres/backend.ts';
import type { SampleRows, SessionState } from './service-connection.ts';

/** A sample is for somebody who waits for it. */
const SAMPLE_SECONDS = 10;

export async function readPostgresState(client: Client): Promise<SessionState> {
  const { rows } = await client.query<{ path: string[] }>('SELECT current_schemas(true)::text[] AS path');
  return { searchPath: rows[0]!.path, database: null, sqlMode: '' };
}

export async function readPostgresSample(client: Client, sql: string, most: number): Promise<SampleRows> {
  await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = '${SAMPLE_SECONDS}s'`);
  const sample = await readPostgresRows(client, sql, most);
  await client.query('ROLLBACK');
  return sample;
}

/** In an open transaction. */
export async function readPostgresRows(client: Client, sql: string, most: number): Promise<SampleRows> {
  // In the extended protocol the server takes one statement and no more.
  const declare: QueryConfig & { queryMode: string } = {
    text: `DECLARE sluice_sample NO SCROLL CURSOR FOR ${sql}`,
    queryMode: 'extended',
  };
  await client.query(declare);
  const { fields, rows } = await client.query<(string | null)[]>({
    text: `FETCH ${most} FROM sluice_sample`,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  });
  return {
    columns: fields.map(({ name }) => name),
    // Behind the type and the length of the message.
    description: encodeRowDescription(fields.map(describedField)).subarray(5),
    rows: rows.map((row) => row.map((value) => (value === null ? null : Buffer.from(value, 'utf8')))),
  };
}

function describedField({ name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier }: FieldDef) {
  return {
    name,
    tableOid: tableID,
    columnNumber: columnID,
    typeOid: dataTypeID,
    typeSize: dataTypeSize,
    typeModifier: dataTypeModifier,
    format: 0,
  };
}

export async function readMysqlState(connection: Connection): Promise<SessionState> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT DATABASE() AS db, @@SESSION.sql_mode AS mode');
  return { searchPath: [], database: rows[0]!.db as string | null, sqlMode: rows[0]!.mode as string };
}

export async function readMysqlSample(connection: Connection, sql: string, most: number): Promise<SampleRows> {
  const [[{ version }]] = (await connection.query('SELECT VERSION() AS version')) as unknown as [[{ version: string }]];
  const time = version.includes('MariaDB')
    ? `max_statement_time = ${SAMPLE_SECONDS}`
    : `max_execution_time = ${SAMPLE_SECONDS * 1000}`;
  await connection.query(`SET SESSION ${time}, sql_select_limit = ${most}`);
  await connection.query('START TRANSACTION READ ONLY');
  const { isWhole, ...sample } = await readMysqlRows(connection, sql, most);
  if (!isWhole) connection.destroy();
  return sample;
}

/**
 * In an open transaction; the session's `sql_select_limit` has to be `most`.
 * @returns `isWhole` is false if a LIMIT in the statement counts more than that: the rest of the rows is not waited for, and the
 * connection is of no use any more
 */
export function readMysqlRows(
  connection: Connection,
  sql: string,
  most: number,
): Promise<SampleRows & { readonly isWhole: boolean }> {
  return new Promise((resolve, reject) => {
    let columns: string[] = [];
    let description = Buffer.alloc(0);
    const rows: (Buffer | null)[][] = [];
    const finish = (isWhole: boolean) => resolve({ columns, description, rows, isWhole });
    (connection as unknown as { connection: CallbackConnection }).connection
      .query({ sql, rowsAsArray: true, typeCast: (field: { buffer(): Buffer | null }) => copyOf(field.buffer()) })
      .on('error', reject)
      .on('fields', (fields) => {
        columns = fields.map(({ name }) => name);
        description = Buffer.concat(fields.map((field, index) => encodePackets(definition(field), index)));
      })
      .on('result', (row) => {
        if (rows.length === most) finish(false);
        else rows.push(row);
      })
      .on('end', () => finish(true));
  });
}

/** mysql2's connection behind the one with promises. */
interface CallbackConnection {
  query(options: object): Query;
}

interface Query {
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'fields', listener: (fields: readonly MysqlField[]) => void): this;
  on(event: 'result', listener: (row: (Buffer | null)[]) => void): this;
  on(event: 'end', listener: () => void): this;
}

type MysqlField = Omit<ColumnDefinition, 'type' | 'extendedMetadata'> & { readonly columnType: number };

function definition(field: MysqlField): Buffer {
  const { catalog, schema, table, orgTable, name, orgName, characterSet, columnLength, flags, decimals } = field;
  const names = { catalog, schema, table, orgTable, name, orgName };
  const column = { ...names, characterSet, columnLength, flags, decimals, type: field.columnType };
  return encodeColumnDefinition({ ...column, extendedMetadata: null }, { client: 0, mariadb: 0 });
}

/** The driver's buffers are of the packet it reads. */
function copyOf(bytes: Buffer | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes);
}

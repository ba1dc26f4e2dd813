import type { Socket } from 'node:net';
import type { Connection } from 'mysql2/promise';
import type { Client } from 'pg';
import { IdleConnections } from './idle-connections.ts';
import { readMysqlRows, readPostgresRows } from './sample.ts';
import {
  connectMysqlClient,
  connectPostgresClient,
  limitMysqlStatements,
  quotedName,
  type SampleRows,
  type UpstreamAddress,
} from './service-connection.ts';

/** What of a session decides what its statements mean and find. */
export interface ActingAs {
  /** The role it acts as; empty for that of the connection. */
  readonly role: string;
  /** PostgreSQL: the schemas in which unqualified names are looked for. */
  readonly path: readonly string[];
  /** MySQL: the default database; empty for none. */
  readonly database: string;
  readonly sqlMode: string;
  /** How it reads and writes dates and times: PostgreSQL's `DateStyle`, `IntervalStyle`, `TimeZone`; MySQL's `time_zone`. */
  readonly settings: Readonly<Record<string, string>>;
}

export type Rows = readonly Record<string, unknown>[];

/** A transaction that only reads. A question that fails leaves the next one as it would be without it. */
export interface ReadOnlyServer {
  /** @param sql one statement; rejects with what the driver throws */
  ask(sql: string, values?: readonly unknown[]): Promise<Rows>;
  /** The first rows of a SELECT, of no more than some MB. @param sql without anything behind it */
  sample(sql: string, most: number): Promise<SampleRows>;
}

/** How long the server may take for one question, and how long a connection is kept that nobody asks, milliseconds. */
export const MOST_MS = 5_000;
const IDLE_MS = 10_000;
/** Of the rows of a sample, and how often that is looked at, milliseconds. */
const MOST_BYTES = 8 * 1024 * 1024;
const LOOK_MS = 10;

/** A connection of our own, and what it takes to act on it as somebody does. */
interface Reader {
  begin(as: ActingAs): Promise<ReadOnlyServer>;
  /** Ends the transaction, whatever came of it. */
  end(): Promise<void>;
  close(): void;
}

/** Connections of Sluice's own to upstreams, on which statements are looked into without running them. */
export class ReadOnlyConnections {
  readonly #idle = new IdleConnections<Reader>(IDLE_MS);

  /**
   * Asks in a transaction that can only read. Rejects with what the client library throws if the server cannot be reached, or does
   * not let Sluice act as the session does; then nothing was asked.
   *
   * @param connection its name
   */
  async run<T>(
    connection: string,
    upstream: UpstreamAddress,
    as: ActingAs,
    work: (server: ReadOnlyServer) => Promise<T>,
  ): Promise<T> {
    // In MySQL there is no way back to no default database.
    const key = JSON.stringify([connection, as.database]);
    const reader = this.#idle.take(key) ?? (await connect(upstream));
    let isFit = false;
    try {
      const result = await work(await reader.begin(as));
      isFit = await reader.end().then(
        () => true,
        () => false,
      );
      return result;
    } finally {
      if (isFit) this.#idle.keep(key, reader);
      else reader.close();
    }
  }

  close(): void {
    this.#idle.close();
  }
}

function connect(upstream: UpstreamAddress): Promise<Reader> {
  return upstream.protocol === 'postgres' ? connectPostgres(upstream) : connectMysql(upstream);
}

async function connectPostgres(upstream: UpstreamAddress): Promise<Reader> {
  const client = await connectPostgresClient(upstream, 'sluice preview', MOST_MS + 1_000);
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  return {
    async begin(as) {
      const setUp = postgresSetUp(as);
      await client.query(setUp);
      return {
        ask: (sql, values) =>
          inParts(client, setUp, async () => {
            const asked =
              values === undefined ? client.query<Rows[number]>(sql) : client.query<Rows[number]>(sql, [...values]);
            return (await asked).rows;
          }),
        sample: (sql, most) =>
          inParts(client, setUp, () => withinBytes(stream, MOST_BYTES, () => readPostgresRows(client, sql, most))),
      };
    },
    async end() {
      await client.query('ROLLBACK');
      await client.query('DISCARD ALL');
    },
    close: () => void client.end().catch(() => undefined),
  };
}

/** An error ends the transaction: the next question is asked in another one. */
async function inParts<T>(client: Client, setUp: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    // Where the connection is gone, that is what all further questions are told.
    await client.query('ROLLBACK').then(
      () => client.query(setUp),
      () => undefined,
    );
    throw error;
  }
}

function postgresSetUp({ role, path, settings }: ActingAs): string {
  const schemas = path.map(quotedName).join(', ');
  return [
    'BEGIN TRANSACTION READ ONLY',
    'SET LOCAL standard_conforming_strings = on',
    `SET LOCAL statement_timeout = ${MOST_MS}`,
    `SET LOCAL search_path = ${schemas === '' ? "''" : schemas}`,
    ...Object.entries(settings).map(
      ([name, value]) => `SET LOCAL ${quotedName(name)} = '${value.replaceAll("'", "''")}'`,
    ),
    ...(role === '' ? [] : [`SET LOCAL ROLE ${quotedName(role)}`]),
  ].join('; ');
}

async function connectMysql(upstream: UpstreamAddress): Promise<Reader> {
  const connection = await connectMysqlClient(upstream);
  const ask = async (sql: string, values: readonly unknown[] = []): Promise<Rows> => {
    const [rows] = await connection.query({ sql, values: [...values] as string[], timeout: MOST_MS + 1_000 });
    return Array.isArray(rows) ? (rows as Rows) : [];
  };
  await limitMysqlStatements(connection, MOST_MS);
  const stream = (connection as unknown as { connection: { stream: Socket } }).connection.stream;
  return {
    async begin({ role, sqlMode, database, settings }) {
      if (role !== '') await ask(`SET ROLE ${mysqlRole(role)}`);
      await ask('SET SESSION sql_mode = ?', [sqlMode]);
      for (const [name, value] of Object.entries(settings)) await ask(`SET SESSION ${name} = ?`, [value]);
      if (database !== '') await ask('USE ??', [database]);
      await ask('START TRANSACTION READ ONLY');
      return {
        ask,
        sample: (sql, most) => withinBytes(stream, MOST_BYTES, () => mysqlSample(connection, sql, most)),
      };
    },
    end: async () => void (await ask('ROLLBACK')),
    close: () => connection.destroy(),
  };
}

/** @param role as CURRENT_ROLE() has it: in MySQL quoted and a list, in MariaDB the name alone */
function mysqlRole(role: string): string {
  return role === 'NONE' || role.startsWith('`') ? role : `\`${role.replaceAll('`', '``')}\``;
}

async function mysqlSample(connection: Connection, sql: string, most: number): Promise<SampleRows> {
  await connection.query(`SET SESSION sql_select_limit = ${most}`);
  const { isWhole, ...sample } = await readMysqlRows(connection, sql, most);
  if (isWhole) await connection.query('SET SESSION sql_select_limit = DEFAULT');
  else connection.destroy();
  return sample;
}

/** Gives up the connection when more than that comes: a row may be a GB. */
async function withinBytes<T>(stream: Socket, most: number, work: () => Promise<T>): Promise<T> {
  const before = stream.bytesRead;
  const isTooMuch = (): boolean => stream.bytesRead - before > most;
  const look = setInterval(() => {
    if (isTooMuch()) stream.destroy();
  }, LOOK_MS);
  let result: T | null = null;
  let failure: unknown = null;
  try {
    result = await work();
  } catch (error) {
    failure = error;
  } finally {
    clearInterval(look);
  }
  if (isTooMuch()) throw new Error(`they have more than ${most / 1024 / 1024} MB`);
  if (failure !== null) throw failure;
  return result as T;
}

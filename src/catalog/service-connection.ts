import { isIP } from 'node:net';
import type { Connection } from 'mysql2/promise';
import type { Client } from 'pg';
import type { CatalogueData } from '../statements/catalogue.ts';
import { readMysqlCatalogue } from './mysql.ts';
import { readPostgresCatalogue } from './postgres.ts';
import { readMysqlSample, readMysqlState, readPostgresSample, readPostgresState } from './sample.ts';

/** Where and as whom Sluice itself asks: the upstream of a connection, as the configuration has it. */
export interface UpstreamAddress {
  readonly protocol: 'postgres' | 'mysql';
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** `null` where the upstream asks for no password. */
  readonly password: string | null;
  /** The words are libpq's `sslmode`. */
  readonly tls: 'disable' | 'require' | 'verify-ca' | 'verify-full';
  /** PEM text of the authorities to trust; `null` for those Node ships. */
  readonly ca: string | null;
}

/** How a connection that nobody has changed reads text: what `SessionReading` of a rehearsal is made of. */
export interface SessionState {
  readonly searchPath: readonly string[];
  readonly database: string | null;
  readonly sqlMode: string;
}

/** Rows as the server sent them in its text protocol, and as it described them. */
export interface SampleRows {
  /** Their labels. */
  readonly columns: readonly string[];
  /** PostgreSQL: the body of the RowDescription. MySQL: the packets of the column definitions, one after the other. */
  readonly description: Buffer;
  readonly rows: readonly (readonly (Buffer | null)[])[];
}

/** A connection of Sluice's own to an upstream. */
export interface ServiceConnection {
  readCatalogue(): Promise<CatalogueData>;
  readState(): Promise<SessionState>;
  /**
   * The first rows of a query, in a read-only transaction and within some seconds. The connection is of no use afterwards.
   *
   * @param sql one SELECT, without anything behind it
   */
  readSample(sql: string, most: number): Promise<SampleRows>;
  /** Closes it; never fails. */
  close(): Promise<void>;
}

/** Time to connect and to log in, and for one answer, milliseconds: the server's own limits come first. */
const CONNECT_MS = 15_000;
const ANSWER_MS = 90_000;

/** @throws what `pg` or `mysql2` throws when the server cannot be reached, verified or logged in to */
export function connect(upstream: UpstreamAddress): Promise<ServiceConnection> {
  return upstream.protocol === 'postgres' ? connectPostgres(upstream) : connectMysql(upstream);
}

async function connectPostgres(upstream: UpstreamAddress): Promise<ServiceConnection> {
  const client = await connectPostgresClient(upstream, 'sluice catalogue', ANSWER_MS);
  return {
    readCatalogue: () => readPostgresCatalogue(client),
    readState: () => readPostgresState(client),
    readSample: (sql, most) => readPostgresSample(client, sql, most),
    close: () => client.end().catch(() => undefined),
  };
}

/**
 * A client of Sluice's own, logged in. @param answerMs time for one answer, milliseconds
 * @throws what `pg` throws when the server cannot be reached, verified or logged in to
 */
export async function connectPostgresClient(
  upstream: UpstreamAddress,
  application: string,
  answerMs: number,
): Promise<Client> {
  // Loaded here, as mysql2 below: where no rule depends on names nothing reads a catalogue, and both take some MB.
  const { default: pg } = await import('pg');
  const { host, port, database, user, tls, ca } = upstream;
  const client = new pg.Client({
    host,
    port,
    database,
    user,
    // A function, since without a value pg takes what the environment or ~/.pgpass has for someone else.
    password: () => upstream.password ?? '',
    ssl:
      tls === 'disable'
        ? false
        : {
            rejectUnauthorized: tls !== 'require',
            ...(ca === null ? {} : { ca }),
            ...(tls === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
          },
    application_name: application,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: answerMs,
  });
  // A connection that breaks between two queries says so here; the next query fails as well.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return client;
}

/** As {@link connectPostgresClient}. @throws what `mysql2` throws */
export async function connectMysqlClient(upstream: UpstreamAddress): Promise<Connection> {
  const { host, port, database, user, password, tls, ca } = upstream;
  if (tls === 'verify-full' && isIP(host)) {
    // mysql2 does not tell TLS the address, and TLS then wants a certificate for "localhost" (lib/base/connection.js).
    throw new Error(`tls verify-full needs the name of the server as its host, not the address ${host}`);
  }
  const { default: mysql } = await import('mysql2/promise');
  const connection = await mysql.createConnection({
    host,
    port,
    database,
    user,
    ...(password === null ? {} : { password }),
    ...(tls === 'disable'
      ? {}
      : {
          ssl: {
            rejectUnauthorized: tls !== 'require',
            verifyIdentity: tls === 'verify-full',
            ...(ca === null ? {} : { ca }),
          },
        }),
    charset: 'utf8mb4',
    connectTimeout: CONNECT_MS,
  });
  connection.on('error', () => undefined);
  return connection;
}

/** Has the server end each of the connection's SELECTs that takes longer. */
export async function limitMysqlStatements(connection: Connection, mostMs: number): Promise<void> {
  const set = (sql: string) => connection.query({ sql, timeout: mostMs + 1_000 });
  // MySQL and MariaDB each know one of the two.
  await set(`SET SESSION max_execution_time = ${mostMs}`).catch(() =>
    set(`SET SESSION max_statement_time = ${mostMs / 1000}`),
  );
}

/** A name as PostgreSQL reads it whatever is in it. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

async function connectMysql(upstream: UpstreamAddress): Promise<ServiceConnection> {
  const connection = await connectMysqlClient(upstream);
  return {
    readCatalogue: () => within(ANSWER_MS, readMysqlCatalogue(connection), () => connection.destroy()),
    readState: () => readMysqlState(connection),
    readSample: (sql, most) => readMysqlSample(connection, sql, most),
    // Not `end`, which waits for ever for the answer of a server that is gone.
    close: async () => connection.destroy(),
  };
}

/** Gives up on `work` after `ms`. */
async function within<T>(ms: number, work: Promise<T>, giveUp: () => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      giveUp();
      reject(new Error(`no answer within ${ms / 1000} s`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

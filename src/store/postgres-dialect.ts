import { type Dialect, PostgresDialect } from 'kysely';
import pg, { type ClientConfig } from 'pg';
import { isLoopback } from '../config/address.ts';

/** A node asks little: a login is one look-up by key. */
const MOST_CONNECTIONS = 4;
/** A store that does not answer has failed: whoever waits for it is told so, milliseconds. */
const CONNECT_MS = 3_000;
const ANSWER_MS = 5_000;
const INT8 = 20;

/**
 * kysely on a pool of connections.
 * @param url `postgres://...`; its `sslmode` is `verify-full` unless it says otherwise
 * @param patienceMs how long an answer may take
 */
export function postgresDialect(url: string, patienceMs = ANSWER_MS): Dialect {
  const pool = new pg.Pool({ ...postgresOptions(url), max: MOST_CONNECTIONS, query_timeout: patienceMs });
  // A connection that breaks while nobody uses it; the next query makes another, or says what is wrong.
  pool.on('error', () => undefined);
  return new PostgresDialect({ pool });
}

/** How every connection to the store is made. */
export function postgresOptions(url: string): ClientConfig {
  return {
    connectionString: withTls(url),
    application_name: 'sluice',
    connectionTimeoutMillis: CONNECT_MS,
    types: {
      // Counts and times, all of them far below 2^53.
      getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
        oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
    },
  };
}

function withTls(text: string): string {
  const url = new URL(text);
  if (!url.searchParams.has('sslmode')) {
    url.searchParams.set('sslmode', isLoopback(url.hostname) ? 'disable' : 'verify-full');
  }
  return url.toString();
}

import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import type { Certificates } from './certificates.ts';

export interface ServerOptions {
  /** Serve TLS as well, with a certificate for `localhost` and 127.0.0.1. */
  readonly ssl?: boolean;
  /** Settings for the server's command line: `lower_case_table_names`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** A running MariaDB or MySQL server that is this process's own. */
export interface MysqlFamilyServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
  /** An empty database that is there at start. */
  readonly database: string;
  /** Full version, such as `10.11.6-MariaDB`. */
  readonly version: string;
  /** Paths of the TLS files; `null` without `ssl`. */
  readonly certificates: Certificates | null;
  /** Everything the server logged so far. */
  log(): string;
  /** Runs statements, divided by `;`, as superuser on a connection of its own; the rows of the last one. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Stops the server at once and removes all it left on the disk. */
  stop(): Promise<void>;
}

export const SUPERUSER = 'root';
export const DATABASE = 'shop';

/** Settings for throw-away data: nothing has to survive a crash of the machine. */
export const THROWAWAY = {
  innodb_flush_log_at_trx_commit: '0',
  innodb_doublewrite: '0',
  innodb_buffer_pool_size: '32M',
};

export function queryWith(access: mysql.ConnectionOptions): MysqlFamilyServer['query'] {
  return async (sql) => {
    const connection = await mysql.createConnection({ ...access, multipleStatements: true });
    try {
      const [result] = await connection.query(sql);
      const last = Array.isArray(result) && Array.isArray(result.at(-1)) ? result.at(-1) : result;
      return Array.isArray(last) ? (last as Record<string, unknown>[]) : [];
    } finally {
      await connection.end();
    }
  };
}

/** Waits until the server takes connections; throws with its log if it ends instead. */
export async function ready(product: string, keeper: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!log().includes('ready for connections')) {
    if (keeper.exitCode !== null) throw new Error(`${product} ended at start:\n${log()}`);
    if (Date.now() > deadline) throw new Error(`${product} takes longer than 60 s to start:\n${log()}`);
    await sleep(25);
  }
}

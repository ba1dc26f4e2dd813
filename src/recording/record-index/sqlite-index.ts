import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { recordIndexDdl } from '../../store/record-index-tables.ts';
import {
  type Cell,
  CHANGES,
  type ChangedColumn,
  COLUMNS,
  type Found,
  type IndexSql,
  type InsertedTable,
  insertInto,
  LOOK_UPS,
  type LookedUpTable,
  onConflict,
  type Row,
  type SessionChangeKind,
  updateSessions,
} from './index-columns.ts';

/** Counted up when the tables change: a file of another version is made again. */
const VERSION = 2;
/**
 * How much may wait in the log before it is brought to its place in the file, pages of 4 kB: to do so more often would write the
 * same pages again and again.
 */
const CHECKPOINT_PAGES = 8192;
/** How much of the file is kept in memory, kB: where the indexes grow. */
const CACHE_KB = 16_384;

/** True for what SQLite says of files that are broken or none of its own (SQLITE_CORRUPT, SQLITE_NOTADB). */
export function isUnusable(error: unknown): boolean {
  const { errcode = 0 } = error as { errcode?: number };
  return error instanceof OtherVersion || [11, 26].includes(errcode & 0xff);
}

class OtherVersion extends Error {}

/** The index in a file of its own, made if it is missing. Its constructor throws what {@link isUnusable} is about. */
export class SqliteIndex implements IndexSql {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(file: string) {
    // SQLite would make it readable for all; the files beside it get the mode of this one.
    closeSync(openSync(file, 'a', 0o600));
    this.#db = new DatabaseSync(file, { timeout: 5_000 });
    try {
      this.#db.exec(
        `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${CACHE_KB};` +
          `PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA journal_size_limit = ${CHECKPOINT_PAGES * 4096}`,
      );
      this.#makeTables();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  #makeTables(): void {
    const { user_version: version } = this.#db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version === VERSION) return;
    const { count } = this.#db.prepare('select count(*) as count from sqlite_schema').get() as { count: number };
    if (count > 0) throw new OtherVersion(`it is of version ${version}, and this Sluice writes version ${VERSION}`);
    this.#db.exec(`begin; ${recordIndexDdl('sqlite').join(';')}; PRAGMA user_version = ${VERSION}; commit`);
  }

  async all<Result>(text: string, values: readonly Cell[]): Promise<Result[]> {
    return this.#prepare(text).all(...values) as Result[];
  }

  async run(text: string, values: readonly Cell[]): Promise<void> {
    this.#prepare(text).run(...values);
  }

  async find(table: LookedUpTable, values: readonly string[], from: number, to: number): Promise<Found[]> {
    const [by, value] = LOOK_UPS[table];
    const statement = this.#prepare(
      `select id, ${value} as value from ${table} where ${by} = ? and id >= ? and id < ?`,
    );
    return values.flatMap((each) => statement.all(each, from, to) as unknown as Found[]);
  }

  async insert(table: InsertedTable, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const places = Object.keys(COLUMNS[table]).map(() => '?');
    this.#each(`${insertInto(table)} values (${places}) ${onConflict(table)}`, rows);
  }

  async changeSessions(kind: SessionChangeKind, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const columns = Object.keys(CHANGES[kind]);
    const given = (column: ChangedColumn) => `?${columns.indexOf(column) + 1}`;
    this.#each(updateSessions(kind, given), rows);
  }

  #each(text: string, rows: readonly Row[]): void {
    const statement = this.#prepare(text);
    for (const row of rows) statement.run(...(row as SQLInputValue[]));
  }

  #prepare(text: string): StatementSync {
    let statement = this.#prepared.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#prepared.set(text, statement);
    }
    return statement;
  }

  async transaction(work: () => Promise<void>): Promise<void> {
    this.#db.exec('begin immediate');
    try {
      await work();
      this.#db.exec('commit');
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('rollback');
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#db.close();
  }
}

import { Worker } from 'node:worker_threads';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';

/** What the thread is asked. */
export interface Question {
  readonly id: number;
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

export type Answer =
  | { readonly id: number; readonly rows: readonly object[]; readonly changes: number }
  | { readonly id: number; readonly error: string };

/** How long a statement waits for another process that writes, unless it is told otherwise, milliseconds. */
const BUSY_MS = 5_000;

/** What the thread begins with. */
export interface Opened {
  readonly file: string;
  readonly patienceMs: number;
}

/**
 * kysely on `node:sqlite` in a thread of its own, so that no disk holds up the event loop.
 * @param file made if missing
 * @param patienceMs how long a statement waits for another process that writes
 */
export function sqliteDialect(file: string, patienceMs = BUSY_MS): Dialect {
  return {
    createAdapter: () => new AtomicSqlite(),
    createDriver: () => new SqliteThread({ file, patienceMs }),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** Migrations are one transaction: another process that opens the file at the same time waits for it, and finds them done. */
class AtomicSqlite extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

interface Waiting {
  readonly resolve: (answer: Extract<Answer, { rows: unknown }>) => void;
  readonly reject: (error: Error) => void;
}

/** One thread, one database connection; kysely gives it to one user at a time. */
class SqliteThread implements Driver, DatabaseConnection {
  readonly #opened: Opened;
  #worker: Worker | null = null;
  #failure: Error | null = null;
  #lastId = 0;
  readonly #waiting = new Map<number, Waiting>();

  constructor(opened: Opened) {
    this.#opened = opened;
  }

  async init(): Promise<void> {
    const worker = new Worker(new URL('./sqlite-worker.js', import.meta.url), { workerData: this.#opened });
    worker.unref();
    this.#worker = worker;
    worker.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (this.#waiting.size === 0) worker.unref();
      if ('error' in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer);
    });
    worker.on('error', (error) => this.#fail(error as Error));
    worker.on('exit', () => this.#fail(new Error('the database is closed')));
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    return this;
  }

  async releaseConnection(): Promise<void> {}

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changes } = await this.#ask(sql, parameters);
    return { rows: rows as R[], numAffectedRows: BigInt(changes) };
  }

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('results of SQLite are not streamed');
  }

  async beginTransaction(): Promise<void> {
    // Two that have read cannot both go on to write; this one says at once that it will.
    await this.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  async commitTransaction(): Promise<void> {
    await this.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(): Promise<void> {
    await this.executeQuery(CompiledQuery.raw('rollback'));
  }

  async destroy(): Promise<void> {
    const worker = this.#worker;
    if (worker === null || this.#failure !== null) return;
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.ref();
    worker.postMessage(null);
    await gone;
  }

  #ask(sql: string, parameters: readonly unknown[]): Promise<Extract<Answer, { rows: unknown }>> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure);
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#worker!.ref();
      this.#worker!.postMessage({ id, sql, parameters } satisfies Question);
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

import pg from 'pg';
import { postgresOptions } from '../../store/postgres-dialect.ts';
import {
  type Cell,
  COLUMNS,
  type ColumnType,
  columnNames,
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

/** A batch is written in some milliseconds, what was removed from a journal in seconds. */
const ANSWER_MS = 60_000;

/** The index in the store's PostgreSQL, whose migrations make its tables: on one connection, made when it is needed. */
export class PostgresIndex implements IndexSql {
  readonly #url: string;
  #client: Promise<pg.Client> | null = null;
  readonly #names = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  async all<Result>(text: string, values: readonly Cell[]): Promise<Result[]> {
    return (await this.#query(text.replaceAll(/\?(\d)/g, '$$$1'), values)) as Result[];
  }

  async run(text: string, values: readonly Cell[]): Promise<void> {
    await this.all(text, values);
  }

  async find(table: LookedUpTable, values: readonly string[], from: number, to: number): Promise<Found[]> {
    const [by, value] = LOOK_UPS[table];
    // Were the ids in the condition, PostgreSQL might go through all of the node's.
    const text = `select id, ${value} as value from ${table} where ${by} = any($1)`;
    const found = (await this.#query(text, [values.map(withoutNul)])) as Found[];
    return found.filter(({ id }) => id >= from && id < to);
  }

  async insert(table: InsertedTable, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const types: readonly ColumnType[] = Object.values(COLUMNS[table]);
    await this.#query(
      `${insertInto(table)} select * from ${unnest(types)} ${onConflict(table)}`,
      transposed(rows, types.length),
    );
  }

  async changeSessions(kind: SessionChangeKind, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const text = updateSessions(
      kind,
      (column) => `given."${column}"`,
      (columns) =>
        `from ${unnest(columns.map((column) => COLUMNS.index_sessions[column]))} as given (${columnNames(columns)})`,
    );
    await this.#query(text, transposed(rows, rows[0]!.length));
  }

  async transaction(work: () => Promise<void>): Promise<void> {
    await this.#query('begin', []);
    try {
      await work();
      await this.#query('commit', []);
    } catch (error) {
      await this.#query('rollback', []).catch(() => undefined);
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => null);
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #query(text: string, values: readonly unknown[]): Promise<object[]> {
    const client = await this.#connected();
    return (await client.query({ name: this.#nameOf(text), text, values: [...values] })).rows;
  }

  /** A text with a name is planned once for the connection. */
  #nameOf(text: string): string {
    let name = this.#names.get(text);
    if (name === undefined) {
      name = `index${this.#names.size}`;
      this.#names.set(text, name);
    }
    return name;
  }

  /** The connection; another one if that has broken. */
  #connected(): Promise<pg.Client> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ ...postgresOptions(this.#url), query_timeout: ANSWER_MS });
    const gone = () => {
      this.#client = null;
    };
    client.on('error', gone);
    client.on('end', gone);
    try {
      await client.connect();
    } catch (error) {
      gone();
      throw error;
    }
    return client;
  }
}

const TYPES: Readonly<Record<ColumnType, string>> = { int: 'bigint', text: 'text', bytes: 'bytea' };

function unnest(types: readonly ColumnType[]): string {
  return `unnest(${types.map((type, index) => `$${index + 1}::${TYPES[type]}[]`).join(', ')})`;
}

function transposed(rows: readonly Row[], columns: number): Cell[][] {
  return Array.from({ length: columns }, (_, column) => rows.map((row) => withoutNul(row[column]!)));
}

/** PostgreSQL has no text with a NUL in it. */
function withoutNul<Value extends Cell>(cell: Value): Value | string {
  return typeof cell === 'string' && cell.includes('\0') ? cell.replaceAll('\0', '\ufffd') : cell;
}

import pg from 'pg';
import { postgresOptions } from '../../store/postgres-dialect.ts';
import {
  assignments,
  type Cell,
  CHANGES,
  type ChangedTable,
  COLUMNS,
  type Found,
  type IndexSql,
  type InsertedTable,
  keyCondition,
  type Row,
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

  find(table: InsertedTable, column: string, values: readonly string[], from: number, to: number): Promise<Found[]> {
    const text = `select id, ${column} as value from ${table} where ${column} = any($1) and id >= $2 and id < $3`;
    return this.#query(text, [values, from, to]) as Promise<Found[]>;
  }

  async insert(table: InsertedTable, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const columns: [string, 'int' | 'text'][] = Object.entries(COLUMNS[table]);
    await this.#query(
      `insert into ${table} (${columns.map(([name]) => `"${name}"`)}) select * from ${unnest(columns)} on conflict do nothing`,
      transposed(rows, columns.length),
    );
  }

  async change(table: ChangedTable, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const types: Readonly<Record<string, 'int' | 'text'>> = COLUMNS[table];
    const columns = Object.keys(CHANGES[table]).map((name) => [name, types[name]!] as const);
    const given = (column: string) => `given."${column}"`;
    await this.#query(
      `update ${table} set ${assignments(table, given)} from ${unnest(columns)} as given (${columns.map(([name]) => `"${name}"`)})
       where ${keyCondition(table, given)}`,
      transposed(rows, columns.length),
    );
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

function unnest(columns: readonly (readonly [string, 'int' | 'text'])[]): string {
  return `unnest(${columns.map(([, type], index) => `$${index + 1}::${type === 'int' ? 'bigint' : 'text'}[]`)})`;
}

function transposed(rows: readonly Row[], columns: number): Cell[][] {
  return Array.from({ length: columns }, (_, column) => rows.map((row) => withoutNul(row[column]!)));
}

/** PostgreSQL has no text with a NUL in it. */
function withoutNul(cell: Cell): Cell {
  return typeof cell === 'string' && cell.includes('\0') ? cell.replaceAll('\0', '\ufffd') : cell;
}

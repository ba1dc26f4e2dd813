/** node-postgres and mysql2 as tests tell them, see ../told-clients.ts. */

import { createInterface } from 'node:readline';
import mysql from 'mysql2/promise';
import pg from 'pg';

/** One connection of a driver. */
interface Told {
  /** Runs a statement; `?` stands for each value. @returns rows it changed */
  run(sql: string, values: readonly string[]): Promise<number>;
  cancel(): Promise<void>;
  /** Closes the socket without a word. */
  abort(): void;
}

interface Access {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

async function postgres(access: Access): Promise<Told> {
  const client = new pg.Client({ ...access, ssl: false });
  client.on('error', () => undefined);
  await client.connect();
  let running: pg.Query | null = null;
  type WithCancel = pg.Client & { cancel(client: pg.Client, query: pg.Query): void };
  type WithSocket = pg.Client & { connection: { stream: { destroy(): void } } };
  return {
    run: (sql, values) =>
      new Promise((resolve, reject) => {
        let n = 0;
        const text = sql.replaceAll('?', () => `$${++n}`);
        const done = (error: Error | undefined, result: pg.QueryResult): void => {
          running = null;
          if (error) reject(error);
          else resolve(result.rowCount ?? 0);
        };
        type Callback = (error: Error | undefined, result: pg.QueryResult) => void;
        const AnyQuery = pg.Query as unknown as new (config: object, values: unknown, done: Callback) => pg.Query;
        running = new AnyQuery({ text }, values.length === 0 ? undefined : values.map(Number), done);
        client.query(running);
      }),
    cancel: async () => (new pg.Client({ ...access, ssl: false }) as WithCancel).cancel(client, running!),
    abort: () => (client as WithSocket).connection.stream.destroy(),
  };
}

async function mysql2(access: Access): Promise<Told> {
  const connection = await mysql.createConnection({ ...access });
  connection.on('error', () => undefined);
  type WithStream = { connection: { stream: { destroy(): void } } };
  return {
    run: async (sql, values) => {
      const [header] =
        values.length === 0 ? await connection.query(sql) : await connection.execute(sql, values.map(Number));
      return (header as mysql.ResultSetHeader).affectedRows ?? 0;
    },
    cancel: async () => {
      const other = await mysql.createConnection({ ...access });
      await other.query(`KILL QUERY ${connection.threadId}`);
      await other.end();
    },
    // Its own destroy() leaves who waits waiting.
    abort: () => (connection as unknown as WithStream).connection.stream.destroy(),
  };
}

const open = new Map<string, Promise<Told>>();

async function obey(command: URLSearchParams): Promise<number> {
  const on = command.get('on')!;
  const what = command.get('do');
  if (what === 'open') {
    const [host, user, password, database] = ['host', 'user', 'password', 'database'].map((name) => command.get(name)!);
    const access = {
      host: host!,
      port: Number(command.get('port')),
      user: user!,
      password: password!,
      database: database!,
    };
    open.set(on, (command.get('driver') === 'postgres' ? postgres : mysql2)(access));
    await open.get(on);
    return 0;
  }
  const told = (await open.get(on))!;
  if (what === 'run') return told.run(command.get('sql')!, command.getAll('value'));
  if (what === 'cancel') await told.cancel();
  else told.abort();
  return 0;
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = new URLSearchParams(line);
  const id = Number(command.get('id'));
  obey(command).then(
    (rows) => console.log(JSON.stringify({ id, rows })),
    (error) =>
      console.log(JSON.stringify({ id, code: String(error.errno ?? error.code ?? ''), message: error.message })),
  );
});
process.stdin.on('end', () => process.exit());

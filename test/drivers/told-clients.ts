import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { TOLD_PROGRAMS } from './programs.ts';

/**
 * Drivers that run as tests tell them. Each program reads one command a line, as the query of a URL (`id=3&do=run&on=a&sql=...`),
 * and answers each with a line of JSON, `{"id": 3, "rows": 1}` or `{"id": 3, "code": "42501", "message": "..."}`, in the order
 * in which they end. What a command is about, `on`, is a connection: its commands run one after the other, but `cancel` and
 * `abort` at once.
 */

export interface Access {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** An error of a driver. */
export class DriverError extends Error {
  /** SQLSTATE, or MySQL's number. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** One process. */
export class ToldProgram {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers = new Map<number, { resolve: (rows: number) => void; reject: (error: Error) => void }>();
  readonly #gone: Promise<unknown>;
  #last = 0;

  private constructor(command: readonly string[]) {
    const [program = '', ...args] = command;
    const { PATH, HOME } = process.env;
    this.#child = spawn(program, args, { env: { PATH, HOME, LC_ALL: 'C.UTF-8' }, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#gone = once(this.#child, 'exit').then(() => {
      for (const { reject } of this.#answers.values()) reject(new DriverError('', 'the process has ended'));
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, rows, code, message } = JSON.parse(line);
      const waiting = this.#answers.get(id);
      this.#answers.delete(id);
      if (code === undefined) waiting?.resolve(rows);
      else waiting?.reject(new DriverError(code, message));
    });
  }

  /** @returns what the machine lacks for it, in words, if it cannot be had */
  static async start(name: keyof typeof TOLD_PROGRAMS): Promise<ToldProgram | string> {
    const built = await TOLD_PROGRAMS[name].build();
    return 'missing' in built ? built.missing : new ToldProgram(built.command);
  }

  async open(driver: string, access: Access, settings: readonly string[] = []): Promise<ToldConnection> {
    const on = `c${this.#last}`;
    const tell = (what: string, more: readonly (readonly [string, string])[]) => this.#tell(on, what, more);
    const fields = Object.entries(access).map(([name, value]) => [name, String(value)] as const);
    await tell('open', [['driver', driver], ...fields, ...settings.map((text) => ['setting', text] as const)]);
    return new ToldConnection(tell);
  }

  #tell(on: string, what: string, more: readonly (readonly [string, string])[]): Promise<number> {
    const id = ++this.#last;
    const fields = [['id', String(id)], ['do', what], ['on', on], ...more] as const;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject });
      this.#child.stdin.write(`${new URLSearchParams(fields.map(([name, value]) => [name, value]))}\n`);
    });
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

/** One connection of a driver. What rejects does so with a {@link DriverError}. */
export class ToldConnection {
  readonly #tell: (what: string, more: readonly (readonly [string, string])[]) => Promise<number>;

  constructor(tell: (what: string, more: readonly (readonly [string, string])[]) => Promise<number>) {
    this.#tell = tell;
  }

  /** Rows that a statement changes. @param values take the places of `?` */
  run(sql: string, values: readonly number[] = []): Promise<number> {
    return this.#tell('run', [['sql', sql], ...values.map((value) => ['value', String(value)] as const)]);
  }

  /** JDBC's batch, or psycopg's executemany: one statement with each of the values, or several statements. @returns rows they change together */
  batch(sql: string | readonly string[], values: readonly number[] = []): Promise<number> {
    const texts = typeof sql === 'string' ? [sql] : sql;
    return this.#tell('batch', [
      ...texts.map((text) => ['sql', text] as const),
      ...values.map((value) => ['value', String(value)] as const),
    ]);
  }

  /** psycopg's pipeline. @returns rows that the statements change together */
  pipeline(sql: readonly string[]): Promise<number> {
    return this.#tell(
      'pipeline',
      sql.map((text) => ['sql', text] as const),
    );
  }

  /** As the driver itself does it. */
  async cancel(): Promise<void> {
    await this.#tell('cancel', []);
  }

  /** Closes the socket without a word. */
  async abort(): Promise<void> {
    await this.#tell('abort', []);
  }
}

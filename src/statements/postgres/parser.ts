import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/**
 * PostgreSQL's own grammar (libpg-query, WebAssembly) behind an isolation that survives its traps.
 *
 * The package's own API shares one instance in the process. A statement that overflows the stack inside it leaves the C
 * stack pointer where it was, and after some such statements every later parse fails or returns nonsense. Here nothing
 * from an instance that trapped is used again.
 */

/** A node of the tree as libpg-query serialises it: `{ SelectStmt: { ... } }`, or the bare fields where the grammar fixes the type. */
export type TreeNode = { readonly [key: string]: unknown };

/** One statement of the text. `stmt_location` and `stmt_len` count UTF-8 bytes; absent means 0, a length of 0 means "to the end". */
export interface RawStatement {
  readonly stmt: TreeNode;
  readonly stmt_location?: number;
  readonly stmt_len?: number;
}

export type ParseOutcome =
  | { readonly outcome: 'parsed'; readonly statements: readonly RawStatement[] }
  /** The grammar rejects the text; `message` is the server's own. */
  | { readonly outcome: 'rejected'; readonly message: string }
  /** The parser trapped or has no instance at hand. Nothing is known about the text. */
  | { readonly outcome: 'failed' };

/** What this file uses of the emscripten module. */
interface PgQueryModule {
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  _wasm_parse_query_raw(text: number): number;
  _wasm_free_parse_result(result: number): void;
  _wasm_parse_plpgsql(text: number): number;
  _wasm_free_string(text: number): void;
  getValue(pointer: number, type: 'i32'): number;
  UTF8ToString(pointer: number): string;
  stringToUTF8(text: string, pointer: number, capacity: number): void;
}

/** Node has it; the ES library's types do not. */
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<object>;
  instantiate(module: object, imports: object): Promise<object>;
};

type InstantiateWasm = (imports: object, receive: (instance: object) => void) => void;
type PgQueryFactory = (options: {
  instantiateWasm: InstantiateWasm;
  print: () => void;
  printErr: () => void;
}) => Promise<PgQueryModule>;

const require = createRequire(import.meta.url);

/** Offsets in the C struct PgQueryParseResult { char *parse_tree; char *stderr_buffer; PgQueryError *error; }. */
const PARSE_TREE = 0;
const PARSE_ERROR = 8;

/** Compiles once; every instance after that costs memory, not compile time. */
let compiled: Promise<object> | null = null;

async function createInstance(): Promise<PgQueryModule> {
  compiled ??= WebAssembly.compile(readFileSync(require.resolve('libpg-query/wasm/libpg-query.wasm')));
  const module = await compiled;
  const factory = require('libpg-query/wasm/libpg-query.js') as PgQueryFactory;
  return factory({
    instantiateWasm: (imports, receive) => {
      WebAssembly.instantiate(module, imports).then(receive);
    },
    print: () => {},
    printErr: () => {},
  });
}

/** A live instance and a spare. `parse` is synchronous; replacing a trapped instance is not. */
export class PostgresParser {
  #live: PgQueryModule | null;
  #spare: PgQueryModule | null;
  #instances = 2;

  private constructor(live: PgQueryModule, spare: PgQueryModule) {
    this.#live = live;
    this.#spare = spare;
  }

  static async create(): Promise<PostgresParser> {
    return new PostgresParser(await createInstance(), await createInstance());
  }

  /** How many instances were ever made: 2, and one more for each that trapped. */
  get instances(): number {
    return this.#instances;
  }

  /**
   * Parses one text of one or several statements. The text has no NUL (it would end the C string early) and no lone
   * surrogate; the caller has checked. Never throws.
   */
  parse(text: string): ParseOutcome {
    const instance = this.#live;
    if (instance === null) {
      this.#replace();
      return { outcome: 'failed' };
    }
    try {
      return parseWith(instance, text);
    } catch {
      // RangeError (stack), RuntimeError (trap, abort), or a result that is not JSON: all mean the same.
      this.#live = this.#spare;
      this.#spare = null;
      this.#replace();
      return { outcome: 'failed' };
    }
  }

  /**
   * The tree of a CREATE FUNCTION ... LANGUAGE plpgsql, as plpgsql's own compiler makes it; `null` if it rejects the text or
   * fails. The same conditions on the text. Never throws.
   */
  parsePlpgsql(text: string): TreeNode | null {
    const instance = this.#live;
    if (instance === null) {
      this.#replace();
      return null;
    }
    try {
      return parsePlpgsqlWith(instance, text);
    } catch {
      this.#live = this.#spare;
      this.#spare = null;
      this.#replace();
      return null;
    }
  }

  #replace(): void {
    this.#instances += 1;
    createInstance().then(
      (instance) => {
        if (this.#live === null) this.#live = instance;
        else this.#spare = instance;
      },
      () => {
        // Out of memory, most likely. The next parse finds no live instance and asks again.
      },
    );
  }
}

function copyIn(instance: PgQueryModule, text: string): number {
  const capacity = Buffer.byteLength(text) + 1;
  const pointer = instance._malloc(capacity);
  if (pointer === 0) throw new Error('out of memory');
  instance.stringToUTF8(text, pointer, capacity);
  return pointer;
}

function parsePlpgsqlWith(instance: PgQueryModule, text: string): TreeNode | null {
  const textPointer = copyIn(instance, text);
  const result = instance._wasm_parse_plpgsql(textPointer);
  if (result === 0) throw new Error('out of memory');
  const answer = instance.UTF8ToString(result);
  instance._free(textPointer);
  instance._wasm_free_string(result);
  // Anything but an object is an error message.
  return answer.startsWith('{') ? (JSON.parse(answer) as TreeNode) : null;
}

function parseWith(instance: PgQueryModule, text: string): ParseOutcome {
  const textPointer = copyIn(instance, text);
  const result = instance._wasm_parse_query_raw(textPointer);
  if (result === 0) throw new Error('out of memory');
  const errorPointer = instance.getValue(result + PARSE_ERROR, 'i32');
  const treePointer = instance.getValue(result + PARSE_TREE, 'i32');
  const message = errorPointer === 0 ? null : instance.UTF8ToString(instance.getValue(errorPointer, 'i32'));
  const json = errorPointer === 0 ? instance.UTF8ToString(treePointer) : '';
  // Not in a `finally`: after a trap the instance is thrown away, and must not be called again.
  instance._free(textPointer);
  instance._wasm_free_parse_result(result);
  if (message !== null) return { outcome: 'rejected', message };
  const tree = JSON.parse(json) as { stmts?: readonly RawStatement[] };
  return { outcome: 'parsed', statements: tree.stmts ?? [] };
}

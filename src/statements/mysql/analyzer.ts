import type { CatalogueLookup } from '../catalogue.ts';
import { opaqueText, type TextFacts } from '../facts.ts';
import { type CacheStats, FactsCache } from '../postgres/facts-cache.ts';
import type { KnownFunctions } from './functions.ts';
import { type Flavour, type MysqlLexingState, type MysqlServer, readServer } from './server.ts';
import { analyseText } from './text-facts.ts';

/** UTF-8 bytes of a text that is analysed at all. */
const LONGEST_TEXT = 256 * 1024;

export interface MysqlAnalyzerOptions {
  readonly flavour: Flavour;
  /** As the server says it: `8.0.36`, `10.11.6-MariaDB`. */
  readonly version: string;
  /** `lower_case_table_names` is not 0 on the server; default false. A catalogue that says so is believed as well. */
  readonly foldsNames?: boolean;
  /** The list of built-in functions; without it every call of a function is named, and none is judged. */
  readonly known?: KnownFunctions;
  /** Most texts kept; default 10,000. */
  readonly cacheEntries?: number;
  /** Most bytes kept, estimated; default 32 MB. */
  readonly cacheBytes?: number;
}

/** MySQL and MariaDB text to facts, as one server of one version reads it. */
export class MysqlAnalyzer {
  readonly #server: MysqlServer;
  readonly #known: KnownFunctions;
  readonly #cache: FactsCache;
  #misses = 0;

  private constructor(server: MysqlServer, options: MysqlAnalyzerOptions) {
    this.#server = server;
    this.#known = options.known ?? null;
    this.#cache = new FactsCache(options.cacheEntries ?? 10_000, options.cacheBytes ?? 32 * 1024 * 1024);
  }

  /** Rejects with a RangeError if the version cannot be read: executable comments depend on it. */
  static async create(options: MysqlAnalyzerOptions): Promise<MysqlAnalyzer> {
    return new MysqlAnalyzer(readServer(options.flavour, options.version, options.foldsNames), options);
  }

  /**
   * The facts of one COM_QUERY or COM_STMT_PREPARE text. Never throws: a text that cannot be read is one opaque statement,
   * whose effect says why in `via`.
   */
  analyze(text: string, state: MysqlLexingState, catalogue: CatalogueLookup | null = null): TextFacts {
    const key = cacheKey(text, state, catalogue);
    const known = this.#cache.byText(key);
    if (known !== undefined) return known;
    if (Buffer.byteLength(text) > LONGEST_TEXT) return opaqueText(text.length, 'too large');
    if (!text.isWellFormed()) return opaqueText(text.length, 'invalid encoding');
    this.#misses += 1;
    const facts = analyseText(text, { server: this.#server, state, catalogue, known: this.#known });
    this.#cache.add(key, null, facts, text.length);
    return facts;
  }

  get stats(): CacheStats {
    return { ...this.#cache.stats, misses: this.#misses };
  }

  /** Nothing is held but memory; here for what takes either dialect's analyzer. */
  close(): void {}
}

/** Everything the facts depend on, the text last. */
function cacheKey(text: string, state: MysqlLexingState, catalogue: CatalogueLookup | null): string {
  const modes =
    Number(state.ansiQuotes) |
    (Number(state.noBackslashEscapes) << 1) |
    (Number(state.pipesAsConcat) << 2) |
    (Number(state.ignoreSpace) << 3) |
    (Number(state.oracle) << 4);
  return `${modes}\0${state.database ?? ''}\0${catalogue?.version ?? ''}\0${text}`;
}

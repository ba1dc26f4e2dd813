import type { CatalogueLookup } from '../catalogue.ts';
import { opaqueText, type TextFacts } from '../facts.ts';
import { LongTexts } from '../long-texts.ts';
import { type CacheStats, FactsCache } from '../postgres/facts-cache.ts';
import { FEW_STEPS } from '../work-budget.ts';
import type { KnownFunctions } from './functions.ts';
import type { LongTextContext } from './long-text-thread.ts';
import { type Flavour, type MysqlLexingState, type MysqlServer, readServer } from './server.ts';
import { analyseTextWithin } from './text-facts.ts';

/** UTF-16 code units of a text that is analysed on the calling thread. */
const SHORT_TEXT = 32 * 1024;
/** UTF-8 bytes of a text that is analysed at all. */
const LONGEST_TEXT = 16 * 1024 * 1024;
/** UTF-16 code units of a text whose facts are kept. */
const LONGEST_KEPT = 256 * 1024;

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
  readonly #longTexts: LongTexts<LongTextContext>;
  #misses = 0;

  private constructor(server: MysqlServer, options: MysqlAnalyzerOptions) {
    this.#server = server;
    this.#known = options.known ?? null;
    this.#cache = new FactsCache(options.cacheEntries ?? 10_000, options.cacheBytes ?? 32 * 1024 * 1024);
    this.#longTexts = new LongTexts(new URL('./long-text-thread.js', import.meta.url), this.#known);
  }

  /** Rejects with a RangeError if the version cannot be read: executable comments depend on it. */
  static async create(options: MysqlAnalyzerOptions): Promise<MysqlAnalyzer> {
    return new MysqlAnalyzer(readServer(options.flavour, options.version, options.foldsNames), options);
  }

  /**
   * The facts of one COM_QUERY or COM_STMT_PREPARE text. At once if the text was seen before, or is short and no work,
   * otherwise a promise. Never throws and never rejects: a text that cannot be read is one opaque statement, whose effect
   * says why in `via`.
   */
  analyze(
    text: string,
    state: MysqlLexingState,
    catalogue: CatalogueLookup | null = null,
  ): TextFacts | Promise<TextFacts> {
    if (text.length > LONGEST_KEPT) return this.#analyseLong(text, state, catalogue, null);
    const key = cacheKey(text, state, catalogue);
    const known = this.#cache.byText(key);
    if (known !== undefined) return known;
    if (text.length > SHORT_TEXT) return this.#analyseLong(text, state, catalogue, key);
    if (!text.isWellFormed()) return opaqueText(text.length, 'invalid encoding');
    this.#misses += 1;
    const context = { server: this.#server, state, catalogue, known: this.#known };
    const facts = analyseTextWithin(FEW_STEPS, text, context);
    if (facts === null) return this.#analyseLong(text, state, catalogue, key);
    this.#cache.add(key, null, facts, text.length);
    return facts;
  }

  /** In the other thread. @param key in the cache; `null` if it is not kept */
  #analyseLong(
    text: string,
    state: MysqlLexingState,
    catalogue: CatalogueLookup | null,
    key: string | null,
  ): TextFacts | Promise<TextFacts> {
    if (Buffer.byteLength(text) > LONGEST_TEXT) return opaqueText(text.length, 'too large');
    if (!text.isWellFormed()) return opaqueText(text.length, 'invalid encoding');
    this.#misses += 1;
    return this.#longTexts.analyse(text, { server: this.#server, state }, catalogue).then((facts) => {
      // A failure may pass (a deadline on a busy machine), so it is not kept.
      if (key !== null && facts.statements[0]?.effects[0]?.via !== 'parser failed')
        this.#cache.add(key, null, facts, text.length);
      return facts;
    });
  }

  get stats(): CacheStats {
    return { ...this.#cache.stats, misses: this.#misses };
  }

  /** Ends the other thread. Texts that wait for it become opaque. */
  close(): void {
    this.#longTexts.close();
  }
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

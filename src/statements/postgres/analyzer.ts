import type { CatalogueLookup, NameContext } from '../catalogue.ts';
import { type LexingState, opaqueText, type TextFacts } from '../facts.ts';
import { LongTexts } from '../long-texts.ts';
import { FEW_STEPS } from '../work-budget.ts';
import { type CacheStats, FactsCache } from './facts-cache.ts';
import type { KnownNames } from './functions.ts';
import { textWithoutLiterals } from './literals.ts';
import { Names, Readings } from './names.ts';
import { PostgresParser } from './parser.ts';
import { analyseText, ownText } from './text-facts.ts';

/** UTF-8 bytes of a text that is analysed on the calling thread. */
const SHORT_TEXT = 8 * 1024;
/** UTF-8 bytes of a text that is analysed at all. */
const LONGEST_TEXT = 16 * 1024 * 1024;
/** UTF-16 code units of a text whose facts are kept. */
const LONGEST_KEPT = 256 * 1024;

export interface AnalyzerOptions {
  /** Most texts and patterns kept; default 10,000. */
  readonly cacheEntries?: number;
  /** Most bytes kept, estimated; default 32 MB. */
  readonly cacheBytes?: number;
  /** What is known of functions and operators by name. Without it every function is named and none is judged. */
  readonly known?: KnownNames;
}

const NO_NAMES: NameContext = { catalogue: null, searchPath: [] };

/** Catalogues and search paths that are told apart at a time; older ones are looked at afresh. */
const MOST_CONTEXTS = 1000;

/** What the facts of a text depend on besides the text. */
interface Context {
  /** Begins the cache's keys: no text begins with it. */
  readonly prefix: string;
  readonly names: Names;
  readonly context: NameContext;
}

/**
 * PostgreSQL text to facts.
 *
 * Texts are read with the grammar of PostgreSQL 18 whatever the server is: where it differs from an older one it rejects
 * more, which makes the text opaque.
 */
export class PostgresAnalyzer {
  readonly #parser: PostgresParser;
  readonly #known: KnownNames | null;
  readonly #longTexts: LongTexts<readonly string[]>;
  readonly #cache: FactsCache;
  readonly #readings = new WeakMap<CatalogueLookup, Readings>();
  /** By the object, which sessions share, and by what is in it. */
  #contextOf = new WeakMap<NameContext, Context>();
  readonly #contexts = new Map<string, Context>();
  #contextsMade = 0;

  private constructor(parser: PostgresParser, options: AnalyzerOptions) {
    this.#parser = parser;
    this.#known = options.known ?? null;
    this.#longTexts = new LongTexts(new URL('./long-text-thread.js', import.meta.url), this.#known);
    this.#cache = new FactsCache(options.cacheEntries ?? 10_000, options.cacheBytes ?? 32 * 1024 * 1024);
  }

  static async create(options: AnalyzerOptions = {}): Promise<PostgresAnalyzer> {
    return new PostgresAnalyzer(await PostgresParser.create(), options);
  }

  /**
   * The facts of one Query or Parse text. At once if the text was seen before, or is short and no work, otherwise a promise.
   * Never throws and never rejects: a text that cannot be read is one opaque statement, whose effect says why in `via`.
   *
   * Facts are kept for each text, catalogue version and search path. A session that passes the same `names` object each
   * time saves the look-up of the latter two. Without a catalogue, what needs one counts as the wider or the unknown.
   */
  analyze(text: string, lexing: LexingState, names: NameContext = NO_NAMES): TextFacts | Promise<TextFacts> {
    // The parser reads strings the standard way. Without a backslash both ways are the same.
    if (!lexing.standardConformingStrings && text.includes('\\')) {
      return ownText(text) ?? opaqueText(text.length, 'backslash with standard_conforming_strings off');
    }
    const context = this.#contextOf.get(names) ?? this.#contextFor(names);
    const { prefix } = context;
    if (text.length > LONGEST_KEPT) return this.#analyseLong(text, context);
    const known = this.#cache.byText(prefix + text);
    if (known !== undefined) return known;
    // A key means printable ASCII throughout, so the questions after it need no asking.
    const form = text.length > SHORT_TEXT ? null : textWithoutLiterals(text);
    const key = form === null ? null : prefix + form;
    const similar = this.#cache.byPattern(key, prefix + text, text.length);
    if (similar !== undefined) return similar;
    if (!text.isWellFormed() || text.includes('\0')) return opaqueText(text.length, 'invalid encoding');
    if (Buffer.byteLength(text) > SHORT_TEXT) return this.#analyseLong(text, context);
    const { facts, literalsAreFree, isTooMuch } = analyseText(context.names, text, FEW_STEPS);
    if (isTooMuch) return this.#analyseLong(text, context);
    if (!wasNotRead(facts)) this.#cache.add(prefix + text, literalsAreFree ? key : null, facts, text.length);
    return facts;
  }

  /** In the other thread. */
  #analyseLong(text: string, { prefix, context }: Context): TextFacts | Promise<TextFacts> {
    if (Buffer.byteLength(text) > LONGEST_TEXT) return opaqueText(text.length, 'too large');
    if (!text.isWellFormed() || text.includes('\0')) return opaqueText(text.length, 'invalid encoding');
    const { catalogue, searchPath } = context;
    return this.#longTexts.analyse(text, searchPath, catalogue).then((facts) => {
      if (!wasNotRead(facts) && text.length <= LONGEST_KEPT) this.#cache.add(prefix + text, null, facts, text.length);
      return facts;
    });
  }

  #contextFor(names: NameContext): Context {
    const { catalogue, searchPath } = names;
    const key = JSON.stringify([catalogue?.version ?? null, searchPath]);
    let context = this.#contexts.get(key);
    if (context === undefined) {
      if (this.#contexts.size >= MOST_CONTEXTS) {
        this.#contexts.clear();
        this.#contextOf = new WeakMap();
      }
      this.#contextsMade += 1;
      context = {
        prefix: `${this.#contextsMade.toString(36)}\0`,
        names: new Names(this.#readingsOf(catalogue), searchPath, this.#known, this.#parser),
        context: names,
      };
      this.#contexts.set(key, context);
    }
    this.#contextOf.set(names, context);
    return context;
  }

  #readingsOf(catalogue: CatalogueLookup | null): Readings | null {
    if (catalogue === null) return null;
    let readings = this.#readings.get(catalogue);
    if (readings === undefined) {
      readings = new Readings(catalogue);
      this.#readings.set(catalogue, readings);
    }
    return readings;
  }

  /** Look-ups that found the text, that found a text with other literals, and that found neither. */
  get stats(): CacheStats {
    return this.#cache.stats;
  }

  /** Ends the other thread. Texts that wait for it become opaque. */
  close(): void {
    this.#longTexts.close();
  }
}

/** A failure may pass (a deadline on a busy machine), so it is not kept. */
function wasNotRead(facts: TextFacts): boolean {
  return facts.statements[0]?.effects[0]?.via === 'parser failed';
}

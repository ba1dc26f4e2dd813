import { type LexingState, opaqueText, type TextFacts } from '../facts.ts';
import { type CacheStats, FactsCache } from './facts-cache.ts';
import { textWithoutLiterals } from './literals.ts';
import { LongTexts } from './long-texts.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

/** UTF-8 bytes of a text that is analysed on the calling thread. */
const SHORT_TEXT = 8 * 1024;
/** UTF-8 bytes of a text that is analysed at all. */
const LONGEST_TEXT = 256 * 1024;

export interface AnalyzerOptions {
  /** Most texts and patterns kept; default 10,000. */
  readonly cacheEntries?: number;
  /** Most bytes kept, estimated; default 32 MB. */
  readonly cacheBytes?: number;
}

/**
 * PostgreSQL text to facts.
 *
 * Texts are read with the grammar of PostgreSQL 18 whatever the server is: where it differs from an older one it rejects
 * more, which makes the text opaque.
 */
export class PostgresAnalyzer {
  readonly #parser: PostgresParser;
  readonly #longTexts = new LongTexts();
  readonly #cache: FactsCache;

  private constructor(parser: PostgresParser, options: AnalyzerOptions) {
    this.#parser = parser;
    this.#cache = new FactsCache(options.cacheEntries ?? 10_000, options.cacheBytes ?? 32 * 1024 * 1024);
  }

  static async create(options: AnalyzerOptions = {}): Promise<PostgresAnalyzer> {
    return new PostgresAnalyzer(await PostgresParser.create(), options);
  }

  /**
   * The facts of one Query or Parse text. At once if the text was seen before or is short, otherwise a promise. Never
   * throws and never rejects: a text that cannot be read is one opaque statement, whose effect says why in `via`.
   */
  analyze(text: string, lexing: LexingState): TextFacts | Promise<TextFacts> {
    // The parser reads strings the standard way. Without a backslash both ways are the same.
    if (!lexing.standardConformingStrings && text.includes('\\')) {
      return opaqueText(text.length, 'backslash with standard_conforming_strings off');
    }
    const known = this.#cache.byText(text);
    if (known !== undefined) return known;
    // A key means printable ASCII throughout, so the questions after it need no asking.
    const key = text.length > SHORT_TEXT ? null : textWithoutLiterals(text);
    const similar = this.#cache.byPattern(key, text);
    if (similar !== undefined) return similar;
    const bytes = Buffer.byteLength(text);
    if (bytes > LONGEST_TEXT) return opaqueText(text.length, 'too large');
    if (!text.isWellFormed() || text.includes('\0')) return opaqueText(text.length, 'invalid encoding');
    if (bytes > SHORT_TEXT) {
      return this.#longTexts.analyse(text).then((facts) => {
        if (!wasNotRead(facts)) this.#cache.add(text, null, facts);
        return facts;
      });
    }
    const { facts, literalsAreFree } = analyseText(this.#parser, text);
    if (!wasNotRead(facts)) this.#cache.add(text, literalsAreFree ? key : null, facts);
    return facts;
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

import { MysqlAnalyzer } from '../../statements/mysql/analyzer.ts';
import type { KnownFunctions } from '../../statements/mysql/functions.ts';
import type { Flavour, MysqlModes } from '../../statements/mysql/server.ts';
import type { Analyzer, Lexing } from '../judge.ts';

/** Readers of text, one for each kind and version of server: executable comments and grammar depend on both. */
export class MysqlAnalyzers {
  readonly #known: KnownFunctions;
  readonly #analyzers = new Map<string, { readonly text: MysqlAnalyzer; readonly analyzer: Analyzer }>();

  constructor(known: KnownFunctions) {
    this.#known = known;
  }

  /** Rejects with a RangeError if the version cannot be read. */
  async of(flavour: Flavour, version: string, foldsNames: boolean): Promise<Analyzer> {
    const key = `${flavour} ${version} ${foldsNames}`;
    const known = this.#analyzers.get(key);
    if (known !== undefined) return known.analyzer;
    const text = await MysqlAnalyzer.create({ flavour, version, foldsNames, known: this.#known });
    const analyzer: Analyzer = {
      analyze: (sql, lexing: Lexing, { catalogue, searchPath }) =>
        text.analyze(sql, { ...(lexing as MysqlModes), database: searchPath[0] ?? null }, catalogue),
    };
    this.#analyzers.set(key, { text, analyzer });
    return analyzer;
  }

  /** Ends the threads of all of them. */
  close(): void {
    for (const { text } of this.#analyzers.values()) text.close();
  }

  /** Look-ups of facts, of all of them. */
  get stats(): { readonly hits1: number; readonly hits2: number; readonly misses: number } {
    const sum = { hits1: 0, hits2: 0, misses: 0 };
    for (const { text } of this.#analyzers.values()) {
      const { hits1, hits2, misses } = text.stats;
      sum.hits1 += hits1;
      sum.hits2 += hits2;
      sum.misses += misses;
    }
    return sum;
  }
}

import type { KnownFunctions } from '../statements/mysql/functions.ts';
import type { Flavour, MysqlModes } from '../statements/mysql/server.ts';
import type { PostgresAnalyzer } from '../statements/postgres/analyzer.ts';
import type { KnownNames } from '../statements/postgres/functions.ts';
import type { Analyzer, Lexing } from './judge.ts';

interface Stats {
  readonly hits1: number;
  readonly hits2: number;
  readonly misses: number;
}

interface Loaded {
  readonly stats: Stats;
  close(): void;
}

/**
 * What reads the texts of each dialect. One is loaded when it is asked for: PostgreSQL's grammar takes 10 MB, MySQL's 3, and who
 * serves one of them need not have the other.
 */
export class Analyzers {
  readonly #known: KnownNames;
  readonly #knownToMysql: KnownFunctions;
  #postgres: Promise<PostgresAnalyzer> | null = null;
  /** One for each kind and version of server: executable comments and grammar depend on both. */
  readonly #mysql = new Map<string, Promise<Analyzer>>();
  readonly #loaded: Loaded[] = [];

  constructor(known: KnownNames, knownToMysql: KnownFunctions) {
    this.#known = known;
    this.#knownToMysql = knownToMysql;
  }

  postgres(): Promise<Analyzer> {
    this.#postgres ??= this.#loadPostgres();
    return this.#postgres;
  }

  async #loadPostgres(): Promise<PostgresAnalyzer> {
    const { PostgresAnalyzer } = await import('../statements/postgres/analyzer.ts');
    const analyzer = await PostgresAnalyzer.create({ known: this.#known });
    this.#loaded.push(analyzer);
    return analyzer;
  }

  /** Rejects with a RangeError if the version cannot be read. */
  mysql(flavour: Flavour, version: string, foldsNames: boolean): Promise<Analyzer> {
    const key = `${flavour} ${version} ${foldsNames}`;
    let analyzer = this.#mysql.get(key);
    if (analyzer === undefined) {
      analyzer = this.#loadMysql(flavour, version, foldsNames);
      this.#mysql.set(key, analyzer);
      analyzer.catch(() => this.#mysql.delete(key));
    }
    return analyzer;
  }

  async #loadMysql(flavour: Flavour, version: string, foldsNames: boolean): Promise<Analyzer> {
    const { MysqlAnalyzer } = await import('../statements/mysql/analyzer.ts');
    const text = await MysqlAnalyzer.create({ flavour, version, foldsNames, known: this.#knownToMysql });
    this.#loaded.push(text);
    return {
      analyze: (sql, lexing: Lexing, { catalogue, searchPath }) =>
        text.analyze(sql, { ...(lexing as MysqlModes), database: searchPath[0] ?? null }, catalogue),
    };
  }

  /** Ends the threads of all of them. */
  close(): void {
    for (const one of this.#loaded) one.close();
  }

  /** Look-ups of facts, of all of them. */
  get stats(): Stats {
    const sum = { hits1: 0, hits2: 0, misses: 0 };
    for (const { stats } of this.#loaded) {
      sum.hits1 += stats.hits1;
      sum.hits2 += stats.hits2;
      sum.misses += stats.misses;
    }
    return sum;
  }
}

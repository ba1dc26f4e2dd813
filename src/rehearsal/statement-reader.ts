import { Catalogue } from '../catalog/catalogue.ts';
import { together, valuesUnknown } from '../gateway/names-in-text.ts';
import { loadKnownNames, loadMysqlFunctions } from '../policy/known-names.ts';
import type { CatalogueData } from '../statements/catalogue.ts';
import { opaqueText, type StatementFacts, type TextFacts } from '../statements/facts.ts';
import { MysqlAnalyzer } from '../statements/mysql/analyzer.ts';
import { lexingStateOf } from '../statements/mysql/server.ts';
import { PostgresAnalyzer } from '../statements/postgres/analyzer.ts';

export const DIALECTS = ['postgres', 'mysql', 'mariadb'] as const;

/** Whose SQL a text is. */
export type Dialect = (typeof DIALECTS)[number];

/** The state of a session as far as it changes what a text means. */
export interface SessionReading {
  /** Schemas that PostgreSQL looks for unqualified names in, first to last. */
  readonly searchPath: readonly string[];
  /** PostgreSQL's `standard_conforming_strings`. */
  readonly standardConformingStrings: boolean;
  /** MySQL's default database; `null` if there is none. */
  readonly database: string | null;
  /** MySQL's `sql_mode`: modes with commas between them. */
  readonly sqlMode: string;
}

/** One statement of a text, as a session that sent it would have it judged. */
export interface ReadStatement {
  readonly text: string;
  /** With the effects of the prepared statements it runs by name. */
  readonly facts: StatementFacts;
}

/** The versions whose reading is taken where there is no catalogue to say which server it is. */
const USUAL_VERSION = { mysql: '8.4.0', mariadb: '11.4.0-MariaDB' } as const;

/** A fresh MySQL 8 or MariaDB 11 has no mode that changes how text is read. */
export const USUAL_SQL_MODE = 'STRICT_TRANS_TABLES';

/** Deeper than statements prepared in one text can run each other without a circle. */
const DEEPEST = 8;

/**
 * Reads statements as Sluice does between a client and a server, without either: for tools that work on files alone.
 */
export class StatementReader {
  readonly dialect: Dialect;
  /** `null`: names are not looked up, and what depends on them is not known. */
  readonly catalogue: Catalogue | null;
  readonly #analyze: (text: string, session: SessionReading) => TextFacts | Promise<TextFacts>;
  readonly #close: () => void;

  private constructor(
    dialect: Dialect,
    catalogue: Catalogue | null,
    analyze: (text: string, session: SessionReading) => TextFacts | Promise<TextFacts>,
    close: () => void,
  ) {
    this.dialect = dialect;
    this.catalogue = catalogue;
    this.#analyze = analyze;
    this.#close = close;
  }

  /** @param data a snapshot, whose server's version then decides how text is read; `null` for none */
  static async create(dialect: Dialect, data: CatalogueData | null): Promise<StatementReader> {
    const catalogue = data === null ? null : Catalogue.of(data);
    if (dialect === 'postgres') {
      const analyzer = await PostgresAnalyzer.create({ known: loadKnownNames() });
      const analyze = (text: string, { searchPath, standardConformingStrings }: SessionReading) =>
        analyzer.analyze(text, { standardConformingStrings }, { catalogue, searchPath });
      return new StatementReader(dialect, catalogue, analyze, () => analyzer.close());
    }
    const version = data?.dialect === dialect ? data.serverVersion : USUAL_VERSION[dialect];
    const analyzer = await MysqlAnalyzer.create({ flavour: dialect, version, known: loadMysqlFunctions() });
    const analyze = (text: string, { sqlMode, database }: SessionReading) =>
      analyzer.analyze(text, lexingStateOf(sqlMode, database), catalogue);
    return new StatementReader(dialect, catalogue, analyze, () => analyzer.close());
  }

  /** Never rejects: what cannot be read is opaque. */
  async read(text: string, session: SessionReading): Promise<ReadStatement[]> {
    const { statements } = await this.#analyze(text, session);
    const prepared = new Map<string, StatementFacts>();
    const declared = new Map<string, StatementFacts>();
    return statements.map((facts) => {
      const fetched = facts.fetches === undefined ? undefined : declared.get(facts.fetches);
      const inner = facts.executes.flatMap((name) => runBy(name, prepared, 0));
      if (fetched !== undefined) inner.push(fetched);
      const { nameChange } = facts;
      if (nameChange?.op === 'declare') declared.set(nameChange.name, nameChange.inner);
      if (nameChange?.op === 'prepare') prepared.set(nameChange.name, nameChange.inner);
      if (nameChange?.op === 'deallocate') prepared.delete(nameChange.name);
      if (nameChange?.op === 'deallocate-all') prepared.clear();
      return {
        text: text.slice(facts.start, facts.end).trim(),
        facts: inner.length === 0 ? facts : together(facts, inner),
      };
    });
  }

  close(): void {
    this.#close();
  }
}

/** Without a session, only what the text itself has prepared can be known by name. */
function runBy(name: string, prepared: ReadonlyMap<string, StatementFacts>, depth: number): readonly StatementFacts[] {
  const facts = prepared.get(name);
  if (facts === undefined || depth > DEEPEST) {
    return opaqueText(0, `unknown prepared statement ${JSON.stringify(name)}`).statements;
  }
  return [facts, ...valuesUnknown(facts), ...facts.executes.flatMap((inner) => runBy(inner, prepared, depth + 1))];
}

/** A session nobody has changed, in the database a snapshot is of. */
export function usualSession(data: CatalogueData | null): SessionReading {
  const database = data === null || data.dialect === 'postgres' || data.database === '' ? null : data.database;
  return { searchPath: ['public'], standardConformingStrings: true, database, sqlMode: USUAL_SQL_MODE };
}

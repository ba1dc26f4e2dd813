import type { ResultLimits } from '../policy/compiled-rule.ts';
import type { JudgedStatement } from './judge.ts';

/** The rows of results that a rule wants recorded: as the client is sent them, so that what is masked is masked here. */
export class RecordedResults {
  readonly #statements: readonly JudgedStatement[];
  #columns: readonly string[] | null = null;
  #rows: (readonly (string | null)[])[] = [];
  /** Characters that still fit. */
  #left = 0;
  #limits: ResultLimits | null = null;
  #isCut = false;

  private constructor(statements: readonly JudgedStatement[]) {
    this.#statements = statements;
  }

  /** @returns `null` if no rule wants the results of these statements */
  static of(statements: readonly JudgedStatement[]): RecordedResults | null {
    for (let i = 0; i < statements.length; i++) {
      if (statements[i]!.verdict.recordResults !== undefined) return new RecordedResults(statements);
    }
    return null;
  }

  /**
   * A result begins. @param statement its position @param columns their names
   * @returns true if its rows are wanted
   */
  begin(statement: number, columns: readonly string[]): boolean {
    const limits = this.#statements[Math.min(statement, this.#statements.length - 1)]!.verdict.recordResults ?? null;
    if (limits === null) return false;
    if (this.#columns !== null) {
      // Of several results of one statement the first is kept.
      this.#isCut = true;
      return false;
    }
    this.#limits = limits;
    this.#columns = columns;
    this.#left = limits.bytes;
    return true;
  }

  /** True if the next row is wanted as well. */
  get isOpen(): boolean {
    return this.#limits !== null && !this.#isCut;
  }

  /** The values of a row; `null` for NULL. */
  row(cells: readonly (string | null)[]): void {
    let length = 0;
    for (const cell of cells) length += cell?.length ?? 0;
    if (this.#rows.length >= this.#limits!.rows || length > this.#left) {
      this.#isCut = true;
      return;
    }
    this.#left -= length;
    this.#rows.push(cells);
  }

  /** A row comes that cannot be recorded: it is too large to be looked at. */
  cut(): void {
    this.#isCut = true;
  }

  /**
   * What a record says of the result of the statement that has ended, as JSON text with a leading comma; `null` if there was none.
   * @param room characters that may be said at most; without room for the rows, only the columns are
   */
  take(room: number): string | null {
    const columns = this.#columns;
    if (columns === null) return null;
    const rows = JSON.stringify(this.#rows);
    const fits = rows.length <= room;
    const cut = this.#isCut || !fits ? ',"truncated":true' : '';
    this.#columns = null;
    this.#rows = [];
    this.#limits = null;
    this.#isCut = false;
    return `,"columns":${JSON.stringify(columns)},"rows":${fits ? rows : '[]'}${cut}`;
  }
}

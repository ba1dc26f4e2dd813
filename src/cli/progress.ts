/** Between two lines of progress, milliseconds: on a terminal the line is rewritten, elsewhere each is one more. */
const ON_TERMINAL_MS = 500;
const ELSEWHERE_MS = 10_000;
const FIRST_MS = 1000;

/** Tells on standard error how far work is that takes more than a second. */
export class Progress {
  readonly #what: string;
  readonly #terminal = process.stderr.isTTY === true;
  #due = performance.now() + FIRST_MS;
  #shown = false;

  /** @param what is counted: `statements read` */
  constructor(what: string) {
    this.#what = what;
  }

  at(count: number): void {
    // The clock is asked now and then only: this is called for every record of a journal.
    if (count % 100 !== 0 || performance.now() < this.#due) return;
    this.#due = performance.now() + (this.#terminal ? ON_TERMINAL_MS : ELSEWHERE_MS);
    this.#shown = true;
    process.stderr.write(`${this.#terminal ? '\r' : ''}${count} ${this.#what}${this.#terminal ? '' : '\n'}`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#shown && this.#terminal) process.stderr.write('\r\u001b[K');
  }
}

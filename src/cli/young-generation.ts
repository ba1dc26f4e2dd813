import v8 from 'node:v8';

/** How often it is looked at, milliseconds, and how many statements since the last look make this process busy. */
const LOOK_MS = 500;
const BUSY = 500;
/** From here on it is large enough: both halves of it together, bytes. */
const LARGE = 6 * 1024 * 1024;

/**
 * Lets V8's young generation grow once, from 1 MB to 4 MB, when this process is busy: garbage of some hundred statements fills
 * the first, and each collection costs what survives it and what was in the processor's caches. By itself V8 would go on to
 * 16 MB or more, twice, and keep it, for nothing more.
 */
export class YoungGeneration {
  readonly #statements: () => number;
  readonly #timer: NodeJS.Timeout;
  #last = 0;
  #grows = false;

  /** @param statements so far */
  constructor(statements: () => number) {
    this.#statements = statements;
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const statements = this.#statements();
    const isBusy = statements - this.#last > BUSY;
    this.#last = statements;
    const grows = isBusy && size() < LARGE;
    if (grows === this.#grows) return;
    this.#grows = grows;
    v8.setFlagsFromString(`--semi-space-growth-factor=${grows ? 4 : 1}`);
  }
}

function size(): number {
  return v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? LARGE;
}

/**
 * Of one connection so many statements are looked into at once: those that nobody has opened, and besides them those that somebody
 * has, who waits for it.
 */
const MOST_UNOPENED = 2;
const MOST_OPENED = 2;
/** Of one connection so many wait in turn. What comes then is looked into when somebody opens it. */
const MOST_WAITING = 100;

interface Waiting {
  readonly connection: string;
  readonly done: Promise<void>;
  begin(): void;
}

interface Lane {
  /** Ids of requests, in turn. */
  readonly unopened: Set<number>;
  readonly opened: Set<number>;
  runningUnopened: number;
  runningOpened: number;
}

/** Requests that are to be looked into, a few of each connection at a time; those that somebody has opened come first. */
export class PreviewQueue {
  readonly #work: (id: number) => Promise<void>;
  readonly #lanes = new Map<string, Lane>();
  /** Those that wait, and those that are being looked into. */
  readonly #jobs = new Map<number, Waiting>();
  #isClosed = false;

  /** @param work looks into a request; never rejects */
  constructor(work: (id: number) => Promise<void>) {
    this.#work = work;
  }

  /** @returns false if too many wait already */
  add(id: number, connection: string): boolean {
    const lane = this.#laneOf(connection);
    if (this.#isClosed || lane.unopened.size >= MOST_WAITING) return false;
    if (this.#jobs.has(id)) return true;
    this.#jobs.set(id, this.#job(id, connection));
    lane.unopened.add(id);
    this.#go(lane);
    return true;
  }

  /** Somebody waits for it. Resolves when it has been looked into, or never will be. */
  open(id: number, connection: string): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    const lane = this.#laneOf(connection);
    let job = this.#jobs.get(id);
    if (job === undefined) {
      job = this.#job(id, connection);
      this.#jobs.set(id, job);
      lane.opened.add(id);
    } else if (lane.unopened.delete(id)) {
      lane.opened.add(id);
    }
    this.#go(lane);
    return job.done;
  }

  /** True if it waits in turn, or is being looked into. */
  has(id: number): boolean {
    return this.#jobs.has(id);
  }

  /** What waits is not begun with. */
  close(): void {
    this.#isClosed = true;
    for (const { unopened, opened } of this.#lanes.values()) {
      for (const id of [...unopened, ...opened]) this.#jobs.get(id)!.begin();
    }
    this.#lanes.clear();
  }

  #laneOf(connection: string): Lane {
    let lane = this.#lanes.get(connection);
    if (lane === undefined) {
      lane = { unopened: new Set(), opened: new Set(), runningUnopened: 0, runningOpened: 0 };
      this.#lanes.set(connection, lane);
    }
    return lane;
  }

  #job(id: number, connection: string): Waiting {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = promise.then(() => (this.#isClosed ? undefined : this.#work(id))).finally(() => this.#jobs.delete(id));
    return { connection, done, begin: resolve };
  }

  #go(lane: Lane): void {
    while (lane.opened.size > 0 && lane.runningOpened < MOST_OPENED) {
      lane.runningOpened++;
      this.#begin(lane, lane.opened, () => lane.runningOpened--);
    }
    while (lane.unopened.size > 0 && lane.runningUnopened < MOST_UNOPENED) {
      lane.runningUnopened++;
      this.#begin(lane, lane.unopened, () => lane.runningUnopened--);
    }
  }

  #begin(lane: Lane, from: Set<number>, ended: () => void): void {
    const [id] = from;
    from.delete(id!);
    const job = this.#jobs.get(id!)!;
    job.begin();
    void job.done.then(() => {
      ended();
      this.#go(lane);
    });
  }
}

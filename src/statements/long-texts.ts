import { Worker } from 'node:worker_threads';
import type { CatalogueData, CatalogueLookup, CatalogueRelation } from './catalogue.ts';
import { opaqueText, type TextFacts } from './facts.ts';

/**
 * CPU time the thread may take over one text before it is ended, in milliseconds, and over each kilobyte of it besides. Not
 * time on the clock: on a busy machine that would refuse harmless texts.
 */
const DEADLINE = 250;
const DEADLINE_PER_KILOBYTE = 0.25;
/** How often its time is looked at, in milliseconds. */
const LOOKS = 100;
/** Time on the clock it may take, for whatever is not the CPU's doing; in milliseconds. */
const LAST_DEADLINE = 10_000;
/** Sixteen times what the main thread has: a parser recurses once per operator of a chain. */
const STACK_MEGABYTES = 64;
const HEAP_MEGABYTES = 1024;

/** Catalogues the thread keeps; when there are more, it forgets them all. */
export const MOST_CATALOGUES = 8;

/** Columns and the like of a catalogue that the thread is sent at a time: copying them keeps the event loop for some milliseconds. */
const PART = 5_000;

/** Lists of a catalogue that can be long. The others are not needed where nothing is asked of the server. */
const LISTS = ['relations', 'functions', 'operators', 'casts', 'types'] as const;
export type CatalogueList = (typeof LISTS)[number];

/** What the thread is sent. It answers `null` once it can take texts, and once it has a whole catalogue; a text with its facts. */
export type ForThread<Context> =
  | {
      readonly is: 'catalogue';
      readonly version: string;
      readonly data: Omit<CatalogueData, CatalogueList | 'origins'>;
    }
  | { readonly is: 'part'; readonly list: CatalogueList; readonly items: readonly unknown[] }
  | { readonly is: 'whole' }
  | {
      readonly is: 'text';
      readonly text: string;
      readonly context: Context;
      /** `null` without a catalogue. */
      readonly catalogueVersion: string | null;
    };

interface Job<Context> {
  readonly text: string;
  readonly context: Context;
  readonly catalogue: CatalogueLookup | null;
  readonly done: (facts: TextFacts) => void;
}

/**
 * Analyses texts that are too much for the main thread in one other thread, one after the other. A text that takes too
 * long ends the thread and is opaque; the next text gets a new thread. Does not keep the process alive.
 */
export class LongTexts<Context> {
  readonly #module: URL;
  readonly #workerData: unknown;
  #worker: Worker | null = null;
  /** True while the thread has nothing in hand. */
  #ready = false;
  #closed = false;
  /** Versions of the catalogues the thread has. */
  #sent = new Set<string>();
  #deadline: NodeJS.Timeout | null = null;
  readonly #jobs: Job<Context>[] = [];

  /**
   * @param module what the thread runs: it calls `readLongTexts` of long-text-thread.ts
   * @param workerData for that module
   */
  constructor(module: URL, workerData: unknown) {
    this.#module = module;
    this.#workerData = workerData;
  }

  analyse(text: string, context: Context, catalogue: CatalogueLookup | null): Promise<TextFacts> {
    if (this.#closed) return Promise.resolve(opaqueText(text.length, 'parser failed'));
    return new Promise((done) => {
      this.#jobs.push({ text, context, catalogue, done });
      if (this.#worker === null) this.#start();
      else this.#next();
    });
  }

  close(): void {
    this.#closed = true;
    this.#end();
    for (const { text, done } of this.#jobs.splice(0)) done(opaqueText(text.length, 'parser failed'));
  }

  #start(): void {
    const worker = new Worker(this.#module, {
      workerData: this.#workerData,
      resourceLimits: { stackSizeMb: STACK_MEGABYTES, maxOldGenerationSizeMb: HEAP_MEGABYTES },
    });
    this.#worker = worker;
    this.#ready = false;
    this.#sent = new Set();
    this.#watch(worker, null, 0);
    // What an ended thread still says is about a text that has its answer already.
    worker.on('message', (facts: TextFacts | null) => {
      if (worker !== this.#worker) return;
      this.#ready = true;
      if (facts !== null) this.#jobs.shift()!.done(facts);
      this.#next();
    });
    worker.on('error', () => {
      if (worker === this.#worker) this.#fail();
    });
    worker.on('exit', () => {
      if (worker === this.#worker) this.#fail();
    });
    // Listeners hold it again.
    worker.unref();
  }

  #next(): void {
    if (!this.#ready) return;
    this.#clear();
    const job = this.#jobs[0];
    const worker = this.#worker;
    if (job === undefined || worker === null) return;
    this.#ready = false;
    const { catalogue } = job;
    if (catalogue !== null && !this.#sent.has(catalogue.version)) void this.#sendCatalogue(worker, catalogue);
    else this.#sendText(worker, job);
  }

  #post(worker: Worker, message: ForThread<Context>): void {
    worker.postMessage(message);
  }

  /** In parts, between which the event loop turns. */
  async #sendCatalogue(worker: Worker, { version, data }: CatalogueLookup): Promise<void> {
    // The thread forgets at the same size.
    if (this.#sent.size >= MOST_CATALOGUES) this.#sent.clear();
    this.#sent.add(version);
    const { relations, functions, operators, casts, types, origins: _origins, ...rest } = data;
    this.#post(worker, { is: 'catalogue', version, data: rest });
    const lists = { relations, functions, operators, casts, types };
    for (const list of LISTS) {
      for (const items of parts(lists[list])) {
        this.#post(worker, { is: 'part', list, items });
        await new Promise((turned) => setImmediate(turned));
        if (worker !== this.#worker) return;
      }
    }
    this.#post(worker, { is: 'whole' });
    this.#watch(worker, null, 0);
  }

  #sendText(worker: Worker, job: Job<Context>): void {
    const { text, context, catalogue } = job;
    this.#post(worker, { is: 'text', text, context, catalogueVersion: catalogue?.version ?? null });
    const most = DEADLINE + (DEADLINE_PER_KILOBYTE * text.length) / 1024;
    this.#watch(worker, null, most);
    // Asked for before the thread has got far with the text: what it used until then is another text's.
    worker.cpuUsage().then(
      (before) => {
        if (this.#jobs[0] === job && this.#worker === worker) this.#watch(worker, before, most);
      },
      () => {
        // It ended; its `exit` says so as well.
      },
    );
  }

  /**
   * Ends the thread if it uses its time up.
   *
   * @param before its CPU time at the start of the text; `null` while that is not known
   * @param most milliseconds of CPU time
   */
  #watch(worker: Worker, before: NodeJS.CpuUsage | null, most: number): void {
    const startedAt = performance.now();
    const look = () => {
      if (performance.now() - startedAt > LAST_DEADLINE) this.#fail();
      else if (before !== null) {
        worker.cpuUsage(before).then(
          ({ user, system }) => {
            if (this.#deadline === timer && (user + system) / 1000 > most) this.#fail();
          },
          () => {},
        );
      }
    };
    this.#clear();
    const timer = setInterval(look, LOOKS);
    this.#deadline = timer;
  }

  #fail(): void {
    this.#end();
    const job = this.#jobs.shift();
    if (job !== undefined) job.done(opaqueText(job.text.length, 'parser failed'));
    if (this.#jobs.length > 0 && !this.#closed) this.#start();
  }

  #clear(): void {
    if (this.#deadline !== null) clearInterval(this.#deadline);
    this.#deadline = null;
  }

  #end(): void {
    this.#clear();
    const worker = this.#worker;
    this.#worker = null;
    this.#ready = false;
    void worker?.terminate();
  }
}

/** Slices of a list of a catalogue, each about as long to copy as the others. */
function* parts(items: readonly unknown[]): Generator<readonly unknown[]> {
  let from = 0;
  let weight = 0;
  for (const [at, item] of items.entries()) {
    const { columns = [], foreignKeys = [], triggers = [] } = item as Partial<CatalogueRelation>;
    weight += 1 + columns.length + foreignKeys.length + triggers.length;
    if (weight < PART) continue;
    yield items.slice(from, at + 1);
    from = at + 1;
    weight = 0;
  }
  if (from < items.length) yield items.slice(from);
}

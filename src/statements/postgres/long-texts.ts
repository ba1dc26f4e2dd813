import { Worker } from 'node:worker_threads';
import type { CatalogueData, NameContext } from '../catalogue.ts';
import { opaqueText, type TextFacts } from '../facts.ts';
import type { KnownNames } from './functions.ts';

/**
 * CPU time the thread may take over one text before it is ended, in milliseconds. Not time on the clock: on a busy machine
 * that would refuse harmless texts.
 */
const DEADLINE = 250;
/** Time on the clock it may take, for whatever is not the CPU's doing; in milliseconds. */
const LAST_DEADLINE = 10_000;
/** Sixteen times what the main thread has: the parser recurses once per operator of a chain. */
const STACK_MEGABYTES = 64;

/** Catalogues the thread keeps; when there are more, it forgets them all. */
export const MOST_CATALOGUES = 8;

/** What the thread is sent for one text. */
export interface LongText {
  readonly text: string;
  readonly searchPath: readonly string[];
  /** `null` without a catalogue. */
  readonly catalogueVersion: string | null;
  /** Only where the thread does not have this version yet. */
  readonly catalogue: CatalogueData | null;
}

interface Job {
  readonly text: string;
  readonly names: NameContext;
  readonly done: (facts: TextFacts) => void;
}

/**
 * Analyses texts that are too long for the main thread in one other thread, one after the other. A text that takes too
 * long ends the thread and is opaque; the next text gets a new thread. Does not keep the process alive.
 */
export class LongTexts {
  #worker: Worker | null = null;
  #ready = false;
  #closed = false;
  /** Versions of the catalogues the thread has. */
  #sent = new Set<string>();
  readonly #known: KnownNames | null;
  #deadline: NodeJS.Timeout | null = null;
  readonly #jobs: Job[] = [];

  constructor(known: KnownNames | null) {
    this.#known = known;
  }

  analyse(text: string, names: NameContext): Promise<TextFacts> {
    if (this.#closed) return Promise.resolve(opaqueText(text.length, 'parser failed'));
    return new Promise((done) => {
      this.#jobs.push({ text, names, done });
      if (this.#worker === null) this.#start();
      else if (this.#ready && this.#jobs.length === 1) this.#send();
    });
  }

  close(): void {
    this.#closed = true;
    this.#end();
    for (const { text, done } of this.#jobs.splice(0)) done(opaqueText(text.length, 'parser failed'));
  }

  #start(): void {
    const worker = new Worker(new URL('./long-text-worker.ts', import.meta.url), {
      workerData: this.#known,
      resourceLimits: { stackSizeMb: STACK_MEGABYTES },
    });
    worker.unref();
    this.#worker = worker;
    this.#ready = false;
    this.#sent = new Set();
    this.#watch(worker, null);
    // What an ended thread still says is about a text that has its answer already.
    worker.on('message', (facts: TextFacts | null) => {
      if (worker !== this.#worker) return;
      if (facts === null) this.#ready = true;
      else this.#jobs.shift()!.done(facts);
      this.#send();
    });
    worker.on('error', () => {
      if (worker === this.#worker) this.#fail();
    });
    worker.on('exit', () => {
      if (worker === this.#worker) this.#fail();
    });
  }

  #send(): void {
    this.#clear();
    const job = this.#jobs[0];
    const worker = this.#worker;
    if (job === undefined || worker === null) return;
    worker.postMessage(this.#message(job));
    this.#watch(worker, null);
    // Asked for before the thread has got far with the text: what it used until then is another text's.
    worker.cpuUsage().then(
      (before) => {
        if (this.#jobs[0] === job && this.#worker === worker) this.#watch(worker, before);
      },
      () => {
        // It ended; its `exit` says so as well.
      },
    );
  }

  #message({ text, names: { catalogue, searchPath } }: Job): LongText {
    if (catalogue === null) return { text, searchPath, catalogueVersion: null, catalogue: null };
    const { version, data } = catalogue;
    const isNew = !this.#sent.has(version);
    if (isNew) {
      if (this.#sent.size >= MOST_CATALOGUES) this.#sent.clear();
      this.#sent.add(version);
    }
    return { text, searchPath, catalogueVersion: version, catalogue: isNew ? data : null };
  }

  /** Ends the thread if it uses its time up. @param before its CPU time at the start of the text; null while not known */
  #watch(worker: Worker, before: NodeJS.CpuUsage | null): void {
    const startedAt = performance.now();
    const look = () => {
      if (performance.now() - startedAt > LAST_DEADLINE) this.#fail();
      else if (before !== null) {
        worker.cpuUsage(before).then(
          ({ user, system }) => {
            if (this.#deadline === timer && (user + system) / 1000 > DEADLINE) this.#fail();
          },
          () => {},
        );
      }
    };
    this.#clear();
    const timer = setInterval(look, DEADLINE);
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

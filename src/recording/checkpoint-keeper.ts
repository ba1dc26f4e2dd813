import type { Store } from '../store/store.ts';
import type { Journal } from './journal.ts';

/** What was cut off behind the last checkpoint that is kept cannot be found: at most so much is, milliseconds. */
const KEEP_MS = 5_000;

/**
 * Keeps the newest checkpoint of each segment in the store, where whoever can write the journal's files need not get at it.
 * While the store cannot be asked it tries again; the store's own failure is told elsewhere.
 */
export class CheckpointKeeper {
  readonly #store: Store;
  readonly #journal: Pick<Journal, 'node' | 'checkpoint'>;
  readonly #timer: NodeJS.Timeout;
  #kept = 0;
  #keeping: Promise<void> = Promise.resolve();

  constructor(store: Store, journal: Pick<Journal, 'node' | 'checkpoint'>) {
    this.#store = store;
    this.#journal = journal;
    this.#timer = setInterval(() => void this.keep(), KEEP_MS).unref();
  }

  /** Keeps what is new, after whatever is being kept. Never rejects. */
  keep(): Promise<void> {
    this.#keeping = this.#keeping.then(() => this.#keep()).catch(() => undefined);
    return this.#keeping;
  }

  async #keep(): Promise<void> {
    const { node, checkpoint } = this.#journal;
    if (checkpoint === null || checkpoint.seq <= this.#kept) return;
    await this.#store
      .insertInto('journal_checkpoints')
      .values({ node, ...checkpoint, at: Date.now() })
      .onConflict((conflict) =>
        conflict
          .columns(['node', 'segment'])
          .doUpdateSet((eb) => ({
            seq: eb.ref('excluded.seq'),
            line: eb.ref('excluded.line'),
            at: eb.ref('excluded.at'),
          }))
          .whereRef('journal_checkpoints.seq', '<', 'excluded.seq'),
      )
      .execute();
    this.#kept = checkpoint.seq;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.keep();
  }
}

/** The lines of all checkpoints in a store, of all nodes. */
export async function keptCheckpoints(store: Store): Promise<string[]> {
  const rows = await store.selectFrom('journal_checkpoints').select('line').orderBy('node').orderBy('seq').execute();
  return rows.map(({ line }) => line);
}

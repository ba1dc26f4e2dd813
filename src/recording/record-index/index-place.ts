import { join } from 'node:path';
import type { StoreConfig } from '../../config/config.ts';

/** Where the index of a journal is: in the store if that is a PostgreSQL, else in a file beside the journal. */
export function indexPlace(journal: string, store: StoreConfig): StoreConfig {
  return store.kind === 'postgres' ? store : { kind: 'sqlite', file: join(journal, 'index.db') };
}

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreConfig } from '../../config/config.ts';

/** What the index is called among all that follow the journal. */
export const INDEX = 'index';

/** Where the index of a journal is: in the store if that is a PostgreSQL, else in a file beside the journal. */
export function indexPlace(journal: string, store: StoreConfig): StoreConfig {
  return store.kind === 'postgres' ? store : { kind: 'sqlite', file: indexFile(journal) };
}

/** The file of the index of the journal in a directory. */
export function indexFile(journal: string): string {
  return join(journal, 'index.db');
}

export function removeIndexFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

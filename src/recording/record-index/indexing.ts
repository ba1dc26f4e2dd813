import type { StoreConfig } from '../../config/config.ts';
import type { Consumer } from '../follower.ts';
import type { IndexSql } from './index-columns.ts';
import { INDEX, removeIndexFile } from './index-place.ts';
import { Indexer } from './indexer.ts';
import { isUnusable, SqliteIndex } from './sqlite-index.ts';

export type IndexLog = (level: 'info' | 'warn', fields: object, message: string) => void;

/**
 * Keeps the index level with the journal. A file that cannot be read, or is of another version, is removed and made anew, which the
 * log says: all of it is in the journal.
 *
 * @param node the name of the journal's node
 */
export function indexing(place: StoreConfig, node: string, log: IndexLog): Consumer {
  let indexer: Indexer | null = null;
  /** What is wrong with the file, once that was found out. */
  let broken: Error | null = null;
  const note = (error: unknown): unknown => {
    if (place.kind === 'sqlite' && isUnusable(error)) broken = error as Error;
    return error;
  };
  const begin = async () => {
    await close();
    if (broken !== null && place.kind === 'sqlite') {
      log(
        'warn',
        { file: place.file, reason: broken.message },
        'the index cannot be used: it is made anew from the journal',
      );
      removeIndexFile(place.file);
      broken = null;
    }
    indexer = new Indexer(await openSql(place), node);
    const position = await indexer.begin();
    if (position === null)
      log('info', place.kind === 'sqlite' ? { file: place.file } : {}, 'the index begins with the oldest record');
    return position;
  };
  const close = async () => {
    const closing = indexer;
    indexer = null;
    await closing?.close();
  };
  return {
    name: INDEX,
    begin: () =>
      begin().catch((error: unknown) => {
        note(error);
        if (broken === null) throw error;
        return begin();
      }),
    take: async (batch) => {
      try {
        await indexer!.take(batch);
      } catch (error) {
        throw note(error);
      }
    },
    close,
  };
}

async function openSql(place: StoreConfig): Promise<IndexSql> {
  if (place.kind === 'sqlite') return new SqliteIndex(place.file);
  const { PostgresIndex } = await import('./postgres-index.ts');
  return new PostgresIndex(place.url);
}

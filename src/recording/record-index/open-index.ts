import { Kysely } from 'kysely';
import type { StoreConfig } from '../../config/config.ts';
import type { RecordIndexTables } from '../../store/record-index-tables.ts';
import type { RecordIndex } from './search.ts';

/** Opens the index to search it. Rejects where that is not possible. */
export async function openIndex(place: StoreConfig): Promise<RecordIndex> {
  if (place.kind === 'postgres') {
    const { postgresDialect } = await import('../../store/postgres-dialect.ts');
    return new Kysely<RecordIndexTables>({ dialect: postgresDialect(place.url) });
  }
  const { SqliteIndex } = await import('./sqlite-index.ts');
  // Makes the tables where nothing was indexed yet.
  await new SqliteIndex(place.file).close();
  const { sqliteDialect } = await import('../../store/sqlite-dialect.ts');
  return new Kysely<RecordIndexTables>({ dialect: sqliteDialect(place.file) });
}

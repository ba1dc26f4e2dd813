import { existsSync } from 'node:fs';
import type { JournalPosition } from '../record-batch.ts';
import { indexFile } from './index-place.ts';
import type { RecordIndex } from './search.ts';

/** What `work` finds in the index beside a journal; `null` if there is none that can be read: the journal itself says the same. */
export async function withIndex<T>(journal: string, work: (index: RecordIndex) => Promise<T>): Promise<T | null> {
  const file = indexFile(journal);
  if (!existsSync(file)) return null;
  const { openIndex } = await import('./open-index.ts');
  try {
    const index = await openIndex({ kind: 'sqlite', file });
    try {
      return await work(index);
    } finally {
      await index.destroy();
    }
  } catch {
    return null;
  }
}

/** How far the journal beside the index is in it; `null` if nothing is. */
export async function indexedUpTo(index: RecordIndex): Promise<JournalPosition | null> {
  const row = await index.selectFrom('index_nodes').selectAll().where('seq', '>', 0).limit(1).executeTakeFirst();
  return row === undefined ? null : { segment: row.segment, offset: row.byte, seq: row.seq };
}

/** A position in the journal before the first record of a session; `null` if the index does not know it. */
export async function sessionBegin(index: RecordIndex, session: string): Promise<JournalPosition | null> {
  const row = await index
    .selectFrom('index_sessions')
    .select(['from_segment', 'from_byte', 'from_seq'])
    .where('session', '=', session)
    .executeTakeFirst();
  return row === undefined ? null : { segment: row.from_segment, offset: row.from_byte, seq: row.from_seq };
}

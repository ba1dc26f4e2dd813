import type { JournalRecord } from './read-records.ts';
import { readBatches } from './record-batch.ts';
import { sessionBegin, withIndex } from './record-index/index-file.ts';

/**
 * The records that tell what happened in one session, in their order: its own, and those about its requests for approval. Where the
 * journal has an index only the part of it is read that has them. Rejects with the error of the file system.
 */
export async function* recordsOfSession(directory: string, id: string): AsyncGenerator<JournalRecord> {
  const requests = new Set<unknown>();
  const begin = await withIndex(directory, (index) => sessionBegin(index, id));
  for await (const batch of readBatches(directory, '', begin)) {
    for (const record of batch.records()) {
      const { event, fields } = record;
      const isOwn = fields.session === id;
      if (isOwn && event === 'approval.requested') requests.add(fields.request);
      if (isOwn || (event.startsWith('approval.') && requests.has(fields.request))) yield record;
      if (isOwn && event === 'session.end') return;
    }
  }
}

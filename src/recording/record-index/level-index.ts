import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoreConfig } from '../../config/config.ts';
import { journalWriter } from '../journal-lock.ts';
import { readBatches } from '../record-batch.ts';
import { nodeOf } from '../segments.ts';
import { indexFile } from './index-place.ts';
import { indexing } from './indexing.ts';
import { openIndex } from './open-index.ts';
import type { RecordIndex } from './search.ts';

export interface LevelIndex {
  readonly index: RecordIndex;
  close(): Promise<void>;
}

/**
 * The index of the journal in `directory`, level with it: a Sluice that runs keeps it so, else it is brought there now; where the
 * directory cannot be written, in a file that {@link LevelIndex.close} removes. Rejects with the error of the file system.
 *
 * @param progress is told how many records were read
 */
export async function levelIndex(directory: string, progress: (records: number) => void): Promise<LevelIndex> {
  const isWritten = journalWriter(directory) !== null;
  // One process writes an index. A Sluice whose index is in PostgreSQL, or that has none, has no file.
  const isKept = isWritten && existsSync(indexFile(directory));
  const aside = isKept || (!isWritten && isWritable(directory)) ? null : mkdtempSync(join(tmpdir(), 'sluice-index-'));
  const place = { kind: 'sqlite', file: indexFile(aside ?? directory) } as const;
  if (!isKept) await bringLevel(directory, place, progress);
  const index = await openIndex(place);
  return {
    index,
    close: async () => {
      await index.destroy();
      if (aside !== null) rmSync(aside, { recursive: true });
    },
  };
}

async function bringLevel(directory: string, place: StoreConfig, progress: (records: number) => void): Promise<void> {
  const node = nodeOf(directory);
  const consumer = indexing(place, node, () => undefined);
  const { signal } = new AbortController();
  try {
    for await (const batch of readBatches(directory, node, await consumer.begin())) {
      await consumer.take(batch, signal);
      progress(Math.floor(batch.last / 100) * 100);
    }
  } finally {
    await consumer.close();
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

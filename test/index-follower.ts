/**
 * Brings an index level with a journal, in small batches, and says so after each: to be killed by a test in the middle of it.
 * Arguments: the journal, the file of the index.
 */
import { readBatches } from '../src/recording/record-batch.ts';
import { indexing } from '../src/recording/record-index/indexing.ts';

const [journal, file] = process.argv.slice(2) as [string, string];
const consumer = indexing({ kind: 'sqlite', file }, 'a-node', () => undefined);
const { signal } = new AbortController();
for await (const batch of readBatches(journal, 'a-node', await consumer.begin(), 8_000)) {
  process.stdout.write(`${batch.first}\n`);
  await consumer.take(batch, signal);
}
await consumer.close();

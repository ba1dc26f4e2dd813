import { parentPort, workerData } from 'node:worker_threads';
import { CatalogueIndex } from '../catalogue-index.ts';
import type { TextFacts } from '../facts.ts';
import type { KnownNames } from './functions.ts';
import { type LongText, MOST_CATALOGUES } from './long-texts.ts';
import { Names, Readings } from './names.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

/** The thread behind long-texts.ts: posts `null` when it can take texts, then the facts of each text it is sent. */

const parser = await PostgresParser.create();
const known = workerData as KnownNames | null;
const catalogues = new Map<string, Readings>();

function readings({ catalogueVersion, catalogue }: LongText): Readings | null {
  if (catalogueVersion === null) return null;
  if (catalogue !== null) {
    // The sender forgets at the same size.
    if (catalogues.size >= MOST_CATALOGUES) catalogues.clear();
    catalogues.set(catalogueVersion, new Readings(new CatalogueIndex(catalogue, catalogueVersion)));
  }
  return catalogues.get(catalogueVersion)!;
}

parentPort!.on('message', (job: LongText) => {
  const names = new Names(readings(job), job.searchPath, known, parser);
  parentPort!.postMessage(analyseText(names, job.text).facts satisfies TextFacts);
});
parentPort!.postMessage(null);

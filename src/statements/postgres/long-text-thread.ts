import { workerData } from 'node:worker_threads';
import type { CatalogueLookup } from '../catalogue.ts';
import { readLongTexts } from '../long-text-thread.ts';
import { MANY_STEPS } from '../work-budget.ts';
import type { KnownNames } from './functions.ts';
import { Names, Readings } from './names.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

/** The thread of a PostgresAnalyzer. A text's context is its search path. */

const parser = await PostgresParser.create();
const known = workerData as KnownNames | null;
const readings = new WeakMap<CatalogueLookup, Readings>();

function readingsOf(catalogue: CatalogueLookup | null): Readings | null {
  if (catalogue === null) return null;
  let found = readings.get(catalogue);
  if (found === undefined) {
    found = new Readings(catalogue);
    readings.set(catalogue, found);
  }
  return found;
}

readLongTexts<readonly string[]>((text, searchPath, catalogue) => {
  const names = new Names(readingsOf(catalogue), searchPath, known, parser);
  return analyseText(names, text, MANY_STEPS).facts;
});

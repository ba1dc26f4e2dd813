import type { IndexedRecord } from './search.ts';

/** A record as people and programs are shown it: times as text, names as in JSON. */
export function shownRecord({ at, refusedBy, effects, rules, masks, ...rest }: IndexedRecord) {
  return {
    ...rest,
    at: new Date(at).toISOString(),
    effects: [...effects],
    rules: [...rules],
    masks: [...masks],
    refused_by: refusedBy,
  };
}

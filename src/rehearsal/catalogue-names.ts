import type { KnownNames } from '../policy/findings.ts';
import { loadKnownNames } from '../policy/known-names.ts';
import type { CatalogueData } from '../statements/catalogue.ts';

/**
 * What a catalogue has by name, and what every server of its kind has, for finding names in rules that nothing has. MySQL's
 * own functions belong to no schema and are not listed: a function there is not looked for.
 */
export function namesOf({ dialect, relations, functions }: CatalogueData): KnownNames {
  const own = dialect === 'postgres' ? [...loadKnownNames().functions.keys()] : null;
  return {
    hasRelation: (matches) => relations.some(({ schema, name }) => matches(schema, name)),
    hasColumn: (matches) =>
      relations.some(({ schema, name, columns }) => columns.some((column) => matches(schema, name, column.name))),
    hasFunction: (matches) =>
      own === null ||
      functions.some(({ schema, name }) => matches(schema, name)) ||
      own.some((name) => (name.includes('.') ? false : matches('pg_catalog', name))),
  };
}

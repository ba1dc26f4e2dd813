import type { KnownNames } from '../policy/findings.ts';
import type { CatalogueData } from '../statements/catalogue.ts';

/** What a catalogue has by name, for finding names in rules that nothing has. */
export function namesOf({ relations, functions }: CatalogueData): KnownNames {
  return {
    hasRelation: (matches) => relations.some(({ schema, name }) => matches(schema, name)),
    hasColumn: (matches) =>
      relations.some(({ schema, name, columns }) => columns.some((column) => matches(schema, name, column.name))),
    hasFunction: (matches) => functions.some(({ schema, name }) => matches(schema, name)),
  };
}

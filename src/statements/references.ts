import type { CatalogueLookup, CatalogueName, CatalogueReference } from './catalogue.ts';

const BY_CATALOGUE = new WeakMap<CatalogueLookup, ReadonlyMap<string, readonly CatalogueReference[]>>();

/** Foreign keys of any relation that reference this one; none are known without a catalogue. */
export function referencing(
  catalogue: CatalogueLookup | null,
  { schema, name }: CatalogueName,
): readonly CatalogueReference[] {
  if (catalogue === null) return [];
  let known = BY_CATALOGUE.get(catalogue);
  if (known === undefined) {
    known = collected(catalogue);
    BY_CATALOGUE.set(catalogue, known);
  }
  return known.get(`${schema}\0${name}`) ?? [];
}

function collected({ data }: CatalogueLookup): ReadonlyMap<string, readonly CatalogueReference[]> {
  const found = new Map<string, CatalogueReference[]>();
  for (const from of data.relations) {
    for (const foreignKey of from.foreignKeys) {
      const { references } = foreignKey;
      const key = `${references.schema}\0${references.name}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, [{ from, foreignKey }]);
      else known.push({ from, foreignKey });
    }
  }
  return found;
}

import type { CatalogueData } from '../statements/catalogue.ts';

/**
 * The same data in the one order that does not depend on how the server returned it, so that equal catalogues have equal
 * hashes and snapshots differ only where the schema does. The order of columns, parents and triggers means something and
 * stays; names are compared by UTF-16 code units.
 */
export function inOrder(data: CatalogueData): CatalogueData {
  return {
    ...data,
    relations: sorted(data.relations, ({ schema, name }) => [schema, name]).map((relation) => ({
      ...relation,
      keys: sorted(relation.keys, (key) => key),
      foreignKeys: sorted(relation.foreignKeys, ({ columns, references, referencedColumns }) => [
        references.schema,
        references.name,
        ...columns,
        ...referencedColumns,
      ]),
      rules: sorted(relation.rules, ({ name }) => [name]),
      ...(relation.expressions === undefined
        ? {}
        : {
            expressions: sorted(relation.expressions, ({ kind, column, expression }) => [
              kind,
              column ?? '',
              expression,
            ]),
          }),
    })),
    functions: sorted(data.functions, ({ schema, name, kind, arguments: args }) => [schema, name, kind, ...args]),
    operators: sorted(data.operators, ({ schema, name, left, right }) => [schema, name, left ?? '', right ?? '']),
    casts: sorted(data.casts, ({ source, target }) => [source, target]),
    types: sorted(data.types, ({ schema, name }) => [schema, name]),
    ...(data.origins === undefined ? {} : { origins: sorted(data.origins, ({ schema, name }) => [schema, name]) }),
  };
}

function sorted<T>(items: readonly T[], key: (item: T) => readonly string[]): readonly T[] {
  if (items.length < 2) return items;
  return items
    .map((item) => ({ item, key: key(item) }))
    .sort((a, b) => compare(a.key, b.key))
    .map(({ item }) => item);
}

function compare(a: readonly string[], b: readonly string[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a[i]! !== b[i]!) return a[i]! < b[i]! ? -1 : 1;
  }
  return a.length - b.length;
}

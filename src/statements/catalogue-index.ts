import type {
  CatalogueData,
  CatalogueFunction,
  CatalogueLookup,
  CatalogueName,
  CatalogueOperator,
  CatalogueReference,
  CatalogueRelation,
  CatalogueType,
} from './catalogue.ts';

/** Finds things in a catalogue's data by name. Immutable: other data make another index. */
export class CatalogueIndex implements CatalogueLookup {
  readonly data: CatalogueData;
  readonly version: string;
  readonly #relations = new Map<string, CatalogueRelation>();
  readonly #functions: ReadonlyMap<string, readonly CatalogueFunction[]>;
  readonly #operators: ReadonlyMap<string, readonly CatalogueOperator[]>;
  readonly #types: ReadonlyMap<string, readonly CatalogueType[]>;
  readonly #children = new Map<string, CatalogueRelation[]>();
  readonly #references = new Map<string, CatalogueReference[]>();

  /** @param version different for every content */
  constructor(data: CatalogueData, version: string) {
    this.data = data;
    this.version = version;
    const folds = data.dialect !== 'postgres';
    this.#functions = byName(data.functions, folds);
    this.#operators = byName(data.operators, false);
    this.#types = byName(data.types, false);
    for (const relation of data.relations) {
      this.#relations.set(this.#key(relation.schema, relation.name), relation);
      for (const parent of relation.parents) add(this.#children, this.#keyOf(parent), relation);
      for (const foreignKey of relation.foreignKeys) {
        add(this.#references, this.#keyOf(foreignKey.references), { from: relation, foreignKey });
      }
    }
  }

  relation(schema: string, name: string): CatalogueRelation | undefined {
    return this.#relations.get(this.#key(schema, name));
  }

  resolve(name: string, searchPath: readonly string[]): CatalogueRelation | undefined {
    for (const schema of searchPath) {
      const relation = this.relation(schema, name);
      if (relation !== undefined) return relation;
    }
    return undefined;
  }

  functionsNamed(name: string): readonly CatalogueFunction[] {
    return this.#functions.get(this.data.dialect === 'postgres' ? name : name.toLowerCase()) ?? [];
  }

  operatorsNamed(name: string): readonly CatalogueOperator[] {
    return this.#operators.get(name) ?? [];
  }

  typesNamed(name: string): readonly CatalogueType[] {
    return this.#types.get(name) ?? [];
  }

  children(relation: CatalogueName): readonly CatalogueRelation[] {
    return this.#children.get(this.#keyOf(relation)) ?? [];
  }

  referencing(relation: CatalogueName): readonly CatalogueReference[] {
    return this.#references.get(this.#keyOf(relation)) ?? [];
  }

  #keyOf({ schema, name }: CatalogueName): string {
    return this.#key(schema, name);
  }

  #key(schema: string, name: string): string {
    const key = `${schema}\0${name}`;
    return this.data.foldsNames ? key.toLowerCase() : key;
  }
}

function byName<Item extends { readonly name: string }>(
  items: readonly Item[],
  folds: boolean,
): ReadonlyMap<string, readonly Item[]> {
  const found = new Map<string, Item[]>();
  for (const item of items) add(found, folds ? item.name.toLowerCase() : item.name, item);
  return found;
}

function add<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

import type {
  CatalogueData,
  CatalogueFunction,
  CatalogueLookup,
  CatalogueName,
  CatalogueOperator,
  CatalogueRelation,
  CatalogueType,
} from './catalogue.ts';

/**
 * The plainest lookup, for where only the data are at hand: the thread that analyses long texts, and tests. The process
 * that reads catalogues has its own (src/catalog/), which is built without keeping the event loop.
 */
export class CatalogueIndex implements CatalogueLookup {
  readonly data: CatalogueData;
  readonly version: string;
  readonly #relations = new Map<string, CatalogueRelation>();
  readonly #functions = new Map<string, CatalogueFunction[]>();
  readonly #operators = new Map<string, CatalogueOperator[]>();
  readonly #types = new Map<string, CatalogueType[]>();
  readonly #descendants = new Map<string, CatalogueRelation[]>();

  /** @param version different for every content */
  constructor(data: CatalogueData, version: string) {
    this.data = data;
    this.version = version;
    for (const relation of data.relations) {
      this.#relations.set(this.#key(relation), relation);
      for (const parent of relation.parents) add(this.#descendants, this.#key(parent), relation);
    }
    for (const one of data.functions) add(this.#functions, this.#routine(one.name), one);
    for (const one of data.operators) add(this.#operators, one.name, one);
    for (const one of data.types) add(this.#types, one.name, one);
  }

  relation(schema: string, name: string): CatalogueRelation | null {
    return this.#relations.get(this.#key({ schema, name })) ?? null;
  }

  resolve(name: string, searchPath: readonly string[]): CatalogueRelation | null {
    for (const schema of searchPath) {
      const relation = this.relation(schema, name);
      if (relation !== null) return relation;
    }
    return null;
  }

  descendants(relation: CatalogueName): readonly CatalogueRelation[] {
    return this.#descendants.get(this.#key(relation)) ?? [];
  }

  functionsNamed(schema: string | null, name: string): readonly CatalogueFunction[] {
    return inSchema(this.#functions.get(this.#routine(name)), schema);
  }

  operatorsNamed(name: string): readonly CatalogueOperator[] {
    return this.#operators.get(name) ?? [];
  }

  typesNamed(schema: string | null, name: string): readonly CatalogueType[] {
    return inSchema(this.#types.get(name), schema);
  }

  #key({ schema, name }: CatalogueName): string {
    const key = `${schema}\0${name}`;
    return this.data.foldsNames ? key.toLowerCase() : key;
  }

  /** Names of MySQL's routines fold, whatever those of its tables do. */
  #routine(name: string): string {
    return this.data.dialect === 'postgres' ? name : name.toLowerCase();
  }
}

function inSchema<Item extends CatalogueName>(
  items: readonly Item[] | undefined,
  schema: string | null,
): readonly Item[] {
  if (items === undefined) return [];
  return schema === null ? items : items.filter((item) => item.schema === schema);
}

function add<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

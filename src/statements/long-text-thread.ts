import { parentPort } from 'node:worker_threads';
import type { CatalogueData, CatalogueLookup } from './catalogue.ts';
import { CatalogueIndex } from './catalogue-index.ts';
import type { TextFacts } from './facts.ts';
import { type CatalogueList, type ForThread, MOST_CATALOGUES } from './long-texts.ts';

/** A catalogue of which parts are still to come. */
interface Coming {
  readonly version: string;
  readonly data: Omit<CatalogueData, CatalogueList | 'origins'>;
  readonly lists: Record<CatalogueList, unknown[]>;
}

/** Characters from which on a text is not kept by anybody, so that its JSON is not either. */
const LONG = 256 * 1024;

function withJson({ statements }: TextFacts, text: string): TextFacts {
  return { statements: statements.map((one) => ({ ...one, json: JSON.stringify(text.slice(one.start, one.end)) })) };
}

/** The other side of long-texts.ts, in its thread. */
export function readLongTexts<Context>(
  read: (text: string, context: Context, catalogue: CatalogueLookup | null) => TextFacts,
): void {
  const port = parentPort!;
  const catalogues = new Map<string, CatalogueLookup>();
  let coming: Coming | null = null;
  port.on('message', (message: ForThread<Context>) => {
    switch (message.is) {
      case 'catalogue': {
        const { version, data } = message;
        coming = { version, data, lists: { relations: [], functions: [], operators: [], casts: [], types: [] } };
        return;
      }
      case 'part': {
        const list = coming!.lists[message.list];
        for (const item of message.items) list.push(item);
        return;
      }
      case 'whole': {
        const { version, data, lists } = coming!;
        coming = null;
        // The sender forgets at the same size.
        if (catalogues.size >= MOST_CATALOGUES) catalogues.clear();
        catalogues.set(version, new CatalogueIndex({ ...data, ...lists } as CatalogueData, version));
        port.postMessage(null);
        return;
      }
      case 'text': {
        const { text, context, catalogueVersion } = message;
        const facts = read(text, context, catalogueVersion === null ? null : catalogues.get(catalogueVersion)!);
        port.postMessage(text.length > LONG ? withJson(facts, text) : facts);
      }
    }
  });
  port.postMessage(null);
}

import { CatalogueKeeper, type CatalogueStatus } from '../catalog/keeper.ts';
import type { ConnectionConfig } from '../config/config.ts';
import type { NameContext } from '../statements/catalogue.ts';

/** Without a catalogue: what depends on names is not known. */
export const NO_NAMES: NameContext = { catalogue: null, searchPath: [] };

/** Paths that are told apart at a time. */
const MOST_PATHS = 1000;

/**
 * What names mean on one connection: its catalogue, kept up to date, and the search paths of its sessions. Sessions with
 * the same path share one object, so that "nothing has changed" is comparing two references.
 */
export class NamesInForce {
  readonly #keeper: CatalogueKeeper;
  readonly #contexts = new Map<string, NameContext>();

  constructor(connection: ConnectionConfig) {
    this.#keeper = new CatalogueKeeper({ protocol: connection.protocol, ...connection.upstream });
  }

  /** The catalogue has been read, or could not be: then names stay unknown until it can. */
  async ready(): Promise<void> {
    if (this.#keeper.current === null) await this.#keeper.refresh();
  }

  /** Reads the catalogue anew: a statement that may have changed the schema has ended. */
  refresh(): Promise<void> {
    return this.#keeper.refresh();
  }

  /** A statement used a name that the catalogue does not have: it may be newer. */
  noteMiss(name: string): void {
    this.#keeper.noteMiss(name);
  }

  status(): CatalogueStatus {
    return this.#keeper.status();
  }

  /** True if the context has the catalogue in force. */
  isCurrent({ catalogue }: NameContext): boolean {
    return catalogue === this.#keeper.current;
  }

  context(searchPath: readonly string[]): NameContext {
    const catalogue = this.#keeper.current;
    const key = searchPath.join('\0');
    let context = this.#contexts.get(key);
    if (context === undefined || context.catalogue !== catalogue) {
      if (this.#contexts.size >= MOST_PATHS) this.#contexts.clear();
      context = { catalogue, searchPath };
      this.#contexts.set(key, context);
    }
    return context;
  }

  close(): Promise<void> {
    return this.#keeper.close();
  }
}

import type { NameContext } from '../statements/catalogue.ts';
import { type NamesInForce, NO_NAMES } from './names-in-force.ts';

/**
 * What names mean in one session: the catalogue of its connection and the schemas in which it looks for unqualified names,
 * as far as both are sure. The session says which of its statements may have changed them, and asks the server.
 */
export class SessionNames {
  /** `null` where no rule can depend on names. */
  #inForce: NamesInForce | null;
  #path: readonly string[];
  #isPathUnsure = false;
  /** What names meant when it was last asked. */
  #context: NameContext = NO_NAMES;
  /** True if a statement since the catalogue was read may have changed the schema. */
  schemaChanged = false;

  constructor(inForce: NamesInForce | null, path: readonly string[]) {
    this.#inForce = inForce;
    this.#path = path;
  }

  /** True if a rule can depend on them. */
  get matter(): boolean {
    return this.#inForce !== null;
  }

  /** True if the server has to be asked which schemas are searched: until then unqualified names mean nothing. */
  get isPathUnsure(): boolean {
    return this.#isPathUnsure;
  }

  /** What unqualified names mean now. The same object as long as nothing has changed. */
  get current(): NameContext {
    const names = this.#inForce;
    if (names === null) return NO_NAMES;
    if (!names.isCurrent(this.#context)) this.#context = names.context(this.#isPathUnsure ? [] : this.#path);
    return this.#context;
  }

  /** What unqualified names mean to those who search other schemas: to a statement that was prepared with them. */
  of(path: readonly string[]): NameContext {
    const { current } = this;
    return path === current.searchPath ? current : (this.#inForce?.context(path) ?? NO_NAMES);
  }

  /** Other rules are in force, and with them names may have begun to matter. */
  setInForce(names: NamesInForce | null): void {
    if (this.#inForce === null && names !== null) this.#isPathUnsure = true;
    this.#inForce = names;
    this.#context = NO_NAMES;
  }

  /** A statement may have changed which schemas are searched. */
  pathMayHaveChanged(): void {
    this.#isPathUnsure = true;
    this.#context = NO_NAMES;
  }

  /** @param path the schemas that are searched, as the server says */
  setPath(path: readonly string[]): void {
    this.#path = path;
    this.#isPathUnsure = false;
    this.#context = NO_NAMES;
  }

  /** Reads the catalogue anew: statements that may have changed the schema have ended. */
  async refresh(): Promise<void> {
    this.schemaChanged = false;
    await this.#inForce?.refresh();
  }
}

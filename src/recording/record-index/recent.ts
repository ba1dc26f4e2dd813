/** A map that forgets what was not asked for in a while: it holds between `size` and twice as many entries. */
export class Recent<Key, Value> {
  readonly #size: number;
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();

  constructor(size: number) {
    this.#size = size;
  }

  get(key: Key): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: Key, value: Value): void {
    if (this.#young.size >= this.#size) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }
}

/**
 * A copy of a text that was cut out of another: V8 keeps the whole of that as long as the part is there.
 * What is kept of a batch would keep all of it.
 */
export function ownText(text: string): string {
  return Buffer.from(text).toString();
}

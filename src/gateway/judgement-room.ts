/** Texts whose judgement one judge keeps, and the most characters of them. */
const MOST_TEXTS = 5_000;
const MOST_CHARACTERS = 8 * 1024 * 1024;
/** The same for all judges together: identities come and go by the thousand where tokens make them. */
const MOST_TEXTS_IN_ALL = 50_000;
const MOST_CHARACTERS_IN_ALL = 32 * 1024 * 1024;

/** Whoever keeps judgements, and can do without. */
export interface Keeper {
  /** Forgets all of them. */
  forget(): void;
}

/** Bounds what is kept of judgements, by each judge and by all together: who has kept nothing new for longest forgets first. */
export class JudgementRoom {
  /** By when something was last added. */
  readonly #kept = new Map<Keeper, { readonly texts: number; readonly characters: number }>();
  #texts = 0;
  #characters = 0;

  /**
   * Makes room for one more text, or says that there is none. What has to be forgotten for it is, at once.
   * @returns false if the text is too long to be kept
   */
  admit(keeper: Keeper, characters: number): boolean {
    if (characters > MOST_CHARACTERS) return false;
    const own = this.#kept.get(keeper);
    if (own !== undefined && (own.texts >= MOST_TEXTS || own.characters + characters > MOST_CHARACTERS)) {
      this.#forget(keeper);
    }
    const before = this.#kept.get(keeper) ?? { texts: 0, characters: 0 };
    this.#kept.delete(keeper);
    this.#kept.set(keeper, { texts: before.texts + 1, characters: before.characters + characters });
    this.#texts++;
    this.#characters += characters;
    while (this.#texts > MOST_TEXTS_IN_ALL || this.#characters > MOST_CHARACTERS_IN_ALL) {
      this.#forget(this.#kept.keys().next().value!);
    }
    return true;
  }

  /** A judge has forgotten what it kept. */
  left(keeper: Keeper): void {
    const own = this.#kept.get(keeper);
    if (own === undefined) return;
    this.#kept.delete(keeper);
    this.#texts -= own.texts;
    this.#characters -= own.characters;
  }

  #forget(keeper: Keeper): void {
    this.left(keeper);
    keeper.forget();
  }
}

import type { StatementFacts, TextFacts } from '../facts.ts';

/** What is kept of a statement whose literals do not matter: the facts, and how much of the text comes after it. */
interface Pattern {
  readonly facts: StatementFacts;
  readonly tail: number;
}

export interface CacheStats {
  readonly hits1: number;
  readonly hits2: number;
  readonly misses: number;
  /** Of both levels together. */
  readonly entries: number;
  /** Of both levels together; an estimate of what they hold in memory. */
  readonly bytes: number;
}

/**
 * Facts by text, and by text without its literals. Each level forgets what was used longest ago when it exceeds half of
 * the bound in entries or in bytes.
 */
export class FactsCache {
  readonly #texts: BoundedMap<TextFacts>;
  readonly #patterns: BoundedMap<Pattern>;
  #hits1 = 0;
  #hits2 = 0;
  #misses = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.#texts = new BoundedMap(maxEntries / 2, maxBytes / 2);
    this.#patterns = new BoundedMap(maxEntries / 2, maxBytes / 2);
  }

  get stats(): CacheStats {
    return {
      hits1: this.#hits1,
      hits2: this.#hits2,
      misses: this.#misses,
      entries: this.#texts.size + this.#patterns.size,
      bytes: this.#texts.bytes + this.#patterns.bytes,
    };
  }

  byText(text: string): TextFacts | undefined {
    const facts = this.#texts.get(text);
    if (facts !== undefined) this.#hits1 += 1;
    return facts;
  }

  /** The facts another text with the same key had, at this text's places. */
  byPattern(key: string | null, text: string): TextFacts | undefined {
    const pattern = key === null ? undefined : this.#patterns.get(key);
    if (pattern === undefined) {
      this.#misses += 1;
      return undefined;
    }
    this.#hits2 += 1;
    const known = pattern.facts;
    // Nothing before the statement is a literal, so it starts where the other did; what follows it has the same length.
    const facts: TextFacts = {
      statements: [
        {
          kind: known.kind,
          effects: known.effects,
          executes: known.executes,
          nameChange: known.nameChange,
          changesLexing: known.changesLexing,
          refuses: known.refuses,
          fingerprint: known.fingerprint,
          start: known.start,
          end: text.length - pattern.tail,
        },
      ],
    };
    this.#texts.set(text, facts, text.length * 2 + SHARED_FACTS_BYTES);
    return facts;
  }

  /** @param key the text without literals, `null` where other literals could give other facts */
  add(text: string, key: string | null, facts: TextFacts): void {
    const bytes = factsBytes(facts);
    this.#texts.set(text, facts, text.length * 2 + bytes);
    const only = facts.statements[0];
    if (key !== null && only !== undefined) {
      this.#patterns.set(key, { facts: only, tail: text.length - only.end }, key.length * 2 + bytes);
    }
  }
}

/** A StatementFacts that shares its effects with a pattern. */
const SHARED_FACTS_BYTES = 250;
const EFFECT_BYTES = 200;

function factsBytes(facts: TextFacts): number {
  let bytes = 100;
  for (const statement of facts.statements) {
    bytes += SHARED_FACTS_BYTES + statement.effects.length * EFFECT_BYTES;
    if (statement.nameChange?.op === 'prepare') {
      bytes += SHARED_FACTS_BYTES + statement.nameChange.inner.effects.length * EFFECT_BYTES;
    }
  }
  return bytes;
}

interface Entry<Value> {
  readonly value: Value;
  readonly bytes: number;
  /** The look-up or insertion that last touched it. */
  used: number;
}

/**
 * Least recently used goes first, by a Map's insertion order. Moving an entry to the end at every look-up would cost more
 * than the look-up, so an entry moves only once a quarter of the map's bound has been touched since it last did.
 */
class BoundedMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #stale: number;
  #bytes = 0;
  #clock = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
    this.#stale = maxEntries / 4;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#clock += 1;
    if (this.#clock - entry.used > this.#stale) {
      entry.used = this.#clock;
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return entry.value;
  }

  set(key: string, value: Value, bytes: number): void {
    const before = this.#entries.get(key);
    if (before !== undefined) {
      this.#bytes -= before.bytes;
      this.#entries.delete(key);
    }
    this.#clock += 1;
    this.#entries.set(key, { value, bytes, used: this.#clock });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) return;
      this.#entries.delete(oldest);
      this.#bytes -= entry.bytes;
    }
  }
}

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
 * Facts by text, and by text without its literals. Each level has half of the bounds and forgets what was not
 * used for longest.
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

  /** Keys begin with what the facts depend on besides the text. */
  byText(text: string): TextFacts | undefined {
    const facts = this.#texts.get(text);
    if (facts !== undefined) this.#hits1 += 1;
    return facts;
  }

  /** The facts another text with the same key had, at the places of this text, which has `length` code units. */
  byPattern(key: string | null, text: string, length: number): TextFacts | undefined {
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
          ...known,
          start: known.start,
          end: length - pattern.tail,
        },
      ],
    };
    this.#texts.set(text, facts, text.length * 2 + SHARED_FACTS_BYTES);
    return facts;
  }

  /** @param key the text without literals, `null` where other literals could give other facts */
  add(text: string, key: string | null, facts: TextFacts, length: number): void {
    const bytes = factsBytes(facts);
    this.#texts.set(text, facts, text.length * 2 + bytes);
    const only = facts.statements[0];
    if (key !== null && only !== undefined) {
      this.#patterns.set(key, { facts: only, tail: length - only.end }, key.length * 2 + bytes);
    }
  }
}

/** A StatementFacts that shares its effects with a pattern. */
const SHARED_FACTS_BYTES = 250;
const EFFECT_BYTES = 200;
/** A column that is used or shown. */
const COLUMN_BYTES = 100;

function factsBytes(facts: TextFacts): number {
  let bytes = 100;
  for (const statement of facts.statements) {
    bytes += statementBytes(statement);
    const change = statement.nameChange;
    if (change?.op === 'prepare' || change?.op === 'declare') bytes += statementBytes(change.inner);
  }
  return bytes;
}

function statementBytes({ effects, outputs = [], uses = [] }: StatementFacts): number {
  let bytes = SHARED_FACTS_BYTES + (outputs.length + uses.length) * COLUMN_BYTES;
  for (const { columns = [], also = [] } of effects) bytes += EFFECT_BYTES + (columns.length + also.length) * 20;
  // The columns themselves are shared; the lists of them are not.
  for (const output of outputs) bytes += output.columns.length * 8;
  return bytes;
}

interface Entry<Value> {
  readonly value: Value;
  readonly bytes: number;
}

/**
 * A bounded map in two generations. What is used goes to the young one; when that is half full it becomes the old one,
 * and what the old one held, unused since, is forgotten. Against strict least-recently-used order this keeps the same
 * things in practice, without a deletion and an insertion for each look-up: those made a hit ten times as slow.
 */
class BoundedMap<Value> {
  #young = new Map<string, Entry<Value>>();
  #old = new Map<string, Entry<Value>>();
  #youngBytes = 0;
  #oldBytes = 0;
  readonly #mostEntries: number;
  readonly #mostBytes: number;

  constructor(maxEntries: number, maxBytes: number) {
    this.#mostEntries = Math.floor(maxEntries / 2);
    this.#mostBytes = Math.floor(maxBytes / 2);
  }

  /** Entries held; one that was used in both generations counts twice. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young.value;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#add(key, old);
    return old.value;
  }

  /** The key is not in the map. What alone is larger than half of the bound is not kept. */
  set(key: string, value: Value, bytes: number): void {
    this.#add(key, { value, bytes });
  }

  #add(key: string, entry: Entry<Value>): void {
    if (entry.bytes > this.#mostBytes) return;
    if (this.#young.size >= this.#mostEntries || this.#youngBytes + entry.bytes > this.#mostBytes) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, entry);
    this.#youngBytes += entry.bytes;
  }
}

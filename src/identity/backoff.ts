import { isIPv6 } from 'node:net';

/** Who tries to prove an identity. */
export interface Attempt {
  /** The address it comes from. */
  readonly source: string;
  /** The name whose secret is tried; `null` where nothing can be guessed, as a token. */
  readonly user: string | null;
}

/** So many failures in a row are let pass; then one more each `leakMs`. */
interface Limit {
  readonly failures: number;
  readonly leakMs: number;
}

/** Whoever guesses comes at most this often, however many connections it opens. */
const SOURCE: Limit = { failures: 30, leakMs: 5_000 };
const USER: Limit = { failures: 10, leakMs: 10_000 };
/** Most sources, users and pairs remembered each; those that nothing was heard of for longest are forgotten first. */
const MOST = 10_000;
const LONGEST_NAME = 128;
/** How long a source that a user has logged in from counts as the user's own, milliseconds. */
const OWN_MS = 7 * 24 * 3_600_000;

/**
 * Slows down guessing: failures fill a leaky bucket of their source and one of the user they are for; while one of them is
 * full, nobody from there, or for that user, is heard. Who has logged in from a source before has a bucket with it of its
 * own instead: others who fail, from the same machine or in the same name, do not lock it out.
 */
export class Backoff {
  readonly #sources = new Buckets(SOURCE);
  readonly #users = new Buckets(USER);
  readonly #pairs = new Buckets(USER);
  /** When each pair last logged in. */
  readonly #own = new Map<string, number>();
  readonly #now: () => number;

  /** @param now milliseconds on any clock */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** @returns how long to wait before the next attempt is heard, milliseconds; 0 if it is heard now */
  waitFor(attempt: Attempt): number {
    const { source, user, pair } = keysOf(attempt);
    const now = this.#now();
    if (now - (this.#own.get(pair) ?? Number.NEGATIVE_INFINITY) < OWN_MS) {
      // One of many workloads that brings an old token again and again is in nobody's way.
      return user === null ? 0 : this.#pairs.waitFor(pair, now);
    }
    const waits = [this.#sources.waitFor(source, now)];
    if (user !== null) waits.push(this.#users.waitFor(user, now));
    return Math.max(...waits);
  }

  failed(attempt: Attempt): void {
    const { source, user, pair } = keysOf(attempt);
    const now = this.#now();
    if (this.#own.has(pair)) this.#pairs.add(pair, now);
    else {
      this.#sources.add(source, now);
      if (user !== null) this.#users.add(user, now);
    }
  }

  succeeded(attempt: Attempt): void {
    const { pair } = keysOf(attempt);
    this.#pairs.delete(pair);
    this.#own.delete(pair);
    this.#own.set(pair, this.#now());
    if (this.#own.size > MOST) this.#own.delete(this.#own.keys().next().value!);
  }
}

class Buckets {
  readonly #limit: Limit;
  /** When each bucket would be empty: it leaks as time passes, and holds what is left until then. */
  readonly #emptyAt = new Map<string, number>();

  constructor(limit: Limit) {
    this.#limit = limit;
  }

  waitFor(key: string, now: number): number {
    const { failures, leakMs } = this.#limit;
    const full = (this.#emptyAt.get(key) ?? 0) - (failures - 1) * leakMs;
    return Math.max(0, full - now);
  }

  add(key: string, now: number): void {
    const { failures, leakMs } = this.#limit;
    const emptyAt = Math.max(this.#emptyAt.get(key) ?? 0, now) + leakMs;
    this.#emptyAt.delete(key);
    this.#emptyAt.set(key, Math.min(emptyAt, now + failures * leakMs));
    if (this.#emptyAt.size > MOST) this.#emptyAt.delete(this.#emptyAt.keys().next().value!);
  }

  delete(key: string): void {
    this.#emptyAt.delete(key);
  }
}

/** @returns what is remembered: the user's name is cut, so that it does not take more room than a name needs */
function keysOf(attempt: Attempt): Attempt & { readonly pair: string } {
  const source = networkOf(attempt.source);
  const user = attempt.user?.slice(0, LONGEST_NAME) ?? null;
  return { source, user, pair: `${source} ${user ?? ''}` };
}

/** Who has one IPv6 address has the 64 bits below its network as well. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [before = '', after] = address.split('%')[0]!.split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const zeros =
    after === undefined ? [] : Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  return [...head, ...zeros, ...tail]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

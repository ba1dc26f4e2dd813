import type { Predicate } from '../facts.ts';
import type { Source } from './scope.ts';

/**
 * What a condition proves about the relations of a query. It is built bottom-up: equalities bind columns, AND adds up, OR
 * keeps what holds in every branch, everything else only mentions relations.
 */
export interface Proof {
  /** Relations of which some columns equal constants in every row the condition keeps. */
  readonly bound: ReadonlyMap<Source, Bound>;
  /** Relations it constrains in some way. */
  readonly mentions: ReadonlySet<Source>;
}

interface Bound {
  /** Columns bound in every branch. */
  readonly columns: ReadonlySet<string>;
  /** True if every branch binds all columns of a unique key, be it another one in each. */
  readonly keyed: boolean;
}

const NOTHING: ReadonlySet<Source> = new Set();
const UNBOUND: ReadonlyMap<Source, Bound> = new Map();

/** Nothing: the condition is the same for every row, or holds for nearly all. */
export const PROVES_NOTHING: Proof = { bound: UNBOUND, mentions: NOTHING };

export function constrains(mentions: ReadonlySet<Source>): Proof {
  return mentions.size === 0 ? PROVES_NOTHING : { bound: UNBOUND, mentions };
}

/** Each pair is a column that equals a constant. */
export function binds(columns: readonly (readonly [Source, string])[], mentions: ReadonlySet<Source>): Proof {
  const bound = new Map<Source, Bound>();
  for (const [source, name] of columns) {
    const names = new Set(bound.get(source)?.columns).add(name);
    bound.set(source, { columns: names, keyed: hasKeyIn(source, names) });
  }
  return { bound, mentions };
}

export function allOf(proofs: readonly Proof[]): Proof {
  if (proofs.length === 1) return proofs[0]!;
  const bound = new Map<Source, Bound>();
  const mentions = new Set<Source>();
  for (const proof of proofs) {
    for (const source of proof.mentions) mentions.add(source);
    for (const [source, more] of proof.bound) {
      const known = bound.get(source);
      const columns = known === undefined ? more.columns : new Set([...known.columns, ...more.columns]);
      bound.set(source, { columns, keyed: more.keyed || known?.keyed === true || hasKeyIn(source, columns) });
    }
  }
  return { bound, mentions };
}

export function anyOf(proofs: readonly Proof[]): Proof {
  const [first, ...others] = proofs;
  if (first === undefined || proofs.some((proof) => proof.mentions.size === 0)) return PROVES_NOTHING;
  const bound = new Map<Source, Bound>();
  const mentions = new Set<Source>();
  for (const proof of proofs) for (const source of proof.mentions) mentions.add(source);
  for (const [source, { columns, keyed }] of first.bound) {
    const inOthers = others.map((proof) => proof.bound.get(source));
    if (inOthers.some((one) => one === undefined)) continue;
    bound.set(source, {
      columns: new Set([...columns].filter((name) => inOthers.every((one) => one!.columns.has(name)))),
      keyed: keyed && inOthers.every((one) => one!.keyed),
    });
  }
  return { bound, mentions };
}

/** What conditions that all hold say about one relation; without any there is no condition at all. */
export function predicateOn(source: Source, proofs: readonly Proof[]): Predicate {
  if (proofs.length === 0) return 'none';
  let columns: Set<string> | null = null;
  let isMentioned = false;
  for (const { bound, mentions } of proofs) {
    isMentioned ||= mentions.has(source);
    const found = bound.get(source);
    if (found?.keyed) return 'keyed';
    if (found !== undefined) columns = new Set([...(columns ?? []), ...found.columns]);
  }
  if (columns !== null) return hasKeyIn(source, columns) ? 'keyed' : 'bounded';
  return isMentioned ? 'open' : 'tautology';
}

function hasKeyIn(source: Source, columns: ReadonlySet<string>): boolean {
  return source.keys.some((key) => key.every((name) => columns.has(name)));
}

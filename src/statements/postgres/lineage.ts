import type { ColumnName, Lineage } from '../facts.ts';

/** The lattice `none < plain < derived < unknown` of what a value is computed from. */

/** Sources of one value beyond which it counts as unknown: a whole row of the widest table has 1,600. */
const MOST_SOURCES = 2000;

export const NONE: Lineage = { from: 'none', columns: [] };

export function plain(...columns: readonly ColumnName[]): Lineage {
  return { from: 'plain', columns };
}

/** The value of an expression over values with these lineages. */
export function computedFrom(sources: readonly Lineage[]): Lineage {
  return combined(sources, false);
}

/** The value that is one of several: the same column in all of them stays plain. */
export function oneOf(sources: readonly Lineage[]): Lineage {
  return combined(sources, true);
}

function combined(sources: readonly Lineage[], keepsPlain: boolean): Lineage {
  let first: Lineage | null = null;
  let columns: Set<ColumnName> | null = null;
  let same = keepsPlain;
  let unknown = false;
  let none = false;
  for (const source of sources) {
    if (source.from === 'none') {
      none = true;
      continue;
    }
    unknown ||= source.from === 'unknown';
    if (first === null) {
      first = source;
      continue;
    }
    if (source === first) continue;
    same &&= isSame(source, first);
    columns ??= new Set(first.columns);
    for (const column of source.columns) columns.add(column);
  }
  if (first === null) return NONE;
  if (columns === null) {
    if (unknown || first.from === 'derived' || (same && !none)) return first;
    return { from: 'derived', columns: first.columns };
  }
  if (same && !none && !unknown && columns.size === first.columns.length) return first;
  if (columns.size > MOST_SOURCES) return { from: 'unknown', columns: [...columns].slice(0, MOST_SOURCES) };
  return { from: unknown ? 'unknown' : 'derived', columns: [...columns] };
}

export function isSame(one: Lineage, other: Lineage): boolean {
  return (
    one === other ||
    (one.from === other.from &&
      one.columns.length === other.columns.length &&
      one.columns.every((column, index) => column === other.columns[index]))
  );
}

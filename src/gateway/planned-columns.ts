import type { ColumnPlan } from '../masking/column-plan.ts';
import type { MaskPlan } from '../policy/mask-plan.ts';
import type { ColumnName } from '../statements/facts.ts';

/** What the server says of a column of a result. */
export interface DescribedColumn {
  readonly name: string;
  /** The names of the stored column it shows; empty if the catalogue does not have it, `null` if it shows none. */
  readonly shows: readonly ColumnName[] | null;
}

/** What happens to each column of a result, or why nothing of it may be sent. */
export type PlannedColumns =
  | { readonly columns: readonly (ColumnPlan | null)[]; readonly mismatch: null }
  | { readonly columns: null; readonly mismatch: string };

/**
 * Compares what the server says of a result with the plan for it: as many columns, and each column of a table that is masked
 * has to be masked by the plan, or the plan is not the one of this result.
 */
export function plannedColumns(plan: MaskPlan, described: readonly DescribedColumn[]): PlannedColumns {
  const { columns } = plan;
  const fits = columns !== null && columns.length === described.length;
  if (!fits && (plan.ids.length > 0 || (columns !== null && (plan.touchesMasked || plan.readsMasked)))) {
    return mismatch(`the result has ${described.length} columns, ${columns?.length ?? 'unknown'} were expected`);
  }
  for (const [index, { name, shows }] of described.entries()) {
    if (shows === null) continue;
    if (shows.length === 0) return mismatch(`column ${index + 1} is of a table that the catalogue does not have`);
    if (!plan.isMasked(shows)) continue;
    const planned = fits ? columns[index]! : null;
    const isPlanned = planned !== null && (planned.mask !== null || planned.paths.length > 0);
    if (!isPlanned) return mismatch(`column ${index + 1} (${name}) was not expected to be masked`);
  }
  return { columns: fits ? columns : described.map(() => plan.every), mismatch: null };
}

function mismatch(why: string): { readonly columns: null; readonly mismatch: string } {
  return { columns: null, mismatch: why };
}

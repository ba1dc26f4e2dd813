/** What a statement would do, found out without running it. */
export interface Impact {
  /** Rows of the target that its condition holds for, counted; `null` if they were not. */
  readonly rows: number | null;
  /** Rows as the planner guesses; `null` if it was not asked. */
  readonly estimatedRows: number | null;
  /** Tables whose rows go or change with those, by foreign keys, with the action: `delete public.items`. */
  readonly cascades: readonly string[];
  /** Triggers that will run: `public.orders.audit`. */
  readonly triggers: readonly string[];
  /** Why nothing can undo what it does, in words for the approver; absent if that can be undone. */
  readonly undo?: string;
  /** What could not be found out, in words for the approver. */
  readonly gaps: readonly string[];
}

/** @param gap why nothing was found out */
export function unknownImpact(gap: string): Impact {
  return { rows: null, estimatedRows: null, cascades: [], triggers: [], gaps: [gap] };
}

import { parseDuration, parseSize } from '../config/quantity.ts';
import { type Approval, compileApproval } from './approval.ts';
import type { RuleSource } from './rule-schema.ts';

/** One budget of one rule: what may be used, by whom together, and what happens over it. */
export interface Limit {
  readonly rule: string;
  readonly of: 'rows' | 'bytes' | 'statements' | 'seconds';
  readonly most: number;
  readonly per: 'statement' | 'session' | 'window';
  /** Length of the rolling window, milliseconds; `null` for others. Windows are counted per identity. */
  readonly windowMs: number | null;
  /** As the rule says it: `statement`, `session`, `24h`. */
  readonly perText: string;
  readonly action: 'deny' | 'hold';
  /** Counted, and said when it is exceeded, but nothing is stopped. */
  readonly shadow: boolean;
  /** For `hold`: who has to approve what is over the limit. */
  readonly approval: Approval | null;
  /** The rule's own words, if it has any. */
  readonly message: string | undefined;
  readonly hint: string | undefined;
}

/** The budgets of a rule: one for each of rows, bytes, statements and seconds that it names. */
export function compileLimits(rule: RuleSource, shadow: boolean): Limit[] {
  const { limit, action } = rule;
  if (limit === undefined || action === 'allow') return [];
  const windowMs = parseDuration(limit.per);
  return (['rows', 'bytes', 'statements', 'seconds'] as const).flatMap((of) => {
    const given = limit[of];
    if (given === undefined) return [];
    return [
      {
        rule: rule.id,
        of,
        most: typeof given === 'number' ? given : parseSize(given)!,
        per: windowMs === null ? (limit.per as 'statement' | 'session') : 'window',
        windowMs,
        perText: limit.per,
        action,
        shadow,
        approval: rule.approval === undefined ? null : compileApproval(rule.id, rule.approval),
        message: rule.message,
        hint: rule.hint,
      },
    ];
  });
}

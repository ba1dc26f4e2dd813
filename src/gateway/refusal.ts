import type { OverLimit } from '../policy/budgets.ts';
import type { DenyVerdict, HoldVerdict, Retry } from '../policy/verdict.ts';
import { isRefused, type JudgedStatement } from './judge.ts';

/**
 * Why a statement does not run, for the client: what was refused, what to do instead, and whether a retry can pass.
 * Both dialects make their error of it.
 */
export interface Refusal {
  /** SQLSTATE */
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** One line of JSON: `{"sluice":{"verdict":...,"rule":...,"retry":...,"statement":...}}` */
  readonly detail: string;
  /** The rule, or a word for what refused; letters, digits, `-`, `_` and `.` only. Shows in the server's own log. */
  readonly by: string;
  /** The error number of dialects that have such. */
  readonly errno?: number;
}

/**
 * Why statements that came together may not run, or `null`: one that is refused refuses all.
 *
 * @param failure why nothing can be recorded; `null` if it can
 * @param counts which statements are refused
 */
export function refusalOf(
  statements: readonly JudgedStatement[],
  failure: string | null,
  counts = isRefused,
): Refusal | null {
  const first = statements[0];
  if (first === undefined) return null;
  if (failure !== null) return notRecorded(failure, first.facts.kind);
  for (let i = 0; i < statements.length; i++) {
    if (!counts(statements[i]!)) continue;
    const { verdict, facts } = statements[i]!;
    if (verdict.action !== 'allow') return refusedByRule(verdict, facts.kind);
    if (facts.refuses !== null) return unsafeEncoding(facts.refuses, facts.kind);
  }
  return null;
}

/** A hold is a refusal as long as nobody can approve it. */
function refusedByRule(verdict: DenyVerdict | HoldVerdict, kind: string): Refusal {
  return refusal('42501', verdict.message, verdict.hint, verdict.rule, kind, 'never');
}

/** A budget is used up, before the statement began or while its result was coming. */
export function overBudget(over: OverLimit, kind: string): Refusal {
  return refusal('53400', over.message, over.hint, over.limit.rule, kind, over.retry);
}

/** What the server returned is not what was expected, so that masks would not be where they have to be. */
export function unmaskable(why: string, kind: string): Refusal {
  return refusal(
    '55000',
    `The result was not sent, because it cannot be masked: ${why}.`,
    'Try again; if it happens again, name the columns you need.',
    'masking',
    kind,
    'later',
  );
}

/** A client writes what it was shown in the place of a value. */
export function writesMaskBack(mask: string, kind: string): Refusal {
  return refusal(
    '42501',
    `The statement would write a masked value over the value itself (rule ${mask}).`,
    'Leave that column out of what you write: what you read is not what is stored.',
    mask,
    kind,
    'never',
  );
}

function notRecorded(reason: string, kind: string): Refusal {
  const full = /ENOSPC|EDQUOT/.test(reason);
  return refusal(
    full ? '53100' : '58030',
    full
      ? 'The statement was not run: Sluice has no room to record it.'
      : 'The statement was not run: Sluice cannot record it.',
    'Nothing reached the database. Try again later; whoever runs Sluice can see why.',
    'recording',
    kind,
    'later',
  );
}

function unsafeEncoding(reason: string, kind: string): Refusal {
  return refusal('22023', reason, 'Use UTF-8 as the client encoding.', 'encoding', kind, 'never');
}

/** A command of the protocol that Sluice passes on for nobody. @param kind its name */
export function unsupportedCommand(kind: string): Refusal {
  const hint = 'Send the SQL statement that does the same, if there is one.';
  return refusal('0A000', `${kind} cannot be used through Sluice.`, hint, 'command', kind, 'never');
}

/** A statement asks what the server says about one whose messages may quote masked values. */
export function withheldMessages(kind: string): Refusal {
  const message =
    'The messages about the statement before are withheld, because they can quote values that are masked.';
  return refusal('42501', message, 'Go on without them.', 'masking', kind, 'never');
}

function refusal(
  code: string,
  message: string,
  hint: string,
  by: string,
  kind: string,
  retry: Retry | 'later',
): Refusal {
  const detail = JSON.stringify({ sluice: { verdict: 'deny', rule: by, retry, statement: kind } });
  return { code, message, hint, detail, by: by.replace(/[^A-Za-z0-9_.-]/g, '_') };
}

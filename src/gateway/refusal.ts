import type { Ruling } from '../approvals/approvals.ts';
import type { Protocol } from '../config/config.ts';
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

/** What a client sends to learn what has become of its requests. */
const ASK: Readonly<Record<Protocol, string>> = { postgres: 'SHOW sluice.requests', mysql: 'SHOW SLUICE REQUESTS' };

/** What became of a statement that a rule holds, where it may not run. @param held the first that is held */
export function refusedByRuling(
  ruling: Exclude<Ruling, { kind: 'granted' }>,
  held: JudgedStatement,
  protocol: Protocol,
): Refusal {
  const verdict = held.verdict as HoldVerdict;
  const { kind } = held.facts;
  const say = (message: string, hint: string, retry: Retry | 'later', code = '42501') =>
    refusal(code, message, hint, verdict.rule, kind, retry, 'request' in ruling ? ruling.request : null);
  switch (ruling.kind) {
    case 'ticket':
      return say(
        verdict.message,
        `It waits for approval as request ${ruling.request}. Once that is approved (${ASK[protocol]} tells), send the same statement again.`,
        'after_approval',
      );
    case 'rejected':
      return say(
        `Request ${ruling.request} was rejected: ${ruling.reason}`,
        'Do not send it again. Do what the reason says, or ask whoever gave it.',
        'never',
      );
    case 'expired':
      return say(
        `Request ${ruling.request} has ended without approval: ${ruling.reason}`,
        'Send the statement again if it is still wanted: that asks anew.',
        'after_approval',
      );
    case 'withdrawn':
      return say(
        'canceling statement due to user request',
        'Its request for approval is withdrawn.',
        'after_approval',
        '57014',
      );
    case 'unavailable':
      return say(
        `${verdict.message} Nobody can be asked now.`,
        'Nothing reached the database. Try again later; whoever runs Sluice can see why.',
        'later',
      );
  }
}

/** It did more than was approved. @param isUndone false where the tables have no transactions: of these approvers are told before */
export function overApproved(
  request: number,
  approved: number,
  changed: number,
  kind: string,
  isUndone = true,
): Refusal {
  const changes = `The statement changed ${changed} rows where ${approved} were approved (request ${request})`;
  return refusal(
    '42501',
    isUndone ? `${changes}: it was rolled back.` : `${changes}, and not all of that could be rolled back.`,
    isUndone
      ? 'Send it again: that asks for approval of what it would do now.'
      : 'Tell who approved it: tables without transactions keep what was done to them.',
    'approval',
    kind,
    'after_approval',
    request,
  );
}

/** Why a held statement cannot wait: its meaning cannot be pinned down for whoever would approve it. */
export type Unholdable =
  | 'failed transaction'
  | 'names changed'
  | 'rows in parts'
  | 'long value'
  | 'other role'
  | 'temporary tables'
  | 'session only'
  | 'held apart';

const UNHOLDABLE: Readonly<Record<Unholdable, { readonly why: string; readonly hint: string }>> = {
  'failed transaction': { why: 'its transaction has failed', hint: 'Send ROLLBACK, then the statement again.' },
  'names changed': {
    why: 'a statement before it may have changed what its names mean',
    hint: 'Send it alone, outside of a pipeline.',
  },
  'rows in parts': { why: 'its rows are asked for in parts', hint: 'Ask for all of its rows at once.' },
  'long value': { why: 'a value is too long to be shown', hint: 'Send it with a shorter value.' },
  'other role': { why: 'its values were bound in another role', hint: 'Bind its values again.' },
  'temporary tables': {
    why: 'what it names without a schema may be a temporary table',
    hint: 'Write the schema before each name.',
  },
  'session only': {
    why: 'it depends on what only this session knows, as @variables, cursors and generated ids',
    hint: 'Send the value itself, or as a parameter.',
  },
  'held apart': {
    why: 'different people are to be asked about different of its values',
    hint: 'Execute it with one set of values at a time.',
  },
};

export function unholdable(held: JudgedStatement, reason: Unholdable): Refusal {
  const { message, rule } = held.verdict as HoldVerdict;
  const { why, hint } = UNHOLDABLE[reason];
  return refusal('42501', `${message} It cannot wait here: ${why}.`, hint, rule, held.facts.kind, 'later');
}

/** Without anybody to ask, a hold is a refusal. */
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
  const full = /ENOSPC|EDQUOT|EFBIG/.test(reason);
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
  return refusal('22023', `The statement ${reason}.`, 'Use UTF-8 as the client encoding.', 'encoding', kind, 'never');
}

/** A command of the protocol that Sluice passes on for nobody. @param kind its name */
export function unsupportedCommand(kind: string): Refusal {
  const hint = 'Send the SQL statement that does the same, if there is one.';
  return refusal('0A000', `${kind} cannot be used through Sluice.`, hint, 'command', kind, 'never');
}

/** A question to Sluice that cannot be answered in the form it has. */
export function notAlone(kind: string): Refusal {
  const message = 'A question to Sluice has to be the only statement of its text, and without other options.';
  return refusal('42601', message, 'Send it alone.', 'question', kind, 'later');
}

/** What Sluice is asked for cannot be looked up now. */
export function unanswered(kind: string): Refusal {
  const hint = 'Try again later; whoever runs Sluice can see why.';
  return refusal('58000', 'Sluice cannot look that up now.', hint, 'question', kind, 'later');
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
  request: number | null = null,
): Refusal {
  const verdict = request === null ? 'deny' : 'hold';
  const detail = JSON.stringify({
    sluice: { verdict, rule: by, ...(request !== null && { request }), retry, statement: kind },
  });
  return { code, message, hint, detail, by: by.replace(/[^A-Za-z0-9_.-]/g, '_') };
}

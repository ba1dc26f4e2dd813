import type { ApprovalRequest } from '../approvals/request.ts';
import { missingIn } from '../approvals/voting.ts';
import type { HoldVerdict } from '../policy/verdict.ts';
import { describeEffect, isDenied, isHeld, type JudgedStatement } from './judge.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import type { SessionStart } from './session-start.ts';

/**
 * Answers to what clients ask of Sluice in SQL: the same rows and words in both dialects. The columns are OWN_COLUMNS.
 */

/** Times are ISO 8601 in UTC, integers their digits. */
export type OwnRow = readonly (string | null)[];

/** Requests that are shown, the newest first. */
export const MOST_REQUESTS = 100;
/** UTF-16 code units of a statement that are shown. */
const MOST_SHOWN = 1000;

/** @param url where people find requests for approval; `null` where nowhere */
export function requestRows(requests: readonly ApprovalRequest[], url: string | null): OwnRow[] {
  return requests.map(({ id, state, question, stages, votes, createdAt, expiresAt, reason }) => {
    const needed = stages.reduce((sum, { count }) => sum + count, 0);
    const missing = stages.reduce((sum, stage) => sum + missingIn(stage, votes), 0);
    return [
      String(id),
      state,
      shortened(question.binding.statement),
      question.rule,
      timeText(createdAt),
      timeText(expiresAt),
      String(needed - missing),
      String(needed),
      reason,
      url === null ? null : `${url}/approvals/${id}`,
    ];
  });
}

/** @param claimed what the client says about itself now */
export function sessionRows(
  { id, identity, connection, startedAt, expiresAt, tls, address }: SessionStart,
  rulesVersion: string,
  claimed: ReadonlyMap<string, string>,
): OwnRow[] {
  const { subject, kind, owner, issuer, groups } = identity;
  return [
    ['session', id],
    ['identity', subject],
    ['kind', kind],
    ['owner', owner ?? null],
    ['groups', groups.join(', ')],
    ['issuer', issuer ?? null],
    ['connection', connection.name],
    ['address', address],
    ['tls', tls ? 'yes' : 'no'],
    ['started_at', timeText(startedAt)],
    ['expires_at', expiresAt === null ? null : timeText(expiresAt)],
    ['rules', rulesVersion],
    ['default', connection.default],
    ...[...claimed].map(([name, value]) => [`claimed ${name}`, value]),
  ];
}

/**
 * What would become of the statements of a text, were they sent now.
 *
 * @param otherRefusal why they may not run for another reason than a rule; `null` if there is none
 */
export function verdictRows(statements: readonly JudgedStatement[], otherRefusal: Refusal | null): OwnRow[] {
  return [...outcomeRows(statements, otherRefusal), ...effectRows(statements), ...maskRows(statements)];
}

function outcomeRows(statements: readonly JudgedStatement[], otherRefusal: Refusal | null): OwnRow[] {
  const denied = refusalOf(statements, null, isDenied) ?? otherRefusal;
  if (denied !== null) {
    const { by, message, hint } = denied;
    return [
      ['verdict', 'deny'],
      ['rule', by],
      ['message', message],
      ['hint', hint],
    ];
  }
  const held = statements.filter(isHeld).map(({ verdict }) => verdict as HoldVerdict);
  const [first] = held;
  if (first === undefined) return [['verdict', 'allow']];
  const stages = held.flatMap(({ approvals }) => approvals.flatMap((one) => one.stages));
  return [
    ['verdict', 'hold'],
    ['rule', first.rule],
    ['message', first.message],
    ['hint', first.hint],
    ['votes_needed', String(stages.reduce((sum, { count }) => sum + count, 0))],
  ];
}

function effectRows(statements: readonly JudgedStatement[]): OwnRow[] {
  const effects = new Set(statements.flatMap(({ facts }) => facts.effects.map(describeEffect)));
  return [...effects].map((effect) => ['effect', shortened(effect)]);
}

/** Of a text with several results nobody could tell which one is meant. */
function maskRows(statements: readonly JudgedStatement[]): OwnRow[] {
  const [first, second] = statements;
  if (first === undefined || second !== undefined || isDenied(first)) return [];
  const { masks } = first.verdict;
  if (masks === null) return [];
  return (masks.columns ?? []).flatMap((plan, index) => {
    if (plan === null) return [];
    const { mask, paths, by } = plan;
    const how = mask !== null ? `masked (${mask.kind})` : paths.length > 0 ? 'masked in parts' : 'masked where found';
    const name = masks.outputs?.[index]?.name ?? '';
    return [[`column ${index + 1}${name === '' ? '' : ` ${name}`}`, `${how} by ${by.join(', ')}`]];
  });
}

function shortened(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN).toWellFormed()}...` : text;
}

function timeText(at: number): string {
  return new Date(at).toISOString();
}

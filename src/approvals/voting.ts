import type { Identity } from '../identity/identity.ts';
import type { ApprovalStage } from '../policy/approval.ts';
import { MOST_AHEAD_MS } from '../store/clock.ts';
import { type ApprovalRequest, isUncounted, type Vote } from './request.ts';

/** Who wants to vote. */
export interface Voter {
  readonly identity: Identity;
  /** Has the role of an approver, for stages that name nobody. */
  readonly isApprover: boolean;
  /** May approve alone, and on the own behalf too, in an emergency. */
  readonly mayBreakGlass: boolean;
  /** Those who have handed their vote over to this one, and have not got it back. */
  readonly inPlaceOf: readonly { readonly subject: string; readonly groups: readonly string[] }[];
}

/**
 * True if nobody can vote any more, and nothing be collected: its time is over, or it was asked for or approved at a time that
 * has not come, and so nobody knows whether it is.
 */
export function isOver(
  { createdAt, decidedAt, expiresAt }: Pick<ApprovalRequest, 'createdAt' | 'decidedAt' | 'expiresAt'>,
  now: number,
): boolean {
  return now >= expiresAt || Math.max(createdAt, decidedAt ?? createdAt) > now + MOST_AHEAD_MS;
}

/** Why somebody may not vote on a request, in words for them; `null` if they may. */
export function whyNotVote(request: ApprovalRequest, voter: Voter, now: number): string | null {
  const { identity } = voter;
  if (identity.kind !== 'human') return 'Only people vote.';
  if (request.state !== 'pending') return `The request is ${request.state} already.`;
  if (isOver(request, now)) return 'The time to vote is over.';
  const who = request.question.identity;
  if (isSame(who, identity)) return 'Nobody votes on a request of their own.';
  if (who.owner === identity.subject) return 'The owner of an agent does not vote on what it asks for.';
  if (request.votes.some((vote) => isSame(vote, identity))) return 'You have voted already.';
  const taker = request.votes.find(({ onBehalfOf }) => onBehalfOf.includes(identity.subject));
  if (taker !== undefined) return `${taker.subject} has voted in your place already.`;
  const vote = voteOf(request, voter, { decision: 'approve', reason: '', channel: '', at: now });
  if (!request.stages.some((stage) => countsIn(stage, vote))) return 'The rules ask other people than you.';
  return null;
}

/** Why somebody may not approve alone. The reason is what the review begins with. */
export function whyNotBreakGlass(request: ApprovalRequest, voter: Voter, reason: string, now: number): string | null {
  if (voter.identity.kind !== 'human') return 'Only people vote.';
  if (!voter.mayBreakGlass) return 'You may not approve alone.';
  if (request.state !== 'pending') return `The request is ${request.state} already.`;
  if (isOver(request, now)) return 'The time to vote is over.';
  if (reason.trim() === '') return 'Say why it cannot wait for the others: somebody will review it.';
  return null;
}

/**
 * The vote: in the place of those only who might have voted themselves and have not, of whom nobody has taken the place, and who
 * are asked where the voter is not. So whoever hands a vote over has one still, and not two.
 */
export function voteOf(
  request: ApprovalRequest,
  { identity, isApprover, inPlaceOf }: Voter,
  { decision, reason, channel, at }: Pick<Vote, 'decision' | 'reason' | 'channel' | 'at'>,
): Vote {
  const { subject, owner } = request.question.identity;
  const gone = new Set([subject, owner, ...request.votes.flatMap((vote) => [vote.subject, ...vote.onBehalfOf])]);
  const free = inPlaceOf.filter((one) => !gone.has(one.subject));
  const counted = { subject: identity.subject, groups: [...identity.groups], onBehalfOf: [] as string[], isApprover };
  for (const stage of decision === 'break-glass' ? [] : request.stages) {
    if (countsIn(stage, counted)) continue;
    const place = free.find((one) => countsIn(stage, { ...one, onBehalfOf: [], isApprover: false }));
    if (place === undefined) continue;
    counted.groups.push(...place.groups);
    counted.onBehalfOf.push(place.subject);
  }
  return {
    issuer: identity.issuer ?? '',
    subject: identity.subject,
    groups: [...new Set(counted.groups)],
    onBehalfOf: counted.onBehalfOf,
    isApprover,
    decision,
    reason,
    channel,
    at,
    isUncounted: decision !== 'reject' && isUncounted(request),
  };
}

/**
 * What the votes come to: one who rejects is enough, and so is one who breaks the glass; else every stage needs as many
 * people as it says. Who is asked in several stages counts in each.
 */
export function resultOf(
  stages: readonly ApprovalStage[],
  votes: readonly Vote[],
): 'pending' | 'approved' | 'rejected' {
  if (votes.some(({ decision }) => decision === 'reject')) return 'rejected';
  if (votes.some(({ decision }) => decision === 'break-glass')) return 'approved';
  // Without a stage nobody would have been asked.
  if (stages.length === 0) return 'pending';
  return stages.every((stage) => missingIn(stage, votes) === 0) ? 'approved' : 'pending';
}

/** How many approvals a stage still needs. */
export function missingIn(stage: ApprovalStage, votes: readonly Vote[]): number {
  const people = votes.filter((vote) => vote.decision === 'approve' && countsIn(stage, vote));
  return Math.max(stage.count - new Set(people.map(({ issuer, subject }) => `${issuer}\0${subject}`)).size, 0);
}

function countsIn(
  { groups, subjects }: ApprovalStage,
  vote: Pick<Vote, 'subject' | 'groups' | 'onBehalfOf' | 'isApprover'>,
): boolean {
  if (groups.length === 0 && subjects.length === 0) return vote.isApprover;
  return (
    groups.some((group) => vote.groups.includes(group)) ||
    subjects.some((subject) => subject === vote.subject || vote.onBehalfOf.includes(subject))
  );
}

function isSame(a: { readonly issuer?: string; readonly subject: string }, b: Identity): boolean {
  return a.subject === b.subject && (a.issuer ?? '') === (b.issuer ?? '');
}

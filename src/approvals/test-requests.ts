/** Requests and people for tests. */

import type { Identity } from '../identity/identity.ts';
import type { Approval } from '../policy/approval.ts';
import type { ApprovalRequest, Question } from './request.ts';
import type { Voter } from './voting.ts';

export const APPROVAL: Approval = {
  rule: 'r',
  stages: [{ groups: ['dba'], subjects: [], count: 1 }],
  withinMs: 60_000,
  waitMs: 10_000,
  grant: 'once',
  grantForMs: null,
  tolerancePercent: 0,
};
const BOT: Identity = { subject: 'bot', kind: 'agent', groups: [], owner: 'olga' };
export const TICKET_ONLY: Approval = { ...APPROVAL, waitMs: 0 };

export function question(change: Partial<Question> = {}, binding: Partial<Question['binding']> = {}): Question {
  return {
    binding: {
      issuer: '',
      subject: 'bot',
      connection: 'shop',
      database: 'shop',
      role: 'app',
      path: ['public'],
      reading: '',
      rules: 'v1',
      statement: 'DELETE FROM orders',
      binds: null,
      meaning: '',
      ...binding,
    },
    identity: BOT,
    session: 's1',
    kind: 'DELETE',
    fingerprint: 'f1',
    rule: 'r',
    message: 'DELETE on orders needs approval.',
    effects: ['delete public.orders (none)'],
    approvals: [APPROVAL],
    claimed: {},
    inTransaction: false,
    // Without a number of rows that a vote would have to wait for.
    unguarded: 'it is sent with others',
    preview: { statement: null, counting: null, sampling: null, target: null, sqlMode: '', settings: {} },
    ...change,
  };
}

export function person(subject: string, groups: readonly string[] = ['dba'], more: Partial<Voter> = {}): Voter {
  const identity: Identity = { subject, kind: 'human', groups };
  return { identity, isApprover: false, mayBreakGlass: false, inPlaceOf: [], ...more };
}

/** One that nobody has voted on. */
export function requestFor(
  statement: string,
  change: Partial<ApprovalRequest> = {},
  binds: string | null = null,
): ApprovalRequest {
  return {
    id: 17,
    question: question({}, { statement, binds }),
    stages: [{ groups: ['dba'], subjects: [], count: 1 }],
    grant: 'once',
    grantForMs: null,
    tolerancePercent: 0,
    state: 'pending',
    reason: null,
    createdAt: 0,
    expiresAt: 1_800_000_000_000,
    decidedAt: null,
    impact: null,
    votes: [],
    review: null,
    events: 1,
    ...change,
  };
}

import { z } from 'zod';
import { type Approvals, NotCounted, VoteRefused } from '../../approvals/approvals.ts';
import { type ApprovalRequest, reachOf, type Vote, whyUnguarded } from '../../approvals/request.ts';
import { missingIn, type Voter } from '../../approvals/voting.ts';
import { MOST_FOUND, searchRecords } from '../../recording/record-index/search.ts';
import { ApiError } from '../api-error.ts';
import type { Caller } from '../authentication.ts';
import { identitySchema, isoTime, isoTimeOrNull, shown, time } from '../schemas.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';

const STATES = ['pending', 'approved', 'used', 'rejected', 'expired', 'withdrawn'] as const;
const SEES_STATEMENTS = new Set(['approver', 'auditor', 'admin']);
const MOST_LISTED = 500;

const impactSchema = z.object({
  rows: z.int().nullable().describe('Rows its condition holds for, counted.'),
  estimated_rows: z.number().nullable().describe('Rows as the planner guesses.'),
  cascades: z.array(z.string()),
  triggers: z.array(z.string()),
  gaps: z.array(z.string()).describe('What could not be found out.'),
});

const reach = z.enum(['once', 'session', 'fingerprint']);

const requestSchema = z.object({
  request: z.int().describe('The ticket.'),
  state: z.enum(STATES),
  reason: z.string().nullable(),
  identity: identitySchema,
  session: z.string(),
  connection: z.string(),
  database: z.string(),
  role: z.string(),
  path: z.array(z.string()),
  kind: z.string(),
  fingerprint: z.string(),
  statement: z.string().nullable().describe('For approvers, auditors and administrators; `null` for others.'),
  binds: z.string().nullable(),
  effects: z.array(z.string()),
  rule: z.string(),
  message: z.string(),
  claimed: z.record(z.string(), z.string()).describe('What its client says; verified by nobody.'),
  in_transaction: z.boolean().describe('A transaction is open: what it has locked stays locked while this waits.'),
  guarded: z
    .boolean()
    .describe('If it changes more rows than were counted, it is rolled back; only once they are counted.'),
  unguarded: z.string().nullable().describe('Why it is not rolled back then; `null` if it is.'),
  stages: z.array(
    z.object({ groups: z.array(z.string()), subjects: z.array(z.string()), count: z.int(), missing: z.int() }),
  ),
  grant: reach,
  reaches: z.string().describe('How far an approval of it reaches, in words.'),
  votes: z.array(
    z.object({
      subject: z.string(),
      issuer: z.string(),
      on_behalf_of: z.array(z.string()),
      decision: z.enum(['approve', 'reject', 'break-glass']),
      reason: z.string(),
      channel: z.string(),
      at: time,
      uncounted: z.boolean().describe('Its rows could have been counted, and were not.'),
    }),
  ),
  impact: impactSchema.nullable(),
  preview: z
    .object({ state: z.enum(['made', 'waits', 'not made']), reason: z.string().nullable() })
    .describe('What becomes of `impact`: whoever opens the request has it made.'),
  review: z.object({ by: z.string(), at: time, note: z.string() }).nullable(),
  created: time,
  expires: time,
  decided: time.nullable(),
});

const count = z.int().min(0);

const historySchema = z.object({
  approved: count,
  ran: count.describe('Of those that were approved.'),
  rejected: count,
  expired: count.describe('Nobody decided, or collected the grant, in time.'),
  withdrawn: count,
  last: z
    .object({
      request: z.int(),
      decision: z.enum(['approved', 'rejected']),
      by: z.array(z.string()),
      at: time,
      reason: z.string(),
    })
    .nullable()
    .describe('The newest decision of people.'),
  last_run: z.object({ request: z.int(), rows: count }).nullable().describe('Rows it changed, or returned.'),
  not_held: z
    .object({ times: count, more: z.boolean(), last: time.nullable() })
    .nullable()
    .describe('How often such a statement ran without waiting, as far as records are indexed; `null` if they are not.'),
});

const openedSchema = requestSchema.extend({
  history: historySchema
    .nullable()
    .describe(
      'Of the newest 1,000 earlier ones on its connection that differ only in literals; `null` if it could not be read.',
    ),
  sample: z
    .union([
      z.object({
        columns: z.array(z.string()),
        rows: z.array(z.array(z.string().nullable())),
        none: z.null(),
      }),
      z.object({ columns: z.null(), rows: z.null(), none: z.string().describe('Why there are none.') }),
    ])
    .describe('The first rows that it is about, masked for who asks and for who looks; kept nowhere.'),
});

const ticket = z.object({ request: z.coerce.number().int().positive() });
const channel = z.enum(['api', 'cli', 'console']).default('api');
const answer = { 200: requestSchema };

/** Held statements: what they are, and votes on them. Whoever votes here has proved who they are, and is a person. */
export function addApprovalRoutes(api: ApiServer, services: ApiServices): void {
  const { approvals } = services;
  api.route({
    method: 'GET',
    url: '/approvals',
    config: { audience: 'viewer' },
    schema: {
      summary: 'Requests for approval, the newest first.',
      tags: ['approvals'],
      querystring: z.object({
        state: z.enum([...STATES, 'all']).default('pending'),
        unreviewed: z
          .stringbool()
          .default(false)
          .describe('Only those approved by breaking the glass, and not reviewed yet.'),
        most: z.coerce.number().int().min(1).max(MOST_LISTED).default(100),
      }),
      response: { 200: z.object({ requests: z.array(requestSchema) }) },
    },
    handler: async (request) => {
      const { state, unreviewed, most } = request.query;
      const found = unreviewed
        ? await approvals.unreviewed(most)
        : await approvals.list(state === 'all' ? [] : [state], most);
      return { requests: found.map((one) => view(one, callerOf(request), approvals)) };
    },
  });
  api.route({
    method: 'GET',
    url: '/approvals/:request',
    config: { audience: 'viewer' },
    schema: {
      summary: 'One request, to decide on it: what it would do is found out now if nobody has yet.',
      tags: ['approvals'],
      params: ticket,
      response: { 200: openedSchema },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const opened = await orNotFound(approvals.open(request.params.request));
      const [sample, history] = await Promise.all([sampleFor(opened, caller, services), historyOf(opened, services)]);
      return { ...view(opened, caller, approvals), sample, history };
    },
  });
  const votes = [
    ['approve', 'approve', 'Approves: the statement runs once everybody has who is asked.'],
    ['reject', 'reject', 'Rejects, with a reason that its client is told.'],
    ['break-glass', 'break-glass', 'Approves alone in an emergency; somebody else reviews it later.'],
  ] as const;
  for (const [path, decision, summary] of votes) {
    api.route({
      method: 'POST',
      url: `/approvals/:request/${path}`,
      config: { audience: 'approver' },
      schema: {
        summary,
        tags: ['approvals'],
        params: ticket,
        body: z.object({
          reason: z.string().max(2000).default(''),
          channel,
          unguarded: z
            .boolean()
            .default(false)
            .describe('Approves also if its rows are not counted: then it may change any number of them.'),
          grant: reach.optional().describe('Has the approval reach less far than the rules allow.'),
        }),
        response: answer,
      },
      handler: async (request) => {
        const caller = callerOf(request);
        const voter = await voterOf(caller, services);
        const voted = await refusable(approvals.vote(request.params.request, voter, decision, request.body));
        return view(voted, caller, approvals);
      },
    });
  }
  api.route({
    method: 'POST',
    url: '/approvals/:request/review',
    config: { audience: 'auditor' },
    schema: {
      summary: 'Says that somebody has looked at what was approved by breaking the glass.',
      tags: ['approvals'],
      params: ticket,
      body: z.object({ note: z.string().min(1).max(2000) }),
      response: answer,
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { identity } = caller.authenticated;
      const { request: id } = request.params;
      const reviewed = await refusable(approvals.review(id, identity, request.body.note));
      services.record('approval.reviewed', { request: id, by: identity, note: request.body.note });
      return view(reviewed, caller, approvals);
    },
  });
  api.route({
    method: 'POST',
    url: '/approvals/delegations',
    config: { audience: 'approver' },
    schema: {
      summary: 'Hands the own vote over to another approver until a time.',
      tags: ['approvals'],
      body: z.object({ to: z.string().min(1), issuer: z.string().default(''), until: time }),
      response: { 200: z.object({ to: z.string(), until: time }) },
    },
    handler: async (request) => {
      const { identity } = callerOf(request).authenticated;
      const { to, issuer, until } = request.body;
      await approvals.delegate(identity, { subject: to, issuer }, Date.parse(until));
      services.record('approval.delegated', { by: identity, to, issuer, until });
      return { to, until };
    },
  });
}

/** Who votes, with all that counts for it. */
export async function voterOf({ authenticated, roles }: Caller, { approvals, config }: ApiServices): Promise<Voter> {
  const { identity } = authenticated;
  return {
    identity,
    isApprover: roles.includes('approver'),
    mayBreakGlass: config.approvals.breakGlass.some((group) => identity.groups.includes(group)),
    inPlaceOf: await approvals.delegatedTo(identity),
  };
}

async function historyOf(
  request: ApprovalRequest,
  { approvals, recordIndex, log }: ApiServices,
): Promise<z.input<typeof openedSchema>['history']> {
  const history = await approvals.history(request);
  if (history === null) return null;
  const { last, lastRun, ...counts } = history;
  const { fingerprint, binding } = request.question;
  const filter = { connection: binding.connection, fingerprint, event: 'statement', verdict: 'allow', status: 'ok' };
  const found = await recordIndex()
    .then((index) => (index === null ? null : searchRecords(index, filter, MOST_FOUND)))
    .catch((error: Error) => {
      log.error({ reason: error.message }, 'records could not be searched for the history of a request');
      return null;
    });
  return {
    ...counts,
    last: last === null ? null : { ...last, by: [...last.by], at: isoTime(last.at) },
    last_run: lastRun,
    not_held:
      found === null
        ? null
        : {
            times: found.records.length,
            more: found.next !== null,
            last: isoTimeOrNull(found.records[0]?.at ?? null),
          },
  };
}

/** Rows are for those who see statements, and while it is not decided: then they are not those any more that it was about. */
async function sampleFor(
  { state, question }: ApprovalRequest,
  { roles, authenticated }: Caller,
  { sample }: ApiServices,
): Promise<z.input<typeof openedSchema>['sample']> {
  const none = (why: string) => ({ columns: null, rows: null, none: why });
  if (!roles.some((role) => SEES_STATEMENTS.has(role))) return none('Rows are shown to approvers and auditors.');
  if (state !== 'pending') return none('It is decided.');
  const found = await sample(question, authenticated.identity);
  return found.none !== null
    ? found
    : { columns: [...found.columns], rows: found.rows.map((row) => [...row]), none: null };
}

/** What somebody may see of a request: statements hold values. */
export function view(request: ApprovalRequest, { roles }: Caller, approvals: Approvals): z.input<typeof requestSchema> {
  const { question, impact, review } = request;
  const { binding } = question;
  const unguarded = whyUnguarded(request);
  const seesAll = roles.some((role) => SEES_STATEMENTS.has(role));
  return {
    request: request.id,
    state: request.state,
    reason: request.reason,
    identity: shown(question.identity),
    session: question.session,
    connection: binding.connection,
    database: binding.database,
    role: binding.role,
    path: [...binding.path],
    kind: question.kind,
    fingerprint: question.fingerprint,
    statement: seesAll ? binding.statement : null,
    binds: seesAll ? binding.binds : null,
    effects: [...question.effects],
    rule: question.rule,
    message: question.message,
    claimed: { ...question.claimed },
    in_transaction: question.inTransaction,
    guarded: unguarded === null,
    unguarded,
    stages: request.stages.map((stage) => ({
      groups: [...stage.groups],
      subjects: [...stage.subjects],
      count: stage.count,
      missing: missingIn(stage, request.votes),
    })),
    grant: request.grant,
    reaches: reachOf(request),
    votes: request.votes.map((vote) => viewOfVote(vote)),
    impact:
      impact === null
        ? null
        : {
            rows: impact.rows,
            estimated_rows: impact.estimatedRows,
            cascades: [...impact.cascades],
            triggers: [...impact.triggers],
            gaps: [...impact.gaps],
          },
    preview: approvals.previewOf(request),
    review: review === null ? null : { by: review.by, at: isoTime(review.at), note: review.note },
    created: isoTime(request.createdAt),
    expires: isoTime(request.expiresAt),
    decided: isoTimeOrNull(request.decidedAt),
  };
}

function viewOfVote({ subject, issuer, onBehalfOf, decision, reason, channel: by, at, isUncounted: uncounted }: Vote) {
  return { subject, issuer, on_behalf_of: [...onBehalfOf], decision, reason, channel: by, at: isoTime(at), uncounted };
}

async function orNotFound<T>(work: Promise<T>): Promise<T> {
  return work.catch((error) => {
    throw error instanceof VoteRefused ? new ApiError(404, 'not_found', error.message) : error;
  });
}

async function refusable<T>(work: Promise<T>): Promise<T> {
  return work.catch((error) => {
    if (!(error instanceof VoteRefused)) throw error;
    throw new ApiError(409, error instanceof NotCounted ? 'not_counted' : 'vote_refused', error.message);
  });
}

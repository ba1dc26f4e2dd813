import { VoteRefused } from '../../approvals/approvals.ts';
import { type Interaction, isNew, readInteraction } from '../../approvals/slack/interaction.ts';
import { fitsInModal, isApprovedAtOnce, modalOf } from '../../approvals/slack/message.ts';
import { personOf, UnknownPerson } from '../../approvals/slack/people.ts';
import { isFromSlack } from '../../approvals/slack/signature.ts';
import type { SlackChannel } from '../../approvals/slack/slack-channel.ts';
import { type Voter, whyNotVote } from '../../approvals/voting.ts';
import type { EventFields } from '../../recording/record-schema.ts';
import { currentTime } from '../../store/clock.ts';
import { ApiError } from '../api-error.ts';
import { rolesOf } from '../roles.ts';
import type { ApiServer, ApiServices } from '../services.ts';

/**
 * How long what is asked of Slack may take in all, milliseconds. Slack tells who pressed that it failed after three seconds, and opens
 * no modal then; a vote that comes later counts nevertheless, and the message says so.
 */
const ANSWER_MS = 8_000;
/** So long of those three a modal waits for the number of rows. */
const OPEN_MS = 1_500;
/** Anybody can send what is not signed: so many records a minute are made of it, so that it does not fill the journal. */
const MOST_UNSIGNED = 60;

/** What Slack is answered; nothing is said where the message itself will tell. */
type Answer = Readonly<Record<string, unknown>> | undefined;

/** Why somebody's vote from Slack does not count, in words for them. */
class Refused extends Error {}

/**
 * What people do in Slack. Nobody logs in here: Slack's signature says that it is from Slack, Slack says who of its users it
 * is, and who that is for Sluice is found out. What they may is what they might at any other place.
 */
export async function addSlackRoutes(api: ApiServer, services: ApiServices): Promise<void> {
  let minute = 0;
  let unsigned = 0;
  const mayRecordUnsigned = (): boolean => {
    const now = Math.floor(Date.now() / 60_000);
    if (now !== minute) unsigned = 0;
    minute = now;
    return ++unsigned <= MOST_UNSIGNED;
  };
  // In a scope of its own: the signature is over the bytes as they came.
  await api.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
    scope.route({
      method: 'POST',
      url: '/approvals/slack',
      config: { audience: 'public' },
      schema: {
        summary: 'Takes what people do with messages in Slack; signed by Slack.',
        tags: ['approvals'],
        consumes: ['application/x-www-form-urlencoded'],
      },
      handler: async (request, reply) => {
        const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
        const answer = await take(body, request.headers, request.ip, services, mayRecordUnsigned);
        return answer === undefined ? reply.send() : reply.send(answer);
      },
    });
  });
}

async function take(
  body: Buffer,
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  address: string,
  services: ApiServices,
  mayRecordUnsigned: () => boolean,
): Promise<Answer> {
  const { outbox, record, store } = services;
  const signed = outbox!.slack.filter(({ config }) => isFromSlack(config.signingSecret, headers, body, currentTime()));
  const note = (reason: string) => record('auth.failed', { user: null, via: 'slack', client: { address }, reason });
  if (signed.length === 0) {
    if (mayRecordUnsigned()) note('it is not signed by Slack, or it is old');
    throw new ApiError(401, 'unauthenticated', 'This is not taken.');
  }
  const fail = (status: number, code: string, reason: string): never => {
    note(reason);
    throw new ApiError(status, code, 'This is not taken.');
  };
  let interaction: Interaction | null;
  try {
    interaction = readInteraction(body.toString());
  } catch {
    throw new ApiError(400, 'invalid', 'This is no interaction with a message of Sluice.');
  }
  if (interaction === null) return undefined;
  const { channel: name, team, userTeam } = interaction;
  const channel = signed.find((one) => one.name === name && one.config.team === team && userTeam === team);
  if (channel === undefined) return fail(403, 'forbidden', `it is of workspace ${userTeam} in ${team}, for ${name}`);
  if (!(await isNew(store, body))) {
    // Slack sends again what was not answered in time: the first is, or was, at work.
    if (headers['x-slack-retry-num'] !== undefined) return undefined;
    return fail(409, 'replayed', 'it has come before');
  }
  return act(interaction, channel, services);
}

async function act(interaction: Interaction, channel: SlackChannel, services: ApiServices): Promise<Answer> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const { user, team, request, decision } = interaction;
  const note = (
    outcome: 'voted' | 'opened' | 'refused',
    more: Pick<EventFields<'approval.slack'>, 'by' | 'subject' | 'reason'>,
  ) =>
    services.record('approval.slack', {
      channel: channel.name,
      request,
      slack: { team, user },
      decision,
      outcome,
      ...more,
    });
  let subject: string | null = null;
  try {
    const voter = await voterOf(user, channel, services, signal);
    subject = voter.identity.subject;
    const outcome = await voteOrAsk(interaction, voter, channel, services, signal);
    note(outcome, { by: voter.identity });
    return undefined;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof UnknownPerson || error instanceof VoteRefused)) throw error;
    const reason = error.message;
    note('refused', { ...(subject !== null && { subject }), reason });
    if (interaction.by === 'modal') return { response_action: 'errors', errors: { reason } };
    // Only they see it; if that fails, the record has it.
    const { conversation } = channel.config;
    const text = reason.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    await channel.api
      .call('chat.postEphemeral', { channel: conversation, user, text }, signal)
      .catch((failure: Error) => services.log.warn({ channel: channel.name, reason: failure.message }, 'Slack fails'));
    return undefined;
  }
}

/** @throws Refused, UnknownPerson */
async function voterOf(
  user: string,
  channel: SlackChannel,
  services: ApiServices,
  signal: AbortSignal,
): Promise<Voter> {
  const { access, roles, approvals } = services;
  access.check();
  const identity = await personOf(user, channel, services, signal);
  const ended = access.refusal({ identity });
  if (ended !== null) throw new Refused(`Your identity is not good any more: ${ended}.`);
  if (!rolesOf(identity, roles).includes('approver')) throw new Refused('This is for those with the role "approver".');
  // In an emergency people log in.
  return { identity, isApprover: true, mayBreakGlass: false, inPlaceOf: await approvals.delegatedTo(identity) };
}

/** Votes; or opens a modal, for a reason, or because nobody approves what they have not seen in full. @throws VoteRefused, Refused */
async function voteOrAsk(
  interaction: Interaction,
  voter: Voter,
  { api, style }: SlackChannel,
  { approvals }: ApiServices,
  signal: AbortSignal,
): Promise<'voted' | 'opened'> {
  const { request: id, decision } = interaction;
  const request = await approvals.request(id);
  if (
    interaction.by === 'button' &&
    (decision === 'reject' || !(interaction.counted && isApprovedAtOnce(request, style)))
  ) {
    // Who may not vote need not see the statement.
    const refused = whyNotVote(request, voter, currentTime());
    if (refused !== null) throw new VoteRefused(refused);
    const opened = decision === 'approve' ? await approvals.open(id, OPEN_MS) : request;
    const view = modalOf(opened, decision, style);
    await api.call('views.open', { trigger_id: interaction.trigger, view }, signal);
    return 'opened';
  }
  if (interaction.by === 'modal' && decision === 'approve' && !fitsInModal(request)) {
    throw new Refused('The statement is too long to be approved here.');
  }
  const { reason, unguarded } = interaction.by === 'modal' ? interaction : { reason: '', unguarded: false };
  await approvals.vote(id, voter, decision, { reason, channel: 'slack', unguarded });
  return 'voted';
}

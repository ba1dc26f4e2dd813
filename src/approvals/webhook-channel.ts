import { causeOf, DeliveryError, refusalIn } from '../../protocols/webhooks/answers.ts';
import { webhookRequest } from '../../protocols/webhooks/standard-webhooks.ts';
import type { WebhookChannelConfig } from '../config/config.ts';
import type { ApprovalEvent } from './approvals.ts';
import { type Channel, type Delivery, noticeOf } from './channel.ts';
import type { ApprovalRequest, Vote } from './request.ts';
import { missingIn } from './voting.ts';

/** Counted up when something of the payload goes or means something else; what is added does not count. */
const PAYLOAD_VERSION = 1;

/** Posts events to a program, signed as https://www.standardwebhooks.com has it. */
export class WebhookChannel implements Channel {
  readonly name: string;
  readonly #config: WebhookChannelConfig;
  readonly #approvalsUrl: string | null;

  /** @param approvalsUrl where people find requests, without a slash at its end; `null` where nowhere */
  constructor(config: WebhookChannelConfig, approvalsUrl: string | null) {
    this.name = config.name;
    this.#config = config;
    this.#approvalsUrl = approvalsUrl;
  }

  payloadOf(event: ApprovalEvent, number: number): string | null {
    const { events, connections, statements } = this.#config;
    const type = noticeOf(event);
    const { connection } = event.request.question.binding;
    if (!events.includes(type) || connections?.includes(connection) === false) return null;
    const link = this.#approvalsUrl && `${this.#approvalsUrl}/approvals/${event.request.id}`;
    return JSON.stringify({
      type,
      timestamp: isoTime(Date.now()),
      version: PAYLOAD_VERSION,
      data: {
        number,
        ...aboutRequest(event.request, statements),
        link,
        ...(event.event === 'voted' && { vote: aboutVote(event.vote) }),
        ...(event.event === 'collected' && { collected_by: event.session }),
      },
    });
  }

  async deliver({ id, number, payload }: Delivery, signal: AbortSignal): Promise<number> {
    await this.#post(id, payload, signal);
    return number;
  }

  async test(id: string, signal: AbortSignal): Promise<void> {
    const timestamp = isoTime(Date.now());
    const payload = JSON.stringify({ type: 'channel.test', timestamp, version: PAYLOAD_VERSION, data: {} });
    await this.#post(id, payload, signal);
  }

  async #post(id: string, payload: string, signal: AbortSignal): Promise<void> {
    const { secrets, url } = this.#config;
    let response: Response;
    try {
      response = await fetch(url, { ...webhookRequest(secrets, { id, at: Date.now(), body: payload }), signal });
      await response.body?.cancel();
    } catch (error) {
      throw signal.aborted ? signal.reason : new DeliveryError(causeOf(error as Error));
    }
    if (!response.ok) throw refusalIn(response, Date.now());
  }
}

function aboutRequest(request: ApprovalRequest, withStatement: boolean): object {
  const { question, impact } = request;
  const { identity, binding } = question;
  return {
    request: request.id,
    state: request.state,
    reason: request.reason,
    identity: {
      subject: identity.subject,
      kind: identity.kind,
      ...(identity.issuer !== undefined && { issuer: identity.issuer }),
      ...(identity.owner !== undefined && { owner: identity.owner }),
    },
    session: question.session,
    connection: binding.connection,
    database: binding.database,
    role: binding.role,
    kind: question.kind,
    fingerprint: question.fingerprint,
    ...(withStatement && { statement: binding.statement, binds: binding.binds, claimed: question.claimed }),
    effects: question.effects,
    rule: question.rule,
    message: question.message,
    in_transaction: question.inTransaction,
    stages: request.stages.map((stage) => ({ ...stage, missing: missingIn(stage, request.votes) })),
    grant: request.grant,
    votes: request.votes.map(aboutVote),
    impact: impact && {
      rows: impact.rows,
      estimated_rows: impact.estimatedRows,
      cascades: impact.cascades,
      triggers: impact.triggers,
    },
    created: isoTime(request.createdAt),
    expires: isoTime(request.expiresAt),
    decided: request.decidedAt === null ? null : isoTime(request.decidedAt),
  };
}

function aboutVote({ subject, issuer, onBehalfOf, decision, reason, channel, at }: Vote): object {
  return { subject, issuer, on_behalf_of: onBehalfOf, decision, reason, channel, at: isoTime(at) };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

import type { EventFields, EventName } from '../recording/record-schema.ts';
import type { ApprovalEvent } from './approvals.ts';

/** What the journal says of an event, as its fields in JSON without braces; `null` where there is nothing to keep. */
export function recordOf(event: ApprovalEvent): string | null {
  const { id, question, state, reason } = event.request;
  const { identity, binding, session } = question;
  switch (event.event) {
    case 'requested':
      return fields('approval.requested', {
        request: id,
        session,
        identity,
        connection: binding.connection,
        fingerprint: question.fingerprint,
        rules: [...new Set(question.approvals.map(({ rule }) => rule))],
        expires: new Date(event.request.expiresAt).toISOString(),
      });
    case 'voted': {
      const { issuer, subject, onBehalfOf, decision, channel } = event.vote;
      const voter = { subject, ...(issuer !== '' && { issuer }) };
      const { reason: why, isUncounted } = event.vote;
      const { grant } = event;
      const more = { ...(isUncounted && { uncounted: true as const }), ...(grant !== null && { grant }) };
      return fields('approval.voted', { request: id, voter, onBehalfOf, decision, reason: why, channel, ...more });
    }
    case 'decided':
      return fields('approval.decided', { request: id, state, ...(reason !== null && { reason }) });
    case 'collected':
      return fields('approval.collected', { request: id, session: event.session });
    case 'estimated':
      return null;
  }
}

function fields<Name extends EventName>(name: Name, values: EventFields<Name>): string {
  return `"${name}",${JSON.stringify(values).slice(1, -1)}`;
}

import { createHash } from 'node:crypto';
import {
  claimsOf,
  identityOf,
  type OtherEvent,
  type RecordedEvent,
  type RecordedIdentity,
  relationsIn,
  type StatementEvent,
} from '../joined-statements.ts';
import { number, object, text } from '../record-fields.ts';
import type { Origin } from './origin.ts';

/**
 * Events as OCSF (https://schema.ocsf.io) has them: statements are Datastore Activity, logins Authentication, changes of
 * what is managed Entity Management, and everything else Base Events, each with the whole record. docs/recording.md has the
 * table. What clients claim is under `unmapped.claimed`, and in `ai_agent.name`, `ai_agent.ai_model` and `message_context`.
 */

const VERSION = '1.9.0';
/** Longest text of a statement, UTF-16 code units. */
const LONGEST_TEXT = 8_000;

/** An OCSF event as a JSON object. */
export type OcsfEvent = Readonly<Record<string, unknown>>;

/** Makes OCSF events of one node, each attested and tied to the one before it since the start of this process. */
export class OcsfEvents {
  readonly #origin: Origin;
  #chain = '';
  #previous: object | null = null;
  /** The last one of what was delivered. */
  #delivered: object | null = null;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** What was made since the last {@link done} was not delivered: it is made again. */
  begin(): void {
    this.#previous = this.#delivered;
  }

  /** What was made is delivered. */
  done(): void {
    this.#delivered = this.#previous;
  }

  of(event: RecordedEvent): OcsfEvent {
    const made = event.kind === 'statement' ? this.#statement(event) : this.#other(event);
    return this.#attested(made, event.node);
  }

  /**
   * The record_integrity profile: a fingerprint over the event in canonical form (RFC 8785), without the fingerprint itself,
   * with that of the event before.
   */
  #attested(event: OcsfEvent, node: string): OcsfEvent {
    const { uid } = event.metadata as { uid: string };
    if (this.#chain === '') this.#chain = `${uid} ${Date.now().toString(36)}`;
    const attestation = {
      authority_uid: node,
      chain_uid: this.#chain,
      ...(this.#previous !== null && { prev_event: this.#previous }),
    };
    const value = createHash('sha256')
      .update(canonical({ ...event, attestation_list: [attestation] }))
      .digest('hex');
    const fingerprint = {
      ...{ algorithm_id: 3, algorithm: 'SHA-256', encoding_id: 1, encoding: 'Hex' },
      ...{ serialization_id: 2, serialization: 'JCS', value },
    };
    this.#previous = { uid, type_uid: event.type_uid, fingerprint };
    return { ...event, attestation_list: [{ ...attestation, fingerprint }] };
  }

  #statement(event: StatementEvent): OcsfEvent {
    const { identity, outcome, trace } = event;
    const { activity, name } = activityOf(event);
    const [table, ...others] = relationsIn(event.effects);
    const isOneTable = table !== undefined && others.length === 0;
    const target = this.#origin.targets.get(event.connection);
    const isCut = event.text.length > LONGEST_TEXT;
    const ms = outcome?.ms ?? null;
    const control = controlOf(event);
    const ai = aiOf(event);
    return {
      ...classified(6005, 'Datastore Activity', 6, 'Application Activity', activity, name),
      ...severity(control.action_id === 2 ? 3 : control.disposition_id === 8 ? 2 : 1),
      ...statusOf(event),
      ...control,
      time: event.at,
      ...(ms !== null && { start_time: event.at, end_time: Math.round(event.at + ms), duration: Math.round(ms) }),
      message: `${event.identity?.subject ?? 'somebody'}: ${event.type} on ${event.connection}: ${event.verdict}`,
      metadata: this.#metadata(event.node, event.seq, event.at, 'statement', {
        profiles: ['security_control', 'record_integrity', ...(ai === null ? [] : ['ai_operation'])],
        correlation_uid: trace?.traceId ?? event.session,
        ...(isCut && { is_truncated: true, untruncated_size: Math.ceil(Buffer.byteLength(event.text) / 1024) }),
      }),
      actor: {
        ...(identity !== null && actorOf(identity)),
        session: { uid: event.session, ...(identity?.issuer != null && { issuer: identity.issuer }) },
      },
      src_endpoint: endpoint(event.client),
      ...(target !== undefined && {
        dst_endpoint: { hostname: target.host, port: target.port, svc_name: event.connection },
      }),
      type_id: isOneTable ? 3 : 1,
      type: isOneTable ? 'Table' : 'Database',
      database: {
        name: target?.database ?? event.connection,
        uid: event.connection,
        type_id: 1,
        type: 'Relational',
      },
      ...(isOneTable && { table: { name: table } }),
      query_info: {
        query_string: isCut ? event.text.slice(0, LONGEST_TEXT) : event.text,
        uid: event.fingerprint,
        query_time: event.at,
        ...(outcome?.bytes != null && { bytes: outcome.bytes }),
      },
      ...ai,
      unmapped: {
        ...{ statement: event.statement, kind: event.type, effects: event.effects, verdict: event.verdict },
        ...{ rules: event.rules, masks: event.masks, claimed: event.claimed },
        ...(trace !== null && { trace: { uid: trace.traceId, span_uid: trace.spanId, sampled: trace.sampled } }),
        ...(identity?.owner != null && { owner: identity.owner }),
        ...(event.approval !== null && { approval: event.approval }),
        ...(event.heldMs !== null && { held_ms: event.heldMs }),
        ...(outcome?.judgedMs != null && { judged_ms: outcome.judgedMs }),
        ...(outcome !== null && { status: outcome.status, ...present(outcome.rows, 'rows') }),
        ...(outcome !== null && { ...present(outcome.affected, 'affected'), ...present(outcome.errno, 'errno') }),
      },
    };
  }

  #other({ node, record }: OtherEvent): OcsfEvent {
    const { event, fields, at } = record;
    const identity = identityOf(fields.identity);
    const by = identityOf(fields.by);
    const client = text(object(fields.client).address);
    const common = {
      time: at,
      message: event,
      metadata: this.#metadata(node, record.seq, at, event, {
        profiles: ['record_integrity'],
        ...(text(fields.session) !== null && { correlation_uid: fields.session }),
      }),
      unmapped: unmappedOf(fields),
    };
    const logon = LOGONS.get(event);
    if (logon !== undefined) {
      const failed = event === 'auth.failed';
      const user = failed ? { name: text(fields.user) ?? 'unknown' } : identity === null ? null : userOf(identity);
      return {
        ...classified(3002, 'Authentication', 3, 'Identity & Access Management', logon.activity, logon.name),
        ...severity(failed ? 2 : 1),
        ...(failed ? status(2, text(fields.reason)) : status(1, null)),
        ...common,
        user: user ?? { name: 'unknown' },
        ...(text(fields.session) !== null && {
          session: { uid: fields.session, ...(identity?.issuer != null && { issuer: identity.issuer }) },
        }),
        service: { name: text(fields.connection) ?? 'Sluice' },
        src_endpoint: endpoint(client),
        is_remote: true,
      };
    }
    const managed = MANAGED.get(event);
    if (managed !== undefined) {
      const doer = by ?? identity ?? identityOf(fields.voter);
      return {
        ...classified(3004, 'Entity Management', 3, 'Identity & Access Management', managed.activity, managed.name),
        ...severity(event === 'identity.locked' || event === 'session.killed' ? 3 : 1),
        ...status(1, null),
        ...common,
        ...(doer !== null && { actor: actorOf(doer) }),
        entity: { uid: managed.uid(fields), name: managed.type, type: managed.type },
        ...(text(fields.reason) !== null && { comment: fields.reason }),
        ...(client !== null && { src_endpoint: endpoint(client) }),
      };
    }
    return {
      ...classified(0, 'Base Event', 0, 'Uncategorized', 99, event),
      ...severity(event === 'journal.gap' || event === 'protocol.violation' || event === 'api.refused' ? 3 : 1),
      ...common,
    };
  }

  #metadata(node: string, seq: number, at: number, code: string, further: object): object {
    return {
      version: VERSION,
      uid: `${node}/${seq}`,
      sequence: seq,
      event_code: code,
      logged_time: at,
      log_name: 'journal',
      log_provider: node,
      product: { name: 'Sluice', vendor_name: 'Sluice', version: this.#origin.version },
      ...further,
    };
  }
}

function classified(
  uid: number,
  name: string,
  category: number,
  categoryName: string,
  activity: number,
  activityName: string,
): object {
  return {
    ...{ class_uid: uid, class_name: name, category_uid: category, category_name: categoryName },
    ...{ activity_id: activity, activity_name: activityName },
    ...{ type_uid: uid * 100 + activity, type_name: `${name}: ${activityName}` },
  };
}

const SEVERITIES = ['Unknown', 'Informational', 'Low', 'Medium'];

function severity(id: number): object {
  return { severity_id: id, severity: SEVERITIES[id] };
}

function status(id: number, detail: string | null): object {
  return {
    status_id: id,
    status: ['Unknown', 'Success', 'Failure'][id],
    ...(detail !== null && { status_detail: detail }),
  };
}

function statusOf({ outcome }: StatementEvent): object {
  if (outcome === null) return status(0, null);
  const { status: word, sqlstate, by } = outcome;
  const id = word === 'ok' ? 1 : word === 'lost' ? 0 : 2;
  const detail = by === null ? word : `${word} by ${by}`;
  return { ...status(id, word === 'ok' ? null : detail), ...(sqlstate !== null && { status_code: sqlstate }) };
}

const ACTIVITIES: readonly (readonly [RegExp, number, string])[] = [
  [/^(?:delete|truncate) /, 7, 'Delete'],
  [/^update /, 2, 'Update'],
  [/^merge /, 5, 'Write'],
  [/^(?:insert|copy-in) /, 6, 'Create'],
  [/^(?:create|alter|drop|rename|grant|revoke|role|file|program|set-role|set-global)(?: |$)/, 99, ''],
  [/^(?:read|copy-out) /, 4, 'Query'],
];

/** What it does, by what it does most. */
function activityOf({ type, effects }: StatementEvent): { activity: number; name: string } {
  if (type === 'OPAQUE') return { activity: 0, name: 'Unknown' };
  for (const [pattern, activity, name] of ACTIVITIES) {
    if (effects.some((effect) => pattern.test(effect))) return { activity, name: name === '' ? type : name };
  }
  return type === 'SELECT' ? { activity: 4, name: 'Query' } : { activity: 99, name: type || 'Other' };
}

interface Control {
  readonly action_id: number;
  readonly disposition_id: number;
}

/** The security_control profile. */
function controlOf({ verdict, outcome, rules, rulesVersion, masks, approval }: StatementEvent): Control {
  const refused = outcome?.status === 'refused';
  const decided = refused
    ? verdict === 'hold'
      ? { action_id: 2, action: 'Denied', disposition_id: 25, disposition: 'Rejected' }
      : { action_id: 2, action: 'Denied', disposition_id: 2, disposition: 'Blocked' }
    : approval !== null
      ? { action_id: 1, action: 'Allowed', disposition_id: 8, disposition: 'Approved' }
      : masks.length > 0
        ? { action_id: 4, action: 'Modified', disposition_id: 99, disposition: 'Masked' }
        : { action_id: 1, action: 'Allowed', disposition_id: 1, disposition: 'Allowed' };
  const rule = refused && outcome.by !== null ? outcome.by : rules[0];
  return {
    ...decided,
    ...{ is_alert: refused },
    ...(rule !== undefined && { firewall_rule: { uid: rule, name: rule } }),
    ...(rulesVersion !== '' && { policy: { name: 'rules', version: rulesVersion, is_applied: true } }),
  } as Control;
}

/** The ai_operation profile, for agents and for whoever claims to act for a model; `null` for others. */
function aiOf({ identity, claimed, connection }: StatementEvent): object | null {
  const agent = claimed['gen_ai.agent.name'];
  const model = claimed['gen_ai.request.model'] ?? claimed['gen_ai.response.model'];
  const conversation = claimed['gen_ai.conversation.id'] ?? claimed['mcp.session.id'];
  if (identity?.kind !== 'agent' && agent === undefined && model === undefined && conversation === undefined)
    return null;
  const provider = claimed['gen_ai.provider.name'] ?? claimed['gen_ai.system'] ?? 'unknown';
  return {
    ai_agent: {
      // The credential's owner is who Sluice verified; its name is what the agent says.
      uid: identity?.subject ?? 'unknown',
      ...(agent !== undefined && { name: agent }),
      ...(conversation !== undefined && { instance_uid: conversation }),
      ...(model !== undefined && { ai_model: { name: model, ai_provider: provider } }),
    },
    ...(conversation !== undefined && {
      message_context: { uid: conversation, ai_role_id: 3, ai_role: 'Tool', service: { name: connection } },
    }),
  };
}

const LOGONS: ReadonlyMap<string, { readonly activity: number; readonly name: string }> = new Map([
  ['auth.ok', { activity: 1, name: 'Logon' }],
  ['auth.failed', { activity: 1, name: 'Logon' }],
  ['session.start', { activity: 1, name: 'Logon' }],
  ['session.end', { activity: 2, name: 'Logoff' }],
  ['login.created', { activity: 1, name: 'Logon' }],
  ['login.ended', { activity: 2, name: 'Logoff' }],
]);

interface Managed {
  readonly activity: number;
  readonly name: string;
  /** What kind of thing it is. */
  readonly type: string;
  uid(fields: Readonly<Record<string, unknown>>): string;
}

const request = (activity: number, name: string): Managed => ({
  ...{ activity, name, type: 'approval request' },
  uid: (fields) => String(number(fields.request) ?? ''),
});
const credential = (activity: number, name: string): Managed => ({
  ...{ activity, name, type: 'credential' },
  uid: (fields) => text(fields.credential) ?? '',
});
const subject = (activity: number, name: string): Managed => ({
  ...{ activity, name, type: 'identity' },
  uid: (fields) => identityOf(fields.identity)?.subject ?? '',
});
const rules = (activity: number, name: string): Managed => ({
  ...{ activity, name, type: 'rules' },
  uid: (fields) => text(fields.version) ?? '',
});

const MANAGED: ReadonlyMap<string, Managed> = new Map([
  ['approval.requested', request(1, 'Create')],
  ['approval.voted', request(3, 'Update')],
  ['approval.decided', request(3, 'Update')],
  ['approval.collected', request(3, 'Update')],
  ['approval.reviewed', request(3, 'Update')],
  ['credential.created', credential(1, 'Create')],
  ['credential.revoked', credential(4, 'Delete')],
  ['identity.locked', subject(12, 'Suspend')],
  ['identity.unlocked', subject(13, 'Resume')],
  ['identity.retired', subject(9, 'Disable')],
  ['rules.loaded', rules(3, 'Update')],
  [
    'session.killed',
    { activity: 11, name: 'Deactivate', type: 'session', uid: (fields) => text(fields.session) ?? '' },
  ],
]);

function actorOf(identity: RecordedIdentity): object {
  return { user: userOf(identity), ...(identity.issuer !== null && { idp: { name: identity.issuer } }) };
}

function userOf({ subject, kind, groups }: RecordedIdentity): object {
  const type =
    kind === 'human' ? { type_id: 1, type: 'User' } : kind === 'service' ? { type_id: 4, type: 'Service' } : null;
  return {
    name: subject,
    uid: subject,
    ...(type ?? { type_id: 99, type: kind === 'agent' ? 'Agent' : 'Other' }),
    ...(groups.length > 0 && { groups: groups.map((name) => ({ name })) }),
  };
}

/** An address of IPv6 that stands for one of IPv4 is that. */
function endpoint(address: string | null): object {
  const ip = (address ?? '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
  return /^[\da-fA-F:.]+(?:%.+)?$/.test(ip) ? { ip } : { name: ip === '' ? 'unknown' : ip };
}

/** The record's own fields, without the frame and without a text that is too long. */
function unmappedOf(fields: Readonly<Record<string, unknown>>): object {
  const { v: _v, seq: _seq, prev: _prev, at: _at, event: _event, ...rest } = fields;
  const claimed = rest.claimed === undefined ? {} : { claimed: claimsOf(rest.claimed) };
  const written = text(rest.text);
  return { ...rest, ...claimed, ...(written !== null && { text: written.slice(0, LONGEST_TEXT) }) };
}

function present(value: number | null, name: string): object {
  return value === null ? {} : { [name]: value };
}

/** JSON Canonicalization Scheme (RFC 8785): names in order, no white space, numbers and texts as ECMAScript writes them. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  // Names are ordered by their UTF-16 code units, as `<` does.
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`).join(',')}}`;
}

import { createHash } from 'node:crypto';
import { withoutLiterals } from '../../statements/literals.ts';
import { literalsInText as literalsInMysqlText } from '../../statements/mysql/literals-in-text.ts';
import { literalsInText as literalsInPostgresText } from '../../statements/postgres/literals-in-text.ts';
import { type RecordedEvent, relationsIn, type StatementEvent } from '../joined-statements.ts';
import { text } from '../record-fields.ts';
import type { Origin } from './origin.ts';

/**
 * Events as OTLP's JSON has them (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hexadecimal, numbers
 * of 64 bits as texts. Attributes are those of the semantic conventions for databases (1.43, the stable ones), and of Sluice where
 * there are none. What the client claims keeps the name it has there, `gen_ai.conversation.id`, where that is one of the
 * conventions, and is under `sluice.claimed.` otherwise.
 */

type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } }
  | { readonly kvlistValue: { readonly values: readonly KeyValue[] } };

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

/** Longest text of a statement, UTF-16 code units. */
const LONGEST_TEXT = 8_000;
const SCOPE = 'sluice';

/** The body of an ExportLogsServiceRequest. */
export function logsRequest(events: readonly RecordedEvent[], node: string, origin: Origin): object {
  const logRecords = events.map((event) => logRecord(event, origin));
  return {
    resourceLogs: [
      {
        resource: resource(node, origin),
        scopeLogs: [{ scope: { name: SCOPE, version: origin.version }, logRecords }],
      },
    ],
  };
}

/** The body of an ExportTraceServiceRequest; `null` if none of the events belongs to a trace that is recorded. */
export function tracesRequest(events: readonly RecordedEvent[], node: string, origin: Origin): object | null {
  const spans = events.flatMap((event) =>
    event.kind === 'statement' && event.trace?.sampled ? spanOf(event, origin) : [],
  );
  if (spans.length === 0) return null;
  return {
    resourceSpans: [
      { resource: resource(node, origin), scopeSpans: [{ scope: { name: SCOPE, version: origin.version }, spans }] },
    ],
  };
}

function resource(node: string, { version, hostname }: Origin): object {
  return {
    attributes: attributes({
      'service.name': 'sluice',
      'service.version': version,
      'service.instance.id': node,
      'host.name': hostname,
    }),
  };
}

// --- Spans -----------------------------------------------------------------------------------------------------------

const KIND = { internal: 1, client: 3 } as const;
const STATUS = { ok: 1, error: 2 } as const;
/** The caller recorded its trace, and its span is of another process (opentelemetry/proto/trace/v1, SpanFlags). */
const SAMPLED_AND_REMOTE = 0x301;
const SAMPLED = 0x101;
/** W3C Trace Context, section 3.3.1.3. */
const LONGEST_TRACESTATE = 512;

/** The statement's span, child of the one it claims to come from, and below it one for what Sluice and the database took. */
function spanOf(event: StatementEvent, origin: Origin): object[] {
  const { trace, outcome, at } = event;
  const spanId = spanIdOf(event);
  const heldMs = event.heldMs ?? 0;
  const begin = at - heldMs - (outcome?.judgedMs ?? 0);
  const end = at + (outcome?.ms ?? 0);
  const traceState = event.claimed.tracestate;
  const failure = failureOf(event);
  const { traceId, spanId: parentSpanId } = trace!;
  const part = (name: string, from: number, to: number): object => ({
    traceId,
    spanId: idOf(`${event.node}/${event.seq}/${name}`),
    parentSpanId: spanId,
    flags: SAMPLED,
    name,
    kind: KIND.internal,
    ...between(from, to),
  });
  return [
    {
      traceId,
      spanId,
      parentSpanId,
      flags: SAMPLED_AND_REMOTE,
      ...(traceState !== undefined && traceState.length <= LONGEST_TRACESTATE && { traceState }),
      name: summaryOf(event),
      kind: KIND.client,
      ...between(begin, end),
      attributes: statementAttributes(event, origin),
      ...(failure !== null && { status: { code: STATUS.error, message: failure } }),
    },
    ...(heldMs > 0 ? [part('sluice.held', at - heldMs, at)] : []),
    ...(heldMs > 0 && outcome?.ms != null ? [part('sluice.database', at, end)] : []),
  ];
}

/** The same one whenever the statement is exported, so that a receiver can tell that it has it. */
export function spanIdOf({ node, seq }: StatementEvent): string {
  return idOf(`${node}/${seq}`);
}

function idOf(name: string): string {
  const id = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return /^0+$/.test(id) ? '0000000000000001' : id;
}

/** Why it did not do what the client wanted; `null` if it did. */
function failureOf({ outcome }: StatementEvent): string | null {
  if (outcome === null || outcome.status === 'ok' || outcome.status === 'lost') return null;
  return outcome.status === 'refused' ? `refused by ${outcome.by ?? 'Sluice'}` : outcome.status;
}

/** `DELETE public.orders`: of few different values, as names of spans are to be. */
function summaryOf({ type, effects }: StatementEvent): string {
  const relations = relationsIn(effects);
  return [type, ...relations].join(' ').slice(0, 255) || 'statement';
}

const SYSTEMS = { postgres: 'postgresql', mysql: 'mysql' } as const;

/** Shared by the span and the log record of a statement. */
function statementAttributes(event: StatementEvent, { targets }: Origin): KeyValue[] {
  const { outcome, identity, protocol } = event;
  const target = targets.get(event.connection);
  const relations = relationsIn(event.effects);
  const code = outcome === null ? null : protocol === 'mysql' ? (outcome.errno ?? outcome.sqlstate) : outcome.sqlstate;
  const failed = failureOf(event) !== null;
  return attributes({
    'db.system.name': protocol === null ? 'other_sql' : SYSTEMS[protocol],
    'db.namespace': target?.database,
    'db.operation.name': event.type === 'OPAQUE' ? null : event.type,
    'db.collection.name': relations.length === 1 ? relations[0] : null,
    'db.query.summary': summaryOf(event),
    'db.query.text': withoutValues(event),
    'db.response.status_code': failed && code !== null ? String(code) : null,
    'error.type': failed ? String(code ?? outcome?.status ?? '_OTHER') : null,
    'server.address': target?.host,
    'server.port': target?.port,
    'client.address': event.client,
    'sluice.connection': event.connection,
    'sluice.session.id': event.session,
    'sluice.statement': event.statement,
    'sluice.record': event.seq,
    'sluice.identity.subject': identity?.subject,
    'sluice.identity.kind': identity?.kind,
    'sluice.verdict': event.verdict,
    'sluice.rules': event.rules,
    'sluice.masks': event.masks.length === 0 ? null : event.masks,
    'sluice.fingerprint': event.fingerprint,
    'sluice.approval.request': event.approval,
    'sluice.status': outcome?.status,
    'sluice.refused_by': outcome?.by,
    'sluice.held.duration': event.heldMs === null ? null : event.heldMs / 1000,
    'sluice.judged.duration': outcome?.judgedMs == null ? null : outcome.judgedMs / 1000,
    'sluice.database.duration': outcome?.ms == null ? null : outcome.ms / 1000,
    'sluice.rows': outcome?.rows,
    'sluice.rows_affected': outcome?.affected,
    'sluice.bytes': outcome?.bytes,
    ...claimedAttributes(event.claimed),
  });
}

/** The conventions want no values in a text by default, whatever the journal has. */
function withoutValues({ protocol, text: written }: StatementEvent): string {
  const literals = protocol === 'mysql' ? literalsInMysqlText(written, null) : literalsInPostgresText(written);
  return withoutLiterals(written, literals).slice(0, LONGEST_TEXT);
}

/** Of the conventions for generative AI and MCP. The trace is in the span itself. */
function claimedAttributes(claimed: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(claimed).filter(([name]) => name !== 'traceparent' && name !== 'tracestate');
  return Object.fromEntries(
    entries.map(([name, value]) => [/^(?:gen_ai|mcp)\./.test(name) ? name : `sluice.claimed.${name}`, value]),
  );
}

// --- Logs ------------------------------------------------------------------------------------------------------------

const SEVERITY = { INFO: 9, WARN: 13, ERROR: 17 } as const;
const SEVERITIES: ReadonlyMap<string, keyof typeof SEVERITY> = new Map([
  ['auth.failed', 'WARN'],
  ['api.refused', 'WARN'],
  ['protocol.violation', 'WARN'],
  ['identity.locked', 'WARN'],
  ['session.killed', 'WARN'],
  ['rules.rejected', 'WARN'],
  ['journal.gap', 'ERROR'],
]);
const FRAME: ReadonlySet<string> = new Set(['v', 'seq', 'prev', 'at', 'event']);

function logRecord(event: RecordedEvent, origin: Origin): object {
  const observedTimeUnixNano = nanoseconds(Date.now());
  if (event.kind === 'statement') {
    const { trace, outcome } = event;
    const severityText = outcome?.status === 'refused' ? 'WARN' : 'INFO';
    return {
      ...{ timeUnixNano: nanoseconds(event.at), observedTimeUnixNano },
      ...{ severityNumber: SEVERITY[severityText], severityText, eventName: 'sluice.statement' },
      body: { stringValue: event.text.slice(0, LONGEST_TEXT) },
      attributes: statementAttributes(event, origin),
      ...(trace !== null && {
        traceId: trace.traceId,
        // The statement's own span where there is one.
        spanId: trace.sampled ? spanIdOf(event) : trace.spanId,
        flags: trace.sampled ? 1 : 0,
      }),
    };
  }
  const { record } = event;
  const severityText = SEVERITIES.get(record.event) ?? 'INFO';
  const fields = Object.entries(record.fields).filter(([name]) => !FRAME.has(name));
  const written = text(record.fields.text);
  return {
    ...{ timeUnixNano: nanoseconds(record.at), observedTimeUnixNano },
    ...{ severityNumber: SEVERITY[severityText], severityText, eventName: `sluice.${record.event}` },
    body: { stringValue: written === null ? record.event : written.slice(0, LONGEST_TEXT) },
    attributes: attributes({
      'sluice.record': record.seq,
      ...Object.fromEntries(
        fields.filter(([name]) => name !== 'text').map(([name, value]) => [`sluice.${name}`, value]),
      ),
    }),
  };
}

// --- Values ----------------------------------------------------------------------------------------------------------

function between(from: number, to: number): object {
  return { startTimeUnixNano: nanoseconds(from), endTimeUnixNano: nanoseconds(Math.max(from, to)) };
}

/** @param milliseconds since the epoch, to the microsecond */
function nanoseconds(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((milliseconds - whole) * 1_000_000)));
}

function attributes(values: Readonly<Record<string, unknown>>): KeyValue[] {
  return Object.entries(values)
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: unknown): AnyValue {
  switch (typeof value) {
    case 'string':
      return { stringValue: value };
    case 'boolean':
      return { boolValue: value };
    case 'number':
      return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
    default:
      if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
      // AnyValue of a null is one without a value; receivers read it as empty text everywhere.
      return value === null || value === undefined
        ? { stringValue: '' }
        : { kvlistValue: { values: attributes(value as Record<string, unknown>) } };
  }
}

import { identityOf, type RecordedEvent } from '../joined-statements.ts';
import { text } from '../record-fields.ts';
import type { Origin } from './origin.ts';

/** Messages of syslog as RFC 5424 has them. */

/** "log audit", RFC 5424 section 6.2.1. */
const FACILITY = 13;
const SEVERITY = { error: 3, warning: 4, notice: 5, informational: 6 } as const;
/**
 * The enterprise number that RFC 5612 keeps for documentation. Sluice has none of its own; the name is what tells the element.
 */
const SD_ID = 'sluice@32473';
/** RFC 5424 section 7.3.1 has sequence numbers begin again after this one. */
const LAST_SEQUENCE = 2_147_483_647;

/** What a message says besides its text. */
export interface MessageHead {
  readonly at: number;
  readonly severity: number;
  /** MSGID: the kind of event. */
  readonly id: string;
  readonly sequence: number;
  /** Names and values of the structured data element of Sluice. */
  readonly data: readonly (readonly [string, string | number | null | undefined])[];
}

/** The head of the message for an event. */
export function headOf(event: RecordedEvent): MessageHead {
  if (event.kind === 'statement') {
    const { identity, outcome, trace } = event;
    return {
      at: event.at,
      severity:
        outcome?.status === 'refused'
          ? SEVERITY.warning
          : outcome?.status === 'error'
            ? SEVERITY.notice
            : SEVERITY.informational,
      id: 'statement',
      sequence: event.seq,
      data: [
        ['node', event.node],
        ['session', event.session],
        ['statement', event.statement],
        ['subject', identity?.subject],
        ['connection', event.connection],
        ['verdict', event.verdict],
        ['rule', outcome?.by ?? event.rules[0]],
        ['status', outcome?.status],
        ['sqlstate', outcome?.sqlstate],
        ['traceId', trace?.traceId],
        ['spanId', trace?.spanId],
      ],
    };
  }
  const { record, node } = event;
  const who = identityOf(record.fields.identity) ?? identityOf(record.fields.by);
  return {
    at: record.at,
    severity: OTHER.get(record.event) ?? SEVERITY.informational,
    id: record.event,
    sequence: record.seq,
    data: [
      ['node', node],
      ['session', text(record.fields.session)],
      ['subject', who?.subject ?? text(record.fields.user)],
      ['connection', text(record.fields.connection)],
    ],
  };
}

const OTHER: ReadonlyMap<string, number> = new Map([
  ['auth.failed', SEVERITY.warning],
  ['api.refused', SEVERITY.warning],
  ['protocol.violation', SEVERITY.warning],
  ['identity.locked', SEVERITY.warning],
  ['session.killed', SEVERITY.warning],
  ['rules.rejected', SEVERITY.warning],
  ['journal.gap', SEVERITY.error],
]);

/** @param message as MSG-ANY, so without a byte order mark: parsers of JSON and CEF behind a collector want none */
export function syslogMessage(head: MessageHead, message: string, { version, hostname }: Origin): string {
  const sequence = ((head.sequence - 1) % LAST_SEQUENCE) + 1;
  const elements = [
    element(SD_ID, head.data),
    element('meta', [['sequenceId', sequence]]),
    element('origin', [
      ['software', 'Sluice'],
      ['swVersion', version],
    ]),
  ];
  return [
    `<${FACILITY * 8 + head.severity}>1`,
    new Date(head.at).toISOString(),
    printable(hostname, 255),
    'sluice',
    '-',
    printable(head.id, 32),
    elements.join(''),
    message,
  ].join(' ');
}

/** A message in a stream, by octet counting (RFC 6587 section 3.4.1, RFC 5425 section 4.3). */
export function framed(message: string): Buffer {
  const bytes = Buffer.from(message, 'utf8');
  return Buffer.concat([Buffer.from(`${bytes.length} `, 'latin1'), bytes]);
}

function element(id: string, data: MessageHead['data']): string {
  const parameters = data
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => ` ${name}="${String(value).replace(/["\\\]]/g, '\\$&')}"`);
  return `[${id}${parameters.join('')}]`;
}

/** PRINTUSASCII of a length; `-` for nothing. */
function printable(value: string, longest: number): string {
  return value.replace(/[^\x21-\x7e]/g, '_').slice(0, longest) || '-';
}

import { identityOf, type RecordedEvent, type StatementEvent } from '../joined-statements.ts';
import { object, text } from '../record-fields.ts';
import type { Origin } from './origin.ts';

/**
 * Events in ArcSight's Common Event Format, version 0: `CEF:0|vendor|product|version|event id|name|severity|extension`.
 * Lengths of fields are those of its dictionary; what is longer is cut.
 */

/** Lengths in characters, by field. */
const LONGEST = 1_023;
const LONGEST_CUSTOM = 4_000;

type Extension = readonly (readonly [string, string | number | null | undefined])[];

/** @returns one line, without its end */
export function cefOf(event: RecordedEvent, { version, hostname, targets }: Origin): string {
  const from = (node: string, seq: number, at: number): Extension => [
    ['rt', at],
    ['dvchost', hostname],
    ['deviceExternalId', node],
    ['externalId', String(seq)],
  ];
  if (event.kind === 'statement') {
    const target = targets.get(event.connection);
    const address: Extension = [
      ['dhost', target?.host],
      ['dpt', target?.port],
      ['destinationServiceName', event.connection],
    ];
    const [name, severity] = nameOf(event);
    return cef(version, 'statement', name, severity, [
      ...from(event.node, event.seq, event.at),
      ...statement(event),
      ...address,
    ]);
  }
  const { record, node } = event;
  const { fields } = record;
  const who = identityOf(fields.identity) ?? identityOf(fields.by) ?? identityOf(fields.voter);
  const known = new Set(['v', 'seq', 'prev', 'at', 'event', 'session', 'connection', 'identity', 'reason']);
  const rest = Object.entries(fields).filter(([key]) => !known.has(key));
  return cef(version, record.event, record.event, OTHER_SEVERITIES.get(record.event) ?? 2, [
    ...from(node, record.seq, record.at),
    ['suser', who?.subject ?? text(fields.user)],
    ...source(text(object(fields.client).address)),
    ['destinationServiceName', text(fields.connection)],
    ['reason', text(fields.reason)],
    ...custom('cs6', 'session', text(fields.session)),
    ['msg', rest.length === 0 ? null : JSON.stringify(Object.fromEntries(rest))],
  ]);
}

const OTHER_SEVERITIES: ReadonlyMap<string, number> = new Map([
  ['auth.failed', 5],
  ['api.refused', 5],
  ['protocol.violation', 7],
  ['session.killed', 6],
  ['identity.locked', 6],
  ['journal.gap', 8],
  ['rules.rejected', 5],
]);

function nameOf({ outcome, approval, masks, verdict }: StatementEvent): [string, number] {
  if (outcome?.status === 'refused')
    return verdict === 'hold' ? ['Statement not approved', 6] : ['Statement refused', 7];
  if (approval !== null) return ['Statement approved', 5];
  if (outcome?.status === 'error') return ['Statement failed', 3];
  return masks.length > 0 ? ['Statement masked', 3] : ['Statement allowed', 2];
}

function statement(event: StatementEvent): Extension {
  const { identity, outcome, trace, claimed } = event;
  return [
    ['suser', identity?.subject],
    ['spriv', identity?.kind],
    ...source(event.client),
    ['app', event.protocol],
    ['act', outcome?.status === 'refused' ? 'deny' : event.masks.length > 0 ? 'mask' : 'allow'],
    [
      'outcome',
      outcome === null || outcome.status === 'lost' ? 'unknown' : outcome.status === 'ok' ? 'success' : 'failure',
    ],
    ['reason', outcome?.sqlstate],
    ['cat', event.type],
    ['out', outcome?.bytes],
    ...custom('cn1', 'rows', outcome?.affected ?? outcome?.rows ?? null),
    ...custom('cn2', 'milliseconds', outcome?.ms == null ? null : Math.round(outcome.ms)),
    ...custom('cn3', 'approval request', event.approval),
    ...custom('cs1', 'statement', event.text),
    ...custom('cs2', 'rules', outcome?.by ?? event.rules.join(' ')),
    ...custom('cs3', 'effects', event.effects.join('; ')),
    ...custom('cs4', 'trace id (claimed)', trace?.traceId ?? null),
    ...custom('cs5', 'fingerprint', event.fingerprint),
    ...custom('cs6', 'session', event.session),
    ...custom('flexString1', 'agent name (claimed)', claimed['gen_ai.agent.name'] ?? null),
    ...custom('flexString2', 'conversation id (claimed)', claimed['gen_ai.conversation.id'] ?? null),
  ];
}

/** CEF has addresses of either kind in fields of their own. */
function source(address: string | null): Extension {
  if (address === null || address === '') return [];
  const ip = address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
  return ip.includes(':') ? custom('c6a2', 'Source IPv6 Address', ip) : [['src', ip]];
}

/** A field that CEF leaves to the product, with its label; nothing where there is no value. */
function custom(field: string, label: string, value: string | number | null): Extension {
  if (value === null || value === '') return [];
  return [
    [field, value],
    [`${field}Label`, label],
  ];
}

function cef(version: string, id: string, name: string, severity: number, extension: Extension): string {
  const header = ['CEF:0', 'Sluice', 'Sluice', version, id, name, String(severity)].map((part, i) =>
    i === 0 ? part : inHeader(part),
  );
  const pairs = extension
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([key, value]) => `${key}=${inExtension(String(value), key.startsWith('cs') ? LONGEST_CUSTOM : LONGEST)}`);
  return `${header.join('|')}|${pairs.join(' ')}`;
}

/** In the header pipes and backslashes are escaped, and there are no line ends. */
function inHeader(value: string): string {
  return value.replace(/[\\|]/g, '\\$&').replace(/[\r\n]+/g, ' ');
}

/** In values equals signs and backslashes are escaped, and line ends are written `\n` and `\r`. */
function inExtension(value: string, longest: number): string {
  return cut(value, longest).replace(/[\\=]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
}

/** Never between the two halves of a character. */
function cut(value: string, longest: number): string {
  if (value.length <= longest) return value;
  const end = (value.charCodeAt(longest - 1) & 0xfc00) === 0xd800 ? longest - 1 : longest;
  return value.slice(0, end);
}

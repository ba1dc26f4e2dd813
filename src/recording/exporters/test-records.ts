/** Records of every kind, for tests of what they are exported as. */

import { type Batch, JoinedStatements, type RecordedEvent } from '../joined-statements.ts';
import type { JournalRecord } from '../read-records.ts';
import type { Origin } from './origin.ts';

export const ORIGIN: Origin = {
  version: '0.1.0',
  hostname: 'node1.example',
  targets: new Map([['orders', { host: 'db1', port: 5432, database: 'shop' }]]),
};

export const NODE = 'node1';
/** When the first record was written, milliseconds since the epoch. */
export const BEGUN = Date.UTC(2026, 10, 26, 7, 30, 0, 250);

let last = 0;

/** A record behind the one made before. */
export function record(event: string, fields: object, at: number = BEGUN): JournalRecord {
  last++;
  return { seq: last, at, event, fields: { v: 1, seq: last, at: new Date(at).toISOString(), event, ...fields } };
}

export function batchOf(records: readonly JournalRecord[]): Batch<number> {
  const first = records[0]!.seq;
  const end = records.at(-1)!.seq;
  return { node: NODE, first, last: end, begin: first, end: end + 1, records: () => records };
}

/** What they are told as. */
export function eventsOf(...records: readonly JournalRecord[]): readonly RecordedEvent[] {
  return new JoinedStatements<number>().read(batchOf(records)).events;
}

const session = '00112233aabbccdd';
const identity = { subject: 'billing-bot', kind: 'agent', groups: ['agents'], issuer: 'https://idp.example' };
const client = { address: '10.1.2.3' };
const connection = 'orders';
const admin = { subject: 'alice', kind: 'human', groups: ['dba'] };
export const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** One of every event, and statements that end in every way. */
export const SAMPLES: readonly JournalRecord[] = [
  record('journal.segment', { node: NODE, segment: 1 }),
  record(
    'approval.requested',
    {
      request: 7,
      session,
      identity,
      connection,
      fingerprint: 'f',
      rules: ['ask'],
      expires: '2026-11-26T08:00:00.000Z',
    },
    BEGUN - 5_000,
  ),
  record('approval.voted', {
    request: 7,
    voter: { subject: 'alice', issuer: 'https://idp.example' },
    decision: 'approve',
    reason: 'fine',
    channel: 'cli',
  }),
  record('approval.decided', { request: 7, state: 'approved' }),
  record('approval.collected', { request: 7, session }),
  record('statement.attempt', {
    ...{ session, identity, connection, protocol: 'postgres', client, statement: 1, via: 'query' },
    ...{ text: 'DELETE FROM orders WHERE id = ?', fingerprint: 'f1', kind: 'DELETE' },
    ...{ effects: ['delete public.orders (keyed)'], verdict: 'hold', rules: ['ask'], rulesVersion: 'v1', approval: 7 },
    claimed: {
      traceparent: TRACEPARENT,
      tracestate: 'congo=t61rcWkgMzE',
      'gen_ai.agent.name': 'billing',
      'gen_ai.conversation.id': 'conv-1',
      'gen_ai.request.model': 'some-model',
    },
  }),
  record(
    'statement.outcome',
    { session, statement: 1, status: 'ok', tag: 'DELETE 1', affected: 1, rows: 0, bytes: 0, ms: 1.75, judgedMs: 0.25 },
    BEGUN + 2,
  ),
  record('statement.attempt', {
    ...{ session, identity, connection, protocol: 'postgres', client, statement: 2, via: 'execute' },
    ...{ text: 'SELECT email FROM customers', fingerprint: 'f2', kind: 'SELECT', effects: ['read public.customers'] },
    ...{ verdict: 'allow', rules: ['pii'], rulesVersion: 'v1', masks: ['pii'], masked: [1] },
  }),
  record('statement.outcome', {
    session,
    statement: 2,
    status: 'error',
    sqlstate: '57014',
    rows: 3,
    bytes: 90,
    ms: 12.5,
  }),
  record('statement.attempt', {
    ...{ session, identity, connection, protocol: 'mysql', client, statement: 3, via: 'query' },
    ...{ text: 'DROP TABLE orders', fingerprint: 'f3', kind: 'DROP TABLE', effects: ['drop orders'] },
    ...{ verdict: 'deny', rules: ['no-ddl'], rulesVersion: 'v1' },
    claimed: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-00' },
  }),
  record('statement.outcome', {
    session,
    statement: 3,
    status: 'refused',
    sqlstate: '42501',
    errno: 1142,
    by: 'no-ddl',
  }),
  record('statement.attempt', {
    ...{ session, identity: admin, connection: 'gone', client: { address: '2001:db8::1' }, statement: 4, via: 'query' },
    ...{
      text: '???',
      fingerprint: '',
      kind: 'OPAQUE',
      effects: ['opaque: unparsed'],
      verdict: 'allow',
      rules: [],
      rulesVersion: '',
    },
    claimed: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b9-01' },
  }),
  record('statement.outcome', { session: 'another', statement: 9, status: 'ok', rows: 1, bytes: 1, ms: 1 }),
  record('session.end', { session, identity, connection, client, reason: 'client terminated', statements: 4, ms: 10 }),
  record('statement.prepare', {
    session,
    identity,
    connection,
    client,
    text: 'SELECT 1',
    fingerprint: 'f4',
    kind: 'SELECT',
    effects: [],
    verdict: 'allow',
    rules: [],
    rulesVersion: 'v1',
  }),
  record('session.start', {
    ...{ session, identity, connection, protocol: 'postgres', client: { ...client, tls: true } },
    ...{ upstream: { host: 'db1', port: 5432, database: 'shop', pid: 4711 }, claimed: { application_name: 'psql' } },
  }),
  record('auth.ok', { identity, connection, client }),
  record('auth.failed', { user: 'mallory', client: { address: '10.9.9.9' }, reason: 'wrong password' }),
  record('auth.failed', { user: null, client: { address: '' }, reason: 'no name' }),
  record('login.created', { login: 'l1', identity: admin, via: 'saml', client }),
  record('login.ended', { login: 'l1', identity: admin, client }),
  record('credential.created', {
    credential: 'c1',
    identity,
    connections: null,
    expires: '2026-11-26T08:00:00.000Z',
    by: admin,
    client,
  }),
  record('credential.revoked', { credential: 'c1', identity, by: admin, reason: 'leaked' }),
  record('identity.locked', { identity, by: admin, reason: 'misbehaves' }),
  record('identity.unlocked', { identity, by: admin, reason: 'mended' }),
  record('identity.retired', { identity, by: admin, reason: 'not needed' }),
  record('session.killed', { session, by: admin, reason: 'looks wrong' }),
  record('rules.loaded', { version: 'v1', by: 'start' }),
  record('rules.rejected', { version: 'v1', by: 'signal', reason: 'line 3' }),
  record('approval.reviewed', { request: 7, by: admin, note: 'seen' }),
  record('approval.delegated', { by: admin, to: 'bob', issuer: '', until: '2026-11-27T08:00:00.000Z' }),
  record('api.refused', { by: admin, client, method: 'POST', route: '/api/v1/reload', needs: 'admin' }),
  record('protocol.violation', { side: 'client', client, reason: 'an invalid message' }),
  record('journal.gap', { reason: 'torn line', bytes: 7 }),
  record('journal.open', { segment: 2, pid: 42 }),
  record('journal.removed', { segment: 1, file: 'journal-x-1.jsonl', firstSeq: 1, lastSeq: 9, reason: 'age' }),
];

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logsRequest, spanIdOf, tracesRequest } from './otlp-data.ts';
import { BEGUN, eventsOf, NODE, ORIGIN, record, SAMPLES, TRACEPARENT } from './test-records.ts';

// biome-ignore lint/suspicious/noExplicitAny: of what was read from JSON anything can be asked for
type Tree = any;

/** What a receiver reads. */
const sent = (request: object | null): Tree => JSON.parse(JSON.stringify(request));

/** Attributes by name, each as its only value. */
function valuesOf(attributes: readonly Tree[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: Tree): unknown {
  const [[kind, inner]] = Object.entries(value) as [[string, Tree]];
  if (kind === 'arrayValue') return inner.values.map(plain);
  if (kind === 'kvlistValue') return valuesOf(inner.values);
  assert.ok(['stringValue', 'boolValue', 'intValue', 'doubleValue'].includes(kind), kind);
  // 64 bits are written as text.
  if (kind === 'intValue') assert.equal(typeof inner, 'string');
  return kind === 'intValue' ? Number(inner) : inner;
}

const events = eventsOf(...SAMPLES);
const nanoseconds = (milliseconds: number) => String(BigInt(Math.round(milliseconds * 1000)) * 1000n);

function spans(...from: typeof events): Tree[] {
  return sent(tracesRequest(from, NODE, ORIGIN))?.resourceSpans[0].scopeSpans[0].spans ?? [];
}

test("a statement that claims a trace is a span below the client's", () => {
  const statement = events.find(({ kind }) => kind === 'statement')!;
  const [span, held, database] = spans(statement);
  assert.equal(statement.kind, 'statement');
  assert.deepEqual(
    [span.traceId, span.parentSpanId, span.kind, span.name, span.traceState, span.flags, span.status],
    [
      '4bf92f3577b34da6a3ce929d0e0e4736',
      '00f067aa0ba902b7',
      3,
      'DELETE public.orders',
      'congo=t61rcWkgMzE',
      0x301,
      undefined,
    ],
  );
  assert.match(span.spanId, /^[0-9a-f]{16}$/);
  // It begins when Sluice began to read it, before people were asked.
  assert.equal(span.startTimeUnixNano, nanoseconds(BEGUN - 5_000 - 0.25));
  assert.equal(span.endTimeUnixNano, nanoseconds(BEGUN + 1.75));
  const { 'sluice.record': _, ...rest } = valuesOf(span.attributes);
  assert.deepEqual(rest, {
    'db.system.name': 'postgresql',
    'db.namespace': 'shop',
    'db.operation.name': 'DELETE',
    'db.collection.name': 'public.orders',
    'db.query.summary': 'DELETE public.orders',
    'db.query.text': 'DELETE FROM orders WHERE id = ?',
    'server.address': 'db1',
    'server.port': 5432,
    'client.address': '10.1.2.3',
    'sluice.connection': 'orders',
    'sluice.session.id': '00112233aabbccdd',
    'sluice.statement': 1,
    'sluice.identity.subject': 'billing-bot',
    'sluice.identity.kind': 'agent',
    'sluice.verdict': 'hold',
    'sluice.rules': ['ask'],
    'sluice.fingerprint': 'f1',
    'sluice.approval.request': 7,
    'sluice.status': 'ok',
    'sluice.held.duration': 5,
    'sluice.judged.duration': 0.00025,
    'sluice.database.duration': 0.00175,
    'sluice.rows': 0,
    'sluice.rows_affected': 1,
    'sluice.bytes': 0,
    'gen_ai.agent.name': 'billing',
    'gen_ai.conversation.id': 'conv-1',
    'gen_ai.request.model': 'some-model',
  });
  assert.deepEqual(
    [held.name, held.parentSpanId, database.name, database.parentSpanId],
    ['sluice.held', span.spanId, 'sluice.database', span.spanId],
  );
  assert.equal(held.endTimeUnixNano, database.startTimeUnixNano);
});

test('a trace that is not recorded gets no span, and neither does a statement without one', () => {
  const claimed = (traceparent?: string) =>
    eventsOf(
      record('statement.attempt', { session: 's', statement: 1, text: 'x', claimed: { traceparent } }),
      record('statement.outcome', { session: 's', statement: 1, status: 'ok', ms: 1 }),
    );
  assert.equal(spans(...claimed(TRACEPARENT)).length, 1);
  assert.equal(tracesRequest(claimed(TRACEPARENT.replace(/01$/, '00')), NODE, ORIGIN), null);
  assert.equal(tracesRequest(claimed('00-nonsense-01'), NODE, ORIGIN), null);
  assert.equal(tracesRequest(claimed(), NODE, ORIGIN), null);
});

test('the id of a span is the same whenever it is exported, and another for another record', () => {
  const [first, second] = events.filter((event) => event.kind === 'statement');
  assert.equal(spanIdOf(first!), spanIdOf({ ...first! }));
  assert.notEqual(spanIdOf(first!), spanIdOf(second!));
  assert.notEqual(spanIdOf(first!), spanIdOf({ ...first!, node: 'node2' }));
});

test('what failed says so, with the code of its database', () => {
  const failed = (protocol: string, outcome: object) => {
    const [span] = spans(
      ...eventsOf(
        record('statement.attempt', {
          session: 's',
          statement: 1,
          protocol,
          text: 'x',
          kind: 'SELECT',
          claimed: { traceparent: TRACEPARENT },
        }),
        record('statement.outcome', { session: 's', statement: 1, ms: 1, ...outcome }),
      ),
    );
    const values = valuesOf(span.attributes);
    return [span.status, values['db.response.status_code'], values['error.type'], values['sluice.refused_by']];
  };
  assert.deepEqual(failed('postgres', { status: 'error', sqlstate: '23505' }), [
    { code: 2, message: 'error' },
    '23505',
    '23505',
    undefined,
  ]);
  assert.deepEqual(failed('mysql', { status: 'error', sqlstate: '23000', errno: 1062 }), [
    { code: 2, message: 'error' },
    '1062',
    '1062',
    undefined,
  ]);
  assert.deepEqual(failed('mysql', { status: 'refused', sqlstate: '42501', errno: 1142, by: 'no-ddl' }), [
    { code: 2, message: 'refused by no-ddl' },
    '1142',
    '1142',
    'no-ddl',
  ]);
  assert.deepEqual(failed('postgres', { status: 'ok' }), [undefined, undefined, undefined, undefined]);
});

test('texts have no values, whatever the journal keeps', () => {
  const text = (protocol: string, written: string) => {
    const [span] = spans(
      ...eventsOf(
        record('statement.attempt', {
          session: 's',
          statement: 1,
          protocol,
          text: written,
          claimed: { traceparent: TRACEPARENT },
        }),
        record('session.end', { session: 's' }),
      ),
    );
    return valuesOf(span.attributes)['db.query.text'];
  };
  assert.equal(
    text('postgres', `SELECT "a" FROM t WHERE b = 'secret' AND c = 42`),
    'SELECT "a" FROM t WHERE b = ? AND c = ?',
  );
  assert.equal(
    text('mysql', 'SELECT `a` FROM t WHERE b = "secret" AND c = 42'),
    'SELECT `a` FROM t WHERE b = ? AND c = ?',
  );
});

test('every event is a log record, those of traces with their ids', () => {
  const { resource, scopeLogs } = sent(logsRequest(events, NODE, ORIGIN)).resourceLogs[0];
  assert.deepEqual(valuesOf(resource.attributes), {
    'service.name': 'sluice',
    'service.version': '0.1.0',
    'service.instance.id': NODE,
    'host.name': 'node1.example',
  });
  const { logRecords } = scopeLogs[0];
  assert.equal(logRecords.length, events.length);
  for (const [i, record] of logRecords.entries()) {
    const event = events[i]!;
    assert.match(record.timeUnixNano, /^\d{19}$/);
    assert.equal(record.eventName, event.kind === 'statement' ? 'sluice.statement' : `sluice.${event.record.event}`);
    valuesOf(record.attributes);
  }
  const [sampled, , unsampled] = logRecords.filter(({ eventName }: Tree) => eventName === 'sluice.statement');
  const [first] = events.filter((event) => event.kind === 'statement');
  assert.deepEqual(
    [sampled.traceId, sampled.spanId, sampled.flags],
    ['4bf92f3577b34da6a3ce929d0e0e4736', spanIdOf(first!), 1],
  );
  assert.deepEqual([unsampled.spanId, unsampled.flags, unsampled.severityText], ['00f067aa0ba902b8', 0, 'WARN']);
  const gap = logRecords.find(({ eventName }: Tree) => eventName === 'sluice.journal.gap');
  assert.deepEqual([gap.severityNumber, valuesOf(gap.attributes)['sluice.bytes']], [17, 7]);
});

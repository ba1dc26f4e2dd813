/** An agent's trace and the database's record meet by id: drivers with OpenTelemetry's own instrumentation, through Sluice. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { context, propagation, type Span, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { suppressTracing, W3CTraceContextPropagator } from '@opentelemetry/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { MySQL2Instrumentation } from '@opentelemetry/instrumentation-mysql2';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { type OtlpReceiver, type ReceivedSignal, startOtlpReceiver } from './otlp-receiver.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

const RULES = `version: 1
rules:
  - id: no-delete
    match: { effects: [delete] }
    action: deny
`;
const USER = { name: 'agent', password: 'the agent' };

const recorded = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(recorded)] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(tracerProvider);
registerInstrumentations({
  tracerProvider,
  instrumentations: [
    new PgInstrumentation({ addSqlCommenterCommentToQueries: true }),
    new MySQL2Instrumentation({ addSqlCommenterCommentToQueries: true }),
  ],
});
// Behind the instrumentation, which hooks into require().
const require = createRequire(import.meta.url);
const pg = require('pg') as typeof import('pg');
const mysql = require('mysql2') as typeof import('mysql2');

const tracer = tracerProvider.getTracer('agent');

/** Runs work as a tool call of an agent; gives the span it ran in. */
async function toolCall(work: () => Promise<unknown>): Promise<Span> {
  return tracer.startActiveSpan('execute_tool query', async (span) => {
    try {
      await work();
    } finally {
      span.end();
    }
    return span;
  });
}

describe('a statement of an instrumented driver', () => {
  let receiver: OtlpReceiver;
  let postgres: PostgresServer;
  let mariadb: MysqlFamilyServer | null;
  let sluice: Sluice;

  before(async () => {
    receiver = await startOtlpReceiver();
    postgres = await startPostgres();
    mariadb = await startMariadb();
    await postgres.query('CREATE TABLE goods (id int); GRANT ALL ON goods TO public');
    await mariadb?.query('CREATE TABLE goods (id int)');
    const upstreamOf = ({ host, port, superuser: user, password, database }: PostgresServer | MysqlFamilyServer) => ({
      ...{ host, port, user, password, database },
    });
    sluice = await startSluice({
      connections: [
        { name: 'shop', upstream: upstreamOf(postgres) },
        ...(mariadb === null ? [] : [{ name: 'stock', protocol: 'mysql', upstream: upstreamOf(mariadb) } as const]),
      ],
      users: [USER],
      rulesYaml: RULES,
      recording: { export: [{ to: 'otlp', url: receiver.url }] },
    });
  });
  after(async () => {
    await sluice?.stop();
    await postgres?.stop();
    await mariadb?.stop();
    receiver?.stop();
    await tracerProvider.shutdown();
  });

  async function spansIn(span: Span, count: number): Promise<ReceivedSignal[]> {
    const { traceId } = span.spanContext();
    const found = () => receiver.spans.filter((one) => one.traceId === traceId);
    const deadline = Date.now() + 60_000;
    while (found().length < count) {
      assert.ok(Date.now() < deadline, `${count} spans of the trace: ${JSON.stringify(found())}\n${sluice.log()}`);
      await delay(50);
    }
    return found();
  }

  /** The driver's own spans of the trace, by their ids. */
  function driversIn(span: Span): string[] {
    const { traceId } = span.spanContext();
    return recorded
      .getFinishedSpans()
      .filter((one) => one.spanContext().traceId === traceId && one.name !== 'execute_tool query')
      .map((one) => one.spanContext().spanId);
  }

  async function meets(run: (sql: string) => Promise<unknown>, system: string): Promise<void> {
    const read = await toolCall(() => run('SELECT id FROM goods'));
    const [span] = await spansIn(read, 1);
    assert.ok(driversIn(read).includes(span!.parentSpanId), 'its parent is the span of the driver');
    const { attributes } = span!;
    assert.deepEqual(
      [attributes['db.system.name'], attributes['db.operation.name'], attributes['sluice.identity.subject']],
      [system, 'SELECT', USER.name],
    );
    // What of the time was Sluice's, and what the database's.
    for (const took of ['sluice.judged.duration', 'sluice.database.duration']) {
      const seconds = attributes[took] as number;
      assert.ok(seconds > 0 && seconds < 60, `${took}: ${seconds}`);
    }
    const refused = await toolCall(() => assert.rejects(run('DELETE FROM goods')));
    const [denied] = await spansIn(refused, 1);
    assert.ok(driversIn(refused).includes(denied!.parentSpanId));
    assert.deepEqual(
      [denied!.attributes['sluice.verdict'], denied!.attributes['sluice.refused_by']],
      ['deny', 'no-delete'],
    );
    // The journal has the same ids, and so have the log records.
    const { traceId } = read.spanContext();
    const attempt = sluice
      .journal()
      .find(({ event, claimed }) => event === 'statement.attempt' && JSON.stringify(claimed ?? {}).includes(traceId));
    assert.match(
      String((attempt!.claimed as { traceparent: string }).traceparent),
      new RegExp(`^00-${traceId}-${span!.parentSpanId}-01$`),
    );
    const log = receiver.logs.find((one) => one.traceId === traceId);
    assert.deepEqual([log?.name, log?.spanId], ['sluice.statement', span!.spanId]);
  }

  test('of node-postgres has a span below that of the driver', async () => {
    const { host, port } = sluice;
    const client = new pg.Client({ host, port, user: USER.name, password: USER.password, database: 'shop' });
    await client.connect();
    await meets((sql) => client.query(sql), 'postgresql');
    await client.end();
  });

  test('of mysql2 has a span below that of the driver', async (t) => {
    if (mariadb === null) return t.skip('NOT RUN: there is no MariaDB here');
    const { host, mysqlPort: port } = sluice;
    const connection = mysql.createConnection({
      host,
      port,
      user: USER.name,
      password: USER.password,
      database: 'stock',
    });
    await meets((sql) => connection.promise().query(sql), 'mysql');
    connection.destroy();
  });

  test('of an agent that does not record its trace has none', async () => {
    const { host, port } = sluice;
    const client = new pg.Client({ host, port, user: USER.name, password: USER.password, database: 'shop' });
    await client.connect();
    const unsampled = '00-11111111111111111111111111111111-2222222222222222-00';
    await client.query(`SELECT 'quiet' /*traceparent='${unsampled}'*/`);
    const last = await toolCall(() => client.query("SELECT 'loud'"));
    await spansIn(last, 1);
    assert.deepEqual(
      receiver.spans.filter(({ traceId }) => traceId.startsWith('1111')),
      [],
    );
    assert.equal(receiver.logs.filter(({ traceId }) => traceId.startsWith('1111')).length, 1);
    await client.end();
  });

  test('whose trace is in the application name, or in the attributes of a connection, belongs to it', async (t) => {
    const traceOf = (digit: string) => ({ traceId: digit.repeat(32), spanId: digit.repeat(16) });
    const headerOf = (digit: string) => `00-${traceOf(digit).traceId}-${traceOf(digit).spanId}-01`;
    const wait = async (digit: string) => {
      const deadline = Date.now() + 60_000;
      while (!receiver.spans.some(({ parentSpanId }) => parentSpanId === traceOf(digit).spanId)) {
        assert.ok(Date.now() < deadline, sluice.log());
        await delay(50);
      }
    };
    // Without a comment of the instrumentation, which counts for more.
    const quietly = <T>(work: () => T) => context.with(suppressTracing(context.active()), work);
    const { host, port, mysqlPort } = sluice;
    const options = { host, port, user: USER.name, password: USER.password, database: 'shop' };
    const client = new pg.Client({ ...options, application_name: `etl ${headerOf('a')}` });
    await client.connect();
    await quietly(() => client.query('SELECT 1'));
    await wait('a');
    await quietly(() => client.query(`SET application_name = 'etl ${headerOf('b')}'`));
    await quietly(() => client.query('SELECT 2'));
    await wait('b');
    await client.end();
    if (mariadb === null) return t.skip('NOT RUN: there is no MariaDB here');
    const connection = mysql.createConnection({
      ...{ host, port: mysqlPort, user: USER.name, password: USER.password, database: 'stock' },
      connectAttributes: { traceparent: headerOf('c'), 'gen_ai.agent.name': 'billing' },
    } as Parameters<typeof mysql.createConnection>[0]);
    await quietly(() => connection.promise().query('SELECT 3'));
    await wait('c');
    const span = receiver.spans.find(({ parentSpanId }) => parentSpanId === traceOf('c').spanId);
    assert.equal(span?.attributes['gen_ai.agent.name'], 'billing');
    connection.destroy();
  });
});

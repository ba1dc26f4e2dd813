import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { DeliveryError } from '../../../protocols/webhooks/answers.ts';
import type { OtlpExporter } from '../../config/config.ts';
import { RecordBatch } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';
import { otlpExporter } from './otlp.ts';
import { ORIGIN, SAMPLES } from './test-records.ts';

const BATCH = new RecordBatch(
  'node1',
  { segment: 1, offset: 0, seq: 0 },
  Buffer.from(SAMPLES.map(({ fields }) => `${JSON.stringify(fields)}\n`).join('')),
);
const { signal } = new AbortController();

interface Answer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Receiver {
  readonly server: Server;
  readonly exporter: Exporter;
  readonly requests: { path: string; headers: IncomingHttpHeaders; body: Record<string, unknown> }[];
  readonly logged: string[];
  /** By path; `{"partialSuccess":{}}` with 200 where there is none. */
  readonly answers: Map<string, Answer>;
}

async function receiver(t: TestContext, config: Partial<OtlpExporter> = {}): Promise<Receiver> {
  const requests: Receiver['requests'] = [];
  const answers: Receiver['answers'] = new Map();
  const server = createServer(async (request, response) => {
    const bytes = Buffer.concat(await request.toArray());
    const path = request.url!;
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    requests.push({ path, headers: request.headers, body: JSON.parse(text.toString()) });
    const { status, body = '{"partialSuccess":{}}', headers } = answers.get(path) ?? { status: 200 };
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const logged: string[] = [];
  const all = { to: 'otlp', name: 'otlp', url, logs: true, traces: true, headers: {}, ...config } as const;
  const exporter = otlpExporter(all, ORIGIN, (level, fields, message) =>
    logged.push(`${level} ${message} ${JSON.stringify(fields)}`),
  );
  return { server, exporter, requests, logged, answers };
}

test('events go to the paths of their signals, with the headers of the configuration', async (t) => {
  const { exporter, requests, logged } = await receiver(t, { headers: { authorization: 'Bearer abc' } });
  assert.deepEqual(await exporter.deliver(BATCH, signal), BATCH.end);
  assert.deepEqual(
    requests.map(({ path, headers, body }) => [
      path,
      headers['content-type'],
      headers['content-encoding'],
      headers.authorization,
      Object.keys(body),
    ]),
    [
      ['/v1/logs', 'application/json', 'gzip', 'Bearer abc', ['resourceLogs']],
      ['/v1/traces', 'application/json', 'gzip', 'Bearer abc', ['resourceSpans']],
    ],
  );
  assert.deepEqual(logged, []);
});

test('a signal that is not wanted is not sent', async (t) => {
  const { exporter, requests } = await receiver(t, { logs: false });
  await exporter.deliver(BATCH, signal);
  assert.deepEqual(
    requests.map(({ path }) => path),
    ['/v1/traces'],
  );
});

test('what a receiver rejects of a request is told and not sent again', async (t) => {
  const { exporter, answers, logged } = await receiver(t);
  answers.set('/v1/logs', {
    status: 200,
    body: '{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}',
  });
  answers.set('/v1/traces', { status: 200, body: '{"partialSuccess":{"errorMessage":"soon deprecated"}}' });
  assert.deepEqual(await exporter.deliver(BATCH, signal), BATCH.end);
  assert.match(logged[0]!, /^error the receiver has rejected some logs .*"rejected":3,"message":"too old"/);
  assert.match(logged[1]!, /^warn .*soon deprecated/);
});

test('a receiver that is busy or away is asked again, after the time it wants', async (t) => {
  const { exporter, answers, requests } = await receiver(t);
  for (const [status, header, expected] of [
    [429, '7', 7_000],
    [503, undefined, null],
    [502, 'nonsense', null],
    [401, undefined, null],
    [307, undefined, null],
  ] as const) {
    answers.set('/v1/logs', { status, ...(header !== undefined && { headers: { 'retry-after': header } }) });
    await assert.rejects(exporter.deliver(BATCH, signal), (error: DeliveryError) => {
      assert.ok(error instanceof DeliveryError);
      assert.equal(error.retryAfterMs, expected);
      return error.message.endsWith(`/v1/logs: HTTP ${status}`);
    });
  }
  answers.clear();
  requests.length = 0;
  assert.deepEqual(await exporter.deliver(BATCH, signal), BATCH.end);
  assert.equal(requests.length, 2);
});

test('data that a receiver finds invalid does not stop what comes behind it', async (t) => {
  const { exporter, answers, logged } = await receiver(t);
  answers.set('/v1/traces', { status: 400, body: '{"message":"bad"}' });
  assert.deepEqual(await exporter.deliver(BATCH, signal), BATCH.end);
  assert.match(logged[0]!, /^error .*refuses traces as invalid/);
});

test('nobody who answers is an error that says why', async (t) => {
  const { exporter, server } = await receiver(t);
  server.close();
  await once(server, 'close');
  await assert.rejects(exporter.deliver(BATCH, signal), { name: 'DeliveryError', message: /ECONNREFUSED/ });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { DeliveryError } from '../../../protocols/webhooks/answers.ts';
import { parseWebhookSecret } from '../../../protocols/webhooks/standard-webhooks.ts';
import { makeCertificates } from '../../../test/servers/certificates.ts';
import { type Received, WebhookReceiver } from '../../../test/webhook-receiver.ts';
import { RecordBatch } from '../record-batch.ts';
import { webhookExporter } from './webhook.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const OLD_SECRET = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
const ANSWER_MS = 10_000;
const { signal } = new AbortController();

async function receiver(t: TestContext, secret = SECRET): Promise<WebhookReceiver> {
  const started = await WebhookReceiver.start(secret);
  t.after(() => started.stop());
  return started;
}

const exporterTo = (url: string, answerMs = ANSWER_MS) =>
  webhookExporter(url, [parseWebhookSecret(SECRET), parseWebhookSecret(OLD_SECRET)], ({ bytes }) => bytes, answerMs);

const line = (seq: number, text = '') =>
  `{"v":1,"seq":${seq},"at":"2026-01-31T12:00:00.000Z","event":"tick","text":"${text}"}`;
const batch = (...lines: readonly string[]) =>
  new RecordBatch('node-1', { segment: 3, offset: 0, seq: 6 }, Buffer.from(lines.map((one) => `${one}\n`).join('')));

const seqs = (received: readonly Received[]) =>
  received.flatMap(({ data }) => (data.records as { seq: number }[]).map(({ seq }) => seq));

test('records come signed, byte for byte, with the node whose they are', async (t) => {
  const { url, received } = await receiver(t);
  await exporterTo(url).deliver(batch(line(7), line(8, 'ünï "quoted"'.replaceAll('"', '\\"'))), signal);
  const [only, ...others] = received;
  assert.deepEqual(others, []);
  assert.equal(
    only!.body,
    `{"type":"sluice.records","timestamp":"2026-01-31T12:00:00.000Z","data":{"node":"node-1","first":7,"last":8,"records":[${line(7)},${line(8, 'ünï \\"quoted\\"')}]}}`,
  );
  assert.ok(only!.isVerified);
  assert.equal(only!.headers['content-type'], 'application/json');
});

test('while the secret is changed, a receiver that has the one before verifies as well', async (t) => {
  const { url, received } = await receiver(t, OLD_SECRET);
  await exporterTo(url).deliver(batch(line(7)), signal);
  assert.ok(received[0]!.isVerified);
});

test('what is sent again has the same id, and nothing that the receiver has is sent again in between', async (t) => {
  const server = await receiver(t);
  const exporter = exporterTo(server.url);
  const text = 'x'.repeat(200_000);
  const lines = batch(line(7, text), line(8, text), line(9, text), line(10, text));
  server.answer = () => (server.received.length === 2 ? 503 : 204);
  await assert.rejects(exporter.deliver(lines, signal), /^DeliveryError: HTTP 503$/);
  await exporter.deliver(lines, signal);
  assert.deepEqual(seqs(server.received), [7, 8, 9, 10, 9, 10]);
  const [first, second, third] = server.received.map(({ id }) => id);
  assert.equal(second, third);
  assert.notEqual(first, second);
});

test('a receiver that finds it too much gets less at once, down to one record', async (t) => {
  const server = await receiver(t);
  const text = 'x'.repeat(1000);
  const lines = batch(...Array.from({ length: 40 }, (_, i) => line(7 + i, text)));
  server.answer = ({ body }) => (body.length > 5000 ? 413 : 204);
  const exporter = exporterTo(server.url);
  await exporter.deliver(lines, signal);
  const taken = server.received.filter(({ body }) => body.length <= 5000);
  assert.deepEqual(
    seqs(taken),
    Array.from({ length: 40 }, (_, i) => 7 + i),
  );
  assert.ok(taken.length < 40, 'several at once where they fit');
  server.answer = () => 413;
  await assert.rejects(exporter.deliver(batch(line(7)), signal), /a record is too long for the receiver: HTTP 413/);
});

test('what a receiver answers says when it is tried again, and whether', async (t) => {
  const server = await receiver(t);
  const exporter = exporterTo(server.url);
  const failure = async (answer: ReturnType<typeof server.answer>): Promise<DeliveryError> => {
    server.answer = () => answer;
    return exporter.deliver(batch(line(7)), signal).then(
      () => assert.fail('it is delivered'),
      (error: DeliveryError) => error,
    );
  };
  const wait = await failure({ status: 429, headers: { 'retry-after': '120' } });
  assert.deepEqual([wait.message, wait.retryAfterMs, wait.isFinal], ['HTTP 429', 120_000, false]);
  for (const status of [400, 401, 403, 404, 500, 502]) {
    const { message, retryAfterMs, isFinal } = await failure(status);
    assert.deepEqual([message, retryAfterMs, isFinal], [`HTTP ${status}`, null, false]);
  }
  const gone = await failure(410);
  assert.deepEqual([gone.message, gone.isFinal], ['HTTP 410', true]);
});

test('records meant for one receiver are not sent on to another', async (t) => {
  const [server, other] = [await receiver(t), await receiver(t)];
  server.answer = () => ({ status: 307, headers: { location: other.url } });
  await assert.rejects(exporterTo(server.url).deliver(batch(line(7)), signal), /HTTP 307/);
  assert.deepEqual(other.received, []);
});

test('a receiver that does not answer, or is not there, is an error', async (t) => {
  const server = await receiver(t);
  server.answer = () => 'silent';
  await assert.rejects(exporterTo(server.url, 50).deliver(batch(line(7)), signal), /no answer within 0.05 s/);
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  await assert.rejects(exporterTo(`http://127.0.0.1:${port}/`).deliver(batch(line(7)), signal), /ECONNREFUSED/);
});

test('a receiver whose certificate nobody trusts gets nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-webhook-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { certificate, key } = makeCertificates(directory);
  const tls = { cert: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') };
  const server = await WebhookReceiver.start(SECRET, tls);
  t.after(() => server.stop());
  const url = `https://localhost:${server.port}/hook`;
  await assert.rejects(
    exporterTo(url).deliver(batch(line(7)), signal),
    /^DeliveryError: .*(CERT|SIGNED|VERIFY|ISSUER)/,
  );
  assert.deepEqual(server.received, []);
});

test('a line that somebody broke does not break the others', async (t) => {
  const { url, received } = await receiver(t);
  await exporterTo(url).deliver(batch(line(7), '{"v":1,"seq":8', line(9)), signal);
  assert.deepEqual(received[0]!.data.records, [JSON.parse(line(7)), '{"v":1,"seq":8', JSON.parse(line(9))]);
});

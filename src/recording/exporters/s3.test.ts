import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { S3Server, signatureProblem } from '../../../test/s3-server.ts';
import type { S3Exporter } from '../../config/config.ts';
import { Journal } from '../journal.ts';
import { type JournalPosition, readBatch } from '../record-batch.ts';
import { segments } from '../segments.ts';
import type { Exporter } from './exporter.ts';
import { s3Exporter } from './s3.ts';

const CREDENTIALS = { accessKeyId: 'AKIASLUICE', secretAccessKey: 'a/secret+of=the&storage', region: 'eu-central-1' };
const { signal } = new AbortController();

test('the test server knows a signature: the example of the AWS documentation', () => {
  // "Examples: Signature Calculations in AWS Signature Version 4", GET Object.
  const credentials = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    region: 'us-east-1',
  };
  const bodySha256 = createHash('sha256').update('').digest('hex');
  const request = {
    method: 'GET',
    target: '/test.txt',
    headers: {
      host: 'examplebucket.s3.amazonaws.com',
      range: 'bytes=0-9',
      'x-amz-content-sha256': bodySha256,
      'x-amz-date': '20130524T000000Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    },
    bodySha256,
  };
  const now = new Date('2013-05-24T00:01:00Z');
  assert.equal(signatureProblem(request, credentials, now), null);
  assert.equal(signatureProblem({ ...request, target: '/test2.txt' }, credentials, now), 'another signature');
  assert.equal(
    signatureProblem({ ...request, headers: { ...request.headers, 'x-amz-acl': 'public-read' } }, credentials, now),
    'not signed: x-amz-acl',
  );
});

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-s3-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function storage(t: TestContext): Promise<S3Server> {
  const server = await S3Server.start(CREDENTIALS);
  t.after(() => server.stop());
  return server;
}

const configFor = (url: string, more: Partial<S3Exporter> = {}): S3Exporter => ({
  ...{ to: 's3', name: 's3', url, prefix: 'sluice/', lock: null, everyMs: 60_000 },
  ...CREDENTIALS,
  ...more,
});

/** Begins another segment with a record in it. */
function openAnother(directory: string, n: number): Journal {
  const journal = Journal.open(directory);
  journal.append(`"tick","n":${n}`, true);
  journal.flush();
  return journal;
}

/** Gives an exporter everything behind `position`; gives what it says is settled. */
async function deliverAll(exporter: Exporter, journal: Journal, position: JournalPosition | null = null) {
  let settled: JournalPosition | undefined;
  for (let read = position; ; ) {
    const batch = await readBatch(journal.directory, journal.node, read, journal.head);
    if (batch === null) return settled;
    settled = await exporter.deliver(batch, signal);
    read = batch.end;
  }
}

test('segments are brought when they are closed, as they are, each with a manifest', async (t) => {
  const server = await storage(t);
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const journal = openAnother(directory, 2);
  t.after(() => journal.close());
  writeFileSync(join(directory, 'journal.keys.json'), '{"keys":[]}');
  const exporter = s3Exporter(directory, journal.node, configFor(server.url));
  const settled = await deliverAll(exporter, journal);
  assert.deepEqual(server.refused, []);
  const [closed, current] = segments(directory);
  const under = (name: string) => `sluice/${journal.node}/${name}`;
  const bytes = readFileSync(join(directory, closed!.name));
  assert.deepEqual(server.puts, [
    under('journal.keys.json'),
    under(closed!.name),
    under(`${closed!.name}.manifest.json`),
  ]);
  assert.deepEqual(server.objects.get(under(closed!.name)), { body: bytes, type: 'application/x-ndjson', lock: null });
  const records = bytes
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { seq: number; event: string });
  const { checkpoint, ...manifest } = JSON.parse(
    server.objects.get(under(`${closed!.name}.manifest.json`))!.body.toString(),
  );
  assert.deepEqual(manifest, {
    node: journal.node,
    segment: closed!.number,
    file: closed!.name,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    first: 1,
    last: records.at(-1)!.seq,
  });
  assert.deepEqual(checkpoint, records.findLast(({ event }) => event === 'journal.checkpoint') ?? null);
  // The one that is being written is not, and comes again from its beginning after a restart.
  assert.deepEqual(settled, { segment: current!.number, offset: 0, seq: records.at(-1)!.seq });
});

test('after a restart nothing that was brought is brought again, and what was not is', async (t) => {
  const server = await storage(t);
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const before = openAnother(directory, 2);
  const settled = await deliverAll(s3Exporter(directory, before.node, configFor(server.url)), before);
  before.close();
  const journal = openAnother(directory, 3);
  t.after(() => journal.close());
  const puts = server.puts.length;
  await deliverAll(s3Exporter(directory, journal.node, configFor(server.url)), journal, settled);
  const brought = server.puts.slice(puts).filter((name) => name.endsWith('.jsonl'));
  assert.deepEqual(brought, [`sluice/${journal.node}/${segments(directory)[1]!.name}`]);
});

test('a storage that fails gets the segment when it is well again', async (t) => {
  const server = await storage(t);
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const journal = openAnother(directory, 2);
  t.after(() => journal.close());
  const exporter = s3Exporter(directory, journal.node, configFor(server.url));
  server.answer = (name) => (name.endsWith('.manifest.json') ? 503 : 200);
  await assert.rejects(deliverAll(exporter, journal), /^DeliveryError: HTTP 503 SlowDown$/);
  server.answer = () => 200;
  // The batch that told that the segment is closed comes again.
  const first = await readBatch(directory, journal.node, null, journal.head);
  await deliverAll(exporter, journal, first!.end);
  assert.ok(server.objects.has(`sluice/${journal.node}/${segments(directory)[0]!.name}.manifest.json`));
});

test('objects are locked for as long as it is asked', async (t) => {
  const server = await storage(t);
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const journal = openAnother(directory, 2);
  t.after(() => journal.close());
  const config = configFor(server.url, { lock: { mode: 'compliance', days: 30 } });
  const before = Date.now();
  await deliverAll(s3Exporter(directory, journal.node, config), journal);
  const locks = [...server.objects.values()].map(({ lock }) => lock!);
  assert.ok(locks.length >= 2);
  for (const { mode, until } of locks) {
    assert.equal(mode, 'COMPLIANCE');
    const days = (at: number) => (until.getTime() - at) / (24 * 60 * 60_000);
    assert.ok(days(before) >= 30 && days(Date.now()) <= 30);
  }
});

test('another secret is refused by the storage, and says only so', async (t) => {
  const server = await storage(t);
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const journal = openAnother(directory, 2);
  t.after(() => journal.close());
  const config = configFor(server.url, { secretAccessKey: 'another secret' });
  await assert.rejects(
    deliverAll(s3Exporter(directory, journal.node, config), journal),
    /^DeliveryError: HTTP 403 SignatureDoesNotMatch$/,
  );
  assert.deepEqual(server.refused, ['another signature']);
  assert.equal(server.objects.size, 0);
});

test('a storage that is not there is an error', async (t) => {
  const server = await S3Server.start(CREDENTIALS);
  const { url } = server;
  await server.stop();
  const directory = temporary(t);
  openAnother(directory, 1).close();
  const journal = openAnother(directory, 2);
  t.after(() => journal.close());
  await assert.rejects(deliverAll(s3Exporter(directory, journal.node, configFor(url)), journal), /ECONNREFUSED/);
});

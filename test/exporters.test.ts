import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Journal } from '../src/recording/journal.ts';
import { segments } from '../src/recording/segments.ts';
import { S3Server } from './s3-server.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';
import { type Received, WebhookReceiver } from './webhook-receiver.ts';

/** What follows the journal delays no statement, and loses nothing, whatever becomes of the receiver or of Sluice. */

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const STORAGE = { accessKeyId: 'AKIASLUICE', secretAccessKey: 'the/secret+of=it', region: 'eu-central-1' };
const STATEMENTS = 300;
const LIMIT_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** Segments that were begun so many days before. The second was closed, as far as can be seen, when the third was begun. */
const OLD = [9, 8];
const REMOVED = 1;
const RETAIN_DAYS = 5;
const LOCK_DAYS = 30;

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (const begun = performance.now(); !(await done()); await sleep(50)) {
    assert.ok(performance.now() - begun < LIMIT_MS, `in ${LIMIT_MS} ms: ${what}`);
  }
}

/** A journal whose first segments are old. */
function writeOldSegments(directory: string): void {
  const now = Date.now();
  mock.timers.enable({ apis: ['Date'], now });
  for (const days of OLD) {
    mock.timers.setTime(now - days * DAY_MS);
    const journal = Journal.open(directory);
    journal.append('"journal.gap","reason":"torn line","bytes":1', true);
    journal.close();
  }
  mock.timers.reset();
}

describe('exporters', () => {
  let postgres: PostgresServer;
  let receiver: WebhookReceiver;
  let dead: WebhookReceiver;
  let storage: S3Server;
  let sluice: Sluice;
  const directory = mkdtempSync(join(tmpdir(), 'sluice-exporters-'));
  const copy = join(directory, 'copy.jsonl');
  const journal = join(directory, 'journal');

  before(async () => {
    postgres = await startPostgres();
    receiver = await WebhookReceiver.start(SECRET);
    dead = await WebhookReceiver.start(SECRET);
    dead.goAway();
    storage = await S3Server.start(STORAGE);
    // It takes what is closed already at the third try.
    const answers = [503, 500];
    storage.answer = () => answers.shift() ?? 200;
    const secret = join(directory, 'secret');
    writeFileSync(secret, SECRET);
    const accessKey = join(directory, 'access-key');
    writeFileSync(accessKey, STORAGE.secretAccessKey);
    writeOldSegments(journal);
    const { host, port, superuser: user, password, database } = postgres;
    sluice = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: [{ name: 'agent', password: 'secret' }],
      recording: {
        directory: journal,
        retain: { days: RETAIN_DAYS },
        export: [
          { to: 'webhook', name: 'siem', url: receiver.url, secret: { file: secret } },
          { to: 'webhook', name: 'dead', url: dead.url, secret: { file: secret } },
          { to: 'jsonl', name: 'copy', file: copy },
          { to: 'jsonl', name: 'printed' },
          {
            ...{ to: 's3', name: 'archive', url: storage.url, region: STORAGE.region, prefix: 'sluice/' },
            ...{ access_key_id: STORAGE.accessKeyId, secret_access_key: { file: accessKey } },
            lock: { mode: 'compliance', days: LOCK_DAYS },
          },
        ],
      },
    });
  });
  after(async () => {
    await sluice?.stop();
    await Promise.all([receiver?.stop(), dead?.stop(), storage?.stop()]);
    await postgres?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const written = () =>
    segments(journal).flatMap(({ name }) => readFileSync(join(journal, name), 'utf8').split('\n').slice(0, -1));
  const lastSeq = () => (JSON.parse(written().at(-1)!) as { seq: number }).seq;
  const recordsIn = ({ data }: Received) => data.records as { seq: number }[];
  const seqsOf = (received: readonly Received[]) => received.flatMap(recordsIn).map(({ seq }) => seq);
  const copied = () => (existsSync(copy) ? readFileSync(copy, 'utf8').split('\n').slice(0, -1) : []);

  const linesOf = (printed: string) => printed.split('\n').slice(0, -1);

  async function metric(name: string, port = sluice.apiPort): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  }

  /** Runs statements one after the other; gives the milliseconds each took, in order of size. */
  async function run(port: number, count: number): Promise<number[]> {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'agent', password: 'secret', database: 'db' });
    await client.connect();
    const took: number[] = [];
    for (let n = 0; n < count; n++) {
      const begun = performance.now();
      await client.query('SELECT $1::int AS n', [n]);
      took.push(performance.now() - begun);
    }
    await client.end();
    return took.sort((a, b) => a - b);
  }
  const median = (took: readonly number[]) => took[took.length >> 1]!;

  interface Status {
    readonly ready: boolean;
    readonly followers: readonly { follower: string; lagRecords: number; reason: string | null }[];
    readonly warnings: readonly string[];
  }
  const statusOf = async (port: number) => (await (await fetch(`http://127.0.0.1:${port}/readyz`)).json()) as Status;

  test('nothing waits for receivers that hang, are dead, or want no more for now, and status tells how far they are behind', async (t) => {
    const well = median(await run(sluice.port, STATEMENTS));
    await until(
      'the receiver has them',
      async () => (await metric('sluice_follower_lag_records{follower="siem"}')) === 0,
    );
    // From now on it takes requests and answers none: each holds an exporter for as long as it may.
    receiver.answer = () => 'silent';
    const before = receiver.received.length;
    const hanging = median(await run(sluice.port, STATEMENTS));
    await until('it hangs', () => receiver.received.length > before);
    t.diagnostic(`median of a statement: ${well.toFixed(2)} ms, and ${hanging.toFixed(2)} ms while the receiver hangs`);
    // All were answered while nothing was delivered.
    for (const name of ['copy', 'printed']) {
      await until(
        `${name} has them`,
        async () => (await metric(`sluice_follower_lag_records{follower="${name}"}`)) === 0,
      );
    }
    assert.ok((await metric('sluice_follower_lag_records{follower="siem"}')) >= STATEMENTS);
    assert.ok((await metric('sluice_follower_lag_seconds{follower="siem"}')) > 0);
    const { followers, ready } = await statusOf(sluice.apiPort);
    assert.ok(ready, 'statements are served all the same');
    const of = (name: string) => followers.find(({ follower }) => follower === name)!;
    assert.ok(of('siem').lagRecords >= STATEMENTS);
    assert.match(of('dead').reason!, /ECONNRESET|SOCKET/);
    await until('the storage has what was closed', () =>
      storage.puts.some((name) => name.endsWith('-2.jsonl.manifest.json')),
    );
    assert.equal(storage.refused.length, 2);
    // What is too old stays as long as somebody lacks it, and whoever looks is told.
    await until('it is said', async () => (await metric('sluice_journal_retention_blocked')) === 1);
    assert.match(
      (await statusOf(sluice.apiPort)).warnings.join(),
      /-1\.jsonl cannot be removed: .*dead.* does not have all of it yet/,
    );
    assert.equal(await metric('sluice_journal_segments_removed_total'), 0);
    const printed = linesOf(sluice.printed());
    assert.ok(printed.length > STATEMENTS);
    assert.deepEqual(printed, written().slice(0, printed.length));
  });

  test('a Sluice that is killed before it knows of a delivery brings the records again, in order, and none is lost', async (t) => {
    // The receiver has what it did not answer.
    sluice.signal('SIGKILL');
    await sluice.exited;
    const unanswered = receiver.received.length;
    receiver.answer = () => 204;
    const again = await serveAgain(sluice.configFile);
    t.after(() => again.kill());
    await run(again.port, STATEMENTS);
    const last = lastSeq();
    await until('the receiver has all', () => seqsOf(receiver.received).includes(last));
    await until('the copy has all', () => copied().length >= last);
    await again.kill();

    assert.ok(receiver.received.every(({ isVerified }) => isVerified));
    const seen = new Map<number, object>();
    for (const received of receiver.received) {
      const { first, last: end, node } = received.data as { first: number; last: number; node: string };
      assert.equal(node, (receiver.received[0]!.data as { node: string }).node);
      assert.ok(recordsIn(received).every(({ seq }) => seq >= first && seq <= end));
      for (const record of recordsIn(received)) {
        if (seen.has(record.seq)) assert.deepEqual(record, seen.get(record.seq), 'what comes again is the same');
        else assert.equal(record.seq, seen.size + 1, 'what is new comes in order');
        seen.set(record.seq, record);
      }
    }
    assert.deepEqual(
      [...seen.values()],
      written()
        .map((line) => JSON.parse(line) as object)
        .slice(0, seen.size),
    );
    assert.ok(seen.size >= last);
    const twice = new Set(seqsOf(receiver.received.slice(0, unanswered)));
    assert.ok(
      seqsOf(receiver.received.slice(unanswered)).some((seq) => twice.has(seq)),
      'what was delivered without an answer came again',
    );
    // The file had no torn line, and has each once or more.
    assert.deepEqual([...new Set(copied())], written().slice(0, new Set(copied()).size));
  });

  test('a Sluice that ends well delivers what it has before', async (t) => {
    const again = await serveAgain(sluice.configFile);
    t.after(() => again.kill());
    await run(again.port, 10);
    // What is left for the end is little, as it is where receivers are well.
    for (const name of ['siem', 'copy', 'printed']) {
      const lag = `sluice_follower_lag_records{follower="${name}"}`;
      await until(`${name} is level`, async () => (await metric(lag, again.apiPort)) === 0);
    }
    await again.end();
    const last = written().at(-1)!;
    assert.ok(copied().includes(last), 'the last record is copied');
    assert.ok(linesOf(again.printed()).includes(last));
    assert.ok(seqsOf(receiver.received).includes(lastSeq()));
    assert.deepEqual(seqsOf(dead.received), []);
  });

  test('once everybody has it, what is old is removed, and the journal says so; the storage has them for good', async (t) => {
    const before = segments(journal).map(({ name }) => ({ name, bytes: readFileSync(join(journal, name)) }));
    const last = lastSeq();
    dead.comeBack();
    const again = await serveAgain(sluice.configFile);
    t.after(() => again.kill());
    await until('the one that was dead has all', () => seqsOf(dead.received).includes(last));
    await until('it is removed', () => segments(journal)[0]!.number > REMOVED);
    await until(
      'it is counted',
      async () => (await metric('sluice_journal_segments_removed_total', again.apiPort)) === REMOVED,
    );
    assert.equal(await metric('sluice_journal_retention_blocked', again.apiPort), 0);
    assert.deepEqual((await statusOf(again.apiPort)).warnings, []);
    const removed = written()
      .map((line) => JSON.parse(line))
      .filter(({ event }) => event === 'journal.removed');
    assert.deepEqual(
      removed.map(({ segment, file, reason }) => [segment, file, reason]),
      before.slice(0, REMOVED).map(({ name }, i) => [i + 1, name, 'age']),
    );
    const news = [...new Set(seqsOf(dead.received))];
    assert.deepEqual(
      news,
      news.map((_, i) => i + 1),
      'in order, from the first on',
    );

    const node = (dead.received[0]!.data as { node: string }).node;
    const stored = (name: string) => storage.objects.get(`sluice/${node}/${name}`);
    await until('the storage has the last segment', () => stored(`${before.at(-1)!.name}.manifest.json`) !== undefined);
    let next = 1;
    for (const { name, bytes } of before) {
      assert.deepEqual(stored(name)!.body, bytes);
      const manifest = JSON.parse(stored(`${name}.manifest.json`)!.body.toString());
      assert.deepEqual(
        [manifest.file, manifest.sha256, manifest.first],
        [name, createHash('sha256').update(bytes).digest('hex'), next],
      );
      next = manifest.last + 1;
    }
    assert.equal(next, last + 1);
    assert.ok(storage.puts.includes(`sluice/${node}/journal.keys.json`));
    for (const { lock } of storage.objects.values()) {
      assert.equal(lock!.mode, 'COMPLIANCE');
      assert.ok(lock!.until.getTime() > Date.now() + (LOCK_DAYS - 1) * DAY_MS);
    }
  });
});

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { segments } from '../src/recording/segments.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';
import { type Received, WebhookReceiver } from './webhook-receiver.ts';

/** What follows the journal delays no statement, and loses nothing, whatever becomes of the receiver or of Sluice. */

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const STATEMENTS = 300;
const LIMIT_MS = 60_000;

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (const begun = performance.now(); !(await done()); await sleep(50)) {
    assert.ok(performance.now() - begun < LIMIT_MS, `in ${LIMIT_MS} ms: ${what}`);
  }
}

describe('exporters', () => {
  let postgres: PostgresServer;
  let receiver: WebhookReceiver;
  let sluice: Sluice;
  const directory = mkdtempSync(join(tmpdir(), 'sluice-exporters-'));
  const copy = join(directory, 'copy.jsonl');

  before(async () => {
    postgres = await startPostgres();
    receiver = await WebhookReceiver.start(SECRET);
    const secret = join(directory, 'secret');
    writeFileSync(secret, SECRET);
    const { host, port, superuser: user, password, database } = postgres;
    sluice = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: [{ name: 'agent', password: 'secret' }],
      recording: {
        export: [
          { to: 'webhook', name: 'siem', url: receiver.url, secret: { file: secret } },
          { to: 'jsonl', name: 'copy', file: copy },
        ],
      },
    });
  });
  after(async () => {
    await sluice?.stop();
    await receiver?.stop();
    await postgres?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const journalDirectory = () => join(dirname(sluice.configFile), 'journal');
  const written = () =>
    segments(journalDirectory()).flatMap(({ name }) =>
      readFileSync(join(journalDirectory(), name), 'utf8').split('\n').slice(0, -1),
    );
  const lastSeq = () => (JSON.parse(written().at(-1)!) as { seq: number }).seq;
  const recordsIn = ({ data }: Received) => data.records as { seq: number }[];
  const seqsOf = (received: readonly Received[]) => received.flatMap(recordsIn).map(({ seq }) => seq);
  const copied = () => (existsSync(copy) ? readFileSync(copy, 'utf8').split('\n').slice(0, -1) : []);

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${sluice.apiPort}/metrics`)).text();
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

  test('no statement waits for a receiver that hangs, and status tells how far it is behind', async (t) => {
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
    await until('the copy has them', async () => (await metric('sluice_follower_lag_records{follower="copy"}')) === 0);
    assert.ok((await metric('sluice_follower_lag_records{follower="siem"}')) >= STATEMENTS);
    assert.ok((await metric('sluice_follower_lag_seconds{follower="siem"}')) > 0);
    const { followers, ready } = (await (await fetch(`http://127.0.0.1:${sluice.apiPort}/readyz`)).json()) as {
      ready: boolean;
      followers: { follower: string; lagRecords: number }[];
    };
    assert.ok(ready, 'statements are served all the same');
    assert.ok(followers.find(({ follower }) => follower === 'siem')!.lagRecords >= STATEMENTS);
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
    await again.end();
    const session = (JSON.parse(written().at(-1)!) as { event: string }).event;
    assert.ok(copied().includes(written().at(-1)!), `the last record, ${session}, is copied`);
    assert.ok(seqsOf(receiver.received).includes(lastSeq()));
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { writeJournal } from '../../test/written-journal.ts';
import { type LevelIndex, levelIndex } from '../recording/record-index/level-index.ts';
import { createApi } from './api.ts';
import { type TestServices, testServices } from './test-services.ts';

const STATEMENTS = 300;
const directory = mkdtempSync(join(tmpdir(), 'sluice-recordings-'));
let own: TestServices;
let level: LevelIndex;
let api: FastifyInstance;

before(async () => {
  writeJournal({ directory, statements: STATEMENTS });
  level = await levelIndex(directory, () => undefined);
  own = await testServices({
    recordIndex: async () => level.index,
    indexLag: () => ({ records: 7, bytes: 900, seconds: 2.5 }),
  });
  api = await createApi(own.services);
});
after(async () => {
  await api.close();
  await own.close();
  await level.close();
  rmSync(directory, { recursive: true });
});

async function ask(path: string, user = 'auditor') {
  const authorization = `Basic ${Buffer.from(`${user}:secret`).toString('base64')}`;
  const answer = await api.inject({ url: `/api/v1${path}`, headers: { authorization }, remoteAddress: '127.0.0.1' });
  return { status: answer.statusCode, body: answer.json() };
}

test('who may see statements searches them; a viewer sees sessions only, without any', async () => {
  const found = await ask('/recordings?verdict=deny&limit=200');
  assert.equal(found.status, 200);
  assert.ok(found.body.records.length > 0);
  assert.deepEqual(found.body.lag, { records: 7, seconds: 2.5 });
  for (const record of found.body.records) {
    assert.equal(record.verdict, 'deny');
    assert.match(record.text, /^UPDATE public\.table/);
  }
  for (const user of ['viewer', 'approver', 'nobody', 'agent'])
    assert.equal((await ask('/recordings', user)).status, 403);
  const sessions = await ask('/sessions?state=all', 'viewer');
  assert.equal(sessions.status, 200);
  assert.ok(sessions.body.sessions.length > 3);
  assert.ok(!JSON.stringify(sessions.body).includes('UPDATE'));
});

test('pages follow one another to the last record', async () => {
  const seen = new Set<number>();
  let next: string | null = null;
  do {
    const { body }: { body: { records: { seq: number; event: string }[]; next: string | null } } = await ask(
      `/recordings?limit=70${next === null ? '' : `&after=${next}`}`,
    );
    for (const { seq, event } of body.records) {
      assert.equal(event, 'statement');
      seen.add(seq);
    }
    next = body.next;
  } while (next !== null);
  assert.equal(seen.size, STATEMENTS);
  const { body } = await ask('/recordings?event=session.start&limit=1');
  assert.equal(body.records[0].event, 'session.start');
});

test('what is no condition is told', async () => {
  for (const query of ['limit=0', 'limit=201', 'since=yesterday', 'after=x', 'verdict=maybe', 'identity=']) {
    const { status, body } = await ask(`/recordings?${query}`);
    assert.equal(status, 400, query);
    assert.equal(body.code, 'invalid');
  }
});

test('sessions of all nodes are listed, by identity and connection, page by page', async () => {
  const all = (await ask('/sessions?state=all')).body.sessions;
  const { identity, connection } = all[0];
  const own = (await ask(`/sessions?state=all&identity=${identity.subject}&connection=${connection}`)).body.sessions;
  const expected = all.filter(
    (each: (typeof all)[0]) => each.identity.subject === identity.subject && each.connection === connection,
  );
  assert.deepEqual(own, expected);
  const first = (await ask('/sessions?state=all&limit=2')).body;
  const second = (await ask(`/sessions?state=all&limit=2&after=${first.next}`)).body;
  assert.deepEqual([...first.sessions, ...second.sessions], all.slice(0, 4));
  assert.ok(all.every(({ state }: { state: string }) => state === 'ended'));
});

test('where there is no index, that is said', async () => {
  const services = await testServices();
  const other = await createApi(services.services);
  const authorization = `Basic ${Buffer.from('auditor:secret').toString('base64')}`;
  for (const url of ['/api/v1/recordings', '/api/v1/sessions?state=all']) {
    const { statusCode, body } = await other.inject({ url, headers: { authorization }, remoteAddress: '127.0.0.1' });
    assert.equal(statusCode, 409);
    assert.match(body, /not indexed/);
  }
  await other.close();
  await services.close();
});

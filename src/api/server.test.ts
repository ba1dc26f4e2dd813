import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import type { Question, Vote } from '../approvals/request.ts';
import { person, question, TICKET_ONLY } from '../approvals/test-requests.ts';
import type { ConnectionConfig } from '../config/config.ts';
import { Counters } from '../gateway/services.ts';
import type { Approval } from '../policy/approval.ts';
import type { RecordingStatus } from '../recording/recording-thread.ts';
import type { Jwks } from '../recording/signing-key.ts';
import { createApi } from './api.ts';
import { Metrics } from './metrics.ts';
import { ReadinessProbe } from './readiness.ts';
import { type ApiListener, startServer } from './server.ts';
import { type TestServices, testServices } from './test-services.ts';

const failures: {
  journal: string | null;
  rules: string | null;
  store: string | null;
  catalogue: string | null;
  draining: boolean;
} = {
  journal: null,
  rules: null,
  store: null,
  catalogue: null,
  draining: false,
};
const catalogues = () => new Map([['orders', { version: 'v', age: 2500, stale: failures.catalogue }]]);
const recording = (): RecordingStatus => ({
  failure: null,
  restarts: 1,
  retention: { removed: 2, blocked: 'journal-1.jsonl cannot be removed: siem does not have all of it yet' },
  followers: [
    {
      name: 'siem',
      position: { segment: 1, offset: 200, seq: 8 },
      pendingSince: 0,
      taken: { records: 8, bytes: 200 },
      failures: 3,
      failure: { message: 'the receiver answers 503', since: 0, attempts: 3 },
      lag: { records: 4, bytes: 120, seconds: 1.5 },
    },
  ],
});
const counters = new Counters();
const journal = { counters: { records: 12, bytes: 3400, failures: 1, lost: 0 }, failure: null };
let upstream: ReturnType<typeof createServer>;
let metrics: Metrics;
let api: ApiListener;
let services: TestServices;

const KEYS: Jwks = {
  keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x', kid: 'a key', use: 'sig', alg: 'EdDSA' }],
};

beforeEach(async () => {
  Object.assign(failures, { journal: null, rules: null, store: null, catalogue: null, draining: false });
  upstream = createServer((socket) => socket.on('error', () => {}));
  await once(upstream.listen(0, '127.0.0.1'), 'listening');
  services = await testServices();
  metrics = new Metrics({
    approvals: {
      events: services.services.approvals.events,
      countOpen: async () => {
        if (failures.store !== null) throw new Error(failures.store);
        return services.services.approvals.countOpen();
      },
    },
    counters,
    journal,
    openSessions: () => 3,
    parses: () => ({ hits1: 5, hits2: 4, misses: 1 }),
    catalogues,
    rules: () => ({ version: 'abc', reloadFailed: false }),
    storeFailure: () => failures.store,
    recording,
    channels: () => ({
      counters: new Map([['pager', { delivered: 7, failed: 2, dead: 1 }]]),
      undelivered: [{ channel: 'pager', state: 'dead', count: 3 }],
    }),
  });
  const probe = new ReadinessProbe([connectionTo((upstream.address() as AddressInfo).port)], {
    journalFailure: () => failures.journal,
    rulesFailure: () => failures.rules,
    storeFailure: () => failures.store,
    catalogues,
    draining: () => failures.draining,
    recording,
  });
  api = await startServer(
    { host: '127.0.0.1', port: 0 },
    { tls: null, probe, metrics, keys: KEYS, createApi: () => createApi(services.services) },
  );
});

afterEach(async () => {
  await api.close();
  await services.close();
  metrics.close();
  upstream.close();
});

function connectionTo(port: number): ConnectionConfig {
  return {
    name: 'orders',
    protocol: 'postgres',
    upstream: { host: '127.0.0.1', port, database: 'd', user: 'u', password: null, tls: 'disable', ca: null },
    default: 'deny',
  };
}

async function get(path: string, accept = '*/*'): Promise<{ status: number; type: string; body: string }> {
  const response = await fetch(`http://127.0.0.1:${api.address.port}${path}`, { headers: { accept } });
  return { status: response.status, type: response.headers.get('content-type') ?? '', body: await response.text() };
}

test('a process that runs is alive, and ready if journal, rules and upstreams are', async () => {
  assert.deepEqual(JSON.parse((await get('/healthz')).body), { alive: true });
  const { status, body } = await get('/readyz');
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), {
    ready: true,
    checks: ['accepting sessions', 'journal', 'rules', 'store', 'catalogue orders', 'upstream orders'].map((check) => ({
      check,
      ok: true,
      reason: null,
    })),
    // Of what follows the journal it tells as well; statements are served all the same.
    followers: [
      { follower: 'siem', lagRecords: 4, lagBytes: 120, lagSeconds: 1.5, reason: 'the receiver answers 503' },
    ],
    warnings: ['journal-1.jsonl cannot be removed: siem does not have all of it yet'],
  });
});

test('not ready is a 503 that says why, while the process stays alive', async () => {
  Object.assign(failures, {
    journal: 'ENOSPC: no space left',
    rules: 'x.yaml:1:1: no',
    store: 'no connection',
    catalogue: 'ECONNREFUSED',
    draining: true,
  });
  upstream.close();
  const { status, body } = await get('/readyz');
  assert.equal(status, 503);
  const { ready, checks } = JSON.parse(body);
  assert.equal(ready, false);
  assert.deepEqual(
    checks.map(({ reason }: { reason: string }) => reason.replace(/:\d{2,}/, ':PORT')),
    [
      'draining: no new sessions are taken',
      'ENOSPC: no space left',
      'x.yaml:1:1: no',
      'no connection',
      'ECONNREFUSED',
      '127.0.0.1:PORT cannot be reached: ECONNREFUSED',
    ],
  );
  assert.equal((await get('/healthz')).status, 200);
});

test('an upstream is not connected to for each probe', async () => {
  let visits = 0;
  upstream.on('connection', () => visits++);
  await Promise.all([get('/readyz'), get('/readyz')]);
  await get('/readyz');
  assert.equal(visits, 1);
});

test('metrics follow the plain counters of the data path, and a second scrape does not add them up', async () => {
  Object.assign(counters, { sessions: 7, allowed: 40, refused: 2 });
  counters.refusal('no-drop');
  await get('/metrics');
  const { type, body } = await get('/metrics');
  assert.match(type, /^text\/plain/);
  for (const line of [
    'sluice_sessions 3',
    'sluice_follower_lag_records{follower="siem"} 4',
    'sluice_follower_lag_bytes{follower="siem"} 120',
    'sluice_follower_lag_seconds{follower="siem"} 1.5',
    'sluice_follower_failing{follower="siem"} 1',
    'sluice_follower_failures_total{follower="siem"} 3',
    'sluice_follower_records_total{follower="siem"} 8',
    'sluice_recording_thread_running 1',
    'sluice_journal_segments_removed_total 2',
    'sluice_journal_retention_blocked 1',
    'sluice_recording_thread_restarts_total 1',
    'sluice_approval_deliveries_total{channel="pager",result="delivered"} 7',
    'sluice_approval_deliveries_total{channel="pager",result="dead"} 1',
    'sluice_approval_undelivered{channel="pager",state="dead"} 3',
    'sluice_sessions_started_total 7',
    'sluice_statements_total{verdict="allow"} 40',
    'sluice_statements_total{verdict="deny"} 2',
    'sluice_refusals_total{rule="no-drop"} 1',
    'sluice_journal_records_total 12',
    'sluice_journal_writable 1',
    'sluice_store_available 1',
    'sluice_facts_lookups_total{result="other literals"} 4',
    'sluice_rules_info{version="abc"} 1',
    'sluice_catalogue_age_seconds{connection="orders"} 2.5',
    'sluice_catalogue_stale{connection="orders"} 0',
  ]) {
    assert.ok(body.split('\n').includes(line), `${line} is missing in\n${body}`);
  }
  counters.allowed = 41;
  assert.match((await get('/metrics')).body, /sluice_statements_total\{verdict="allow"\} 41\n/);
});

test('metrics tell what becomes of requests for approval, and who asks or votes is not in them', async () => {
  const { approvals } = services.services;
  counters.rolledBack = 2;
  const ask = async (change: Partial<Approval>, binding: Partial<Question['binding']>) => {
    const asked = question({ approvals: [{ ...TICKET_ONLY, ...change }] }, binding);
    return approvals.rule(asked, () => undefined, new AbortController().signal);
  };
  const ticket = async (statement: string, change: Partial<Approval> = {}) => {
    const ruling = await ask(change, { statement });
    assert.equal(ruling.kind, 'ticket');
    return (ruling as { request: number }).request;
  };
  const vote = (id: number, decision: Vote['decision']) =>
    approvals.vote(id, person('ann', ['dba'], { mayBreakGlass: true }), decision, { reason: 'x', channel: 'cli' });
  await vote(await ticket('SELECT 1'), 'approve');
  assert.equal((await ask({}, { statement: 'SELECT 1' })).kind, 'granted');
  await vote(await ticket('SELECT 2'), 'reject');
  const broken = await ticket('SELECT 3');
  await vote(broken, 'break-glass');
  await ticket('SELECT 4');
  const grantedFor = { grant: 'fingerprint', grantForMs: 1 } as const;
  await vote(await ticket('SELECT 5', grantedFor), 'approve');
  const stop = AbortSignal.abort('withdraw');
  const asked = question({}, { statement: 'SELECT 6' });
  assert.equal((await approvals.rule(asked, () => undefined, stop)).kind, 'withdrawn');
  // Whoever waits for a request whose time is over has it closed, and all others.
  assert.equal((await ask({ withinMs: 1, waitMs: 20_000 }, { statement: 'SELECT 7' })).kind, 'expired');

  const expected = [
    'sluice_approval_requests_total{connection="shop",kind="agent"} 7',
    'sluice_approval_votes_total{decision="approve",channel="cli"} 2',
    'sluice_approval_votes_total{decision="break-glass",channel="cli"} 1',
    'sluice_approval_decision_seconds_count{outcome="approved"} 3',
    'sluice_approval_decision_seconds_count{outcome="rejected"} 1',
    'sluice_approval_decision_seconds_count{outcome="expired"} 1',
    'sluice_approval_decision_seconds_count{outcome="withdrawn"} 1',
    'sluice_approval_grants_total{result="used"} 1',
    'sluice_approval_grants_total{result="expired"} 1',
    'sluice_approval_rollbacks_total 2',
    'sluice_approval_requests_open{state="pending"} 1',
    'sluice_approval_requests_open{state="approved"} 1',
    'sluice_approval_reviews_open 1',
  ];
  // The same in both formats, and nothing is counted twice by a second scrape.
  for (const accept of ['text/plain', 'application/openmetrics-text', 'text/plain']) {
    const { body } = await get('/metrics', accept);
    const lines = body.split('\n');
    for (const line of expected) assert.ok(lines.includes(line), `${line} is missing in\n${body}`);
    assert.doesNotMatch(body, /"(ann|bot|olga|[^"]*SELECT[^"]*)"/);
  }
  await approvals.review(broken, { subject: 'eve', kind: 'human', groups: [] }, 'seen');
  assert.match((await get('/metrics')).body, /^sluice_approval_reviews_open 0$/m);
  // What cannot be asked is left out, and hides nothing else.
  failures.store = 'no connection';
  const { status, body } = await get('/metrics');
  assert.equal(status, 200);
  assert.doesNotMatch(body, /^sluice_approval_(requests|reviews)_open/m);
  assert.match(body, /^sluice_approval_rollbacks_total 2$/m);
});

test('a scraper that asks for OpenMetrics gets it', async () => {
  const { type, body } = await get('/metrics', 'application/openmetrics-text; version=1.0.0,text/plain;q=0.5');
  assert.match(type, /^application\/openmetrics-text/);
  assert.match(body, /# TYPE sluice_statements counter\n/);
  assert.match(body, /# EOF\n$/);
});

test('the public keys of the journal are where key sets are looked for', async () => {
  const { status, body } = await get('/.well-known/jwks.json');
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), KEYS);
});

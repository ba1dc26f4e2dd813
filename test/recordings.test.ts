import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { ReplayEvent } from '../src/recording/replay.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** What was recorded of real sessions is found again and replayed: from the index while Sluice runs, and without it. */

const LIMIT_MS = 60_000;
const run = promisify(execFile);
const program = join(import.meta.dirname, '../src/cli/sluice.js');
const rulesYaml = `version: 1
rules:
  - id: wide-deletes
    match: { effects: [delete], predicate: none }
    action: deny
  - id: changes-wait
    match: { effects: [update], tables: [public.orders] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 60s }
masks:
  - id: emails
    columns: [public.orders.email]
    with: redact
`;

let server: PostgresServer;
let sluice: Sluice;

before(async () => {
  server = await startPostgres();
  await server.query(`CREATE TABLE orders (id int PRIMARY KEY, state text, email text);
    INSERT INTO orders VALUES (1, 'open', 'canary@example.com'), (2, 'open', 'other@example.com')`);
  const { host, port, database, superuser: user, password } = server;
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
    users: [
      { name: 'bot', password: 'secret' },
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'audrey', password: 'secret', kind: 'human', groups: ['audit'] },
    ],
    roles: { auditor: ['audit'], approver: ['dba'] },
    rulesYaml,
    recording: { index: true },
  });
});
after(async () => {
  await sluice?.stop();
  await server?.stop();
});

const journal = () => dirname(sluice.storeFile);

async function command(...args: readonly string[]): Promise<string> {
  const env = { PATH: process.env.PATH, SLUICE_PASSWORD: 'secret' };
  const { stdout } = await run(process.execPath, [program, ...args], { env });
  return stdout;
}

interface Changed {
  readonly from: string;
  readonly to: string;
  readonly by: readonly string[];
  readonly example: { readonly text: string };
}

/** What a search finds, once it finds so many. */
async function found(
  count: number,
  ...conditions: readonly string[]
): Promise<{ text: string; status: string; session: string }[]> {
  const ask = ['recordings', 'search', '--api', `127.0.0.1:${sluice.apiPort}`, '--user', 'audrey', '--json'];
  for (const begun = performance.now(); ; await sleep(50)) {
    const { records } = JSON.parse(await command(...ask, ...conditions));
    if (records.length >= count && records.every(({ status }: { status: string | null }) => status !== null))
      return records;
    assert.ok(performance.now() - begun < LIMIT_MS, `${records.length} of ${count}: ${conditions.join(' ')}`);
  }
}

/** psql's answers to what is typed, with the times it took as it says them. */
async function psql(lines: readonly string[]): Promise<string> {
  const path = server.binDir === null ? 'psql' : join(server.binDir, 'psql');
  const target = `host=127.0.0.1 port=${sluice.port} dbname=shop user=bot sslmode=disable`;
  const child = spawn(path, ['--no-psqlrc', '--no-password', target], {
    env: { PATH: process.env.PATH, PGPASSWORD: 'secret', PGAPPNAME: 'psql', LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stdin.end(`${lines.join('\n')}\n`);
  await once(child, 'close');
  return output;
}

/** Approves the request that comes next. */
async function approved(): Promise<void> {
  const as = ['--api', `127.0.0.1:${sluice.apiPort}`, '--user', 'dana'];
  for (const begun = performance.now(); ; await sleep(50)) {
    const { requests } = JSON.parse(await command('approvals', 'list', '--json', ...as));
    if (requests.length > 0) {
      // Its rows are counted when it has been shown.
      await command('approvals', 'show', String(requests[0].request), ...as);
      await command('approvals', 'approve', String(requests[0].request), '--reason', 'looks right', ...as);
      return;
    }
    assert.ok(performance.now() - begun < LIMIT_MS, 'nobody asks for approval');
  }
}

test('a session of psql is replayed with its statements, times, holds, votes and outcomes', async () => {
  const session = psql([
    '\\timing on',
    'SELECT id, email FROM orders ORDER BY id;',
    'SELECT pg_sleep(0.4);',
    'DELETE FROM orders;',
    "UPDATE orders SET state = 'sent' WHERE id = 1;",
    'SELECT 1/0;',
  ]);
  await approved();
  const output = await session;
  const statements = await found(5, '--identity', 'bot', '--connection', 'shop');
  const id = statements[0]!.session;
  const { events }: { events: ReplayEvent[] } = JSON.parse(
    await command('sessions', 'replay', id, '--json', '--journal', journal()),
  );
  const of = <Name extends ReplayEvent['event']>(name: Name) =>
    events.filter((event): event is Extract<ReplayEvent, { event: Name }> => event.event === name);

  assert.deepEqual(
    of('statement').map(({ text, verdict }) => [text, verdict]),
    [
      ['SELECT id, email FROM orders ORDER BY id', 'allow'],
      ['SELECT pg_sleep(0.4)', 'allow'],
      ['DELETE FROM orders', 'deny'],
      ["UPDATE orders SET state = 'sent' WHERE id = 1", 'hold'],
      ['SELECT 1/0', 'allow'],
    ],
  );
  assert.deepEqual(
    of('outcome').map(({ status, tag, sqlstate, refusedBy }) => [status, tag, sqlstate, refusedBy]),
    [
      ['ok', 'SELECT 2', null, null],
      ['ok', 'SELECT 1', null, null],
      ['refused', null, '42501', 'wide-deletes'],
      ['ok', 'UPDATE 1', null, null],
      ['error', null, '22012', null],
    ],
  );
  const [select, slept] = of('outcome');
  assert.deepEqual([of('statement')[0]!.maskedColumns, of('statement')[0]!.masks], [[2], ['emails']]);
  assert.equal(select!.rows, 2);
  // psql says how long each took, and saw it take longer than the server did behind Sluice.
  const [, psqlMs] = [...output.matchAll(/^Time: ([\d.]+) ms/gm)].map(([, ms]) => Number(ms));
  assert.ok(slept!.ms! >= 400 && slept!.ms! <= psqlMs!, `${slept!.ms} of ${psqlMs} ms`);
  const begun = of('statement')[1]!;
  assert.ok(slept!.offsetMs - begun.offsetMs >= 399, 'the pause is in the times');
  const [held] = of('held');
  assert.deepEqual(held!.rules, ['changes-wait']);
  assert.equal(of('statement')[3]!.request, held!.request);
  assert.deepEqual(
    of('decision').map(({ request, state }) => [request, state]),
    [[held!.request, 'approved']],
  );
  assert.deepEqual(
    events.map(({ offsetMs }) => offsetMs),
    events.map(({ offsetMs }) => offsetMs).sort((a, b) => a - b),
  );
  assert.equal(events[0]!.event, 'start');
  assert.equal(events.at(-1)!.event, 'end');

  const text = await command('sessions', 'replay', id, '--no-wait', '--journal', journal());
  for (const part of [
    'bot (agent)',
    'says it is psql',
    'column 2 masked (emails)',
    'refused by wide-deletes',
    'waits for approval',
    'UPDATE 1',
    'error 22012',
    'ended',
  ]) {
    assert.ok(text.includes(part), `${part}\n${text}`);
  }
  const later = await command('sessions', 'replay', id, '--no-wait', '--from', '4', '--journal', journal());
  assert.ok(!later.includes('pg_sleep') && later.includes('UPDATE'));
  const began = performance.now();
  await command('sessions', 'replay', id, '--speed', '1000', '--journal', journal());
  const waited = command(
    'sessions',
    'replay',
    id,
    '--speed',
    '1',
    '--max-pause',
    '700ms',
    '--from',
    '2',
    '--journal',
    journal(),
  );
  const fast = performance.now() - began;
  await waited;
  assert.ok(performance.now() - began - fast >= 399, 'it waits as long as it took');
});

test('rules in force would say the same of what was recorded, and others what they say', async () => {
  const catalogue = join(journal(), 'shop.catalogue.json');
  await command('rules', 'catalog', 'shop', '--config', sluice.configFile, '-o', catalogue);
  const stricter = join(journal(), 'stricter.yaml');
  writeFileSync(
    stricter,
    `version: 1\nrules:\n  - { id: no-sleep, match: { functions: ["*.pg_sleep"] }, action: deny }\n`,
  );
  const backtest = async (...rules: readonly string[]) => {
    const about = ['--since', '1h', '--identity', 'bot', '--journal', journal(), '--catalogue', catalogue];
    const { statements, changes } = JSON.parse(
      await command('rules', 'backtest', ...rules, ...about, '--default', 'allow', '--json'),
    );
    return { statements, changes: changes.map(({ from, to, by, example }: Changed) => [from, to, by, example.text]) };
  };
  assert.deepEqual(await backtest(sluice.rulesFile), { statements: 5, changes: [] });
  assert.deepEqual(await backtest(sluice.rulesFile, stricter), {
    statements: 5,
    changes: [['allow', 'deny', ['no-sleep'], 'SELECT pg_sleep(0.4)']],
  });
});

test('while Sluice runs its index is asked, afterwards the one beside the journal, which says the same', async () => {
  const client = new pg.Client({
    host: sluice.host,
    port: sluice.port,
    user: 'bot',
    password: 'secret',
    database: 'shop',
  });
  await client.connect();
  await client.query(
    "SELECT state FROM orders WHERE id = $1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
    [1],
  );
  await client.end();
  const trace = ['--trace', '4bf92f3577b34da6a3ce929d0e0e4736'];
  const [statement] = await found(1, ...trace);
  assert.equal(statement!.status, 'ok');
  assert.deepEqual(
    await found(1, ...trace, '--table', 'orders', '--verdict', 'allow', '--identity', 'bot', '--since', '1h'),
    [statement],
  );
  const { records } = JSON.parse(await command('recordings', 'search', '--journal', journal(), '--json', ...trace));
  assert.deepEqual(records, [statement]);
  await assert.rejects(
    command('recordings', 'search', '--api', `127.0.0.1:${sluice.apiPort}`, '--user', 'bot'),
    /auditor/,
  );
  const { sessions } = JSON.parse(await command('sessions', 'list', '--journal', journal(), '--json'));
  const own = sessions.find(({ session }: { session: string }) => session === statement!.session);
  assert.deepEqual([own.identity.subject, own.statements], ['bot', 1]);
});

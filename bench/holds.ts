/**
 * What 1,000 statements that wait for approval cost everybody else: latency and CPU time of the others' queries before and
 * meanwhile, and memory. Each is a request of its own; as many as fit into the queue are looked into for their approvers. At the end one person approves one of them, the
 * other clients leave, and nothing but the approved one may have reached the server.
 *
 *     node bench/holds.ts [HELD] [SECONDS A MEASUREMENT]
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Approver } from '../test/approver.ts';
import { startPostgres } from '../test/servers/postgres.ts';
import { startSluice } from '../test/sluice.ts';
import { until } from '../test/until.ts';
import { initialise, selectOnlyLatencies } from './pgbench.ts';
import { cpuMicroseconds, residentBytes } from './process-usage.ts';
import { closeSessions, openSessions } from './raw-session.ts';
import { percentile } from './spread.ts';

const [held = 1000, seconds = 5] = process.argv.slice(2, 4).map(Number);
const RULES = `version: 1
rules:
  - id: deletes-wait
    match: { effects: [delete] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 1h, within: 2h }
`;

const server = await startPostgres({ config: { max_connections: String(held + 100) } });
const { host, port, superuser: user, password, database } = server;
const binary = path.join(server.binDir ?? '', 'pgbench');
await initialise({ binary, port, user, password, database }, 1);
await server.query(`CREATE TABLE held AS SELECT n AS id FROM generate_series(1, ${held}) AS n`);
const sluice = await startSluice({
  connections: [{ name: 'db', upstream: { host, port, database, user, password } }],
  users: [{ name: 'agent', password: 'secret' }],
  rulesYaml: RULES,
  limits: { sessions: held + 100 },
});
const approver = await Approver.open(sluice.storeFile);
const target = { port: sluice.port, user: 'agent', password: 'secret', database: 'db' };

/** Of 8 clients that ask for one row each: microseconds. */
async function others(): Promise<{ p50: number; p99: number; cpu: number }> {
  const before = cpuMicroseconds(sluice.pid);
  const latencies = await selectOnlyLatencies({ binary, ...target }, [
    '-M',
    'prepared',
    '-c',
    '8',
    '-T',
    String(seconds),
  ]);
  const cpu = (cpuMicroseconds(sluice.pid) - before) / latencies.length;
  return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), cpu };
}

const megabytes = () => residentBytes(sluice.pid) / 1_000_000;
const row = (what: string, { p50, p99, cpu }: Awaited<ReturnType<typeof others>>) =>
  console.log(
    `${what.padEnd(24)} p50 ${p50.toFixed(0)} us, p99 ${p99.toFixed(0)} us, CPU ${cpu.toFixed(1)} us a query`,
  );

await others();
row('before', await others());
const sessions = await openSessions(target, held);
row(`beside ${held} idle ones`, await others());
const idle = megabytes();
const began = performance.now();
const answers = sessions.map((session, n) =>
  session.query(`DELETE FROM held WHERE id = ${n + 1}`).then(
    () => 'ran',
    () => 'left',
  ),
);
const waiting = async () => (await approver.approvals.list(['pending'], held + 1)).length === held;
while (!(await waiting())) assert.ok(performance.now() - began < 300_000, 'not all are held after five minutes');
console.log(`all ${held} are held after ${((performance.now() - began) / 1000).toFixed(1)} s`);
row('while they are looked into', await others());
/** Most of them come when too many wait: these are looked into when somebody opens them. */
const counted = async () =>
  (await approver.approvals.list(['pending'], held)).filter(({ impact }) => impact !== null).length;
let found = -1;
for (let now = await counted(); now !== found; now = await counted()) {
  found = now;
  await sleep(2_000);
}
console.log(`${found} were looked into`);
row(`beside ${held} held ones`, await others());
console.log(`memory: ${idle.toFixed(0)} MB with idle sessions, ${megabytes().toFixed(0)} MB with held ones`);
const [one] = await approver.approvals.list(['pending'], 1);
await approver.approve(one!.id);
await until(async () => (await Promise.race([...answers, 'none'])) === 'ran', 'the approved one has run');
await closeSessions(sessions);
assert.deepEqual(new Set(await Promise.all(answers)), new Set(['ran', 'left']));
assert.deepEqual(await server.query('SELECT count(*)::int AS n FROM held'), [{ n: held - 1 }]);
console.log('the approved one ran, and no other');
await approver.close();
await sluice.stop();
await server.stop();

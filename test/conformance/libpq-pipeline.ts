import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresKit } from './postgres-kit.ts';
import { startConformanceServer } from './server.ts';
import { clientEnvironment, type Suite, type Target } from './suite.ts';

/** Rows to insert: enough to fill the socket's buffers in both directions; the number of PostgreSQL's own test run. */
const ROWS = 700;
/**
 * Time one test may take, milliseconds. uniqviol sends until every socket buffer on the way is full and then some: 3 s
 * directly, 10 s through a relay that only copies bytes and so adds its own buffers.
 */
const TEST_LIMIT_MS = 60_000;
/** Characters kept of what a test prints: uniqviol prints a dot per step for as long as it waits for its error. */
const KEPT_OUTPUT = 20_000;

/**
 * libpq's pipeline-mode tests. A test passes when the program says so and, where PostgreSQL ships a trace of the
 * conversation (every message both ways), the conversation was that one.
 */
export const libpqPipeline = (kit: PostgresKit): Suite => ({
  name: 'libpq_pipeline',
  protocol: 'postgres',
  databases: ['postgres'],
  start: () => startConformanceServer(kit.binDir),
  async run(target, directory, finished) {
    const list = await execute(kit, target, ['tests']);
    const tests = list.stdout.split(/\s+/).filter((name) => name !== '');
    if (list.problem !== null || tests.length === 0) throw new Error(`libpq_pipeline lists no tests: ${list.problem}`);
    const outcomes = [];
    for (const test of tests) {
      const detail = await runTest(kit, target, directory, test);
      outcomes.push({ test, passed: detail === '', detail });
      finished({ test, passed: detail === '' });
    }
    return outcomes;
  },
});

/** Empty when the test passed, otherwise what went wrong. */
async function runTest(kit: PostgresKit, target: Target, directory: string, test: string) {
  const traceFile = join(directory, `${test}.trace`);
  const connection = `host=${target.host} port=${target.port} user=${target.user} dbname=postgres`;
  const args = ['-r', String(ROWS), '-t', traceFile, test, connection];
  const { stdout, stderr, problem } = await execute(kit, target, args);
  writeFileSync(join(directory, `${test}.out`), stdout + stderr);
  if (problem !== null) return `${problem}\n${stderr}`;
  const expectedFile = join(kit.source, 'src/test/modules/libpq_pipeline/traces', `${test}.trace`);
  if (!existsSync(expectedFile)) return '';
  return firstDifference(readFileSync(expectedFile, 'utf8'), readFileSync(traceFile, 'utf8'));
}

async function execute(kit: PostgresKit, target: Target, args: string[]) {
  const program = spawn(kit.libpqPipeline, args, {
    env: clientEnvironment(target),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TEST_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  program.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < KEPT_OUTPUT) stdout += text;
  });
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < KEPT_OUTPUT) stderr += text;
  });
  const [code, signal] = await once(program, 'close');
  const ending = signal === null ? `exit ${code}` : `ended by ${signal}; the limit is ${TEST_LIMIT_MS / 1000} s`;
  return { stdout, stderr, problem: code === 0 ? null : ending };
}

/** Empty when equal, otherwise the first line that differs, with three lines before it. */
function firstDifference(expected: string, seen: string): string {
  const wanted = expected.split('\n');
  const got = seen.split('\n');
  const line = wanted.findIndex((text, index) => text !== got[index]);
  if (line === -1 && wanted.length === got.length) return '';
  const at = line === -1 ? wanted.length : line;
  const before = wanted.slice(Math.max(0, at - 3), at).map((text) => ` ${text}`);
  const removed = wanted.slice(at, at + 3).map((text) => `-${text}`);
  const added = got.slice(at, at + 3).map((text) => `+${text}`);
  return [`trace line ${at + 1}`, ...before, ...removed, ...added].join('\n');
}

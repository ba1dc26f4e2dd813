import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { diffsByTest, resultLine, scheduledTests } from './pg-regress-report.ts';
import type { PostgresKit } from './postgres-kit.ts';
import { startConformanceServer } from './server.ts';
import { clientEnvironment, type Suite } from './suite.ts';

/** Seconds isolationtester lets a step block before it cancels it; its default of 300 would use up the whole limit. */
const ISOLATION_STEP_LIMIT_S = '60';

/** PostgreSQL's regression tests: SQL scripts run by psql, up to twenty at a time, output compared to the letter. */
export const pgRegress = schedule({
  name: 'pg_regress',
  database: 'regression',
  driver: 'regress/pg_regress',
  input: 'src/test/regress',
  scheduleFile: 'parallel_schedule',
  timeLimitMs: 8 * 60_000,
});

/** PostgreSQL's isolation tests: several libpq sessions whose steps interleave, blocking on one another. */
export const pgIsolationRegress = schedule({
  name: 'pg_isolation_regress',
  database: 'isolation_regression',
  driver: 'isolation/pg_isolation_regress',
  input: 'src/test/isolation',
  scheduleFile: 'isolation_schedule',
  timeLimitMs: 6 * 60_000,
});

function schedule(suite: {
  name: string;
  database: string;
  driver: string;
  input: string;
  scheduleFile: string;
  /** Time the whole schedule may take. Directly, it takes well under a minute on two cores. */
  timeLimitMs: number;
}): (kit: PostgresKit) => Suite {
  const { name, database, timeLimitMs } = suite;
  // The driver makes its database from a session in `postgres`.
  const databases = ['postgres', database];
  const runWith = async (kit: PostgresKit, ...[target, directory, finished]: Parameters<Suite['run']>) => {
    const input = join(kit.source, suite.input);
    const scheduleFile = join(input, suite.scheduleFile);
    const args = [
      `--bindir=${kit.binDir}`,
      `--inputdir=${input}`,
      `--outputdir=${directory}`,
      `--dlpath=${kit.modules}`,
      `--host=${target.host}`,
      `--port=${target.port}`,
      `--user=${target.user}`,
      `--schedule=${scheduleFile}`,
      '--no-locale',
      '--encoding=UTF8',
      '--max-concurrent-tests=20',
    ];
    // The server's account writes into the results directory too (COPY ... TO, lo_export).
    const driver = spawn('/bin/sh', ['-c', 'umask 0; exec "$0" "$@"', join(kit.drivers, suite.driver), ...args], {
      cwd: directory,
      env: { ...clientEnvironment(target), PGISOLATIONTIMEOUT: ISOLATION_STEP_LIMIT_S },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = createWriteStream(join(directory, 'output'));
    driver.stdout.pipe(output, { end: false });
    driver.stderr.pipe(output, { end: false });
    const passed = new Map<string, boolean>();
    const lines = createInterface({ input: driver.stdout });
    lines.on('line', (line) => {
      const result = resultLine(line);
      if (result === null) return;
      passed.set(result.test, result.passed);
      finished(result);
    });
    const limit = setTimeout(() => driver.kill('SIGKILL'), timeLimitMs);
    const [code, signal] = await once(driver, 'close');
    clearTimeout(limit);
    output.end();
    await once(output, 'finish');

    const ending = signal === null ? `it ended with code ${code}` : `it was stopped after ${timeLimitMs / 1000} s`;
    const diffFile = join(directory, 'regression.diffs');
    const diffs = diffsByTest(existsSync(diffFile) ? readFileSync(diffFile, 'utf8') : '');
    const detail = (test: string) => {
      if (passed.has(test)) return diffs.get(test) ?? `failed without a diff; see ${output.path}`;
      return `${name} did not report this test: ${ending}; see ${output.path}`;
    };
    return scheduledTests(readFileSync(scheduleFile, 'utf8')).map((test) =>
      passed.get(test) ? { test, passed: true, detail: '' } : { test, passed: false, detail: detail(test) },
    );
  };
  return (kit) => ({
    ...{ name, databases, protocol: 'postgres' },
    start: () => startConformanceServer(kit.binDir),
    run: (...how) => runWith(kit, ...how),
  });
}

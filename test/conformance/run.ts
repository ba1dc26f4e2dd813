/** `npm run conformance -- [--only direct|sluice] [SUITE...]`: see docs/conformance.md. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { differences, proves, type SuiteResult, table } from './comparison.ts';
import { libpqPipeline } from './libpq-pipeline.ts';
import { mysql2 } from './mysql2.ts';
import { mysqltest } from './mysqltest.ts';
import { nodePostgres } from './node-postgres.ts';
import { pgIsolationRegress, pgRegress } from './pg-regress.ts';
import { type PostgresKit, preparePostgresKit } from './postgres-kit.ts';
import { startSluiceTarget } from './sluice-target.ts';
import type { Suite, Target, TestOutcome } from './suite.ts';

const home = resolve(import.meta.dirname, '../../var/conformance');
/** Those that need the kit of PostgreSQL, and those that need none. */
const WITH_KIT = {
  pg_regress: pgRegress,
  pg_isolation_regress: pgIsolationRegress,
  libpq_pipeline: libpqPipeline,
} satisfies Record<string, (kit: PostgresKit) => Suite>;
const WITHOUT: Record<string, () => Suite> = {
  mysqltest,
  mysql2: () => mysql2(home),
  'node-postgres': () => nodePostgres(home),
};
const NAMES = [...Object.keys(WITH_KIT), ...Object.keys(WITHOUT)];
const TARGETS: readonly Target['name'][] = ['direct', 'sluice'];
/** What the terminal shows of a diff, in lines and columns; the results file has all of it. */
const SHOWN = { lines: 20, columns: 200 };

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' } } });
const targets = values.only === undefined ? TARGETS : TARGETS.filter((name) => name === values.only);
const asked = positionals.length === 0 ? NAMES : NAMES.filter((name) => positionals.includes(name));
const unknown = positionals.filter((name) => !NAMES.includes(name));
if (targets.length === 0 || unknown.length > 0) {
  console.error(`usage: npm run conformance -- [--only ${TARGETS.join('|')}] [SUITE...]\nsuites: ${NAMES.join(' ')}`);
  process.exit(2);
}
// Servers are ended and their files removed by exit handlers, which a signal's default action would skip.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

const needsKit = Object.keys(WITH_KIT).some((name) => asked.includes(name));
const kit = needsKit ? preparePostgresKit(home) : null;
if (kit !== null) console.log(`PostgreSQL ${kit.version}: server, clients and tests`);
if (kit !== null && kit.installed !== null && kit.installed !== kit.version) {
  console.log(`This machine has ${kit.installed} installed, whose source the archive does not give; it is not used.`);
}
const suites = [
  ...(kit === null ? [] : Object.entries(WITH_KIT).map(([name, make]) => [name, () => make(kit)] as const)),
  ...Object.entries(WITHOUT),
].flatMap(([name, make]) => (asked.includes(name) ? [make()] : []));

const results: SuiteResult[] = [];
/** What went wrong around the tests. It fails the run, but must not cost it the results it has. */
const problems: string[] = [];
for (const suite of suites) {
  const runs = [];
  for (const target of targets) runs.push({ target, outcomes: await runSuite(suite, target) });
  results.push({ suite: suite.name, runs });
}
report(results);
process.exit(results.every(proves) && problems.length === 0 ? 0 : 1);

/** Runs one suite on a server of its own, so that nothing one run leaves behind can change the next. */
async function runSuite(suite: Suite, targetName: Target['name']): Promise<TestOutcome[]> {
  const directory = join(home, 'output', suite.name, targetName);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const server = await suite.start();
  try {
    const direct: Target = { name: 'direct', ...server.target };
    const sluice = targetName === 'sluice' ? await startSluiceTarget(direct, suite) : null;
    try {
      let ended = 0;
      return await suite.run(sluice?.target ?? direct, directory, ({ test, passed }) => {
        ended += 1;
        console.log(`${suite.name} ${targetName} ${String(ended).padStart(3)} ${passed ? 'ok    ' : 'FAILED'} ${test}`);
      });
    } finally {
      await sluice?.stop().catch((error: Error) => problems.push(`${suite.name}: ${error.message}`));
    }
  } finally {
    await server.stop();
  }
}

function report(all: readonly SuiteResult[]): void {
  const file = join(home, 'results.json');
  const { version, installed } = kit ?? { version: null, installed: null };
  const entries = all.map((result) => ({ ...result, differences: differences(result) }));
  writeFileSync(
    file,
    `${JSON.stringify({ at: new Date().toISOString(), version, installed, problems, suites: entries }, null, 2)}\n`,
  );
  for (const result of all) {
    for (const { target, outcomes } of result.runs) {
      for (const { test, detail } of outcomes.filter(({ passed }) => !passed)) {
        console.log(`\n${result.suite} ${target} FAILED ${test}`);
        const lines = detail.split('\n').slice(0, SHOWN.lines);
        console.log(lines.map((line) => line.slice(0, SHOWN.columns)).join('\n'));
      }
    }
  }
  for (const problem of problems) console.log(`\nPROBLEM ${problem}`);
  console.log(`\n${table(all)}\n\nAll diffs: ${file}`);
}

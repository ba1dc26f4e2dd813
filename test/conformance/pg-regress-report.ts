/** The tests a pg_regress schedule file names, in its order (`test: NAME...` lines, `#` comments). */
export function scheduledTests(schedule: string): string[] {
  return schedule
    .split('\n')
    .filter((line) => line.startsWith('test:'))
    .flatMap((line) => line.slice('test:'.length).trim().split(/\s+/));
}

/**
 * The test whose result this line of pg_regress's output states; `null` for any other line. `failed (ignored)` counts as
 * failed: a schedule may forgive a test, a comparison may not.
 */
export function resultLine(line: string): { test: string; passed: boolean } | null {
  const match = /^(?:test |\s{5})(\S+)\s+\.\.\. (ok|FAILED|failed)\b/.exec(line);
  return match === null ? null : { test: match[1]!, passed: match[2] === 'ok' };
}

/** Cuts a regression.diffs file into one diff per test, by the name of the result file. */
export function diffsByTest(diffs: string): Map<string, string> {
  const byTest = new Map<string, string>();
  for (const part of diffs.split(/^(?=diff -)/m)) {
    const test = /^diff .*\/results\/(\S+)\.out$/m.exec(part)?.[1];
    if (test !== undefined) byTest.set(test, part);
  }
  return byTest;
}

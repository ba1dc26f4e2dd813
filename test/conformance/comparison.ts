import type { Target, TestOutcome } from './suite.ts';

/** What one suite gave on each target it ran against. */
export interface SuiteResult {
  readonly suite: string;
  readonly runs: readonly { readonly target: Target['name']; readonly outcomes: readonly TestOutcome[] }[];
}

/** A test that does not end the same way directly and through Sluice. */
export interface Difference {
  readonly test: string;
  readonly passedDirect: boolean;
  readonly passedThrough: boolean;
  /** The diff of the side that failed. */
  readonly detail: string;
}

/** Every test whose ending differs between the two targets; empty when only one was run. */
export function differences(result: SuiteResult): Difference[] {
  const direct = outcomesOf(result, 'direct');
  const through = outcomesOf(result, 'sluice');
  if (direct === null || through === null) return [];
  return [...new Set([...direct.keys(), ...through.keys()])].flatMap((test) => {
    const one = direct.get(test);
    const other = through.get(test);
    const passedDirect = one?.passed ?? false;
    const passedThrough = other?.passed ?? false;
    if (passedDirect === passedThrough) return [];
    const detail = (passedDirect ? other : one)?.detail ?? 'this target did not have the test';
    return [{ test, passedDirect, passedThrough, detail }];
  });
}

/**
 * True when the run proves what it set out to: both lists of passing tests are equal, and every test passed. A test that
 * fails on both sides is no difference, but it shows nothing about Sluice either, so it may not look like success.
 */
export function proves(result: SuiteResult): boolean {
  return (
    differences(result).length === 0 &&
    result.runs.every(({ outcomes }) => outcomes.length > 0 && outcomes.every((outcome) => outcome.passed))
  );
}

/** One row per suite: `suite | direct | through | differences`, with `-` for a target that was not run. */
export function table(results: readonly SuiteResult[]): string {
  const rows = results.map((result) => {
    const both = result.runs.length === 2;
    const names = differences(result).map(({ test }) => test);
    const listed = both ? names.join(', ') || 'none' : '-';
    return [result.suite, score(result, 'direct'), score(result, 'sluice'), listed];
  });
  const all = [['suite', 'direct', 'through Sluice', 'differences'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')).join('\n');
}

function score(result: SuiteResult, target: Target['name']): string {
  const outcomes = outcomesOf(result, target);
  if (outcomes === null) return '-';
  return `${[...outcomes.values()].filter(({ passed }) => passed).length}/${outcomes.size}`;
}

function outcomesOf(result: SuiteResult, target: Target['name']): Map<string, TestOutcome> | null {
  const run = result.runs.find((each) => each.target === target);
  return run === undefined ? null : new Map(run.outcomes.map((outcome) => [outcome.test, outcome]));
}

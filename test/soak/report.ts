import type { Sample } from './sampling.ts';
import type { SoakOutcome } from './soak.ts';

const COLUMNS: readonly (readonly [title: string, figure: keyof Sample, digits: number])[] = [
  ['s', 'at', 0],
  ['RSS MB', 'residentMB', 1],
  ['heap MB', 'heapMB', 1],
  ['external MB', 'externalMB', 1],
  ['descriptors', 'descriptors', 0],
  ['sessions', 'sessions', 0],
  ['statements', 'statements', 0],
  ['journal MB', 'journalMB', 1],
];

export const SAMPLE_HEAD = COLUMNS.map(([title]) => title.padStart(width(title))).join('');

export function sampleLine(sample: Sample): string {
  return COLUMNS.map(([title, figure, digits]) => sample[figure].toFixed(digits).padStart(width(title))).join('');
}

function width(title: string): number {
  return Math.max(8, title.length + 2);
}

/** All that a soak found but its samples, as text. */
export function summary(outcome: SoakOutcome): string {
  const { journal, descriptors } = outcome;
  const clients = outcome.scenarios.map(({ name, turns, completed, errors }) => {
    const unexpected = [...errors.values()].reduce((sum, count) => sum + count, 0);
    return `  ${name.padEnd(20)}${String(turns).padStart(9)}${String(completed).padStart(12)}${String(unexpected).padStart(8)}`;
  });
  const outcomes = Object.entries(journal.outcomes).map(([status, count]) => `${count} ${status}`);
  const growth = outcome.growth?.map(
    ({ figure, perMinute, bound }) =>
      `  ${figure.padEnd(14)}${perMinute.toFixed(3).padStart(8)} a minute, at most ${bound}: ${perMinute <= bound ? 'flat' : 'GROWS'}`,
  );
  return [
    `  ${'client'.padEnd(20)}${'turns'.padStart(9)}${'completed'.padStart(12)}${'errors'.padStart(8)}`,
    ...clients,
    '',
    `Journal: ${journal.records} records, ${journal.sessions} sessions, ${journal.attempts} attempts; ${outcomes.join(', ')}`,
    `Descriptors: ${descriptors.before} before the load, ${descriptors.after} after it`,
    'Growth after the warm-up:',
    ...(growth ?? ['  NOT JUDGED: the run was too short']),
    ...outcome.notRun.map((what) => `NOT RUN: ${what}`),
    '',
    ...(outcome.failures.length === 0 ? ['PASSED'] : ['FAILED', ...outcome.failures.map((reason) => `  ${reason}`)]),
  ].join('\n');
}

/** All of it, for a file. */
export function asJson(outcome: SoakOutcome): string {
  const plain = (_: string, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value);
  return `${JSON.stringify(outcome, plain, 2)}\n`;
}

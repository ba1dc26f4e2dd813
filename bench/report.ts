/** The table and the budgets as text. */
import type { Judgement } from './budgets.ts';
import { MEASURES, type Measure } from './measures.ts';
import { type Outcome, samplesOf } from './outcome.ts';
import { pairedSpread, type Spread, spreadOf } from './spread.ts';

const LABEL_WIDTH = 56;

/** The one table: for each measure a line per contender with median, smallest and largest, and the ratio to the bare relay. */
export function table(outcome: Outcome): string {
  const lines = [row('', 'median', 'min .. max', 'x relay (min .. max)')];
  for (const [measure, { title, digits }] of Object.entries(MEASURES) as [
    Measure,
    { title: string; digits: number },
  ][]) {
    const relay = samplesOf(outcome, 'relay', measure);
    const measured = outcome.contenders.filter(({ samples }) => samples[measure] !== undefined);
    if (measured.length === 0) continue;
    lines.push('', title);
    for (const { name, label, samples } of measured) {
      const ratio =
        name === 'relay' ? null : pairedSpread(samples[measure]!, relay, (value, reference) => value / reference);
      lines.push(valueRow(label, spreadOf(samples[measure]!), digits, ratio));
    }
  }
  if (outcome.firstSight.length > 0) {
    lines.push('', 'One statement: parse, analyse, decide, us');
    for (const { bytes, first, again } of outcome.firstSight) {
      lines.push(valueRow(`${bytes} B, first sight`, spreadOf(first), 0, null));
      lines.push(valueRow(`${bytes} B, the same text again`, spreadOf(again), 2, null));
    }
  }
  if (outcome.detectors.length > 0) {
    lines.push('', 'Detectors, CPU ms per MB of text in which there is nothing');
    for (const { name, milliseconds } of outcome.detectors) lines.push(valueRow(name, spreadOf(milliseconds), 2, null));
  }
  for (const { label, trouble } of outcome.contenders) {
    if (trouble !== null) lines.push('', `${label}: ${trouble.kind.toUpperCase()}: ${trouble.reason}`);
  }
  for (const failure of outcome.failures) lines.push('', `FAILED: ${failure}`);
  return lines.join('\n');
}

/** Each budget with the measured median and the word `met`, `missed` or `not measured`. */
export function budgets(judgements: readonly Judgement[]): string {
  const lines = [row('Budgets (medians)', 'measured', 'budget', '')];
  for (const { budget, value, result } of judgements) {
    const { bound, limit, unit, title } = budget;
    const measured = value === null ? '-' : `${amount(value.median, unit)} ${unit}`;
    lines.push(row(`  ${title}`, measured, `${bound} ${limit} ${unit}`, result));
  }
  return lines.join('\n');
}

function valueRow(label: string, { median, min, max }: Spread, digits: number, ratio: Spread | null): string {
  const range = `${min.toFixed(digits)} .. ${max.toFixed(digits)}`;
  return row(`  ${label}`, median.toFixed(digits), range, ratio === null ? '' : ratioText(ratio));
}

function ratioText({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} .. ${max.toFixed(2)})`;
}

function amount(value: number, unit: string): string {
  return value.toFixed(unit === 'x' ? 3 : 1);
}

function row(label: string, ...cells: readonly [string, string, string]): string {
  const [first, second, third] = cells;
  return `${label.padEnd(LABEL_WIDTH)}${first.padStart(10)}  ${second.padStart(19)}  ${third.padStart(20)}`.trimEnd();
}

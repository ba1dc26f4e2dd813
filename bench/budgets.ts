/** The performance budgets, and whether a run kept them. What they mean and where they come from: docs/performance.md. */
import type { Measure } from './measures.ts';
import { type Outcome, samplesOf } from './outcome.ts';
import { pairedSpread, type Spread, spreadOf } from './spread.ts';

/** The step whose figures count: everything the product does for a statement that is allowed. */
const SLUICE = 'sluice-rules';
/** The same with masks. */
const MASKS = 'sluice-masks';

export interface Budget {
  readonly title: string;
  readonly bound: 'at most' | 'at least';
  readonly limit: number;
  readonly unit: string;
  /** Whether `--gate` fails on it. Only ratios of CPU time are steady enough on a shared machine to fail a build. */
  readonly gated?: true;
  /** The contender it compares with where that is a program a machine may lack. */
  readonly peer?: string;
  /** `null` if what it compares was not measured. */
  value(outcome: Outcome): Spread | null;
}

export interface Judgement {
  readonly budget: Budget;
  readonly value: Spread | null;
  readonly result: 'met' | 'missed' | 'not measured';
}

/** A gated budget fails a build only when it is missed by more than this part of it. */
const GATE_SLACK = 0.15;

const ratio = (value: number, reference: number): number => value / reference;
const difference = (value: number, reference: number): number => value - reference;

/** Figures of Sluice's, or `null`. */
const own =
  (measure: Measure, step = SLUICE) =>
  (outcome: Outcome): Spread | null => {
    const samples = samplesOf(outcome, step, measure);
    return samples.length === 0 ? null : spreadOf(samples);
  };

/** Figures of Sluice's beside those of another contender, round by round. */
const beside =
  (measure: Measure, reference: string, combine: (value: number, reference: number) => number, step = SLUICE) =>
  (outcome: Outcome): Spread | null =>
    pairedSpread(samplesOf(outcome, step, measure), samplesOf(outcome, reference, measure), combine);

const firstSight =
  (bytes: number) =>
  (outcome: Outcome): Spread | null => {
    const size = outcome.firstSight.find((measured) => measured.bytes === bytes);
    return size === undefined ? null : spreadOf(size.first);
  };

export const BUDGETS: readonly Budget[] = [
  {
    title: 'CPU per query, against the bare relay',
    bound: 'at most',
    limit: 1.25,
    unit: 'x',
    gated: true,
    value: beside('cpu', 'relay', ratio),
  },
  {
    title: 'CPU per query, against PgBouncer',
    bound: 'at most',
    limit: 1.9,
    unit: 'x',
    gated: true,
    peer: 'pgbouncer',
    value: beside('cpu', 'pgbouncer', ratio),
  },
  {
    title: 'Bulk throughput, against the bare relay',
    bound: 'at least',
    limit: 0.95,
    unit: 'x',
    value: beside('bulk', 'relay', ratio),
  },
  {
    title: 'CPU per query with a masked column, against the bare relay',
    bound: 'at most',
    limit: 1.4,
    unit: 'x',
    gated: true,
    value: beside('cpu', 'relay', ratio, MASKS),
  },
  {
    title: 'Bulk throughput, three text columns masked, against the bare relay',
    bound: 'at least',
    limit: 0.6,
    unit: 'x',
    value: beside('bulk', 'relay', ratio, MASKS),
  },
  {
    title: 'First sight of a statement of 57 B',
    bound: 'at most',
    limit: 300,
    unit: 'us',
    value: firstSight(57),
  },
  {
    title: 'First sight of a statement of 2,900 B',
    bound: 'at most',
    limit: 2000,
    unit: 'us',
    value: firstSight(2900),
  },
  {
    title: 'Latency added to the bare relay, p50',
    bound: 'at most',
    limit: 60,
    unit: 'us',
    value: beside('latencyP50', 'relay', difference),
  },
  {
    title: 'Latency added to the bare relay, p99',
    bound: 'at most',
    limit: 200,
    unit: 'us',
    value: beside('latencyP99', 'relay', difference),
  },
  {
    title: 'Connect and log in, against direct',
    bound: 'at most',
    limit: 2,
    unit: 'x',
    value: beside('connect', 'direct', ratio),
  },
  {
    title: 'Memory at rest',
    bound: 'at most',
    limit: 60,
    unit: 'MB',
    value: own('restMemory'),
  },
  {
    title: 'Memory per idle session',
    bound: 'at most',
    limit: 40,
    unit: 'kB',
    value: own('idleMemory'),
  },
  {
    title: 'More memory for 1 GB to a slow reader than for 100 MB',
    bound: 'at most',
    limit: 64,
    unit: 'MB',
    value: own('streamMemory'),
  },
  {
    title: 'The same, masked',
    bound: 'at most',
    limit: 64,
    unit: 'MB',
    value: own('streamMemory', MASKS),
  },
  {
    title: 'p99 of 50 busy clients beside 2,000 idle, against alone',
    bound: 'at most',
    limit: 2,
    unit: 'x',
    value: (outcome) =>
      pairedSpread(samplesOf(outcome, SLUICE, 'crowdP99'), samplesOf(outcome, SLUICE, 'crowdAloneP99'), ratio),
  },
];

/** Every budget with what the run measured. Medians are judged. */
export function judge(outcome: Outcome): Judgement[] {
  return BUDGETS.map((budget) => {
    const value = budget.value(outcome);
    if (value === null) return { budget, value, result: 'not measured' };
    const kept = budget.bound === 'at most' ? value.median <= budget.limit : value.median >= budget.limit;
    return { budget, value, result: kept ? 'met' : 'missed' };
  });
}

/**
 * Why `--gate` has to fail, one sentence each; empty if it passes. A gated ratio that was not measured fails as well, a gate
 * that passes because it saw nothing being none; only a peer that the machine does not have is excused.
 */
export function gateFailures(judgements: readonly Judgement[], outcome: Outcome): string[] {
  const missing = new Set(
    outcome.contenders.filter(({ trouble }) => trouble?.kind === 'not installed').map(({ name }) => name),
  );
  return judgements.flatMap(({ budget: { title, limit, gated, peer }, value }) => {
    if (!gated) return [];
    if (value === null) return peer !== undefined && missing.has(peer) ? [] : [`${title}: not measured`];
    if (value.median <= limit * (1 + GATE_SLACK)) return [];
    return [`${title}: ${value.median.toFixed(2)} x is more than 15 % over the budget of ${limit} x`];
  });
}

/** What a run of the benchmark found out, before anybody judges or prints it. */
import type { Measure } from './measures.ts';

export interface ContenderOutcome {
  readonly name: string;
  readonly label: string;
  /** One value for each round the case ran in, in the order of the rounds, the same rounds for every contender. */
  readonly samples: Partial<Record<Measure, number[]>>;
  /** Why it has no figures, or not all of them; `null` if nothing went wrong. */
  trouble: { readonly kind: 'not installed' | 'failed'; readonly reason: string } | null;
}

/** How long the analysis and the decision of one statement take, in microseconds, for a text of so many bytes. */
export interface FirstSight {
  readonly bytes: number;
  readonly first: number[];
  readonly again: number[];
}

/** CPU milliseconds that a detector takes for a megabyte of text. */
export interface DetectorCost {
  readonly name: string;
  readonly milliseconds: number[];
}

export interface Outcome {
  readonly at: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string; readonly postgres: string };
  readonly commit: string | null;
  readonly options: { readonly rounds: number; readonly seconds: number; readonly quick: boolean };
  readonly contenders: readonly ContenderOutcome[];
  readonly firstSight: readonly FirstSight[];
  readonly detectors: readonly DetectorCost[];
  /** What went wrong outside any contender. */
  readonly failures: readonly string[];
}

/** The values of one measure of one contender; empty if it was not measured. */
export function samplesOf(outcome: Outcome, contender: string, measure: Measure): readonly number[] {
  return outcome.contenders.find(({ name }) => name === contender)?.samples[measure] ?? [];
}

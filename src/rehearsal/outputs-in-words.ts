import type { ColumnPlan } from '../masking/column-plan.ts';
import type { JsonPath } from '../masking/json-paths.ts';
import type { Masker } from '../masking/masker.ts';
import type { MaskPlan } from '../policy/mask-plan.ts';
import type { OutputColumn } from '../statements/facts.ts';
import { columnInWords } from './facts-in-words.ts';

/** What becomes of one column of a result, in words. */
export interface OutputInWords {
  readonly name: string;
  readonly from: OutputColumn['from'];
  /** `public.customers.email`; of a value read through views, the names it has in all of them. */
  readonly columns: readonly string[];
  /** The masks and detectors that change it, sorted. */
  readonly by: readonly string[];
  /** What its values become: `[redacted]`, `first 0, last 4`; `null`: they stay as they are. */
  readonly becomes: string | null;
}

/** @param plan `null` where nothing is masked @returns `null` where it cannot be told which columns the result has */
export function outputsInWords(
  outputs: readonly OutputColumn[] | undefined,
  plan: MaskPlan | null,
): OutputInWords[] | null {
  if (outputs === undefined) return null;
  return outputs.map(({ name, from, columns }, index) => {
    const planned = plan?.columns?.[index] ?? null;
    return {
      name,
      from,
      columns: [...new Set(columns.map(columnInWords))],
      by: planned?.by ?? [],
      becomes: planned === null ? null : becomes(planned),
    };
  });
}

function becomes({ mask, paths, detectors }: ColumnPlan): string {
  if (mask !== null) return maskerText(mask);
  const parts = paths.map(({ path, masker }) => `at ${pathText(path)}: ${maskerText(masker)}`);
  const found = [...new Set(detectors.map(({ masker }) => maskerText(masker)))];
  return [...parts, ...found.map((text) => `where something is found: ${text}`)].join('; ');
}

/** As rule files have it: `$.card.number`. */
function pathText(path: JsonPath): string {
  return `$${path.map((step) => (typeof step === 'number' || step === '*' ? `[${step}]` : `.${step}`)).join('')}`;
}

function maskerText(masker: Masker): string {
  switch (masker.kind) {
    case 'null':
      return 'NULL';
    case 'redact':
      return masker.text;
    case 'constant':
      return `always ${masker.text}`;
    case 'partial':
      return `first ${masker.first}, last ${masker.last} characters`;
    case 'email':
      return 'the domain of the address';
    case 'hash':
      return 'a pseudonym (keyed hash)';
    case 'fpe':
      return 'a pseudonym of the same form (FF1)';
    case 'year':
    case 'month':
      return `cut to the ${masker.kind}`;
    case 'bucket':
      return `rounded down to a multiple of ${masker.step}`;
  }
}

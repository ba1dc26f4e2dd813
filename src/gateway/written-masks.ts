import { isMasked } from '../masking/masker.ts';
import type { Judge, JudgedStatement } from './judge.ts';
import { type Refusal, writesMaskBack } from './refusal.ts';

/** True if a statement writes to masked columns: then {@link writesBack} has to be asked. */
export function writesMasked(statements: readonly JudgedStatement[]): boolean {
  for (let i = 0; i < statements.length; i++) {
    const { masks } = statements[i]!.verdict;
    if (masks !== null && masks.writes.length > 0) return true;
  }
  return false;
}

/**
 * Why statements may not run that write to masked columns what masks have made; `null` if none does.
 *
 * @param binds the values of their parameters as text
 */
export function writesBack(
  judge: Judge,
  statements: readonly JudgedStatement[],
  binds: readonly (string | null)[],
): Refusal | null {
  for (const { verdict, facts, text, reading } of statements) {
    const written = verdict.masks?.writes ?? [];
    if (written.length === 0) continue;
    const values = [...judge.literalsIn(text, reading).map(({ value }) => value), ...binds];
    const mask = written.find(({ masker }) => values.some((value) => value !== null && isMasked(masker, value)));
    if (mask !== undefined) return writesMaskBack(mask.id, facts.kind);
  }
  return null;
}

import { EFFECT_CLASSES, type EffectName } from '../statements/facts.ts';
import type { JudgedStatement } from './judge.ts';

const WRITES: ReadonlySet<EffectName> = new Set(EFFECT_CLASSES.write);

/**
 * Why statements cannot be held to a number of rows, in words for whoever approves them; `null` if the server counts what they
 * change in one number.
 */
export function whyUnguarded(statements: readonly JudgedStatement[]): string | null {
  const [first, second] = statements;
  if (first === undefined || second !== undefined) return 'several statements are sent together';
  const { kind, effects } = first.facts;
  if (kind !== 'UPDATE' && kind !== 'DELETE') return 'only what an UPDATE or DELETE changes is counted';
  const writes = effects.filter(({ effect }) => WRITES.has(effect));
  if (writes.some(({ via }) => via === 'cte')) return 'it writes in a WITH as well';
  if (writes.filter(({ via }) => via === null).length > 1) return 'it changes several tables';
  return null;
}

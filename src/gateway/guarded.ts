import type { NameContext } from '../statements/catalogue.ts';
import { EFFECT_CLASSES, type EffectName } from '../statements/facts.ts';
import { hasTransactions } from '../statements/mysql/engines.ts';
import type { JudgedStatement } from './judge.ts';
import { relationOf } from './meaning.ts';

const WRITES: ReadonlySet<EffectName> = new Set(EFFECT_CLASSES.write);

/**
 * Why statements cannot be held to a number of rows, in words for whoever approves them; `null` if the server counts what they
 * change in one number, and can undo it.
 *
 * @param names what their names mean; left out where they run already
 */
export function whyUnguarded(statements: readonly JudgedStatement[], names?: NameContext): string | null {
  const [first, second] = statements;
  if (first === undefined || second !== undefined) return 'several statements are sent together';
  const { kind, effects } = first.facts;
  if (kind !== 'UPDATE' && kind !== 'DELETE') return 'only what an UPDATE or DELETE changes is counted';
  const writes = effects.filter(({ effect }) => WRITES.has(effect));
  if (writes.some(({ via }) => via === 'cte')) return 'it writes in a WITH as well';
  if (writes.filter(({ via }) => via === null).length > 1) return 'it changes several tables';
  if (names === undefined || names.catalogue === null) return null;
  for (const effect of writes) {
    const engine = relationOf(effect, names)?.engine;
    if (engine !== undefined && !hasTransactions(engine)) return `${engine} tables have no transactions`;
  }
  return null;
}

/** True if one of the statements returns rows, or may. */
export function returnsRows(statements: readonly JudgedStatement[]): boolean {
  return statements.some(({ facts }) => facts.outputs?.length !== 0);
}

import type { Preview } from '../approvals/request.ts';
import { countingQuery, samplingQuery, type Word } from '../statements/changed-rows.ts';
import type { JudgedStatement } from './judge.ts';

/**
 * What can be asked about statements without running them.
 *
 * @param text with its values in it; `null` if they cannot be written
 * @param words of that text
 * @param session how it is to be read: see {@link Preview}
 */
export function previewOf(
  dialect: 'postgres' | 'mysql',
  statements: readonly JudgedStatement[],
  text: string | null,
  words: readonly Word[] | null,
  session: Pick<Preview, 'sqlMode' | 'settings'>,
): Preview {
  const [first, second] = statements;
  if (first === undefined || second !== undefined || text === null || words === null) {
    return { statement: null, counting: null, sampling: null, target: null, ...session };
  }
  const changes = first.facts.effects.filter(({ effect }) => effect === 'update' || effect === 'delete');
  const written = changes.find(({ via }) => via === null);
  // MySQL's views have no triggers, keys and engine of their own.
  const isOfView = (via: string | null) => dialect === 'mysql' && via?.startsWith('view ') === true;
  const change = changes.findLast(({ effect, via }) => effect === written?.effect && isOfView(via)) ?? written;
  const name = change?.object ?? null;
  const target =
    name === null ? null : { schema: name.schema, name: name.name, change: change!.effect as 'update' | 'delete' };
  return {
    statement: text,
    counting: target === null ? null : countingQuery(dialect, text, words),
    sampling: samplingQuery(dialect, first.facts.kind, text, words),
    target,
    ...session,
  };
}

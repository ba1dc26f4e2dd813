import type { Effect, StatementFacts } from '../facts.ts';

const SETTINGS = new Set(['search_path', 'role', 'session_authorization', 'all']);

/**
 * True if a statement that comes after this one in the same text may find unqualified names elsewhere: the server looks each
 * name up when its turn has come, and a text is read before any of it runs.
 */
export function changesSearchPath({ kind, effects }: Pick<StatementFacts, 'kind' | 'effects'>): boolean {
  // What was set in a transaction may be taken back by its end.
  if (kind === 'COMMIT' || kind.startsWith('ROLLBACK')) return true;
  return effects.some(changes);
}

function changes({ effect, object }: Effect): boolean {
  switch (effect) {
    case 'opaque':
    case 'call-procedure':
    case 'set-role':
      return true;
    case 'set-session':
      return object === null || SETTINGS.has(object.name.toLowerCase());
    case 'create':
      return object === null || object.kind === 'schema' || object.schema === 'pg_temp';
    case 'drop':
    case 'rename':
      return object === null || object.kind === 'schema';
    default:
      return false;
  }
}

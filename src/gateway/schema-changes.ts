import type { StatementFacts } from '../statements/facts.ts';

const SCHEMA_CHANGES = new Set(['opaque', 'call-procedure', 'create', 'drop', 'rename', 'alter']);

/** True if the statement may change what the catalogue says. */
export function mayChangeSchema({ effects }: Pick<StatementFacts, 'effects'>): boolean {
  return effects.some(({ effect }) => SCHEMA_CHANGES.has(effect));
}

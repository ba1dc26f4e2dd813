import { decodeDataRow } from '../../../protocols/postgres/backend.ts';
import type { Effect, StatementFacts } from '../../statements/facts.ts';
import { ownQuestion } from './own-question.ts';

/**
 * The role and the search path of a session, as the server has them.
 *
 * They are asked of the server itself, because what `search_path` means depends on the role, on which schemas exist and on
 * temporary tables: when the session begins, and again after a statement that may have changed any of these.
 */

const NAME = 'sluice search path';
const EXISTING = 'SELECT n::text FROM unnest(array_prepend(current_user::name, current_schemas(true))) AS n';

/** Asks for the role, in the first row, and the schemas that are searched, one row for each. Ends with a Sync. */
export const ASK_SEARCH_PATH = ownQuestion(NAME, EXISTING);

/** Whose rights a session has, and where it looks for unqualified names. */
export interface RoleAndPath {
  /** `current_user`; empty if it could not be asked. */
  readonly role: string;
  /**
   * As NameContext has it: `[]`, which resolves no name, if the session has temporary tables: they are searched first, and
   * no catalogue but the session's own has them.
   */
  readonly path: readonly string[];
}

/** @param rows bodies of the DataRow messages of the answer */
export function roleAndPathOf(rows: readonly Buffer[]): RoleAndPath {
  const [role = '', ...schemas] = rows.map((row) => decodeDataRow(row)[0]?.toString('utf8') ?? '');
  return { role, path: pathOf(schemas) };
}

function pathOf(schemas: readonly string[]): readonly string[] {
  if (schemas.some((name) => name.startsWith('pg_temp'))) return [];
  // pg_catalog is searched first unless it is written elsewhere in search_path; only then does it count as a part of it.
  return schemas[0] === 'pg_catalog' ? schemas.slice(1) : schemas;
}

/** True if the statement may change which schemas are searched. */
export function mayChangeSearchPath({ effects }: Pick<StatementFacts, 'effects'>): boolean {
  return effects.some(changesIt);
}

const SETTINGS = new Set(['search_path', 'role', 'session_authorization', 'all']);

function changesIt({ effect, object }: Effect): boolean {
  switch (effect) {
    case 'opaque':
    case 'call-procedure':
    case 'set-role':
    case 'create':
    case 'drop':
    case 'rename':
    case 'alter':
      return true;
    case 'set-session':
      return object === null || SETTINGS.has(object.name.toLowerCase());
    default:
      return false;
  }
}

import type { Binding, Preview } from '../approvals/request.ts';
import type { CatalogueLookup } from '../statements/catalogue.ts';
import type { Effect, LexingState, StatementFacts } from '../statements/facts.ts';
import { lexingStateOf } from '../statements/mysql/server.ts';
import type { Analyzers } from './analyzers.ts';
import type { NamesInForce } from './names-in-force.ts';

/** A text as the session of a held statement would have it read now. */
export interface HeldReading {
  /** `null` if it is not one statement. */
  readonly facts: StatementFacts | null;
  /** What names in it mean; `null` if that is not known. */
  readonly catalogue: CatalogueLookup | null;
}

/** Texts of questions about held statements are written for it: see `previewOf`. */
const POSTGRES_LEXING: LexingState = { standardConformingStrings: true };

/**
 * Reads a query about a held statement, made of its own text, with the names of its session.
 *
 * @param names of the connection; `null` where nothing depends on names
 */
export async function readHeld(
  text: string,
  { binding: { path, database }, preview: { sqlMode } }: { readonly binding: Binding; readonly preview: Preview },
  names: NamesInForce | null,
  analyzers: Analyzers,
  protocol: 'postgres' | 'mysql',
): Promise<HeldReading> {
  const context = names?.context(path) ?? { catalogue: null, searchPath: path };
  const { catalogue } = context;
  const data = catalogue?.data;
  if (protocol === 'postgres') {
    const analyzer = await analyzers.postgres();
    const { statements } = await analyzer.analyze(text, POSTGRES_LEXING, context);
    return { facts: onlyOne(statements), catalogue };
  }
  if (data === undefined || data.dialect === 'postgres') return { facts: null, catalogue: null };
  const analyzer = await analyzers.mysql(data.dialect, data.serverVersion, data.foldsNames);
  const { statements } = await analyzer.analyze(
    text,
    lexingStateOf(sqlMode, database === '' ? null : database),
    context,
  );
  return { facts: onlyOne(statements), catalogue };
}

function onlyOne(statements: readonly StatementFacts[]): StatementFacts | null {
  return statements.length === 1 ? statements[0]! : null;
}

/**
 * Why a query may not run before people have approved the statement that it is about; `null` if it only reads. A transaction
 * that only reads does not keep functions from ending sessions, taking locks or reaching other servers.
 */
export function whyNotOnlyReads({ facts, catalogue }: HeldReading): string | null {
  if (facts === null || facts.refuses !== null) return 'it cannot be read as a query of its rows';
  if (facts.kind !== 'SELECT' || facts.executes.length > 0 || facts.fetches !== undefined)
    return 'it is no query alone';
  const more = facts.effects.find((effect) => !onlyReads(effect, catalogue));
  if (more === undefined) return null;
  const what = more.object === null ? (more.via ?? '') : more.object.name;
  return `to look for its rows would do more than read (${[more.effect, what].filter((part) => part !== '').join(' ')})`;
}

function onlyReads({ effect, object }: Effect, catalogue: CatalogueLookup | null): boolean {
  if (effect === 'read' || effect === 'resource') return true;
  // What MySQL's functions declare nobody enforces.
  if (effect !== 'call-function' || object === null || catalogue?.data.dialect !== 'postgres') return false;
  const functions = catalogue.functionsNamed(object.schema, object.name);
  return functions.length > 0 && functions.every(({ volatility }) => volatility !== 'volatile');
}

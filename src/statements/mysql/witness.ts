import type { Effect } from '../facts.ts';
import type { Token } from './lexer.ts';
import type { Statement } from './tree.ts';

/**
 * A second opinion on what the parser found, from the tokens alone: it knows no grammar, only that certain words cannot
 * stand in a statement without their effect, and that names after certain words are tables.
 *
 * @returns what does not agree, or `null`
 */
export function contradiction(
  tokens: readonly Token[],
  statement: Statement,
  effects: readonly Effect[],
): string | null {
  if (statement.type === 'plain' || statement.type === 'prepare') return null;
  const has = (...names: readonly string[]) => effects.some(({ effect }) => names.includes(effect));
  const inner = statement.type === 'explain' ? statement.statement : statement;
  const isExplained = statement.type === 'explain' && !statement.executes;
  const first = firstVerb(tokens);
  if (first !== null && first !== VERBS[inner.type]) return `reads as ${first} and as ${inner.type.toUpperCase()}`;
  for (const [at, token] of tokens.entries()) {
    const { keyword } = token;
    if (keyword === '' || tokens[at - 1]?.value === '.') continue;
    if ((keyword === 'OUTFILE' || keyword === 'DUMPFILE') && !has('file')) return `${keyword} without a file`;
    if (keyword === 'PROCEDURE' && !has('call-procedure')) return 'PROCEDURE without a call';
    if (keyword === 'DELETE' && inner.type !== 'delete' && !has('opaque')) return 'DELETE inside of another statement';
    const call = tokens[at + 1]?.value === '(' && tokens[at + 1]?.type === 'operator' && NAMES_A_DANGER.has(keyword);
    if (call && !has('file', 'program', 'lock', 'resource')) return `${keyword} without its effect`;
    // SELECT STRAIGHT_JOIN column is an option of the SELECT.
    const isOption = keyword === 'STRAIGHT_JOIN' && follows(SELECT_WORDS, tokens[at - 1]);
    const table = TABLE_FOLLOWS.has(keyword) && !isOption ? tableAfter(tokens, at) : null;
    const isTarget = inner.type === 'delete' && inner.targets.some(({ name }) => name === table);
    if (table !== null && !isExplained && !isTarget && !isKnown(table, tokens, effects))
      return `${table} after ${keyword} is not accounted for`;
  }
  return null;
}

const VERBS: Readonly<Record<string, string>> = {
  query: 'SELECT',
  insert: 'INSERT',
  update: 'UPDATE',
  delete: 'DELETE',
};

const FIRST_VERBS: Readonly<Record<string, string>> = {
  SELECT: 'SELECT',
  VALUES: 'SELECT',
  TABLE: 'SELECT',
  INSERT: 'INSERT',
  REPLACE: 'INSERT',
  UPDATE: 'UPDATE',
  DELETE: 'DELETE',
};

const NAMES_A_DANGER = new Set(['LOAD_FILE', 'SYS_EXEC', 'SYS_EVAL', 'GET_LOCK', 'SLEEP', 'BENCHMARK']);

const TABLE_FOLLOWS = new Set(['FROM', 'JOIN', 'STRAIGHT_JOIN']);

const SELECT_WORDS = new Set(
  `SELECT ALL DISTINCT DISTINCTROW HIGH_PRIORITY SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CACHE SQL_NO_CACHE
   SQL_CALC_FOUND_ROWS`.split(/\s+/),
);

function follows(words: ReadonlySet<string>, before: Token | undefined): boolean {
  return before !== undefined && words.has(before.keyword);
}

/** The verb of a statement: the first one outside of all parentheses. */
function firstVerb(tokens: readonly Token[]): string | null {
  let open = 0;
  let anywhere: string | null = null;
  for (const { type, value, keyword } of tokens) {
    if (type === 'operator' && value === '(') open += 1;
    else if (type === 'operator' && value === ')') open -= 1;
    const verb = keyword === '' ? undefined : FIRST_VERBS[keyword];
    if (verb === undefined) continue;
    if (open === 0) return verb;
    anywhere ??= verb;
  }
  return anywhere;
}

/** The name that follows at once; `null` if something else does. */
function tableAfter(tokens: readonly Token[], at: number): string | null {
  let next = at + 1;
  const isName = (one: Token | undefined) => one?.type === 'name' || one?.type === 'word';
  if (!isName(tokens[next])) return null;
  if (tokens[next + 1]?.value === '.' && isName(tokens[next + 2])) next += 2;
  const { value, keyword } = tokens[next]!;
  // FROM DUAL, EXTRACT(x FROM y), FROM LATERAL (, TRIM(x FROM f(...)), IS DISTINCT FROM.
  if (keyword === 'DUAL' || tokens[next + 1]?.value === '(') return null;
  return value;
}

/** True if the name is a table or alias the effects know, a CTE, or the argument of EXTRACT, TRIM and the like. */
function isKnown(name: string, tokens: readonly Token[], effects: readonly Effect[]): boolean {
  const folded = name.toLowerCase();
  if (effects.some(({ object }) => object?.kind === 'relation' && object.name.toLowerCase() === folded)) return true;
  return tokens.some(({ value, type }, at) => {
    if (type !== 'name' && type !== 'word') return false;
    const follows = tokens[at + 1];
    // name AS (, name (columns) AS (
    if (value.toLowerCase() === folded && (follows?.keyword === 'AS' || follows?.value === '(')) return true;
    // DELETE FROM alias USING table AS alias
    if (value.toLowerCase() === folded && tokens[at - 1]?.keyword === 'AS') return true;
    return ARGUMENT_AFTER_FROM.has(value.toLowerCase()) && follows?.value === '(';
  });
}

const ARGUMENT_AFTER_FROM = new Set(['extract', 'trim', 'substring', 'substr', 'mid']);

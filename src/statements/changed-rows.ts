/** A word or sign of a statement that tells where its clauses begin and end. */
export interface Word {
  /** In upper case; of a sign, the sign. */
  readonly keyword: string;
  /** In UTF-16 code units. */
  readonly start: number;
  readonly end: number;
  /** Parentheses around it. */
  readonly depth: number;
}

/** The clauses of one UPDATE or DELETE of one table, as they are written. */
interface Clauses {
  /** What comes before the verb: WITH and its queries, or nothing. */
  readonly before: string;
  /** The table, with its alias. */
  readonly target: string;
  /** Other tables that the condition is about; empty if there are none. */
  readonly others: string;
  /** Without WHERE; empty if there is none. */
  readonly condition: string;
  /** ORDER BY and LIMIT of MySQL; empty if there are none. */
  readonly rest: string;
}

/** A word that may stand between the verb and the table. */
const MODIFIERS = new Set(['LOW_PRIORITY', 'QUICK', 'IGNORE']);

/**
 * A query that counts the rows that an UPDATE or DELETE of one table would change, made of its own text. For people who are
 * to approve it: what is wrong here decides about no statement.
 *
 * @param words of the text outside of literals, quoted names and comments
 * @returns `null` for what is no such statement
 */
export function countingQuery(dialect: 'postgres' | 'mysql', text: string, words: readonly Word[]): string | null {
  const clauses = clausesOf(text, words);
  // In MySQL, what stands behind USING names the tables anew, the changed one too.
  if (clauses === null || (dialect === 'mysql' && clauses.others !== '')) return null;
  const { before, target, others, condition, rest } = clauses;
  const where = condition === '' ? '' : ` WHERE ${condition}`;
  const rows =
    others === ''
      ? `SELECT 1 FROM ${target}${where}${rest}`
      : `SELECT 1 FROM ${target} WHERE EXISTS (SELECT 1 FROM ${others}${where})`;
  return `${before}SELECT count(*) AS n FROM (${rows}) AS changed`;
}

function clausesOf(text: string, all: readonly Word[]): Clauses | null {
  const words = all.filter(({ depth }) => depth === 0);
  const verbAt = words.findIndex(({ keyword }) => keyword === 'DELETE' || keyword === 'UPDATE');
  const verb = words[verbAt];
  if (verb === undefined) return null;
  const end = words.find(({ keyword, start }) => keyword === ';' && start > verb.start)?.start ?? text.length;
  const after = words.slice(verbAt + 1).filter(({ start }) => start < end);
  // `a IS DISTINCT FROM b` begins no clause.
  const find = (...keywords: string[]): Word | undefined =>
    after.find(({ keyword }, i) => keywords.includes(keyword) && after[i - 1]?.keyword !== 'DISTINCT');
  const where = find('WHERE');
  const rest = find('ORDER', 'LIMIT', 'RETURNING');
  const bodyEnd = Math.min(where?.start ?? end, rest?.start ?? end);
  const isDelete = verb.keyword === 'DELETE';
  const first = isDelete ? find('FROM') : after.find(({ keyword }) => !MODIFIERS.has(keyword));
  const others = isDelete ? find('USING') : find('FROM');
  const set = isDelete ? undefined : find('SET');
  if (first === undefined || (!isDelete && set === undefined)) return null;
  // In MySQL's form for several tables, names stand in front of FROM, or behind USING the joined tables.
  if (isDelete && after.some(({ keyword, start }) => start < first.start && !MODIFIERS.has(keyword))) return null;
  const targetEnd = Math.min(set?.start ?? bodyEnd, isDelete ? (others?.start ?? bodyEnd) : bodyEnd);
  const target = text.slice(isDelete ? first.end : targetStart(text, verb, after), targetEnd).trim();
  const isJoin = after.some(({ keyword, end: at }) => at <= targetEnd && (keyword === ',' || keyword === 'JOIN'));
  if (target === '' || isJoin) return null;
  const condition = where === undefined ? '' : text.slice(where.end, rest?.start ?? end).trim();
  if (/^CURRENT\s+OF\b/i.test(condition)) return null;
  const returning = find('RETURNING')?.start ?? end;
  return {
    before: text.slice(0, verb.start),
    target,
    others: others === undefined ? '' : text.slice(others.end, bodyEnd).trim(),
    condition,
    rest: rest === undefined || rest.keyword === 'RETURNING' ? '' : ` ${text.slice(rest.start, returning).trim()}`,
  };
}

/** Where the table of an UPDATE begins: behind the verb and its modifiers. A quoted name is no word. */
function targetStart(text: string, verb: Word, after: readonly Word[]): number {
  let at = verb.end;
  for (const { keyword, start, end } of after) {
    if (!MODIFIERS.has(keyword) || text.slice(at, start).trim() !== '') break;
    at = end;
  }
  return at;
}

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
  return `${before}SELECT count(*) AS n FROM (${rowsOf('1', target, others, whereOf(condition) + rest)}\n) AS changed`;
}

/** Statements that rows of tables are about. */
const SAMPLED = ['UPDATE', 'DELETE', 'MERGE', 'INSERT', 'REPLACE', 'SELECT'] as const;

/**
 * A query of the rows that a statement is about, made of its own text: those that an UPDATE, DELETE or MERGE finds, those that
 * an INSERT or REPLACE copies, those that a SELECT shows. It has no limit of its own. Whoever runs it has to have it read and
 * judged first: nothing is promised of it.
 *
 * @param kind the statement's, as its facts have it
 * @param words of the text outside of literals, quoted names and comments
 * @returns `null` for what has no such query
 */
export function samplingQuery(
  dialect: 'postgres' | 'mysql',
  kind: string,
  text: string,
  words: readonly Word[],
): string | null {
  const verb = SAMPLED.find((one) => one === kind);
  const outer = words.filter(({ depth }) => depth === 0);
  const verbAt = outer.findIndex(({ keyword }) => keyword === verb);
  if (verb === undefined || verbAt === -1) return null;
  const end = outer.find(({ keyword }) => keyword === ';')?.start ?? text.length;
  if (verb === 'SELECT') return text.slice(0, end).trim();
  const before = text.slice(0, outer[verbAt]!.start);
  const after = outer.slice(verbAt + 1);
  if (verb === 'MERGE') return mergedRows(before, text, after);
  if (verb === 'INSERT' || verb === 'REPLACE') return copiedRows(before, text, after, end);
  const clauses = clausesOf(text, words);
  if (clauses === null) return dialect === 'mysql' ? joinedRows(before, text, outer[verbAt]!, after, end) : null;
  const { target, others, condition, rest } = clauses;
  // In MySQL's DELETE the tables behind USING have the changed one among them.
  if (dialect === 'mysql' && others !== '') return joinedRows(before, text, outer[verbAt]!, after, end);
  return before + rowsOf('*', target, others, whereOf(condition) + rest);
}

function whereOf(condition: string): string {
  return condition === '' ? '' : ` WHERE ${condition}`;
}

/** Rows of one table, each once. A condition may end in a comment, and that ends with its line. */
function rowsOf(what: '1' | '*', target: string, others: string, rest: string): string {
  if (others === '') return `SELECT ${what} FROM ${target}${rest}`;
  return `SELECT ${what} FROM ${target} WHERE EXISTS (SELECT 1 FROM ${others}${rest}\n)`;
}

function mergedRows(before: string, text: string, after: readonly Word[]): string | null {
  const [into, using, on, when] = ['INTO', 'USING', 'ON', 'WHEN'].map((name) =>
    after.find(({ keyword }) => keyword === name),
  );
  if (into === undefined || using === undefined || on === undefined || when === undefined) return null;
  const [target, source, condition] = [
    text.slice(into.end, using.start),
    text.slice(using.end, on.start),
    text.slice(on.end, when.start),
  ].map((part) => part.trim());
  return before + rowsOf('*', target!, source!, ` WHERE ${condition}`);
}

function copiedRows(before: string, text: string, after: readonly Word[], end: number): string | null {
  const query = after.find(({ keyword }) => keyword === 'SELECT' || keyword === 'WITH');
  const rest = after.find(
    ({ keyword }, i) =>
      keyword === 'RETURNING' ||
      (keyword === 'ON' && (after[i + 1]?.keyword === 'CONFLICT' || after[i + 1]?.keyword === 'DUPLICATE')),
  );
  return query === undefined ? null : before + text.slice(query.start, rest?.start ?? end).trim();
}

/** MySQL's forms for several tables: the columns of those that rows are deleted from, or of all that are joined for an UPDATE. */
function joinedRows(before: string, text: string, verb: Word, after: readonly Word[], end: number): string | null {
  const find = (name: string): Word | undefined => after.find(({ keyword }) => keyword === name);
  const [from, set, where] = [find('FROM'), find('SET'), find('WHERE')];
  const rest = find('RETURNING')?.start ?? end;
  const condition = where === undefined ? '' : ` WHERE ${text.slice(where.end, rest).trim()}`;
  const first = targetStart(text, verb, after);
  if (verb.keyword === 'UPDATE') {
    return set === undefined ? null : `${before}SELECT * FROM ${text.slice(first, set.start).trim()}${condition}`;
  }
  if (from === undefined) return null;
  // DELETE a FROM a JOIN b ..., or DELETE FROM a USING a JOIN b ...
  const using = text.slice(first, from.start).trim() === '' ? find('USING') : from;
  if (using === undefined) return null;
  const [namesFrom, namesTo] = using === from ? [first, from.start] : [from.end, using.start];
  const commas = after.filter(({ keyword, start }) => keyword === ',' && start >= namesFrom && start < namesTo);
  const columns = [namesFrom, ...commas.map(({ end: at }) => at)].map((at, i) => {
    const name = text.slice(at, commas[i]?.start ?? namesTo).trim();
    return `${name.replace(/\s*\.\s*\*$/, '')}.*`;
  });
  const tables = text.slice(using.end, where?.start ?? rest).trim();
  return `${before}SELECT ${columns.join(', ')} FROM ${tables}${condition}`;
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

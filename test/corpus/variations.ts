import type { LabelledStatement } from './labelled-statement.ts';

/** Other ways of writing a statement, under which its label stays the same. */
type Variation = (sql: string) => string | null;

/** Nothing in it that a change of spaces or letters could change the meaning of. */
function isBare(sql: string): boolean {
  return !/['"$\\]|--|\/\*|U&/.test(sql);
}

function isOne(sql: string): boolean {
  return !sql.includes(';');
}

function isQuery(sql: string): boolean {
  return isOne(sql) && /^(select|with|values|table)\b/i.test(sql) && !/\b(into|for update|for share)\b/i.test(sql);
}

function isPlannable(sql: string): boolean {
  return isOne(sql) && /^(select|with|values|insert|update|delete|merge)\b/i.test(sql) && !/\$\d/.test(sql);
}

const SAME: Readonly<Record<string, Variation>> = {
  'comments around it': (sql) => `/* WHERE id = 1 */ ${sql} -- ; SELECT 1`,
  'other white space': (sql) => (isBare(sql) ? sql.replaceAll(' ', '\n\t ') : null),
  'comments in it': (sql) => (isBare(sql) ? sql.replaceAll(' ', '/*;*/ ') : null),
  'upper case': (sql) => (isBare(sql) ? sql.toUpperCase() : null),
  'after another': (sql) => (isOne(sql) ? `SELECT 1; ${sql}` : null),
};

const SAME_IF_REFUSED: Readonly<Record<string, Variation>> = {
  prepared: (sql) => (isPlannable(sql) ? `PREPARE v AS ${sql}; EXECUTE v` : null),
  'in WITH': (sql) => (isQuery(sql) ? `WITH v AS (${sql}) SELECT * FROM v` : null),
  'in FROM': (sql) => (isQuery(sql) ? `SELECT v.* FROM (${sql}) AS v` : null),
  'in COPY': (sql) => (isQuery(sql) ? `COPY (${sql}) TO STDOUT` : null),
  'in a set': (sql) => (isQuery(sql) ? `(${sql}) UNION ALL (${sql})` : null),
  'by a cursor': (sql) => (isQuery(sql) ? `DECLARE v CURSOR FOR ${sql}` : null),
};

/** Of the others, a label is about what is shown or run, and EXPLAIN alone does neither. */
const SAME_IF_IT_WRITES: Readonly<Record<string, Variation>> = {
  'EXPLAIN ANALYZE': (sql) => (isPlannable(sql) ? `EXPLAIN ANALYZE ${sql}` : null),
};

/** MySQL's text in which a space is only a space: `now ()` and `user ()` are other functions than `now()` and `user()`. */
function isBareInMysql(sql: string): boolean {
  return !/['"`\\#@]|--|\/\*|\w\(|\.\s|\s\.|!/.test(sql);
}

function isMysqlQuery(sql: string): boolean {
  return isQuery(sql) && !/\b(lock in share mode|procedure|limit rows)\b/i.test(sql);
}

/** The tables of a simple statement, each with an alias that its columns are named with. */
function withAliases(sql: string): string | null {
  if (!/^select\b/i.test(sql) || !isOne(sql) || !isBareInMysql(sql) || sql.includes('.')) return null;
  const from = /\bfrom (\w+)( where| order| group| limit|$)/i.exec(sql);
  if (
    from === null ||
    /^dual$/i.test(from[1]!) ||
    sql.match(/\bfrom\b/gi)!.length > 1 ||
    /\b(join|union)\b|,\s*\w+\s+where/i.test(sql)
  )
    return null;
  return sql.replace(from[0], `from ${from[1]} as v${from[2]}`);
}

/** Names of tables in quotes. */
function withQuotes(sql: string): string | null {
  if (!isBareInMysql(sql) || /\b(dual|lateral|outfile|of)\b/i.test(sql)) return null;
  const quoted = sql.replace(
    /\b(from|join|into|update) (?!select\b|ignore\b|low_priority\b|table\b)([a-z]\w*)(\.[a-z]\w*)?(?=[ ;,)]|$)/gi,
    (_, word, first, second = '') => `${word} \`${first}\`${second.replace(/\w+/, '`$&`')}`,
  );
  return quoted === sql ? null : quoted;
}

const SAME_IN_MYSQL: Readonly<Record<string, Variation>> = {
  'comments around it': (sql) => `/* WHERE id = 1 */ ${sql} -- ; SELECT 1`,
  'comments to the end of the line': (sql) => (sql.includes('\\') ? null : `# WHERE id = 1\n-- it's\n${sql}\n#'`),
  'an executable comment around it': (sql) => (isOne(sql) && isBareInMysql(sql) ? `/*! ${sql} */` : null),
  'an executable comment of an old version': (sql) =>
    isOne(sql) && isBareInMysql(sql) && sql.includes(' ') ? `${sql.replace(' ', ' /*!40000 ')} */` : null,
  'other white space': (sql) => (isBareInMysql(sql) ? sql.replaceAll(' ', '\n\t\r\f ') : null),
  'comments in it': (sql) => (isBareInMysql(sql) ? sql.replaceAll(' ', '/*;*/ ') : null),
  'comments in the place of spaces': (sql) => (isBareInMysql(sql) ? sql.replaceAll(' ', '/**/') : null),
  // Names of tables keep their case: they can differ by it.
  'keywords in another case': (sql) =>
    isBareInMysql(sql)
      ? sql.replace(
          /\b(select|from|where|delete|update|set|insert|into|values|drop|table|union|all|and|or|not|null|order|by|group|limit|join|on|with|as)\b/gi,
          (word) => (word === word.toUpperCase() ? word.toLowerCase() : word.toUpperCase()),
        )
      : null,
  'after another': (sql) => (isOne(sql) ? `SELECT 1; ${sql}` : null),
  'before nothing': (sql) => (isOne(sql) && sql !== '' ? `${sql};` : null),
  'with aliases': withAliases,
  'with quoted names': withQuotes,
};

const SAME_IN_MYSQL_IF_REFUSED: Readonly<Record<string, Variation>> = {
  prepared: (sql) =>
    isPlannable(sql) && isBareInMysql(sql) && !sql.includes('?') ? `PREPARE v FROM '${sql}'; EXECUTE v` : null,
  'in parentheses': (sql) => (isMysqlQuery(sql) && /^select\b/i.test(sql) ? `((${sql}))` : null),
  'in WITH': (sql) => (isMysqlQuery(sql) ? `WITH v AS (${sql}) SELECT * FROM v` : null),
  'in FROM': (sql) => (isMysqlQuery(sql) ? `SELECT v.* FROM (${sql}) AS v` : null),
  'in a set': (sql) => (isMysqlQuery(sql) ? `(${sql}) UNION ALL (${sql})` : null),
  'as a value': (sql) => (isMysqlQuery(sql) && !sql.includes('*') ? `SELECT (${sql})` : null),
  'in a table': (sql) => (isMysqlQuery(sql) ? `CREATE TABLE v AS ${sql}` : null),
};

const SAME_IN_MYSQL_IF_IT_WRITES: Readonly<Record<string, Variation>> = {
  'EXPLAIN ANALYZE': (sql) => (isPlannable(sql) && !sql.includes('?') ? `EXPLAIN ANALYZE ${sql}` : null),
  ANALYZE: (sql) => (isPlannable(sql) && !sql.includes('?') ? `ANALYZE ${sql}` : null),
};

/** Every statement in every other way it can be written in. */
export function variationsOf(statements: readonly LabelledStatement[]): LabelledStatement[] {
  return statements.flatMap((one) => {
    const isMysql = one.dialect === 'mysql';
    const ways = Object.entries({
      ...(isMysql ? SAME_IN_MYSQL : SAME),
      ...(one.expect === 'allow' ? {} : isMysql ? SAME_IN_MYSQL_IF_REFUSED : SAME_IF_REFUSED),
      ...(one.class === 'destructive' ? (isMysql ? SAME_IN_MYSQL_IF_IT_WRITES : SAME_IF_IT_WRITES) : {}),
    });
    return ways.flatMap(([name, vary]) => {
      const sql = vary(one.sql);
      return sql === null ? [] : [{ ...one, id: `${one.id} ${name}`, sql }];
    });
  });
}

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

/** Every statement in every other way it can be written in. */
export function variationsOf(statements: readonly LabelledStatement[]): LabelledStatement[] {
  return statements.flatMap((one) => {
    const ways = Object.entries({
      ...SAME,
      ...(one.expect === 'allow' ? {} : SAME_IF_REFUSED),
      ...(one.class === 'destructive' ? SAME_IF_IT_WRITES : {}),
    });
    return ways.flatMap(([name, vary]) => {
      const sql = vary(one.sql);
      return sql === null ? [] : [{ ...one, id: `${one.id} ${name}`, sql }];
    });
  });
}

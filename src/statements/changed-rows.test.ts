import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countingQuery } from './changed-rows.ts';
import { readServer } from './mysql/server.ts';
import { wordsOf as mysqlWordsOf } from './mysql/words.ts';
import { withValues, wordsOf } from './postgres/words.ts';

const counting = (text: string) => countingQuery('postgres', text, wordsOf(text));
const inMysql = (text: string) =>
  countingQuery(
    'mysql',
    text,
    mysqlWordsOf(text, readServer('mysql', '9.0.0'), {
      ansiQuotes: false,
      noBackslashEscapes: false,
      pipesAsConcat: false,
      ignoreSpace: false,
      oracle: false,
      database: null,
    }) ?? [],
  );
const changed = (rows: string) => `SELECT count(*) AS n FROM (${rows}) AS changed`;

test('the rows of a DELETE or UPDATE are counted by its own condition', () => {
  assert.equal(counting('DELETE FROM a WHERE id = 1'), changed('SELECT 1 FROM a WHERE id = 1'));
  assert.equal(counting('delete from only s."a b" as x returning *;'), changed('SELECT 1 FROM only s."a b" as x'));
  assert.equal(
    counting("UPDATE a SET b = ' WHERE ', c = d IS DISTINCT FROM e WHERE (x = 1 OR y) -- WHERE z"),
    changed('SELECT 1 FROM a WHERE (x = 1 OR y) -- WHERE z'),
  );
  assert.equal(
    counting('UPDATE a x SET b = y.c FROM y JOIN z USING (i) WHERE y.id = x.id RETURNING x.b'),
    changed('SELECT 1 FROM a x WHERE EXISTS (SELECT 1 FROM y JOIN z USING (i) WHERE y.id = x.id)'),
  );
  assert.equal(
    counting('DELETE FROM a USING b WHERE a.i = b.i'),
    changed('SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.i = b.i)'),
  );
  assert.equal(
    counting('WITH old AS (SELECT id FROM log) DELETE FROM a WHERE id IN (SELECT id FROM old)'),
    `WITH old AS (SELECT id FROM log) ${changed('SELECT 1 FROM a WHERE id IN (SELECT id FROM old)')}`,
  );
});

test('MySQL: with its limit, and of one table only', () => {
  assert.equal(
    inMysql('DELETE QUICK FROM a WHERE b = "x;" ORDER BY id LIMIT 3'),
    changed('SELECT 1 FROM a WHERE b = "x;" ORDER BY id LIMIT 3'),
  );
  assert.equal(inMysql('UPDATE LOW_PRIORITY `a` SET b = 1 # WHERE\nWHERE c'), changed('SELECT 1 FROM `a` WHERE c'));
  for (const several of [
    'DELETE a FROM a JOIN b ON a.i = b.i',
    'DELETE FROM a USING a JOIN b ON a.i = b.i WHERE 1',
    'UPDATE a, b SET a.x = b.x',
    'UPDATE a JOIN b ON a.i = b.i SET a.x = 1',
  ]) {
    assert.equal(inMysql(several), null, several);
  }
});

test('of other statements nothing is counted', () => {
  for (const other of ['SELECT 1', 'TRUNCATE a', 'DELETE FROM a WHERE CURRENT OF c', 'INSERT INTO a VALUES (1)', '']) {
    assert.equal(counting(other), null, other);
  }
});

test('values are put in the places of parameters, and nowhere else', () => {
  assert.equal(
    withValues(`UPDATE a SET b = $2 WHERE c = $1 AND d = '$1' -- $1\n AND "$1" = $10`, ["it's", null]),
    `UPDATE a SET b = NULL WHERE c = 'it''s' AND d = '$1' -- $1\n AND "$1" = NULL`,
  );
});

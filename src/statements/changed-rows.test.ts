import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countingQuery, samplingQuery } from './changed-rows.ts';
import { readServer } from './mysql/server.ts';
import { wordsOf as mysqlWordsOf } from './mysql/words.ts';
import { withValues, wordsOf } from './postgres/words.ts';

const counting = (text: string) => countingQuery('postgres', text, wordsOf(text));
const mysqlWords = (text: string) =>
  mysqlWordsOf(text, readServer('mysql', '9.0.0'), {
    ansiQuotes: false,
    noBackslashEscapes: false,
    pipesAsConcat: false,
    ignoreSpace: false,
    oracle: false,
    database: null,
  }) ?? [];
const inMysql = (text: string) => countingQuery('mysql', text, mysqlWords(text));
/** @param kind left out, the first word */
const sampling = (text: string, kind = text.split(' ')[0]!) => samplingQuery('postgres', kind, text, wordsOf(text));
const samplingInMysql = (text: string) => samplingQuery('mysql', text.split(' ')[0]!, text, mysqlWords(text));
const changed = (rows: string) => `SELECT count(*) AS n FROM (${rows}\n) AS changed`;

test('the rows of a DELETE or UPDATE are counted by its own condition', () => {
  assert.equal(counting('DELETE FROM a WHERE id = 1'), changed('SELECT 1 FROM a WHERE id = 1'));
  assert.equal(counting('delete from only s."a b" as x returning *;'), changed('SELECT 1 FROM only s."a b" as x'));
  assert.equal(
    counting("UPDATE a SET b = ' WHERE ', c = d IS DISTINCT FROM e WHERE (x = 1 OR y) -- WHERE z"),
    changed('SELECT 1 FROM a WHERE (x = 1 OR y) -- WHERE z'),
  );
  assert.equal(
    counting('UPDATE a x SET b = y.c FROM y JOIN z USING (i) WHERE y.id = x.id RETURNING x.b'),
    changed('SELECT 1 FROM a x WHERE EXISTS (SELECT 1 FROM y JOIN z USING (i) WHERE y.id = x.id\n)'),
  );
  assert.equal(
    counting('DELETE FROM a USING b WHERE a.i = b.i'),
    changed('SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.i = b.i\n)'),
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

test('the rows that a statement is about are asked for by its own text', () => {
  assert.equal(sampling('DELETE FROM a WHERE id = 1 -- one'), 'SELECT * FROM a WHERE id = 1 -- one');
  assert.equal(sampling('DELETE FROM ONLY "S"."a b" RETURNING *;'), 'SELECT * FROM ONLY "S"."a b"');
  assert.equal(
    sampling('UPDATE a x SET b = y.c FROM y WHERE y.id = x.id -- same'),
    'SELECT * FROM a x WHERE EXISTS (SELECT 1 FROM y WHERE y.id = x.id -- same\n)',
  );
  assert.equal(
    sampling('WITH o AS (SELECT 1) DELETE FROM a USING o WHERE a.i = o.i', 'DELETE'),
    'WITH o AS (SELECT 1) SELECT * FROM a WHERE EXISTS (SELECT 1 FROM o WHERE a.i = o.i\n)',
  );
  assert.equal(
    sampling('MERGE INTO a AS t USING b ON t.i = b.i WHEN MATCHED THEN DELETE'),
    'SELECT * FROM a AS t WHERE EXISTS (SELECT 1 FROM b WHERE t.i = b.i\n)',
  );
  assert.equal(
    sampling('INSERT INTO a (i) SELECT i FROM b JOIN c ON b.i = c.i ON CONFLICT (i) DO UPDATE SET i = 1'),
    'SELECT i FROM b JOIN c ON b.i = c.i',
  );
  assert.equal(sampling('SELECT * FROM a FOR UPDATE;'), 'SELECT * FROM a FOR UPDATE');
});

test('MySQL: of several tables too', () => {
  assert.equal(
    samplingInMysql('DELETE QUICK FROM a WHERE b = "x;" ORDER BY id LIMIT 3'),
    'SELECT * FROM a WHERE b = "x;" ORDER BY id LIMIT 3',
  );
  assert.equal(
    samplingInMysql('DELETE a, `b,c`.* FROM a JOIN `b,c` ON a.i = `b,c`.i WHERE a.i = 1'),
    'SELECT a.*, `b,c`.* FROM a JOIN `b,c` ON a.i = `b,c`.i WHERE a.i = 1',
  );
  assert.equal(
    samplingInMysql('DELETE LOW_PRIORITY `a` FROM `a` JOIN b USING (i)'),
    'SELECT `a`.* FROM `a` JOIN b USING (i)',
  );
  assert.equal(samplingInMysql('DELETE FROM a USING a JOIN b WHERE b.i = 1'), 'SELECT a.* FROM a JOIN b WHERE b.i = 1');
  assert.equal(
    samplingInMysql('UPDATE LOW_PRIORITY a JOIN b ON a.i = b.i SET a.x = 1 WHERE b.y = 2'),
    'SELECT * FROM a JOIN b ON a.i = b.i WHERE b.y = 2',
  );
  assert.equal(samplingInMysql('REPLACE INTO a SELECT * FROM b'), 'SELECT * FROM b');
});

test('of others there is no such query', () => {
  for (const other of ['DELETE FROM a WHERE CURRENT OF c', 'INSERT INTO a VALUES (1)', 'TRUNCATE a', 'DROP TABLE a']) {
    assert.equal(sampling(other), null, other);
  }
});

test('values are put in the places of parameters, and nowhere else', () => {
  assert.equal(
    withValues(`UPDATE a SET b = $2 WHERE c = $1 AND d = '$1' -- $1\n AND "$1" = $10`, ["it's", null]),
    `UPDATE a SET b = NULL WHERE c = 'it''s' AND d = '$1' -- $1\n AND "$1" = NULL`,
  );
});

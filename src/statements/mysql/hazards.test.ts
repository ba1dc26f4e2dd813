import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { TextFacts } from '../facts.ts';
import { MysqlAnalyzer } from './analyzer.ts';
import { lex } from './lexer.ts';
import { isReserved } from './reserved-words.ts';
import { lexingStateOf, readServer } from './server.ts';

const state = lexingStateOf('', 'shop');
const analyzer = await MysqlAnalyzer.create({ flavour: 'mariadb', version: '10.11.6-MariaDB', cacheEntries: 4 });
after(() => analyzer.close());

/** The facts of a text that is short and no work. */
function atOnce(text: string, lexing = state): TextFacts {
  const facts = analyzer.analyze(text, lexing);
  assert.ok(!(facts instanceof Promise));
  return facts;
}

/** Code units of the longest text that is read on the calling thread, and of one that has another thread for it. */
const SHORT = 32 * 1024;
const LONG = 250 * 1024;

const CHAINS: Readonly<Record<string, readonly [start: string, repeated: string, end?: string]>> = {
  plus: ['SELECT 1', '+1'],
  or: ['DELETE FROM t WHERE a=1', ' OR a=1'],
  and: ['DELETE FROM t WHERE a=1', ' AND a=1'],
  'IN list': ['SELECT 1 FROM t WHERE a IN (1', ',1', ')'],
  rows: ['INSERT INTO t VALUES (1,2)', ',(1,2)'],
  'rows in IN': ['SELECT 1 FROM t WHERE (a,b) IN ((1,2)', ',(1,2)', ')'],
  string: ["SELECT '", 'a', "'"],
  escapes: ["SELECT '", "\\'", "'"],
  quotes: ["SELECT '", "''", "'"],
  strings: ["SELECT 'a'", " 'a'"],
  comments: ['SELECT 1 ', '/**/'],
  'comments in a skipped one': ['SELECT /*!999999 ', '/**/', '*/ 1'],
  'skipped comments': ['SELECT 1 ', '/*!999999 */'],
  'open comments': ['SELECT 1 ', '/*'],
  'executable comments': ['SELECT 1 ', '/*!*/'],
  hints: ['SELECT 1 ', '/*+ SET_VAR(*/'],
  'one hint': ['SELECT /*+ ', 'SET_VAR( ', '*/ 1'],
  not: ['SELECT ', 'NOT ', '1'],
  minus: ['SELECT ', '- ', '1'],
  case: ['SELECT ', 'CASE WHEN ', '1'],
  'case branches': ['SELECT CASE 1', ' WHEN 1 THEN 1', ' END'],
  between: ['SELECT 1', ' BETWEEN 1 AND 1'],
  is: ['SELECT 1', ' IS NULL'],
  in: ['SELECT 1', ' IN (1)'],
  like: ['SELECT 1', ' LIKE 1'],
  equals: ['SELECT 1', '=1'],
  collate: ['SELECT a', ' COLLATE b'],
  joins: ['SELECT 1 FROM t', ' JOIN t'],
  tables: ['SELECT 1 FROM t', ',t'],
  union: ['SELECT a FROM t', ' UNION SELECT 1'],
  statements: ['SELECT 1', ';SELECT 1'],
  semicolons: ['', ';'],
  subselects: ['SELECT 1', '+(SELECT a FROM t)'],
  parentheses: ['SELECT ', '('],
  'closing parentheses': ['SELECT ', ')'],
  calls: ['SELECT ', 'a('],
  name: ['SELECT ', 'a'],
  dots: ['SELECT a', '.a'],
  digits: ['SELECT ', '1'],
  assignments: ['SELECT ', '@a:=', '1'],
  backticks: ['SELECT `', '``', '`'],
  privileges: ['GRANT a', ',SELECT', ' ON *.* TO a'],
  'prepared text': ["PREPARE s FROM 'SELECT 1", '+1', "'"],
  'common tables': ['WITH a AS (SELECT 1)', ',b AS (SELECT 1)', ' SELECT 1'],
  settings: ['SET @a=1', ',@b=1'],
  columns: ['SELECT a', ',b', ' FROM t'],
  'trim from': ['SELECT 1', ',TRIM(x FROM a)'],
  'not ASCII': ['SELECT ', 'é'],
};

/** Texts whose pieces all differ: what is kept by name grows with them. */
const COUNTED: Readonly<Record<string, readonly [start: string, piece: (at: number) => string, end?: string]>> = {
  'or of columns': ['DELETE FROM t WHERE a=1', (at) => ` OR c${at}=1`],
  'and of columns': ['DELETE FROM t WHERE a=1', (at) => ` AND c${at}=1`],
  'columns far inside': [`SELECT ${'(SELECT '.repeat(40)}a`, (at) => `,c${at}`, ' FROM t)'.repeat(40)],
  'set columns': ['UPDATE t SET a=1', (at) => `,c${at}=1`],
  functions: ['SELECT a()', (at) => `,f${at}()`],
  variables: ['SET @a=1', (at) => `,@v${at}=1`],
  renames: ['RENAME TABLE a TO b', (at) => `,a${at} TO b${at}`],
  'common tables': ['WITH a AS (SELECT 1)', (at) => `,c${at} AS (SELECT 1 FROM c${at - 1})`, ' SELECT 1'],
};

function hostileTexts(size: number): [name: string, text: string][] {
  const texts: [string, string][] = [];
  for (const [name, [start, repeated, end = '']] of Object.entries(CHAINS)) {
    texts.push([name, start + repeated.repeat(Math.floor((size - start.length - end.length) / repeated.length)) + end]);
  }
  for (const [name, [start, piece, end = '']] of Object.entries(COUNTED)) {
    let text = start;
    for (let at = 0; text.length + end.length < size - 30; at += 1) text += piece(at);
    texts.push([name, text + end]);
  }
  return texts;
}

test('no text occupies the thread for more than 50 ms of its time', async () => {
  for (const [name, text] of hostileTexts(SHORT - 8)) {
    // The best of some runs: code that never ran is slow at first.
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 6 && best > 50; run += 1) {
      const before = process.threadCpuUsage();
      const facts = analyzer.analyze(`${text}${' '.repeat(run)}`, state);
      const { user, system } = process.threadCpuUsage(before);
      best = Math.min(best, (user + system) / 1000);
      await facts;
    }
    assert.ok(best <= 50, `${name}: ${best.toFixed(1)} ms`);
  }
});

test('a long text of anything gets an answer, and the next one its own', async () => {
  for (const [name, text] of hostileTexts(LONG)) {
    const facts = await analyzer.analyze(text, state);
    assert.ok(Array.isArray(facts.statements), name);
  }
  const list = `DELETE FROM t WHERE id IN (${'1,'.repeat(50_000)}1)`;
  assert.equal((await analyzer.analyze(list, state)).statements[0]?.effects[0]?.predicate, 'bounded');
});

/** An INSERT of as many rows as come to this many characters. */
function bulk(characters: number, row = "(12345, 'it''s ; some (text)', NULL, 1.5, _binary 'x', -1, NOW())"): string {
  return `INSERT INTO shop.t VALUES ${row}${`,\n${row}`.repeat(Math.ceil(characters / (row.length + 2)))}`;
}

test('bulk inserts of any length are read as what they are', async () => {
  for (const megabytes of [0.02, 1, 10]) {
    const text = bulk(megabytes * 1024 * 1024);
    const { statements } = await analyzer.analyze(text, state);
    assert.deepEqual(
      statements.map(({ kind, end, effects }) => [kind, end === text.length, effects.map(({ effect }) => effect)]),
      [['INSERT', true, ['insert', 'call-function']]],
    );
  }
});

test('no row of a bulk insert hides among others', async () => {
  const first = bulk(50_000, '(1, 2)');
  const effects = async (text: string) =>
    (await analyzer.analyze(text, state)).statements.flatMap((one) => one.effects.map(({ effect }) => effect));
  assert.ok((await effects(`${first}, (SLEEP(5), 2), (3, 4)`)).includes('resource'));
  assert.ok((await effects(`${first}, (1, (SELECT a FROM u LIMIT 1)), (3, 4)`)).includes('read'));
  assert.ok((await effects(`${first}, (1, @a := 2)`)).includes('set-session'));
  assert.deepEqual(await effects(`${first}, (3, 4); DELETE FROM t`), ['insert', 'delete']);
  assert.deepEqual(await effects(`${first} ON DUPLICATE KEY UPDATE a = b`), ['insert', 'update']);
  assert.deepEqual(await effects(`${first}; ${first}; TRUNCATE t`), ['insert', 'insert', 'truncate']);
  assert.deepEqual(await effects(`${first}, (1`), ['opaque']);
});

test('no text makes it throw, whatever is in it', () => {
  const pieces = fc.constantFrom(
    ...'SELECT INSERT INTO DELETE FROM UPDATE SET WHERE a t ( ) , ; \' " ` . * = 1 -1 @a @@b /*! */ /* -- # CASE END AS JOIN ON USING VALUES IN NOT LIMIT CREATE TABLE ALTER DROP SHOW GRANT ON TO WITH UNION ORDER BY { } ? := \\ INTERVAL DAY EXPLAIN PREPARE EXECUTE HANDLER LOAD DATA CALL OVER'.split(
      ' ',
    ),
    ' ',
    '\n',
    '\ud800',
    '\0',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      for (const text of [parts.join(' '), parts.join('')]) {
        const { statements } = atOnce(text);
        for (const { start, end } of statements) assert.ok(start >= 0 && end >= start && end <= text.length);
      }
    }),
    { numRuns: 3000 },
  );
});

test('text that is too large or no text at all is opaque', async () => {
  const why = async (text: string) => (await analyzer.analyze(text, state)).statements[0]?.effects[0]?.via;
  assert.equal(await why(`SELECT '${'a'.repeat(16 * 1024 * 1024)}'`), 'too large');
  assert.equal(await why('SELECT "\ud800"'), 'invalid encoding');
});

const STATEMENTS = [
  "DELETE FROM orders WHERE id = 5 AND status = 'new'",
  'DELETE o FROM orders o JOIN customers c ON o.customer_id = c.id WHERE c.name LIKE "x%"',
  "UPDATE customers SET notes = CONCAT(notes, 'it''s') WHERE id IN (1, 2, 3) OR 1 = 1",
  'INSERT INTO t (a, b) VALUES (1, NOW()), (2, f(3)) ON DUPLICATE KEY UPDATE a = VALUES(a)',
  'WITH x AS (SELECT a FROM t WHERE b > 1) SELECT x.a, COUNT(*) FROM x LEFT JOIN u USING (a) GROUP BY x.a HAVING COUNT(*) > 1',
  "SELECT a FROM (SELECT * FROM t UNION ALL SELECT * FROM u) d WHERE NOT EXISTS (SELECT 1 FROM v WHERE v.a = d.a) INTO OUTFILE '/x'",
  'SET @a = 1, SESSION max_join_size = 5',
  "SHOW FULL TABLES FROM shop LIKE 'a%'",
  'ALTER TABLE t ADD COLUMN c INT DEFAULT 5, RENAME TO u',
  "GRANT SELECT, UPDATE (a) ON shop.t TO 'x'@'%'",
  'EXPLAIN FORMAT=JSON DELETE FROM t WHERE a = 1',
  'CREATE TABLE x AS SELECT a, LOAD_FILE(b) FROM t',
] as const;

test('white space, comments and the case of keywords change no effect', () => {
  const server = readServer('mariadb', '10.11.6-MariaDB');
  const gap = fc.constantFrom(
    ' ',
    '\n',
    '\t \r\n',
    '/* DELETE FROM t */',
    ' -- x\n',
    '#\'"`\n',
    '/**/',
    ' /* ; */ ',
    '\f\v',
  );
  const effects = (text: string) => atOnce(text).statements.map(({ kind, effects: found }) => ({ kind, found }));
  for (const statement of STATEMENTS) {
    const lexed = lex(statement, server, state);
    assert.equal(lexed.outcome, 'tokens');
    const expected = effects(statement);
    assert.notEqual(expected[0]!.kind, 'OPAQUE', statement);
    fc.assert(
      fc.property(fc.infiniteStream(gap), fc.infiniteStream(fc.boolean()), (gaps, cases) => {
        let text = '';
        let last = 0;
        for (const { start, end, keyword } of lexed.tokens) {
          if (start > last) text += gaps.next().value;
          const written = statement.slice(start, end);
          const isKeyword = isReserved(keyword, 'mysql') && isReserved(keyword, 'mariadb');
          text += isKeyword && cases.next().value ? written.toLowerCase() : written;
          last = end;
        }
        assert.deepEqual(effects(text), expected, text);
      }),
      { numRuns: 60 },
    );
  }
});

test('the cache tells apart what the facts depend on', () => {
  const text = 'SELECT "a" FROM t';
  const strings = atOnce(text);
  const names = atOnce(text, lexingStateOf('ANSI_QUOTES', 'shop'));
  assert.deepEqual(strings.statements[0]!.effects[0]!.columns, []);
  assert.deepEqual(names.statements[0]!.effects[0]!.columns, ['a']);
  assert.equal(analyzer.analyze(text, state), strings);
});

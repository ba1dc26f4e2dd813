import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect, StatementFacts } from '../facts.ts';
import { lexingStateOf, readServer } from './server.ts';
import { analyseText } from './text-facts.ts';

const MARIADB = readServer('mariadb', '10.11.6-MariaDB');
const MYSQL = readServer('mysql', '9.1.0');
/** No default database: names stay as they are written. */
const state = lexingStateOf('', null);

function statementsOf(text: string, server = MARIADB): readonly StatementFacts[] {
  return analyseText(text, { server, state, catalogue: null }).statements;
}

/** `delete customers [none] via cte`; a setting, schema or the like says its kind: `set-session setting:role`. */
function inWords({ effect, object, predicate, via, columns, value }: Effect): string {
  const kind = object === null || object.kind === 'relation' ? '' : `${object.kind}:`;
  const name = object === null ? '' : ` ${kind}${object.schema === null ? '' : `${object.schema}.`}${object.name}`;
  const used = columns === undefined ? '' : ` (${columns.join(' ')})`;
  const constant = value === undefined ? '' : ` = ${value}`;
  return `${effect}${name}${used}${predicate === null ? '' : ` [${predicate}]`}${constant}${via === null ? '' : ` via ${via}`}`;
}

function check(cases: readonly (readonly [string, ...string[]])[], server = MARIADB): void {
  for (const [text, ...expected] of cases) {
    const found = statementsOf(text, server).flatMap(({ effects }) => effects.map(inWords));
    assert.deepEqual(found, expected, text);
  }
}

test('reads are of every table, with the columns used and what the condition proves', () => {
  check([
    ['SELECT 1'],
    ["SELECT 'DELETE FROM t', `drop` FROM (SELECT 1 AS `drop`) x -- TRUNCATE t\n"],
    ['SELECT a FROM t', 'read t (a) [none]'],
    ['SELECT * FROM s.t', 'read s.t [none]'],
    ['SELECT x.a FROM t x, u y WHERE x.b = 1 AND x.c = y.c', 'read t (a b c) [bounded]', 'read u (c) [open]'],
    ['TABLE t', 'read t [none]'],
    ['VALUES ROW((SELECT a FROM t)), ROW(1)', 'read t (a) [none]'],
    ['(SELECT a FROM t) UNION (SELECT b FROM u)', 'read t (a) [none]', 'read u (b) [none]'],
    ['SELECT a FROM t WHERE b = 1 AND c IN (SELECT d FROM u)', 'read u (d) [none]', 'read t (a b c d) [bounded]'],
    ['SELECT a FROM ((SELECT a FROM t) UNION ALL (SELECT a FROM u)) x', 'read t (a) [none]', 'read u (a) [none]'],
    ['SELECT a FROM t NATURAL JOIN u', 'read t [tautology]', 'read u [tautology]'],
    ['SELECT a FROM (t JOIN (u) ON t.x = u.x)', 'read t (a x) [open]', 'read u (a x) [open]'],
    ['WITH t AS (SELECT 1) SELECT * FROM t'],
    ['WITH t AS (SELECT * FROM t) SELECT * FROM t', 'read t [none] via cte'],
    [
      'WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT * FROM t',
      'resource via recursion that nothing ends (cte)',
    ],
    ['WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT * FROM t'],
    ['WITH t AS (SELECT 1) SELECT * FROM s.t', 'read s.t [none]'],
    ['SELECT * FROM t, LATERAL (SELECT t.a) x', 'read t [none]'],
    ["SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$')) j", 'call-function function:json_table'],
    ['SELECT a FROM t FOR UPDATE', 'read t (a) [none]', 'lock t via for update'],
    ['SELECT a FROM t LOCK IN SHARE MODE', 'read t (a) [none]', 'lock t via for update'],
    ['SELECT @@global.datadir, @x', 'read setting:datadir [none]'],
    ['SELECT * FROM INFORMATION_SCHEMA.Tables', 'read information_schema.tables [none]'],
    ['HANDLER t READ FIRST', 'read t [none] via handler', 'cursor via handler'],
    ['SHOW FULL COLUMNS FROM t', 'read other:show columns [none]'],
    ["SHOW VARIABLES WHERE Variable_name = f('x')", 'read other:show variables [none]', 'call-function function:f'],
    ['DESC t', 'read other:show columns [none]'],
  ]);
});

test('functions, settings, variables and files count wherever they are', () => {
  check([
    [
      'SELECT f(1), s.g(2), COUNT(*) OVER (ORDER BY h()) FROM t',
      'call-function function:f',
      'call-function function:s.g',
      'call-function function:h',
      'call-function function:count',
      'read t () [none]',
    ],
    [
      "SELECT `load_file`('/etc/passwd')",
      'call-function function:load_file',
      'file function:load_file via reads a file of the server',
    ],
    ['SELECT 1 ORDER BY SLEEP(9)', 'call-function function:sleep', 'resource function:sleep via waits'],
    ["SELECT 'a' REGEXP '(a+)+'", 'resource via pattern that may take for ever'],
    ["SELECT REPEAT('a', 3)", 'call-function function:repeat'],
    ["SELECT REPEAT('a', @n)", 'call-function function:repeat', 'resource function:repeat via makes a long text'],
    [
      'SELECT 1 FROM a, b, c',
      'read a () [none]',
      'read b () [none]',
      'read c () [none]',
      'resource via joins tables without a condition',
    ],
    ['SELECT @a := 1', 'set-session setting:@a via assignment'],
    ['SELECT a INTO @v FROM t', 'read t (a) [none]', 'set-session setting:@v via into'],
    [
      "SELECT a FROM t INTO OUTFILE '/tmp/x'",
      'read t (a) [none]',
      'file other:/tmp/x via into outfile',
      'copy-out other:/tmp/x via into outfile',
    ],
    [
      "SELECT a INTO DUMPFILE '/tmp/x' FROM t",
      'read t (a) [none]',
      'file other:/tmp/x via into outfile',
      'copy-out other:/tmp/x via into outfile',
    ],
    [
      'SELECT a FROM t PROCEDURE ANALYSE(1)',
      'read t (a) [none]',
      'call-procedure function:analyse',
      'call-function function:analyse',
    ],
    ['SELECT NEXT VALUE FOR s', 'update s [keyed] via sequence'],
    ['SELECT NEXTVAL(s)', 'update s [keyed] via sequence'],
    ['SELECT SETVAL(s, 9)', 'update s [none] via sequence'],
    ['SELECT LASTVAL(s), PREVIOUS VALUE FOR s'],
    ['DO f(), 1', 'call-function function:f'],
    ['CALL s.p(f())', 'call-procedure function:s.p', 'call-function function:f'],
  ]);
});

test('writes say what they write and what their condition proves', () => {
  check([
    ['INSERT INTO t VALUES (1)', 'insert t'],
    ['INSERT INTO t (a, B) SELECT c, d FROM u WHERE e = 1', 'insert t (a b)', 'read u (c d e) [bounded]'],
    ['INSERT t SET a = f()', 'insert t (a)', 'call-function function:f'],
    [
      'INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2',
      'insert t',
      'update t (a) [bounded] via on duplicate key',
    ],
    ['INSERT INTO t SELECT 1 ON DUPLICATE KEY UPDATE a = 2', 'insert t', 'update t (a) [open] via on duplicate key'],
    ['REPLACE INTO t VALUES (1)', 'insert t', 'delete t [open] via replace'],
    ['INSERT INTO t VALUES (1) RETURNING a', 'insert t', 'read t (a) [bounded] via returning'],
    ['UPDATE t SET a = 1', 'update t (a) [none]'],
    ['UPDATE t SET a = f() WHERE b = 1', 'call-function function:f', 'update t (a) [bounded]'],
    ['UPDATE IGNORE t SET a = 1 LIMIT 1', 'update t (a) [none]'],
    ['UPDATE t x JOIN u y ON x.i = y.i SET x.a = y.b WHERE x.i = 1', 'update t (a) [bounded]', 'read u (b i) [open]'],
    ['UPDATE t, u SET a = 1 WHERE t.i = 1', 'update t (a) [bounded]', 'update u (a) [tautology]'],
    ['UPDATE t, (SELECT 1 AS b FROM u) d SET a = d.b', 'read u () [none]', 'update t (a) [none]'],
    ['DELETE FROM t WHERE a = 1', 'delete t [bounded]'],
    ['DELETE x FROM t x JOIN u ON 1', 'delete t [tautology]', 'read u () [tautology]'],
    ['DELETE FROM x USING t AS x', 'delete t [none]'],
    ['DELETE t.*, s.u FROM t, s.u WHERE t.a = 1', 'delete t [bounded]', 'delete s.u [tautology]'],
    [
      'WITH c AS (SELECT a FROM u) DELETE FROM t WHERE a IN (SELECT a FROM c)',
      'read u (a) [none] via cte',
      'delete t [open]',
    ],
    ['DELETE HISTORY FROM t', 'delete t [none]'],
    ["LOAD DATA LOCAL INFILE '/x' INTO TABLE t", 'file other:/x via load data local', 'copy-in t', 'insert t'],
    ['TRUNCATE t', 'truncate t'],
  ]);
});

test('statements inside of statements count', () => {
  check([
    ['EXPLAIN DELETE FROM t', 'explain', 'read t [none] via explain'],
    ['EXPLAIN ANALYZE SELECT f()', 'explain', 'call-function function:f via explain analyze'],
    ['ANALYZE FORMAT=JSON DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
    ['EXPLAIN SELECT * FROM (SELECT f()) x', 'explain', 'call-function function:f via explain'],
    ["PREPARE s FROM 'DELETE FROM t'", 'prepare other:s', 'delete t [none] via prepare'],
    ["EXECUTE IMMEDIATE 'DELETE FROM t WHERE a = ?' USING 1", 'delete t [bounded] via execute immediate'],
    ['EXECUTE s USING @a', 'execute other:s'],
    [
      'SET STATEMENT max_statement_time = 1 FOR DELETE FROM t',
      'set-session setting:max_statement_time = 1',
      'delete t [none] via set statement',
    ],
    [
      'CREATE VIEW v AS SELECT f() FROM t',
      'create v',
      'call-function function:f via view',
      'read t () [none] via view',
    ],
    ['CREATE TABLE x (a INT) IGNORE SELECT a FROM t', 'create x', 'read t (a) [none] via create table as'],
  ]);
  const [prepare] = statementsOf("PREPARE S FROM 'SELECT 1'");
  assert.equal(prepare!.nameChange?.op, 'prepare');
  assert.equal(prepare!.nameChange.name, 's');
  assert.deepEqual(statementsOf('EXECUTE S')[0]!.executes, ['s']);
  assert.deepEqual(statementsOf('DEALLOCATE PREPARE S')[0]!.nameChange, { op: 'deallocate', name: 's' });
});

test('settings say their scope, their value and whether later text is read differently', () => {
  check([
    ['SET @a = 1, b = f()', 'set-session setting:@a', 'set-session setting:b', 'call-function function:f'],
    ["SET GLOBAL a = 'x'", 'set-global setting:a = x'],
    ['SET GLOBAL a = 1, b = 2', 'set-global setting:a = 1', 'set-session setting:b = 2', 'set-global setting:b = 2'],
    ['SET @@persist.a = 1', 'set-global setting:a = 1'],
    ['SET SESSION a = ON', 'set-session setting:a = ON'],
    ['SET NAMES utf8mb4', 'set-session setting:names = utf8mb4'],
    ['SET PASSWORD = PASSWORD(1)', 'role via set password'],
    ['SET ROLE admin', 'set-role'],
    ['SET DEFAULT ROLE admin', 'role'],
    ['USE other', 'set-session setting:other.database'],
    ['SET TRANSACTION READ WRITE', 'transaction', 'set-session setting:transaction_read_only = OFF'],
    ['START TRANSACTION READ ONLY', 'transaction'],
    ['START TRANSACTION READ WRITE', 'transaction', 'set-session setting:transaction_read_only'],
  ]);
  const changes = (text: string) => statementsOf(text)[0]!.changesLexing;
  assert.equal(changes("SET a = 1, sql_mode = 'ANSI'"), true);
  assert.equal(changes("SET GLOBAL sql_mode = 'ANSI'"), false);
  assert.equal(changes('SET NAMES utf8mb4'), false);
  assert.equal(changes('SET NAMES latin1'), true);
  for (const text of ['SET NAMES gbk', "SET character_set_client = 'sjis'", 'SET CHARACTER SET big5']) {
    assert.match(statementsOf(text)[0]!.refuses ?? '', /client character set/, text);
  }
  assert.equal(statementsOf('SET NAMES latin1')[0]!.refuses, null);
  const [set, behind] = statementsOf('SET @@character_set_client = @x; SELECT 1');
  assert.deepEqual([set!.refuses, set!.changesLexing, behind!.kind], [null, true, 'OPAQUE']);
  const [, after] = statementsOf("SET sql_mode = 'ANSI'; DELETE FROM t");
  assert.equal(after!.kind, 'OPAQUE');
  assert.deepEqual(statementsOf('USE other; DELETE FROM t')[1]!.effects.map(inWords), ['delete other.t [none]']);
});

test('a name without a database is in the default one, and to use that again changes nothing', () => {
  const inShop = (text: string) =>
    analyseText(text, { server: MARIADB, state: lexingStateOf('', 'shop'), catalogue: null }).statements;
  assert.deepEqual(inShop('DELETE FROM t')[0]!.effects.map(inWords), ['delete shop.t [none]']);
  assert.deepEqual(inShop('USE `shop`; DELETE FROM t')[0]!.effects, []);
  assert.deepEqual(inShop('USE shop; DELETE FROM t')[1]!.effects.map(inWords), ['delete shop.t [none]']);
});

test('writes to the tables of the server are what its own statements would be', () => {
  check([
    ["DELETE FROM mysql.user WHERE user = 'x'", 'delete mysql.user [bounded]', 'admin mysql.user via system catalogue'],
    [
      'UPDATE PERFORMANCE_SCHEMA.setup_actors SET enabled = 1 WHERE host = 2',
      'update performance_schema.setup_actors (enabled) [bounded]',
      'admin performance_schema.setup_actors via system catalogue',
    ],
  ]);
});

test('tables that nothing ties to each other multiply, and recursion has to end', () => {
  const costs = (text: string) =>
    statementsOf(text).some(({ effects }) => effects.some(({ effect }) => effect === 'resource'));
  for (const text of [
    'SELECT 1 FROM a JOIN b ON 1 JOIN c ON TRUE',
    'SELECT 1 FROM a, b, c WHERE a.x > 0 AND b.x > 0',
    'SELECT 1 FROM (SELECT 1 FROM a, b) x, (SELECT 1 FROM a, b) y',
    'SELECT 1 FROM information_schema.columns a, information_schema.columns b, t',
    'SELECT 1 FROM seq_1_to_1000000000',
    'SELECT 1 FROM seq_1_to_10000 a, seq_1_to_10000 b',
    'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE 1 = 1) SELECT n FROM r',
    'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000000) SELECT n FROM r',
    'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, t) SELECT n FROM r',
  ])
    assert.equal(costs(text), true, text);
  for (const text of [
    'SELECT 1 FROM a, b, c WHERE a.x = b.x AND b.y = c.y',
    'SELECT 1 FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (x)',
    'SELECT 1 FROM a, b, (SELECT COUNT(*) FROM c) x',
    'SELECT 1 FROM a, b, c WHERE a.id = 1 AND b.id = 2',
    'SELECT 1 FROM a, (SELECT 1 FROM b, c LIMIT 10) x',
    'SELECT seq FROM seq_1_to_365',
    'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT n FROM r',
    'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 10) SELECT n FROM r',
    'WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT t.id FROM t JOIN r ON t.parent = r.id) SELECT id FROM r',
  ])
    assert.equal(costs(text), false, text);
});

test('definitions, privileges, and what acts on the server', () => {
  check([
    ['CREATE OR REPLACE TABLE t (a INT)', 'create t', 'drop t via or replace'],
    ['CREATE TABLE t LIKE u', 'create t', 'read u [none] via create table like'],
    [
      "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='x'",
      'create t',
      'network other:FEDERATED via engine',
      'network via connection',
    ],
    ["CREATE TABLE t (a INT) DATA DIRECTORY='/x'", 'create t', 'file via directory'],
    ['CREATE TABLE t (a INT) ENGINE=MERGE UNION=(u)', 'create t', 'read u [none] via merge table', 'alter u'],
    ['ALTER TABLE t RENAME TO u', 'alter t', 'rename t', 'rename u'],
    ['ALTER TABLE t TRUNCATE PARTITION p', 'alter t', 'truncate t via partition'],
    ['ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u', 'alter t', 'alter u via partition'],
    ['RENAME TABLE a TO b, s.c TO d', 'rename a', 'rename b', 'rename s.c', 'rename d'],
    ['DROP TABLE IF EXISTS a, s.b', 'drop a', 'drop s.b'],
    ['DROP DATABASE d', 'drop schema:d'],
    ['CREATE UNIQUE INDEX i ON t (a)', 'create t'],
    ['CREATE FUNCTION f RETURNS INT SONAME "x.so"', 'create function:f via function', 'program other:f via soname'],
    [
      'CREATE TRIGGER g BEFORE INSERT ON s.t FOR EACH ROW SET @x = 1',
      'create other:g via trigger',
      'create s.t via trigger',
    ],
    ['CREATE PROCEDURE p() DELETE FROM t', 'create function:p via procedure'],
    ['GRANT SELECT (a), UPDATE ON s.t TO x', 'grant s.t'],
    ['GRANT ALL ON s.* TO x', 'grant schema:s'],
    ['REVOKE r FROM x', 'revoke'],
    ["CREATE USER 'a'@'%' IDENTIFIED BY 'x'", 'role role:a@%'],
    ['DROP USER a, b@h', 'role role:a', 'role role:b@h'],
    ['KILL QUERY 5', 'admin'],
    ['FLUSH PRIVILEGES', 'maintenance'],
    ['FLUSH TABLES t WITH READ LOCK', 'maintenance t', 'lock t'],
    ['LOCK TABLES t WRITE', 'lock'],
    ["XA START 'x'", 'transaction via xa', 'admin via xa'],
    ["INSTALL PLUGIN x SONAME 'y'", 'admin', 'program'],
    ["BINLOG 'x'", 'admin via binary log events', 'opaque via binary log events'],
  ]);
});

test('a known form is named by the words it cannot do without', () => {
  const kinds = ['ROLLBACK AND NO CHAIN RELEASE', 'SHOW FULL PROCESSLIST', 'DROP TEMPORARY TABLE t', 'KILL QUERY 1'];
  assert.deepEqual(
    kinds.map((text) => statementsOf(text)[0]!.kind),
    ['ROLLBACK RELEASE', 'SHOW PROCESSLIST', 'DROP TABLE', 'KILL'],
  );
});

test('optimizer hints that set variables are settings', () => {
  check(
    [
      ["SELECT /*+ SET_VAR(sql_mode = 'ANSI') */ 1", 'set-session setting:sql_mode = ANSI via hint'],
      ['SELECT /*+ MAX_EXECUTION_TIME(0) */ 1', 'set-session setting:max_execution_time = 0 via hint'],
      ['SELECT /*+ SET_VAR(x) */ 1', 'set-session via hint'],
      ['SELECT /*+ NO_INDEX_MERGE(t) */ 1'],
    ],
    MYSQL,
  );
});

test('what is no whole statement that is known is opaque', () => {
  for (const text of [
    'BEGIN NOT ATOMIC DELETE FROM t; END',
    'IF 1 THEN DELETE FROM t; END IF',
    'LOOP DELETE FROM t; END LOOP',
    'x: BEGIN END',
    'PREPARE s FROM @x',
    "PREPARE s FROM 'SELECT 1; SELECT 2'",
    "PREPARE s FROM 'EXECUTE t'",
    "PREPARE s FROM CONCAT('a', 'b')",
    'EXECUTE IMMEDIATE @x',
    "SET STATEMENT sql_mode = 'ANSI' FOR SELECT 1",
    'SHOW SOMETHING',
    'COMMIT AND DELETE FROM t',
    'SELECT 1 FROM t tail tail',
    'SELECT 1 2 3',
    'DELETE FROM nothere USING t',
    'UPDATE (SELECT 1 AS a) d SET a = 1',
    'SELECT `count`(1)',
    'SELECT count (1)',
    'SELECT 1;; SELECT 1',
    'CREATE PROCEDURE p() SELECT 1; DELETE FROM t',
    'DELIMITER //',
    'UNKNOWN THING',
    '',
  ].slice(0, -1)) {
    const effects = statementsOf(text).flatMap((one) => one.effects);
    assert.ok(
      effects.some(({ effect }) => effect === 'opaque'),
      text,
    );
  }
  assert.deepEqual(statementsOf(''), []);
  assert.deepEqual(statementsOf(' -- nothing\n'), []);
});

test('a text in ORACLE mode is opaque', () => {
  const context = { server: MARIADB, state: lexingStateOf('ORACLE', null), catalogue: null };
  assert.equal(analyseText('SELECT 1', context).statements[0]!.kind, 'OPAQUE');
});

test('fingerprints differ by shape only', () => {
  const of = (text: string) => statementsOf(text)[0]!.fingerprint;
  const same = [
    'SELECT a FROM t WHERE b = 1',
    "select a  from t where b = 'x' -- c\n",
    'SELECT a FROM `t` WHERE b = -2',
    'SELECT a FROM t WHERE b = ?',
  ];
  assert.equal(new Set(same.map(of)).size, 1);
  assert.equal(of('SELECT 1 FROM t WHERE a IN (1, 2, 3)'), of('SELECT 5 FROM t WHERE a IN (7)'));
  assert.equal(of('INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)'), of('INSERT INTO t VALUES (1, 2)'));
  assert.notEqual(of('SELECT a FROM t WHERE b = 1'), of('SELECT a FROM t WHERE c = 1'));
  assert.notEqual(of('SELECT a FROM t'), of('SELECT a FROM T'));
  assert.notEqual(of('SELECT a FROM t'), of('SELECT a FROM t t'));
  assert.match(of('SELECT 1'), /^[0-9a-f]{16}$/);
});

test('functions that are known only to compute have no effect, and those that cost are a resource', () => {
  const known = new Map([
    ['count', 'pure'],
    ['sleep', 'resource'],
    ['repeat', 'resource'],
    ['uncompress', 'resource'],
    ['extractvalue', 'other'],
  ] as const);
  for (const [text, ...expected] of [
    ['SELECT COUNT(*)'],
    ['SELECT s.count(1)', 'call-function function:s.count'],
    ['SELECT made_here(1)', 'call-function function:made_here'],
    ["SELECT REPEAT('x', 3)"],
    ["SELECT REPEAT('x', ?)", 'resource function:repeat via makes a long text'],
    ['SELECT SLEEP(1)', 'resource function:sleep via waits'],
    ["SELECT UNCOMPRESS('x')", 'resource function:uncompress via costs more than it shows'],
    ["SELECT EXTRACTVALUE('x', 'y')", 'call-function function:extractvalue'],
  ] as const) {
    const { statements } = analyseText(text, { server: MARIADB, state, catalogue: null, known });
    assert.deepEqual(
      statements.flatMap(({ effects }) => effects.map(inWords)),
      expected,
      text,
    );
  }
});

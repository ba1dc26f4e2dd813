import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Effect, StatementFacts } from '../facts.ts';
import { FEW_STEPS } from '../work-budget.ts';
import { Names } from './names.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

let parser: PostgresParser;
let names: Names;

before(async () => {
  parser = await PostgresParser.create();
  names = new Names(null, [], null, parser);
});

function factsOf(text: string): StatementFacts {
  const { statements } = analyseText(names, text, FEW_STEPS).facts;
  assert.equal(statements.length, 1, text);
  return statements[0]!;
}

/** `delete customers [none] via cte`; a setting, schema or the like says its kind: `set-session setting:role`. */
function inWords({ effect, object, predicate, via }: Effect): string {
  const kind = object === null || object.kind === 'relation' ? '' : `${object.kind}:`;
  const name = object === null ? '' : ` ${kind}${object.schema === null ? '' : `${object.schema}.`}${object.name}`;
  return `${effect}${name}${predicate === null ? '' : ` [${predicate}]`}${via === null ? '' : ` via ${via}`}`;
}

/** Statement, and every effect it has. */
const CASES: readonly (readonly [string, ...string[]])[] = [
  ['SELECT 1'],
  ["SELECT 'DELETE FROM t' AS delete -- TRUNCATE t\n"],
  ['SELECT a FROM t', 'read t [none]'],
  ['SELECT a FROM s.t WHERE b = 1', 'read s.t [bounded]'],
  ['TABLE t', 'read t [none]'],
  ['SELECT 1 FROM "T" JOIN u ON true', 'read T [tautology]', 'read u [tautology]'],
  ['SELECT a FROM t WHERE b IN (SELECT c FROM u)', 'read t [open]', 'read u [none]'],
  ['SELECT a FROM t WHERE x UNION SELECT b FROM u', 'read t [open]', 'read u [none]'],
  [
    'SELECT f(1), s.g(2) FROM h(3)',
    'call-function function:f',
    'call-function function:s.g',
    'call-function function:h',
  ],
  ['SELECT 1 ORDER BY f()', 'call-function function:f'],
  [
    'SELECT count(*) FILTER (WHERE f()) OVER (PARTITION BY g())',
    'call-function function:count',
    'call-function function:f',
    'call-function function:g',
  ],
  // CTE names
  ['WITH t AS (SELECT 1) SELECT * FROM t'],
  ['WITH t AS (SELECT * FROM t) SELECT * FROM t', 'read t [none] via cte'],
  ['WITH t AS (SELECT 1) SELECT * FROM s.t', 'read s.t [none]'],
  ['WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) SELECT * FROM t', 'resource via unbounded recursion'],
  ['WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b', 'read b [none] via cte'],
  ['WITH t AS (SELECT 1) DELETE FROM t', 'delete t [none]'],
  ['SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) x, t', 'read t [none]'],
  // writes
  ['INSERT INTO t VALUES (1)', 'insert t'],
  ['INSERT INTO t SELECT a FROM u WHERE b', 'insert t', 'read u [open]'],
  ['INSERT INTO t VALUES (1) RETURNING a', 'insert t', 'read t [none] via returning'],
  ['INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING', 'insert t'],
  ['INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1', 'insert t', 'update t [bounded] via on conflict'],
  [
    'INSERT INTO t SELECT a FROM t ON CONFLICT (a) DO UPDATE SET b = 1',
    'insert t',
    'update t [none] via on conflict',
    'read t [none]',
  ],
  ['UPDATE t SET a = 1', 'update t [none]'],
  ['UPDATE t SET a = f() WHERE b', 'update t [open]', 'call-function function:f'],
  ['UPDATE t SET a = 1 FROM u', 'update t [none]', 'read u [none]'],
  ['DELETE FROM ONLY t', 'delete t [none]'],
  [
    'DELETE FROM t USING u WHERE t.a = u.a RETURNING *',
    'delete t [open]',
    'read t [open] via returning',
    'read u [open]',
  ],
  ['DELETE FROM t WHERE CURRENT OF c', 'delete t [open]'],
  ['WITH d AS (DELETE FROM t) SELECT 1', 'delete t [none] via cte'],
  ['SELECT (WITH d AS (SELECT 1) SELECT 1) FROM t', 'read t [none]'],
  [
    'MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)',
    'merge t',
    'delete t [open] via merge',
    'insert t via merge',
    'read u [open]',
  ],
  [
    'MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1',
    'merge t',
    'update t [tautology] via merge',
    'read u [tautology]',
  ],
  [
    'MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN DELETE',
    'merge t',
    'delete t [none] via merge',
    'read u [open]',
  ],
  ['TRUNCATE a, s.b', 'truncate a', 'truncate s.b'],
  ['SELECT 1 INTO t FROM u', 'create t via select into', 'read u [none]'],
  ['CREATE TABLE t AS SELECT * FROM u', 'create t', 'read u [none] via create table as'],
  ['CREATE TABLE t AS EXECUTE p', 'create t', 'execute other:p via create table as'],
  ['SELECT * FROM t FOR UPDATE', 'lock t', 'read t [none]'],
  ['SELECT * FROM t x, u FOR SHARE OF x', 'lock t', 'read t [none]', 'read u [none]'],
  // EXPLAIN
  ['EXPLAIN DELETE FROM t', 'explain', 'read t [none] via explain'],
  ['EXPLAIN ANALYZE DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
  ['EXPLAIN (ANALYZE, ANALYZE OFF) DELETE FROM t', 'explain', 'read t [none] via explain'],
  ['EXPLAIN (ANALYZE OFF, "analyze" 1) DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
  ['EXPLAIN ("ANALYZE" off) DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
  ['EXPLAIN (ANALYZE perhaps) DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
  ['EXPLAIN (something_new) DELETE FROM t', 'explain', 'delete t [none] via explain analyze'],
  ["EXPLAIN (ANALYZE 'FALSE') DELETE FROM t", 'explain', 'read t [none] via explain'],
  ['EXPLAIN CREATE TABLE t AS SELECT * FROM u', 'explain', 'read u [none] via explain'],
  // COPY
  ['COPY t FROM STDIN', 'copy-in t'],
  ["COPY t FROM '/etc/passwd'", 'copy-in t', 'file'],
  ["COPY t TO PROGRAM 'cat'", 'copy-out t [none]', 'program'],
  [
    'COPY (DELETE FROM t RETURNING a) TO STDOUT',
    'copy-out other:query',
    'delete t [none] via copy',
    'read t [none] via copy',
  ],
  // functions with effects
  [
    "SELECT pg_catalog.pg_read_file('x')",
    'call-function function:pg_catalog.pg_read_file',
    'file function:pg_catalog.pg_read_file via reads or writes files of the server',
  ],
  [
    "SELECT lo_export(1, 'x')",
    'call-function function:lo_export',
    'file function:lo_export via reads or writes files of the server',
    'large-object function:lo_export via reads or writes large objects',
  ],
  [
    "SELECT * FROM dblink('x', 'y') AS t(a int)",
    'call-function function:dblink',
    'network function:dblink via opens a second connection',
    'opaque function:dblink via runs SQL text: dblink',
  ],
  [
    "SELECT query_to_xml('DELETE FROM t', true, true, '')",
    'call-function function:query_to_xml',
    'opaque function:query_to_xml via runs SQL text: query_to_xml',
  ],
  [
    "SELECT cursor_to_xml('c', 1, true, true, '')",
    'call-function function:cursor_to_xml',
    'opaque function:cursor_to_xml via runs SQL text: cursor_to_xml',
  ],
  [
    "SELECT ts_stat('SELECT 1')",
    'call-function function:ts_stat',
    'opaque function:ts_stat via runs SQL text: ts_stat',
  ],
  [
    'SELECT pg_reload_conf()',
    'call-function function:pg_reload_conf',
    'admin function:pg_reload_conf via acts on the server itself',
  ],
  ["SELECT nextval('S.q'::regclass)", 'call-function function:nextval', 'update s.q [keyed] via nextval'],
  ['SELECT setval($1, 1)', 'call-function function:setval', 'update [keyed] via setval'],
  ["SELECT pg_notify('c', 'x')", 'call-function function:pg_notify', 'notify other:c via sends a notification'],
  [
    'SELECT pg_advisory_lock(1)',
    'call-function function:pg_advisory_lock',
    'lock function:pg_advisory_lock via takes an advisory lock',
  ],
  [
    "SELECT set_config('search_path', 'x', false)",
    'call-function function:set_config',
    'set-session setting:search_path via set_config',
  ],
  [
    "SELECT set_config('ROLE', 'x', false)",
    'call-function function:set_config',
    'set-role setting:role via set_config',
  ],
  [
    "SELECT set_config(setting_name => 'role', new_value => 'x', is_local => false)",
    'call-function function:set_config',
    'set-session via set_config',
    'set-role via set_config',
  ],
  // session
  ['SET search_path TO a, b', 'set-session setting:search_path'],
  ["SET SCHEMA 'a'", 'set-session setting:search_path'],
  ['SET ROLE x', 'set-role setting:role'],
  ['RESET ROLE', 'set-role setting:role'],
  ['SET SESSION AUTHORIZATION x', 'set-role setting:session_authorization'],
  ['RESET ALL', 'set-session'],
  ['SET TRANSACTION READ WRITE', 'set-session setting:transaction_read_only', 'transaction'],
  ['BEGIN READ ONLY', 'transaction'],
  [
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    'set-session setting:default_transaction_read_only',
    'transaction',
  ],
  ['SHOW work_mem', 'read setting:work_mem [none]'],
  ['DISCARD ALL', 'set-session', 'set-role setting:session_authorization'],
  ['ALTER SYSTEM SET work_mem = 1', 'set-global setting:work_mem'],
  ['ALTER ROLE r SET role = x', 'set-global setting:role', 'role role:r'],
  ['ALTER DATABASE d SET work_mem = 1', 'set-global setting:work_mem', 'alter database:d'],
  ["PREPARE TRANSACTION 'x'", 'transaction', 'admin via two-phase commit'],
  ['LISTEN c', 'listen other:c'],
  ["NOTIFY c, 'x'", 'notify other:c'],
  ["LOAD 'x'", 'admin other:x', 'file other:x'],
  // prepared statements and cursors
  ['PREPARE p AS DELETE FROM t', 'prepare other:p', 'delete t [none] via prepare'],
  ['EXECUTE p(f())', 'execute other:p', 'call-function function:f'],
  ['DECLARE c CURSOR FOR SELECT * FROM t', 'cursor other:c', 'read t [none] via cursor'],
  ['FETCH ALL c', 'cursor other:c'],
  ['CLOSE ALL', 'cursor'],
  // code
  ["DO 'BEGIN END'", 'opaque via anonymous code'],
  ['CALL s.p(f())', 'call-procedure function:s.p', 'call-function function:f'],
  [
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; DELETE FROM t; END',
    'create function:f',
    'delete t [none] via function body',
  ],
  ['CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u', 'create t', 'delete u [none] via rule'],
  // definitions
  ['CREATE TABLE t (a int DEFAULT f() REFERENCES u)', 'create t', 'call-function function:f', 'read u [none]'],
  ['CREATE VIEW v AS SELECT * FROM t', 'create v', 'read t [none] via view'],
  ['CREATE INDEX i ON t (f(a))', 'create t', 'call-function function:f via index'],
  ['CREATE SCHEMA s CREATE TABLE t (a int)', 'create schema:s', 'create t'],
  ['ALTER TABLE t ALTER a TYPE int USING f()', 'alter t', 'call-function function:f'],
  ['ALTER TABLE t ATTACH PARTITION p DEFAULT', 'alter t', 'alter p via partition'],
  ['ALTER TABLE t RENAME COLUMN a TO b', 'rename t'],
  ['ALTER FUNCTION s.f() OWNER TO r', 'alter function:s.f'],
  ['DROP TABLE a, s.b', 'drop a', 'drop s.b'],
  ['DROP SCHEMA s CASCADE', 'drop schema:s'],
  ['DROP TRIGGER x ON s.t', 'drop s.t'],
  ['DROP FUNCTION f(int)', 'drop function:f'],
  ['DROP DATABASE d', 'drop database:d'],
  ["COMMENT ON COLUMN s.t.a IS 'x'", 'comment s.t'],
  ['CREATE EXTENSION x', 'create other:x'],
  ["CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", 'create other:s', 'network other:s'],
  // privileges
  ['GRANT SELECT ON t TO r', 'grant t'],
  ['GRANT ALL ON ALL TABLES IN SCHEMA s TO r', 'grant schema:s'],
  ['REVOKE a FROM b', 'revoke role:a'],
  ['CREATE ROLE r', 'role role:r'],
  ['DROP ROLE a, b', 'role role:a', 'role role:b'],
  ['ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r', 'grant'],
  ['DROP OWNED BY r', 'role role:r', 'drop'],
  // maintenance
  ['VACUUM', 'maintenance'],
  ['ANALYZE t', 'maintenance t'],
  ['REINDEX DATABASE d', 'maintenance other:d'],
  ['LOCK TABLE t', 'lock t'],
  ['REFRESH MATERIALIZED VIEW v', 'maintenance v'],
  ['CHECKPOINT', 'maintenance'],
];

for (const [statement, ...expected] of CASES) {
  test(`the effects of ${statement}`, () => {
    assert.deepEqual(factsOf(statement).effects.map(inWords).sort(), expected.sort());
  });
}

test('a prepared statement brings the facts of what it runs, and names are kept in order', () => {
  const { nameChange } = factsOf('PREPARE p AS SELECT * FROM t WHERE a = $1');
  assert.ok(nameChange?.op === 'prepare');
  assert.equal(nameChange.name, 'p');
  assert.deepEqual(nameChange.inner.effects.map(inWords), ['read t [bounded]']);
  assert.deepEqual(factsOf('EXECUTE "P" (1)').executes, ['P']);
  assert.deepEqual(factsOf('EXPLAIN EXECUTE p').executes, ['p']);
  assert.deepEqual(factsOf('DEALLOCATE p').nameChange, { op: 'deallocate', name: 'p' });
  assert.deepEqual(factsOf('DEALLOCATE ALL').nameChange, { op: 'deallocate-all' });
  assert.deepEqual(factsOf('DISCARD ALL').nameChange, { op: 'deallocate-all' });
});

test('statements that may change how later text is read say so', () => {
  for (const text of [
    'SET client_encoding = utf8',
    "SET NAMES 'latin1'",
    'SET standard_conforming_strings = off',
    'SET backslash_quote = on',
    'RESET client_encoding',
    'RESET ALL',
    'DISCARD ALL',
    "SELECT set_config('standard_' || 'conforming_strings', 'off', false)",
    "SELECT set_config('client_encoding', 'utf8', false)",
    "DO ''",
    'CALL p()',
    "SELECT query_to_xml('', true, true, '')",
  ]) {
    assert.equal(factsOf(text).changesLexing, true, text);
  }
  for (const text of ['SELECT 1', 'SET search_path = a', "SELECT set_config('a.b', 'c', true)", 'DISCARD PLANS']) {
    assert.equal(factsOf(text).changesLexing, false, text);
  }
});

test('encodings that break characters into quotes are named as what nobody may set', () => {
  for (const name of [
    'SJIS',
    'Shift_JIS',
    'mskanji',
    'BIG5',
    'GBK',
    'GB18030',
    'UHC',
    'johab',
    'SHIFT_JIS_2004',
    'WIN936',
    'no such',
  ]) {
    assert.match(factsOf(`SET client_encoding = '${name}'`).refuses ?? '', /client_encoding/, name);
    assert.match(factsOf(`SET NAMES '${name}'`).refuses ?? '', /client_encoding/, name);
    assert.match(
      factsOf(`SELECT set_config('Client_Encoding', '${name}', false)`).refuses ?? '',
      /client_encoding/,
      name,
    );
  }
  assert.match(factsOf("SELECT set_config('client_encoding', $1, false)").refuses ?? '', /client_encoding/);
  assert.match(factsOf("SELECT set_config($1, 'SJIS', false)").refuses ?? '', /client_encoding/);
  for (const name of ['UTF8', 'utf-8', 'UNICODE', 'SQL_ASCII', 'LATIN1', 'iso-8859-15', 'EUC_JP', 'WIN1252', 'koi8r']) {
    assert.equal(factsOf(`SET client_encoding = '${name}'`).refuses, null, name);
  }
  assert.equal(factsOf("SELECT set_config($1, 'view, foreign-table', false)").refuses, null);
});

test('the fingerprint is equal for statements that differ in literals only', () => {
  const same = [
    ["SELECT a FROM t WHERE b = 1 AND c = 'x'", "select a from t where b=22 and c='yy'"],
    ['SELECT a FROM t WHERE b IN (1, 2, 3)', 'SELECT a FROM t WHERE b IN (4)'],
    ['SELECT a FROM t WHERE b = $1', 'SELECT a FROM t WHERE b = 5'],
    ['INSERT INTO t VALUES (1, 2), (3, 4)', 'INSERT INTO t VALUES (5, 6)'],
    ['PREPARE a AS SELECT 1', 'PREPARE b AS SELECT 2'],
    ["ALTER ROLE r PASSWORD 'x'", "ALTER ROLE r PASSWORD 'y'"],
  ];
  for (const [one, other] of same) assert.equal(factsOf(one!).fingerprint, factsOf(other!).fingerprint, other);
  const different = [
    'SELECT a FROM t',
    'SELECT b FROM t',
    'SELECT a FROM u',
    'SELECT a FROM t WHERE b',
    'SELECT a b FROM t',
    'DELETE FROM t',
    'SELECT a FROM t WHERE b IS NULL',
    'SELECT a FROM t WHERE b = NULL',
    'SELECT a FROM t WHERE b = 1',
    'SELECT a FROM t WHERE b <> 1',
  ];
  assert.equal(new Set(different.map((text) => factsOf(text).fingerprint)).size, different.length);
  assert.match(factsOf('SELECT 1').fingerprint, /^[0-9a-f]{16}$/);
});

test('names of statements are the command tags people know', () => {
  const names = [
    'SELECT',
    'DROP TABLE',
    'CREATE INDEX',
    'ALTER TABLE',
    'BEGIN',
    'SET',
    'CREATE MATERIALIZED VIEW',
    'MOVE',
  ];
  const texts = [
    'VALUES (1)',
    'DROP TABLE t',
    'CREATE INDEX ON t (a)',
    'ALTER TABLE t ADD a int',
    'BEGIN',
    'SET a.b = 1',
    'CREATE MATERIALIZED VIEW v AS SELECT 1',
    'MOVE c',
  ];
  assert.deepEqual(
    texts.map((text) => factsOf(text).kind),
    names,
  );
});

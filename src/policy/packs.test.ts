import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PostgresAnalyzer } from '../statements/postgres/analyzer.ts';
import { loadRules } from './load.ts';

const directory = fileURLToPath(new URL('../../rules/', import.meta.url));

let analyzer: PostgresAnalyzer;

before(async () => {
  analyzer = await PostgresAnalyzer.create();
});

after(() => analyzer.close());

/** The rules that refuse a text, `default` included; the empty list if it is allowed. */
async function refusals(
  pack: string,
  text: string,
  kind: 'agent' | 'human',
  fallback: 'allow' | 'deny',
): Promise<string[]> {
  const rules = loadRules([`${directory}${pack}`]);
  const { statements } = await analyzer.analyze(text, { standardConformingStrings: true });
  const subject = { identity: { subject: 'x', kind, groups: [] }, connection: 'c', default: fallback };
  return statements.flatMap((facts) => {
    const verdict = rules.decide(facts, subject);
    return verdict.action === 'deny' ? [verdict.rule] : [];
  });
}

/** Text, and the rules that refuse it. */
const VERDICTS: Readonly<
  Record<string, { kind: 'agent' | 'human'; fallback: 'allow' | 'deny'; cases: [string, string[]][] }>
> = {
  'destructive.yaml': {
    kind: 'human',
    fallback: 'allow',
    cases: [
      ['SELECT * FROM t', []],
      ['DELETE FROM t WHERE id = 1', []],
      ['CREATE TABLE t (a int); ALTER TABLE t ADD b int', []],
      ['LOCK TABLE t; VACUUM t', []],
      ['SELECT 1; DELETE FROM t', ['no-unbounded-writes']],
      ['WITH d AS (UPDATE t SET a = 1) SELECT 1', ['no-unbounded-writes']],
      ['EXPLAIN UPDATE t SET a = 1', []],
      ['EXPLAIN ANALYZE UPDATE t SET a = 1', ['no-unbounded-writes']],
      ['PREPARE p AS DELETE FROM t', ['no-unbounded-writes']],
      ['TRUNCATE t', ['no-truncate']],
      ['DROP SCHEMA s CASCADE', ['no-drop']],
      ['GRANT ALL ON t TO x', ['no-privilege-changes']],
      ['SET ROLE x', ['no-change-of-role']],
      ["SELECT set_config('role', 'x', false)", ['no-change-of-role']],
      ['ALTER SYSTEM SET work_mem = 1', ['no-change-of-role']],
      ['SET session_replication_role = replica', ['no-protection-off']],
      ['SET search_path = a', []],
      ['RESET ALL', ['no-protection-off']],
      ["COPY t FROM '/etc/passwd'", ['no-reach-outside']],
      ["COPY t TO PROGRAM 'cat'", ['no-reach-outside']],
      ["SELECT lo_import('/etc/passwd')", ['no-reach-outside']],
      ['COPY t FROM STDIN', []],
      ['SELECT pg_terminate_backend(1)', ['no-server-control']],
      ["DO 'BEGIN END'", ['no-unreadable-statements']],
      ['SELEC 1', ['no-unreadable-statements']],
    ],
  },
  'agents-read-only.yaml': {
    kind: 'agent',
    fallback: 'deny',
    cases: [
      ['SELECT country, count(*), lower(name) FROM customers GROUP BY 1, 3', []],
      ['BEGIN READ ONLY; DECLARE c CURSOR FOR SELECT * FROM t; FETCH 2 FROM c; COMMIT', []],
      ['EXPLAIN (ANALYZE) SELECT * FROM t', []],
      ['COPY (SELECT * FROM t) TO STDOUT', []],
      ["SET TIME ZONE 'UTC'; SHOW timezone", []],
      ['SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a', []],
      ['INSERT INTO t VALUES (1)', ['agents-change-nothing']],
      ['DELETE FROM t WHERE id = 1', ['agents-change-nothing']],
      ['WITH i AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM i', ['agents-change-nothing']],
      ['CREATE TEMP TABLE t (a int)', ['agents-change-nothing']],
      ["SELECT nextval('s')", ['agents-change-nothing']],
      ['BEGIN READ WRITE', ['default']],
      ['SELECT my_function()', ['default']],
      ['SELECT evil.count(1)', ['default']],
      ['SELECT pg_sleep(100)', ['default']],
      ['SELECT * FROM t FOR UPDATE', ['agents-stay-inside']],
      ['SET search_path = evil', ['default']],
      ['SET ROLE x', ['agents-stay-inside']],
      ["SELECT pg_read_file('x')", ['agents-stay-inside']],
      ["NOTIFY c, 'x'", ['agents-stay-inside']],
      ['CALL p()', ['agents-change-nothing']],
      ["DO 'BEGIN END'", ['agents-are-readable']],
    ],
  },
};

test('every pack that ships loads, has a version, and is tried here', () => {
  const packs = readdirSync(directory).filter((name) => name.endsWith('.yaml') && !name.endsWith('.test.yaml'));
  assert.deepEqual(packs.sort(), Object.keys(VERDICTS).sort());
  for (const pack of packs) assert.ok(loadRules([`${directory}${pack}`]).ids.length > 3, pack);
  assert.ok(loadRules(packs.map((pack) => `${directory}${pack}`)).ids.length > 10, 'they load together');
});

for (const [pack, { kind, fallback, cases }] of Object.entries(VERDICTS)) {
  for (const [text, expected] of cases) {
    test(`${pack} ${expected.length === 0 ? 'allows' : 'refuses'} ${text}`, async () => {
      assert.deepEqual(await refusals(pack, text, kind, fallback), expected);
    });
  }
}

test('the read-only pack is about agents: it allows and refuses nothing to people', async () => {
  assert.deepEqual(await refusals('agents-read-only.yaml', 'DROP TABLE t', 'human', 'allow'), []);
  assert.deepEqual(await refusals('agents-read-only.yaml', 'SELECT * FROM t', 'human', 'deny'), ['default']);
});

test('without rules, default: allow passes everything through', async () => {
  const { statements } = await analyzer.analyze("DROP TABLE t; DO ''; nonsense", { standardConformingStrings: true });
  const subject = {
    identity: { subject: 'x', kind: 'human' as const, groups: [] },
    connection: 'c',
    default: 'allow' as const,
  };
  for (const facts of statements) assert.equal(loadRules([]).decide(facts, subject).action, 'allow');
});

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { TextFacts } from '../facts.ts';
import { FEW_STEPS } from '../work-budget.ts';
import { PostgresAnalyzer } from './analyzer.ts';
import { textWithoutLiterals } from './literals.ts';
import { Names } from './names.ts';
import { PostgresParser } from './parser.ts';
import { analyseText } from './text-facts.ts';

const ON = { standardConformingStrings: true };
const OFF = { standardConformingStrings: false };

let analyzer: PostgresAnalyzer;
let parser: PostgresParser;
let names: Names;

before(async () => {
  analyzer = await PostgresAnalyzer.create();
  parser = await PostgresParser.create();
  names = new Names(null, [], null, parser);
});

after(() => analyzer.close());

function atOnce(text: string, lexing = ON): TextFacts {
  const facts = analyzer.analyze(text, lexing);
  assert.ok(!(facts instanceof Promise), 'it had to be waited for');
  return facts;
}

function whyOpaque(facts: TextFacts): string | null | undefined {
  assert.equal(facts.statements.length, 1);
  assert.equal(facts.statements[0]!.kind, 'OPAQUE');
  assert.equal(facts.statements[0]!.changesLexing, true);
  const [effect, ...others] = facts.statements[0]!.effects;
  assert.equal(effect?.effect, 'opaque');
  assert.deepEqual(others, []);
  return effect.via;
}

test('an empty query has no statements', () => {
  for (const text of ['', ' ', ';', '-- only a comment', '/* a /* b */ */;;']) {
    assert.deepEqual(atOnce(text), { statements: [] }, text);
  }
});

test('each statement of a text has its own facts, kind and place', () => {
  const text = " SELECT 'é;𝄞' ; DELETE FROM t;\nSELECT 2";
  const { statements } = atOnce(text);
  assert.deepEqual(
    statements.map(({ kind, start, end }) => [kind, text.slice(start, end).trim()]),
    [
      ['SELECT', "SELECT 'é;𝄞'"],
      ['DELETE', 'DELETE FROM t'],
      ['SELECT', 'SELECT 2'],
    ],
  );
});

test('a text that cannot be read is one opaque statement that says why', async () => {
  assert.equal(whyOpaque(atOnce('SELEC 1')), 'unparsed: syntax error at or near "SELEC"');
  assert.equal(whyOpaque(atOnce("SELECT 'a")), 'unparsed: unterminated quoted string at or near "\'a"');
  assert.equal(whyOpaque(atOnce(`SELECT ${'('.repeat(300)}1${')'.repeat(300)}`)), 'too deep');
  assert.equal(whyOpaque(atOnce(`SELECT '${'x'.repeat(16 * 1024 * 1024)}'`)), 'too large');
  assert.equal(whyOpaque(await analyzer.analyze(`SELECT '${'x'.repeat(1024 * 1024)}'`, ON)), 'too large');
  assert.equal(whyOpaque(atOnce('SELECT 1\0; DELETE FROM t')), 'invalid encoding');
  assert.equal(whyOpaque(atOnce('SELECT \ud800')), 'invalid encoding');
  assert.equal(
    whyOpaque(await analyzer.analyze(`SELECT ${'1,'.repeat(6000)}`, ON)),
    'unparsed: syntax error at end of input',
  );
});

test('with standard_conforming_strings off a backslash makes the text opaque, and only then', () => {
  const text = "SELECT '\\', '; DELETE FROM t; --'";
  assert.equal(atOnce(text).statements[0]!.kind, 'SELECT');
  assert.equal(whyOpaque(atOnce(text, OFF)), 'backslash with standard_conforming_strings off');
  assert.equal(atOnce("SELECT 'a'", OFF).statements[0]!.kind, 'SELECT');
  assert.equal(atOnce(text).statements[0]!.kind, 'SELECT', 'the answer for one state is not kept for the other');
});

test('long texts are analysed in another thread, and are known at once the second time', async () => {
  const text = `INSERT INTO t VALUES ${"(1, 'x'),".repeat(2000)}(1, 'x')`;
  const first = analyzer.analyze(text, ON);
  assert.ok(first instanceof Promise);
  const facts = await first;
  assert.deepEqual(
    facts.statements.map((s) => [s.kind, s.effects.map((e) => e.effect), s.end]),
    [['INSERT', ['insert'], text.length]],
  );
  assert.equal(atOnce(text), facts);
});

test('many long texts at once each get their own answer', async () => {
  const texts = Array.from({ length: 12 }, (_, i) => `SELECT a FROM t${i} WHERE b IN (${'1,'.repeat(5000)}1)`);
  const all = await Promise.all(texts.map((text) => analyzer.analyze(text, ON)));
  assert.deepEqual(
    all.map((facts) => facts.statements[0]!.effects[0]!.object?.name),
    texts.map((_, i) => `t${i}`),
  );
});

test('a text that waits when the analyzer closes is opaque', async () => {
  const closing = await PostgresAnalyzer.create();
  const waiting = closing.analyze(`SELECT ${'1,'.repeat(6000)}1`, ON);
  closing.close();
  assert.equal(whyOpaque(await waiting), 'parser failed');
});

test('facts that depend on a literal are not given to a text with another', () => {
  for (const text of [
    "SELECT set_config('application_name', 'x', false)",
    "SELECT nextval('a')",
    "SELECT pg_notify('a', 'x')",
    "SET search_path = 'a'",
    "SET client_encoding = 'UTF8'",
    "COPY t TO '/tmp/x'",
    'EXPLAIN (ANALYZE 0) DELETE FROM t',
    'FETCH 1 FROM c',
  ]) {
    const key = textWithoutLiterals(text);
    assert.notEqual(key, null, text);
    assert.equal(analyseText(names, text, FEW_STEPS).literalsAreFree, false, text);
  }
  assert.equal(atOnce("SELECT nextval('a')").statements[0]!.effects[1]!.object?.name, 'a');
  assert.equal(atOnce("SELECT nextval('b')").statements[0]!.effects[1]!.object?.name, 'b');
  assert.equal(atOnce('EXPLAIN (ANALYZE 0) DELETE FROM t').statements[0]!.effects[1]!.effect, 'read');
  assert.equal(atOnce('EXPLAIN (ANALYZE 1) DELETE FROM t').statements[0]!.effects[1]!.effect, 'delete');
});

test('literals that are not read exactly as the server reads them give no key', () => {
  for (const text of [
    "SELECT E'a'",
    "SELECT e'a\\'b'",
    "SELECT U&'a'",
    "SELECT B'1'",
    "SELECT N'a'",
    "SELECT 'a\\'",
    "SELECT 'é'",
    'SELECT é',
    "SELECT 'a'\n'b'",
    "SELECT 'a' 'b'",
    "SELECT 'a",
    'SELECT $$a$$',
    'SELECT $a$b$a$',
    'SELECT a$1$',
    'SELECT 1a',
    'SELECT 1_000',
    'SELECT 0x1F',
    'SELECT 1e5',
    'SELECT 1.5e5',
    'SELECT 1..2',
    'SELECT .5',
    'SELECT a.5',
    'SELECT $1a',
    'SELECT 1 -- 2',
    'SELECT 1 /* 2 */',
    'SELECT "a""b"',
    'SELECT ""',
    'SELECT U&"a"',
    'SELECT 1::float(5)',
    'SELECT \\ 1',
    'SELECT `1`',
    'SELECT {1}',
    'SELECT 1\x01',
    'SELECT 1\u00a0',
  ]) {
    const key = textWithoutLiterals(text);
    if (text === 'SELECT a$1$') assert.equal(key, text, 'an identifier, copied as it is');
    else assert.equal(key, null, text);
  }
});

test('strings, integers and other numbers are told apart, and nothing else changes', () => {
  assert.equal(
    textWithoutLiterals("SELECT  'it''s', 12, 1.50, 12345678901, $1, a1, \"b 2\" FROM t;"),
    'SELECT  \x01, \x02, \x03, \x03, $1, a1, "b 2" FROM t;',
  );
  assert.equal(textWithoutLiterals('select a-1,-1 from T'), 'select a-\x02,-\x02 from T');
});

/** Templates with `?` for a literal. */
const TEMPLATES = [
  'SELECT a FROM t WHERE id = ? AND n = ?',
  'select a,?from t where id in (?,?,?) limit ? ;',
  'UPDATE t SET a = ?, b = -? WHERE c > ? OR d LIKE ? ESCAPE ?',
  'DELETE FROM s.t WHERE a BETWEEN ? AND ?',
  'INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT (a) DO UPDATE SET b = ? RETURNING *',
  'SELECT f(?, x => ?), date ?, interval ? year, a::time(?), "?" FROM g(?) ORDER BY ? OFFSET ?',
  'WITH c AS (SELECT ? AS n) SELECT * FROM c, u WHERE c.n = ? FOR UPDATE',
  'SELECT ?;',
  ' VALUES (?)',
  'SELECT a?',
  'SELECT ??',
  'SELECT ? ?',
  'SELECT E?, ?::interval(?), timestamp(?) ?, bit(?) ?, extract(? FROM now())',
  "SELECT set_config('a.b', ?, false)",
  'SELECT nextval(?), set_config(?, ?, true), pg_notify(?, ?)',
  'MERGE INTO t USING u ON t.a = ? WHEN MATCHED AND u.b = ? THEN DELETE',
  'SELECT 1; SELECT ?',
  'SET work_mem = ?',
  'SELECT a FROM t TABLESAMPLE bernoulli(?) REPEATABLE (?)',
];

const literal = fc.oneof(
  fc.nat({ max: 99 }).map(String),
  fc.constantFrom(
    '2147483647',
    '2147483648',
    '999999999',
    '1000000000',
    '0',
    '00',
    '1.5',
    '1.',
    '.5',
    '1e3',
    '0x1',
    '1_0',
  ),
  fc
    .string({ unit: fc.constantFrom(...'ab 1;-/*?$%()="\n\\é'), maxLength: 8 })
    .map((s) => `'${s.replaceAll("'", "''")}'`),
  fc.constantFrom(
    "''",
    "''''",
    "'a''b'",
    "E'a'",
    "'SJIS'",
    "'client_encoding'",
    '$1',
    '$$a$$',
    'NULL',
    'x',
    '',
    '-1',
    "'a' 'b'",
  ),
);

test('facts of a text with known form are those a full parse of it gives', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TEMPLATES),
      fc.array(fc.array(literal, { minLength: 8, maxLength: 8 }), { minLength: 2, maxLength: 6 }),
      (template, fillings) => {
        for (const filling of fillings) {
          let next = 0;
          const text = template.replace(/\?/g, () => filling[next++ % filling.length]!);
          assert.deepEqual(atOnce(text), analyseText(names, text, FEW_STEPS).facts, text);
        }
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(analyzer.stats.hits2 > 200, `only ${analyzer.stats.hits2} texts had a known form`);
});

test('texts of one form share their effects', () => {
  const one = atOnce('SELECT z FROM t WHERE id = 1');
  const other = atOnce('SELECT z FROM t WHERE id = 23456');
  assert.equal(one.statements[0]!.effects, other.statements[0]!.effects);
  assert.equal(other.statements[0]!.end, 'SELECT z FROM t WHERE id = 23456'.length);
});

test('the cache stays within its bounds and still answers', async () => {
  const small = await PostgresAnalyzer.create({ cacheEntries: 100, cacheBytes: 50_000 });
  for (let i = 0; i < 1000; i += 1) {
    small.analyze(`SELECT a${i} FROM t`, ON);
    small.analyze('SELECT often FROM t', ON);
    assert.ok(small.stats.entries <= 100, `${small.stats.entries} entries`);
    assert.ok(small.stats.bytes <= 50_000, `${small.stats.bytes} bytes`);
  }
  const { hits1, hits2, misses } = small.stats;
  assert.deepEqual({ hits1, hits2, misses }, { hits1: 999, hits2: 0, misses: 1001 });
  small.close();
});

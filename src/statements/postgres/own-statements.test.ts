import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostgresAnalyzer } from './analyzer.ts';
import { explainedFrom } from './own-statements.ts';
import { FEW_NAMES } from './test-catalogue.ts';

const analyzer = await PostgresAnalyzer.create({ known: FEW_NAMES });
const factsOf = async (text: string, standardConformingStrings = true) =>
  (await analyzer.analyze(text, { standardConformingStrings })).statements;

test('EXPLAIN (SLUICE) is read wherever white space and comments may stand, and what follows is its statement', () => {
  for (const [before, after] of [
    ['EXPLAIN (SLUICE) ', 'DELETE FROM t'],
    ['explain(sluice)', '(SELECT 1)'],
    [' \t\r\n\f\v/* a /* b */ -- */--EXPLAIN\nEXPLAIN/**/(/**/"sluice"/**/)/* c */', 'x'],
    ['EXPLAIN (Sluice) ', '; DROP TABLE t'],
  ]) {
    assert.equal(explainedFrom(`${before}${after}`), before!.length, before);
  }
});

test('what is not that is none', () => {
  for (const text of [
    'EXPLAIN (SLUICE)',
    'EXPLAIN (SLUICE) -- nothing',
    'EXPLAIN (SLUICE, ANALYZE) SELECT 1',
    'EXPLAIN (SLUICE true) SELECT 1',
    'EXPLAIN ("SLUICE") SELECT 1',
    'EXPLAIN (SLUICED) SELECT 1',
    'EXPLAIN SLUICE SELECT 1',
    'EXPLAINED (SLUICE) SELECT 1',
    'EXPLAIN\u00a0(SLUICE) SELECT 1',
    'EXPLAIN (\u017fLUICE) SELECT 1',
    '/* EXPLAIN (SLUICE) */ SELECT 1',
    '/* /* */ EXPLAIN (SLUICE) SELECT 1',
    "'EXPLAIN (SLUICE)' SELECT 1",
    'SELECT 1; EXPLAIN (SLUICE) SELECT 1',
  ]) {
    assert.equal(explainedFrom(text), null, text);
  }
});

test('a question to Sluice has no effects, and says what it asks', async () => {
  for (const [text, asks] of Object.entries({
    'SHOW sluice.requests': { asks: 'requests' },
    'SHOW "Sluice"."SESSION"': { asks: 'session' },
    'SHOW U&"\\0073luice".session': { asks: 'session' },
    'EXPLAIN (SLUICE) DROP TABLE t': { asks: 'verdict', from: 17 },
    'EXPLAIN (VERBOSE, SLUICE) SELECT 1': { asks: 'verdict', from: null },
  })) {
    const [first, second] = await factsOf(text);
    assert.deepEqual([first!.asks, first!.effects, second], [asks, [], undefined], text);
    assert.match(first!.fingerprint, /^[0-9a-f]{16}$/);
  }
  assert.deepEqual((await factsOf(String.raw`EXPLAIN (SLUICE) SELECT '\'`, false))[0]!.asks, {
    asks: 'verdict',
    from: 17,
  });
  assert.equal((await factsOf('SHOW sluice.intent'))[0]!.asks, undefined);
  assert.equal((await factsOf("SELECT 'SHOW sluice.session'"))[0]!.asks, undefined);
});

test('an EXPLAIN (SLUICE) with another option counts as what it would be without: it may execute', async () => {
  const [facts] = await factsOf('EXPLAIN (SLUICE, ANALYZE) DELETE FROM t');
  assert.deepEqual(facts!.asks, { asks: 'verdict', from: null });
});

test('SET sluice.NAME is a claim, and has no effect', async () => {
  for (const [text, claims] of Object.entries({
    "SET sluice.intent = 'clean up'": [{ name: 'intent', value: 'clean up' }],
    "SET LOCAL \"Sluice\".Intent TO E'a\\'b'": [{ name: 'intent', value: "a'b" }],
    'SET SESSION sluice.gen_ai.conversation.id = 5': [{ name: 'gen_ai.conversation.id', value: '5' }],
    'RESET sluice.intent': [{ name: 'intent', value: null }],
    'SET sluice.intent TO DEFAULT': [{ name: 'intent', value: null }],
    "SELECT set_config('sluice.intent', 'x', false)": [{ name: 'intent', value: 'x' }],
    "SELECT set_config('sluice.intent', $1, true)": [{ name: 'intent' }],
    'SET sluice.intent = a, b': [{ name: 'intent' }],
  })) {
    const [facts] = await factsOf(text);
    assert.deepEqual([facts!.claims, facts!.effects], [claims, []], text);
  }
  const [, other] = await factsOf("SET sluice.intent = 'x'; SET role = 'admin'");
  assert.deepEqual(
    other!.effects.map(({ effect }) => effect),
    ['set-role'],
  );
  const [both] = await factsOf("SELECT set_config('sluice.intent', name, false), pg_sleep(1) FROM people");
  assert.deepEqual(
    both!.effects.map(({ effect }) => effect),
    ['resource', 'read'],
  );
  assert.ok(both!.uses?.some(({ column, use }) => column === 'name' && use === 'copy'));
});

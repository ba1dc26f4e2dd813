import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MysqlAnalyzer } from './analyzer.ts';
import { lexingStateOf } from './server.ts';

const analyzers = await Promise.all([
  MysqlAnalyzer.create({ flavour: 'mysql', version: '8.0.36' }),
  MysqlAnalyzer.create({ flavour: 'mariadb', version: '10.11.6-MariaDB' }),
]);
const factsOf = async (text: string, sqlMode = '') =>
  Promise.all(analyzers.map(async (one) => (await one.analyze(text, lexingStateOf(sqlMode, 'shop'))).statements));

test('a question to Sluice has no effects, and says what it asks', async () => {
  for (const [text, asks] of Object.entries({
    'SHOW SLUICE REQUESTS': { asks: 'requests' },
    '/* a */ show\tsluice#b\nsession;': { asks: 'session' },
    'EXPLAIN FORMAT=SLUICE DROP TABLE t': { asks: 'verdict', from: 22 },
    "DESC format = sluice SELECT '; ' ; SELECT 2": { asks: 'verdict', from: 21 },
  })) {
    for (const [first, second] of await factsOf(text)) {
      assert.deepEqual([first!.asks, first!.effects, second], [asks, [], undefined], text);
    }
  }
});

test('what servers know is theirs', async () => {
  for (const text of [
    'SHOW SLUICE',
    'SHOW `SLUICE` SESSION',
    'SHOW SLUICE SESSION LIKE "a"',
    "EXPLAIN FORMAT='SLUICE' SELECT 1",
    'EXPLAIN FORMAT=SLUICE',
    'EXPLAIN SLUICE session',
    'EXPLAIN ANALYZE FORMAT=SLUICE SELECT 1',
    "SELECT 'SHOW SLUICE SESSION'",
    "PREPARE p FROM 'SHOW SLUICE SESSION'",
  ]) {
    for (const statements of await factsOf(text)) {
      assert.ok(
        statements.every(({ asks }) => asks === undefined),
        text,
      );
    }
  }
});

test('SET @sluice_NAME is a claim, and has no effect; what else the statement does counts', async () => {
  for (const [text, claims] of Object.entries({
    "SET @sluice_intent = 'clean up'": [{ name: 'intent', value: 'clean up' }],
    "set @`Sluice_gen_ai.agent.name` := 'a''b'": [{ name: 'gen_ai.agent.name', value: "a'b" }],
    'SET @sluice_intent = @@version': [{ name: 'intent' }],
    'SET @sluice_intent = ?': [{ name: 'intent' }],
  })) {
    for (const [facts] of await factsOf(text)) {
      assert.deepEqual(facts!.claims, claims, text);
      assert.ok(!facts!.effects.some(({ effect }) => effect === 'set-session'), text);
    }
  }
  for (const [facts] of await factsOf("SET @sluice_intent = 'x', @other = 'y'")) {
    assert.deepEqual(
      facts!.effects.map(({ object, value }) => [object?.name, value]),
      [['@other', undefined]],
    );
  }
});

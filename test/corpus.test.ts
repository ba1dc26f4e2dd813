/**
 * Our own labelled statements, judged as `npm run corpus` does: PostgreSQL's through a running Sluice on a real server,
 * MySQL's by reading them with the catalogue of a real MariaDB.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Answer, type LabelledStatement, readLabelled, wrong } from './corpus/labelled-statement.ts';
import { judgeOffline, mysqlCatalogue, postgresCatalogue } from './corpus/offline.ts';
import { sendThroughSluice } from './corpus/through-sluice.ts';
import { variationsOf } from './corpus/variations.ts';

const corpus = join(import.meta.dirname, 'corpus');
const rules = (...packs: readonly string[]) => packs.map((pack) => join(import.meta.dirname, `../rules/${pack}.yaml`));
const masks = join(corpus, 'masks.yaml');

const MYSQL_RULES = [...rules('agents-guarded-writes', 'mysql-agents', 'exfiltration', 'pii'), masks];

function wrongOnes(statements: readonly LabelledStatement[], answers: ReadonlyMap<string, Answer>): string[] {
  return statements.flatMap((one) => {
    const why = wrong(one, answers.get(one.id)!);
    return why === null ? [] : [`${one.id} ${why}: ${one.sql.slice(0, 100)}`];
  });
}

test('PostgreSQL: what must not run is refused, what is harmless is answered as on a direct connection', async () => {
  const statements = readLabelled(join(corpus, 'postgres.jsonl'));
  assert.ok(statements.length >= 150);
  const files = [...rules('agents-guarded-writes', 'exfiltration', 'pii'), masks];
  const answers = await sendThroughSluice(statements, join(corpus, 'postgres.sql'), files, 'clinic');
  assert.deepEqual(wrongOnes(statements, answers), []);
});

const POSTGRES_RULES = [...rules('agents-guarded-writes', 'exfiltration', 'pii'), masks];

test('PostgreSQL: however a statement is written, it is judged alike', async () => {
  const statements = readLabelled(join(corpus, 'shop.jsonl'));
  const all = [...statements, ...variationsOf(statements)];
  assert.ok(all.length >= 6000, `${all.length} statements`);
  const catalogue = await postgresCatalogue(join(corpus, 'shop.sql'), 'shop');
  const answers = await judgeOffline(all, catalogue, POSTGRES_RULES);
  assert.deepEqual(wrongOnes(all, answers), []);
});

test('MySQL: what must not run is refused, what is harmless is allowed', async (context) => {
  const statements = readLabelled(join(corpus, 'mysql.jsonl'));
  assert.ok(statements.length >= 1000);
  const catalogue = await mysqlCatalogue(join(corpus, 'mysql.sql'));
  if (catalogue === null) return context.skip('there is no MariaDB here');
  const answers = await judgeOffline(statements, catalogue, MYSQL_RULES);
  assert.deepEqual(wrongOnes(statements, answers), []);
});

test('MySQL: however a statement is written, it is judged alike', async (context) => {
  const statements = variationsOf(readLabelled(join(corpus, 'mysql.jsonl')));
  assert.ok(statements.length >= 5000, `${statements.length} statements`);
  const catalogue = await mysqlCatalogue(join(corpus, 'mysql.sql'));
  if (catalogue === null) return context.skip('there is no MariaDB here');
  const answers = await judgeOffline(statements, catalogue, MYSQL_RULES);
  assert.deepEqual(wrongOnes(statements, answers), []);
});

test('a wrong answer is found, whichever way it is wrong', () => {
  const one: LabelledStatement = { id: 'x', dialect: 'postgres', sql: 'x', class: 'x', expect: 'deny', why: 'x' };
  const answer: Answer = { action: 'deny', by: [], message: '', fault: null, leaked: false };
  assert.equal(wrong(one, answer), null);
  assert.equal(wrong(one, { ...answer, action: 'hold' }), null);
  assert.equal(wrong(one, { ...answer, action: 'allow' }), 'allowed, expected deny');
  assert.equal(wrong(one, { ...answer, fault: 'reached the server' }), 'reached the server');
  const mask: LabelledStatement = { ...one, expect: 'mask' };
  assert.equal(wrong(mask, answer), null);
  assert.equal(wrong(mask, { ...answer, action: 'allow' }), null);
  assert.equal(wrong(mask, { ...answer, action: 'allow', leaked: true }), 'allowed with a masked value, expected mask');
  assert.equal(wrong(mask, { ...answer, action: 'allow', leaked: null }), 'allowed, expected mask');
  const allow: LabelledStatement = { ...one, expect: 'allow' };
  assert.equal(wrong(allow, answer), 'deny, expected allow');
  assert.equal(wrong({ ...allow, accept: ['deny'] }, answer), null);
});

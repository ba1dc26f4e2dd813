/** Backtest and learn, on a journal that these tests write. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RuleSet } from '../policy/decide.ts';
import { readRuleFiles } from '../policy/load.ts';
import { backtest } from './backtest.ts';
import { judgeText, rehearsedMoment } from './judged-text.ts';
import { learn } from './learn.ts';
import { type RecordedScope, readStatements } from './recorded-statements.ts';
import { StatementReader, usualSession } from './statement-reader.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-recorded-'));
after(() => rmSync(directory, { recursive: true }));

const reader = await StatementReader.create('postgres', null);
after(() => reader.close());
const session = usualSession(null);

interface Attempt {
  readonly text: string;
  readonly subject?: string;
  readonly verdict?: string;
  readonly at?: string;
  readonly fingerprint?: string;
}

let journals = 0;

function journal(attempts: readonly Attempt[]): string {
  journals += 1;
  const path = join(directory, `journal-${journals}`);
  mkdirSync(path);
  const lines = attempts.map(
    ({ text, subject = 'bot', verdict = 'allow', at = '2026-03-02T12:00:00.000Z', fingerprint }, index) =>
      JSON.stringify({
        ...{ v: 1, seq: index + 1, at, event: 'statement.attempt', session: 's', statement: index + 1, via: 'query' },
        ...{ identity: { subject, kind: 'agent', groups: ['bots'] }, connection: 'shop', text, verdict },
        fingerprint: fingerprint ?? text.replace(/\d+/g, '?'),
      }),
  );
  writeFileSync(join(path, 'journal-20260302T120000000Z-1.jsonl'), `${lines.join('\n')}\n`);
  return path;
}

function rulesOf(text: string): RuleSet {
  const path = join(directory, `rules-${journals}-${text.length}.yaml`);
  writeFileSync(path, text);
  const { sections, version } = readRuleFiles([path]);
  return new RuleSet(sections.rules, version, sections);
}

const options = { reader, session, progress: () => undefined };
const SINCE = Date.parse('2026-03-01T00:00:00Z');

test('a backtest counts, by shape, what would have another verdict', async () => {
  const path = journal([
    { text: 'SELECT * FROM orders WHERE id = 1' },
    { text: 'SELECT * FROM orders WHERE id = 2' },
    { text: 'DELETE FROM orders WHERE id = 1' },
    { text: 'DELETE FROM orders WHERE id = 2', subject: 'other' },
    { text: 'TRUNCATE orders', verdict: 'deny' },
    { text: 'EXECUTE p', verdict: 'allow' },
    { text: 'DELETE FROM orders WHERE id = 3', at: '2026-02-01T00:00:00.000Z' },
  ]);
  const rules = rulesOf(`version: 1
rules:
  - { id: no-deletes, match: { effects: [delete] }, action: deny }
`);
  const result = await backtest({ journals: [path], since: SINCE }, rules, { ...options, defaultOf: () => 'allow' });
  assert.equal(result.statements, 6);
  assert.equal(result.byName, 1);
  assert.deepEqual(
    result.changes.map(({ count, from, to, by, example }) => [
      count,
      from,
      to,
      by,
      example.text,
      example.identity.subject,
    ]),
    [
      [2, 'allow', 'deny', ['no-deletes'], 'DELETE FROM orders WHERE id = 1', 'bot'],
      [1, 'deny', 'allow', [], 'TRUNCATE orders', 'bot'],
    ],
  );
});

test('only what one identity sent in a time counts, on all nodes that are meant', async () => {
  const before = '2026-02-01T12:00:00.000Z';
  const late = '2026-03-04T00:00:00.000Z';
  const one = journal([{ text: 'SELECT 1' }, { text: 'SELECT 2', at: before }, { text: 'SELECT 3', subject: 'dana' }]);
  const other = journal([{ text: 'SELECT 4' }, { text: 'SELECT 5', at: late }]);
  const seen = async (scope: Partial<RecordedScope>) => {
    const texts: string[] = [];
    await readStatements({ journals: [one, other], since: SINCE, ...scope }, async ({ text }) => void texts.push(text));
    return texts.map((text) => text.slice(-1)).join('');
  };
  assert.equal(await seen({}), '1345');
  assert.equal(await seen({ identity: 'bot' }), '145');
  assert.equal(await seen({ identity: 'bot', until: Date.parse(late) }), '14');
  assert.equal(await seen({ journals: [other], since: 0 }), '45');
});

test('a backtest judges at the time of the statement, under the default of its connection', async () => {
  const path = journal([
    { text: 'TRUNCATE orders', at: '2026-03-02T23:00:00.000Z' },
    { text: 'TRUNCATE orders', at: '2026-03-02T12:00:00.000Z' },
  ]);
  const rules = rulesOf(`version: 1
rules:
  - { id: at-night, match: { effects: [truncate], during: { hours: "22:00-06:00", zone: UTC } }, action: allow }
`);
  const asked: string[] = [];
  const defaultOf = (connection: string) => {
    asked.push(connection);
    return 'deny' as const;
  };
  const { changes } = await backtest({ journals: [path], since: SINCE }, rules, { ...options, defaultOf });
  assert.deepEqual(
    changes.map(({ count, to, by, example }) => [count, to, by, example.at]),
    [[1, 'deny', ['default'], Date.parse('2026-03-02T12:00:00Z')]],
  );
  assert.ok(asked.includes('shop'));
});

test('what is learned loads, allows what it was learned from, and nothing wider', async () => {
  const texts = [
    'SELECT id FROM public.orders WHERE id = 1',
    'SELECT * FROM customers',
    'UPDATE public.orders SET a = 1 WHERE id = 7',
    'INSERT INTO log VALUES (1)',
    'BEGIN',
    "SET application_name = 'x'",
    "SELECT nextval('s')",
  ];
  const path = journal([
    ...texts.map((text) => ({ text })),
    ...texts.map((text) => ({ text, subject: 'twin' })),
    { text: 'SELECT id FROM public.orders', subject: 'reader' },
    { text: 'DROP TABLE orders', verdict: 'deny' },
    { text: "COPY t TO PROGRAM 'x'" },
    { text: "DO 'BEGIN END'" },
  ]);
  const result = await learn({ journals: [path], since: SINCE }, options);
  assert.deepEqual([result.statements, result.learned], [18, 15]);
  assert.deepEqual(result.left.map(({ what }) => what).sort(), [
    'has the effect opaque',
    'has the effect program',
    'was not allowed (deny)',
  ]);
  const rules = rulesOf(result.yaml);
  const verdict = async (text: string, subject: string) => {
    const judged = await judgeText(reader, rules, text, {
      subject: { identity: { subject, kind: 'agent', groups: [] }, connection: 'shop', default: 'deny' },
      session,
      moment: rehearsedMoment(text, SINCE, {}, [], session),
    });
    return judged.action;
  };
  for (const text of texts) {
    assert.equal(await verdict(text, 'bot'), 'allow', text);
    assert.equal(await verdict(text, 'twin'), 'allow', text);
  }
  assert.equal(await verdict('SELECT id FROM public.orders', 'reader'), 'allow');
  for (const text of [
    'UPDATE public.orders SET a = 1',
    'DELETE FROM public.orders WHERE id = 7',
    'SELECT * FROM other',
  ]) {
    assert.equal(await verdict(text, 'bot'), 'deny', text);
  }
  assert.equal(await verdict('UPDATE public.orders SET a = 1 WHERE id = 7', 'reader'), 'deny');
  assert.match(result.yaml, /subjects: \[ bot, twin \]\n/);
  assert.match(result.yaml, /# bot, twin on shop: 14 statements of \d+ shapes, last 2026-03-02T12:00:00\.000Z/);
});

test('what is wrong with the journal is told', async () => {
  const path = journal([{ text: 'SELECT 1' }]);
  writeFileSync(join(path, 'journal-20260303T120000000Z-2.jsonl'), 'not json\n');
  const { problems } = await learn({ journals: [path], since: SINCE }, options);
  assert.deepEqual(
    problems.map(({ line, message }) => [line, message]),
    [[1, 'is not JSON']],
  );
});

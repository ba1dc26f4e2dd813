import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asksAboutTheLast, diagnosticsQuestion } from './diagnostics.ts';

test('SHOW WARNINGS and SHOW ERRORS are known in all their forms, and nothing else is', () => {
  const all = { counts: false, errorsOnly: false, offset: 0, limit: Number.POSITIVE_INFINITY };
  for (const [text, expected] of [
    ['SHOW WARNINGS', all],
    [' show  warnings ; ', all],
    ['/* x */ SHOW ERRORS -- y', { ...all, errorsOnly: true }],
    ['SHOW WARNINGS LIMIT 2', { ...all, limit: 2 }],
    ['SHOW WARNINGS LIMIT 1, 2', { ...all, offset: 1, limit: 2 }],
    ['SHOW WARNINGS LIMIT 2 OFFSET 1', { ...all, offset: 1, limit: 2 }],
    ['SHOW COUNT(*) WARNINGS', { ...all, counts: true }],
    ['SHOW COUNT( * ) ERRORS', { ...all, counts: true, errorsOnly: true }],
    ['SHOW TABLES', null],
    ['SHOW WARNINGS; DROP TABLE t', null],
    ['SELECT 1', null],
  ] as const) {
    assert.deepEqual(diagnosticsQuestion(text), expected, text);
  }
});

test('a question about the statement before is one whole text, in which nothing can be read in two ways', () => {
  for (const text of ['SELECT ROW_COUNT()', 'select found_rows() as n;', 'SELECT @@warning_count', ' SHOW WARNINGS ']) {
    assert.ok(asksAboutTheLast(text), text);
  }
  for (const text of [
    'SELECT ROW_COUNT(); DROP TABLE t',
    `SELECT ROW_COUNT()${' '.repeat(100)}; DROP TABLE t`,
    'SELECT "ROW_COUNT()"',
    'SELECT ROW_COUNT() /*! , SLEEP(1) */',
    'SELECT LAST_INSERT_ID(5)',
    'SELECT 1',
  ]) {
    assert.ok(!asksAboutTheLast(text), text);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnosticsQuestion } from './diagnostics.ts';

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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimsInComment } from './claims.ts';

test('a sqlcommenter comment at the end of a statement is read, URL-decoded', () => {
  const claims = claimsInComment("SELECT 1 /*action='read%20one',traceparent='00-aa-bb-01'*/ ;");
  assert.deepEqual(
    [...claims!],
    [
      ['action', 'read one'],
      ['traceparent', '00-aa-bb-01'],
    ],
  );
});

test('other comments, comments elsewhere and none at all claim nothing', () => {
  for (const text of [
    'SELECT 1',
    'SELECT 1 /* a remark */',
    "/*a='b'*/ SELECT 1",
    "SELECT 1 /*a='%'*/",
    "SELECT '/*a=1*/",
    '*/',
  ]) {
    assert.equal(claimsInComment(text), null, text);
  }
});

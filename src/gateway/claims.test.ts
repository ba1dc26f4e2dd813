import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimsInComment, claimsTogether, SessionClaims, withoutClaims } from './claims.ts';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

function claimed(text: string): Record<string, string> | null {
  const claims = claimsInComment(text);
  return claims === null ? null : Object.fromEntries(claims);
}

test('a sqlcommenter comment at the end of a statement is read, URL-decoded', () => {
  assert.deepEqual(claimed(`SELECT 1 /*action='read%20one',traceparent='${TRACEPARENT}'*/ ;`), {
    action: 'read one',
    traceparent: TRACEPARENT,
  });
  assert.deepEqual(claimed("SELECT 1 /*gen_ai.agent.name='it\\'s %27me%27', tracestate='congo%3Dt61,rojo%3D0'*/"), {
    'gen_ai.agent.name': "it's 'me'",
    tracestate: 'congo=t61,rojo=0',
  });
});

test('numbers without quotes, as OpenTelemetry for Python writes them, are values; where nothing has quotes it is a remark', () => {
  assert.deepEqual(
    claimed(`SELECT 1 /*db_driver='psycopg2%3A2.9.13',libpq_version=170011,traceparent='${TRACEPARENT}'*/`),
    {
      db_driver: 'psycopg2:2.9.13',
      libpq_version: '170011',
      traceparent: TRACEPARENT,
    },
  );
  assert.equal(claimed('SELECT 1 /*a=1,b=2*/'), null);
});

test('comments before and behind a statement are read, and the last one counts', () => {
  assert.deepEqual(claimed("/*a='1',b='1'*/ /*c='1'*/ SELECT 1 /*b='2'*/ /*c='3'*/;"), { a: '1', b: '2', c: '3' });
  assert.deepEqual(claimed("/*a='1'*/ SELECT /*b='2'*/ 1 /* a remark */"), { a: '1' });
  assert.deepEqual(claimed("/*a='1'*/"), { a: '1' });
});

test('libraries for Python write %% for %, and drivers without parameters leave it so', () => {
  assert.deepEqual(claimed("SELECT 1 /*route='%%2Fpolls%%2F1'*/"), { route: '/polls/1' });
  assert.deepEqual(claimed("SELECT 1 /*route='100%%'*/"), { route: '100%%' });
});

test('other comments, comments elsewhere and none at all claim nothing', () => {
  for (const text of [
    'SELECT 1',
    'SELECT 1 /* a remark */',
    "SELECT /*a='b'*/ 1",
    "SELECT 1 /*a='b' AND c='d'*/",
    "SELECT 1 /*a='b',\nc='d'*/",
    "SELECT 1 /*!a='b'*/",
    "SELECT 1 /*M!a='b'*/",
    "SELECT 1 /*+a='b'*/",
    "/*+ set(a='b') */ SELECT 1",
    'SELECT 1 /**/',
    "SELECT '/*a=1*/",
    "SELECT '/*a=''1''*/'",
    '*/',
    '/*/',
    '',
  ]) {
    assert.equal(claimsInComment(text), null, text);
  }
});

test('what a hostile client claims is bounded', () => {
  const many = Array.from({ length: 500 }, (_, n) => `k${n}='v'`).join(',');
  assert.equal(claimsInComment(`SELECT 1 /*${many}*/`)?.size, 50);
  const long = claimed(`SELECT 1 /*a='${'x'.repeat(5000)}',${'n'.repeat(101)}='v',b='1'*/`)!;
  assert.deepEqual(Object.keys(long), ['a', 'b']);
  assert.equal(long.a!.length, 1003);
  assert.equal(claimsInComment(`SELECT 1 /*a='${'x'.repeat(20_000)}'*/`), null);
  assert.deepEqual(
    claimed("SELECT 1 /*__proto__='x',constructor='y'*/"),
    JSON.parse('{"__proto__":"x","constructor":"y"}'),
  );
  const started = performance.now();
  claimsInComment(`SELECT 1 ${"/*a='b'*/".repeat(20_000)}`);
  claimsInComment(`${' '.repeat(500_000)}/*${'a'.repeat(500_000)}*/`);
  claimsInComment(`SELECT 1 /*${"a='".repeat(5_000)}*/`);
  assert.ok(performance.now() - started < 5_000);
});

test('without its claims a text says the same; what servers execute or take as a hint stays', () => {
  assert.equal(withoutClaims(` /*a='1'*/ DELETE FROM t /*b='2'*/ /*c='3'*/ ; `), 'DELETE FROM t');
  for (const text of [
    "DELETE FROM t WHERE a = 1 AND /*!id='1'*/",
    "/*+ leading='a' */ SELECT 1",
    'DELETE FROM t -- /*',
    "SELECT * FROM t WHERE -- /*\na='b'*/",
    "/*a='/*'*/ SELECT 1",
  ]) {
    assert.equal(withoutClaims(text), text);
  }
});

test('of several sources the later one is believed to be said', () => {
  const session = new Map([
    ['intent', 'cleaning'],
    ['agent', 'a'],
  ]);
  const statement = new Map([['intent', 'reading']]);
  assert.equal(claimsTogether(null, statement, null), statement);
  assert.equal(claimsTogether(null, new Map(), null), null);
  assert.deepEqual(
    [...claimsTogether(session, statement, null)!],
    [
      ['intent', 'reading'],
      ['agent', 'a'],
    ],
  );
});

test("a session's context goes with its statements, its driver's name does not", () => {
  const claims = new SessionClaims([
    ['_client_name', 'libmariadb'],
    ['application_name', 'psql'],
  ]);
  assert.equal(claims.ofStatements, null);
  assert.deepEqual([...claims.all.keys()], ['_client_name', 'application_name']);
  claims.set('intent', 'cleaning up');
  assert.deepEqual([...claims.ofStatements!], [['intent', 'cleaning up']]);
  assert.equal(claims.all.get('intent'), 'cleaning up');
  claims.set('intent', null);
  assert.equal(claims.ofStatements, null);
});

test('an application name with a traceparent in it claims that', () => {
  const claims = new SessionClaims([['application_name', `etl ${TRACEPARENT}`]]);
  assert.deepEqual([...claims.ofStatements!], [['traceparent', TRACEPARENT]]);
  claims.set('traceparent', 'another');
  assert.deepEqual([...claims.ofStatements!], [['traceparent', 'another']]);
  assert.equal(new SessionClaims([['application_name', `x${TRACEPARENT}`]]).ofStatements, null);
});

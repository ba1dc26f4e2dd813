import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostgresAnalyzer } from './analyzer.ts';
import { withoutCommentsInStrings } from './continued-strings.ts';

const analyzer = await PostgresAnalyzer.create();

test('a comment between two parts of a string becomes spaces, and nothing moves', () => {
  assert.equal(withoutCommentsInStrings("SELECT 'a' -- b\n 'c', 'd'"), "SELECT 'a'     \n 'c', 'd'");
  assert.equal(withoutCommentsInStrings("SELECT 'a'\n-- '; x\n--\n'c'"), "SELECT 'a'\n       \n  \n'c'");
  assert.equal(withoutCommentsInStrings("/* ' /* */ ' */ 'a' -- b\n 'c'"), "/* ' /* */ ' */ 'a'     \n 'c'");
  assert.equal(withoutCommentsInStrings("SELECT 'a''b' -- b\r'c' -- d"), "SELECT 'a''b'     \r'c' -- d");
});

test('comments elsewhere stay, and with them the text', () => {
  for (const text of [
    "SELECT 'a' -- b",
    "SELECT 'a', -- b\n 'c'",
    "-- it's\nSELECT 'a'",
    "SELECT 'a -- b\n c'",
    "SELECT 'a' -- b 'c'",
    "SELECT 'a",
  ]) {
    assert.equal(withoutCommentsInStrings(text), null, text);
  }
});

test('texts with anything else that moves the borders of strings are left alone', () => {
  const continued = "SELECT 'a' -- b\n 'c'";
  for (const more of ['"x\' -- \n\'y"', "$$ ' $$", "E'x'", "U&'x'", "'\\'", "'é'", '\u00a0']) {
    assert.equal(withoutCommentsInStrings(`${continued}, ${more}`), null, more);
  }
});

test('what is read in its place has the facts of the statement the server runs', () => {
  const facts = (text: string) => {
    const read = analyzer.analyze(text, { standardConformingStrings: true });
    assert.ok(!(read instanceof Promise));
    return read.statements.map(({ kind, end }) => [kind, end]);
  };
  assert.deepEqual(facts("SELECT 'x' -- '\n'; DELETE FROM customers; --'"), [['SELECT', 45]]);
  assert.deepEqual(facts("SELECT 'x' -- '\n''; DELETE FROM customers; --'"), [
    ['SELECT', 18],
    ['DELETE', 41],
  ]);
  assert.deepEqual(facts("SELECT 'x' -- '\n, FROM"), [['OPAQUE', 22]]);
});

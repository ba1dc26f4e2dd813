import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutLiterals } from '../literals.ts';
import { literalsInText } from './literals-in-text.ts';
import { lexingStateOf, type MysqlModes } from './server.ts';

function read(text: string, modes: MysqlModes | null = lexingStateOf('', null)): [string, readonly string[]] {
  const literals = literalsInText(text, modes);
  return [withoutLiterals(text, literals), literals.map(({ value }) => value)];
}

test('literals are found wherever the server finds them, and nothing else is', () => {
  for (const [text, hidden, values] of [
    ['SELECT \'a\', "b" FROM t1 WHERE x2 = 5', 'SELECT ?, ? FROM t1 WHERE x2 = ?', ['a', 'b', '5']],
    ["SELECT 'it''s', 'it\\'s', 'a\\nb'", 'SELECT ?, ?, ?', ["it's", "it's", 'a\nb']],
    ["SELECT _utf8mb4'x', N'y', x'6162', 0x6364, b'1'", 'SELECT ?, ?, ?, ?, ?', ['x', 'y', 'ab', 'cd', '1']],
    [
      "SELECT 1.5e3, .5, -7 /* 'a' */ -- 'b'\n# \"c\"\n, `d'`",
      "SELECT ?, ?, -? /* 'a' */ -- 'b'\n# \"c\"\n, `d'`",
      ['1.5e3', '.5', '7'],
    ],
    ["SELECT /*!50000 'in' */ 1 /*M! 'too' */", 'SELECT /*!50000 ? */ ? /*M! ? */', ['in', '1', 'too']],
    ["SELECT 'never ends", 'SELECT ?', ['never ends']],
  ] as const) {
    assert.deepEqual(read(text), [hidden, values], text);
  }
});

test('how the session reads decides about quotes and backslashes', () => {
  const ansi = lexingStateOf('ANSI_QUOTES', null);
  assert.deepEqual(read('SELECT "a", \'b\'', ansi), ['SELECT "a", ?', ['b']]);
  const plain = lexingStateOf('NO_BACKSLASH_ESCAPES', null);
  assert.deepEqual(read("SELECT 'a\\', 'b'", plain), ['SELECT ?, ?', ['a\\', 'b']]);
  assert.deepEqual(read('SELECT "a"', null), ['SELECT ?', ['a']]);
});

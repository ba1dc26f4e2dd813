import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, table, trimmed } from './terminal.ts';

test('control, bidirectional and invisible characters from clients are shown, not sent to the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\u0007\u009b1m\u202ec\u200bd'), 'a\\u{1b}[2Jb\\u{7}\\u{9b}1m\\u{202e}c\\u{200b}d');
  assert.equal(printable('  SELECT\n\t1\r\n'), 'SELECT 1');
  assert.equal(printable('größe 表 😀'), 'größe 表 😀');
});

test('long text is cut to the width with an ellipsis', () => {
  assert.equal(trimmed('abcdef', 6), 'abcdef');
  assert.equal(trimmed('abcdefg', 6), 'abcde…');
  assert.equal(trimmed('x'.repeat(10_000_000), 4), 'xxx…');
});

test('a table is aligned by its widest cells', () => {
  assert.equal(
    table(
      ['a', 'bcd'],
      [
        ['long', 'x'],
        ['y', 'zz'],
      ],
    ),
    'a     bcd\nlong  x\ny     zz',
  );
});

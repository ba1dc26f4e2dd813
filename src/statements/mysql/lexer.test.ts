import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lex } from './lexer.ts';
import { lexingStateOf, readServer } from './server.ts';

const MARIADB = readServer('mariadb', '10.11.6-MariaDB');
const MYSQL8 = readServer('mysql', '8.0.36');
const MYSQL9 = readServer('mysql', '9.1.0');

/** The tokens in short: type's first letter and value; the message in angle brackets if the text is rejected. */
function tokens(text: string, server = MARIADB, mode = ''): string[] {
  const lexed = lex(text, server, lexingStateOf(mode, null));
  if (lexed.outcome === 'rejected') return [`<${lexed.message}>`];
  return lexed.tokens.slice(0, -1).map(({ type, value }) => `${type === 'operator' ? '' : `${type[0]}:`}${value}`);
}

test('strings end where the sql_mode ends them', () => {
  assert.deepEqual(tokens("'it''s' 'a\\'b' '\\\\'"), ["s:it's", "s:a'b", 's:\\']);
  assert.deepEqual(tokens("'\\n\\0\\%\\q'"), ['s:\n\0\\%q']);
  assert.deepEqual(tokens("'a\\' 'b'", MARIADB, 'NO_BACKSLASH_ESCAPES'), ['s:a\\', 's:b']);
  assert.deepEqual(tokens('"a" `b``c`'), ['s:a', 'n:b`c']);
  assert.deepEqual(tokens('"a""b"', MARIADB, 'ANSI_QUOTES'), ['n:a"b']);
  assert.deepEqual(tokens('"a\\"', MARIADB, 'ANSI_QUOTES'), ['n:a\\']);
  assert.deepEqual(tokens("'a\\'"), ['<string without end>']);
  assert.deepEqual(tokens("_utf8mb4'x' _foo'x' N'x' n'y'"), ['i:utf8mb4', 's:x', 'w:_foo', 's:x', 's:x', 's:y']);
  assert.deepEqual(tokens("X'4142' b'01' 0x41 0b01 x'4'"), ['<bits that are none>']);
  assert.deepEqual(tokens("X'4142' b'01' 0x41 0b01"), ["b:X'4142'", "b:b'01'", 'b:0x41', 'b:0b01']);
});

test('comments are what the server takes for comments', () => {
  assert.deepEqual(tokens('1-- x\n2'), ['n:1', 'n:2']);
  assert.deepEqual(tokens('1--2'), ['n:1', '-', '-', 'n:2']);
  assert.deepEqual(tokens('1--\x01 2\n3--'), ['n:1', 'n:3']);
  assert.deepEqual(tokens('1 # 2\n3'), ['n:1', 'n:3']);
  assert.deepEqual(tokens('1/* /* */2'), ['n:1', 'n:2']);
  assert.deepEqual(tokens('1/* 2'), ['<comment without end>']);
  assert.deepEqual(tokens('1 -- 2\r3'), ['n:1']);
});

test('executable comments are read by the version of the server', () => {
  assert.deepEqual(tokens('/*! 1 */ 2'), ['n:1', 'n:2']);
  assert.deepEqual(tokens('/*!50001 1 */ 2'), ['n:1', 'n:2']);
  assert.deepEqual(tokens('/*!500011*/', MYSQL8), ['n:1']);
  assert.deepEqual(tokens('/*!99999 1 */ 2', MYSQL8), ['n:2']);
  // MariaDB: MySQL's versions from 5.7 on are skipped, unless the comment is MariaDB's own.
  assert.deepEqual(tokens('/*!50700 1 */ /*!99999 2 */ /*!100100 3 */ /*!101200 4 */'), ['n:3']);
  assert.deepEqual(tokens('/*M! 1 */ /*M!50700 2 */ /*M!101107 3 */'), ['n:1', 'n:2']);
  assert.deepEqual(tokens('/*M! 1 */ 2', MYSQL8), ['n:2']);
  assert.deepEqual(tokens('/*!80000 1 */ /*!80037 2 */', MYSQL8), ['n:1']);
  assert.deepEqual(tokens('/*!080000 1 */', MYSQL8), ['<version of six digits in a comment>']);
  assert.deepEqual(tokens('/*!080000 1 */ /*!090200 2 */', MYSQL9), ['n:1']);
  assert.deepEqual(tokens('/*! 1 /* c */ 2 */ 3'), ['n:1', 'n:2', 'n:3']);
  assert.deepEqual(tokens('/*!999999 1 /* c */ 2 */ 3'), ['n:3']);
  assert.deepEqual(tokens('/*! 1 /*!999999 2 */ 3 */ 4'), ['n:1', 'n:3', 'n:4']);
  assert.deepEqual(tokens("/*! 1 '*/' */"), ['n:1', 's:*/']);
  assert.deepEqual(tokens('/*! 1'), ['<comment without end>']);
  assert.deepEqual(tokens('/*! 1; 2 */'), ['<; in an executable comment>']);
  assert.deepEqual(tokens('/*!99997 1 */'), ['<comment of version 99997>']);
  assert.deepEqual(tokens('2 */ 3'), ['n:2', '*', '/', 'n:3']);
});

test('numbers and names are told apart as the server does', () => {
  assert.deepEqual(tokens('1 1. .5 1.5e3 1e5 1e+5 1e5abc'), [
    'n:1',
    'n:1.',
    'n:.5',
    'n:1.5e3',
    'n:1e5',
    'n:1e+5',
    'n:1e5',
    'w:abc',
  ]);
  assert.deepEqual(tokens('1e+ 5a 0x 0X41 0b2'), ['n:1e', '+', 'n:5a', 'n:0x', 'n:0X41', 'n:0b2']);
  assert.deepEqual(tokens('1.e'), ['<number that is none>']);
  assert.deepEqual(tokens('t.select t . select `t`.5b t.5b'), [
    'n:t',
    '.',
    'n:select',
    'w:t',
    '.',
    'w:select',
    'n:t',
    'n:.5',
    'w:b',
    'n:t',
    '.',
    'n:5b',
  ]);
  assert.deepEqual(tokens('.t select.x'), ['.', 'n:t', 'n:select', '.', 'n:x']);
  assert.deepEqual(tokens('é ſelect \\N'), ['n:é', 'n:ſelect', 'w:NULL']);
  assert.deepEqual(tokens('a\u00e9b'), ['n:a\u00e9b']);
  assert.deepEqual(tokens('$a'), ['w:$a']);
  assert.deepEqual(tokens('$a', MYSQL9), ['<name that starts with $>']);
});

test('variables and operators', () => {
  assert.deepEqual(tokens("@a @'b c' @`d` @@x @@global.y u@h.i"), [
    'v:a',
    'v:b c',
    'v:d',
    '@@',
    'w:x',
    '@@',
    'n:global',
    '.',
    'n:y',
    'w:u',
    'v:h.i',
  ]);
  assert.deepEqual(tokens('@@ x'), ['<@@ without a name>']);
  assert.deepEqual(tokens('a<=>b<>c!=d:=e||f&&g'), [
    'w:a',
    '<=>',
    'w:b',
    '<>',
    'w:c',
    '!=',
    'w:d',
    ':=',
    'w:e',
    '||',
    'w:f',
    '&&',
    'w:g',
  ]);
  assert.deepEqual(tokens('a=!b'), ['<unknown operator =!>']);
  assert.deepEqual(tokens('a->b', MYSQL8), ['w:a', '->', 'w:b']);
  assert.deepEqual(tokens('a->b'), ['w:a', '-', '>', 'w:b']);
  assert.deepEqual(tokens('? ?a'), ['<? before a name>']);
});

test('what no server reads is rejected', () => {
  assert.deepEqual(tokens('a\0b'), ['<NUL character>']);
  assert.deepEqual(tokens('a\x01b'), ['<unexpected character U+0001>']);
  assert.deepEqual(tokens('a[1]'), ['<unexpected character U+005b>']);
  assert.deepEqual(tokens('\\x'), ['<unexpected character U+005c>']);
  assert.deepEqual(tokens('('.repeat(101)), ['<too deep>']);
  assert.deepEqual(tokens('a '.repeat(270_000)), ['<too many tokens>']);
});

test('every token knows where it stands', () => {
  const text = "SELECT /*! 'a\\'b' */ , `c`.d -- e\n, @'f'";
  const lexed = lex(text, MARIADB, lexingStateOf('', null));
  assert.equal(lexed.outcome, 'tokens');
  const pieces = lexed.tokens.map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(pieces, ['SELECT', "'a\\'b'", ',', '`c`', '.', 'd', ',', "@'f'", '']);
});

test('versions are read as servers report them, and anything else is an error', () => {
  assert.equal(readServer('mariadb', '5.5.5-10.11.6-MariaDB-0+deb12u1').version, 101_106);
  assert.equal(readServer('mysql', '8.0.36').version, 80_036);
  assert.equal(readServer('mysql', '9.7.0-debug').version, 90_700);
  for (const version of ['', 'x', '8.0', '8.0.x', '8.0.360000'])
    assert.throws(() => readServer('mysql', version), RangeError, version);
});

test('a name that is not quoted has no characters in it that nobody sees', () => {
  assert.deepEqual(tokens('a\u3000b'), ['<name with invisible characters>']);
  assert.deepEqual(tokens('a.b\u200b'), ['<name with invisible characters>']);
  assert.deepEqual(tokens('`a\u3000b` é'), ['n:a\u3000b', 'n:é']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions } from './startup.ts';

test('the three ways to write a setting are read', () => {
  assert.deepEqual(parseOptions('-c a=1 -cb=2 --c=3'), [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ]);
});

test('an empty option string holds no setting', () => {
  assert.deepEqual(parseOptions(''), []);
  assert.deepEqual(parseOptions(' \t\n'), []);
});

test('a value keeps its equals signs, and may be empty', () => {
  assert.deepEqual(parseOptions('-c search_path=a=b --x='), [
    ['search_path', 'a=b'],
    ['x', ''],
  ]);
});

test('a backslash makes the next character part of the word', () => {
  assert.deepEqual(parseOptions('-c search_path=a,\\ b -c x=\\\\'), [
    ['search_path', 'a, b'],
    ['x', '\\'],
  ]);
});

test('dashes in a name are underscores', () => {
  assert.deepEqual(parseOptions('--statement-timeout=5 -c lock-timeout=6'), [
    ['statement_timeout', '5'],
    ['lock_timeout', '6'],
  ]);
});

test('the word behind -c is its setting, whatever it looks like', () => {
  assert.deepEqual(parseOptions('-c --a=1'), [['__a', '1']]);
});

test('words end at the white space that ends them for the server, and at no other', () => {
  assert.deepEqual(parseOptions('-c\ta=1\v-c\fb=2\r\n-c c=3'), [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ]);
  // For the server this is application_name and search_path.
  assert.deepEqual(parseOptions('-c application_name=x\u00a0-c -csearch_path=evil'), [
    ['application_name', 'x\u00a0-c'],
    ['search_path', 'evil'],
  ]);
  for (const space of ['\u00a0', '\ufeff', '\u2003', '\u2028']) {
    assert.deepEqual(parseOptions(`-c a=1${space}2`), [['a', `1${space}2`]]);
  }
});

for (const options of [
  '-d 5',
  '-ec a=1',
  '-f i',
  '--',
  '-',
  'a=1',
  '-c',
  '-c a',
  '--a',
  '-c =1',
  '--=1',
  '-c a=1 extra',
  '-c a=1 \\',
  '-W 10',
]) {
  test(`options ${JSON.stringify(options)} are not read`, () => {
    assert.equal(parseOptions(options), null);
  });
}

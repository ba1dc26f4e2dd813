import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { preparePassword } from './saslprep.ts';

const prepare = (password: string) => preparePassword(password).toString('utf8');

test('the examples of RFC 4013 section 3', () => {
  assert.equal(prepare('I\u00adX'), 'IX');
  assert.equal(prepare('user'), 'user');
  assert.equal(prepare('USER'), 'USER');
  assert.equal(prepare('\u00aa'), 'a');
  assert.equal(prepare('\u2168'), 'IX');
});

test('ASCII is taken as it is, even what the RFC prohibits', () => {
  for (const password of ['', ' ', 'a\u0007b', '\u007f']) assert.equal(prepare(password), password);
});

test('spaces of other scripts become a space', () => {
  assert.equal(prepare('a\u00a0b\u2003c\u200bd\u3000'), 'a b c d ');
});

test('what is mapped to nothing is gone, unless nothing would be left', () => {
  assert.equal(prepare('a\u200db\ufe0f\ufeff'), 'ab');
  assert.equal(prepare('\u00ad'), '\u00ad');
});

test('a password with a prohibited or unassigned character is taken as it is, without normalisation', () => {
  // U+FB01 alone would become "fi".
  assert.equal(prepare('\ufb01'), 'fi');
  for (const refused of ['\u0080', '\u06dd', '\ue000', '\u{e0001}', '\u{10ffff}', '\u0221', '\u{1f600}', '\u2028']) {
    assert.equal(prepare(`\ufb01${refused}`), `\ufb01${refused}`, refused.codePointAt(0)?.toString(16));
  }
});

test('text in both directions is taken as it is', () => {
  assert.equal(prepare('\u0627\u00b2\u0628'), '\u06272\u0628');
  assert.equal(prepare('\u0627\u00b2'), '\u0627\u00b2');
  assert.equal(prepare('\u00b2\u0627'), '\u00b2\u0627');
  assert.equal(prepare('\u0627a\u00b2\u0628'), '\u0627a\u00b2\u0628');
});

test('preparing never fails, and what was prepared stays the same when prepared again', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'aé\ufb01\u00ad\u00a0\u0627\u2168\u{1f600}\u0301') }),
      (password) => {
        const once = prepare(password);
        assert.equal(prepare(once), once);
      },
    ),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (password) => assert.ok(Buffer.isBuffer(preparePassword(password)))),
  );
});

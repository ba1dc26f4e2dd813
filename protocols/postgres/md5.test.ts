import assert from 'node:assert/strict';
import { test } from 'node:test';
import { md5Password } from './md5.ts';

test('the answer is md5 of the stored hash and the salt, as the formula of the documentation has it', () => {
  // Computed with coreutils: printf %s "$(printf %s secretalice | md5sum | cut -c-32)" plus the salt, through md5sum.
  assert.equal(
    md5Password('alice', 'secret', Buffer.from([0x01, 0x02, 0xfe, 0xff])),
    'md5e9b7072d7c7ccc7b5f9a7b7d60c9a2f9',
  );
});

test('the salt is taken as bytes and changes the answer', () => {
  const answers = [0, 1, 0x80, 0xff].map((byte) => md5Password('alice', 'secret', Buffer.alloc(4, byte)));
  assert.equal(new Set(answers).size, 4);
  for (const answer of answers) assert.match(answer, /^md5[0-9a-f]{32}$/);
});

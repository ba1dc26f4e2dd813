import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCryptDigest, sha256Crypt } from './sha256-crypt.ts';

test('gives the digests of the specification', async () => {
  const vectors: [string, string, number, string][] = [
    ['Hello world!', 'saltstring', 5000, '5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5'],
    ['Hello world!', 'saltstringsaltst', 10_000, '3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA'],
    ['This is just a test', 'toolongsaltstrin', 5000, 'Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5'],
    ['the minimum number is still observed', 'roundstoolow', 1000, 'yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC'],
    [
      'a very much longer text to encrypt.  This one even stretches over morethan one line.',
      'anotherlongsalts',
      1400,
      'Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1',
    ],
  ];
  for (const [password, salt, rounds, expected] of vectors) {
    const digest = await sha256Crypt(Buffer.from(password), Buffer.from(salt), rounds);
    assert.equal(encodeCryptDigest(digest), expected);
  }
});

test('lets the event loop turn while it computes', async () => {
  let turns = 0;
  const count = () => {
    turns += 1;
    immediate = setImmediate(count);
  };
  let immediate = setImmediate(count);
  await sha256Crypt(Buffer.from('password'), Buffer.alloc(20, 0x41), 5000);
  clearImmediate(immediate);
  assert.ok(turns >= 5, `${turns} turns`);
});

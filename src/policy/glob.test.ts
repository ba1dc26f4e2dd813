import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileGlob } from './glob.ts';

test('a glob matches what the regular expression with .* for each * matches', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 8 });
  fc.assert(
    fc.property(text, text, (pattern, name) => {
      const expected = new RegExp(`^${pattern.replace(/[.]/g, '\\.').replace(/\*/g, '.*')}$`, 's').test(name);
      assert.equal(compileGlob(pattern).matches(name), expected);
    }),
    { numRuns: 5000 },
  );
});

test('many stars over a long name take no time', () => {
  const glob = compileGlob('*a'.repeat(50).concat('*b'));
  const start = process.threadCpuUsage();
  assert.equal(glob.matches('a'.repeat(100_000)), false);
  assert.ok((process.threadCpuUsage(start).user ?? 0) < 50_000);
});

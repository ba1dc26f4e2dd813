import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffsByTest, resultLine, scheduledTests } from './pg-regress-report.ts';

test('a schedule names its tests in order, over lines and groups', () => {
  const schedule = '# ----------\ntest: test_setup\n\n# a group\ntest: boolean  char\tname\n#test: not_this\n';
  assert.deepEqual(scheduledTests(schedule), ['test_setup', 'boolean', 'char', 'name']);
});

test('a result line is read alone, in a group, and with the reason of a failure behind it', () => {
  assert.deepEqual(resultLine('test test_setup                   ... ok          259 ms'), {
    test: 'test_setup',
    passed: true,
  });
  assert.deepEqual(resultLine('     triggers                     ... FAILED     1916 ms'), {
    test: 'triggers',
    passed: false,
  });
  assert.deepEqual(
    resultLine('     copy                         ... FAILED (test process exited with exit code 2)       87 ms'),
    {
      test: 'copy',
      passed: false,
    },
  );
  assert.deepEqual(resultLine('     random                       ... failed (ignored)       87 ms'), {
    test: 'random',
    passed: false,
  });
});

test('other lines state no result', () => {
  for (const line of [
    'parallel group (20 tests):  name txid char',
    '============== creating database "regression"         ==============',
    ' 1 of 217 tests failed. ',
    'CREATE DATABASE',
    '',
  ]) {
    assert.equal(resultLine(line), null, line);
  }
});

test('each test gets its own part of regression.diffs', () => {
  const diffs = [
    'diff -U3 /in/expected/triggers.out /out/results/triggers.out',
    '--- /in/expected/triggers.out',
    '+++ /out/results/triggers.out',
    '@@ -1 +1 @@',
    '-a',
    '+b',
    'diff -U3 /in/expected/float8_1.out /out/results/float8.out',
    '@@ -1 +1 @@',
    '-diff -U3 in a test',
    '+c',
    '',
  ].join('\n');
  const byTest = diffsByTest(diffs);
  assert.deepEqual([...byTest.keys()], ['triggers', 'float8']);
  assert.match(byTest.get('triggers')!, /\+b\n$/);
  assert.match(byTest.get('float8')!, /-diff -U3 in a test\n\+c\n$/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, proves, type SuiteResult, table } from './comparison.ts';

const pass = (name: string) => ({ test: name, passed: true, detail: '' });
const fail = (name: string, detail: string) => ({ test: name, passed: false, detail });

function result(direct: SuiteResult['runs'][number]['outcomes'], through: typeof direct): SuiteResult {
  return {
    suite: 'pg_regress',
    runs: [
      { target: 'direct', outcomes: direct },
      { target: 'sluice', outcomes: through },
    ],
  };
}

test('equal lists in which every test passes are a proof', () => {
  const equal = result([pass('boolean'), pass('char')], [pass('char'), pass('boolean')]);
  assert.deepEqual(differences(equal), []);
  assert.equal(proves(equal), true);
});

test('a test that passes only directly is a difference with the diff seen through Sluice', () => {
  const broken = result([pass('boolean'), pass('copy')], [pass('boolean'), fail('copy', '-a\n+b')]);
  assert.deepEqual(differences(broken), [{ test: 'copy', passedDirect: true, passedThrough: false, detail: '-a\n+b' }]);
  assert.equal(proves(broken), false);
});

test('a test that passes only through Sluice is a difference too', () => {
  const odd = result([fail('copy', '-a\n+b')], [pass('copy')]);
  assert.deepEqual(differences(odd), [{ test: 'copy', passedDirect: false, passedThrough: true, detail: '-a\n+b' }]);
  assert.equal(proves(odd), false);
});

test('a test missing from one side is a difference', () => {
  assert.deepEqual(
    differences(result([pass('copy')], [])).map(({ test }) => test),
    ['copy'],
  );
});

test('a test that fails on both sides is no difference and no proof', () => {
  const both = result([fail('copy', 'x')], [fail('copy', 'x')]);
  assert.deepEqual(differences(both), []);
  assert.equal(proves(both), false);
});

test('a run without tests proves nothing', () => {
  assert.equal(proves(result([], [])), false);
});

test('the table gives passed and total of each side and names the differences', () => {
  const rows = table([result([pass('boolean'), pass('copy')], [pass('boolean'), fail('copy', 'x')])]).split('\n');
  assert.deepEqual(rows[1]?.split(/ *\| */), ['pg_regress', '2/2', '1/2', 'copy']);
});

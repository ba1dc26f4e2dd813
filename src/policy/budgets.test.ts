import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Budgets, Meter, type OverLimit } from './budgets.ts';
import { compileLimits, type Limit } from './limit.ts';
import type { RuleSource } from './rule-schema.ts';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-23T12:00:00Z');
const ALICE = { subject: 'alice', session: 's1' };

function limits(limit: NonNullable<RuleSource['limit']>, rest: Partial<RuleSource> = {}, shadow = false): Limit[] {
  return compileLimits({ id: 'r', match: {}, action: 'deny', ...rest, limit }, shadow);
}

function meter(begun: ReturnType<Budgets['begin']>): Meter {
  assert.ok(begun instanceof Meter);
  return begun;
}

function refused(begun: ReturnType<Budgets['begin']>): OverLimit {
  assert.ok(begun !== null && !(begun instanceof Meter));
  return begun;
}

test('without limits there is nothing to measure', () => {
  assert.equal(new Budgets().begin([], ALICE, NOW), null);
});

test('a result is cut at the first row over a limit per statement, and the next statement begins anew', () => {
  const budgets = new Budgets();
  const rows = limits({ rows: 3, per: 'statement' });
  for (let statement = 0; statement < 2; statement++) {
    const one = meter(budgets.begin(rows, ALICE, NOW));
    for (let row = 0; row < 3; row++) assert.equal(one.add(1, 100, NOW), null);
    const over = one.add(1, 100, NOW);
    assert.equal(over?.message, 'The statement was cut off at 3 rows per statement (rule r).');
    assert.deepEqual([over?.returnsAt, over?.retry], [null, 'never']);
  }
});

test('bytes are written as sizes and counted like rows', () => {
  const one = meter(new Budgets().begin(limits({ bytes: '1KiB', per: 'session' }), ALICE, NOW));
  assert.equal(one.add(1, 1024, NOW), null);
  assert.equal(one.add(0, 1, NOW)?.limit.of, 'bytes');
});

test('a window is counted per identity over all its sessions, and says when there is room again', () => {
  const budgets = new Budgets();
  const rows = limits({ rows: 100, per: '1h' });
  assert.equal(meter(budgets.begin(rows, ALICE, NOW)).add(60, 0, NOW), null);
  const later = NOW + 10 * 60_000;
  assert.equal(meter(budgets.begin(rows, { subject: 'alice', session: 's2' }, later)).add(40, 0, later), null);
  const over = refused(budgets.begin(rows, ALICE, later));
  assert.equal(over.message, 'The budget is used up: 100 rows per 1h (rule r).');
  assert.equal(over.returnsAt, '2026-11-23T13:01:00.000Z');
  assert.equal(over.retry, 'after:2026-11-23T13:01:00.000Z');
  assert.equal(over.hint, 'Send it again after 2026-11-23T13:01:00.000Z.');
  assert.ok(budgets.begin(rows, { subject: 'bob', session: 's3' }, later) instanceof Meter);
  const returns = Date.parse(over.returnsAt!);
  refused(budgets.begin(rows, ALICE, returns - 1));
  meter(budgets.begin(rows, ALICE, returns));
});

test('statements are counted when they begin, seconds when they end', () => {
  const budgets = new Budgets();
  const statements = limits({ statements: 2, per: 'session' });
  meter(budgets.begin(statements, ALICE, NOW));
  meter(budgets.begin(statements, ALICE, NOW));
  assert.equal(refused(budgets.begin(statements, ALICE, NOW)).retry, 'never');
  meter(budgets.begin(statements, { ...ALICE, session: 's2' }, NOW));
  const seconds = limits({ seconds: 10, per: '1h' });
  const one = meter(budgets.begin(seconds, ALICE, NOW));
  assert.equal(one.millisecondsLeft(NOW), 10_000);
  assert.equal(one.end(4000, NOW), null);
  assert.equal(meter(budgets.begin(seconds, ALICE, NOW)).millisecondsLeft(NOW), 6000);
  assert.equal(one.end(7000, NOW)?.limit.of, 'seconds');
  refused(budgets.begin(seconds, ALICE, NOW));
});

test('all limits count, and the budget of a session ends with it', () => {
  const budgets = new Budgets();
  const both = limits({ rows: 10, bytes: 50, per: 'session' });
  const one = meter(budgets.begin(both, ALICE, NOW));
  assert.equal(one.add(1, 60, NOW)?.limit.of, 'bytes');
  refused(budgets.begin(both, ALICE, NOW));
  budgets.endSession('s1');
  meter(budgets.begin(both, ALICE, NOW));
});

test('a shadow limit is counted and named, and stops nothing', () => {
  const budgets = new Budgets();
  const shadow = limits({ rows: 1, per: '1h' }, {}, true);
  const one = meter(budgets.begin(shadow, ALICE, NOW));
  assert.equal(one.add(5, 0, NOW), null);
  assert.deepEqual(one.shadow, ['r']);
  meter(budgets.begin(shadow, ALICE, NOW));
});

test('over a limit with hold, a retry can pass after approval; the words of the rule are used', () => {
  const approval = { from: { groups: ['dba'] } };
  const hold = limits({ statements: 1, per: '24h' }, { action: 'hold', approval, message: 'Enough.', hint: 'Ask.' });
  const budgets = new Budgets();
  meter(budgets.begin(hold, ALICE, NOW));
  const over = refused(budgets.begin(hold, ALICE, NOW));
  assert.deepEqual([over.retry, over.message, over.hint], ['after_approval', 'Enough.', 'Ask.']);
  assert.deepEqual(over.limit.approval?.stages, [{ groups: ['dba'], subjects: [], count: 1 }]);
});

test('a rolling window never counts less than what was used within it, nor more than a sixtieth longer', () => {
  const use = fc.record({ after: fc.nat(HOUR / 2), rows: fc.integer({ min: 1, max: 50 }) });
  fc.assert(
    fc.property(fc.array(use, { maxLength: 20 }), fc.integer({ min: 1, max: 300 }), (uses, most) => {
      const budgets = new Budgets();
      const rows = limits({ rows: most, per: '1h' });
      const used: { at: number; rows: number }[] = [];
      let now = NOW;
      for (const { after, rows: amount } of uses) {
        now += after;
        const within = (length: number) =>
          used.filter(({ at }) => at > now - length).reduce((sum, one) => sum + one.rows, 0);
        const begun = budgets.begin(rows, ALICE, now);
        if (within(HOUR) >= most) refused(begun);
        if (within(HOUR + HOUR / 60) < most) meter(begun).add(amount, 0, now);
        else if (begun instanceof Meter) begun.add(amount, 0, now);
        if (begun instanceof Meter) used.push({ at: now, rows: amount });
        else {
          const returns = Date.parse(begun!.returnsAt!);
          assert.ok(returns > now && returns <= now + HOUR + HOUR / 60);
        }
      }
    }),
  );
});

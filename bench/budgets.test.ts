import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateFailures, judge } from './budgets.ts';
import type { Measure } from './measures.ts';
import type { ContenderOutcome, Outcome } from './outcome.ts';

function contender(name: string, samples: Partial<Record<Measure, number[]>>): ContenderOutcome {
  return { name, label: name, samples, trouble: null };
}

function outcomeOf(...contenders: ContenderOutcome[]): Outcome {
  return {
    at: '2026-11-23T12:00:00.000Z',
    machine: { cpu: 'test', cores: 2, node: '24', postgres: '15' },
    commit: null,
    options: { rounds: 3, seconds: 1, quick: false },
    contenders,
    firstSight: [{ bytes: 57, first: [100, 301, 320], again: [1] }],
    detectors: [],
    failures: [],
  };
}

const resultOf = (outcome: Outcome, title: string) =>
  judge(outcome).find(({ budget }) => budget.title.startsWith(title))?.result;

test('a ratio at its budget is met and one above is missed', () => {
  const relay = contender('relay', { cpu: [10, 20, 10] });
  const met = outcomeOf(relay, contender('sluice-rules', { cpu: [12.5, 25, 12] }));
  const missed = outcomeOf(relay, contender('sluice-rules', { cpu: [12.6, 25.2, 12] }));
  assert.equal(resultOf(met, 'CPU per query, against the bare relay'), 'met');
  assert.equal(resultOf(missed, 'CPU per query, against the bare relay'), 'missed');
});

test('throughput has to be at least its budget', () => {
  const relay = contender('relay', { bulk: [300] });
  assert.equal(resultOf(outcomeOf(relay, contender('sluice-rules', { bulk: [285] })), 'Bulk'), 'met');
  assert.equal(resultOf(outcomeOf(relay, contender('sluice-rules', { bulk: [284] })), 'Bulk'), 'missed');
});

test('the median of first sights is judged', () => {
  assert.equal(resultOf(outcomeOf(), 'First sight of a statement of 57 B'), 'missed');
});

test('what was not measured is neither met nor missed', () => {
  assert.equal(resultOf(outcomeOf(), 'Memory at rest'), 'not measured');
});

test('the gate fails beyond 15 % over a CPU budget, not before', () => {
  const gate = (cpu: number) => {
    const outcome = outcomeOf(
      contender('relay', { cpu: [100] }),
      contender('pgbouncer', { cpu: [100] }),
      contender('sluice-rules', { cpu: [cpu] }),
      contender('sluice-masks', { cpu: [140] }),
    );
    return gateFailures(judge(outcome), outcome);
  };
  assert.deepEqual(gate(143), []);
  assert.match(gate(144).join(), /against the bare relay: 1.44 x/);
});

test('the gate fails when it saw no figures of the relay or of Sluice', () => {
  const outcome = outcomeOf(contender('relay', { cpu: [100] }));
  assert.match(gateFailures(judge(outcome), outcome).join(), /against the bare relay: not measured/);
});

test('the gate excuses a PgBouncer that is not installed and no other absence', () => {
  const measured = ['relay', 'sluice-rules', 'sluice-masks'].map((name) => contender(name, { cpu: [100] }));
  const without = (kind: 'not installed' | 'failed') => {
    const pgbouncer: ContenderOutcome = { ...contender('pgbouncer', {}), trouble: { kind, reason: 'test' } };
    const outcome = outcomeOf(...measured, pgbouncer);
    return gateFailures(judge(outcome), outcome);
  };
  assert.deepEqual(without('not installed'), []);
  assert.match(without('failed').join(), /against PgBouncer: not measured/);
});

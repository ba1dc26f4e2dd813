import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuleSet } from '../policy/decide.ts';
import type { MaskPlan } from '../policy/mask-plan.ts';
import type { Effect, OutputColumn } from '../statements/facts.ts';
import { plannedColumns } from './planned-columns.ts';

const people = { schema: 'public', relation: 'people' };
const subject = {
  identity: { subject: 'bot', kind: 'agent', groups: [] },
  connection: 'shop',
  default: 'allow',
} as const;

function planFor(relation: string, outputs: readonly OutputColumn[]): MaskPlan {
  const mask = { id: 'email', columns: ['people.email'], with: { redact: true as const } };
  const rules = new RuleSet([], 'test', { session: [], masks: [{ mask, shadow: false }], detectors: [] });
  const object: Effect['object'] = { kind: 'relation', schema: 'public', name: relation, catalogued: true };
  const effects: Effect[] = [{ effect: 'read', object, predicate: 'none', via: null, columns: ['id'] }];
  return rules.decide({ effects, outputs, uses: [] }, subject, null).masks!;
}

const id: OutputColumn = { name: 'id', from: 'plain', columns: [{ ...people, column: 'id' }] };

test('a result with other columns than planned is not sent if it may have masked ones', () => {
  const described = [
    { name: 'id', shows: [{ ...people, column: 'id' }] },
    { name: 'loud', shows: null },
  ];
  assert.match(plannedColumns(planFor('people', [id]), described).mismatch!, /2 columns, 1 were expected/);
  assert.equal(plannedColumns(planFor('notes', [id]), described).mismatch, null);
});

test('a masked column where none was planned is not sent', () => {
  const described = [{ name: 'id', shows: [{ ...people, column: 'email' }] }];
  assert.match(plannedColumns(planFor('people', [id]), described).mismatch!, /was not expected to be masked/);
});

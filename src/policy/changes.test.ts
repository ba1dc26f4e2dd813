import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ruleChanges } from './changes.ts';
import type { RuleSource } from './rule-schema.ts';

function sections(...rules: readonly [id: string, action: 'allow' | 'deny', shadow?: boolean][]) {
  return {
    rules: rules.map(([id, action, shadow = false]) => ({ rule: { id, match: {}, action } as RuleSource, shadow })),
    session: [{ id: 'pins', match: {}, read_only: true as const }],
    masks: [],
    detectors: [],
  };
}

test('a rule is added, removed, or says something else; where it stands is no change', () => {
  const before = sections(['stays', 'deny'], ['goes', 'deny'], ['turns', 'deny'], ['dims', 'deny']);
  const after = sections(['dims', 'deny', true], ['turns', 'allow'], ['comes', 'deny'], ['stays', 'deny']);
  assert.deepEqual(ruleChanges(before, after), { added: ['comes'], removed: ['goes'], changed: ['dims', 'turns'] });
  assert.deepEqual(ruleChanges(before, before), { added: [], removed: [], changed: [] });
});

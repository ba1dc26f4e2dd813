import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { keysAt, type RuleOutline, ruleOutline, ruleSchemaText } from './json-schema.ts';

const rules = new URL('../../rules/', import.meta.url);

test('rules/schema.json is what the schema says (else: node src/policy/json-schema.ts)', () => {
  assert.equal(readFileSync(new URL('schema.json', rules), 'utf8'), ruleSchemaText());
});

test('every pack tells editors its schema', () => {
  for (const name of readdirSync(rules).filter((file) => file.endsWith('.yaml') && !file.endsWith('.test.yaml'))) {
    const [first] = readFileSync(new URL(name, rules), 'utf8').split('\n');
    assert.equal(first, '# yaml-language-server: $schema=./schema.json', name);
  }
});

test('every key has a description', () => {
  const missing: string[] = [];
  const walk = (path: string, outline: RuleOutline): void => {
    for (const [key, inner] of Object.entries(outline.properties ?? {})) {
      const where = `${path}.${key}`;
      // References to secrets are explained where sluice.yaml is.
      if (inner.description === undefined && !/\.(env|file|command|key|first|last)$/.test(where)) missing.push(where);
      walk(where, inner);
    }
    for (const inner of [...(outline.anyOf ?? []), ...(outline.items === undefined ? [] : [outline.items])])
      walk(path, inner);
  };
  walk('', ruleOutline);
  assert.deepEqual(missing, []);
});

test('single values and lists of them are both what the schema describes', () => {
  const effects = ruleOutline.properties?.rules?.items?.properties?.match?.properties?.effects;
  assert.deepEqual(
    effects?.anyOf?.map((one) => one.type),
    ['string', 'array'],
  );
  assert.ok(effects.anyOf?.[0]?.enum?.includes('ddl'));
});

test('the keys of a place are known, through lists and alternatives', () => {
  assert.ok(keysAt([]).includes('masks'));
  assert.ok(keysAt(['rules', 3, 'match']).includes('columns'));
  assert.ok(!keysAt(['rules', 3, 'match']).includes('until'));
  assert.ok(keysAt(['rules', 3, 'unless']).includes('until'));
  assert.deepEqual(keysAt(['rules', 0, 'approval', 'stages', 0, 'from']), ['groups', 'subjects']);
  assert.ok(keysAt(['masks', 0, 'with']).includes('partial'));
  assert.deepEqual(keysAt(['nothing']), []);
});

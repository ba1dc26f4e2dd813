import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findMistakes } from './findings.ts';
import { readRuleFiles } from './load.ts';
import { ruleReference } from './reference.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-reference-'));
after(() => rmSync(directory, { recursive: true }));

test('docs/rules.md is what the schema says (else: node src/policy/reference.ts)', () => {
  const written = readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8');
  assert.equal(written, ruleReference());
});

test('every example of the reference loads, and none of them says what it cannot mean', () => {
  const examples = [...ruleReference().matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text!);
  assert.ok(examples.length >= 8);
  const paths = examples.map((text, index) => {
    const path = join(directory, `${index}.yaml`);
    writeFileSync(path, text);
    return path;
  });
  const files = readRuleFiles(paths);
  assert.deepEqual(findMistakes(files, Date.parse('2026-11-23T12:00:00Z'), null), []);
});

test('the reference has every key, and no cell is empty that should say something', () => {
  const reference = ruleReference();
  for (const key of [
    'outside',
    'missing',
    'until',
    'approval',
    'tolerance',
    'read_only',
    'copies',
    'identities.groups',
  ]) {
    assert.match(reference, new RegExp(`\\| \`${key.replace('.', '\\.')}\` \\|`), key);
  }
  for (const line of reference.split('\n').filter((one) => one.startsWith('| `'))) {
    assert.doesNotMatch(line, /undefined|\| \|$/, line);
  }
});

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findMistakes } from '../src/policy/findings.ts';
import { readRuleFiles } from '../src/policy/load.ts';
import { readTestFile } from '../src/rehearsal/test-file.ts';
import { runTests } from '../src/rehearsal/test-run.ts';

const directory = import.meta.dirname;
const files = readdirSync(directory).filter((name) => name.endsWith('.yaml'));
const packs = files.filter((name) => !name.endsWith('.test.yaml'));

test('all packs load together, and none has a rule that cannot mean what it says', () => {
  const read = readRuleFiles(packs.map((pack) => join(directory, pack)));
  assert.ok(read.places.size > 30, `only ${read.places.size} rules`);
  for (const pack of packs) {
    assert.deepEqual(findMistakes(readRuleFiles([join(directory, pack)]), Date.now(), null), [], pack);
  }
});

for (const pack of packs) {
  test(`${pack} does what its tests say, and they try each of its rules`, async () => {
    const path = join(directory, pack.replace('.yaml', '.test.yaml'));
    const { results, coverage } = await runTests([readTestFile(path)]);
    assert.deepEqual(
      results.flatMap(({ case: one, differences }) =>
        differences.map((text) => `${one.place.line} ${one.name}: ${text}`),
      ),
      [],
    );
    const untried = coverage.filter(({ place, fired }) => !fired && place.file === join(directory, pack));
    assert.deepEqual(
      untried.map(({ id }) => id),
      [],
    );
  });
}

test('what a pack for agents allows stays allowed with the packs that refuse beside it, and their order means nothing', async () => {
  const refusing = ['destructive.yaml', 'exfiltration.yaml'].map((pack) => join(directory, pack));
  const together = async (rules: (own: readonly string[]) => readonly string[]) => {
    const files = ['agents-read-only', 'agents-guarded-writes', 'mysql-agents'].map((pack) =>
      readTestFile(join(directory, `${pack}.test.yaml`)),
    );
    const { results } = await runTests(files.map((file) => ({ ...file, rules: rules(file.rules) })));
    return results.map(({ case: { name, expect, given }, judged: { action, by, refusal } }) => ({
      ...{ name, expect, kind: given.identity.kind, action, by, refusal },
    }));
  };
  const forth = await together((own) => [...own, ...refusing]);
  assert.deepEqual(
    forth
      .filter(({ kind, expect, action }) => kind === 'agent' && expect === 'allow' && action !== 'allow')
      .map(({ name, by }) => `${name}: ${by}`),
    [],
  );
  assert.deepEqual(await together((own) => [...refusing, ...own].reverse()), forth);
});

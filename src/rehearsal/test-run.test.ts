import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidFileError } from '../config/yaml-file.ts';
import { readTestFile } from './test-file.ts';
import { runTests } from './test-run.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-rehearsal-'));
after(() => rmSync(directory, { recursive: true }));

const RULES = `version: 1
rules:
  - { id: reads, match: { identities: { kind: agent }, effects: [read] }, action: allow }
  - { id: all-rows, match: { effects: [delete], tables: [orders], predicate: [none] }, action: deny, message: Not all. }
  - { id: some-rows, match: { effects: [delete] }, action: hold, approval: { from: { groups: dba } } }
  - { id: at-night, match: { effects: [truncate], during: { hours: 22:00-06:00, zone: UTC } }, action: allow }
  - { id: silent, match: { effects: [drop] }, action: deny }
`;
const GIVEN = 'given: { identity: { subject: bot, kind: agent }, connection: shop, default: deny }\n';

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

write('a.yaml', RULES);

async function run(cases: string) {
  return runTests([readTestFile(write('a.test.yaml', `${GIVEN}rules: [a.yaml]\ncases:\n${cases}`))]);
}

test('cases that say what the rules say pass, and rules no case made match are told', async () => {
  const { results, coverage } = await run(`
  - { sql: SELECT * FROM orders, expect: allow, rules: [reads] }
  - { sql: DELETE FROM orders, expect: deny, rules: [all-rows], message: Not all }
  - { sql: DELETE FROM orders WHERE id = 1, expect: hold, rules: [some-rows], given: { default: allow } }
  - { sql: SELECT 1; DELETE FROM orders, expect: deny, rules: [all-rows] }
  - { sql: PREPARE p AS DELETE FROM orders; EXECUTE p, expect: deny, rules: [all-rows] }
  - { sql: EXECUTE q, expect: deny, rules: [default], message: q }
  - { given: { identity: { subject: x, kind: human } }, sql: SELECT * FROM orders, expect: deny, rules: [default] }
`);
  assert.deepEqual(
    results.flatMap(({ differences }) => differences),
    [],
  );
  assert.deepEqual(
    coverage.filter(({ fired }) => !fired).map(({ id, place }) => `${place.line} ${id}`),
    ['6 at-night', '7 silent'],
  );
});

test('what is not as expected is told: verdict, rules, message', async () => {
  const { results } = await run(`
  - { sql: SELECT * FROM orders, expect: deny, message: x }
  - { sql: DELETE FROM orders, expect: deny, rules: [silent], message: All }
`);
  assert.deepEqual(
    results.map(({ differences }) => differences),
    [
      ['expected deny, got allow', 'expected a message with "x": there is no message'],
      [
        'not decided by silent',
        'decided by all-rows, which was not expected',
        'expected a message with "All": the message is "Not all."',
      ],
    ],
  );
  assert.equal(results[1]?.case.place.line, 6);
});

test('the time, and claims, are those of the case', async () => {
  const { results } = await run(`
  - { sql: TRUNCATE t, expect: allow, given: { at: "2026-03-02T23:00:00Z" } }
  - { sql: TRUNCATE t, expect: deny, given: { at: "2026-03-02T12:00:00Z" } }
`);
  assert.deepEqual(
    results.flatMap(({ differences }) => differences),
    [],
  );
});

test('everything that is wrong with a test file is told at its place', () => {
  const path = write(
    'b.test.yaml',
    `given: { identity: { subject: bot, kind: robot }, connectoin: shop, default: deny }
rules: [a.yaml]
cases:
  - { sql: SELECT 1, expect: alow, rule: [x] }
  - { expect: allow, given: { default: allow, sesion: {} } }
`,
  );
  assert.throws(
    () => readTestFile(path),
    (error: InvalidFileError) => {
      assert.ok(error instanceof InvalidFileError);
      assert.deepEqual(
        error.message.split('\n').map((text) => text.replace(/^.*\.yaml:(\d+):\d+/, '$1')),
        [
          '1: connection is required',
          '1: kind must be human, agent or service',
          '1: unknown key "connectoin". Did you mean "connection"?',
          '4: expect "alow" is not known. Did you mean "allow"?',
          '4: unknown key "rule". Did you mean "rules"?',
          '5: sql is required',
          '5: unknown key "sesion". Did you mean "session"?',
        ],
      );
      return true;
    },
  );
});

test('the example in the documentation is a test file', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/testing-rules.md'), 'utf8');
  const example = /```yaml\n([\s\S]*?)```/.exec(text)![1]!;
  const { cases } = readTestFile(write('example.test.yaml', example));
  assert.deepEqual(
    cases.map(({ expect, given }) => `${expect} ${given.identity.subject}`),
    ['allow bot', 'deny bot', 'allow ann'],
  );
});

test('a case can say what the server expects; what it does not say is not known', async () => {
  write(
    'large.yaml',
    `version: 1
rules:
  - { id: large, match: { effects: [read] }, if: estimate.rows > 1000, action: deny }
  - { id: dear, match: { effects: [read] }, if: estimate.cost > 10.0, action: deny }
`,
  );
  const given = (estimate: string) => `given: { default: allow, estimate: ${estimate} }`;
  const cases = `
  - { sql: SELECT 1 FROM t, ${given('{ rows: 1000, cost: 1 }')}, expect: allow }
  - { sql: SELECT 1 FROM t, ${given('{ rows: 1001, cost: 1 }')}, expect: deny, rules: [large] }
  - { sql: SELECT 1 FROM t, ${given('{ rows: 1 }')}, expect: deny, rules: [dear] }
  - { sql: SELECT 1 FROM t, expect: deny, rules: [dear, large], given: { default: allow } }
`;
  const file = write('large.test.yaml', `${GIVEN}rules: [large.yaml]\ncases:${cases}`);
  const { results } = await runTests([readTestFile(file)]);
  assert.deepEqual(
    results.flatMap(({ differences }) => differences),
    [],
  );
});

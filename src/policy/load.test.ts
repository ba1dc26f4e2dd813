import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadRules, RuleFileError } from './load.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-rules-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;

function file(text: string | Uint8Array): string {
  files += 1;
  const path = join(directory, `${files}.yaml`);
  writeFileSync(path, text);
  return path;
}

/** The problems of rule files that must not load, without the directory. */
function problemsOf(...paths: string[]): string[] {
  try {
    loadRules(paths);
  } catch (error) {
    assert.ok(error instanceof RuleFileError, String(error));
    assert.equal(error.message.split('\n').length, error.problems.length);
    return error.message.replaceAll(`${directory}/`, '').split('\n');
  }
  return assert.fail('it loaded');
}

const rules = (...texts: string[]) => `version: 1\nrules:\n${texts.map((text) => `  - ${text}\n`).join('')}`;

test('a file without rules is a rule set without rules', () => {
  assert.deepEqual(loadRules([file('version: 1\nrules: []\n')]).ids, []);
  assert.deepEqual(loadRules([]).ids, []);
});

test('rules of all files are one set, whose version changes with any of their bytes', () => {
  const one = file(rules('{ id: b, match: {}, action: deny }'));
  const two = file(rules('{ id: a, match: { effects: read, tables: [t, s.t] }, action: allow }'));
  assert.deepEqual(loadRules([one, two]).ids, ['a', 'b']);
  assert.match(loadRules([one, two]).version, /^[0-9a-f]{16}$/);
  assert.equal(loadRules([one]).version, loadRules([one]).version);
  const changed = file(`${rules('{ id: b, match: {}, action: deny }')}# why\n`);
  assert.equal(new Set([[one, two], [one], [two], [changed, two]].map((paths) => loadRules(paths).version)).size, 4);
});

test('everything that is wrong is said at once, at its place, with what was meant', () => {
  const first = file(`version: 1
rules:
  - id: one
    match: { efects: [read], tables: [a.b.c] }
    action: deny
  - id: two
    match: { effects: [reed, drop, truncat] }
    acton: deny
    mode: shadwo
  - id: three
    match: { identities: { group: [x] }, predicate: [whole] }
    action: refuse
    unless: {}
`);
  const second = file('version: 2\nruls: []\n');
  assert.deepEqual(
    problemsOf(first, second).map((problem) => problem.replace(/^(\d+\.yaml)/, 'F')),
    [
      'F:4:14: unknown key "efects" (rule one). Did you mean "effects"?',
      'F:4:39: tables must be a name or schema.name, with * for anything (rule one)',
      'F:6:5: action is required (rule two)',
      'F:7:24: effects "reed" is not known. Did you mean "read"? (rule two)',
      'F:7:36: effects "truncat" is not known. Did you mean "truncate"? (rule two)',
      'F:8:12: unknown key "acton" (rule two). Did you mean "action"?',
      'F:9:11: mode "shadwo" is not known. Did you mean "shadow"? (rule two)',
      'F:11:28: unknown key "group" (rule three). Did you mean "groups"?',
      'F:11:54: predicate must be none, tautology, open, bounded, keyed or present (rule three)',
      'F:12:13: action must be allow, hold or deny (rule three)',
      'F:13:5: unless must have at least one key (rule three)',
      'F:1:10: version must be 1',
      'F:2:1: unknown key "ruls". Did you mean "rules"?',
    ],
  );
});

test('a rule id that is there twice is an error, in one file or in two', () => {
  const one = file(rules('{ id: a, match: {}, action: deny }', '{ id: a, match: {}, action: allow }'));
  const two = file(rules('{ id: a, match: {}, action: deny }'));
  const name = one.slice(directory.length + 1);
  const other = two.slice(directory.length + 1);
  assert.deepEqual(problemsOf(one, two), [
    `${name}:4:11: rule id "a" is there already, at ${one}:3:11`.replaceAll(`${directory}/`, ''),
    `${other}:3:11: rule id "a" is there already, at ${one}:3:11`.replaceAll(`${directory}/`, ''),
  ]);
});

test('files that are missing, empty or no YAML load nothing, not even the files beside them', () => {
  const good = file(rules('{ id: a, match: {}, action: deny }'));
  assert.deepEqual(problemsOf(good, join(directory, 'none.yaml')), ['none.yaml:1:1: cannot be read: ENOENT']);
  for (const empty of ['', '# only a comment\n', '---\n']) {
    assert.match(problemsOf(good, file(empty))[0]!, /^\d+\.yaml:1:1: is empty/);
  }
  assert.match(problemsOf(good, file('version: 1\nrules: [\n'))[0]!, /^\d+\.yaml:\d+:\d+: .*\(YAML\)$/);
  assert.match(problemsOf(good, file('version: 1\nrules: []\nrules: []\n'))[0]!, /^\d+\.yaml:3:1: .*unique.*\(YAML\)$/);
  assert.match(
    problemsOf(good, file(Buffer.from([0xff, 0xfe, 0x41])))[0]!,
    /^\d+\.yaml:1:1: cannot be read: it is not UTF-8$/,
  );
  assert.match(problemsOf(file('- a\n'))[0]!, /^\d+\.yaml:1:1: must be a mapping/);
});

test('mode: shadow on a file makes all its rules shadow rules, except those that say otherwise', () => {
  const path = file(
    'version: 1\nmode: shadow\nrules:\n  - { id: a, match: {}, action: deny }\n  - { id: b, match: { effects: [drop] }, action: deny, mode: enforce }\n',
  );
  const subject = {
    identity: { subject: 's', kind: 'human' as const, groups: [] },
    connection: 'c',
    default: 'allow' as const,
  };
  const loaded = loadRules([path]);
  const effect = (name: 'read' | 'drop') => ({ effect: name, object: null, predicate: null, via: null });
  assert.deepEqual(loaded.decide({ effects: [effect('read')] }, subject), {
    action: 'allow',
    rules: [],
    shadow: ['a'],
    stable: true,
    limits: [],
  });
  assert.equal(loaded.decide({ effects: [effect('drop')] }, subject).action, 'deny');
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidFileError } from '../config/yaml-file.ts';
import { loadRules } from './load.ts';

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
    assert.ok(error instanceof InvalidFileError, String(error));
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

test('the order of files never matters', () => {
  const one = file(rules('{ id: b, match: { effects: read }, action: deny, message: B. }'));
  const two = file(
    rules('{ id: a, match: { tables: t }, action: deny, message: A. }', '{ id: c, match: {}, action: allow }'),
  );
  const subject = { identity: { subject: 's', kind: 'human', groups: [] }, connection: 'c', default: 'deny' } as const;
  const read = {
    effect: 'read',
    object: { kind: 'relation', schema: null, name: 't' },
    predicate: 'none',
    via: null,
  } as const;
  const [forth, back] = [
    [one, two],
    [two, one],
  ].map((paths) => loadRules(paths));
  assert.equal(forth?.version, back?.version);
  assert.deepEqual(forth?.ids, back?.ids);
  const verdict = forth?.decide({ effects: [read] }, subject);
  assert.deepEqual(verdict, back?.decide({ effects: [read] }, subject));
  assert.equal(verdict?.action, 'deny');
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
      'F:8:5: unknown key "acton" (rule two). Did you mean "action"?',
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

test('what is wrong within a key is said like everything else', () => {
  const path = file(`version: 1
rules:
  - { id: a, match: {}, action: hold }
  - { id: b, match: {}, action: deny, approval: { from: { groups: x } } }
  - { id: c, match: {}, action: hold, approval: { count: 0, within: 15, wait: 1x } }
  - { id: d, match: { outside: { days: [mon-fry], hours: 8-18, zone: Berlin } }, action: deny }
  - { id: e, match: { columns: [email, a.b.c.d], missing: [TraceParent] }, unless: { until: 2027-02-30 }, action: deny }
  - { id: f, match: {}, action: allow, limit: { rows: 10, per: 1h } }
  - { id: g, match: {}, action: deny, limit: { rows: 0, bytes: 1XB, per: 10s } }
  - { id: h, match: {}, action: deny, limit: { per: session } }
  - { id: i, match: { until: 2027-01-01 }, action: deny }
  - { id: default, match: {}, action: deny }
session:
  - { id: j, match: { effects: read }, read_only: true }
  - { id: k, match: {} }
masks:
  - { id: l, columns: email, with: redcat }
  - { id: m, columns: "t.c:$x", with: { partial: { first: 2 }, redact: xx } }
detectors:
  - { id: n, find: [jtw], columns: "*", with: redact }
`);
  assert.deepEqual(
    problemsOf(path).map((problem) => problem.replace(/^\d+\.yaml:/, '')),
    [
      '3:33: action hold needs approval, or nobody could approve (rule a)',
      '4:39: approval is only for action: hold (rule b)',
      '5:58: count must be at least 1 (rule c)',
      '5:69: within must be a text (in quotes if it looks like a number) (rule c)',
      '5:79: wait must be a duration such as 500ms, 30s, 15m, 2h or 7d (rule c)',
      '6:41: days must be a day such as mon, or days such as mon-fri (rule d)',
      '6:51: hours must be hours such as 08:00-18:00, in quotes (rule d)',
      '6:70: zone must be a time zone such as Europe/Berlin or UTC (rule d)',
      '7:33: columns must be table.column or schema.table.column, with * for anything (rule e)',
      '7:40: columns must be table.column or schema.table.column, with * for anything (rule e)',
      '7:60: missing must be the name of a claim, in lower case (rule e)',
      '7:93: until must be a date such as 2027-01-31 (rule e)',
      '8:40: limit needs action: deny or hold, for what is over it (rule f)',
      '9:54: rows must be at least 1 (rule g)',
      '9:64: bytes must be a number of bytes, or a size such as 64MiB (rule g)',
      '9:74: per must be statement, session, or a window of one minute or more such as 1h or 24h (rule g)',
      '10:39: limit must have rows, bytes, statements or seconds (rule h)',
      '11:23: unknown key "until" (rule i).',
      '12:11: id must not be default: that is what decides when no rule does (rule default)',
      '14:23: unknown key "effects" (session rule j).',
      '15:5: session rule must have read_only, statement_timeout, role or settings (session rule k)',
      '17:14: columns must be table.column or schema.table.column, and for a part of JSON the path after a colon, as in t.profile:$.card.number (mask l)',
      '17:30: unknown key "redcat" (mask l). Did you mean "redact"?',
      '18:14: columns must be table.column or schema.table.column, and for a part of JSON the path after a colon, as in t.profile:$.card.number (mask m)',
      '18:33: with must be one masker, with its options if it has any (mask m)',
      '20:21: find "jtw" is not known. Did you mean "jwt"? (detector n)',
    ],
  );
});

test('what is wrong with an expression is said at its place in the file', () => {
  const path = file(`version: 1
rules:
  - id: a
    match: {}
    if: identity.knd == "agent"
    action: deny
  - { id: b, match: {}, if: "1 + 1", action: deny }
  - id: c
    match: {}
    if: |
      identity.kind == "agent" &&
      now.getHour() > 1
    action: deny
`);
  assert.deepEqual(
    problemsOf(path).map((problem) => problem.replace(/^\d+\.yaml:/, '')),
    [
      '5:17: if: identity has no "knd". Did you mean "kind"? (rule a)',
      '7:30: if: it is int, and must be true or false (rule b)',
      '10:9: if: "getHour" is not a function. Did you mean "getHours"? (line 2, column 4 of the expression) (rule c)',
    ],
  );
});

test('ids are one name space over all sections', () => {
  const path = file(
    'version: 1\nrules: [{ id: a, match: {}, action: deny }]\nmasks: [{ id: a, columns: t.c, with: null }]\n',
  );
  assert.match(problemsOf(path)[0]!, /^\d+\.yaml:3:15: rule id "a" is there already, at /);
});

test('a file may have masks only; one with nothing at all is a mistake', () => {
  const masks = loadRules([file('version: 1\nmasks: [{ id: a, columns: t.c, with: null }]\n')]).masks;
  assert.deepEqual(
    masks.map((mask) => mask.masker),
    [{ kind: 'null' }],
  );
  assert.match(problemsOf(file('version: 1\n'))[0]!, /must have rules, session, masks or detectors/);
  assert.match(
    problemsOf(file('version: 1\nmode: shadow\nsession: [{ id: a, match: {}, read_only: true }]\n'))[0]!,
    /session cannot be in a file with mode: shadow/,
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
    masks: null,
  });
  assert.equal(loaded.decide({ effects: [effect('drop')] }, subject).action, 'deny');
});

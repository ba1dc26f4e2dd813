import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findMistakes, type KnownNames } from './findings.ts';
import { readRuleFiles } from './load.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-findings-'));
after(() => rmSync(directory, { recursive: true }));

const NOW = Date.parse('2026-11-23T12:00:00Z');

let files = 0;

function findings(rules: string, known: KnownNames | null = null): string[] {
  files += 1;
  const path = join(directory, `${files}.yaml`);
  writeFileSync(path, `version: 1\n${rules.startsWith('masks') ? '' : 'rules:\n'}${rules}`);
  return findMistakes(readRuleFiles([path]), NOW, known).map(
    ({ rule, line, about, message }) => `${line} ${rule} (${about}): ${message}`,
  );
}

test('rules that can never match are found', () => {
  assert.deepEqual(
    findings(`
  - { id: a, match: { effects: [insert, ddl], predicate: none }, action: deny }
  - { id: b, match: { effects: transaction, tables: t }, action: deny }
  - { id: c, match: { functions: f, tables: t }, action: deny }
  - { id: d, match: { effects: drop, settings: x }, action: deny }
  - { id: e, match: { effects: read, tables: [s.t] }, unless: { tables: [s.*, u] }, action: deny }
  - { id: f, match: { during: { days: mon, zone: UTC }, outside: { days: mon, zone: UTC } }, action: deny }
`),
    [
      '4 a (never matches): never matches: insert, ddl has no predicate',
      '5 b (never matches): never matches: transaction is on no table',
      '6 c (never matches): never matches: an effect on functions has no tables',
      '7 d (never matches): never matches: drop changes no setting',
      '8 e (never matches): never matches: unless excepts everything that match is about',
      '9 f (never matches): never matches: during and outside are the same',
    ],
  );
});

test('rules that are there twice, and allow rules that are denied as a whole, are found', () => {
  assert.deepEqual(
    findings(`
  - { id: a, match: { effects: [read], tables: public.t }, action: deny }
  - { id: b, match: { effects: [read], tables: public.t }, action: deny, message: Other words. }
  - { id: c, match: { effects: [read], tables: public.*, identities: { kind: agent } }, action: allow }
  - { id: d, match: { effects: [read], tables: [public.t], identities: { kind: agent } }, action: allow }
  - { id: e, match: { effects: [truncate], tables: [public.t] }, action: allow }
  - { id: f, match: { effects: [write] }, action: deny, mode: shadow }
  - { id: g, match: { effects: [update], predicate: [bounded] }, action: allow }
  - { id: h, match: { effects: [update], predicate: [present] }, action: deny }
`),
    [
      '5 b (duplicate): says the same as a',
      '7 d (overruled): allows nothing: a denies all of it',
      '10 g (overruled): allows nothing: h denies all of it',
    ],
  );
});

test('exceptions that are over are found, on rules and masks', () => {
  const unless = 'unless: { identities: { groups: x }, until: 2026-11-22 }';
  assert.deepEqual(findings(`  - { id: a, match: {}, action: deny, ${unless} }\n`), [
    '3 a (expired): its exception ended with 2026-11-22',
  ]);
  assert.deepEqual(findings(`masks:\n  - { id: m, columns: t.c, with: redact, ${unless} }\n`), [
    '3 m (expired): its exception ended with 2026-11-22',
  ]);
  assert.deepEqual(findings(`  - { id: a, match: {}, action: deny, ${unless.replace('22', '23')} }\n`), []);
});

test('names that the catalogue does not have are found', () => {
  const known: KnownNames = {
    hasRelation: (matches) => matches('public', 'orders'),
    hasColumn: (matches) => matches('public', 'orders', 'id'),
    hasFunction: (matches) => matches('public', 'f'),
  };
  assert.deepEqual(
    findings(
      `
  - { id: a, match: { tables: [public.order, orders, public.*], columns: [orders.id, orders.nr] }, action: deny }
  - { id: b, match: { functions: [f, pg_catalog.g] }, unless: { functions: [x] }, action: deny }
`,
      known,
    ),
    [
      '4 a (unknown name): there is no table public.order',
      '4 a (unknown name): there is no column orders.nr',
      '5 b (unknown name): there is no function pg_catalog.g',
      '5 b (unknown name): there is no function x',
    ],
  );
  assert.deepEqual(findings(`masks:\n  - { id: m, columns: ["orders.id:$.a", s.t.c], with: redact }\n`, known), [
    '3 m (unknown name): there is no column s.t.c',
  ]);
});

test('rules that are as they should be have no findings', () => {
  assert.deepEqual(
    findings(`
  - { id: a, match: { effects: [update, delete], predicate: [none, tautology] }, action: deny }
  - { id: b, match: { effects: [read, update], tables: t }, unless: { identities: { groups: x } }, action: deny }
  - { id: c, match: { effects: [read, update], tables: t }, action: allow }
  - { id: d, match: { effects: [session], settings: "*" }, action: allow }
`),
    [],
  );
});

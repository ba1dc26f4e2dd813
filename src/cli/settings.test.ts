import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createScramVerifier, formatScramVerifier } from '../../protocols/postgres/scram.ts';
import { EXIT } from './failure.ts';
import { readSettings } from './settings.ts';

const SCRAM = formatScramVerifier(await createScramVerifier('a password'));

const RULES = `version: 1
rules:
  - { id: no-truncate, match: { effects: [truncate] }, action: deny }
masks:
  - { id: mail, columns: t.mail, with: null }
`;

/** A configuration file whose rules have this text. */
function configuration(t: TestContext, rules: string, more = ''): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-settings-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'rules.yaml'), rules);
  writeFileSync(join(directory, 'password'), 'from a file\n');
  const file = join(directory, 'sluice.yaml');
  writeFileSync(
    file,
    `listen: { postgres: "127.0.0.1:0" }
connections:
  - name: db
    protocol: postgres
    upstream: { host: 127.0.0.1, port: 1, database: d, user: u, password: { file: ./password }, tls: disable }
    default: allow
identity: { without_tls: loopback, users: [{ name: ada, kind: human, groups: [], scram: "${SCRAM}" }] }
rules: [./rules.yaml]
recording: { directory: ./journal }
${more}`,
  );
  return file;
}

test('configuration, secrets, rules and known names arrive from the other process as they are', async (t) => {
  const { config, rules, known } = await readSettings(configuration(t, RULES));
  assert.equal(config.connections[0]?.upstream.password, 'from a file');
  assert.equal(config.users[0]?.name, 'ada');
  assert.equal(rules.sections.rules[0]?.rule.id, 'no-truncate');
  assert.equal(rules.sections.masks[0]?.mask.id, 'mail');
  assert.match(rules.version, /^[0-9a-f]{16}$/);
  assert.equal(known.functions.get('pg_sleep'), 'resource');
  assert.ok(known.operators.has('+'));
});

test('mistakes in either file are told with their places, as a wrong use of the command', async (t) => {
  const mistakes = (file: string) =>
    readSettings(file).then(
      () => assert.fail('it was read'),
      ({ name, exitCode, message }) => {
        assert.equal(name, 'CommandFailure');
        assert.equal(exitCode, EXIT.usage);
        return String(message);
      },
    );
  assert.match(
    await mistakes(configuration(t, RULES, 'sesions: 3\nlogg: 4\n')),
    /yaml:10:1: unknown key "sesions".*\n.*logg/,
  );
  assert.match(await mistakes(configuration(t, RULES.replace('deny', 'dny'))), /rules\.yaml:3:\d+: .*action/);
  assert.match(await mistakes('/nowhere/sluice.yaml'), /sluice\.yaml:1:1: cannot be read: ENOENT/);
});

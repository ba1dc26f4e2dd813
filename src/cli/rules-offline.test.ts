/** The commands for rules that need a catalogue, from the server to the file and on without the server. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createScramVerifier, formatScramVerifier } from '../../protocols/postgres/scram.ts';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';

const SLUICE = join(import.meta.dirname, 'sluice.js');
const directory = mkdtempSync(join(tmpdir(), 'sluice-rules-'));
after(() => rmSync(directory, { recursive: true }));

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
  await server.query(
    `CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
     CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE CASCADE);
     CREATE VIEW people AS SELECT id, name, ssn AS tax_id FROM customers`,
  );
  const scram = formatScramVerifier(await createScramVerifier('x'));
  const { host, port, database, superuser, password } = server;
  writeFileSync(join(directory, 'password'), password);
  writeFileSync(
    join(directory, 'sluice.yaml'),
    `listen: { postgres: 127.0.0.1:0 }
connections:
  - name: shop
    protocol: postgres
    upstream: { host: ${host}, port: ${port}, database: ${database}, user: ${superuser}, password: { file: ./password }, tls: disable }
    default: deny
identity: { without_tls: loopback, users: [{ name: bot, kind: agent, groups: [bots], scram: "${scram}" }] }
rules: [./rules.yaml]
recording: { directory: ./journal }
`,
  );
  writeFileSync(
    join(directory, 'rules.yaml'),
    `version: 1
rules:
  - { id: bots-read, match: { identities: { groups: bots }, effects: [read] }, action: allow }
  - { id: no-ssn, match: { columns: [public.customers.ssn] }, action: deny }
  - { id: no-cascades, match: { effects: [delete], tables: [public.orders] }, action: deny }
`,
  );
});
after(() => server.stop());

async function rules(...args: string[]): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [SLUICE, 'rules', ...args], { cwd: directory });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = await once(child, 'close');
  return { code, out, err };
}

test('a catalogue is written to a file, and check, test and explain use it', async () => {
  const written = await rules('catalog', 'shop', '-o', 'shop.json', '--json');
  assert.equal(written.code, 0, written.err);
  assert.equal(JSON.parse(written.out).relations, 3);
  assert.equal(JSON.parse(readFileSync(join(directory, 'shop.json'), 'utf8')).dialect, 'postgres');

  assert.deepEqual((await rules('check', 'rules.yaml', '--catalogue', 'shop.json')).code, 0);

  // The view's column has another name, and the cascade is in no text: both are in the catalogue.
  const explained = async (sql: string) =>
    JSON.parse((await rules('explain', sql, '--as', 'bot', '--on', 'shop', '--catalogue', 'shop.json', '--json')).out);
  const view = await explained('SELECT tax_id FROM people');
  assert.deepEqual([view.verdict, view.by], ['deny', ['no-ssn']]);
  assert.deepEqual(view.identity, { subject: 'bot', kind: 'agent', groups: ['bots'] });
  const [rule] = view.statements[0].rules.filter(({ id }: { id: string }) => id === 'no-cascades');
  assert.deepEqual([rule.matches, rule.key], [false, 'effects']);
  assert.deepEqual(view.statements[0].outputs, [
    { name: 'tax_id', from: 'plain', columns: ['public.people.tax_id', 'public.customers.ssn'], by: [], becomes: null },
  ]);
  assert.deepEqual((await explained('SELECT id FROM orders')).verdict, 'allow');
  assert.ok((await explained('DELETE FROM customers WHERE id = 1')).by.includes('no-cascades'));

  writeFileSync(
    join(directory, 'rules.test.yaml'),
    `given: { identity: { subject: bot, kind: agent, groups: [bots] }, connection: shop, default: deny }
catalogue: shop.json
rules: [rules.yaml]
cases:
  - { sql: SELECT id FROM orders, expect: allow }
  - { sql: SELECT * FROM people, expect: deny, rules: [no-ssn] }
`,
  );
  const tested = await rules('test', 'rules.yaml');
  assert.deepEqual([tested.code, tested.out.split('\n')[0]], [0, '2 cases, all as expected.']);
});

test('explain says in words what a statement does and what each rule says', async () => {
  const { code, out } = await rules('explain', 'DELETE FROM orders WHERE id = 1', '--as', 'bot', '--on', 'shop');
  assert.equal(code, 0);
  assert.match(out, /^bot \(agent, groups bots\) on shop, default deny\n/);
  assert.match(out, /\n {2}delete: removes rows of orders \(/);
  assert.match(out, /\n {2}deny {2}no-cascades: delete: removes rows of orders/);
  assert.match(out, /\nRules that do not match:\n {2}allow bots-read: the effect is not read\n/);
  assert.match(out, /\ndeny, by no-cascades/);
});

test('whoever is not known has to be described, and a connection has to exist', async () => {
  const unknown = await rules('explain', 'SELECT 1', '--as', 'eve', '--on', 'shop');
  assert.deepEqual([unknown.code, /no user eve; say with --kind/.test(unknown.err)], [2, true]);
  const described = await rules('explain', 'SELECT 1', '--as', 'eve', '--kind', 'human', '--on', 'shop');
  assert.equal(described.code, 0);
  const nowhere = await rules('catalog', 'shopp');
  assert.deepEqual([nowhere.code, /no connection shopp; it has shop\./.test(nowhere.err)], [2, true]);
});

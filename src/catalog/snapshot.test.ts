import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CatalogueData } from '../statements/catalogue.ts';
import { Catalogue } from './catalogue.ts';
import { readSnapshot, SnapshotError, writeSnapshot } from './snapshot.ts';

const table = (name: string) => ({
  schema: 'app',
  name,
  kind: 'table' as const,
  columns: [{ name: 'id', type: 'integer', notNull: true, generated: null }],
  keys: [['id']],
  foreignKeys: [],
  parents: [],
  definition: null,
  triggers: [],
  rules: [],
  rowSecurity: false,
});

const DATA: CatalogueData = {
  version: 1,
  dialect: 'postgres',
  serverVersion: '15.1',
  database: 'shop',
  foldsNames: false,
  unseen: [],
  relations: [
    {
      ...table('a'),
      triggers: [
        {
          name: 't',
          timing: 'before',
          events: ['insert'],
          function: { schema: 'app', name: 'f' },
          body: 'CREATE TRIGGER',
        },
      ],
      foreignKeys: [
        {
          columns: ['id'],
          references: { schema: 'app', name: 'b' },
          referencedColumns: ['id'],
          onDelete: 'cascade',
          onUpdate: 'no action',
        },
      ],
      rules: [{ name: 'r', event: 'update', definition: 'CREATE RULE' }],
    },
    { ...table('b'), parents: [{ schema: 'app', name: 'a' }] },
  ],
  functions: [
    {
      schema: 'app',
      name: 'f',
      kind: 'function',
      arguments: ['integer'],
      returns: 'trigger',
      volatility: 'volatile',
      language: 'plpgsql',
      securityDefiner: false,
      calls: [],
      body: 'BEGIN END',
      extension: null,
    },
  ],
  operators: [{ schema: 'app', name: '=', left: null, right: 'text', function: { schema: 'app', name: 'f' } }],
  casts: [{ source: 'a', target: 'b', function: null, context: 'implicit' }],
  types: [{ schema: 'app', name: 'd', kind: 'domain', checks: ['(VALUE > 0)'], functions: [] }],
};

function file(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-snapshot-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'shop.catalogue.json');
}

async function refusal(path: string, text: string): Promise<string> {
  writeFileSync(path, text);
  const error = await readSnapshot(path).then(
    () => assert.fail('it was read'),
    (error: Error) => error,
  );
  assert.ok(error instanceof SnapshotError);
  assert.ok(error.message.startsWith(`catalogue snapshot ${path} `));
  return error.message.slice(`catalogue snapshot ${path} `.length);
}

test('what was written is read again, with the same version', async (t) => {
  const path = file(t);
  await writeSnapshot(path, DATA);
  const read = await readSnapshot(path);
  assert.deepEqual(read, DATA);
  assert.equal(Catalogue.of(read).version, Catalogue.of(DATA).version);
  assert.deepEqual(readdirSync(join(path, '..')), ['shop.catalogue.json']);
});

test('the order of what the server returned does not show in the file', async (t) => {
  const path = file(t);
  await writeSnapshot(path, DATA);
  const first = readFileSync(path, 'utf8');
  await writeSnapshot(path, { ...DATA, relations: DATA.relations.toReversed() });
  assert.equal(readFileSync(path, 'utf8'), first);
  assert.ok(first.split('\n').length > 50, 'it has a line for each value');
});

test('a file that is not a snapshot is refused with the reason and the place', async (t) => {
  const path = file(t);
  const change = (edit: (data: Record<string, unknown> & { relations: Record<string, unknown>[] }) => void): string => {
    const copy = JSON.parse(JSON.stringify(DATA));
    edit(copy);
    return JSON.stringify(copy);
  };
  assert.match(await refusal(path, '{"version": 1'), /^is not JSON: /);
  assert.match(await refusal(path, 'null'), /^is not valid at the top: /);
  assert.match(await refusal(path, '{}'), /^is not valid at version: /);
  assert.equal(
    await refusal(
      path,
      change((data) => (data.version = 2)),
    ),
    'has version 2; this Sluice reads 1: write it anew',
  );
  assert.match(
    await refusal(
      path,
      change((data) => (data.relations[1]!.kind = 'index')),
    ),
    /^is not valid at relations\[1\]\.kind: /,
  );
  assert.match(
    await refusal(
      path,
      change((data) => (data.relations[0]!.color = 'red')),
    ),
    /^is not valid at relations\[0\]: .*color/,
  );
  assert.match(
    await refusal(
      path,
      change((data) => (data.relations[0]!.keys = [[]])),
    ),
    /^is not valid at relations\[0\]\.keys\[0\]: /,
  );
  await assert.rejects(readSnapshot(`${path}.none`), { name: 'SnapshotError', message: /cannot be read: ENOENT$/ });
});

test('a snapshot that cannot be written says so and leaves nothing', async (t) => {
  const path = file(t);
  await assert.rejects(writeSnapshot(join(path, 'x.json'), DATA), {
    name: 'SnapshotError',
    message: /cannot be written: ENOENT$/,
  });
  assert.deepEqual(readdirSync(join(path, '..')), []);
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadKnownNames, loadMysqlFunctions } from './known-names.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-names-'));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

test('the lists that ship know what computes, what costs and what does more', () => {
  const { functions, operators, rowFunctions } = loadKnownNames();
  for (const name of ['lower', 'count', 'now', 'jsonb_build_object', 'format_type', 'row_number', 'to_tsvector']) {
    assert.equal(functions.get(name), 'pure', name);
  }
  for (const name of ['random', 'clock_timestamp', 'gen_random_uuid', 'currval'])
    assert.equal(functions.get(name), 'volatile', name);
  for (const name of ['generate_series', 'repeat', 'pg_sleep', 'pg_sleep_for']) {
    assert.equal(functions.get(name), 'resource', name);
  }
  for (const name of [
    'pg_read_file pg_read_binary_file pg_ls_dir pg_stat_file lo_get lo_import lo_export nextval setval set_config',
    'pg_terminate_backend pg_reload_conf query_to_xml table_to_xml cursor_to_xml database_to_xml ts_stat ts_rewrite',
    'pg_stat_get_activity pg_advisory_lock pg_notify pg_logical_emit_message pg_export_snapshot pg_switch_wal',
    'pg_get_functiondef textsend int4send record_send binary_upgrade_set_next_pg_type_oid pg_mcv_list_items setseed',
    'pg_create_restore_point pg_import_system_collations pg_promote pg_replication_origin_create int4in textin',
  ].flatMap((line) => line.split(' '))) {
    assert.equal(functions.get(name), 'other', name);
  }
  for (const operator of ['=', '<>', '||', '->>', '@>', '~', '~~', '^', '&&'])
    assert.ok(operators.has(operator), operator);
  assert.deepEqual(rowFunctions.get('jsonb_each_text'), ['key', 'value']);
  assert.equal(rowFunctions.has('unnest'), false);
});

test("a file of one's own adds functions and overrules the lists that ship", () => {
  const own = file('own.yaml', 'version: 1\npure: [public.add_vat, currval]\nother: [lower]\n');
  const { functions } = loadKnownNames([own]);
  assert.equal(functions.get('public.add_vat'), 'pure');
  assert.equal(functions.get('currval'), 'pure');
  assert.equal(functions.get('lower'), 'other');
});

test('a file that is wrong is named', () => {
  const wrong = file('wrong.yaml', 'version: 1\npur: [a]\n');
  assert.throws(() => loadKnownNames([wrong]), /wrong\.yaml: .*pur/);
  const twice = file('twice.yaml', 'version: 1\npure: [a]\nother: [a]\n');
  assert.throws(() => loadKnownNames([twice]), /twice\.yaml: a is listed twice/);
  assert.throws(() => loadKnownNames([join(directory, 'none.yaml')]), /none\.yaml/);
});

test('the list for MySQL knows what computes, what costs and what does more', () => {
  const functions = loadMysqlFunctions();
  for (const name of ['count', 'concat', 'now', 'json_extract', 'database', 'if', 'row_number'])
    assert.equal(functions.get(name), 'pure', name);
  for (const name of ['rand', 'uuid', 'found_rows', 'last_insert_id'])
    assert.equal(functions.get(name), 'volatile', name);
  for (const name of ['sleep', 'benchmark', 'repeat']) assert.equal(functions.get(name), 'resource', name);
  for (const name of ['load_file', 'get_lock', 'extractvalue', 'updatexml', 'setval', 'sys_exec'])
    assert.equal(functions.get(name), 'other', name);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { recordSchemaText, withEvents } from './record-schema.ts';

const docs = new URL('../../docs/', import.meta.url);

test('docs/records.schema.json and the table of docs/recording.md are what the schema says (else: node src/recording/record-schema.ts)', () => {
  assert.equal(readFileSync(new URL('records.schema.json', docs), 'utf8'), recordSchemaText());
  const page = readFileSync(new URL('recording.md', docs), 'utf8');
  assert.equal(page, withEvents(page));
  assert.ok(page.includes('`journal.checkpoint`'), 'the table is there');
});

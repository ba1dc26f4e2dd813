import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configOutline, type Outline } from './outline.ts';
import { configurationReference } from './reference.ts';

test('docs/configuration.md is what the schema says (else: node src/config/reference.ts)', () => {
  const written = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  assert.equal(written, configurationReference());
});

test('every key of sluice.yaml has a description', () => {
  const missing: string[] = [];
  const walk = (path: string, outline: Outline): void => {
    for (const [key, inner] of Object.entries(outline.properties ?? {})) {
      if (inner.description === undefined) missing.push(`${path}${key}`);
      walk(`${path}${key}.`, inner);
    }
    if (outline.items !== undefined) walk(path, outline.items);
  };
  walk('', configOutline);
  assert.deepEqual(missing, []);
});

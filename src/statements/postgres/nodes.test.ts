import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { FIXED_TYPES, NODE_DECISIONS } from './nodes.ts';

// The grammar's own list: the type declarations generated from the parser's protobuf description.
const packageFile = createRequire(createRequire(import.meta.url).resolve('libpg-query/package.json')).resolve(
  '@pgsql/types',
);
const declarations = readFileSync(packageFile.replace(/index\.js$/, 'types.d.ts'), 'utf8');
const nodeTypes = [...declarations.matchAll(/^ {4}(\w+): \1;$/gm)].map((match) => match[1]!);

test('every node type of the grammar has been decided about', () => {
  assert.ok(nodeTypes.length > 250, `only ${nodeTypes.length} node types found: the declarations changed their form`);
  assert.deepEqual(
    nodeTypes.filter((type) => !NODE_DECISIONS.has(type)),
    [],
  );
});

test('no decision is about a node type the grammar does not have', () => {
  assert.deepEqual(
    [...NODE_DECISIONS.keys()].filter((type) => !nodeTypes.includes(type)),
    [],
  );
});

test('every field that holds a node without naming its type is known', () => {
  const unknown: string[] = [];
  for (const [, type, body] of declarations.matchAll(/export interface (\w+) \{\n([^}]*)\}/g)) {
    const decision = NODE_DECISIONS.get(type!);
    if (decision === 'analysed' || decision === 'inert') continue;
    for (const [, field, fieldType] of body!.matchAll(/(\w+)\?: (\w+);/g)) {
      if (!nodeTypes.includes(fieldType!) || NODE_DECISIONS.get(fieldType!) === 'analysed') continue;
      const found = FIXED_TYPES.get(`${type}.${field}`) ?? FIXED_TYPES.get(field!);
      if (found !== fieldType) unknown.push(`${type}.${field}: ${fieldType}, listed as ${found}`);
    }
  }
  assert.deepEqual(unknown, []);
});

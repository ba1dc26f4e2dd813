/** Keeps the direction of imports: `cli, api, demo -> gateway, ... -> statements -> protocols`, and no cycles between folders. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

/**
 * Folders by layer, the highest first. A file may import from its own folder, from folders of its own layer and from those
 * below. `protocols` is the lowest: it imports nothing of ours.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['src/cli', 'src/api', 'src/demo', 'src/console'],
  [
    'src/gateway',
    'src/approvals',
    'src/identity',
    'src/recording',
    'src/policy',
    'src/rehearsal',
    'src/config',
    'src/telemetry',
    'src/store',
  ],
  ['src/masking', 'src/catalog'],
  ['src/statements'],
  ['protocols'],
];

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** The folder a file counts to: `src/gateway` for src/gateway/postgres/session.ts. */
function folderOf(path: string): string {
  const [first, second] = path.split('/');
  return first === 'src' ? `${first}/${second}` : first!;
}

function layerOf(folder: string): number {
  return LAYERS.findIndex((layer) => layer.includes(folder));
}

/** Relative imports of a source text: static, re-exports, dynamic, `import(...)` types and `new URL(..., import.meta.url)`. */
function importsIn(source: string): string[] {
  const patterns = [
    /(?:^|[;}\s])(?:import|export)\s(?:[^'";]*?\sfrom\s*)?['"](\.[^'"]*)['"]/g,
    /import\(\s*['"](\.[^'"]*)['"]/g,
    /new URL\(\s*['"](\.[^'"]*\.ts)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1]!));
}

function productImports(): Import[] {
  return (
    ['protocols', 'src']
      .flatMap((top) =>
        readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' }).map((name) => join(top, name)),
      )
      // Tests may reach further: nothing is run by them.
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
      .flatMap((file) =>
        importsIn(readFileSync(join(ROOT, file), 'utf8')).map((specifier) => {
          const target = relative(ROOT, resolve(ROOT, dirname(file), specifier));
          return { file, from: folderOf(file), to: folderOf(target) };
        }),
      )
  );
}

test('every import goes down the layers or stays in its own', () => {
  const imports = productImports();
  assert.ok(imports.length > 50, `only ${imports.length} imports found: the search is broken`);
  const wrong = imports.filter(
    ({ from, to }) => layerOf(from) === -1 || layerOf(to) === -1 || layerOf(to) < layerOf(from),
  );
  assert.deepEqual(
    wrong.map(({ file, to }) => `${file} imports from ${to}`),
    [],
  );
});

test('protocols and statements can be used on their own', () => {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    protocols: ['protocols'],
    'src/statements': ['src/statements', 'protocols'],
  };
  const wrong = productImports().filter(({ from, to }) => allowed[from] !== undefined && !allowed[from].includes(to));
  assert.deepEqual(
    wrong.map(({ file, to }) => `${file} imports from ${to}`),
    [],
  );
});

test('no folders import each other in a circle', () => {
  assert.deepEqual(circles(productImports()), []);
});

test('a circle, an upward import and every form of import would be found', () => {
  const at = (from: string, to: string) => ({ file: `${from}/x.ts`, from, to });
  assert.deepEqual(circles([at('a', 'b'), at('b', 'c'), at('c', 'a'), at('c', 'd')]), ['a -> b -> c -> a']);
  assert.deepEqual(circles([at('a', 'b'), at('a', 'c'), at('b', 'c')]), []);
  assert.ok(layerOf('src/gateway') < layerOf('src/statements'));
  assert.deepEqual(
    importsIn(`import type { A } from './a.ts';\nimport {\n  B,\n} from "../b.ts";\nexport * from './c.ts';\nimport './d.ts';
      const e = await import('./e.ts');\nnew Worker(new URL('./f.ts', import.meta.url));\nimport fs from 'node:fs';`).sort(),
    ['../b.ts', './a.ts', './c.ts', './d.ts', './e.ts', './f.ts'],
  );
});

/** Each circle once, from its alphabetically first folder. */
function circles(imports: readonly Import[]): string[] {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of imports) {
    if (from !== to) next.set(from, (next.get(from) ?? new Set()).add(to));
  }
  const found: string[] = [];
  const walk = (start: string, path: readonly string[]): void => {
    for (const folder of next.get(path.at(-1)!) ?? []) {
      if (folder === start) found.push([...path, start].join(' -> '));
      else if (folder > start && !path.includes(folder)) walk(start, [...path, folder]);
    }
  };
  for (const start of [...next.keys()].sort()) walk(start, [start]);
  return found;
}

#!/usr/bin/env node
// Plain JavaScript, so that an old Node, which cannot read TypeScript, can still say what it lacks.
import module from 'node:module';
import v8 from 'node:v8';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error(`Sluice needs Node 24.11 or newer; this is ${process.version}.`);
  process.exit(2);
}

// The grammar of PostgreSQL is WebAssembly with functions so large that to optimise them V8 takes up to 580 MB for a
// moment, at some time after the thousandth statement, and keeps 35 MB: too much for a parser that is a third faster.
v8.setFlagsFromString('--no-wasm-tier-up');
v8.setFlagsFromString('--no-wasm-dynamic-tiering');
// Whether V8's young generation grows is said elsewhere (young-generation.ts); loading code is no reason for it.
v8.setFlagsFromString('--semi-space-growth-factor=1');

// From the second start on, Node need not load its TypeScript stripper: a faster start and some 20 MB less memory.
module.enableCompileCache();

const { run } = await import('./program.ts');
await run(process.argv);

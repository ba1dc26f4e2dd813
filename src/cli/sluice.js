#!/usr/bin/env node
// Plain JavaScript, so that an old Node, which cannot read TypeScript, can still say what it lacks.
import module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error(`Sluice needs Node 24.11 or newer; this is ${process.version}.`);
  process.exit(2);
}

// From the second start on, Node need not load its TypeScript stripper: a faster start and some 20 MB less memory.
module.enableCompileCache();

const { run } = await import('./program.ts');
await run(process.argv);

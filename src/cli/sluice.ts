#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error(`Sluice needs Node 24.11 or newer; this is ${process.version}.`);
  process.exit(2);
}

// Loaded only now: on an older Node the modules themselves may not load.
const { run } = await import('./program.ts');
await run(process.argv);

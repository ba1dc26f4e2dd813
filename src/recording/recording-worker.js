// Plain JavaScript, so that Node need not load its TypeScript stripper into one more thread, as in src/cli/sluice.js.
import module from 'node:module';

module.enableCompileCache();
await import('./recording-worker.ts');

// The process behind settings.ts. Plain JavaScript, so that Node need not load its TypeScript stripper, as in sluice.js.
import module from 'node:module';

module.enableCompileCache();
const { readAll } = await import('./settings-reader.ts');
process.send(await readAll(process.argv[2]), () => process.disconnect());

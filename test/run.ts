/**
 * `npm test`: every `*.test.ts` through node's own runner. `npm test -- FILE...` runs only these files or globs. Exits
 * with 1 if a test failed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = join(import.meta.dirname, '..');

/**
 * Files that take longest: begun early, none of them runs on alone when all others are done. Those that run programs of
 * other languages, but for the longest of all, leave time to build them.
 */
const LONGEST = [
  ...['drivers-mysql', 'limits', 'soak', 'hostile-bytes', 'approvals-mysql', 'drivers-postgres', 'approvals-drivers'],
  ...['corpus', 'approvals', 'killing', 'mysql-ends', 'mysql-compression', 'hostile-mysql-bytes', 'mysql-tokens'],
].map((name) => `test/${name}.test.ts`);

/** Files at once. Most wait most of the time: for servers that start, drivers, limits. */
const AT_ONCE = 3;

/** What needs servers, and so takes longer than what stands beside the code. */
const WITH_SERVERS = 'test/**/*.test.ts';
const BESIDE_THE_CODE = ['bench', 'protocols', 'rules', 'src'].map((folder) => `${folder}/**/*.test.ts`);

/** Milliseconds one file may take: the driver matrix compiles its programs on a first run. */
const FILE_TIMEOUT = 900_000;

/** This Node if it is new enough, else the one npm installed beside the project. */
function suitableNode(): string {
  if (isSuitable(process.versions.node)) return process.execPath;
  const installed = join(root, 'node_modules/.bin/node');
  const version = existsSync(installed) ? spawnSync(installed, ['--version'], { encoding: 'utf8' }).stdout : '';
  if (isSuitable(version.replace(/^v/, ''))) return installed;
  console.error(`The tests need Node 24.11 or newer; this is ${process.version}, and npm installed none.`);
  process.exit(2);
}

function isSuitable(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 24 || (major === 24 && minor >= 11);
}

function found(patterns: readonly string[]): string[] {
  return globSync(patterns, { cwd: root }).sort();
}

const asked = process.argv.slice(2);
const node = suitableNode();
if (node !== process.execPath) {
  const again = spawnSync(node, [import.meta.filename, ...asked], { stdio: 'inherit' });
  process.exit(again.status ?? 1);
}
// Kept by all processes of the tests, and of Sluice in them, where Sluice itself keeps it.
process.env.NODE_COMPILE_CACHE = join(tmpdir(), 'node-compile-cache');
process.chdir(root);
const isAll = asked.length === 0;
const files = isAll ? new Set([...LONGEST, ...found([WITH_SERVERS]), ...found(BESIDE_THE_CODE)]) : found(asked);
if (isAll) {
  const builder = spawn(node, ['test/drivers/build-all.ts'], { stdio: 'ignore' });
  builder.unref();
  process.on('exit', () => builder.kill());
}
run({ files: [...files], concurrency: AT_ONCE, timeout: FILE_TIMEOUT })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);

/**
 * `npm test`: every `*.test.ts` through node's own runner, unit tests first, tests that need servers last.
 * `npm test -- FILE...` runs only these files or globs. Exits as the runner does.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The runner takes files in the order of their names, so `test` comes last by itself. */
const EVERYTHING = ['bench', 'protocols', 'rules', 'src', 'test'].map((folder) => `${folder}/**/*.test.ts`);

/** Milliseconds one file may take: the driver matrix compiles its programs on a first run. */
const FILE_TIMEOUT = 600_000;

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

const asked = process.argv.slice(2);
const patterns = asked.length > 0 ? asked : EVERYTHING;
const options = ['--test', '--test-concurrency=2', `--test-timeout=${FILE_TIMEOUT}`];
const run = spawnSync(suitableNode(), [...options, ...patterns], { cwd: root, stdio: 'inherit' });
if (run.error) throw run.error;
process.exit(run.status ?? 1);

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const SLUICE = join(import.meta.dirname, 'sluice.js');
const directory = mkdtempSync(join(tmpdir(), 'sluice-completion-'));
after(() => rmSync(directory, { recursive: true }));

function scriptFor(shell: string): string {
  return execFileSync(process.execPath, [SLUICE, 'completion', shell], { encoding: 'utf8' });
}

before(() => writeFileSync(join(directory, 'sluice.bash'), scriptFor('bash')));

/** What bash completes the last of these words to. */
function completed(...words: readonly string[]): string[] {
  const program = `source ./sluice.bash; COMP_WORDS=(sluice "$@"); COMP_CWORD=$#; _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['-c', program, 'bash', ...words], { cwd: directory, encoding: 'utf8' });
  return out.split('\n').filter((word) => word !== '');
}

test('bash completes commands, their options, and values where they are few', () => {
  assert.ok(completed('').includes('serve') && completed('').includes('reload'));
  assert.deepEqual(completed('rules', 'ex'), ['explain']);
  assert.ok(completed('rules', 'explain', '--').includes('--catalogue'));
  assert.ok(!completed('rules', 'check', '--').includes('--kind'));
  assert.deepEqual(completed('rules', 'explain', 'SELECT 1', '--kind', 'h'), ['human']);
  assert.deepEqual(completed('completion', 'z'), ['zsh']);
});

test('names of files are left to the shell', () => {
  assert.deepEqual(completed('rules', 'check', ''), []);
  assert.deepEqual(completed('serve', '--config', 'slu'), []);
});

test('every shell has a script, and one that is not known is a wrong argument', () => {
  assert.match(scriptFor('zsh'), /^autoload -U \+X bashcompinit/);
  assert.match(
    scriptFor('fish'),
    /^complete -c sluice -n '__fish_seen_subcommand_from status' -l json -d 'print JSON'$/m,
  );
  assert.throws(() => execFileSync(process.execPath, [SLUICE, 'completion', 'csh'], { stdio: 'pipe' }), { status: 2 });
});

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The source of a suite that is in no package. */
export interface ClonedSource {
  readonly name: string;
  /** Address or directory of a git repository. */
  readonly repository: string;
  readonly commit: string;
  /** Brings what the suite needs from npm. */
  readonly install: (run: (program: string, ...args: string[]) => void) => void;
}

/** Clones it into `directory`, where the next run finds it. */
export function cloneSource(directory: string, { name, repository, commit, install }: ClonedSource): void {
  const done = join(directory, '.prepared');
  if (existsSync(done)) return;
  console.log(`${name}: its source from ${repository}, and what it needs from npm`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const run = (program: string, ...args: string[]) => {
    execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
  };
  run('git', 'init', '--quiet');
  run('git', 'fetch', '--quiet', '--depth=1', repository, commit);
  run('git', 'checkout', '--quiet', 'FETCH_HEAD');
  install(run);
  writeFileSync(done, '');
}

import { spawnSync } from 'node:child_process';

/** True if a command of this name can be run. */
export function hasProgram(name: string): boolean {
  return spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;
}

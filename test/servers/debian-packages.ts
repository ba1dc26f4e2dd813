import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Installs packages with apt-get, and prints a line that says so. Only as root and only where CI is set: nobody wants a test
 * run to install things on their own machine. @returns false where that does not hold or the packages cannot be had
 */
export function installPackages(...names: readonly string[]): boolean {
  if (process.getuid?.() !== 0 || !process.env.CI || !existsSync('/usr/bin/apt-get')) return false;
  console.log(`installing ${names.join(' ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Test files that run beside this one may be installing as well.
  const options = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300'];
  const apt = (...args: string[]) =>
    spawnSync('apt-get', [...options, ...args], { env, stdio: 'ignore', timeout: 600_000 }).status === 0;
  const install = () => apt('install', '--no-install-recommends', ...names);
  if (install()) return true;
  apt('update');
  return install();
}

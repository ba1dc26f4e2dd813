import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { installPackages } from './debian-packages.ts';

export interface PostgresBinaries {
  /** Directory with `postgres` and `initdb`; Debian's also has `psql`, `pgbench` and `pg_dump`, the npm package's has not. */
  readonly binDir: string;
  /** Where they come from, for the line that says which server a run used. */
  readonly source: string;
}

const DEBIAN = '/usr/lib/postgresql';

/** Debian's binaries for this major version, or the highest one installed when `version` is undefined. */
export function debianBinaries(version: number | undefined): PostgresBinaries | null {
  if (!existsSync(DEBIAN)) return null;
  const installed = readdirSync(DEBIAN)
    .filter(
      (name) => (version === undefined || name === String(version)) && existsSync(join(DEBIAN, name, 'bin/initdb')),
    )
    .sort((a, b) => Number(b) - Number(a));
  const chosen = installed[0];
  return chosen === undefined ? null : { binDir: join(DEBIAN, chosen, 'bin'), source: 'the machine' };
}

/**
 * Installs PostgreSQL with apt-get. Only as root and only where CI is set: nobody wants a test run to install a server
 * on their own machine. `null` where that does not hold or the packages cannot be had.
 */
export function aptBinaries(version: number | undefined): PostgresBinaries | null {
  if (!installPackages(version === undefined ? 'postgresql' : `postgresql-${version}`)) return null;
  const found = debianBinaries(version);
  return found === null ? null : { ...found, source: 'apt-get' };
}

/** The full version of these binaries, such as `15.20`. */
export function versionOf(binDir: string): string {
  const text = execFileSync(join(binDir, 'postgres'), ['--version'], { encoding: 'utf8' });
  const version = /(\d+\.\d+)/.exec(text)?.[1];
  if (version === undefined) throw new Error(`${binDir}/postgres --version says "${text.trim()}"`);
  return version;
}

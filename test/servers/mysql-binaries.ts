import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

export interface MysqlBinaries {
  /** The server's program, and the arguments that come first. */
  readonly command: readonly string[];
  readonly source: string;
}

/** Where the unpacked server stays for the next run, outside the repository. */
const CACHE = join(tmpdir(), `sluice-mysql-server-${process.getuid?.() ?? 'any'}`);

/**
 * MySQL's server, version 8 or later: the one on the machine, else Debian's packages of it, which are in unstable only.
 * Where CI is set and apt-get is there, those are unpacked beside the system, which stays as it is, with all libraries
 * they need, and kept for the next run. `null`, with a line that says so, where neither can be had.
 */
export function mysqlBinaries(): MysqlBinaries | null {
  const found = installedServer() ?? unpackedServer();
  if (found !== null) return found;
  if (process.env.CI) {
    console.log(`MySQL: unpacking mysql-server-core of Debian unstable into ${CACHE}`);
    const reason = unpackServer();
    if (reason === null) return unpackedServer();
    console.log(`MySQL: ${reason}; tests that need a MySQL server cannot run`);
  } else {
    console.log('MySQL: no mysqld on this machine, and CI is not set; tests that need a MySQL server cannot run');
  }
  return null;
}

/** Found on the PATH, or where distributions put servers. MariaDB may have a mysqld, too. */
function installedServer(): MysqlBinaries | null {
  const path = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(delimiter);
  const run = spawnSync('mysqld', ['--version'], { env: { PATH: path }, encoding: 'utf8' });
  if (run.status !== 0 || run.stdout.includes('MariaDB') || !/Ver ([89]|\d\d)\./.test(run.stdout)) return null;
  const which = spawnSync('/bin/sh', ['-c', 'command -v mysqld'], { env: { PATH: path }, encoding: 'utf8' });
  return { command: [which.stdout.trim(), '--no-defaults'], source: 'the machine' };
}

/** The server in {@link CACHE}, run by the loader and with the libraries that were unpacked with it. */
function unpackedServer(): MysqlBinaries | null {
  const usr = join(CACHE, 'usr');
  if (!existsSync(join(usr, 'sbin', 'mysqld'))) return null;
  // A name in the directory for temporary files can be anybody's.
  if (process.getuid !== undefined && lstatSync(CACHE).uid !== process.getuid()) return null;
  const triplet = readdirSync(join(usr, 'lib')).find((name) => name.endsWith('-linux-gnu'));
  if (triplet === undefined) return null;
  const libraries = join(usr, 'lib', triplet);
  const loader = readdirSync(libraries).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
  if (loader === undefined) return null;
  return {
    command: [
      join(libraries, loader),
      '--library-path',
      libraries,
      join(usr, 'sbin', 'mysqld'),
      '--no-defaults',
      `--basedir=${usr}`,
      `--lc-messages-dir=${join(usr, 'share', 'mysql')}`,
      `--character-sets-dir=${join(usr, 'share', 'mysql', 'charsets')}`,
      `--plugin-dir=${join(usr, 'lib', 'mysql', 'plugin')}`,
    ],
    source: 'Debian unstable, unpacked',
  };
}

/** Fills {@link CACHE}. @returns why that cannot be done, `null` if it was */
function unpackServer(): string | null {
  const directory = mkdtempSync(`${CACHE}-`);
  try {
    const at = (...names: string[]) => join(directory, ...names);
    for (const name of ['sources', 'lists/partial', 'cache/archives/partial', 'state', 'root']) {
      mkdirSync(at(name), { recursive: true });
    }
    writeFileSync(
      at('sources', 'unstable.sources'),
      `Types: deb
URIs: http://deb.debian.org/debian
Suites: unstable
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`,
    );
    writeFileSync(at('status'), '');
    // A state of its own, with nothing installed: so apt-get brings everything the server needs, and the system's
    // packages and sources stay out of it.
    const options = {
      'Dir::Etc::SourceList': '/dev/null',
      'Dir::Etc::SourceParts': at('sources'),
      'Dir::Etc::Preferences': '/dev/null',
      'Dir::Etc::PreferencesParts': '/dev/null',
      'Dir::State': at('state'),
      'Dir::State::Lists': at('lists'),
      'Dir::State::Status': at('status'),
      'Dir::Cache': at('cache'),
      'APT::Sandbox::User': 'root',
      'Acquire::Retries': '3',
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const run = (program: string, args: string[]): string | null => {
      const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 300_000 });
      if (status === 0) return null;
      return `${program} failed: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
    };
    const failure =
      run('apt-get', [...flags, 'update']) ??
      run('apt-get', [...flags, '-y', '--no-install-recommends', '--download-only', 'install', 'mysql-server-core']);
    if (failure !== null) return failure;
    for (const name of readdirSync(at('cache', 'archives'))) {
      if (!name.endsWith('.deb')) continue;
      const failed = run('dpkg', ['-x', at('cache', 'archives', name), at('root')]);
      if (failed !== null) return failed;
    }
    try {
      renameSync(at('root'), CACHE);
    } catch (error) {
      // Another run was faster.
      if (unpackedServer() === null) return `${CACHE} cannot be made: ${error}`;
    }
    return null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

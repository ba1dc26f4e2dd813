import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

export interface MysqlBinaries {
  /** The server's program, and the arguments that come first. */
  readonly command: readonly string[];
  readonly source: string;
}

/** A package of Debian unstable, and where it stays unpacked for the next run, outside the repository. */
interface Unpacked {
  readonly name: string;
  readonly program: string;
  readonly directory: string;
}

const account = process.getuid?.() ?? 'any';
const SERVER: Unpacked = {
  name: 'mysql-server-core',
  program: 'usr/sbin/mysqld',
  directory: join(tmpdir(), `sluice-mysql-server-${account}`),
};
const CLIENT: Unpacked = {
  name: 'mysql-client-core',
  program: 'usr/bin/mysql',
  directory: join(tmpdir(), `sluice-mysql-client-${account}`),
};

/**
 * MySQL's server, version 8 or later: the one on the machine, else Debian's packages of it, which are in unstable only.
 * Where CI is set and apt-get is there, those are unpacked beside the system, which stays as it is, with all libraries
 * they need, and kept for the next run. `null`, with a line that says so, where neither can be had.
 */
export function mysqlBinaries(): MysqlBinaries | null {
  const installed = installedProgram('mysqld');
  if (installed !== null) return { command: [installed, '--no-defaults'], source: 'the machine' };
  const command = commandOf(SERVER) ?? unpacked(SERVER);
  if (command === null) return null;
  const usr = join(SERVER.directory, 'usr');
  return {
    command: [
      ...command,
      '--no-defaults',
      `--basedir=${usr}`,
      `--lc-messages-dir=${join(usr, 'share', 'mysql')}`,
      `--character-sets-dir=${join(usr, 'share', 'mysql', 'charsets')}`,
      `--plugin-dir=${join(usr, 'lib', 'mysql', 'plugin')}`,
    ],
    source: 'Debian unstable, unpacked',
  };
}

/** The directory of MySQL's `mysql` and `mysqldump`, version 8 or later; found as {@link mysqlBinaries} finds the server. */
export function mysqlClientDirectory(): string | null {
  const installed = installedProgram('mysql');
  if (installed !== null) return dirname(installed);
  const command = commandOf(CLIENT) ?? unpacked(CLIENT);
  if (command === null) return null;
  // By itself it would look for the libraries of the system.
  for (const name of ['mysql', 'mysqldump']) {
    const script = join(CLIENT.directory, name);
    const program = join(CLIENT.directory, 'usr', 'bin', name);
    writeFileSync(script, `#!/bin/sh\nexec ${command.slice(0, -1).join(' ')} ${program} "$@"\n`);
    chmodSync(script, 0o755);
  }
  return CLIENT.directory;
}

/** Found on the PATH, or where distributions put servers. MariaDB has programs of the same names. */
function installedProgram(name: string): string | null {
  const path = [process.env.PATH, '/usr/sbin', '/usr/local/sbin'].join(delimiter);
  const run = spawnSync(name, ['--version'], { env: { PATH: path }, encoding: 'utf8' });
  if (run.status !== 0 || run.stdout.includes('MariaDB') || !/Ver ([89]|\d\d)\./.test(run.stdout)) return null;
  return spawnSync('/bin/sh', ['-c', `command -v ${name}`], { env: { PATH: path }, encoding: 'utf8' }).stdout.trim();
}

/** The program of a package that is unpacked, run by the loader and with the libraries that came with it. */
function commandOf({ directory, program }: Unpacked): readonly string[] | null {
  if (!existsSync(join(directory, program))) return null;
  // A name in the directory for temporary files can be anybody's.
  if (process.getuid !== undefined && lstatSync(directory).uid !== process.getuid()) return null;
  const lib = join(directory, 'usr', 'lib');
  const triplet = readdirSync(lib).find((name) => name.endsWith('-linux-gnu'));
  if (triplet === undefined) return null;
  const libraries = join(lib, triplet);
  const loader = readdirSync(libraries).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
  if (loader === undefined) return null;
  return [join(libraries, loader), '--library-path', libraries, join(directory, program)];
}

function unpacked(what: Unpacked): readonly string[] | null {
  if (!process.env.CI) {
    console.log(`MySQL: no ${what.name} on this machine, and CI is not set; tests that need it cannot run`);
    return null;
  }
  console.log(`MySQL: unpacking ${what.name} of Debian unstable into ${what.directory}`);
  const reason = unpack(what);
  if (reason === null) return commandOf(what);
  console.log(`MySQL: ${reason}; tests that need ${what.name} cannot run`);
  return null;
}

/** @returns why that cannot be done, `null` if it was */
function unpack(what: Unpacked): string | null {
  const directory = mkdtempSync(`${what.directory}-`);
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
    // A state of its own, with nothing installed: so apt-get brings everything the program needs, and the system's
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
      run('apt-get', [...flags, '-y', '--no-install-recommends', '--download-only', 'install', what.name]);
    if (failure !== null) return failure;
    for (const name of readdirSync(at('cache', 'archives'))) {
      if (!name.endsWith('.deb')) continue;
      const failed = run('dpkg', ['-x', at('cache', 'archives', name), at('root')]);
      if (failed !== null) return failed;
    }
    try {
      renameSync(at('root'), what.directory);
    } catch (error) {
      // Another run was faster.
      if (commandOf(what) === null) return `${what.directory} cannot be made: ${error}`;
    }
    return null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

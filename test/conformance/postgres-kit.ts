import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unprivilegedAccount } from '../servers/account.ts';

/** A PostgreSQL 15 and its own tests, all of one Debian version, built and ready to run. */
export interface PostgresKit {
  /** Debian version of server, clients, test drivers and tests, such as `15.20-0+deb12u1`. */
  readonly version: string;
  /** Debian version of the machine's own postgresql-15; `null` where none is installed. */
  readonly installed: string | null;
  /** Root of the unpacked source. */
  readonly source: string;
  /** Directory of `postgres`, `initdb` and `psql`. */
  readonly binDir: string;
  /** Directory with `regress/pg_regress` and `isolation/pg_isolation_regress`. */
  readonly drivers: string;
  /** Directory with regress.so, refint.so and autoinc.so. */
  readonly modules: string;
  /** The program `libpq_pipeline`. */
  readonly libpqPipeline: string;
}

const SERVER_PACKAGES = ['postgresql-15', 'postgresql-client-15', 'postgresql-server-dev-15'];

/**
 * Prepares the kit below `directory` (hundreds of MB, kept for later runs). It takes the version that is installed on
 * the machine, or the newest one whose source the Debian archive still has: expected results belong to one exact
 * version, so server, clients and tests are unpacked together and the machine's own server is not used.
 * Throws where apt-get, a compiler, make or libpq's headers are missing, or the archive offers no version.
 */
export function preparePostgresKit(directory: string): PostgresKit {
  const installed = installedVersion();
  mkdirSync(directory, { recursive: true });
  const apt = privateApt(directory);
  const complete = (version: string) => existsSync(join(directory, version, 'complete'));
  if (installed !== null && complete(installed)) return kitAt(directory, installed, installed);

  apt('apt-get', ['update'], directory);
  const offered = new Set(
    apt('apt-cache', ['showsrc', 'postgresql-15'], directory)
      .match(/(?<=^Version: )\S+/gm)
      ?.sort(newestFirst) ?? [],
  );
  const wanted = installed === null ? [...offered] : [installed, ...[...offered].filter((v) => v !== installed)];
  const refusals: string[] = [];
  for (const version of wanted) {
    if (complete(version)) return kitAt(directory, version, installed);
    const home = join(directory, version);
    rmSync(home, { recursive: true, force: true });
    mkdirSync(home, { recursive: true });
    try {
      apt('apt-get', ['source', `postgresql-15=${version}`], home);
    } catch (error) {
      rmSync(home, { recursive: true });
      const { message } = error as Error;
      refusals.push(`${version}: ${message}`);
      const reason = /^E: .*$/m.exec(message)?.[0] ?? message;
      console.log(`The source of postgresql-15 ${version} cannot be had: ${reason}`);
      continue;
    }
    apt('apt-get', ['download', ...SERVER_PACKAGES.map((name) => `${name}=${version}`)], home);
    for (const file of readdirSync(home).filter((name) => name.endsWith('.deb'))) {
      run('dpkg-deb', ['-x', file, 'packages'], home);
    }
    const kit = kitAt(directory, version, installed);
    build(kit);
    writeFileSync(join(home, 'complete'), '');
    return kit;
  }
  throw new Error(`no source of postgresql-15 can be had:\n${refusals.join('\n')}`);
}

function kitAt(directory: string, version: string, installed: string | null): PostgresKit {
  const home = join(directory, version);
  const source = join(home, `postgresql-15-${version.replace(/-[^-]*$/, '')}`);
  const server = join(home, 'packages/usr/lib/postgresql/15');
  mustBeReadableByTheServer(join(source, 'src/test/regress/parallel_schedule'));
  return {
    version,
    installed,
    source,
    binDir: join(server, 'bin'),
    drivers: join(server, 'lib/pgxs/src/test'),
    modules: join(source, 'modules'),
    libpqPipeline: join(source, 'src/test/modules/libpq_pipeline/libpq_pipeline'),
  };
}

/** Builds with PostgreSQL's own makefiles: they carry options the expected results depend on, such as REFINT_VERBOSE. */
function build(kit: PostgresKit): void {
  const pgConfig = `PG_CONFIG=${join(kit.binDir, 'pg_config')}`;
  const make = (folder: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
    run('make', ['-s', 'USE_PGXS=1', pgConfig, ...args], join(kit.source, folder), env);
  make('contrib/spi', ['refint.so', 'autoinc.so']);
  // regress.c has no makefile that works outside a configured tree.
  const regress = join(kit.source, 'src/test/regress');
  writeFileSync(join(regress, 'pgxs.mk'), 'MODULES = regress\nPGXS := $(shell $(PG_CONFIG) --pgxs)\ninclude $(PGXS)\n');
  make('src/test/regress', ['-f', 'pgxs.mk', 'regress.so']);
  // libpq's headers and library are the machine's (libpq-dev). LIBS replaces all the libraries the server was linked
  // with, most of which have no development files on a machine that only runs it.
  make('src/test/modules/libpq_pipeline', ['LIBS=-lpq -lpgcommon -lpgport -lm', 'libpq_pipeline'], {
    CPATH: run('pg_config', ['--includedir'], kit.source).trim(),
  });
  mkdirSync(kit.modules);
  run('cp', [join(regress, 'regress.so'), 'contrib/spi/refint.so', 'contrib/spi/autoinc.so', kit.modules], kit.source);
}

function installedVersion(): string | null {
  const query = spawnSync('dpkg-query', ['-W', '-f', '$' + '{Version}', 'postgresql-15'], { encoding: 'utf8' });
  return query.status === 0 && query.stdout !== '' ? query.stdout : null;
}

/** Runs apt with package lists of its own, so that neither source packages nor an update change the machine's. */
function privateApt(directory: string): (program: string, args: string[], cwd: string) => string {
  const home = join(directory, 'apt');
  const parts = join(home, 'sources.list.d');
  for (const folder of [parts, join(home, 'lists/partial'), join(home, 'cache/archives/partial')]) {
    mkdirSync(folder, { recursive: true });
  }
  const system = '/etc/apt/sources.list.d';
  const files = existsSync(system) ? readdirSync(system).map((name) => join(system, name)) : [];
  for (const file of ['/etc/apt/sources.list', ...files].filter((name) => /\.(list|sources)$/.test(name))) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    const withSources = file.endsWith('.sources')
      ? text.replace(/^Types:.*$/gm, 'Types: deb deb-src')
      : text.replace(/^deb(\s.*)$/gm, 'deb$1\ndeb-src$1');
    writeFileSync(join(parts, file.split('/').at(-1)!), withSources);
  }
  const options = [
    ['Dir::Etc::SourceList', '/dev/null'],
    ['Dir::Etc::SourceParts', parts],
    ['Dir::State::Lists', join(home, 'lists')],
    ['Dir::Cache', join(home, 'cache')],
    // The account apt downloads under cannot write here.
    ['APT::Sandbox::User', 'root'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return (program, args, cwd) => run(program, ['-q', ...options, ...args], cwd);
}

function run(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const result = spawnSync(program, args, {
    cwd,
    env: { ...process.env, LC_ALL: 'C', ...env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error) throw new Error(`${program} does not run: ${result.error.message}`);
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(' ')}\n${result.stderr}${result.stdout.slice(-2000)}`);
  return result.stdout;
}

function newestFirst(a: string, b: string): number {
  const later = spawnSync('dpkg', ['--compare-versions', a, 'gt', b]).status === 0;
  return later ? -1 : 1;
}

/** The server reads the tests' data files itself (COPY ... FROM); below root's home its account could not. */
function mustBeReadableByTheServer(file: string): void {
  const account = unprivilegedAccount('postgres');
  if (account === null) return;
  try {
    execFileSync('test', ['-r', file], { ...account, cwd: '/' });
  } catch {
    throw new Error(`the account PostgreSQL runs under cannot read ${file}: put this clone where it can`);
  }
}

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { installPackages } from '../servers/debian-packages.ts';

/**
 * What makes the programs of the matrix runnable, by language. Each is built with all others of its language, since most
 * of the time goes into what they share, and kept for the next run. Rejects if a tool that is there fails.
 */

const run = promisify(execFile);
const here = import.meta.dirname;
/** What tool chains build and download, kept between runs. */
const cache = join(here, '../../var/test-cache');

/** The command, or which tool this machine lacks. */
export type Runnable = { readonly command: readonly string[] } | { readonly missing: string };

type Built<T> = T | { readonly missing: string };

export async function node(file: string): Promise<Runnable> {
  return { command: [process.execPath, '--disable-warning=DeprecationWarning', join(here, 'node', file)] };
}

/** The script, told where the program is: beside the server's own (`binDir`), else wherever the machine has it. */
export async function shell(script: string, name: string, binDir: string | null): Promise<Runnable> {
  const directories = [binDir, ...(process.env.PATH ?? '').split(':')];
  const directory = directories.find((path) => path && existsSync(join(path, name)));
  if (!directory) return { missing: `no ${name} on this machine` };
  return { command: ['bash', join(here, 'programs', script), directory, name] };
}

export async function python(file: string, ...args: string[]): Promise<Runnable> {
  const built = await environment();
  if ('missing' in built) return built;
  return { command: [join(built.directory, 'bin/python'), '-B', join(here, 'python', file), ...args] };
}

/** Compiled here against MariaDB's client library, because it has no wheel; so it is installed by itself. */
export async function mysqlclient(): Promise<Runnable> {
  const built = await environmentWithMysqlclient();
  return 'missing' in built ? built : python('mysql_checks.py', 'mysqlclient');
}

export async function go(name: string): Promise<Runnable> {
  const built = await goPrograms();
  return 'missing' in built ? built : { command: [join(built.directory, name)] };
}

export async function java(program: string, ...args: string[]): Promise<Runnable> {
  const built = await javaClasses();
  if ('missing' in built) return built;
  const classPath = `${built.jars}/*:${built.classes}`;
  return { command: ['java', '-XX:+UseSerialGC', '-cp', classPath, `sluice.drivers.${program}`, ...args] };
}

export async function rust(program: string): Promise<Runnable> {
  const built = await rustPrograms();
  return 'missing' in built ? built : { command: [join(built.directory, program)] };
}

const environment = shared<{ directory: string }>('python', async () => {
  if (!(await has('python3', '-m', 'venv', '--help'))) return { missing: 'no python3 with venv on this machine' };
  const requirements = join(here, 'python/requirements.txt');
  const { stdout: version } = await run('python3', ['--version']);
  const directory = join(cache, 'python');
  const done = join(directory, 'requirements.sha256');
  const wanted = hash(version, readFileSync(requirements));
  if (!existsSync(done) || readFileSync(done, 'utf8') !== wanted) {
    rmSync(directory, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', directory]);
    await run(join(directory, 'bin/pip'), ['install', '--quiet', '--no-deps', '-r', requirements]);
    writeFileSync(done, wanted);
  }
  return { directory };
});

const environmentWithMysqlclient = shared<{ directory: string }>('mysqlclient', async () => {
  const hasLibrary = async () => (await has('mariadb_config', '--version')) && (await has('pkg-config', '--version'));
  if (!(await hasLibrary())) installPackages('libmariadb-dev', 'pkg-config');
  if (!(await hasLibrary())) return { missing: 'no libmariadb-dev on this machine' };
  const built = await environment();
  if ('missing' in built) return built;
  const packages = join(here, 'python/requirements-mysqlclient.txt');
  await run(join(built.directory, 'bin/pip'), ['install', '--quiet', '--no-deps', '-r', packages]);
  return built;
});

const goPrograms = shared<{ directory: string }>('go', async () => {
  if (!(await has('go', 'version'))) return { missing: 'no go on this machine' };
  const directory = join(cache, 'go');
  await run('go', ['build', '-o', `${directory}/`, './pgx', './pq', './mysql', './masked'], { cwd: join(here, 'go') });
  return { directory };
});

/** For tools of Java: they end before compiling more would make them any faster. */
const SHORT_LIVED = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

const javaClasses = shared<{ jars: string; classes: string }>('java', async () => {
  const folder = join(here, 'java');
  const pom = join(folder, 'pom.xml');
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.java'))
    .map((name) => join(folder, name));
  const jars = join(cache, 'java', `jars-${hash(readFileSync(pom))}`);
  const classes = join(cache, 'java', `classes-${hash(jars, ...sources.map((path) => readFileSync(path)))}`);
  if (existsSync(classes)) return { jars, classes };
  if (!(await has('javac', '-version'))) return { missing: 'no javac on this machine' };
  if (!(await has('mvn', '--version'))) return { missing: 'no mvn on this machine' };
  if (!existsSync(jars)) {
    rmSync(join(cache, 'java'), { recursive: true, force: true });
    const copy = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}.partial`];
    await run('mvn', copy, { env: { ...process.env, MAVEN_OPTS: SHORT_LIVED.join(' ') } });
    renameSync(`${jars}.partial`, jars);
  }
  // Whole or not there at all: other processes run these classes while this one might write them again.
  const options = ['-encoding', 'UTF-8', '-proc:none', ...SHORT_LIVED.map((option) => `-J${option}`)];
  await run('javac', [...options, '-cp', `${jars}/*`, '-d', `${classes}.partial`, ...sources]);
  renameSync(`${classes}.partial`, classes);
  return { jars, classes };
});

const rustPrograms = shared<{ directory: string }>('rust', async () => {
  if (!(await has('cargo', '--version'))) return { missing: 'no cargo on this machine' };
  const target = join(cache, 'rust');
  const manifest = join(here, 'rust/Cargo.toml');
  await run('cargo', ['build', '-q', '--locked', '--bins', '--manifest-path', manifest, '--target-dir', target]);
  return { directory: join(target, 'debug') };
});

/**
 * Made once by this process, and by one process of this checkout at a time: test files run beside each other, and share
 * what is built.
 */
function shared<T>(name: string, make: () => Promise<Built<T>>): () => Promise<Built<T>> {
  let made: Promise<Built<T>> | null = null;
  const alone = async () => {
    const lock = join(cache, `building-${name}`);
    mkdirSync(cache, { recursive: true });
    while (!take(lock)) await sleep(100);
    try {
      return await make();
    } finally {
      rmSync(lock, { force: true });
    }
  };
  return () => {
    made ??= alone();
    return made;
  };
}

/** @returns false while another process, that is still there, holds it */
function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    // Just made and not written yet: 0.
    if (holder > 0) process.kill(holder, 0);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ESRCH') rmSync(lock, { force: true });
    else if (code !== 'ENOENT') throw error;
  }
  return false;
}

/** True if the machine has this program; `args` is what makes it say its version. */
async function has(program: string, ...args: string[]): Promise<boolean> {
  try {
    await run(program, args);
    return true;
  } catch {
    return false;
  }
}

function hash(...parts: readonly (string | Buffer)[]): string {
  const all = createHash('sha256');
  for (const part of parts) all.update(part);
  return all.digest('hex').slice(0, 16);
}

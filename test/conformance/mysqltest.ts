import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startMariadb } from '../servers/mariadb.ts';
import type { MysqlFamilyServer } from '../servers/mysql-family.ts';
import { clientEnvironment, type Suite, type Target } from './suite.ts';
import { runTestProgram } from './test-program.ts';

/** Where Debian's mariadb-test-data has MariaDB's own tests. */
const TESTS = '/usr/share/mysql/mysql-test';
/** Time one test may take, milliseconds; the longest of them takes two seconds on an idle machine. */
const TEST_LIMIT_MS = 120_000;
/** What MariaDB's own driver of these tests starts its servers with, as far as results show it. */
const SETTINGS = {
  default_storage_engine: 'MyISAM',
  character_set_server: 'latin1',
  collation_server: 'latin1_swedish_ci',
};
const ACCOUNT = { user: 'tester', password: 'tester' };

/**
 * MariaDB's own tests: SQL scripts run by its mysqltest, output compared to the letter, by a user without any global
 * privilege. Of the tests in `main` it is those of mysqltest-tests.txt: they pass directly without a server made for
 * them, without a restart, and without reading the server's files.
 */
export function mysqltest(): Suite {
  if (!existsSync(join(TESTS, 'main')) && process.getuid?.() === 0) {
    console.log('installing mariadb-test and mariadb-test-data with apt-get');
    const packages = ['install', '-y', '--no-install-recommends', 'mariadb-test', 'mariadb-test-data'];
    spawnSync('apt-get', ['-q', ...packages], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  }
  if (!existsSync(join(TESTS, 'main')))
    throw new Error('mysqltest needs the packages mariadb-test and mariadb-test-data');
  const tests = readFileSync(join(import.meta.dirname, 'mysqltest-tests.txt'), 'utf8')
    .trim()
    .split('\n');
  let server: MysqlFamilyServer | null = null;
  return {
    name: 'mysqltest',
    protocol: 'mysql',
    mysqlPlugin: 'mysql_native_password',
    databases: ['test'],
    async start() {
      const started = await startMariadb({ config: SETTINGS });
      if (started === null) throw new Error('mysqltest needs a MariaDB server');
      server = started;
      await server.query(`CREATE USER '${ACCOUNT.user}'@'%' IDENTIFIED BY '${ACCOUNT.password}';
        GRANT ALL ON test.* TO '${ACCOUNT.user}'@'%'; GRANT ALL ON \`mysqltest%\`.* TO '${ACCOUNT.user}'@'%'`);
      return { target: { host: server.host, port: server.port, ...ACCOUNT }, stop: () => started.stop() };
    },
    async run(target, directory, finished) {
      const outcomes = [];
      for (const test of tests) {
        // What a test that failed leaves behind must not fail the next.
        await server?.query('DROP DATABASE IF EXISTS test; CREATE DATABASE test');
        const detail = await runTest(target, directory, test);
        outcomes.push({ test, passed: detail === '', detail });
        finished({ test, passed: detail === '' });
      }
      return outcomes;
    },
  };
}

/** Empty when the test passed, otherwise what went wrong. */
async function runTest(target: Target, directory: string, test: string): Promise<string> {
  const folder = join(directory, test);
  mkdirSync(folder);
  const file = join(TESTS, 'main', test);
  const access = [`--host=${target.host}`, `--port=${target.port}`, `--user=${target.user}`];
  return runTestProgram(
    [
      'mysqltest',
      '--no-defaults',
      '--silent',
      ...access,
      `--password=${target.password}`,
      '--database=test',
      `--basedir=${TESTS}`,
      `--test-file=${file}.test`,
      `--result-file=${file}.result`,
      `--tmpdir=${folder}`,
      `--logdir=${folder}`,
    ],
    {
      cwd: TESTS,
      env: { ...clientEnvironment(target), MYSQL_TEST_DIR: TESTS, MYSQLTEST_VARDIR: folder, MYSQL_TMP_DIR: folder },
      limitMs: TEST_LIMIT_MS,
    },
  );
}

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { startMysql } from '../servers/mysql.ts';
import { cloneSource } from './cloned-source.ts';
import { clientEnvironment, type Suite, type TestOutcome } from './suite.ts';
import { runTestProgram } from './test-program.ts';

/** Time one test may take, milliseconds; the longest of them takes ten seconds on an idle machine. */
const TEST_LIMIT_MS = 60_000;
/** As many tests at a time as its authors run. */
const WIDTH = 8;

/**
 * mysql2's own tests of connections and pools (`test/integration`, and `test/global`, whose tests change what all see and
 * run one after the other), each a program of its own, by a user with all privileges of a MySQL.
 *
 * @param home where its source is kept for the next run
 */
export function mysql2(home: string): Suite {
  const directory = join(home, 'mysql2');
  cloneSource(directory, {
    name: 'mysql2',
    repository: process.env.MYSQL2_REPOSITORY ?? 'https://github.com/sidorares/node-mysql2.git',
    commit: '928c3c511a0316713966ade2cf27e47285feb878',
    install: (run) => run('npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'),
  });
  const files = execFileSync('git', ['ls-files', 'test/integration', 'test/global'], {
    cwd: directory,
    encoding: 'utf8',
  });
  const tests = files.split('\n').filter((file) => file.endsWith('.test.mts'));
  const [together, alone] = [false, true].map((isGlobal) =>
    tests.filter((test) => test.startsWith('test/global/') === isGlobal),
  );
  return {
    name: 'mysql2',
    protocol: 'mysql',
    mysqlPlugin: 'caching_sha2_password',
    databases: ['test'],
    async start() {
      // EXPLAIN as the servers had it that the tests were written on.
      const config = { local_infile: '1', max_allowed_packet: '64M', explain_format: 'TRADITIONAL' };
      const server = await startMysql({ config });
      if (server === null) throw new Error('mysql2 needs a MySQL server');
      await server.query('CREATE DATABASE test');
      const { host, port, superuser: user, password } = server;
      return { target: { host, port, user, password }, stop: () => server.stop() };
    },
    async run(target, _output, finished) {
      const env = {
        ...clientEnvironment(target),
        // Without it they log in without a password.
        CI: '1',
        MYSQL_HOST: target.host,
        MYSQL_PORT: String(target.port),
        MYSQL_USER: target.user,
        MYSQL_PASSWORD: target.password ?? '',
        MYSQL_DATABASE: 'test',
      };
      const outcomes: TestOutcome[] = [];
      const work = async (left: string[]) => {
        for (let test = left.shift(); test !== undefined; test = left.shift()) {
          const command = [process.execPath, '--import', 'tsx', test];
          const detail = await runTestProgram(command, { cwd: directory, env, limitMs: TEST_LIMIT_MS });
          outcomes.push({ test, passed: detail === '', detail });
          finished({ test, passed: detail === '' });
        }
      };
      const queue = [...together!];
      await Promise.all(Array.from({ length: WIDTH }, () => work(queue)));
      await work([...alone!]);
      return outcomes;
    },
  };
}

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../servers/postgres.ts';
import { cloneSource } from './cloned-source.ts';
import { clientEnvironment, type Suite } from './suite.ts';
import { runTestProgram } from './test-program.ts';

/** Time one test may take, milliseconds. */
const TEST_LIMIT_MS = 60_000;
const DATABASE = 'node_postgres';
/** They want a server with TLS and its certificate in a file of theirs. */
const LEFT_OUT = ['client/ssl-tests.js', 'gh-issues/2085-tests.js'];

/**
 * node-postgres' own integration tests, each a program of its own, by a superuser.
 *
 * @param home where its source is kept for the next run
 */
export function nodePostgres(home: string): Suite {
  const directory = join(home, 'node-postgres');
  cloneSource(directory, {
    name: 'node-postgres',
    repository: process.env.NODE_POSTGRES_REPOSITORY ?? 'https://github.com/brianc/node-postgres.git',
    commit: 'c9e57617bc92c2ded23a75345f50eadc527bd131',
    // Its own lock file would bring browsers and compilers, too. Without the package file of the repository, npm takes the
    // package alone.
    install: (run) => {
      run('rm', 'package.json');
      run('npm', ...INSTALL, '--prefix', 'packages/pg', '--omit=dev');
      run('npm', ...INSTALL, ...NEEDED);
    },
  });
  const integration = join(directory, 'packages/pg/test/integration');
  const tests = readdirSync(integration, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('-tests.js') && !LEFT_OUT.includes(file))
    .sort();
  return {
    name: 'node-postgres',
    protocol: 'postgres',
    // One of them has psql end a session from there.
    databases: [DATABASE, 'template1'],
    async start() {
      const server = await startPostgres();
      await server.query(`CREATE DATABASE ${DATABASE}`);
      const { host, port, superuser: user, password } = server;
      return { target: { host, port, user, password }, stop: () => server.stop() };
    },
    async run(target, _output, finished) {
      const { host, port, user, password } = target;
      const env = {
        ...clientEnvironment(target),
        PGHOST: host,
        PGPORT: String(port),
        PGUSER: user,
        PGDATABASE: DATABASE,
      };
      const url = `postgres://${user}:${password}@${host}:${port}/${DATABASE}`;
      const outcomes = [];
      for (const test of tests) {
        const command = [process.execPath, join(integration, test), url];
        const detail = await runTestProgram(command, { cwd: integration, env, limitMs: TEST_LIMIT_MS });
        outcomes.push({ test, passed: detail === '', detail });
        finished({ test, passed: detail === '' });
      }
      return outcomes;
    },
  };
}

const INSTALL = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-save', '--loglevel=error'];
/** What the tests need besides the package's own dependencies. */
const NEEDED = ['async@2.6.4', 'bluebird@3.7.2', 'co@4.6.0', 'pg-copy-streams@0.3.0'];

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type DriverProgram, type DriverReport, PROGRAMS, runProgram } from './drivers/programs.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

const RULES = `version: 1
rules:
  - id: refused-table-is-never-emptied
    match: { effects: [delete], tables: [public.refused_table], predicate: [none] }
    action: deny
    hint: Add a WHERE clause that names the rows you mean.
`;
const USER = { name: 'driver', password: 'a password with spaces, ünicode and "quotes"' };

/** Checks that need a rule: a direct run reports them as skipped, a run through Sluice must not. */
const NEEDS_RULES = ['refusal', 'refusal-in-transaction'];

describe('every driver of the matrix', () => {
  let postgres: PostgresServer;
  let clear: Sluice;
  let encrypted: Sluice;

  before(async () => {
    postgres = await startPostgres({ ssl: true, config: { log_statement: 'all' } });
    await postgres.query(
      'CREATE TABLE refused_table (id int); INSERT INTO refused_table VALUES (1), (2), (3); GRANT ALL ON refused_table TO public',
    );
    const { host, port, database, superuser: user, password } = postgres;
    const upstream = { host, port, database, user, password };
    const ca = postgres.certificates?.ca ?? '';
    // One Sluice in clear on both legs, one with TLS on both.
    clear = await startSluice({ connections: [{ name: 'postgres', upstream }], users: [USER], rulesYaml: RULES });
    encrypted = await startSluice({
      connections: [{ name: 'postgres', upstream: { ...upstream, ca } }],
      users: [USER],
      rulesYaml: RULES,
      tls: true,
    });
  });
  after(async () => {
    await Promise.all([clear?.stop(), encrypted?.stop()]);
    await postgres?.stop();
  });

  /** The same on every way: all checks there, all of them passed. */
  const passes = (program: DriverProgram, reports: DriverReport[], direct: boolean) => {
    assert.deepEqual(
      reports.filter((report) => !report.ok),
      [],
    );
    assert.deepEqual(
      reports.map((report) => report.check),
      program.checks,
    );
    const skipped = reports.filter((report) => report.detail.startsWith('skipped')).map((report) => report.check);
    assert.deepEqual(skipped, direct ? program.checks.filter((check) => NEEDS_RULES.includes(check)) : []);
  };

  for (const program of PROGRAMS) {
    describe(program.name, () => {
      let reason: string | null = null;
      let command: readonly string[] = [];
      before(async () => {
        const built = await program.build(postgres);
        if ('missing' in built) reason = built.missing;
        else command = built.command;
      });

      for (const sslmode of ['disable', 'verify-full'] as const) {
        const way = sslmode === 'disable' ? 'in clear' : 'with TLS';
        test(`passes its checks directly, ${way}`, async (t) => {
          if (reason !== null) return t.skip(`NOT RUN: ${reason}`);
          const target = {
            port: postgres.port,
            user: postgres.superuser,
            password: postgres.password,
            ca: postgres.certificates?.ca ?? '',
          };
          passes(program, await runProgram(command, 'direct', sslmode, target), true);
        });
        test(`passes the same and is refused what a rule refuses through Sluice, ${way}`, async (t) => {
          if (reason !== null) return t.skip(`NOT RUN: ${reason}`);
          const sluice = sslmode === 'disable' ? clear : encrypted;
          const ca = encrypted.certificates?.ca ?? '';
          const target = { port: sluice.port, user: USER.name, password: USER.password, ca };
          passes(program, await runProgram(command, 'sluice', sslmode, target), false);
        });
      }
    });
  }

  test('no refused DELETE has reached the server, and every one is in the journal', async () => {
    // Of all programs only node-postgres surely runs on every machine; in the log is what any of them got through.
    assert.match(postgres.log(), /statement: CREATE TEMP TABLE undone/);
    assert.doesNotMatch(postgres.log(), /DELETE FROM refused_table/);
    assert.deepEqual(await postgres.query('SELECT count(*)::int FROM refused_table'), [{ count: 3 }]);
    for (const sluice of [clear, encrypted]) {
      const attempts = sluice.journal().filter((record) => /DELETE FROM refused_table/.test(String(record.text)));
      assert.ok(attempts.length >= 2);
      for (const attempt of attempts) {
        assert.equal(attempt.verdict, 'deny');
        assert.deepEqual(attempt.rules, ['refused-table-is-never-emptied']);
      }
    }
  });
});

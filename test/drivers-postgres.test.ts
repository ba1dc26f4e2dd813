import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { declareMatrix } from './drivers/matrix.ts';
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

describe('every PostgreSQL driver of the matrix', () => {
  let postgres: PostgresServer;
  let clear: Sluice;
  let tls: Sluice;

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
    tls = await startSluice({
      connections: [{ name: 'postgres', upstream: { ...upstream, ca } }],
      users: [USER],
      rulesYaml: RULES,
      tls: true,
    });
  });
  after(async () => {
    await Promise.all([clear?.stop(), tls?.stop()]);
    await postgres?.stop();
  });

  declareMatrix('postgres', () => ({
    binDir: postgres.binDir,
    direct: () => ({
      ...{ port: postgres.port, user: postgres.superuser, password: postgres.password, database: postgres.database },
      ca: postgres.certificates?.ca ?? '',
    }),
    sluice: (encrypted) => ({
      port: (encrypted ? tls : clear).port,
      ...{ user: USER.name, password: USER.password, database: postgres.database },
      ca: tls.certificates?.ca ?? '',
    }),
  }));

  test('no refused DELETE has reached the server, and every one is in the journal', async () => {
    // Of all programs only node-postgres surely runs on every machine; in the log is what any of them got through.
    assert.match(postgres.log(), /statement: CREATE TEMP TABLE undone/);
    assert.doesNotMatch(postgres.log(), /DELETE FROM refused_table/);
    assert.deepEqual(await postgres.query('SELECT count(*)::int FROM refused_table'), [{ count: 3 }]);
    for (const sluice of [clear, tls]) {
      const attempts = sluice.journal().filter((record) => /DELETE FROM refused_table/.test(String(record.text)));
      assert.ok(attempts.length >= 2);
      for (const attempt of attempts) {
        assert.equal(attempt.verdict, 'deny');
        assert.deepEqual(attempt.rules, ['refused-table-is-never-emptied']);
      }
    }
  });
});

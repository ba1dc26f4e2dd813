import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startPostgres } from './postgres.ts';

test('a server with TLS and settings of its own starts, answers, and leaves nothing when stopped', async () => {
  const server = await startPostgres({ ssl: true, config: { work_mem: '7MB', application_name: "it's" } });
  try {
    assert.deepEqual(
      await server.query(
        "SELECT 1 AS a; SELECT current_setting('work_mem') AS w, current_setting('application_name') AS n",
      ),
      [{ w: '7MB', n: "it's" }],
    );
    const { host, port, password, certificates } = server;
    assert.ok(certificates);
    const ca = readFileSync(certificates.ca);
    const client = new pg.Client({
      host,
      port,
      user: 'postgres',
      password,
      database: 'postgres',
      ssl: { ca, servername: 'localhost' },
    });
    await client.connect();
    const { rows } = await client.query('SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    await client.end();
    assert.match(rows[0].version, /^TLSv1\.[23]$/);
    const wrong = new pg.Client({ host, port, user: 'postgres', password: 'wrong', database: 'postgres' });
    await assert.rejects(wrong.connect(), { code: '28P01' });
  } finally {
    await server.stop();
  }
  assert.match(server.log(), /password authentication failed/);
  assert.equal(existsSync(dirname(server.certificates?.ca ?? '')), false);
  await assert.rejects(server.query('SELECT 1'));
});

test('each way to authenticate that a test can ask for is the one the server asks clients for', async () => {
  for (const auth of ['md5', 'password', 'trust'] as const) {
    const server = await startPostgres({ auth });
    try {
      const rules = await server.query("SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type = 'host'");
      assert.deepEqual(rules, [{ auth_method: auth }]);
      const [role] = await server.query(
        "SELECT left(rolpassword, 3) AS kind FROM pg_authid WHERE rolname = 'postgres'",
      );
      assert.equal(role?.kind, auth === 'md5' ? 'md5' : 'SCR');
    } finally {
      await server.stop();
    }
  }
});

test('version 18 starts as well', async () => {
  const server = await startPostgres({ version: 18 });
  try {
    assert.match(server.version, /^18\./);
    const [row] = await server.query('SHOW server_version_num');
    assert.match(String(row?.server_version_num), /^18/);
  } finally {
    await server.stop();
  }
});

test('a server dies with the process that started it, even when that is killed', async () => {
  const program = `const { startPostgres } = await import(${JSON.stringify(import.meta.resolve('./postgres.ts'))});
    const server = await startPostgres({ ssl: true });
    console.log(JSON.stringify({ port: server.port, ca: server.certificates.ca }));
    process.kill(process.pid, 'SIGKILL');`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.equal(run.signal, 'SIGKILL', run.stderr);
  const { port, ca } = JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '');
  for (let waited = 0; existsSync(dirname(ca)); waited += 50) {
    assert.ok(waited < 30_000, 'the directory of the server is still there after 10 s');
    await sleep(50);
  }
  assert.equal(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).includes(`-p ${port}`), false);
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

test('the embedded server answers on loopback, takes settings, and is gone after stop', async () => {
  const server = await startEmbeddedPostgres({ database: 'shop', settings: { work_mem: '3MB' } });
  try {
    const client = new pg.Client({ ...connection(server) });
    await client.connect();
    const { rows } = await client.query(
      "SELECT current_database() AS database, current_setting('work_mem') AS work_mem, current_setting('listen_addresses') AS listen",
    );
    assert.deepEqual(rows, [{ database: 'shop', work_mem: '3MB', listen: '127.0.0.1' }]);
    await client.end();
    await assert.rejects(new pg.Client({ ...connection(server), password: 'wrong' }).connect(), { code: '28P01' });
  } finally {
    await server.stop();
  }
  await server.stop();
  // Its port may be another server's by now, which refuses these credentials.
  await assert.rejects(new pg.Client(connection(server)).connect());
  assert.deepEqual(directoriesOf(process.pid), []);
});

test('a start that fails says why and leaves no directory behind', async () => {
  await assert.rejects(startEmbeddedPostgres({ settings: { shared_buffers: 'many' } }), /shared_buffers/);
  assert.deepEqual(directoriesOf(process.pid), []);
});

test('the server and its data are gone after this process was killed', async () => {
  const module = JSON.stringify(new URL('./embedded-postgres.ts', import.meta.url).href);
  const script = `const { startEmbeddedPostgres } = await import(${module});
    const server = await startEmbeddedPostgres();
    console.log(server.port);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<number>((resolve) => {
    child.stdout.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)));
  });
  assert.equal(directoriesOf(child.pid).length, 1);
  child.kill('SIGKILL');
  for (let waited = 0; waited < 100 && directoriesOf(child.pid).length > 0; waited++) await delay(100);
  assert.deepEqual(directoriesOf(child.pid), []);
  await assert.rejects(new pg.Client({ host: '127.0.0.1', port, user: 'postgres' }).connect());
});

function connection(server: { host: string; port: number; user: string; password: string; database: string }) {
  const { host, port, user, password, database } = server;
  return { host, port, user, password, database };
}

function directoriesOf(pid: number | undefined): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`sluice-postgres-${pid}-`));
}

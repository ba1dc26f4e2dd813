import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { encodeStartupMessage, encodeTerminate } from '../protocols/postgres/frontend.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, type SluiceOptions, startSluice } from './sluice.ts';
import { until } from './until.ts';

const NO_DELETES = `version: 1
rules:
  - id: no-deletes
    match: { effects: [delete] }
    action: deny
`;

describe('sluice serve, as tests start it', () => {
  let postgres: PostgresServer;
  let options: SluiceOptions;
  before(async () => {
    postgres = await startPostgres();
    await postgres.query('CREATE TABLE rows (n int); INSERT INTO rows VALUES (1)');
    const { host, port, database, superuser: user, password } = postgres;
    options = {
      connections: [{ name: 'main', upstream: { host, port, database, user, password } }],
      users: [{ name: 'agent', password: 'secret' }],
    };
  });
  after(() => postgres?.stop());

  async function query(sluice: Sluice, sql: string): Promise<unknown[]> {
    const { host, port } = sluice;
    const client = new pg.Client({ host, port, user: 'agent', password: 'secret', database: 'main', ssl: false });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  }

  test('a statement passes and is in the journal; after stop nothing is left', async () => {
    const sluice = await startSluice(options);
    try {
      assert.deepEqual(await query(sluice, 'SELECT n FROM rows'), [{ n: 1 }]);
      const health = await fetch(`http://127.0.0.1:${sluice.apiPort}/healthz`);
      assert.equal(health.status, 200);
      const events = sluice.journal().map((record) => record.event);
      assert.ok(events.includes('session.start') && events.includes('statement.attempt'), events.join());
    } finally {
      await sluice.stop();
    }
    assert.equal(await sluice.exited, 0);
    assert.equal(existsSync(dirname(sluice.configFile)), false);
    // Its port may be another server's by now, which refuses these credentials.
    await assert.rejects(query(sluice, 'SELECT 1'));
  });

  test('SIGHUP puts a rewritten rule file in force', async () => {
    const sluice = await startSluice({ ...options, rulesYaml: 'version: 1\nrules: []\n' });
    try {
      await query(sluice, 'DELETE FROM rows WHERE false');
      writeFileSync(sluice.rulesFile, NO_DELETES);
      sluice.signal('SIGHUP');
      await until(() => sluice.log().includes('rules reloaded'), 'the rules are reloaded');
      await assert.rejects(query(sluice, 'DELETE FROM rows WHERE false'), { code: '42501' });
    } finally {
      await sluice.stop();
    }
  });

  test('in shadow rules and defaults refuse nothing, and the record says what they would have done', async () => {
    const connections = options.connections.map((connection) => ({ ...connection, default: 'deny' as const }));
    const sluice = await startSluice({ ...options, connections, rulesYaml: NO_DELETES, shadow: true });
    try {
      await query(sluice, 'DELETE FROM rows WHERE false');
      const [attempt] = sluice.journal().filter((record) => record.event === 'statement.attempt');
      assert.equal(attempt?.verdict, 'allow');
      assert.deepEqual(attempt?.shadow, ['default', 'no-deletes']);
      const [loaded] = sluice.journal().filter((record) => record.event === 'rules.loaded');
      assert.deepEqual([loaded?.mode, loaded?.version], ['shadow', attempt?.rulesVersion]);
    } finally {
      await sluice.stop();
    }
  });

  test('one that cannot start says why', async () => {
    await assert.rejects(startSluice({ ...options, rulesYaml: 'version: 1\nruls: []\n' }), /rules\.yaml:2:1/);
  });

  test('it dies with the process that started it, even when that is killed', async () => {
    const program = `const { startSluice } = await import(${JSON.stringify(import.meta.resolve('./sluice.ts'))});
      const sluice = await startSluice(${JSON.stringify(options)});
      console.log(JSON.stringify({ api: sluice.apiPort, file: sluice.configFile }));
      process.kill(process.pid, 'SIGKILL');`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    assert.equal(run.signal, 'SIGKILL', run.stderr);
    const { api, file } = JSON.parse(run.stdout);
    await until(() => !existsSync(dirname(file)), 'its directory is gone');
    await assert.rejects(fetch(`http://127.0.0.1:${api}/healthz`));
  });

  test('a client that says goodbye after a refused login leaves no socket behind', {
    skip: process.platform !== 'linux' && 'counts descriptors in /proc',
  }, async () => {
    const sluice = await startSluice(options);
    const folder = `/proc/${sluice.pid}/fd`;
    const sockets = () => readdirSync(folder).filter((fd) => isSocket(join(folder, fd))).length;
    try {
      await refusedLogin(sluice.port);
      await sleep(200);
      const before = sockets();
      for (let n = 0; n < 20; n++) await refusedLogin(sluice.port);
      await until(() => sockets() <= before, `no more sockets than before 20 refused logins, ${before}`);
    } finally {
      await sluice.stop();
    }
  });
});

/** False if it was closed meanwhile. */
function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor).startsWith('socket:');
  } catch {
    return false;
  }
}

/** Answers the request for SASL with something else, and the error with Terminate, as postgres.js does. */
function refusedLogin(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.write(encodeStartupMessage({ major: 3, minor: 0, parameters: new Map([['user', 'agent']]) }));
    socket.once('data', () => {
      socket.once('data', () => socket.end(encodeTerminate()));
      socket.write(encodeTerminate());
    });
  });
}

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import test from 'node:test';
import mysql from 'mysql2/promise';
import { startMysql } from './mysql.ts';

test('a MySQL server with TLS and settings of its own starts, answers, and leaves nothing when stopped', async (t) => {
  const server = await startMysql({ ssl: true, config: { max_connections: '77' } });
  if (server === null) return t.skip('no MySQL server can be had here');
  try {
    assert.match(server.version, /^([89]|\d\d)\./);
    assert.deepEqual(await server.query('SELECT 1 AS a; SELECT @@max_connections AS m'), [{ m: 77 }]);
    const { host, port, superuser: user, password, certificates } = server;
    assert.ok(certificates);
    const ca = readFileSync(certificates.ca);
    const connection = await mysql.createConnection({ host, port, user, password, ssl: { ca } });
    const [rows] = await connection.query("SHOW STATUS LIKE 'Ssl_version'");
    await connection.end();
    assert.match(JSON.stringify(rows), /TLSv1\.[23]/);
    const wrong = mysql.createConnection({ host, port, user, password: 'wrong', ssl: { ca } });
    await assert.rejects(wrong, { code: 'ER_ACCESS_DENIED_ERROR' });
  } finally {
    await server.stop();
  }
  assert.equal(existsSync(dirname(server.certificates?.ca ?? '')), false);
  await assert.rejects(server.query('SELECT 1'));
});

/** What names mean, as the server takes them: search paths, new tables, temporary ones, and rules that rely on it. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

const RULES = `version: 1
rules:
  - id: private-is-private
    match: { effects: [read], tables: [private.*] }
    action: deny
  - id: by-key-only
    match: { effects: [delete], predicate: [none, tautology, open, bounded] }
    action: deny
`;

describe('names', () => {
  let postgres: PostgresServer;
  let sluice: Sluice;
  const clients: pg.Client[] = [];

  before(async () => {
    postgres = await startPostgres({ config: { log_statement: 'all' } });
    await postgres.query(`CREATE SCHEMA private; CREATE TABLE private.t (id int PRIMARY KEY, v text);
      CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t VALUES (1, 'a'), (2, 'b');
      CREATE VIEW public.peephole AS SELECT v FROM private.t`);
    const { host, port, superuser: user, password, database } = postgres;
    sluice = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: [{ name: 'agent', password: 'secret' }],
      rulesYaml: RULES,
    });
  });
  after(async () => {
    for (const client of clients) await client.end();
    await sluice?.stop();
    await postgres?.stop();
  });

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({
      host: sluice.host,
      port: sluice.port,
      user: 'agent',
      password: 'secret',
      database: 'db',
    });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  }

  const refused = { code: '42501' };

  test('an unqualified name is what the search path makes of it', async () => {
    const client = await connect();
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
    await client.query('SET search_path TO private, public');
    await assert.rejects(client.query('SELECT v FROM t'), refused);
    await client.query('SET search_path TO public');
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
  });

  test('a path that a transaction had ends with it', async () => {
    const client = await connect();
    await client.query('BEGIN');
    await client.query('SET LOCAL search_path TO private');
    await assert.rejects(client.query('SELECT v FROM t'), refused);
    await client.query('ROLLBACK');
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
  });

  test('a path that changes again and again within one transaction is known each time', async () => {
    const client = await connect();
    await client.query('BEGIN');
    for (let i = 0; i < 3; i++) {
      await client.query('SET LOCAL search_path TO public');
      assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
      await client.query(`CREATE SCHEMA passing_${i}`);
      await client.query(`SET LOCAL search_path TO passing_${i}, public`);
      assert.equal((await client.query('SELECT v FROM t WHERE id = $1', [1])).rowCount, 1);
    }
    await client.query('ROLLBACK');
  });

  test('a prepared statement means what the path makes of it when it is executed', async () => {
    const client = await connect();
    const prepared = { name: 'one', text: 'SELECT v FROM t WHERE id = $1', values: [1] };
    assert.equal((await client.query(prepared)).rowCount, 1);
    await client.query('SET search_path TO private');
    await assert.rejects(client.query(prepared), refused);
    await client.query('PREPARE two AS SELECT v FROM public.t');
    assert.equal((await client.query('EXECUTE two')).rowCount, 2);
  });

  test('SQL PREPARE means what the path makes of it when it is executed', async () => {
    const client = await connect();
    await client.query('PREPARE three AS SELECT v FROM t');
    assert.equal((await client.query('EXECUTE three')).rowCount, 2);
    await client.query('SET search_path TO private');
    await assert.rejects(client.query('EXECUTE three'), refused);
  });

  test('a view is what it reads', async () => {
    await assert.rejects((await connect()).query('SELECT * FROM peephole'), refused);
    await assert.rejects((await connect()).query('SELECT * FROM public.peephole'), refused);
  });

  test('a key is what the catalogue says', async () => {
    const client = await connect();
    await assert.rejects(client.query("DELETE FROM t WHERE v = 'a'"), refused);
    await client.query('BEGIN');
    assert.equal((await client.query('DELETE FROM t WHERE id = 1')).rowCount, 1);
    assert.equal((await client.query('DELETE FROM t WHERE id = $1', [2])).rowCount, 1);
    await client.query('ROLLBACK');
  });

  test('a table that is made now is known to the next statement', async () => {
    const client = await connect();
    await client.query('CREATE TABLE fresh (id int PRIMARY KEY)');
    await client.query('INSERT INTO fresh VALUES (1)');
    assert.equal((await client.query('DELETE FROM fresh WHERE id = 1')).rowCount, 1);
    await client.query('ALTER TABLE fresh DROP CONSTRAINT fresh_pkey');
    await assert.rejects(client.query('DELETE FROM fresh WHERE id = 1'), refused);
    await client.query('DROP TABLE fresh');
  });

  test('a temporary table takes the place of another, and the rules know', async () => {
    const client = await connect();
    await client.query('CREATE TEMP TABLE t (id int)');
    await assert.rejects(client.query('DELETE FROM t WHERE id = 1'), refused);
  });

  test('rules that begin to depend on names do so in sessions that are there', async () => {
    const client = await connect();
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
    const rules = readFileSync(sluice.rulesFile, 'utf8');
    const reload = async (text: string): Promise<void> => {
      const loaded = () => sluice.journal().filter((record) => record.event === 'rules.loaded').length;
      const before = loaded();
      writeFileSync(sluice.rulesFile, text);
      sluice.signal('SIGHUP');
      await until(() => loaded() > before, 'the rules are loaded');
    };
    await reload('version: 1\nrules: []\n');
    await client.query('SET search_path TO private');
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 0);
    await reload(rules);
    await assert.rejects(client.query('SELECT v FROM t'), refused);
    await client.query('SET search_path TO public');
    assert.equal((await client.query('SELECT v FROM t')).rowCount, 2);
  });

  test('what Sluice asks for itself disturbs neither the unnamed statement nor a transaction', async () => {
    const client = await connect();
    await client.query('BEGIN');
    await client.query('SET LOCAL search_path TO public');
    assert.equal((await client.query({ text: 'SELECT v FROM t WHERE id = $1', values: [1] })).rowCount, 1);
    await client.query('COMMIT');
    const records = sluice.journal().filter((record) => JSON.stringify(record).includes('current_schemas'));
    assert.deepEqual(records, []);
  });
});

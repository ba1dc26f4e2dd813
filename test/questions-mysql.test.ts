import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { Approver } from './approver.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** As questions-postgres.test.ts, on MySQL's protocol: the same answers, in the same words. */

const RULES = `version: 1
rules:
  - id: reads
    match: { effects: [read], tables: [shop.items, shop.people] }
    action: allow
  - id: deletes
    match: { effects: [delete], tables: [shop.items] }
    action: allow
  - id: deletes-wait
    match: { effects: [delete], tables: [shop.items] }
    action: hold
    approval: { from: { groups: [dba] }, count: 2, wait: 0s }
masks:
  - id: pii
    columns: [shop.people.email]
    with: redact
`;

type Told = readonly { readonly property: string; readonly value: string | null }[];

const told = (rows: Told, property: string) => rows.find((row) => row.property === property)?.value;

for (const [name, start] of Object.entries({ MariaDB: startMariadb, MySQL: startMysql })) {
  describe(name, { timeout: 500_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-questions-'));
    let server: MysqlFamilyServer;
    let sluice: Sluice;
    let approver: Approver;

    before(async () => {
      const started = await start({ config: { general_log: '1', log_output: 'TABLE' } });
      assert.ok(started, `${name} cannot be had`);
      server = started;
      const { host, port, database, superuser: user, password } = server;
      const storeFile = join(directory, 'store.db');
      await server.query(`CREATE TABLE items (id INT PRIMARY KEY, name TEXT); CREATE TABLE people (id INT, email TEXT);
        INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')`);
      const upstream = { host, port, database, user, password };
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol: 'mysql', upstream, default: 'deny' }],
        users: [
          { name: 'bot', password: 'secret', groups: ['bots', 'readers'] },
          { name: 'bob', password: 'secret' },
        ],
        rulesYaml: RULES,
        store: `sqlite:${storeFile}`,
      });
      approver = await Approver.open(storeFile);
    });
    after(async () => {
      await approver?.close();
      await sluice?.stop();
      await server?.stop();
      rmSync(directory, { recursive: true });
    });

    const connected = async (user = 'bot', more: object = {}) => {
      const { host, mysqlPort: port } = sluice;
      const login = { host, port, user, password: 'secret', database: 'shop', supportBigNumbers: true };
      const connection = await mysql.createConnection({ ...login, ...more });
      connection.on('error', () => undefined);
      return connection;
    };
    const ask = async (client: mysql.Connection, sql: string): Promise<Told> =>
      (await client.query<mysql.RowDataPacket[]>(sql))[0] as unknown as Told;
    const execute = async (client: mysql.Connection, sql: string, values: (string | number)[] = []): Promise<Told> =>
      (await client.execute<mysql.RowDataPacket[]>(sql, values))[0] as unknown as Told;
    /** The request that a statement asks for, as SHOW WARNINGS tells it. */
    const ticketFor = async (client: mysql.Connection, sql: string): Promise<number> => {
      await assert.rejects(client.query(sql), { errno: 1142 });
      const [rows] = await client.query<mysql.RowDataPacket[]>('SHOW WARNINGS');
      return JSON.parse(rows[1]!.Message as string).sluice.request;
    };
    const reached = async (pattern: string) => {
      const rows = await server.query(`SELECT COUNT(*) AS n FROM mysql.general_log
        WHERE argument REGEXP '${pattern}' AND argument NOT LIKE '%general_log%'`);
      return Number(rows[0]!.n) > 0;
    };

    test('SHOW SLUICE SESSION tells who the session is, however it is written, in both protocols', async () => {
      const client = await connected();
      for (const sql of [
        'SHOW SLUICE SESSION',
        ' show /* a */ Sluice -- x\n session ;',
        '/*!50000 SHOW */ SLUICE#\nSESSION',
      ]) {
        for (const rows of [await ask(client, sql), await execute(client, sql), await execute(client, sql)]) {
          assert.equal(told(rows, 'identity'), 'bot', sql);
          assert.equal(told(rows, 'groups'), 'bots, readers');
          assert.equal(told(rows, 'connection'), 'shop');
          assert.equal(told(rows, 'expires_at'), null);
        }
        client.unprepare(sql);
      }
      assert.equal(told(await execute(client, 'SELECT id AS property, name AS value FROM items'), '1'), undefined);
      const { journal } = sluice;
      const records = journal().filter(({ text }) => text === 'SHOW SLUICE SESSION');
      assert.ok(records.some(({ event }) => event === 'statement.attempt'));
      assert.ok(!(await reached('(?i)sluice +session')));
      await client.end();
    });

    test('SHOW SLUICE REQUESTS shows what has become of the own requests, and of no others', async () => {
      const [bot, bob] = [await connected(), await connected('bob', { timezone: 'Z' })];
      assert.deepEqual(await ask(bot, 'SHOW SLUICE REQUESTS'), []);
      await ticketFor(bot, 'DELETE FROM items WHERE id = 1');
      const sql = "DELETE FROM items WHERE name = 'ä ''quoted'' \u{1f600}'";
      const id = await ticketFor(bob, sql);
      await approver.approve(id);
      for (const run of [ask, execute]) {
        const [row, second] = (await run(bob, 'SHOW SLUICE REQUESTS')) as unknown as mysql.RowDataPacket[];
        const { asked_at, expires_at, ...rest } = row!;
        assert.equal(second, undefined);
        assert.ok(Math.abs(Number(asked_at as Date) - Date.now()) < 600_000, String(asked_at));
        assert.equal(Number(expires_at as Date) - Number(asked_at as Date), 3_600_000);
        assert.deepEqual(rest, {
          request: id,
          state: 'pending',
          statement: sql,
          rule: 'deletes-wait',
          votes: 1,
          votes_needed: 2,
          reason: null,
          link: null,
        });
      }
      await Promise.all([bot.end(), bob.end()]);
    });

    test('EXPLAIN FORMAT=SLUICE says what would become of a statement, and runs nothing', async () => {
      const client = await connected();
      const explain = 'EXPLAIN FORMAT=SLUICE';
      const allowed = await ask(client, `${explain} SELECT id, email FROM people`);
      assert.deepEqual([told(allowed, 'verdict'), told(allowed, 'effect')], ['allow', 'read shop.people (none)']);
      assert.equal(told(allowed, 'column 2 email'), 'masked (redact) by pii');
      const held = await ask(client, `explain format = sluice DELETE FROM items`);
      assert.deepEqual([told(held, 'verdict'), told(held, 'votes_needed')], ['hold', '2']);
      assert.equal(told(held, 'effect'), 'delete shop.items (none)');
      const keyed = await execute(client, `${explain} DELETE FROM items WHERE id = ?`, [3]);
      assert.equal(told(keyed, 'effect'), 'delete shop.items (keyed)');
      const denied = await ask(client, `/* a */ ${explain} DROP TABLE items`);
      assert.deepEqual([told(denied, 'verdict'), told(denied, 'effect')], ['deny', 'drop shop.items']);
      assert.equal(told(await ask(client, `${explain} SELEC 1`), 'verdict'), 'deny');
      const { length } = await server.query('SELECT id FROM items');
      assert.equal(length, 3);
      assert.ok(!(await reached('(?i)format *= *sluice')));
      await client.end();
    });

    test('a question that is not alone is refused, and nothing of its text runs', async () => {
      const client = await connected('bot', { multipleStatements: true });
      for (const sql of ['SELECT 1; SHOW SLUICE SESSION', 'SHOW SLUICE SESSION; SHOW SLUICE REQUESTS']) {
        await assert.rejects(client.query(sql), { errno: 1064 }, sql);
      }
      const rows = await ask(client, 'EXPLAIN FORMAT=SLUICE SELECT 1; DELETE FROM items');
      assert.equal(told(rows, 'verdict'), 'hold');
      assert.equal((await server.query('SELECT id FROM items')).length, 3);
      await client.end();
    });

    test('SET @sluice_intent goes into records, requests and the session, under rules that allow nothing', async () => {
      const client = await connected('bob');
      const intent = async () => told(await ask(client, 'SHOW SLUICE SESSION'), 'claimed intent') ?? null;
      await client.query("SET @sluice_intent = 'clean up ''old'' orders'");
      assert.equal(await intent(), "clean up 'old' orders");
      const id = await ticketFor(client, 'DELETE FROM items WHERE id = 2');
      assert.equal((await approver.approvals.request(id)).question.claimed.intent, "clean up 'old' orders");
      await client.execute('SET @sluice_intent = ?', ['with a bind é']);
      assert.equal(await intent(), 'with a bind é');
      await client.query("SET @Sluice_Intent = CONCAT('com', 'puted')");
      assert.equal(await intent(), 'computed');
      await client.query('SET @sluice_intent = NULL');
      assert.equal(await intent(), null);
      await client.query("SET @`sluice_gen_ai.agent.name` = 'billing'");
      assert.equal(told(await ask(client, 'SHOW SLUICE SESSION'), 'claimed gen_ai.agent.name'), 'billing');
      await assert.rejects(client.query("SET @sluice_intent = 'x', @@sort_buffer_size = 1"), { errno: 1142 });
      await client.query("SET @sluice_intent = 'again'");
      await client.reset();
      assert.equal(await intent(), null);
      assert.equal(told(await ask(client, 'SHOW SLUICE SESSION'), 'identity'), 'bob');
      await client.end();
    });
  });
}

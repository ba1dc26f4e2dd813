import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mariadb from 'mariadb';
import mysql from 'mysql2/promise';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { Approver } from './approver.ts';
import { prepareAndExecute } from './mysql-results.ts';
import { comQuery, RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** As approvals.test.ts, on MySQL's protocol. What reached the server is in its general log. */

const RULES = `version: 1
rules:
  - id: changes-wait
    match: { effects: [delete, update], tables: [shop.orders, shop.flat] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 60s }
  - id: some-are-not-to-go
    match: { effects: [delete], tables: [shop.orders] }
    if: '"22" in statement.binds'
    action: deny
  - id: some-are-for-others
    match: { effects: [delete], tables: [shop.orders] }
    if: '"33" in statement.binds'
    action: hold
    approval: { from: { groups: [others] }, wait: 60s }
  - id: drops-get-a-ticket
    match: { effects: [drop] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
`;

for (const [name, start] of Object.entries({ MariaDB: startMariadb, MySQL: startMysql })) {
  describe(name, { timeout: 500_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-approvals-'));
    let server: MysqlFamilyServer;
    let sluice: Sluice;
    let approver: Approver;
    let texts = 0;
    const mark = () => `/* ${++texts} */`;

    before(async () => {
      const started = await start({ config: { general_log: '1', log_output: 'TABLE' } });
      assert.ok(started, `${name} cannot be had`);
      server = started;
      const { host, port, database, superuser: user, password } = server;
      const storeFile = join(directory, 'store.db');
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol: 'mysql', upstream: { host, port, database, user, password } }],
        users: [
          { name: 'bot', password: 'secret' },
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
    beforeEach(async () => {
      await approver.forget();
      await server.query(`DROP TABLE IF EXISTS orders; CREATE TABLE orders (id INT PRIMARY KEY, state TEXT) ENGINE=InnoDB;
        INSERT INTO orders VALUES (1, 'open'), (2, 'open'), (3, 'open'), (4, 'open')`);
    });

    const connected = async (user = 'bot') => {
      const { host, mysqlPort: port } = sluice;
      const connection = await mysql.createConnection({ host, port, user, password: 'secret', database: 'shop' });
      connection.on('error', () => undefined);
      return connection;
    };
    const ids = async () => (await server.query('SELECT id FROM orders ORDER BY id')).map(({ id }) => id as number);
    const reached = async (text: string) => {
      const rows = await server.query(`SELECT COUNT(*) AS n FROM mysql.general_log
        WHERE argument LIKE '%${text.replaceAll("'", "''")}%' AND argument NOT LIKE '%general_log%' AND argument NOT LIKE 'EXPLAIN %' AND argument NOT LIKE 'SELECT count(*)%'`);
      return Number(rows[0]!.n) > 0;
    };
    const failed = (work: Promise<unknown>): Promise<mysql.QueryError> =>
      work.then(
        () => assert.fail('it ran'),
        (error) => error,
      );
    const forms: Record<
      string,
      (client: mysql.Connection, sql: string, value: number) => Promise<mysql.ResultSetHeader>
    > = {
      COM_QUERY: async (client, sql, value) =>
        (await client.query<mysql.ResultSetHeader>(sql.replace('?', String(value))))[0],
      COM_STMT_EXECUTE: async (client, sql, value) => (await client.execute<mysql.ResultSetHeader>(sql, [value]))[0],
    };

    for (const [form, run] of Object.entries(forms)) {
      test(`a held statement waits and runs once it is approved (${form})`, async () => {
        const client = await connected();
        const result = run(client, `DELETE FROM orders WHERE id = ? ${mark()}`, 3);
        const { id, question } = await approver.nextRequest();
        assert.equal(question.binding.database, 'shop');
        assert.equal((await ids()).length, 4);
        await approver.approve(id);
        assert.equal((await result).affectedRows, 1);
        assert.deepEqual(await ids(), [1, 2, 4]);
        await client.end();
      });

      for (const state of ['autocommit', 'a transaction', 'no autocommit']) {
        test(`what changes more rows than were approved is undone (${form}, ${state})`, async () => {
          const client = await connected();
          if (state === 'a transaction') await client.query('START TRANSACTION');
          if (state === 'no autocommit') await client.query('SET autocommit = 0');
          if (state !== 'autocommit') await client.query(`INSERT INTO orders VALUES (9, 'new')`);
          const result = failed(run(client, `UPDATE orders SET state = 'shut' WHERE id <= ? ${mark()}`, 3));
          const { id } = await approver.nextRequest();
          await approver.counted(id, 2);
          await approver.approve(id);
          const error = await result;
          assert.equal(error.errno, 1142);
          assert.match(error.message, /changed 3 rows where 2 were approved/);
          if (state !== 'autocommit') await client.query('COMMIT');
          assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
          assert.equal((await ids()).length, state === 'autocommit' ? 4 : 5);
          await client.end();
        });

        test(`what changes as many as were approved is kept (${form}, ${state})`, async () => {
          const client = await connected();
          if (state === 'a transaction') await client.query('START TRANSACTION');
          if (state === 'no autocommit') await client.query('SET autocommit = 0');
          const result = run(client, `UPDATE orders SET state = 'shut' WHERE id <= ? ${mark()}`, 3);
          const { id } = await approver.nextRequest();
          await approver.counted(id, 3);
          await approver.approve(id);
          const header = await result;
          assert.equal(header.affectedRows, 3);
          assert.equal((header.serverStatus & 1) !== 0, state === 'a transaction' || state === 'no autocommit');
          const shut = async () => (await server.query(`SELECT id FROM orders WHERE state = 'shut'`)).length;
          if (state !== 'autocommit') {
            assert.equal(await shut(), 0);
            await client.query('COMMIT');
          }
          assert.equal(await shut(), 3);
          await client.end();
        });
      }
    }

    test('what it would do is found out for whoever votes, and holds', async () => {
      await server.query(`DROP TABLE IF EXISTS items; CREATE TABLE items (id INT, FOREIGN KEY (id) REFERENCES orders (id) ON DELETE CASCADE);
        CREATE TRIGGER kept BEFORE DELETE ON orders FOR EACH ROW SET @last = OLD.id`);
      const client = await connected();
      const result = failed(client.execute(`DELETE FROM orders WHERE id >= ? AND state = ? ${mark()}`, [3, 'open']));
      const { id } = await approver.nextRequest();
      const impact = await approver.impact(id);
      assert.deepEqual(impact.gaps, []);
      assert.equal(impact.rows, 2);
      assert.deepEqual(impact.cascades, ['delete shop.items']);
      assert.deepEqual(impact.triggers, ['kept on orders']);
      await server.query(`INSERT INTO orders VALUES (9, 'open')`);
      await approver.approve(id);
      assert.match((await result).message, /changed 3 rows where 2 were approved/);
      assert.equal((await ids()).length, 5);
      await client.end();
      await server.query('DROP TABLE items');
    });

    test('of tables without transactions it is said that nothing can be undone, before and after', async () => {
      await server.query('CREATE TABLE flat (id INT) ENGINE=MyISAM; INSERT INTO flat VALUES (1), (2)');
      const client = await connected();
      // Through Sluice, so that it knows the view.
      await client.query('CREATE VIEW flats AS SELECT id FROM flat');
      for (const table of ['flats', 'flat']) {
        const result = failed(client.query(`DELETE FROM ${table} ${mark()}`));
        const { id, question } = await approver.nextRequest();
        assert.equal(question.unguarded, 'MyISAM tables have no transactions');
        assert.equal((await approver.impact(id)).undo, 'MyISAM tables have no transactions');
        await approver.reject(id, 'no');
        await result;
      }
      // What it becomes between the approval and its use is another statement.
      await server.query('ALTER TABLE flat ENGINE=InnoDB');
      const sql = `DROP TABLE flat ${mark()}`;
      await failed(client.query(sql));
      const before = await approver.nextRequest();
      await approver.approve(before.id);
      await server.query('ALTER TABLE flat ENGINE=MyISAM');
      await failed(client.query(sql));
      assert.notEqual((await approver.nextRequest()).id, before.id);
      await client.end();
    });

    for (const [state, before] of Object.entries({
      'a transaction that ended without a word': ['START TRANSACTION', 'CREATE TABLE orders (id INT)'],
      'no autocommit and nothing done yet': ['SET autocommit = 0'],
      'a savepoint of its own': ['START TRANSACTION', 'SAVEPOINT mine'],
      'a transaction that only its client knows to be chained': ['SET completion_type = CHAIN'],
    })) {
      test(`what changes more rows than were approved is undone (after ${state})`, async () => {
        const client = await connected();
        for (const sql of before) await client.query(sql).catch(() => undefined);
        const result = failed(client.query(`UPDATE orders SET state = 'shut' WHERE id <= 3 ${mark()}`));
        const { id } = await approver.nextRequest();
        await approver.counted(id, 2);
        await approver.approve(id);
        assert.match((await result).message, /changed 3 rows where 2 were approved .*rolled back/);
        const shut = `SELECT id FROM orders WHERE state = 'shut'`;
        assert.deepEqual((await client.query(shut))[0], []);
        if (before.includes('SAVEPOINT mine')) await client.query('ROLLBACK TO SAVEPOINT mine');
        await client.query('COMMIT');
        assert.deepEqual(await server.query(shut), []);
        await client.end();
      });
    }

    test('a deadlock, which ends the transaction with what was begun for it, is what the client gets', async () => {
      await server.query(`CREATE TABLE IF NOT EXISTS side (id INT PRIMARY KEY, n INT) ENGINE=InnoDB;
        REPLACE INTO side VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)`);
      const client = await connected();
      const { host, port, superuser, password } = server;
      const other = await mysql.createConnection({ host, port, user: superuser, password, database: 'shop' });
      await client.query('START TRANSACTION');
      await client.query('UPDATE side SET n = 1 WHERE id = 1');
      // Has done more, so that the other is the one that is given up.
      await other.query('START TRANSACTION');
      await other.query('UPDATE side SET n = 2 WHERE id > 1');
      await other.query(`UPDATE orders SET state = 'kept' WHERE id >= 2`);
      const result = failed(client.query(`UPDATE orders SET state = 'shut' WHERE id = 2 ${mark()}`));
      const { id } = await approver.nextRequest();
      await approver.counted(id, 1);
      await approver.approve(id);
      await until(async () => {
        // InnoDB shows again what it last showed to whoever asks within 100 ms.
        await sleep(150);
        const [locks] = await server.query(
          `SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'`,
        );
        return Number(locks!.n) > 0;
      }, 'it waits for the other');
      await other.query('UPDATE side SET n = 2 WHERE id = 1');
      assert.equal((await result).errno, 1213);
      await other.query('COMMIT');
      await client.query('SELECT 1');
      await Promise.all([client.end(), other.end()]);
    });

    test('rows that are found and stay as they are count where the client asks for found rows', async () => {
      await server.query(`UPDATE orders SET state = 'shut' WHERE id = 1`);
      for (const [flags, isOver] of [
        [['FOUND_ROWS'], true],
        [['-FOUND_ROWS'], false],
      ] as const) {
        const { host, mysqlPort: port } = sluice;
        const settings = { host, port, user: 'bot', password: 'secret', database: 'shop', flags: [...flags] };
        const client = await mysql.createConnection(settings);
        const result = client.query(`UPDATE orders SET state = 'shut' WHERE id <= 3 ${mark()}`).catch((error) => error);
        const { id } = await approver.nextRequest();
        await approver.counted(id, 2);
        await approver.approve(id);
        if (isOver) assert.match((await result).message, /changed 3 rows where 2 were approved/);
        else assert.equal((await result)[0].affectedRows, 2);
        await client.end();
      }
    });

    if (name === 'MariaDB') {
      for (const rows of [2, 3]) {
        test(`a DELETE that returns its rows is held to their number (3 of ${rows})`, async () => {
          for (const run of Object.values(forms)) {
            await server.query(`REPLACE INTO orders VALUES (1, 'open'), (2, 'open'), (3, 'open'), (4, 'open')`);
            const client = await connected();
            const result = run(client, `DELETE FROM orders WHERE id <= ? RETURNING id ${mark()}`, 3).catch(
              (error) => error,
            );
            const { id, question } = await approver.nextRequest();
            assert.equal(question.unguarded, null);
            await approver.counted(id, rows);
            await approver.approve(id);
            if (rows === 2) assert.match((await result).message, /changed 3 rows where 2 were approved/);
            else
              assert.deepEqual(
                (await result).map((row: { id: number }) => row.id),
                [1, 2, 3],
              );
            assert.equal((await ids()).length, rows === 2 ? 4 : 1);
            await client.query(`INSERT INTO orders VALUES (9, 'new')`);
            assert.ok((await ids()).includes(9));
            await server.query('DELETE FROM orders WHERE id = 9');
            await client.end();
          }
        });
      }
    }

    test('an error of the server is what the client gets, and nothing stays open', async () => {
      const client = await connected();
      const result = failed(client.query(`UPDATE orders SET id = 1 WHERE id = 2 ${mark()}`));
      const { id } = await approver.nextRequest();
      await approver.counted(id, 1);
      await approver.approve(id);
      assert.equal((await result).errno, 1062);
      await client.query(`INSERT INTO orders VALUES (9, 'new')`);
      assert.equal((await ids()).length, 5);
      await client.end();
    });

    test('a ticket is collected on another connection, once, by nobody else, and in no other database', async () => {
      const [first, second, bob] = [await connected(), await connected(), await connected('bob')];
      const sql = `DROP TABLE shop.orders ${mark()}`;
      const ticket = async (client: mysql.Connection) => {
        const { message } = await failed(client.query(sql));
        assert.match(message, /needs approval/);
        const [rows] = await client.query<mysql.RowDataPacket[]>('SHOW WARNINGS');
        const detail = rows.map((row) => row.Message as string).find((text) => text.startsWith('{'));
        return JSON.parse(detail!).sluice.request as number;
      };
      const id = await ticket(first);
      await approver.approve(id);
      assert.notEqual(await ticket(bob), id);
      await second.query('USE mysql');
      assert.notEqual(await ticket(second), id);
      await second.query('USE shop');
      await second.query(sql);
      assert.notEqual(await ticket(second), id);
      await Promise.all([first.end(), second.end(), bob.end()]);
    });

    test('a rejection comes with its reason, and nothing reached the server', async () => {
      const client = await connected();
      const marker = mark();
      const result = failed(client.query(`DELETE FROM orders ${marker}`));
      const { id } = await approver.nextRequest();
      await approver.reject(id, 'use the archive job');
      assert.match((await result).message, /was rejected: use the archive job/);
      assert.equal(await reached(marker), false);
      await client.query('SELECT 1');
      await client.end();
    });

    test('KILL QUERY by its own identity withdraws it', async () => {
      const [client, other] = [await connected(), await connected()];
      const marker = mark();
      const result = failed(client.query(`DELETE FROM orders ${marker}`));
      const { id } = await approver.nextRequest();
      await other.query(`KILL QUERY ${client.threadId}`);
      assert.equal((await result).errno, 1317);
      assert.equal(await approver.stateOf(id), 'withdrawn');
      assert.equal(await reached(marker), false);
      await client.query('SELECT 1');
      await Promise.all([client.end(), other.end()]);
    });

    test('commands that were sent behind it do not reach the server before it', async () => {
      const marker = mark();
      const raw = await RawMysqlClient.login(sluice.mysqlPort, { user: 'bot', password: 'secret', database: 'shop' });
      raw.send(comQuery(`SELECT 1 ${marker}`), comQuery(`DELETE FROM orders WHERE id = 4 ${marker}`));
      raw.send(comQuery(`INSERT INTO orders VALUES (5, 'behind') ${marker}`));
      const { id } = await approver.nextRequest();
      await approver.impact(id);
      assert.deepEqual(await ids(), [1, 2, 3, 4]);
      await approver.approve(id);
      await until(async () => (await ids()).includes(5), 'all of them have run');
      const rows = await server.query(`SELECT argument FROM mysql.general_log WHERE command_type = 'Query'
        AND argument LIKE '%${marker}%' AND argument REGEXP '^(SELECT 1|DELETE|INSERT)' ORDER BY event_time`);
      assert.deepEqual(
        rows.map(({ argument }) => String(argument).split(' ')[0]),
        ['SELECT', 'DELETE', 'INSERT'],
      );
      assert.deepEqual(await ids(), [1, 2, 3, 5]);
      raw.close();
    });

    test('what its client has sent before it went is done to its end, and kept', async () => {
      const { host, port, superuser, password } = server;
      const gate = await mysql.createConnection({ host, port, user: superuser, password, database: 'shop' });
      await gate.query('START TRANSACTION');
      await gate.query(`UPDATE orders SET state = 'kept' WHERE id = 4`);
      const raw = await RawMysqlClient.login(sluice.mysqlPort, { user: 'bot', password: 'secret', database: 'shop' });
      raw.send(comQuery(`DELETE FROM orders WHERE id >= 4 ${mark()}`));
      const { id } = await approver.nextRequest();
      await approver.counted(id, 1);
      await approver.approve(id);
      await until(() => sluice.journal().some(({ approval }) => approval === id), 'it is sent');
      raw.socket.end();
      await gate.query('COMMIT');
      await gate.end();
      await until(async () => (await ids()).length === 3, 'the row is gone');
      await raw.rest();
    });

    test('in an XA transaction as well, what changes more rows than were approved is undone', async () => {
      const client = await connected();
      await client.query(`XA START 'guarded'`);
      const result = failed(client.query(`UPDATE orders SET state = 'shut' WHERE id <= 3 ${mark()}`));
      const { id } = await approver.nextRequest();
      await approver.counted(id, 2);
      await approver.approve(id);
      assert.match((await result).message, /changed 3 rows where 2 were approved .*rolled back/);
      await client.query(`XA END 'guarded'`);
      await client.query(`XA COMMIT 'guarded' ONE PHASE`);
      assert.deepEqual(await server.query(`SELECT id FROM orders WHERE state = 'shut'`), []);
      await client.end();
    });

    if (name === 'MariaDB') {
      test('of a bulk execution every set of values is judged, and its approvers are told that rows are not counted', async () => {
        const { host, mysqlPort: port } = sluice;
        const settings = { host, port, user: 'bot', password: 'secret', database: 'shop', bulk: true };
        const client = await mariadb.createConnection(settings);
        const batch = (...values: number[]) =>
          client.batch(
            `DELETE FROM orders WHERE id = ? ${mark()}`,
            values.map((value) => [value]),
          );
        assert.match((await failed(batch(1, 22))).message, /some-are-not-to-go/);
        assert.match((await failed(batch(1, 33))).message, /different people/);
        assert.ok(await approver.hasSeenAll());
        assert.deepEqual(await ids(), [1, 2, 3, 4]);
        const result = batch(1, 4);
        const { id, question } = await approver.nextRequest();
        assert.equal(question.binding.binds, '[["1"],["4"]]');
        assert.match(question.unguarded!, /several sets of values/);
        assert.equal((await approver.impact(id)).rows, null);
        await approver.approve(id);
        await result;
        assert.deepEqual(await ids(), [2, 3]);
        await client.end();
      });

      test('rows that a change returns are not asked for by a cursor: they would come before it is counted', async () => {
        const raw = await RawMysqlClient.login(sluice.mysqlPort, { user: 'bot', password: 'secret', database: 'shop' });
        const { error } = await prepareAndExecute(raw, `DELETE FROM orders RETURNING id ${mark()}`, [], 1);
        assert.match(error!.message, /its rows are asked for in parts/);
        assert.ok(await approver.hasSeenAll());
        assert.deepEqual(await ids(), [1, 2, 3, 4]);
        raw.close();
      });
    }

    test('a client that goes away withdraws it', async () => {
      const marker = mark();
      const query = (text: string) => encodePackets(Buffer.from(`\x03${text}`), 0);
      // Behind a statement that it had to wait for, it is not read from when it is held.
      for (const before of [[], [query('SELECT SLEEP(0.2)')]]) {
        const raw = await RawMysqlClient.login(sluice.mysqlPort, { user: 'bot', password: 'secret', database: 'shop' });
        raw.socket.write(Buffer.concat([...before, query(`DELETE FROM orders ${marker}`)]));
        const { id } = await approver.nextRequest();
        raw.socket.destroy();
        assert.equal(await approver.stateOf(id), 'withdrawn');
      }
      assert.equal(await reached(marker), false);
    });
  });
}

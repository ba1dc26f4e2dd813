import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { COM, encodeComChangeUser, encodeComStmtPrepare } from '../protocols/mysql/commands.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { decodeHandshake, encodeHandshakeResponse } from '../protocols/mysql/handshake.ts';
import { NATIVE_PASSWORD, nativePasswordResponse } from '../protocols/mysql/native-password.ts';
import { EXECUTE_FLAG, encodeComQuery, encodeComStmtExecute, type Parameter } from '../protocols/mysql/parameters.ts';
import { decodeErr, decodeStmtPrepareOk, FIELD_TYPE } from '../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** What MySQL and MariaDB clients see of Sluice, and what their servers see of them. */

const RULES = `
version: 1
rules:
  - id: unbounded
    action: deny
    match: { effects: [delete, update], predicate: [none, tautology] }
  - id: no-opaque
    action: deny
    match: { effects: [opaque] }
  - id: no-drop
    action: deny
    match: { effects: [drop, truncate] }
  - id: no-secrets
    action: deny
    match: { tables: [shop.secrets] }
  - id: needs-trace
    action: deny
    match: { tables: [shop.traced], missing: [traceparent] }
  - id: reading
    action: deny
    match: { effects: [read], tables: [shop.many] }
    limit: { rows: 100, per: statement }
`;

/** Masks as rules have them. */
const MASKS = `
masks:
  - id: mail
    columns: ["shop.people.mail"]
    with: redact
    predicates: deny
    unless: { identities: { groups: [readers] } }
`;

const USERS = [
  { name: 'agent', password: 'secret', groups: ['readers'] },
  { name: 'other', password: 'secret', groups: ['readers'] },
  { name: 'reader', password: 'secret', groups: ['readers'] },
  { name: 'masked', password: 'secret' },
  { name: 'modern', password: 'secret', mysqlPlugin: 'caching_sha2_password' as const },
];

for (const [kind, start] of [
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(kind, { timeout: 500_000 }, () => {
    let server: MysqlFamilyServer;
    let sluice: Sluice;

    before(async () => {
      const started = await start();
      assert.ok(started, `${kind} cannot be had`);
      server = started;
      await server.query(
        `CREATE TABLE goods (id INT PRIMARY KEY, name VARCHAR(2000), data LONGBLOB);
         INSERT INTO goods (id, name) VALUES (1, 'tea'), (2, 'milk');
         CREATE TABLE secrets (id INT PRIMARY KEY, word TEXT);
         CREATE TABLE many (id INT PRIMARY KEY, filler VARCHAR(200));
         INSERT INTO many SELECT a.n + 10 * b.n + 100 * c.n, REPEAT('x', 100) FROM
           (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) a,
           (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) b,
           (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) c;
         CREATE PROCEDURE twice() BEGIN SELECT 1 AS one; SELECT 2 AS two; END;
         CREATE TABLE traced (id INT PRIMARY KEY);
         CREATE TABLE added (id INT PRIMARY KEY AUTO_INCREMENT, n INT);
         CREATE PROCEDURE adds() INSERT INTO added (n) VALUES (1), (2), (3);
         CREATE PROCEDURE walks() BEGIN
           DECLARE n INT;
           DECLARE c CURSOR FOR SELECT id FROM goods;
           OPEN c; FETCH c INTO n; SELECT id AS at FROM goods ORDER BY id; SELECT n AS one; CLOSE c;
         END;
         CREATE PROCEDURE modes() SET NAMES utf8mb4;
         CREATE TABLE people (id INT PRIMARY KEY, mail VARCHAR(50) UNIQUE);
         INSERT INTO people VALUES (1, 'ida@shop.test'), (2, 'jon@shop.test');
         CREATE DATABASE shop2; CREATE TABLE shop2.secrets (id INT PRIMARY KEY);
         SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON; SET GLOBAL local_infile = ON`,
      );
      const { host, port, database, superuser, password } = server;
      sluice = await startSluice({
        connections: [
          { name: 'shop', protocol: 'mysql', upstream: { host, port, database, user: superuser, password } },
        ],
        users: USERS,
        rulesYaml: RULES + MASKS,
        tls: true,
      });
    });
    after(async () => {
      await sluice?.stop();
      await server?.stop();
    });

    const open = (more: mysql.ConnectionOptions = {}) =>
      mysql.createConnection({
        host: '127.0.0.1',
        port: sluice.mysqlPort,
        user: 'agent',
        password: 'secret',
        database: 'shop',
        ...more,
      });
    const raw = (more = 0, user = 'agent') =>
      RawMysqlClient.login(sluice.mysqlPort, { user, password: 'secret', database: 'shop' }, more);
    /** What the server was sent that has `word` in it. */
    const logged = async (word: string): Promise<string[]> => {
      const rows = await server.query(
        `SELECT CONVERT(argument USING utf8mb4) AS said FROM mysql.general_log
         WHERE argument LIKE '%${word}%' AND argument NOT LIKE '%general_log%'`,
      );
      return rows.map(({ said }) => String(said));
    };
    const refused = { errno: 1142, sqlState: '42000' };

    test('a client logs in by either plugin, with and without TLS, and gets the rows', async () => {
      const tls = { ca: await import('node:fs').then(({ readFileSync }) => readFileSync(sluice.certificates!.ca)) };
      for (const options of [{}, { ssl: tls }]) {
        const connection = await open(options);
        const [rows] = await connection.query('SELECT id, name FROM goods ORDER BY id');
        assert.deepEqual(rows, [
          { id: 1, name: 'tea' },
          { id: 2, name: 'milk' },
        ]);
        await connection.end();
      }
      const native = await RawMysqlClient.connect(sluice.mysqlPort);
      assert.equal(await native.authenticate('agent', 'secret', 'shop', 0, 'mysql_native_password'), null);
      native.close();
    });

    test('a wrong password and a user that does not exist are told the same', async () => {
      const said: string[] = [];
      for (const user of ['agent', 'nobody']) {
        for (const plugin of ['mysql_native_password', 'caching_sha2_password']) {
          const client = await RawMysqlClient.connect(sluice.mysqlPort);
          const error = await client.authenticate(user, 'wrong', 'shop', 0, plugin);
          assert.equal(error?.code, 1045);
          said.push(error.message.replace(user, 'X'));
          client.close();
        }
      }
      assert.equal(new Set(said).size, 1);
    });

    test('a client that cannot be asked by another plugin logs in by mysql_native_password, or is told that it is too old', async () => {
      for (const [user, expected] of [
        ['agent', null],
        ['modern', 1251],
      ] as const) {
        const client = await RawMysqlClient.connect(sluice.mysqlPort);
        const { authData, capabilities } = decodeHandshake((await client.packet()).payload);
        const old = CLIENT.protocol41 | CLIENT.secureConnection | CLIENT.longPassword | CLIENT.transactions;
        const response = encodeHandshakeResponse({
          capabilities: { client: old & capabilities.client, mariadb: 0 },
          maxPacketSize: 1 << 24,
          characterSet: 45,
          user,
          authResponse: nativePasswordResponse('secret', authData),
          database: null,
          authPlugin: null,
          attributes: null,
          zstdLevel: null,
        });
        client.send(encodePackets(response, 1));
        const { payload, sequence } = await client.packet();
        assert.deepEqual([payload[0] === 0xff ? decodeErr(payload).code : null, sequence], [expected, 2]);
        client.close();
      }
    });

    test('the connection is named by the schema, behind the user, or is the only one', async () => {
      for (const options of [
        { database: 'shop' },
        { user: 'agent%shop', database: undefined },
        { database: undefined },
      ]) {
        const connection = await open(options as mysql.ConnectionOptions);
        const [[row]] = (await connection.query('SELECT DATABASE() AS db')) as unknown as [[{ db: string }]];
        assert.equal(row.db, 'shop');
        await connection.end();
      }
      await assert.rejects(open({ user: 'agent%nothing' }), { errno: 1049 });
    });

    test('the database that a connection is for anyway is nothing to ask the rules about; another one is', async () => {
      const { host, port, database, superuser, password } = server;
      const upstream = { host, port, database, user: superuser, password };
      const other = await startSluice({
        connections: [{ name: 'stock', protocol: 'mysql', upstream, default: 'deny' }],
        users: USERS,
      });
      try {
        const login = { port: other.mysqlPort, user: 'agent%stock' };
        const connection = await open({ ...login, database });
        assert.deepEqual((await connection.query('SELECT DATABASE() AS d'))[0], [{ d: database }]);
        await connection.end();
        await assert.rejects(open({ ...login, database: 'shop2' }), { errno: 1142 });
      } finally {
        await other.stop();
      }
    });

    test('a refused statement never reaches the server, and the session and its transaction live on', async () => {
      const connection = await open();
      await connection.query('BEGIN');
      await connection.query("INSERT INTO goods (id, name) VALUES (10, 'kept')");
      await assert.rejects(connection.query('DELETE FROM goods /* never1 */'), refused);
      const [warnings] = (await connection.query('SHOW WARNINGS')) as unknown as [{ Message: string }[]];
      assert.match(warnings[1]!.Message, /"rule":"unbounded"/);
      await connection.query('COMMIT');
      const [rows] = (await connection.query('SELECT id FROM goods WHERE id = 10')) as unknown as [unknown[]];
      assert.equal(rows.length, 1);
      const [none] = (await connection.query('SHOW WARNINGS')) as unknown as [unknown[]];
      assert.deepEqual(none, []);
      await connection.query('DELETE FROM goods WHERE id = 10');
      await connection.end();
      assert.deepEqual(await logged('never1'), []);
    });

    test('of several statements in one text a refused one refuses all', async () => {
      const connection = await open({ multipleStatements: true });
      await assert.rejects(
        connection.query("INSERT INTO goods (id, name) VALUES (11, 'never2'); DELETE FROM goods; SELECT 1"),
        refused,
      );
      const [results] = await connection.query('SELECT 1 AS a; SELECT 2 AS b');
      assert.deepEqual(results, [[{ a: 1 }], [{ b: 2 }]]);
      await connection.end();
      assert.deepEqual(await logged('never2'), []);
    });

    test('a prepared statement is refused when it is prepared, by what it is', async () => {
      const connection = await open();
      await assert.rejects(connection.execute('DELETE FROM goods /* never3 */'), refused);
      const [rows] = await connection.execute('SELECT name FROM goods WHERE id = ?', [2]);
      assert.deepEqual(rows, [{ name: 'milk' }]);
      await connection.end();
      assert.deepEqual(await logged('never3'), []);
      const attempts = sluice.journal().filter((r) => r.event === 'statement.attempt' && r.via === 'execute');
      assert.deepEqual(attempts.at(-1)?.binds, ['2']);
    });

    test('SQL-level PREPARE is judged by its text, and opaque from a variable', async () => {
      const connection = await open();
      await assert.rejects(connection.query("PREPARE p FROM 'DELETE FROM goods /* never4 */'"), refused);
      await assert.rejects(connection.query('PREPARE p FROM @text'), refused);
      await connection.query("PREPARE q FROM 'SELECT name FROM goods WHERE id = ?'");
      await connection.query('SET @id = 1');
      const [rows] = await connection.query('EXECUTE q USING @id');
      assert.deepEqual(rows, [{ name: 'tea' }]);
      await connection.query('DEALLOCATE PREPARE q');
      await assert.rejects(connection.query('EXECUTE q'), refused);
      await connection.end();
      assert.deepEqual(await logged('never4'), []);
    });

    test('the names of a prepared statement mean what they meant when it was prepared', async () => {
      const connection = await open();
      await connection.query('USE shop2');
      await connection.query("PREPARE p FROM 'SELECT COUNT(*) AS n FROM secrets'");
      const id = await connection.prepare('SELECT COUNT(*) AS n FROM secrets');
      await connection.query('USE shop');
      // Both are shop2's, which has none.
      for (const [rows] of [await connection.query('EXECUTE p'), await id.execute([])]) {
        assert.deepEqual(rows, [{ n: 0 }]);
      }
      await assert.rejects(connection.query('SELECT COUNT(*) AS n FROM secrets'), refused);
      await connection.end();
    });

    test('text is read as the session of the server reads it', async () => {
      const connection = await open();
      const text = 'SELECT "a" AS x FROM goods WHERE id = 1 AND "DROP TABLE" <> \'\'';
      await connection.query(text);
      await connection.query("SET sql_mode = 'ANSI_QUOTES'");
      await assert.rejects(connection.query('SELECT * FROM "secrets" /* never5 */'), refused);
      await connection.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'");
      await assert.rejects(connection.query("SELECT '\\' FROM goods; DROP TABLE goods; -- never5 '"), /never5|refused/);
      await connection.query('USE shop2');
      await assert.rejects(connection.query('SELECT * FROM shop.secrets /* never5 */'), refused);
      await connection.query('USE shop');
      await assert.rejects(connection.query('SELECT * FROM secrets /* never5 */'), refused);
      await connection.end();
      assert.deepEqual(await logged('never5'), []);
    });

    test('a session cannot hide how its text is read', async () => {
      const connection = await open();
      await connection.query("SET SESSION session_track_system_variables = ''");
      await connection.query("SET sql_mode = 'ANSI_QUOTES'");
      await assert.rejects(connection.query('SELECT * FROM "secrets" /* never10 */'), refused);
      await connection.query("SET sql_mode = ''");
      await connection.query('CALL modes()');
      const [rows] = await connection.query('SELECT "x" AS x');
      assert.deepEqual(rows, [{ x: 'x' }]);
      await connection.end();
      assert.deepEqual(await logged('never10'), []);
    });

    test('binary values in a text are values, and no names', async () => {
      const client = await raw();
      const bytes = (text: string) =>
        encodePackets(Buffer.concat([Buffer.of(COM.query), Buffer.from(text, 'latin1')]), 0);
      client.send(bytes("UPDATE goods SET data = _binary'\u00e2\u0082' WHERE id = 2"));
      assert.equal((await client.packet()).payload[0], 0);
      client.send(bytes('SELECT * FROM \u00e2\u0082'));
      assert.equal(decodeErr((await client.packet()).payload).code, 1142);
      client.close();
      const [row] = await server.query('SELECT HEX(data) AS data FROM goods WHERE id = 2');
      assert.equal(row?.data, 'E282');
      await server.query('UPDATE goods SET data = NULL WHERE id = 2');
    });

    test('the words of the server are withheld where they can quote masked values, and only there', async () => {
      const connection = await open({ user: 'masked' });
      await assert.rejects(connection.query('UPDATE people SET id = 2 WHERE id = 1'), {
        errno: 1062,
        sqlMessage: /words of the server are withheld/,
      });
      const [warnings] = await connection.query('SHOW WARNINGS');
      assert.match(JSON.stringify(warnings), /withheld/);
      await assert.rejects(connection.query('GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT'), refused);
      await assert.rejects(connection.query('INSERT INTO people VALUES (5)'), {
        errno: 1136,
        sqlMessage: /Column count/,
      });
      await connection.end();
    });

    test('character sets in which text cannot be read safely are refused', async () => {
      const connection = await open();
      for (const text of ['SET NAMES gbk', 'SET character_set_client = sjis', "SET NAMES 'big5'"]) {
        await assert.rejects(connection.query(text), { errno: 1115 });
      }
      await connection.query('SET NAMES latin1');
      await connection.query('SET NAMES utf8mb4');
      await connection.end();
      assert.deepEqual(await logged('gbk'), []);
    });

    test('what a dump puts back from a variable is known when the server has said it', async () => {
      const connection = await open({ multipleStatements: true });
      await connection.query('/*!40101 SET @saved_cs_client = @@character_set_client */');
      await connection.query('SET NAMES latin1');
      await connection.query('/*!40101 SET character_set_client = @saved_cs_client */');
      await assert.rejects(connection.query("SELECT 'ü' FROM secrets /* never11 */"), refused);
      await assert.rejects(
        connection.query('SET character_set_client = @saved_cs_client; SELECT 11 AS never11'),
        refused,
      );
      await connection.query("SET @unsafe = 'gbk'");
      connection.on('error', () => undefined);
      await assert.rejects(connection.query('SET character_set_client = @unsafe'), /cannot be used through Sluice/);
      await assert.rejects(connection.query('SELECT 11 AS never11'));
      assert.deepEqual(await logged('never11'), []);
    });

    test('ROW_COUNT() and its like are about the client’s own statements', async () => {
      const connection = await open();
      const counted = async () => (await connection.query('SELECT ROW_COUNT() AS n'))[0];
      assert.deepEqual(await counted(), [{ n: 0 }]);
      await connection.query('CALL adds()');
      assert.deepEqual(await counted(), [{ n: 3 }]);
      await connection.end();
    });

    test('query attributes are claims: rules see them, the record has them, the server gets them as they came', async () => {
      const client = await raw(CLIENT.queryAttributes);
      assert.equal((client.capabilities.client & CLIENT.queryAttributes) !== 0, kind === 'MySQL');
      if (kind === 'MariaDB') return client.close();
      const attribute = (value: string) => ({
        type: FIELD_TYPE.varString,
        unsigned: false,
        name: 'traceparent',
        value: Buffer.from(value),
      });
      const query = (text: string, ...attributes: Parameter[]) =>
        client.send(encodePackets(encodeComQuery({ text: Buffer.from(text), attributes }, client.capabilities), 0));
      query('SELECT id FROM traced /* never13 */');
      assert.equal(decodeErr((await client.packet()).payload).code, 1142);
      query('SELECT id FROM traced /* runs13 */', attribute('00-aa-bb-01'));
      for (let rows = 0; rows < 4; rows++) assert.notEqual((await client.packet()).payload[0], 0xff);
      client.send(encodePackets(encodeComStmtPrepare(Buffer.from('SELECT id FROM traced WHERE id = ?')), 0));
      const prepared = decodeStmtPrepareOk((await client.packet()).payload, client.capabilities);
      for (let definitions = 0; definitions < 4; definitions++) await client.packet();
      const execute = (...parameters: Parameter[]) =>
        client.send(
          encodePackets(
            encodeComStmtExecute(
              {
                statementId: prepared.statementId,
                flags: EXECUTE_FLAG.parameterCountAvailable,
                typesSent: true,
                parameters: [{ type: FIELD_TYPE.tiny, unsigned: false, name: '', value: Buffer.of(1) }, ...parameters],
              },
              1,
              client.capabilities,
            ),
            0,
          ),
        );
      execute();
      assert.equal(decodeErr((await client.packet()).payload).code, 1142);
      execute(attribute('00-cc-dd-01'));
      for (let rows = 0; rows < 4; rows++) assert.notEqual((await client.packet()).payload[0], 0xff);
      client.close();
      assert.deepEqual(await logged('never13'), []);
      assert.equal((await logged('runs13')).length, 1);
      const claimed = sluice
        .journal()
        .filter(({ event, text }) => event === 'statement.attempt' && /FROM traced/.test(String(text)))
        .map((record) => [record.via, record.verdict, record.claimed ?? null]);
      assert.deepEqual(claimed, [
        ['query', 'deny', null],
        ['query', 'allow', { traceparent: '00-aa-bb-01' }],
        ['execute', 'deny', null],
        ['execute', 'allow', { traceparent: '00-cc-dd-01' }],
      ]);
    });

    test('a procedure that has a cursor open returns its results, and what comes after is still judged', async () => {
      const connection = await open();
      const [results] = (await connection.query('CALL walks()')) as unknown as [unknown[]];
      assert.deepEqual(results.slice(0, 2), [[{ at: 1 }, { at: 2 }], [{ one: 1 }]]);
      await assert.rejects(connection.query('DELETE FROM goods /* never12 */'), refused);
      await connection.end();
      assert.deepEqual(await logged('never12'), []);
    });

    test('a procedure has several results, and what comes after is still judged', async () => {
      const connection = await open();
      const [results] = (await connection.query('CALL twice()')) as unknown as [unknown[]];
      assert.deepEqual(results.slice(0, 2), [[{ one: 1 }], [{ two: 2 }]]);
      await assert.rejects(connection.query('DELETE FROM goods /* never6 */'), refused);
      await connection.end();
      assert.deepEqual(await logged('never6'), []);
    });

    test('a client kills what runs for its own identity, by the id it knows, and nobody else’s', async () => {
      const [victim, own, stranger] = [await open(), await open(), await open({ user: 'other' })];
      const id = victim.threadId;
      const sleeping = victim.query('SELECT SLEEP(20)').catch(() => undefined);
      const runs = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(20)%'";
      await until(async () => (await server!.query(runs)).length > 0, 'the statement runs');
      await assert.rejects(stranger.query(`KILL QUERY ${id}`), { errno: 1094 });
      const began = Date.now();
      await own.query(`KILL QUERY ${id}`);
      await sleeping;
      assert.ok(Date.now() - began < 5000);
      const [rows] = await victim.query('SELECT 1 AS one');
      assert.deepEqual(rows, [{ one: 1 }]);
      await own.query(`KILL ${id}`);
      await assert.rejects(victim.query('SELECT 1'));
      await own.end();
      await stranger.end();
      victim.destroy();
    });

    test('commands sent without waiting are judged and answered in their order', async () => {
      const client = await raw();
      client.send(
        comQuery('DO 1'),
        comQuery('DELETE FROM goods /* never7 */'),
        comQuery('DO 2'),
        comQuery('BAD never'),
      );
      const kinds: number[] = [];
      for (let i = 0; i < 4; i++) {
        const { sequence, payload } = await client.packet();
        assert.equal(sequence, 1);
        kinds.push(payload[0] === 0xff ? decodeErr(payload).code : 0);
      }
      assert.deepEqual(kinds, [0, 1142, 0, 1142]);
      client.close();
      assert.deepEqual(await logged('never7'), []);
    });

    test('commands that Sluice passes on for nobody are errors on a session that lives on', async () => {
      const client = await raw();
      for (const command of [
        COM.binlogDump,
        COM.registerSlave,
        COM.tableDump,
        COM.debug,
        COM.shutdown,
        COM.refresh,
        0x55,
      ]) {
        client.send(encodePackets(Buffer.concat([Buffer.of(command), Buffer.alloc(12)]), 0));
        const { payload } = await client.packet();
        assert.equal(decodeErr(payload).code, 1047);
      }
      client.send(encodePackets(Buffer.concat([Buffer.of(COM.dropDb), Buffer.from('shop2')]), 0));
      assert.equal(decodeErr((await client.packet()).payload).code, 1142);
      client.send(encodePackets(Buffer.of(COM.ping), 0));
      assert.equal((await client.packet()).payload[0], 0);
      client.close();
    });

    test('COM_RESET_CONNECTION and COM_CHANGE_USER begin a session anew', async () => {
      const connection = await open();
      await connection.query("SET sql_mode = 'ANSI_QUOTES'");
      await connection.reset?.();
      const [[row]] = (await connection.query('SELECT "x" AS x')) as unknown as [[{ x: string }]];
      assert.equal(row.x, 'x');
      await connection.changeUser({ user: 'other', password: 'secret', database: 'shop' });
      await connection.query('SELECT 1');
      await assert.rejects(connection.changeUser({ user: 'other', password: 'wrong' }), { errno: 1045 });
      connection.destroy();
      const starts = sluice.journal().filter((r) => r.event === 'session.start');
      assert.deepEqual(starts.at(-1)?.identity, { subject: 'other', kind: 'agent', groups: ['readers'] });
    });

    test('a result over its budget is cut, and the session lives on', async () => {
      const connection = await open({ user: 'reader' });
      await assert.rejects(connection.query('SELECT * FROM many'), { errno: 1226 });
      const [rows] = await connection.query('SELECT id FROM many LIMIT 5');
      assert.equal((rows as unknown[]).length, 5);
      await connection.end();
      const client = await raw(0, 'reader');
      client.send(comQuery('SELECT id FROM many'));
      let seen = 0;
      for (let last = 0; ; last++) {
        const { sequence, payload } = await client.packet();
        assert.equal(sequence, (last + 1) & 0xff);
        if (payload[0] === 0xff) break;
        seen++;
      }
      // Header, one definition and its end come before the rows.
      assert.equal(seen - 3, 100);
      client.close();
    });

    test('a file of the client is read where the rules let it', async () => {
      const connection = await open({ flags: ['LOCAL_FILES'] });
      const infileStreamFactory = () => Readable.from([Buffer.from('100\tfrom a file\n101\tanother\n')]);
      const sql = "LOAD DATA LOCAL INFILE 'goods.txt' INTO TABLE goods (id, name)";
      await connection.query({ sql, infileStreamFactory });
      const [rows] = await connection.query('SELECT COUNT(*) AS n FROM goods WHERE id IN (100, 101)');
      assert.deepEqual(rows, [{ n: 2 }]);
      const secret = "LOAD DATA LOCAL INFILE 'x' INTO TABLE secrets (id, word) /* never8 */";
      await assert.rejects(connection.query({ sql: secret, infileStreamFactory }), refused);
      await connection.query('DELETE FROM goods WHERE id IN (100, 101)');
      await connection.end();
      assert.deepEqual(await logged('never8'), []);
    });

    test('large values, large results and large commands pass as they are', async () => {
      const connection = await open();
      const data = Buffer.alloc(3 * 1024 * 1024, 0x61);
      await connection.execute('UPDATE goods SET data = ? WHERE id = ?', [data, 1]);
      const [[row]] = (await connection.query('SELECT data FROM goods WHERE id = 1')) as unknown as [
        [{ data: Buffer }],
      ];
      assert.ok(row.data.equals(data));
      await connection.query('UPDATE goods SET data = NULL WHERE id = 1');
      await connection.end();
    });

    test('what breaks the protocol ends the session, and nothing of it is forwarded', async () => {
      const hostile: Buffer[] = [
        comQuery('SELECT 1 /* never9 */', 3),
        Buffer.from([0, 0, 0, 0]),
        encodePackets(Buffer.from([COM.stmtExecute, 1]), 0),
        encodePackets(Buffer.from([COM.stmtClose]), 0),
        Buffer.from([0xff, 0xff, 0xff, 7, 3]),
      ];
      for (const bytes of hostile) {
        const client = await raw();
        client.send(bytes);
        const packets = await client.rest();
        assert.ok(packets.length <= 1, String(packets.length));
        client.close();
      }
      assert.deepEqual(await logged('never9'), []);
    });

    test('behind a preparation that failed or was refused there is no statement that was prepared last', async () => {
      const client = await raw();
      const prepare = (text: string) => encodePackets(encodeComStmtPrepare(Buffer.from(text)), 0);
      const executeLast = encodePackets(
        Buffer.concat([Buffer.of(COM.stmtExecute), Buffer.from('ffffffff0001000000', 'hex')]),
        0,
      );
      client.send(prepare('DO 7'), executeLast);
      assert.equal((await client.packet()).payload[0], 0);
      // MySQL itself knows of no such thing.
      assert.equal((await client.packet()).payload[0], kind === 'MariaDB' ? 0 : 255);
      for (const [text, code] of [
        ['SELECT id FROM nowhere', 1146],
        ['DELETE FROM goods', 1142],
      ] as const) {
        client.send(prepare(text), executeLast);
        assert.equal(decodeErr((await client.packet()).payload).code, code);
        assert.equal(decodeErr((await client.packet()).payload).code, 1243);
      }
      client.close();
    });

    test('a user changes by an answer to the scramble of the login, as libmariadb gives it', async () => {
      const client = await raw();
      const change = encodeComChangeUser(
        {
          user: 'agent',
          authResponse: nativePasswordResponse('secret', client.greeting.authData),
          database: 'shop',
          characterSet: 45,
          authPlugin: NATIVE_PASSWORD,
          attributes: null,
        },
        client.capabilities,
      );
      client.send(encodePackets(change, 0));
      assert.equal((await client.packet()).payload[0], 0);
      client.close();
    });

    test('bytes that are no login are turned away', async () => {
      for (const bytes of [
        Buffer.alloc(40),
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.from([1, 0, 0, 1, 0]),
        Buffer.from([0xff, 0xff, 0xff, 1]),
      ]) {
        const client = await RawMysqlClient.connect(sluice.mysqlPort);
        await client.packet();
        client.send(bytes);
        const packets = await client.rest();
        assert.ok(packets.length <= 1);
      }
      const connection = await open();
      await connection.query('SELECT 1');
      await connection.end();
    });
  });
}

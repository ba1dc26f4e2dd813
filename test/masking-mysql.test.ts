import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { COM } from '../protocols/mysql/commands.ts';
import { COLUMN_FLAG } from '../protocols/mysql/responses.ts';
import { type Answer, ask, fetchRows, prepareAndExecute } from './mysql-results.ts';
import { RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

/**
 * Masks and detectors through a running Sluice: every way in which rows reach a MySQL client, in both protocols. The
 * secrets stand nowhere but in the masked columns, so none of their bytes may be in anything a client receives.
 */

const SCHEMA = `
  CREATE TABLE people (
    id INT PRIMARY KEY, name VARCHAR(200) NOT NULL, email VARCHAR(60) NOT NULL UNIQUE, Card VARCHAR(19), ssn CHAR(11),
    salary DECIMAL(10, 2), born DATE, seen DATETIME(3), stamp TIMESTAMP NULL, at TIME, y YEAR, score DOUBLE, ratio FLOAT,
    points BIGINT NOT NULL, small TINYINT UNSIGNED, flags BIT(9), raw VARBINARY(40), big LONGTEXT,
    mood ENUM('fine', 'sad'), tags SET('a', 'b'), place GEOMETRY, profile JSON);
  INSERT INTO people SELECT i, CONCAT('Name ', i), CONCAT('canary', i, '@secret.example'), CONCAT('4111-1111-1111-111', i),
    CONCAT('900-10-777', i), 77123.45, '1977-07-07', '2011-11-11 11:11:11.250', '2011-11-11 11:11:11', '07:07:07', 1977, 7777.25,
    77.75, 7777777777 + i, 177, 377, 'canarybytes', 'canarytext', 'sad', 'a,b', ST_GeomFromText('POINT(77.77 77.77)'),
    '{"card": {"number": "canaryjson"}, "city": "Bonn"}' FROM (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3) AS n;
  CREATE TABLE large (id INT, body LONGTEXT);
  CREATE VIEW contacts AS SELECT id, email AS address FROM people;
  CREATE TABLE notes (id INT PRIMARY KEY, body TEXT, number BIGINT);
  INSERT INTO notes VALUES (1, 'call 555', 1), (2, 'card 4012 8888 8888 1881', 2), (3, NULL, 4012888888881881);
  CREATE PROCEDURE everybody() SELECT * FROM people;
  CREATE PROCEDURE noted() BEGIN SELECT body FROM notes ORDER BY id; SELECT number FROM notes ORDER BY id; END`;

const RULES = `
version: 1
rules:
  - { id: everything, match: {}, action: allow }
masks:
  - { id: email, columns: people.email, with: { email: keep-domain }, match: { identities: { subjects: [bot, clerk] } } }
  - { id: card, columns: people.cArd, with: { partial: { last: 4 } }, match: { identities: { subjects: [bot, clerk] } } }
  - { id: redacted, columns: [people.ssn, people.salary, people.born, people.seen, people.stamp, people.at, people.y, people.score, people.ratio, people.points, people.small, people.flags, people.raw, people.big, people.mood, people.tags, people.place], with: redact, match: { identities: { subjects: [bot, clerk] } } }
  - { id: profile, columns: "people.profile:$.card.number", with: redact, match: { identities: { subjects: [bot, clerk] } } }
detectors:
  - { id: cards, find: payment-card, columns: "*", with: { redact: "[card]" }, match: { identities: { subjects: [bot, viewer] } } }
`;

const CANARIES = [
  'canary',
  '1111-1111',
  '900-10',
  '77123',
  '1977',
  '2011',
  '7777',
  '77.7',
  '8888 8888',
  '4012888888881881',
];

/** No byte of a secret, in text or in binary form. */
function assertMasked({ bytes, results, error }: Answer): void {
  const said = JSON.stringify([results.map(({ rows }) => rows), error]);
  for (const canary of CANARIES) assert.equal(bytes.includes(canary), false, `${canary} in ${said}`);
  // 7777.25, 77.77 and 77.75 as IEEE 754 has them, 1977-07-07, and 7777777778.
  for (const binary of ['000000004061be40', 'e17a14ae47715340', '00809b42', 'b9070707', '72fa96cf01000000']) {
    assert.equal(bytes.toString('hex').includes(binary), false, `${binary} in ${said}`);
  }
}

for (const [kind, start] of [
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(kind, { timeout: 500_000 }, () => {
    let server: MysqlFamilyServer;
    let sluice: Sluice;
    let client: RawMysqlClient;

    const login = (user = 'bot') => ({ port: sluice.mysqlPort, user, password: 'pw', database: 'shop' });
    const raw = (more = 0, user = 'bot') => RawMysqlClient.login(sluice.mysqlPort, login(user), more);

    before(async () => {
      const started = await start();
      assert.ok(started, `${kind} cannot be had`);
      server = started;
      await server.query(SCHEMA);
      const { host, port, database, superuser, password } = server;
      sluice = await startSluice({
        connections: [
          { name: 'shop', protocol: 'mysql', upstream: { host, port, database, user: superuser, password } },
        ],
        users: [
          { name: 'bot', password: 'pw' },
          { name: 'viewer', password: 'pw' },
          { name: 'clerk', password: 'pw' },
        ],
        rulesYaml: RULES,
      });
      client = await raw();
    });
    after(async () => {
      client?.close();
      await sluice?.stop();
      await server?.stop();
    });

    async function query(sql: string, by = client): Promise<Answer> {
      const answer = await ask(by, Buffer.concat([Buffer.of(COM.query), Buffer.from(sql)]), false);
      assertMasked(answer);
      return answer;
    }

    /** Prepares and executes. @param flags of COM_STMT_EXECUTE @returns the id as well */
    async function execute(
      sql: string,
      parameters: readonly string[] = [],
      { by = client, flags = 0 }: { by?: RawMysqlClient; flags?: number } = {},
    ): Promise<Answer & { readonly id: number }> {
      const answer = await prepareAndExecute(by, sql, parameters, flags);
      assertMasked(answer);
      return answer;
    }

    const rowsOf = ({ results, error }: Answer) => {
      assert.equal(error, null);
      return results.flatMap(({ rows }) => rows);
    };
    /** The rule that refused, as SHOW WARNINGS has it. */
    async function refusedBy(answer: Answer, by = client): Promise<string | null> {
      if (answer.error === null) return null;
      const text = (await query('SHOW WARNINGS', by)).bytes.toString('utf8');
      return /\{"sluice":\{.*?"rule":"([^"]+)"/.exec(text)?.[1] ?? null;
    }

    test('a masked column in a select list is masked, plain and derived, whatever it is called, in both protocols', async () => {
      for (const run of [query, execute]) {
        const rows = async (sql: string) => rowsOf(await run(sql));
        assert.deepEqual(await rows('SELECT id, email, email AS name, card FROM people ORDER BY id LIMIT 2'), [
          ['1', '****@secret.example', '****@secret.example', '****1111'],
          ['2', '****@secret.example', '****@secret.example', '****1112'],
        ]);
        assert.deepEqual(
          await rows("SELECT UPPER(email), CONCAT(id, card), IF(id > 1, 'x', email), id FROM people WHERE id = 1"),
          [['[redacted]', '[redacted]', '[redacted]', '1']],
        );
        assert.deepEqual(await rows('SELECT address FROM contacts WHERE id = 1'), [['****@secret.example']]);
        assert.deepEqual(await rows('SELECT x FROM (SELECT email AS x, id FROM people) AS d WHERE id = 2'), [
          ['****@secret.example'],
        ]);
        assert.deepEqual(await rows('WITH c AS (SELECT card AS n FROM people WHERE id = 3) SELECT n FROM c'), [
          ['****1113'],
        ]);
        assert.deepEqual(
          await rows('SELECT email FROM people WHERE id = 1 UNION ALL SELECT body FROM notes WHERE id = 1'),
          [['[redacted]'], ['[redacted]']],
        );
        assert.deepEqual(await rows('SELECT COUNT(email), COUNT(*) FROM people'), [['3', '3']]);
        assert.deepEqual(
          (await rows('SELECT profile FROM people WHERE id = 1')).map(([text]) => JSON.parse(text!)),
          [{ card: { number: '[redacted]' }, city: 'Bonn' }],
        );
        assert.deepEqual(await rows("SELECT JSON_EXTRACT(profile, '$.card.number') FROM people WHERE id = 1"), [
          [kind === 'MySQL' ? '"[redacted]"' : '[redacted]'],
        ]);
      }
    });

    test('values of every type are masked, and NULL is told where the definition said there was none', async () => {
      for (const run of [query, execute]) {
        const { results } = await run('SELECT * FROM people WHERE id = 1');
        const { columns, rows } = results[0]!;
        assert.deepEqual(Object.fromEntries(columns.map(({ name }, i) => [name, rows[0]![i]!])), {
          ...{
            id: '1',
            name: 'Name 1',
            email: '****@secret.example',
            Card: '****1111',
            ssn: '[redacted]',
            salary: '0',
          },
          ...{
            born: '1970-01-01',
            seen: rows[0]![7],
            stamp: rows[0]![8],
            at: '00:00:00',
            y: '1970',
            score: '0',
            ratio: '0',
          },
          ...{
            points: '0',
            small: '0',
            flags: rows[0]![15],
            raw: '',
            big: '[redacted]',
            mood: null,
            tags: null,
            place: null,
          },
          profile: rows[0]![21],
        });
        assert.match(rows[0]![7]!, /^1970-01-01( 00:00:00)?$/);
        const nullable = columns.filter(({ flags }) => (flags & COLUMN_FLAG.notNull) === 0).map(({ name }) => name);
        assert.deepEqual(
          ['id', 'name', 'email', 'points'].filter((name) => nullable.includes(name)),
          // In name a detector looks for cards, and puts a text in their place.
          ['email', 'points'],
        );
      }
    });

    test('several results, and what has none', async () => {
      const { results, error } = await query(
        'SELECT name FROM people WHERE id = 1; SELECT email FROM people WHERE id = 1; DO 1; SELECT 2',
      );
      assert.equal(error, null);
      assert.deepEqual(
        results.map(({ rows }) => rows),
        [[['Name 1']], [['****@secret.example']], [['2']]],
      );
    });

    test('a cursor, a statement executed again, and other values', async () => {
      for (const more of [0, CLIENT.deprecateEof]) {
        const by = await raw(more);
        const { id, results } = await execute('SELECT id, email FROM people WHERE id > ? ORDER BY id', ['0'], {
          by,
          flags: 1,
        });
        const { columns, hasCursor } = results[0]!;
        assert.equal(hasCursor, true);
        const fetched: Answer[] = [];
        for (let i = 0; i < 2; i++) {
          fetched.push(await fetchRows(by, id, 2, columns));
          assertMasked(fetched[i]!);
        }
        assert.deepEqual(fetched.map(rowsOf), [
          [
            ['1', '****@secret.example'],
            ['2', '****@secret.example'],
          ],
          [['3', '****@secret.example']],
        ]);
        by.close();
      }
    });

    test('PREPARE and EXECUTE in SQL', async () => {
      await query("PREPARE q FROM 'SELECT email, id FROM people WHERE id = ?'");
      await query('SET @id = 2');
      assert.deepEqual(rowsOf(await query('EXECUTE q USING @id')), [['****@secret.example', '2']]);
      const { results } = await query(
        "PREPARE q FROM 'SELECT 1'; EXECUTE q; SELECT UPPER(email) FROM people WHERE id = 1",
      );
      assert.deepEqual(
        results.map(({ rows }) => rows),
        [[['1']], [['[redacted]']]],
      );
      if (kind === 'MariaDB') {
        assert.deepEqual(rowsOf(await query("EXECUTE IMMEDIATE 'SELECT card FROM people WHERE id = 1'")), [
          ['****1111'],
        ]);
      }
    });

    test('what decides about rows, or goes elsewhere, is refused; what compares for equality passes', async () => {
      for (const sql of [
        "SELECT id FROM people WHERE email LIKE 'c%'",
        'SELECT id FROM people ORDER BY salary',
        'SELECT COUNT(*) FROM people GROUP BY card',
        'CREATE TABLE copied AS SELECT email FROM people',
        'INSERT INTO notes SELECT 9, email, 1 FROM people',
        'SELECT email INTO @stolen FROM people WHERE id = 1',
        "SELECT email INTO OUTFILE '/tmp/stolen' FROM people",
        'SELECT @stolen := email FROM people',
        'CALL everybody()',
        'HANDLER people OPEN',
        "SELECT id FROM people WHERE email = 'x' AND SLEEP(ASCII(card))",
      ]) {
        assert.notEqual(await refusedBy(await query(sql)), null, sql);
      }
      assert.deepEqual(rowsOf(await query("SELECT id FROM people WHERE email = 'x'")), []);
    });

    test('what a detector finds is replaced, in any column and protocol, and in the results of procedures', async () => {
      for (const run of [query, execute]) {
        for (const by of [client, await raw(0, 'viewer')]) {
          const rows = rowsOf(
            await (run === query
              ? query('SELECT * FROM notes ORDER BY id', by)
              : execute('SELECT * FROM notes ORDER BY id', [], { by })),
          );
          assert.deepEqual(rows, [
            ['1', 'call 555', '1'],
            ['2', '[card]', '2'],
            ['3', null, '0'],
          ]);
        }
        assert.deepEqual(rowsOf(await run('SELECT CAST(body AS BINARY), id + 0 FROM notes WHERE id = 2')), [['', '2']]);
      }
      const viewer = await raw(0, 'viewer');
      assert.deepEqual(rowsOf(await query('CALL noted()', viewer)), [
        ['call 555'],
        ['[card]'],
        [null],
        ['1'],
        ['2'],
        ['0'],
      ]);
      assert.deepEqual(rowsOf(await execute('CALL noted()', [], { by: viewer })), [
        ...[['call 555'], ['[card]'], [null], ['1'], ['2'], ['0']],
      ]);
      viewer.close();
    });

    test('messages about masked columns are withheld, and so are warnings', async () => {
      const duplicate = await query(
        "INSERT INTO people (id, name, email, points) VALUES (9, 'x', 'canary1@secret.example', 1)",
      );
      assert.equal(duplicate.error?.code, 1062);
      assert.match(duplicate.error?.message ?? '', /withheld/);
      assert.match((await query('SHOW WARNINGS')).bytes.toString('utf8'), /withheld/);
      for (const run of [query, execute]) {
        for (const [sql, warnings] of [
          ['SELECT CAST(email AS SIGNED) FROM people WHERE id = 1', 0],
          ["SELECT CAST('x' AS SIGNED), name FROM people WHERE id = 1", 1],
          ["SELECT CAST('x' AS SIGNED), name FROM people WHERE email = 'x' OR id = 1", 0],
          ["SELECT CAST('x' AS SIGNED) AS n", 1],
        ] as const) {
          const { bytes, error } = await run(sql);
          assert.equal(error, null);
          assert.equal(bytes.readUInt16LE(bytes.length - 4), warnings, sql);
        }
      }
      await query('SELECT CAST(email AS SIGNED) FROM people WHERE id = 1');
      assert.equal(await refusedBy(await query('SELECT @@warning_count')), 'masking');
      const ignored = await query("INSERT IGNORE INTO people (id, name, email, points) VALUES (1, 'x', 'y', 1)");
      assert.notEqual(await refusedBy(ignored), null, 'that a row is there already tells of it');
    });

    test('a mask is not written over the value it stands for', async () => {
      for (const [sql, values] of [
        ["UPDATE people SET email = '****@secret.example' WHERE id = 1", []],
        ['UPDATE people SET email = "****@secret.example" WHERE id = 1', []],
        ['UPDATE people SET card = ? WHERE id = 1', ['****1111']],
      ] as const) {
        const answer = values.length === 0 ? await query(sql) : await execute(sql, values);
        assert.match((await refusedBy(answer)) ?? '', /email|card/, sql);
      }
      assert.equal((await query("UPDATE people SET name = '****' WHERE id = 3")).error, null);
    });

    test('records hold no value of a masked column', async () => {
      await query("SELECT id FROM people WHERE email = 'probe-one@x.example'");
      await query('SELECT id FROM people WHERE email = "probe-two@x.example"');
      await query("SELECT id FROM people WHERE email = 'it\\'s probe-three@x.example'");
      await query(`SELECT id FROM people WHERE email = 0x${Buffer.from('probe-six').toString('hex')}`);
      await execute('SELECT id FROM people WHERE email = ?', ['probe-four@x.example']);
      await query("SELECT 'kept' AS word");
      await query("SELECT 'card 4012888888881881' IS NULL AS x");
      await execute('SELECT ? IS NULL AS x', ['4012888888881881']);
      const records = JSON.stringify(sluice.journal());
      for (const value of ['probe-', Buffer.from('probe-six').toString('hex'), '4012888888881881']) {
        assert.equal(records.includes(value), false, value);
      }
      assert.equal(records.includes("SELECT 'kept' AS word"), true);
      assert.equal(records.includes('"masks":["email"]'), true);
    });

    test('RETURNING', { skip: kind === 'MySQL' }, async () => {
      assert.deepEqual(
        rowsOf(
          await query(
            "INSERT INTO people (id, name, email, points) VALUES (20, 'n', 'canary@secret.example', 1) RETURNING id, email",
          ),
        ),
        [['20', '****@secret.example']],
      );
      assert.deepEqual(rowsOf(await execute('DELETE FROM people WHERE id = 20 RETURNING email, name')), [
        ['****@secret.example', 'n'],
      ]);
    });

    test('rows of several packets are masked, and what follows them is numbered on', async () => {
      await server.query('SET GLOBAL max_allowed_packet = 134217728');
      const direct = await mysql.createConnection({
        ...{
          host: server.host,
          port: server.port,
          user: server.superuser,
          password: server.password,
          database: 'shop',
        },
      });
      await direct.query(
        "INSERT INTO people (id, name, email, points, big) VALUES (100, REPEAT('n', 200), 'canary@secret.example', 1, REPEAT('canary', 2800000))",
      );
      await direct.query("INSERT INTO large VALUES (1, REPEAT('x', 17000000))");
      await direct.end();
      const by = await raw(0, 'clerk');
      for (const run of [query, execute]) {
        const ask = (sql: string) => (run === query ? query(sql, by) : execute(sql, [], { by }));
        assert.deepEqual(rowsOf(await ask('SELECT name, big, id FROM people WHERE id IN (2, 100) ORDER BY id')), [
          ['Name 2', '[redacted]', '2'],
          ['n'.repeat(200), '[redacted]', '100'],
        ]);
        const [row] = rowsOf(await ask('SELECT l.body, p.card, l.id FROM large AS l JOIN people AS p ON p.id = 1'));
        assert.deepEqual([row?.[0]?.length, row?.[1], row?.[2]], [17_000_000, '****1111', '1']);
      }
      assert.deepEqual(
        rowsOf(
          await query(
            'SELECT big FROM people WHERE id = 100; SELECT id FROM people WHERE id = 1; SELECT email FROM people WHERE id = 1',
            by,
          ),
        ),
        [['[redacted]'], ['1'], ['****@secret.example']],
      );
      by.close();
    });

    test('mysql2 decodes every masked row', async () => {
      const driver = await mysql.createConnection({ host: '127.0.0.1', ...login() });
      for (const run of ['query', 'execute'] as const) {
        const sql = 'SELECT * FROM people WHERE id = 1';
        const [rows] = await (run === 'query' ? driver.query(sql) : driver.execute(sql));
        const {
          email,
          Card: card,
          salary,
          y,
          score,
          points,
          small,
          raw: bytes,
          mood,
          tags,
          place,
          profile,
        } = (rows as mysql.RowDataPacket[])[0]!;
        assert.deepEqual(
          { email, card, salary, y, score, points, small, bytes, mood, tags, place },
          {
            ...{ email: '****@secret.example', card: '****1111', salary: '0', y: 1970, score: 0, points: 0, small: 0 },
            ...{ bytes: Buffer.alloc(0), mood: null, tags: null, place: null },
          },
        );
        assert.deepEqual(typeof profile === 'string' ? JSON.parse(profile) : profile, {
          ...{ card: { number: '[redacted]' }, city: 'Bonn' },
        });
      }
      await driver.end();
    });
  });
}

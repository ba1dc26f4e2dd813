import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import { type Compression, encodeCompressedPacket, ZLIB, zstd } from '../protocols/mysql/compression.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { decodeErr } from '../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

const RULES = `
version: 1
rules:
  - id: unbounded
    action: deny
    match: { effects: [delete, update], predicate: [none] }
`;

/** A query long enough to be compressed. */
const TEXT = `SELECT '${'x'.repeat(5000)}' AS x`;

for (const [kind, start, algorithms] of [
  ['MariaDB', startMariadb, ['zlib']],
  ['MySQL', startMysql, ['zlib', 'zstd']],
] as const) {
  describe(`compression in front of ${kind}`, { timeout: 500_000 }, () => {
    let server: MysqlFamilyServer;
    let sluice: Sluice;

    before(async () => {
      const started = await start({ config: { local_infile: '1', max_allowed_packet: '64M' } });
      assert.ok(started, `${kind} cannot be had`);
      server = started;
      await server.query("CREATE TABLE goods (id INT, name TEXT); INSERT INTO goods VALUES (1, 'tea'), (2, 'milk')");
      const { host, port, database, superuser, password } = server;
      const upstream = { host, port, database, user: superuser, password };
      sluice = await startSluice({
        connections: [{ name: 'shop', protocol: 'mysql', upstream }],
        users: [{ name: 'agent', password: 'secret' }],
        rulesYaml: RULES,
        tls: true,
      });
    });
    after(async () => {
      await sluice?.stop();
      await server?.stop();
    });

    const login = { user: 'agent', password: 'secret', database: 'shop' };
    const open = (more: mysql.ConnectionOptions = {}) =>
      mysql.createConnection({ host: '127.0.0.1', port: sluice.mysqlPort, ...login, compress: true, ...more });

    /** A client that is logged in and speaks the compressed protocol. */
    async function raw(algorithm: 'zlib' | 'zstd'): Promise<{ client: RawMysqlClient; compression: Compression }> {
      const flag = algorithm === 'zlib' ? CLIENT.compress : CLIENT.zstdCompressionAlgorithm;
      const client = await RawMysqlClient.login(sluice.mysqlPort, login, flag);
      assert.notEqual(client.capabilities.client & flag, 0, `${algorithm} is offered`);
      const compression = algorithm === 'zlib' ? ZLIB : zstd(3);
      client.beCompressed(compression);
      return { client, compression };
    }

    const compressed = (compression: Compression, number: number, ...packets: Buffer[]): Buffer => {
      const bytes = Buffer.concat(packets);
      return encodeCompressedPacket(number, compression.compressNow(bytes), bytes.length);
    };

    /** The rows of the answer to a query with one column and one row. */
    async function answer(client: RawMysqlClient): Promise<string> {
      const packets = [];
      for (let i = 0; i < 5; i++) packets.push(await client.packet());
      const row = packets[3]!.payload;
      return row.toString('latin1', row[0]! < 0xfb ? 1 : 3);
    }

    for (const algorithm of algorithms) {
      describe(algorithm, () => {
        test('commands are read, and answers are compressed, numbered from the command on', async () => {
          const { client, compression } = await raw(algorithm);
          let received = client.socket.bytesRead;
          for (let i = 0; i < 3; i++) {
            client.send(compressed(compression, 0, comQuery(TEXT)));
            assert.equal(await answer(client), 'x'.repeat(5000));
          }
          received = client.socket.bytesRead - received;
          assert.ok(received < 3 * 500, `${received} bytes`);
          assert.deepEqual(client.compressedNumbers, [1, 1, 1]);
          client.close();
        });

        test('a refused statement is an error like any other, and never reaches the server', async () => {
          const { client, compression } = await raw(algorithm);
          client.send(compressed(compression, 0, comQuery(`DELETE FROM goods /* ${'never'.repeat(20)} */`)));
          assert.equal(decodeErr((await client.packet()).payload).code, 1142);
          client.send(compressed(compression, 0, comQuery('SELECT 1')));
          assert.equal(await answer(client), '1');
          client.close();
          assert.deepEqual(await server.query('SELECT COUNT(*) AS n FROM goods WHERE id < 3'), [{ n: 2 }]);
        });

        test('packets may be bundled, cut anywhere, not compressed, and numbered as the client likes', async () => {
          const { client, compression } = await raw(algorithm);
          client.send(compressed(compression, 0, comQuery(TEXT, 7), comQuery(TEXT, 0)));
          for (let i = 0; i < 2; i++) assert.equal(await answer(client), 'x'.repeat(5000));
          const bytes = comQuery(TEXT);
          client.send(
            encodeCompressedPacket(0, bytes.subarray(0, 3), 0),
            encodeCompressedPacket(1, Buffer.alloc(0), 0),
            compressed(compression, 2, bytes.subarray(3, 4000)),
            encodeCompressedPacket(3, bytes.subarray(4000), 0),
          );
          assert.equal(await answer(client), 'x'.repeat(5000));
          assert.equal(client.compressedNumbers.at(-1), 4);
          client.close();
        });

        for (const [what, bytes] of [
          ['is more than it announced', (with_: Compression) => lie(with_, -1)],
          ['is less than it announced', (with_: Compression) => lie(with_, 1)],
          ['is much more than it announced', (with_: Compression) => bomb(with_, 1000)],
          ['is much more than it announced, and that is much', (with_: Compression) => bomb(with_, 1_000_000)],
          ['is damaged', () => encodeCompressedPacket(0, comQuery(TEXT), 6000)],
          ['has the number of another', (with_: Compression) => compressed(with_, 5, comQuery(TEXT))],
          [
            'has a command without a byte',
            (with_: Compression) => compressed(with_, 0, encodePackets(Buffer.alloc(0), 0)),
          ],
        ] as const) {
          test(`a compressed packet that ${what} ends the session, and nothing of it is forwarded`, async () => {
            const { client, compression } = await raw(algorithm);
            client.send(compressed(compression, 0, comQuery(TEXT)));
            await answer(client);
            const before = sluice.journal().length;
            client.send(bytes(compression), compressed(compression, 0, comQuery('SELECT 1')));
            const rest = await client.rest();
            assert.equal(decodeErr(rest[0]!.payload).code, 1835);
            assert.equal(rest.length, 1);
            const records = sluice.journal().slice(before);
            assert.ok(!records.some(({ event }) => event === 'statement.attempt'));
          });
        }
      });
    }

    /** A packet whose header is wrong by some bytes. */
    function lie(compression: Compression, by: number): Buffer {
      const packet = compressed(compression, 0, comQuery(TEXT));
      packet.writeUIntLE(packet.readUIntLE(4, 3) + by, 4, 3);
      return packet;
    }

    function bomb(compression: Compression, announced: number): Buffer {
      return encodeCompressedPacket(0, compression.compressNow(Buffer.alloc(16_000_000)), announced);
    }

    test('a driver that compresses sees what it sees without, in clear and over TLS', async () => {
      for (const ssl of [undefined, { rejectUnauthorized: false }]) {
        const connection = await open(ssl === undefined ? {} : { ssl });
        const [rows] = await connection.query('SELECT id, name FROM goods WHERE id < 3 ORDER BY id');
        assert.deepEqual(rows, [
          { id: 1, name: 'tea' },
          { id: 2, name: 'milk' },
        ]);
        await assert.rejects(connection.query('DELETE FROM goods'), { errno: 1142 });
        const big = 'sluice'.repeat(3_000_000);
        const [[value]] = (await connection.execute('SELECT ? AS v', [big])) as unknown as [[{ v: string }]];
        assert.ok(value.v.toString() === big);
        await connection.changeUser({ user: 'agent', password: 'secret', database: 'shop' });
        const [[after]] = (await connection.query('SELECT 1 AS n')) as unknown as [[{ n: number }]];
        assert.equal(after.n, 1);
        await connection.end();
      }
    });

    test('a file is read from a client that compresses', async () => {
      const connection = await open();
      await connection.query('CREATE TABLE loaded (id INT)');
      await connection.query({
        sql: "LOAD DATA LOCAL INFILE 'ids' INTO TABLE loaded",
        infileStreamFactory: () =>
          Readable.from(Array.from({ length: 500 }, (_, i) => Buffer.from(`${i}\n`.repeat(100)))),
      } as mysql.QueryOptions);
      await connection.end();
      assert.deepEqual(await server.query('SELECT COUNT(*) AS n, SUM(id) AS s FROM loaded'), [
        { n: 50_000, s: '12475000' },
      ]);
    });
  });
}

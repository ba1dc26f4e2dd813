import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { CLIENT } from '../protocols/mysql/capabilities.ts';
import {
  COM,
  encodeBareCommand,
  encodeComChangeUser,
  encodeComFieldList,
  encodeComProcessKill,
  encodeComSetOption,
  encodeComStmtFetch,
  encodeComStmtPrepare,
  encodeComStmtSendLongData,
  encodeNameCommand,
  encodeStatementCommand,
} from '../protocols/mysql/commands.ts';
import { encodeCompressedPacket, ZLIB } from '../protocols/mysql/compression.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import { encodeHandshakeResponse } from '../protocols/mysql/handshake.ts';
import { encodeComQuery, encodeComStmtBulkExecute, encodeComStmtExecute } from '../protocols/mysql/parameters.ts';
import { FIELD_TYPE } from '../protocols/mysql/responses.ts';
import { RawMysqlClient } from './raw-mysql-client.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type Sluice, startSluice } from './sluice.ts';

/** Whatever bytes come, from either side: that session ends soon, and no other notices. Milliseconds, for a busy machine. */
const SOON = 5000;
/** Fixed, so that a failure can be repeated; FUZZ_SEED asks for other bytes. */
const SEED = Number(process.env.FUZZ_SEED ?? 42);
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 150);
/** Sessions at a time. */
const WIDTH = 10;

const AGENT = { user: 'agent', password: 'secret', database: 'shop' };
const capabilities = { client: CLIENT.protocol41 | CLIENT.secureConnection | CLIENT.pluginAuth, mariadb: 0 };
const string = { type: FIELD_TYPE.varString, unsigned: false, name: '' };

/** One of each command; statement 1 is the one that is prepared first. */
const COMMANDS: Record<string, Buffer> = {
  query: encodeComQuery({ attributes: [], text: Buffer.from('SELECT id, name FROM goods') }, capabilities),
  several: encodeComQuery({ attributes: [], text: Buffer.from('SELECT 1; SELECT 2; DO 3') }, capabilities),
  infile: encodeComQuery(
    { attributes: [], text: Buffer.from("LOAD DATA LOCAL INFILE 'f' INTO TABLE goods") },
    capabilities,
  ),
  prepare: encodeComStmtPrepare(Buffer.from('SELECT id FROM goods WHERE name = ?')),
  execute: encodeComStmtExecute(
    { statementId: 1, flags: 1, typesSent: true, parameters: [{ ...string, value: Buffer.from('tea') }] },
    1,
    capabilities,
  ),
  bulk: encodeComStmtBulkExecute({
    statementId: 1,
    typesSent: true,
    unitResults: false,
    types: [string],
    rows: [[Buffer.from('tea')], [null]],
  }),
  long: encodeComStmtSendLongData({ statementId: 1, parameter: 0, data: Buffer.from('long') }),
  fetch: encodeComStmtFetch({ statementId: 1, rows: 1 }),
  close: encodeStatementCommand('stmtClose', 1),
  reset: encodeStatementCommand('stmtReset', 1),
  ping: encodeBareCommand('ping'),
  statistics: encodeBareCommand('statistics'),
  resetConnection: encodeBareCommand('resetConnection'),
  initDb: encodeNameCommand('initDb', 'shop'),
  fieldList: encodeComFieldList({ table: 'goods', wildcard: '%' }),
  kill: encodeComProcessKill(1),
  setOption: encodeComSetOption(0),
  changeUser: encodeComChangeUser(
    {
      user: 'agent',
      authResponse: Buffer.alloc(20, 1),
      database: 'shop',
      characterSet: 45,
      authPlugin: 'mysql_native_password',
      attributes: null,
    },
    capabilities,
  ),
  anything: Buffer.from([COM.binlogDump, 1, 2, 3]),
};

/** Changes that make bytes wrong: cut, a byte or a run of them overwritten, something put in between. */
const damage = fc.oneof(
  fc.record({ how: fc.constant('cut' as const), at: fc.nat(400) }),
  fc.record({
    how: fc.constant('set' as const),
    at: fc.nat(400),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }),
  }),
  fc.record({
    how: fc.constant('put' as const),
    at: fc.nat(400),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
  fc.record({
    how: fc.constant('set' as const),
    at: fc.nat(400),
    bytes: fc.constantFrom(...['ff', 'fe', 'fb', 'ffff', 'feffffffffffffffff', 'fdffffff', '00', '0000'].map(hex)),
  }),
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function hex(digits: string): Uint8Array {
  return Buffer.from(digits, 'hex');
}

function damaged(bytes: Buffer, change: Damage): Buffer {
  const at = bytes.length === 0 ? 0 : change.at % bytes.length;
  if (change.how === 'cut') return bytes.subarray(0, at);
  const behind = change.how === 'put' ? at : Math.min(bytes.length, at + change.bytes.length);
  return Buffer.concat([bytes.subarray(0, at), change.bytes, bytes.subarray(behind)]);
}

/** Runs all of them, some at a time. */
async function each<T>(list: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = [...list];
  const work = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
}

/** Says that nothing more comes, and waits for Sluice to end the connection. */
async function endsSoon(client: RawMysqlClient, what: string): Promise<void> {
  // Time for the upstream to answer, if it was asked.
  await sleep(20);
  client.socket.end();
  client.socket.resume();
  const deadline = Date.now() + SOON;
  while (!client.ended) {
    assert.ok(Date.now() < deadline, `still there after ${SOON} ms: ${what}`);
    await sleep(10);
  }
}

describe('hostile bytes on the MySQL path', { timeout: 240_000 }, () => {
  let server: MysqlFamilyServer;
  let proxy: Server;
  let sluice: Sluice;
  /** What happens to the next chunk of the server, once a test has asked for it. */
  let damageNext: ((chunk: Buffer) => Buffer) | null = null;

  before(async () => {
    const started = await startMariadb();
    assert.ok(started, 'MariaDB cannot be had');
    server = started;
    await server.query(
      "CREATE TABLE goods (id INT PRIMARY KEY, name VARCHAR(20)); INSERT INTO goods VALUES (1, 'tea'), (2, NULL)",
    );
    const { host, port, database, superuser, password } = server;
    // Between Sluice and its upstream, so that a server can be made to say anything.
    proxy = createServer((below) => {
      const above = connect({ host, port });
      below.on('data', (chunk) => above.write(chunk));
      above.on('data', (chunk: Buffer) => {
        const change = damageNext;
        damageNext = null;
        if (change === null) below.write(chunk);
        else below.end(change(chunk));
      });
      for (const [one, other] of [
        [below, above],
        [above, below],
      ] as const) {
        one.on('error', () => undefined).on('close', () => other.destroy());
      }
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const upstream = { host, database, user: superuser, password };
    sluice = await startSluice({
      connections: [
        { name: 'shop', protocol: 'mysql', upstream: { ...upstream, port } },
        { name: 'damaged', protocol: 'mysql', upstream: { ...upstream, port: (proxy.address() as AddressInfo).port } },
      ],
      users: [{ name: AGENT.user, password: AGENT.password }],
      rulesYaml: `
version: 1
rules:
  - id: only-reading
    action: deny
    match: { effects: [insert, update, delete, drop, alter, create, opaque] }
`,
    });
  });

  after(async () => {
    await sluice?.stop();
    proxy?.close();
    await server?.stop();
  });

  /** Sluice serves others as before, and what it had to refuse never reached the server. */
  async function unharmed(): Promise<void> {
    const client = await RawMysqlClient.login(sluice.mysqlPort, AGENT);
    client.send(encodePackets(COMMANDS.ping!, 0));
    assert.equal((await client.packet()).payload[0], 0);
    client.close();
    assert.deepEqual(await server.query('SELECT COUNT(*) AS n FROM goods'), [{ n: 2 }]);
    assert.doesNotMatch(
      sluice.log(),
      /internal error|"level":(50|60)|uncaught/i,
      'all of it were violations of the protocol',
    );
  }

  test('damaged bytes in place of a login end the connection', async () => {
    // Each in another name from another address, so that it is heard.
    const login = (number: number) =>
      encodePackets(
        encodeHandshakeResponse({
          capabilities: { ...capabilities, client: capabilities.client | CLIENT.connectWithDb | CLIENT.connectAttrs },
          maxPacketSize: 1 << 24,
          characterSet: 45,
          user: `agent${number}`,
          authResponse: Buffer.alloc(20, 1),
          database: 'shop',
          authPlugin: 'mysql_native_password',
          attributes: new Map([['program', 'fuzz']]),
          zstdLevel: null,
        }),
        1,
      );
    const changes = fc.sample(fc.array(damage, { minLength: 1, maxLength: 3 }), { seed: SEED, numRuns: ROUNDS });
    let number = 0;
    await each(changes, async (list) => {
      number += 1;
      const client = await RawMysqlClient.connect(sluice.mysqlPort, `127.0.1.${number % 256}`);
      const bytes = list.reduce(damaged, login(number));
      client.send(bytes);
      await endsSoon(client, bytes.toString('hex'));
    });
    await unharmed();
  });

  test('damaged commands end the session or are answered, whichever command it is', async () => {
    const commands = fc.record({
      name: fc.constantFrom(...Object.keys(COMMANDS)),
      inPacket: fc.boolean(),
      changes: fc.array(damage, { minLength: 1, maxLength: 3 }),
      next: fc.constantFrom(...Object.keys(COMMANDS)),
    });
    await each(fc.sample(commands, { seed: SEED, numRuns: 2 * ROUNDS }), async ({ name, inPacket, changes, next }) => {
      const client = await RawMysqlClient.login(sluice.mysqlPort, AGENT);
      const whole = COMMANDS[name]!;
      // With a true length around what is damaged, or with the length damaged as well.
      const bytes = inPacket
        ? encodePackets(changes.reduce(damaged, whole), 0)
        : changes.reduce(damaged, encodePackets(whole, 0));
      client.send(encodePackets(COMMANDS.prepare!, 0), bytes, encodePackets(COMMANDS[next]!, 0));
      await endsSoon(client, `${name}, ${next}: ${bytes.toString('hex')}`);
    });
    await unharmed();
  });

  test('damaged compressed packets end the session or are answered', async () => {
    const packets = fc.record({
      name: fc.constantFrom(...Object.keys(COMMANDS)),
      isCompressed: fc.boolean(),
      changes: fc.array(damage, { minLength: 1, maxLength: 3 }),
    });
    await each(fc.sample(packets, { seed: SEED, numRuns: 2 * ROUNDS }), async ({ name, isCompressed, changes }) => {
      const client = await RawMysqlClient.login(sluice.mysqlPort, AGENT, CLIENT.compress);
      client.beCompressed(ZLIB);
      const command = encodePackets(COMMANDS[name]!, 0);
      const bytes = changes.reduce(
        damaged,
        isCompressed
          ? encodeCompressedPacket(0, ZLIB.compressNow(command), command.length)
          : encodeCompressedPacket(0, command, 0),
      );
      client.send(encodeCompressedPacket(0, encodePackets(COMMANDS.prepare!, 0), 0), bytes);
      await endsSoon(client, `${name}: ${bytes.toString('hex')}`);
    });
    await unharmed();
  });

  test('damaged answers of an upstream end the session that waits for them, and no other', async () => {
    const answers = fc.record({
      name: fc.constantFrom(
        'query',
        'several',
        'prepare',
        'ping',
        'statistics',
        'fieldList',
        'initDb',
        'resetConnection',
      ),
      changes: fc.array(damage, { minLength: 1, maxLength: 3 }),
    });
    for (const { name, changes } of fc.sample(answers, { seed: SEED, numRuns: ROUNDS })) {
      const client = await RawMysqlClient.login(sluice.mysqlPort, { ...AGENT, database: 'damaged' });
      damageNext = (chunk) => changes.reduce(damaged, chunk);
      client.send(encodePackets(COMMANDS[name]!, 0));
      // The proxy ends the connection behind the damaged answer, and with it the session has to end.
      await once(client.socket, 'close', { signal: AbortSignal.timeout(SOON) }).catch(() => {
        assert.fail(`still there after ${SOON} ms: ${name}: ${JSON.stringify(changes)}`);
      });
      assert.equal(damageNext, null, `the answer to ${name} was damaged`);
    }
    await unharmed();
  });

  test('damaged messages of an upstream during its login refuse the client that wants it', async () => {
    const numRuns = ROUNDS / 3;
    let refusals = 0;
    for (const list of fc.sample(fc.array(damage, { minLength: 1, maxLength: 3 }), { seed: SEED, numRuns })) {
      damageNext = (chunk) => list.reduce(damaged, chunk);
      const client = await RawMysqlClient.connect(sluice.mysqlPort);
      const answer = await client.authenticate(AGENT.user, AGENT.password, 'damaged').then(
        (refused) => refused?.code ?? 'let in',
        (error: Error) => error.message,
      );
      // 2003: cannot be reached. An error the server itself would send is passed on as that, too. Where it is let in, the
      // last word of the connection before was damaged instead.
      assert.match(String(answer), /^(2003|let in|the connection has ended)$/);
      if (answer !== 'let in') refusals += 1;
      damageNext = null;
      client.close();
    }
    assert.ok(refusals > numRuns / 2, `${refusals} of ${numRuns}`);
    await unharmed();
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeAuthentication, decodeErrorResponse } from '../protocols/postgres/backend.ts';
import {
  encodeCancelRequest,
  encodeCopyData,
  encodeCopyDone,
  encodeQuery,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeStartupMessage,
} from '../protocols/postgres/frontend.ts';
import { ScramClient } from '../protocols/postgres/scram.ts';
import { errorCodes, type Login, type Message, RawClient, ServerError, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

const q = encodeQuery;
const MiB = 1024 * 1024;

describe('limits', () => {
  let postgres: PostgresServer;
  /** Those to be stopped at the end. */
  const started: Sluice[] = [];
  let sluice: Sluice;
  let login: Login;

  before(async () => {
    postgres = await startPostgres();
    sluice = await startLimited({ message: '64KiB' });
    login = loginOf(sluice);
  });
  after(async () => {
    await Promise.all(started.map((one) => one.stop()));
    await postgres?.stop();
  });

  async function startLimited(limits: Record<string, string | number>): Promise<Sluice> {
    const { host, port, superuser: user, password, database } = postgres;
    const one = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: [
        { name: 'agent', password: 'secret' },
        { name: 'other', password: 'another' },
      ],
      limits,
    });
    started.push(one);
    return one;
  }

  function loginOf({ host, port }: Sluice): Login {
    return { host, port, user: 'agent', password: 'secret', database: 'db' };
  }

  const startup = (parameters: Record<string, string>) =>
    encodeStartupMessage({ major: 3, minor: 0, parameters: new Map(Object.entries(parameters)) });

  /** SQLSTATE the login is refused with. */
  async function refusedWith(as: Login, parameters: Record<string, string> = {}): Promise<string> {
    try {
      (await RawClient.login(as, parameters)).destroy();
    } catch (error) {
      if (error instanceof ServerError) return error.fields.code;
      throw error;
    }
    return 'not refused';
  }

  describe('of logging in', () => {
    test('a client that sends nothing, or stops after its startup packet, is told that it took too long', async () => {
      const impatient = await startLimited({ handshake: '1s' });
      for (const bytes of [Buffer.alloc(0), startup({ user: 'agent' })]) {
        const client = await RawClient.connect(impatient);
        client.send(bytes);
        const messages = await client.untilClosed();
        assert.deepEqual(errorCodes(messages), ['57014']);
        assert.match(messages.at(-1)!.body.toString(), /login was not complete within 1 s/);
        client.destroy();
      }
    });

    test('a login whose messages come in two parts each is a login like any other', async () => {
      const one = await startLimited({ handshake: '3s' });
      try {
        const bytes = startup({ user: 'agent', database: 'db' });
        const silent = await RawClient.connect(one);
        silent.send(bytes.subarray(0, 9));
        assert.deepEqual(errorCodes(await silent.untilClosed()), ['57014']);
        silent.destroy();

        const client = await RawClient.connect(one);
        client.send(bytes.subarray(0, 20));
        await sleep(100);
        client.send(bytes.subarray(20));
        const scram = new ScramClient('', 'secret', null);
        assert.equal((await client.next()).type, 'R');
        const initial = encodeSASLInitialResponse(scram.start(['SCRAM-SHA-256']));
        for (const part of [initial.subarray(0, 3), initial.subarray(3, 40), initial.subarray(40)]) {
          client.send(part);
          await sleep(50);
        }
        const challenge = decodeAuthentication((await client.next()).body);
        assert.ok(challenge.kind === 'SASLContinue');
        client.send(encodeSASLResponse(await scram.respond(challenge.data)), q('SELECT 1'));
        assert.match(shapeOf(await client.take('C')), /D\(1\)/);
        client.destroy();
      } finally {
        // One that hangs does not end by itself.
        one.signal('SIGKILL');
      }
    });

    /** Logs in with a password and gives the whole conversation. */
    async function attempt(user: string, password: string): Promise<Message[]> {
      const client = await RawClient.connect(login);
      const scram = new ScramClient('', password, null);
      client.send(startup({ user, database: 'db' }));
      const messages = [await client.next()];
      client.send(encodeSASLInitialResponse(scram.start(['SCRAM-SHA-256'])));
      messages.push(await client.next());
      const challenge = decodeAuthentication(messages[1]!.body);
      assert.ok(challenge.kind === 'SASLContinue');
      client.send(encodeSASLResponse(await scram.respond(challenge.data)));
      messages.push(...(await client.untilClosed()));
      client.destroy();
      return messages;
    }

    test('an unknown user and a wrong password look the same from the first message to the last', async () => {
      const wrong = await attempt('agent', 'not it');
      const unknown = await attempt('nobody', 'not it');
      assert.equal(shapeOf(unknown), shapeOf(wrong));
      const last = (messages: Message[]) => decodeErrorResponse(messages.at(-1)!.body);
      assert.equal(last(wrong).code, '28P01');
      const { message, ...others } = last(wrong);
      const { message: unknownMessage, ...unknownOthers } = last(unknown);
      assert.equal(unknownMessage, message.replace('agent', 'nobody'));
      assert.deepEqual(unknownOthers, others);
    });

    test('the salt an unknown user is shown looks like a real one, and is the same each time', async () => {
      const saltAndIterations = async (user: string) => {
        const challenge = decodeAuthentication((await attempt(user, 'x'))[1]!.body);
        assert.ok(challenge.kind === 'SASLContinue');
        return /,s=([^,]+),i=(\d+)$/.exec(challenge.data.toString())!.slice(1);
      };
      const known = await saltAndIterations('agent');
      const unknown = await saltAndIterations('nobody');
      assert.deepEqual(await saltAndIterations('nobody'), unknown);
      assert.equal(unknown[0]!.length, known[0]!.length);
      assert.equal(unknown[1], known[1]);
      assert.notEqual((await saltAndIterations('somebody'))[0], unknown[0]);
    });

    test('a failed login is in the journal, without the password', async () => {
      await attempt('nobody', 'a-secret-nobody-may-see');
      const isItsFailure = ({ event, user }: Record<string, unknown>) => event === 'auth.failed' && user === 'nobody';
      await until(() => sluice.journal().some(isItsFailure), 'the failed login is in the journal');
      assert.ok(!JSON.stringify(sluice.journal()).includes('a-secret-nobody-may-see'));
    });

    test('a connection that is not configured does not exist', async () => {
      assert.equal(await refusedWith({ ...login, database: 'elsewhere' }), '3D000');
    });

    test('replication is refused, and switching it off is not', async () => {
      for (const value of ['database', 'true', 'on', '1', 'yes', 't']) {
        assert.equal(await refusedWith(login, { replication: value }), '0A000', value);
      }
      assert.equal(await refusedWith(login, { replication: 'false' }), 'not refused');
    });

    test('an encoding in which a quote can be half a character is refused, however it is asked for', async () => {
      for (const encoding of ['SJIS', 'sjis', 'Shift_JIS', 'BIG5', 'GBK', 'GB18030', 'UHC', 'JOHAB']) {
        assert.equal(await refusedWith(login, { client_encoding: encoding }), '22023', encoding);
      }
      assert.equal(await refusedWith(login, { Client_Encoding: 'SJIS' }), '22023');
      assert.equal(await refusedWith(login, { options: '-c client_encoding=SJIS' }), '22023');
      assert.equal(await refusedWith(login, { options: '--client-encoding=SJIS' }), '22023');
      // For the server, a non-breaking space is part of a word.
      const hidden = '-c application_name=x\u00a0-c -cclient_encoding=SJIS';
      assert.equal(await refusedWith(login, { options: hidden }), '22023');
      assert.equal(await refusedWith(login, { client_encoding: 'LATIN1' }), 'not refused');
    });

    test('such an encoding is refused in SET, and the session goes on', async () => {
      const client = await RawClient.login(login);
      for (const text of [
        "SET client_encoding TO 'SJIS'",
        "SET NAMES 'SJIS'",
        "SELECT 1; SET client_encoding = 'BIG5'",
      ]) {
        assert.deepEqual(errorCodes(await client.query(q(text))), ['22023'], text);
      }
      assert.equal(shapeOf(await client.query(q('SHOW client_encoding'))), 'T D(UTF8) C(SHOW) Z(I)');
      client.destroy();
    });

    test('such an encoding asked for in another way is refused, or ends the session before it is used', async () => {
      for (const text of [
        "SELECT set_config('client_encoding', 'SJIS', false)",
        "DO $$ BEGIN PERFORM set_config('client_encoding', 'SJIS', false); END $$",
        "UPDATE pg_settings SET setting = 'SJIS' WHERE name = 'client_encoding'",
      ]) {
        const client = await RawClient.login(login);
        client.send(q(text));
        client.send(q('SELECT 2'));
        const messages = await client.take('Z', 2).catch(() => client.taken());
        const codes = errorCodes(messages);
        assert.equal(codes[0], '22023', `${text}: ${shapeOf(messages)}`);
        client.destroy();
      }
    });
  });

  describe('of sessions', () => {
    test('one session too many is refused, until another ends', async () => {
      const few = loginOf(await startLimited({ sessions: 2 }));
      const first = await RawClient.login(few);
      const second = await RawClient.login(few);
      assert.equal(await refusedWith(few), '53300');
      assert.equal(shapeOf(await first.query(q('SELECT 1'))), 'T D(1) C(SELECT 1) Z(I)', 'the others go on');
      second.destroy();
      await until(async () => (await refusedWith(few)) !== '53300', 'there is room again');
      first.destroy();
    });

    test('the limit holds for clients that come at the same moment', async () => {
      const few = loginOf(await startLimited({ sessions: 2 }));
      const arrived = await Promise.allSettled(Array.from({ length: 10 }, () => RawClient.login(few)));
      const clients = arrived.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      for (const client of clients) client.destroy();
      assert.equal(clients.length, 2);
    });

    test('a silent session is ended, and told why', async () => {
      const { host, port } = await startLimited({ idle: '500ms' });
      const client = await RawClient.login({ ...login, host, port });
      const messages = await client.untilClosed();
      assert.deepEqual(errorCodes(messages), ['57P05']);
      client.destroy();
    });

    test('a session that waits for its server is not silent', async () => {
      const { host, port } = await startLimited({ idle: '500ms' });
      const client = await RawClient.login({ ...login, host, port });
      assert.match(shapeOf(await client.query(q('SELECT pg_sleep(2.5)'))), /C\(SELECT 1\) Z\(I\)/);
      client.destroy();
    });

    test('a message may be as long as the limit and no longer', async () => {
      const client = await RawClient.login(login);
      const text = (length: number) => `SELECT 1 -- ${'x'.repeat(length - 12)}`;
      assert.match(shapeOf(await client.query(q(text(60_000)))), /C\(SELECT 1\)/);
      client.send(q(text(66_000)));
      assert.deepEqual(errorCodes(await client.untilClosed()), ['08P01']);
      client.destroy();
    });
  });

  describe('of cancelling', () => {
    async function cancel(key: { processId: number; secretKey: Buffer }): Promise<void> {
      const client = await RawClient.connect(login);
      client.send(encodeCancelRequest(key));
      assert.deepEqual(await client.untilClosed(), [], 'a cancel request has no answer');
      client.destroy();
    }

    test('a session is cancelled by its own key and no other', async () => {
      const [mine, other] = await Promise.all([RawClient.login(login), RawClient.login(login)]);
      for (const client of [mine, other]) client.send(q('SELECT pg_sleep(5)'));
      const runs = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(5)'";
      await until(async () => (await postgres.query(runs))[0]!.n === 2, 'both run');
      const flipped = Buffer.from(mine.key.secretKey);
      flipped[0]! ^= 1;
      await cancel({ processId: mine.key.processId, secretKey: flipped });
      await cancel({ processId: mine.key.processId, secretKey: other.key.secretKey });
      await cancel({ processId: 1, secretKey: mine.key.secretKey });
      await sleep(200);
      assert.deepEqual([...mine.taken(), ...other.taken()], []);
      await cancel(mine.key);
      assert.deepEqual(errorCodes(await mine.take('Z', 1, 4000)), ['57014']);
      assert.match(shapeOf(await mine.query(q('SELECT 1'))), /D\(1\)/);
      assert.match(shapeOf(await other.take('Z')), /C\(SELECT 1\) Z\(I\)$/);
      mine.destroy();
      other.destroy();
    });

    test('the key the client has is not the one of the server', async () => {
      const client = await RawClient.login(login);
      client.send(q('SELECT pg_sleep(1)'));
      const direct = await RawClient.connect(postgres);
      direct.send(encodeCancelRequest(client.key));
      await direct.untilClosed();
      assert.deepEqual(errorCodes(await client.take('Z')), []);
      direct.destroy();
      client.destroy();
    });
  });

  describe('of draining', () => {
    /** A Sluice with a session that is idle and one in a transaction, told to drain. */
    async function draining(drain: string) {
      const one = await startLimited({ drain, handshake: '10s' });
      const idle = await RawClient.login(loginOf(one));
      const busy = await RawClient.login(loginOf(one));
      await busy.query(q('CREATE TABLE IF NOT EXISTS drained (id int)'));
      await busy.query(q('BEGIN'));
      one.signal('SIGTERM');
      return { one, idle, busy };
    }

    test('idle sessions end at once, transactions may commit, and then the process has ended', async () => {
      const { one, idle, busy } = await draining('10s');
      assert.deepEqual(errorCodes(await idle.untilClosed()), ['57P01']);
      // Its port may be another server's by now, which refuses these credentials.
      await assert.rejects(RawClient.login(loginOf(one)), /ECONNREFUSED|authentication failed/);
      assert.match(shapeOf(await busy.query(q('INSERT INTO drained VALUES (1)'))), /Z\(T\)/);
      const end = await busy.query(q('COMMIT'));
      assert.equal(shapeOf(end), 'C(COMMIT) Z(I)');
      assert.deepEqual(errorCodes(await busy.untilClosed()), ['57P01']);
      assert.equal(await one.exited, 0);
      assert.deepEqual(await postgres.query('SELECT id FROM drained'), [{ id: 1 }]);
      const reasons = one.journal().filter((record) => record.event === 'session.end');
      assert.equal(reasons.length, 2);
    });

    test('a transaction that does not end within the limit is ended', async () => {
      const { one, busy } = await draining('500ms');
      assert.deepEqual(errorCodes(await busy.untilClosed()), ['57P01']);
      assert.equal(await one.exited, 0);
    });

    test('a second signal ends transactions at once', async () => {
      const { one, idle, busy } = await draining('1m');
      await idle.untilClosed();
      // A second one within half a second counts as the same Ctrl-C.
      await sleep(600);
      one.signal('SIGTERM');
      assert.deepEqual(errorCodes(await busy.untilClosed()), ['57P01']);
      const ended = await Promise.race([one.exited, sleep(4000, 'still there', { ref: false })]);
      assert.equal(ended, 0);
    });

    test('clients that have not logged in do not hold up the drain', async () => {
      const one = await startLimited({ drain: '5s', handshake: '10s' });
      const silent = await RawClient.connect(one);
      await sleep(100);
      one.signal('SIGTERM');
      const ended = await Promise.race([one.exited, sleep(4000, 'still there', { ref: false })]);
      silent.destroy();
      assert.equal(ended, 0);
    });
  });

  describe('of memory', { skip: process.platform !== 'linux' && 'NOT RUN: needs /proc' }, () => {
    const resident = (pid: number): number => {
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      return Number(kilobytes) / 1024;
    };

    /** The most memory the process had above `base` within `ms`, in MiB. */
    async function growth(base: number, ms: number): Promise<number> {
      let most = 0;
      for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
        most = Math.max(most, resident(sluice.pid) - base);
      }
      return most;
    }

    /** Reads a result of `megabytes`; how many bytes came. Stops reading for `stallMs` first. */
    async function readResult(megabytes: number, stallMs: number): Promise<{ bytes: number; grown: number }> {
      const client = await RawClient.login(login);
      const { socket } = client;
      let bytes = 0;
      socket.removeAllListeners('data');
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      if (stallMs > 0) socket.pause();
      const base = resident(sluice.pid);
      socket.write(q(`SELECT repeat('x', 1048576) FROM generate_series(1, ${megabytes})`));
      const grown = await growth(base, stallMs);
      socket.resume();
      for (let last = -1; bytes !== last || bytes < megabytes * MiB; await sleep(100)) last = bytes;
      socket.destroy();
      return { bytes, grown };
    }

    test('a client that stops reading a large result costs no memory', async () => {
      await readResult(50, 0);
      const { bytes, grown } = await readResult(200, 3000);
      assert.ok(bytes > 200 * MiB);
      assert.ok(grown < 32, `the process grew by ${grown.toFixed(1)} MiB`);
    });

    test('a client that sends a large COPY to a server that does not read costs no memory', async () => {
      await postgres.query('CREATE TABLE loaded (line text)');
      const holder = await RawClient.login(login);
      await holder.query(q('BEGIN; LOCK TABLE loaded'));
      const client = await RawClient.login(login);
      const line = encodeCopyData(Buffer.from(`${'x'.repeat(65_000)}\n`));
      const base = resident(sluice.pid);
      client.send(q('COPY loaded FROM STDIN'));
      const lines = (200 * MiB) / line.length;
      let sent = 0;
      const sending = (async () => {
        while (sent < lines) {
          sent++;
          if (!client.socket.write(line)) await once(client.socket, 'drain');
        }
        client.send(encodeCopyDone());
      })();
      const grown = await growth(base, 3000);
      assert.ok(sent < lines, 'the sender is held back');
      await holder.query(q('COMMIT'));
      await sending;
      const messages = await client.take('Z', 1, 20_000);
      assert.match(shapeOf(messages), new RegExp(`C\\(COPY ${sent}\\)`));
      assert.ok(grown < 32, `the process grew by ${grown.toFixed(1)} MiB`);
      client.destroy();
      holder.destroy();
    });
  });
});

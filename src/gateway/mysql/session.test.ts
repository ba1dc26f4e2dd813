import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turnEnds } from 'node:timers/promises';
import pino from 'pino';
import { CLIENT, SERVER_STATUS } from '../../../protocols/mysql/capabilities.ts';
import { COM, encodeComStmtPrepare, encodeComStmtSendLongData } from '../../../protocols/mysql/commands.ts';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { encodeComStmtExecute, LONG_DATA } from '../../../protocols/mysql/parameters.ts';
import { decodeErr, encodeEof, encodeErr, encodeOk, FIELD_TYPE } from '../../../protocols/mysql/responses.ts';
import { encodeSessionState } from '../../../protocols/mysql/session-state.ts';
import type { ConnectionConfig } from '../../config/config.ts';
import { Budgets } from '../../policy/budgets.ts';
import { RuleSet } from '../../policy/decide.ts';
import type { Journal } from '../../recording/journal.ts';
import { LineWriter } from '../../recording/line-writer.ts';
import type { Effect, StatementFacts, TextFacts } from '../../statements/facts.ts';
import { Activities } from '../activities.ts';
import { SessionClaims } from '../claims.ts';
import { Judge } from '../judge.ts';
import { Counters } from '../services.ts';
import { Turn } from '../turn.ts';
import { MysqlSession } from './session.ts';

/**
 * What needs an exact order of events between client, server and journal, which real sockets do not give. What real servers
 * do is tested in test/mysql.test.ts.
 */

const CAPABILITIES = { client: CLIENT.protocol41 | CLIENT.multiStatements, mariadb: 0 };
const UPSTREAM_CAPABILITIES = { client: CAPABILITIES.client | CLIENT.sessionTrack, mariadb: 0 };

class Side {
  written = Buffer.alloc(0);
  ended = false;
  readonly destroyed = false;
  readonly writableLength = 0;

  get writable(): boolean {
    return !this.ended;
  }

  write(bytes: Buffer): boolean {
    this.written = Buffer.concat([this.written, bytes]);
    return true;
  }

  end(bytes?: Buffer): void {
    if (bytes !== undefined) this.write(bytes);
    this.ended = true;
  }

  once(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}

  /** Takes out what was written: sequence numbers and payloads; fails if the bytes are not whole packets. */
  take(): { readonly sequence: number; readonly payload: Buffer }[] {
    const packets = [];
    for (let at = 0; at < this.written.length; ) {
      const end = at + 4 + this.written.readUIntLE(at, 3);
      assert.ok(end <= this.written.length, 'whole packets');
      packets.push({ sequence: this.written[at + 3]!, payload: this.written.subarray(at + 4, end) });
      at = end;
    }
    this.written = Buffer.alloc(0);
    return packets;
  }
}

/** A journal in memory; `full` makes its writes fail. With `disk`, `synced` says that what is written is there, or is not. */
class MemoryJournal {
  durability: 'process' | 'disk' = 'process';
  synced: ((isOnDisk: boolean) => void) | null = null;
  full = false;
  failure: string | null = null;
  readonly records: string[] = [];
  #pending: { fields: string; keep: boolean }[] = [];

  get isAwaited(): boolean {
    return this.#pending.some(({ keep }) => !keep);
  }

  get dirty(): boolean {
    return this.#pending.length > 0;
  }

  sync(done: (isOnDisk: boolean) => void): void {
    assert.equal(this.synced, null, 'one at a time');
    this.synced = (isOnDisk) => {
      this.synced = null;
      this.failure = isOnDisk ? null : 'EIO';
      if (!isOnDisk) this.#pending = this.#pending.filter(({ keep }) => keep);
      done(isOnDisk);
    };
  }

  append(fields: string, keep: boolean): void {
    this.#pending.push({ fields, keep });
  }

  readonly #line = new LineWriter(1024);
  #keep = false;

  begin(keep: boolean): LineWriter {
    this.#keep = keep;
    this.#line.clear();
    return this.#line;
  }

  end(): void {
    this.append(this.#line.bytes.toString('utf8', 0, this.#line.length), this.#keep);
  }

  flush(): boolean {
    if (this.full) {
      this.failure = 'ENOSPC';
      this.#pending = this.#pending.filter(({ keep }) => keep);
      return false;
    }
    this.failure = null;
    this.records.push(...this.#pending.map(({ fields }) => fields));
    this.#pending = [];
    return true;
  }
}

/** Facts of a small language: statements are parted by `;`, `refuse ...` is refused, `call` may change anything. */
function analyze(text: string): TextFacts {
  const statements = text.split(';').map((part): StatementFacts => {
    const [word = ''] = part.trim().split(' ');
    const effect = word === 'refuse' ? 'delete' : word === 'call' ? 'call-procedure' : 'read';
    const effects: Effect[] = [{ effect, object: null, predicate: 'none', via: null }];
    const none = { executes: [], nameChange: null, changesLexing: false, refuses: null, fingerprint: '' };
    return { kind: word, effects, ...none, start: 0, end: text.length };
  });
  return { statements };
}

function startSession() {
  const connection: ConnectionConfig = {
    name: 'orders',
    protocol: 'mysql',
    default: 'allow',
    upstream: { host: 'localhost', port: 1, database: 'd', user: 'u', password: null, tls: 'disable', ca: null },
  };
  const rule = { id: 'no-delete', action: 'deny' as const, match: { effects: ['delete'] } };
  const rules = new RuleSet([{ rule, shadow: false }], 'test');
  const identity = { subject: 'agent', kind: 'agent', groups: [] } as const;
  const journal = new MemoryJournal();
  const client = new Side();
  const upstream = new Side();
  const services = {
    journal: journal as unknown as Journal,
    turn: new Turn(journal as unknown as Journal),
    counters: new Counters(),
    log: pino({ level: 'silent' }),
    budgets: new Budgets(),
    activities: new Activities(),
    approvalsUrl: null,
    approvals: {
      rule: async () => ({ kind: 'unavailable' as const, reason: 'nobody is there' }),
      requestsOf: async () => [],
      ran: () => undefined,
    },
    estimates: { of: async () => null },
    now: () => performance.now(),
    ended: () => undefined,
  };
  const session = new MysqlSession(
    services,
    client as unknown as Socket,
    upstream as unknown as Socket,
    {
      id: 'id',
      identity,
      connection,
      judge: new Judge({ analyze }, identity, connection, { current: rules }),
      names: null,
      startedAt: 0,
      expiresAt: null,
      credential: undefined,
      cancel: async () => undefined,
      kill: async () => undefined,
      address: '127.0.0.1',
      tls: false,
      claims: new SessionClaims(),
    },
    {
      capabilities: CAPABILITIES,
      upstreamCapabilities: UPSTREAM_CAPABILITIES,
      server: { flavour: 'mysql', version: 90700, foldsNames: false },
      pins: { readOnly: false, statementTimeoutMs: null, role: null, settings: new Map(), rules: [], conflict: null },
      state: {
        settings: ['', 'utf8mb4', 'utf8mb4', 'utf8mb4', 'ON', 'UTC'],
        database: 'd',
        role: null,
        foldsNames: false,
      },
      messageBytes: 1024 * 1024,
      kill: async () => false,
      changeUser: () => undefined,
    },
  );
  /** What the server was sent, as first byte and text. */
  const sent = () => upstream.take().map(({ payload }) => `${payload[0]} ${payload.toString('latin1', 1)}`);
  return { session, services, journal, client, upstream, sent };
}

const query = (text: string) => encodePackets(Buffer.concat([Buffer.of(COM.query), Buffer.from(text)]), 0);
const OK = {
  header: 0,
  affectedRows: 0n,
  lastInsertId: 0n,
  status: SERVER_STATUS.autocommit,
  warnings: 0,
  info: '',
  sessionState: null,
} as const;
const ok = encodePackets(encodeOk(OK, UPSTREAM_CAPABILITIES), 1);

test('one command is with the server at a time, and answers come in the order of the commands', async () => {
  const { session, client, sent } = startSession();
  session.fromClient(Buffer.concat([query('read a'), query('refuse b'), query('read c')]));
  await turnEnds();
  assert.deepEqual(sent(), ['3 read a']);
  session.fromUpstream(ok);
  await turnEnds();
  assert.deepEqual(sent(), ['3 read c']);
  session.fromUpstream(ok);
  await turnEnds();
  const answers = client.take();
  assert.deepEqual(
    answers.map(({ sequence, payload }) => [sequence, payload[0]]),
    [
      [1, 0],
      [1, 0xff],
      [1, 0],
    ],
  );
});

test('nothing of a turn that cannot be recorded is sent, and its statements are refused', async () => {
  const { session, journal, client, sent } = startSession();
  journal.full = true;
  session.fromClient(query('read a'));
  await turnEnds();
  assert.deepEqual(sent(), []);
  const [answer] = client.take();
  assert.equal(answer?.sequence, 1);
  assert.deepEqual(decodeErr(answer!.payload).code, 1021);
  journal.full = false;
  journal.flush();
  session.fromClient(query('read b'));
  await turnEnds();
  assert.deepEqual(sent(), ['3 read b']);
});

test('with durability: disk a command waits for its sync; if that fails it is refused', async () => {
  const { session, journal, client, sent } = startSession();
  journal.durability = 'disk';
  session.fromClient(Buffer.concat([query('read a'), query('read b')]));
  await turnEnds();
  assert.deepEqual(sent(), []);
  journal.synced!(true);
  assert.deepEqual(sent(), ['3 read a']);
  session.fromUpstream(ok);
  await turnEnds();
  assert.deepEqual(sent(), []);
  journal.synced!(false);
  await turnEnds();
  assert.deepEqual(sent(), []);
  const answers = client.take();
  assert.deepEqual(
    answers.map(({ payload }) => payload[0]),
    [0, 0xff],
  );
  assert.match(decodeErr(answers[1]!.payload).message, /cannot record/);
});

test('a part of a text that is refused refuses all of it', async () => {
  const { session, client, sent } = startSession();
  session.fromClient(query('read a; refuse b'));
  await turnEnds();
  assert.deepEqual(sent(), []);
  assert.equal(decodeErr(client.take()[0]!.payload).code, 1142);
});

test('after a statement that may have changed anything the server is asked, before the next is judged', async () => {
  const { session, client, sent } = startSession();
  session.fromClient(query('call p'));
  await turnEnds();
  session.fromUpstream(ok);
  session.fromClient(query('read a'));
  await turnEnds();
  const [first, question, ...more] = sent();
  assert.deepEqual([first, more], ['3 call p', []]);
  assert.match(question!, /SELECT @@SESSION\.sql_mode/);
  client.take();
  const row = Buffer.concat(
    ['', 'utf8mb4', 'utf8mb4', 'utf8mb4', 'ON', 'UTC', '64', '0', ''].map((text) =>
      Buffer.concat([Buffer.of(text.length), Buffer.from(text)]),
    ),
  );
  const eof = encodeEof({ warnings: 0, status: SERVER_STATUS.autocommit });
  const definitions = Array.from({ length: 9 }, () => Buffer.from([3, 0x64, 0x65, 0x66]));
  const answer = Buffer.concat(
    [Buffer.of(9), ...definitions, eof, row, eof].map((payload, i) => encodePackets(payload, i + 1)),
  );
  for (const byte of answer) session.fromUpstream(Buffer.of(byte));
  await turnEnds();
  assert.deepEqual(client.take(), []);
  assert.deepEqual(sent(), ['3 read a']);
});

test('what the server reports beyond what the client asked for is taken out again, and believed', async () => {
  const { session, client, sent } = startSession();
  session.fromClient(query('read a'));
  await turnEnds();
  sent();
  const status = SERVER_STATUS.autocommit | SERVER_STATUS.sessionStateChanged;
  const sessionState = encodeSessionState([
    { kind: 'system-variable', name: 'character_set_client', value: Buffer.from('gbk') },
  ]);
  session.fromUpstream(encodePackets(encodeOk({ ...OK, status, sessionState }, UPSTREAM_CAPABILITIES), 1));
  await turnEnds();
  const told = client.take();
  // An unsafe character set ends the session.
  assert.equal(decodeErr(told.at(-1)!.payload).code, 1115);
  assert.ok(client.ended);
});

test('an execution that is refused leaves neither its values nor its types at the server', async () => {
  const { session, client, journal, sent, services } = startSession();
  session.fromClient(encodePackets(encodeComStmtPrepare(Buffer.from('read ?')), 0));
  await turnEnds();
  const prepared = Buffer.from([0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
  const eof = encodeEof({ warnings: 0, status: SERVER_STATUS.autocommit });
  const answer = [prepared, Buffer.from([3, 0x64, 0x65, 0x66]), eof];
  session.fromUpstream(Buffer.concat(answer.map((payload, i) => encodePackets(payload, i + 1))));
  await turnEnds();
  sent();
  client.take();
  const execute = (typesSent: boolean, value: number | null) =>
    encodePackets(
      encodeComStmtExecute(
        {
          statementId: 7,
          flags: 0,
          typesSent,
          parameters: [
            { type: FIELD_TYPE.tiny, unsigned: false, name: '', value: value === null ? LONG_DATA : Buffer.of(value) },
          ],
        },
        1,
        CAPABILITIES,
      ),
      0,
    );
  journal.failure = 'full';
  session.fromClient(execute(true, 1));
  await turnEnds();
  assert.deepEqual(sent(), []);
  assert.equal(decodeErr(client.take()[0]!.payload).code, 1021);
  journal.failure = null;
  assert.equal(services.counters.refused, 1);
  // The server has never seen the types that the client now leaves out.
  session.fromClient(execute(false, 2));
  await turnEnds();
  const [command] = sent();
  assert.equal(command, `23 ${execute(true, 2).toString('latin1', 5)}`);
  session.fromUpstream(ok);
  await turnEnds();
  // Now it has: what the client leaves out stays out.
  for (const value of [3, 4]) {
    session.fromClient(execute(false, value));
    await turnEnds();
    assert.deepEqual(sent(), [`23 ${execute(false, value).toString('latin1', 5)}`]);
    session.fromUpstream(ok);
    await turnEnds();
  }
  client.take();
  const long = encodeComStmtSendLongData({ statementId: 7, parameter: 0, data: Buffer.from('abc') });
  session.fromClient(encodePackets(long, 0));
  await turnEnds();
  sent();
  journal.failure = 'full';
  session.fromClient(execute(true, null));
  await turnEnds();
  client.take();
  journal.failure = null;
  session.fromClient(query('read a'));
  await turnEnds();
  // COM_STMT_RESET comes before anything else.
  assert.deepEqual(sent(), ['26 \u0007\0\0\0']);
  session.fromUpstream(ok);
  await turnEnds();
  assert.deepEqual(sent(), ['3 read a']);
  assert.deepEqual(client.take(), []);
});

test('a server that asks for a file which no statement names, or answers unasked, ends the session', async () => {
  for (const payload of [Buffer.from([0xfb, 0x2f, 0x65]), encodeOk(OK, UPSTREAM_CAPABILITIES)]) {
    const { session, client, upstream } = startSession();
    const asks = payload[0] === 0xfb;
    if (asks) session.fromClient(query('read a'));
    await turnEnds();
    session.fromUpstream(encodePackets(payload, 1));
    await turnEnds();
    assert.ok(client.ended && upstream.ended);
    assert.equal(decodeErr(client.take().at(-1)!.payload).code, 2013);
  }
});

test('an error that the server says unasked is the end that the client hears', async () => {
  const { session, client } = startSession();
  session.fromUpstream(encodePackets(encodeErr({ code: 4031, sqlState: 'HY000', message: 'too silent' }), 0));
  session.upstreamClosed('upstream closed');
  await turnEnds();
  assert.deepEqual(
    client.take().map(({ payload }) => decodeErr(payload).code),
    [4031],
  );
  assert.ok(client.ended);
});

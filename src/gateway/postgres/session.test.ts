import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turnEnds } from 'node:timers/promises';
import pino from 'pino';
import {
  encodeBindComplete,
  encodeCloseComplete,
  encodeCommandComplete,
  encodeCopyInResponse,
  encodeDataRow,
  encodeErrorResponse,
  encodeNoticeResponse,
  encodeParseComplete,
  encodeReadyForQuery,
} from '../../../protocols/postgres/backend.ts';
import {
  encodeBind,
  encodeCopyData,
  encodeCopyDone,
  encodeExecute,
  encodeFunctionCall,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
} from '../../../protocols/postgres/frontend.ts';
import type { ConnectionConfig } from '../../config/config.ts';
import { Budgets } from '../../policy/budgets.ts';
import { RuleSet } from '../../policy/decide.ts';
import type { Journal } from '../../recording/journal.ts';
import { LineWriter } from '../../recording/line-writer.ts';
import type { Effect, NameChange, StatementFacts, TextFacts } from '../../statements/facts.ts';
import { Activities } from '../activities.ts';
import { SessionClaims } from '../claims.ts';
import { Judge } from '../judge.ts';
import type { NamesInForce } from '../names-in-force.ts';
import { Counters } from '../services.ts';
import { Turn } from '../turn.ts';
import { frontendRules } from './frame-rules.ts';
import { PostgresSession } from './session.ts';

/**
 * What needs an exact order of events between client, server and journal, which real sockets do not give. What the
 * server itself does with refused statements is tested in test/refusing.test.ts.
 */

/** One side of the session: what was written to it, and what was asked of it. */
class Side {
  written = Buffer.alloc(0);
  room = true;
  paused = false;
  ended = false;
  readonly destroyed = false;

  get writable(): boolean {
    return !this.ended;
  }

  write(bytes: Buffer): boolean {
    this.written = Buffer.concat([this.written, bytes]);
    return this.room;
  }

  once(): void {}

  end(bytes?: Buffer): void {
    if (bytes !== undefined) this.write(bytes);
    this.ended = true;
  }

  cork(): void {}
  uncork(): void {}

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  /** The types of the messages written so far; fails if the bytes are not whole messages. */
  get types(): string {
    return this.messages.map((message) => String.fromCharCode(message[0]!)).join('');
  }

  get messages(): Buffer[] {
    const messages: Buffer[] = [];
    for (let at = 0; at < this.written.length; ) {
      const end = at + 1 + this.written.readInt32BE(at + 1);
      assert.ok(end > at && end <= this.written.length, 'whole messages');
      messages.push(this.written.subarray(at, end));
      at = end;
    }
    return messages;
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

/** Facts of a small language: statements are parted by `;`, `refuse ...` is refused, `prepare N` and `execute N` name. */
function analyze(text: string): TextFacts {
  const statements = text.split(';').map((part): StatementFacts => {
    const [word = '', name = ''] = part.trim().split(' ');
    const effects: Effect[] = [
      { effect: word === 'refuse' ? 'delete' : 'read', object: null, predicate: 'none', via: null },
    ];
    const base = { kind: word, effects, executes: [], changesLexing: false, refuses: null, fingerprint: '' };
    const inner: StatementFacts = { ...base, nameChange: null, start: 0, end: 0 };
    const nameChange: NameChange | null = word === 'prepare' ? { op: 'prepare', name, inner } : null;
    return { ...base, executes: word === 'execute' ? [name] : [], nameChange, start: 0, end: text.length };
  });
  return { statements };
}

function startSession(ruleId = 'no-delete', Session = PostgresSession) {
  const connection: ConnectionConfig = {
    name: 'orders',
    protocol: 'postgres',
    default: 'allow',
    upstream: { host: 'localhost', port: 1, database: 'd', user: 'u', password: null, tls: 'disable', ca: null },
  };
  const rule = { id: ruleId, action: 'deny' as const, match: { effects: ['delete'] } };
  const rules = new RuleSet([{ rule, shadow: false }], 'test');
  const identity = { subject: 'agent', kind: 'agent', groups: [] } as const;
  const journal = new MemoryJournal();
  const client = new Side();
  const upstream = new Side();
  const session = new Session(
    {
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
    },
    frontendRules(64 * 1024 * 1024),
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
    new Map(),
    { role: 'app', path: [] },
  );
  const attempts = () => journal.records.filter((record) => record.startsWith('"statement.attempt"'));
  return { session, journal, client, upstream, attempts };
}

const READY = encodeReadyForQuery('I');
const READY_FAILED = encodeReadyForQuery('E');
const COPY_IN = encodeCopyInResponse({ format: 0, columnFormats: [0] });
const ERROR = encodeErrorResponse({
  severity: 'ERROR',
  severityNonLocalized: 'ERROR',
  code: '22P04',
  message: 'bad row',
});
const parse = (text: string) => encodeParse({ statement: '', text, parameterTypes: [] });
const BIND = encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] });
const EXECUTE = encodeExecute({ portal: '', maxRows: 0 });

test('the answer to our own question for the search path is not for the client, however it is cut', async () => {
  const { session, client, upstream } = startSession();
  const names = { isCurrent: () => true, context: () => ({ catalogue: null, searchPath: [] }) };
  session.setNames(names as unknown as NamesInForce);
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  assert.equal(upstream.types, 'PBECCS');
  const answer = [
    encodeParseComplete(),
    encodeBindComplete(),
    encodeDataRow([Buffer.from('public')]),
    encodeNoticeResponse({ severity: 'NOTICE', code: '00000', message: 'for the client' }),
    encodeCommandComplete('SELECT 1'),
    encodeCloseComplete(),
    encodeCloseComplete(),
    READY,
  ];
  for (const byte of Buffer.concat(answer)) session.fromUpstream(Buffer.from([byte]));
  await turnEnds();
  assert.equal(client.types, 'N');
  assert.equal(upstream.types, 'PBECCSQ');
});

test('statements reach the server when they are recorded, and not before', async () => {
  const { session, upstream, attempts } = startSession();
  session.fromClient(encodeQuery('read a'));
  assert.equal(upstream.written.length, 0);
  await turnEnds();
  assert.deepEqual(upstream.written, encodeQuery('read a'));
  assert.equal(attempts().length, 1);
});

test('a message that comes in pieces is forwarded when it is whole', async () => {
  const { session, upstream } = startSession();
  const bytes = encodeQuery('read a');
  for (const byte of bytes) {
    session.fromClient(Buffer.from([byte]));
    await turnEnds();
  }
  assert.deepEqual(upstream.written, bytes);
});

/** A CopyData of which one part was forwarded when the COPY failed: the server still counts its bytes. */
const LARGE_DATA = encodeCopyData(Buffer.alloc(100_000, 'x'));

test('copy data that has begun is forwarded to its end, also when the COPY fails in the middle', async () => {
  const { session, upstream } = startSession();
  session.fromClient(encodeQuery('read copy'));
  await turnEnds();
  session.fromUpstream(COPY_IN);
  session.fromClient(LARGE_DATA.subarray(0, 60_000));
  await turnEnds();
  session.fromUpstream(Buffer.concat([ERROR, READY]));
  session.fromClient(Buffer.concat([LARGE_DATA.subarray(60_000), encodeQuery('read b')]));
  await turnEnds();
  assert.deepEqual(upstream.types, 'QdQ');
});

test('copy data that has begun is forwarded to its end, also when the server skips to Sync', async () => {
  const { session, upstream } = startSession();
  session.fromClient(Buffer.concat([parse('read copy'), BIND, EXECUTE]));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeParseComplete(), Buffer.from('2\0\0\0\x04'), COPY_IN]));
  session.fromClient(LARGE_DATA.subarray(0, 60_000));
  await turnEnds();
  session.fromUpstream(ERROR);
  session.fromClient(Buffer.concat([LARGE_DATA.subarray(60_000), encodeSync()]));
  await turnEnds();
  assert.deepEqual(upstream.types, 'PBEdS');
});

test('copy data behind a refused COPY is dropped from its beginning to its end', async () => {
  const { session, upstream, client } = startSession();
  session.fromClient(Buffer.concat([encodeQuery('refuse copy'), LARGE_DATA.subarray(0, 60_000)]));
  await turnEnds();
  session.fromClient(Buffer.concat([LARGE_DATA.subarray(60_000), encodeCopyDone()]));
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  assert.equal(client.types, 'EZ');
  assert.ok(['Q', 'dcQ'].includes(upstream.types), upstream.types);
});

test('copy data that began in a turn that could not be recorded is dropped to its end', async () => {
  const { session, upstream, journal, client } = startSession();
  journal.full = true;
  session.fromClient(Buffer.concat([encodeQuery('read copy'), LARGE_DATA.subarray(0, 60_000)]));
  await turnEnds();
  session.fromClient(LARGE_DATA.subarray(60_000));
  await turnEnds();
  assert.equal(client.types, 'EZ');
  assert.equal(upstream.written.length, 0);
});

test('copy data that began in a turn that could not be recorded is dropped to its end in a transaction, too', async () => {
  const { session, upstream, journal } = startSession();
  session.fromClient(encodeQuery('read begin'));
  await turnEnds();
  session.fromUpstream(encodeReadyForQuery('T'));
  journal.full = true;
  session.fromClient(Buffer.concat([encodeQuery('read copy'), LARGE_DATA.subarray(0, 60_000)]));
  await turnEnds();
  session.fromClient(LARGE_DATA.subarray(60_000));
  await turnEnds();
  assert.match(upstream.types, /^QQd?$/);
});

test('with durability: disk a statement waits for its sync, and what the client sends after it waits as well', async () => {
  const { session, upstream, journal, attempts } = startSession();
  journal.durability = 'disk';
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  assert.equal(attempts().length, 1);
  session.fromClient(encodeQuery('read b'));
  session.fromClient(encodeQuery('read c'));
  await turnEnds();
  await turnEnds();
  assert.equal(upstream.written.length, 0);
  assert.equal(attempts().length, 1);
  journal.synced!(true);
  assert.equal(upstream.types, 'Q');
  await turnEnds();
  assert.equal(attempts().length, 3);
  assert.equal(upstream.types, 'Q');
  journal.synced!(true);
  await turnEnds();
  assert.equal(upstream.types, 'QQQ');
  assert.equal(journal.synced, null);
});

test('what the server sends reaches the client while the next statement waits for the disk', async () => {
  const { session, upstream, client, journal } = startSession();
  journal.durability = 'disk';
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  journal.synced!(true);
  session.fromClient(encodeQuery('read b'));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeCommandComplete('SELECT 0'), encodeReadyForQuery('I')]));
  await turnEnds();
  assert.equal(client.types, 'CZ');
  assert.equal(upstream.types, 'Q');
  journal.synced!(true);
  assert.equal(upstream.types, 'QQ');
});

test('what could not be brought to the disk is refused, and nothing of it is sent', async () => {
  const { session, upstream, client, journal, attempts } = startSession();
  journal.durability = 'disk';
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  session.fromClient(encodeQuery('read b'));
  journal.synced!(false);
  await turnEnds();
  await turnEnds();
  assert.equal(upstream.written.length, 0);
  assert.equal(client.types, 'EZEZ');
  assert.match(client.messages[0]!.toString(), /cannot record/);
  assert.equal(attempts().length, 1);
});

test('a client that goes while its statement waits for the disk leaves nothing behind', async () => {
  for (const isOnDisk of [true, false]) {
    const { session, upstream, journal } = startSession();
    journal.durability = 'disk';
    session.fromClient(encodeQuery('read a'));
    await turnEnds();
    session.clientClosed('client lost');
    await turnEnds();
    assert.equal(upstream.ended, false);
    journal.synced!(isOnDisk);
    await turnEnds();
    assert.equal(upstream.ended, true);
    // What was staged when it went is still sent, if it may be.
    assert.equal(upstream.types, isOnDisk ? 'QX' : 'X');
  }
});

test('a statement that could not be recorded is refused, and everything after it in the turn', async () => {
  const { session, upstream, journal, client } = startSession();
  journal.full = true;
  session.fromClient(Buffer.concat([encodeQuery('read a'), encodeQuery('read b')]));
  await turnEnds();
  assert.equal(upstream.written.length, 0);
  assert.equal(client.types, 'EZEZ');
  assert.match(client.messages[0]!.toString(), /C53100/);
});

test('a pipeline that could not be recorded fails as a whole, up to its Sync', async () => {
  const { session, upstream, journal, client } = startSession();
  journal.full = true;
  session.fromClient(Buffer.concat([parse('read a'), BIND, EXECUTE, encodeSync()]));
  await turnEnds();
  assert.equal(upstream.written.length, 0);
  assert.equal(client.types, 'EZ');
});

test('a statement that could not be recorded is not sent when the client says goodbye behind it', async () => {
  const { session, upstream, journal } = startSession();
  journal.full = true;
  session.fromClient(Buffer.concat([encodeQuery('read a'), encodeTerminate()]));
  await turnEnds();
  assert.equal(upstream.types, 'X');
});

test('a statement that could not be recorded is not sent when the client is lost in the same turn', async () => {
  const { session, upstream, journal } = startSession();
  journal.full = true;
  session.fromClient(encodeQuery('read a'));
  session.clientClosed('client lost');
  await turnEnds();
  assert.equal(upstream.types, 'X');
});

test('a function call behind a statement that could not be recorded has its answer, too', async () => {
  const { session, journal, client } = startSession();
  journal.full = true;
  const call = encodeFunctionCall({ functionOid: 1, argumentFormats: [], arguments: [], resultFormat: 0 });
  session.fromClient(Buffer.concat([encodeQuery('read a'), call]));
  await turnEnds();
  assert.equal(client.types, 'EZEZ');
});

test('a statement that waits for one that could not be recorded is answered', async () => {
  const { session, journal, client } = startSession();
  journal.full = true;
  session.fromClient(Buffer.concat([encodeQuery('prepare s'), encodeQuery('execute s')]));
  await turnEnds();
  await turnEnds();
  assert.equal(client.types, 'EZEZ');
});

test('when the server fails in the turn that could not be recorded, skipping goes on to the Sync', async () => {
  const { session, upstream, journal, client } = startSession();
  session.fromClient(Buffer.concat([parse('read a'), BIND, EXECUTE]));
  await turnEnds();
  journal.full = true;
  session.fromClient(Buffer.concat([parse('read b'), BIND, EXECUTE]));
  session.fromUpstream(ERROR);
  await turnEnds();
  session.fromClient(encodeSync());
  await turnEnds();
  session.fromUpstream(READY);
  await turnEnds();
  assert.equal(client.types, 'EZ', 'one error and one ReadyForQuery for one Sync');
  assert.ok(upstream.types.startsWith('PBE') && upstream.types.endsWith('S'));
  assert.equal(session.isSilentSince(Number.POSITIVE_INFINITY), true);
});

test('an end of a copy that never began is forgotten with the statement it stood behind', async () => {
  const { session } = startSession();
  session.fromClient(Buffer.concat([encodeQuery('read a'), encodeQuery('refuse copy'), encodeCopyDone()]));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeCommandComplete('SELECT 1'), READY, ERROR, READY]));
  await turnEnds();
  assert.equal(session.isSilentSince(Number.POSITIVE_INFINITY), true);
});

test('a refusal cannot be turned into an execution by naming a portal after it, however long the rule is', async () => {
  const names: string[] = [];
  // Two instances of the module stand for two processes: what nobody can guess differs between them.
  for (const module of ['./session.ts', './session.ts?another']) {
    const { PostgresSession: Session } = (await import(module)) as { PostgresSession: typeof PostgresSession };
    const { session, upstream } = startSession(`no-${'very-'.repeat(20)}long-rule`, Session);
    session.fromClient(Buffer.concat([encodeQuery('read a'), parse('refuse b')]));
    await turnEnds();
    // The server compares the first 63 bytes of the name.
    names.push(upstream.messages.find((message) => message[0] === 0x45)!.toString('latin1', 5, 5 + 63));
  }
  assert.notEqual(names[0], names[1]);
});

test('a client that does not read its refusals is not read either', async () => {
  const { session, client } = startSession();
  client.room = false;
  session.fromClient(encodeQuery('refuse a'));
  await turnEnds();
  assert.equal(client.paused, true);
  client.room = true;
  session.clientDrained();
  assert.equal(client.paused, false);
});

test('what the server said comes before an answer of our own to what came after it', async () => {
  const { session, client } = startSession();
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeCommandComplete('SELECT 1'), READY]));
  session.fromClient(encodeQuery('refuse a'));
  await turnEnds();
  assert.equal(client.types, 'CZEZ');
});

test('what the server said comes before an answer of our own to what waited for it', async () => {
  const { session, client } = startSession();
  session.fromClient(Buffer.concat([encodeQuery('prepare p'), parse('execute p'), encodeQuery('refuse a')]));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeCommandComplete('SELECT 1'), READY]));
  await turnEnds();
  assert.equal(client.types.slice(0, 2), 'CZ');
});

test('a statement that comes right before the end of its client still reaches the server', async () => {
  for (const leave of ['clientEnded', 'clientClosed'] as const) {
    const { session, upstream, attempts } = startSession();
    session.fromClient(encodeQuery('read a'));
    session[leave]('client closed');
    await turnEnds();
    assert.equal(upstream.types[0], 'Q', leave);
    assert.equal(attempts().length, 1, leave);
  }
});

test('what comes right before the end of an upstream still reaches the client', async () => {
  const { session, client } = startSession();
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  session.fromUpstream(Buffer.concat([encodeCommandComplete('SELECT 1'), READY]));
  session.upstreamClosed('upstream closed');
  await turnEnds();
  assert.equal(client.types.slice(0, 2), 'CZ');
});

test('an upstream whose client does not read is not read either', async () => {
  const { session, client, upstream } = startSession();
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  client.room = false;
  session.fromUpstream(encodeCommandComplete('SELECT 1'));
  await turnEnds();
  assert.equal(upstream.paused, true);
  session.clientDrained();
  assert.equal(upstream.paused, false);
});

test('a client whose upstream does not read is not read either', async () => {
  const { session, client, upstream } = startSession();
  upstream.room = false;
  session.fromClient(encodeQuery('read a'));
  await turnEnds();
  assert.equal(client.paused, true);
  session.upstreamDrained();
  assert.equal(client.paused, false);
});

test('an upstream that answers what it was not asked ends the session', async () => {
  for (const answer of [READY, READY_FAILED, encodeCommandComplete('SELECT 1'), encodeParseComplete()]) {
    const { session, client, upstream } = startSession();
    session.fromUpstream(answer);
    await turnEnds();
    assert.ok(client.ended && upstream.ended);
    assert.match(client.messages.at(-1)!.toString(), /C08006/);
  }
});

test('bytes behind a protocol violation are not forwarded, nor is what came before it in the turn', async () => {
  const { session, upstream, client } = startSession();
  session.fromClient(Buffer.concat([encodeQuery('read a'), Buffer.from('?\0\0\0\x04'), encodeQuery('read b')]));
  await turnEnds();
  assert.equal(upstream.types, 'X');
  assert.match(client.messages[0]!.toString(), /C08P01/);
});

test('every statement sent has an attempt and an outcome, also when the session is lost', async () => {
  const { session, journal } = startSession();
  session.fromClient(encodeQuery('read a; read b'));
  await turnEnds();
  session.fromUpstream(encodeCommandComplete('SELECT 1'));
  session.upstreamClosed('upstream closed');
  await turnEnds();
  journal.flush();
  const numbers = (event: string) =>
    journal.records.filter((r) => r.startsWith(`"${event}"`)).map((r) => /"statement":(\d+)/.exec(r)?.[1]);
  assert.deepEqual(numbers('statement.attempt'), ['1', '2']);
  assert.deepEqual(numbers('statement.outcome'), ['1', '2']);
  assert.match(journal.records.join('\n'), /"statement":2,"status":"lost"/);
});

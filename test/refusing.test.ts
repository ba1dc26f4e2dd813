import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeBind,
  encodeClose,
  encodeCopyData,
  encodeCopyDone,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeFunctionCall,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { errorCodes, type Login, type Message, RawClient, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * A refused statement leaves the session as if the server itself had refused it. What that means is not written down
 * here: every case runs twice, directly with a statement that fails by itself, and through Sluice with one that is
 * refused, and both conversations have to be the same, message for message, but for the text of the error.
 */

const RULES = `version: 1
rules:
  - id: kept-is-kept
    match: { effects: [delete, copy-in], tables: [public.kept] }
    action: deny
  - id: nothing-unreadable
    match: { effects: [opaque], connections: [strict] }
    action: deny
`;
/** What SIGHUP puts in force in the tests about it. */
const STRICTER_RULES = `${RULES}
  - id: no-update-either
    match: { effects: [update], tables: [public.kept] }
    action: deny
`;

/** Texts that fail, each at its moment: of its own accord (direct) or because they are refused (Sluice). */
interface Failing {
  /** As a Query. */
  readonly query: string;
  /** When it is parsed. */
  readonly parse: string;
  /** Before anything of the string it is part of runs. */
  readonly part: string;
  readonly copy: string;
  readonly parseOfCopy: string;
  readonly parseOfPrepare: string;
}
const OF_ITSELF: Failing = {
  query: 'SELECT 1/0',
  parse: 'SELECT nothing',
  part: 'SELEC',
  copy: 'COPY nothing FROM STDIN',
  parseOfCopy: 'SELEC',
  parseOfPrepare: 'SELEC',
};
const REFUSED: Failing = {
  query: 'DELETE FROM kept',
  parse: 'DELETE FROM kept',
  part: 'DELETE FROM kept',
  copy: 'COPY kept FROM STDIN',
  parseOfCopy: 'COPY kept FROM STDIN',
  parseOfPrepare: 'PREPARE r AS DELETE FROM kept',
};

/** Bytes sent in one write, and what is waited for before the next: `count` messages of type `type` (ReadyForQuery). */
interface Step {
  readonly bytes: readonly Buffer[];
  readonly type?: string;
  readonly count?: number;
}

interface Case {
  readonly name: string;
  readonly steps: (failing: Failing) => readonly Step[];
  /** SQLSTATEs of what Sluice refuses, in order; default one refusal. */
  readonly refusals?: readonly string[];
  /** The connection through Sluice; `strict` refuses opaque statements. */
  readonly connection?: 'db' | 'strict';
}

const q = encodeQuery;
const parse = (text: string, statement = '') => encodeParse({ statement, text, parameterTypes: [] });
const bind = (statement = '', portal = '') =>
  encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [] });
const execute = (portal = '') => encodeExecute({ portal, maxRows: 0 });
const run = (text: string) => Buffer.concat([parse(text), bind(), execute()]);
const sync = encodeSync();
const flush = encodeFlush();
const insert = (id: number) => `INSERT INTO t VALUES (${id})`;
const row = encodeCopyData(Buffer.from('7\n'));
const noSuchFunction = encodeFunctionCall({ functionOid: 1, argumentFormats: [], arguments: [], resultFormat: 0 });
/** Fails when it runs, not when it is planned. */
const FAILS_LATE = 'SELECT 1/(0*random())::int';

const CASES: readonly Case[] = [
  { name: 'a Query outside of a transaction', steps: (f) => [{ bytes: [q(f.query)] }] },
  {
    name: 'a Query in a transaction',
    steps: (f) => ['BEGIN', insert(1), f.query, 'SELECT 1', 'COMMIT'].map((text) => ({ bytes: [q(text)] })),
  },
  {
    name: 'a Query in a failed transaction',
    steps: (f) => ['BEGIN', insert(1), 'SELEC', f.query, 'COMMIT'].map((text) => ({ bytes: [q(text)] })),
  },
  {
    name: 'a Query behind a savepoint',
    steps: (f) =>
      ['BEGIN', insert(1), 'SAVEPOINT a', insert(2), f.query, 'ROLLBACK TO a', insert(3), 'COMMIT'].map((text) => ({
        bytes: [q(text)],
      })),
  },
  {
    name: 'a Query among others sent at once',
    steps: (f) => [{ bytes: [q(insert(1)), q(f.query), q(insert(2))], count: 3 }],
  },
  {
    name: 'a Query in a transaction sent at once',
    steps: (f) => [{ bytes: ['BEGIN', insert(1), f.query, insert(2), 'COMMIT'].map(q), count: 5 }],
  },
  {
    name: 'several Queries sent at once',
    steps: (f) => [{ bytes: [q(f.query), q(f.query), q('SELECT 1'), q(f.query)], count: 4 }],
    refusals: ['42501', '42501', '42501'],
  },
  {
    name: 'a part of a string',
    steps: (f) => [{ bytes: [q(`${insert(1)}; ${f.part}; ${insert(2)}`)] }],
  },
  {
    name: 'a part of a string in a transaction',
    steps: (f) => ['BEGIN', insert(1), `${insert(2)}; ${f.part}`, 'COMMIT'].map((text) => ({ bytes: [q(text)] })),
  },
  {
    name: 'a part of a string that has a transaction of its own',
    steps: (f) => [{ bytes: [q(`BEGIN; ${insert(1)}; ${f.part}; COMMIT`)] }],
  },
  { name: 'a Parse alone', steps: (f) => [{ bytes: [parse(f.parse), sync] }] },
  {
    name: 'a Parse with all that usually follows',
    steps: (f) => [
      { bytes: [parse(f.parse), bind(), encodeDescribe({ kind: 'portal', name: '' }), execute(), sync] },
      { bytes: [run(insert(1)), sync] },
    ],
  },
  {
    name: 'a named Parse, whose name stays free',
    steps: (f) => [
      { bytes: [parse(f.parse, 's'), sync] },
      { bytes: [bind('s'), execute(), sync] },
      { bytes: [parse(insert(1), 's'), bind('s'), execute(), sync] },
    ],
  },
  {
    name: 'a Parse behind what the same Sync would have committed',
    steps: (f) => [{ bytes: [run(insert(1)), run(f.parse), sync] }],
  },
  {
    name: 'a Parse in the middle of several segments sent at once',
    steps: (f) => [
      { bytes: [run(insert(1)), sync, run(f.parse), run(insert(2)), sync, run(insert(3)), sync], count: 3 },
    ],
  },
  {
    name: 'a Parse in the first of several segments sent at once',
    steps: (f) => [{ bytes: [run(f.parse), run(insert(1)), sync, run(insert(2)), sync], count: 2 }],
  },
  {
    name: 'a Parse in a transaction over several segments sent at once',
    steps: (f) => [
      {
        bytes: ['BEGIN', insert(1), f.parse, insert(2), 'COMMIT', insert(3)].flatMap((text) => [run(text), sync]),
        count: 6,
      },
    ],
  },
  {
    name: 'a Parse, and a Query before the Sync',
    steps: (f) => [{ bytes: [parse(f.parse), q(insert(1)), sync, q(insert(2))], count: 2 }],
  },
  {
    name: 'a Parse behind work, and a Query before the Sync',
    steps: (f) => [{ bytes: [run(insert(1)), parse(f.parse), q(insert(2)), sync, q(insert(3))], count: 2 }],
  },
  {
    name: 'a Query in an open segment',
    steps: (f) => [{ bytes: [run(insert(1)), q(f.query), run(insert(2)), sync], count: 2 }],
  },
  {
    name: 'a Parse, then Flush, and the Sync later',
    steps: (f) => [{ bytes: [parse(f.parse), flush], type: 'E' }, { bytes: [run(insert(1)), flush, sync] }],
  },
  {
    name: 'a Parse behind work that was flushed',
    steps: (f) => [
      { bytes: [run(insert(1)), flush], type: 'C' },
      { bytes: [parse(f.parse), flush], type: 'E' },
      { bytes: [bind(), execute(), sync] },
    ],
  },
  {
    name: 'a COPY with its data sent at once',
    steps: (f) => [{ bytes: [q(f.copy), row, row, encodeCopyDone(), q(insert(1))], count: 2 }],
  },
  {
    name: 'a COPY whose data ends in CopyFail',
    steps: (f) => [{ bytes: [q(f.copy), row, encodeCopyFail('changed my mind'), q(insert(1))], count: 2 }],
  },
  {
    name: 'a COPY in a transaction with its data sent at once',
    steps: (f) => [{ bytes: [q('BEGIN')] }, { bytes: [q(f.copy), row, encodeCopyDone(), q('COMMIT')], count: 2 }],
  },
  {
    name: 'a COPY behind another one, both with their data, sent at once',
    steps: (f) => [
      {
        bytes: [q('COPY t FROM STDIN'), row, encodeCopyDone(), q(f.copy), row, encodeCopyDone(), q(insert(1))],
        count: 3,
      },
    ],
  },
  {
    name: 'a COPY by the extended protocol with its data sent at once',
    steps: (f) => [{ bytes: [run(f.parseOfCopy), row, encodeCopyDone(), sync] }, { bytes: [run(insert(1)), sync] }],
  },
  {
    name: 'a COPY behind work by the extended protocol with its data sent at once',
    steps: (f) => [{ bytes: [run(insert(1)), run(f.parseOfCopy), row, encodeCopyDone(), sync] }],
  },
  { name: 'a FunctionCall', steps: () => [{ bytes: [noSuchFunction] }], connection: 'strict' },
  {
    name: 'a FunctionCall in a transaction',
    steps: () => [q('BEGIN'), q(insert(1)), noSuchFunction, q('COMMIT')].map((bytes) => ({ bytes: [bytes] })),
    connection: 'strict',
  },
  {
    name: 'a FunctionCall among others sent at once',
    steps: () => [{ bytes: [q(insert(1)), noSuchFunction, q(insert(2))], count: 3 }],
    connection: 'strict',
  },
  {
    name: 'a PREPARE, whose name stays free',
    steps: (f) =>
      [`PREPARE r AS ${f.parse}`, 'EXECUTE r', `PREPARE r AS ${insert(1)}`, 'EXECUTE r'].map((text) => ({
        bytes: [q(text)],
      })),
  },
  {
    name: 'a PREPARE and its EXECUTE in one string',
    steps: (f) => [{ bytes: [q(`PREPARE r AS ${f.part}; EXECUTE r`)] }],
  },
  {
    name: 'a PREPARE by the extended protocol',
    steps: (f) => [{ bytes: [run(insert(1)), parse(f.parseOfPrepare), sync] }],
  },
];

/** Nothing is refused here: what is allowed has to be the same, too. */
const ALLOWED: readonly Case[] = [
  { name: 'an EXECUTE of a name nobody prepared', steps: () => [{ bytes: [q('EXECUTE nobody')] }] },
  {
    name: 'PREPARE, EXECUTE and DEALLOCATE in one string',
    steps: () => [{ bytes: [q(`PREPARE p AS ${insert(1)}; EXECUTE p; DEALLOCATE p`)] }],
  },
  {
    name: 'PREPARE and EXECUTE sent at once',
    steps: () => [
      { bytes: [q(`PREPARE p AS ${insert(1)}`), q('EXECUTE p'), q('DEALLOCATE p'), q('EXECUTE p')], count: 4 },
    ],
  },
  {
    name: 'Bind to a statement that SQL prepared',
    steps: () => [{ bytes: [q(`PREPARE p AS ${insert(1)}`)] }, { bytes: [bind('p'), execute(), sync] }],
  },
  {
    name: 'EXECUTE of a statement that Parse prepared',
    steps: () => [{ bytes: [parse(insert(1), 'p'), sync] }, { bytes: [q('EXECUTE p')] }],
  },
  {
    name: 'the unnamed statement after DEALLOCATE ALL',
    steps: () => [{ bytes: [parse(insert(1)), sync] }, { bytes: [run('DEALLOCATE ALL'), sync] }],
  },
  {
    name: 'a Close that was discarded, and a Bind to what it did not close',
    steps: () => [
      { bytes: [parse(insert(1), 's'), sync] },
      {
        bytes: [
          run(FAILS_LATE),
          encodeClose({ kind: 'statement', name: 's' }),
          parse(insert(2), 's'),
          sync,
          bind('s'),
          execute(),
          sync,
        ],
        count: 2,
      },
    ],
  },
  {
    name: 'a Close that was not discarded, and a Bind to what came after it',
    steps: () => [
      { bytes: [parse(insert(1), 's'), sync] },
      {
        bytes: [encodeClose({ kind: 'statement', name: 's' }), parse(insert(2), 's'), sync, bind('s'), execute(), sync],
        count: 2,
      },
    ],
  },
  {
    name: 'COPY by the extended protocol as libpq sends it',
    steps: () => [
      { bytes: [run('COPY t FROM STDIN'), sync], type: 'G' },
      { bytes: [row, row, encodeCopyDone(), sync] },
      { bytes: [run(insert(1)), sync] },
    ],
  },
  {
    name: 'COPY whose data does not fit, ended by a Sync that was sent with it',
    steps: () => [
      { bytes: [run('COPY t FROM STDIN')], type: 'G' },
      { bytes: [encodeCopyData(Buffer.from('x\n')), sync] },
    ],
  },
  {
    name: 'COPY whose data does not fit, and much more of it',
    steps: () => [
      { bytes: [q('COPY t FROM STDIN')], type: 'G' },
      { bytes: [encodeCopyData(Buffer.from('x\n')), encodeCopyData(Buffer.alloc(1_000_000, '7\n')), encodeCopyDone()] },
      { bytes: [q(insert(1))] },
    ],
  },
  {
    name: 'COPY given up by the client',
    steps: () => [
      { bytes: [q('COPY t FROM STDIN')], type: 'G' },
      { bytes: [row, encodeCopyFail('changed my mind')] },
      { bytes: [q(insert(1))] },
    ],
  },
  {
    name: 'a portal read in portions',
    steps: () => [
      {
        bytes: [
          parse('SELECT generate_series(1, 5)'),
          bind('', 'p'),
          encodeExecute({ portal: 'p', maxRows: 2 }),
          encodeExecute({ portal: 'p', maxRows: 2 }),
          encodeExecute({ portal: 'p', maxRows: 2 }),
          sync,
        ],
      },
    ],
  },
  {
    name: 'empty queries',
    steps: () => [{ bytes: [q(''), q(';'), run(''), sync], count: 3 }],
  },
];

describe('refusing', () => {
  let postgres: PostgresServer;
  let sluice: Sluice;
  let direct: Login;
  let through: Login;

  before(async () => {
    // DEBUG2 has the text of every Parse in the log, too.
    postgres = await startPostgres({ config: { log_statement: 'all', log_min_messages: 'debug2' } });
    await postgres.query('CREATE TABLE t (id int); CREATE TABLE kept (id int); INSERT INTO kept VALUES (1), (2)');
    const { host, port, superuser: user, password, database } = postgres;
    direct = { host, port, user, password, database };
    sluice = await startSluice({
      connections: [
        { name: 'db', upstream: direct },
        { name: 'strict', upstream: direct },
      ],
      users: [{ name: 'agent', password: 'secret' }],
      rulesYaml: RULES,
    });
    through = { host: sluice.host, port: sluice.port, user: 'agent', password: 'secret', database: 'db' };
  });
  after(async () => {
    await sluice?.stop();
    await postgres?.stop();
  });

  /** Runs the steps on a connection of their own with an empty table `t`; then shows that the session goes on. */
  async function converse(login: Login, steps: readonly Step[]): Promise<Message[]> {
    const client = await RawClient.login(login);
    try {
      await client.query(q('TRUNCATE t'));
      const messages: Message[] = [];
      for (const { bytes, type = 'Z', count = 1 } of [
        ...steps,
        { bytes: [q('ROLLBACK')] },
        { bytes: [q('SELECT id FROM t ORDER BY id')] },
        { bytes: [run('SELECT id FROM t ORDER BY id'), sync] },
      ]) {
        client.send(...bytes);
        messages.push(...(await client.take(type, count)));
      }
      await sleep(20);
      return [...messages, ...client.taken()];
    } finally {
      client.destroy();
    }
  }

  /** Texts and portals that are in no log unless something refused reached the server. */
  function assertNotReached(log: string): void {
    assert.doesNotMatch(log, /(DELETE FROM|COPY) kept/);
  }

  for (const { name, steps, refusals = ['42501'], connection = 'db' } of CASES) {
    test(`${name} is refused as the server would refuse it`, async () => {
      const expected = await converse(direct, steps(OF_ITSELF));
      const before = postgres.log().length;
      const messages = await converse({ ...through, database: connection }, steps(REFUSED));
      assert.equal(shapeOf(messages), shapeOf(expected));
      assertNotReached(postgres.log().slice(before));
      const codes = errorCodes(messages);
      assert.deepEqual(
        codes.filter((code) => code === '42501'),
        refusals,
      );
      assert.deepEqual(await postgres.query('SELECT count(*)::int AS n FROM kept'), [{ n: 2 }]);
    });
  }

  for (const { name, steps } of ALLOWED) {
    test(`${name} is the same conversation`, async () => {
      const expected = await converse(direct, steps(OF_ITSELF));
      const messages = await converse(through, steps(REFUSED));
      assert.equal(shapeOf(messages), shapeOf(expected));
      assert.deepEqual(errorCodes(messages), errorCodes(expected));
    });
  }

  test('a refusal says what, why and what to do, in the fields of an ordinary error', async () => {
    const client = await RawClient.login(through);
    const [error] = await client.query(q('DELETE FROM kept'));
    client.destroy();
    const text = error!.body.toString();
    for (const part of ['SERROR', 'VERROR', 'C42501', 'rule kept-is-kept', '"retry":"never"', 'H']) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
  });

  test('every refused statement has its record, and none of them an outcome but the refusal', async () => {
    // Outcomes are written a moment later, in order.
    await until(() => sluice.journal().at(-1)?.event !== 'statement.attempt', 'the last outcome');
    const records = sluice.journal();
    const refused = records.filter((r) => r.event === 'statement.attempt' && r.verdict === 'deny');
    assert.ok(refused.length >= CASES.length - 3);
    for (const { session, statement } of refused) {
      const outcomes = records.filter(
        (r) => r.event === 'statement.outcome' && r.session === session && r.statement === statement,
      );
      assert.deepEqual(
        outcomes.map((r) => r.status),
        ['refused'],
      );
    }
  });

  /** The texts of the attempts of the last session, in order. */
  async function lastAttempts(): Promise<unknown[]> {
    await sleep(50);
    const records = sluice.journal();
    const session = records.filter((r) => r.event === 'session.start').at(-1)?.session;
    return records.filter((r) => r.event === 'statement.attempt' && r.session === session).map((r) => r.text);
  }

  test('what is recorded for a name is what the server ran under it, when a Close was discarded', async () => {
    const steps = ALLOWED.find(({ name }) => name.startsWith('a Close that was discarded'))!.steps(REFUSED);
    const messages = await converse(through, steps);
    assert.match(shapeOf(messages), /D\(1\)/);
    assert.deepEqual((await lastAttempts()).slice(1, 3), [FAILS_LATE, insert(1)]);
  });

  test('what is recorded for a long name is what the server ran: it compares 63 bytes', async () => {
    const long = 'n'.repeat(63);
    const messages = await converse(through, [
      { bytes: [parse(insert(1), `${long}-one`), sync] },
      { bytes: [bind(`${long}-two`), execute(), sync] },
    ]);
    assert.match(shapeOf(messages), /D\(1\)/);
    assert.equal((await lastAttempts())[1], insert(1));
  });

  test('what is recorded for a name is what the server ran, when the encoding of names changed in between', async () => {
    // The bytes of "é" in UTF-8 are another name, of two letters, while client_encoding is LATIN1.
    const name = 'é';
    const messages = await converse(through, [
      { bytes: [parse(insert(1), name), sync] },
      { bytes: [q("SET client_encoding TO 'LATIN1'")] },
      { bytes: [parse(insert(2), name), sync] },
      { bytes: [q("SET client_encoding TO 'UTF8'")] },
      { bytes: [bind(name), execute(), sync] },
    ]);
    assert.match(shapeOf(messages), /D\(1\)/);
    assert.notEqual((await lastAttempts())[3], insert(2));
  });

  for (const [how, steps] of [
    [
      'SQL closed it',
      [q('BEGIN'), parse(insert(1)), bind('', 'c'), sync, q('CLOSE c; DECLARE c CURSOR FOR SELECT 42')],
    ],
    ['its transaction ended', [parse(insert(1)), bind('', 'c'), sync, q('BEGIN; DECLARE c CURSOR FOR SELECT 42')]],
  ] as const) {
    test(`what is recorded for a portal is what the server ran, when ${how} and declared another`, async () => {
      const ready = steps.filter((bytes) => bytes[0] === 0x51 || bytes[0] === 0x53).length;
      const messages = await converse(through, [{ bytes: steps, count: ready }, { bytes: [execute('c'), sync] }]);
      assert.match(shapeOf(messages), /D\(42\)/);
      const pipelined = await converse(through, [{ bytes: [...steps, execute('c'), sync], count: ready + 1 }]);
      assert.match(shapeOf(pipelined), /D\(42\)/);
      assert.ok(!(await lastAttempts()).includes(insert(1)), 'the INSERT was never executed');
    });
  }

  test('copy data that outlasts its COPY does not become messages', async (t) => {
    t.after(() => postgres.query('TRUNCATE kept; INSERT INTO kept VALUES (1), (2)'));
    const client = await RawClient.login(through);
    // A value of an allowed statement holds the bytes of a Query that would be refused.
    const hidden = q('DELETE FROM kept');
    const carrier = encodeBind({
      portal: '',
      statement: '',
      parameterFormats: [1],
      parameters: [Buffer.concat([hidden, sync])],
      resultFormats: [],
    });
    const before = carrier.indexOf(hidden);
    await client.query(parse('SELECT length($1::bytea)'), sync);
    client.send(q('COPY t FROM STDIN'));
    await client.take('G');
    const data = encodeCopyData(Buffer.alloc(200_000 + before, 'x'));
    client.send(encodeCopyData(Buffer.from('not a number\n')), data.subarray(0, data.length - before));
    await client.take('Z');
    client.send(data.subarray(data.length - before), carrier, execute(), sync);
    await client.take('Z').catch(() => undefined);
    client.destroy();
    assert.deepEqual(await postgres.query('SELECT count(*)::int AS n FROM kept'), [{ n: 2 }]);
  });

  describe('under rules that changed after the Parse', () => {
    async function reload(rules: string): Promise<void> {
      const loaded = () => sluice.journal().filter((r) => r.event === 'rules.loaded').length;
      const count = loaded();
      writeFileSync(sluice.rulesFile, rules);
      sluice.signal('SIGHUP');
      for (let i = 0; loaded() === count; i++) {
        assert.ok(i < 100, 'the rules are loaded within 5 s');
        await sleep(50);
      }
    }

    /** The statements are parsed before the rules change, and executed after it. */
    async function around(login: Login, text: string, change: () => Promise<void>): Promise<Message[]> {
      const client = await RawClient.login(login);
      try {
        await client.query(q('TRUNCATE t'));
        const messages = await client.query(parse(text, 's'), sync);
        messages.push(...(await client.query(q(`PREPARE p AS ${text}`))));
        messages.push(...(await client.query(parse('EXECUTE p', 'e'), sync)));
        await change();
        messages.push(...(await client.query(bind('s'), execute(), sync)));
        messages.push(...(await client.query(run(insert(1)), bind('s'), execute(), run(insert(2)), sync)));
        messages.push(...(await client.query(bind('p'), execute(), sync)));
        messages.push(...(await client.query(q('EXECUTE p'))));
        messages.push(...(await client.query(bind('e'), execute(), sync)));
        messages.push(...(await client.query(q('SELECT id FROM t'))));
        return messages;
      } finally {
        client.destroy();
      }
    }

    test('a statement is judged when it is executed, by whichever name', async () => {
      const expected = await around(direct, FAILS_LATE, async () => undefined);
      const before = postgres.log().length;
      const messages = await around(through, 'UPDATE kept SET id = 9', () => reload(STRICTER_RULES));
      await reload(RULES);
      assert.equal(shapeOf(messages), shapeOf(expected));
      assert.deepEqual(errorCodes(messages), Array(5).fill('42501'));
      assert.doesNotMatch(postgres.log().slice(before), /execute .*UPDATE kept|statement: EXECUTE p/);
      assert.deepEqual(await postgres.query('SELECT id FROM kept ORDER BY id'), [{ id: 1 }, { id: 2 }]);
    });
  });
});

/** What clients of PostgreSQL do to Sluice during a soak. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RawSession } from '../../bench/raw-session.ts';
import {
  encodeBind,
  encodeCancelRequest,
  encodeClose,
  encodeCopyData,
  encodeCopyDone,
  encodeCopyFail,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeStartupMessage,
  encodeSync,
  encodeTerminate,
} from '../../protocols/postgres/frontend.ts';
import { errorCodes, type Message, RawClient, ServerError, shapeOf } from '../raw-client.ts';
import type * as load from './load.ts';

type Worker = load.Worker<RawClient>;

/** What the scenarios work on; to be run as superuser. */
export const SOAK_TABLES = `
  CREATE TABLE arrived (id bigint PRIMARY KEY);
  CREATE TABLE scratch (id bigint, note text);
  CREATE TABLE precious (id int);
  INSERT INTO precious VALUES (1), (2), (3)`;

/** What the scenario of refusals is refused. */
export const SOAK_RULES = `version: 1
rules:
  - id: precious-is-never-emptied
    match: { effects: [delete], tables: [public.precious], predicate: [none] }
    action: deny
    hint: Add a WHERE clause that names the rows you mean.
`;

/** Milliseconds an answer may take on a machine that others use as well. */
const PATIENCE = 30_000;
/** Bytes in a row of a large result, and how many of them make one. */
const ROW_BYTES = 1000;
const LARGE_ROWS = 24_000;
const LARGE_RESULT = `SELECT repeat('x', ${ROW_BYTES}) FROM generate_series(1, ${LARGE_ROWS})`;

export const SCENARIOS: readonly load.Scenario<RawClient>[] = [
  { name: 'connects', workers: 3, pause: 200, turn: connectAndLeave },
  { name: 'pipelines', workers: 2, pause: 200, turn: sendPipeline },
  { name: 'refusals', workers: 2, pause: 100, turn: beRefused },
  { name: 'open-transactions', workers: 3, pause: 100, turn: leaveTransactionOpen },
  { name: 'cancels', workers: 2, pause: 300, turn: cancel },
  { name: 'kills', workers: 1, pause: 400, turn: leaveAmidResult },
  { name: 'copies', workers: 1, pause: 300, turn: copy },
  { name: 'slow-readers', workers: 2, pause: 100, turn: readSlowly },
  { name: 'new-texts', workers: 1, pause: 300, turn: sendNewTexts },
];

/** Where the next id of `arrived`, and the next text nobody has seen, come from. */
let unique = 0;

async function connectAndLeave(worker: Worker): Promise<void> {
  const { login, turn } = worker;
  if (turn % 4 === 0) {
    const refused = await RawClient.login({ ...login, password: 'wrong' }).catch((error: unknown) => error);
    if (!(refused instanceof ServerError && refused.fields.code === '28P01')) {
      throw new Error('a wrong password is not refused as one', { cause: refused });
    }
    return;
  }
  if (turn % 4 === 1) {
    const half = await RawClient.connect(login);
    const parameters = new Map([['user', login.user]]);
    half.send(encodeStartupMessage({ major: 3, minor: 0, parameters }));
    await half.next(PATIENCE);
    half.destroy();
    return;
  }
  const client = await RawClient.login(login);
  try {
    expectRows(await run(worker, client, [encodeQuery('SELECT 1')]), 'D(1)');
    if (turn % 4 === 2) {
      client.send(encodeTerminate());
      await client.untilClosed(PATIENCE);
    }
  } finally {
    client.destroy();
  }
}

async function sendPipeline(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const insert = (statement: string) =>
    encodeParse({ statement, text: 'INSERT INTO arrived VALUES ($1)', parameterTypes: [20] });
  const execute = (statement: string) => {
    const parameters = [Buffer.from(String(++unique))];
    const bind = encodeBind({ portal: '', statement, parameterFormats: [], parameters, resultFormats: [] });
    return [bind, encodeExecute({ portal: '', maxRows: 0 })];
  };
  const inserts = Array.from({ length: 30 });
  const sync = encodeSync();
  switch (worker.turn % 3) {
    case 0: // A transaction for each.
      expectErrors(
        await run(
          worker,
          client,
          inserts.flatMap(() => [insert(''), ...execute(''), sync]),
          30,
        ),
      );
      return;
    case 1: {
      // One transaction, and a prepared statement with a name.
      const messages = [
        insert('i'),
        ...inserts.flatMap(() => execute('i')),
        encodeClose({ kind: 'statement', name: 'i' }),
      ];
      expectErrors(await run(worker, client, [...messages, sync]));
      return;
    }
    default: {
      // A failure in the middle: the server skips the rest.
      const texts = ['SELECT 1', 'SELECT 1 / 0', 'SELECT 2'];
      const messages = texts.flatMap((text) => [encodeParse({ statement: '', text, parameterTypes: [] }), ...run0()]);
      expectErrors(await run(worker, client, [...messages, sync]), '22012');
    }
  }
}

/** Bind and Execute of the unnamed statement, without values. */
function run0(): Buffer[] {
  return [
    encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
    encodeExecute({ portal: '', maxRows: 0 }),
  ];
}

async function beRefused(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const refused = 'DELETE FROM precious';
  const query = (text: string) => run(worker, client, [encodeQuery(text)]);
  switch (worker.turn % 4) {
    case 0:
      expectErrors(await query(refused), '42501');
      return;
    case 1:
      expectErrors(await query(`SELECT 1; ${refused}`), '42501');
      return;
    case 2: {
      const parse = (text: string) => encodeParse({ statement: '', text, parameterTypes: [] });
      const messages = [parse('SELECT 1'), ...run0(), parse(refused), ...run0(), parse('SELECT 2'), ...run0()];
      expectErrors(await run(worker, client, [...messages, encodeSync()]), '42501');
      return;
    }
    default:
      expectErrors(await query('BEGIN'));
      expectErrors(await query('SAVEPOINT before'));
      expectErrors(await query(refused), '42501');
      expectErrors(await query('SELECT 1'), '25P02');
      expectErrors(await query('ROLLBACK TO before'));
      expectRows(await query('SELECT count(*) FROM precious'), 'D(3)');
      expectErrors(await query('COMMIT'));
  }
}

async function leaveTransactionOpen(worker: Worker): Promise<void> {
  const client = await RawClient.login(worker.login);
  try {
    expectErrors(await run(worker, client, [encodeQuery('BEGIN')]));
    expectErrors(await run(worker, client, [encodeQuery(`INSERT INTO scratch VALUES (${++unique}, 'left open')`)]));
    await sleep(500 + (worker.turn % 5) * 300);
    if (worker.turn % 3 === 0) expectErrors(await run(worker, client, [encodeQuery('ROLLBACK')]));
    if (worker.turn % 3 !== 1) {
      client.send(encodeTerminate());
      await client.untilClosed(PATIENCE);
    }
  } finally {
    client.destroy();
  }
}

async function cancel(worker: Worker): Promise<void> {
  const client = await RawClient.login(worker.login);
  try {
    client.send(encodeQuery('SELECT pg_sleep(60)'));
    const answer = client.take('Z', 1, PATIENCE);
    const isAnswered = answer.then(
      () => true,
      () => true,
    );
    // One that comes before the statement has begun cancels nothing, as with PostgreSQL itself: so again and again.
    while ((await Promise.race([isAnswered, sleep(100, false)])) === false) {
      const messenger = await RawClient.connect(worker.login);
      messenger.send(encodeCancelRequest(client.key));
      await messenger.untilClosed(PATIENCE);
      messenger.destroy();
    }
    expectErrors(await answer, '57014');
  } finally {
    client.destroy();
  }
}

async function leaveAmidResult(worker: Worker): Promise<void> {
  const client = await RawClient.login(worker.login);
  client.send(encodeQuery(LARGE_RESULT));
  for (let rows = 0; rows < 100; rows++) await client.take('D', 1, PATIENCE);
  if (worker.turn % 2 === 0) client.socket.resetAndDestroy();
  else client.destroy();
}

async function copy(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const rows = 2000;
  const one = encodeCopyData(Buffer.from(`${worker.turn}\tcopied through Sluice\n`));
  expectErrors(await run(worker, client, [encodeQuery('CREATE TEMP TABLE copied (id int, note text)')]));
  client.send(encodeQuery('COPY copied FROM STDIN'));
  await client.take('G', 1, PATIENCE);
  if (worker.turn % 3 === 2) {
    expectErrors(await run(worker, client, [one, one, encodeCopyFail('changed my mind')]), '57014');
  } else {
    const data = Array.from({ length: rows }, () => one);
    expectErrors(await run(worker, client, [...data, encodeCopyDone()]));
    const out = await run(worker, client, [encodeQuery('COPY copied TO STDOUT')]);
    expectErrors(out);
    const copied = out.filter(({ type }) => type === 'd').length;
    if (copied !== rows) throw new Error(`${copied} of ${rows} rows were copied out`);
  }
  expectErrors(await run(worker, client, [encodeQuery('DROP TABLE copied')]));
}

async function readSlowly(worker: Worker): Promise<void> {
  const session = await RawSession.open(worker.login);
  try {
    const bytes = await session.query(LARGE_RESULT, { stallMilliseconds: 1000, bytesPerSecond: 8_000_000 });
    if (bytes < ROW_BYTES * LARGE_ROWS) throw new Error(`a large result has only ${bytes} bytes`);
    worker.completed++;
  } finally {
    await session.close();
  }
}

async function sendNewTexts(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const texts = Array.from({ length: 40 }, () => encodeQuery(`SELECT 1 AS never_seen_${++unique}`));
  expectErrors(await run(worker, client, texts, texts.length));
  if (worker.turn % 10 === 0) await readLongText(worker, client);
}

/** A text that is long enough to be read by the other thread. */
async function readLongText(worker: Worker, client: RawClient): Promise<void> {
  const numbers = Array.from({ length: 3000 }, (_, i) => i).join(', ');
  expectErrors(await run(worker, client, [encodeQuery(`SELECT 1 IN (${numbers}) AS never_seen_${++unique}`)]));
}

/** Makes Sluice open what it opens once: the first session, the first long text. */
export async function openWhatStaysOpen(worker: Worker): Promise<void> {
  const client = await RawClient.login(worker.login);
  await readLongText(worker, client);
  client.send(encodeTerminate());
  await client.untilClosed(PATIENCE);
  client.destroy();
}

async function lasting(worker: Worker): Promise<RawClient> {
  worker.client ??= await RawClient.login(worker.login);
  return worker.client;
}

/** Sends what ends in `ready` ReadyForQuery, takes the answers, and counts what was completed. */
async function run(worker: Worker, client: RawClient, bytes: readonly Buffer[], ready = 1): Promise<Message[]> {
  client.send(...bytes);
  const messages = await client.take('Z', ready, PATIENCE);
  worker.completed += messages.filter(({ type }) => type === 'C').length;
  return messages;
}

function expectErrors(messages: readonly Message[], ...codes: readonly string[]): void {
  const found = errorCodes(messages);
  if (found.join() !== codes.join()) {
    throw new Error(`errors [${found}] instead of [${codes}] in ${shapeOf(messages).slice(0, 300)}`);
  }
}

function expectRows(messages: readonly Message[], row: string): void {
  const shape = shapeOf(messages);
  if (!shape.includes(row)) throw new Error(`no ${row} in ${shape.slice(0, 300)}`);
}

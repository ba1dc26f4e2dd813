/** What clients of MySQL and MariaDB do to Sluice during a soak. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RawMysqlSession } from '../../bench/raw-mysql-session.ts';
import { CLIENT, SERVER_STATUS } from '../../protocols/mysql/capabilities.ts';
import {
  encodeBareCommand,
  encodeComChangeUser,
  encodeComStmtPrepare,
  encodeComStmtSendLongData,
  encodeStatementCommand,
} from '../../protocols/mysql/commands.ts';
import { encodeCompressedPacket, ZLIB } from '../../protocols/mysql/compression.ts';
import { encodePackets } from '../../protocols/mysql/framing.ts';
import { NATIVE_PASSWORD, nativePasswordResponse } from '../../protocols/mysql/native-password.ts';
import { encodeComStmtExecute, LONG_DATA } from '../../protocols/mysql/parameters.ts';
import { decodeErr, decodeOk, FIELD_TYPE, RESPONSE } from '../../protocols/mysql/responses.ts';
import { comQuery, RawMysqlClient } from '../raw-mysql-client.ts';
import type * as load from './load.ts';

type Worker = load.Worker<RawMysqlClient>;

/** What the scenarios work on; to be run as superuser. */
export const SOAK_TABLES = `
  CREATE TABLE arrived (id BIGINT PRIMARY KEY);
  CREATE TABLE scratch (id BIGINT, note LONGTEXT) ENGINE = InnoDB;
  CREATE TABLE precious (id INT);
  INSERT INTO precious VALUES (1), (2), (3)`;

/** What the scenario of refusals is refused. */
export const SOAK_RULES = `version: 1
rules:
  - id: precious-is-never-emptied
    match: { effects: [delete], tables: [shop.precious], predicate: [none] }
    action: deny
    hint: Add a WHERE clause that names the rows you mean.
`;

const REFUSED = 1142;
/** Bytes in a row of a large result, and how many of them make one. */
const ROW_BYTES = 1000;
const LARGE_ROWS = 24_000;
const LARGE_RESULT = `SELECT REPEAT('x', ${ROW_BYTES}) FROM seq_1_to_${LARGE_ROWS}`;

export const SCENARIOS: readonly load.Scenario<RawMysqlClient>[] = [
  { name: 'queries', workers: 6, pause: 15, turn: query },
  { name: 'executions', workers: 4, pause: 30, turn: execute },
  { name: 'connects', workers: 3, pause: 200, turn: connectAndLeave },
  { name: 'refusals', workers: 2, pause: 100, turn: beRefused },
  { name: 'open-transactions', workers: 3, pause: 100, turn: leaveTransactionOpen },
  { name: 'cancels', workers: 2, pause: 300, turn: cancel },
  { name: 'kills', workers: 1, pause: 400, turn: leaveAmidResult },
  { name: 'files', workers: 1, pause: 300, turn: loadFile },
  { name: 'user-changes', workers: 1, pause: 300, turn: changeUser },
  { name: 'compressed', workers: 2, pause: 100, turn: compress },
  { name: 'slow-readers', workers: 2, pause: 100, turn: readSlowly },
  { name: 'new-texts', workers: 1, pause: 300, turn: sendNewTexts },
];

/** Where the next id of `arrived`, and the next text nobody has seen, come from. */
let unique = 0;

async function query(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const insert = () => `INSERT INTO arrived VALUES (${++unique})`;
  switch (worker.turn % 4) {
    case 0:
      expect(await ask(worker, client, comQuery(insert())), { rows: 0 });
      return;
    case 1:
      expect(await ask(worker, client, comQuery('SELECT id FROM precious')), { rows: 3 });
      return;
    case 2: // Sent without waiting for the answers.
      client.send(comQuery(insert()), comQuery('SELECT 1'), comQuery(insert()));
      for (const rows of [0, 1, 0]) expect(await answer(worker, client), { rows });
      return;
    default:
      expect(await ask(worker, client, comQuery(`SELECT 1; ${insert()}; SELECT 2`)), { rows: 2 });
      expect(await ask(worker, client, comQuery('SELECT 1; SELECT * FROM nowhere; SELECT 2')), {
        rows: 1,
        error: 1146,
      });
  }
}

async function execute(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const { capabilities } = client;
  const id = await prepare(client, 'SELECT ? AS v', 1);
  const run = async (value: Buffer | typeof LONG_DATA | null, typesSent: boolean, flags = 0) => {
    const parameters = [{ type: FIELD_TYPE.varString, unsigned: false, name: '', value }];
    const command = encodeComStmtExecute({ statementId: id, flags, typesSent, parameters }, 1, capabilities);
    expect(await ask(worker, client, encodePackets(command, 0)), { rows: 1 });
  };
  await run(Buffer.from('first'), true);
  for (let i = 0; i < 10; i++) await run(Buffer.from(`again ${i}`), false);
  await run(null, false);
  const part = encodePackets(
    encodeComStmtSendLongData({ statementId: id, parameter: 0, data: Buffer.alloc(3000, 0x61) }),
    0,
  );
  client.send(part, part);
  await run(LONG_DATA, false);
  client.send(encodePackets(encodeStatementCommand('stmtClose', id), 0));
}

async function connectAndLeave(worker: Worker): Promise<void> {
  const { login, turn } = worker;
  if (turn % 4 === 0) {
    const client = await RawMysqlClient.connect(login.port);
    const error = await client.authenticate(login.user, 'wrong', login.database);
    client.close();
    if (error?.code !== 1045) throw new Error('a wrong password is not refused as one');
    return;
  }
  if (turn % 4 === 1) {
    const half = await RawMysqlClient.connect(login.port);
    await half.packet();
    half.close();
    return;
  }
  const client = await RawMysqlClient.login(login.port, login);
  try {
    expect(await ask(worker, client, comQuery('SELECT 1')), { rows: 1 });
    if (turn % 4 === 2) {
      client.send(encodePackets(encodeBareCommand('quit'), 0));
      await client.rest();
    }
  } finally {
    client.close();
  }
}

async function beRefused(worker: Worker): Promise<void> {
  const client = await lasting(worker);
  const refused = 'DELETE FROM precious';
  const send = (text: string) => ask(worker, client, comQuery(text));
  switch (worker.turn % 4) {
    case 0:
      expect(await send(refused), { rows: 0, error: REFUSED });
      // Sluice answers that by itself: it is no statement.
      expect(await ask(null, client, comQuery('SHOW WARNINGS')), { rows: 3 });
      return;
    case 1:
      expect(await send(`SELECT 1; ${refused}`), { rows: 0, error: REFUSED });
      return;
    case 2:
      client.send(encodePackets(encodeComStmtPrepare(Buffer.from(refused)), 0));
      expect(await answer(worker, client), { rows: 0, error: REFUSED });
      return;
    default:
      expect(await send('BEGIN'), { rows: 0 });
      expect(await send(refused), { rows: 0, error: REFUSED });
      expect(await send('SELECT id FROM precious'), { rows: 3 });
      expect(await send('COMMIT'), { rows: 0 });
  }
}

async function leaveTransactionOpen(worker: Worker): Promise<void> {
  const client = await RawMysqlClient.login(worker.login.port, worker.login);
  try {
    expect(await ask(worker, client, comQuery('BEGIN')), { rows: 0 });
    expect(await ask(worker, client, comQuery(`INSERT INTO scratch VALUES (${++unique}, 'left open')`)), { rows: 0 });
    await sleep(500 + (worker.turn % 5) * 300);
    if (worker.turn % 3 === 0) expect(await ask(worker, client, comQuery('ROLLBACK')), { rows: 0 });
    if (worker.turn % 3 !== 1) {
      client.send(encodePackets(encodeBareCommand('quit'), 0));
      await client.rest();
    }
  } finally {
    client.close();
  }
}

async function cancel(worker: Worker): Promise<void> {
  const messenger = await lasting(worker);
  const client = await RawMysqlClient.login(worker.login.port, worker.login);
  try {
    client.send(comQuery('SELECT SLEEP(60)'));
    const cancelled = answer(worker, client);
    const isAnswered = cancelled.then(
      () => true,
      () => true,
    );
    // One that comes before the statement has begun cancels nothing, as with the server itself: so again and again.
    while ((await Promise.race([isAnswered, sleep(100, false)])) === false) {
      messenger.send(comQuery(`KILL QUERY ${client.greeting.threadId}`));
      // Sluice kills by itself: that is no statement.
      if ((await messenger.packet()).payload[0] !== RESPONSE.ok) throw new Error('KILL QUERY fails');
    }
    // A SLEEP that is interrupted may end with its value, too.
    const ended = await cancelled;
    expect(ended, ended.error === null ? { rows: 1 } : { rows: 0, error: 1317 });
  } finally {
    client.close();
  }
}

async function leaveAmidResult(worker: Worker): Promise<void> {
  const client = await RawMysqlClient.login(worker.login.port, worker.login);
  client.send(comQuery(LARGE_RESULT));
  for (let packets = 0; packets < 100; packets++) await client.packet();
  if (worker.turn % 2 === 0) client.socket.resetAndDestroy();
  else client.close();
}

async function loadFile(worker: Worker): Promise<void> {
  const client = await lasting(worker, CLIENT.localFiles);
  expect(await ask(worker, client, comQuery('CREATE TEMPORARY TABLE loaded (id INT, note TEXT)')), { rows: 0 });
  client.send(comQuery("LOAD DATA LOCAL INFILE 'rows' INTO TABLE loaded"));
  const asked = await client.packet();
  if (asked.payload[0] !== RESPONSE.localInfile) throw new Error('the file is not asked for');
  const parts = 20;
  const part = Buffer.from(`${worker.turn}\tread through Sluice\n`.repeat(100));
  for (let i = 0; i < parts; i++) client.send(encodePackets(part, asked.sequence + 1 + i));
  client.send(encodePackets(Buffer.alloc(0), asked.sequence + 1 + parts));
  expect(await answer(worker, client), { rows: 0 });
  expect(await ask(worker, client, comQuery('SELECT id FROM loaded')), { rows: parts * 100 });
  expect(await ask(worker, client, comQuery('DROP TEMPORARY TABLE loaded')), { rows: 0 });
}

async function changeUser(worker: Worker): Promise<void> {
  const { login } = worker;
  const client = await RawMysqlClient.connect(login.port);
  try {
    const error = await client.authenticate(login.user, login.password, login.database, 0, NATIVE_PASSWORD);
    if (error !== null) throw new Error(error.message);
    expect(await ask(worker, client, comQuery("SET sql_mode = 'ANSI_QUOTES'")), { rows: 0 });
    client.send(encodePackets(encodeBareCommand('resetConnection'), 0));
    if ((await client.packet()).payload[0] !== RESPONSE.ok) throw new Error('the session is not reset');
    expect(await ask(worker, client, comQuery('SELECT "a"')), { rows: 1 });
    const change = {
      user: login.user,
      authResponse: nativePasswordResponse(login.password, client.greeting.authData),
      database: login.database,
      characterSet: 45,
      authPlugin: NATIVE_PASSWORD,
      attributes: null,
    };
    client.send(encodePackets(encodeComChangeUser(change, client.capabilities), 0));
    if ((await client.packet()).payload[0] !== RESPONSE.ok) throw new Error('the user is not changed');
    expect(await ask(worker, client, comQuery('SELECT 1')), { rows: 1 });
  } finally {
    client.close();
  }
}

async function compress(worker: Worker): Promise<void> {
  if (worker.client === null) {
    worker.client = await RawMysqlClient.login(worker.login.port, worker.login, CLIENT.compress);
    worker.client.beCompressed(ZLIB);
  }
  const packet = comQuery(`SELECT REPEAT('y', 50000), '${'x'.repeat(50_000)}'`);
  const compressed = encodeCompressedPacket(0, ZLIB.compressNow(packet), packet.length);
  expect(await ask(worker, worker.client, compressed), { rows: 1 });
}

async function readSlowly(worker: Worker): Promise<void> {
  const session = await RawMysqlSession.open(worker.login);
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
  for (let i = 0; i < 40; i++) {
    expect(await ask(worker, client, comQuery(`SELECT 1 AS never_seen_${++unique}`)), { rows: 1 });
  }
  if (worker.turn % 10 === 0) await readLongText(worker, client);
}

/** A text that is long enough to be read by another thread. */
async function readLongText(worker: Worker, client: RawMysqlClient): Promise<void> {
  const numbers = Array.from({ length: 8000 }, (_, i) => i).join(', ');
  expect(await ask(worker, client, comQuery(`SELECT 1 IN (${numbers}) AS never_seen_${++unique}`)), { rows: 1 });
}

/** Makes Sluice open what it opens once: the first session, the first long text. */
export async function openWhatStaysOpen(worker: Worker): Promise<void> {
  const client = await RawMysqlClient.login(worker.login.port, worker.login);
  await readLongText(worker, client);
  client.send(encodePackets(encodeBareCommand('quit'), 0));
  await client.rest();
}

async function lasting(worker: Worker, more = 0): Promise<RawMysqlClient> {
  worker.client ??= await RawMysqlClient.login(worker.login.port, worker.login, more);
  return worker.client;
}

/** @returns the id of the statement */
async function prepare(client: RawMysqlClient, text: string, parameters: number): Promise<number> {
  client.send(encodePackets(encodeComStmtPrepare(Buffer.from(text)), 0));
  const { payload } = await client.packet();
  if (payload[0] !== RESPONSE.ok) throw new Error(`${text} cannot be prepared: ${decodeErr(payload).message}`);
  // Definitions of the parameters and of one column, each list with an EOF packet.
  for (let i = 0; i < parameters + 3; i++) await client.packet();
  return payload.readUInt32LE(1);
}

interface Answer {
  /** Of all results. */
  readonly rows: number;
  readonly results: number;
  /** Number of the error that ends it; `null` if none does. */
  readonly error: number | null;
}

function ask(worker: Worker | null, client: RawMysqlClient, bytes: Buffer): Promise<Answer> {
  client.send(bytes);
  return answer(worker, client);
}

/** Takes an answer of one or more results, and counts what was completed. @param worker `null` if it is not of the server */
async function answer(worker: Worker | null, client: RawMysqlClient): Promise<Answer> {
  let rows = 0;
  let results = 0;
  const isEof = (payload: Buffer) => payload[0] === RESPONSE.eof && payload.length < 9;
  for (;;) {
    let { payload } = await client.packet();
    let status: number;
    if (payload[0] === RESPONSE.ok) status = decodeOk(payload, client.capabilities).status;
    else {
      for (let lists = 0; lists < 2 && payload[0] !== RESPONSE.err; lists++) {
        do {
          ({ payload } = await client.packet());
          if (lists === 1 && !isEof(payload) && payload[0] !== RESPONSE.err) rows++;
        } while (!isEof(payload) && payload[0] !== RESPONSE.err);
      }
      if (payload[0] === RESPONSE.err) return { rows, results, error: decodeErr(payload).code };
      status = payload.readUInt16LE(3);
    }
    results++;
    if (worker !== null) worker.completed++;
    if ((status & SERVER_STATUS.moreResultsExist) === 0) return { rows, results, error: null };
  }
}

/** Fails if an answer is another one. */
function expect(
  given: Answer,
  { rows, error = null }: { readonly rows: number; readonly error?: number | null },
): void {
  if (given.rows === rows && given.error === error) return;
  throw new Error(`${given.rows} rows and error ${given.error} instead of ${rows} rows and error ${error}`);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENT, MARIADB_CLIENT, SERVER_STATUS } from '../../../protocols/mysql/capabilities.ts';
import { encodeEof, encodeErr, encodeOk, type Ok } from '../../../protocols/mysql/responses.ts';
import { ANSWER, type Answer, PART, Response } from './response.ts';

const PLAIN = { client: CLIENT.protocol41, mariadb: 0 };
const NO_EOF = { client: CLIENT.protocol41 | CLIENT.deprecateEof, mariadb: 0 };

const OK: Ok = {
  header: 0,
  affectedRows: 3n,
  lastInsertId: 0n,
  status: SERVER_STATUS.autocommit,
  warnings: 1,
  info: '',
  sessionState: null,
};
const ok = (more: Partial<Ok> = {}) => encodeOk({ ...OK, ...more }, PLAIN);
const eof = (status: number = SERVER_STATUS.autocommit) => encodeEof({ warnings: 0, status });
const error = encodeErr({ code: 1064, sqlState: '42000', message: 'no' });
const header = (columns: number) => Buffer.of(columns);
const definition = Buffer.from([3, 0x64, 0x65, 0x66, 0]);
const row = Buffer.from([1, 0x31]);
const prepared = (columns: number, parameters: number) =>
  Buffer.from([0, 1, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0]);

/** What the payloads of an answer are, and whether it was over after each. */
function parts(
  answer: Answer,
  payloads: readonly Buffer[],
  { capabilities = PLAIN, mayOpenCursor = false } = {},
): string {
  const response = new Response(capabilities);
  response.begin(answer, mayOpenCursor);
  return payloads
    .map((payload) => {
      const part = response.take(payload, 0, payload.length);
      const name = Object.entries(PART).find(([, value]) => value === part)![0];
      return response.isOver ? `${name}.` : name;
    })
    .join(' ');
}

test('an answer ends where the protocol says, whatever it is made of', () => {
  const more = SERVER_STATUS.autocommit | SERVER_STATUS.moreResultsExist;
  const okEnd = ok({ header: 0xfe });
  for (const [answer, payloads, expected, capabilities] of [
    [ANSWER.ok, [ok()], 'completed.'],
    [ANSWER.ok, [eof()], 'completed.'],
    [ANSWER.ok, [error], 'error.'],
    [ANSWER.text, [Buffer.from([0xff, 1])], 'header.'],
    [ANSWER.results, [ok()], 'completed.'],
    [ANSWER.results, [ok({ status: more }), ok()], 'completed completed.'],
    [ANSWER.results, [header(1), definition, eof(), row, row, eof()], 'header definition header row row completed.'],
    [ANSWER.results, [header(1), definition, eof(), row, error], 'header definition header row error.'],
    [ANSWER.results, [header(1), definition, row, okEnd], 'header definition row completed.', NO_EOF],
    [ANSWER.results, [header(1), definition, eof(), eof(more), error], 'header definition header completed error.'],
    [ANSWER.results, [Buffer.from([0xfb, 0x78])], 'localInfile'],
    [ANSWER.rows, [row, eof(SERVER_STATUS.lastRowSent)], 'row completed.'],
    [ANSWER.definitions, [definition, definition, eof()], 'definition definition completed.'],
    [ANSWER.prepared, [prepared(0, 0)], 'prepared.'],
    [ANSWER.prepared, [prepared(1, 0), definition, eof()], 'prepared definition header.'],
    [
      ANSWER.prepared,
      [prepared(1, 2), definition, definition, eof(), definition, eof()],
      'prepared definition definition header definition header.',
    ],
    [ANSWER.prepared, [prepared(1, 1), definition, definition], 'prepared definition definition.', NO_EOF],
    [ANSWER.prepared, [error], 'error.'],
  ] as [Answer, Buffer[], string, typeof PLAIN?][]) {
    assert.equal(parts(answer, payloads, { capabilities: capabilities ?? PLAIN }), expected);
  }
});

test('rows are fetched later only where the command asked for a cursor, and no procedure has one open', () => {
  const open = SERVER_STATUS.autocommit | SERVER_STATUS.cursorExists;
  const withMore = open | SERVER_STATUS.moreResultsExist;
  const asked = { mayOpenCursor: true };
  assert.equal(parts(ANSWER.results, [header(1), definition, eof(open)], asked), 'header definition completed.');
  for (const [flags, command] of [
    [open, {}],
    [withMore, {}],
    [withMore, asked],
  ] as const) {
    assert.equal(
      parts(ANSWER.results, [header(1), definition, eof(flags), row, eof()], command),
      'header definition header row completed.',
    );
  }
});

test('a result whose definitions the client has comes without them', () => {
  const caches = { client: NO_EOF.client, mariadb: MARIADB_CLIENT.cacheMetadata };
  assert.equal(
    parts(ANSWER.results, [Buffer.from([2, 0]), row, ok({ header: 0xfe })], { capabilities: caches }),
    'header row completed.',
  );
  assert.equal(
    parts(ANSWER.results, [Buffer.from([1, 1]), definition, row, ok({ header: 0xfe })], { capabilities: caches }),
    'header definition row completed.',
  );
});

test('what an OK packet says is kept', () => {
  const response = new Response(PLAIN);
  response.begin(ANSWER.results);
  const payload = ok({ status: SERVER_STATUS.inTransaction, affectedRows: 70_000n });
  response.take(payload, 0, payload.length);
  assert.deepEqual(
    [response.isInTransaction, response.affectedRows, response.warnings, response.endedRows],
    [true, 70_000, 1, false],
  );
});

test('what the protocol does not allow is a violation', () => {
  for (const [answer, payloads] of [
    [ANSWER.ok, [row]],
    [ANSWER.ok, [ok(), ok()]],
    [ANSWER.results, [Buffer.alloc(0)]],
    [ANSWER.results, [Buffer.of(0xfc)]],
    [ANSWER.results, [header(1), definition, row]],
    [ANSWER.results, [Buffer.of(0, 0xfe)]],
    [ANSWER.prepared, [Buffer.of(0, 1, 2)]],
  ] as [Answer, Buffer[]][]) {
    assert.throws(() => parts(answer, payloads), { name: 'ProtocolViolation' });
  }
});

test('of every truncated answer nothing is taken for its end that is not', () => {
  const whole = [header(1), definition, eof(), row, eof()];
  for (let i = 1; i < whole.length; i++) assert.ok(!parts(ANSWER.results, whole.slice(0, i)).includes('.'));
});

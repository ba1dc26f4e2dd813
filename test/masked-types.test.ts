import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { decodeDataRow, decodeErrorResponse, decodeRowDescription } from '../protocols/postgres/backend.ts';
import {
  encodeBind,
  encodeCopyData,
  encodeCopyDone,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
} from '../protocols/postgres/frontend.ts';
import { declareMaskedDrivers } from './drivers/masked-drivers.ts';
import { type Message, RawClient, shapeOf } from './raw-client.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

/**
 * Every type under every masker, in both formats and on every way: what reaches a client has to be a value of the type. The
 * judge is PostgreSQL itself, which reads each value back in the format it came in. Drivers read all of it as well.
 */

/** Types with a value whose parts stand nowhere else, or which a canary does not fit into. */
const TYPES: Readonly<Record<string, string>> = {
  bool: 'true',
  int2: '31337',
  int4: '777777777',
  int8: '7777777777777',
  float4: '77123.5',
  float8: '-7.7123456e+30',
  numeric: '-771234567.8912',
  'numeric(10, 2)': '7712.34',
  money: '77123.45',
  text: 'canary "text" \\ with, everything\n\t{}',
  'varchar(12)': 'canary-var',
  'char(9)': 'canary',
  name: 'canary_name',
  '"char"': 'c',
  bytea: '\\x63616e617279',
  date: '1977-07-07',
  time: '17:07:07.77',
  timetz: '17:07:07+05:30',
  timestamp: '1977-07-07 17:07:07.123456',
  timestamptz: '1977-07-07 17:07:07.1+03',
  interval: '7 years 7 days 07:07:07',
  uuid: '77777777-7777-4777-8777-777777777777',
  json: '{"a": "canary", "b": [1, null]}',
  jsonb: '{"a": "canary", "b": [1, null]}',
  xml: '<a>canary</a>',
  inet: '77.77.77.77/8',
  cidr: '77.0.0.0/8',
  macaddr: '77:77:77:77:77:77',
  macaddr8: '77:77:77:ff:fe:77:77:77',
  'bit(5)': '10101',
  'bit varying(9)': '1010101',
  point: '(77,7)',
  lseg: '[(7,7),(8,8)]',
  box: '(8,8),(7,7)',
  path: '[(7,7),(8,8)]',
  polygon: '((7,7),(8,8),(9,9))',
  circle: '<(7,7),7>',
  tsvector: "'canary':1",
  tsquery: "'canary' & 'x'",
  oid: '77777',
  pg_lsn: '7/77',
  jsonpath: '$."canary"',
  int4range: '[7,77)',
  int8range: '[7,77)',
  numrange: '[7.7,77)',
  tsrange: '["1977-07-07 00:00:00","1978-01-01 00:00:00")',
  tstzrange: '["1977-07-07 00:00:00+00","1978-01-01 00:00:00+00")',
  daterange: '[1977-07-07,1978-01-01)',
  int4multirange: '{[7,77)}',
  datemultirange: '{[1977-07-07,1978-01-01)}',
  mood: 'canary',
  words: 'canary words',
  small: '77',
  card: '("canary, quoted",7)',
  citext: 'Canary',
  'bool[]': '{t,NULL}',
  'int4[]': '{777777777,NULL,7}',
  'int8[]': '[5:6]={7777777777,7}',
  'numeric[]': '{77123.45,NaN}',
  'text[]': '{"canary, one","can\\"ary",NULL,""}',
  'varchar(12)[]': '{{canary,b},{c,d}}',
  'date[]': '{1977-07-07,NULL}',
  'timestamptz[]': '{"1977-07-07 00:00:00+00"}',
  'interval[]': '{"7 days"}',
  'uuid[]': '{77777777-7777-4777-8777-777777777777}',
  'jsonb[]': '{"{\\"a\\": \\"canary\\"}"}',
  'bytea[]': '{"\\\\x63616e617279"}',
  'inet[]': '{77.77.77.77}',
  'float8[]': '{7.7,-Infinity}',
  'mood[]': '{canary,fine}',
  'card[]': '{"(canary,7)"}',
  'int4range[]': '{"[7,77)"}',
};

const MASKERS: Readonly<Record<string, string>> = {
  nulled: 'null',
  redacted: 'redact',
  partial: '{ partial: { first: 1, last: 2 } }',
  email: '{ email: keep-domain }',
  hashed: '{ hash: { key: { file: KEY_FILE } } }',
  encrypted: '{ fpe: { key: { file: KEY_FILE } } }',
  yearly: 'year',
  monthly: 'month',
  rounded: '{ bucket: 1000 }',
  constant: '{ constant: "7" }',
};

const columns = Object.keys(TYPES).map((type, at) => ({ name: `c${at}`, type, at }));
const TABLE = columns.map(({ name, type }) => `${name} ${type}`).join(', ');

const SCHEMA = `
  CREATE EXTENSION IF NOT EXISTS citext;
  CREATE TYPE mood AS ENUM ('fine', 'canary');
  CREATE DOMAIN words AS varchar(20) CHECK (value <> '');
  CREATE DOMAIN small AS int2 CHECK (value < 100);
  CREATE TYPE card AS (number text, cvv int);
`;

let directory: string;
let server: PostgresServer;
let sluice: Sluice;
let client: RawClient;
let direct: RawClient;

before(async () => {
  server = await startPostgres();
  await server.query('CREATE DATABASE shop');
  const { host, port, superuser: user, password } = server;
  const owner = new pg.Client({ host, port, user, password, database: 'shop' });
  await owner.connect();
  await owner.query(SCHEMA);
  for (const masker of Object.keys(MASKERS)) {
    await owner.query(`CREATE TABLE ${masker} (id int PRIMARY KEY, ${TABLE})`);
    const values = Object.values(TYPES).map((_, at) => `$${at + 1}`);
    await owner.query(`INSERT INTO ${masker} VALUES (1, ${values.join(', ')})`, Object.values(TYPES));
    await owner.query(`INSERT INTO ${masker} (id) VALUES (2)`);
  }
  await owner.query(`CREATE TABLE read_back (id int, ${TABLE})`);
  await owner.end();
  directory = mkdtempSync(join(tmpdir(), 'sluice-mask-key-'));
  writeFileSync(join(directory, 'key'), 'a key for tests');
  const masks = Object.entries(MASKERS).map(
    ([table, masker]) =>
      `  - { id: ${table}, columns: "public.${table}.c*", with: ${masker.replace('KEY_FILE', join(directory, 'key'))} }`,
  );
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream: { host, port, user, password, database: 'shop' } }],
    users: [{ name: 'bot', password: 'pw' }],
    rulesYaml: `version: 1\nrules:\n  - { id: everything, match: {}, action: allow }\nmasks:\n${masks.join('\n')}\n`,
  });
  client = await RawClient.login({ ...sluice, user: 'bot', password: 'pw', database: 'shop' });
  direct = await RawClient.login({ host, port, user, password, database: 'shop' });
});

after(async () => {
  client?.destroy();
  direct?.destroy();
  await sluice?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const FORBIDDEN = ['canary', '7777777', '77123', '1977-07-07', '63616e617279', '77.77'];

/** Nothing of a value, but what a masker keeps of it. */
function assertHidden(masker: string, messages: readonly Message[]): void {
  const shown = Buffer.concat(messages.map(({ body }) => body)).toString('latin1');
  // Of a number that is rounded its first digits stay.
  const forbidden = FORBIDDEN.filter((one) => masker !== 'rounded' || !/^[\d.]+$/.test(one));
  for (const one of forbidden) assert.equal(shown.includes(one), false, `${one} under ${masker}: ${shapeOf(messages)}`);
}

const errorOf = (messages: readonly Message[]) => {
  const error = messages.find(({ type }) => type === 'E');
  return error === undefined ? 'no error' : JSON.stringify(decodeErrorResponse(error.body));
};

const rowsOf = (messages: readonly Message[]) => messages.filter(({ type }) => type === 'D');

/** PostgreSQL reads the values of the rows, in the format they came in. */
async function assertReadable(masker: string, types: readonly number[], format: 0 | 1, rows: readonly Message[]) {
  assert.equal(rows.length, 2);
  for (const row of rows) {
    const values = decodeDataRow(row.body);
    assert.equal(values.length, types.length);
    const places = types.map((_, at) => `$${at + 1}`).join(', ');
    const answer = await direct.query(
      encodeParse({ statement: '', text: `SELECT ${places}`, parameterTypes: types }),
      encodeBind({ portal: '', statement: '', parameterFormats: [format], parameters: values, resultFormats: [0] }),
      encodeExecute({ portal: '', maxRows: 0 }),
      encodeSync(),
    );
    assert.equal(rowsOf(answer).length, 1, `${masker}, format ${format}: ${errorOf(answer)}`);
  }
}

let types: readonly number[] = [];

for (const masker of Object.keys(MASKERS)) {
  const select = `SELECT * FROM ${masker} ORDER BY id`;

  test(`under ${masker} every result has values of its types`, async () => {
    const simple = await client.query(encodeQuery(select));
    assertHidden(masker, simple);
    types = decodeRowDescription(simple.find(({ type }) => type === 'T')!.body).map(({ typeOid }) => typeOid);
    await assertReadable(masker, types, 0, rowsOf(simple));
    for (const format of [0, 1] as const) {
      const bind = encodeBind({
        ...{ portal: '', statement: '', parameterFormats: [], parameters: [] },
        resultFormats: [format],
      });
      for (const described of [false, true]) {
        const messages = await client.query(
          encodeParse({ statement: '', text: select, parameterTypes: [] }),
          bind,
          ...(described ? [encodeDescribe({ kind: 'portal', name: '' })] : []),
          encodeExecute({ portal: '', maxRows: 0 }),
          encodeSync(),
        );
        assertHidden(masker, messages);
        await assertReadable(masker, types, format, rowsOf(messages));
      }
      const returning = await client.query(
        encodeParse({ statement: '', text: `UPDATE ${masker} SET id = id RETURNING *`, parameterTypes: [] }),
        bind,
        encodeExecute({ portal: '', maxRows: 0 }),
        encodeSync(),
      );
      assertHidden(masker, returning);
      await assertReadable(masker, types, format, rowsOf(returning));
      const cursor = await client.query(
        encodeQuery(`BEGIN; DECLARE c ${format === 1 ? 'BINARY' : ''} CURSOR FOR ${select}; FETCH ALL FROM c; COMMIT`),
      );
      assertHidden(masker, cursor);
      await assertReadable(masker, types, format, rowsOf(cursor));
    }
  });

  test(`under ${masker} what is copied out can be copied in`, async () => {
    for (const format of ['text', 'csv', 'csv, HEADER', 'csv, FORCE_QUOTE *', 'binary', "text, NULL 'none'"]) {
      const options = `(FORMAT ${format})`;
      for (const source of [masker, `(${select})`]) {
        const out = await client.query(encodeQuery(`COPY ${source} TO STDOUT ${options}`));
        assertHidden(masker, out);
        const data = Buffer.concat(out.filter(({ type }) => type === 'd').map(({ body }) => body));
        // Read back as values of the types: the checks of domains are part of that.
        const back = await direct.query(
          encodeQuery(`COPY read_back FROM STDIN ${options.replace(', FORCE_QUOTE *', '')}`),
          encodeCopyData(data),
          encodeCopyDone(),
        );
        assert.match(shapeOf(back), /C\(COPY 2\)/, `${masker}, ${format}, ${source}: ${errorOf(back)}`);
      }
    }
  });
}

test('values become NULL only where a masker does not fit their type', async () => {
  const shown = async (masker: string) => {
    const [row] = rowsOf(await client.query(encodeQuery(`SELECT * FROM ${masker} WHERE id = 1`)));
    const values = decodeDataRow(row!.body).slice(1);
    return columns.filter(({ at }) => values[at] !== null).map(({ at }) => Object.keys(TYPES)[at]!);
  };
  assert.deepEqual(await shown('nulled'), []);
  // Types without a neutral value.
  const redacted = new Set(await shown('redacted'));
  assert.deepEqual(
    Object.keys(TYPES).filter((type) => !redacted.has(type)),
    [
      ...['bit(5)', 'point', 'lseg', 'box', 'path', 'polygon', 'circle', 'tsquery', 'pg_lsn', 'jsonpath'],
      ...['mood', 'card', 'mood[]', 'card[]', 'int4range[]'],
    ],
  );
  const yearly = (await shown('yearly')).filter((type) => !type.endsWith('[]'));
  assert.deepEqual(yearly, ['date', 'timestamp', 'timestamptz']);
});

declareMaskedDrivers(
  'postgres',
  () => ({ port: sluice.port, user: 'bot', password: 'pw', database: 'shop' }),
  Object.keys(MASKERS),
);

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RawClient } from '../../test/raw-client.ts';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import { decodeDataRow } from './backend.ts';
import { encodeBind, encodeExecute, encodeParse, encodeSync } from './frontend.ts';
import {
  ARRAYS,
  binaryOfText,
  emptyArrayBinary,
  hasCodec,
  mapArrayBinary,
  mapArrayText,
  TYPE,
  textOfBinary,
} from './values.ts';

let server: PostgresServer;
let client: RawClient;
before(async () => {
  server = await startPostgres();
  const { host, port, superuser: user, password, database } = server;
  client = await RawClient.login({ host, port, user, password, database }, { TimeZone: 'UTC', DateStyle: 'ISO, DMY' });
});
after(async () => {
  client?.destroy();
  await server?.stop();
});

/** The value as the server sends it, in text and in binary format. */
async function fromServer(type: string, literal: string): Promise<{ text: string; binary: Buffer }> {
  const [text, binary] = await columns(`SELECT $1::${type}::text, $1::${type}`, literal);
  return { text: text!.toString(), binary: binary! };
}

/** The columns of the first row, all in binary format: that of text is the text. */
async function columns(text: string, parameter: string): Promise<(Buffer | null)[]> {
  const messages = await client.query(
    encodeParse({ statement: '', text, parameterTypes: [TYPE.unknown] }),
    encodeBind({
      portal: '',
      statement: '',
      parameterFormats: [],
      parameters: [Buffer.from(parameter)],
      resultFormats: [1],
    }),
    encodeExecute({ portal: '', maxRows: 0 }),
    encodeSync(),
  );
  return decodeDataRow(messages.find(({ type }) => type === 'D')!.body);
}

const VALUES: Readonly<Record<string, readonly string[]>> = {
  bool: ['t', 'f'],
  int2: ['0', '-32768', '32767'],
  int4: ['0', '-2147483648', '2147483647'],
  int8: ['0', '-9223372036854775808', '9223372036854775807'],
  oid: ['0', '4294967295'],
  float4: ['0', '1.5', '-0.1', '3.4028235e38', 'NaN', 'Infinity'],
  float8: ['0', '1.5', '-0.1', '1e300', '5e-324', 'NaN', '-Infinity'],
  numeric: [
    '0',
    '0.00',
    '1',
    '-1',
    '10000',
    '12345678901234567890.123456',
    '0.0001',
    '-0.00012345',
    '1e-30',
    'NaN',
    '1e40',
  ],
  text: ['', 'x', 'grüße 🦆'],
  varchar: ['a'],
  bpchar: ['ab '],
  name: ['n'],
  date: [
    '2000-01-01',
    '1999-12-31',
    '0001-01-01',
    '0044-03-15 BC',
    '2024-02-29',
    '12345-06-07',
    'infinity',
    '-infinity',
  ],
  time: ['00:00:00', '23:59:59.999999', '12:30:00.5'],
  timestamp: [
    '2000-01-01 00:00:00',
    '1969-12-31 23:59:59.25',
    '2024-02-29 12:00:00',
    '0044-03-15 08:00:00 BC',
    'infinity',
  ],
  timestamptz: ['2024-02-29 12:00:00+00', '1900-01-01 00:00:00.000001+00', '-infinity'],
  uuid: ['6f1c0b1e-7b8e-4c55-8f3a-0123456789ab'],
  bytea: ['\\x', '\\x00ff10'],
  json: ['{"a": [1, 2]}'],
  jsonb: ['{"a": [1, 2]}', '"x"'],
};

for (const [name, literals] of Object.entries(VALUES)) {
  test(`both formats of ${name} are the server's`, async () => {
    const type = TYPE[name as keyof typeof TYPE];
    assert.ok(hasCodec(type));
    for (const literal of literals) {
      const { text, binary } = await fromServer(name, literal);
      const decoded = textOfBinary(type, binary);
      // The server's text of a float may have an exponent where ours has none.
      if (name.startsWith('float')) assert.equal(Number(decoded), Number(text), literal);
      else if (name === 'bool') assert.equal(decoded, literal);
      else if (name !== 'bpchar') assert.equal(decoded, text);
      assert.deepEqual(binaryOfText(type, decoded), binary, literal);
    }
  });
}

test('what is no value of a type is an error, never another value', () => {
  for (const [type, text] of [
    [TYPE.int2, '32768'],
    [TYPE.int4, 'x'],
    [TYPE.int8, '9223372036854775808'],
    [TYPE.float8, ''],
    [TYPE.numeric, '1e5'],
    [TYPE.bool, 'yes'],
    [TYPE.date, '17.05.2024'],
    [TYPE.date, '2024-13-01'],
    [TYPE.timestamp, '2024-01-01'],
    [TYPE.timestamptz, '2024-01-01 00:00:00+02'],
    [TYPE.uuid, 'x'],
    [TYPE.bytea, 'abc'],
    [TYPE.record, '(1)'],
  ] as const) {
    assert.throws(() => binaryOfText(type, text), RangeError, `${type} ${text}`);
  }
  for (const type of [TYPE.int4, TYPE.numeric, TYPE.date, TYPE.timestamp, TYPE.uuid, TYPE.jsonb, TYPE.bool]) {
    assert.throws(() => textOfBinary(type, Buffer.from([0, 1, 2])), RangeError);
  }
});

test('arrays are rewritten element by element in both formats as the server writes them', async () => {
  const shout = (element: string | null) => (element === null ? 'none' : element === 'x' ? null : `${element}!`);
  for (const literal of [
    '{}',
    '{a,b}',
    '{"a b","c\\"d","e\\\\f",NULL,x}',
    '{{a,b},{c,""}}',
    '[2:3]={a,x}',
    '{"NULL","{}"}',
  ]) {
    const { text, binary } = await fromServer('text[]', literal);
    assert.equal(
      mapArrayText(text, (element) => element),
      text,
      literal,
    );
    assert.deepEqual(
      mapArrayBinary(binary, (element) => element),
      binary,
      literal,
    );
    const again = await fromServer('text[]', mapArrayText(text, shout));
    const expected = mapArrayBinary(binary, (element) => {
      const replaced = shout(element?.toString() ?? null);
      return replaced === null ? null : Buffer.from(replaced);
    });
    assert.deepEqual(expected, again.binary, literal);
  }
  assert.deepEqual(emptyArrayBinary(TYPE.text), (await fromServer('text[]', '{}')).binary);
});

test('the array types are those of the server', async () => {
  for (const [array, element] of ARRAYS) {
    const [found] = await columns('SELECT typelem::text FROM pg_type WHERE oid = $1::text::oid', String(array));
    assert.equal(found?.toString(), String(element));
  }
});

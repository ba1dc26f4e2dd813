import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeBind, encodeBind } from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { bindsAsJson } from './binds.ts';

interface Binds {
  readonly formats: readonly number[];
  readonly values: readonly (Buffer | null)[];
}

/** A Bind message for unnamed portal and statement, and where its parameters begin. */
function bindOf({ formats, values }: Binds): { bytes: Buffer; at: number } {
  const bytes = encodeBind({
    portal: '',
    statement: '',
    parameterFormats: formats,
    parameters: values,
    resultFormats: [1, 0],
  });
  return { bytes, at: 7 };
}

function recorded(binds: Binds): unknown[] {
  const { bytes, at } = bindOf(binds);
  return JSON.parse(bindsAsJson(bytes, at, bytes.length)) as unknown[];
}

const binds: fc.Arbitrary<Binds> = fc
  .array(fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))), { maxLength: 6 })
  .chain((values) =>
    fc.record({
      values: fc.constant(values),
      formats: fc.oneof(
        fc.array(fc.constantFrom(0, 1), { maxLength: 1 }),
        fc.array(fc.constantFrom(0, 1), { minLength: values.length, maxLength: values.length }),
      ),
    }),
  );

test('text is recorded as text, binary and NULL as what they are', () => {
  const values = [Buffer.from('naïve "quoted"\n'), null, Buffer.from([0, 0, 0, 42])];
  assert.deepEqual(recorded({ formats: [0, 0, 1], values }), ['naïve "quoted"\n', null, { hex: '0000002a' }]);
});

test('one format holds for all parameters, none means text', () => {
  const values = [Buffer.from('a'), Buffer.from('b')];
  assert.deepEqual(recorded({ formats: [1], values }), [{ hex: '61' }, { hex: '62' }]);
  assert.deepEqual(recorded({ formats: [], values }), ['a', 'b']);
});

test('text that is not UTF-8 is recorded by its bytes', () => {
  assert.deepEqual(recorded({ formats: [], values: [Buffer.from([0x61, 0xe9])] }), [{ hex: '61e9' }]);
  // A replacement character of the client's own cannot be told from one of ours at once: its bytes say what it was.
  assert.deepEqual(recorded({ formats: [], values: [Buffer.from('\ufffd')] }), [{ hex: 'efbfbd' }]);
});

test('a long value is recorded by its beginning and its length', () => {
  const long = Buffer.alloc(100_000, 'x');
  const [value] = recorded({ formats: [], values: [long] }) as [{ hex: string; bytes: number }];
  assert.equal(value.bytes, 100_000);
  assert.equal(Buffer.from(value.hex, 'hex').toString(), 'x'.repeat(65_536));
});

test('what is recorded is what the message holds, for any parameters', () => {
  fc.assert(
    fc.property(binds, (given) => {
      const { bytes } = bindOf(given);
      const { parameters, parameterFormats } = decodeBind(bytes.subarray(5));
      const bytesOf = (value: unknown): Buffer | null =>
        value === null
          ? null
          : Buffer.from(
              typeof value === 'string' ? value : (value as { hex: string }).hex,
              typeof value === 'string' ? 'utf8' : 'hex',
            );
      const json = recorded(given);
      assert.deepEqual(json.map(bytesOf), parameters);
      json.forEach((value, i) => {
        const format = parameterFormats.length === 1 ? parameterFormats[0] : parameterFormats[i];
        if (format === 1) assert.notEqual(typeof value, 'string', 'binary is never recorded as text');
      });
    }),
  );
});

test('the record is one line of JSON on its own, whatever the text holds', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { maxLength: 3 }), (texts) => {
      const { bytes, at } = bindOf({ formats: [], values: texts.map((text) => Buffer.from(text)) });
      const json = bindsAsJson(bytes, at, bytes.length);
      assert.ok(!/[\n\r]/.test(json));
      assert.equal((JSON.parse(json) as unknown[]).length, texts.length);
    }),
  );
});

test('a Bind that ends anywhere before its end is a protocol violation', () => {
  const { bytes, at } = bindOf({ formats: [0, 1, 0], values: [Buffer.from('abc'), null, Buffer.from('defg')] });
  for (let end = at; end < bytes.length; end++) {
    assert.throws(() => bindsAsJson(bytes, at, end), ProtocolViolation, `${end} of ${bytes.length} bytes`);
    // The same where the chunk ends, too.
    assert.throws(() => bindsAsJson(bytes.subarray(0, end), at, end), ProtocolViolation);
  }
});

test('bytes behind the last field are a protocol violation', () => {
  const { bytes, at } = bindOf({ formats: [], values: [Buffer.from('abc')] });
  const longer = Buffer.concat([bytes, Buffer.from([0])]);
  assert.throws(() => bindsAsJson(longer, at, longer.length), ProtocolViolation);
});

test('lengths and counts that lie are protocol violations, and never read what is behind the message', () => {
  fc.assert(
    fc.property(binds, fc.nat(), fc.integer({ min: 0, max: 255 }), (given, where, byte) => {
      const { bytes, at } = bindOf(given);
      const lying = Buffer.from(bytes);
      lying[at + (where % (bytes.length - at))] = byte;
      const behind = Buffer.concat([lying, Buffer.alloc(70_000, 'Z')]);
      let json: string | null = null;
      try {
        json = bindsAsJson(behind, at, lying.length);
      } catch (error) {
        assert.ok(error instanceof ProtocolViolation);
      }
      let decoded = true;
      try {
        decodeBind(lying.subarray(5));
      } catch {
        decoded = false;
      }
      if (json !== null) assert.ok(decoded, 'nothing is recorded that is no Bind');
    }),
    { numRuns: 2000 },
  );
});

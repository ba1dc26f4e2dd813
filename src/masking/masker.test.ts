import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FF1 } from '@noble/ciphers/ff1.js';
import { maskJson, parseJsonPath } from './json-paths.ts';
import { fullMask, isMasked, type Masker, maskedText, type ValueKind } from './masker.ts';

const KEY = Buffer.from('a key of a test');
const hash: Masker = { kind: 'hash', key: KEY };
const fpe: Masker = { kind: 'fpe', key: KEY };
const partial: Masker = { kind: 'partial', first: 0, last: 4 };

const CASES: readonly (readonly [Masker, ValueKind, string, string | null])[] = [
  [{ kind: 'null' }, 'text', 'x', null],
  [{ kind: 'redact', text: '[r]' }, 'text', 'x', '[r]'],
  [{ kind: 'redact', text: '[r]' }, 'decimal', '7', '0'],
  [{ kind: 'redact', text: '[r]' }, 'json', '7', '"[r]"'],
  [{ kind: 'redact', text: '[r]' }, 'other', 'x', null],
  [{ kind: 'constant', text: '7' }, 'integer', '1', '7'],
  [{ kind: 'constant', text: 'x' }, 'integer', '1', null],
  [partial, 'text', '4111111111111111', '****1111'],
  [partial, 'text', '12345', '****'],
  [partial, 'text', 'ü🦆üüüüüüßä', '****üüßä'],
  [partial, 'integer', '4111111111111111', null],
  [{ kind: 'email' }, 'text', 'a.b@c.example', '****@c.example'],
  [{ kind: 'email' }, 'text', 'no address', '****'],
  [{ kind: 'year' }, 'date', '2024-05-17', '2024-01-01'],
  [{ kind: 'month' }, 'timestamp', '2024-05-17 10:11:12.5+02', '2024-05-01 00:00:00+02'],
  [{ kind: 'year' }, 'date', '0044-03-15 BC', '0044-01-01 BC'],
  [{ kind: 'year' }, 'date', 'infinity', null],
  [{ kind: 'bucket', step: '1000' }, 'integer', '77123', '77000'],
  [{ kind: 'bucket', step: '100' }, 'integer', '-1', '-100'],
  [{ kind: 'bucket', step: '100' }, 'integer', '-100', '-100'],
  [{ kind: 'bucket', step: '100' }, 'integer', '0', '0'],
  [{ kind: 'bucket', step: '10' }, 'integer', '-9007199254740993', '-9007199254741000'],
  [{ kind: 'bucket', step: '1000' }, 'decimal', '-1.5', '-1000'],
  [{ kind: 'bucket', step: '0.25' }, 'decimal', '1.74', '1.50'],
  [{ kind: 'bucket', step: '10' }, 'text', 'many', null],
  [{ kind: 'hash', key: null }, 'text', 'x', null],
  [hash, 'date', '2024-05-17', null],
  [fpe, 'text', '12345', null],
  [fpe, 'text', 'grüße', null],
];

for (const [masker, kind, value, expected] of CASES) {
  test(`${masker.kind} makes ${expected} of the ${kind} ${value}`, () => {
    assert.equal(maskedText(masker, kind, value), expected);
  });
}

test('a pseudonym is the same for the same value, and fits its type', () => {
  assert.equal(maskedText(hash, 'text', 'bob'), maskedText(hash, 'text', 'bob'));
  assert.notEqual(maskedText(hash, 'text', 'bob'), maskedText(hash, 'text', 'bo'));
  assert.notEqual(
    maskedText(hash, 'text', 'bob'),
    maskedText({ kind: 'hash', key: Buffer.from('other') }, 'text', 'bob'),
  );
  assert.match(maskedText(hash, 'uuid', 'x')!, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('format-preserving encryption keeps length, separators and the alphabet, and is FF1', () => {
  const masked = maskedText(fpe, 'text', '4111-1111-1111-1111')!;
  assert.match(masked, /^\d{4}-\d{4}-\d{4}-\d{4}$/);
  assert.notEqual(masked, '4111-1111-1111-1111');
  assert.match(maskedText(fpe, 'text', 'DE89370400440532013000')!, /^[0-9A-Z]{22}$/);
  assert.match(maskedText(fpe, 'integer', '2147483647')!, /^[1-2]\d{9}$/);
  // NIST SP 800-38G, FF1 sample 1: the library does what the standard says.
  const sample = FF1(10, Buffer.from('2B7E151628AED2A6ABF7158809CF4F3C', 'hex')).encrypt([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
  ]);
  assert.equal(sample.join(''), '2433477484');
});

test('what is computed from masked values is masked as a whole', () => {
  assert.deepEqual(fullMask(partial), { kind: 'redact', text: '[redacted]' });
  assert.deepEqual(fullMask({ kind: 'null' }), { kind: 'null' });
});

test('what a mask has made is known again, values are not taken for it', () => {
  assert.equal(isMasked(partial, '****1111'), true);
  assert.equal(isMasked(partial, '4111111111111111'), false);
  assert.equal(isMasked({ kind: 'email' }, '****@c.example'), true);
  assert.equal(isMasked(hash, maskedText(hash, 'text', 'bob')!), true);
  assert.equal(isMasked(hash, 'bob'), false);
});

test('parts of JSON are replaced where the path leads, and everything else stays byte for byte', () => {
  const mask = (text: string, ...paths: string[]) =>
    maskJson(
      text,
      paths.map((path) => ({ path: parseJsonPath(path), masker: { kind: 'redact', text: 'X' } as const })),
    );
  assert.equal(
    mask('{"a": {"b":1.50, "c": 12345678901234567890}}', '$.a.b'),
    '{"a": {"b":"X", "c": 12345678901234567890}}',
  );
  assert.equal(mask('{"a":[{"b":"1"},{"b":null}]}', '$.a[*].b'), '{"a":[{"b":"X"},{"b":null}]}');
  assert.equal(mask('{"a":[{"b":"1"}]}', '$.a.b'), '{"a":[{"b":"X"}]}', 'a name reaches through arrays');
  assert.equal(mask('{"a":"text"}', '$.a.b'), '{"a":"X"}', 'another shape than expected');
  assert.equal(mask('{"\\u0061":1,"a":2}', '$.a'), '{"\\u0061":"X","a":"X"}', 'names are compared, not spellings');
  assert.equal(mask('[1,2]', '$[1]'), '[1,"X"]');
  assert.equal(mask('{"b":1}', '$.a'), '{"b":1}');
  assert.equal(mask('{"a":1', '$.a'), null);
  assert.equal(mask(`${'['.repeat(2000)}`, '$.a'), null);
});

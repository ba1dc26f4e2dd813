import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern, DETECTIONS, type Detection, Detector } from './detectors.ts';

const JWT = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.eyJzdWIiOiIxIn0.c2lnbmF0dXJl`;

const FOUND: Readonly<Record<Detection, readonly string[]>> = {
  'payment-card': ['4111111111111111', 'card: 4012 8888 8888 1881.', '3782-822463-10005', 'x 1 5555555555554444'],
  iban: ['DE89370400440532013000', 'to GB82 WEST 1234 5698 7654 32, now'],
  'us-ssn': ['123-45-6789', 'ssn=123-45-6789;'],
  email: ['a@b.example', '<first.last+tag@mail.host.example>'],
  phone: ['+49 30 1234567', '(212) 555-0123', '212-555-0123'],
  'private-key': ['-----BEGIN PRIVATE KEY-----\nMII', '-----BEGIN OPENSSH PRIVATE KEY-----'],
  jwt: [JWT, `Bearer ${JWT}`],
  'aws-access-key': ['AKIAIOSFODNN7EXAMPLE', 'key=ASIAIOSFODNN7EXAMPLE'],
};

const NOT_FOUND: Readonly<Record<Detection, readonly string[]>> = {
  'payment-card': ['4111111111111112', '1234567890123456', '41111111111111111111111', '2024-05-17 10:11:12'],
  iban: ['DE89370400440532013001', 'XDE89370400440532013000', 'DE8937040044'],
  'us-ssn': ['000-12-3456', '123-45-67890', '666-12-3456', '1123-45-6789'],
  email: ['@b.example', 'a@b', 'a@b.1', 'a @ b.example'],
  phone: ['+0', '1+2', '555-0123'],
  'private-key': ['-----BEGIN PUBLIC KEY-----', '---'],
  jwt: ['eyJhbGciOiJIUzI1NiJ9', 'eyJ.eyJ.x', 'hey.you.there'],
  'aws-access-key': ['AKIA', 'AKIAIOSFODNN7EXAMPLEX', 'XAKIAIOSFODNN7EXAMPLE'],
};

const finds = (detector: Detector, text: string) =>
  detector.finds(Buffer.from(`é${text}`), 2, Buffer.byteLength(text) + 2);

for (const detection of DETECTIONS) {
  test(`${detection} is found, and what only looks like it is not`, () => {
    const detector = new Detector([detection], []);
    for (const text of FOUND[detection]) assert.equal(finds(detector, text), true, text);
    for (const text of NOT_FOUND[detection]) assert.equal(finds(detector, text), false, text);
  });
}

test('patterns of administrators are RE2: linear, and without what is not', () => {
  const detector = new Detector([], [compilePattern('EMP-[0-9]{6}')]);
  assert.equal(finds(detector, 'for EMP-123456'), true);
  assert.equal(finds(detector, 'for EMP-12345'), false);
  assert.throws(() => compilePattern('(?=x)'), SyntaxError);
  assert.throws(() => compilePattern('('), SyntaxError);
});

test('hostile values take time linear in their length', () => {
  const detector = new Detector(DETECTIONS, []);
  const time = (unit: string, bytes: number) => {
    const value = Buffer.from(unit.repeat(bytes / unit.length));
    const from = performance.now();
    detector.finds(value, 0, value.length);
    return performance.now() - from;
  };
  for (const unit of ['ey-', 'eyJ.', '1 ', '4111 ', '@', 'a@', '-----BEGIN ', 'AKIA', '+1', 'DE89', '(2']) {
    time(unit, 1 << 16);
    const [small, large] = [time(unit, 1 << 17), time(unit, 1 << 20)];
    assert.ok(large < 8 * 12 * Math.max(small, 2), `${unit}: ${small} ms for 128 KB, ${large} ms for 1 MB`);
  }
});

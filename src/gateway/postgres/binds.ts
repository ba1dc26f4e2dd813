import { decodeBind } from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';

/**
 * The parameters of a Bind message as JSON text for a record: `["a",null,{"hex":"0000002a"}]`. Text values that are
 * valid UTF-8 are strings, all others (binary format, other encodings) their bytes in hexadecimal.
 *
 * @param hides says of each parameter, by its number less one, whether `{"masked":true}` stands in its place
 * @param bytes holds the message from `at` (its first byte after portal and statement names) to `end`
 * @throws ProtocolViolation if counts and lengths do not fit the message
 */
export function bindsAsJson(
  bytes: Buffer,
  at: number,
  end: number,
  hides: ((parameter: number) => boolean) | null = null,
): string {
  let p = at;
  const formats = int16(bytes, p, end);
  const formatsAt = p + 2;
  p = formatsAt + 2 * formats;
  const count = int16(bytes, p, end);
  if (formats > 1 && formats !== count)
    throw new ProtocolViolation('Bind has formats for other parameters than it has');
  p += 2;
  let json = '[';
  for (let i = 0; i < count; i++) {
    if (p + 4 > end) throw new ProtocolViolation('Bind ends inside a parameter');
    const length = bytes.readInt32BE(p);
    p += 4;
    if (i > 0) json += ',';
    if (length === -1) {
      json += 'null';
      continue;
    }
    if (length < 0 || p + length > end) throw new ProtocolViolation('Bind has a parameter longer than itself');
    if (hides?.(i) === true) {
      json += '{"masked":true}';
      p += length;
      continue;
    }
    const binary = formats > 0 && bytes[formatsAt + 2 * (formats === 1 ? 0 : i) + 1] === 1;
    json += binary ? hex(bytes, p, p + length) : text(bytes, p, p + length);
    p += length;
  }
  if (p + 2 + 2 * int16(bytes, p, end) !== end) throw new ProtocolViolation('Bind has bytes after its last field');
  return `${json}]`;
}

/** The formats a Bind message asks for its result; none is text for all columns, one holds for all. */
export function resultFormatsOf(bytes: Buffer, at: number, end: number): number[] {
  let p = at + 2 + 2 * int16(bytes, at, end);
  const parameters = int16(bytes, p, end);
  p += 2;
  for (let i = 0; i < parameters; i++) {
    if (p + 4 > end) throw new ProtocolViolation('Bind ends inside a parameter');
    p += 4 + Math.max(bytes.readInt32BE(p), 0);
  }
  const count = int16(bytes, p, end);
  return Array.from({ length: count }, (_, i) => int16(bytes, p + 2 + 2 * i, end));
}

function int16(bytes: Buffer, at: number, end: number): number {
  if (at + 2 > end) throw new ProtocolViolation('Bind ends too early');
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/**
 * The parameters of a whole Bind message (from `start` to `end`) as text, for rules that look at values: `null` for NULL,
 * values in binary format as `\\x` and their bytes in hexadecimal.
 *
 * @throws ProtocolViolation if it is malformed
 */
export function bindsAsText(bytes: Buffer, start: number, end: number): (string | null)[] {
  const { parameters, parameterFormats } = decodeBind(bytes.subarray(start + 5, end));
  return parameters.map((value, i) => {
    const format = parameterFormats.length === 1 ? parameterFormats[0] : parameterFormats[i];
    if (value === null) return null;
    return format === 1 ? `\\x${value.toString('hex')}` : value.toString('utf8');
  });
}

/** Longer values are recorded with their beginning and their length only; bytes. */
export const MOST_RECORDED = 64 * 1024;

function hex(bytes: Buffer, from: number, to: number): string {
  const size = to - from;
  if (size <= MOST_RECORDED) return `{"hex":"${bytes.toString('hex', from, to)}"}`;
  return `{"hex":"${bytes.toString('hex', from, from + MOST_RECORDED)}","bytes":${size}}`;
}

/** The longest value that is looked at byte by byte, bytes. */
const SHORT = 64;

function text(bytes: Buffer, from: number, to: number): string {
  if (to - from <= SHORT && isPlain(bytes, from, to)) return `"${bytes.toString('latin1', from, to)}"`;
  if (to - from > MOST_RECORDED) return hex(bytes, from, to);
  const value = bytes.toString('utf8', from, to);
  return value.includes('\ufffd') ? hex(bytes, from, to) : JSON.stringify(value);
}

/** True for printable ASCII that JSON takes as it is. */
function isPlain(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c) return false;
  }
  return true;
}

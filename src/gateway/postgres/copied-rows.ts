import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { CopyFormat } from '../../statements/facts.ts';

/** Rows of COPY TO STDOUT as the server sends them, each in one CopyData message (PostgreSQL documentation, COPY, "File Formats"). */

const NEWLINE = 0x0a;
export const BACKSLASH = 0x5c;
/** Signature, flags and the length of the extension, which follows. */
const BINARY_HEADER_BYTES = 19;

/** What the server writes with a backslash besides the delimiter and the backslash itself. */
export const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x0c, 0x66],
  [0x0a, 0x6e],
  [0x0d, 0x72],
  [0x09, 0x74],
  [0x0b, 0x76],
]);
const UNESCAPES: ReadonlyMap<number, number> = new Map([...ESCAPES].map(([byte, letter]) => [letter, byte]));

/** The fields of a row as text or CSV, as they are written. @throws ProtocolViolation if it is not one row */
export function fieldsOf(format: CopyFormat, body: Buffer): Buffer[] {
  if (body.at(-1) !== NEWLINE) throw new ProtocolViolation('copied data is not sent row by row');
  const line = body.subarray(0, -1);
  return format.format === 'csv' ? csvFields(format, line) : textFields(line, format.delimiter.charCodeAt(0));
}

/** True if a field of text or CSV stands for NULL. */
export function isNull({ format, null: marker }: CopyFormat, field: Buffer): boolean {
  // In text format a value can look like any marker but the one with a backslash: then it is taken for a value.
  return (format === 'csv' || marker === '\\N') && field.equals(Buffer.from(marker, 'utf8'));
}

/** What a field of text or CSV that is not NULL says. */
export function fieldValue(format: CopyFormat, field: Buffer): Buffer {
  return format.format === 'csv' ? unquoted(format, field) : unescaped(field);
}

/** Where the fields of a row in the binary format begin, or its end. @param isFirst true for what comes first @throws ProtocolViolation */
export function binaryRowAt(body: Buffer, isFirst: boolean): number {
  if (!isFirst) return 0;
  if (body.length < BINARY_HEADER_BYTES) throw new ProtocolViolation('copied data has no header');
  return BINARY_HEADER_BYTES + body.readInt32BE(BINARY_HEADER_BYTES - 4);
}

function textFields(line: Buffer, delimiter: number): Buffer[] {
  const fields: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === BACKSLASH) at++;
    else if (line[at] === delimiter) {
      fields.push(line.subarray(from, at));
      from = at + 1;
    }
  }
  fields.push(line.subarray(from));
  return fields;
}

function csvFields(format: CopyFormat, line: Buffer): Buffer[] {
  const delimiter = format.delimiter.charCodeAt(0);
  const [quote, escaping] = [format.quote.charCodeAt(0), format.escape.charCodeAt(0)];
  const fields: Buffer[] = [];
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]!;
    if (isQuoted && byte === escaping && (line[at + 1] === quote || line[at + 1] === escaping)) at++;
    else if (byte === quote) isQuoted = !isQuoted;
    else if (byte === delimiter && !isQuoted) {
      fields.push(line.subarray(from, at));
      from = at + 1;
    }
  }
  if (isQuoted) throw new ProtocolViolation('copied data is not sent row by row');
  fields.push(line.subarray(from));
  return fields;
}

function unquoted(format: CopyFormat, field: Buffer): Buffer {
  const [quote, escaping] = [format.quote.charCodeAt(0), format.escape.charCodeAt(0)];
  if (field[0] !== quote) return field;
  const out = Buffer.allocUnsafe(field.length);
  let put = 0;
  for (let at = 1; at < field.length - 1; at++) {
    if (field[at] === escaping && (field[at + 1] === quote || field[at + 1] === escaping)) at++;
    out[put++] = field[at]!;
  }
  return out.subarray(0, put);
}

function unescaped(field: Buffer): Buffer {
  const out = Buffer.allocUnsafe(field.length);
  let put = 0;
  for (let at = 0; at < field.length; at++) {
    if (field[at] === BACKSLASH) {
      at++;
      out[put++] = UNESCAPES.get(field[at]!) ?? field[at]!;
    } else out[put++] = field[at]!;
  }
  return out.subarray(0, put);
}

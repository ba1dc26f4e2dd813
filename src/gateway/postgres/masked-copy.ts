import { encodeCopyData } from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { type Cell, maskedValue } from '../../masking/cells.ts';
import type { CopyFormat } from '../../statements/facts.ts';
import type { MessageSink } from '../rewrite-buffer.ts';
import type { RowMasker } from './masked-rows.ts';

/**
 * Rewrites what COPY TO STDOUT sends (PostgreSQL documentation, COPY, "File Formats"). The server sends each row as one
 * CopyData message, and this holds it to that.
 */
export class CopyMasker {
  readonly #format: CopyFormat;
  readonly #cells: readonly (Cell | null)[];
  readonly #rows: RowMasker;
  readonly #sink: MessageSink;
  /** True until the header was there: a line of names, or the signature of the binary format. */
  #isAtHeader: boolean;

  constructor(format: CopyFormat, rows: RowMasker, sink: MessageSink) {
    this.#format = format;
    this.#cells = rows.cells;
    this.#rows = rows;
    this.#sink = sink;
    this.#isAtHeader = format.format === 'binary' || format.header;
  }

  /** @param body of one CopyData message @throws ProtocolViolation if it is no row of this many columns */
  row(body: Buffer): void {
    const out = this.#format.format === 'binary' ? this.#binary(body) : this.#text(body);
    const message = encodeCopyData(out);
    this.#sink.add(message, 0, message.length);
  }

  #text(body: Buffer): Buffer {
    if (this.#isAtHeader) {
      this.#isAtHeader = false;
      return body;
    }
    if (body.at(-1) !== NEWLINE) throw new ProtocolViolation('copied data is not sent row by row');
    const line = body.subarray(0, -1);
    const delimiter = this.#format.delimiter.charCodeAt(0);
    const fields = this.#format.format === 'csv' ? this.#csvFields(line, delimiter) : textFields(line, delimiter);
    if (fields.length !== this.#cells.length) {
      throw new ProtocolViolation(`a copied row has ${fields.length} fields instead of ${this.#cells.length}`);
    }
    const parts: Buffer[] = [];
    for (const [index, field] of fields.entries()) {
      if (index > 0) parts.push(Buffer.from([delimiter]));
      const cell = this.#cells[index]!;
      parts.push(cell === null ? field : this.#masked(cell, field));
    }
    return Buffer.concat([...parts, Buffer.from([NEWLINE])]);
  }

  #masked(cell: Cell, field: Buffer): Buffer {
    const { format, delimiter } = this.#format;
    const nullText = Buffer.from(this.#format.null, 'utf8');
    // In text format a value can look like any marker but the one with a backslash: then it is taken for a value.
    const isNull = field.equals(nullText) && (format === 'csv' || this.#format.null === '\\N');
    if (isNull && !cell.coversNull) return field;
    const value = isNull ? Buffer.alloc(0) : format === 'csv' ? this.#unquoted(field) : unescaped(field);
    const masked = maskedValue(cell, value);
    if (masked === null) return nullText;
    if (masked.equals(value) && !isNull) return field;
    return format === 'csv' ? this.#quoted(masked) : escaped(masked, delimiter.charCodeAt(0));
  }

  // --- CSV ---------------------------------------------------------------------------------------------------------

  #csvFields(line: Buffer, delimiter: number): Buffer[] {
    const [quote, escaping] = [this.#format.quote.charCodeAt(0), this.#format.escape.charCodeAt(0)];
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

  #unquoted(field: Buffer): Buffer {
    const [quote, escaping] = [this.#format.quote.charCodeAt(0), this.#format.escape.charCodeAt(0)];
    if (field[0] !== quote) return field;
    const out = Buffer.allocUnsafe(field.length);
    let put = 0;
    for (let at = 1; at < field.length - 1; at++) {
      if (field[at] === escaping && (field[at + 1] === quote || field[at + 1] === escaping)) at++;
      out[put++] = field[at]!;
    }
    return out.subarray(0, put);
  }

  /** In quotes always: so it is never taken for NULL. */
  #quoted(value: Buffer): Buffer {
    const [quote, escaping] = [this.#format.quote.charCodeAt(0), this.#format.escape.charCodeAt(0)];
    const out: number[] = [quote];
    for (const byte of value) {
      if (byte === quote || byte === escaping) out.push(escaping);
      out.push(byte);
    }
    return Buffer.from([...out, quote]);
  }

  // --- Binary ------------------------------------------------------------------------------------------------------

  #binary(body: Buffer): Buffer {
    let at = 0;
    if (this.#isAtHeader) {
      this.#isAtHeader = false;
      if (body.length < 19) throw new ProtocolViolation('copied data has no header');
      at = 19 + body.readInt32BE(15);
    }
    if (at === body.length) return body;
    if (at + 2 > body.length) throw new ProtocolViolation('copied data is not sent row by row');
    // The end of the data, which is no row.
    if (body.readInt16BE(at) === -1 && at + 2 === body.length) return body;
    const out = Buffer.allocUnsafe(body.length + this.#rows.growth(body, at, body.length));
    body.copy(out, 0, 0, at);
    const { read, written } = this.#rows.fields(body, at, body.length, out, at);
    if (read !== body.length) throw new ProtocolViolation('copied data is not sent row by row');
    return out.subarray(0, written);
  }
}

const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;

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

/** What the server writes with a backslash besides the delimiter and the backslash itself. */
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x0c, 0x66],
  [0x0a, 0x6e],
  [0x0d, 0x72],
  [0x09, 0x74],
  [0x0b, 0x76],
]);
const UNESCAPES: ReadonlyMap<number, number> = new Map([...ESCAPES].map(([byte, letter]) => [letter, byte]));

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

function escaped(value: Buffer, delimiter: number): Buffer {
  const out: number[] = [];
  for (const byte of value) {
    const letter = ESCAPES.get(byte);
    if (letter !== undefined) out.push(BACKSLASH, letter);
    else if (byte === delimiter || byte === BACKSLASH) out.push(BACKSLASH, byte);
    else out.push(byte);
  }
  return Buffer.from(out);
}

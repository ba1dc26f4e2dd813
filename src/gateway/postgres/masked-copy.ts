import { encodeCopyData } from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { type Cell, maskedValue } from '../../masking/cells.ts';
import type { CopyFormat } from '../../statements/facts.ts';
import type { MessageSink } from '../rewrite-buffer.ts';
import { BACKSLASH, binaryRowAt, ESCAPES, fieldsOf, fieldValue, isNull } from './copied-rows.ts';
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
    const delimiter = this.#format.delimiter.charCodeAt(0);
    const fields = fieldsOf(this.#format, body);
    if (fields.length !== this.#cells.length) {
      throw new ProtocolViolation(`a copied row has ${fields.length} fields instead of ${this.#cells.length}`);
    }
    const parts: Buffer[] = [];
    for (const [index, field] of fields.entries()) {
      if (index > 0) parts.push(Buffer.from([delimiter]));
      const cell = this.#cells[index]!;
      parts.push(cell === null ? field : this.#masked(cell, field));
    }
    return Buffer.concat([...parts, body.subarray(-1)]);
  }

  #masked(cell: Cell, field: Buffer): Buffer {
    const { format, delimiter } = this.#format;
    const nothing = isNull(this.#format, field);
    if (nothing && !cell.coversNull) return field;
    const value = nothing ? Buffer.alloc(0) : fieldValue(this.#format, field);
    const masked = maskedValue(cell, value);
    if (masked === null) return Buffer.from(this.#format.null, 'utf8');
    if (masked.equals(value) && !nothing) return field;
    return format === 'csv' ? this.#quoted(masked) : escaped(masked, delimiter.charCodeAt(0));
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
    const at = binaryRowAt(body, this.#isAtHeader);
    this.#isAtHeader = false;
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

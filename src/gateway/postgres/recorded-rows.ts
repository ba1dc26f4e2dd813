import { BACKEND, type FieldDescription } from '../../../protocols/postgres/backend.ts';
import { hasCodec, textOfBinary } from '../../../protocols/postgres/values.ts';
import type { RecordedResults } from '../recorded-results.ts';
import type { MessageSink } from '../rewrite-buffer.ts';

/** Passes rows on to the client, and keeps what they say for the record. */
export class RowRecorder implements MessageSink {
  readonly #sink: MessageSink;
  readonly #results: RecordedResults;
  readonly #fields: readonly FieldDescription[];

  constructor(sink: MessageSink, results: RecordedResults, fields: readonly FieldDescription[]) {
    this.#sink = sink;
    this.#results = results;
    this.#fields = fields;
  }

  add(bytes: Buffer, start: number, end: number): void {
    this.#sink.add(bytes, start, end);
    if (!this.#results.isOpen) return;
    const isWhole = bytes[start] === BACKEND.dataRow && bytes.readInt32BE(start + 1) + 1 === end - start;
    // Very large ones come in pieces.
    if (!isWhole) this.#results.cut();
    else this.#results.row(this.#cells(bytes, start + 7));
  }

  /** @param at behind the number of fields */
  #cells(bytes: Buffer, at: number): (string | null)[] {
    let p = at;
    return this.#fields.map((field) => {
      const length = bytes.readInt32BE(p);
      p += 4;
      if (length < 0) return null;
      const value = bytes.subarray(p, p + length);
      p += length;
      return textOf(field, value);
    });
  }
}

/** A value as text; one in binary format that there is no codec for, as hexadecimal digits. */
function textOf({ format, typeOid }: FieldDescription, value: Buffer): string {
  if (format === 0) return value.toString('utf8');
  try {
    if (hasCodec(typeOid)) return textOfBinary(typeOid, value);
  } catch {
    // Not what the type says: shown as it is.
  }
  return `\\x${value.toString('hex')}`;
}

import { isUtf8 } from 'node:buffer';
import { FULL_PACKET } from '../../../protocols/mysql/framing.ts';
import { PayloadReader } from '../../../protocols/mysql/payload-reader.ts';
import { COLUMN_FLAG, type ColumnDefinition, FIELD_TYPE } from '../../../protocols/mysql/responses.ts';
import { binarySize, textOfBinary } from '../../../protocols/mysql/values.ts';
import type { RecordedResults } from '../recorded-results.ts';
import type { MessageSink } from '../rewrite-buffer.ts';

const HEADER = 4;

/** Passes rows on to the client, and keeps what they say for the record. */
export class RowRecorder implements MessageSink {
  readonly #sink: MessageSink;
  readonly #results: RecordedResults;
  readonly #columns: readonly ColumnDefinition[];
  readonly #isBinary: boolean;

  /** @param isBinary rows are in the binary protocol */
  constructor(sink: MessageSink, results: RecordedResults, columns: readonly ColumnDefinition[], isBinary: boolean) {
    this.#sink = sink;
    this.#results = results;
    this.#columns = columns;
    this.#isBinary = isBinary;
  }

  add(bytes: Buffer, start: number, end: number): void {
    this.#sink.add(bytes, start, end);
    if (!this.#results.isOpen) return;
    const size = bytes.readUIntLE(start, 3);
    // Very large ones come in pieces, or have several packets.
    if (size >= FULL_PACKET || size !== end - start - HEADER) this.#results.cut();
    else this.#results.row(this.#cells(bytes.subarray(start + HEADER, end)));
  }

  #cells(row: Buffer): (string | null)[] {
    const reader = new PayloadReader('row', row);
    if (!this.#isBinary) {
      return this.#columns.map(() => {
        const value = reader.lenencBytesOrNull();
        return value === null ? null : shown(value);
      });
    }
    // A zero, and the bitmap of NULLs, which begins at its third bit (MySQL internals documentation, "Binary Protocol Resultset Row").
    reader.int1();
    const nulls = reader.bytes((this.#columns.length + 9) >> 3);
    return this.#columns.map((column, position) => {
      const bit = position + 2;
      if ((nulls[bit >> 3]! & (1 << (bit & 7))) !== 0) return null;
      const size = binarySize(column.type);
      return textOf(column, size > 0 ? reader.bytes(size) : reader.lenencBytes(), size > 0);
    });
  }
}

const TIMES: ReadonlySet<number> = new Set([
  ...[FIELD_TYPE.date, FIELD_TYPE.newdate, FIELD_TYPE.datetime, FIELD_TYPE.timestamp, FIELD_TYPE.time],
]);

/** A value of the binary protocol as text. */
function textOf({ type, flags }: ColumnDefinition, value: Buffer, isSized: boolean): string {
  if (!isSized && !TIMES.has(type)) return shown(value);
  try {
    return textOfBinary({ type, unsigned: (flags & COLUMN_FLAG.unsigned) !== 0 }, value);
  } catch {
    // Not what the type says: shown as it is.
    return `0x${value.toString('hex')}`;
  }
}

/** Text as it is; bytes that are none, as hexadecimal digits. */
function shown(value: Buffer): string {
  return isUtf8(value) && !value.includes(0) ? value.toString('utf8') : `0x${value.toString('hex')}`;
}

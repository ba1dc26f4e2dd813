import { BACKEND } from '../../../protocols/postgres/backend.ts';
import type { CopyFormat } from '../../statements/facts.ts';
import type { RecordedResults } from '../recorded-results.ts';
import type { MessageSink } from '../rewrite-buffer.ts';
import { binaryRowAt, fieldsOf, fieldValue, isNull } from './copied-rows.ts';

/** Passes what COPY TO STDOUT sends on to the client, and keeps what it says for the record. */
export class CopyRecorder implements MessageSink {
  readonly #sink: MessageSink;
  readonly #results: RecordedResults;
  readonly #format: CopyFormat;
  /** True until something has come: a line of names, or the header of the binary format. */
  #isFirst = true;

  constructor(sink: MessageSink, results: RecordedResults, format: CopyFormat) {
    this.#sink = sink;
    this.#results = results;
    this.#format = format;
  }

  add(bytes: Buffer, start: number, end: number): void {
    this.#sink.add(bytes, start, end);
    if (!this.#results.isOpen) return;
    const isWhole = bytes[start] === BACKEND.copyData && bytes.readInt32BE(start + 1) + 1 === end - start;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    try {
      // Very large ones come in pieces.
      if (!isWhole) this.#results.cut();
      else if (this.#format.format === 'binary') this.#binary(bytes.subarray(start + 5, end), isFirst);
      else if (!isFirst || !this.#format.header) this.#text(bytes.subarray(start + 5, end));
    } catch {
      // It is not what the options of the statement say; the client has it as it came.
      this.#results.cut();
    }
  }

  #text(body: Buffer): void {
    const cells = fieldsOf(this.#format, body).map((field) =>
      isNull(this.#format, field) ? null : fieldValue(this.#format, field).toString('utf8'),
    );
    this.#results.row(cells);
  }

  /** As hexadecimal digits: which types they are of is not said. */
  #binary(body: Buffer, isFirst: boolean): void {
    let at = binaryRowAt(body, isFirst);
    if (at === body.length) return;
    const count = body.readInt16BE(at);
    if (count < 0) return;
    at += 2;
    const cells = Array.from({ length: count }, () => {
      const length = body.readInt32BE(at);
      at += 4;
      if (length < 0) return null;
      at += length;
      return `\\x${body.toString('hex', at - length, at)}`;
    });
    this.#results.row(cells);
  }
}

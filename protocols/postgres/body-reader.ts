import { isUtf8 } from 'node:buffer';
import { MAX_SECRET_KEY, MIN_SECRET_KEY } from './message-fields.ts';
import { ProtocolViolation } from './violation.ts';

/**
 * Reads the fields of one message body from front to back (PostgreSQL documentation, chapter "Message Data Types").
 *
 * Every read that would pass the end of the body throws, so a count or a length that lies costs at most as many steps
 * as the body has bytes. Bytes are handed out as subarrays: they live as long as the chunk they came in.
 */
export class BodyReader {
  readonly #message: string;
  readonly #body: Buffer;
  #at = 0;

  /** @param message name of the message for errors, as the documentation has it: `Bind` */
  constructor(message: string, body: Buffer) {
    this.#message = message;
    this.#body = body;
  }

  get atEnd(): boolean {
    return this.#at === this.#body.length;
  }

  /** Byte1 */
  byte(): number {
    return this.#body[this.#take(1)]!;
  }

  /** Int16, signed: format codes, column numbers, type sizes. */
  int16(): number {
    return this.#body.readInt16BE(this.#take(2));
  }

  /**
   * Int16 that counts what follows. The server reads these as unsigned, and drivers do send more than 32767 parameters.
   */
  count(): number {
    return this.#body.readUInt16BE(this.#take(2));
  }

  /** Int32, signed. */
  int32(): number {
    return this.#body.readInt32BE(this.#take(4));
  }

  /** Int32 that is an object identifier: unsigned. */
  oid(): number {
    return this.#body.readUInt32BE(this.#take(4));
  }

  /** Byte n */
  bytes(length: number): Buffer {
    const start = this.#take(length);
    return this.#body.subarray(start, start + length);
  }

  /** Int16 count and that many of what `read` reads. The list grows with what is there, not with what was announced. */
  list<T>(read: () => T): T[] {
    const list: T[] = [];
    for (let left = this.count(); left > 0; left -= 1) list.push(read());
    return list;
  }

  /** Everything that is left. */
  rest(): Buffer {
    return this.bytes(this.#body.length - this.#at);
  }

  /** Int32 length and that many bytes; the length -1 is NULL. */
  value(): Buffer | null {
    const length = this.int32();
    if (length === -1) return null;
    if (length < 0) throw this.violation(`has a value of length ${length}`);
    return this.bytes(length);
  }

  /** The secret key at the end of CancelRequest and BackendKeyData: what the length of the message leaves for it. */
  secretKey(): Buffer {
    const key = this.rest();
    if (key.length < MIN_SECRET_KEY || key.length > MAX_SECRET_KEY) {
      throw this.violation(`has a secret key of ${key.length} bytes`);
    }
    return key;
  }

  /**
   * String, which has to be UTF-8. For all that names something or will be judged: decoding what is not UTF-8 would
   * give two names that differ for the server the same text here.
   */
  text(): string {
    const bytes = this.#terminated();
    if (!isUtf8(bytes)) throw this.violation('has a string that is not UTF-8');
    return bytes.toString('utf8');
  }

  /**
   * String; what is not UTF-8 becomes U+FFFD. For what is only shown or recorded: a server may use its own encoding
   * in messages before client_encoding is settled, and a database in SQL_ASCII may use any at all.
   */
  lossyText(): string {
    return this.#terminated().toString('utf8');
  }

  /** The last step of every decoder: nothing may be left. */
  end(): void {
    if (!this.atEnd) throw this.violation(`has ${this.#body.length - this.#at} bytes too many`);
  }

  /** An error that names the message: `what` goes on after its name. */
  violation(what: string): ProtocolViolation {
    return new ProtocolViolation(`${this.#message} message ${what}`);
  }

  #terminated(): Buffer {
    const end = this.#body.indexOf(0, this.#at);
    if (end === -1) throw this.violation('has a string without its terminator');
    const bytes = this.#body.subarray(this.#at, end);
    this.#at = end + 1;
    return bytes;
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#body.length - start) throw this.violation('ends too early');
    this.#at = start + length;
    return start;
  }
}

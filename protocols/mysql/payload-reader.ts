import { isUtf8 } from 'node:buffer';
import { ProtocolViolation } from './violation.ts';

/**
 * Reads the fields of one payload from front to back (MySQL internals documentation, "Protocol Basic Data Types").
 *
 * Every read that would pass the end of the payload throws, so a count or a length that lies costs at most as many
 * steps as the payload has bytes. Bytes are handed out as subarrays: they live as long as the chunk they came in.
 */
export class PayloadReader {
  readonly #message: string;
  readonly #payload: Buffer;
  #at = 0;

  /** @param message name of the message for errors, as the documentation has it: `COM_STMT_EXECUTE` */
  constructor(message: string, payload: Buffer) {
    this.#message = message;
    this.#payload = payload;
  }

  get left(): number {
    return this.#payload.length - this.#at;
  }

  get atEnd(): boolean {
    return this.#at === this.#payload.length;
  }

  /** The next byte, which is not taken; -1 at the end. */
  peek(): number {
    return this.#payload[this.#at] ?? -1;
  }

  /** int<1> */
  int1(): number {
    return this.#payload[this.#take(1)]!;
  }

  /** int<2> */
  int2(): number {
    return this.#payload.readUInt16LE(this.#take(2));
  }

  /** int<3> */
  int3(): number {
    return this.#payload.readUIntLE(this.#take(3), 3);
  }

  /** int<4> */
  int4(): number {
    return this.#payload.readUInt32LE(this.#take(4));
  }

  /** int<8> */
  int8(): bigint {
    return this.#payload.readBigUInt64LE(this.#take(8));
  }

  /** int<lenenc>, whole 64 bits. */
  lenencInt(): bigint {
    const first = this.int1();
    if (first < 0xfb) return BigInt(first);
    if (first === 0xfc) return BigInt(this.int2());
    if (first === 0xfd) return BigInt(this.int3());
    if (first === 0xfe) return this.int8();
    throw this.violation('has no number where one is due');
  }

  /** int<lenenc> that is a length or a count. */
  length(): number {
    const first = this.int1();
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.int2();
    if (first === 0xfd) return this.int3();
    if (first !== 0xfe) throw this.violation('has no length where one is due');
    const length = this.int8();
    if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw this.violation(`has a length of ${length}`);
    return Number(length);
  }

  /** string<fix> */
  bytes(length: number): Buffer {
    const start = this.#take(length);
    return this.#payload.subarray(start, start + length);
  }

  /** string<lenenc> */
  lenencBytes(): Buffer {
    return this.bytes(this.length());
  }

  /** string<lenenc>, or NULL, which is the byte 0xfb. */
  lenencBytesOrNull(): Buffer | null {
    if (this.peek() !== 0xfb) return this.lenencBytes();
    this.#at += 1;
    return null;
  }

  /** string<NUL> */
  terminatedBytes(): Buffer {
    const end = this.#payload.indexOf(0, this.#at);
    if (end === -1) throw this.violation('has a string without its terminator');
    const bytes = this.#payload.subarray(this.#at, end);
    this.#at = end + 1;
    return bytes;
  }

  /** string<EOF> */
  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** int<1> that has to be `value`: what a message begins with, and what is always the same in it. */
  expect(value: number): void {
    const is = this.int1();
    if (is !== value) throw this.violation(`has ${is} where ${value} is due`);
  }

  /** The last step of every decoder: nothing may be left. */
  end(): void {
    if (!this.atEnd) throw this.violation(`has ${this.left} bytes too many`);
  }

  /**
   * Bytes that have to be UTF-8. For all that names something or will be judged: decoding what is not UTF-8 would give
   * two names that differ for the server the same text here.
   */
  text(bytes: Buffer): string {
    if (!isUtf8(bytes)) throw this.violation('has a string that is not UTF-8');
    return bytes.toString('utf8');
  }

  /** An error that names the message: `what` goes on after its name. */
  violation(what: string): ProtocolViolation {
    return new ProtocolViolation(`${this.#message} ${what}`);
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#payload.length - start) throw this.violation('ends too early');
    this.#at = start + length;
    return start;
  }
}

/** A UTF-16 code unit takes at most so many bytes in UTF-8. */
const MOST_BYTES = 3;
/** Below, a text is written character by character, in its place: a call of Node's costs more, characters. */
const SHORT = 48;
/** From here on numbers are no longer written in 32-bit arithmetic. */
const BILLION = 1_000_000_000;
const ZERO = 0x30;

/**
 * Puts lines together as bytes, in a buffer that is used again. What repeats from line to line is copied from bytes: on the data path
 * a record that is made as a string and encoded afterwards costs three times as much.
 */
export class LineWriter {
  bytes: Buffer;
  /** How much is written. */
  length = 0;
  readonly #room: number;

  /** @param room bytes that are kept for what comes */
  constructor(room: number) {
    this.#room = room;
    this.bytes = Buffer.allocUnsafeSlow(room);
  }

  /** Forgets what is written. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > this.#room) this.bytes = Buffer.allocUnsafeSlow(this.#room);
  }

  raw(bytes: Uint8Array): this {
    const at = this.length;
    this.reserve(bytes.length);
    this.bytes.set(bytes, at);
    this.length = at + bytes.length;
    return this;
  }

  text(text: string): this {
    const { length } = text;
    this.reserve(length * MOST_BYTES);
    if (length < SHORT && this.#ascii(text)) return this;
    this.length += this.bytes.write(text, this.length, 'utf8');
    return this;
  }

  /** @returns false if it is something else: then nothing is written */
  #ascii(text: string): boolean {
    const { bytes, length: at } = this;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[at + i] = code;
    }
    this.length = at + text.length;
    return true;
  }

  /** @param value a safe integer, not negative */
  integer(value: number): this {
    this.reserve(20);
    if (value < BILLION) {
      this.#digits(value, 1);
      return this;
    }
    const high = Math.floor(value / BILLION);
    this.#digits(high, 1);
    this.#digits(value - high * BILLION, 9);
    return this;
  }

  /** Thousandths, without zeros at the end: `12.5`. @param value a safe integer, not negative */
  thousandths(value: number): this {
    const whole = Math.floor(value / 1000);
    let rest = value - whole * 1000;
    this.integer(whole);
    if (rest === 0) return this;
    let digits = 3;
    for (; rest % 10 === 0; digits--) rest /= 10;
    this.bytes[this.length++] = 0x2e; // .
    this.#digits(rest, digits);
    return this;
  }

  /** @param least how many digits there are at least */
  #digits(value: number, least: number): void {
    let count = 1;
    for (let bound = 10; value >= bound && count < 10; bound *= 10) count++;
    if (count < least) count = least;
    const { bytes } = this;
    let at = this.length + count;
    this.length = at;
    let left = value;
    for (let i = 0; i < count; i++) {
      const next = (left / 10) | 0;
      bytes[--at] = ZERO + left - next * 10;
      left = next;
    }
  }

  /** Makes room for so many bytes more. */
  reserve(more: number): void {
    if (this.length + more > this.bytes.length) this.#grow(this.length + more);
  }

  #grow(least: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(least, 2 * this.bytes.length));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}

/** A text that may be part of many lines: written the second time, it is kept as bytes. */
export class RepeatedText {
  /** While nobody knows whether it comes again. */
  #text: string;
  #bytes: Buffer | null = null;
  #wasWritten = false;

  constructor(text: string) {
    this.#text = text;
  }

  writeTo(lines: LineWriter): void {
    if (this.#bytes === null && this.#wasWritten) {
      const bytes = Buffer.from(this.#text, 'utf8');
      // Not a part of a larger buffer, that it would keep.
      this.#bytes = Buffer.allocUnsafeSlow(bytes.length);
      bytes.copy(this.#bytes);
      this.#text = '';
    }
    this.#wasWritten = true;
    if (this.#bytes === null) lines.text(this.#text);
    else lines.raw(this.#bytes);
  }

  toString(): string {
    return this.#bytes?.toString('utf8') ?? this.#text;
  }
}

import type { LexingState } from '../../statements/facts.ts';

export const STRICT: LexingState = { standardConformingStrings: true };
/** Under this state every text with a backslash is opaque: right whatever the server's state is. */
const CAUTIOUS: LexingState = { standardConformingStrings: false };

/**
 * How the server reads the bytes of SQL text: client_encoding and standard_conforming_strings, which ParameterStatus
 * reports. A statement that may change them makes them unsure until the ReadyForQuery of its pipeline segment, because
 * servers since PostgreSQL 14 report changes no earlier.
 */
export class TextReading {
  /** Settings the server reports, as it last did; named as it does. Shared between sessions until one changes. */
  settings: ReadonlyMap<string, string>;
  #encoding: string;
  #lexing: LexingState;
  /** The last segment with a statement that may change the two. */
  unsureUntil = 0;

  constructor(parameters: ReadonlyMap<string, string>) {
    this.settings = parameters;
    this.#encoding = parameters.get('client_encoding') ?? 'UTF8';
    this.#lexing = parameters.get('standard_conforming_strings') === 'off' ? CAUTIOUS : STRICT;
  }

  /** A ParameterStatus. */
  report(name: string, value: string): void {
    this.settings = new Map(this.settings).set(name, value);
    if (name === 'standard_conforming_strings') this.#lexing = value === 'off' ? CAUTIOUS : STRICT;
    else if (name === 'client_encoding') this.#encoding = value;
  }

  /** @param ended pipeline segments that have ended with ReadyForQuery */
  lexing(ended: number): LexingState {
    return this.unsureUntil > ended ? CAUTIOUS : this.#lexing;
  }

  /** The text as the server reads it, or `null` if that cannot be known. */
  read(bytes: Buffer, from: number, to: number, ended: number): string | null {
    const text = bytes.toString('utf8', from, to);
    const replaced = text.includes('\ufffd');
    if (text.length === to - from && !replaced) return text; // ASCII is the same in every encoding that is let through
    if (this.unsureUntil > ended || (this.#encoding !== 'UTF8' && this.#encoding !== 'SQL_ASCII')) return null;
    // A replacement character may be the client's own; where it stands for bytes that are no UTF-8, encoding gives others.
    return replaced && Buffer.compare(Buffer.from(text, 'utf8'), bytes.subarray(from, to)) !== 0 ? null : text;
  }
}

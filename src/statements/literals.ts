/** A literal in SQL text: where it is, in UTF-16 code units, and its value. */
export interface LiteralInText {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

/** The text with a `?` in the place of each of these literals. */
export function withoutLiterals(text: string, literals: readonly LiteralInText[]): string {
  let out = '';
  let copied = 0;
  for (const { start, end } of literals) {
    out += `${text.slice(copied, start)}?`;
    copied = end;
  }
  return out + text.slice(copied);
}

import { fullMask, type Masker, maskedText, REDACTED } from './masker.ts';

/** A place in JSON values: `$.card.number`, `$.cards[*].number`, `$.tags[0]`. */
export type JsonPath = readonly (string | number | '*')[];

export interface PathMask {
  readonly path: JsonPath;
  readonly masker: Masker;
}

/** Steps of a path as in `$.card.number`; names are strings, positions numbers, `[*]` is `*`. */
export function parseJsonPath(text: string): JsonPath {
  const steps: (string | number | '*')[] = [];
  for (const [, name, position] of text.matchAll(/\.([A-Za-z_]\w*)|\[(\d+|\*)\]/g)) {
    steps.push(name ?? (position === '*' ? '*' : Number(position)));
  }
  return steps;
}

/** Deeper than any document that is meant to be read. */
const DEEPEST = 500;

/**
 * A JSON text in which the values at the paths are replaced; everything else stays as it is, byte for byte. `null` if it
 * is no JSON.
 *
 * As in PostgreSQL's lax paths a name reaches through arrays. Where a value is of another shape than the path says (a
 * text where it expects an object), the value is taken for the masked one.
 */
export function maskJson(text: string, masks: readonly PathMask[]): string | null {
  try {
    const walk = new Walk(text);
    walk.value(masks.map(({ path, masker }) => ({ rest: path, masker })));
    return walk.end();
  } catch {
    return null;
  }
}

interface Pending {
  readonly rest: JsonPath;
  readonly masker: Masker;
}

/** What paths with positions mean on an object. */
function asArrayOfOne({ rest, masker }: Pending): Pending {
  let steps = rest;
  while (typeof steps[0] === 'number' || steps[0] === '*') steps = steps.slice(1);
  return { rest: steps, masker };
}

class Walk {
  readonly #text: string;
  #at = 0;
  #out = '';
  /** Up to here the text is in the output. */
  #copied = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  end(): string {
    this.#space();
    if (this.#at !== this.#text.length) throw new SyntaxError('more than one value');
    return this.#out + this.#text.slice(this.#copied);
  }

  value(expected: readonly Pending[]): void {
    this.#space();
    const from = this.#at;
    const first = this.#text[from];
    const pending = first === '{' ? expected.map(asArrayOfOne) : expected;
    const isContainer = first === '{' || first === '[';
    const reached = pending.find(({ rest }) => rest.length === 0) ?? (isContainer ? undefined : pending[0]);
    if (++this.#depth > DEEPEST) throw new RangeError('nested too deep');
    if (first === '{') this.#object(reached === undefined ? pending : []);
    else if (first === '[') this.#array(reached === undefined ? pending : []);
    else this.#scalar();
    this.#depth--;
    if (reached === undefined) return;
    this.#out += this.#text.slice(this.#copied, from) + replacement(this.#text.slice(from, this.#at), reached.masker);
    this.#copied = this.#at;
  }

  #object(pending: readonly Pending[]): void {
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === '}') {
      this.#at++;
      return;
    }
    for (;;) {
      this.#space();
      const from = this.#at;
      if (this.#text[from] !== '"') throw new SyntaxError('no name');
      this.#scalar();
      const raw = this.#text.slice(from, this.#at);
      const name: unknown = pending.length === 0 ? '' : JSON.parse(raw);
      this.#space();
      if (this.#text[this.#at++] !== ':') throw new SyntaxError('no colon');
      this.value(pending.flatMap(({ rest: [step, ...rest], masker }) => (step === name ? [{ rest, masker }] : [])));
      if (!this.#continues('}')) return;
    }
  }

  #array(pending: readonly Pending[]): void {
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === ']') {
      this.#at++;
      return;
    }
    for (let index = 0; ; index++) {
      this.value(
        pending.flatMap((one) => {
          const [step, ...rest] = one.rest;
          // A name reaches through the array.
          if (typeof step === 'string' && step !== '*') return [one];
          return step === '*' || step === index ? [{ rest, masker: one.masker }] : [];
        }),
      );
      if (!this.#continues(']')) return;
    }
  }

  #continues(closing: string): boolean {
    this.#space();
    const next = this.#text[this.#at++];
    if (next === ',') return true;
    if (next === closing) return false;
    throw new SyntaxError('neither continued nor closed');
  }

  #scalar(): void {
    const scalar = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
    scalar.lastIndex = this.#at;
    const found = scalar.exec(this.#text);
    if (found === null) throw new SyntaxError('no value');
    this.#at += found[0].length;
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }
}

/** The JSON text that a value is replaced by; null stays null. */
function replacement(raw: string, masker: Masker): string {
  if (raw === 'null') return raw;
  if (raw.startsWith('"')) {
    const masked = maskedText(masker, 'text', JSON.parse(raw) as string);
    return masked === null ? 'null' : JSON.stringify(masked);
  }
  if (/^-?\d/.test(raw) && !('text' in masker)) {
    const masked = maskedText(masker, 'decimal', raw);
    return masked === null || !/^-?(0|[1-9]\d*)(\.\d+)?$/.test(masked) ? 'null' : masked;
  }
  const full = fullMask(masker);
  if (full.kind === 'null') return 'null';
  return maskedText(full, 'json', raw) ?? JSON.stringify(REDACTED);
}

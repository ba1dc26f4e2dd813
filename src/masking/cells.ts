import type { ColumnPlan } from './column-plan.ts';
import type { Detector } from './detectors.ts';
import { maskJson } from './json-paths.ts';
import { fixedText, fullMask, integerPseudonym, type Masker, maskedText, type ValueKind } from './masker.ts';

/**
 * The values of one column as they come in a result: of which type, in which format, under which settings of the session.
 * Each protocol has forms of its own; what becomes of a value is the same in all of them.
 */
export interface ValueForm {
  readonly kind: ValueKind;
  /** What a detector can find in values: numbers only look like the numbers that are looked for. */
  readonly holds: 'text' | 'number' | 'nothing';
  /** True if the bytes of a value are its text, in UTF-8 or at least with every ASCII character as it is. */
  readonly isText: boolean;
  /** Most characters of a text; infinite where that is not known. */
  readonly most: number;
  /** The largest number there can be; `null` where that is not known, or a pseudonym of the kind always fits. */
  readonly largest: bigint | null;
  /** The text of a value; `null` if it cannot be read. May throw a RangeError for what is no value. */
  read(bytes: Buffer): string | null;
  /** The value that a text stands for; `null` if it is none of this column. */
  write(text: string): Buffer | null;
  /** Where values are neither one text nor nothing known: their own cell. `null` if this masker is no exception. */
  masked?(masker: Masker, isDerived: boolean): Cell | null;
}

/** Replaces the values of one column, in its format. */
export interface Cell {
  /** What every value that is not NULL becomes, `null` for NULL; `undefined` if that depends on the value. */
  readonly fixed: Buffer | null | undefined;
  /** True if NULL becomes {@link fixed} as well. */
  readonly coversNull: boolean;
  /** True if no value becomes NULL, though what it becomes depends on the value. */
  readonly makesNoNulls?: boolean;
  /** By how many bytes at most a value of so many bytes grows. */
  growth(length: number): number;
  /**
   * Writes what the value in `bytes` from `from` to `to` becomes to `out` at `at`.
   * @returns the end of what was written, or -1 if it is NULL
   */
  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number;
}

/** Values above this size are not read by a masker that depends on the value, nor by a detector: they are replaced as a whole. */
export const LARGEST_READ = 1024 * 1024;

/** The cell of a column; `null` if its values stay as they are. */
export function compileCell(plan: ColumnPlan, form: ValueForm): Cell | null {
  if (plan.mask !== null) return maskCell(plan.mask, form, plan.isDerived);
  if (plan.paths.length > 0) return pathsCell(plan, form);
  return detectingCell(plan, form);
}

function maskCell(masker: Masker, form: ValueForm, isDerived: boolean): Cell {
  const own = form.masked?.(masker, isDerived) ?? null;
  if (own !== null) return own;
  const { kind } = form;
  const fixed = fixedText(masker, kind);
  if (fixed !== undefined) return fixedCell(fixed === null ? null : written(fixed, form), isDerived);
  if (masker.kind === 'partial' && kind === 'text' && form.isText) return new PartialCell(masker, form);
  if (masker.kind === 'email' && kind === 'text' && form.isText) return new EmailCell(form);
  return new ComputedCell((text) => computedText(masker, form, text), form);
}

/** What the text of a value becomes. */
export function computedText(masker: Masker, { kind, largest }: ValueForm, text: string): string | null {
  if (masker.kind === 'hash' && (kind === 'integer' || kind === 'decimal') && largest !== null)
    return integerPseudonym(masker.key!, text, largest);
  return maskedText(masker, kind, text);
}

function pathsCell({ paths }: ColumnPlan, form: ValueForm): Cell {
  const { kind } = form;
  // What holds no JSON, or cannot be read as JSON, is masked as a whole.
  const whole = fullMask(paths[0]!.masker);
  if (kind !== 'json' && kind !== 'text') return maskCell(whole, form, false);
  return new ComputedCell((text) => maskJson(text, paths) ?? maskedText(whole, kind, text), form, GROWTH_OF_PARTS);
}

function detectingCell({ detectors }: ColumnPlan, form: ValueForm): Cell | null {
  const isNumber = form.holds === 'number';
  const looking = detectors.filter(({ detector }) => (isNumber ? detector.looksAtNumbers : form.holds !== 'nothing'));
  if (looking.length === 0) return null;
  const readsBytes = !isNumber || form.isText;
  const cells = looking.map(({ detector, masker }) => ({ detector, cell: maskCell(masker, form, false) }));
  return {
    fixed: undefined,
    coversNull: false,
    makesNoNulls: cells.every(({ cell }) => cell.fixed !== undefined && cell.fixed !== null),
    growth: (length) => cells.reduce((most, { cell }) => Math.max(most, growthOf(cell, length)), 0),
    write(bytes, from, to, out, at) {
      for (const { detector, cell } of cells) {
        const found =
          to - from > LARGEST_READ ||
          (readsBytes ? detector.finds(bytes, from, to) : findsInText(detector, form, bytes, from, to));
        if (found) return writeCell(cell, bytes, from, to, out, at);
      }
      if (to - from < 64) for (let i = from; i < to; i++) out[at++] = bytes[i]!;
      else at += bytes.copy(out, at, from, to);
      return at;
    },
  };
}

function findsInText(detector: Detector, form: ValueForm, bytes: Buffer, from: number, to: number): boolean {
  try {
    const text = Buffer.from(form.read(bytes.subarray(from, to))!);
    return detector.finds(text, 0, text.length);
  } catch {
    return true;
  }
}

function growthOf(cell: Cell, length: number): number {
  return cell.fixed === undefined ? cell.growth(length) : Math.max(0, (cell.fixed?.length ?? 0) - length);
}

/** Writes what a value becomes; see {@link Cell.write}. */
function writeCell(cell: Cell, bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
  if (cell.fixed === undefined) return cell.write(bytes, from, to, out, at);
  return cell.fixed === null ? -1 : at + cell.fixed.copy(out, at);
}

/** What a value becomes outside of a row; `null` for NULL. */
export function maskedValue(cell: Cell, value: Buffer): Buffer | null {
  const out = Buffer.allocUnsafe(value.length + growthOf(cell, value.length));
  const end = writeCell(cell, value, 0, value.length, out, 0);
  return end < 0 ? null : out.subarray(0, end);
}

/** A text as a value of the column; `null` if it is none. */
function written(text: string, form: ValueForm): Buffer | null {
  try {
    return form.write(text);
  } catch {
    return null;
  }
}

export function isAscii(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 127) return false;
  return true;
}

export function fixedCell(value: Buffer | null, coversNull: boolean): Cell {
  return { fixed: value, coversNull, growth: () => 0, write: () => -1 };
}

/** By how many bytes a value grows at most; what would grow more becomes NULL. */
const MOST_GROWTH = 320;
/** Each part of a JSON text has at least one byte and a comma, and becomes a text in quotes. */
const GROWTH_OF_PARTS = 8;

/** A value that is read as text, replaced, and written in its format. */
class ComputedCell implements Cell {
  readonly fixed = undefined;
  readonly coversNull = false;
  readonly #replace: (text: string) => string | null;
  readonly #form: ValueForm;
  readonly #factor: number;

  /** @param factor by how many times its own length a value may grow */
  constructor(replace: (text: string) => string | null, form: ValueForm, factor = 0) {
    this.#replace = replace;
    this.#form = form;
    this.#factor = factor;
  }

  growth(length: number): number {
    return MOST_GROWTH + length * this.#factor;
  }

  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
    if (to - from > LARGEST_READ) return -1;
    let masked: Buffer | null = null;
    try {
      const text = this.#form.read(bytes.subarray(from, to));
      const replaced = text === null ? null : this.#replace(text);
      masked = replaced === null ? null : this.#form.write(replaced);
    } catch {
      return -1;
    }
    if (masked === null || masked.length > to - from + this.growth(to - from)) return -1;
    return at + masked.copy(out, at);
  }
}

/** A value that is replaced as a whole, whatever it is made of. */
export class WholeCell implements Cell {
  readonly fixed = undefined;
  readonly coversNull = false;
  readonly #replace: (bytes: Buffer) => Buffer | null;

  constructor(replace: (bytes: Buffer) => Buffer | null) {
    this.#replace = replace;
  }

  growth(length: number): number {
    // Elements have at least one byte each in text format, and four in binary.
    return MOST_GROWTH + length * 32;
  }

  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
    if (to - from > LARGEST_READ) return -1;
    let masked: Buffer | null;
    try {
      masked = this.#replace(bytes.subarray(from, to));
    } catch {
      return -1;
    }
    if (masked === null || masked.length > to - from + this.growth(to - from)) return -1;
    return at + masked.copy(out, at);
  }
}

const STAR = 0x2a;

/** `partial` on the bytes themselves as long as they are ASCII: the most frequent of the maskers that look at a value. */
class PartialCell implements Cell {
  readonly fixed = undefined;
  readonly coversNull = false;
  readonly #first: number;
  readonly #last: number;
  readonly #general: ComputedCell;
  readonly #most: number;

  constructor(masker: Extract<Masker, { kind: 'partial' }>, form: ValueForm) {
    this.#first = masker.first;
    this.#last = masker.last;
    this.#general = new ComputedCell((text) => maskedText(masker, 'text', text), form);
    this.#most = form.most;
  }

  growth(length: number): number {
    return this.#general.growth(length);
  }

  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
    const kept = this.#first + this.#last;
    const length = to - from;
    if (kept + 4 > this.#most || length > LARGEST_READ || length < 4)
      return this.#general.write(bytes, from, to, out, at);
    for (let i = from; i < to; i++) if (bytes[i]! > 127) return this.#general.write(bytes, from, to, out, at);
    const shows = length >= 2 * kept;
    let end = at;
    if (shows) for (let i = from; i < from + this.#first; i++) out[end++] = bytes[i]!;
    out[end++] = STAR;
    out[end++] = STAR;
    out[end++] = STAR;
    out[end++] = STAR;
    if (shows) for (let i = to - this.#last; i < to; i++) out[end++] = bytes[i]!;
    return end;
  }
}

const AT = 0x40;
/** Bytes of the names of domains. */
const OF_DOMAINS = new Uint8Array(256);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-') {
  OF_DOMAINS[character.charCodeAt(0)] = 1;
}
const LONGEST_DOMAIN = 253;

/** `email` on the bytes themselves: what is kept is ASCII. */
class EmailCell implements Cell {
  readonly fixed = undefined;
  readonly coversNull = false;
  readonly #general: ComputedCell;
  readonly #most: number;

  constructor(form: ValueForm) {
    this.#general = new ComputedCell((text) => maskedText({ kind: 'email' }, 'text', text), form);
    this.#most = form.most;
  }

  growth(length: number): number {
    return this.#general.growth(length);
  }

  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
    if (to - from > LARGEST_READ) return -1;
    let domain = to;
    const first = Math.max(from, to - LONGEST_DOMAIN);
    while (domain > first && OF_DOMAINS[bytes[domain - 1]!] === 1) domain--;
    const hasDomain = domain < to && domain > from && bytes[domain - 1] === AT;
    if (4 + (hasDomain ? to - domain + 1 : 0) > this.#most) return this.#general.write(bytes, from, to, out, at);
    let end = at;
    for (let i = 0; i < 4; i++) out[end++] = STAR;
    if (hasDomain) for (let i = domain - 1; i < to; i++) out[end++] = bytes[i]!;
    return end;
  }
}

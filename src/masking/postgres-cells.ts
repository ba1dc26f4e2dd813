import {
  ARRAYS,
  binaryOfText,
  emptyArrayBinary,
  hasCodec,
  mapArrayBinary,
  mapArrayText,
  TYPE,
  textOfBinary,
} from '../../protocols/postgres/values.ts';
import type { ColumnPlan } from './column-plan.ts';
import { maskJson } from './json-paths.ts';
import { fixedText, fullMask, integerPseudonym, type Masker, maskedText, type ValueKind } from './masker.ts';

/** How the values of a column come: type, modifier, format, and the session's settings that change their text. */
export interface ColumnForm {
  readonly type: number;
  /** -1 where there is none. */
  readonly modifier: number;
  /** The type of the stored column as the catalogue names it; `null` where that is not known or the value is computed. */
  readonly typeName: string | null;
  readonly isBinary: boolean;
  /** DateStyle is ISO. Under another one texts of dates become NULL. */
  readonly isoDates: boolean;
  /** client_encoding is UTF8. Under another one texts that are not ASCII are replaced as a whole. */
  readonly isUtf8: boolean;
}

/** Replaces the values of one column, in its format. */
export interface Cell {
  /** What every value that is not NULL becomes, its Int32 length before it; `null` if that depends on the value. */
  readonly constant: Buffer | null;
  /** True if NULL becomes {@link constant} as well. */
  readonly coversNull: boolean;
  /** By how many bytes at most a value of so many bytes grows. */
  growth(length: number): number;
  /**
   * Writes what the value in `bytes` from `from` to `to` becomes to `out` at `at`, without its length.
   * @returns the end of what was written, or -1 if it is NULL
   */
  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number;
}

/** Values above this size are not read by a masker that depends on the value, nor by a detector: they are replaced as a whole. */
export const LARGEST_READ = 1024 * 1024;

const KINDS: ReadonlyMap<number, ValueKind> = new Map<number, ValueKind>([
  ...[TYPE.text, TYPE.varchar, TYPE.bpchar, TYPE.name, TYPE.char, TYPE.xml, TYPE.unknown].map(
    (type): [number, ValueKind] => [type, 'text'],
  ),
  ...[TYPE.int2, TYPE.int4, TYPE.int8, TYPE.oid].map((type): [number, ValueKind] => [type, 'integer']),
  ...[TYPE.numeric, TYPE.float4, TYPE.float8].map((type): [number, ValueKind] => [type, 'decimal']),
  [TYPE.bool, 'boolean'],
  [TYPE.date, 'date'],
  [TYPE.timestamp, 'timestamp'],
  [TYPE.timestamptz, 'timestamp'],
  [TYPE.time, 'time'],
  [TYPE.uuid, 'uuid'],
  [TYPE.json, 'json'],
  [TYPE.jsonb, 'json'],
  [TYPE.bytea, 'bytes'],
]);

/** Values of these have a neutral one, though nothing else can be made of them here: in text and in binary format. */
const NEUTRAL: ReadonlyMap<number, readonly [string, string]> = new Map([
  [TYPE.inet, ['0.0.0.0', '0220000400000000']],
  [TYPE.cidr, ['0.0.0.0/32', '0220010400000000']],
  [TYPE.macaddr, ['00:00:00:00:00:00', '000000000000']],
  [TYPE.macaddr8, ['00:00:00:00:00:00:00:00', '0000000000000000']],
  ...[TYPE.int4range, TYPE.int8range, TYPE.numrange, TYPE.tsrange, TYPE.tstzrange, TYPE.daterange].map(
    (type): [number, readonly [string, string]] => [type, ['empty', '01']],
  ),
]);

const LARGEST_OF: ReadonlyMap<number, bigint> = new Map([
  [TYPE.int2, 0x7fffn],
  [TYPE.int4, 0x7fffffffn],
  [TYPE.oid, 0x7fffffffn],
  [TYPE.int8, 0x7fffffffffffffffn],
]);

/** Types in which a detector can find something; of others the bytes say nothing it knows. */
const HOLDS_NO_TEXT: ReadonlySet<number> = new Set([
  TYPE.bool,
  TYPE.int2,
  TYPE.int4,
  TYPE.oid,
  TYPE.float4,
  TYPE.float8,
  TYPE.date,
  TYPE.time,
  TYPE.timetz,
  TYPE.timestamp,
  TYPE.timestamptz,
  TYPE.interval,
  TYPE.uuid,
  TYPE.inet,
  TYPE.cidr,
  TYPE.macaddr,
  TYPE.macaddr8,
  TYPE.bit,
  TYPE.varbit,
  TYPE.bytea,
  TYPE.money,
]);

/** The cell of a column; `null` if its values stay as they are. */
export function compileCell(plan: ColumnPlan, form: ColumnForm): Cell | null {
  const type = effectiveType(form);
  const its = { ...form, type };
  if (plan.mask !== null) return maskCell(plan.mask, its, plan.isDerived);
  if (plan.paths.length > 0) return pathsCell(plan, its);
  return detectingCell(plan, its);
}

/** The type a value is treated as: citext is one of an extension, without an identifier of its own. */
function effectiveType({ typeName, type }: ColumnForm): number {
  return typeName !== null && /(^|\.)citext$/.test(typeName) ? TYPE.text : type;
}

function maskCell(masker: Masker, form: ColumnForm, isDerived: boolean): Cell {
  const { type, isBinary } = form;
  const element = ARRAYS.get(type);
  if (element !== undefined) return arrayCell(masker, form, element, isDerived);
  const neutral = NEUTRAL.get(type);
  if (neutral !== undefined && masker.kind === 'redact') {
    return fixedCell(isBinary ? Buffer.from(neutral[1], 'hex') : Buffer.from(neutral[0]), isDerived);
  }
  const kind = kindOf(form);
  const fixed = fixedText(masker, kind);
  if (fixed !== undefined) return fixedCell(fixed === null ? null : written(fixed, form), isDerived);
  if (masker.kind === 'partial' && kind === 'text' && type !== TYPE.char) return new PartialCell(masker, form);
  return new ComputedCell((text) => computedText(masker, kind, type, text), form);
}

function computedText(masker: Masker, kind: ValueKind, type: number, text: string): string | null {
  if (masker.kind === 'hash' && kind === 'integer') {
    return integerPseudonym(masker.key!, text, LARGEST_OF.get(type)!);
  }
  return maskedText(masker, kind, text);
}

function arrayCell(masker: Masker, form: ColumnForm, element: number, isDerived: boolean): Cell {
  const of = { ...form, type: element };
  const kind = kindOf(of);
  const isWhole = fixedText(masker, kind) !== undefined || isDerived || !hasCodec(element);
  if (isWhole) {
    if (masker.kind === 'null') return fixedCell(null, isDerived);
    return fixedCell(form.isBinary ? emptyArrayBinary(element) : Buffer.from('{}'), isDerived);
  }
  const replace = (text: string | null) =>
    text === null ? null : fitted(computedText(masker, kind, element, text), of);
  return new WholeCell((bytes) => {
    if (!form.isUtf8 && !isAscii(bytes)) return null;
    if (!form.isBinary) return Buffer.from(mapArrayText(bytes.toString('utf8'), replace), 'utf8');
    return mapArrayBinary(bytes, (value) => {
      const text = replace(value === null ? null : textOfBinary(element, value));
      return text === null ? null : binaryOfText(element, text);
    });
  });
}

function pathsCell({ paths }: ColumnPlan, form: ColumnForm): Cell {
  const kind = kindOf(form);
  // What holds no JSON, or cannot be read as JSON, is masked as a whole.
  const whole = fullMask(paths[0]!.masker);
  if (kind !== 'json' && kind !== 'text') return maskCell(whole, form, false);
  return new ComputedCell((text) => maskJson(text, paths) ?? maskedText(whole, kind, text), form, GROWTH_OF_PARTS);
}

function detectingCell({ detectors }: ColumnPlan, form: ColumnForm): Cell | null {
  const { type, isBinary } = form;
  const isNumber = type === TYPE.int8 || type === TYPE.numeric;
  const element = ARRAYS.get(type) ?? type;
  const looking = detectors.filter(({ detector }) =>
    isNumber ? detector.looksAtNumbers : !HOLDS_NO_TEXT.has(element),
  );
  if (looking.length === 0) return null;
  const cells = looking.map(({ detector, masker }) => ({ detector, cell: maskCell(masker, form, false) }));
  return {
    constant: null,
    coversNull: false,
    growth: (length) => cells.reduce((most, { cell }) => Math.max(most, growthOf(cell, length)), 0),
    write(bytes, from, to, out, at) {
      for (const { detector, cell } of cells) {
        const found =
          to - from > LARGEST_READ ||
          (isNumber && isBinary ? findsNumber(detector, type, bytes, from, to) : detector.finds(bytes, from, to));
        if (found) return writeCell(cell, bytes, from, to, out, at);
      }
      if (to - from < 64) for (let i = from; i < to; i++) out[at++] = bytes[i]!;
      else at += bytes.copy(out, at, from, to);
      return at;
    },
  };
}

function findsNumber(
  detector: ColumnPlan['detectors'][number]['detector'],
  type: number,
  bytes: Buffer,
  from: number,
  to: number,
): boolean {
  try {
    const text = Buffer.from(textOfBinary(type, bytes.subarray(from, to)));
    return detector.finds(text, 0, text.length);
  } catch {
    return true;
  }
}

function growthOf(cell: Cell, length: number): number {
  return cell.constant === null ? cell.growth(length) : Math.max(0, cell.constant.length - 4 - length);
}

/** Writes what a value becomes; see {@link Cell.write}. */
function writeCell(cell: Cell, bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
  if (cell.constant === null) return cell.write(bytes, from, to, out, at);
  if (cell.constant.readInt32BE(0) < 0) return -1;
  return at + cell.constant.copy(out, at, 4);
}

/** What a value becomes outside of a row; `null` for NULL. */
export function maskedValue(cell: Cell, value: Buffer): Buffer | null {
  const out = Buffer.allocUnsafe(value.length + growthOf(cell, value.length));
  const end = writeCell(cell, value, 0, value.length, out, 0);
  return end < 0 ? null : out.subarray(0, end);
}

function kindOf({ type, isBinary, isoDates }: ColumnForm): ValueKind {
  const kind = KINDS.get(type) ?? 'other';
  return (kind === 'date' || kind === 'timestamp') && !isBinary && !isoDates ? 'other' : kind;
}

/** A text as a value of the column; `null` if it is none. */
function written(text: string, form: ColumnForm): Buffer | null {
  const fits = fitted(text, form);
  if (fits === null || (!form.isUtf8 && !isAscii(Buffer.from(fits)))) return null;
  try {
    const binary = hasCodec(form.type) ? binaryOfText(form.type, fits) : null;
    return form.isBinary ? binary : Buffer.from(fits, 'utf8');
  } catch {
    return null;
  }
}

/** A text within the length of the type, and with what the server adds to values of it. */
function fitted(text: string | null, { type, modifier }: ColumnForm): string | null {
  if (text === null) return null;
  const most = modifier - 4;
  switch (type) {
    case TYPE.varchar:
      return modifier < 4 || text.length <= most ? text : Array.from(text).slice(0, most).join('');
    case TYPE.bpchar:
      return modifier < 4 ? text : Array.from(text).slice(0, most).join('').padEnd(most);
    case TYPE.name:
      return Buffer.byteLength(text) < 64 ? text : null;
    case TYPE.char:
      return text.length > 1 ? '*' : text;
    case TYPE.timestamptz:
      return /[+-]\d\d(:\d\d)*( BC)?$/.test(text) ? text : `${text}+00`;
    default:
      return text;
  }
}

function isAscii(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 127) return false;
  return true;
}

function fixedCell(value: Buffer | null, coversNull: boolean): Cell {
  const constant = Buffer.alloc(4 + (value?.length ?? 0));
  constant.writeInt32BE(value?.length ?? -1);
  value?.copy(constant, 4);
  return { constant, coversNull, growth: () => 0, write: () => -1 };
}

/** By how many bytes a value grows at most; what would grow more becomes NULL. */
const MOST_GROWTH = 320;
/** Each part of a JSON text has at least one byte and a comma, and becomes a text in quotes. */
const GROWTH_OF_PARTS = 8;

/** A value that is read as text, replaced, and written in its format. */
class ComputedCell implements Cell {
  readonly constant = null;
  readonly coversNull = false;
  readonly #replace: (text: string) => string | null;
  readonly #form: ColumnForm;
  readonly #factor: number;

  /** @param factor by how many times its own length a value may grow */
  constructor(replace: (text: string) => string | null, form: ColumnForm, factor = 0) {
    this.#replace = replace;
    this.#form = form;
    this.#factor = factor;
  }

  growth(length: number): number {
    return MOST_GROWTH + length * this.#factor;
  }

  write(bytes: Buffer, from: number, to: number, out: Buffer, at: number): number {
    if (to - from > LARGEST_READ) return -1;
    const value = bytes.subarray(from, to);
    if (!this.#form.isUtf8 && !isAscii(value)) return -1;
    let masked: Buffer | null = null;
    try {
      const text = this.#form.isBinary ? textOfBinary(this.#form.type, value) : value.toString('utf8');
      const replaced = this.#replace(text);
      masked = replaced === null ? null : written(replaced, this.#form);
    } catch {
      return -1;
    }
    if (masked === null || masked.length > to - from + this.growth(to - from)) return -1;
    return at + masked.copy(out, at);
  }
}

/** A value that is replaced as a whole, whatever it is made of. */
class WholeCell implements Cell {
  readonly constant = null;
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
  readonly constant = null;
  readonly coversNull = false;
  readonly #first: number;
  readonly #last: number;
  readonly #general: ComputedCell;
  /** Characters there may be, a padded type has exactly so many. */
  readonly #most: number;

  constructor(masker: Extract<Masker, { kind: 'partial' }>, form: ColumnForm) {
    this.#first = masker.first;
    this.#last = masker.last;
    this.#general = new ComputedCell((text) => maskedText(masker, 'text', text), form);
    this.#most = form.modifier >= 4 ? form.modifier - 4 : Number.POSITIVE_INFINITY;
    if (form.type === TYPE.bpchar) this.#most = 0;
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

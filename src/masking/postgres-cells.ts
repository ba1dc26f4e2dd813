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
import { type Cell, compileCell, computedText, fixedCell, isAscii, type ValueForm, WholeCell } from './cells.ts';
import type { ColumnPlan } from './column-plan.ts';
import { fixedText, type Masker, type ValueKind } from './masker.ts';

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
  [TYPE.interval, ['00:00:00', '00000000000000000000000000000000']],
  [TYPE.timetz, ['00:00:00+00', '000000000000000000000000']],
  [TYPE.money, ['0.00', '0000000000000000']],
  [TYPE.varbit, ['', '00000000']],
  [TYPE.tsvector, ['', '00000000']],
  ...[
    TYPE.int4multirange,
    TYPE.int8multirange,
    TYPE.nummultirange,
    TYPE.tsmultirange,
    TYPE.tstzmultirange,
    TYPE.datemultirange,
  ].map((type): [number, readonly [string, string]] => [type, ['{}', '00000000']]),
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

/** Types whose values can be a number that a detector looks for. */
const NUMBERS: ReadonlySet<number> = new Set([TYPE.int8, TYPE.numeric]);

/** Types in which a detector can find nothing: the bytes say nothing it knows. */
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

/** The cell of a column of PostgreSQL; `null` if its values stay as they are. */
export function compilePostgresCell(plan: ColumnPlan, form: ColumnForm): Cell | null {
  return compileCell(plan, formOf({ ...form, type: effectiveType(form) }));
}

/** The type a value is treated as: citext is one of an extension, without an identifier of its own. */
function effectiveType({ typeName, type }: ColumnForm): number {
  return typeName !== null && /(^|\.)citext$/.test(typeName) ? TYPE.text : type;
}

function formOf(form: ColumnForm): ValueForm {
  const { type, isBinary, isUtf8 } = form;
  const element = ARRAYS.get(type) ?? type;
  return {
    kind: kindOf(form),
    holds: NUMBERS.has(type) ? 'number' : HOLDS_NO_TEXT.has(element) ? 'nothing' : 'text',
    isText: type !== TYPE.char && type !== TYPE.xml && (!isBinary || !NUMBERS.has(type)),
    most: mostCharacters(form),
    largest: type === TYPE.numeric ? largestNumeric(form) : (LARGEST_OF.get(type) ?? null),
    read(bytes) {
      if (!isUtf8 && !isAscii(bytes)) return null;
      return isBinary ? textOfBinary(type, bytes) : bytes.toString('utf8');
    },
    write: (text) => written(text, form),
    masked(masker, isDerived) {
      if (element !== type) return arrayCell(masker, form, element, isDerived);
      const neutral = NEUTRAL.get(type);
      if (neutral === undefined || masker.kind !== 'redact') return null;
      return fixedCell(isBinary ? Buffer.from(neutral[1], 'hex') : Buffer.from(neutral[0]), isDerived);
    },
  };
}

function arrayCell(masker: Masker, form: ColumnForm, element: number, isDerived: boolean): Cell {
  const of = { ...form, type: element };
  const elements = formOf(of);
  const isWhole = fixedText(masker, elements.kind) !== undefined || isDerived || !hasCodec(element);
  if (isWhole) {
    if (masker.kind === 'null') return fixedCell(null, isDerived);
    return fixedCell(form.isBinary ? emptyArrayBinary(element) : Buffer.from('{}'), isDerived);
  }
  const replace = (text: string | null) => (text === null ? null : fitted(computedText(masker, elements, text), of));
  return new WholeCell((bytes) => {
    if (!form.isUtf8 && !isAscii(bytes)) return null;
    if (!form.isBinary) return Buffer.from(mapArrayText(bytes.toString('utf8'), replace), 'utf8');
    return mapArrayBinary(bytes, (value) => {
      const text = replace(value === null ? null : textOfBinary(element, value));
      return text === null ? null : binaryOfText(element, text);
    });
  });
}

function kindOf({ type, isBinary, isoDates }: ColumnForm): ValueKind {
  const kind = KINDS.get(type) ?? 'other';
  return (kind === 'date' || kind === 'timestamp') && !isBinary && !isoDates ? 'other' : kind;
}

/** A text as a value of the column; `null` if it is none. @throws RangeError likewise */
function written(text: string, form: ColumnForm): Buffer | null {
  const fits = fitted(text, form);
  if (fits === null || (!form.isUtf8 && !isAscii(Buffer.from(fits)))) return null;
  const binary = hasCodec(form.type) ? binaryOfText(form.type, fits) : null;
  return form.isBinary ? binary : Buffer.from(fits, 'utf8');
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
    case TYPE.xml:
      return /[<&]/.test(text) ? null : text;
    case TYPE.numeric: {
      const digits = digitsBeforePoint(modifier);
      return digits === null || text.replace(/^-?0*|\..*$/g, '').length <= digits ? text : null;
    }
    case TYPE.timestamptz:
      return /[+-]\d\d(:\d\d)*( BC)?$/.test(text) ? text : `${text}+00`;
    default:
      return text;
  }
}

/** Of a text; a padded type has exactly so many, so that nothing fits as it is. */
/** Digits a numeric has before its point, of its precision and scale; `null` without a modifier (numeric.c). */
function digitsBeforePoint(modifier: number): number | null {
  if (modifier < 4) return null;
  const scale = (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400;
  return Math.max(0, (((modifier - 4) >> 16) & 0xffff) - scale);
}

/** The largest pseudonym of a numeric: of as many digits as it has, and no more than others have. */
function largestNumeric({ modifier }: ColumnForm): bigint | null {
  const digits = digitsBeforePoint(modifier);
  return digits === null || digits > 14 ? null : 10n ** BigInt(digits) - 1n;
}

function mostCharacters({ type, modifier }: ColumnForm): number {
  if (type === TYPE.bpchar) return 0;
  return modifier >= 4 ? modifier - 4 : Number.POSITIVE_INFINITY;
}

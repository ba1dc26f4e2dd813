import { COLUMN_FLAG, type ColumnDefinition, FIELD_TYPE } from '../../protocols/mysql/responses.ts';
import { binaryOfText, binarySize, textOfBinary, type ValueType } from '../../protocols/mysql/values.ts';
import { type Cell, compileCell, fixedCell, isAscii, type ValueForm } from './cells.ts';
import type { ColumnPlan } from './column-plan.ts';
import type { ValueKind } from './masker.ts';

/** The cell of a column of MySQL or MariaDB; `null` if its values stay as they are. */
export function compileMysqlCell(plan: ColumnPlan, column: ColumnDefinition, isBinary: boolean): Cell | null {
  return compileCell(plan, formOf(column, isBinary));
}

const KINDS: ReadonlyMap<number, ValueKind> = new Map<number, ValueKind>([
  ...[FIELD_TYPE.tiny, FIELD_TYPE.short, FIELD_TYPE.int24, FIELD_TYPE.long, FIELD_TYPE.longlong, FIELD_TYPE.year].map(
    (type): [number, ValueKind] => [type, 'integer'],
  ),
  ...[FIELD_TYPE.decimal, FIELD_TYPE.newdecimal, FIELD_TYPE.float, FIELD_TYPE.double].map(
    (type): [number, ValueKind] => [type, 'decimal'],
  ),
  [FIELD_TYPE.date, 'date'],
  [FIELD_TYPE.newdate, 'date'],
  [FIELD_TYPE.datetime, 'timestamp'],
  [FIELD_TYPE.timestamp, 'timestamp'],
  [FIELD_TYPE.time, 'time'],
  [FIELD_TYPE.json, 'json'],
]);

/** Types of texts and bytes: the character set says which. */
const STRINGS: ReadonlySet<number> = new Set([
  FIELD_TYPE.varchar,
  FIELD_TYPE.varString,
  FIELD_TYPE.string,
  FIELD_TYPE.tinyBlob,
  FIELD_TYPE.mediumBlob,
  FIELD_TYPE.longBlob,
  FIELD_TYPE.blob,
]);

/** Types whose values can be a number that a detector looks for. */
const NUMBERS: ReadonlySet<number> = new Set([
  FIELD_TYPE.longlong,
  FIELD_TYPE.decimal,
  FIELD_TYPE.newdecimal,
  FIELD_TYPE.double,
]);

/** Largest values of signed types; of unsigned ones it is twice that and one. */
const LARGEST_OF: ReadonlyMap<number, bigint> = new Map([
  [FIELD_TYPE.tiny, 0x7fn],
  [FIELD_TYPE.short, 0x7fffn],
  [FIELD_TYPE.int24, 0x7fffffn],
  [FIELD_TYPE.long, 0x7fffffffn],
  [FIELD_TYPE.longlong, 0x7fffffffffffffffn],
]);

/** The character set of a column with this one is: bytes. */
const BINARY = 63;

function formOf(column: ColumnDefinition, isBinary: boolean): ValueForm {
  const { type, flags, columnLength } = column;
  const its = { type, unsigned: (flags & COLUMN_FLAG.unsigned) !== 0 };
  const kind = kindOf(column);
  if (kind === 'text' || kind === 'json' || kind === 'uuid') return textForm(column, kind);
  if (kind === 'bytes') return bytesForm(columnLength);
  const digits = digitsBeforePoint(column);
  return {
    kind,
    holds: NUMBERS.has(type) ? 'number' : STRINGS.has(type) ? 'text' : 'nothing',
    isText: binarySize(type) === 0 || !isBinary,
    most: Number.POSITIVE_INFINITY,
    largest: digits === null ? largestInteger(its) : largestDecimal(digits),
    read: (bytes) => (isBinary ? textOfBinary(its, bytes) : bytes.toString('latin1')),
    write(text) {
      // Year 0 is in no calendar of the drivers.
      if ((kind === 'date' || kind === 'timestamp') && text.startsWith('0000')) return null;
      if (digits !== null && text.replace(/^-?0*|\..*$/g, '').length > digits) return null;
      const fits = type === FIELD_TYPE.timestamp ? text.replace(/^1970-01-01/, FIRST_TIMESTAMP) : text;
      const binary = binaryOfText(its, fits);
      if (isBinary) return binary;
      return Buffer.from(fits, 'latin1');
    },
    masked(masker, isDerived) {
      if (masker.kind !== 'redact') return null;
      if (type === FIELD_TYPE.bit) return fixedCell(Buffer.alloc(Math.ceil(columnLength / 8)), isDerived);
      // 0 would be a year, but none that every driver makes a date of.
      if (type === FIELD_TYPE.year)
        return fixedCell(isBinary ? binaryOfText(its, '1970') : Buffer.from('1970'), isDerived);
      return null;
    },
  };
}

/** A TIMESTAMP begins at 1970-01-01 00:00:01 UTC: this is a day that has begun in every time zone. */
const FIRST_TIMESTAMP = '1970-01-02';

function largestInteger({ type, unsigned }: ValueType): bigint | null {
  const largest = LARGEST_OF.get(type);
  return largest === undefined ? null : unsigned ? largest * 2n + 1n : largest;
}

/** Digits a DECIMAL has before its point; `null` for other types. */
function digitsBeforePoint({ type, flags, columnLength, decimals }: ColumnDefinition): number | null {
  if (type !== FIELD_TYPE.newdecimal && type !== FIELD_TYPE.decimal) return null;
  const signAndPoint = ((flags & COLUMN_FLAG.unsigned) === 0 ? 1 : 0) + (decimals > 0 ? 1 : 0);
  return Math.max(0, columnLength - signAndPoint - decimals);
}

/** The largest pseudonym of a DECIMAL: of as many digits as it has, and no more than others have. */
function largestDecimal(digits: number): bigint | null {
  return digits > 14 ? null : 10n ** BigInt(digits) - 1n;
}

function kindOf({ type, flags, characterSet, extendedMetadata }: ColumnDefinition): ValueKind {
  const known = KINDS.get(type);
  if (known !== undefined) return known;
  if (!STRINGS.has(type) || (flags & (COLUMN_FLAG.enum | COLUMN_FLAG.set)) !== 0) return 'other';
  // MariaDB's types of its own are texts on the wire, and drivers that ask what they are make more of them.
  if (extendedMetadata?.get(FORMAT) === 'json') return 'json';
  const typeName = extendedMetadata?.get(TYPE_NAME);
  if (typeName === 'uuid') return 'uuid';
  if (typeName !== undefined) return 'other';
  return characterSet === BINARY ? 'bytes' : 'text';
}

/** What MariaDB's extended metadata say of a column. */
const TYPE_NAME = 0;
const FORMAT = 1;

function textForm({ characterSet, columnLength }: ColumnDefinition, kind: ValueKind): ValueForm {
  // MySQL's JSON says it is bytes; they are UTF-8.
  const encoding = characterSet === BINARY ? 'utf8' : encodingOf(characterSet);
  const most = kind === 'text' ? Math.floor(columnLength / bytesOfCharacter(characterSet)) : Number.POSITIVE_INFINITY;
  return {
    kind,
    holds: 'text',
    isText: encoding !== 'wide',
    most,
    largest: null,
    read(bytes) {
      if (encoding === 'wide' || (encoding === 'other' && !isAscii(bytes))) return null;
      return bytes.toString('utf8');
    },
    write(text) {
      const fits = text.length <= most ? text : Array.from(text).slice(0, most).join('');
      const bytes = Buffer.from(fits, 'utf8');
      return encoding === 'utf8' || (encoding === 'other' && isAscii(bytes)) ? bytes : null;
    },
  };
}

/** Bytes of whatever meaning; texts of them are as PostgreSQL writes them, in hexadecimal behind `\x`. */
function bytesForm(columnLength: number): ValueForm {
  return {
    kind: 'bytes',
    holds: 'text',
    isText: true,
    most: columnLength,
    largest: null,
    read: (bytes) => `\\x${bytes.toString('hex')}`,
    write(text) {
      const bytes = text.startsWith('\\x') ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text, 'utf8');
      return bytes.length > columnLength ? bytes.subarray(0, columnLength) : bytes;
    },
  };
}

/**
 * How texts under a collation are encoded: in UTF-8, in one that has every ASCII character as it is, or in one of
 * which nothing can be read here (UTF-16, UTF-32, swe7). By the identifiers of `information_schema.collations` of
 * both servers; MariaDB's collations above 1023 are those of 1024 less without padding, those from 2048 on come in blocks
 * of 256 for utf8mb3, utf8mb4 and the wide ones.
 */
function encodingOf(collation: number): 'utf8' | 'other' | 'wide' {
  if (collation >= 2048) return collation < 2560 ? 'utf8' : 'wide';
  const id = collation >= 1024 ? collation - 1024 : collation;
  if (IN_UTF8.some(([first, last]) => id >= first && id <= last)) return 'utf8';
  return IN_OTHERS.some(([first, last]) => id >= first && id <= last) ? 'other' : 'wide';
}

const IN_UTF8: readonly (readonly [number, number])[] = [
  [33, 33],
  [45, 46],
  [76, 76],
  [83, 83],
  [192, 247],
  [255, 323],
  [576, 578],
  [608, 610],
];

const IN_OTHERS: readonly (readonly [number, number])[] = [
  [1, 9],
  [11, 32],
  [34, 34],
  [36, 44],
  [47, 53],
  [57, 59],
  [63, 75],
  [77, 81],
  [84, 89],
  [91, 99],
  [248, 250],
];

/** Most bytes of one character, as far as lengths of columns count them. */
function bytesOfCharacter(collation: number): number {
  const encoding = encodingOf(collation);
  if (encoding !== 'utf8') return encoding === 'wide' ? 4 : 1;
  const id = collation >= 1024 && collation < 2048 ? collation - 1024 : collation;
  const isThree = id === 33 || id === 76 || id === 83 || (id >= 192 && id <= 223) || (id >= 576 && id <= 578);
  return isThree || (id >= 2048 && id < 2304) ? 3 : 4;
}

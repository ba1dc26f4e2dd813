/**
 * Values between the text protocol and the binary protocol (MySQL internals documentation, "Binary Protocol Resultset
 * Row", "Binary Protocol Value"). Here are the types whose binary form is not their text; of all others it is the same.
 *
 * Texts are as the servers write them: `2024-05-17 10:11:12.500000`, `-12:13:14`, `0000-00-00`.
 */
import { FIELD_TYPE } from './responses.ts';

export interface ValueType {
  /** {@link FIELD_TYPE} */
  readonly type: number;
  readonly unsigned: boolean;
}

const INTEGER_BYTES: ReadonlyMap<number, 1 | 2 | 4 | 8> = new Map<number, 1 | 2 | 4 | 8>([
  [FIELD_TYPE.tiny, 1],
  [FIELD_TYPE.short, 2],
  [FIELD_TYPE.year, 2],
  [FIELD_TYPE.int24, 4],
  [FIELD_TYPE.long, 4],
  [FIELD_TYPE.longlong, 8],
]);

/** How many bytes every value of the type has in a binary row; 0 if the length stands before it. */
export function binarySize(type: number): number {
  if (type === FIELD_TYPE.float) return 4;
  return type === FIELD_TYPE.double ? 8 : (INTEGER_BYTES.get(type) ?? 0);
}

/** The text of a value of the binary protocol. @param bytes without its length @throws RangeError for what is no value */
export function textOfBinary({ type, unsigned }: ValueType, bytes: Buffer): string {
  const size = binarySize(type);
  if (size > 0 && bytes.length !== size) throw new RangeError('a value of another size');
  switch (type) {
    case FIELD_TYPE.float:
      return String(Number(bytes.readFloatLE().toPrecision(7)));
    case FIELD_TYPE.double:
      return String(bytes.readDoubleLE());
    case FIELD_TYPE.longlong:
      return String(unsigned ? bytes.readBigUInt64LE() : bytes.readBigInt64LE());
    case FIELD_TYPE.year:
      return String(bytes.readUInt16LE()).padStart(4, '0');
    case FIELD_TYPE.date:
    case FIELD_TYPE.newdate:
    case FIELD_TYPE.datetime:
    case FIELD_TYPE.timestamp:
      return dateOf(bytes);
    case FIELD_TYPE.time:
      return timeOf(bytes);
    default:
      if (size === 0) return bytes.toString('utf8');
      return String(unsigned ? bytes.readUIntLE(0, size) : bytes.readIntLE(0, size));
  }
}

/** The other way round: a value without its length. @throws RangeError for what is no text of a value of the type */
export function binaryOfText({ type, unsigned }: ValueType, text: string): Buffer {
  const size = binarySize(type);
  switch (type) {
    case FIELD_TYPE.float:
    case FIELD_TYPE.double: {
      if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) throw new RangeError('no number');
      const bytes = Buffer.alloc(size);
      if (size === 4) bytes.writeFloatLE(Number(text));
      else bytes.writeDoubleLE(Number(text));
      return bytes;
    }
    case FIELD_TYPE.year:
      if (text !== '0' && text !== '0000' && !/^(19|20|21)\d\d$/.test(text)) throw new RangeError('no year');
      if (Number(text) !== 0 && (Number(text) < 1901 || Number(text) > 2155)) throw new RangeError('no year');
      return integerBytes(text, size, true);
    case FIELD_TYPE.int24: {
      const bytes = integerBytes(text, size, unsigned);
      const value = Number(text);
      if (unsigned ? value > 0xffffff : value > 0x7fffff || value < -0x800000) throw new RangeError('out of range');
      return bytes;
    }
    case FIELD_TYPE.date:
    case FIELD_TYPE.newdate:
    case FIELD_TYPE.datetime:
    case FIELD_TYPE.timestamp:
      return dateBytes(text, type === FIELD_TYPE.date || type === FIELD_TYPE.newdate);
    case FIELD_TYPE.time:
      return timeBytes(text);
    case FIELD_TYPE.decimal:
    case FIELD_TYPE.newdecimal:
      if (!/^-?\d+(\.\d+)?$/.test(text)) throw new RangeError('no decimal number');
      return Buffer.from(text, 'latin1');
    default:
      return size === 0 ? Buffer.from(text, 'utf8') : integerBytes(text, size, unsigned);
  }
}

function integerBytes(text: string, size: number, unsigned: boolean): Buffer {
  if (!/^-?\d{1,20}$/.test(text)) throw new RangeError('no integer');
  const value = BigInt(text);
  const bits = size * 8;
  const fits = unsigned ? BigInt.asUintN(bits, value) === value : BigInt.asIntN(bits, value) === value;
  if (!fits) throw new RangeError('out of range');
  const bytes = Buffer.alloc(size);
  if (size === 8) bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  else bytes.writeUIntLE(Number(BigInt.asUintN(bits, value)), 0, size);
  return bytes;
}

function dateOf(bytes: Buffer): string {
  if (bytes.length === 0) return '0000-00-00';
  if (bytes.length !== 4 && bytes.length !== 7 && bytes.length !== 11) throw new RangeError('no date');
  const date = `${padded(bytes.readUInt16LE(), 4)}-${padded(bytes[2]!)}-${padded(bytes[3]!)}`;
  if (bytes.length === 4) return date;
  return `${date} ${padded(bytes[4]!)}:${padded(bytes[5]!)}:${padded(bytes[6]!)}${fractionOf(bytes, 7)}`;
}

function timeOf(bytes: Buffer): string {
  if (bytes.length === 0) return '00:00:00';
  if (bytes.length !== 8 && bytes.length !== 12) throw new RangeError('no time');
  const hours = bytes.readUInt32LE(1) * 24 + bytes[5]!;
  return `${bytes[0] === 1 ? '-' : ''}${padded(hours)}:${padded(bytes[6]!)}:${padded(bytes[7]!)}${fractionOf(bytes, 8)}`;
}

function fractionOf(bytes: Buffer, at: number): string {
  return bytes.length === at ? '' : `.${padded(bytes.readUInt32LE(at), 6)}`;
}

function padded(value: number, digits = 2): string {
  return String(value).padStart(digits, '0');
}

function dateBytes(text: string, isDate: boolean): Buffer {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/.exec(text);
  if (match === null || (isDate && match[4] !== undefined)) throw new RangeError('no date');
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59) throw new RangeError('no date');
  const micros = Number((match[7] ?? '').padEnd(6, '0'));
  const length = micros > 0 ? 11 : hour + minute + second > 0 ? 7 : year + month + day > 0 ? 4 : 0;
  const bytes = Buffer.alloc(11);
  bytes.writeUInt16LE(year, 0);
  bytes.set([month, day, hour, minute, second], 2);
  bytes.writeUInt32LE(micros, 7);
  return bytes.subarray(0, length);
}

function timeBytes(text: string): Buffer {
  const match = /^(-?)(\d{1,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/.exec(text);
  if (match === null) throw new RangeError('no time');
  const [hours, minute, second] = match.slice(2, 5).map(Number) as [number, number, number];
  if (hours > 838 || minute > 59 || second > 59) throw new RangeError('no time');
  const micros = Number((match[5] ?? '').padEnd(6, '0'));
  const length = micros > 0 ? 12 : hours + minute + second > 0 ? 8 : 0;
  const bytes = Buffer.alloc(12);
  bytes[0] = match[1] === '-' ? 1 : 0;
  bytes.writeUInt32LE(Math.floor(hours / 24), 1);
  bytes.set([hours % 24, minute, second], 5);
  bytes.writeUInt32LE(micros, 8);
  return bytes.subarray(0, length);
}

/**
 * Values of built-in types between the text and the binary format (PostgreSQL documentation, "Formats and Format Codes";
 * the binary forms are what each type's send function writes).
 *
 * Texts are as the server writes them with DateStyle ISO, bytea_output hex and UTF-8. Of a timestamp with time zone the
 * text is in UTC. Here are the types whose values something reads or makes; {@link TYPE} has the identifiers of others.
 */

/** Object identifiers of built-in types (pg_type.dat). They never change. */
export const TYPE = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  xml: 142,
  cidr: 650,
  float4: 700,
  float8: 701,
  unknown: 705,
  macaddr8: 774,
  money: 790,
  macaddr: 829,
  inet: 869,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  varbit: 1562,
  numeric: 1700,
  record: 2249,
  uuid: 2950,
  jsonb: 3802,
  int4range: 3904,
  numrange: 3906,
  tsrange: 3908,
  tstzrange: 3910,
  daterange: 3912,
  int8range: 3926,
  tsvector: 3614,
  int4multirange: 4451,
  nummultirange: 4532,
  tsmultirange: 4533,
  tstzmultirange: 4534,
  datemultirange: 4535,
  int8multirange: 4536,
} as const;

/** Array types by identifier, with the type of their elements. */
export const ARRAYS: ReadonlyMap<number, number> = new Map([
  [143, TYPE.xml],
  [199, TYPE.json],
  [651, TYPE.cidr],
  [775, TYPE.macaddr8],
  [791, TYPE.money],
  [1000, TYPE.bool],
  [1001, TYPE.bytea],
  [1002, TYPE.char],
  [1003, TYPE.name],
  [1005, TYPE.int2],
  [1007, TYPE.int4],
  [1009, TYPE.text],
  [1014, TYPE.bpchar],
  [1015, TYPE.varchar],
  [1016, TYPE.int8],
  [1021, TYPE.float4],
  [1022, TYPE.float8],
  [1028, TYPE.oid],
  [1040, TYPE.macaddr],
  [1041, TYPE.inet],
  [1115, TYPE.timestamp],
  [1182, TYPE.date],
  [1183, TYPE.time],
  [1185, TYPE.timestamptz],
  [1187, TYPE.interval],
  [1231, TYPE.numeric],
  [1270, TYPE.timetz],
  [1561, TYPE.bit],
  [1563, TYPE.varbit],
  [2951, TYPE.uuid],
  [3807, TYPE.jsonb],
]);

/** Between the formats of one type. Both throw a RangeError for what is no value of it. */
interface Codec {
  decode(bytes: Buffer): string;
  encode(text: string): Buffer;
}

const utf8: Codec = {
  decode: (bytes) => bytes.toString('utf8'),
  encode: (text) => Buffer.from(text, 'utf8'),
};

function invalid(what: string): RangeError {
  return new RangeError(`no value of type ${what}`);
}

function integer(name: string, size: 2 | 4 | 8, signed: boolean): Codec {
  const bits = size * 8;
  return {
    decode(bytes) {
      if (bytes.length !== size) throw invalid(name);
      if (size === 8) return bytes.readBigInt64BE(0).toString();
      return String(signed ? bytes.readIntBE(0, size) : bytes.readUIntBE(0, size));
    },
    encode(text) {
      if (!/^-?\d{1,20}$/.test(text)) throw invalid(name);
      const value = BigInt(text);
      const fits = signed ? BigInt.asIntN(bits, value) === value : BigInt.asUintN(bits, value) === value;
      if (!fits) throw invalid(name);
      const bytes = Buffer.alloc(size);
      if (size === 8) bytes.writeBigInt64BE(value);
      else if (signed) bytes.writeIntBE(Number(value), 0, size);
      else bytes.writeUIntBE(Number(value), 0, size);
      return bytes;
    },
  };
}

function float(name: string, size: 4 | 8): Codec {
  return {
    decode(bytes) {
      if (bytes.length !== size) throw invalid(name);
      const value = size === 4 ? bytes.readFloatBE(0) : bytes.readDoubleBE(0);
      if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : shortest(value, size);
      return String(value);
    },
    encode(text) {
      const value = Number(text);
      if (Number.isNaN(value) && text !== 'NaN') throw invalid(name);
      if (text.trim() === '') throw invalid(name);
      const bytes = Buffer.alloc(size);
      if (size === 4) bytes.writeFloatBE(value);
      else bytes.writeDoubleBE(value);
      return bytes;
    },
  };
}

/** The shortest decimal that reads as the same number. */
function shortest(value: number, size: 4 | 8): string {
  if (size === 8) return String(value);
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

const boolean: Codec = {
  decode(bytes) {
    if (bytes.length !== 1) throw invalid('boolean');
    return bytes[0] === 0 ? 'f' : 't';
  },
  encode(text) {
    if (text !== 't' && text !== 'f') throw invalid('boolean');
    return Buffer.from([text === 't' ? 1 : 0]);
  },
};

const bytea: Codec = {
  decode: (bytes) => `\\x${bytes.toString('hex')}`,
  encode(text) {
    if (!/^\\x([0-9a-f]{2})*$/i.test(text)) throw invalid('bytea');
    return Buffer.from(text.slice(2), 'hex');
  },
};

const uuid: Codec = {
  decode(bytes) {
    if (bytes.length !== 16) throw invalid('uuid');
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  },
  encode(text) {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw invalid('uuid');
    return Buffer.from(text.replaceAll('-', ''), 'hex');
  },
};

const jsonb: Codec = {
  decode(bytes) {
    if (bytes[0] !== 1) throw invalid('jsonb');
    return bytes.toString('utf8', 1);
  },
  encode: (text) => Buffer.from(`\x01${text}`, 'utf8'),
};

// Numeric: digits to the base 10,000, the first worth 10000^weight (numeric_send).

const NEGATIVE = 0x4000;
const SPECIAL: ReadonlyMap<number, string> = new Map([
  [0xc000, 'NaN'],
  [0xd000, 'Infinity'],
  [0xf000, '-Infinity'],
]);

const numeric: Codec = {
  decode(bytes) {
    if (bytes.length < 8 || bytes.length !== 8 + 2 * bytes.readUInt16BE(0)) throw invalid('numeric');
    const weight = bytes.readInt16BE(2);
    const sign = bytes.readUInt16BE(4);
    const special = SPECIAL.get(sign);
    if (special !== undefined) return special;
    const scale = bytes.readUInt16BE(6);
    const digit = (position: number): string => {
      const at = weight - position;
      const count = (bytes.length - 8) / 2;
      return String(at < 0 || at >= count ? 0 : bytes.readUInt16BE(8 + 2 * at)).padStart(4, '0');
    };
    let whole = '';
    for (let position = weight; position >= 0; position--) whole += digit(position);
    let fraction = '';
    for (let position = -1; fraction.length < scale; position--) fraction += digit(position);
    whole = whole.replace(/^0+(?=\d)/, '') || '0';
    return `${sign === NEGATIVE ? '-' : ''}${whole}${scale > 0 ? `.${fraction.slice(0, scale)}` : ''}`;
  },
  encode(text) {
    for (const [sign, name] of SPECIAL) if (name === text) return numericBytes([], 0, sign, 0);
    const [, minus = '', whole = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
    if (whole === '' || whole.length > 4000 || fraction.length > 4000) throw invalid('numeric');
    const padded = whole.padStart(Math.ceil(whole.length / 4) * 4, '0');
    const all = `${padded}${fraction}`.padEnd(padded.length + Math.ceil(fraction.length / 4) * 4, '0');
    const digits = (all.match(/\d{4}/g) ?? []).map(Number);
    let weight = padded.length / 4 - 1;
    while (digits[0] === 0) {
      digits.shift();
      weight--;
    }
    while (digits.at(-1) === 0) digits.pop();
    if (digits.length === 0) return numericBytes([], 0, 0, fraction.length);
    return numericBytes(digits, weight, minus === '' ? 0 : NEGATIVE, fraction.length);
  },
};

function numericBytes(digits: readonly number[], weight: number, sign: number, scale: number): Buffer {
  const bytes = Buffer.alloc(8 + 2 * digits.length);
  bytes.writeUInt16BE(digits.length, 0);
  bytes.writeInt16BE(weight, 2);
  bytes.writeUInt16BE(sign, 4);
  bytes.writeUInt16BE(scale, 6);
  for (const [index, digit] of digits.entries()) bytes.writeUInt16BE(digit, 8 + 2 * index);
  return bytes;
}

// Dates and times count from 2000-01-01, in days and in microseconds.

const DAY = 86_400_000_000n;
/** Days from 0000-03-01, where years of the algorithm begin, to 2000-01-01. */
const EPOCH_SHIFT = 730_425;

/** Days since 2000-01-01 as `2024-05-17`, with ` BC` behind years before 1; after Howard Hinnant's civil_from_days. */
function dateText(days: number): string {
  const shifted = days + EPOCH_SHIFT;
  const era = Math.floor(shifted / 146_097);
  const ofEra = shifted - era * 146_097;
  const year = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const shiftedMonth = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const full = year + era * 400 + (month <= 2 ? 1 : 0);
  const shown = String(full > 0 ? full : 1 - full).padStart(4, '0');
  return `${shown}-${two(month)}-${two(day)}${full > 0 ? '' : ' BC'}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function daysOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const ofEra = y - era * 400;
  const ofYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return era * 146_097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear - EPOCH_SHIFT;
}

const DATE = /^(\d{4,7})-(\d\d)-(\d\d)/;

function readDate(text: string): number {
  const [, y, m, d] = DATE.exec(text) ?? [];
  const [month, day] = [Number(m), Number(d)];
  if (y === undefined || month < 1 || month > 12 || day < 1 || day > 31) throw invalid('date');
  return daysOf(text.endsWith(' BC') ? 1 - Number(y) : Number(y), month, day);
}

function timeText(microseconds: bigint): string {
  const seconds = Number(microseconds / 1_000_000n);
  const rest = Number(microseconds % 1_000_000n);
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(':');
  return rest === 0 ? clock : `${clock}.${String(rest).padStart(6, '0').replace(/0+$/, '')}`;
}

function readTime(text: string): bigint {
  const [, h, m, s, fraction = ''] = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  if (h === undefined) throw invalid('time');
  return BigInt(Number(h) * 3600 + Number(m) * 60 + Number(s)) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
}

const INT4_MAX = 0x7fffffff;
const INT4_MIN = -0x80000000;
const INT8_MAX = (1n << 63n) - 1n;
const INT8_MIN = -(1n << 63n);

const date: Codec = {
  decode(bytes) {
    if (bytes.length !== 4) throw invalid('date');
    const days = bytes.readInt32BE(0);
    return days === INT4_MAX ? 'infinity' : days === INT4_MIN ? '-infinity' : dateText(days);
  },
  encode(text) {
    const bytes = Buffer.alloc(4);
    const special = text === 'infinity' ? INT4_MAX : text === '-infinity' ? INT4_MIN : null;
    bytes.writeInt32BE(special ?? readDate(text));
    return bytes;
  },
};

function timestamp(zone: string): Codec {
  return {
    decode(bytes) {
      if (bytes.length !== 8) throw invalid('timestamp');
      const at = bytes.readBigInt64BE(0);
      if (at === INT8_MAX) return 'infinity';
      if (at === INT8_MIN) return '-infinity';
      const ofDay = ((at % DAY) + DAY) % DAY;
      const [day, era = ''] = dateText(Number((at - ofDay) / DAY)).split(/(?= BC)/);
      return `${day} ${timeText(ofDay)}${zone}${era}`;
    },
    encode(text) {
      const bytes = Buffer.alloc(8);
      const special = text === 'infinity' ? INT8_MAX : text === '-infinity' ? INT8_MIN : null;
      if (special !== null) {
        bytes.writeBigInt64BE(special);
        return bytes;
      }
      const clock = text.replace(/ BC$/, '').slice(text.indexOf(' ') + 1);
      if (zone !== '' && !clock.endsWith(zone)) throw invalid('timestamp with time zone in UTC');
      const time = readTime(clock.slice(0, clock.length - zone.length));
      bytes.writeBigInt64BE(BigInt(readDate(text)) * DAY + time);
      return bytes;
    },
  };
}

const time: Codec = {
  decode(bytes) {
    if (bytes.length !== 8) throw invalid('time');
    return timeText(bytes.readBigInt64BE(0));
  },
  encode(text) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(readTime(text));
    return bytes;
  },
};

const CODECS: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  ...[TYPE.text, TYPE.varchar, TYPE.bpchar, TYPE.name, TYPE.char, TYPE.json, TYPE.xml, TYPE.unknown].map(
    (type): [number, Codec] => [type, utf8],
  ),
  [TYPE.int2, integer('smallint', 2, true)],
  [TYPE.int4, integer('integer', 4, true)],
  [TYPE.int8, integer('bigint', 8, true)],
  [TYPE.oid, integer('oid', 4, false)],
  [TYPE.float4, float('real', 4)],
  [TYPE.float8, float('double precision', 8)],
  [TYPE.numeric, numeric],
  [TYPE.bool, boolean],
  [TYPE.bytea, bytea],
  [TYPE.uuid, uuid],
  [TYPE.jsonb, jsonb],
  [TYPE.date, date],
  [TYPE.time, time],
  [TYPE.timestamp, timestamp('')],
  [TYPE.timestamptz, timestamp('+00')],
]);

/** True if values of the type can be brought from one format into the other here. */
export function hasCodec(type: number): boolean {
  return CODECS.has(type);
}

/** The text of a value in binary format. Throws a RangeError if it is none of the type, or the type has no codec. */
export function textOfBinary(type: number, bytes: Buffer): string {
  return codecOf(type).decode(bytes);
}

/** The binary format of a value given as text. Throws a RangeError if it is none of the type, or the type has no codec. */
export function binaryOfText(type: number, text: string): Buffer {
  return codecOf(type).encode(text);
}

function codecOf(type: number): Codec {
  const codec = CODECS.get(type);
  if (codec === undefined) throw new RangeError(`no codec for type ${type}`);
  return codec;
}

// Arrays.

/** An array in binary format without elements (array_send). */
export function emptyArrayBinary(elementType: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(elementType, 8);
  return bytes;
}

/** Each element of an array in binary format replaced. Throws a RangeError if it is malformed. */
export function mapArrayBinary(bytes: Buffer, replace: (element: Buffer | null) => Buffer | null): Buffer {
  if (bytes.length < 12) throw invalid('array');
  const dimensions = bytes.readInt32BE(0);
  let at = 12 + 8 * dimensions;
  if (dimensions < 0 || dimensions > 6 || at > bytes.length) throw invalid('array');
  const head = Buffer.from(bytes.subarray(0, at));
  const parts: Buffer[] = [head];
  let hasNull = 0;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw invalid('array');
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < -1 || at + length > bytes.length) throw invalid('array');
    const element = replace(length < 0 ? null : bytes.subarray(at, at + length));
    at += Math.max(length, 0);
    const size = Buffer.alloc(4);
    size.writeInt32BE(element?.length ?? -1);
    parts.push(size);
    if (element === null) hasNull = 1;
    else parts.push(element);
  }
  head.writeInt32BE(hasNull, 4);
  return Buffer.concat(parts);
}

/** Each element of an array in text format replaced (array_out; all types here have the delimiter `,`). */
export function mapArrayText(text: string, replace: (element: string | null) => string | null): string {
  let out = '';
  let at = 0;
  // Bounds other than the usual come first: [2:3]={...}
  if (text[0] === '[') {
    at = text.indexOf('=') + 1;
    if (at === 0) throw invalid('array');
    out = text.slice(0, at);
  }
  let depth = 0;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '{') depth++;
    else if (depth === 0) throw invalid('array');
    else if (character === '}') depth--;
    if (character === '{' || character === '}' || character === ',') {
      out += character;
      at++;
      continue;
    }
    let element: string | null = '';
    if (character === '"') {
      at++;
      for (; text[at] !== '"'; at++) {
        if (text[at] === '\\') at++;
        if (at >= text.length) throw invalid('array');
        element += text[at];
      }
      at++;
    } else {
      const from = at;
      while (at < text.length && !',{}'.includes(text[at]!)) at++;
      element = text.slice(from, at);
      if (element.toUpperCase() === 'NULL') element = null;
    }
    const replaced = replace(element);
    out += replaced === null ? 'NULL' : quoted(replaced);
  }
  if (depth > 0 || out === '') throw invalid('array');
  return out;
}

function quoted(element: string): string {
  if (element !== '' && !/[{}",\\\s]/.test(element) && element.toUpperCase() !== 'NULL') return element;
  return `"${element.replace(/[\\"]/g, '\\$&')}"`;
}

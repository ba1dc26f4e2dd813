/**
 * The fields payloads are built from (MySQL internals documentation, "Protocol Basic Data Types"). All of them throw a
 * RangeError for what a field cannot hold: a message that says something else than was asked for must not be sent.
 */

/** int<1> */
export function int1(value: number): Buffer {
  const field = Buffer.allocUnsafe(1);
  field.writeUInt8(value);
  return field;
}

/** int<2> */
export function int2(value: number): Buffer {
  const field = Buffer.allocUnsafe(2);
  field.writeUInt16LE(value);
  return field;
}

/** int<3> */
export function int3(value: number): Buffer {
  const field = Buffer.allocUnsafe(3);
  field.writeUIntLE(value, 0, 3);
  return field;
}

/** int<4> */
export function int4(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  field.writeUInt32LE(value);
  return field;
}

/** int<8> */
export function int8(value: bigint): Buffer {
  const field = Buffer.allocUnsafe(8);
  field.writeBigUInt64LE(value);
  return field;
}

/** int<lenenc>, in the shortest form. */
export function lenencInt(value: number | bigint): Buffer {
  if (value < 0xfb) return int1(Number(value));
  if (value <= 0xffff) return Buffer.concat([int1(0xfc), int2(Number(value))]);
  if (value <= 0xffffff) return Buffer.concat([int1(0xfd), int3(Number(value))]);
  return Buffer.concat([int1(0xfe), int8(BigInt(value))]);
}

/** string<lenenc> */
export function lenencBytes(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([lenencInt(bytes.length), bytes]);
}

/** string<lenenc>, or NULL. */
export function lenencBytesOrNull(value: string | Buffer | null): Buffer {
  return value === null ? int1(0xfb) : lenencBytes(value);
}

/** string<NUL>. A zero byte inside would end it early and make the rest another field. */
export function terminated(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  if (bytes.includes(0)) throw new RangeError('a string that a zero byte ends cannot hold one');
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

/** A string after a length of one byte. */
export function shortBytes(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([int1(bytes.length), bytes]);
}

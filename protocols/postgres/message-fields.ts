/**
 * The fields messages are built from (PostgreSQL documentation, chapter "Message Data Types"). All of them throw a
 * RangeError for what a field cannot hold: a message that says something else than was asked for must not be sent.
 */

/** Bounds of the secret key in CancelRequest and BackendKeyData, in bytes. In protocol 3.0 it has exactly 4. */
export const MIN_SECRET_KEY = 4;
export const MAX_SECRET_KEY = 256;

/** A message of the usual form: type byte, Int32 length that counts itself but not the type, fields. */
export function message(type: number, fields: readonly Buffer[] = []): Buffer {
  return Buffer.concat([byte(type), int32(4 + size(fields)), ...fields]);
}

/** A message of the start-up phase: the same without the type byte. */
export function untypedMessage(fields: readonly Buffer[]): Buffer {
  return Buffer.concat([int32(4 + size(fields)), ...fields]);
}

/** Byte1 */
export function byte(value: number): Buffer {
  const field = Buffer.allocUnsafe(1);
  field.writeUInt8(value);
  return field;
}

/** Int16, signed. */
export function int16(value: number): Buffer {
  const field = Buffer.allocUnsafe(2);
  field.writeInt16BE(value);
  return field;
}

/** Int16 that counts what follows: unsigned, as the server reads it. */
export function count(value: number): Buffer {
  const field = Buffer.allocUnsafe(2);
  field.writeUInt16BE(value);
  return field;
}

/** Int32, signed. */
export function int32(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  field.writeInt32BE(value);
  return field;
}

/** Int32 that is an object identifier: unsigned. */
export function oid(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  field.writeUInt32BE(value);
  return field;
}

/** String: UTF-8 and a terminator. A zero byte inside would end it early and make the rest another field. */
export function text(value: string): Buffer {
  if (value.includes('\0')) throw new RangeError('a string of the protocol cannot hold a zero byte');
  return Buffer.from(`${value}\0`, 'utf8');
}

/** Int32 length and the bytes; NULL is the length -1. */
export function value(bytes: Buffer | null): Buffer[] {
  return bytes === null ? [int32(-1)] : [int32(bytes.length), bytes];
}

/** The rest of a CancelRequest or BackendKeyData. */
export function secretKey(key: Buffer): Buffer {
  if (key.length < MIN_SECRET_KEY || key.length > MAX_SECRET_KEY) {
    throw new RangeError(`a secret key has ${MIN_SECRET_KEY} to ${MAX_SECRET_KEY} bytes, not ${key.length}`);
  }
  return key;
}

function size(fields: readonly Buffer[]): number {
  let total = 0;
  for (const field of fields) total += field.length;
  return total;
}

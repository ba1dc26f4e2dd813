/** Bytes of the random data that a server greets with, and that most authentication methods work on. */
export const SCRAMBLE_BYTES = 20;

/**
 * The scramble in the data of an AuthSwitchRequest, which has a zero byte behind it.
 * @param bytes how long a scramble of the method is
 * @returns `null` if the data is too short for one
 */
export function scrambleOf(data: Buffer, bytes: number = SCRAMBLE_BYTES): Buffer | null {
  return data.length < bytes ? null : data.subarray(0, bytes);
}

/** Two buffers of the same length, or a shorter one on the right that is used again and again. */
export function xor(left: Buffer, right: Buffer): Buffer {
  const result = Buffer.allocUnsafe(left.length);
  for (let i = 0; i < left.length; i += 1) result[i] = left[i]! ^ right[i % right.length]!;
  return result;
}

/**
 * What holds for every codec of frontend.ts and backend.ts, for their tests. A sample is one message with a value in
 * every place, so that cutting it anywhere cuts something.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolViolation } from './violation.ts';

export interface CodecSample {
  /** The documentation's name of the message. */
  readonly name: string;
  /** Null for messages of the start-up phase. */
  readonly type: number | null;
  readonly value: unknown;
  readonly encoded: Buffer;
  readonly decode: (body: Buffer) => unknown;
  /**
   * For messages whose last field takes what is left: the shortest and longest body that is one. Between them cutting
   * and adding gives another message, not a malformed one.
   */
  readonly openEnded?: { readonly from: number; readonly to: number };
}

/** The body of a whole message. */
export function bodyOf(sample: CodecSample): Buffer {
  return sample.encoded.subarray(sample.type === null ? 4 : 5);
}

export function testCodecLaws(samples: readonly CodecSample[]): void {
  for (const sample of samples) {
    const { name, decode } = sample;
    const body = bodyOf(sample);
    const isMalformed = (length: number) =>
      sample.openEnded ? length < sample.openEnded.from || length > sample.openEnded.to : length !== body.length;

    test(`${name} starts with its type and its length`, () => {
      if (sample.type !== null) assert.equal(sample.encoded[0], sample.type);
      assert.equal(sample.encoded.readInt32BE(sample.type === null ? 0 : 1), body.length + 4);
    });

    test(`${name} is decoded to what was encoded`, () => {
      assert.deepEqual(decode(body), sample.value);
    });

    test(`${name} cut short at any byte is a protocol violation`, () => {
      for (let length = 0; length < body.length; length += 1) {
        const cut = body.subarray(0, length);
        if (isMalformed(length)) assert.throws(() => decode(cut), ProtocolViolation, `cut to ${length} bytes`);
        else decode(cut);
      }
    });

    test(`${name} with bytes left over is a protocol violation`, () => {
      for (const extra of [1, 2, 4, 300]) {
        for (const fill of [0x00, 0x41, 0xff]) {
          const longer = Buffer.concat([body, Buffer.alloc(extra, fill)]);
          if (isMalformed(longer.length)) assert.throws(() => decode(longer), ProtocolViolation, `${extra} x ${fill}`);
          else decode(longer);
        }
      }
    });

    test(`${name} with a number that lies anywhere is decoded or a protocol violation`, () => {
      const lies = [
        'ff',
        '7f',
        '00',
        'ffff',
        '7fff',
        '0000',
        'ffffffff',
        '7fffffff',
        '80000000',
        '00000000',
        'fffffffe',
      ];
      for (const lie of lies.map((hex) => Buffer.from(hex, 'hex'))) {
        for (let at = 0; at + lie.length <= body.length; at += 1) {
          const forged = Buffer.from(body);
          lie.copy(forged, at);
          assertDecodesOrViolates(decode, forged);
        }
      }
    });

    test(`${name} of random bytes is decoded or a protocol violation`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assertDecodesOrViolates(decode, Buffer.from(bytes))),
      );
    });
  }
}

function assertDecodesOrViolates(decode: (body: Buffer) => unknown, body: Buffer): void {
  try {
    decode(body);
  } catch (error) {
    assert.ok(error instanceof ProtocolViolation, `${error} for ${body.toString('hex')}`);
  }
}

/** Text that a String field can hold: no zero byte, nothing that is not a character. */
export const protocolText = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed());

/** A value of Bind, DataRow, FunctionCall: bytes or NULL. */
export const protocolValue = fc.option(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  { nil: null },
);

/**
 * What holds for every codec, for their tests. A sample is one message with a value in every place, so that cutting it
 * anywhere cuts something.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolViolation } from './violation.ts';

export interface CodecSample {
  /** The documentation's name of the message. */
  readonly name: string;
  readonly value: unknown;
  /** The payload. */
  readonly encoded: Buffer;
  readonly decode: (payload: Buffer) => unknown;
  /**
   * For messages whose last field takes what is left: the shortest and longest payload that is one. Between them cutting
   * and adding gives another message, not a malformed one.
   */
  readonly openEnded?: { readonly from: number; readonly to: number };
  /** Shorter payloads that are messages as well, because their last fields may be left out. */
  readonly wholeAt?: readonly number[];
}

const LIES = ['ff', 'fe', 'fd', 'fc', 'fb', '7f', '00', 'ffff', '0000', 'feffffffffffffffff', 'fdffffff', 'fcffff'];

export function testCodecLaws(samples: readonly CodecSample[]): void {
  for (const { name, value, encoded, decode, openEnded, wholeAt } of samples) {
    const isMalformed = (length: number) =>
      openEnded
        ? length < openEnded.from || length > openEnded.to
        : length !== encoded.length && !wholeAt?.includes(length);

    test(`${name} is decoded to what was encoded`, () => {
      assert.deepEqual(decode(encoded), value);
    });

    test(`${name} cut short at any byte is a protocol violation`, () => {
      for (let length = 0; length < encoded.length; length += 1) {
        const cut = encoded.subarray(0, length);
        if (isMalformed(length)) assert.throws(() => decode(cut), ProtocolViolation, `cut to ${length} bytes`);
        else assertDecodesOrViolates(decode, cut);
      }
    });

    test(`${name} with bytes left over is a protocol violation`, () => {
      for (const extra of [1, 2, 4, 300]) {
        for (const fill of [0x00, 0x41, 0xff]) {
          const longer = Buffer.concat([encoded, Buffer.alloc(extra, fill)]);
          if (isMalformed(longer.length)) assert.throws(() => decode(longer), ProtocolViolation, `${extra} x ${fill}`);
          else assertDecodesOrViolates(decode, longer);
        }
      }
    });

    test(`${name} with a number that lies anywhere is decoded or a protocol violation`, () => {
      for (const lie of LIES.map((hex) => Buffer.from(hex, 'hex'))) {
        for (let at = 0; at + lie.length <= encoded.length; at += 1) {
          const forged = Buffer.from(encoded);
          lie.copy(forged, at);
          assertDecodesOrViolates(decode, forged);
        }
      }
    });

    test(`${name} of random bytes is decoded or a protocol violation`, () => {
      const random = fc.tuple(fc.nat(encoded.length), fc.uint8Array({ maxLength: 100 }));
      fc.assert(
        fc.property(random, ([kept, bytes]) =>
          assertDecodesOrViolates(decode, Buffer.concat([encoded.subarray(0, kept), bytes])),
        ),
      );
    });
  }
}

function assertDecodesOrViolates(decode: (payload: Buffer) => unknown, payload: Buffer): void {
  try {
    decode(payload);
  } catch (error) {
    assert.ok(error instanceof ProtocolViolation, `${error} for ${payload.toString('hex')}`);
  }
}

/** Text without a zero byte, and nothing that is not a character. */
export const protocolText = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed());

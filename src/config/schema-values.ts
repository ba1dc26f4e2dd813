/** Kinds of values that several parts of sluice.yaml have. */

import { z } from 'zod';
import { isLoopback, parseAddress } from './address.ts';
import { parseDuration, parseSize } from './quantity.ts';

export const address = z
  .string()
  .transform((text, context) => {
    try {
      return parseAddress(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  })
  .meta({ title: 'host:port' });

export function duration(least: string, most: string) {
  const message = 'must be a duration such as 500ms, 15s, 5m or 1h';
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : message) })
    .transform((text, context) => {
      const value = parseDuration(text);
      if (value === null) {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
      if (value < parseDuration(least)! || value > parseDuration(most)!) {
        context.addIssue({ code: 'custom', message: `must be between ${least} and ${most}` });
        return z.NEVER;
      }
      return value;
    })
    .meta({ title: 'duration' });
}

export function size(least: string, most: string) {
  const message = 'must be a size such as 512KiB, 64MiB or 1GiB';
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : message) })
    .transform((text, context) => {
      const value = parseSize(text);
      if (value === null) {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
      if (value < parseSize(least)! || value > parseSize(most)!) {
        context.addIssue({ code: 'custom', message: `must be between ${least} and ${most}` });
        return z.NEVER;
      }
      return value;
    })
    .meta({ title: 'size' });
}

export const path = z
  .string()
  .min(1, 'must not be empty')
  .refine((text) => !text.includes('\0'), 'must not contain a NUL')
  .meta({ title: 'path' });

/** What the wire protocol can carry as a user or database name. */
export const wireName = z
  .string()
  .min(1, 'must not be empty')
  .refine((text) => !text.includes('\0'), 'must not contain a NUL');

export const secret = z
  .strictObject(
    {
      env: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')
        .optional()
        .describe('Environment variable that holds it.'),
      file: path.optional().describe('File that holds it; one line end at its end is not part of it.'),
      command: z
        .array(z.string())
        .min(1, 'must name a program')
        .optional()
        .describe(
          'Program and arguments (no shell) that print it; one line end at the end is not part of it. Given 10 seconds.',
        ),
    },
    {
      // The text itself must never get into a message.
      error: (issue) =>
        issue.code === 'invalid_type' && typeof issue.input === 'string'
          ? 'a secret is not written into this file: use { env: NAME }, { file: PATH } or { command: [PROGRAM, ARGUMENT...] }'
          : undefined,
    },
  )
  .superRefine((reference, context) => {
    if (Object.keys(reference).length !== 1) {
      context.addIssue({ code: 'custom', message: 'must have exactly one of env, file and command' });
    }
  });

export type SecretReference = z.output<typeof secret>;

/** An https address, or one of this machine. */
export const webAddress = z
  .string()
  .superRefine((text, context) => {
    const problem = addressProblem(text);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  })
  .meta({ title: 'address' });

/** Where something is sent to: an https address, or one of this machine, with a query if it needs one. */
export const receiverAddress = z
  .string()
  .superRefine((text, context) => {
    const url = URL.parse(text);
    if (url === null) {
      context.addIssue({ code: 'custom', message: 'is not an address such as https://siem.example/sluice' });
    } else if (url.username !== '' || url.password !== '' || url.hash !== '') {
      context.addIssue({ code: 'custom', message: 'must have no user, password or fragment' });
    } else if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
      context.addIssue({ code: 'custom', message: 'must be an https address' });
    }
  })
  .meta({ title: 'address' });

/** Why it cannot be an issuer (OpenID Connect Discovery 1.0, 4.3) or the like; `null` if it can. Clear HTTP is for tests on one machine. */
function addressProblem(text: string): string | null {
  const url = URL.parse(text);
  if (url === null) return 'is not an address such as https://idp.example';
  if (url.search !== '' || url.hash !== '' || url.username !== '') return 'must have no query, fragment or user';
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return null;
  return 'must be an https address';
}

/** No name is there twice. */
export function unique(list: readonly { readonly name: string }[], context: z.core.$RefinementCtx): void {
  const seen = new Set<string>();
  list.forEach((item, index) => {
    if (seen.has(item.name)) {
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `"${item.name}" is there twice` });
    }
    seen.add(item.name);
  });
}

/** `recording.export` of sluice.yaml: where records are brought to. */

import { z } from 'zod';
import { path, receiverAddress, secret } from './schema-values.ts';

const name = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 of letters, digits, "_" and "-"')
  .optional()
  .describe(
    'Its name in metrics, status and log, and of the file in which is kept what it has delivered; left out, as `to`.',
  );

const format = z
  .literal('sluice')
  .default('sluice')
  .describe("What records are written as: `sluice` is the journal's own lines, byte for byte.");

const jsonl = z.strictObject({
  to: z.literal('jsonl').describe('Lines of JSON in a file or on standard output.'),
  name,
  file: path
    .optional()
    .describe('The file they are appended to, opened anew after logrotate; left out, standard output.'),
  format,
});

const webhook = z.strictObject({
  to: z.literal('webhook').describe('Posted to a program, signed as https://www.standardwebhooks.com has it.'),
  name,
  url: receiverAddress.describe('Where they are posted to: an https address.'),
  secret: secret.describe('What they are signed with: `whsec_` and 24 to 64 bytes in base64.'),
  previous_secret: secret.optional().describe('The one before, while the receiver changes over: both sign.'),
  format,
});

export const exportList = z
  .array(z.discriminatedUnion('to', [jsonl, webhook]))
  .default([])
  .superRefine((list, context) => {
    const names = list.map((exporter) => exporter.name ?? exporter.to);
    names.forEach((name, index) => {
      if (names.indexOf(name) === index) return;
      context.addIssue({
        code: 'custom',
        path: [index],
        message: `"${name}" is there twice: give it a name of its own`,
      });
    });
  });

export type ExportFileConfig = z.output<typeof exportList>[number];

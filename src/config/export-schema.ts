/** `recording.export` of sluice.yaml: where records are brought to. */

import { z } from 'zod';
import { isLoopback } from './address.ts';
import { address, duration, path, receiverAddress, secret } from './schema-values.ts';

const name = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 of letters, digits, "_" and "-"')
  .optional()
  .describe(
    'Its name in metrics, status and log, and of the file in which is kept what it has delivered; left out, as `to`.',
  );

const format = z
  .enum(['sluice', 'ocsf'])
  .default('sluice')
  .describe(
    "What records are written as: `sluice` is the journal's own lines, byte for byte; `ocsf` are events of the Open Cybersecurity Schema Framework, a statement and its outcome in one.",
  );

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

const syslog = z
  .strictObject({
    to: z.literal('syslog').describe('Messages as RFC 5424 has them, over TLS (RFC 5425).'),
    name,
    address: address.describe('Where the receiver listens; 6514 is the usual port.'),
    transport: z
      .enum(['tls', 'tcp'])
      .default('tls')
      .describe('`tcp` only to a receiver on this machine (RFC 6587, octet counting).'),
    ca: path
      .optional()
      .describe('PEM file of the authorities that its certificate may be of, instead of those that come with Node.'),
    certificate: path.optional().describe('PEM file of the certificate that Sluice shows it, where it asks for one.'),
    key: path.optional().describe('PEM file of the private key of that certificate.'),
    format: z
      .enum(['sluice', 'ocsf', 'cef'])
      .default('sluice')
      .describe('What the text of a message is: the record, or the event in OCSF, or a line of CEF.'),
  })
  .superRefine(({ transport, address, certificate, key, ca }, context) => {
    if (transport === 'tcp' && !isLoopback(address.host)) {
      context.addIssue({ code: 'custom', path: ['transport'], message: 'must be tls to another machine' });
    }
    if ((certificate === undefined) !== (key === undefined)) {
      context.addIssue({ code: 'custom', path: ['certificate'], message: 'certificate and key belong together' });
    }
    if (transport === 'tcp' && (ca ?? certificate) !== undefined) {
      context.addIssue({ code: 'custom', path: ['transport'], message: 'certificates are of use with tls only' });
    }
  });

const otlp = z.strictObject({
  to: z.literal('otlp').describe('A collector of OpenTelemetry, by OTLP over HTTP with JSON.'),
  name,
  url: receiverAddress.describe('Its address up to `/v1/logs` and `/v1/traces`: `http://127.0.0.1:4318`.'),
  logs: z.boolean().default(true).describe('Send a log record for every event.'),
  traces: z
    .boolean()
    .default(true)
    .describe(
      "Send a span for every statement that claims a trace which is recorded, as a child of the client's span.",
    ),
  headers: z
    .record(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'must be the name of a header'), secret)
    .default({})
    .describe('Headers of each request, such as one that authorizes it.')
    .meta({ title: 'names and secrets' }),
});

const s3 = z.strictObject({
  to: z
    .literal('s3')
    .describe(
      'Whole segments of the journal, once they are closed, in a bucket of an object storage with the protocol of Amazon S3.',
    ),
  name,
  url: receiverAddress.describe('The bucket: `https://HOST/BUCKET` or `https://BUCKET.HOST`.'),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/, 'must be a region such as eu-central-1')
    .default('us-east-1')
    .describe('Its region.'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_.-][A-Za-z0-9_./-]*\/$|^$/, 'must be letters, digits, "_", ".", "-" and "/", and end with "/"')
    .default('')
    .describe('What names of objects begin with, before the name of the node.'),
  access_key_id: z.string().min(1, 'must not be empty').describe('Who Sluice is there.'),
  secret_access_key: secret.describe('The secret to it.'),
  lock: z
    .strictObject({
      mode: z
        .enum(['governance', 'compliance'])
        .describe('Who may end it early: `governance` whom the storage lets, `compliance` nobody.'),
      days: z.int().min(1).max(36_500).describe('For how long, from when an object is brought.'),
    })
    .optional()
    .describe('Objects cannot be changed or removed (Object Lock; the bucket has to have it).'),
  every: duration('1m', '7d')
    .prefault('1h')
    .describe('A segment that is not full is closed after so long, and so brought.'),
});

export const exportList = z
  .array(z.discriminatedUnion('to', [jsonl, webhook, s3, syslog, otlp]))
  .superRefine((list, context) => {
    const names = list.map((exporter) => exporter.name ?? exporter.to);
    names.forEach((name, index) => {
      if (names.indexOf(name) === index) return;
      const message = `"${name}" is there twice: give it a name of its own`;
      context.addIssue({ code: 'custom', path: [index], message });
    });
  })
  .prefault([]);

export type ExportFileConfig = z.output<typeof exportList>[number];

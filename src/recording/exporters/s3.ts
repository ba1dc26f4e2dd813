import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { S3mini, S3NetworkError, S3ServiceError } from 's3mini';
import { causeOf, DeliveryError } from '../../../protocols/webhooks/answers.ts';
import type { S3Exporter } from '../../config/config.ts';
import type { JournalPosition } from '../record-batch.ts';
import { segments } from '../segments.ts';
import type { Exporter } from './exporter.ts';

/** How long an upload may take: this, and as long as the object takes at the slowest speed that is worth waiting for. */
const UPLOAD_MS = 30_000;
const LEAST_BYTES_PER_MS = 256;
const DAY_MS = 24 * 60 * 60_000;
const TAIL_BYTES = 256 * 1024;
/** What checkpoints are verified with, see chain.ts. */
const KEYS = 'journal.keys.json';

/**
 * Brings whole segments, once they are closed, to a bucket of an object storage that speaks Amazon's S3 protocol: the file as
 * it is, under the name of the node, and beside it a manifest with its SHA-256, what is in it, and its last checkpoint.
 * The storage checks the SHA-256 of each object as it comes (`x-amz-checksum-sha256`), and keeps it from being changed or
 * removed where retention is asked for (Object Lock).
 */
export function s3Exporter(directory: string, node: string, config: S3Exporter): Exporter {
  const { url, region, accessKeyId, secretAccessKey, lock } = config;
  const prefix = `${config.prefix}${node}/`;
  /** Where the segment begins that is being read, and the last record that was seen of it. */
  let start: JournalPosition | null = null;
  let last = 0;
  let keys = '';

  async function put(name: string, body: string | Blob, sha256: Buffer, type: string, ending: AbortSignal) {
    const size = typeof body === 'string' ? Buffer.byteLength(body) : body.size;
    const late = AbortSignal.timeout(UPLOAD_MS + Math.ceil(size / LEAST_BYTES_PER_MS));
    const signal = AbortSignal.any([ending, late]);
    const bucket = new S3mini({
      ...{ endpoint: url, region, accessKeyId, secretAccessKey },
      // What was meant for one bucket is for no other.
      fetch: (input, init) => fetch(input, { ...init, signal, redirect: 'manual' }),
    });
    const headers = {
      'x-amz-checksum-sha256': sha256.toString('base64'),
      ...(lock !== null && {
        'x-amz-object-lock-mode': lock.mode.toUpperCase(),
        'x-amz-object-lock-retain-until-date': new Date(Date.now() + lock.days * DAY_MS).toISOString(),
      }),
    };
    try {
      const response = await bucket.putObject(`${prefix}${name}`, body, type, undefined, headers);
      await response.body?.cancel();
    } catch (error) {
      if (late.aborted) throw new DeliveryError(`${name} could not be brought in time`);
      throw new DeliveryError(reasonOf(error as Error));
    }
  }

  const putText = (name: string, text: string, signal: AbortSignal) =>
    put(name, text, createHash('sha256').update(text).digest(), 'application/json', signal);

  async function ship(from: JournalPosition, signal: AbortSignal): Promise<void> {
    const found = segments(directory).find(({ number }) => number === from.segment);
    if (found === undefined) return;
    const { name } = found;
    const file = join(directory, name);
    const known = await readFile(join(directory, KEYS), 'utf8').catch(() => '');
    if (known !== keys) {
      await putText(KEYS, known, signal);
      keys = known;
    }
    const sha256 = await sha256Of(file);
    await put(name, await openAsBlob(file), sha256, 'application/x-ndjson', signal);
    const manifest = {
      ...{ node, segment: from.segment, file: name, bytes: (await stat(file)).size, sha256: sha256.toString('hex') },
      ...{ first: from.seq + 1, last, checkpoint: await lastCheckpoint(file) },
    };
    await putText(`${name}.manifest.json`, `${JSON.stringify(manifest)}\n`, signal);
  }

  return {
    deliver: async (batch, signal) => {
      const begins = { segment: batch.segment, offset: 0, seq: batch.first - 1 };
      if (start !== null && batch.segment > start.segment) {
        await ship(start, signal);
        start = begins;
      }
      start ??= begins;
      last = batch.last;
      return start;
    },
    close: async () => undefined,
  };
}

async function sha256Of(file: string): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: TAIL_BYTES })) hash.update(chunk as Buffer);
  return hash.digest();
}

/** The last checkpoint of a segment; `null` if it has none near its end. */
async function lastCheckpoint(file: string): Promise<unknown> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    const lines = buffer.toString('utf8').split('\n').slice(0, -1);
    const line = lines.findLast((one) => one.startsWith('{"v":1,') && one.includes('"event":"journal.checkpoint"'));
    return line === undefined ? null : JSON.parse(line);
  } finally {
    await handle.close();
  }
}

/** Without what the storage quotes of the request. */
function reasonOf(error: Error): string {
  if (error instanceof S3ServiceError) return `HTTP ${error.status} ${error.serviceCode ?? ''}`.trim();
  if (error instanceof S3NetworkError) return error.code ?? error.message;
  return causeOf(error);
}

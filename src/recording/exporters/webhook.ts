import { causeOf, DeliveryError, refusalIn } from '../../../protocols/webhooks/answers.ts';
import { type WebhookSecret, webhookRequest } from '../../../protocols/webhooks/standard-webhooks.ts';
import type { RecordBatch } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';
import type { LineFormat } from './jsonl.ts';

/** How long a receiver may take to answer, milliseconds: as long as Standard Webhooks has senders wait. */
const ANSWER_MS = 20_000;
/** Many servers take 1 MiB at most; one record alone may be longer. */
const MOST_BYTES = 512 * 1024;
const TYPE = 'sluice.records';

/**
 * Posts records to a program, signed as https://www.standardwebhooks.com has it: `{"type":"sluice.records","timestamp":...,
 * "data":{"node":...,"first":...,"last":...,"records":[...]}}`, where `records` are the lines as they are. A message that is
 * sent again has the same `webhook-id`.
 */
export function webhookExporter(
  url: string,
  secrets: readonly [WebhookSecret, ...WebhookSecret[]],
  format: LineFormat,
  answerMs = ANSWER_MS,
): Exporter {
  /** How many lines of the batch in hand the receiver has already. */
  let had: { readonly batch: RecordBatch; lines: number } | null = null;
  /** Less where the receiver says that it was too much. */
  let most = MOST_BYTES;
  return {
    deliver: async (batch, signal) => {
      const lines = format(batch).toString().split('\n').slice(0, -1);
      if (had?.batch !== batch) had = { batch, lines: 0 };
      while (had.lines < lines.length) {
        const part = fitting(lines, had.lines, most);
        // Made of what cannot change, so that the receiver knows a message again, also after a restart.
        const id = `${batch.node}-${batch.segment}-${batch.end.offset}-${had.lines}-${part.length}`;
        const status = await post(url, id, bodyOf(batch, part), secrets, { ending: signal, answerMs });
        if (status !== TOO_LARGE) had.lines += part.length;
        else if (part.length > 1) most = Math.floor(most / 2);
        else throw new DeliveryError(`a record is too long for the receiver: HTTP ${status}`);
      }
      had = null;
      return undefined;
    },
    close: async () => undefined,
  };
}

const TOO_LARGE = 413;

/** The lines from `start` on that are at most `most` bytes together, or the one that is longer. */
function fitting(lines: readonly string[], start: number, most: number): readonly string[] {
  let end = start;
  for (let bytes = 0; end < lines.length; end++) {
    bytes += Buffer.byteLength(lines[end]!) + 1;
    if (bytes > most && end > start) break;
  }
  return lines.slice(start, end);
}

function bodyOf({ node, first, last, at }: RecordBatch, lines: readonly string[]): string {
  const about = JSON.stringify({ node, first, last }).slice(0, -1);
  const records = lines.map(asJson).join(',');
  return `{"type":"${TYPE}","timestamp":"${new Date(at).toISOString()}","data":${about},"records":[${records}]}}`;
}

/** A line that somebody broke is sent as a text: it must not break those around it. */
function asJson(line: string): string {
  try {
    JSON.parse(line);
    return line;
  } catch {
    return JSON.stringify(line);
  }
}

/** @returns the status: of success, or that it was too much at once @throws DeliveryError */
async function post(
  url: string,
  id: string,
  body: string,
  secrets: readonly [WebhookSecret, ...WebhookSecret[]],
  { ending, answerMs }: { readonly ending: AbortSignal; readonly answerMs: number },
): Promise<number> {
  const late = AbortSignal.timeout(answerMs);
  let response: Response;
  try {
    response = await fetch(url, {
      ...webhookRequest(secrets, { id, at: Date.now(), body }),
      signal: AbortSignal.any([ending, late]),
    });
    await response.body?.cancel();
  } catch (error) {
    throw new DeliveryError(late.aborted ? `no answer within ${answerMs / 1000} s` : causeOf(error as Error));
  }
  const { status } = response;
  if (response.ok || status === TOO_LARGE) return status;
  throw refusalIn(response, Date.now());
}

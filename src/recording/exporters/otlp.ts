import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { causeOf, DeliveryError, retryAfterMs } from '../../../protocols/webhooks/answers.ts';
import type { OtlpExporter } from '../../config/config.ts';
import type { FollowerEvents } from '../follower.ts';
import { JoinedStatements, type RecordedEvent } from '../joined-statements.ts';
import type { JournalPosition } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';
import type { Origin } from './origin.ts';
import { logsRequest, tracesRequest } from './otlp-data.ts';

const REQUEST_MS = 30_000;
/** Longest answer that is read. */
const ANSWER_BYTES = 64 * 1024;
/** Shorter requests are sent as they are. */
const GZIP_BYTES = 1_024;
const compressed = promisify(gzip);
/** Most events of one request. */
const MOST_EVENTS = 2_000;

/** OTLP over HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/): logs of all events, spans of statements that claim a trace. */
export function otlpExporter(config: OtlpExporter, origin: Origin, log: FollowerEvents['log']): Exporter {
  const statements = new JoinedStatements<JournalPosition>();
  return {
    deliver: async (batch, signal) => {
      const { events, done } = statements.read(batch);
      for (let from = 0; from < events.length; from += MOST_EVENTS) {
        await send(events.slice(from, from + MOST_EVENTS), batch.node, signal);
      }
      return done();
    },
    close: async () => undefined,
  };

  async function send(events: readonly RecordedEvent[], node: string, signal: AbortSignal): Promise<void> {
    if (config.logs) await post('logs', logsRequest(events, node, origin), signal);
    const traces = config.traces ? tracesRequest(events, node, origin) : null;
    if (traces !== null) await post('traces', traces, signal);
  }

  async function post(what: 'logs' | 'traces', request: object, signal: AbortSignal): Promise<void> {
    const url = `${config.url}/v1/${what}`;
    const text = JSON.stringify(request);
    // Every receiver has to know gzip (OTLP, "OTLP/HTTP Request"), so nobody has to ask for it.
    const isLong = text.length >= GZIP_BYTES;
    let response: Response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(isLong && { 'content-encoding': 'gzip' }),
          ...config.headers,
        },
        body: isLong ? await compressed(text, { level: 1 }) : text,
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
      });
    } catch (error) {
      throw new DeliveryError(`${url}: ${causeOf(error as Error)}`);
    }
    const answer = await bounded(response);
    if (response.status === 200) {
      tell(what, answer);
      return;
    }
    // Bad data is bad the next time as well; to stop at it would stop everything behind it.
    if (response.status === 400) {
      log('error', { exporter: config.name, answer }, `${url} refuses ${what} as invalid: they are left out`);
      return;
    }
    throw new DeliveryError(`${url}: HTTP ${response.status}`, {
      retryAfterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()),
    });
  }

  /** A partial success is not tried again: what was rejected would be the next time. */
  function tell(what: string, answer: string): void {
    const { partialSuccess } = parsed(answer);
    const rejected = Number(partialSuccess?.rejectedSpans ?? partialSuccess?.rejectedLogRecords ?? 0);
    const message = partialSuccess?.errorMessage ?? '';
    if (rejected > 0)
      log('error', { exporter: config.name, rejected, message }, `the receiver has rejected some ${what}`);
    else if (message !== '')
      log('warn', { exporter: config.name, message }, `the receiver has something to say about ${what}`);
  }
}

interface Answer {
  readonly partialSuccess?: {
    readonly rejectedSpans?: string | number;
    readonly rejectedLogRecords?: string | number;
    readonly errorMessage?: string;
  };
}

function parsed(answer: string): Answer {
  try {
    return (JSON.parse(answer) as Answer | null) ?? {};
  } catch {
    return {};
  }
}

/** Reads the answer, so that the connection can be used again; what is longer is left. */
async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const part of response.body ?? []) {
      bytes += part.length;
      if (bytes > ANSWER_BYTES) break;
      parts.push(part);
    }
  } catch {
    return '';
  }
  return Buffer.concat(parts).toString('utf8');
}

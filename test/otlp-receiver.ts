import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/** A span or a log record as it came, with its attributes by name. */
export interface ReceivedSignal {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** An OTLP receiver of JSON on a port of 127.0.0.1. */
export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSignal[];
  readonly logs: readonly ReceivedSignal[];
  /** Everything that came, as text. */
  body(): string;
  stop(): void;
}

// biome-ignore lint/suspicious/noExplicitAny: of what was read from JSON anything can be asked for
type Tree = any;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSignal[] = [];
  const logs: ReceivedSignal[] = [];
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    const bytes = Buffer.concat(await request.toArray());
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString('utf8');
    bodies.push(body);
    const read: Tree = JSON.parse(body);
    for (const { scopeSpans } of read.resourceSpans ?? []) {
      for (const scope of scopeSpans) spans.push(...scope.spans.map((span: Tree) => signalOf(span, span.name)));
    }
    for (const { scopeLogs } of read.resourceLogs ?? []) {
      for (const scope of scopeLogs) logs.push(...scope.logRecords.map((log: Tree) => signalOf(log, log.eventName)));
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    logs,
    body: () => bodies.join('\n'),
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function signalOf({ traceId = '', spanId = '', parentSpanId = '', attributes }: Tree, name: string): ReceivedSignal {
  const values = attributes.map(({ key, value }: Tree) => [key, Object.values(value)[0]]);
  return { name, traceId, spanId, parentSpanId, attributes: Object.fromEntries(values) };
}

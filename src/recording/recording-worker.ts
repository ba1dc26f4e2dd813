import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { parseWebhookSecret } from '../../protocols/webhooks/standard-webhooks.ts';
import type { ExporterConfig, JsonlExporter, WebhookExporter } from '../config/config.ts';
import { type Exporter, exporting } from './exporters/exporter.ts';
import { linesOf, writerOf } from './exporters/formats.ts';
import type { LineFormat } from './exporters/jsonl.ts';
import { type Consumer, Follower } from './follower.ts';
import type { FromRecordingThread, RecordingWork, ToRecordingThread } from './recording-thread.ts';
import type { Retention } from './retention.ts';

/** The thread behind recording-thread.ts: everything that follows the journal, each at its own pace. */

/** How often the main thread is told how followers are, at most, milliseconds. */
const STATUS_MS = 200;
/** How often it is looked whether segments are to be removed, milliseconds. */
const RETENTION_MS = 60_000;
/** How long followers may go on when the process ends, milliseconds. */
const END_MS = 1_500;

const { directory, node, exporters, index, retain, origin, head: begun } = workerData as RecordingWork;
let head = begun;
/** The head that the main thread was last asked to tell of a later one than. */
let asked = -1;
let telling = false;
/** The segments that followers are in. */
let reached = '';
let retention: Retention | null = null;
/** Called when the journal has the record of a removal. */
let removing: (segment: number) => void = () => undefined;

const tell = (message: FromRecordingThread) => parentPort!.postMessage(message);

function tellStatus(): void {
  if (telling) return;
  telling = true;
  setTimeout(() => {
    telling = false;
    tellNow();
    // Somebody may have taken the last of a segment.
    const now = followers.map(({ status }) => status.position?.segment).join();
    if (now === reached) return;
    reached = now;
    removeWhatMayGo();
  }, STATUS_MS);
}

function tellNow(): void {
  tell({
    kind: 'status',
    followers: followers.map(({ status }) => status),
    retention: retention?.status ?? null,
  });
}

async function exporterOf(config: ExporterConfig): Promise<Exporter> {
  switch (config.to) {
    case 's3': {
      const { s3Exporter } = await import('./exporters/s3.ts');
      return s3Exporter(directory, node, config);
    }
    case 'syslog': {
      const { SyslogSender } = await import('./exporters/syslog.ts');
      return new SyslogSender(config, await writerOf(config.format, origin), origin);
    }
    case 'otlp': {
      const { otlpExporter } = await import('./exporters/otlp.ts');
      return otlpExporter(config, origin, events.log);
    }
    default: {
      const { format, done } = await linesOf(config.format, origin);
      const exporter = await lineExporterOf(config, format);
      return {
        ...exporter,
        deliver: async (batch, signal) => {
          await exporter.deliver(batch, signal);
          return done();
        },
      };
    }
  }
}

async function lineExporterOf(config: JsonlExporter | WebhookExporter, format: LineFormat): Promise<Exporter> {
  switch (config.to) {
    case 'jsonl': {
      const { fileExporter, stdoutExporter } = await import('./exporters/jsonl.ts');
      return config.file === null ? stdoutExporter(format) : fileExporter(config.file, format);
    }
    case 'webhook': {
      const { webhookExporter } = await import('./exporters/webhook.ts');
      const [secret, ...others] = config.secrets;
      return webhookExporter(config.url, [parseWebhookSecret(secret), ...others.map(parseWebhookSecret)], format);
    }
  }
}

async function consumers(): Promise<Consumer[]> {
  const all = await Promise.all(
    exporters.map(async (config) => {
      const { name } = config;
      return exporting(name, await exporterOf(config), join(directory, 'exporters', `${name}.json`));
    }),
  );
  if (index === null) return all;
  const { indexing } = await import('./record-index/indexing.ts');
  return [indexing(index, node, events.log), ...all];
}

const journal = { directory, node, head: () => head };
const events = {
  level: () => {
    if (asked === head.seq) return;
    asked = head.seq;
    tell({ kind: 'level', seq: head.seq });
  },
  changed: tellStatus,
  log: (level: 'info' | 'warn' | 'error', fields: object, message: string) =>
    tell({ kind: 'log', level, fields, message }),
};
const followers: Follower[] = [];
for (const consumer of await consumers()) followers.push(new Follower(consumer, journal, events));

retention = await retentionOf();
if (retention !== null) {
  setInterval(() => {
    events.level();
    removeWhatMayGo();
  }, RETENTION_MS).unref();
}

function removeWhatMayGo(): void {
  void retention?.run().then(tellNow);
}

async function retentionOf(): Promise<Retention | null> {
  if (retain === null) return null;
  const { Retention } = await import('./retention.ts');
  return new Retention(retain, {
    directory,
    head: () => head,
    followers: () => followers.map(({ status }) => status),
    record: (removal) =>
      new Promise((resolve) => {
        removing = resolve;
        tell({ kind: 'remove', removal });
      }),
    log: events.log,
  });
}

parentPort!.on('message', (message: ToRecordingThread) => {
  head = message.head;
  if (message.kind === 'removing') {
    removing(head.segment);
    return;
  }
  if (message.kind === 'grown') {
    for (const follower of followers) follower.wake();
    return;
  }
  void Promise.all(followers.map((follower) => follower.end(END_MS))).then(() => {
    tellNow();
    parentPort!.close();
    // What hangs in the system, a pipe that nobody reads, does not keep the process.
    process.exit();
  });
});

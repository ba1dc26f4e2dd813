import type { EventFormat, ExportFormat } from '../../config/config.ts';
import { JoinedStatements, type RecordedEvent } from '../joined-statements.ts';
import { parseRecord } from '../read-records.ts';
import type { JournalPosition, RecordBatch } from '../record-batch.ts';
import type { LineFormat } from './jsonl.ts';
import type { Origin } from './origin.ts';

/** How the lines of a file, or of a message, are written. */
export interface Lines {
  readonly format: LineFormat;
  /** The batch that was written last has been delivered. Gives where to begin again after a restart; `undefined`: behind the batch. */
  done(): JournalPosition | undefined;
}

export async function linesOf(format: ExportFormat, origin: Origin): Promise<Lines> {
  // The journal's own bytes, so that its chain can be verified wherever they are.
  if (format === 'sluice') return { format: ({ bytes }) => bytes, done: () => undefined };
  const write = await writerOf(format, origin);
  let last: WrittenBatch | null = null;
  return {
    format: (batch) => {
      last = write(batch);
      return Buffer.from(last.events.map(({ text }) => `${text}\n`).join(''), 'utf8');
    },
    done: () => last?.done(),
  };
}

/** An event as text, without a line end. */
export interface WrittenEvent {
  readonly event: RecordedEvent;
  readonly text: string;
}

/** What a batch is written as. */
export interface WrittenBatch {
  readonly events: readonly WrittenEvent[];
  /** They have been delivered. Gives where to begin again after a restart. */
  done(): JournalPosition;
}

/** Writes batches in the order of the journal; a batch can be written again until it is done with. */
export type BatchWriter = (batch: RecordBatch) => WrittenBatch;

/** What a format needs is loaded with it. */
export async function writerOf(format: EventFormat, origin: Origin): Promise<BatchWriter> {
  switch (format) {
    case 'sluice':
      return (batch) => ({ events: recordsOf(batch), done: () => batch.end });
    case 'ocsf': {
      const { OcsfEvents } = await import('./ocsf.ts');
      const ocsf = new OcsfEvents(origin);
      const write = joining((event) => JSON.stringify(ocsf.of(event)));
      return (batch) => {
        ocsf.begin();
        const { events, done } = write(batch);
        return {
          events,
          done: () => {
            ocsf.done();
            return done();
          },
        };
      };
    }
    case 'cef': {
      const { cefOf } = await import('./cef.ts');
      return joining((event) => cefOf(event, origin));
    }
  }
}

function joining(textOf: (event: RecordedEvent) => string): BatchWriter {
  const statements = new JoinedStatements<JournalPosition>();
  return (batch) => {
    const { events, done } = statements.read(batch);
    return { events: events.map((event) => ({ event, text: textOf(event) })), done };
  };
}

/** The journal's own lines. */
function recordsOf(batch: RecordBatch): WrittenEvent[] {
  const { node } = batch;
  return batch.lines().flatMap((text) => {
    const record = parseRecord(text);
    return typeof record === 'string' ? [] : [{ event: { kind: 'other', node, record }, text }];
  });
}

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Consumer } from '../follower.ts';
import type { JournalPosition, RecordBatch } from '../record-batch.ts';

/** Brings records somewhere; knows nothing of positions. */
export interface Exporter {
  /**
   * Resolves once the receiver has the records. Where it gives a position, records behind that come again after a restart
   * (spans that wait for an outcome). Rejects if they are to be tried again later; each try has a limit in time of its own.
   */
  deliver(batch: RecordBatch, signal: AbortSignal): Promise<JournalPosition | undefined>;
  /** See {@link Consumer.settle}; `null` if nothing was delivered in this process. */
  settle?(signal: AbortSignal): Promise<JournalPosition | null>;
  close(): Promise<void>;
}

/**
 * Joins an exporter with what it has delivered, which is kept in a file beside the journal: it is about this node's
 * journal, is moved and restored with it, and no store is needed to go on.
 */
export function exporting(name: string, exporter: Exporter, positionFile: string): Consumer {
  let delivered: JournalPosition | null = null;
  const { settle } = exporter;
  return {
    name,
    begin: async () => delivered ?? readPosition(positionFile),
    take: async (batch, signal) => {
      const settled = await exporter.deliver(batch, signal);
      await writePosition(positionFile, settled ?? batch.end);
      delivered = batch.end;
      return settled;
    },
    ...(settle !== undefined && {
      settle: async (signal: AbortSignal) => {
        const settled = await settle.call(exporter, signal);
        if (settled !== null) await writePosition(positionFile, settled);
        return settled;
      },
    }),
    close: () => exporter.close(),
  };
}

/**
 * `null` if nothing was delivered yet.
 * @throws Error if the file is not what was written: to guess would be to lose records, or to bring all of them again
 */
async function readPosition(file: string): Promise<JournalPosition | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const position = parsePosition(text);
  if (position === null) throw new Error(`${file} does not say what was delivered`);
  return position;
}

function parsePosition(text: string): JournalPosition | null {
  try {
    const { segment, offset, seq } = JSON.parse(text) as JournalPosition;
    const isPosition = [segment, offset, seq].every((value) => Number.isSafeInteger(value) && value >= 0);
    return isPosition ? { segment, offset, seq } : null;
  } catch {
    return null;
  }
}

/** Never half: a process that is killed leaves the old position, and records come twice. */
async function writePosition(file: string, position: JournalPosition): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const aside = `${file}.new`;
  await writeFile(aside, `${JSON.stringify(position)}\n`, { mode: 0o600 });
  await rename(aside, file);
}

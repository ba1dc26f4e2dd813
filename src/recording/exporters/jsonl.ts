import { write } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { RecordBatch } from '../record-batch.ts';
import type { Exporter } from './exporter.ts';

/** The lines of a batch as bytes, each with its line end. */
export type LineFormat = (batch: RecordBatch) => Buffer;

/** A file that lines are appended to. It is opened anew when logrotate has moved it, or somebody has removed it. */
export function fileExporter(path: string, format: LineFormat): Exporter {
  let file: FileHandle | null = null;
  const close = async () => {
    const closing = file;
    file = null;
    await closing?.close();
  };
  return {
    deliver: async (batch) => {
      if (file !== null && !(await isAt(path, file))) await close();
      file ??= await openForLines(path);
      try {
        await append(file, format(batch));
      } catch (error) {
        // To be opened anew, which cuts off what a full disk left of a line.
        await close();
        throw error;
      }
      return undefined;
    },
    close,
  };
}

/** Standard output, for whoever collects what containers print. */
export function stdoutExporter(format: LineFormat): Exporter {
  return {
    deliver: async (batch, signal) => {
      const bytes = format(batch);
      for (let written = 0; written < bytes.length; ) written += await print(bytes, written, signal);
      return undefined;
    },
    close: async () => undefined,
  };
}

const STDOUT = 1;
/** How long to wait before a pipe whose reader is slow is tried again, milliseconds. */
const SLOW_READER_MS = 50;

/**
 * Not by `process.stdout`, which in a thread passes everything through the event loop of the main one.
 * @returns how many bytes were written
 */
async function print(bytes: Buffer, from: number, signal: AbortSignal): Promise<number> {
  for (;;) {
    try {
      return await new Promise<number>((resolve, reject) => {
        write(STDOUT, bytes, from, bytes.length - from, null, (error, written) => {
          if (error === null) resolve(written);
          else reject(error);
        });
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await delay(SLOW_READER_MS, null, { signal });
    }
  }
}

const NEWLINE = 0x0a;
const TAIL_BYTES = 64 * 1024;

/** Opens or makes it. A line that a killed process did not end is cut off: its record comes again. */
async function openForLines(path: string): Promise<FileHandle> {
  const file = await open(path, 'a+', 0o600);
  try {
    const info = await file.stat();
    if (!info.isFile()) return file;
    const whole = await endOfLines(file, info.size);
    if (whole < info.size) await file.truncate(whole);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Where the last whole line of a file ends. */
async function endOfLines(file: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0; ) {
    const length = Math.min(TAIL_BYTES, end);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, end - length);
    const newline = buffer.lastIndexOf(NEWLINE);
    if (newline >= 0) return end - length + newline + 1;
    end -= length;
  }
  return 0;
}

/** True if `path` still names the file. */
async function isAt(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [there, opened] = await Promise.all([stat(path, { bigint: true }), file.stat({ bigint: true })]);
    return there.ino === opened.ino && there.dev === opened.dev;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function append(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten;
  }
  // Before the position is kept: a machine that stops must not have lost what the position says is there. Pipes know no sync.
  if ((await file.stat()).isFile()) await file.datasync();
}

import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { readConfigFile } from '../config/load.ts';
import type { Origin, Target } from '../recording/exporters/origin.ts';
import type { RecordedEvent } from '../recording/joined-statements.ts';
import { readBatches } from '../recording/record-batch.ts';
import { nodeOf } from '../recording/segments.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { Progress } from './progress.ts';
import { timeOption } from './recordings-search.ts';
import { versionOfSluice } from './version.ts';

interface ExportOptions {
  readonly config: string;
  readonly journal?: string;
  readonly to: string;
  readonly format: 'sluice' | 'ocsf';
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
}

export function addRecordingsExport(recordings: Command): void {
  recordings
    .command('export')
    .description('Writes records as lines of JSON, oldest first.')
    .requiredOption('--to <file>', 'a file that is not there yet; - for standard output')
    .addOption(
      new Option(
        '--format <format>',
        "`sluice`: the journal's own lines; `ocsf`: events of the Open Cybersecurity Schema",
      )
        .choices(['sluice', 'ocsf'])
        .default('sluice'),
    )
    .option('--since <time>', 'not older than 30m, 12h, 7d, or at or after a time: 2026-01-31T12:00:00Z', timeOption)
    .option('--until <time>', 'older than that', timeOption)
    .option('-c, --config <file>', 'configuration file, for the journal directory', 'sluice.yaml')
    .option('--journal <directory>', 'journal directory; no configuration file is read')
    .action(async (options: ExportOptions) => {
      const count = await exportRecords(options);
      if (options.to !== '-') console.error(`${count} ${count === 1 ? 'record' : 'records'} in ${options.to}.`);
    });
}

/** @returns how many were written */
async function exportRecords(options: ExportOptions): Promise<number> {
  const { directory, targets } = await whereFrom(options);
  const { writerOf } = await import('../recording/exporters/formats.ts');
  const origin: Origin = { version: versionOfSluice(), hostname: hostname(), targets };
  const write = await writerOf(options.format, origin);
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = options;
  const isWanted = (event: RecordedEvent) => timeOf(event) >= since && timeOf(event) < until;
  const progress = new Progress('records written');
  const out = await outputTo(options.to);
  let count = 0;
  try {
    for await (const batch of readBatches(directory, nodeOf(directory))) {
      const { events, done } = write(batch);
      const lines = events.filter(({ event }) => isWanted(event)).map(({ text }) => `${text}\n`);
      if (lines.length > 0) await out.write(lines.join(''));
      count += lines.length;
      progress.at(count - (count % 100));
      done();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new CommandFailure(EXIT.problem, `The export ends here: ${(error as Error).message}`);
  } finally {
    progress.end();
    await out.close();
  }
  return count;
}

function timeOf(event: RecordedEvent): number {
  return event.kind === 'statement' ? event.at : event.record.at;
}

async function whereFrom({ config, journal }: ExportOptions): Promise<{
  readonly directory: string;
  readonly targets: ReadonlyMap<string, Target>;
}> {
  if (journal !== undefined) return { directory: journal, targets: new Map() };
  const { file, value } = await readConfigFile(config);
  const targets = value.connections.map(({ name, protocol, upstream: { host, port, database } }) => {
    const usual = protocol === 'mysql' ? 3306 : 5432;
    return [name, { host, port: port ?? usual, database }] as const;
  });
  return { directory: resolve(dirname(file), value.recording.directory), targets: new Map(targets) };
}

interface Output {
  write(text: string): Promise<unknown>;
  close(): Promise<void>;
}

async function outputTo(name: string): Promise<Output> {
  if (name === '-') {
    const write = (text: string) => new Promise<void>((written) => process.stdout.write(text, () => written()));
    return { write, close: async () => undefined };
  }
  try {
    const file = await open(name, 'wx', 0o600);
    return { write: (text) => file.appendFile(text), close: () => file.close() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandFailure(EXIT.usage, code === 'EEXIST' ? `${name} is there already.` : message);
  }
}

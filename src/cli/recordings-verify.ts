import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readConfigFile, storeOf } from '../config/load.ts';
import { type Jwks, KEYS_FILE, parseJwks, readJwks } from '../recording/signing-key.ts';
import { type Finding, type Verification, verifyJournal } from '../recording/verify.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { readOfflineConfig } from './offline-config.ts';
import { Progress } from './progress.ts';
import { printable } from './terminal.ts';

interface VerifyCommandOptions {
  readonly config: string;
  readonly jwks?: string;
  readonly head: readonly string[];
  readonly store?: true;
  readonly running?: true;
  readonly json?: true;
}

const FETCH_MS = 10_000;

export function addRecordingsVerify(recordings: Command): void {
  recordings
    .command('verify')
    .description('Finds what was changed in a journal, taken out of it, moved or cut off, and says where.')
    .argument('[directory]', 'of the journal; left out, that of the configuration')
    .option('-c, --config <file>', 'configuration file, for the journal directory', 'sluice.yaml')
    .option('--jwks <file or URL>', 'public keys of the node; left out, those beside the journal')
    .option(
      '--head <file>',
      'checkpoints that were kept elsewhere: lines of JSON, such as an exporter has written; may be there several times',
      (file: string, files: readonly string[]) => [...files, file],
      [],
    )
    .option('--store', 'checkpoints that are kept in the store of the configuration')
    .option('--running', 'it is a copy of a journal that was being written: its last records need not be signed')
    .option('--json', 'print JSON')
    .action(async (directory: string | undefined, options: VerifyCommandOptions) => {
      const journal = directory ?? (await readOfflineConfig(options.config)).journal;
      const progress = new Progress('records verified');
      let result: Verification;
      try {
        result = await verifyJournal(journal, {
          keys: await keysFrom(options.jwks, journal),
          kept: [
            ...options.head.flatMap((file) => readFileSync(file, 'utf8').split('\n')),
            ...(options.store ? await checkpointsIn(options.config) : []),
          ],
          isCopyOfRunning: options.running === true,
          onProgress: (records) => progress.at(records),
        });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
        throw new CommandFailure(EXIT.usage, `The journal cannot be read: ${(error as Error).message}`);
      } finally {
        progress.end();
      }
      const isGood = result.findings.length === 0;
      console.log(options.json ? JSON.stringify({ ok: isGood, ...result }, null, 2) : textOf(result));
      if (options.jwks === undefined && !options.json) {
        console.error('The public keys are those beside the journal: compare them with what you know, or use --jwks.');
      }
      if (!isGood) process.exitCode = EXIT.problem;
    });
}

/** Those in the store of a configuration. @throws StoreError */
async function checkpointsIn(config: string): Promise<string[]> {
  const [{ keptCheckpoints }, { openStore }] = await Promise.all([
    import('../recording/checkpoint-keeper.ts'),
    import('../store/store.ts'),
  ]);
  const { file, value } = await readConfigFile(config);
  const store = await openStore(await storeOf(value, dirname(file), process.env));
  try {
    return await keptCheckpoints(store);
  } finally {
    await store.destroy();
  }
}

/** @throws CommandFailure */
async function keysFrom(source: string | undefined, journal: string): Promise<Jwks> {
  const where = source ?? join(journal, KEYS_FILE);
  try {
    if (/^https?:/.test(where)) {
      const response = await fetch(where, { signal: AbortSignal.timeout(FETCH_MS) });
      if (!response.ok) throw new Error(`${where} answers ${response.status}`);
      return parseJwks(await response.text(), where);
    }
    const keys = readJwks(where);
    if (keys === null) throw new Error(`${where} is not there`);
    return keys;
  } catch (error) {
    const { message, cause } = error as Error;
    throw new CommandFailure(
      EXIT.usage,
      `The public keys cannot be read: ${message}${cause instanceof Error ? `: ${cause.message}` : ''}`,
    );
  }
}

function textOf(result: Verification): string {
  const { node, segments, records, first, last, checkpoints, signedTo, kept, findings } = result;
  const unsigned = last === null || signedTo === null ? records : last - signedTo;
  return [
    ...findings.map(findingText),
    ...(findings.length > 0 ? [''] : []),
    `node         ${printable(node ?? 'not known')}`,
    `records      ${records}${first === null ? '' : `, ${first} to ${last}`}, in ${segments} segment${segments === 1 ? '' : 's'}`,
    `checkpoints  ${checkpoints} with a good signature${unsigned > 0 ? `; the last ${unsigned} records are not signed yet` : ''}`,
    ...(kept > 0 ? [`kept         ${kept} checkpoints that were kept elsewhere are in it`] : []),
    findings.length === 0 ? 'Nothing was changed, taken out or moved.' : `${findings.length} findings.`,
  ].join('\n');
}

function findingText({ kind, file, line, lastLine, message }: Finding): string {
  return `${file}:${line}${lastLine > line ? `-${lastLine}` : ''}: ${kind}: ${printable(message)}`;
}

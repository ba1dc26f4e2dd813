import { dirname, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readConfigFile } from '../config/load.ts';
import { parseDuration } from '../config/quantity.ts';
import type { RecordFilter } from '../recording/record-index/search.ts';
import { ApiClient, type ApiOptions, withApiOptions } from './api-client.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { Progress } from './progress.ts';
import { printable, seconds, table, trimmed } from './terminal.ts';

/** A record as the API gives it. */
interface FoundRecord {
  readonly at: string;
  readonly event: string;
  readonly session: string | null;
  readonly statement: number | null;
  readonly identity: { readonly subject: string } | null;
  readonly connection: string | null;
  readonly text: string | null;
  readonly verdict: string | null;
  readonly status: string | null;
  readonly sqlstate: string | null;
  readonly refused_by: string | null;
  readonly rows: number | null;
  readonly affected: number | null;
  readonly ms: number | null;
}

interface SearchOptions extends ApiOptions {
  readonly journal?: string;
  readonly identity?: string;
  readonly kind?: string;
  readonly owner?: string;
  readonly session?: string;
  readonly connection?: string;
  readonly table?: string;
  readonly verdict?: string;
  readonly rule?: string;
  readonly fingerprint?: string;
  readonly trace?: string;
  readonly event: string;
  readonly status?: string;
  readonly sqlstate?: string;
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
  readonly text?: string;
  readonly limit: number;
  readonly json?: true;
}

/** A page of what is found. */
type Page = (limit: number, after: string | null) => Promise<FoundPage>;

interface FoundPage {
  readonly records: readonly FoundRecord[];
  readonly next: string | null;
  /** How far the index is behind the journal of the node that was asked; left out for one that was brought level. */
  readonly lag?: { readonly records: number; readonly seconds: number } | null;
}

/** An index that is behind by less is as level as it gets: records are brought to it several times a second. */
const LAG_SECONDS = 1;

const PAGE = 200;

export function addRecordingsSearch(recordings: Command): void {
  withApiOptions(recordings.command('search'))
    .description(
      'Finds statements and other records, newest first: in the index of a running Sluice, else in that of its journal.',
    )
    .option('--journal <directory>', 'journal directory; no running Sluice is asked')
    .option('--identity <subject>', 'of this identity')
    .addOption(new Option('--kind <kind>', 'of identities of this kind').choices(['human', 'agent', 'service']))
    .option('--owner <name>', 'of identities that this one answers for')
    .option('--session <id>', 'of this session')
    .option('--connection <name>', 'on this connection')
    .option('--table <name>', 'that touch this table, function or other object; with or without its schema')
    .addOption(new Option('--verdict <verdict>', 'with this verdict').choices(['allow', 'hold', 'deny']))
    .option('--rule <id>', 'that this rule matched or refused')
    .option('--fingerprint <hash>', 'of this shape')
    .option('--trace <id>', 'with this trace id')
    .option('--event <name>', '`statement`, the event of other records, or `any`', 'statement')
    .addOption(new Option('--status <status>', 'that ended so').choices(['ok', 'error', 'refused', 'skipped', 'lost']))
    .option('--sqlstate <code>', 'that ended with this SQLSTATE')
    .option('--since <time>', 'not older than 30m, 12h, 7d, or at or after a time: 2026-01-31T12:00:00Z', timeOption)
    .option('--until <time>', 'older than that', timeOption)
    .option('--text <text>', 'with this in the text, in whatever case')
    .option('--limit <number>', 'at most so many', countOption, 50)
    .option('--json', 'print JSON')
    .action(async (options: SearchOptions) => {
      const records = await search(options);
      console.log(options.json ? JSON.stringify({ records }, null, 2) : searchText(records));
    });
}

async function search(options: SearchOptions): Promise<FoundRecord[]> {
  if (options.journal !== undefined) return inJournal(options.journal, options);
  try {
    const client = await ApiClient.open(options);
    return await gather(options.limit, (limit, after) => client.get(`/recordings?${queryOf(options, limit, after)}`));
  } catch (error) {
    const { exitCode, message } = error as CommandFailure;
    const hasNoIndex = exitCode === EXIT.problem && message.includes('recording.index');
    if ((exitCode !== EXIT.unreachable && !hasNoIndex) || options.api !== undefined) throw error;
    const { file, value } = await readConfigFile(options.config);
    console.error(
      `${message} The journal is read instead${hasNoIndex ? '; with recording.index: true it would not have to be' : ''}.`,
    );
    return inJournal(resolve(dirname(file), value.recording.directory), options);
  }
}

/** Pages until there are enough. */
async function gather(most: number, page: Page): Promise<FoundRecord[]> {
  const found: FoundRecord[] = [];
  for (let after: string | null = null; found.length < most; ) {
    const { records, next, lag } = await page(Math.min(PAGE, most - found.length), after);
    found.push(...records);
    if (after === null && lag != null && lag.seconds >= LAG_SECONDS) {
      console.error(
        `The index is behind: it does not have the last ${lag.records} records, of the last ${lag.seconds.toFixed(1)} s.`,
      );
    }
    if (next === null) break;
    after = next;
  }
  return found;
}

async function inJournal(directory: string, options: SearchOptions): Promise<FoundRecord[]> {
  const [{ levelIndex }, { placeIn, searchRecords }, { shownRecord }] = await Promise.all([
    import('../recording/record-index/level-index.ts'),
    import('../recording/record-index/search.ts'),
    import('../recording/record-index/shown-record.ts'),
  ]);
  const progress = new Progress('records indexed');
  try {
    const { index, close } = await levelIndex(directory, (records) => progress.at(records));
    progress.end();
    try {
      return await gather(options.limit, async (limit, after) => {
        const found = await searchRecords(index, filterOf(options), limit, after === null ? null : placeIn(after));
        return { records: found.records.map(shownRecord), next: found.next };
      });
    } finally {
      await close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new CommandFailure(EXIT.usage, `The journal cannot be read: ${(error as Error).message}`);
  } finally {
    progress.end();
  }
}

function filterOf(options: SearchOptions): RecordFilter {
  const { identity: subject, table: object, event, kind, owner, session, connection, verdict, rule } = options;
  const { fingerprint, trace, status, sqlstate, since, until, text } = options;
  return {
    ...{ subject, object, kind, owner, session, connection, verdict, rule, fingerprint, trace, status, sqlstate },
    ...{ since, until, text, event: event === 'any' ? undefined : event },
  };
}

function queryOf(options: SearchOptions, limit: number, after: string | null): string {
  const { identity, kind, owner, session, connection, verdict, rule, fingerprint, trace, event, status } = options;
  const { sqlstate, since, until, text } = options;
  const query = new URLSearchParams({ limit: String(limit), ...(after !== null && { after }) });
  const words = {
    identity,
    kind,
    owner,
    session,
    connection,
    verdict,
    rule,
    fingerprint,
    trace,
    event,
    status,
    sqlstate,
    text,
  };
  for (const [name, value] of Object.entries({ ...words, table: options.table })) {
    if (value !== undefined) query.set(name, value);
  }
  for (const [name, value] of Object.entries({ since, until })) {
    if (value !== undefined) query.set(name, new Date(value).toISOString());
  }
  return query.toString();
}

export function timeOption(text: string): number {
  const duration = parseDuration(text);
  const time = duration === null ? Date.parse(text) : Date.now() - duration;
  if (Number.isNaN(time))
    throw new InvalidArgumentError('It must be 30m, 12h, 7d or a time such as 2026-01-31T12:00:00Z.');
  return time;
}

function countOption(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('It must be a whole number from 1.');
  return count;
}

function searchText(records: readonly FoundRecord[]): string {
  if (records.length === 0) return 'Nothing found.';
  return table(
    ['TIME', 'IDENTITY', 'CONNECTION', 'SESSION', 'NO', 'VERDICT', 'RESULT', 'ROWS', 'MS', 'STATEMENT'],
    records.map((record) => [
      seconds(record.at),
      trimmed(record.identity?.subject ?? '?', 24),
      printable(record.connection ?? ''),
      printable(record.session ?? ''),
      record.statement === null ? '' : String(record.statement),
      record.verdict ?? '',
      resultText(record),
      String(record.affected ?? record.rows ?? ''),
      record.ms === null ? '' : record.ms.toFixed(1),
      trimmed(record.event === 'statement' ? (record.text ?? '') : `${record.event} ${record.text ?? ''}`, 80),
    ]),
  );
}

/** `ok`, `error 23505`, `refused by guard` */
function resultText({ event, status, sqlstate, refused_by }: FoundRecord): string {
  if (status === null) return event === 'statement' ? 'no outcome' : '';
  if (refused_by !== null) return printable(`${status} by ${refused_by}`);
  return printable(sqlstate === null ? status : `${status} ${sqlstate}`);
}

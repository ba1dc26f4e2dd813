import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { RuleChanges } from '../policy/changes.ts';
import { journalWriter } from '../recording/journal-lock.ts';
import { JournalTail } from '../recording/read-records.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { readOfflineConfig } from './offline-config.ts';
import { printable } from './terminal.ts';

/** Files are read in a fraction of a second; what takes long are `command:` secrets, ten seconds each. */
const DEADLINE_MS = 60_000;
const LOOK_MS = 50;

interface ReloadOptions {
  readonly config: string;
  readonly journal?: string;
  readonly json?: true;
}

/** What the journal says of a reload. */
interface Reloaded extends RuleChanges {
  /** Of the rules in force now. */
  readonly version: string;
  readonly was: string;
  /** Why the rules were not put in force; `null` if they were. */
  readonly reason: string | null;
}

export function addReloadCommand(program: Command): void {
  program
    .command('reload')
    .description(
      'Has a running Sluice read its rules again, and says what came of it. Rules that are wrong change nothing.',
    )
    .option('-c, --config <file>', 'configuration file, for the journal directory', 'sluice.yaml')
    .option('--journal <directory>', 'journal directory of the running Sluice; no configuration file is read')
    .option('--json', 'print JSON')
    .action(async (options: ReloadOptions) => {
      const directory = options.journal ?? (await readOfflineConfig(options.config)).journal;
      const reloaded = await reload(directory);
      const { reason, ...rest } = reloaded;
      if (options.json) console.log(JSON.stringify({ ok: reason === null, ...rest, reason }, null, 2));
      else if (reason === null) console.log(changesText(reloaded));
      else {
        for (const line of reason.split('\n')) console.error(printable(line));
        console.error(`Nothing has changed: the rules of version ${reloaded.version} stay in force.`);
      }
      if (reason !== null) process.exitCode = EXIT.usage;
    });
}

/** @throws CommandFailure if no Sluice could be asked, or does not answer */
async function reload(directory: string): Promise<Reloaded> {
  const writer = journalWriter(directory);
  if (writer === null)
    throw new CommandFailure(EXIT.unreachable, `No Sluice is running that writes the journal in ${directory}.`);
  const tail = new JournalTail(directory);
  try {
    process.kill(writer, 'SIGHUP');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ESRCH') throw new CommandFailure(EXIT.unreachable, `Sluice, process ${writer}, has just ended.`);
    throw new CommandFailure(
      EXIT.problem,
      `Sluice, process ${writer}, belongs to another user: it cannot be signalled.`,
    );
  }
  for (let waited = 0; waited < DEADLINE_MS; waited += LOOK_MS) {
    await delay(LOOK_MS);
    for (const { event, fields } of tail.read()) {
      if (!['rules.loaded', 'rules.rejected'].includes(event) || fields.by !== 'signal') continue;
      const { version, was = version, added = [], removed = [], changed = [], reason = null } = fields;
      return { version, was, added, removed, changed, reason } as Reloaded;
    }
    if (journalWriter(directory) !== writer) {
      throw new CommandFailure(EXIT.unreachable, `Sluice, process ${writer}, ended before it had read the rules.`);
    }
  }
  throw new CommandFailure(EXIT.unreachable, `Sluice, process ${writer}, does not say what came of it: see its log.`);
}

function changesText({ version, was, added, removed, changed }: Reloaded): string {
  const lines = Object.entries({ added, changed, removed })
    .filter(([, ids]) => ids.length > 0)
    .map(([what, ids]) => `${what}: ${ids.join(', ')}`);
  const now =
    version === was
      ? `The same rules are in force, version ${version}.`
      : `In force now: version ${version}; before: ${was}.`;
  return [...lines, now].join('\n');
}
